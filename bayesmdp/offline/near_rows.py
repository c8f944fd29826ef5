"""How much of a log of measurements lies near a state: what stands behind an action there.

*Near* is within a tenth of the box's width in every coordinate; where there are more than two, as far as it takes for
the neighbourhood to be a twenty-fifth of the box, as it is for two. That is our choice.

Plans may do what was done near. So that compiled code can ask, that is listed for the cells of a grid: an action may be
taken in a cell if it was taken near its middle. Where nothing was done near, all may be, and nothing is recommended.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.model_units import ArrayFunction

__all__ = ["NearRows", "TriedNear"]

REACH, SHARE = 0.1, 0.04
"""Widths of the box to each side, at the least, and the share of the box that a neighbourhood is, at the least."""

CELLS, MOST_CELLS = 21, 10_000
"""Of the grid along each coordinate, and in all, at most."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TriedNear(ArrayFunction):
    """Which actions were taken near, by the cells of a grid over a box.

    Attributes
    ----------
    low, high : array [coordinate]
    tried : bool array [cell of each coordinate..., action]
    """

    low: Array
    high: Array
    tried: Array

    def __call__(self, state: Array) -> Array:
        """Return whether each action was taken near [..., action] of states [..., coordinate]."""
        cells = np.array(self.tried.shape[:-1])
        place = (state - self.low) / (self.high - self.low)
        cell = jnp.clip((place * cells).astype(jnp.int32), 0, cells - 1)
        return jnp.asarray(self.tried)[tuple(cell[..., i] for i in range(len(cells)))]


class NearRows:
    """Rows of a log by where they are and what was done.

    Parameters
    ----------
    state : array [row, coordinate]
    action : int array [row]
    num_actions : int
    low, high : array [coordinate]

    Examples
    --------
    >>> near = NearRows([[0.0], [0.5], [0.55], [1.0]], [0, 0, 1, 1], 2, [0.0], [1.0])
    >>> near.counts([[0.52], [0.95]]).tolist()
    [[1, 1], [0, 1]]
    """

    def __init__(self, state: ArrayLike, action: ArrayLike, num_actions: int, low: ArrayLike, high: ArrayLike) -> None:
        self._low, self._width = np.asarray(low, float), np.asarray(high, float) - np.asarray(low, float)
        where, done = self._scaled(state), np.asarray(action)
        self.reach = max(REACH, SHARE ** (1 / where.shape[1]) / 2)
        self._trees = [KDTree(where[done == a]) if (done == a).any() else None for a in range(num_actions)]

    def _scaled(self, state: ArrayLike) -> NDArray[np.float64]:
        return (np.asarray(state, float) - self._low) / self._width

    def tried(self) -> TriedNear:
        """List which actions were taken near, all of them where none was."""
        size = len(self._low)
        cells = max(2, min(CELLS, int(MOST_CELLS ** (1 / size))))
        middle = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(*(middle,) * size, indexing="ij"), -1).reshape(-1, size)
        taken = self.counts(self._low + grid * self._width, most=1) > 0
        taken |= ~taken.any(-1, keepdims=True)
        return TriedNear(self._low, self._low + self._width, taken.reshape(*(cells,) * size, -1))

    def counts(self, states: ArrayLike, most: int | None = None) -> NDArray[np.int64]:
        """Count the rows near states in which each action was taken.

        Parameters
        ----------
        states : array [place, coordinate]
        most : int, optional
            Up to which rows are counted, where it does not matter how many more there are: of long logs that is quick.

        Returns
        -------
        int array [place, action]
        """
        places = self._scaled(states)
        told, reach = np.zeros((len(places), len(self._trees)), np.int64), self.reach * (1 + 1e-9)
        for a, tree in enumerate(self._trees):
            if tree is None or not len(places):
                continue
            if most is None:
                told[:, a] = tree.query_ball_point(places, reach, p=np.inf, return_length=True)
            else:
                nearest, _ = tree.query(places, range(1, most + 1), p=np.inf, distance_upper_bound=reach)
                told[:, a] = np.isfinite(nearest).sum(-1)
        return told
