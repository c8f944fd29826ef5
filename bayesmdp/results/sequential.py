"""Comparing settings with no more replicates than it takes: a group-sequential test of all pairs.

After each of K looks it is decided which pairs of settings differ, by the test of :mod:`bayesmdp.results.sign_flips`,
at one level for all looks and pairs together; that module says what of this is proved, and in 2.2 to 4.2% of 500
simulated comparisons each, at a level of .05, a claim was false. A setting all of whose pairs are decided needs no more
replicates. A pair that will hardly be told apart is given up: where Z is its statistic, c the boundary at this look and
t = n / N the share of the replicates that there may be,

    Phi((Z - c sqrt(t)) / sqrt(1 - t)) < futility,

the predictive probability under a flat prior that it crosses c at the end (Spiegelhalter, Freedman and Blackburn 1986).
Giving up makes no false claims. Such a pair keeps its part in the boundaries of the others, with its differences
repeated in the place of those that are not run: to leave out what looks alike would raise the error. Two settings that
have the same total in every replicate so far are given up at once, as *equal*: so do runs that are the same, as of one
agent with two values of an option that it does not use. That is no test: who differ in one run of ten have eight equal
ones with probability .43.

AdaStop (Mathieu et al. 2023, the package ``adastop``) has the same looks and spending. We do not use it: it compares
unpaired runs, and version 0.1.3 sets the absolute statistic against the distribution of the signed one, so that at a
level of .05 and 5 looks of 5 runs we saw false claims in 10% of 1,000 comparisons of two equal Normal samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from bayesmdp.foundation.validation import integer, number
from bayesmdp.results.comparison import ROUNDING
from bayesmdp.results.setting_names import baseline_rows, check_totals, parse_setting, setting_text
from bayesmdp.results.sign_flips import flip_statistics, reject

__all__ = ["Looks", "chance_of_a_claim", "sequential_decisions", "undecided_settings"]

MOST_PAIRS = 500
OPEN, GIVEN_UP, EQUAL = "undecided", "not told apart", "equal"


@dataclass(frozen=True)
class Looks:
    """When it is looked at the runs, and what is risked; declared before the first.

    Attributes
    ----------
    replicates : int
        At most so many of each setting.
    every : int
        Replicates from one look to the next; divides `replicates`. With 8 no sign flip is rare enough at the first
        look for many pairs; fewer are refused.
    level : float in (0, 1)
        The probability of any false claim.
    futility : float in [0, 1)
        Pairs are given up when they will be told apart by the last look with less than this probability; 0 for never.
    flips : int
        Random flips of signs.

    Raises
    ------
    ValueError, TypeError
        Naming what is wrong.

    Examples
    --------
    >>> Looks(replicates=32).numbers
    (8, 16, 24, 32)
    """

    replicates: int = 64
    every: int = 8
    level: float = 0.05
    futility: float = 0.1
    flips: int = 10_000

    def __post_init__(self) -> None:
        """Check all."""
        integer("every", self.every, 5)
        integer("replicates", self.replicates, self.every)
        if self.replicates % self.every:
            raise ValueError(
                f"every must divide replicates; {self.every} does not divide {self.replicates}: take "
                f"{self.replicates // self.every * self.every} replicates"
            )
        number("level", self.level, above=0, below=1)
        number("futility", self.futility, minimum=0, below=1)
        least = int(np.ceil(self.replicates / self.every / self.level))
        if integer("flips", self.flips, 2) < least:
            raise ValueError(f"flips = {self.flips} are too few to spend level {self.level} in parts; take {least}")

    @property
    def numbers(self) -> tuple[int, ...]:
        """Replicates at each look."""
        return tuple(range(self.every, self.replicates + 1, self.every))


def sequential_decisions(
    totals: pd.DataFrame, looks: Looks | None = None, *, baseline: str | Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return which pairs of settings differ, by the replicates that are there.

    A pure function of them: with more replicates, what was decided at an earlier look is decided alike.

    Parameters
    ----------
    totals : DataFrame [setting, replicate]
        From :func:`~bayesmdp.results.comparison.final_totals`; NaN where a setting has no such replicate.
    looks : Looks, optional
    baseline : str or mapping, optional
        Compare with this setting alone, as :func:`~bayesmdp.results.comparison.paired_differences` does; by default all
        pairs in the same problem.

    Returns
    -------
    DataFrame
        A row a pair, indexed by ``setting`` and ``against``: ``difference``, the mean of the first less the second;
        ``lower`` and ``upper``, repeated confidence intervals (Jennison and Turnbull 1989) by the boundary before the
        look takes any pair out: they hold for all pairs at once, so that one may reach 0 where stepping down tells a
        difference; ``decision``: ``lower``, ``higher``, ``equal`` (in every replicate so far), ``not told apart`` or
        ``undecided``; ``replicates``, when it was made.

    Raises
    ------
    ValueError, KeyError
        If there is nothing to compare, the pairs are too many, or the baseline is not there.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> runs = rng.normal(size=(2, 64)) + np.array([[0.0], [2.0]])
    >>> runs = pd.DataFrame(runs, index=pd.Index(["PSRL", "greedy"], name="agent"))
    >>> sequential_decisions(runs)[["decision", "replicates"]]
                    decision  replicates
    setting against
    PSRL    greedy     lower          16
    """
    looks = Looks() if looks is None else looks
    check_totals(totals)
    pairs = _pairs(totals, baseline)
    runs = totals.to_numpy(float)
    whole = np.isfinite(runs).cumprod(axis=1).sum(axis=1)  # without a gap, from the first
    names = [setting_text(index, totals.index.names) for index in totals.index]
    told = _Told.empty(len(pairs))
    for k, n in enumerate(looks.numbers):
        waiting = told.decision == OPEN
        if not waiting.any() or whole[pairs[waiting].ravel()].min() < n:
            break
        _look(told, _differences(runs[:, :n], pairs, np.where(waiting, n, told.replicates)), looks, k)
    index = pd.MultiIndex.from_tuples([(names[i], names[j]) for i, j in pairs], names=["setting", "against"])
    return pd.DataFrame(told._asdict(), index=index)


