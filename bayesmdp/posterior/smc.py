"""Sequential Monte Carlo: weighted particles that follow a posterior as data come in, whatever the prior.

The log-likelihood of weighted rows is linear in the weights, ``w . l(x)`` with l(x) [row] the log-likelihood of each
row seen once. Each particle keeps its l(x), so new data, weights w' in the place of w, change its log weight by
``(w' - w) . l(x)``, one product of a matrix and a vector. While the effective sample size

    ESS = (sum of weights)^2 / sum of weights^2

stays above a threshold that is all. Where it would fall below, the data are taken in by steps (Neal, 2001; Del Moral,
Doucet and Jasra, 2006; their path is w + lambda (w' - w)): the largest lambda that keeps the ESS at the threshold, by
bisection; then particles are resampled (systematically) and moved by a few steps of Hamiltonian Monte Carlo, with the
covariance of the particles as inverse mass and a step size adapted to their acceptance, discrete unknowns being drawn
from their conditional distribution; and so on until w' is reached.

The log of the mean weight, summed over all steps, estimates the log evidence: the log probability of the data under the
model.

Between two resamplings the same particles would be drawn from again and again, and an agent's data depend on its draws:
an unlucky set could keep it from finding out (see :mod:`~bayesmdp.posterior.exact` on kept draws). A share of the
particles is therefore moved at every call, in rotation, which leaves the posterior as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import logsumexp

from bayesmdp.mdp import Array

__all__ = ["DEFAULT", "Particles", "Settings", "Target", "advance", "choose", "effective_size", "renew", "start"]

ACCEPTANCE = 0.8
LEAST_LOG = -1e30
"""For the log of 0, which times a weight of 0 must be 0."""
IMPOSSIBLE = -1e15
"""Less than any number of steps that are possible could sum up to."""
SURVIVORS = 10
"""Fewer, once the data rule particles out, and they no longer stand for the posterior."""
LEAST_SHARE = 1e-9
MEMORY = 0.1
"""Particles are moved until each unknown's correlation with what it was is below this."""
MAX_STEPS = 500
DENSE = 64
"""Up to so many unknowns the mass matrix is dense."""


class Settings(NamedTuple):
    """Numbers that shape the program; hashable.

    Attributes
    ----------
    particles : int
    threshold : float in (0, 1)
        Of the ESS, as a share of the particles.
    moves : int
        At most so many steps of Hamiltonian Monte Carlo after each resampling; fewer once particles have forgotten
        where they were.
    leapfrog : int
        Gradients a step.
    share : float in [0, 1]
        Of the particles that each call moves.
    """

    particles: int = 500
    threshold: float = 0.5
    moves: int = 100
    leapfrog: int = 2
    share: float = 0.05


DEFAULT = Settings()


class Target(NamedTuple):
    """What particles are of.

    Attributes
    ----------
    draw : (key) -> (z [size], choice)
        From the prior.
    evaluate : (z, choice) -> (log prior density, log-likelihoods [row])
    choices : int
        Joint values of the discrete unknowns.
    """

    draw: Callable[[Array], tuple[Array, Array]]
    evaluate: Callable[[Array, Array], tuple[Array, Array]]
    choices: int


class Particles(NamedTuple):
    """A weighted sample, and what it has taken in.

    Attributes
    ----------
    z : array [particle, size]
    choice : int array [particle]
    table : array [particle, row]
        Log-likelihoods of the rows, each seen once.
    log_weight : array [particle]
        Their exponentials sum to 1.
    taken : array [row]
        The rows' weights that the particles are weighted by.
    log_evidence : float
    log_step : float
        Of the leapfrog steps.
    spread : array [size, size] or [size]
        Covariance of z, or its diagonal, when particles were last resampled.
    cursor : int
        The particle to be moved next.
    resampled, moved : float
        How many times; and how many moves that took.
    failed : bool
        Whether all particles, or nearly all, gave the data probability 0.
    """

    z: Array
    choice: Array
    table: Array
    log_weight: Array
    taken: Array
    log_evidence: Array
    log_step: Array
    spread: Array
    cursor: Array
    resampled: Array
    moved: Array
    failed: Array


def start(key: Array, target: Target, settings: Settings) -> Particles:
    """Draws from the prior, equally weighted."""
    count = settings.particles
    z, choice = jax.vmap(target.draw)(random.split(key, count))
    _, table = lax.map(lambda at: target.evaluate(*at), (z, choice), batch_size=min(count, 256))
    table = finite(table)
    log_weight = _equal(count)
    return Particles(
        z=z,
        choice=choice,
        table=table,
        log_weight=log_weight,
        taken=jnp.zeros(table.shape[-1]),
        log_evidence=jnp.zeros(()),
        log_step=jnp.full((), -0.2, jnp.float64),
        spread=_spread(z, jnp.exp(log_weight)),
        cursor=jnp.zeros((), jnp.int32),
        resampled=jnp.zeros(()),
        moved=jnp.zeros(()),
        failed=jnp.zeros((), bool),
    )


