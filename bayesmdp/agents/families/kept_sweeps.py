"""Sweeps of least squares that are kept as weights, from which Q and V can be had at any state.

A part of :mod:`~bayesmdp.agents.gamma_lscvi_ucb_visited`, whose formulas these are. What sweeps say of the states
visited is in :mod:`~bayesmdp.agents.families.visited_states`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, Num

from bayesmdp.agents.agent import Options
from bayesmdp.agents.families.least_squares import lengths, unit_bonus
from bayesmdp.agents.families.optimistic import pair_features
from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.continuous_mdp import ContinuousProblem
from bayesmdp.problems.problem import Problem

__all__ = ["Rows", "Setting", "Sweeps", "best_value", "least_before", "setting_of"]


class Rows(NamedTuple):
    """What is known of states, of one or with a leading axis [slot].

    Attributes
    ----------
    features : array [..., action, feature]
        phi(s, a).
    reward : array [..., action]
    available : bool array [..., action]
    length : array [..., action]
        |phi| in the norm of the episode's Lambda^-1.
    """

    features: Float[Array, "*slot action feature"]
    reward: Float[Array, "*slot action"]
    available: Bool[Array, "*slot action"]
    length: Float[Array, "*slot action"]


class Sweeps(NamedTuple):
    """The episode's sweeps, numbered from 1.

    Attributes
    ----------
    count, version : int
        How many there are, and which version of them is in use.
    start : float
        m_0.
    first, lowest, fresh : array [feature], float, bool
        The weights and the m of sweep 1, and whether they have yet to be written where the others are. (An episode's
        begin is a branch of the compiled loop, and what a branch writes to is copied at every step.)
    weights : array [version, sweep, feature]
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
    fresh: Bool[Array, ""]
    weights: Float[Array, "version sweep feature"]
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
    nowhere : int, or float array [coordinate]
        A state to hold the place of states not visited.
    slots, dimension, room, versions : int
        Room for states, the number of features, and room for sweeps and their versions.
    gamma, beta, width, cap : float
        The discount, the bonus of a feature of length 1, H, and 1 / (1 - gamma).
    """

    problem: Problem | ContinuousProblem
    features: Float[Array, "state action feature"] | None
    nowhere: Num[Array, "*coordinate"]
    slots: int
    dimension: int
    room: int
    versions: int
    gamma: Array
    beta: Array
    width: Array
    cap: Array

    def row_of(self, s: Num[Array, "*coordinate"], inverse: Float[Array, "feature feature"]) -> Rows:
        """Return what is known of the state `s`, with lengths in the norm of `inverse`."""
        if isinstance(self.problem, Problem):
            assert self.features is not None
            features, reward = self.features[s], self.problem.reward[s, :, 0]
            available = self.problem.available[s]
        else:
            features, reward = self.problem.view(self.problem.parameters, s)
            available = jnp.ones(reward.shape, bool)
        return Rows(features, reward, available, lengths(inverse, features))

    def q_of_weights(
        self, weights: Float[Array, " feature"], least: Float[Array, ""], rows: Rows
    ) -> Float[Array, "*slot action"]:
        """Return Q_u = min(r + gamma (<phi, w_u> + m_{u-1} + beta |phi|), 1 / (1 - gamma)) at the states of `rows`."""
        following = rows.features @ weights + least + self.beta * rows.length
        return jnp.minimum(rows.reward + self.gamma * following, self.cap)

    def q_of_sweep(
        self, sweeps: Sweeps, version: Int[Array, ""], u: Int[Array, ""], rows: Rows
    ) -> Float[Array, "*slot action"]:
        """Return Q_u at the states of `rows`: a chain of clips, from the first version of sweep `u` to this one."""

        def unclipped(v: Int[Array, ""]) -> Float[Array, "*slot action"]:
            return self.q_of_weights(sweeps.weights[v, u], least_before(sweeps, v, u), rows)

        def clipped(v: Int[Array, ""], q: Float[Array, "*slot action"]) -> Float[Array, "*slot action"]:
            new = unclipped(v)
            return jnp.where(v > sweeps.since[u], jnp.clip(new, q - sweeps.slack[v, u], q), new)

        if self.versions == 1:
            return unclipped(version)
        return lax.fori_loop(0, version + 1, clipped, jnp.zeros(rows.reward.shape))

    def value_of(
        self, q: Float[Array, "slot action"], rows: Rows, seen: Bool[Array, " slot"]
    ) -> tuple[Float[Array, " slot"], Float[Array, ""]]:
        """Return V_u = min(max(U_u, m_u), m_u + H) and m_u = min_B U_u, where U_u = max_a Q_u and B are those seen."""
        best = best_value(rows, q)
        least = jnp.min(best, where=seen, initial=jnp.inf)
        return jnp.clip(best, least, least + self.width), least


def setting_of(
    problem: Problem | ContinuousProblem, options: Options, *, steps: int, room: int, versions: int
) -> Setting:
    """Return what stays the same through a run.

    Parameters
    ----------
    problem : Problem or ContinuousProblem
    options : mapping
        ``horizon``, ``span``, ``scale``, ``failure`` and ``discount``.
    steps : int
        Room for states on a continuous space, of which each step visits a new one.
    room, versions : int
        Room for the sweeps of an episode, and for their versions.

    Returns
    -------
    Setting
    """
    if isinstance(problem, Problem):
        features = pair_features(problem)
        dimension, slots, nowhere = features.shape[-1], problem.num_states, jnp.zeros((), jnp.int32)
    else:
        features, dimension, slots, nowhere = None, problem.num_features, steps + 1, problem.start
    gamma = options["discount"]
    return Setting(
        problem=problem,
        features=features,
        nowhere=nowhere,
        slots=slots,
        dimension=dimension,
        room=room,
        versions=versions,
        gamma=gamma,
        beta=unit_bonus(options, dimension),
        width=2 * options["span"],
        cap=1 / (1 - gamma),
    )


def best_value(rows: Rows, q: Float[Array, "*slot action"]) -> Float[Array, "*slot"]:
    """Return U = max_a Q over the available actions.

    Parameters
    ----------
    rows : Rows, leading axis [slot] or none
    q : array [..., action]

    Returns
    -------
    array [...]
    """
    return jnp.max(jnp.where(rows.available, q, -jnp.inf), -1)


def least_before(sweeps: Sweeps, version: Int[Array, ""], u: Int[Array, ""]) -> Float[Array, ""]:
    """Return m_{u-1}, the least value that sweep u starts from.

    Parameters
    ----------
    sweeps : Sweeps
    version, u : int

    Returns
    -------
    float
    """
    return jnp.where(u == 1, sweeps.start, sweeps.least[version, u - 1])
