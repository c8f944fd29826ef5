"""Gittins indices of Bernoulli arms with Beta priors: what an arm is worth a pull, alone against a sure income.

The index of an arm in state (a, b) under a discount is the sure reward a pull at which one is indifferent between it
and the arm (Gittins, 1979; Gittins, Glazebrook and Weber, 2011, section 8): with the retirement value M = lambda / (1 -
discount) and the mean m = a / (a + b)::

    V(a, b) = max(M, m (1 + discount V(a + 1, b)) + (1 - m) discount V(a, b + 1)),
    index(a, b) = the lambda at which both sides of the maximum are equal.

Pulling the arm of the largest index is optimal with any number of independent arms. The recursion is cut after N pulls,
where V is bracketed by what an arm is worth that is known then, and one that reveals itself::

    max(lambda, m) / (1 - discount)  <=  V(a, b)  <=  E max(lambda, theta) / (1 - discount),    theta ~ Beta(a, b).

Bisection with either bound gives an index below and one above the true one; N is doubled until they agree within the
tolerance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmdp.foundation.validation import finite_array, number, reject_first

__all__ = ["gittins_index"]

FIRST_PULLS, MOST_PULLS = 64, 32_768

LEAST_TOLERANCE = 1e-12
"""Below it rounding decides; intervals narrower than neighbouring floats would never be reached."""

LIKELY_GAP = 1e-4
"""Of the two bounds after so many pulls; what could not reach its tolerance by then is refused at once."""

LARGEST = 500_000
"""Numbers in an array, which bounds how many arms are searched for together."""

type Interval = tuple[NDArray[np.float64], NDArray[np.float64]]


def gittins_index(
    successes: ArrayLike, failures: ArrayLike, discount: float, *, tolerance: float = 1e-6
) -> NDArray[np.float64]:
    """Return the Gittins index of Bernoulli arms with Beta(successes, failures) beliefs.

    Parameters
    ----------
    successes, failures : float, or arrays that broadcast
        The parameters of the Beta, prior counts included: 1, 1 is uniform.
    discount : float in (0, 1)
    tolerance : float, at least 1e-12
        Largest error of an index.

    Returns
    -------
    array
        Reward a pull, of the arguments' shape.

    Raises
    ------
    ValueError
        If a parameter is not positive, the tolerance is below 1e-12, or the discount is so near 1 that the tolerance
        would need more than 32,768 pulls.

    See Also
    --------
    bayesmdp.bayes_optimal : any small problem, with its whole value.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> round(float(bm.gittins_index(1, 1, 0.9)), 4)  # Gittins (1989)
    0.7029
    """
    discount = number("discount", discount, above=0, below=1)
    tolerance = number("tolerance", tolerance, minimum=LEAST_TOLERANCE)
    a, b = np.broadcast_arrays(finite_array("successes", successes), finite_array("failures", failures))
    for name, array in (("successes", a), ("failures", b)):
        reject_first(name, array <= 0, array, "is not positive")
    pairs, place = np.unique(np.stack([a.ravel(), b.ravel()], -1), axis=0, return_inverse=True)
    return _indices(pairs, discount, tolerance)[place.reshape(-1)].reshape(a.shape)


def _indices(pairs: NDArray[np.float64], discount: float, tolerance: float) -> NDArray[np.float64]:
    """Return the index of each pair [arm, 2] of parameters."""
    # The index is at least the mean, and at most 1.
    lowest, highest = pairs[:, 0] / pairs.sum(-1), np.ones(len(pairs))
    pulls = FIRST_PULLS
    while (left := np.flatnonzero(highest - lowest > 2 * tolerance)).size:
        if pulls > MOST_PULLS or discount**MOST_PULLS * LIKELY_GAP > tolerance:
            raise ValueError(
                f"a tolerance of {tolerance:g} needs more than {MOST_PULLS:,} pulls to be looked ahead at discount "
                f"{discount:g}; allow a larger one, or a smaller discount"
            )
        together = max(1, LARGEST // pulls)
        for part in (left[begin : begin + together] for begin in range(0, len(left), together)):
            bracket = lowest[part], highest[part]
            search = _Search(pairs[part], discount, pulls, tolerance / 4)
            lowest[part], highest[part] = search.below(*bracket)[0], search.above(*bracket)[1]
        pulls *= 2
    return (lowest + highest) / 2


class _Search(NamedTuple):
    """Bisection for the indices of some arms, looking some pulls ahead.

    Attributes
    ----------
    pairs : array [arm, 2]
    discount : float
    pulls : int
    width : float
        Of the intervals at which it stops.
    """

    pairs: NDArray[np.float64]
    discount: float
    pulls: int
    width: float

    def below(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Interval:
        """Return intervals that hold indices as they would be if nothing were learnt after the pulls."""
        return self._between(low, high, optimistic=False)

    def above(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Interval:
        """Return intervals that hold indices as they would be if all were revealed after the pulls."""
        return self._between(low, high, optimistic=True)

    def _between(self, low: NDArray[np.float64], high: NDArray[np.float64], *, optimistic: bool) -> Interval:
        while (high - low).max() > self.width:
            middle = (low + high) / 2
            pulled = self._worth_a_pull(middle, optimistic) > middle
            low, high = np.where(pulled, middle, low), np.where(pulled, high, middle)
        return low, high

    def _worth_a_pull(self, sure: NDArray[np.float64], optimistic: bool) -> NDArray[np.float64]:
        """Return what pulling once and then going on at best is worth, times 1 - discount."""
        sure, (a, b) = sure[:, None], self.pairs.T[..., None]
        successes = np.arange(self.pulls + 1)
        alpha, beta = a + successes, b + self.pulls - successes
        mean = alpha / (alpha + beta)
        value = np.maximum(sure, mean)
        if optimistic:
            # E max(sure, theta) = sure P(theta <= sure) + mean P(theta' > sure) with theta' ~ Beta(alpha + 1, beta).
            value = sure * special.betainc(alpha, beta, sure) + mean * special.betaincc(alpha + 1, beta, sure)
        for seen in range(self.pulls - 1, -1, -1):
            mean = (a + successes[: seen + 1]) / (a + b + seen)
            going_on = mean * value[:, 1:] + (1 - mean) * value[:, :-1]
            pulled = (1 - self.discount) * mean + self.discount * going_on
            value = np.maximum(sure, pulled)
        return pulled[:, 0]