def effective_size(particles: Particles) -> Array:
    """ESS, between 1 and the number of particles."""
    return _ess(particles.log_weight)


def advance(key: Array, particles: Particles, weight: Array, target: Target, settings: Settings) -> Particles:
    """The particles with all data taken in: row r seen `weight[r]` times in all.

    Or as much of them as MAX_STEPS allow; the next call goes on.
    """
    weight = jnp.asarray(weight, jnp.float64)
    log_threshold = jnp.log(settings.threshold * settings.particles)

    def step(carry: tuple[Array, Particles, Array]) -> tuple[Array, Particles, Array]:
        key, now, steps = carry
        key, own = random.split(key)
        gained = now.table @ (weight - now.taken)
        whole = _log_ess(now.log_weight + gained) >= log_threshold
        # Hard zeros: what survives them must be a sample still.
        survivors = _ess(now.log_weight + LEAST_SHARE * gained)
        lost = ~((now.log_weight + gained).max() > IMPOSSIBLE) | (survivors < min(SURVIVORS, settings.particles / 4))

        def reweigh(now: Particles) -> Particles:
            return _weighed(now, gained)._replace(taken=weight)

        def bridge(now: Particles) -> Particles:
            share = _largest_share(now.log_weight, gained, log_threshold)
            taken = now.taken + share * (weight - now.taken)
            return renew(own, _weighed(now, share * gained)._replace(taken=taken), target, settings)

        now = lax.cond(whole | lost, reweigh, bridge, now)
        return key, now._replace(failed=now.failed | lost), steps + 1

    def unfinished(carry: tuple[Array, Particles, Array]) -> Array:
        _, now, steps = carry
        return (now.taken != weight).any() & ~now.failed & (steps < MAX_STEPS)

    key, own = random.split(key)
    _, particles, _ = lax.while_loop(unfinished, step, (key, particles, jnp.zeros((), jnp.int32)))
    return _refreshed(own, particles, target, settings) if settings.share > 0 else particles


def choose(key: Array, particles: Particles, num_draws: int) -> Array:
    """Numbers [draw] of particles drawn by weight, systematically: each as often as its weight says, or once more.

    In random order, so that the first few are a sample too.
    """
    pick, shuffle = random.split(key)
    return random.permutation(shuffle, _systematic(pick, particles.log_weight, num_draws))


def _systematic(key: Array, log_weight: Array, num_draws: int) -> Array:
    ladder = jnp.cumsum(jnp.exp(log_weight - logsumexp(log_weight)))
    at = (jnp.arange(num_draws) + random.uniform(key)) / num_draws
    return jnp.clip(jnp.searchsorted(ladder / ladder[-1], at, side="right"), 0, len(log_weight) - 1)


def finite(table: Array) -> Array:
    """Log-likelihoods as numbers that may be counted 0 times."""
    return jnp.where(jnp.isnan(table), LEAST_LOG, jnp.maximum(table, LEAST_LOG))


def _log_ess(log_weight: Array) -> Array:
    return 2 * logsumexp(log_weight) - logsumexp(2 * log_weight)


def _ess(log_weight: Array) -> Array:
    return jnp.exp(_log_ess(log_weight))


def _weighed(now: Particles, gained: Array) -> Particles:
    log_weight = now.log_weight + gained
    total = logsumexp(log_weight)
    return now._replace(log_weight=log_weight - total, log_evidence=now.log_evidence + total)


def _largest_share(log_weight: Array, gained: Array, log_threshold: Array) -> Array:
    """How much of what is gained can be taken in at once, on a logarithmic scale from LEAST_SHARE to 1."""

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        enough = _log_ess(log_weight + jnp.exp(middle) * gained) >= log_threshold
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low, _ = lax.fori_loop(0, 12, halve, (jnp.log(LEAST_SHARE), jnp.zeros(())))
    return jnp.exp(low)


def _spread(z: Array, weight: Array) -> Array:
    """Covariance of the particles, drawn a little towards its diagonal; of many unknowns the diagonal alone."""
    size = z.shape[-1]
    apart = z - weight @ z
    variance = weight @ apart**2 + 1e-12
    if size > DENSE:
        return variance
    keep = z.shape[0] / (z.shape[0] + size)
    return keep * (apart.T * weight) @ apart + (1 - keep) * jnp.diag(variance) + 1e-12 * jnp.eye(size)


def _equal(count: int) -> Array:
    return jnp.full(count, -math.log(count), jnp.float64)


