"""Comparisons of many settings, against SciPy and against what is known of settings that do not differ."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesmdp.results.comparison import final_totals, option_effects, paired_differences, settings_table
from bayesmdp.results.files import save
from bayesmdp.results.robust import performance_profiles, robust_summary
from bayesmdp.results.sequential import sequential_decisions
from bayesmdp.results.setting_names import parse_setting
from bayesmdp.sweeps import run_sweep
from tests.statistical import assert_means
from tests.sweeps.stores import small_sweep
from tests.synthetic import synthetic_result


def grid(seed: int = 0, replicates: int = 12) -> pd.DataFrame:
    """PSRL and an agent with two options, in two problems; luck is shared within a replicate."""
    rng = np.random.default_rng(seed)
    rows = {("PSRL", discount, np.nan, np.nan): 100 / (1 - discount) for discount in (0.9, 0.99)}
    rows |= {
        ("AQ", discount, scale, rate): (90 + 5 * scale + rate) / (1 - discount)
        for discount in (0.9, 0.99)
        for scale in (1, 2, 4)
        for rate in (0.1, 0.2)
    }
    luck = rng.normal(size=replicates) * 50
    values = [mean + luck + rng.normal(size=replicates) for mean in rows.values()]
    index = pd.MultiIndex.from_tuples(rows, names=["agent", "discount", "scale", "rate"])
    table = pd.DataFrame(values, index=index, columns=pd.RangeIndex(replicates, name="replicate"))
    table.attrs["problem"] = ["discount"]
    return table


@pytest.mark.parametrize(
    "compare",
    [
        settings_table,
        option_effects,
        lambda given: paired_differences(given, "PSRL"),
        robust_summary,
        performance_profiles,
        sequential_decisions,
    ],
)
def test_a_result_in_the_place_of_totals_is_refused_with_what_makes_them(compare) -> None:
    with pytest.raises(TypeError, match=r"bm\.comparison\.final_totals\(result\) makes; got DataTree"):
        compare(synthetic_result())


def pick(table: pd.DataFrame, *place: object) -> pd.DataFrame:
    """The rows whose index begins so."""
    return table[[index[: len(place)] == place for index in table.index]]


def test_means_and_intervals_are_scipys() -> None:
    totals = grid()
    table = settings_table(totals, confidence=0.9)
    for i, row in enumerate(totals.to_numpy()):
        interval = stats.ttest_1samp(row, 0).confidence_interval(0.9)
        np.testing.assert_allclose(table.iloc[i][["lower", "upper"]].astype(float), interval, rtol=1e-12)
    one = settings_table(totals.iloc[:, :1])
    assert one["lower"].isna().all()
    assert (one["replicates"] == 1).all()


@pytest.mark.parametrize("test", ["t", "wilcoxon"])
def test_differences_are_paired_within_the_problem(test: str) -> None:
    totals = grid()
    table = paired_differences(totals, "PSRL", test=test, correction="none")
    assert len(table) == 12
    for index, row in table.iterrows():
        here, there = pick(totals, *index).iloc[0], pick(totals, "PSRL", index[1]).iloc[0]
        wanted = stats.ttest_rel(here, there) if test == "t" else stats.wilcoxon(here, there)
        np.testing.assert_allclose(row["p"], wanted.pvalue, rtol=1e-10)
        np.testing.assert_allclose(row["difference"], (here - there).mean(), rtol=1e-10)
        np.testing.assert_allclose(row["relative"], (here - there).mean() / there.mean(), rtol=1e-10)
        assert row["better"] == (here < there).mean()


def test_a_setting_of_the_same_agent_may_be_the_baseline() -> None:
    totals = grid().drop(index="PSRL", level="agent")
    table = paired_differences(totals, "AQ,scale=2")
    assert len(table) == 2 * 2 * 2
    wanted = pick(totals, "AQ", 0.99, 4, 0.1).iloc[0] - pick(totals, "AQ", 0.99, 2, 0.1).iloc[0]
    np.testing.assert_allclose(pick(table, "AQ", 0.99, 4, 0.1)["difference"], wanted.mean())
    assert len(paired_differences(totals, {"agent": "AQ", "scale": 2, "rate": 0.1})) == 2 * (6 - 1)
    lost = totals.drop(index=("AQ", 0.9, 2, 0.1))
    with pytest.warns(UserWarning, match="left out, .* 5 of 11 settings, first AQ,discount=0.9,scale=1,rate=0.1; give"):
        assert len(paired_differences(lost, {"agent": "AQ", "scale": 2, "rate": 0.1})) == 6 - 1
    assert len(paired_differences(totals, {"agent": "AQ", "scale": 2, "rate": 0.1, "discount": 0.9})) == 12 - 1


@pytest.mark.parametrize("correction", ["holm", "bh"])
def test_corrections_are_those_of_the_textbook(correction: str) -> None:
    rng = np.random.default_rng(5)
    totals = pd.DataFrame(
        rng.normal(size=(10, 8)) + 0.9 * (np.arange(10) > 6)[:, None],
        index=pd.Index([f"agent {i}" for i in range(10)], name="agent"),
    )
    table = paired_differences(totals, "agent 0", correction=correction)
    p = table["p"].to_numpy()
    if (
        correction == "holm"
    ):  # Closed testing: the worst Bonferroni p-value of all sets of hypotheses that hold this one.
        sets = [np.array(s) for size in range(1, len(p) + 1) for s in combinations(range(len(p)), size)]
        wanted = [max(min(1, len(s) * p[s].min()) for s in sets if i in s) for i in range(len(p))]
    else:  # The smallest rate of false discoveries at which the step-up procedure rejects.
        wanted = [min(len(p) * q / (p <= q).sum() for q in p if q >= own) for own in p]
    np.testing.assert_allclose(table["p_adjusted"], wanted, rtol=1e-12)
    assert (table["significant"] == (table["p_adjusted"] <= 0.05)).all()
    assert 0 < table["significant"].sum() < len(p)


@pytest.mark.slow
def test_where_nothing_differs_false_claims_are_as_rare_as_promised() -> None:
    rng = np.random.default_rng(11)
    index = pd.Index(["PSRL", *(f"other {i}" for i in range(20))], name="agent")
    any_claim, shares = [], []
    for _ in range(400):
        totals = pd.DataFrame(rng.normal(size=(21, 10)) + rng.normal(size=10), index=index)
        any_claim.append(paired_differences(totals, "PSRL")["significant"].any())
        shares.append(paired_differences(totals, "PSRL", correction="none")["significant"].mean())
    assert np.mean(any_claim) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert_means(np.array(shares), 0.05)


def test_effects_are_averages_within_a_problem() -> None:
    totals = grid()
    effects = option_effects(totals)
    assert effects.index.names == ["discount", "agent", "option", "value"]
    wanted = pick(totals, "AQ", 0.9, 2).mean(axis=0)
    row = pick(effects, 0.9, "AQ", "scale", 2).iloc[0]
    np.testing.assert_allclose(row["mean"], wanted.mean())
    np.testing.assert_allclose(row["lower"], stats.ttest_1samp(wanted, 0).confidence_interval(0.95).low)
    assert row["settings"] == 2
    over_all = option_effects(totals.drop(index="PSRL", level="agent"), by=[])
    assert set(over_all.index.get_level_values("option")) == {"discount", "scale", "rate"}
    with pytest.raises(ValueError, match="no option has two values apart from discount, rate"):
        option_effects(totals.xs(1, level="scale", drop_level=False), by=["discount", "rate"])


def test_runs_that_are_missing_are_left_out() -> None:
    totals = grid()
    totals.iloc[3, 5] = np.nan
    assert settings_table(totals)["replicates"].tolist() == [12, 12, 12, 11, *[12] * 10]
    table = paired_differences(totals, "PSRL")
    assert table.iloc[1]["replicates"] == 11
    assert np.isfinite(table["p"]).all()


def test_sweeps_and_results_are_read_alike(tmp_path: Path) -> None:
    store = run_sweep(small_sweep(), tmp_path / "small.zarr")
    totals = final_totals(store)
    assert totals.index.names == ["agent", "discount", "scale"]
    assert totals.shape == (2 + 4, 3)
    assert totals.attrs["problem"] == ["discount"]
    assert totals.notna().all(axis=None)
    assert list(dict.fromkeys(totals.index.get_level_values("agent"))) == ["PSRL", "AQ-BRMDP"]
    result = synthetic_result()
    save(result, tmp_path / "run.nc")
    read = final_totals(tmp_path / "run.nc")
    np.testing.assert_array_equal(read, result["regret"].sum("step").transpose("agent", "replicate"))
    assert set(paired_differences(read, read.index[0]).index) == set(read.index[1:])
    run_sweep(small_sweep(steps=200, grid={"environment.discount": [0.9], "AQ-BRMDP.scale": [0.5]}), store)
    # Longer runs begin with the shorter ones, so all can be compared as far as all have come.
    pd.testing.assert_frame_equal(final_totals(store), totals)
    assert final_totals(store, steps=200).notna().sum(axis=1).tolist() == [3, 0, 3, 0, 0, 0]
    for quantity in ("robust_regret", "steps_done"):
        with pytest.raises(ValueError, match=f"no agent of this sweep has '{quantity}' by step"):
            final_totals(store, quantity=quantity)


@pytest.mark.parametrize(
    ("baseline", "told"),
    [
        ("PSLR", "no baseline with agent = 'PSLR'; there is PSRL, AQ"),
        ("AQ,scale=3", "no baseline with scale = 3"),
        ("AQ,depth=3", "'depth' is not swept; there is agent, discount, scale, rate"),
        ("AQ", "PSRL has no scale"),
        ("AQ,scale", "is not AGENT,OPTION=VALUE"),
    ],
)
def test_baselines_that_are_not_there(baseline: str, told: str) -> None:
    with pytest.raises((KeyError, ValueError), match=told):
        paired_differences(grid(), baseline)


def test_lists_and_words_are_named_as_they_are_written() -> None:
    index = pd.MultiIndex.from_tuples([("A", "[1, 2]"), ("A", "[3, 4]"), ("A", "1")], names=["agent", "x"])
    totals = pd.DataFrame(np.random.default_rng(0).normal(size=(3, 4)), index=index)
    for baseline in ("A,x=[1, 2]", {"agent": "A", "x": [1, 2]}, "A,x=1"):
        assert len(paired_differences(totals, baseline)) == 2


def test_rounding_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    totals = pd.DataFrame(
        [np.full(32, 1494.0), 1494.0 + 1e-12 * rng.uniform(size=32)], index=pd.Index(["A", "B"], name="agent")
    )
    row = paired_differences(totals, "A").iloc[0]
    assert (row["p"], row["better"], row["difference"]) == (1.0, 0.0, 0.0)


def test_shares_are_of_the_baseline_in_the_same_replicates() -> None:
    totals = pd.DataFrame([[1.0, 1.0, 9.0, 9.0], [2.0, 2.0, np.nan, np.nan]], index=pd.Index(["A", "B"], name="agent"))
    assert paired_differences(totals, "A")["relative"].item() == 1.0


def test_other_mistakes() -> None:
    with pytest.raises(ValueError, match="nothing but the baseline"):
        paired_differences(pick(grid(), "PSRL"), "PSRL")
    with pytest.raises(ValueError, match="correction must be one of"):
        paired_differences(grid(), "PSRL", correction="bonferroni")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="test must be"):
        paired_differences(grid(), "PSRL", test="z")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="confidence"):
        settings_table(grid(), confidence=95)
    assert parse_setting("BRMDP-0.1, draws=fresh") == {"agent": "BRMDP-0.1", "draws": "fresh"}


def test_the_same_runs_do_not_differ() -> None:
    totals = pick(grid(), "PSRL")
    twice = pd.concat([totals, totals.rename(index={"PSRL": "again"})])
    table = paired_differences(twice, "PSRL")
    assert (table["difference"] == 0).all()
    assert (table["p"] == 1).all()
    # Always the same difference: as sure as the signs alone make it.
    shifted = paired_differences(pd.concat([totals, (totals + 1).rename(index={"PSRL": "again"})]).round(6), "PSRL")
    assert (shifted["p"] < 0.01).all()
