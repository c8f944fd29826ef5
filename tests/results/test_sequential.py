"""Comparisons that stop: against SciPy's permutation test, normal theory and simulated comparisons."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from bayesmdp.results.comparison import corrected
from bayesmdp.results.sequential import Looks, chance_of_a_claim, sequential_decisions, undecided_settings
from bayesmdp.results.sign_flips import boundaries, flip_statistics, reject
from tests.statistical import assert_standard_normal

AGENTS = pd.Index(list("ABCDEF"), name="agent")


def runs(seed: int, means: tuple[float, ...], replicates: int = 64) -> pd.DataFrame:
    """Normal totals of agents that share some of their luck."""
    rng = np.random.default_rng(seed)
    values = np.array(means)[:, None] + rng.normal(size=(len(means), replicates)) + rng.normal(size=replicates)
    return pd.DataFrame(values, index=AGENTS[: len(means)], columns=pd.RangeIndex(replicates, name="replicate"))


@pytest.mark.parametrize("seed", range(4))
def test_one_look_at_one_pair_is_scipys_permutation_test(seed: int) -> None:
    differences = np.random.default_rng(seed).exponential(size=10) - 0.4
    wanted = stats.permutation_test(
        (differences,), lambda x, axis: np.abs(x.sum(axis)), permutation_type="samples", alternative="greater"
    ).pvalue  # all 1,024 flips
    flips = flip_statistics(differences[None], [10], flips=40_000)
    share = (flips.flipped[0, :, 0] >= flips.seen[0, 0] * (1 - 1e-9)).mean()
    assert_standard_normal((share - wanted) / np.sqrt(wanted * (1 - wanted) / 40_000))


def test_boundaries_of_two_looks_are_those_of_normal_theory() -> None:
    # P(|Z1| > c1) = .025, and P(|Z1| > c1 or |Z2| > c2) = .05 at correlation sqrt(1/2).
    first = stats.norm.isf(0.0125)
    both = stats.multivariate_normal(cov=[[1, np.sqrt(0.5)], [np.sqrt(0.5), 1]])

    def spent(second: float) -> float:
        corner = np.array([first, second])
        return 1 - both.cdf(corner, lower_limit=-corner)

    second = brentq(lambda c: spent(c) - 0.05, 1.5, 3)
    flips = flip_statistics(np.random.default_rng(0).normal(size=(1, 800)), [400, 800], flips=80_000)
    found = boundaries(flips, np.array([True]), level=0.05, num_looks=2)
    np.testing.assert_allclose(found, [first, second], atol=0.04)


def test_independent_pairs_have_sidaks_boundary() -> None:
    differences = np.random.default_rng(0).normal(size=(3, 500))
    flips = flip_statistics(differences, [500], flips=40_000)
    found = boundaries(flips, np.ones(3, bool), level=0.05, num_looks=1)
    np.testing.assert_allclose(found, stats.norm.isf((1 - 0.95 ** (1 / 3)) / 2), atol=0.05)


def test_pairs_that_are_left_have_lower_boundaries() -> None:
    noise = np.random.default_rng(3).normal(size=(12, 40))
    noise = (noise - noise.mean(1, keepdims=True)) / noise.std(1, keepdims=True)
    statistic = np.array([4.0] * 10 + [2.6, 0.5])
    differences = noise + (statistic / np.sqrt(40 - statistic**2))[:, None]
    flips, every = flip_statistics(differences, [40], flips=4_000), np.ones(12, bool)
    np.testing.assert_allclose(flips.seen[0], statistic)
    first = boundaries(flips, every, level=0.05, num_looks=1)
    assert 2.6 < first[0] < 3.2
    rejected, last = reject(flips, every, every, level=0.05, num_looks=1)
    assert rejected.tolist() == [True] * 11 + [False]  # the eleventh at the second step
    np.testing.assert_allclose(last, 1.96, atol=0.1)
    nothing, same = reject(flips, every, np.zeros(12, bool), level=0.05, num_looks=1)
    assert not nothing.any()
    np.testing.assert_array_equal(same, first)


def false_claims(sims: int, means: tuple[float, ...], looks: Looks, seed: int) -> NDArray[np.bool_]:
    """Whether a simulated comparison claims anything that is not so."""
    mean = dict(zip(AGENTS, means, strict=False))
    wrong = np.zeros(sims, bool)
    for i in range(sims):
        table = sequential_decisions(runs(seed + i, means, looks.replicates), looks)
        for (one, other), decision in table["decision"].items():
            sign = {"lower": -1, "higher": 1}.get(decision, 0)
            wrong[i] |= bool(sign) and sign != np.sign(mean[one] - mean[other])
    return wrong


def test_false_claims_are_rare() -> None:
    wrong = false_claims(120, (0.0, 0.0, 0.0, 1.2), Looks(replicates=32, flips=400), seed=0)
    assert wrong.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)


@pytest.mark.slow
@pytest.mark.parametrize("means", [(0.0,) * 6, (0.0, 0.0, 1.0, 2.0, 3.0, 3.0)])
def test_of_500_comparisons_of_six_agents_no_more_than_promised_make_a_false_claim(means: tuple[float, ...]) -> None:
    wrong = false_claims(500, means, Looks(flips=1_000), seed=1_000)
    assert wrong.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_what_is_not_run_is_not_needed() -> None:
    """Asked look by look, and by all runs at once, the rule says the same; and it asks for less than half."""
    means = (0.0, 0.0, 1.5, 3.0, 5.0, 8.0)
    whole, looks = runs(5, means), Looks(flips=2_000)
    wanted = sequential_decisions(whole, looks)
    shown, decided = whole * np.nan, pd.DataFrame()
    needed = list(AGENTS)
    for count in looks.numbers:
        shown.loc[needed, range(count - 8, count)] = whole.loc[needed, range(count - 8, count)]
        decided = sequential_decisions(shown, looks)
        needed = undecided_settings(decided)
        assert set(needed) == {name for pair in decided.index[decided["decision"] == "undecided"] for name in pair}
        if not needed:
            break
    pd.testing.assert_frame_equal(decided, wanted)
    assert shown.notna().to_numpy().sum() <= whole.size / 2
    # All pairs that 64 replicates tell apart, with Holm's correction, are told apart, and no other.
    p = [stats.ttest_rel(whole.loc[one], whole.loc[other]).pvalue for one, other in combinations(AGENTS, 2)]
    sure = corrected(np.array(p), "holm") <= 0.05
    assert (wanted["decision"] != "not told apart").tolist() == sure.tolist()
    signs = [np.sign(a - b) for a, b in combinations(means, 2)]
    np.testing.assert_array_equal(wanted["decision"].map({"lower": -1, "higher": 1}).fillna(0), signs)


def test_intervals_are_what_the_boundary_does_not_refuse() -> None:
    table = runs(8, (0.0, 0.1, 0.2), 24)
    looks = Looks(replicates=24, flips=2_000, futility=0)
    told = sequential_decisions(table, looks)
    assert (told["decision"] == "not told apart").all()
    pairs = list(combinations(range(3), 2))
    values = table.to_numpy()
    differences = np.array([values[i] - values[j] for i, j in pairs])
    np.testing.assert_allclose(told["difference"], differences.mean(1))
    flips = flip_statistics(differences, looks.numbers, flips=2_000)
    boundary = boundaries(flips, np.ones(3, bool), level=0.05, num_looks=3)[-1]
    for end in ("lower", "upper"):
        shifted = differences - told[end].to_numpy()[:, None]
        np.testing.assert_allclose(flip_statistics(shifted, [24], flips=2).seen[0], boundary, rtol=1e-9)


def test_pairs_are_given_up_when_they_will_hardly_be_told_apart() -> None:
    """The predictive probability, by simulating what is to come under a flat prior on the drift."""
    rng = np.random.default_rng(0)
    share, statistic, boundary = 0.25, 1.6, 2.7
    drift = rng.normal(statistic / np.sqrt(share), 1 / np.sqrt(share), 200_000)
    end = np.sqrt(share) * statistic + rng.normal((1 - share) * drift, np.sqrt(1 - share))
    wanted = float(chance_of_a_claim(statistic, boundary, share))
    assert_standard_normal(((end > boundary).mean() - wanted) / np.sqrt(wanted * (1 - wanted) / 200_000))
    equal = runs(1, (0.0, 0.0))
    kept, given_up = (sequential_decisions(equal, Looks(flips=2_000, futility=f)) for f in (0.0, 0.1))
    assert kept["replicates"].item() == 64 > given_up["replicates"].item()
    assert kept["decision"].item() == given_up["decision"].item() == "not told apart"
    # At the look at which it was given up, and at none before, the chance was below a tenth.
    differences = (equal.iloc[0] - equal.iloc[1]).to_numpy()[None]
    looks = Looks(flips=2_000)
    for k, n in enumerate(looks.numbers[: looks.numbers.index(given_up["replicates"].item()) + 1]):
        flips = flip_statistics(differences, looks.numbers[: k + 1], flips=2_000)
        end = boundaries(flips, np.array([True]), level=0.05, num_looks=8)[-1]
        chance = float(chance_of_a_claim(flips.seen[-1, 0], end, n / 64))
        assert (chance < 0.1) == (n == given_up["replicates"].item())


def test_settings_are_compared_within_a_problem_or_with_a_baseline() -> None:
    index = pd.MultiIndex.from_product([["AQ", "PSRL"], [0.9, 0.99]], names=["agent", "discount"])
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(4, 8)), index=index)
    table.attrs["problem"] = ["discount"]
    looks = Looks(replicates=8, flips=400)
    told = sequential_decisions(table, looks)
    assert told.index.tolist() == [("AQ,discount=0.9", "PSRL,discount=0.9"), ("AQ,discount=0.99", "PSRL,discount=0.99")]
    swapped = sequential_decisions(table, looks, baseline="AQ")
    np.testing.assert_allclose(swapped["difference"], -told["difference"])
    table.attrs.clear()
    assert len(sequential_decisions(table, looks)) == 6
    same = table.iloc[[0, 0]].set_axis(pd.Index(["A", "B"], name="agent"))
    nothing = sequential_decisions(same, looks).iloc[0]
    assert (nothing["decision"], nothing["lower"], nothing["upper"]) == ("equal", 0, 0)


def test_equal_runs_are_not_gone_on_with_and_change_nothing_for_others() -> None:
    two = runs(5, (0.0, 0.8))
    three = pd.concat([two, two.iloc[[0]].set_axis(pd.Index(["C"], name="agent"))])
    told = sequential_decisions(three, Looks(flips=2_000))
    assert told.loc[("A", "C"), ["decision", "replicates"]].tolist() == ["equal", 8]
    # B's pairs with A and with C are one and the same, so that they are judged as if there were one.
    alone = sequential_decisions(two, Looks(flips=2_000)).loc[("A", "B")]
    assert told.loc[("A", "B")].equals(alone) and alone["decision"] == "lower"
    # One run that differs is enough to go on, and where nothing is given up equal ones go on to the end.
    three.iloc[2, 3] += 1e-3
    assert sequential_decisions(three, Looks(flips=2_000)).loc[("A", "C"), "decision"] != "equal"
    never = sequential_decisions(two.iloc[[0, 0]].set_axis(AGENTS[:2]), Looks(flips=2_000, futility=0)).iloc[0]
    assert (never["decision"], never["replicates"]) == ("equal", 64)


def test_mistakes_are_told() -> None:
    with pytest.raises(ValueError, match="every must divide replicates; 8 does not divide 60: take 56 replicates"):
        Looks(replicates=60)
    with pytest.raises(ValueError, match=r"flips = 100 are too few to spend level 0.05 in parts; take 160"):
        Looks(flips=100)
    with pytest.raises(ValueError, match="every must be an integer of at least 5; got 2"):
        Looks(every=2)
    with pytest.raises(ValueError, match="level must"):
        Looks(level=1.5)
    with pytest.raises(ValueError, match="no two settings"):
        sequential_decisions(runs(0, (0.0,)))
    many = pd.DataFrame(np.zeros((40, 8)), index=pd.Index(range(40), name="agent"))
    with pytest.raises(ValueError, match="780 pairs of settings, more than 500: give a baseline"):
        sequential_decisions(many)
    with pytest.raises(KeyError, match="no baseline with agent = 'Z'"):
        sequential_decisions(runs(0, (0.0, 1.0)), baseline="Z")
