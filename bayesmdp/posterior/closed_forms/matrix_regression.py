"""The closed form for vectors whose noise is correlated in an unknown way: matrix-Normal Wishart regression.

Of a row a model observes one vector y with D elements, ``y = location + H e`` with a known matrix H, and of the noise
only a precision matrix L is unknown, ``e ~ Normal(0, L^-1)``. The location is linear in coefficients W [feature, D],
each element of e in those of its own column, by the same features phi:

    L ~ Wishart(n, R^-1),    W | L ~ MatrixNormal(M, rows P^-1, columns L^-1),    e(W) = e(M) - (W - M)' phi.

With sums over rows as often as they count (Rossi, Allenby and McCulloch, 2005, section 2.8.5; Minka, 2000)

    rows P + sum phi phi',    M + A,    A = (P + sum phi phi')^-1 sum phi e(M)',
    n + rows,                 R + sum e(M) e(M)' - A' sum phi e(M)'.

For one coordinate that is the Normal-Gamma regression of :mod:`~bayesmdp.posterior.closed_forms.regression`, of which
it has the methods too. What is carried is the sums, so that a step costs the same whatever was seen before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Key
from numpy.typing import NDArray
from scipy.special import multigammaln

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.likelihood import row_values
from bayesmdp.model_reading.model_runs import sites
from bayesmdp.model_reading.primitives import bare, per_row, row_counts
from bayesmdp.model_reading.read_model import Model, Reading
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import Frozen, freeze, thaw
from bayesmdp.posterior.closed_forms.regression import Regression, without_density
from bayesmdp.posterior.closed_forms.regression_rows import summed_in_chunks, whitened
from bayesmdp.posterior.random_variables import standard_log_gamma

__all__ = ["MatrixRegression", "MatrixSums", "regression_of", "residuals_at"]


class MatrixSums(NamedTuple):
    """What data add up to; see the module.

    Attributes
    ----------
    gram : array [feature, feature]
    cross : array [feature, coordinate]
    square : array [coordinate, coordinate]
    count : array []
        Rows.
    """

    gram: Array
    cross: Array
    square: Array
    count: Array


class MatrixRegression(NamedTuple):
    """A model whose posterior is matrix-Normal Wishart; hashable.

    Attributes
    ----------
    sites : tuple of (site, its shape)
        Of the coefficients, whose last axis is that of coordinates.
    noise : str
        The site of the precision matrix.
    mean : array [feature, coordinate]
        Of the prior, one site after the other.
    precision : array [feature, feature]
        P of the prior.
    degrees : float
        n of the prior.
    rate : array [coordinate, coordinate]
        R of the prior.
    dims : tuple of (unknown, names of its axes)
    """

    sites: tuple[tuple[str, tuple[int, ...]], ...]
    noise: str
    mean: Frozen
    precision: Frozen
    degrees: Frozen
    rate: Frozen
    dims: tuple[tuple[str, tuple[str, ...]], ...]

    def described(self) -> str:
        """The form without its numbers, as an attr of a posterior."""
        return json.dumps({name: getattr(self, name) for name in ("sites", "noise", "dims")})

    @classmethod
    def of_parameters(cls, described: str, parameters: Mapping[str, NDArray[Any]]) -> MatrixRegression:
        """The form whose prior is a posterior, from what a posterior holds of it.

        Parameters
        ----------
        described : str
        parameters : mapping
            Those of `parameters`.
        """
        told = json.loads(described)
        shapes = tuple((name, tuple(shape)) for name, shape in told["sites"])
        dims = tuple((name, tuple(axes)) for name, axes in told["dims"])
        names = "mean", "precision", "degrees", "rate"
        mean, precision, degrees, rate = (freeze(np.asarray(parameters[name])) for name in names)
        return cls(shapes, told["noise"], mean, precision, degrees, rate, dims)

    @property
    def before(self) -> MatrixSums:
        """The sums of no data."""
        features, coordinates = thaw(self.mean).shape
        return MatrixSums(
            np.zeros((features, features)),
            np.zeros((features, coordinates)),
            np.zeros((coordinates, coordinates)),
            np.zeros(()),
        )

    def learn(self, model: Model, sums: MatrixSums, data: Records) -> MatrixSums:
        """The sums after these rows; may be traced, for a few rows.

        Parameters
        ----------
        model : NumPyro function of the data
        sums : MatrixSums
            Before the rows.
        data : Records

        Returns
        -------
        MatrixSums
        """
        residual, features, times = features_of_rows(model, self, data)
        weighted = times[:, None] * residual
        seen = MatrixSums(
            jnp.einsum("r,rf,rg->fg", times, features, features),
            features.T @ weighted,
            residual.T @ weighted,
            times.sum(),
        )
        return jax.tree.map(jnp.add, sums, seen)

    def learn_log(self, model: Model, sums: MatrixSums, data: Records) -> MatrixSums:
        """The sums after a log, some rows at a time, so that memory does not grow with it, nor programs with logs."""
        return summed_in_chunks(model, self, sums, data)

    def parameters(self, sums: MatrixSums) -> dict[str, Array]:
        """The posterior's parameters: ``mean``, ``precision``, ``degrees`` and ``rate``; may be traced."""
        xp = sums.gram.__array_namespace__()
        precision = thaw(self.precision) + sums.gram
        moved = xp.linalg.solve(precision, sums.cross)
        left = sums.square - moved.T @ sums.cross
        return {
            "mean": thaw(self.mean) + moved,
            "precision": precision,
            "degrees": thaw(self.degrees) + sums.count,
            "rate": thaw(self.rate) + (left + left.T) / 2,
        }

    def draw(self, key: Key[Array, ""], sums: MatrixSums, num_draws: int) -> dict[str, Array]:
        """Draw the unknowns [draw, ...] by site; may be traced.

        Parameters
        ----------
        key : key
        sums : MatrixSums
        num_draws : int

        Returns
        -------
        dict of arrays by site
        """
        weights, noise = _draw(key, self.parameters(jax.tree.map(jnp.asarray, sums)), num_draws)
        return {**self._by_site(weights, (num_draws,)), self.noise: noise}

    @property
    def work(self) -> int:
        """Products that the sums of a row take, about."""
        features, coordinates = thaw(self.mean).shape
        return features**2 + features * coordinates + coordinates**2

    def mean_values(self, sums: MatrixSums) -> dict[str, NDArray[np.float64]]:
        """The unknowns at the posterior's mean, by site."""
        told = {name: np.asarray(value) for name, value in self.parameters(sums).items()}
        noise = told["degrees"] * np.linalg.inv(told["rate"])
        return {name: np.asarray(value) for name, value in self.values(told["mean"], noise).items()}

    def values(self, coefficients: Array, noise: Array) -> dict[str, Array]:
        """The unknowns by site, from coefficients [feature, coordinate] and a precision [coordinate, coordinate]."""
        return {**self._by_site(coefficients, ()), self.noise: noise}

    def _by_site(self, coefficients: Array, draws: tuple[int, ...]) -> dict[str, Array]:
        values, begin = {}, 0
        for name, shape in self.sites:
            end = begin + int(np.prod(shape[:-1]))
            values[name] = coefficients[..., begin:end, :].reshape(*draws, *shape)
            begin = end
        return values

    def centred(self) -> dict[str, NDArray[np.float64]]:
        """The unknowns at the prior's mean, and a precision of 1."""
        mean = thaw(self.mean)
        return {name: np.asarray(value) for name, value in self.values(mean, np.eye(mean.shape[1])).items()}

    def log_evidence(self, reading: Reading, sums: MatrixSums, data: Records) -> float:
        """The log probability density of the data under the prior.

        Parameters
        ----------
        reading : Reading
        sums : MatrixSums
            After the data.
        data : Records

        Returns
        -------
        float
        """
        before, after = (_log_normaliser(self.parameters(each)) for each in (self.before, sums))
        # What the density of the rows has beside residuals and the precision, at a point where both are known.
        values = {name: jnp.asarray(each) for name, each in self.centred().items()}
        each = np.asarray(row_values(reading.model, data, values))
        residual, times = map(np.asarray, residuals_at(reading.model, self, thaw(self.mean), data))
        constants = each + times * (residual**2).sum(-1) / 2
        return float(after - before + constants[np.asarray(data.weight) > 0].sum())

    def impossible(self, model: Model, data: Records) -> NDArray[np.bool_]:
        """Find the rows that have probability 0 whatever the unknowns are."""
        return without_density(model, data, self.centred())


