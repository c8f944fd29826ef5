"""The study of TSEB at small size: its tables computed once more by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesmdp as bm
from bayesmdp.studies import find, tseb


def test_settings_are_what_the_module_says():
    for name, study in tseb.STUDIES.items():
        mdp = study.make_mdp()
        assert mdp.discount == 0.95 and study.replicates == 100
        agents = study.make_agents(mdp, study.make_prior(mdp))
        assert "reward" in dict(agents[next(iter(agents))].make_belief(mdp).dims), name
    lambdas = [spec.options["reward_weight"] for spec in tseb.STUDIES["chain"].agents.values()]
    np.testing.assert_allclose(lambdas, np.linspace(0, 1, 11))
    assert (tseb.STUDIES["chain"].steps, tseb.STUDIES["queue"].steps) == (1_000, 10_000)


@pytest.fixture(scope="module")
def result():
    """Numbers in the place of a run, which `test_main_writes_the_tables` makes."""
    rng = np.random.default_rng(0)
    dims, shape = ("agent", "replicate", "step"), (2, 3, 60)
    drawn = {name: (dims, rng.gamma(2, size=shape)) for name in ("reward", "regret", "mean_bonus")}
    for name, number in (("state", 6), ("action", 2)):
        drawn[name] = dims, rng.integers(number, size=shape)
    return xr.DataTree(xr.Dataset(drawn, {"agent": ["PSRL", "TSEB 0.5"]}))


def test_tables_by_hand(result):
    rewards, agents = tseb.reward_table(result), tseb.agents_table(result, epsilon=2.0)
    for i, name in enumerate(("PSRL", "TSEB 0.5")):
        total = result["reward"].values[i].sum(-1)
        half = stats.t.ppf(0.975, 2) * stats.sem(total)
        expected = total.mean(), total.mean() - half, total.mean() + half, total.std(ddof=1)
        np.testing.assert_allclose(rewards.loc[name], expected)
        assert agents.loc[name, "reward"] == pytest.approx(total.mean() / 60)
        assert agents.loc[name, "suboptimal"] == (result["regret"].values[i] > 2.0).sum(-1).mean()
    bonus = tseb.bonus_table(result)
    assert bonus.shape == (3, 2) and bonus.index.tolist() == [1, 2, 3]
    at_second = result["mean_bonus"].values[1, :, 20].mean()
    assert bonus.loc[2, "TSEB 0.5"] == pytest.approx(at_second, rel=1e-6)
    # A step serves what it paid and the costs that were taken off: .25 if it was fast, .1 for each packet held.
    costs = np.where(result["action"].values == 1, 0.25, 0) + 0.1 * result["state"].values
    served = (result["reward"].values + costs).sum(-1).mean(-1)
    np.testing.assert_allclose(tseb.served_table(result)["served"], served)


@pytest.mark.slow
def test_packets_served_are_those_that_came_and_are_not_held_any_more():
    """Counted by the world's own moves, in expectation: what arrives is served or held at the end."""
    study = find("tseb/queue").with_agents(["lambda 0", "lambda 1"])
    result = study.run(steps=3_000, replicates=20)
    table = tseb.served_table(result)
    held = result["state"].isel(step=-1).mean("replicate")
    for agent in ("lambda 0", "lambda 1"):
        arrived = 0.5 * 3_000 - float(held.sel(agent=agent))
        half = table.loc[agent, "served"] - table.loc[agent, "served_lower"]
        assert abs(table.loc[agent, "served"] - arrived) < 4 * half
        assert table.loc[agent, "reward"] == pytest.approx(float(result["reward"].sel(agent=agent).sum("step").mean()))
    assert np.ptp(table["served"]) < 100 < np.ptp(table["reward"])


def test_windows_hide_single_steps(result):
    thin = xr.DataTree(result.to_dataset().assign_attrs(thin=20))
    with pytest.raises(ValueError, match="result holds sums over 20 steps; simulate with thin=1"):
        bm.suboptimal_steps(thin, 1.0)
    with pytest.raises(ValueError, match="epsilon must be a number of at least 0; got -1"):
        bm.suboptimal_steps(thin, -1)


@pytest.mark.slow
def test_main_writes_the_tables(tmp_path, monkeypatch):
    few = {
        "chain": find("tseb/chain").with_agents(["lambda 0", "lambda 1"]),
        "all-chain": find("tseb/all-chain").with_agents(["PSRL"]),
        "extended-chain": find("tseb/extended-chain").with_agents(["TSEB 0.5", "3 models"]),
    }
    monkeypatch.setattr(tseb, "STUDIES", {name: replace(study, steps=40, replicates=2) for name, study in few.items()})
    tseb.main(tmp_path, tmp_path)
    assert len(pd.read_csv(tmp_path / "tseb.csv")) == 2
    assert pd.read_csv(tmp_path / "tseb_bonus.csv")["episode"].tolist() == [1, 2]
    assert pd.read_csv(tmp_path / "tseb_agents.csv")["agent"].tolist() == ["PSRL"]
