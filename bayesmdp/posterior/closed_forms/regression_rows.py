"""Rows of linear regressions: their residuals, how these move with coefficients, and what a log of them adds up to.

Of what :mod:`bayesmdp.posterior.closed_forms.regression` says, this is the part that reads rows by runs of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular
from jaxtyping import Int
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.model_runs import sites
from bayesmdp.model_reading.primitives import bare, per_row, row_counts
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import Frozen, thaw

__all__ = [
    "LinearForm",
    "Sums",
    "regression_sums",
    "residuals_by_site",
    "residuals_of_rows",
    "summed_in_chunks",
    "whitened",
]

CHUNK = 512
"""Rows that are summed at once."""


class Sums(NamedTuple):
    """What data add up to, by group of the noise; see the module.

    Attributes
    ----------
    gram : array [group, coefficient, coefficient]
        J'J.
    shift : array [group, coefficient]
        -J'r(m).
    square : array [group]
        r(m)'r(m).
    count : array [group]
        Residuals.
    """

    gram: Array
    shift: Array
    square: Array
    count: Array


class LinearForm(Protocol):
    """What is read of a `Regression` here; hashable."""

    @property
    def noises(self) -> tuple[Any, ...]:
        """The sites of precisions or variances; none where the noise is known."""
        ...

    @property
    def place(self) -> Frozen:
        """Where a group's coefficients stand [group, coefficient] among all of them."""
        ...

    def values(self, coefficients: Array, noise: Array) -> dict[str, Array]:
        """The unknowns by site."""
        ...

    def centre(self) -> NDArray[np.float64]:
        """The prior's mean of all coefficients."""
        ...


def regression_sums(model: Model, form: LinearForm, sums: Sums, data: Records) -> Sums:
    """Return the sums of a regression after a log, some rows at a time.

    Products are taken of those coefficients alone that some of the rows hang on.

    Parameters
    ----------
    model : NumPyro function of the data
    form : Regression
    sums : Sums
        Before the rows.
    data : Records
    """
    # Rows of one action stand together: they hang on few of the coefficients.
    order = np.argsort(np.asarray(data.action), kind="stable")
    total = jax.tree.map(np.array, sums)
    for chunk in _chunks(jax.tree.map(lambda column: np.asarray(column)[order], data)):
        rank, ranks = 0, 1
        while rank < ranks:
            *told, most = map(np.asarray, _of_rank(model, form, chunk, np.int32(rank)))
            _add_rows(total, *told)
            rank, ranks = rank + 1, int(most)
    return total


def summed_in_chunks[S](model: Model, form: Any, sums: S, data: Records) -> S:
    """Return the sums of a form after a log, some rows at a time.

    Memory does not grow with the log then, nor the number of programs with that of logs.

    Parameters
    ----------
    model : NumPyro function of the data
    form : Regression or MatrixRegression
        Anything hashable that has `learn`.
    sums : as the form has them
        Before the rows.
    data : Records
    """
    for chunk in _chunks(data):
        sums = jax.tree.map(np.asarray, _added(model, form, sums, chunk))
    return sums


def _chunks(data: Records) -> Iterator[Records]:
    """The rows, as many at a time, the last ones filled up with rows that do not count."""
    rows = len(data.weight)
    for start in range(0, rows, CHUNK):
        take = np.minimum(np.arange(start, start + CHUNK), rows - 1)
        chunk = jax.tree.map(lambda column: np.asarray(column)[take], data)  # noqa: B023
        yield chunk._replace(weight=np.where(np.arange(start, start + CHUNK) < rows, chunk.weight, 0.0))


@partial(jax.jit, static_argnums=(0, 1))
def _added[S](model: Model, form: Any, sums: S, data: Records) -> S:
    learned: S = form.learn(model, sums, data)
    return learned


def whitened(fn: Any, value: Array) -> tuple[Array, Array]:
    """Return the residuals [..., element] of Normal vectors in units of the root of their covariance, and that root."""
    root = jnp.broadcast_to(fn.scale_tril, (*value.shape, value.shape[-1]))
    return solve_triangular(root, (value - fn.loc)[..., None], lower=True)[..., 0], root


def residuals_by_site(
    model: Model, form: LinearForm, coefficients: Array, log_noise: Array, data: Records
) -> tuple[Array, Array, Array]:
    """Return residuals, logs of scales, and how often each counts [row, residual].

    Parameters
    ----------
    model : NumPyro function of the data
    form : Regression
    coefficients : array [coefficient]
        One site after the other, and what fills up.
    log_noise : array [group]
        Logs of precisions.
    data : Records
    """
    values = form.values(coefficients, jnp.exp(log_noise))
    rows, parts = len(data.weight), []
    for site in per_row(sites(model, data, values)).values():
        fn, value = bare(site["fn"]), jnp.asarray(site["value"])
        if isinstance(fn, dist.MultivariateNormal):
            residual, root = whitened(fn, value)
            scale = jnp.diagonal(root, axis1=-2, axis2=-1)
        else:
            residual, scale = (value - fn.loc) / fn.scale, jnp.broadcast_to(fn.scale, value.shape)
        times = jnp.broadcast_to(row_counts(site, rows)[:, None], (rows, residual.reshape(rows, -1).shape[1]))
        parts.append((residual.reshape(rows, -1), jnp.log(scale).reshape(rows, -1), times))
    residual, log_scale, times = (jnp.concatenate(each, 1) for each in zip(*parts, strict=True))
    return residual, log_scale, times