def regression_of(described: str, parameters: Mapping[str, NDArray[Any]]) -> Regression | MatrixRegression:
    """Return the form, of either kind, whose prior is a posterior.

    Parameters
    ----------
    described : str
        What the form's `described` said.
    parameters : mapping

    Returns
    -------
    Regression or MatrixRegression
    """
    kind = MatrixRegression if "noise" in json.loads(described) else Regression
    return kind.of_parameters(described, parameters)


def _log_normaliser(parameters: Mapping[str, Any]) -> float:
    """The log of the integral of an unnormalised matrix-Normal Wishart density, but for what data do not change."""
    degrees, rate = float(parameters["degrees"]), np.asarray(parameters["rate"])
    size = len(rate)
    wishart = (
        degrees * size / 2 * np.log(2) + multigammaln(degrees / 2, size) - degrees / 2 * np.linalg.slogdet(rate)[1]
    )
    return float(wishart - size / 2 * np.linalg.slogdet(np.asarray(parameters["precision"]))[1])


@partial(jax.jit, static_argnums=2)
def _draw(key: Key[Array, ""], parameters: dict[str, Array], num_draws: int) -> tuple[Array, Array]:
    """Coefficients [draw, feature, coordinate] and precisions [draw, coordinate, coordinate]."""
    gamma_key, below_key, normal_key = jax.random.split(key, 3)
    features, size = parameters["mean"].shape
    # Bartlett (1933): with a lower triangular B of chi and Normal variables, C B (C B)' is Wishart(n, C C').
    half = (parameters["degrees"] - jnp.arange(size)) / 2
    chi = jnp.sqrt(2 * jnp.exp(standard_log_gamma(gamma_key, half, num_draws)))
    below = jnp.tril(jax.random.normal(below_key, (num_draws, size, size), jnp.float64), -1)
    triangle = below + chi[:, :, None] * jnp.eye(size)
    # Of R = U U' the inverse is U'^-1 U^-1.
    root = solve_triangular(jnp.linalg.cholesky(parameters["rate"]), jnp.eye(size), lower=True).T @ triangle
    normal = jax.random.normal(normal_key, (num_draws, features, size), jnp.float64)
    rows = solve_triangular(jnp.linalg.cholesky(parameters["precision"]), normal, lower=True, trans=1)
    # With L = Q Q', Z Q^-1 has rows whose covariance is L^-1.
    spread = jnp.swapaxes(jnp.linalg.solve(jnp.swapaxes(root, -1, -2), jnp.swapaxes(rows, -1, -2)), -1, -2)
    return parameters["mean"] + spread, root @ jnp.swapaxes(root, -1, -2)


