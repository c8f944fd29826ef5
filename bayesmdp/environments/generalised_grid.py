"""Generalised grid: a maze without walls, in which each move of each cell fails with a probability drawn from a prior.

The Grid distribution of Castronovo, Ernst, Couetoux and Fonteneau (2016): 5 x 5 cells and four actions. A move leads to
the next cell or nowhere, both with count 1, so that the probability that it succeeds is uniform on [0, 1] for each
pair; off the grid it leads nowhere. Stepping onto the goal, in the corner opposite the start, earns 10 and puts the
learner back to the start; the goal itself is never visited. Counts and rewards are those of the distribution files of
the paper's library (BBRL).
"""

from __future__ import annotations

import numpy as np

from bayesmdp.environments.flat_dirichlet import problem_from_counts
from bayesmdp.foundation.validation import integer
from bayesmdp.problems.mdp import MDP

__all__ = ["generalised_grid"]

MOVES = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
"""As (column, row), in the order of the paper's files, which count cells down the columns."""


def generalised_grid(size: int = 5, *, dense: bool = False, seed: int | None = None, discount: float = 0.95) -> MDP:
    """Return a grid to be crossed, in which each move of each cell fails with a probability of its own.

    Parameters
    ----------
    size : int, at least 2
        Rows, and columns.
    dense : bool
        Whether outcomes are all states, and not those that can be reached; see
        :mod:`bayesmdp.environments.flat_dirichlet`.
    seed : int, optional
        Draw the problem from its prior. Without one it is the prior's mean, in which every second move fails.
    discount : float in (0, 1)

    Returns
    -------
    MDP
        States are named ``row,column``, starting at ``0,0``; reward [state, action, outcome]. Its exact prior is
        ``dirichlet_transitions(problem, 1.0)``.

    Notes
    -----
    *What it asks.* Learning under a prior that is the true one, on mazes.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> field = bm.environments.generalised_grid()
    >>> above = field.state_index("3,4")
    >>> field.successor[above, field.action_index("down")].tolist(), field.reward[above, 1].tolist()
    ([0, 23], [10.0, 0.0])
    """
    n = integer("size", size, 2)
    cells = [(column, row) for column in range(n) for row in range(n)]
    goal = len(cells) - 1
    counts = np.zeros((len(cells), len(MOVES), len(cells)))
    reward = np.zeros(counts.shape)
    for state, (column, row) in enumerate(cells):
        for action, (right, down) in enumerate(MOVES.values()):
            counts[state, action, state] = 1
            ahead = (column + right, row + down)
            if ahead in cells:
                reached = cells.index(ahead)
                counts[state, action, 0 if reached == goal else reached] = 1
                if reached == goal:
                    reward[state, action, 0] = 10
    return problem_from_counts(
        counts,
        reward,
        dense=dense,
        seed=seed,
        discount=discount,
        states=[f"{row},{column}" for column, row in cells],
        actions=tuple(MOVES),
        name=f"generalised-grid-{n}",
    )
