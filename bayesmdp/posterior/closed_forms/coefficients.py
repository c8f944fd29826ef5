"""What each row of data adds to the posterior: its coefficients, from derivatives of its log-likelihood.

Let x be an unknown with one distribution for each element b of its batch. The model is conjugate if each row has a
log-likelihood ``c . T(x_b)`` plus a constant, T the statistics of its family
(:mod:`~bayesmdp.posterior.closed_forms.families`). With directions chosen as codes a few forward-mode derivatives, of
all rows at once, tell which b and c are:

1. Along u and along ``s[b] u`` with ``s[b] = 1 + b / B``: the ratio of the derivatives gives b.
2. For a Dirichlet (a Beta(a, b) variable x being the Dirichlet(a, b) distribution (x, 1 - x)), where T = log p, the
   directions keep each distribution's sum: ``v = p u`` with ``sum_k p[b, k] u[b, k] = 0`` gives ``sum_k c[k] u[b, k]``.
   With b known, the ratio of a second one to the first gives the k with c not 0, and then c. A pair (x, 1 - x) has one
   direction only; there a second point gives two equations for the two coefficients.
3. For the other families derivatives at the coordinates 0 and 1 give as many equations as there are statistics. At 0,
   where the log-likelihood is smallest in size, nothing is lost by cancellation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.compiled_programs import quickly_compiled
from bayesmdp.model_reading.likelihood import row_log_likelihood
from bayesmdp.model_reading.model_runs import Model
from bayesmdp.model_reading.read_model import Reading, describe_row
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.families import Smooth
from bayesmdp.posterior.closed_forms.priors import NotConjugate, Prior

__all__ = ["Point", "Rows", "chunk_size", "coefficients", "random_point", "refuse", "values_of_rows"]

# Rows are looked at in chunks, so that a model's own [row, next_state] arrays stay below 16 MB.
CHUNK_ELEMENTS = 2_000_000

FEWEST_ROWS = 128
"""Fewer are looked at as so many: an agent's rows and those of a small log share the programs of a model."""

TOUCHED = 1e-11
"""Derivatives smaller than this are rounding."""

type Point = dict[str, NDArray[np.float64]]
"""Values by site: those of a Beta as the pairs (x, 1 - x)."""


