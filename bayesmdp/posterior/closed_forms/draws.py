"""Draws of posteriors in closed form."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.model_runs import sites
from bayesmdp.model_reading.read_model import Model, Reading
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.families import FAMILIES, Family
from bayesmdp.posterior.random_variables import kept, standard_log_gamma

__all__ = ["MOMENT_DRAWS", "Layout", "completed", "draw_sites", "exact_draws", "log_gammas"]

MOMENT_DRAWS = 200
"""Draws that moments are taken of where they are not known exactly."""

CHUNK_ELEMENTS = 500_000
"""Numbers that NumPy makes at a time: those that fit in a processor's cache are made twice as fast."""


class Layout(NamedTuple):
    """What shapes a program that draws from a posterior, apart from its numbers; hashable.

    Attributes
    ----------
    sites : tuple of (names of its sites, its family)
    deterministic : tuple of str
    """

    sites: tuple[tuple[tuple[str, ...], Family], ...]
    deterministic: tuple[str, ...]

    def to_text(self) -> str:
        """The sites and the name of each family, under the name of its last site, as an attr of a posterior."""
        return json.dumps({names[-1]: (names, family.name) for names, family in self.sites})

    @classmethod
    def from_text(cls, text: str, deterministic: tuple[str, ...]) -> Layout:
        """The same again, in the order in which draws are made, which a file's groups need not keep."""
        return cls(tuple((tuple(names), FAMILIES[name]) for names, name in json.loads(text).values()), deterministic)


@partial(jax.jit, static_argnames=("model", "layout", "num_draws"))
def draw_sites(
    key: Key[Array, ""],
    model: Model | None,
    layout: Layout,
    data: Transitions,
    parameters: dict[str, Array],
    num_draws: int,
) -> dict[str, Array]:
    """Draw all latent and deterministic sites independently; may be traced.

    Without deterministic sites no model is needed, and None serves every model.

    Parameters
    ----------
    key : key
    model : NumPyro function of the data, or None
        Needed where it computes sites from others.
    layout : Layout
    data : Transitions or None
        Any rows that the model can run on.
    parameters : mapping of site to array
        The posterior's.
    num_draws : int

    Returns
    -------
    dict of arrays [draw, ...] by site
    """
    log_gamma = log_gammas(key, layout, parameters, num_draws)
    normal = {}
    for place, (names, family) in enumerate(layout.sites):
        if family.has_normal:
            shape = (num_draws, *parameters[names[-1]].shape[:-1])
            normal[names[-1]] = jax.random.normal(jax.random.fold_in(key, place), shape, jnp.float64)
    return completed(model, layout, data, parameters, log_gamma, normal)


