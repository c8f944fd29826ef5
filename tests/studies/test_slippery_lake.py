"""The study of the continuous lake: what it declares, its table by hand, and the stored tables."""

import jax
import numpy as np
import pytest
from scipy import stats

from bayesmdp.studies import find
from bayesmdp.studies.slippery_lake import STUDIES, lake_table
from bayesmdp.studies.tables import stored_table


def test_told_is_told_the_truth_and_nobody_else_is() -> None:
    study = find("slippery-lake/linear")
    lake = study.make_mdp()
    agents = study.make_agents(lake, study.make_prior(lake))
    for name, agent in agents.items():
        found = agent.make_belief(lake).parameters
        assert found is not None
        mean = {site: dict_mean(values) for site, values in agent.make_belief(lake).init(jax.random.key(0)).items()}
        near = np.allclose(mean["direction"], lake.truth["direction"], atol=1e-3)
        assert near == (name == "told")


def dict_mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values) / np.asarray(values).sum()


@pytest.mark.slow
def test_the_table_is_of_the_runs() -> None:
    study = find("slippery-lake/linear").with_agents(["PSRL", "told"])
    result = study.run(steps=40, replicates=3, thin=1)
    table = lake_table(result)
    regret = result["regret"].values.sum(-1)
    saved = regret[0] - regret[1]
    lower, upper = stats.t.interval(0.95, 2, saved.mean(), stats.sem(saved))
    np.testing.assert_allclose(table.loc["told", ["saved", "saved_lower", "saved_upper"]], [saved.mean(), lower, upper])
    np.testing.assert_allclose(table["regret"], regret.mean(1))
    np.testing.assert_allclose(table["reward"], result["reward"].values.sum(-1).mean(1))


def test_tables_are_of_the_study() -> None:
    table = stored_table("slippery_lake")
    assert set(table["cell"]) == set(STUDIES)
    for cell, study in STUDIES.items():
        assert set(table[table["cell"] == cell]["agent"]) == set(study.agents)
    curves = stored_table("slippery_lake_curves")
    assert (curves.groupby("cell")["step"].max() == 2_000).all()
    last = curves[curves["step"] == 2_000].set_index("cell")
    totals = table.pivot(index="cell", columns="agent", values="regret")
    np.testing.assert_allclose(last[totals.columns], totals.loc[last.index], atol=0.02)
