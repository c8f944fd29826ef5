"""The states visited so far, the sweeps of the episode over them, and what changes when a new state is visited.

A part of :mod:`~bayesmdp.agents.gamma_lscvi_ucb_visited`, whose formulas these are. Q and V of one sweep at any states
are in :mod:`~bayesmdp.agents.families.kept_sweeps`. Here U_u of the last sweep and the pool of all sweeps of the
episode are kept at the states visited, B, each of which has a *slot*: its number in the order of first visits. There is
room for more slots than are in use, but only those are gone through, block by block, and what is as long as the room is
changed in place, by loops: a branch (`lax.cond`) would copy all of it at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int

from bayesmdp.agents.families.kept_sweeps import BLOCK, Rows, Setting, Sweeps, block_of_sweeps, put_weights, row_lengths
from bayesmdp.agents.families.least_squares import Regression
from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.world import Step

__all__ = ["VisitedState", "arrive", "first_sweep", "make_sweeps", "once", "settle_in", "visited_after"]


class VisitedState(NamedTuple):
    """What is known, the episode's sweeps, and their values at the states visited.

    Attributes
    ----------
    data, known : Regression
        Of all steps, and of those before the episode; their next states are slots.
    rows : Rows, of slots
    slot_of : int array [state], optional
        The slots of a finite MDP's states, -1 where a state was not visited.
    visited : int
        How many slots are in use.
    here : int
        The present state's slot.
    present : array [action]
        The pool of the present state, if any was visited.
    base, best : arrays [slot]
        U of the last sweep of the episode before, and of the last one.
    sweeps : Sweeps
    pool : array [action, slot]
        The largest Q of the episode.
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
    slot_of: Int[Array, " state"] | None
    visited: Int[Array, ""]
    here: Int[Array, ""]
    present: Float[Array, " action"]
    base: Float[Array, " slot"]
    best: Float[Array, " slot"]
    sweeps: Sweeps
    pool: Float[Array, "action slot"]
    settled: Bool[Array, ""]
    crowded: Bool[Array, ""]
    episode: Float[Array, ""]
    fallen: Float[Array, ""]


def once(due: Bool[Array, ""], change: Callable[[Any], Any], state: Any) -> Any:
    """Return ``change(state)`` if it is due, otherwise the state as it is.

    This is a loop in the place of a branch, since what a loop changes it changes in place. Besides, on a CPU XLA makes
    one kernel of a loop over small pieces of arrays; operations outside of such loops are started one by one by a pool
    of threads, which takes longer than they do.

    Parameters
    ----------
    due : bool
    change : callable
        ``change(state) -> state``.
    state : pytree

    Returns
    -------
    pytree
    """

    def changed(carry: tuple[Bool[Array, ""], Any]) -> tuple[Bool[Array, ""], Any]:
        return jnp.zeros((), bool), change(carry[1])

    return lax.while_loop(lambda carry: carry[0], changed, (due, state))[1]


