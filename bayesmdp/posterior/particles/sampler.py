"""Sequential Monte Carlo: weighted particles that follow a posterior as data come in, whatever the prior.

The log-likelihood of weighted rows is linear in the weights, ``w . l(x)`` with l(x) [row] the log-likelihood of each
row seen once. Each particle keeps its l(x), so new data, weights w' in the place of w, change its log weight by
``(w' - w) . l(x)``, one product of a matrix and a vector. While the effective sample size

    ESS = (sum of weights)^2 / sum of weights^2

stays above a threshold that is all. Where it would fall below, the data are taken in by steps (Neal, 2001; Del Moral,
Doucet and Jasra, 2006; their path is w + lambda (w' - w)): the largest lambda that keeps the ESS at the threshold, by
bisection; then particles are resampled (systematically) and moved by a few steps of Hamiltonian Monte Carlo
(:mod:`~bayesmdp.posterior.particles.hmc`), with the covariance of the particles as inverse mass and a step size adapted
to their acceptance, discrete unknowns being drawn from their conditional distribution; and so on until w' is reached.

The log of the mean weight, summed over all steps, estimates the log evidence: the log probability of the data under the
model.

Between two resamplings the same particles would be drawn from again and again, and an agent's data depend on its draws:
an unlucky set could keep it from finding out (see :mod:`~bayesmdp.posterior.beliefs.exact` on kept draws). A share of
the particles is therefore moved at every call, in rotation, which leaves the posterior as it is.

Compiling takes longer than running where there are few data. The model and its gradient are therefore in a program
once for moves of all particles and once for moves of a share; and all random numbers of a call come from two words,
counted up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Bool, Float, Int, Key, Shaped, UInt32

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.particles.hmc import (
    Moving,
    Target,
    diagonal_root,
    finite,
    move,
    root_of_spread,
)
from bayesmdp.posterior.particles.sample import DEFAULT, Particles, Settings
from bayesmdp.posterior.random_variables import uniforms

__all__ = [
    "DEFAULT",
    "Particles",
    "Settings",
    "Target",
    "advance",
    "choose",
    "effective_size",
    "settled",
    "start",
]

ACCEPTANCE = 0.8
IMPOSSIBLE = -1e15
"""A log weight below this is of data that are impossible: no number of possible steps could sum up to it."""
SURVIVORS = 10
"""If fewer particles than this keep positive likelihood, the sample is marked as failed."""
LEAST_SHARE = 1e-9
MEMORY = 0.1
"""Particles are moved until each unknown's correlation with what it was is below this."""
LEARNING = 0.7
"""How far a move changes the log of the step size, times how far its acceptance is from ACCEPTANCE."""
MAX_STEPS = 500
CHUNK = 256
"""Particles whose log-likelihoods are looked up at a time at the start: each takes the room of all rows."""


