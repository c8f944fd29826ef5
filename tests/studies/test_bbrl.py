"""The benchmark of Castronovo et al. at small size, and its table by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.studies import bbrl, bbrl_inexact


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
    table = bbrl.returns_table(made_results(rewards), made_results(rewards))
    assert table.loc["BEB 2.5", "return"] == pytest.approx(3.0 + 0.95**2)
    assert table.loc["BEB 2.5", "milliseconds"] == pytest.approx(4.0)
    assert table.loc["PSRL", "upper"] - table.loc["PSRL", "return"] == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)
    assert table["overlap"].to_dict() == {"BEB 2.5": "no", "PSRL": "", "optimum": "yes"}
    assert table.loc["optimum", "problems"] == 2
    assert bbrl.returns_table(made_results(rewards))["milliseconds"].isna().all()


@pytest.mark.slow
def test_each_replicate_is_another_problem_of_the_prior():
    result = bbrl.STUDIES["double-loop"].with_agents(["PSRL"]).run(replicates=4)
    assert set(np.unique(result["reward"])) <= {0.0, 1.0, 2.0} and result.attrs["mdp"] == "generalised-double-loop"
    returns = bbrl.discounted_returns(result)
    assert isinstance(returns, pd.DataFrame) and returns.shape == (1, 4)
    # What is lost at most depends on the problem, and no two are alike.
    assert len(set(result["regret"].values[0].max(-1).tolist())) == 4


def test_an_inexact_prior_is_held_against_the_exact_one_on_the_same_problems():
    study = bbrl_inexact.STUDIES["double-loop"]
    mdp = study.make_mdp()
    prior, truth = study.make_prior(mdp), study.make_truth(mdp)
    assert mdp.successor is None and study.make_agents(mdp, prior)["PSRL, exact"].make_belief(mdp) is not None
    drawn = bm.infer(truth, bm.collect(mdp, steps=1), mdp=mdp, draws=20).posterior["transition"]
    flat = bm.infer(prior, bm.collect(mdp, steps=1), mdp=mdp, draws=20).posterior["transition"]
    impossible = mdp.transition == 0
    assert (drawn.values[0][:, impossible] == 0).all() and (flat.values[0][:, impossible] > 0).all()
    rewards = np.zeros((len(study.agents), 6, 250))
    rewards[:, :, 0] = 10 + np.random.default_rng(0).normal(size=(len(study.agents), 6)) / 10
    rewards[list(study.agents).index("PSRL, exact"), :, 0] += 3
    names = list(study.agents)
    result = xr.DataTree(xr.Dataset({"reward": (("agent", "replicate", "step"), rewards)}, {"agent": names}))
    table = bbrl_inexact.claims(result).set_index("statement")
    gain = table.loc["PSRL: the exact prior returns more than the inexact one by"]
    assert gain["holds"] == "yes" and gain["figure"] == pytest.approx(3, abs=0.3)
    less = table.loc["variance bonus loses less by the inexact prior than posterior sampling, by"]
    assert less["figure"] == pytest.approx(3, abs=0.3)