def undecided_settings(decisions: pd.DataFrame) -> list[str]:
    """Return the settings that need more replicates: those of pairs that are undecided.

    Parameters
    ----------
    decisions : DataFrame
        From `sequential_decisions`.

    Returns
    -------
    list of str

    Examples
    --------
    >>> pair = pd.MultiIndex.from_tuples([("A", "B"), ("A", "C")], names=["setting", "against"])
    >>> undecided_settings(pd.DataFrame({"decision": ["lower", "undecided"]}, index=pair))
    ['A', 'C']
    """
    left = decisions.index[decisions["decision"] == OPEN]
    return list(dict.fromkeys(name for pair in left for name in pair))


def chance_of_a_claim(
    statistic: NDArray[np.float64] | float, boundary: float, share: float
) -> NDArray[np.float64] | float:
    """Return the predictive probability that a pair crosses the boundary at the end, by what is known of it now.

    Parameters
    ----------
    statistic : array or float
        Its statistic now.
    boundary : float
        At the end.
    share : float in (0, 1)
        Of the replicates that there may be.

    Returns
    -------
    array or float

    Examples
    --------
    >>> round(float(chance_of_a_claim(2.0, 2.0, 0.25)), 3)  # half way: twice the statistic is expected
    0.876
    """
    return np.asarray(ndtr((statistic - boundary * np.sqrt(share)) / np.sqrt(1 - share)))


class _Told(NamedTuple):
    """The columns of the table, filled look by look."""

    difference: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    decision: NDArray[np.object_]
    replicates: NDArray[np.int64]

    @classmethod
    def empty(cls, pairs: int) -> _Told:
        difference, lower, upper = np.full((3, pairs), np.nan)
        return cls(difference, lower, upper, np.full(pairs, OPEN, object), np.zeros(pairs, int))


