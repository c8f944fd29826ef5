"""The states visited so far, the sweeps of the episode over them, and what changes when a new state is visited.

A part of :mod:`~bayesmdp.agents.gamma_lscvi_ucb_visited`, whose formulas these are. Here V_u and the pool of all sweeps
of the episode are kept at the states visited, B; Q and V of one sweep at any states are in
:mod:`~bayesmdp.agents.families.kept_sweeps`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, Num

from bayesmdp.agents.families.kept_sweeps import Rows, Setting, Sweeps, best_value, least_before
from bayesmdp.agents.families.least_squares import ROUNDING, Regression
from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.problem import Problem

__all__ = ["VisitedState", "arrive", "make_sweeps"]


class VisitedState(NamedTuple):
    """What is known, the episode's sweeps, and their values at the states of `rows`.

    Attributes
    ----------
    data, known : Regression
        Of all steps, and of those before the episode.
    rows : Rows, leading axis [slot]
        Of a finite MDP's states, or of the states visited, in that order.
    seen : bool array [slot]
        Which slots hold states visited.
    visited : int
        How many do.
    here : int
        The present state's slot.
    base, value : arrays [slot]
        V_0, and the last V.
    sweeps : Sweeps
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
    rows: Rows
    seen: Bool[Array, " slot"]
    visited: Int[Array, ""]
    here: Int[Array, ""]
    base: Float[Array, " slot"]
    value: Float[Array, " slot"]
    sweeps: Sweeps
    pool: Float[Array, "slot action"]
    frozen: Bool[Array, "slot action"]
    settled: Bool[Array, ""]
    crowded: Bool[Array, ""]
    episode: Float[Array, ""]
    fallen: Float[Array, ""]


def make_sweeps(setting: Setting, state: VisitedState, first: Int[Array, ""], last: Int[Array, ""]) -> VisitedState:
    """Make sweeps one after the other; where they had been made before, as a new version.

    Parameters
    ----------
    setting : Setting
    state : VisitedState
    first, last : int
        Numbers of sweeps; none is made if `last` is less.

    Returns
    -------
    VisitedState
    """
    again = first <= state.sweeps.count
    version = state.sweeps.version + (again & (setting.versions > 1) & (first <= last))

    def next_sweep(
        carry: tuple[Int[Array, ""], Float[Array, ""], VisitedState],
    ) -> tuple[Int[Array, ""], Float[Array, ""], VisitedState]:
        u, slack, state = carry
        state, slack = _one_sweep(setting, state, version, u, slack)
        return u + 1, slack, state

    # e_1 = 0.
    carry = (first, jnp.zeros(()), state._replace(sweeps=state.sweeps._replace(version=version)))
    return lax.while_loop(lambda carry: carry[0] <= last, next_sweep, carry)[2]


def _one_sweep(
    setting: Setting, state: VisitedState, version: Int[Array, ""], u: Int[Array, ""], slack: Float[Array, ""]
) -> tuple[VisitedState, Float[Array, ""]]:
    """Make sweep `u` of this version with the slack e_u, and return e_{u+1}."""
    old, is_first = state.sweeps, u == 1
    made = u <= old.count
    # w_u = Lambda^-1 sum_D phi_i (V_{u-1}(s_i') - m_{u-1}).
    value, least_so_far = jnp.where(is_first, state.base, state.value), least_before(old, version, u)
    sweeps = old._replace(
        weights=old.weights.at[version, u].set(state.known.weights(value - least_so_far)),
        slack=old.slack.at[version, u].set(slack),
        since=old.since.at[u].set(jnp.where(made, old.since[u], version)),
        count=jnp.maximum(old.count, u),
    )
    # Q_u, V_u and m_u, at the states visited.
    q = setting.q_of_sweep(sweeps, version, u, state.rows)
    new_value, least = setting.value_of(q, state.rows, state.seen)
    # e_{u+1} = gamma max(e_u, fall of m_u).
    fall = jnp.where(made & (version > 0), old.least[version - 1, u] - least, 0)
    state = state._replace(
        value=new_value,
        sweeps=sweeps._replace(least=sweeps.least.at[version, u].set(least)),
        pool=jnp.where(is_first, q, jnp.maximum(q, state.pool)),
        frozen=is_first | (state.frozen & (q <= state.pool + ROUNDING)),
        settled=(least == least_so_far) & ((new_value == value) | ~state.seen).all(),
    )
    return state, setting.gamma * jnp.maximum(slack, fall)


class _Arrival(NamedTuple):
    """What the episode's sweeps say of one state: the last V, the pool, whether that is Q_1, whether a U_u < m_u."""

    value: Float[Array, ""]
    pool: Float[Array, " action"]
    frozen: Bool[Array, " action"]
    below: Bool[Array, ""]


def arrive(
    setting: Setting, state: VisitedState, s: Num[Array, "*coordinate"], new: Bool[Array, ""]
) -> tuple[VisitedState, Bool[Array, ""]]:
    """Enter a state, and add it to B if it is new.

    Parameters
    ----------
    setting : Setting
    state : VisitedState
    s : int, or float array [coordinate]
    new : bool

    Returns
    -------
    state : VisitedState
    below : bool
        Whether a U_u of the new state lies below its m_u, so that sweeps have to be made again.
    """
    finite = isinstance(setting.problem, Problem)
    slot = s if finite else jnp.where(new, state.visited, state.here)
    row = setting.row_of(s, state.known.inverse)
    arrival = lax.cond(
        new,
        lambda: _from_sweeps(setting, state.sweeps, row),
        lambda: _Arrival(state.value[slot], state.pool[slot], state.frozen[slot], jnp.zeros((), bool)),
    )

    def put(array: Array, entry: Array) -> Array:
        return array.at[slot].set(jnp.where(new, entry, array[slot]))

    state = state._replace(
        rows=jax.tree.map(put, state.rows, row),
        seen=put(state.seen, jnp.ones((), bool)),
        visited=state.visited + new,
        here=slot,
        value=put(state.value, arrival.value),
        pool=put(state.pool, arrival.pool),
        frozen=put(state.frozen, arrival.frozen),
    )
    return state, arrival.below


def _from_sweeps(setting: Setting, sweeps: Sweeps, row: Rows) -> _Arrival:
    """Evaluate all U_u of the episode at one state from the weights that were kept."""
    number = jnp.arange(setting.room + 1)
    made = (number >= 1) & (number <= sweeps.count)
    q = jax.vmap(lambda u: setting.q_of_sweep(sweeps, sweeps.version, u, row))(number)
    best, least = best_value(row, q), sweeps.least[sweeps.version]
    pool = jnp.max(q, 0, where=made[:, None], initial=-jnp.inf)
    last = least[sweeps.count]
    value = jnp.clip(best[sweeps.count], last, last + setting.width)
    return _Arrival(value, pool, pool <= q[1] + ROUNDING, (made & (best < least)).any())
