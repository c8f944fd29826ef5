"""Primitives: what a model of a continuous problem draws for each row, read off its sites.

A primitive counts in the rows where the model does not mask it. Elsewhere it is nothing: 0 where steps are made,
missing in logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro import handlers

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.compiled_programs import quickly_compiled
from bayesmdp.model_reading.model_runs import looked_at, sites, trace
from bayesmdp.model_reading.read_model import PLATE, Model
from bayesmdp.model_reading.records import Records

__all__ = [
    "bare",
    "draw_rows",
    "drawn_primitives",
    "fit_rows",
    "observes_next_state",
    "per_row",
    "row_counts",
    "unknowns",
]


def bare(fn: Any) -> Any:
    """The distribution under masks, expansions and changes of batch to event axes."""
    while isinstance(fn, dist.MaskedDistribution | dist.ExpandedDistribution | dist.Independent):
        fn = fn.base_dist
    return fn


def per_row(messages: Mapping[str, Any]) -> dict[str, Any]:
    """The primitives among NumPyro's messages."""
    return {name: site for name, site in messages.items() if _sampled(site) and _in_rows(site)}


def unknowns(messages: Mapping[str, Any]) -> dict[str, Any]:
    """The sites sampled outside the rows, and not observed."""
    return {
        name: site
        for name, site in messages.items()
        if _sampled(site) and not _in_rows(site) and not site["is_observed"]
    }


def _sampled(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not isinstance(bare(site["fn"]), dist.Unit)


def _in_rows(site: dict[str, Any]) -> bool:
    return any(frame.name == PLATE for frame in site["cond_indep_stack"])


def row_counts(site: dict[str, Any], rows: int) -> Array:
    """Return how often each row of a primitive counts: its scale, or 0 where it is masked.

    Parameters
    ----------
    site : dict
        NumPyro's message.
    rows : int

    Returns
    -------
    array [row]
    """
    times = jnp.ones(()) if site["scale"] is None else jnp.asarray(site["scale"])
    fn = site["fn"]
    while isinstance(fn, dist.MaskedDistribution | dist.ExpandedDistribution | dist.Independent):
        if isinstance(fn, dist.MaskedDistribution):
            times = jnp.where(fn._mask, times, 0.0)
        fn = fn.base_dist
    return jnp.broadcast_to(times, (rows,))


def observes_next_state(messages: Mapping[str, Any]) -> bool:
    """Whether a model samples the next state itself, rather than computing it from primitives."""
    return "next_state" in per_row(messages)


def draw_rows(
    model: Model, key: Array, values: Mapping[str, Array], state: Array, action: Array
) -> tuple[Array, dict[str, Array]]:
    """Simulate next states and primitives; unknowns not in `values` are drawn too.

    Parameters
    ----------
    model : NumPyro function of the data
    key : key
    values : mapping of site to array
        Unknowns that are given.
    state : array [row, coordinate]
    action : int array [row]

    Returns
    -------
    next_state : array [row, coordinate]
    primitives : dict of arrays [row, ...]
    """
    data = Records(state, action, {}, jnp.ones(len(state)))
    known = jax.tree.map(jnp.asarray, dict(values))  # NumPy arrays cannot be indexed by traced ones
    messages = trace(handlers.seed(handlers.substitute(model, data=known), key), data)
    return messages["next_state"]["value"], drawn_primitives(messages)


def drawn_primitives(messages: Mapping[str, Any]) -> dict[str, Array]:
    """Primitives [row, ...], 0 in the rows where they count for nothing."""
    drawn = {}
    for name, site in per_row(messages).items():
        value = site["value"]
        counts = row_counts(site, len(value)) > 0
        drawn[name] = jnp.where(counts.reshape(-1, *(1,) * (value.ndim - 1)), value, jnp.zeros((), value.dtype))
    return drawn


def fit_rows(model: Model, data: Records) -> Records:
    """The primitives that the model asks for, in the types it draws them in; missing numbers are 0 where none counts.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Records

    Returns
    -------
    Records

    Raises
    ------
    ValueError
        Naming the primitive that is not there, has another shape or type, or is missing in a row where it counts.
    """
    drawn = looked_at(model, data._replace(seen={}), _drawn)
    fitted, missing = {}, {}
    for name, like in drawn.items():
        if name not in data.seen:
            held = ", ".join(data.seen) or "none"
            raise ValueError(f"the model draws {name!r} for each row, and the data do not hold it; they hold {held}")
        fitted[name], missing[name] = _fitted(name, np.asarray(data.seen[name]), like)
    found = data._replace(seen=fitted)
    for name, counts in _counts(model, found).items():
        lacking = missing[name] & (np.asarray(counts) > 0)
        if lacking.any():
            row = int(np.flatnonzero(lacking)[0])
            raise ValueError(
                f"{name}[{row}] is missing, and the model observes it in that row, from state "
                f"{np.asarray(data.state)[row].tolist()}"
            )
    return found


def _drawn(messages: dict[str, Any]) -> dict[str, Any]:
    """Shapes and types of what a model draws for each row."""
    return {name: jax.typeof(site["value"]) for name, site in per_row(messages).items()}


@partial(quickly_compiled, static_argnums=0)
def _counts(model: Model, data: Records) -> dict[str, Array]:
    """How often each row of each primitive counts [row], at some values of the unknowns."""
    return {name: row_counts(site, len(data.weight)) for name, site in per_row(sites(model, data)).items()}


def _fitted(name: str, given: NDArray[Any], drawn: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A column in the type that the model draws it in, and the rows where a number is missing."""
    if given.shape != drawn.shape:
        raise ValueError(f"{name} has shape {given.shape}; the model draws {drawn.shape}")
    if given.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {given.dtype}; expected numbers")
    absent = np.isnan(given) if given.dtype.kind == "f" else np.zeros(given.shape, bool)
    filled = np.where(absent, 0, given)
    cast = filled.astype(drawn.dtype)
    if not np.array_equal(cast, filled):
        index = tuple(int(i) for i in np.argwhere(cast != filled)[0])
        raise ValueError(f"{name}{list(index)} is {filled[index]}; the model draws numbers of type {drawn.dtype}")
    return cast, absent.reshape(len(given), -1).any(-1)
