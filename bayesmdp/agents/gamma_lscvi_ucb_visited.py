"""gamma-LSCVI-UCB with efficient clipping: no minimum over all states. Hong, Zhang and Tewari (2024), Algorithm 3.

As :mod:`~bayesmdp.agents.gamma_lscvi_ucb`, but clipped at the least value among the states visited so far, B, so that
states may be numbers, of which there is no end. The u-th sweep of an episode,

    w_u = Lambda^-1 sum_D phi_i (V_{u-1}(s_i') - m_{u-1}),
    Q_u(s, a) = min(r + gamma (<phi, w_u> + m_{u-1} + beta |phi|_{Lambda^-1}), 1 / (1 - gamma)),
    U_u = max_a Q_u,    m_u = min_B U_u,    V_u(s) = min(max(U_u(s), m_u), m_u + H),

is kept as (w_u, m_u), from which Q_u can be had at any state. Whenever B grows all V_u of the episode are as if they
had been computed with the larger B: the new state's U_u are computed from what is kept, and only where one of them lies
below its m_u do values change and are swept again. V_0 is the last V of the episode before. Where a sweep changes
nothing, none of those that follow would.

*Deviation control* (``versions`` > 1). When an m_u falls, V_u falls by as much at most, and in exact value iteration
what follows would fall by no more than gamma times that; least squares gives no such promise, a gap in the proof that
Hong and Tewari (2025) close by one more clip. Its form here is ours, after their idea: the new Q_u is kept in

    [Q_u - e_u, Q_u] of the one it replaces,    e_1 = 0,    e_u = gamma max(e_{u-1}, fall of m_{u-1}),

so that Q_u at another state is a chain of clips, one for each time that an m fell in the episode. When there is no more
room for another version, the next episode begins.

A step costs d (A + 1) visited states for its sweep, until values have settled; a new state d A sweeps of the episode,
and as many sweeps anew where an m falls. On a finite MDP that depends neither on the steps taken nor on the number of
states, of which a run keeps one number each: where the state stands in the order of first visits. On a continuous space
each step visits a new state, and a run's cost grows with the square of its length: a few thousand steps are what it is
for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Num

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.kept_sweeps import BLOCK, Rows, Setting, Sweeps, row_lengths, setting_of
from bayesmdp.agents.families.least_squares import (
    ROUNDING,
    doubled,
    include,
    no_data,
    refreshed,
    sweeps_to_settle,
)
from bayesmdp.agents.families.linear_assumptions import refuse_long_features
from bayesmdp.agents.families.optimistic import horizon_options, unit_rewards
from bayesmdp.agents.families.visited_states import (
    VisitedState,
    arrive,
    first_sweep,
    make_sweeps,
    once,
    settle_in,
    visited_after,
)
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.continuous_mdp import ContinuousMDP, ContinuousProblem
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["gamma_lscvi_ucb_visited"]

PROBED = 1_000
"""Steps taken at random to see whether rewards of a continuous space lie in [0, 1]."""


def gamma_lscvi_ucb_visited(
    *,
    horizon: int,
    span: float,
    scale: float = 0.01,
    failure: float = 0.1,
    discount: float | None = None,
    ridge: float = 1.0,
    sweeps: int | None = None,
    versions: int = 1,
    clip: bool = True,
) -> Agent:
    """Act by the values of gamma-LSCVI-UCB, clipped by the states visited, which may be numbers.

    Parameters
    ----------
    horizon, span, scale, failure, discount, ridge
        As in `gamma_lscvi_ucb`. There is room for the states of so many steps: on a continuous space, or in a finite
        MDP of more states, no more can be taken.
    sweeps : int, optional
        Room for the different sweeps of an episode; one that has made so many goes on with what it has. Enough for
        values to settle by default.
    versions : int
        With more than 1 deviations are controlled: room for so many versions of an episode's sweeps.
    clip : bool
        Whether V is clipped; without that V_u = U_u, whose span is not bounded, and B tells m_u only.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For numbers out of range, rewards outside [0, 1], or features longer than 1.

    Notes
    -----
    *When.* As `gamma_lscvi_ucb`, where states cannot be listed, or are numbers.

    *When not.* For long runs on a space of numbers: each step visits a new state, and cost grows with the square of the
    steps.

    *Cost.* One sweep over the visited states in each step, and the episode's sweeps again for each new state.

    It reports what `gamma_lscvi_ucb` does, and ``visited``, the number of states; ``sweeps``, different ones in this
    episode; and ``fallen``, how often an m fell so far and sweeps were made again.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> machine = bm.environments.wearing_machine()
    >>> agent = bm.agents.gamma_lscvi_ucb_visited(horizon=300, span=machine.span)
    >>> result = bm.simulate(machine, {"gamma-LSCVI-UCB": agent}, steps=300, replicates=1)
    >>> int(result["visited"][0, 0, -1])  # as many as steps before it, and the first
    300
    """
    options = horizon_options(horizon, span, scale, failure, discount)
    options |= {"ridge": number("ridge", ridge, above=0), "clip": float(clip)}
    room = sweeps_to_settle(horizon, options["discount"]) if sweeps is None else integer("sweeps", sweeps, 1)
    static = {"sweeps": room, "versions": integer("versions", versions, 1)}
    return Agent(
        "gamma-lscvi-ucb-visited",
        _VisitedRules(int(options["horizon"]), **static),
        _check,
        options,
        static,
        objectives=("average",),
        spaces=("finite", "continuous"),
        room=int(options["horizon"]),
        linear=("transition",),
    )


def _check(mdp: MDP | ContinuousMDP) -> None:
    """Refuse problems whose rewards or features the bonus does not fit."""
    for_space(CHECKS, mdp)(mdp)
    refuse_long_features(mdp)


def _unit_rewards_on_the_way(mdp: ContinuousMDP) -> None:
    """Refuse rewards outside [0, 1] in the states of a random walk."""
    state, reward = mdp.wander(PROBED)
    wrong = (reward < 0) | (reward > 1)
    if wrong.any():
        step, other = np.argwhere(wrong)[0]
        raise ValueError(
            f"{mdp.name} earns {reward[step, other]:.6g} by action {mdp.actions[other]!r} in state {state[step]}, "
            "which is outside [0, 1], which this agent's bonus rests on; rescale the rewards; gain and span scale "
            "with them"
        )


CHECKS: Mapping[str, Callable[[Any], None]] = {"finite": unit_rewards, "continuous": _unit_rewards_on_the_way}
"""What is refused, by the kind of a problem's states."""


