"""Sweeps of least squares that are kept as weights, from which Q and V can be had at any state.

A part of :mod:`~bayesmdp.agents.gamma_lscvi_ucb_visited`, whose formulas these are. What sweeps say of the states
visited is in :mod:`~bayesmdp.agents.families.visited_states`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, Num

from bayesmdp.agents.agent import Options
from bayesmdp.agents.families.least_squares import unit_bonus
from bayesmdp.agents.families.optimistic import pair_features
from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.continuous_mdp import ContinuousProblem
from bayesmdp.problems.problem import Problem

__all__ = ["BLOCK", "Rows", "Setting", "Sweeps", "block_of_sweeps", "put_weights", "row_lengths", "setting_of"]

BLOCK = 32
"""Slots, or sweeps, that are gone through at once: what is gone through is a whole number of blocks."""
UNROLLED = 64
"""Features whose products are written out, at the most."""


class Rows(NamedTuple):
    """What is known of states, of one or with an axis [slot] at the end: computed for several at once, in vectors.

    Attributes
    ----------
    features : array [feature, action, ...]
        phi(s, a).
    reward : array [action, ...]
        Minus infinity where an action is not available, and so are then its Q.
    length : array [action, ...]
        |phi| in the norm of the episode's Lambda^-1.
    """

    features: Float[Array, "feature action ..."]
    reward: Float[Array, "action ..."]
    length: Float[Array, "action ..."]


class Sweeps(NamedTuple):
    """The episode's sweeps, numbered from 1.

    Attributes
    ----------
    count, version : int
        How many there are, and which version of them is in use.
    start : float
        m_0.
    first : array [feature]
        w_1, the same in all versions.
    lowest, highest : float
        The least and the largest U of the last sweep at the states visited; the first is its m.
    fresh : bool
        Whether the episode has just begun and nothing but the above has been computed. (An episode's begin is a branch
        of the compiled loop, and what a branch writes to is copied at every step, whatever its size.)
    weights : array [version, feature, sweep]
        w.
    least : array [version, sweep]
        m.
    slack : array [version, sweep]
        e: how much less than in the version before Q may be.
    since : int array [sweep]
        The first version that has the sweep.
    """

    count: Int[Array, ""]
    version: Int[Array, ""]
    start: Float[Array, ""]
    first: Float[Array, " feature"]
    lowest: Float[Array, ""]
    highest: Float[Array, ""]
    fresh: Bool[Array, ""]
    weights: Float[Array, "version feature sweep"]
    least: Float[Array, "version sweep"]
    slack: Float[Array, "version sweep"]
    since: Int[Array, " sweep"]


class Setting(NamedTuple):
    """What stays the same through a run, and Q and V of a sweep.

    Attributes
    ----------
    problem : Problem or ContinuousProblem
    features : array [state, action, feature], optional
        phi of a finite problem's pairs.
    slots, block, actions, dimension, room, versions : int
        Room for states visited, slots gone through at once, the numbers of actions and features, and room for sweeps
        and their versions.
    gamma, beta, width, cap : float
        The discount, the bonus of a feature of length 1, H, and 1 / (1 - gamma).
    clip : float
        Whether values are clipped: 1 or 0.
    """

    problem: Problem | ContinuousProblem
    features: Float[Array, "state action feature"] | None
    slots: int
    block: int
    actions: int
    dimension: int
    room: int
    versions: int
    gamma: Array
    beta: Array
    width: Array
    cap: Array
    clip: Array

    def row_of(self, s: Num[Array, "*coordinate"], inverse: Float[Array, "feature feature"]) -> Rows:
        """Return what is known of the state `s`, with lengths in the norm of `inverse`."""
        if isinstance(self.problem, Problem):
            assert self.features is not None
            features = self.features[s]
            reward = jnp.where(self.problem.available[s], self.problem.reward[s, :, 0], -jnp.inf)
        else:
            features, reward = self.problem.view(self.problem.parameters, s)
        return Rows(features.T, reward, row_lengths(inverse, features.T))

    def q_of_weights(
        self, weights: Float[Array, "feature ..."], least: Float[Array, "..."], rows: Rows
    ) -> Float[Array, "action ..."]:
        """Return Q_u = min(r + gamma (<phi, w_u> + m_{u-1} + beta |phi|), 1 / (1 - gamma)) at the states of `rows`."""
        following = summed(weights, rows.features) + least + self.beta * rows.length
        return jnp.minimum(rows.reward + self.gamma * following, self.cap)

    def q_of_sweep(
        self, sweeps: Sweeps, version: Int[Array, ""], u: Int[Array, ""], rows: Rows
    ) -> Float[Array, "action ..."]:
        """Return Q_u of a version at the states of `rows`, from what is kept."""
        q = self.q_of_weights(sweeps.weights[version, :, u], _least_before(sweeps, version, u), rows)
        return self.controlled(q, sweeps.slack[version, u], sweeps, version, u, rows)

    def controlled(
        self,
        q: Float[Array, "action ..."],
        slack: Float[Array, ""],
        sweeps: Sweeps,
        version: Int[Array, ""],
        u: Int[Array, ""],
        rows: Rows,
    ) -> Float[Array, "action ..."]:
        """Return a version's new Q_u kept in [Q_u - e_u, Q_u] of the version before, itself a chain of such clips."""
        if self.versions == 1:
            return q
        since = sweeps.since[u]

        def next_version(v: Int[Array, ""], old: Float[Array, "action ..."]) -> Float[Array, "action ..."]:
            new = self.q_of_weights(sweeps.weights[v, :, u], _least_before(sweeps, v, u), rows)
            return _kept_near(new, old, sweeps.slack[v, u], v > since)

        old = lax.fori_loop(0, version, next_version, jnp.zeros(rows.reward.shape))
        return _kept_near(q, old, slack, version > since)

    def q_of_block(self, sweeps: Sweeps, first: Int[Array, ""], row: Rows) -> Float[Array, "action block"]:
        """Return the Q of `BLOCK` sweeps from number `first` on in the version in use, at one state.

        What is said of sweeps that were not made means nothing.
        """
        since = lax.dynamic_slice_in_dim(sweeps.since, first, BLOCK)
        wide = jax.tree.map(lambda array: array[..., None], row)

        def next_version(v: Int[Array, ""], old: Float[Array, "action block"]) -> Float[Array, "action block"]:
            weights, before, slack = (
                block_of_sweeps(array, v, begin)
                for array, begin in ((sweeps.weights, first), (sweeps.least, first - 1), (sweeps.slack, first))
            )
            before = jnp.where(first + jnp.arange(BLOCK) == 1, sweeps.start, before)
            new = self.q_of_weights(weights, before, wide)
            return new if self.versions == 1 else _kept_near(new, old, slack, v > since)

        none = jnp.zeros((self.actions, BLOCK))
        if self.versions == 1:
            return next_version(sweeps.version, none)
        return lax.fori_loop(0, sweeps.version + 1, next_version, none)

    def clipped(self, best: Float[Array, "*slot"], least: Float[Array, ""]) -> Float[Array, "*slot"]:
        """Return V = min(max(U, m), m + H); U itself where nothing is clipped."""
        return jnp.where(self.clip > 0, jnp.clip(best, least, least + self.width), best)

    def pool_everywhere(self, sweeps: Sweeps, inverse: Float[Array, "feature feature"]) -> Float[Array, "state action"]:
        """Return the largest Q of the episode's sweeps at all states of a finite problem, which takes time for each."""
        states = jnp.arange(self.problem.num_states)  # type: ignore[union-attr]
        rows = jax.vmap(lambda s: self.row_of(s, inverse), out_axes=-1)(states)
        pool = lax.fori_loop(
            2,
            sweeps.count + 1,
            lambda u, pool: jnp.maximum(pool, self.q_of_sweep(sweeps, sweeps.version, u, rows)),
            self.q_of_weights(sweeps.first, sweeps.start, rows),
        )
        return pool.T


