"""Rewards of a log against themselves: do they drift, and do a few of them outweigh all others.

Both look at the residuals of rewards about the mean of their transition (state, action and next state), so that neither
takes a change of dynamics, nor a rare next state, for one of rewards.

* Drift: the sum over all residuals of the later half, squared, and the sum over transitions of the squares of theirs,
  each divided by its variance; the larger of both, in units of its own spread when pieces of the log change halves, is
  the statistic.
* Tails: the largest square over the sum of squares (a share that falls to 0 as the log grows if the variance is finite;
  Embrechts, Klüppelberg and Mikosch, 1997, 6.2.6), of residuals in units of their pair's spread. Its p-value is that
  under Laplace noise, whose tails are exponential: what is heavier is called heavy. That yardstick is our choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesmdp.offline.dependence import sums_of_halves
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

    def __init__(self, transition: NDArray[np.int64], pair: NDArray[np.int64], reward: NDArray[np.float64]) -> None:
        _, group, times = np.unique(transition, return_inverse=True, return_counts=True)
        again = times[group] > 1
        self.rows = np.flatnonzero(again)[np.argsort(group[again], kind="stable")]
        _, self._group = np.unique(group[self.rows], return_inverse=True)
        _, self._pair = np.unique(pair[self.rows], return_inverse=True)
        self._number = np.bincount(self._group)
        transitions = np.unique(self._group, return_index=True)[1]
        self._degrees = np.bincount(self._pair) - np.bincount(
            self._pair[transitions], minlength=self._pair.max(initial=-1) + 1
        )
        self._residual = self._demeaned(reward[self.rows])
        largest = float(np.abs(reward).max())
        self.scatter = bool((np.abs(self._residual) > ROUNDING * largest).any())
        if self.scatter:
            # In units of their size: statistics are squares, which in small units of rewards would pass for rounding.
            self._residual /= np.sqrt(np.mean(self._residual**2))

    def drift(self, later: NDArray[np.bool_], piece: NDArray[np.int64]) -> NDArray[np.float64]:
        """Both statistics of drift [draw, statistic].

        Parameters
        ----------
        later : bool array [draw, piece]
            Whether a piece is of the later half.
        piece : int array [step]
            Of all steps, also those that were not kept.
        """
        own, transitions = piece[self.rows], len(self._number)
        counted = sums_of_halves(later, own, self._group, transitions)
        summed = sums_of_halves(later, own, self._group, transitions, self._residual)
        return np.concatenate([self._of_sums(number, total[0]) for number, total in zip(counted, summed, strict=True)])

    def _of_sums(self, number: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same from the numbers [half, draw, transition] and the sums of residuals [draw, transition]."""
        variance = number[0] * number[1] / self._number
        squares = np.divide(total**2, variance, out=np.zeros_like(total), where=variance > 0).sum(-1)
        whole, every = total.sum(-1) ** 2, variance.sum(-1)
        # Where no transition is in both halves nothing is told, and sums that should be 0 are so but for rounding.
        return np.stack([np.divide(whole, every, out=np.zeros_like(whole), where=every > 0), squares], -1)

    def largest_share(self, residual: NDArray[np.float64] | None = None) -> float:
        """The largest square over the sum of squares, in units of the pairs' spreads; 0 if no spread is known."""
        residual = self._residual if residual is None else self._demeaned(residual)
        squares = np.bincount(self._pair, residual**2)
        unit = np.divide(squares, self._degrees, out=np.zeros_like(squares), where=self._degrees >= DEGREES)
        known = unit[self._pair] > 0
        scaled = residual[known] ** 2 / unit[self._pair[known]]
        return float(scaled.max() / scaled.sum()) if len(scaled) else 0.0

    def laplace_shares(self, rng: np.random.Generator, times: int) -> list[float]:
        """The same of Laplace noise."""
        return [self.largest_share(rng.laplace(size=len(self.rows))) for _ in range(times)]

    def _demeaned(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values - (np.bincount(self._group, values) / self._number)[self._group]
