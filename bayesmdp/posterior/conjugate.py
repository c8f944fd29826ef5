"""Finding conjugacy, by differentiating a model's own log-likelihood.

Let p be the distributions of a Dirichlet site, one for each element b of its batch (a Beta(a, b) variable x is the
Dirichlet(a, b) distribution (x, 1 - x)). The model is conjugate if each row of data has a log-likelihood

    sum of c[e] log p[e] over entries e = (b, k), plus a constant,

for then the posterior is Dirichlet again, row by row, and a row of weight w adds ``w c[e]`` to the concentration of e.
Along a direction v that keeps each distribution's sum, ``v = p u`` with ``sum_k p[b, k] u[b, k] = 0``, its derivative
is ``sum c[e] u[e]``. Forward-mode differentiation gives that for all rows at once, so a few directions chosen as codes
tell which entry each row adds to, and how much, without ever forming a matrix of rows by parameters:

1. ``u`` and ``s[b] u`` with ``s[b] = 1 + b / B``: the ratio of the derivatives gives b.
2. ``w``, a second random direction: with b known, the ratio to the first gives k, and then c.
   A pair (x, 1 - x) has one direction only; there a second point gives two equations for the two coefficients.

What was found is believed only if it reproduces each row's log-likelihood at further random points. This is exact for
what it accepts: mixtures, sums, noisy observations and priors that depend on other unknowns fail one of the steps, and
the error says which row and how. One element of the batch a row and site is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.data import Transitions
from bayesmdp.mdp import Array
from bayesmdp.posterior.program import (
    Model,
    Program,
    base_distribution,
    check,
    describe_row,
    read,
    row_log_likelihood,
    sites,
)

__all__ = ["Conjugate", "NotConjugate", "Site", "find"]

TOLERANCE = 1e-9
# Moderate points, and points towards the corners: what is clipped or switched there must not pass for conjugate.
SPREADS = (*np.linspace(0.3, 3, 5), *np.linspace(3.5, 6, 15))
# Rows are differentiated in chunks, so that a model's own [row, next_state] arrays stay below 16 MB.
CHUNK_ELEMENTS = 2_000_000


class NotConjugate(ValueError):
    """Why a model's posterior is not known in closed form."""


class Site(NamedTuple):
    """A latent site and what each row adds to it.

    Attributes
    ----------
    concentration : array [..., category]
        Of the prior; the last axis is (a, b) for a Beta.
    is_beta : bool
    entry : int array [row, 1 or 2]
        Positions in the flattened concentration.
    coefficient : array [row, 1 or 2]
        What a row of weight 1 adds there; 0 where nothing.
    """

    concentration: NDArray[np.float64]
    is_beta: bool
    entry: NDArray[np.int32]
    coefficient: NDArray[np.float64]

    def posterior(self, weight: Array) -> Array:
        """Concentration given the weights [row]."""
        flat = jnp.asarray(self.concentration.ravel())
        return flat.at[self.entry].add(self.coefficient * weight[:, None]).reshape(self.concentration.shape)


class Layout(NamedTuple):
    """What shapes a program that draws from a posterior, apart from its numbers; hashable.

    Attributes
    ----------
    sites : tuple of (name, shape of its concentration, whether it is a Beta)
    deterministic : tuple of str
    """

    sites: tuple[tuple[str, tuple[int, ...], bool], ...]
    deterministic: tuple[str, ...]


class Conjugate(NamedTuple):
    """A model whose posterior is a product of Dirichlet and Beta distributions.

    Attributes
    ----------
    sites : dict of Site
    impossible : bool array [row]
        Rows of probability 0 whatever the unknowns are.
    program : Program
    """

    sites: dict[str, Site]
    impossible: NDArray[np.bool_]
    program: Program

    @property
    def layout(self) -> Layout:
        kinds = tuple((name, site.concentration.shape, site.is_beta) for name, site in self.sites.items())
        return Layout(kinds, self.program.deterministic)

    def posterior(self, weight: Array) -> dict[str, Array]:
        """Concentrations by site given the weights [row]."""
        return {name: site.posterior(weight) for name, site in self.sites.items()}


def find(model: Model, data: Transitions, outcome: str = "next_state") -> Conjugate:
    """The closed form of a model's posterior for data in these rows, whatever their weights.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions
        Which rows there are; their weights are not read.

    Raises
    ------
    NotConjugate
        With the reason.
    TypeError, ValueError
        If the model breaks the contract of models.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.data import all_transitions
    >>> from bayesmdp.models import river_current
    >>> found = find(river_current(bm.environments.riverswim(4)), all_transitions(4, 2, 4))
    >>> {name: site.concentration.shape for name, site in found.sites.items()}
    {'current': (3,), 'start': (2,), 'end': (2,)}
    """
    with jax.enable_x64(True):
        data = Transitions(*(np.asarray(column) for column in data))._replace(weight=np.ones(len(data.state)))
        program = read(model, data, outcome)
        priors = _priors(model, data, program)
        _check_independent(model, data, program)
        sample = data if len(data.state) <= 1000 else Transitions(*(column[:1000] for column in data))
        check(model, sample)
        rows = _Rows(model, data, program, priors)
        rng = np.random.default_rng(20260101)
        points = [_point(rng, priors, spread) for spread in SPREADS]
        log_likelihood = np.stack([rows.values(point) for point in points])
        impossible = _impossible(log_likelihood, data)
        found = {}
        for name, (concentration, is_beta) in priors.items():
            if concentration.shape[-1] == 1:
                entry = np.zeros((len(data.state), 1), np.int32)
                coefficient = np.zeros(entry.shape)
            else:
                entry, coefficient = _table(name, rows, points[0], rng, impossible)
            found[name] = Site(concentration, is_beta, entry, coefficient)
        _verify(found, data, points, log_likelihood, impossible)
        for name, site in found.items():
            _refuse((site.coefficient < 0).any(-1), data, f"it falls as an entry of {name!r} grows")
    return Conjugate(found, impossible, program)