class Rows:
    """Log-likelihoods of all rows and their derivatives, as functions of the latent sites.

    Parameters
    ----------
    reading : Reading
        The model.
    data : Transitions
        Rows, which are looked at `chunk_size` at a time.
    priors : mapping of Prior, optional
        With which values are given in their families' own form, a Beta's as the pair (x, 1 - x).
    """

    def __init__(self, reading: Reading, data: Transitions, priors: Mapping[str, Prior] | None = None) -> None:
        self.data = data
        size = chunk_size(data, reading.shape[-1])
        starts = range(0, len(data.state), size)
        self._chunks = [np.minimum(np.arange(i, i + size), len(data.state) - 1) for i in starts]
        self._model = reading.model
        self._families = {site: prior.family for prior in (priors or {}).values() for site in prior.sites}

    def values(self, point: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Log-likelihoods [row]."""
        return self._gather(point, {})[0]

    def slopes(self, point: Point, direction: Point) -> NDArray[np.float64]:
        """Derivatives [row] along `direction`, which other sites stand still in."""
        return self._gather(point, direction)[1]

    def _by_site(self, point: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        families = self._families
        return {site: families[site].site_value(x) if site in families else x for site, x in point.items()}

    def _parts(self) -> Iterator[Transitions]:
        return (jax.tree.map(lambda column, rows=chunk: column[rows], self.data) for chunk in self._chunks)

    def _gather(self, point: Mapping[str, NDArray[Any]], direction: Point) -> NDArray[np.float64]:
        """Log-likelihoods and derivatives [2, row]."""
        along = {name: direction.get(name, np.zeros_like(values)) for name, values in point.items()}
        values, along = self._by_site(point), self._by_site(along)
        program = _of_few if len(self._chunks[0]) <= FEWEST_ROWS else _of_many
        parts = [np.asarray(program(self._model, chunk, values, along)) for chunk in self._parts()]
        return np.concatenate(parts, axis=1)[:, : len(self.data.state)]


def values_of_rows(reading: Reading, data: Transitions, values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Log-likelihoods [row] at the `values` of all latents, by the program that finds closed forms.

    Parameters
    ----------
    reading : Reading
        A model whose unknowns are numbers, none of them discrete.
    data : Transitions
    values : mapping of site to array

    Returns
    -------
    array [row]
    """
    return Rows(reading, data).values(values)


def chunk_size(data: Transitions, num_outcomes: int) -> int:
    """Return how many rows are evaluated at a time.

    Parameters
    ----------
    data : Transitions
    num_outcomes : int

    Returns
    -------
    int
    """
    return min(max(len(data.state), FEWEST_ROWS), max(1, CHUNK_ELEMENTS // num_outcomes))


# One program for both: where a model is read both are asked for, and a second would be compiled for as long.
def _values_and_slopes(model: Model, data: Transitions, point: Point, direction: Point) -> Float[Array, "2 row"]:
    return jnp.stack(jax.jvp(lambda values: row_log_likelihood(model, data, values), (point,), (direction,)))


_of_few = quickly_compiled(_values_and_slopes, static_argnums=0)
_of_many = jax.jit(_values_and_slopes, static_argnums=0)


def random_point(rng: np.random.Generator, priors: Mapping[str, Prior], spread: float) -> Point:
    """Draw random values of all sites, no two alike: distributions in the interior, numbers about their prior's.

    Parameters
    ----------
    rng : Generator
    priors : mapping of Prior
    spread : float
        How far from the middle.

    Returns
    -------
    dict of arrays by site
    """
    point: Point = {}
    for prior in priors.values():
        values = prior.family.random_values(rng, prior.parameters, spread)
        point |= dict(zip(prior.sites, values, strict=True))
    return point


def coefficients(
    prior: Prior, rows: Rows, point: Point, rng: np.random.Generator, impossible: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Find which entries of a prior's natural parameters each row adds to, and how much.

    Parameters
    ----------
    prior : Prior
    rows : Rows
    point : mapping of site to array
        Values of all sites, no two alike.
    rng : Generator
    impossible : bool array [row]
        Rows of probability 0, which add nothing.

    Returns
    -------
    entry : int array [row, entry]
    coefficient : array [row, entry]
    """
    if isinstance(prior.family, Smooth):
        return _smooth(prior, prior.family, rows, point, rng, impossible)
    if prior.parameters.shape[-1] == 1:
        return np.zeros((len(rows.data.state), 1), np.int32), np.zeros((len(rows.data.state), 1))
    return _simplex(prior.sites[0], rows, point, rng, impossible)


def _smooth(
    prior: Prior, family: Smooth, rows: Rows, point: Point, rng: np.random.Generator, impossible: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Steps 1 and 3 of the module docstring."""
    shape = prior.parameters.shape[:-1]

    def slopes(where: Point, which: tuple[int, ...], code: NDArray[np.float64]) -> NDArray[np.float64]:
        units = family.units(tuple(where[name] for name in prior.sites), prior.parameters)
        direction = {prior.sites[i]: units[i] * code for i in which}
        return np.where(impossible, 0.0, rows.slopes(where, direction))

    every = tuple(range(len(prior.sites)))
    code = rng.uniform(1, 2, shape) * rng.choice([-1, 1], shape)
    element = 1 + np.arange(code.size) / max(code.size, 1)
    first, scaled = slopes(point, every, code), slopes(point, every, code * element.reshape(shape))
    at_equations = []
    for place, which in family.equations:
        values = family.place(place, prior.parameters)
        where = point | {name: np.broadcast_to(v, shape) + 0.0 for name, v in zip(prior.sites, values, strict=True)}
        at_equations.append(slopes(where, (which,), np.ones(shape)))
    system = np.array([family.gradient(place)[which] for place, which in family.equations])
    coefficient = np.stack(at_equations, -1) @ np.linalg.inv(system).T
    touched = np.abs([first, scaled, *at_equations]).max(0) > TOUCHED
    b = _element(first, scaled, touched, code.size, rows.data, " and ".join(map(repr, prior.sites)))
    coefficient = np.where(touched[:, None], coefficient, 0.0)
    coefficient, lost = family.unrounded(coefficient, np.abs(at_equations).max(0))
    _refuse_far(touched & lost, rows.data, prior)
    size = coefficient.shape[-1]
    return (size * b[:, None] + np.arange(size)).astype(np.int32), coefficient


def _refuse_far(lost: NDArray[np.bool_], data: Transitions, prior: Prior) -> None:
    if lost.any():
        row = describe_row(data, int(np.flatnonzero(lost)[0]), reward=True)
        raise ValueError(
            f"{row} is too far from what the prior of {prior.sites[-1]!r} expects for 16 digits to tell its noise: "
            "give the prior a mean and a scale nearer to the rewards, or measure rewards from another origin"
        )


def _element(
    first: NDArray[np.float64],
    scaled: NDArray[np.float64],
    touched: NDArray[np.bool_],
    batch: int,
    data: Transitions,
    name: str,
) -> NDArray[np.int64]:
    """The one element [row] of the batch that a row depends on: step 1."""
    ratio = np.divide(scaled, first, out=np.ones_like(first), where=touched & (first != 0))
    position = (ratio - 1) * batch
    b = np.clip(np.round(position), 0, batch - 1).astype(np.int64)
    refuse(touched & (np.abs(position - b) > 0.01), data, f"it depends on several elements of {name} at once")
    return b


def _simplex(
    name: str, rows: Rows, point: Point, rng: np.random.Generator, impossible: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Steps 1 and 2 of the module docstring."""
    p = point[name]
    batch, categories = int(np.prod(p.shape[:-1])), p.shape[-1]
    u, w = _centred(rng, p), _centred(rng, p)
    element = 1 + np.arange(batch) / batch
    first, scaled, second = (
        np.where(impossible, 0.0, rows.slopes(point, {name: p * code}))
        for code in (u, u * element.reshape(*p.shape[:-1], 1), w)
    )
    touched = np.abs(first) + np.abs(scaled) + np.abs(second) > TOUCHED
    b = _element(first, scaled, touched, batch, rows.data, repr(name))
    if categories == 2:
        entry, coefficient = 2 * b[:, None] + np.arange(2), _pair(name, rows, point, u, first, b, impossible)
    else:
        entry, coefficient = _single(p, u, w, first, second, b)
    coefficient = np.where(touched[:, None], coefficient, 0.0)
    nearest = np.round(coefficient) + 0.0  # + 0.0: no negative zeros
    coefficient = np.where(np.abs(coefficient - nearest) < 1e-8, nearest, coefficient)
    return entry.astype(np.int32), coefficient


def _centred(rng: np.random.Generator, p: NDArray[np.float64]) -> NDArray[np.float64]:
    code = rng.normal(size=p.shape)
    return np.asarray(code - (p * code).sum(-1, keepdims=True))


def _single(
    p: NDArray[np.float64],
    u: NDArray[np.float64],
    w: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    b: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The one entry of element b whose codes have the ratio of the two derivatives."""
    batch = np.repeat(np.arange(p.size // p.shape[-1]), p.shape[-1])
    # An angle for each entry, on its element's own stretch of the line, so that one sorted search serves all rows.
    code = batch + _fraction(w.ravel(), u.ravel())
    order = np.argsort(code)
    place = np.clip(np.searchsorted(code[order], b + _fraction(second, first)), 1, code.size - 1)
    left, right = order[place - 1], order[place]
    target = b + _fraction(second, first)
    entry = np.where(np.abs(code[left] - target) < np.abs(code[right] - target), left, right)
    return entry[:, None], (first / u.ravel()[entry])[:, None]


def _fraction(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.25 + 0.5 * (np.arctan(y / np.where(x == 0, 1e-300, x)) / np.pi + 0.5))


def _pair(
    name: str,
    rows: Rows,
    point: Point,
    u: NDArray[np.float64],
    first: NDArray[np.float64],
    b: NDArray[np.int64],
    impossible: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Both coefficients of element b of a site of pairs, from the derivatives at two points."""
    p = point[name]
    moved = p + np.where(p[..., :1] < 0.5, 0.3, -0.3) * np.array([1, -1])
    v = np.stack([1 / moved[..., 0], -1 / moved[..., 1]], -1)
    again = np.where(impossible, 0.0, rows.slopes(point | {name: moved}, {name: moved * v}))
    system = np.stack([u.reshape(-1, 2)[b], v.reshape(-1, 2)[b]], -2)
    return np.linalg.solve(system, np.stack([first, again], -1)[..., None])[..., 0]


def refuse(wrong: NDArray[np.bool_], data: Transitions, how: str) -> None:
    """Say that rows have no closed form, naming the first that is `wrong`.

    Parameters
    ----------
    wrong : bool array [row]
    data : Transitions
    how : str
        What keeps the row from having one.
    """
    if wrong.any():
        row = describe_row(data, int(np.flatnonzero(wrong)[0]))
        raise NotConjugate(
            f"the log-likelihood of {row} has no closed-form posterior: {how} "
            "(a mixture, a sum of probabilities, a noisy observation or a change of scale does this)"
        )
