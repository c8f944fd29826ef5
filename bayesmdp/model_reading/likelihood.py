"""The log-likelihood of each row of data, and the density of the prior, from one run of a model.

Everything here expects 64 bits to be on.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.model_runs import Data, Model, is_latent, sites
from bayesmdp.model_reading.rows import PLATE, Targets, Transitions

__all__ = ["log_likelihood_of", "of_prior", "prior_density", "row_log_likelihood", "row_values"]


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
    total = jnp.zeros(())
    for site in messages.values():
        if site["type"] == "sample" and of_prior(site):
            density = site["fn"].log_prob(site["value"])
            total = total + (density if site["scale"] is None else site["scale"] * density).sum()
    return total


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