@dataclass(frozen=True)
class _VisitedRules:
    """The rules, with room for so many steps, sweeps and versions. Equal ones share a program."""

    steps: int
    sweeps: int
    versions: int

    def __call__(self, belief: None, problem: Problem | ContinuousProblem, options: Options) -> Rules:
        problem = jax.tree.map(jnp.asarray, problem)
        setting = setting_of(problem, options, steps=self.steps, room=self.sweeps, versions=self.versions)

        def policy(state: VisitedState) -> Array:
            if not isinstance(problem, Problem):
                return ()
            return jnp.argmax(setting.pool_everywhere(state.sweeps, state.known.inverse), -1).astype(jnp.int32)

        return Rules(
            init=lambda key: _before_the_first_step(setting, options["ridge"]),
            begin=lambda key, state: _begin_episode(setting, state),
            act=lambda key, state, s: _act(setting, state, s),
            observe=lambda key, state, step: _observe(setting, state, step),
            ends=lambda uniform, state, step: doubled(state.data, state.known) | state.crowded,
            policy=policy,
            report=lambda state, s, a: _report(setting, state, s, a),
            belief=lambda state: (),
        )


def _before_the_first_step(setting: Setting, ridge: Array) -> VisitedState:
    """Return V = 1 / (1 - gamma), no data, and no states visited."""
    nothing = no_data(ridge, setting.dimension, setting.slots)
    pairs, room = (setting.actions, setting.slots), (setting.versions, setting.room + BLOCK)
    none, zero, no = jnp.zeros((), jnp.int32), jnp.zeros(()), jnp.zeros((), bool)
    finite = isinstance(setting.problem, Problem)
    return VisitedState(
        data=nothing,
        known=nothing,
        rows=Rows(jnp.zeros((setting.dimension, *pairs)), jnp.zeros(pairs), jnp.zeros(pairs)),
        slot_of=jnp.full(setting.problem.num_states, -1, jnp.int32) if finite else None,  # type: ignore[union-attr]
        visited=none,
        here=none,
        present=jnp.full(setting.actions, setting.cap),
        base=jnp.full(setting.slots, setting.cap),
        best=jnp.full(setting.slots, setting.cap),
        sweeps=Sweeps(
            count=none,
            version=none,
            start=zero,
            first=jnp.zeros(setting.dimension),
            lowest=zero + setting.cap,
            highest=zero + setting.cap,
            fresh=no,
            weights=jnp.zeros((setting.versions, setting.dimension, room[1])),
            least=jnp.full(room, setting.cap),
            slack=jnp.zeros(room),
            since=jnp.zeros(setting.room + BLOCK, jnp.int32),
        ),
        pool=jnp.full(pairs, setting.cap),
        settled=no,
        crowded=no,
        episode=zero,
        fallen=zero,
    )