def _look(told: _Told, differences: NDArray[np.float64], looks: Looks, k: int) -> None:
    """Decide what can be at look k, given the differences so far."""
    n, numbers = looks.numbers[k], looks.numbers
    waiting = told.decision == OPEN
    flips = flip_statistics(differences, numbers[: k + 1], flips=looks.flips)
    settings: Any = {"level": looks.level, "num_looks": len(numbers)}
    family = np.isin(told.decision.astype(str), (OPEN, GIVEN_UP))
    crosses, boundary = reject(flips, family, waiting, **settings)
    # Intervals are by the boundary of the pairs before any is taken out at this look: simultaneous, and never shorter.
    _, first = reject(flips, family, np.zeros_like(waiting), **settings)
    _fill(told, differences, waiting, float(first[-1]))
    told.replicates[waiting] = n
    told.decision[crosses] = np.where(told.difference[crosses] < 0, "lower", "higher")
    left = waiting & ~crosses
    # Nothing is given up where the user says never, but for what is over.
    if looks.futility or n == looks.replicates:
        same = left & (differences == 0).all(1)
        told.decision[same], left = EQUAL, left & ~same
    if n == looks.replicates:
        told.decision[left] = GIVEN_UP
    elif left.any():
        ahead = chance_of_a_claim(flips.seen[-1], boundary[-1], n / looks.replicates)
        told.decision[left & (ahead < looks.futility)] = GIVEN_UP


def _fill(told: _Told, differences: NDArray[np.float64], which: NDArray[np.bool_], boundary: float) -> None:
    """Means and repeated intervals: the differences that the boundary does not refuse."""
    n = differences.shape[1]
    mean, deviation = differences.mean(1), differences.std(1, ddof=1)
    # |t| at which the self-normalised statistic, at most sqrt(n), is at the boundary.
    critical = boundary * np.sqrt((n - 1) / (n - boundary**2)) if boundary**2 < n * (1 - ROUNDING) else np.inf
    half = np.where(deviation > 0, critical, 0.0) * np.where(deviation > 0, deviation, 1.0) / np.sqrt(n)
    told.difference[which] = mean[which]
    told.lower[which], told.upper[which] = (mean - half)[which], (mean + half)[which]


def _differences(runs: NDArray[np.float64], pairs: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.float64]:
    """Differences of pairs [pair, replicate]; of a decided pair those of the decision, repeated, whatever was run."""
    rows = np.arange(runs.shape[1])[None] % known[:, None]
    here, there = (np.take_along_axis(runs[side], rows, axis=1) for side in pairs.T)
    apart = here - there
    apart[np.abs(apart) <= ROUNDING * np.maximum(np.abs(here), np.abs(there))] = 0.0
    return apart


def _pairs(totals: pd.DataFrame, baseline: str | Mapping[str, Any] | None) -> NDArray[np.int64]:
    """Rows of the settings that are compared [pair, 2]."""
    settings = totals.index.to_frame(index=False)
    if baseline is not None:
        partner = baseline_rows(settings, parse_setting(baseline) if isinstance(baseline, str) else dict(baseline))
        pairs: Sequence[tuple[int, int]] = [(int(i), int(partner[i])) for i in np.flatnonzero(partner >= 0)]
    else:
        problem = list(map(tuple, settings[list(totals.attrs.get("problem", []))].astype(str).to_numpy()))
        pairs = [(i, j) for i, j in combinations(range(len(settings)), 2) if problem[i] == problem[j]]
    if not pairs:
        raise ValueError("there are no two settings of one problem to compare")
    if len(pairs) > MOST_PAIRS:
        raise ValueError(
            f"these are {len(pairs):,} pairs of settings, more than {MOST_PAIRS}: give a baseline, or fewer settings"
        )
    return np.array(pairs)
