"""Beta(a, b) variables x, which are Dirichlet(a, b) distributions (x, 1 - x): their own form is that pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.closed_forms.families.dirichlet import Dirichlet
from bayesmdp.posterior.closed_forms.families.example import Example
from bayesmdp.posterior.closed_forms.families.family import stacked
from bayesmdp.posterior.closed_forms.families.likelihood import Likelihood

__all__ = ["BETA", "Beta"]


class Bernoulli(Likelihood):
    """``value ~ Bernoulli(unknown)`` adds the value to a and 1 - value to b."""

    name = "Bernoulli"

    def takes(self, distribution: Any) -> bool:
        return isinstance(distribution, dist.BernoulliProbs)

    def parameter(self, distribution: Any) -> Array:
        return distribution.probs

    def log_likelihood(self, parameter: NDArray[Any], value: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.log(np.where(value == 1, parameter, np.where(value == 0, 1 - parameter, 0.0))))

    def add(self, parameters: Array, element: Array, value: Array, times: Array) -> Array:
        xp = times.__array_namespace__()
        return parameters.at[element].add(xp.stack([times * value, times * (1 - value)], -1))


class Beta(Dirichlet):
    """The Beta family; a uniform variable on (0, 1) is Beta(1, 1)."""

    name = "Beta"
    labels = ("a", "b")
    event_dim = 0
    likelihood = Bernoulli()

    def example(self) -> Example:
        return Example(
            ((1.5, 2.5), (3.0, 1.0)),
            (lambda: dist.Beta(np.array([1.5, 3.0]), np.array([2.5, 1.0])),),
            dist.Bernoulli,
            dist.Bernoulli,
            ((1, 0, 0), (1, 1, 0)),
        )

    def of(self, kind: type, parameters: Mapping[str, Any]) -> NDArray[Any] | None:
        if issubclass(kind, dist.Beta):
            return stacked(parameters["concentration1"], parameters["concentration0"])
        if issubclass(kind, dist.Uniform) and np.all(parameters["low"] == 0) and np.all(parameters["high"] == 1):
            return np.ones((*np.broadcast_shapes(*map(np.shape, parameters.values())), 2))
        return None

    def site_value(self, value: Array) -> Array:
        return value[..., 0]

    def distinct_values(self, rng: np.random.Generator, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        return rng.uniform(0.05, 0.95, prior.shape[:-1])

    def values_that_allow_all(self, parameters: NDArray[np.float64], stretch: float) -> NDArray[np.float64]:
        return np.full(parameters.shape[:-1], 0.5)


BETA = Beta()
