"""NumPyro's No-U-Turn sampler: any model with continuous unknowns, and the reference for the other engines.

Hoffman and Gelman (2014), as NumPyro implements it, in 64 bits, all chains at once in one compiled loop.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from numpyro import infer

from bayesmdp.model_reading.read_model import TRACING, Data, Model

__all__ = ["prior_draws", "run"]

# ArviZ's names for NumPyro's fields.
STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "adapt_state.step_size": "step_size",
    "potential_energy": "lp",
}

type Draws = dict[str, NDArray[Any]]


def run(
    model: Model,
    data: Data,
    names: Sequence[str],
    *,
    num_draws: int,
    num_chains: int,
    num_warmup: int,
    seed: int,
    progress: bool = False,
) -> tuple[Draws, Draws]:
    """Draw from the posterior by NUTS.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions, Targets or Records
    names : sequence of str
        Sites to return.
    num_draws, num_chains : int
        Draws of all chains, which `num_chains` divides.
    num_warmup, seed : int
    progress : bool

    Returns
    -------
    draws : dict of arrays [chain, draw, ...] by site
    statistics : dict of arrays [chain, draw] by name

    Warns
    -----
    RuntimeWarning
        If draws diverged: the posterior has a region the sampler did not explore.
    """
    mcmc = infer.MCMC(
        infer.NUTS(model),
        num_warmup=num_warmup,
        num_samples=num_draws // num_chains,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=progress,
    )
    with TRACING:  # agents that learn priors side by side
        mcmc.run(jax.random.key(seed), data, extra_fields=tuple(STATISTICS))
    samples = mcmc.get_samples(group_by_chain=True)
    fields = mcmc.get_extra_fields(group_by_chain=True)
    statistics = {name: np.asarray(fields[field]) for field, name in STATISTICS.items()}
    statistics["lp"] = -statistics["lp"]
    statistics["tree_depth"] = np.floor(np.log2(statistics["n_steps"])).astype(int) + 1
    diverged = int(statistics["diverging"].sum())
    if diverged:
        warnings.warn(
            f"{diverged} of {num_draws} NUTS draws diverged, so part of the posterior may be missing; "
            "look at sample_stats['diverging'], or give the prior more concentration or num_warmup more draws",
            RuntimeWarning,
            stacklevel=3,
        )
    return {name: np.asarray(samples[name]) for name in names}, statistics


def prior_draws(model: Model, data: Data, names: Sequence[str], num_draws: int, seed: int) -> Draws:
    """Draw sites before any data.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions, Targets or Records
    names : sequence of str
        Sites to return.
    num_draws, seed : int

    Returns
    -------
    dict of arrays [draw, ...] by site
    """
    predictive = infer.Predictive(model, num_samples=num_draws, return_sites=list(names))
    drawn = predictive(jax.random.key(seed), data)
    return {name: np.asarray(drawn[name]) for name in names}
