"""Robust summaries, against SciPy's bootstrap, counting, and simulated ranks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from bayesmdp.results.profile_plots import plot_profiles
from bayesmdp.results.robust import performance_profiles, robust_summary
from bayesmdp.results.sequential import Looks, sequential_decisions


def runs(means: tuple[float, ...], replicates: int = 24, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = np.array(means)[:, None] + rng.normal(size=(len(means), replicates)) + rng.normal(size=replicates)
    return pd.DataFrame(values, index=pd.Index([f"agent {i}" for i in range(len(means))], name="agent"))


def two_problems(seed: int = 0) -> pd.DataFrame:
    """Two agents, one with an option, in two problems of very different size; rows out of order."""
    rows = [("AQ", 0.99, 1.0), ("PSRL", 0.9, np.nan), ("AQ", 0.9, 2.0), ("PSRL", 0.99, np.nan)]
    rows += [("AQ", 0.9, 1.0), ("AQ", 0.99, 2.0)]
    rng = np.random.default_rng(seed)
    size = [(1 if discount == 0.9 else 100) * (1 if agent == "PSRL" else scale) for agent, discount, scale in rows]
    index = pd.MultiIndex.from_tuples(rows, names=["agent", "discount", "scale"])
    table = pd.DataFrame(np.array(size)[:, None] * rng.lognormal(sigma=0.3, size=(6, 20)), index=index)
    table.attrs["problem"] = ["discount"]
    return table


def test_interquartile_means_and_intervals_are_scipys() -> None:
    totals = runs((0.0, 3.0), replicates=30)
    table = robust_summary(totals, confidence=0.9, resamples=8_000)
    for (_, row), sample in zip(table.iterrows(), totals.to_numpy(), strict=True):
        middle = np.sort(sample)[7:23]  # 30 / 4 is 7.5
        np.testing.assert_allclose(row["iqm"], middle.mean())
        wanted = stats.bootstrap(
            (sample,), lambda x, axis: stats.trim_mean(x, 0.25, axis), confidence_level=0.9, method="percentile",
            n_resamples=8_000, rng=np.random.default_rng(1),
        ).confidence_interval  # fmt: skip
        np.testing.assert_allclose(row[["lower", "upper"]].astype(float), wanted, atol=0.03)


def test_intervals_hold_what_they_are_of() -> None:
    inside = [
        bool((row := robust_summary(runs((0.0,), 40, seed), resamples=300).iloc[0])["lower"] < 0 < row["upper"])
        for seed in range(150)
    ]
    assert abs(np.mean(inside) - 0.95) < 0.06  # the percentile bootstrap of 40 runs holds a little less


def test_profiles_count_runs() -> None:
    totals = runs((0.0, 1.0), replicates=25)
    table = performance_profiles(totals, [-1.0, 0.5, 2.0], resamples=4_000)
    for agent, own in totals.iterrows():
        wanted = [(own <= at).mean() for at in (-1.0, 0.5, 2.0)]
        told = table.loc[agent]
        np.testing.assert_allclose(told["share"], wanted)
        for share, (_, row) in zip(wanted, told.iterrows(), strict=True):
            # Of shares the bootstrap is a binomial.
            np.testing.assert_allclose(row["lower"], stats.binom.ppf(0.025, 25, share) / 25, atol=0.041)
            np.testing.assert_allclose(row["upper"], stats.binom.ppf(0.975, 25, share) / 25, atol=0.041)
    whole = performance_profiles(totals)
    assert (whole.groupby(level="agent")["share"].max() == 1).all()
    assert len(whole) == 2 * totals.size


def test_ranks_are_those_that_no_sure_difference_forbids() -> None:
    totals = runs((0.0, 0.1, 4.0, 4.2, 9.0))
    table = robust_summary(totals)
    assert table[["rank_lower", "rank_upper"]].values.tolist() == [[1, 2], [1, 2], [3, 4], [3, 4], [5, 5]]
    told = sequential_decisions(totals, Looks(replicates=24, every=24))["decision"]
    for i, agent in enumerate(totals.index):
        surely = [
            ("lower" if told[(one, other)] == "lower" else "higher") if agent == one else
            ("higher" if told[(one, other)] == "lower" else "lower")
            for one, other in combinations(totals.index, 2)
            if agent in (one, other) and told[(one, other)] in ("lower", "higher")
        ]  # fmt: skip
        assert table["rank_lower"].iloc[i] == 1 + surely.count("higher")
        assert table["rank_upper"].iloc[i] == 5 - surely.count("lower")
    np.testing.assert_array_equal(table["rank"], stats.rankdata(totals.mean(axis=1)))
    turned = robust_summary(totals, best="highest")
    np.testing.assert_array_equal(turned["rank_lower"], 6 - table["rank_upper"])
    np.testing.assert_array_equal(turned["iqm"], table["iqm"])


def test_true_ranks_lie_in_their_intervals_together() -> None:
    means = (0.0, 0.2, 0.4, 1.0)
    held = []
    for seed in range(60):
        table = robust_summary(runs(means, 16, seed), resamples=1)
        true = np.arange(1, 5)
        held.append(((table["rank_lower"] <= true) & (table["rank_upper"] >= true)).all())
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)


def test_problems_are_apart_or_pooled_relative_to_a_baseline() -> None:
    totals = two_problems()
    apart = robust_summary(totals)
    assert apart.index.equals(totals.index)
    for row, sample in zip(apart["iqm"], totals.to_numpy(), strict=True):
        np.testing.assert_allclose(row, stats.trim_mean(sample, 0.25))
    assert sorted(apart["rank"]) == [1, 1, 2, 2, 3, 3]
    pooled = robust_summary(totals, relative_to="PSRL")
    assert pooled.index.tolist()[0] == ("AQ", 1.0)
    size = {
        discount: totals.xs(("PSRL", discount), level=("agent", "discount")).mean(axis=1).item()
        for discount in (0.9, 0.99)
    }
    for scale in (1.0, 2.0):
        both = [totals.loc[("AQ", discount, scale)] / size[discount] for discount in (0.9, 0.99)]
        np.testing.assert_allclose(pooled.loc[("AQ", scale), "iqm"], stats.trim_mean(np.concatenate(both), 0.25))
    wide = robust_summary(totals, relative_to="PSRL", problems="resampled")
    assert (wide["upper"] - wide["lower"]).mean() > (pooled["upper"] - pooled["lower"]).mean()
    profile = performance_profiles(totals, [1.0], relative_to="PSRL")
    assert profile["share"].tolist() != performance_profiles(totals, [1.0])["share"].tolist()


def test_the_picture_holds_the_numbers() -> None:
    profiles = performance_profiles(two_problems(), resamples=50)
    ax = plot_profiles(profiles, figure=Figure())
    lines = ax.get_lines()
    assert [line.get_label() for line in lines][:2] == ["AQ,discount=0.99,scale=1", "PSRL,discount=0.99"]
    np.testing.assert_array_equal(np.concatenate([line.get_ydata() for line in lines]), profiles["share"])
    assert ax.get_xscale() == "log"
    assert plot_profiles(performance_profiles(runs((0.0, 1.0)), resamples=5), figure=Figure()).get_xscale() == "linear"


def test_mistakes_are_told() -> None:
    totals = two_problems()
    with pytest.raises(ValueError, match="problems must be 'fixed' or 'resampled'; got 'all'"):
        robust_summary(totals, problems="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="best must be 'lowest' or 'highest'; got 'most'"):
        robust_summary(totals, best="most")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"thresholds\[1\] is not a finite number"):
        performance_profiles(totals, [0.0, np.nan])
    with pytest.raises(ValueError, match="no replicate was finished by all settings"):
        robust_summary(totals * np.nan)
    with pytest.raises(ValueError, match="the baseline's mean is -"):
        robust_summary(-totals, relative_to="PSRL")
    places = [("A", 1.0), ("A", 2.0), ("B", 2.0), ("B", 3.0)]
    apart = pd.DataFrame(np.ones((4, 2)), index=pd.MultiIndex.from_tuples(places, names=["agent", "scale"]))
    with pytest.raises(ValueError, match=r"^B,scale=3 has no baseline with the same options"):
        robust_summary(apart, relative_to="A")
    with pytest.raises(ValueError, match="not every setting is there in every problem"):
        cut = totals.iloc[:-1]
        cut.attrs = dict(totals.attrs)
        robust_summary(cut, relative_to="PSRL")
    with pytest.raises(KeyError, match="no baseline with agent = 'Z'"):
        robust_summary(totals, relative_to="Z")