type _Point = dict[str, NDArray[np.float64]]


class _Rows:
    """Log-likelihoods of all rows and their derivatives, as functions of the distributions at each site."""

    def __init__(self, model: Model, data: Transitions, program: Program, priors: dict[str, Any]) -> None:
        self.data = data
        size = min(len(data.state), max(1, CHUNK_ELEMENTS // program.shape[-1]))
        starts = range(0, len(data.state), size)
        self._chunks = [np.minimum(np.arange(i, i + size), len(data.state) - 1) for i in starts]

        self._model = model
        self._betas = tuple(name for name, (_, is_beta) in priors.items() if is_beta)

    def values(self, point: _Point) -> NDArray[np.float64]:
        return self._gather(_row_values(self._model, self._betas, point, chunk) for chunk in self._parts())

    def slopes(self, name: str, point: _Point, direction: NDArray[np.float64]) -> NDArray[np.float64]:
        along = {other: direction if other == name else np.zeros_like(point[other]) for other in point}
        return self._gather(_row_slopes(self._model, self._betas, point, along, chunk) for chunk in self._parts())

    def _parts(self) -> Iterator[Transitions]:
        return (Transitions(*(column[chunk] for column in self.data)) for chunk in self._chunks)

    def _gather(self, parts: Iterator[Array]) -> NDArray[np.float64]:
        return np.concatenate([np.asarray(part) for part in parts])[: len(self.data.state)]


# Compiled once for a model and a number of rows, whatever the log.
@partial(jax.jit, static_argnums=(0, 1))
def _row_values(model: Model, betas: tuple[str, ...], point: _Point, data: Transitions) -> Array:
    given = {name: values[..., 0] if name in betas else values for name, values in point.items()}
    return row_log_likelihood(model, data, given)


@partial(jax.jit, static_argnums=(0, 1))
def _row_slopes(model: Model, betas: tuple[str, ...], point: _Point, direction: _Point, data: Transitions) -> Array:
    return jax.jvp(lambda at: _row_values(model, betas, at, data), (point,), (direction,))[1]


def _priors(model: Model, data: Transitions, program: Program) -> dict[str, tuple[NDArray[np.float64], bool]]:
    """Concentration of each latent site, and whether it is a Beta; refused where a prior is of another kind."""
    _check_not_hierarchical(model, data, program)
    unseen = sites(model, data._replace(weight=np.zeros(len(data.weight))))
    priors = {}
    for name, site in program.latents.items():
        concentration = _concentration(site["fn"])
        if concentration is None:
            kind = type(base_distribution(site["fn"])).__name__
            raise NotConjugate(f"the prior of {name!r} is {kind}; closed forms are known here for Dirichlet and Beta")
        before = _concentration(unseen[name]["fn"])
        if before is None or not np.array_equal(before, concentration):
            raise NotConjugate(f"the prior of {name!r} depends on the data")
        if site["scale"] is not None:
            raise NotConjugate(f"the prior of {name!r} is scaled, which leaves the Dirichlet family")
        if concentration.dtype.kind not in "iu" and concentration.dtype != np.float64:
            raise ValueError(
                f"the concentration of {name!r} is {concentration.dtype}, good to 8 digits only; "
                "give the model Python or NumPy float64 numbers, not a JAX array made beforehand"
            )
        is_beta = not isinstance(base_distribution(site["fn"]), dist.Dirichlet)
        shape = np.shape(site["value"]) + (2,) * is_beta
        priors[name] = (np.broadcast_to(concentration.astype(np.float64), shape), is_beta)
    return priors


def _concentration(fn: Any) -> NDArray[Any] | None:
    base = base_distribution(fn)
    if isinstance(base, dist.Dirichlet):
        return np.asarray(base.concentration)
    if isinstance(base, dist.Beta):
        return np.stack(np.broadcast_arrays(base.concentration1, base.concentration0), -1)
    if isinstance(base, dist.Uniform) and np.all(base.low == 0) and np.all(base.high == 1):
        return np.ones((*base.batch_shape, 2))
    return None


def _check_not_hierarchical(model: Model, data: Transitions, program: Program) -> None:
    """Refuse priors whose parameters move when the other unknowns are drawn anew."""
    runs = [sites(model, data, seed=seed) for seed in range(1, 12)]
    for name in program.latents:
        drawn = [_concentration(run[name]["fn"]) for run in runs]
        if drawn[0] is not None and any(
            not np.array_equal(drawn[0], other) for other in drawn[1:] if other is not None
        ):
            others = ", ".join(repr(other) for other in program.latents if other != name)
            raise NotConjugate(f"the prior of {name!r} depends on another unknown ({others}): a hierarchical model")


def _check_independent(model: Model, data: Transitions, program: Program) -> None:
    """Refuse factors outside the rows, which would be part of the prior."""
    for name, site in sites(model, data).items():
        if site["type"] == "sample" and site["is_observed"] and isinstance(base_distribution(site["fn"]), dist.Unit):
            raise NotConjugate(f"the factor {name!r} multiplies the prior by something unknown to its family")


def _point(rng: np.random.Generator, priors: dict[str, Any], spread: float) -> _Point:
    """Random interior distributions at all sites, no two alike."""
    point = {}
    for name, (concentration, _) in priors.items():
        raw = np.exp(spread * rng.uniform(-1, 1, concentration.shape))
        point[name] = raw / raw.sum(-1, keepdims=True)
    return point


def _impossible(log_likelihood: NDArray[np.float64], data: Transitions) -> NDArray[np.bool_]:
    nothing = log_likelihood < -1e300
    wrong = np.isnan(log_likelihood).any(0) | (log_likelihood == np.inf).any(0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"the model's log-likelihood of {describe_row(data, row)} is not a number")
    if (nothing.any(0) & ~nothing.all(0)).any():
        row = int(np.flatnonzero(nothing.any(0) & ~nothing.all(0))[0])
        raise NotConjugate(
            f"{describe_row(data, row)} is impossible for some values of the unknowns and not for others"
        )
    return nothing.all(0)


def _table(
    name: str, rows: _Rows, point: _Point, rng: np.random.Generator, impossible: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Which entries of a site each row adds to, and how much: steps 1 and 2 of the module docstring."""
    p = point[name]
    batch, categories = int(np.prod(p.shape[:-1])), p.shape[-1]
    u, w = _centred(rng, p), _centred(rng, p)
    element = 1 + np.arange(batch) / batch
    first, scaled, second = (
        np.where(impossible, 0.0, rows.slopes(name, point, p * code))
        for code in (u, u * element.reshape(*p.shape[:-1], 1), w)
    )
    touched = np.abs(first) + np.abs(scaled) + np.abs(second) > 1e-11
    ratio = np.divide(scaled, first, out=np.ones_like(first), where=touched & (first != 0))
    position = (ratio - 1) * batch
    b = np.clip(np.round(position), 0, batch - 1).astype(np.int64)
    _refuse(touched & (np.abs(position - b) > 0.01), rows.data, f"it depends on several elements of {name!r} at once")
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
    rows: _Rows,
    point: _Point,
    u: NDArray[np.float64],
    first: NDArray[np.float64],
    b: NDArray[np.int64],
    impossible: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Both coefficients of element b of a site of pairs, from the derivatives at two points."""
    p = point[name]
    moved = p + np.where(p[..., :1] < 0.5, 0.3, -0.3) * np.array([1, -1])
    v = np.stack([1 / moved[..., 0], -1 / moved[..., 1]], -1)
    again = np.where(impossible, 0.0, rows.slopes(name, point | {name: moved}, moved * v))
    system = np.stack([u.reshape(-1, 2)[b], v.reshape(-1, 2)[b]], -2)
    return np.linalg.solve(system, np.stack([first, again], -1)[..., None])[..., 0]


def _verify(
    found: dict[str, Site],
    data: Transitions,
    points: list[_Point],
    log_likelihood: NDArray[np.float64],
    impossible: NDArray[np.bool_],
) -> None:
    """Compare what was found with each row's log-likelihood, up to a constant, at all points."""
    constant = []
    for point, value in zip(points, log_likelihood, strict=True):
        explained = np.zeros(len(value))
        for name, site in found.items():
            explained += (site.coefficient * np.log(point[name]).ravel()[site.entry]).sum(-1)
        constant.append(np.where(impossible, 0.0, value) - np.where(impossible, 0.0, explained))
    size = 1 + np.abs(np.where(impossible, 0.0, log_likelihood)).max(0)
    wrong = np.ptp(constant, axis=0) > TOLERANCE * size
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        touched = [name for name, site in found.items() if site.coefficient[row].any()]
        if len(touched) > 1:
            names = " and ".join(map(repr, touched))
            _refuse(wrong, data, f"it joins the unknowns {names} other than as a product of powers")
        _refuse(wrong, data, f"it is not linear in the log of {' and '.join(map(repr, touched or found))}")


def _refuse(wrong: NDArray[np.bool_], data: Transitions, how: str) -> None:
    if wrong.any():
        row = describe_row(data, int(np.flatnonzero(wrong)[0]))
        raise NotConjugate(
            f"the log-likelihood of {row} has no closed-form posterior: {how} "
            "(a mixture, a sum of probabilities, a noisy observation or a change of scale does this)"
        )
