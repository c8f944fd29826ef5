"""Successor tables made of what may happen: of lists of transitions, and of sparse matrices, one an action.

A table is padded to its longest row, as :meth:`bayesmdp.MDP.with_successors` pads it: a short row repeats its first
next state, with probability 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bayesmdp.foundation.validation import numeric_array

__all__ = ["from_sparse", "holds_sparse", "successor_table"]


def holds_sparse(array: Any) -> bool:
    """Whether `array` is a sparse matrix of SciPy or a sequence of some."""
    sequence = isinstance(array, list | tuple) or (isinstance(array, np.ndarray) and array.dtype == object)
    return bool(sparse.issparse(array) or (sequence and any(sparse.issparse(part) for part in array)))


def from_sparse(matrices: Any) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Sparse kernels of actions as a transition on a successor table.

    Parameters
    ----------
    matrices : sequence of sparse matrices [state, next_state], one an action

    Returns
    -------
    transition : array [state, action, outcome]
        0 where a row has no entries.
    successor : int32 array [state, action, outcome]
        Rows without entries lead to their own state.

    Raises
    ------
    ValueError, TypeError
        For one matrix, or some that are not sparse, not square or of different sizes: with the action's position. For
        entries that are no numbers.

    Examples
    --------
    >>> transition, successor = from_sparse([sparse.eye_array(2), sparse.csr_array([[0.5, 0.5], [0.0, 0.0]])])
    >>> transition[:, 1].tolist(), successor[:, 1].tolist()
    ([[0.5, 0.5], [0.0, 0.0]], [[0, 1], [1, 1]])
    """
    expected = "expected a sequence of sparse matrices [state, next_state], one an action"
    if sparse.issparse(matrices):
        raise ValueError(f"transition is one {type(matrices).__name__}; {expected}")
    # Entries that are given twice are added up.
    as_rows: Any = sparse.csr_array
    rows: list[Any] = [as_rows(part) if sparse.issparse(part) else None for part in matrices]
    size = next(row.shape[0] for row in rows if row is not None)
    for action, row in enumerate(rows):
        if row is None or not size or row.shape != (size, size):
            kind = type(matrices[action]).__name__ + ("" if row is None else f" of shape {row.shape}")
            raise ValueError(f"transition[{action}] is a {kind}; {expected}, here all {(size, size)}")
    parts = [sparse.coo_array(row) for row in rows]
    pair = np.concatenate([part.row.astype(np.int64) * len(parts) + action for action, part in enumerate(parts)])
    after, weight = (np.concatenate([getattr(part, name) for part in parts]) for name in ("col", "data"))
    weight = numeric_array("transition", weight)
    keep = weight != 0
    missing = np.setdiff1d(np.arange(size * len(parts)), pair[keep])
    pair, after = np.append(pair[keep], missing), np.append(after[keep], missing // len(parts))
    weight = np.append(weight[keep], np.zeros(len(missing)))
    order = np.lexsort((after, pair))
    outcome, successor = successor_table(pair[order], after[order], size * len(parts))
    transition = np.zeros(successor.shape)
    transition[pair[order], outcome] = weight[order]
    shape = size, len(parts), -1
    return transition.reshape(shape), successor.reshape(shape)


def successor_table(
    row: NDArray[np.int64], next_state: NDArray[np.int64], num_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where transitions lead, as a table.

    Parameters
    ----------
    row, next_state : int array [transition]
        Sorted by row; every row has at least one.
    num_rows : int

    Returns
    -------
    outcome : int array [transition]
        Each transition's place in its row.
    successor : int32 array [row, outcome]
        Short rows repeat their first next state.

    Examples
    --------
    >>> outcome, successor = successor_table(np.array([0, 1, 1]), np.array([5, 2, 7]), 2)
    >>> outcome.tolist(), successor.tolist()
    ([0, 0, 1], [[5, 5], [2, 7]])
    """
    number = np.bincount(row, minlength=num_rows)
    first = np.cumsum(number) - number
    outcome = np.arange(len(row)) - first[row]
    successor = np.repeat(next_state[first][:, None], number.max(), axis=1).astype(np.int32)
    successor[row, outcome] = next_state
    return outcome, successor
