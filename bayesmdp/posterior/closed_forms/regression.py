"""Closed forms for linear regressions: Normal sites of rows, linear in Normal unknowns, with known or unknown noise.

What a model observes of a row are Normal sites, such as ``next_state`` itself, several coordinates or several sites. A
site e has the *residual* ``r_e = (y - location) / scale``, where the location is linear in the coefficients w, the
model's Normal unknowns: ``r(w) = r(m) + J (w - m)`` with the prior's mean m.

*Known noise.* With the prior's precision P the posterior of w is Normal, and with sums over rows as often as they count

    precision = P + sum J'J,    mean = m - precision^-1 sum J'r(m).

*Unknown noise* (Normal-Gamma regression; Bernardo and Smith, 1994, section 5.2; de Groot, 1970, 11.10). There are
precisions t_g ~ Gamma(a, b), or variances 1 / t_g that are inverse Gamma, in one site or several. Each coefficient and
each residual belongs to one of them, by scales that are so many over sqrt(t_g). With n residuals of group g,

    t_g ~ Gamma(a + n / 2, b + (sum r(m)'r(m) - d' precision d) / 2),    d = mean - m,
    w | t_g ~ Normal(mean, (t_g precision)^-1).

Groups may have different numbers of coefficients, such as next states and rewards that are linear in other features:
the smaller ones are filled up with coefficients that nothing depends on, which are left out where values are made.

All this is found and not declared: locations, scales and groups are read off runs of the model, and believed only if
they explain the log-likelihood of rows at random values of the unknowns, masks and weights included. What is carried
is the sums, so that a step costs the same whatever was seen before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Key
from numpy.typing import NDArray
from scipy.special import gammaln

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.likelihood import row_values
from bayesmdp.model_reading.read_model import Model, Reading
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import Frozen, freeze, thaw
from bayesmdp.posterior.closed_forms.regression_rows import (
    Sums,
    regression_sums,
    residuals_by_site,
    residuals_of_rows,
)
from bayesmdp.posterior.random_variables import standard_log_gamma

__all__ = ["Regression", "without_density"]


class Regression(NamedTuple):
    """A model whose posterior is a linear regression's; hashable.

    Attributes
    ----------
    sites : tuple of (site, its shape)
        Of the coefficients.
    noises : tuple of (site, its shape, whether it holds variances)
        The sites of precisions or variances, whose elements, one site after the other, are one a group; none where the
        noise is known.
    place : int array [group, coefficient]
        Where a group's coefficients stand among all of them, one site after the other, and after these what fills up.
    mean, precision : array [group, coefficient], array [group, coefficient, coefficient]
        Of the prior, where precisions of the noise are 1.
    shape, rate : array [group]
        Of the prior of the precisions; NaN where the noise is known.
    dims : tuple of (unknown, names of its axes)
    """

    sites: tuple[tuple[str, tuple[int, ...]], ...]
    noises: tuple[tuple[str, tuple[int, ...], bool], ...]
    place: Frozen
    mean: Frozen
    precision: Frozen
    shape: Frozen
    rate: Frozen
    dims: tuple[tuple[str, tuple[str, ...]], ...]

    def described(self) -> str:
        """The form without its numbers, as an attr of a posterior."""
        names = ("sites", "noises", "dims")
        return json.dumps({name: getattr(self, name) for name in names})

    @classmethod
    def of_parameters(cls, described: str, parameters: Mapping[str, NDArray[Any]]) -> Regression:
        """The form whose prior is a posterior, from what a posterior holds of it.

        Parameters
        ----------
        described : str
        parameters : mapping
            ``place``, and those of `parameters`.
        """
        told = json.loads(described)
        sites = tuple((name, tuple(shape)) for name, shape in told["sites"])
        dims = tuple((name, tuple(axes)) for name, axes in told["dims"])
        place, *prior = (
            freeze(np.asarray(parameters[name])) for name in ("place", "mean", "precision", "shape", "rate")
        )
        mean, precision, shape, rate = prior
        noises = tuple((name, tuple(shape), variance) for name, shape, variance in told["noises"])
        return cls(sites, noises, place, mean, precision, shape, rate, dims)

    @property
    def before(self) -> Sums:
        """The sums of no data."""
        groups, size = thaw(self.mean).shape
        return Sums(np.zeros((groups, size, size)), np.zeros((groups, size)), np.zeros(groups), np.zeros(groups))

    def learn(self, model: Model, sums: Sums, data: Records) -> Sums:
        """The sums after these rows; may be traced, for a few rows.

        Parameters
        ----------
        model : NumPyro function of the data
        sums : Sums
            Before the rows.
        data : Records

        Returns
        -------
        Sums
        """
        return jax.tree.map(jnp.add, sums, _summed(model, self, data))

    def learn_log(self, model: Model, sums: Sums, data: Records) -> Sums:
        """The sums after a log, some rows at a time, so that memory does not grow with it, nor programs with logs."""
        return regression_sums(model, self, sums, data)

    def parameters(self, sums: Sums) -> dict[str, Array]:
        """The posterior's parameters: ``mean``, ``precision``, ``shape`` and ``rate`` by group; may be traced."""
        xp = sums.gram.__array_namespace__()
        precision = thaw(self.precision) + sums.gram
        moved = xp.linalg.solve(precision, sums.shift[..., None])[..., 0]
        explained = (moved * sums.shift).sum(-1)
        return {
            "mean": thaw(self.mean) + moved,
            "precision": precision,
            "shape": thaw(self.shape) + sums.count / 2,
            # What is left over is a sum of squares; rounding may say otherwise.
            "rate": thaw(self.rate) + xp.maximum(sums.square - explained, 0.0) / 2,
        }

    def draw(self, key: Key[Array, ""], sums: Sums, num_draws: int) -> dict[str, Array]:
        """Draw the unknowns [draw, ...] by site; may be traced.

        Parameters
        ----------
        key : key
        sums : Sums
        num_draws : int

        Returns
        -------
        dict of arrays by site
        """
        skeleton = (self.sites, self.noises, self.place)
        return _draw(key, self.parameters(jax.tree.map(jnp.asarray, sums)), skeleton=skeleton, num_draws=num_draws)

    @property
    def work(self) -> int:
        """Products that the sums of a row take, about."""
        groups, size = thaw(self.mean).shape
        return groups**2 * size**2

    def mean_values(self, sums: Sums) -> dict[str, NDArray[np.float64]]:
        """The unknowns at the posterior's mean, of the noise that of its precision, by site."""
        told = {name: np.asarray(value) for name, value in self.parameters(sums).items()}
        noise = told["shape"] / told["rate"] if self.noises else np.ones(len(told["mean"]))
        return {name: np.asarray(value) for name, value in self.values(self.in_order(told["mean"]), noise).items()}

    def values(self, coefficients: Array, noise: Array) -> dict[str, Array]:
        """The unknowns by site, from all coefficients [coefficient] and precisions [group]."""
        return _values(coefficients[None], noise[None], self.sites, self.noises, lambda value: value[0])

    def centre(self) -> NDArray[np.float64]:
        """The prior's mean of all coefficients, one site after the other, and of what fills up."""
        return self.in_order(thaw(self.mean))

    def in_order(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Put coefficients [group, coefficient] one site after the other, with what fills up at the end.

        Parameters
        ----------
        coefficients : array [group, coefficient]

        Returns
        -------
        array [coefficient]
        """
        flat = np.zeros(thaw(self.place).size)
        flat[thaw(self.place).ravel()] = coefficients.ravel()
        return flat

    def log_evidence(self, reading: Reading, sums: Sums, data: Records) -> float:
        """The log probability density of the data under the prior.

        Parameters
        ----------
        reading : Reading
        sums : Sums
            After the data.
        data : Records

        Returns
        -------
        float
        """
        before, after = (self.parameters(each) for each in (self.before, sums))
        logdet = [np.linalg.slogdet(each["precision"])[1].sum() for each in (before, after)]
        gained = (logdet[0] - logdet[1]) / 2
        if not self.noises:
            gained -= _left(self, sums).sum() / 2
        else:
            gained += sum(
                sign * (each["shape"] * np.log(each["rate"]) - gammaln(each["shape"])).sum()
                for sign, each in ((1, before), (-1, after))
            )
        return float(gained + self._constants(reading.model, data))

    def _constants(self, model: Model, data: Records) -> float:
        """What the density of the rows has beside residuals and precisions, at a point where both are known."""
        values = {name: jnp.asarray(each) for name, each in self._centred().items()}
        each = np.asarray(row_values(model, data, values))
        square = np.asarray(_squares(model, self, data))
        seen = np.asarray(data.weight) > 0
        return float((each + square / 2)[seen].sum())

    def residuals(self, model: Model, sums: Sums, data: Records) -> NDArray[np.float64]:
        """Return what the posterior's mean leaves unexplained of rows, in units of what is observed.

        Parameters
        ----------
        model : NumPyro function of the data
        sums : Sums
            After the data.
        data : Records

        Returns
        -------
        array [row, residual]
            In the order of the sites that rows observe, and of their elements; several that are correlated are told
            apart as by the root of their covariance.
        """
        told = {name: np.asarray(value) for name, value in self.parameters(sums).items()}
        noise = np.log(told["shape"] / told["rate"]) if self.noises else np.zeros(len(told["mean"]))
        return np.asarray(_residuals_at(model, self, self.in_order(told["mean"]), noise, data))

    def _centred(self) -> dict[str, NDArray[np.float64]]:
        groups = len(thaw(self.mean))
        return {name: np.asarray(value) for name, value in self.values(self.centre(), np.ones(groups)).items()}

    def impossible(self, model: Model, data: Records) -> NDArray[np.bool_]:
        """Find the rows that have probability 0 whatever the unknowns are."""
        return without_density(model, data, self._centred())


def without_density(model: Model, data: Records, unknowns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return which rows [row] have probability 0, at unknowns of which none makes any other row impossible."""
    values = {name: jnp.asarray(each) for name, each in unknowns.items()}
    return np.asarray(row_values(model, data, values)) < -1e300


def _values(
    coefficients: Array,
    noise: Array,
    sites: tuple[tuple[str, tuple[int, ...]], ...],
    noises: tuple[tuple[str, tuple[int, ...], bool], ...],
    each: Callable[[Array], Array] = lambda value: value,
) -> dict[str, Array]:
    """Unknowns [draw, ...] by site, from coefficients [draw, coefficient] and precisions [draw, group]."""
    values, draws, begin = {}, len(coefficients), 0
    for name, shape in sites:
        end = begin + int(np.prod(shape))
        values[name] = each(coefficients[:, begin:end].reshape(draws, *shape))
        begin = end
    begin = 0
    for name, shape, variance in noises:
        end = begin + int(np.prod(shape))
        own = noise[:, begin:end]
        values[name] = each((1 / own if variance else own).reshape(draws, *shape))
        begin = end
    return values


@partial(jax.jit, static_argnames=("skeleton", "num_draws"))
def _draw(
    key: Key[Array, ""], parameters: dict[str, Array], *, skeleton: tuple[Any, ...], num_draws: int
) -> dict[str, Array]:
    """Draws [draw, ...] by site, from the parameters of a posterior; the skeleton is what they are of."""
    sites, noises, place = skeleton
    noise_key, normal_key = jax.random.split(key)
    groups, size = parameters["mean"].shape
    noise = jnp.ones((num_draws, groups))
    if noises:
        noise = jnp.exp(standard_log_gamma(noise_key, parameters["shape"], num_draws)) / parameters["rate"]
    # With precision = L L', L'^-1 z has the covariance of the coefficients where the noise is 1.
    lower = jnp.linalg.cholesky(parameters["precision"])
    normal = jax.random.normal(normal_key, (groups, size, num_draws), jnp.float64)
    spread = jnp.moveaxis(solve_triangular(lower, normal, lower=True, trans=1), -1, 0)
    values = parameters["mean"] + spread / jnp.sqrt(noise)[..., None]
    flat = jnp.zeros((num_draws, groups * size))
    flat = flat.at[:, thaw(place).ravel()].set(values.reshape(num_draws, groups * size))
    return _values(flat, noise, sites, noises)


def _left(form: Regression, sums: Sums) -> NDArray[np.float64]:
    """The sums of squares that are left over by group, the prior's part included."""
    precision = thaw(form.precision) + sums.gram
    moved = np.linalg.solve(precision, sums.shift[..., None])[..., 0]
    return np.asarray(sums.square - (moved * sums.shift).sum(-1))


def _summed(model: Model, form: Regression, data: Records) -> Sums:
    """The sums of some rows."""
    residual, slope, belongs, times = residuals_of_rows(model, form, data)
    counted = belongs * times[..., None]
    return Sums(
        jnp.einsum("reg,regi,regj->gij", counted, slope, slope),
        -jnp.einsum("reg,regi,re->gi", counted, slope, residual),
        jnp.einsum("reg,re->g", counted, residual**2),
        counted.sum((0, 1)),
    )


@partial(jax.jit, static_argnums=(0, 1))
def _residuals_at(model: Model, form: Regression, coefficients: Array, log_noise: Array, data: Records) -> Array:
    residual, log_scale, _ = residuals_by_site(model, form, coefficients, log_noise, jax.tree.map(jnp.asarray, data))
    return residual * jnp.exp(log_scale)


@partial(jax.jit, static_argnums=(0, 1))
def _squares(model: Model, form: Regression, data: Records) -> Array:
    """Squared residuals [row] at the prior's mean, as often as they count."""
    residual, _, times = residuals_by_site(
        model, form, jnp.asarray(form.centre()), jnp.zeros(len(thaw(form.mean))), jax.tree.map(jnp.asarray, data)
    )
    return (times * residual**2).sum(-1)
