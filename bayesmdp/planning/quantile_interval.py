"""The quantile of draws, and order statistics between which the true one lies.

The *left* quantile at a level is the ``ceil(level M)``-th smallest of M draws (NumPy's ``inverted_cdf``, rounding of
the product included). How many draws lie below the true quantile is Binomial(M, level), whatever their distribution is,
so that two order statistics hold it with a probability that is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from bayesmdp.foundation.validation import number

__all__ = ["binomial_quantile", "left_quantile", "order_interval"]


def order_interval(
    values: NDArray[np.float64], level: float, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the left sample quantile, and order statistics between which the true one lies.

    Parameters
    ----------
    values : array [draw, ...]
    level : float in (0, 1)
    confidence : float in (0, 1)
        Probability that the true quantile lies between the two, at least.

    Returns
    -------
    quantile, lower, upper : array [...]
        Minus or plus infinity where the draws are too few for an end.

    Raises
    ------
    TypeError, ValueError
        If the confidence is not strictly between 0 and 1.

    Examples
    --------
    >>> [float(x) for x in order_interval(np.arange(1.0, 101.0), 0.1, 0.95)]
    [10.0, 5.0, 17.0]
    """
    number("confidence", confidence, above=0, below=1)
    ordered, size = np.sort(values, axis=0), len(values)
    ends = np.full((1, *values.shape[1:]), np.inf)
    padded = np.concatenate([-ends, ordered, ends])
    # The true quantile is at least the k-th smallest if at least k draws lie at or under it, and so on.
    below = binomial_quantile((1 - confidence) / 2, size, level)
    above = binomial_quantile((1 + confidence) / 2, size, level) + 1
    return left_quantile(values, level), padded[below], padded[above]


def binomial_quantile(probability: float, trials: int, chance: float) -> int:
    """Return the least count that is not exceeded with the probability: that of `scipy.stats`, slow to import.

    Examples
    --------
    >>> binomial_quantile(0.975, 100, 0.5)
    60
    """
    return int(np.searchsorted(bdtr(np.arange(trials), trials, chance), probability))


def left_quantile(values: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return the ``ceil(level M)``-th smallest of M values.

    Parameters
    ----------
    values : array [draw, ...]
    level : float in (0, 1)

    Returns
    -------
    array [...]

    Examples
    --------
    >>> float(left_quantile(np.arange(1.0, 101.0), 0.1))
    10.0
    """
    size = len(values)
    return np.asarray(np.sort(values, axis=0)[min(max(int(np.ceil(level * size)), 1), size) - 1])
