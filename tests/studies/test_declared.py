"""The declared studies at small size: their settings, and their statements computed once more by hand."""

from dataclasses import replace

import numpy as np
import pytest

from bayesmdp.studies import STUDIES, Study, draw_reuse, find, levels, risky_lake
from bayesmdp.studies.statements import regret_table
from bayesmdp.studies.task_study import TaskStudy

OTHERS = {
    "mtsrl/recommendation",  # of 4,521 states: its oracle takes twenty seconds
    "mtsrl/recommendation-osband",
    "mtsrl/recommendation-tabular",
    "mtsrl/gaussian-anisotropic",
    "mtsrl/gaussian-bayes",
    "mtsrl/gaussian-tails",
    "mtsrl-shape/map-1-20",
    "mtsrl-shape/horizon-2",
    "mtsrl-shape/horizon-6",
    "mtsrl-shape/near-horizon-2",
    "mtsrl-shape/near-horizon-4",
    "mtsrl-shape/near-horizon-6",
}
"""Made as a study beside them is, of another size or law, for which all is compiled anew."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in OTHERS else name for name in STUDIES]
)
def test_every_study_can_be_made(name):
    """Those of tasks with what 50 of them say of their distribution, in the place of 1,000."""
    study = find(name)
    if isinstance(study, TaskStudy):
        study = replace(study, drawn=50)
    mdp = study.make_mdp()
    assert list(study.make_agents(mdp, study.make_prior(mdp))) == list(study.agents)


def test_the_grid_is_what_the_module_says():
    assert len(risky_lake.CELLS) == 21
    for name, study in risky_lake.CELLS.items():
        lake = study.make_mdp()
        slip, failure, prior, discount, *_ = name.split("-")
        right = lake.action_index("right")
        shortcut = 4 if name.endswith("cell-4") else 6
        assert lake.transition[shortcut, right, shortcut + 1] == float(failure) and lake.discount == float(discount)
        assert (study.steps, study.replicates) == (20_000 if name.endswith("long") else 5_000, 64)
        assert round(1 - lake.transition[0, right, 1], 2) == round(2 * float(slip), 2) or slip == "0.33"
        assert study.prior_options["concentration"] == (1 / 16 if prior == "sparse" else 1)
        assert len(study.agents) == 5


@pytest.mark.slow
def test_checkpoints_and_robustness_follow_the_steps():
    study = replace(find("risky-lake/0.1-0.7-sparse-0.99"), checkpoint_every=20).with_agents(["PSRL"])
    result = study.run(steps=50, replicates=2)
    assert result["checkpoint"].values.tolist() == [20, 40]
    assert {"robust_regret", "quantile_value"} <= set(result.data_vars)
    assert "beliefs" not in result.children
    plain = study.run(steps=50, replicates=2, robust=None, checkpoints=[])
    assert "robust_regret" not in plain
    np.testing.assert_array_equal(plain["regret"], result["regret"])


@pytest.fixture(scope="module")
def lake_result():
    """Results of the right form, made of random numbers."""
    import xarray as xr

    rng = np.random.default_rng(0)
    agents = list(find("risky-lake/0.1-0.7-sparse-0.99").agents)
    shift = np.arange(5)[:, None, None]
    return xr.DataTree(
        xr.Dataset(
            {
                "regret": (("agent", "replicate", "step"), rng.normal(shift, 1, (5, 9, 40))),
                "robust_regret": (("agent", "replicate", "step"), rng.normal(-shift, 1, (5, 9, 40))),
                "quantile_value": (("agent", "replicate", "checkpoint"), rng.normal(shift, 0.1, (5, 9, 3))),
            },
            {"agent": agents},
        )
    )


def test_claims_by_hand(lake_result):
    table = risky_lake.claims(lake_result).set_index("statement")
    regret = {a: lake_result["regret"].sel(agent=a).values.sum(-1) for a in lake_result["agent"].values}
    row = table.loc["BRMDP-0.5's final regret exceeds BRMDP-0.3's by"]
    difference = regret["BRMDP-0.5"] - regret["BRMDP-0.3"]
    assert row["figure"] == pytest.approx(difference.mean())
    assert row["upper"] - row["figure"] == pytest.approx(2.306004 * difference.std(ddof=1) / 3, rel=1e-6)
    # PSRL comes first and AQ last in regret, the other way round in robust regret; AQ promises most.
    assert table.loc["PSRL's final regret exceeds AQ's by", "holds"] == "no"
    assert table.loc["PSRL's final robust regret exceeds AQ's by", "holds"] == "yes"
    promised = [statement for statement in table.index if "quantile value" in statement]
    assert len(promised) == 4 and (table.loc[promised, "holds"] == "yes").all()
    assert len(table) == 11


def test_sensitivity_by_hand(lake_result):
    table = risky_lake.sensitivity(lake_result)
    regret = lake_result["regret"].sum("step")
    for agent in ("BRMDP-0.1", "AQ-BRMDP"):
        mean, psrl = (float(regret.sel(agent=a).mean()) for a in (agent, "PSRL"))
        assert table.loc[agent, "regret"] == pytest.approx(mean)
        assert table.loc[agent, "reduction"] == pytest.approx(1 - mean / psrl)
        assert table.loc[agent, "reduction_lower"] < table.loc[agent, "reduction"] < table.loc[agent, "reduction_upper"]


def test_main_writes_the_tables(tmp_path, monkeypatch, lake_result):
    import pandas as pd

    def finished(paper, studies, folder):
        assert paper == "risky-lake"
        return ((cell, lake_result) for cell in studies)

    monkeypatch.setattr(risky_lake, "finished_cells", finished)
    risky_lake.main(tmp_path, tmp_path)
    assert len(pd.read_csv(tmp_path / "risky_lake.csv")) == 21 * 11
    table = pd.read_csv(tmp_path / "risky_lake_regret.csv", index_col=["cell", "agent"])
    assert len(table) == 21 * 5
    mean = lake_result["quantile_value"].sel(agent="BRMDP-0.3").values.mean()
    assert table.loc[("0.1-0.7-sparse-0.99", "BRMDP-0.3"), "quantile_value"] == pytest.approx(mean, abs=1e-4)
    assert pd.read_csv(tmp_path / "risky_lake_kappa.csv")["agent"].tolist() == lake_result["agent"].values.tolist()


def test_the_best_agents_are_chosen_on_one_half_and_judged_on_the_other():
    import xarray as xr

    names = list(find("levels/river").agents)
    regret = np.random.default_rng(0).normal(10.0, 0.1, (len(names), 8, 1))
    regret[names.index("level 0.7"), ::2] -= 5  # lucky on the replicates that choose
    regret[names.index("level 0.7"), 1::2] += 2
    regret[names.index("AQ C=0.5")] -= 3
    result = xr.DataTree(xr.Dataset({"regret": (("agent", "replicate", "step"), regret)}, {"agent": names}))
    table = levels.claims(result).set_index("statement")
    assert (table["chosen"] == "level 0.7, AQ C=0.5").all()
    adaptive = table.loc["the adaptive agent's regret is below the constant level's by"]
    assert adaptive["holds"] == "yes" and adaptive["figure"] == pytest.approx(5, abs=0.3)
    assert table.loc["the constant level is below PSRL by", "holds"] == "no"
    assert regret_table(result).loc["AQ C=0.5", "regret"] == pytest.approx(7, abs=0.2)


@pytest.mark.slow
def test_rules_of_drawing_are_compared_within_replicates(tmp_path):
    import pandas as pd

    study: Study = replace(find("draw-reuse/0.99"), steps=200, replicates=3)
    assert len(study.agents) == 16
    few = study.with_agents(["BRMDP-0.5 fresh", "BRMDP-0.5 share 0.1", "BRMDP-0.5 kept"])
    draw_reuse.main(tmp_path, tmp_path, cells={"cell": few})
    table = pd.read_csv(tmp_path / "draw_reuse.csv", index_col="agent")
    result = few.run()
    total = {a: result["regret"].sel(agent=a).values.sum(-1) for a in few.agents}
    excess = (total["BRMDP-0.5 kept"] - total["BRMDP-0.5 fresh"]).mean()
    assert table.loc["BRMDP-0.5 kept", "excess"] == pytest.approx(excess, abs=1e-3)
    assert (table["seconds"] > 0).all()