def setting_of(
    problem: Problem | ContinuousProblem, options: Options, *, steps: int, room: int, versions: int
) -> Setting:
    """Return what stays the same through a run.

    Parameters
    ----------
    problem : Problem or ContinuousProblem
    options : mapping
        ``horizon``, ``span``, ``scale``, ``failure``, ``discount`` and ``clip``.
    steps : int
        Room for states: each step visits one more at most.
    room, versions : int
        Room for the sweeps of an episode, and for their versions.

    Returns
    -------
    Setting
    """
    slots = steps + 1
    if isinstance(problem, Problem):
        features = pair_features(problem)
        slots, actions, dimension = min(problem.num_states, slots), problem.num_actions, features.shape[-1]
    else:
        features, actions, dimension = None, problem.num_actions, problem.num_features
    block, gamma = min(BLOCK, slots), options["discount"]
    return Setting(
        problem=problem,
        features=features,
        slots=-(-slots // block) * block,
        block=block,
        actions=actions,
        dimension=dimension,
        room=room,
        versions=versions,
        gamma=gamma,
        beta=unit_bonus(options, dimension),
        width=2 * options["span"],
        cap=1 / (1 - gamma),
        clip=options["clip"],
    )


def block_of_sweeps(array: Array, version: Int[Array, ""], first: Int[Array, ""]) -> Array:
    """Return what is kept [version, ..., sweep] of a version's `BLOCK` sweeps from number `first` on."""
    zero = jnp.zeros((), first.dtype)
    place = (version.astype(first.dtype), *[zero] * (array.ndim - 2), first)
    return lax.dynamic_slice(array, place, (1, *array.shape[1:-1], BLOCK))[0]


def put_weights(
    array: Float[Array, "version feature sweep"],
    weights: Float[Array, " feature"],
    version: Int[Array, ""] | int,
    u: Int[Array, ""] | int,
) -> Float[Array, "version feature sweep"]:
    """Return the weights that are kept with those of one sweep, in place where XLA can."""
    place = [jnp.asarray(i, jnp.int32) for i in (version, 0, u)]
    return lax.dynamic_update_slice(array, weights[None, :, None], place)


def row_lengths(
    inverse: Float[Array, "feature feature"], features: Float[Array, "feature ..."]
) -> Float[Array, "*batch"]:
    """Return what `lengths` does, for a few rows: without a product of matrices, which is a call of a library.

    Parameters
    ----------
    inverse : array [feature, feature]
        Lambda^-1.
    features : array [feature, ...]

    Returns
    -------
    array [...]
    """
    along = inverse.reshape(*inverse.shape, *(1,) * (features.ndim - 1))
    squared = jnp.sum(features[:, None] * along * features[None], (0, 1))
    return jnp.sqrt(jnp.maximum(squared, 0))


def summed(weights: Float[Array, "feature ..."], features: Float[Array, "feature ..."]) -> Float[Array, "..."]:
    """Return ``<phi, w>``, of few features feature by feature: for whole vectors of rows, not number by number.

    Parameters
    ----------
    weights : array [feature] or [feature, sweep]
    features : array [feature, ...]
        The last axis may be that of sweeps, or 1 long.

    Returns
    -------
    array [...]
    """
    if len(weights) > UNROLLED:
        return (
            jnp.tensordot(weights, features, 1) if weights.ndim == 1 else jnp.einsum("fs,fa...->as", weights, features)
        )
    return sum((w * row for w, row in zip(weights, features, strict=True)), jnp.zeros(()))


def _kept_near(
    new: Float[Array, "action ..."], old: Float[Array, "action ..."], slack: Array, older: Bool[Array, " ..."]
) -> Float[Array, "action ..."]:
    """Return a new Q kept in [Q - e, Q] of the old one, where there is an older version."""
    return jnp.where(older, jnp.clip(new, old - slack, old), new)


def _least_before(sweeps: Sweeps, version: Int[Array, ""], u: Int[Array, ""]) -> Float[Array, ""]:
    """Return m_{u-1}, the least value that sweep u starts from."""
    return jnp.where(u == 1, sweeps.start, sweeps.least[version, u - 1])
