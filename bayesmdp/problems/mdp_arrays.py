"""The arrays of an MDP, as given and as kept: read, checked, brought to one form."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jax.typing import ArrayLike
from numpy.typing import NDArray

from bayesmdp.foundation.validation import (
    ROW_TOLERANCE,
    distributions,
    finite_array,
    numeric_array,
    reject_first,
    turned,
)
from bayesmdp.problems.labels import in_order, with_names
from bayesmdp.problems.successors import holds_sparse

AXES = ("state", "action", "next_state", "outcome", "feature")
"""The names of axes, in their order."""

PAIR = AXES[:2]
"""Those of tables of pandas."""


def by_labels(
    arrays: Mapping[str, Any], states: Sequence[Hashable] | None, actions: Sequence[Hashable] | None
) -> tuple[list[Any], Sequence[Hashable] | None, Sequence[Hashable] | None]:
    """Return arrays with their axes, and what these name, in order, as far as they have names; and the labels.

    Parameters
    ----------
    arrays : mapping of name to anything
        All that has no names is returned as it is.
    states, actions : sequences or None
        Labels. Without them those of the first array that has some count, and where none has they stay None.

    Raises
    ------
    ValueError
        Naming a label that an array does not have, or has more than once.

    Examples
    --------
    >>> reward = xr.DataArray([[1.0, 2.0]], {"state": ["b", "a"]}, ("action", "state"))
    >>> (ordered,), _, _ = by_labels({"reward": reward}, ["a", "b"], None)
    >>> ordered.values.tolist()
    [[2.0], [1.0]]
    """
    named = {name: with_names(given, PAIR) for name, given in arrays.items()}
    states = _labels_of("state", named) if states is None else states
    actions = _labels_of("action", named) if actions is None else actions
    labels = {"state": states, "action": actions, "next_state": states}
    known = {dim: None if each is None else list(each) for dim, each in labels.items()}
    return [in_order(name, _by_axes(given), known) for name, given in named.items()], states, actions


def _labels_of(dim: str, named: Mapping[str, Any]) -> list[Hashable] | None:
    """The labels that the first array which has any gives an axis."""
    for given in named.values():
        if isinstance(given, xr.DataArray) and dim in given.indexes:
            return list(given.indexes[dim])
    return None


def _by_axes(given: Any) -> Any:
    """A DataArray with its axes in their order, where it has the names of them."""
    if not isinstance(given, xr.DataArray) or not set(given.dims) <= set(AXES):
        return given
    return given.transpose(*(axis for axis in AXES if axis in given.dims))


def read_sizes(
    transition: Any, successor: Any, available: Any, reward: Any, actions: Sequence[Hashable] | None
) -> tuple[int, int]:
    """Tell the numbers of states and actions from the first array that tells.

    Parameters
    ----------
    transition, successor, available, reward : arrays or None
    actions : sequence or None
        Labels.

    Returns
    -------
    num_states, num_actions : int
    """
    for name, array in (("transition", transition), ("successor", successor), ("available", available)):
        if array is not None:
            shape = np.shape(array)
            if len(shape) < 2 or 0 in shape:
                raise ValueError(f"{name} starts with [state, action], at least one of each; got shape {shape}")
            if name == "transition" and successor is None:
                # The numbers themselves are read from an array of the wrong order.
                hint = turned(name, shape, (shape[1], shape[0], shape[1]))
                if hint:
                    raise ValueError(f"{name} has shape {shape}, which is [action, state, next_state]{hint}")
            return shape[0], shape[1]
    shape = np.shape(reward)
    if len(shape) >= 2:
        return shape[0], shape[1]
    if len(shape) == 1 and actions is not None:
        return shape[0], len(actions)
    raise ValueError("the numbers of states and actions cannot be told: give transition, or reward[state, action]")


def read_transition(
    transition: ArrayLike, shape: tuple[int, int, int], taken: NDArray[np.bool_], successor: Any
) -> NDArray[np.float64]:
    """Check the rows; those that cannot be taken stay where they are if they are no distributions.

    Parameters
    ----------
    transition : array [state, action, outcome]
    shape : (num_states, num_actions, num_outcomes)
    taken : bool array [state, action]
        Pairs that can be acted in.
    successor : int array [state, action, outcome] or None

    Returns
    -------
    array [state, action, outcome]
    """
    state, action = np.nonzero(~taken)
    if len(state):
        array = numeric_array("transition", transition, shape)
        rows = array[state, action]
        with np.errstate(invalid="ignore", over="ignore"):
            idle = ~((rows >= 0).all(-1) & (np.abs(rows.sum(-1) - 1) <= ROW_TOLERANCE))
        state, action = state[idle], action[idle]
        array[state, action] = 0
        array[state, action, state if successor is None else 0] = 1
        transition = array
    remedy = "each row must sum to 1; if its action cannot be taken, say so with available=[state, action]"
    return distributions("transition", transition, shape, remedy=remedy)


def read_successor(successor: ArrayLike, num_states: int, num_actions: int) -> NDArray[np.int32]:
    """Check the table of next states.

    Parameters
    ----------
    successor : int array [state, action, outcome]
        -1 where they are elsewhere.
    num_states, num_actions : int

    Returns
    -------
    int32 array [state, action, outcome]
    """
    table = np.asarray(successor)
    if not np.issubdtype(table.dtype, np.integer):
        raise TypeError(f"successor holds state indices and must be integer; got dtype {table.dtype}")
    if table.ndim != 3 or table.shape[:2] != (num_states, num_actions):
        hint = turned("successor", table.shape, (num_states, num_actions, *table.shape[2:]))
        raise ValueError(f"successor has shape {table.shape}; expected [{num_states}, {num_actions}, outcome]{hint}")
    wrong = (table < -1) | (table >= num_states)
    range_ = f"is no state; indices run from 0 to {num_states - 1}, and -1 is elsewhere"
    reject_first("successor", wrong, table, range_)
    return table.astype(np.int32)


def read_available(
    available: ArrayLike | None, shape: tuple[int, int], terminal: NDArray[np.bool_], states: Any
) -> NDArray[np.bool_]:
    """Check which actions can be taken; all of them can in terminal states.

    Parameters
    ----------
    available : bool array [state, action] or None
    shape : (num_states, num_actions)
    terminal : bool array [state]
    states : sequence
        Labels, for the message.

    Returns
    -------
    bool array [state, action]
    """
    if available is None:
        return np.ones(shape, bool)
    mask = np.asarray(available)
    if mask.dtype != bool or mask.shape != shape:
        hint = turned("available", mask.shape, shape)
        raise ValueError(f"available must be boolean [{shape[0]}, {shape[1]}]; got {mask.dtype} {mask.shape}{hint}")
    stuck = ~mask.any(-1) & ~terminal
    if stuck.any():
        state = int(np.flatnonzero(stuck)[0])
        raise ValueError(
            f"available[{state}] (state {states[state]!r}) allows no action; allow one or make it terminal"
        )
    # A terminal state takes no action; allowing all there keeps every maximum finite.
    return mask | terminal[:, None]


def read_features(features: ArrayLike, pairs: tuple[int, int]) -> NDArray[np.float64]:
    """Check the features.

    Parameters
    ----------
    features : array [state, action, feature]
    pairs : (num_states, num_actions)

    Returns
    -------
    array [state, action, feature]
    """
    array = finite_array("features", features)
    if array.ndim != 3 or array.shape[:2] != pairs:
        hint = turned("features", array.shape, (*pairs, *array.shape[2:]))
        raise ValueError(
            f"features has shape {array.shape}; expected [state, action, feature] = {pairs} and features{hint}"
        )
    return array.copy()


def on_table(reward: Any, successor: NDArray[np.int32]) -> Any:
    """Return rewards of next states as those of the table's outcomes; others as they are.

    Parameters
    ----------
    reward : array [state, action, next_state], or of fewer axes
    successor : int array [state, action, outcome]

    Returns
    -------
    array
    """
    size = len(successor)
    return reward if np.shape(reward) != (*successor.shape[:2], size) else np.take_along_axis(reward, successor, -1)


def read_reward(reward: ArrayLike, shape: tuple[int, int, int], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Check the rewards, which are 0 where no finite number is needed.

    Parameters
    ----------
    reward : array [state], [state, action] or [state, action, outcome]
    shape : (num_states, num_actions, num_outcomes)
    taken : bool array [state, action]
        Pairs that can be acted in.

    Returns
    -------
    array [state, action, outcome or 1]
    """
    if holds_sparse(reward):
        raise TypeError(
            "reward holds sparse matrices; give reward[state, action], the mean over next states: "
            "np.stack([p.multiply(r).sum(1) for p, r in zip(transition, reward)], axis=1)"
        )
    one = (*shape[:2], 1)
    array = numeric_array("reward", reward, shape[:1], shape[:2], *([one] if shape != one else []), shape)
    read = taken.any(-1) if array.ndim == 1 else taken.reshape(*taken.shape, *(1,) * (array.ndim - 2))
    array = np.where(~read & ~np.isfinite(array), 0, array)
    never = "; if it marks an action that cannot be taken, say so with available=[state, action]"
    reject_first("reward", array == -np.inf, array, f"is not finite{never}")
    reject_first("reward", ~np.isfinite(array), array, "is not finite")
    if array.ndim == 1:
        return np.broadcast_to(array[:, None, None], one).copy()
    return array[:, :, None] if array.ndim == 2 else array
