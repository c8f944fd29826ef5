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
Hong and Tewari (2025) close by one more clip. Its form here is ours, after theirs: the new Q_u is kept in

    [Q_u - e_u, Q_u] of the one it replaces,    e_1 = 0,    e_u = gamma max(e_{u-1}, fall of m_{u-1}),

so that Q_u at another state is a chain of clips, one for each time that an m fell in the episode. When there is no more
room for another version, the next episode begins.

A step costs d A (visited states + sweeps of the episode), and as many sweeps anew where an m falls. On a finite MDP
that is independent of the steps taken; on a continuous space each step visits a new state, and a run's cost grows with
the square of its length: a few thousand steps are what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.least_squares import Regression, doubled, include, lengths, no_data, refreshed
from bayesmdp.agents.families.optimistic import best_action, dense_unit_rewards, horizon_options, pair_features
from bayesmdp.agents.gamma_lscvi_ucb import ROUNDING, optimism, sweeps_to_settle
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning import greedy
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
) -> Agent:
    """Discounted optimism by least squares, clipped by the states visited (gamma-LSCVI-UCB).

    Parameters
    ----------
    horizon, span, scale, failure, discount, ridge
        As in `gamma_lscvi_ucb`. On a continuous space there is room for no more steps than `horizon`.
    sweeps : int, optional
        Room for the different sweeps of an episode; one that has made so many goes on with what it has. Enough for
        values to settle by default.
    versions : int
        With more than 1 deviations are controlled: room for so many versions of an episode's sweeps.

    Raises
    ------
    ValueError
        For numbers out of range, rewards outside [0, 1], or a successor table.

    Notes
    -----
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
    options["ridge"] = number("ridge", ridge, above=0)
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
    )


def _check(mdp: MDP | ContinuousMDP) -> None:
    for_space(CHECKS, mdp)(mdp)


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


CHECKS: Mapping[str, Callable[[Any], None]] = {"finite": dense_unit_rewards, "continuous": _unit_rewards_on_the_way}


class _Rows(NamedTuple):
    """What is known of states: features [..., action, feature]; reward, available and length [..., action]."""

    features: Array
    reward: Array
    available: Array
    length: Array


class _Sweeps(NamedTuple):
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
    least : array [version, sweep]
        m.
    slack : array [version, sweep]
        e: how much less than in the version before Q may be.
    since : int array [sweep]
        Its first version.
    """

    count: Array
    version: Array
    start: Array
    first: Array
    lowest: Array
    fresh: Array
    weights: Array
    least: Array
    slack: Array
    since: Array


class _State(NamedTuple):
    """What is known, the episode's sweeps, and their values at the states of `rows`.

    Attributes
    ----------
    data, known : Regression
        Of all steps, and of those before the episode.
    rows : _Rows, leading axis [slot]
        Of a finite MDP's states, or of the states visited, in that order.
    seen : bool array [slot]
        Which slots hold states visited.
    visited : int
        How many do.
    here : int
        The present state's slot.
    base, value : arrays [slot]
        V_0, and the last V.
    sweeps : _Sweeps
    pool, frozen : arrays [slot, action]
        The largest Q of the episode, and whether it is the first.
    settled : bool
        Whether another sweep would change nothing.
    crowded : bool
        Whether there is no room for another version.
    episode, fallen : float
        Numbers of episodes, and of times that sweeps were made again.
    """

    data: Regression
    known: Regression
    rows: _Rows
    seen: Array
    visited: Array
    here: Array
    base: Array
    value: Array
    sweeps: _Sweeps
    pool: Array
    frozen: Array
    settled: Array
    crowded: Array
    episode: Array
    fallen: Array


