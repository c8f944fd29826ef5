"""How likely a log of numbers is under regressions on features: a few of them, beside each other, at little cost.

    target[i] ~ Normal(<weights[a, :, i], features(u)>, 1 / sqrt(precision[i]))
    weights   ~ Normal(0, scale / sqrt(precision[i])),    precision[i] ~ Gamma(1, noise^2)

is what `linear_dynamics` and `linear_rewards` say in units of the box. Given the precision the weights of one action
are independent of those of others, so that with G_a = sum of phi phi' over the rows of a, and P_a = G_a + I / scale^2,
the log evidence of a target is, but for a constant that is the same for all features and scales,

    sum_a (log det(I / scale^2) - log det P_a) / 2 + log b - log Gamma(1) + log Gamma(1 + n / 2) - (1 + n / 2) log b_n,
    b = noise^2,    b_n = b + (sum target^2 - sum_a shift_a' P_a^-1 shift_a) / 2,    shift_a = sum of phi target

(Bernardo and Smith, 1994, section 5.2). The posterior that is planned with is found by reading the model
(:mod:`bayesmdp.posterior.closed_forms.find_regression`), and has the same evidence; here seven regressions are compared
for the price of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from bayesmdp.foundation.arrays import Array

__all__ = ["feature_evidence", "features_at"]

FEWEST, CHUNK = 64, 4_096
"""Places whose features are reckoned at once, at the least; and rows that are summed at once."""


def feature_evidence(
    features: Callable[[Any], Any],
    place: NDArray[np.float64],
    action: ArrayLike,
    target: NDArray[np.float64],
    *,
    noise: float,
    scales: Sequence[float],
) -> dict[float, float]:
    """Return the log evidence of targets by the scale of weights, but for a constant of the rows.

    Parameters
    ----------
    features : callable
        Of places [..., coordinate] in units of the box; hashable.
    place : array [row, coordinate]
    action : int array [row]
    target : array [row, target]
    noise : float, positive
        Prior standard deviation of what is left of a target.
    scales : sequence of float
        Standard deviations of weights, in those of the noise.

    Returns
    -------
    dict of float by scale

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> place = rng.uniform(-1, 1, (200, 1))
    >>> target = 3 * place + 0.1 * rng.normal(size=(200, 1))
    >>> told = feature_evidence(lambda u: u, place, np.zeros(200, int), target, noise=0.1, scales=(10.0, 1_000.0))
    >>> told[10.0] > told[1_000.0]  # a slope of 30 standard deviations of the noise is not large beside 10
    True
    """
    place, acted, wanted = np.asarray(place, float), np.asarray(action), np.asarray(target, float)
    rows = len(place)
    grams: dict[int, NDArray[np.float64]] = {}
    shifts: dict[int, NDArray[np.float64]] = {}
    for start in range(0, rows, CHUNK):
        phi = features_at(features, place[start : start + CHUNK])
        here, paid = acted[start : start + CHUNK], wanted[start : start + CHUNK]
        for a in np.unique(here).tolist():
            own = phi[here == a]
            grams[a] = grams.get(a, 0) + own.T @ own
            shifts[a] = shifts.get(a, 0) + own.T @ paid[here == a]
    square, told = (wanted**2).sum(0), {}
    for scale in scales:
        gained, explained = 0.0, np.zeros(wanted.shape[1])
        for a, gram in grams.items():
            precision = gram + np.eye(len(gram)) / scale**2
            gained -= (np.linalg.slogdet(precision)[1] + 2 * len(gram) * np.log(scale)) / 2
            explained += (shifts[a] * np.linalg.solve(precision, shifts[a])).sum(0)
        shape, rate = 1 + rows / 2, noise**2 + np.maximum(square - explained, 0) / 2
        each = gained + np.log(noise**2) + gammaln(shape) - shape * np.log(rate)
        told[scale] = float(each.sum())
    return told


def features_at(features: Callable[[Any], Any], place: ArrayLike) -> NDArray[np.float64]:
    """Return features of places, by a program that serves other numbers of places.

    Parameters
    ----------
    features : callable
        Hashable.
    place : array [place, coordinate]

    Returns
    -------
    array [place, feature]
    """
    given = np.asarray(place, float)
    if not len(given):
        given = np.zeros((1, given.shape[1]))
    size = max(FEWEST, 1 << (len(given) - 1).bit_length())
    filled = given[np.minimum(np.arange(size), len(given) - 1)]
    with jax.enable_x64(True):
        return np.asarray(_features_of(features, filled))[: len(np.asarray(place))]


@partial(jax.jit, static_argnums=0)
def _features_of(features: Callable[[Any], Any], place: Array) -> Array:
    return features(place)
