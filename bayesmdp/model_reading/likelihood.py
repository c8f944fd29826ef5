"""The log-likelihood of each row of data, and the density of the prior, from one run of a model.

Everything here expects 64 bits to be on.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.model_runs import Data, Model, is_latent, sites
from bayesmdp.model_reading.rows import PLATE, Targets, Transitions

__all__ = [
    "draw_densities",
    "inside",
    "log_likelihood_of",
    "of_prior",
    "prior_density",
    "row_log_likelihood",
    "row_values",
]

SMALLEST = 1e-290
"""What a number that was rounded to 0 is taken for, where its logarithm is asked."""


def row_log_likelihood(model: Model, data: Transitions | Targets, values: dict[str, Array]) -> Array:
    """Compute the log-likelihood of each row given all latents, with the model's own masks and scales.

    It is -inf where a value is none that its distribution can take, whether NumPyro validates or not.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions or Targets
    values : mapping of site to array
        Of all latents.

    Returns
    -------
    array [row]
    """
    return log_likelihood_of(sites(model, data, values), data)


def log_likelihood_of(messages: dict[str, Any], data: Data) -> Array:
    """Compute `row_log_likelihood` from one run of a model.

    Parameters
    ----------
    messages : dict
        NumPyro's messages by site, of a run with all latents given.
    data : Transitions, Targets or Records
        What the model was run on.

    Returns
    -------
    array [row]
    """
    total = jnp.zeros(len(data.weight))
    for name, site in messages.items():
        if site["type"] != "sample" or not site["is_observed"]:
            continue
        log_likelihood = _log_probability(site["fn"], site["value"])
        if site["scale"] is not None:
            log_likelihood = site["scale"] * log_likelihood
        frames = [frame for frame in site["cond_indep_stack"] if frame.name == PLATE]
        if not frames:
            if isinstance(site["fn"], dist.Unit):  # a numpyro.factor outside the rows is part of the prior
                continue
            raise ValueError(f"site {name!r} is observed outside the plate of rows; observe inside `with data.rows():`")
        log_likelihood = jnp.moveaxis(log_likelihood, frames[0].dim, 0)
        total = total + log_likelihood.reshape(len(data.weight), -1).sum(-1)
    return total


def prior_density(messages: dict[str, Any]) -> Array:
    """Log density of the latents of one run, with what the model multiplies it by outside the rows."""
    parts = (_site_density(site, site["value"]) for site in messages.values() if _counts_in_prior(site))
    return sum(parts, jnp.zeros(()))


def _counts_in_prior(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and of_prior(site)


def _site_density(site: dict[str, Any], value: Array) -> Array:
    """Log density of a site's elements together, with the model's own scale."""
    density = site["fn"].log_prob(value)
    return (density if site["scale"] is None else site["scale"] * density).sum()


def of_prior(site: dict[str, Any]) -> bool:
    """Whether a site's density is part of the prior: unknowns, and factors outside the rows."""
    inside = any(frame.name == PLATE for frame in site["cond_indep_stack"])
    return is_latent(site) or (isinstance(site["fn"], dist.Unit) and not inside)


# Compiled once for a model and a number of rows, whatever the log; and compiled, NumPyro does not warn of values that a
# distribution cannot take, which are refused by name elsewhere.
@partial(jax.jit, static_argnums=0)
def row_values(model: Model, data: Transitions, values: dict[str, Array]) -> Array:
    """Compute `row_log_likelihood` in one compiled program.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions or Records
    values : mapping of site to array
        Of all latents.

    Returns
    -------
    array [row]
    """
    return row_log_likelihood(model, data, values)


@partial(jax.jit, static_argnums=0)
def draw_densities(model: Model, data: Data, draws: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Compute, at each draw, the log-likelihood of each row and the log density of each unknown.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions, Targets or Records
        Rows count as often as their weights say.
    draws : mapping of site to array [draw, ...]
        Of all latents.

    Returns
    -------
    rows : array [draw, row]
    prior : dict of arrays [draw]
        By site: the sum over its elements, given the other sites; and each factor outside the rows.
    """

    def at(values: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        messages = sites(model, data, values)
        prior = {
            name: _site_density(site, inside(site["fn"], site["value"]))
            for name, site in messages.items()
            if _counts_in_prior(site)
        }
        return log_likelihood_of(messages, data), prior

    return lax.map(at, draws, batch_size=64)


def inside(fn: Any, value: Array) -> Array:
    """Put a draw that rounding has put on the edge of its support back into it.

    Parameters
    ----------
    fn : distribution
    value : array

    Returns
    -------
    array
    """
    support = fn.support
    while isinstance(support, dist.constraints.independent):
        support = support.base_constraint
    if support is dist.constraints.unit_interval:
        return jnp.clip(value, SMALLEST, 1 - 2**-53)
    if any(
        support is kind for kind in (dist.constraints.positive, dist.constraints.nonnegative, dist.constraints.simplex)
    ):
        return jnp.maximum(value, SMALLEST)
    return value


def _log_probability(fn: Any, value: Array) -> Array:
    log_probability = fn.log_prob(value)
    seen: Any = True
    while isinstance(fn, dist.MaskedDistribution):
        fn, seen = fn.base_dist, seen & fn._mask
    if isinstance(fn, dist.Unit):  # a numpyro.factor: there is no value to be impossible
        return log_probability
    try:
        allowed = fn.support(value)
    except (NotImplementedError, TypeError):  # a distribution that does not say
        return log_probability
    return jnp.where(allowed | ~jnp.asarray(seen), log_probability, -jnp.inf)