@dataclass(frozen=True)
class _VisitedRules:
    """The rules, with room for so many steps, sweeps and versions. Equal ones share a program."""

    steps: int
    sweeps: int
    versions: int

    def __call__(self, belief: None, problem: Problem | ContinuousProblem, options: Options) -> Rules:
        problem = jax.tree.map(jnp.asarray, problem)
        finite = isinstance(problem, Problem)
        if isinstance(problem, Problem):
            phi, slots = pair_features(problem), problem.num_states
            dimension, nowhere = phi.shape[-1], jnp.zeros((), jnp.int32)
        else:
            dimension, slots, nowhere = problem.num_features, self.steps + 1, problem.start
        gamma, width = options["discount"], 2 * options["span"]
        beta, cap = optimism(options, dimension), 1 / (1 - gamma)

        def look(s: Array, inverse: Array) -> _Rows:
            """One state's row."""
            if isinstance(problem, Problem):
                features, reward, available = phi[s], problem.reward[s, :, 0], problem.available[s]
            else:
                features, reward = problem.view(problem.parameters, s)
                available = jnp.ones(reward.shape, bool)
            return _Rows(features, reward, available, lengths(inverse, features))

        def free_q(weights: Array, least: Array, rows: _Rows) -> Array:
            """Q [..., action] of a sweep's weights and the m before it."""
            return jnp.minimum(rows.reward + gamma * (rows.features @ weights + least + beta * rows.length), cap)

        def before(sweeps: _Sweeps, version: Array, j: Array) -> Array:
            """m_{j-1}."""
            return jnp.where(j == 1, sweeps.start, sweeps.least[version, j - 1])

        def q_of(sweeps: _Sweeps, version: Array, j: Array, rows: _Rows) -> Array:
            """Q_j of states [..., action]: a chain of clips, from the sweep's first version to this one."""

            def plain(v: Array) -> Array:
                return free_q(sweeps.weights[v, j], before(sweeps, v, j), rows)

            def next_version(v: Array, q: Array) -> Array:
                now = plain(v)
                return jnp.where(v > sweeps.since[j], jnp.clip(now, q - sweeps.slack[v, j], q), now)

            if self.versions == 1:
                return plain(version)
            return lax.fori_loop(0, version + 1, next_version, jnp.zeros(rows.reward.shape))

        def best_of(rows: _Rows, q: Array) -> Array:
            return jnp.max(jnp.where(rows.available, q, -jnp.inf), -1)

        def clipped(state: _State, q: Array) -> tuple[Array, Array]:
            """V and m of a Q."""
            best = best_of(state.rows, q)
            least = jnp.min(best, where=state.seen, initial=jnp.inf)
            return jnp.clip(best, least, least + width), least

        def one_sweep(state: _State, version: Array, j: Array, slack: Array) -> tuple[_State, Array]:
            """Sweep `j` of this version, and the slack of the next."""
            old, start = state.sweeps, j == 1
            made = j <= old.count
            value, held = jnp.where(start, state.base, state.value), before(old, version, j)
            sweeps = old._replace(
                weights=old.weights.at[version, j].set(state.known.weights(value - held)),
                slack=old.slack.at[version, j].set(slack),
                since=old.since.at[j].set(jnp.where(made, old.since[j], version)),
                count=jnp.maximum(old.count, j),
            )
            q = q_of(sweeps, version, j, state.rows)
            after, least = clipped(state, q)
            fall = jnp.where(made & (version > 0), old.least[version - 1, j] - least, 0)
            state = state._replace(
                value=after,
                sweeps=sweeps._replace(least=sweeps.least.at[version, j].set(least)),
                pool=jnp.where(start, q, jnp.maximum(q, state.pool)),
                frozen=start | (state.frozen & (q <= state.pool + ROUNDING)),
                settled=(least == held) & ((after == value) | ~state.seen).all(),
            )
            return state, gamma * jnp.maximum(slack, fall)

        def sweep(state: _State, first: Array, last: Array) -> _State:
            """Sweeps from `first` to `last`; a new version where they have been made before."""
            again = first <= state.sweeps.count
            version = state.sweeps.version + (again & (self.versions > 1) & (first <= last))

            def more(carry: tuple[Array, Array, _State]) -> tuple[Array, Array, _State]:
                j, slack, state = carry
                state, slack = one_sweep(state, version, j, slack)
                return j + 1, slack, state

            carry = (first, jnp.zeros(()), state._replace(sweeps=state.sweeps._replace(version=version)))
            return lax.while_loop(lambda carry: carry[0] <= last, more, carry)[2]

        def arrive(state: _State, s: Array, new: Array) -> tuple[_State, Array]:
            """In a state: which may be new, and lie below an m."""
            slot = s if finite else jnp.where(new, state.visited, state.here)
            row, sweeps, version = look(s, state.known.inverse), state.sweeps, state.sweeps.version

            def values() -> tuple[Array, Array, Array, Array]:
                """The last V, the pool, whether it is the first Q, and whether the state lies below an m."""
                number = jnp.arange(self.sweeps + 1)
                made = (number >= 1) & (number <= sweeps.count)
                q = jax.vmap(lambda j: q_of(sweeps, version, j, row))(number)
                best, least = best_of(row, q), sweeps.least[version]
                pool = jnp.max(q, 0, where=made[:, None], initial=-jnp.inf)
                last = least[sweeps.count]
                value = jnp.clip(best[sweeps.count], last, last + width)
                return value, pool, pool <= q[1] + ROUNDING, (made & (best < least)).any()

            def known() -> tuple[Array, Array, Array, Array]:
                return state.value[slot], state.pool[slot], state.frozen[slot], jnp.zeros((), bool)

            value, pool, frozen, below = lax.cond(new, values, known)

            def put(held: Array, now: Array) -> Array:
                return held.at[slot].set(jnp.where(new, now, held[slot]))

            state = state._replace(
                rows=jax.tree.map(put, state.rows, row),
                seen=put(state.seen, jnp.ones((), bool)),
                visited=state.visited + new,
                here=slot,
                value=put(state.value, value),
                pool=put(state.pool, pool),
                frozen=put(state.frozen, frozen),
            )
            return state, below

        def init(key: Array) -> _State:
            nothing = no_data(options["ridge"], dimension, slots)
            row, room = look(nowhere, nothing.inverse), (self.versions, self.sweeps + 1)
            rows = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (slots, *leaf.shape)), row)
            if finite:
                rows = jax.vmap(lambda s: look(s, nothing.inverse))(jnp.arange(slots))
            none, zero = jnp.zeros((), jnp.int32), jnp.zeros(())
            return _State(
                data=nothing,
                known=nothing,
                rows=rows,
                seen=jnp.zeros(slots, bool),
                visited=none,
                here=none,
                base=jnp.full(slots, cap),
                value=jnp.full(slots, cap),
                sweeps=_Sweeps(
                    count=none,
                    version=none,
                    start=zero,
                    first=jnp.zeros(dimension),
                    lowest=zero + cap,
                    fresh=jnp.ones((), bool),
                    weights=jnp.zeros((*room, dimension)),
                    least=jnp.full(room, cap),
                    slack=jnp.zeros(room),
                    since=jnp.zeros(self.sweeps + 1, jnp.int32),
                ),
                pool=jnp.full(rows.reward.shape, cap),
                frozen=jnp.zeros(rows.reward.shape, bool),
                settled=jnp.zeros((), bool),
                crowded=jnp.zeros((), bool),
                episode=zero,
                fallen=zero,
            )

        def begin(key: Array, state: _State) -> _State:
            known = refreshed(state.data)
            old, one = state.sweeps, jnp.ones((), jnp.int32)
            start = jnp.where(old.fresh, old.lowest, old.least[old.version, old.count])
            rows = state.rows._replace(length=lengths(known.inverse, state.rows.features))
            weights = known.weights(state.value - start)
            q = free_q(weights, start, rows)
            value, least = clipped(state._replace(rows=rows), q)
            return state._replace(
                data=known,
                known=known,
                rows=rows,
                base=state.value,
                value=value,
                sweeps=old._replace(
                    count=one, version=0 * one, start=start, first=weights, lowest=least, fresh=jnp.ones((), bool)
                ),
                pool=q,
                frozen=jnp.ones(q.shape, bool),
                settled=jnp.zeros((), bool),
                crowded=jnp.zeros((), bool),
                episode=state.episode + 1,
            )

        def act(key: Array, state: _State, s: Array) -> Array:
            row = look(s, state.known.inverse)
            first = free_q(state.sweeps.first, state.sweeps.start, row)
            values = jnp.where(state.visited > 0, state.pool[state.here], first)
            return best_action(row.available, values)

        def observe(key: Array, state: _State, step: Step) -> _State:
            old = state.sweeps
            sweeps = old._replace(
                fresh=jnp.zeros((), bool),
                weights=old.weights.at[0, 1].set(jnp.where(old.fresh, old.first, old.weights[0, 1])),
                least=old.least.at[0, 1].set(jnp.where(old.fresh, old.lowest, old.least[0, 1])),
                since=old.since.at[1].set(0),
            )
            # The first state of all is not known before.
            state, fell = arrive(state._replace(sweeps=sweeps), step.state, state.visited == 0)
            feature = state.rows.features[state.here, step.action]
            new = ~state.seen[step.next_state] if finite else jnp.ones((), bool)
            state, falls = arrive(state, step.next_state, new)
            fell |= falls
            state = state._replace(data=include(state.data, feature, state.here))
            crowded = fell & (self.versions > 1) & (state.sweeps.version + 1 >= self.versions)
            again, ends = fell & ~crowded, doubled(state.data, state.known) | crowded
            count = state.sweeps.count
            # The sweep before the next step; where that begins an episode, `begin` makes it instead.
            another = ~ends & (again | ~state.settled) & (count < self.sweeps)
            state = sweep(state, jnp.where(again, 1, count + 1), count + another)
            return state._replace(crowded=crowded, fallen=state.fallen + again)

        def report(state: _State, s: Array, a: Array) -> dict[str, Array]:
            values = jnp.where(state.seen, state.value, jnp.nan)
            return {
                "bonus": beta * look(s, state.known.inverse).length[a],
                "span": jnp.where(state.visited > 0, jnp.nanmax(values) - jnp.nanmin(values), 0),
                "episode": state.episode,
                "frozen": jnp.where(state.visited > 0, state.frozen[state.here, a], True).astype(float),
                "visited": jnp.maximum(state.visited, 1).astype(float),
                "sweeps": state.sweeps.count.astype(float),
                "fallen": state.fallen,
            }

        def policy(state: _State) -> Array:
            return greedy(problem, state.pool)[0] if isinstance(problem, Problem) else ()

        return Rules(
            init=init,
            begin=begin,
            act=act,
            observe=observe,
            ends=lambda coin, state, step: doubled(state.data, state.known) | state.crowded,
            policy=policy,
            report=report,
            belief=lambda state: (),
        )