def _over_blocks(setting: Setting, number: Int[Array, ""], step: Callable[[Any, Any], Any], carry: Any) -> Any:
    """Return ``carry = step(start, carry)`` after all blocks of the first `number` slots."""
    return lax.fori_loop(0, -(-number // setting.block), lambda i, carry: step(i * setting.block, carry), carry)


def _cut(setting: Setting, arrays: Any, start: Int[Array, ""] | int) -> Any:
    """Return the block of slots that begins at `start`, of an array [..., slot] or a tree of arrays."""
    return jax.tree.map(lambda array: lax.dynamic_slice_in_dim(array, start, setting.block, array.ndim - 1), arrays)


def _paste(array: Array, block: Array, start: Int[Array, ""] | int) -> Array:
    """Return an array [..., slot] with the block of slots that begins at `start` replaced."""
    return lax.dynamic_update_slice_in_dim(array, block, start, array.ndim - 1)


def _enter(array: Array, entry: Array, slot: Int[Array, ""]) -> Array:
    """Return an array [..., slot] with the entry of a slot replaced, in place where XLA can."""
    return lax.dynamic_update_index_in_dim(array, entry, slot, array.ndim - 1)


def _put(array: Array, entry: Array, *index: Int[Array, ""] | int) -> Array:
    """Return an array with the entry at an index replaced, in place where XLA can (writing by .at would scatter)."""
    place = [jnp.asarray(i, jnp.int32) for i in (*index, *[0] * entry.ndim)]
    return lax.dynamic_update_slice(array, entry[(None,) * len(index)], place)


def _weights(
    setting: Setting,
    known: Regression,
    visited: Int[Array, ""],
    best: Callable[[Any], Float[Array, " block"]],
    least: Float[Array, ""],
) -> Float[Array, " feature"]:
    """Return w = Lambda^-1 sum_D phi_i (V(s_i') - m), where V is clipped from the U that `best` gives of a block."""

    # Slot by slot of the blocks, which is done in vectors; a sum over a block would be made number by number.
    def add(start: Int[Array, ""] | int, total: Float[Array, "feature block"]) -> Float[Array, "feature block"]:
        value = setting.clipped(best(start), least)
        return total + _cut(setting, known.moved, start) * (value - least)

    total = _over_blocks(setting, visited, add, jnp.zeros((setting.dimension, setting.block)))
    return known.inverse @ total.sum(-1)


def _seen(setting: Setting, state: VisitedState, start: Int[Array, ""] | int) -> Bool[Array, " block"]:
    """Return which slots of a block are in use."""
    return start + jnp.arange(setting.block) < state.visited


def first_sweep(
    setting: Setting, state: VisitedState, known: Regression
) -> tuple[Float[Array, " feature"], Float[Array, ""], Float[Array, ""]]:
    """Compute of an episode's first sweep what has to be known before its first step, writing nothing.

    Parameters
    ----------
    setting : Setting
    state : VisitedState
        After the last step of the episode before, whose last V is V_0.
    known : Regression
        Of all steps.

    Returns
    -------
    weights : array [feature]
        w_1.
    lowest, highest : float
        The least and the largest U_1 at the states visited.
    """
    start = state.sweeps.lowest
    weights = _weights(setting, known, state.visited, lambda at: _cut(setting, state.best, at), start)

    def look(at: Int[Array, ""] | int, ends: _Ends) -> _Ends:
        rows = _cut(setting, state.rows, at)
        rows = rows._replace(length=row_lengths(known.inverse, rows.features))
        return _widened(ends, jnp.max(setting.q_of_weights(weights, start, rows), 0), _seen(setting, state, at))

    ends = _over_blocks(setting, state.visited, look, _no_ends(setting))
    return weights, jnp.min(ends.lowest), jnp.max(ends.highest)


class _Ends(NamedTuple):
    """The least and the largest U, of the first slots of all blocks, of the second ones, and so on."""

    lowest: Float[Array, " block"]
    highest: Float[Array, " block"]


def _no_ends(setting: Setting) -> _Ends:
    return _Ends(jnp.full(setting.block, jnp.inf), jnp.full(setting.block, -jnp.inf))


def _widened(ends: _Ends, best: Float[Array, " block"], seen: Bool[Array, " block"]) -> _Ends:
    """Return the ends with the U of another block."""
    return _Ends(
        jnp.where(seen, jnp.minimum(ends.lowest, best), ends.lowest),
        jnp.where(seen, jnp.maximum(ends.highest, best), ends.highest),
    )


def settle_in(setting: Setting, state: VisitedState) -> VisitedState:
    """Write down with which data, values and lengths an episode began, at its first step; later, do nothing.

    Parameters
    ----------
    setting : Setting
    state : VisitedState

    Returns
    -------
    VisitedState
    """

    def copied(carry: tuple[Int[Array, ""], VisitedState]) -> tuple[Int[Array, ""], VisitedState]:
        start, state = carry
        moved = _paste(state.known.moved, _cut(setting, state.data.moved, start), start)
        length = row_lengths(state.known.inverse, _cut(setting, state.rows.features, start))
        sweeps = state.sweeps
        return start + setting.block, state._replace(
            known=state.known._replace(moved=moved),
            rows=state.rows._replace(length=_paste(state.rows.length, length, start)),
            base=_paste(state.base, _cut(setting, state.best, start), start),
            # Sweep 1 is kept where the others are.
            sweeps=sweeps._replace(
                weights=put_weights(sweeps.weights, sweeps.first, 0, 1),
                least=_put(sweeps.least, sweeps.lowest, 0, 1),
                since=_put(sweeps.since, jnp.zeros((), jnp.int32), 1),
            ),
        )

    # One block at least, for what is not of slots.
    until = jnp.where(state.sweeps.fresh, jnp.maximum(state.visited, 1), 0)
    start = jnp.zeros((), jnp.int32)
    return lax.while_loop(lambda carry: carry[0] < until, copied, (start, state))[1]


def visited_after(state: VisitedState, step: Step) -> Int[Array, ""]:
    """Return how many states will have been visited: where a step leads, and at the first of all where it began, too.

    Parameters
    ----------
    state : VisitedState
    step : Step

    Returns
    -------
    int
    """
    none, new = state.visited == 0, jnp.ones((), bool)
    if state.slot_of is not None:
        new = (state.slot_of[step.next_state] < 0) & ~(none & (step.next_state == step.state))
    return state.visited + none + new


def arrive(
    setting: Setting, state: VisitedState, step: Step, until: Int[Array, ""]
) -> tuple[VisitedState, Bool[Array, ""]]:
    """Add to B what a step visits for the first time.

    Parameters
    ----------
    setting : Setting
    state : VisitedState
    step : Step
    until : int
        `visited_after` the step.

    Returns
    -------
    state : VisitedState
    below : bool
        Whether a U_u of a new state lies below its m_u, so that sweeps have to be made again.
    """

    def add(carry: tuple[VisitedState, Bool[Array, ""]]) -> tuple[VisitedState, Bool[Array, ""]]:
        state, below = carry
        slot = state.visited
        s = jnp.where(slot == 0, step.state, step.next_state)
        row = setting.row_of(s, state.known.inverse)
        pool, best, lies_below = _from_sweeps(setting, state.sweeps, row)

        slot_of = state.slot_of
        state = state._replace(
            rows=jax.tree.map(lambda array, entry: _enter(array, entry, slot), state.rows, row),
            slot_of=None if slot_of is None else _put(slot_of, slot, s),
            visited=slot + 1,
            best=_put(state.best, best, slot),
            pool=_enter(state.pool, pool, slot),
            sweeps=state.sweeps._replace(highest=jnp.maximum(state.sweeps.highest, best)),
        )
        return state, below | lies_below

    return lax.while_loop(lambda carry: carry[0].visited < until, add, (state, jnp.zeros((), bool)))


def _from_sweeps(setting: Setting, sweeps: Sweeps, row: Rows) -> tuple[Array, Array, Array]:
    """Evaluate all U_u of the episode at one state from the weights that were kept.

    Returns
    -------
    pool : array [action]
        The largest Q.
    best : float
        U of the last sweep.
    below : bool
        Whether a U_u < m_u.
    """

    # By place in the blocks of sweeps, [action, place] and [place]; the largest of all in the end.
    def look(i: Int[Array, ""], carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        pool, last, below = carry
        first = 1 + i * BLOCK
        number = first + jnp.arange(BLOCK)
        q, made = setting.q_of_block(sweeps, first, row), number <= sweeps.count
        best, least = jnp.max(q, 0), block_of_sweeps(sweeps.least, sweeps.version, first)
        return (
            jnp.where(made, jnp.maximum(pool, q), pool),
            jnp.where(number == sweeps.count, best, last),
            below | (made & (best < least)),
        )

    none = jnp.full((setting.actions, BLOCK), -jnp.inf)
    carry = (none, none[0], jnp.zeros(BLOCK, bool))
    pool, last, below = lax.fori_loop(0, -(-sweeps.count // BLOCK), look, carry)
    return jnp.max(pool, -1), jnp.max(last), below.any()


def make_sweeps(
    setting: Setting, state: VisitedState, first: Int[Array, ""], last: Int[Array, ""], version: Int[Array, ""]
) -> VisitedState:
    """Make sweeps one after the other.

    Parameters
    ----------
    setting : Setting
    state : VisitedState
    first, last : int
        Numbers of sweeps; none is made if `last` is less.
    version : int
        Where they are kept.

    Returns
    -------
    VisitedState
    """

    def next_sweep(carry: tuple[Array, Array, VisitedState]) -> tuple[Array, Array, VisitedState]:
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
    sweeps, is_first, made = state.sweeps, u == 1, u <= state.sweeps.count
    # w_u = Lambda^-1 sum_D phi_i (V_{u-1}(s_i') - m_{u-1}).
    before = jnp.where(is_first, sweeps.start, sweeps.lowest)

    def best_before(start: Int[Array, ""] | int, best: Float[Array, " slot"]) -> Float[Array, " block"]:
        return jnp.where(is_first, _cut(setting, state.base, start), _cut(setting, best, start))

    weights = _weights(setting, state.known, state.visited, lambda start: best_before(start, state.best), before)
    sweeps = sweeps._replace(
        weights=put_weights(sweeps.weights, weights, version, u), count=jnp.maximum(sweeps.count, u)
    )
    if setting.versions > 1:
        since = jnp.where(made, sweeps.since[u], version)
        sweeps = sweeps._replace(slack=_put(sweeps.slack, slack, version, u), since=_put(sweeps.since, since, u))

    # Q_u, U_u, the pool and m_u, at the states visited.
    def evaluate(start: Int[Array, ""] | int, carry: Any) -> Any:
        best, pool, ends, same = carry
        rows, seen = _cut(setting, state.rows, start), _seen(setting, state, start)
        q = setting.controlled(setting.q_of_weights(weights, before, rows), slack, sweeps, version, u, rows)
        new, old = jnp.max(q, 0), best_before(start, best)
        same &= (setting.clipped(new, before) == setting.clipped(old, before)) | ~seen
        pooled = jnp.maximum(q, jnp.where(is_first, -jnp.inf, _cut(setting, pool, start)))
        # Adding 0 says that old values are compared before they are overwritten; not told, XLA copies all slots first.
        best = _paste(best, new + 0.0 * same, start)
        return best, _paste(pool, pooled, start), _widened(ends, new, seen), same

    begun = state.best, state.pool, _no_ends(setting), jnp.ones(setting.block, bool)
    best, pool, ends, same = _over_blocks(setting, state.visited, evaluate, begun)
    lowest, highest = jnp.min(ends.lowest), jnp.max(ends.highest)
    # e_{u+1} = gamma max(e_u, fall of m_u).
    fall = jnp.where(made & (version > 0), sweeps.least[version - 1, u] - lowest, 0) if setting.versions > 1 else 0
    state = state._replace(
        best=best,
        pool=pool,
        sweeps=sweeps._replace(least=_put(sweeps.least, lowest, version, u), lowest=lowest, highest=highest),
        settled=same.all() & (lowest == before),
    )
    return state, setting.gamma * jnp.maximum(slack, fall)
