"""The families of distributions whose posterior is known: their statistics, parameters, draws and moments.

A family's density is ``exp(eta . T(x) - A(eta))`` with natural parameters eta and statistics T. A likelihood
``c . T(x)`` plus a constant, seen w times, adds ``w c`` to eta. For a Dirichlet T is the log of its entries; the others
are written in coordinates z, tau in which the prior has mean 0 and scale 1, so that numbers keep their digits whatever
the units of the rewards:

    Normal         z = (x - mean) / sd                    T = (z, -z^2 / 2)
    Gamma          tau = t rate / shape                   T = (log tau, -tau)
    Normal-Gamma   tau as above,                          T = (log tau, -tau, tau z, -tau z^2 / 2)
                   z = (x - mean) sqrt(weight shape / rate)

Normal-Gamma is the pair t ~ Gamma(shape, rate), x | t ~ Normal(mean, 1 / sqrt(weight t)), for a mean and a precision
both unknown; its x alone is a Student t (Bernardo and Smith, 1994, section 5.2). The prior's own natural parameters are
(0, 1), (shape - 1, shape) and (shape - 1/2, shape, 0, 1).

A Pareto, of which there is closed form for the length of an interval that numbers are uniform on, is no exponential
family, since where its density begins is a parameter; derivatives of a likelihood say nothing of it.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array

__all__ = [
    "BETA",
    "DIRICHLET",
    "FAMILIES",
    "GAMMA",
    "NORMAL",
    "NORMAL_GAMMA",
    "PARETO",
    "ExponentialFamily",
    "Family",
]

type Values = tuple[Any, ...]
"""One array [...] for each site of the family: (x,), (t,) or (t, x)."""

type Equations = tuple[tuple[tuple[float, ...], int], ...]

NEAR_ZERO = 1e-3
"""A precision small beside its prior mean, where a log-likelihood is its log's alone."""

LEAST_LOG = -600.0
"""Logs of Gamma variables below are cut off: 1 / sqrt(t) is then 1e130 and not infinite."""

ROUNDING = 1e-9


