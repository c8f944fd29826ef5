"""Toy-text tables, the kernels of Gymnasium's small environments, as MDPs.

A table is ``P[state][action]``, a list of (probability, next state, reward, terminated). There *transitions* terminate;
in an MDP *states* are terminal. A state becomes a terminal one if some transition into it terminates, none goes on, and
no episode starts in it (transitions out of terminal states do not count). Where any other transition terminates, as
Taxi's drop-off does, it leads to one extra terminal state, put last, whose label is the next number. The values of all
states that are not terminal are exactly those of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.validation import finite_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.successors import successor_table

__all__ = ["mdp_from_table", "successor_table"]


def mdp_from_table(table: Any, states: range, actions: range, *, initial: Any, discount: float, name: str) -> MDP:
    """The MDP of a toy-text table.

    Parameters
    ----------
    table : mapping or sequence
        ``P[state][action]``, a list of (probability, next state, reward, terminated). A missing or empty list is an
        action that is not available.
    states, actions : range
        The numbers that the table uses; they become the labels.
    initial : label or array [state]
    discount : float
    name : str

    Returns
    -------
    MDP
        On a successor table, with reward [state, action, outcome]: outcomes that lead to the same state are one, with
        their mean reward.

    Raises
    ------
    ValueError
        For a state that the table lacks, or a transition from or to what is none.

    Examples
    --------
    >>> table = {0: {0: [(0.5, 0, 0.0, False), (0.5, 0, 2.0, True)]}}
    >>> flip = mdp_from_table(table, range(1), range(1), initial=0, discount=0.9, name="flip until heads")
    >>> flip.states, flip.terminal.tolist()
    ((0, 1), [False, True])
    """
    if np.ndim(initial):
        initial = finite_array("initial", initial, (len(states),))
    state, action, probability, after, reward, ends = _columns(table, states, actions, name)
    starts = np.array([number == initial for number in states]) if np.ndim(initial) == 0 else initial > 0
    terminal = _terminal(state, after, ends, starts)
    goes_on = ~terminal[state]
    stray = goes_on & ends & ~terminal[after]
    if stray.any():
        after = np.where(stray, len(states), after)
        terminal = np.append(terminal, True)
        initial = np.append(initial, 0) if np.ndim(initial) else initial
    num_states, num_actions = len(terminal), len(actions)
    pair = (state * num_actions + action)[goes_on]
    tried = np.isin(np.arange(num_states * num_actions), pair)
    # Pairs without outcomes, unavailable or of terminal states, stay where they are.
    idle = np.flatnonzero(~tried)
    pair, after = np.append(pair, idle), np.append(after[goes_on], idle // num_actions)
    weight = np.append(probability[goes_on], np.ones(len(idle)))
    gain = np.append((probability * reward)[goes_on], np.zeros(len(idle)))
    merged, inverse = np.unique(pair * num_states + after, return_inverse=True)
    row, next_state = np.divmod(merged, num_states)
    outcome, successor = successor_table(row, next_state, num_states * num_actions)
    transition, rewards = np.zeros((2, *successor.shape))
    transition[row, outcome] = np.bincount(inverse, weights=weight)
    rewards[row, outcome] = np.bincount(inverse, weights=gain) / transition[row, outcome]
    shape = num_states, num_actions, -1
    return MDP(
        transition=transition.reshape(shape),
        successor=successor.reshape(shape),
        reward=rewards.reshape(shape),
        discount=discount,
        initial=initial,
        terminal=terminal,
        available=tried.reshape(shape[:2]),
        states=range(states.start, states.start + num_states),
        actions=actions,
        name=name,
    )


def _columns(table: Any, states: range, actions: range, name: str) -> list[NDArray[Any]]:
    """The possible transitions: position of the state, action, probability, position of the next state, reward, end."""
    rows = [
        (state, action, float(probability), int(after), float(reward), bool(ends))
        for state in states
        for action, outcomes in _items(table, state, name)
        for probability, after, reward, ends in outcomes
        if probability > 0
    ]
    for state, action, _, after, *_ in rows:
        if action not in actions or after not in states:
            raise ValueError(
                f"{name}: P[{state}][{action}] leads to {after}; states are {states.start} to {states.stop - 1}, "
                f"actions {actions.start} to {actions.stop - 1}"
            )
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    for place, numbers in ((0, states), (1, actions), (3, states)):
        columns[place] -= numbers.start
    return columns


def _items(table: Any, state: int, name: str) -> Iterable[tuple[int, Any]]:
    try:
        rows = table[state]
    except LookupError:
        raise ValueError(f"{name}: P has no state {state}, which is an observation") from None
    return rows.items() if isinstance(rows, Mapping) else enumerate(rows)


def _terminal(
    state: NDArray[np.int64], after: NDArray[np.int64], ends: NDArray[np.bool_], starts: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The largest set of states such that all transitions into it from outside terminate, and some do."""
    terminal = np.isin(np.arange(len(starts)), after[ends]) & ~starts
    while True:
        entered = np.isin(np.arange(len(starts)), after[~ends & ~terminal[state]])
        if not (terminal & entered).any():
            return terminal
        terminal &= ~entered