@partial(jax.jit, static_argnums=(0, 1))
def residuals_at(model: Model, form: MatrixRegression, coefficients: Array, data: Records) -> tuple[Array, Array]:
    """Return residuals e [row, coordinate], and how often rows count [row].

    Parameters
    ----------
    model : NumPyro function of the data
    form : MatrixRegression
    coefficients : array [feature, coordinate]
    data : Records
    """
    coefficients = jnp.asarray(coefficients)
    messages = sites(model, jax.tree.map(jnp.asarray, data), form.values(coefficients, jnp.eye(coefficients.shape[1])))
    (site,) = per_row(messages).values()
    fn, value, rows = bare(site["fn"]), jnp.asarray(site["value"]), len(data.weight)
    # At a precision of 1 the covariance is H H'.
    return whitened(fn, value)[0], row_counts(site, rows)


def features_of_rows(model: Model, form: MatrixRegression, data: Records) -> tuple[Array, Array, Array]:
    """Return residuals [row, coordinate] at the prior's mean, features [row, feature], and how often rows count [row].

    Parameters
    ----------
    model : NumPyro function of the data
    form : MatrixRegression
    data : Records
    """
    centre = jnp.asarray(thaw(form.mean))

    def one(row: Records) -> tuple[Array, Array, Array]:
        alone = jax.tree.map(lambda column: column[None], row)

        def first(coefficients: Array) -> tuple[Array, tuple[Array, Array]]:
            residual, times = residuals_at(model, form, coefficients, alone)
            return residual[0, 0], (residual[0], times[0])

        # All elements have the same features, so that those of the first tell them.
        slope, (residual, times) = jax.grad(first, has_aux=True)(centre)
        return residual, -slope[:, 0], times

    return jax.vmap(one)(jax.tree.map(jnp.asarray, data))
