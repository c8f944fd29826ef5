"""Dirichlet(a) distributions, of which each observation of a category adds 1 to its concentration.

T is the log of the entries. Draws are ``g / sum(g)`` with independent ``g_k ~ Gamma(a_k)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.closed_forms.families.example import Example
from bayesmdp.posterior.closed_forms.families.family import ExponentialFamily, Values
from bayesmdp.posterior.closed_forms.families.likelihood import Likelihood

__all__ = ["DIRICHLET", "Dirichlet"]


class Categorical(Likelihood):
    """``value ~ Categorical(unknown)`` adds 1 to the concentration of the value."""

    name = "Categorical"

    def takes(self, distribution: Any) -> bool:
        return isinstance(distribution, dist.CategoricalProbs)

    def parameter(self, distribution: Any) -> Array:
        return distribution.probs

    def log_likelihood(self, parameter: NDArray[Any], value: NDArray[Any]) -> NDArray[np.float64]:
        valid = (value >= 0) & (value < parameter.shape[-1])
        probability = np.take_along_axis(parameter, np.where(valid, value, 0)[:, None], -1)[:, 0]
        return np.asarray(np.log(np.where(valid, probability, 0.0)))

    def add(self, parameters: Array, element: Array, value: Array, times: Array) -> Array:
        return parameters.at[element, value].add(times)


class Dirichlet(ExponentialFamily):
    """The Dirichlet family, and what a Beta has of it, being one of two categories."""

    name = "Dirichlet"
    event_dim = 1
    simplex = True
    likelihood: ClassVar[Likelihood | None] = Categorical()
    improper_complaint = "it falls as an entry of {0!r} grows"

    def example(self) -> Example:
        parameters = ((1.5, 2.0, 3.5), (4.0, 1.0, 2.0))
        return Example(
            parameters,
            (lambda: dist.Dirichlet(np.array(parameters)),),
            direct=dist.Categorical,
            observed=((0, 2, 2), (1, 1, 0)),
        )

    def of(self, kind: type, parameters: Mapping[str, Any]) -> NDArray[Any] | None:
        return np.asarray(parameters["concentration"]) if issubclass(kind, dist.Dirichlet) else None

    def natural(self, prior: Array) -> Array:
        return prior

    def standard(self, natural: Array, prior: Array) -> Array:
        return natural

    def gamma_shape(self, parameters: Array) -> Array:
        return parameters

    def draws(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert log_gamma is not None
        gamma = log_gamma.__array_namespace__().exp(log_gamma - log_gamma.max(-1, keepdims=True))
        return (self.site_value(gamma / gamma.sum(-1, keepdims=True)),)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        total = parameters.sum(-1, keepdims=True)
        mean = parameters / total
        variance = mean * (1 - mean) / (total + 1)
        return self.site_value(mean), self.site_value(variance)

    def statistics(self, values: Values, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.log(values[0]))

    def random_values(self, rng: np.random.Generator, prior: NDArray[np.float64], spread: float) -> Values:
        raw = np.exp(spread * rng.uniform(-1, 1, prior.shape))
        return (raw / raw.sum(-1, keepdims=True),)

    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray((coefficient < 0).any(-1))

    def mean(self, parameters: NDArray[np.float64]) -> Values:
        return (parameters / parameters.sum(-1, keepdims=True),)

    def log_density(self, values: Values, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        entries = xlogy(parameters - 1, values[0]) - gammaln(parameters)
        return np.asarray(gammaln(parameters.sum(-1)) + entries.sum(-1))

    def log_normaliser(self, parameters: NDArray[np.float64]) -> float:
        return float((gammaln(parameters).sum(-1) - gammaln(parameters.sum(-1))).sum())

    def distinct_values(self, rng: np.random.Generator, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        return rng.dirichlet(np.ones(prior.shape[-1]), prior.shape[:-1])

    def values_that_allow_all(self, parameters: NDArray[np.float64], stretch: float) -> NDArray[np.float64]:
        return np.full(parameters.shape, 1 / parameters.shape[-1])


DIRICHLET = Dirichlet()
