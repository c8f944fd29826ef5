"""The envelope of a problem's kernels: outside of it the matrix of every policy is zero, and so is what solves it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array

__all__ = ["PIECE", "WIDEST", "Envelope", "envelope"]

PIECE, NARROW = 16, 8
"""Columns of a row that are eliminated at once, and how many such pieces a state's elimination changes at most, on
average, of an envelope that is narrow."""

WIDEST = 64
"""How far from the diagonal its entries lie at most: a band is kept, of every row as wide as the widest one needs."""


class Envelope(NamedTuple):
    """Where entries may be, of a matrix and of what elimination leaves of it.

    Attributes
    ----------
    lowest : int32 array [column]
        The lowest row with an entry in the column or one before it.
    last : int32 array [row]
        The last column with an entry in the row or one above it.
    away : int32 array [2 width + 1]
        How far columns with entries lie from the diagonal: from -width to width.
    """

    lowest: Int[Array, " column"]
    last: Int[Array, " row"]
    away: Int[Array, " offset"]

    @property
    def width(self) -> int:
        """How far from the diagonal entries lie at most."""
        return len(self.away) // 2


def envelope(successor: NDArray[np.integer] | None) -> Envelope | None:
    """Find the envelope of a successor table, where it is narrow: that of a chain, a queue, a small grid.

    Parameters
    ----------
    successor : int array [state, action, outcome], optional

    Returns
    -------
    Envelope or None
        None without a table, with entries -1, or where it is too wide to be of use.

    Examples
    --------
    >>> queue = envelope(np.stack([np.maximum(np.arange(50) - 1, 0), np.minimum(np.arange(50) + 1, 49)], -1)[:, None])
    >>> queue.width, queue.lowest[:3].tolist(), queue.last[:3].tolist()
    (1, [1, 2, 3], [1, 2, 3])
    """
    if successor is None or (successor < 0).any():
        return None
    states = np.arange(len(successor), dtype=np.int32)
    each = successor.reshape(len(states), -1).astype(np.int32)
    first, last = np.minimum(each.min(-1), states), np.maximum.accumulate(np.maximum(each.max(-1), states))
    lowest = np.zeros_like(states)
    np.maximum.at(lowest, first, states)
    lowest = np.maximum.accumulate(lowest)
    pieces = (lowest - states) * ((last - states) // PIECE + 1)
    width = int(max((lowest - states).max(), (last - states).max()))
    if width > WIDEST or pieces.sum() > NARROW * len(states):
        return None
    return Envelope(lowest, last, np.arange(-width, width + 1, dtype=np.int32))
