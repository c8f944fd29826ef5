"""Normal(mean, sd) variables x: with ``z = (x - mean) / sd`` of the prior, T = (z, -z^2 / 2).

The prior's own natural parameters are (0, 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.closed_forms.families.example import Example
from bayesmdp.posterior.closed_forms.families.family import Values, stacked
from bayesmdp.posterior.closed_forms.families.smooth import ROUNDING, Smooth

__all__ = ["NORMAL", "Normal", "normal_log_density"]


def normal_log_density(
    value: NDArray[np.float64], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log density of Normal variables; `scipy.stats`, which has one as well, takes half a second to import."""
    return np.asarray(-(((value - mean) / sd) ** 2) / 2 - np.log(sd) - np.log(2 * np.pi) / 2)


class Normal(Smooth):
    """The Normal family."""

    name = "Normal"
    labels = ("mean", "sd")
    has_normal = True
    equations = (((0.0,), 0), ((1.0,), 0))
    complaint = "quadratic in {0!r}, as a Normal prior asks"

    def example(self) -> Example:
        return Example(
            ((0.5, 2.0), (-1.0, 0.7)),
            (lambda: dist.Normal(np.array([0.5, -1.0]), np.array([2.0, 0.7])),),
            lambda x: dist.Normal(x, 0.8),
        )

    def of(self, kind: type, parameters: Mapping[str, Any]) -> NDArray[Any] | None:
        return stacked(parameters["loc"], parameters["scale"]) if issubclass(kind, dist.Normal) else None

    def natural(self, prior: Array) -> Array:
        return np.broadcast_to(np.array([0.0, 1.0]), prior.shape)

    def standard(self, natural: Array, prior: Array) -> Array:
        xp, scale = natural.__array_namespace__(), prior[..., 1]
        mean = prior[..., 0] + scale * natural[..., 0] / natural[..., 1]
        return xp.stack([mean, scale / xp.sqrt(natural[..., 1])], -1)

    def draws(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert normal is not None
        return (parameters[..., 0] + parameters[..., 1] * normal,)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        return parameters[..., 0], parameters[..., 1] ** 2

    def statistics(self, values: Values, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        z = (values[0] - prior[..., 0]) / prior[..., 1]
        return np.stack([z, -(z**2) / 2], -1)

    def place(self, point: Values, prior: NDArray[np.float64]) -> Values:
        return (prior[..., 0] + prior[..., 1] * point[0],)

    def units(self, values: Values, prior: NDArray[np.float64]) -> Values:
        return (prior[..., 1],)

    def gradient(self, point: tuple[float, ...]) -> NDArray[np.float64]:
        return np.array([[1.0, -point[0]]])

    def random_point(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Values:
        return (2 * spread * rng.uniform(-1, 1, shape),)

    def unrounded(
        self, coefficient: NDArray[np.float64], largest_slope: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        # The precision that a row adds is the difference of two slopes; that of the prior is 1.
        return coefficient, np.asarray(1e-12 * largest_slope > 1 + np.abs(coefficient[:, 1]))

    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        slope, curvature = np.moveaxis(coefficient, -1, 0)
        return np.asarray(curvature < -ROUNDING * np.abs(slope))

    def mean(self, parameters: NDArray[np.float64]) -> Values:
        return (parameters[..., 0],)

    def log_density(self, values: Values, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return normal_log_density(values[0], parameters[..., 0], parameters[..., 1])


NORMAL = Normal()
