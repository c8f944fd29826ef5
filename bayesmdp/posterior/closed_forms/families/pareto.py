"""Pareto(scale, shape) variables, as the length of an interval that numbers are uniform on.

See de Groot (1970, chapter 9). They are no exponential family, since where the density begins is a parameter, and
derivatives of a likelihood say nothing of it: there is a closed form where a site observes them directly, and nowhere
else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.closed_forms.families.example import Example
from bayesmdp.posterior.closed_forms.families.family import Family, Values, stacked
from bayesmdp.posterior.closed_forms.families.likelihood import Likelihood

__all__ = ["PARETO", "Pareto"]


class UniformFromZero(Likelihood):
    """``value ~ Uniform(0, unknown)`` raises the scale to the value, and the shape by 1."""

    name = "Uniform(0, .)"

    def takes(self, distribution: Any) -> bool:
        return isinstance(distribution, dist.Uniform) and bool(np.all(np.asarray(distribution.low) == 0))

    def parameter(self, distribution: Any) -> Array:
        return distribution.high

    def log_likelihood(self, parameter: NDArray[Any], value: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.where((value >= 0) & (value <= parameter), -np.log(parameter), -np.inf))

    def add(self, parameters: Array, element: Array, value: Array, times: Array) -> Array:
        seen = jnp.where(times > 0, value, 0.0)
        return parameters.at[element, 1].add(times).at[element, 0].max(seen)


class Pareto(Family):
    """The Pareto family."""

    name = "Pareto"
    labels = ("scale", "shape")
    likelihood = UniformFromZero()

    def example(self) -> Example:
        return Example(
            ((0.3, 1.5), (0.8, 2.5)),
            (lambda: dist.Pareto(np.array([0.3, 0.8]), np.array([1.5, 2.5])),),
            direct=lambda x: dist.Uniform(0.0, x),
            observed=((0.2, 0.9, 0.5), (0.1, 0.6, 0.7)),
        )

    def of(self, kind: type, parameters: Mapping[str, Any]) -> NDArray[Any] | None:
        return stacked(parameters["scale"], parameters["alpha"]) if issubclass(kind, dist.Pareto) else None

    def gamma_shape(self, parameters: Array) -> Array:
        return parameters.__array_namespace__().ones_like(parameters[..., 1])

    def draws(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert log_gamma is not None
        xp = log_gamma.__array_namespace__()
        return (parameters[..., 0] * xp.exp(xp.exp(log_gamma) / parameters[..., 1]),)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        scale, shape = parameters[..., 0], parameters[..., 1]
        one, two = jnp.maximum(shape - 1, 0), jnp.maximum(shape - 2, 0)
        return scale * shape / one, scale**2 * shape / (one**2 * two)

    def log_normaliser(self, parameters: NDArray[np.float64]) -> float:
        return float(-(np.log(parameters[..., 1]) + parameters[..., 1] * np.log(parameters[..., 0])).sum())

    def distinct_values(self, rng: np.random.Generator, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(prior[..., 0] * (1 + rng.uniform(0, 1, prior.shape[:-1])))

    def values_that_allow_all(self, parameters: NDArray[np.float64], stretch: float) -> NDArray[np.float64]:
        return np.asarray(stretch * parameters[..., 0])

    def trial_values(
        self, rng: np.random.Generator, prior: NDArray[Any], shape: tuple[int, ...], number: int
    ) -> NDArray[np.float64]:
        # Some far out: what is cut off there must not pass for a pair.
        return np.asarray(prior[..., 0] * np.exp(rng.exponential(4.0**number / 8, shape)))


PARETO = Pareto()