def exact_draws(
    parameters: dict[str, NDArray[Any]],
    layout: Layout,
    num_draws: int,
    seed: int,
    reading: Reading | None,
    *,
    prior: bool = False,
) -> dict[str, NDArray[Any]]:
    """Draw latent and deterministic sites independently, by NumPy.

    Made by NumPy, which has nothing to compile and is as fast; `draw_sites` is for compiled code.

    Parameters
    ----------
    parameters : mapping of site to array
    layout : Layout
    num_draws, seed : int
    reading : Reading or None
        The model, needed where it computes sites from others.
    prior : bool
        Whether these are draws of the prior, which have random numbers of their own.

    Returns
    -------
    dict of arrays [draw, ...] by site
    """
    if not num_draws:
        return {}
    rng = np.random.default_rng([seed, prior])
    chunks = math.ceil(num_draws / max(1, CHUNK_ELEMENTS // sum(a.size for a in parameters.values())))
    size, parts = math.ceil(num_draws / chunks), []
    for begin in range(0, num_draws, size):
        part = _host_draws(rng, layout, parameters, size)
        if layout.deterministic and reading is not None:
            # What the model observes plays no part in its deterministic sites.
            part |= jax.tree.map(np.asarray, _computed(reading.model, layout.deterministic, reading.row, part))
        parts.append({name: values[: num_draws - begin] for name, values in part.items()})
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _host_draws(
    rng: np.random.Generator, layout: Layout, parameters: dict[str, NDArray[Any]], num_draws: int
) -> dict[str, NDArray[Any]]:
    """Draws of the latent sites, [draw, ...] each."""
    values: dict[str, NDArray[Any]] = {}
    for names, family in layout.sites:
        own = np.asarray(parameters[names[-1]], float)
        shape, log_gamma, normal = family.gamma_shape(own), None, None
        if shape is not None:
            # In logs, and by Gamma(a) = Gamma(a + 1) U^(1 / a): most of small shape are below the smallest float.
            gamma = rng.standard_gamma(shape + 1, (num_draws, *shape.shape))
            log_gamma = np.log(gamma, out=gamma)
            with np.errstate(divide="ignore", over="ignore"):  # a category of concentration 0 has probability 0
                log_gamma -= rng.standard_exponential(log_gamma.shape) / shape
        if family.has_normal:
            normal = rng.standard_normal((num_draws, *own.shape[:-1]))
        with np.errstate(over="ignore"):  # a Pareto of small shape may be infinite
            values |= dict(zip(names, family.draws(own, log_gamma, normal), strict=True))
    return values


def completed(
    model: Model | None,
    layout: Layout,
    data: Transitions,
    parameters: dict[str, Array],
    log_gamma: dict[str, Array],
    normal: dict[str, Array] | None = None,
) -> dict[str, Array]:
    """Return the sites' values, and the deterministic sites that the model computes from them.

    Parameters
    ----------
    model, layout, data, parameters
        As for `draw_sites`.
    log_gamma : mapping of site to array [draw, entry]
        From `log_gammas`.
    normal : mapping of site to array [draw, ...], optional
        Standard normal numbers, where a family asks for them.

    Returns
    -------
    dict of arrays [draw, ...] by site
    """
    values: dict[str, Array] = {}
    for names, family in layout.sites:
        own, gamma = jnp.asarray(parameters[names[-1]]), log_gamma.get(names[-1])
        shape = family.gamma_shape(own)
        if gamma is not None and shape is not None:
            gamma = gamma.reshape(-1, *shape.shape)
        values |= dict(zip(names, family.draws(own, gamma, (normal or {}).get(names[-1])), strict=True))
    return values | _computed(model, layout.deterministic, data, values) if layout.deterministic else values


@partial(jax.jit, static_argnums=(0, 1))
def _computed(model: Model, names: tuple[str, ...], data: Transitions, values: dict[str, Array]) -> dict[str, Array]:
    """What the model computes from draws [draw, ...] of its latents."""

    def one(latents: dict[str, Array]) -> dict[str, Array]:
        messages = sites(model, data, latents)
        return {name: messages[name]["value"] for name in names}

    return jax.vmap(one)(values)


def log_gammas(key: Key[Array, ""], layout: Layout, parameters: dict[str, Array], num_draws: int) -> dict[str, Array]:
    """Draw the logs of the Gamma variables that draws are made of, all at once: the sampler is slow to compile.

    Parameters
    ----------
    key : key
    layout : Layout
    parameters : mapping of site to array
    num_draws : int

    Returns
    -------
    dict of arrays [draw, entry] by site
    """
    families = {names[-1]: family for names, family in layout.sites}
    each = {name: families[name].gamma_shape(own) for name, own in parameters.items()}
    shapes = {name: shape for name, shape in each.items() if shape is not None}
    if not shapes:
        return {}
    flat = jnp.concatenate([shape.ravel() for shape in shapes.values()])
    ends = np.cumsum([shape.size for shape in shapes.values()])[:-1]
    # Parts are copied out by themselves: a kernel that would read them from the whole does not compute in vectors.
    parts = kept(tuple(jnp.split(standard_log_gamma(key, flat, num_draws), ends, -1)))
    return dict(zip(shapes, parts, strict=True))
