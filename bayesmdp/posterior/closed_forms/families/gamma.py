"""Gamma(shape, rate) variables t: with ``tau = t rate / shape`` of the prior, T = (log tau, -tau).

The prior's own natural parameters are (shape - 1, shape).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.closed_forms.families.example import Example
from bayesmdp.posterior.closed_forms.families.family import Values, stacked
from bayesmdp.posterior.closed_forms.families.likelihood import Likelihood
from bayesmdp.posterior.closed_forms.families.smooth import (
    LEAST_LOG,
    NEAR_ZERO,
    ROUNDING,
    Smooth,
    whole_counts,
)

__all__ = ["GAMMA", "Gamma"]


class Poisson(Likelihood):
    """``value ~ Poisson(unknown)``, a count, adds the value to the shape and 1 to the rate."""

    name = "Poisson"

    def takes(self, distribution: Any) -> bool:
        return isinstance(distribution, dist.Poisson)

    def parameter(self, distribution: Any) -> Array:
        return distribution.rate

    def log_likelihood(self, parameter: NDArray[Any], value: NDArray[Any]) -> NDArray[np.float64]:
        count = (value >= 0) & (value == np.floor(value))
        return np.asarray(np.where(count, value * np.log(parameter) - parameter, -np.inf))

    def add(self, parameters: Array, element: Array, value: Array, times: Array) -> Array:
        xp = times.__array_namespace__()
        return parameters.at[element].add(xp.stack([times * value, times], -1))


class Gamma(Smooth):
    """The Gamma family; an exponential variable is a Gamma of shape 1. Observed directly it is a Poisson's rate."""

    name = "Gamma"
    likelihood = Poisson()
    labels = ("shape", "rate")
    equations = (((NEAR_ZERO,), 0), ((1.0,), 0))
    complaint = "linear in {0!r} and its log, as a Gamma prior asks"

    def example(self) -> Example:
        return Example(
            ((2.0, 1.5), (3.5, 4.0)),
            (lambda: dist.Gamma(np.array([2.0, 3.5]), np.array([1.5, 4.0])),),
            lambda t: dist.Normal(0.2, t**-0.5),
            dist.Poisson,
            ((2, 0, 1), (1, 0, 3)),
        )

    def of(self, kind: type, parameters: Mapping[str, Any]) -> NDArray[Any] | None:
        if issubclass(kind, dist.Gamma):
            return stacked(parameters["concentration"], parameters["rate"])
        return stacked(np.ones(()), parameters["rate"]) if issubclass(kind, dist.Exponential) else None

    def natural(self, prior: Array) -> Array:
        return np.stack([prior[..., 0] - 1, prior[..., 0]], -1)

    def standard(self, natural: Array, prior: Array) -> Array:
        rate = natural[..., 1] * (prior[..., 1] / prior[..., 0])
        return natural.__array_namespace__().stack([natural[..., 0] + 1, rate], -1)

    def gamma_shape(self, parameters: Array) -> Array:
        return parameters[..., 0]

    def draws(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert log_gamma is not None
        xp = log_gamma.__array_namespace__()
        return (xp.exp(xp.maximum(log_gamma, LEAST_LOG)) / parameters[..., 1],)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        return parameters[..., 0] / parameters[..., 1], parameters[..., 0] / parameters[..., 1] ** 2

    def statistics(self, values: Values, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        tau = values[0] * prior[..., 1] / prior[..., 0]
        return np.stack([np.log(tau), -tau], -1)

    def place(self, point: Values, prior: NDArray[np.float64]) -> Values:
        return (point[0] * prior[..., 0] / prior[..., 1],)

    def units(self, values: Values, prior: NDArray[np.float64]) -> Values:
        return (values[0],)

    def gradient(self, point: tuple[float, ...]) -> NDArray[np.float64]:
        return np.array([[1.0, -point[0]]])

    def random_point(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Values:
        return (np.exp(0.5 * spread * rng.uniform(-1, 1, shape)),)

    def unrounded(
        self, coefficient: NDArray[np.float64], largest_slope: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        return whole_counts(coefficient, largest_slope)

    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray((coefficient < -ROUNDING * np.abs(coefficient).max(-1, keepdims=True)).any(-1))

    def mean(self, parameters: NDArray[np.float64]) -> Values:
        return (parameters[..., 0] / parameters[..., 1],)

    def log_normaliser(self, parameters: NDArray[np.float64]) -> float:
        return float((gammaln(parameters[..., 0]) - parameters[..., 0] * np.log(parameters[..., 1])).sum())

    def distinct_values(self, rng: np.random.Generator, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(rng.uniform(0.5, 2, prior.shape[:-1]) * prior[..., 0] / prior[..., 1])

    def values_that_allow_all(self, parameters: NDArray[np.float64], stretch: float) -> NDArray[np.float64]:
        return np.asarray(parameters[..., 0] / parameters[..., 1])

    def log_density(self, values: Values, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        shape, rate = np.moveaxis(parameters, -1, 0)
        value = np.maximum(values[0], 0)
        log_density = xlogy(shape - 1, value) - rate * value + shape * np.log(rate) - gammaln(shape)
        return np.where(values[0] < 0, -np.inf, log_density)


GAMMA = Gamma()
