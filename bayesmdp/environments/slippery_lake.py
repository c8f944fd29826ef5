"""FrozenLake without squares to stand in: positions in [0, 4]^2, and moves of random length.

The cells, their letters and the actions are those of :func:`~bayesmdp.environments.frozen_lake`; how a step goes is
told by its model, :func:`~bayesmdp.models.slippery_lake`, which the world is simulated with. Entering the goal's cell
earns 1, and from there one is set back to some place on the ice. Song, Wang and Zhou (2026), section EC.7.7; the
numbers are not in the paper's text and are ours.

Values are computed on a mesh: of each cell `resolution` x `resolution` small squares, from whose middles one moves, the
value being constant in each. A move changes one coordinate only, so that the distribution over squares is one of each
row or column; it is exact but for where in its square one stands. The best value at the start is 1.115 at the default
resolution of 7, 1.113 at 5 and 1.117 at 15; an odd one puts the start in the middle of a square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmdp import models
from bayesmdp.environments.frozen_lake import ACTIONS, read_cells
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import finite_array, integer, number
from bayesmdp.models.slippery_lake import HEADINGS, TURNS, cells_at
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.mesh import Mesh
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["slippery_lake"]


def slippery_lake(
    layout: str | Sequence[str] = "4x4",
    *,
    direction: ArrayLike = (0.1, 0.8, 0.1),
    mobility: float = 0.1,
    reach: float = 1.0,
    discount: float = 0.95,
    resolution: int = 7,
) -> SimulatedMDP:
    """A lake without squares, on which steps slip: positions are numbers.

    Parameters
    ----------
    layout : {"4x4", "8x8"} or sequence of str
        As for `frozen_lake`.
    direction : array [3]
        True probabilities of moves to the left of what was meant, ahead, and to the right.
    mobility : float in [0, 1]
        True probability that a hole lets go.
    reach : float, positive
        Lengths of moves are uniform up to this one.
    discount : float
    resolution : int
        Small squares along the side of a cell, of the mesh that regret is computed on.

    Returns
    -------
    SimulatedMDP
        With 20 features on the 4x4 map: both coordinates as shares of the lake, which cell, whether hole or goal.

    Raises
    ------
    TypeError, ValueError
        For a bad map, or a number out of its range.

    Notes
    -----
    *What it asks.* Planning and learning on positions, with exact posteriors of what chance decides.

    Examples
    --------
    >>> lake = slippery_lake()
    >>> lake.problem.points.shape, {name: value.tolist() for name, value in lake.truth.items()}
    ((784, 2), {'direction': [0.1, 0.8, 0.1], 'mobility': 0.1, 'reach': 1.0})
    """
    rows = tuple("".join(row) for row in read_cells(layout))
    likely = finite_array("direction", direction, (len(TURNS),))
    if (likely < 0).any() or not abs(likely.sum() - 1) <= 1e-9:
        raise ValueError(f"direction = {likely.tolist()} is no distribution: it sums to {likely.sum():g}")
    return _lake(
        rows,
        tuple(likely.tolist()),
        number("mobility", mobility, minimum=0, maximum=1),
        number("reach", reach, above=0),
        number("discount", discount, minimum=0, below=1),
        integer("resolution", resolution, 1),
    )


@made_once
def _lake(
    rows: tuple[str, ...],
    direction: tuple[float, ...],
    mobility: float,
    reach: float,
    discount: float,
    resolution: int,
) -> SimulatedMDP:
    shape, letters = (len(rows), len(rows[0])), np.array([list(row) for row in rows]).ravel()
    middles = np.stack([np.arange(letters.size) % shape[1], np.arange(letters.size) // shape[1]], -1) + 0.5

    def features(state: Array) -> Array:
        cell = cells_at(state, shape)
        kinds = [jnp.asarray(letters == kind)[cell][..., None] for kind in "HG"]
        parts = [state / np.array(shape[::-1]), jnp.eye(letters.size)[cell], *kinds]
        return jnp.concatenate([part.astype(float) for part in parts], -1)

    def alike(state: Array) -> Array:
        return jnp.asarray(letters == "G")[cells_at(state, shape)]

    def reward(state: Array, action: Array, next_state: Array) -> Array:
        return (alike(next_state) & ~alike(state)).astype(float)

    return SimulatedMDP(
        model=models.slippery_lake(rows),
        truth={"direction": np.array(direction), "mobility": mobility, "reach": reach},
        reward=reward,
        reward_range=(0.0, 1.0),
        features=features,
        start=middles[letters == "S"][0],
        low=(0.0, 0.0),
        high=shape[::-1],
        actions=ACTIONS,
        discount=discount,
        anchors=middles[letters != "G"],
        alike=alike,
        mesh=_mesh(shape, letters, resolution, discount),
        layout=rows,
        name="slippery-lake",
    )


def _mesh(shape: tuple[int, int], letters: NDArray[Any], resolution: int, discount: float) -> Mesh:
    """Small squares row by row."""
    down, across = (np.arange(size * resolution) for size in shape)
    points = np.stack(np.meshgrid(across, down, indexing="xy"), -1).reshape(-1, 2) / resolution + 0.5 / resolution
    cell = np.asarray(cells_at(points, shape))
    goal, hole = letters[cell] == "G", letters[cell] == "H"
    ice = ~(goal | hole)
    enters = goal[None, None, :] & ~goal[:, None, None]
    mdp = MDP(
        reward=np.broadcast_to(enters.astype(float), (len(points), len(ACTIONS), len(points))),
        discount=discount,
        name="slippery-lake-mesh",
    )
    return Mesh(points, mdp, _kernel(shape, resolution, hole, goal, ice))


def _kernel(
    shape: tuple[int, int], resolution: int, hole: NDArray[Any], goal: NDArray[Any], ice: NDArray[Any]
) -> Callable[[Mapping[str, Array]], Array]:
    def along(size: int, reach: Array) -> Array:
        """Where a move upwards along one coordinate leads [square, square]; beyond the end it stays."""
        edges = np.arange(size * resolution + 1) / resolution
        middles = (edges[1:] + edges[:-1]) / 2
        reached = jnp.clip(edges[None] - middles[:, None], 0, reach) / reach
        inside = jnp.diff(reached, axis=-1)
        return inside + jnp.diag(1 - inside.sum(-1))

    def kernel(values: Mapping[str, Array]) -> Array:
        rows, columns = (np.eye(size * resolution) for size in shape)
        down, across = (along(size, values["reach"]) for size in shape)
        towards = []
        for right, below in HEADINGS:
            one = down if below else across
            one = one if right + below > 0 else one[::-1, ::-1]
            towards.append(jnp.kron(one, columns) if below else jnp.kron(rows, one))
        headed = jnp.stack(towards, 1)  # [point, heading, point]
        slid = sum(values["direction"][i] * jnp.roll(headed, -turn, axis=1) for i, turn in enumerate(TURNS))
        stay = jnp.eye(len(ice))[:, None]
        stuck = values["mobility"] * headed + (1 - values["mobility"]) * stay
        back = jnp.asarray(ice / ice.sum())[None, None]
        return jnp.where(goal[:, None, None], back, jnp.where(hole[:, None, None], stuck, slid))

    return kernel
