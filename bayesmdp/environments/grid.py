"""A grid to be crossed by moves that slip: the small grid on which policies from logs are compared.

Laroche, Trichelair and Tachet des Combes, "Safe Policy Improvement with Baseline Bootstrapping" (2019), have 5 x 5
cells. From one corner the opposite one is to be reached, where the episode ends and the only reward, 1, is paid. A move
goes where it should with probability .75, back with .05 and to either side with .1; at a wall one stays.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["grid"]

MOVES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
"""In a circle, as (row, column): the next one is a turn to the right."""

CHANCES = (0.75, 0.1, 0.05, 0.1)
"""Of a move, and of the three others in the order of turns."""


def grid(rows: int = 5, columns: int = 5, *, discount: float = 0.95) -> MDP:
    """Return a grid to be crossed from the lower left to the upper right.

    Parameters
    ----------
    rows, columns : int, at least 2
    discount : float in (0, 1)

    Returns
    -------
    MDP
        States are named ``row,column``, from the upper left; reward [state, action, next_state].

    Notes
    -----
    *What it asks.* Policies from logs: the standard small grid of safe policy improvement.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> field = bm.environments.grid()
    >>> field.num_states, round(float(bm.solve(field)["value"].sel(state="4,0")), 3)
    (25, 0.604)
    """
    rows, columns = integer("rows", rows, 2), integer("columns", columns, 2)
    discount = number("discount", discount, above=0, below=1)
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    goal = columns - 1
    transition = np.zeros((len(cells), len(MOVES), len(cells)))
    steps = list(MOVES.values())
    for state, (row, column) in enumerate(cells):
        for action in range(len(steps)):
            for turn, chance in enumerate(CHANCES):
                down, right = steps[(action + turn) % len(steps)]
                at = min(max(row + down, 0), rows - 1), min(max(column + right, 0), columns - 1)
                transition[state, action, at[0] * columns + at[1]] += chance
    transition[goal] = np.eye(len(cells))[goal]
    reward = np.zeros(transition.shape)
    reward[..., goal] = 1
    reward[goal] = 0
    return MDP(
        transition=transition,
        reward=reward,
        discount=discount,
        initial=f"{rows - 1},0",
        terminal=np.arange(len(cells)) == goal,
        states=[f"{row},{column}" for row, column in cells],
        actions=tuple(MOVES),
        name=f"grid-{rows}x{columns}",
    )
