"""Normal-Gamma pairs t ~ Gamma(shape, rate), x | t ~ Normal(mean, 1 / sqrt(weight t)): a mean and a precision unknown.

With ``tau = t rate / shape`` and ``z = (x - mean) sqrt(weight shape / rate)`` of the prior, T = (log tau, -tau, tau z,
-tau z^2 / 2), and the prior's own natural parameters are (shape - 1/2, shape, 0, 1). By itself x is a Student t
(Bernardo and Smith, 1994, section 5.2).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.closed_forms.families.example import Example
from bayesmdp.posterior.closed_forms.families.family import Values, stacked
from bayesmdp.posterior.closed_forms.families.gamma import GAMMA
from bayesmdp.posterior.closed_forms.families.normal import NORMAL, normal_log_density
from bayesmdp.posterior.closed_forms.families.smooth import (
    LEAST_LOG,
    NEAR_ZERO,
    ROUNDING,
    Smooth,
    whole_counts,
)

__all__ = ["NORMAL_GAMMA", "NormalGamma"]


class NormalGamma(Smooth):
    """The Normal-Gamma family of two sites, the precision t and the mean x."""

    name = "Normal-Gamma"
    labels = ("mean", "weight", "shape", "rate")
    has_normal = True
    equations = (
        ((NEAR_ZERO, 0.0), 0),
        ((1.0, 0.0), 0),
        ((1.0, 0.0), 1),
        ((1.0, 1.0), 1),
    )
    complaint = "that of a Normal with mean {1!r} and precision {0!r}, as a Normal-Gamma prior asks"
    parts = (GAMMA, NORMAL)
    relation = "Normal(mean, 1 / sqrt(weight * precision)) with a Gamma precision of its own for each of its elements"

    def example(self) -> Example:
        return Example(
            ((0.5, 2.0, 3.0, 1.5), (-1.0, 0.5, 2.0, 1.0)),
            (
                lambda: dist.Gamma(np.array([3.0, 2.0]), np.array([1.5, 1.0])),
                lambda t: dist.Normal(np.array([0.5, -1.0]), 1 / (np.array([2.0, 0.5]) * t) ** 0.5),
            ),
            lambda t, x: dist.Normal(x, t**-0.5),
        )

    def join(
        self, first: NDArray[np.float64], first_prior: NDArray[np.float64], second_priors: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        # Over all runs the mean must stand still, and scale^2 precision, element by element.
        mean, scale = second_priors[..., 0], second_priors[..., 1]
        product = np.square(scale) * first
        if not ((mean == mean[0]).all() and (np.ptp(product, axis=0) <= 1e-12 * product[0]).all()):
            return None
        weight = 1 / product[0]
        return stacked(mean[0], weight, first_prior[..., 0], first_prior[..., 1])

    def natural(self, prior: Array) -> Array:
        shape = prior[..., 2]
        return np.stack([shape - 0.5, shape, 0 * shape, np.ones_like(shape)], -1)

    def standard(self, natural: Array, prior: Array) -> Array:
        xp, (mean, weight, shape, rate) = natural.__array_namespace__(), (prior[..., i] for i in range(4))
        z = natural[..., 2] / natural[..., 3]
        # Each row's part of the rate is positive; what rounding says otherwise is cut off.
        remainder = xp.maximum(natural[..., 1] - natural[..., 2] * z / 2, shape)
        scale = xp.sqrt(rate / (weight * shape))
        return xp.stack(
            [mean + scale * z, weight * natural[..., 3], natural[..., 0] + 0.5, remainder * (rate / shape)], -1
        )

    def gamma_shape(self, parameters: Array) -> Array:
        return parameters[..., 2]

    def draws(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert log_gamma is not None
        assert normal is not None
        xp = log_gamma.__array_namespace__()
        t = xp.exp(xp.maximum(log_gamma, LEAST_LOG)) / parameters[..., 3]
        return t, parameters[..., 0] + normal / xp.sqrt(parameters[..., 1] * t)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        mean, weight, shape, rate = (parameters[..., i] for i in range(4))
        finite = shape > 1
        return mean, jnp.where(finite, rate / (weight * jnp.where(finite, shape - 1, 1)), jnp.inf)

    def statistics(self, values: Values, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, weight, shape, rate = (prior[..., i] for i in range(4))
        tau, z = values[0] * rate / shape, (values[1] - mean) * np.sqrt(weight * shape / rate)
        return np.stack([np.log(tau), -tau, tau * z, -tau * z**2 / 2], -1)

    def place(self, point: Values, prior: NDArray[np.float64]) -> Values:
        mean, weight, shape, rate = (prior[..., i] for i in range(4))
        return point[0] * shape / rate, mean + point[1] * np.sqrt(rate / (weight * shape))

    def units(self, values: Values, prior: NDArray[np.float64]) -> Values:
        return values[0], np.sqrt(prior[..., 3] / (prior[..., 1] * prior[..., 2]))

    def gradient(self, point: tuple[float, ...]) -> NDArray[np.float64]:
        tau, z = point
        return np.array([[1.0, -tau, tau * z, -tau * z**2 / 2], [0.0, 0.0, tau, -tau * z]])

    def random_point(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Values:
        return np.exp(0.5 * spread * rng.uniform(-1, 1, shape)), 2 * spread * rng.uniform(-1, 1, shape)

    def unrounded(
        self, coefficient: NDArray[np.float64], largest_slope: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        return whole_counts(coefficient, largest_slope)

    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        log, constant, slope, curvature = np.moveaxis(coefficient, -1, 0)
        size = np.abs(coefficient).max(-1)
        negative = (np.stack([log, constant, curvature]) < -ROUNDING * size).any(0)
        # constant - slope z + curvature z^2 / 2 must not be negative anywhere.
        return np.asarray(negative | (slope**2 - 2 * constant * curvature > 1e-6 * size**2))

    def mean(self, parameters: NDArray[np.float64]) -> Values:
        return parameters[..., 2] / parameters[..., 3], parameters[..., 0]

    def log_density(self, values: Values, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        precision, value = values
        mean, weight, *_ = np.moveaxis(parameters, -1, 0)
        scale = 1 / np.sqrt(weight * precision)
        return GAMMA.log_density((precision,), parameters[..., 2:]) + normal_log_density(value, mean, scale)


NORMAL_GAMMA = NormalGamma()