def renew(key: Array, now: Particles, target: Target, settings: Settings) -> Particles:
    """The particles resampled, and moved until they have forgotten where they were."""
    first, key = random.split(key)
    spread = _spread(now.z, jnp.exp(now.log_weight))
    picked = _systematic(first, now.log_weight, settings.particles)
    begun = now.z[picked]
    before = begun - begun.mean(0)
    scale = (before**2).sum(0)

    def remember(carry: tuple[Array, Array, _Moving]) -> Array:
        number, _, at = carry
        after = at.z - at.z.mean(0)
        correlation = (before * after).sum(0) / jnp.sqrt(scale * (after**2).sum(0) + 1e-300)
        return (number < settings.moves) & ((number == 0) | (correlation > MEMORY).any())

    def move(carry: tuple[Array, Array, _Moving]) -> tuple[Array, Array, _Moving]:
        number, key, at = carry
        key, own = random.split(key)
        return number + 1, key, _moved(own, at, spread, now.taken, target, settings)

    at = _at(begun, now.choice[picked], now.log_step, now.taken, target)
    number, _, at = lax.while_loop(remember, move, (jnp.zeros((), jnp.int32), key, at))
    _, table = jax.vmap(target.evaluate)(at.z, at.choice)
    return now._replace(
        z=at.z,
        choice=at.choice,
        table=finite(table),
        log_weight=_equal(settings.particles),
        log_step=at.log_step,
        spread=spread,
        resampled=now.resampled + 1,
        moved=now.moved + number,
    )


def _refreshed(key: Array, now: Particles, target: Target, settings: Settings) -> Particles:
    """With a share of the particles moved, in rotation."""
    count = max(1, round(settings.share * settings.particles))
    place = (now.cursor + jnp.arange(count, dtype=jnp.int32)) % settings.particles
    at = _at(now.z[place], now.choice[place], now.log_step, now.taken, target)
    at = _moved(key, at, now.spread, now.taken, target, settings)
    _, table = jax.vmap(target.evaluate)(at.z, at.choice)
    return now._replace(
        z=now.z.at[place].set(at.z),
        choice=now.choice.at[place].set(at.choice),
        table=now.table.at[place].set(finite(table)),
        log_step=at.log_step,
        cursor=(now.cursor + count) % settings.particles,
    )


class _Moving(NamedTuple):
    """Particles on the move: with the log of the density and its gradient at each."""

    z: Array
    choice: Array
    log_density: Array
    slope: Array
    log_step: Array


def _log_density(target: Target, taken: Array) -> Callable[[Array, Array], Array]:
    def log_density(z: Array, choice: Array) -> Array:
        log_prior, rows = target.evaluate(z, choice)
        return log_prior + finite(rows) @ taken

    return log_density


def _at(z: Array, choice: Array, log_step: Array, taken: Array, target: Target) -> _Moving:
    log_density, slope = jax.vmap(jax.value_and_grad(_log_density(target, taken)))(z, choice)
    return _Moving(z, choice, log_density, slope, log_step)


def _moved(key: Array, at: _Moving, spread: Array, taken: Array, target: Target, settings: Settings) -> _Moving:
    """After one step of a kernel that leaves the posterior as it is, and of adapting the step size."""
    from blackjax.mcmc import hmc

    choice_key, step_key, key = random.split(key, 3)
    log_density, count = _log_density(target, taken), len(at.z)
    if target.choices > 1:
        every = jnp.arange(target.choices, dtype=jnp.int32)
        # Some at a time: what is evaluated takes the room of all rows.
        some = max(1, 256 // target.choices)
        joint = lax.map(lambda z: jax.vmap(lambda choice: log_density(z, choice))(every), at.z, batch_size=some)
        choice = random.categorical(choice_key, joint).astype(jnp.int32)
        at = _at(at.z, choice, at.log_step, taken, target)
    if not at.z.shape[-1]:
        return at
    kernel = hmc.build_kernel()
    # Steps of unlike length: none that is a period of the motion for all.
    step_size = jnp.exp(at.log_step + 0.2 * random.normal(step_key, (count,)))

    def move(key: Array, at: hmc.HMCState, choice: Array, step_size: Array) -> tuple[hmc.HMCState, Array]:
        after, told = kernel(key, at, lambda z: log_density(z, choice), step_size, spread, settings.leapfrog)
        return after, told.acceptance_rate

    after, accepted = jax.vmap(move)(
        random.split(key, count), hmc.HMCState(at.z, at.log_density, at.slope), at.choice, step_size
    )
    rate = jnp.nan_to_num(accepted).mean()
    log_step = jnp.clip(at.log_step + 0.7 * (rate - ACCEPTANCE), -12.0, 0.7)
    return _Moving(after.position, at.choice, after.logdensity, after.logdensity_grad, log_step)
