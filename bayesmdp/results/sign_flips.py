"""Testing many paired differences at once, look by look: step-down by sign flips, the level spent over the looks.

Replicate r has a difference D_pr for each pair p of settings, and H_p says that it is symmetric about 0, as it is where
the two do equally well and may be exchanged. After n replicates the statistic of a pair is self-normalised,

    T_p,n = |sum_{r <= n} D_pr| / sqrt(sum_{r <= n} D_pr^2),

which grows with Student's t. Flipping the sign of *all* differences of a replicate at random gives their joint
distribution under the hypotheses, how they depend on each other included (Westfall and Young 1993; Romano and Wolf
2005). At look k = 1, ..., K a set S of pairs is rejected if max_{p in S} T_p > c_k(S), where c_k(S) is the least number
such that at most a share alpha k / K of the flips has crossed a boundary by then (alpha spending, Lan and DeMets 1983,
in equal parts as in AdaStop, Mathieu et al. 2023). Pairs that cross are taken out of S, and the boundaries of what is
left are computed anew.

The identity is among the flips, so a set of true hypotheses whose differences are jointly symmetric is rejected with
probability at most alpha, whatever the number of replicates; where means are equal and nothing is symmetric, as the
number grows. That no true pair is ever rejected (the family-wise error) follows where a boundary is not lower for more
pairs: at the first look that is so by construction; at later ones we have no proof, and the error is simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

__all__ = ["Flips", "boundaries", "flip_statistics", "reject"]

ROUNDING = 1e-9
"""Statistics nearer than this share are ties, which do not cross."""


class Flips(NamedTuple):
    """Statistics of all pairs at all looks.

    Attributes
    ----------
    seen : array [look, pair]
        Of the differences as they are.
    flipped : array [look, flip, pair]
        Of differences with flipped signs; the first flip is none.
    """

    seen: Float[NDArray[np.float64], "look pair"]
    flipped: Float[NDArray[np.float64], "look flip pair"]


def flip_statistics(
    differences: Float[NDArray[np.float64], "pair replicate"], looks: Sequence[int], *, flips: int, seed: int = 0
) -> Flips:
    """Return the statistics of pairs at each look, as they are and with signs flipped at random.

    Parameters
    ----------
    differences : array [pair, replicate]
    looks : sequence of int
        Numbers of replicates, rising; the last at most as many as there are.
    flips : int
        How many, the identity among them.
    seed : int
        Signs of a replicate depend on it and on the replicate's number alone.

    Returns
    -------
    Flips

    Examples
    --------
    >>> flip_statistics(np.array([[1.0, 1.0, -1.0, 3.0]]), [2, 4], flips=8).seen.round(3).tolist()
    [[1.414], [1.155]]
    """
    sums = np.zeros((flips, len(differences)))
    squares = np.zeros(len(differences))
    flipped = np.empty((len(looks), flips, len(differences)))
    for k, (first, last) in enumerate(zip([0, *looks[:-1]], looks, strict=True)):
        for r in range(first, last):
            sign = 2.0 * np.random.default_rng((seed, r)).integers(0, 2, flips) - 1
            sign[0] = 1.0
            sums += sign[:, None] * differences[:, r]
            squares += differences[:, r] ** 2
        flipped[k] = np.abs(sums) / np.sqrt(np.where(squares > 0, squares, 1.0))
    return Flips(flipped[:, 0], flipped)


def boundaries(
    flips: Flips, pairs: Bool[NDArray[np.bool_], " pair"], *, level: float, num_looks: int
) -> Float[NDArray[np.float64], " look"]:
    """Return c_k of a set of pairs, at the looks there were.

    Parameters
    ----------
    flips : Flips
    pairs : array of bool [pair]
        The set.
    level : float in (0, 1)
        What is spent after all looks.
    num_looks : int
        Those there may be.

    Returns
    -------
    array [look]

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> flips = flip_statistics(rng.normal(size=(1, 200)), [200], flips=20_000)
    >>> boundaries(flips, np.array([True]), level=0.05, num_looks=1).round(1).tolist()  # the Normal's 1.96
    [2.0]
    """
    largest = np.where(pairs, flips.flipped, 0.0).max(-1)
    crossed = np.zeros(largest.shape[1], bool)
    found = np.empty(len(largest))
    for k, statistic in enumerate(largest):
        left = np.sort(statistic[~crossed])[::-1]
        # So many more may cross: the boundary is the statistic of the first that may not.
        more = int(np.floor(level * (k + 1) / num_looks * len(crossed) + ROUNDING)) - int(crossed.sum())
        found[k] = left[more] if more < len(left) else 0.0
        crossed |= _above(statistic, found[k])
    return found


def reject(
    flips: Flips,
    pairs: Bool[NDArray[np.bool_], " pair"],
    may: Bool[NDArray[np.bool_], " pair"],
    *,
    level: float,
    num_looks: int,
) -> tuple[Bool[NDArray[np.bool_], " pair"], Float[NDArray[np.float64], " look"]]:
    """Step down: reject what crosses, and look again at those that are left.

    Parameters
    ----------
    flips : Flips
    pairs : array of bool [pair]
        Those that are not rejected yet.
    may : array of bool [pair]
        Those of them that still may be.
    level : float in (0, 1)
    num_looks : int

    Returns
    -------
    rejected : array of bool [pair]
    boundary : array [look]
        Of the pairs that are left; 0 if there are none.

    Examples
    --------
    >>> apart = np.random.default_rng(0).normal(size=(2, 32)) + np.array([[2.0], [0.0]])
    >>> flips = flip_statistics(apart, [16, 32], flips=2_000)
    >>> reject(flips, np.array([True, True]), np.array([True, True]), level=0.05, num_looks=2)[0].tolist()
    [True, False]
    """
    rejected = np.zeros(len(pairs), bool)
    while (pairs & ~rejected).any():
        boundary = boundaries(flips, pairs & ~rejected, level=level, num_looks=num_looks)
        crosses = _above(flips.seen, boundary[:, None]).any(0) & may & pairs & ~rejected
        if not crosses.any():
            return rejected, boundary
        rejected |= crosses
    return rejected, np.zeros(len(flips.seen))


def _above(
    statistic: Float[NDArray[np.float64], "..."], boundary: Float[NDArray[np.float64], "..."] | float
) -> Bool[NDArray[np.bool_], "..."]:
    return np.asarray(statistic > np.asarray(boundary) * (1 + ROUNDING))
