"""Log-likelihoods of rows, and log densities of the prior, at each draw of a posterior."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from bayesmdp.model_reading.likelihood import draw_densities
from bayesmdp.model_reading.model_runs import Data, Latent, Model
from bayesmdp.posterior.inference.transitions import padded_rows

__all__ = ["DrawDensities", "densities_of_rows", "set_apart"]

ALIKE = 5
"""ArviZ fits a tail of at least so many draws, and refuses one of equal numbers."""

APART = 1e-9
"""By how much, relative to their size, numbers that are equal are set apart."""

ROUNDING = 1e-3
"""Differences below this share of that are rounding."""


class DrawDensities(NamedTuple):
    """Log densities at each draw of a posterior.

    Attributes
    ----------
    rows : array [chain, draw, row]
        Log-likelihood of one step of each row.
    prior : dict of arrays [chain, draw]
        By unknown.
    """

    rows: Float[np.ndarray, "chain draw row"]
    prior: dict[str, Float[np.ndarray, "chain draw"]]


def densities_of_rows(
    model: Model, posterior: xr.DataTree, data: Data, latents: Mapping[str, Latent] | None = None
) -> DrawDensities:
    """Log-likelihood of one step of each row, and log densities of the unknowns, at each draw of a posterior.

    Parameters
    ----------
    model : NumPyro function of the data
    posterior : DataTree
    data : Transitions, Targets or Records
    latents : mapping of site to Latent, optional
        The model's unknowns, which the posterior is then checked to hold.

    Returns
    -------
    DrawDensities
    """
    if "posterior" not in posterior.children:
        raise ValueError("the posterior has no draws; make them with bm.draw(posterior, 1000)")
    draws = posterior["posterior"].to_dataset()[json.loads(posterior.attrs["latents"])].transpose("chain", "draw", ...)
    for name, latent in (latents or {}).items():
        shape = draws[name].shape[2:] if name in draws else None
        if shape != latent.shape:
            held = "holds no such unknown" if shape is None else f"holds {list(shape)}"
            raise ValueError(
                f"the posterior is of another model: the model's {name!r} has shape {list(latent.shape)}, and the "
                f"posterior {held}"
            )
    leading = draws.sizes["chain"], draws.sizes["draw"]
    values = {str(name): draws[name].values.reshape(-1, *draws[name].shape[2:]) for name in draws}
    size = len(data.weight)
    data = padded_rows(data)
    once = data._replace(weight=np.ones(len(data.weight)))
    with jax.enable_x64(True):
        rows, prior = jax.tree.map(np.asarray, draw_densities(model, once, values))
    rows = rows[:, :size].reshape(*leading, size)
    return DrawDensities(rows, {name: each.reshape(leading) for name, each in prior.items()})


def set_apart(values: Float[np.ndarray, "chain draw *other"]) -> Float[np.ndarray, "chain draw *other"]:
    """Numbers of which several draws are tied at an end, set apart so that ArviZ can smooth their tail.

    Parameters
    ----------
    values : array [chain, draw, ...]

    Returns
    -------
    array [chain, draw, ...]
    """
    draws = values.shape[0] * values.shape[1]
    flat = values.reshape(draws, -1)
    if draws <= ALIKE:
        return values
    in_order = np.partition(flat, (0, ALIKE - 1, draws - ALIKE, draws - 1), axis=0)
    size = APART * (1 + np.abs(in_order[0]))
    with np.errstate(invalid="ignore"):  # what is infinite stays so
        gap = np.minimum(in_order[ALIKE - 1] - in_order[0], in_order[-1] - in_order[-ALIKE])
    tied = np.flatnonzero(gap < size * ROUNDING)
    # Multiples of the golden ratio, modulo 1: spread evenly, and in no order that goes with that of the draws.
    ramp = np.arange(draws) * ((np.sqrt(5) - 1) / 2) % 1
    flat = flat.copy()
    flat[:, tied] += ramp[:, None] * size[tied]
    return flat.reshape(values.shape)
