"""gamma-LSCVI-UCB that plans a whole episode at its start. Hong, Chae, Zhang, Lee and Tewari (2025).

As :mod:`~bayesmdp.agents.gamma_lscvi_ucb`, but instead of one sweep a step all sweeps that the rest of the run has room
for are made when an episode begins, backwards from V = 1 / (1 - gamma) after the last step T; the action of step t is
greedy in the Q of T - t + 1 sweeps. So the plan is nonstationary, no Q is pooled, and nothing is carried from one
episode to the next but the data. Sweeps soon settle, and only as many as take to settle are made and kept; before the
last few of a run the plan is stationary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.least_squares import (
    Regression,
    doubled,
    include,
    lengths,
    no_data,
    refreshed,
    sweeps_to_settle,
    unit_bonus,
)
from bayesmdp.agents.families.linear_assumptions import dense_unit_features
from bayesmdp.agents.families.optimistic import horizon_options, pair_features
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.planning import clip_span, greedy
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["gamma_lscvi_ucb_planned"]


def gamma_lscvi_ucb_planned(
    *,
    horizon: int,
    span: float,
    scale: float = 0.01,
    failure: float = 0.1,
    discount: float | None = None,
    ridge: float = 1.0,
    clip: bool = True,
) -> Agent:
    """Plan each episode ahead by the sweeps of gamma-LSCVI-UCB, clipped by all states.

    Parameters
    ----------
    horizon, span, scale, failure, discount, ridge, clip
        As in `gamma_lscvi_ucb`. After so many steps it plans for as many more.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For numbers out of range, rewards outside [0, 1], features longer than 1, or a successor table.

    Notes
    -----
    *When.* As `gamma_lscvi_ucb`, where steps must be quick and a plan for a whole episode may take its time.

    *When not.* Where the number of steps is not known beforehand: the plan depends on what is left.

    *Cost.* All sweeps of an episode at its start, as many as take to settle; afterwards a look-up a step.

    It reports ``bonus``, ``beta|phi|`` of the pair; ``span``, that of the V that the episode begins with; ``episode``,
    their number; and ``sweeps``, those made at its start.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> agent = bm.agents.gamma_lscvi_ucb_planned(horizon=500, span=6.31)
    >>> result = bm.simulate(river, {"planned": agent}, steps=500, replicates=2)
    >>> bool(result["sweeps"].max() <= 500)
    True
    """
    options = horizon_options(horizon, span, scale, failure, discount)
    room = sweeps_to_settle(horizon, options["discount"])
    options |= {"ridge": number("ridge", ridge, above=0), "clip": float(clip)}
    return Agent(
        "gamma-lscvi-ucb-planned",
        _PlannedRules(room),
        dense_unit_features,
        options,
        objectives=("average",),
        linear=("transition",),
    )


class _State(NamedTuple):
    """What is known, what the episode knows of it, and its plan.

    Attributes
    ----------
    data, known : Regression
        Of all steps, and of those before the episode.
    length : array [state, action]
        |phi| under the episode's inverse.
    plan : int array [sweep, state]
        Actions after 1, 2, ... sweeps, in the places 0, 1, ...
    sweeps : int
        How many there are.
    value : array [state]
        V after the last sweep.
    left : int
        Steps of the run still to be taken.
    episode : float
        Episodes begun.
    """

    data: Regression
    known: Regression
    length: Float[Array, "state action"]
    plan: Int[Array, "sweep state"]
    sweeps: Int[Array, ""]
    value: Float[Array, " state"]
    left: Int[Array, ""]
    episode: Float[Array, ""]


@dataclass(frozen=True)
class _PlannedRules:
    """The rules, with room for so many sweeps. Equal ones share a program."""

    sweeps: int

    def __call__(self, belief: None, problem: Problem, options: Options) -> Rules:
        phi = pair_features(problem)
        dimension, gamma, width = phi.shape[-1], options["discount"], 2 * options["span"]
        beta, cap = unit_bonus(options, dimension), 1 / (1 - gamma)
        reward, steps = problem.reward[..., 0], jnp.asarray(options["horizon"], jnp.int32)

        def begin(key: Key[Array, ""], state: _State) -> _State:
            known = refreshed(state.data)
            length = lengths(known.inverse, phi)
            optimistic = reward + gamma * beta * length

            def sweep(value: Float[Array, " state"]) -> tuple[Int[Array, " state"], Float[Array, " state"]]:
                # w = Lambda^-1 sum_D phi_i (V(s_i') - min V),
                # Q = min(r + gamma (<phi, w> + min V + beta |phi|_{Lambda^-1}), 1 / (1 - gamma)).
                least = jnp.min(value)
                q = jnp.minimum(optimistic + gamma * (phi @ known.weights(value - least) + least), cap)
                # V <- min(U, min U + H), U = max_a Q.
                policy, value = greedy(problem, q)
                return policy, jnp.where(options["clip"] > 0, clip_span(value, width), value)

            made, value, plan = _sweeps_until_settled(
                sweep, jnp.full(problem.num_states, cap), state.plan, jnp.minimum(state.left, self.sweeps)
            )
            return state._replace(
                data=known,
                known=known,
                length=length,
                plan=plan,
                sweeps=made,
                value=value,
                episode=state.episode + 1,
            )

        def policy(state: _State) -> Int[Array, " state"]:
            # The action of step t is greedy in the Q of T - t + 1 sweeps.
            return state.plan[jnp.minimum(state.left, state.sweeps) - 1]

        def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
            data = include(state.data, phi[step.state, step.action], step.next_state)
            left = jnp.where(state.left > 1, state.left - 1, steps)
            return state._replace(data=data, left=left)

        def report(state: _State, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
            return {
                "bonus": beta * state.length[s, a],
                "span": jnp.max(state.value) - jnp.min(state.value),
                "episode": state.episode,
                "sweeps": state.sweeps.astype(float),
            }

        return Rules(
            init=lambda key: _before_the_first_step(options, phi, self.sweeps),
            begin=begin,
            act=lambda key, state, s: policy(state)[s],
            observe=observe,
            ends=lambda uniform, state, step: doubled(state.data, state.known) | (state.left == steps),
            policy=policy,
            report=report,
            belief=lambda state: (),
        )


def _before_the_first_step(options: Options, phi: Float[Array, "state action feature"], sweeps: int) -> _State:
    """Return V = 1 / (1 - gamma), no data, and room for so many sweeps."""
    num_states, num_actions, dimension = phi.shape
    nothing = no_data(options["ridge"], dimension, num_states)
    return _State(
        data=nothing,
        known=nothing,
        length=jnp.zeros((num_states, num_actions)),
        plan=jnp.zeros((sweeps, num_states), jnp.int32),
        sweeps=jnp.ones((), jnp.int32),
        value=jnp.full(num_states, 1 / (1 - options["discount"])),
        left=jnp.asarray(options["horizon"], jnp.int32),
        episode=jnp.zeros(()),
    )


def _sweeps_until_settled(
    sweep: Callable[[Float[Array, " state"]], tuple[Int[Array, " state"], Float[Array, " state"]]],
    start: Float[Array, " state"],
    plan: Int[Array, "sweep state"],
    most: Int[Array, ""],
) -> tuple[Int[Array, ""], Float[Array, " state"], Int[Array, "sweep state"]]:
    """Repeat ``sweep(value) -> (policy, value)`` until the value stays, `most` times at most, and keep each policy.

    Returns the number of sweeps, the last value, and the plan.
    """

    def one_more(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        made, value, _, plan = carry
        policy, new = sweep(value)
        return made + 1, new, (new == value).all(), plan.at[made].set(policy)

    def unsettled(carry: tuple[Array, Array, Array, Array]) -> Array:
        made, _, settled, _ = carry
        return ~settled & (made < most)

    carry = (jnp.zeros((), jnp.int32), start, jnp.zeros((), bool), plan)
    made, value, _, plan = lax.while_loop(unsettled, one_more, carry)
    return made, value, plan
