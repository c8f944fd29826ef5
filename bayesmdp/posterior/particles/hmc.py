"""Moves that leave a posterior as it is, of many particles at once: Hamiltonian Monte Carlo and Gibbs.

A particle is a vector z and, where unknowns are discrete, the number of their joint value. That is drawn anew from its
conditional distribution; z takes one trajectory of leapfrog steps (Neal, 2011). With its covariance as inverse mass,
``L L'``, and momenta counted in its units, ``xi = L' p ~ Normal(0, 1)``, a step of size e is

    xi += e/2 L' g(z),    z += e L xi,    xi += e/2 L' g(z),

g being the gradient of the log density, and the end is accepted with probability
``min(1, exp(change of log density - change of |xi|^2 / 2))``.

Particles carry the rows' log-likelihoods with them, so that these need not be looked up again where a move has led.
The loop over steps holds the only copy of the model and of its gradient, most of what there is to compile: where they
are not known yet at the start, it begins one turn earlier, with a step that goes nowhere. BlackJAX and NumPyro have the
same kernel; theirs ask for them beforehand, which is a second copy, throw the rows' log-likelihoods away, which is a
third, and draw from three keys for each particle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int, UInt32

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.random_variables import standard_normal, uniforms

__all__ = ["Moved", "Moving", "Target", "diagonal_root", "finite", "move", "root_of_spread"]

LEAST_LOG = -1e30
"""Finite stand-in for log 0, so that 0 * log 0 gives 0 and not NaN."""
DENSE = 64
"""The mass matrix is dense up to this many unknowns, and diagonal beyond."""


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


class Moving(NamedTuple):
    """Particles on the move.

    Attributes
    ----------
    z : array [particle, size]
    choice : int array [particle]
    log_density : array [particle]
        Of the posterior, up to a constant.
    slope : array [particle, size]
        Its gradient.
    rows : array [particle, row]
        Log-likelihoods of the rows, each seen once.
    """

    z: Float[Array, "particle size"]
    choice: Int[Array, " particle"]
    log_density: Float[Array, " particle"]
    slope: Float[Array, "particle size"]
    rows: Float[Array, "particle row"]


class Moved(NamedTuple):
    """What one move has come to.

    Attributes
    ----------
    moving : Moving
    rate : float
        Mean probability of acceptance.
    """

    moving: Moving
    rate: Float[Array, ""]


def finite(rows: Float[Array, "..."]) -> Float[Array, "..."]:
    """Log-likelihoods as numbers that may be counted 0 times."""
    return jnp.where(jnp.isnan(rows), LEAST_LOG, jnp.maximum(rows, LEAST_LOG))


def diagonal_root(z: Float[Array, "particle size"]) -> Float[Array, "size ..."]:
    """Standard deviations of particles that weigh the same, in the shape of `root_of_spread`."""
    deviation = jnp.sqrt(((z - z.mean(0)) ** 2).mean(0) + 1e-12)
    return jnp.diag(deviation) if 0 < z.shape[-1] <= DENSE else deviation


def root_of_spread(z: Float[Array, "particle size"], weight: Float[Array, " particle"]) -> Float[Array, "size ..."]:
    """Return a root of the particles' covariance, which is drawn a little towards its diagonal.

    Of many unknowns standard deviations [size] alone.

    Parameters
    ----------
    z : array [particle, size]
    weight : array [particle]
        Sums to 1.

    Returns
    -------
    array [size, size] or [size]
        The Cholesky factor, or of many unknowns standard deviations alone.
    """
    size = z.shape[-1]
    apart = z - weight @ z
    variance = weight @ apart**2 + 1e-12
    if not 0 < size <= DENSE:
        return jnp.sqrt(variance)
    # By a thousandth, as Stan does: where data tie unknowns together, a diagonal of their own variances is far too long
    # across, steps have to be short, and along takes many moves.
    keep = z.shape[0] / (z.shape[0] + size)
    covariance = keep * (apart.T * weight) @ apart + jnp.diag(1e-3 * (1 - keep) * variance + 1e-12)
    return jnp.linalg.cholesky(covariance)


def move(
    words: UInt32[Array, " 2"],
    number: Array | int,
    moving: Moving,
    root: Float[Array, "size ..."],
    step_size: Float[Array, ""],
    taken: Float[Array, " row"],
    target: Target,
    steps: int,
    fresh: Array | bool,
) -> Moved:
    """The particles after one move.

    Parameters
    ----------
    words : array [2]
        Random bits.
    number : int
        Which of the random numbers made of them.
    root : array [size, size] or [size]
        As of `root_of_spread`.
    step_size : float
    taken : array [row]
        The rows' weights.
    steps : int
        Leapfrog steps.
    fresh : bool
        Whether the log density, its slope and the rows' log-likelihoods are yet to be found.
    """
    count, size = moving.z.shape
    normal, uniform = standard_normal(words, number, (count, size + 1)), uniforms(words, number, (2, count))
    momentum = normal[:, :size]
    # Steps of unlike length: none that is a period of the motion for all.
    length = step_size * jnp.exp(0.2 * normal[:, size:])
    if target.choices > 1:
        moving, fresh = moving._replace(choice=_chosen(uniform[1], moving.z, taken, target)), True
    if not size:
        steps = 0

    def log_density(z: Float[Array, " size"], choice: Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, " row"]]:
        log_prior, rows = target.evaluate(z, choice)
        rows = finite(rows)
        return log_prior + rows @ taken, rows

    def turn(k: Array, carry: tuple[Moving, Moving, Array]) -> tuple[Moving, Moving, Array]:
        begun, now, momentum = carry
        z = now.z + jnp.where(k > 0, length, 0.0) * (momentum @ root.T if root.ndim == 2 else momentum * root)
        (density, rows), slope = jax.vmap(jax.value_and_grad(log_density, has_aux=True))(z, moving.choice)
        now = Moving(z, moving.choice, density, slope, rows)
        begun = jax.tree.map(lambda before, now: jnp.where(k == 0, now, before), begun, now)
        share = 0.0 if steps == 0 else jnp.where((k == 0) | (k == steps), 0.5, 1.0)
        return begun, now, momentum + share * length * _pull(slope, root)

    pushed = momentum + jnp.where(fresh, 0.0, 0.5) * length * _pull(moving.slope, root)
    begun, end, last = lax.fori_loop(jnp.where(fresh, 0, 1), steps + 1, turn, (moving, moving, pushed))
    change = end.log_density - begun.log_density + ((momentum**2).sum(-1) - (last**2).sum(-1)) / 2
    change = jnp.where(jnp.isnan(change), -jnp.inf, jnp.minimum(change, 0.0))
    accepted = jnp.log(uniform[0]) < change

    def whichever(new: Array, old: Array) -> Array:
        return jnp.where(accepted.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return Moved(jax.tree.map(whichever, end, begun), jnp.exp(change).mean())


def _pull(slope: Float[Array, "particle size"], root: Float[Array, "size ..."]) -> Float[Array, "particle size"]:
    return slope @ root if root.ndim == 2 else slope * root


def _chosen(
    uniform: Float[Array, " particle"],
    z: Float[Array, "particle size"],
    taken: Float[Array, " row"],
    target: Target,
) -> Int[Array, " particle"]:
    """Choices [particle] from their conditional distribution, by inverting its distribution function."""

    # One choice after the other: what is evaluated takes the room of all rows.
    def look(choice: Array, joint: Array) -> Array:
        log_prior, rows = jax.vmap(target.evaluate, (0, None))(z, choice)
        return joint.at[choice].set(log_prior + finite(rows) @ taken)

    joint = lax.fori_loop(0, target.choices, look, jnp.zeros((target.choices, len(z))))
    ladder = jnp.cumsum(jnp.exp(joint - joint.max(0)), 0)
    return (ladder < uniform * ladder[-1]).sum(0, dtype=jnp.int32)
