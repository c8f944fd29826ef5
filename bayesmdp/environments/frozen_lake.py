"""FrozenLake: cross slippery ice to a goal without falling into a hole.

The map and the slip are Gymnasium's ``FrozenLake-v1``: the chosen direction and the two perpendicular to it are equally
likely, a move off the map stays, holes and the goal end the episode, and entering the goal earns 1. States are the
cells row by row; actions are left, down, right, up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesmdp.problems.mdp import MDP

__all__ = ["ACTIONS", "MAPS", "frozen_lake", "neighbours", "read_cells", "slippery", "slips"]

MAPS = {
    "4x4": ("SFFF", "FHFH", "FFFH", "HFFG"),
    "8x8": ("SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF", "FFFHFFFG"),
}
MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))
ACTIONS = ("left", "down", "right", "up")


def frozen_lake(layout: str | Sequence[str] = "4x4", *, slip: float = 1 / 3, discount: float = 0.99) -> MDP:
    """A frozen lake, dense; `MDP.with_successors` gives the form with three outcomes a pair.

    Parameters
    ----------
    layout : {"4x4", "8x8"} or sequence of str
        Gymnasium's maps, or rows of the letters S(tart), F(rozen), H(ole), G(oal); exactly one start, at least one
        goal.
    slip : float in [0, 1/2]
        Probability of each perpendicular direction; the intended one has ``1 - 2 slip``.
    discount : float

    Returns
    -------
    MDP
        One state a cell; reward [state, action, next_state]; holes and goals terminal.

    Raises
    ------
    ValueError
        For a map that is not rectangular, holds another letter, or lacks a start or a goal.

    Notes
    -----
    *What it asks.* Plans from logs: success is rare, and mistakes end the walk.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.environments.frozen_lake()
    MDP('frozen-lake-4x4': 16 states, 4 actions, discount 0.99)
    """
    cells = read_cells(layout)
    rows, columns = cells.shape
    flat = cells.ravel()
    num_states = flat.size
    terminal = np.isin(flat, ("H", "G"))
    transition = slippery(neighbours(rows, columns), slip)
    transition[terminal] = np.eye(num_states)[terminal][:, None]
    enters_goal = (flat == "G")[None, None, :] & ~terminal[:, None, None]
    return MDP(
        transition=transition,
        reward=np.broadcast_to(np.where(enters_goal, 1.0, 0.0), transition.shape),
        discount=discount,
        initial=int(np.flatnonzero(flat == "S")[0]),
        terminal=terminal,
        actions=ACTIONS,
        name=f"frozen-lake-{rows}x{columns}",
    )


def neighbours(rows: int, columns: int) -> NDArray[np.int64]:
    """Return where a move leads, on a grid numbered row by row; a move off the grid stays.

    Parameters
    ----------
    rows, columns : int

    Returns
    -------
    int array [state, action]

    Examples
    --------
    >>> neighbours(4, 4)[6].tolist()
    [5, 10, 7, 2]
    """
    state = np.arange(rows * columns)
    down, right = np.array(MOVES).T
    row = np.clip(state[:, None] // columns + down, 0, rows - 1)
    column = np.clip(state[:, None] % columns + right, 0, columns - 1)
    return row * columns + column


def slippery(neighbour: NDArray[np.int64], slip: float) -> NDArray[np.float64]:
    """Return the kernel under which each perpendicular move happens with probability `slip`.

    Raises
    ------
    ValueError
        If `slip` is not in [0, 1/2].

    Parameters
    ----------
    neighbour : int array [state, action]
        From `neighbours`.
    slip : float in [0, 1/2]

    Returns
    -------
    array [state, action, next_state]
    """
    if not 0 <= slip <= 0.5:
        raise ValueError(f"slip must lie in [0, 0.5]; got {slip!r}")
    num_states, num_actions = neighbour.shape
    state = np.arange(num_states)
    transition = np.zeros((num_states, num_actions, num_states))
    for action in range(num_actions):
        for turn, probability in ((-1, slip), (0, 1 - 2 * slip), (1, slip)):
            transition[state, action, neighbour[:, (action + turn) % num_actions]] += probability
    return transition


def slips(layout: str | Sequence[str] = "4x4") -> NDArray[np.int64]:
    """Where the ways a move can go lead [state, action, move]: to the left of what was meant, ahead, to the right.

    Holes and goals keep whoever is in them. For :func:`~bayesmdp.models.tied_moves`.

    Examples
    --------
    >>> slips()[6, 2].tolist()  # meaning to go right from cell 6
    [2, 7, 10]
    """
    cells = read_cells(layout)
    beside, actions = neighbours(*cells.shape), np.arange(len(MOVES))
    table = np.stack([beside[:, (actions + turn) % len(MOVES)] for turn in (1, 0, -1)], -1)
    ends = np.isin(cells.ravel(), ("H", "G"))[:, None, None]
    return np.where(ends, np.arange(cells.size)[:, None, None], table)


def read_cells(layout: str | Sequence[str]) -> NDArray[np.str_]:
    """The letters [row, column] of a map, checked."""
    if isinstance(layout, str):
        if layout not in MAPS:
            raise ValueError(f"no map {layout!r}; the named maps are {', '.join(MAPS)}, or give rows of letters")
        layout = MAPS[layout]
    widths = [len(row) for row in layout]
    if len(set(widths)) != 1:
        raise ValueError(f"the rows of the map differ in length: {widths}")
    cells = np.array([list(row) for row in layout])
    wrong = ~np.isin(cells, list("SFHG"))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"map[{row}][{column}] is {str(cells[row, column])!r}; cells are S, F, H or G")
    if (cells == "S").sum() != 1 or not (cells == "G").any():
        raise ValueError(f"a map has one S and at least one G; got {(cells == 'S').sum()} and {(cells == 'G').sum()}")
    return cells
