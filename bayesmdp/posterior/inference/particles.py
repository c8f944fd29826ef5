"""Posteriors of logs by particles: independent runs of :mod:`~bayesmdp.posterior.particles.sampler`, one a chain."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Key
from numpy.typing import NDArray
from tqdm.auto import tqdm

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.records import Records
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.particles.coordinates import Coordinates, coordinates
from bayesmdp.posterior.particles.evaluation import (
    evaluate,
    evaluate_at_random,
    evaluate_kernel,
    one_row,
    prior_draw,
    values_at,
)
from bayesmdp.posterior.particles.hmc import Target
from bayesmdp.posterior.particles.sampler import DEFAULT, Settings, choose, settled, start

__all__ = ["Sample", "run"]


class Sample(NamedTuple):
    """Draws of the posterior, and of the prior.

    Attributes
    ----------
    draws, prior : {site: array [chain, draw, ...]}
        Of the posterior, and of the prior that the particles began as.
    log_evidence : array [chain]
        Estimates of it from independent runs.
    effective_size, resampled : array [chain]
        ESS before the last moves, and how many times particles were resampled.
    """

    draws: dict[str, NDArray[Any]]
    prior: dict[str, NDArray[Any]]
    log_evidence: NDArray[np.float64]
    effective_size: NDArray[np.float64]
    resampled: NDArray[np.float64]

    def account(self) -> dict[str, float]:
        """What attrs say: the log evidence, as the mean of the runs' estimates, its error, and how particles fared."""
        most = self.log_evidence.max()
        shares = np.exp(self.log_evidence - most)
        runs = len(shares)
        error = shares.std(ddof=1) / shares.mean() / np.sqrt(runs) if runs > 1 else np.nan
        return {
            "log_evidence": float(most + np.log(shares.mean())),
            "log_evidence_sd": float(error),
            "least_effective_size": float(self.effective_size.min()),
            "resampled": float(self.resampled.max()),
        }


def run(
    model: Model,
    data: Transitions | Records,
    *,
    num_draws: int,
    num_chains: int,
    seed: int,
    settings: Settings = DEFAULT,
    progress: bool = False,
) -> Sample:
    """Draw from the posterior by particles.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions or Records
    num_draws, num_chains : int
        Draws of all runs, which `num_chains` divides; of each run's particles, moved once more at the end.
    seed : int
    settings : Settings
    progress : bool

    Returns
    -------
    Sample

    Raises
    ------
    Unsuitable
        If particles cannot carry the model's unknowns: with the site's name.
    RuntimeError
        If all particles give the data probability 0, or too many steps were needed.
    """
    layout = coordinates(model, data)
    plain = isinstance(data, Transitions) and evaluate_at_random(model, layout, data).of_kernel_alone(data)
    each = num_draws // num_chains
    settings = settings._replace(particles=max(settings.particles, each), share=0.0)
    runs = [
        _run(random.key(seed), data, chain, model=model, layout=layout, settings=settings, num_draws=each, plain=plain)
        for chain in tqdm(range(num_chains), "runs of particles", leave=False, disable=not progress)
    ]
    draws, prior, evidence, size, resampled, failed, behind = (
        jax.tree.map(lambda *parts: np.stack([np.asarray(part) for part in parts]), *parts_of_run)
        for parts_of_run in zip(*runs, strict=True)
    )
    if failed.any() or behind.any():
        raise RuntimeError(
            "the particles lost the posterior: "
            + (
                "too many steps were needed to take the log in"
                if not failed.any()
                else "all of them give the log probability 0, or nearly all"
            )
            + "; widen the prior, give more particles (bm.with_particles), or use method='nuts'"
        )
    return Sample(draws, prior, evidence, size, resampled)


@partial(jax.jit, static_argnames=("model", "layout", "settings", "num_draws", "plain"))
def _run(
    key: Key[Array, ""],
    data: Any,
    chain: int,
    *,
    model: Model,
    layout: Coordinates,
    settings: Settings,
    num_draws: int,
    plain: bool,
) -> Any:
    once = data._replace(weight=jnp.ones(len(data.weight)))

    def log_densities(z: Array, choice: Array) -> tuple[Array, Array]:
        if not plain:
            return evaluate(model, layout, z, choice, once)
        log_prior, kernel = evaluate_kernel(model, layout, z, choice, one_row(data))
        return log_prior, kernel[data.state, data.action, data.next_state]

    target = Target(lambda key: prior_draw(model, layout, key, once), log_densities, layout.choices)
    keys = random.split(random.fold_in(key, chain))
    begun = start(keys[0], target, settings)
    settle, pick = random.bits(keys[1], (2, 2), jnp.uint32)
    particles, size = settled(settle, begun, data.weight, target, settings)
    behind = (particles.taken != data.weight).any()
    picked = choose(pick, particles, num_draws)

    def site_values(z: Array, choice: Array) -> dict[str, Array]:
        values = values_at(model, layout, z, choice, once)
        # What models of recorded primitives compute has a row for each step.
        return values if isinstance(data, Transitions) else {name: values[name] for name in layout.unknowns}

    # The prior's and the posterior's in one go, which is one copy of the model to compile.
    z = jnp.stack([begun.z[:num_draws], particles.z[picked]])
    choice = jnp.stack([begun.choice[:num_draws], particles.choice[picked]])
    values = jax.vmap(jax.vmap(site_values))(z, choice)
    prior, draws = ({name: both[part] for name, both in values.items()} for part in (0, 1))
    return draws, prior, particles.log_evidence, size, particles.resampled - 1, particles.failed, behind
