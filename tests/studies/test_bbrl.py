"""The benchmark of Castronovo et al. at small size, and its table by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesmdp.studies import bbrl


def made_results(rewards):
    """Results of the double loop with these rewards [agent, replicate, step], and a second a replicate."""
    agents = ["BEB 2.5", "PSRL"]
    tree = xr.DataTree(xr.Dataset({"reward": (("agent", "replicate", "step"), rewards)}, {"agent": agents}))
    tree["timing"] = xr.DataTree(xr.Dataset({"seconds": (("agent", "replicate"), np.ones(rewards.shape[:2]))}))
    tree["timing"] = xr.DataTree(tree["timing"].to_dataset().assign_coords(agent=agents))
    tree.attrs["mdp"] = "generalised-double-loop"
    return tree


def test_the_table_is_of_discounted_returns(monkeypatch):
    monkeypatch.setattr(
        bbrl, "_optima", lambda environment: {"generalised_double_loop": np.array([3.4, 3.6])}[environment]
    )
    rewards = np.zeros((2, 3, 250))
    rewards[:, :, 0], rewards[:, :, 2] = [[2.9, 3.0, 3.1], [1.0, 2.0, 3.0]], 1.0
    table = bbrl.returns_table(made_results(rewards))
    assert table.loc["BEB 2.5", "return"] == pytest.approx(3.0 + 0.95**2)
    assert table.loc["BEB 2.5", "milliseconds"] == pytest.approx(4.0)
    assert table.loc["PSRL", "upper"] - table.loc["PSRL", "return"] == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)
    assert table["overlap"].to_dict() == {"BEB 2.5": "no", "PSRL": "", "optimum": "yes"}
    assert table.loc["optimum", "problems"] == 2
    again = made_results(rewards)
    del again["timing"]
    assert bbrl.returns_table(again)["milliseconds"].isna().all()


def test_each_replicate_is_another_problem_of_the_prior():
    result = bbrl.STUDIES["double-loop"].with_agents(["PSRL"]).run(replicates=4)
    assert set(np.unique(result["reward"])) <= {0.0, 1.0, 2.0} and result.attrs["mdp"] == "generalised-double-loop"
    returns = bbrl.discounted_returns(result)
    assert isinstance(returns, pd.DataFrame) and returns.shape == (1, 4)
    # What is lost at most depends on the problem, and no two are alike.
    assert len(set(result["regret"].values[0].max(-1).tolist())) == 4