def _begin_episode(setting: Setting, state: VisitedState) -> VisitedState:
    """Freeze Lambda and V_0 with its m_0, and make as much of the first sweep as the first step needs."""
    known = refreshed(state.data)
    # w_1, m_1, and Q_1 at the present state, which is the pool there.
    weights, lowest, highest = first_sweep(setting, state, known)
    start, one = state.sweeps.lowest, jnp.ones((), jnp.int32)
    row = jax.tree.map(lambda rows: rows[..., state.here], state.rows)
    row = row._replace(length=row_lengths(known.inverse, row.features))
    # What is as long as the room for states is left to the first step: see `Sweeps.fresh`.
    return state._replace(
        data=known,
        known=known._replace(moved=state.known.moved),
        present=setting.q_of_weights(weights, start, row),
        sweeps=state.sweeps._replace(
            count=one,
            version=0 * one,
            start=start,
            first=weights,
            lowest=lowest,
            highest=highest,
            fresh=jnp.ones((), bool),
        ),
        settled=jnp.zeros((), bool),
        crowded=jnp.zeros((), bool),
        episode=state.episode + 1,
    )


def _first_q(setting: Setting, state: VisitedState, s: Num[Array, "*coordinate"]) -> Float[Array, " action"]:
    """Return Q_1 at a state."""
    row = setting.row_of(s, state.known.inverse)
    return setting.q_of_weights(state.sweeps.first, state.sweeps.start, row)


def _act(setting: Setting, state: VisitedState, s: Num[Array, "*coordinate"]) -> Int[Array, ""]:
    """Return the action that is greedy in the pool; in Q_1 before any state was visited."""
    values = jnp.where(state.visited > 0, state.present, _first_q(setting, state, s))
    return jnp.argmax(values).astype(jnp.int32)


def _observe(setting: Setting, state: VisitedState, step: Step) -> VisitedState:
    """Add the step to the data and its states to B, and make the sweeps that are due before the next step."""
    begun, until, none = state.sweeps.fresh, visited_after(state, step), state.visited == 0
    # B grows by the next state if it is new; at the first step of all by the state acted in, too.
    state, fell = once(
        begun | (state.visited < until),
        lambda carry: arrive(setting, settle_in(setting, carry[0]), step, until),
        (state, jnp.zeros((), bool)),
    )
    # m_1 was that of no states, infinity: it was not known, and did not fall.
    fell &= ~none
    here = state.visited - 1 if state.slot_of is None else state.slot_of[step.next_state]
    feature = setting.row_of(step.state, state.known.inverse).features[:, step.action]
    return once(state.visited > 0, lambda state: _learn(setting, state, feature, here, fell, begun), state)


def _learn(
    setting: Setting,
    state: VisitedState,
    feature: Float[Array, " feature"],
    here: Int[Array, ""],
    fell: Bool[Array, ""],
    begun: Bool[Array, ""],
) -> VisitedState:
    """Add a step from a pair with this feature to the slot `here` to the data, and make the sweeps that are due."""
    # Lambda += phi phi', M += phi e_{s'}'.
    state = state._replace(data=include(state.data, feature, here))
    # Where a U_u < m_u, all sweeps are made again with the larger B; otherwise the next one unless nothing changes.
    sweeps, controlled = state.sweeps, setting.versions > 1
    crowded = fell & controlled & (sweeps.version + 1 >= setting.versions)
    again, ends = fell & ~crowded, doubled(state.data, state.known) | crowded
    # Where the next step begins an episode, `begin` makes its sweep instead.
    another = ~ends & (again | ~state.settled) & (sweeps.count < setting.room)
    # At the first step of an episode sweep 1 itself is still to be made at the states visited.
    first = jnp.where(again | begun, 1, sweeps.count + 1)
    state = make_sweeps(setting, state, first, sweeps.count + another, sweeps.version + (again & controlled))
    return state._replace(
        here=here,
        present=state.pool[:, here],
        sweeps=state.sweeps._replace(fresh=jnp.zeros((), bool)),
        crowded=crowded,
        fallen=state.fallen + again,
    )


def _report(
    setting: Setting, state: VisitedState, s: Num[Array, "*coordinate"], a: Int[Array, ""]
) -> dict[str, Float[Array, ""]]:
    """Return what the maker's notes say is reported."""
    sweeps, nowhere = state.sweeps, state.visited == 0
    span = setting.clipped(sweeps.highest, sweeps.lowest) - sweeps.lowest
    frozen = state.present[a] <= _first_q(setting, state, s)[a] + ROUNDING
    return {
        "bonus": setting.beta * setting.row_of(s, state.known.inverse).length[a],
        "span": jnp.where(nowhere, 0, span),
        "episode": state.episode,
        "frozen": (nowhere | frozen).astype(float),
        "visited": jnp.maximum(state.visited, 1).astype(float),
        "sweeps": sweeps.count.astype(float),
        "fallen": state.fallen,
    }