def residuals_of_rows(model: Model, form: LinearForm, data: Records) -> tuple[Array, Array, Array, Array]:
    """Residuals at the prior's mean, their slopes, what they are of and how often they count, by row.

    Returns
    -------
    residual : array [row, residual]
    slope : array [row, residual, group, coefficient]
    belongs : array [row, residual, group]
        1 for the group of the noise, by the logs' slope of -1/2; all are of one group where the noise is known.
    times : array [row, residual]
    """
    centre, place = jnp.asarray(form.centre()), thaw(form.place)
    known = jnp.zeros(len(place))

    def one(row: Records) -> tuple[Array, Array, Array, Array]:
        parts = _parts_of_row(model, form, row)
        # A row has few residuals and a model many coefficients, so that derivatives are taken backwards.
        slope, (_, times) = jax.jacrev(parts, has_aux=True)(centre, known)
        residual, _ = parts(centre, known)
        return residual, slope[:, place], _belongs(form, parts, centre, known), times

    return jax.vmap(one)(jax.tree.map(jnp.asarray, data))


type _Parts = Callable[[Array, Array], tuple[Array, tuple[Array, Array]]]


def _parts_of_row(model: Model, form: LinearForm, row: Records) -> _Parts:
    """A function of coefficients and logs of precisions: a row's residuals, their scales' logs and how they count."""
    alone = jax.tree.map(lambda column: column[None], row)

    def parts(coefficients: Array, log_noise: Array) -> tuple[Array, tuple[Array, Array]]:
        residual, log_scale, times = residuals_by_site(model, form, coefficients, log_noise, alone)
        return residual[0], (log_scale[0], times[0])

    return parts


def _belongs(form: LinearForm, parts: _Parts, centre: Array, known: Array) -> Array:
    """1 for the group of a residual's noise [residual, group]."""
    if not form.noises:
        return jnp.ones((len(parts(centre, known)[0]), 1))
    return -2 * jax.jacrev(lambda log_noise: parts(centre, log_noise)[1][0])(known)


@partial(jax.jit, static_argnums=(0, 1))
def _of_rank(
    model: Model, form: LinearForm, data: Records, rank: Int[Array, ""]
) -> tuple[Array, Array, Array, Int[Array, ""]]:
    """Of each row and group the residual of this rank among the group's, in the row; and how many ranks there are.

    Residuals hang on the coefficients of their own group alone, so that one derivative, of the sum of one residual of
    each group, has the slopes of all of them.

    Returns
    -------
    residual, times : array [row, group]
        0 where the group has none of this rank.
    slope : array [row, group, coefficient]
    ranks : int
    """
    centre, place = jnp.asarray(form.centre()), thaw(form.place)
    known = jnp.zeros(len(place))

    def one(row: Records) -> tuple[Array, Array, Array, Array]:
        parts = _parts_of_row(model, form, row)
        residual, backwards, (_, times) = jax.vjp(lambda moved: parts(moved, known), centre, has_aux=True)
        belongs = _belongs(form, parts, centre, known)
        before = jnp.round(jnp.tril(belongs @ belongs.T, -1).sum(-1))
        chosen = (before == rank).astype(residual.dtype)
        (slope,) = backwards(chosen)
        return (chosen * residual) @ belongs, slope[place], (chosen * times) @ belongs, before.max()

    residual, slope, times, before = jax.vmap(one)(jax.tree.map(jnp.asarray, data))
    return residual, slope, times, 1 + before.max().astype(jnp.int32)


def _add_rows(
    sums: Sums, residual: NDArray[np.float64], slope: NDArray[np.float64], times: NDArray[np.float64]
) -> None:
    """Add some rows to sums, in place: residuals and how often they count [row, group], slopes as in `_of_rank`."""
    for group, own in enumerate(np.moveaxis(slope, 1, 0)):
        used = np.flatnonzero(own.any(0))
        own = own[:, used]
        weighted = own * times[:, group, None]
        sums.gram[group][np.ix_(used, used)] += weighted.T @ own
        sums.shift[group][used] -= weighted.T @ residual[:, group]
    sums.square[:] += (times * residual**2).sum(0)
    sums.count[:] += times.sum(0)
