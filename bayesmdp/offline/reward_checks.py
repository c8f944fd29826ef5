"""Rewards of a log against themselves: do they drift, and have they tails in which a mean drowns?

Both look at the residuals of rewards about the mean of their transition (state, action and next state), so that neither
takes a change of dynamics, nor a rare next state, for one of rewards.

* Drift: the sum over all residuals of the later half, squared, and the sum over transitions of the squares of theirs,
  each divided by its variance; the larger of both, in units of its own spread under permutation, is the statistic.
* Tails: the largest square over the sum of squares (a share that falls to 0 as the log grows if the variance is finite;
  Embrechts, Klüppelberg and Mikosch, 1997, 6.2.6), of residuals in units of their pair's spread. Its p-value is that
  under Laplace noise, whose tails are exponential: what is heavier is called heavy. That yardstick is our choice.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bayesmdp.offline.reward_models import ROUNDING

__all__ = ["Residuals"]

DEGREES = 5
"""Of freedom that the spread of a pair needs."""


class Residuals:
    """Rewards less the mean of their transition, of transitions seen more than once.

    Parameters
    ----------
    transition, pair : int array [step]
        Of any numbers.
    reward : array [step]

    Attributes
    ----------
    rows : int array [kept]
        Which steps were kept, transition by transition.
    scatter : bool
        Whether any of them differs from its mean by more than rounding.
    """

    def __init__(
        self, transition: NDArray[np.int64], pair: NDArray[np.int64], reward: NDArray[np.float64]
    ) -> None:
        _, group, times = np.unique(transition, return_inverse=True, return_counts=True)
        again = times[group] > 1
        self.rows = np.flatnonzero(again)[np.argsort(group[again], kind="stable")]
        _, self._group = np.unique(group[self.rows], return_inverse=True)
        _, self._pair = np.unique(pair[self.rows], return_inverse=True)
        self._residual = self._demeaned(reward[self.rows])
        largest = float(np.abs(reward).max())
        self.scatter = bool((np.abs(self._residual) > ROUNDING * largest).any())

    def within(self, rng: np.random.Generator, times: int) -> Iterable[NDArray[np.int64]]:
        """Permutations [kept] of the rows that stay within their transitions."""
        return (np.argsort(self._group + rng.random(len(self._group))) for _ in range(times))

    def drift(self, later: NDArray[np.bool_]) -> tuple[float, float]:
        """Both statistics of drift, for steps [kept] that are of the later half or not."""
        number = np.bincount(self._group)
        of_later = np.bincount(self._group, later)
        total = np.bincount(self._group, later * self._residual)
        variance = of_later * (number - of_later) / number
        split = variance > 0
        return float(total.sum() ** 2 / max(variance.sum(), 1e-300)), float((total[split] ** 2 / variance[split]).sum())

    def largest_share(self, residual: NDArray[np.float64] | None = None) -> float:
        """The largest square over the sum of squares, in units of the pairs' spreads; 0 if no spread is known."""
        residual = self._residual if residual is None else self._demeaned(residual)
        squares = np.bincount(self._pair, residual**2)
        transitions = np.unique(np.stack([self._pair, self._group]), axis=1)[0]
        degrees = np.bincount(self._pair) - np.bincount(transitions, minlength=len(squares))
        known = (degrees >= DEGREES) & (squares > 0)
        scaled = residual[known[self._pair]] ** 2 * (degrees / np.where(squares > 0, squares, 1))[self._pair[known[self._pair]]]
        return float(scaled.max() / scaled.sum()) if len(scaled) else 0.0

    def laplace_shares(self, rng: np.random.Generator, times: int) -> list[float]:
        """The same of Laplace noise."""
        return [self.largest_share(rng.laplace(size=len(self.rows))) for _ in range(times)]

    def _demeaned(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values - (np.bincount(self._group, values) / np.bincount(self._group))[self._group]