class Family(Protocol):
    """A conjugate family; `prior` and `parameters` are arrays [..., parameter], in the order of `labels`.

    What is made of NumPy's arrays is NumPy's, and what is made of JAX's is JAX's.

    Attributes
    ----------
    name : str
    labels : tuple of str
        What its parameters are called; none for a Dirichlet, whose last axis is the site's own.
    simplex : bool
        Whether it is a distribution over distributions.
    has_normal : bool
        Whether its draws are made of standard normal ones.
    """

    name: str
    labels: tuple[str, ...]
    simplex: bool
    has_normal: bool

    def gamma_shape(self, parameters: Array) -> Array | None:
        """Shapes [...] of the standard Gamma variables that a draw is made of."""
        ...

    def values(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        """Draws [draw, ...] of each site from logs of Gamma variables and standard normal ones."""
        ...

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        """Mean and variance [...] of its last site."""
        ...


class ExponentialFamily(Family, Protocol):
    """A family whose likelihoods' parts add up."""

    def natural(self, prior: Array) -> Array:
        """Natural parameters [..., statistic] of the prior."""
        ...

    def standard(self, natural: Array, prior: Array) -> Array:
        """Parameters [..., parameter] from natural ones."""
        ...


class Smooth(ExponentialFamily, Protocol):
    """A family of real or positive unknowns, whose rows' coefficients follow from a few slopes.

    Attributes
    ----------
    equations : tuple of (point, which)
        Points in the coordinates z, tau, and the coordinate (log tau, or z) along which to differentiate there.
    complaint : str
        What a row's log-likelihood is not, where it has no closed form.
    """

    equations: Equations
    complaint: str

    def statistics(self, values: Values, prior: Array) -> NDArray[np.float64]:
        """T [..., statistic]."""
        ...

    def place(self, point: Values, prior: Array) -> Values:
        """The unknowns at given coordinates."""
        ...

    def units(self, values: Values, prior: Array) -> Values:
        """How fast each unknown moves along its coordinate."""
        ...

    def gradient(self, point: tuple[float, ...]) -> NDArray[np.float64]:
        """Derivatives [coordinate, statistic] of T."""
        ...

    def random(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Values:
        """Random coordinates."""
        ...

    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Rows [row] whose log-likelihood grows without bound, so that enough of them leave no posterior."""
        ...


class _Simplex:
    simplex, has_normal = True, False

    def __init__(self, name: str, labels: tuple[str, ...]) -> None:
        self.name, self.labels = name, labels

    def natural(self, prior: Array) -> Array:
        return prior

    def standard(self, natural: Array, prior: Array) -> Array:
        return natural

    def gamma_shape(self, parameters: Array) -> Array:
        return parameters

    def values(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert log_gamma is not None
        gamma = log_gamma.__array_namespace__().exp(log_gamma - log_gamma.max(-1, keepdims=True))
        distribution = gamma / gamma.sum(-1, keepdims=True)
        return (distribution[..., 0] if self.labels else distribution,)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        total = parameters.sum(-1, keepdims=True)
        mean = parameters / total
        variance = mean * (1 - mean) / (total + 1)
        return (mean[..., 0], variance[..., 0]) if self.labels else (mean, variance)


class _Normal:
    name, simplex = "Normal", False
    labels: tuple[str, ...] = ("mean", "sd")
    has_normal = True
    equations: Equations = (((0.0,), 0), ((1.0,), 0))
    complaint = "quadratic in {0!r}, as a Normal prior asks"

    def natural(self, prior: Array) -> Array:
        return np.broadcast_to(np.array([0.0, 1.0]), prior.shape)

    def standard(self, natural: Array, prior: Array) -> Array:
        xp, scale = natural.__array_namespace__(), prior[..., 1]
        mean = prior[..., 0] + scale * natural[..., 0] / natural[..., 1]
        return xp.stack([mean, scale / xp.sqrt(natural[..., 1])], -1)

    def gamma_shape(self, parameters: Array) -> None:
        return None

    def values(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert normal is not None
        return (parameters[..., 0] + parameters[..., 1] * normal,)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        return parameters[..., 0], parameters[..., 1] ** 2

    def statistics(self, values: Values, prior: Array) -> NDArray[np.float64]:
        z = (values[0] - prior[..., 0]) / prior[..., 1]
        return np.stack([z, -(z**2) / 2], -1)

    def place(self, point: Values, prior: Array) -> Values:
        return (prior[..., 0] + prior[..., 1] * point[0],)

    def units(self, values: Values, prior: Array) -> Values:
        return (prior[..., 1],)

    def gradient(self, point: tuple[float, ...]) -> NDArray[np.float64]:
        return np.array([[1.0, -point[0]]])

    def random(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Values:
        return (2 * spread * rng.uniform(-1, 1, shape),)

    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        slope, curvature = np.moveaxis(coefficient, -1, 0)
        return np.asarray(curvature < -ROUNDING * np.abs(slope))


class _Gamma:
    name, simplex = "Gamma", False
    labels: tuple[str, ...] = ("shape", "rate")
    has_normal = False
    equations: Equations = (((NEAR_ZERO,), 0), ((1.0,), 0))
    complaint = "linear in {0!r} and its log, as a Gamma prior asks"

    def natural(self, prior: Array) -> Array:
        return np.stack([prior[..., 0] - 1, prior[..., 0]], -1)

    def standard(self, natural: Array, prior: Array) -> Array:
        rate = natural[..., 1] * (prior[..., 1] / prior[..., 0])
        return natural.__array_namespace__().stack([natural[..., 0] + 1, rate], -1)

    def gamma_shape(self, parameters: Array) -> Array:
        return parameters[..., 0]

    def values(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert log_gamma is not None
        xp = log_gamma.__array_namespace__()
        return (xp.exp(xp.maximum(log_gamma, LEAST_LOG)) / parameters[..., 1],)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        return parameters[..., 0] / parameters[..., 1], parameters[..., 0] / parameters[..., 1] ** 2

    def statistics(self, values: Values, prior: Array) -> NDArray[np.float64]:
        tau = values[0] * prior[..., 1] / prior[..., 0]
        return np.stack([np.log(tau), -tau], -1)

    def place(self, point: Values, prior: Array) -> Values:
        return (point[0] * prior[..., 0] / prior[..., 1],)

    def units(self, values: Values, prior: Array) -> Values:
        return (values[0],)

    def gradient(self, point: tuple[float, ...]) -> NDArray[np.float64]:
        return np.array([[1.0, -point[0]]])

    def random(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Values:
        return (np.exp(0.5 * spread * rng.uniform(-1, 1, shape)),)

    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray((coefficient < -ROUNDING * np.abs(coefficient).max(-1, keepdims=True)).any(-1))


class _NormalGamma:
    name, simplex = "Normal-Gamma", False
    labels: tuple[str, ...] = ("mean", "weight", "shape", "rate")
    has_normal = True
    equations: Equations = (((NEAR_ZERO, 0.0), 0), ((1.0, 0.0), 0), ((1.0, 0.0), 1), ((1.0, 1.0), 1))
    complaint = "that of a Normal with mean {1!r} and precision {0!r}, as a Normal-Gamma prior asks"

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

    def values(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert log_gamma is not None
        assert normal is not None
        xp = log_gamma.__array_namespace__()
        t = xp.exp(xp.maximum(log_gamma, LEAST_LOG)) / parameters[..., 3]
        return t, parameters[..., 0] + normal / xp.sqrt(parameters[..., 1] * t)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        mean, weight, shape, rate = (parameters[..., i] for i in range(4))
        finite = shape > 1
        return mean, jnp.where(finite, rate / (weight * jnp.where(finite, shape - 1, 1)), jnp.inf)

    def statistics(self, values: Values, prior: Array) -> NDArray[np.float64]:
        mean, weight, shape, rate = (prior[..., i] for i in range(4))
        tau, z = values[0] * rate / shape, (values[1] - mean) * np.sqrt(weight * shape / rate)
        return np.stack([np.log(tau), -tau, tau * z, -tau * z**2 / 2], -1)

    def place(self, point: Values, prior: Array) -> Values:
        mean, weight, shape, rate = (prior[..., i] for i in range(4))
        return point[0] * shape / rate, mean + point[1] * np.sqrt(rate / (weight * shape))

    def units(self, values: Values, prior: Array) -> Values:
        return values[0], np.sqrt(prior[..., 3] / (prior[..., 1] * prior[..., 2]))

    def gradient(self, point: tuple[float, ...]) -> NDArray[np.float64]:
        tau, z = point
        return np.array([[1.0, -tau, tau * z, -tau * z**2 / 2], [0.0, 0.0, tau, -tau * z]])

    def random(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Values:
        return np.exp(0.5 * spread * rng.uniform(-1, 1, shape)), 2 * spread * rng.uniform(-1, 1, shape)

    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        log, constant, slope, curvature = np.moveaxis(coefficient, -1, 0)
        size = np.abs(coefficient).max(-1)
        negative = (np.stack([log, constant, curvature]) < -ROUNDING * size).any(0)
        # constant - slope z + curvature z^2 / 2 must not be negative anywhere.
        return np.asarray(negative | (slope**2 - 2 * constant * curvature > 1e-6 * size**2))


class _Pareto:
    name, simplex = "Pareto", False
    labels: tuple[str, ...] = ("scale", "shape")
    has_normal = False

    def gamma_shape(self, parameters: Array) -> Array:
        return parameters.__array_namespace__().ones_like(parameters[..., 1])

    def values(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        assert log_gamma is not None
        xp = log_gamma.__array_namespace__()
        return (parameters[..., 0] * xp.exp(xp.exp(log_gamma) / parameters[..., 1]),)

    def moments(self, parameters: Array) -> tuple[Array, Array]:
        scale, shape = parameters[..., 0], parameters[..., 1]
        one, two = jnp.maximum(shape - 1, 0), jnp.maximum(shape - 2, 0)
        return scale * shape / one, scale**2 * shape / (one**2 * two)


DIRICHLET: ExponentialFamily = _Simplex("Dirichlet", ())
BETA: ExponentialFamily = _Simplex("Beta", ("a", "b"))
NORMAL: Smooth = _Normal()
GAMMA: Smooth = _Gamma()
NORMAL_GAMMA: Smooth = _NormalGamma()
PARETO: Family = _Pareto()
KINDS: tuple[Family, ...] = (DIRICHLET, BETA, NORMAL, GAMMA, NORMAL_GAMMA, PARETO)
FAMILIES: dict[str, Family] = {family.name: family for family in KINDS}
