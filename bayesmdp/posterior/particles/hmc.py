"""Moves that leave a posterior as it is, of many particles at once: Hamiltonian Monte Carlo and Gibbs.

A particle is a vector z and, where unknowns are discrete, the number of their joint value. That is drawn anew from its
conditional distribution; z takes one trajectory of leapfrog steps (Neal, 2011). With its covariance as inverse mass,
``L L'``, and momenta counted in its units, ``xi = L' p ~ Normal(0, 1)``, a step of size e is

    xi += e/2 L' g(z),    z += e L xi,    xi += e/2 L' g(z),

g being the gradient of the log density, and the end is accepted with probability
``min(1, exp(change of log density - change of |xi|^2 / 2))``.

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
from jaxtyping import Bool, Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.random_variables import standard_normal

__all__ = ["Moved", "Moving", "Target", "diagonal_root", "finite", "move", "root_of_spread", "uniforms_needed"]

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
    """

    z: Float[Array, "particle size"]
    choice: Int[Array, " particle"]
    log_density: Float[Array, " particle"]
    slope: Float[Array, "particle size"]


class Moved(NamedTuple):
    """What one move has come to.

    Attributes
    ----------
    moving : Moving
    rate : float
        Mean probability of acceptance.
    accepted : bool array [particle]
    rows : array [particle, row]
        Log-likelihoods of the rows, each seen once, where particles were proposed to go.
    """

    moving: Moving
    rate: Float[Array, ""]
    accepted: Bool[Array, " particle"]
    rows: Float[Array, "particle row"]


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
    keep = z.shape[0] / (z.shape[0] + size)
    covariance = keep * (apart.T * weight) @ apart + jnp.diag((1 - keep) * variance + 1e-12)
    return jnp.linalg.cholesky(covariance)


def uniforms_needed(size: int) -> int:
    """How many uniform numbers a particle's move takes."""
    return size + 3


def move(
    uniform: Float[Array, "particle place"],
    moving: Moving,
    root: Float[Array, "size ..."],
    step_size: Float[Array, ""],
    taken: Float[Array, " row"],
    target: Target,
    steps: Array | int,
    fresh: Array | bool,
) -> Moved:
    """The particles after one move.

    Parameters
    ----------
    uniform : array [particle, uniforms_needed(size)]
    root : array [size, size] or [size]
        As of `root_of_spread`.
    step_size : float
    taken : array [row]
        The rows' weights.
    steps : int
        Leapfrog steps; after 0 particles are where they were, but what is known of them is new.
    fresh : bool
        Whether the log density and the slope are yet to be found.
    """
    size = moving.z.shape[-1]
    steps = jnp.asarray(steps, jnp.int32)
    normal = standard_normal(uniform[:, : size + 1])
    momentum = normal[:, :size]
    # Steps of unlike length: none that is a period of the motion for all.
    length = step_size * jnp.exp(0.2 * normal[:, size:])
    if target.choices > 1:
        choice = _chosen(uniform[:, -1], moving.z, taken, target, jnp.where(steps > 0, target.choices, 0))
        moving, fresh = moving._replace(choice=jnp.where(steps > 0, choice, moving.choice)), True
    if not size:
        steps = jnp.zeros_like(steps)

    def log_density(z: Float[Array, " size"], choice: Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, " row"]]:
        log_prior, rows = target.evaluate(z, choice)
        rows = finite(rows)
        return log_prior + rows @ taken, rows

    _, rows_like = jax.eval_shape(target.evaluate, moving.z[0], moving.choice[0])
    rows = jnp.zeros((len(moving.z), *rows_like.shape))

    def turn(k: Array, carry: tuple[Moving, Moving, Array, Array]) -> tuple[Moving, Moving, Array, Array]:
        begun, now, momentum, _ = carry
        z = now.z + jnp.where(k > 0, length, 0.0) * (momentum @ root.T if root.ndim == 2 else momentum * root)
        (density, rows), slope = jax.vmap(jax.value_and_grad(log_density, has_aux=True))(z, moving.choice)
        now = Moving(z, moving.choice, density, slope)
        begun = jax.tree.map(lambda before, now: jnp.where(k == 0, now, before), begun, now)
        share = jnp.where(steps == 0, 0.0, jnp.where((k == 0) | (k == steps), 0.5, 1.0))
        return begun, now, momentum + share * length * _pull(slope, root), rows

    pushed = momentum + jnp.where(fresh, 0.0, 0.5) * length * _pull(moving.slope, root)
    begun, end, last, rows = lax.fori_loop(jnp.where(fresh, 0, 1), steps + 1, turn, (moving, moving, pushed, rows))
    change = end.log_density - begun.log_density + ((momentum**2).sum(-1) - (last**2).sum(-1)) / 2
    change = jnp.where(jnp.isnan(change), -jnp.inf, jnp.minimum(change, 0.0))
    accepted = jnp.log(uniform[:, size + 1]) < change

    def whichever(new: Array, old: Array) -> Array:
        return jnp.where(accepted.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return Moved(jax.tree.map(whichever, end, begun), jnp.exp(change).mean(), accepted, rows)


def _pull(slope: Float[Array, "particle size"], root: Float[Array, "size ..."]) -> Float[Array, "particle size"]:
    return slope @ root if root.ndim == 2 else slope * root


def _chosen(
    uniform: Float[Array, " particle"],
    z: Float[Array, "particle size"],
    taken: Float[Array, " row"],
    target: Target,
    choices: Int[Array, ""],
) -> Int[Array, " particle"]:
    """Choices [particle] from their conditional distribution, by inverting its distribution function."""

    # One choice after the other: what is evaluated takes the room of all rows.
    def look(choice: Array, joint: Array) -> Array:
        log_prior, rows = jax.vmap(target.evaluate, (0, None))(z, choice)
        return joint.at[choice].set(log_prior + finite(rows) @ taken)

    joint = lax.fori_loop(jnp.zeros((), jnp.int32), choices, look, jnp.zeros((target.choices, len(z))))
    ladder = jnp.cumsum(jnp.exp(joint - joint.max(0)), 0)
    return (ladder < uniform * ladder[-1]).sum(0, dtype=jnp.int32)