def start(key: Key[Array, ""], target: Target, settings: Settings) -> Particles:
    """Draw particles from the prior, equally weighted.

    Parameters
    ----------
    key : key
    target : Target
        The posterior that they follow.
    settings : Settings

    Returns
    -------
    Particles
    """
    count = settings.particles
    z, choice = jax.vmap(target.draw)(random.split(key, count))
    # Chunks of one size, the last of which begins anew where it is not full: a rest would be a second copy to compile.
    chunks = -(-count // CHUNK)
    place = np.arange(chunks * -(-count // chunks)).reshape(chunks, -1) % count
    table = finite(lax.map(lambda chunk: jax.vmap(target.evaluate)(*chunk)[1], (z[place], choice[place])))
    table = table.reshape(-1, *table.shape[2:])[:count]
    return Particles(
        z=z,
        choice=choice,
        table=table,
        log_weight=_equal(count),
        size=jnp.full((), count, jnp.float64),
        taken=jnp.zeros(table.shape[-1]),
        log_evidence=jnp.zeros(()),
        log_step=jnp.full((), -0.2, jnp.float64),
        root=diagonal_root(z),
        cursor=jnp.zeros((), jnp.int32),
        resampled=jnp.zeros(()),
        moved=jnp.zeros(()),
        failed=jnp.zeros((), bool),
    )


def effective_size(particles: Particles) -> Float[Array, ""]:
    """ESS, between 1 and the number of particles."""
    return particles.size


def advance(
    words: UInt32[Array, " 2"],
    particles: Particles,
    weight: Shaped[Array, " row"],
    target: Target,
    settings: Settings,
) -> Particles:
    """Take all data in: row r seen ``weight[r]`` times in all.

    Where MAX_STEPS allow less than all of the data, the next call goes on.

    Parameters
    ----------
    words : array [2]
        Random bits.
    particles : Particles
    weight : array [row]
    target : Target
        The posterior that they follow.
    settings : Settings

    Returns
    -------
    Particles
    """
    weight = jnp.asarray(weight, jnp.float64)

    def step(carry: tuple[Particles, Int[Array, ""]]) -> tuple[Particles, Int[Array, ""]]:
        now, steps = carry
        gained = now.table @ (weight - now.taken)
        whole, lost = _enough(now.log_weight, gained, settings)

        def reweigh(now: Particles) -> Particles:
            return _weighed(now, gained)._replace(taken=weight)

        def bridge(now: Particles) -> Particles:
            share = _largest_share(now.log_weight, gained, settings)
            taken = now.taken + share * (weight - now.taken)
            return _renewed(words, steps, _weighed(now, share * gained)._replace(taken=taken), target, settings)

        now = lax.cond(whole | lost, reweigh, bridge, now)
        return now._replace(failed=now.failed | lost), steps + 1

    def unfinished(carry: tuple[Particles, Int[Array, ""]]) -> Bool[Array, ""]:
        now, steps = carry
        return (now.taken != weight).any() & ~now.failed & (steps < MAX_STEPS)

    # Most calls can take all of the data in at once: fewer operations, each of which takes longer to begin than to do.
    gained = particles.table @ (weight - particles.taken)
    at_once = _weighed(particles, gained)._replace(taken=weight)
    enough = (at_once.size >= settings.threshold * settings.particles) & (at_once.log_evidence > IMPOSSIBLE)
    particles = lax.cond(
        enough & ~particles.failed,
        lambda: at_once,
        lambda: lax.while_loop(unfinished, step, (particles, jnp.zeros((), jnp.int32)))[0],
    )
    return _refreshed(words, particles, target, settings) if settings.share > 0 else particles


def settled(
    words: UInt32[Array, " 2"],
    particles: Particles,
    weight: Shaped[Array, " row"],
    target: Target,
    settings: Settings,
) -> tuple[Particles, Float[Array, ""]]:
    """Take all data in, then resample and move once more, so that all particles weigh the same.

    Parameters
    ----------
    words : array [2]
        Random bits.
    particles : Particles
    weight : array [row]
    target : Target
        The posterior that they follow.
    settings : Settings

    Returns
    -------
    Particles
    float
        The ESS before they were resampled for the last time.
    """
    weight = jnp.asarray(weight, jnp.float64)

    def step(
        carry: tuple[Particles, Int[Array, ""], Float[Array, ""]],
    ) -> tuple[Particles, Int[Array, ""], Float[Array, ""]]:
        now, steps, _ = carry
        gained = now.table @ (weight - now.taken)
        whole, lost = _enough(now.log_weight, gained, settings)
        share = jnp.where(whole | lost, 1.0, _largest_share(now.log_weight, gained, settings))
        taken = jnp.where(share == 1, weight, now.taken + share * (weight - now.taken))
        now = _weighed(now, share * gained)._replace(taken=taken, failed=now.failed | lost)
        return _renewed(words, steps, now, target, settings), steps + 1, now.size

    def unfinished(carry: tuple[Particles, Int[Array, ""], Float[Array, ""]]) -> Bool[Array, ""]:
        now, steps, _ = carry
        return (steps == 0) | ((now.taken != weight).any() & ~now.failed & (steps < MAX_STEPS))

    first = (particles, jnp.zeros((), jnp.int32), jnp.zeros(()))
    particles, _, size = lax.while_loop(unfinished, step, first)
    return particles, size


def choose(words: UInt32[Array, " 2"], particles: Particles, num_draws: int) -> Int[Array, " draw"]:
    """Draw numbers of particles by weight, systematically: each as often as its weight says, or once more.

    In random order, so that the first few are a sample too.

    Parameters
    ----------
    words : array [2]
        Random bits.
    particles : Particles
    num_draws : int

    Returns
    -------
    int array [draw]
    """
    uniform = uniforms(words, 0, (num_draws + 1,))
    picked = _systematic(uniform[0], particles.log_weight, num_draws)
    return picked if num_draws == 1 else picked[jnp.argsort(uniform[1:])]


def _systematic(offset: Float[Array, ""], log_weight: Float[Array, " particle"], num_draws: int) -> Int[Array, " draw"]:
    ladder = jnp.cumsum(jnp.exp(log_weight - log_weight.max()))
    heights = (jnp.arange(num_draws) + offset) / num_draws
    return jnp.clip(jnp.searchsorted(ladder / ladder[-1], heights, side="right"), 0, len(log_weight) - 1)


def _ess(log_weight: Float[Array, " particle"]) -> Float[Array, ""]:
    weight = jnp.exp(log_weight - log_weight.max())
    return weight.sum() ** 2 / (weight**2).sum()


def _equal(count: int) -> Float[Array, " particle"]:
    return jnp.full(count, -math.log(count), jnp.float64)


def _enough(
    log_weight: Float[Array, " particle"], gained: Float[Array, " particle"], settings: Settings
) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Whether all that is gained can be taken in at once, and whether the data rule nearly all particles out."""
    whole = _ess(log_weight + gained) >= settings.threshold * settings.particles
    # Zero-likelihood rows remove particles outright; check that enough are left.
    survivors = _ess(log_weight + LEAST_SHARE * gained)
    possible = (log_weight + gained).max() > IMPOSSIBLE
    return whole, ~possible | (survivors < min(SURVIVORS, settings.particles / 4))


def _weighed(now: Particles, gained: Float[Array, " particle"]) -> Particles:
    log_weight = now.log_weight + gained
    most = log_weight.max()
    weight = jnp.exp(log_weight - most)
    sums = jnp.stack([weight, weight**2]).sum(-1)
    total = most + jnp.log(sums[0])
    return now._replace(
        log_weight=log_weight - total, size=sums[0] ** 2 / sums[1], log_evidence=now.log_evidence + total
    )


def _largest_share(
    log_weight: Float[Array, " particle"], gained: Float[Array, " particle"], settings: Settings
) -> Float[Array, ""]:
    """How much of what is gained can be taken in at once, on a logarithmic scale from LEAST_SHARE to 1."""
    least = settings.threshold * settings.particles

    def halve(_: int, ends: tuple[Float[Array, ""], Float[Array, ""]]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        low, high = ends
        middle = (low + high) / 2
        enough = _ess(log_weight + jnp.exp(middle) * gained) >= least
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low, _ = lax.fori_loop(0, 12, halve, (jnp.full((), math.log(LEAST_SHARE)), jnp.zeros(())))
    return jnp.exp(low)


class _Renewing(NamedTuple):
    """Moves made, the particles, the log of the step size, and whether the particles are to be moved once more."""

    number: Int[Array, ""]
    moving: Moving
    log_step: Float[Array, ""]
    again: Bool[Array, ""]


def _renewed(
    words: UInt32[Array, " 2"], step: Int[Array, ""], now: Particles, target: Target, settings: Settings
) -> Particles:
    """The particles resampled, and moved until they have forgotten where they were."""
    count = settings.particles
    ticks = (step + 1).astype(jnp.uint32) * np.uint32(settings.moves + 2)
    root = root_of_spread(now.z, jnp.exp(now.log_weight))
    picked = _systematic(uniforms(words, ticks, (1,))[0], now.log_weight, count)
    begun = now.z[picked]
    before = begun - begun.mean(0)
    scale = (before**2).sum(0)

    def turn(carry: _Renewing) -> _Renewing:
        number, moving, log_step, _ = carry
        tick, size = ticks + 1 + number.astype(jnp.uint32), jnp.exp(log_step)
        moving, rate = move(words, tick, moving, root, size, now.taken, target, settings.leapfrog, number == 0)
        after = moving.z - moving.z.mean(0)
        correlation = (before * after).sum(0) / jnp.sqrt(scale * (after**2).sum(0) + 1e-300)
        again = (number + 1 < settings.moves) & (correlation > MEMORY).any()
        return _Renewing(number + 1, moving, _learned(log_step, rate), again)

    moving = Moving(begun, now.choice[picked], jnp.zeros(count), jnp.zeros_like(begun), now.table[picked])
    first = _Renewing(jnp.zeros((), jnp.int32), moving, now.log_step, jnp.ones((), bool))
    number, moving, log_step, _ = lax.while_loop(lambda carry: carry.again, turn, first)
    return now._replace(
        z=moving.z,
        choice=moving.choice,
        table=moving.rows,
        log_weight=_equal(count),
        size=jnp.full((), count, jnp.float64),
        log_step=log_step,
        root=root,
        resampled=now.resampled + 1,
        moved=now.moved + number,
    )


def _learned(log_step: Float[Array, ""], rate: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.clip(log_step + LEARNING * (rate - ACCEPTANCE), -12.0, 0.7)


def _refreshed(words: UInt32[Array, " 2"], now: Particles, target: Target, settings: Settings) -> Particles:
    """The particles, after a share of them has been moved, in rotation."""
    count = max(1, round(settings.share * settings.particles))
    place = (now.cursor + jnp.arange(count, dtype=jnp.int32)) % settings.particles
    z = now.z[place]
    moving = Moving(z, now.choice[place], jnp.zeros(count), jnp.zeros_like(z), now.table[place])
    size = jnp.exp(now.log_step)
    moving, rate = move(words, 0, moving, now.root, size, now.taken, target, settings.leapfrog, True)
    return now._replace(
        z=now.z.at[place].set(moving.z),
        choice=now.choice.at[place].set(moving.choice),
        table=now.table.at[place].set(moving.rows),
        log_step=_learned(now.log_step, rate),
        cursor=(now.cursor + count) % settings.particles,
    )
