"""DeepSea: a descent in which only one of 2^N ways pays, and every step towards it costs a little.

Osband, Van Roy, Russo and Wen, "Deep exploration via randomized value functions" (2019), section 4; here as in bsuite
(Osband et al., 2020). The cells of an N x N grid are left downwards, one row a step, to the left or to the right;
episodes have N steps and begin in the upper left. Going right costs .01 / N, and in the lower right it earns 1 beside.
Which of the two actions goes right is drawn for each cell. The best episode earns .99, and one that does not look ahead
finds nothing but costs.

With ``stochastic=True`` going right fails with probability 1 / N (the column stays; the cost is due, and the reward of
the last cell is paid all the same), and the rewards of the last row's two corners have standard Normal noise.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["deep_sea"]


def deep_sea(
    size: int = 10, *, stochastic: bool = False, cost: float = 0.01, mapped: bool = True, seed: int = 0
) -> MDP:
    """Return a grid to be left downwards, with one reward in the far corner.

    Parameters
    ----------
    size : int, at least 2
        N, rows, columns and steps of an episode.
    stochastic : bool
        Whether going right may fail and the rewards in the last row's corners are noisy.
    cost : float, at least 0
        Of going right in each of the N steps of an episode.
    mapped : bool
        Whether the action that goes right is drawn for each cell; otherwise it is always the second.
    seed : int
        Of that draw.

    Returns
    -------
    MDP
        In episodes of `size` steps. States are named ``row,column``, those that can be reached, and ``end``; actions
        ``0`` and ``1``; reward [state, action].

    Notes
    -----
    *What it asks.* Deep exploration: one way in exponentially many pays.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> sea = bm.environments.deep_sea(4)
    >>> sea
    MDP('deep-sea-4': 11 states, 2 actions, episodes of 4 steps)
    >>> round(float(bm.solve(sea)["value"].sel(state="0,0")), 4)
    0.99
    """
    n = integer("size", size, 2)
    move_cost = number("cost", cost, minimum=0) / n
    rights = np.ones((n, n), int)
    if mapped:
        rights = np.random.default_rng(integer("seed", seed, 0)).integers(0, 2, (n, n))
    fails = 1 / n if stochastic else 0.0
    # A column is never beyond its row.
    cells = [(row, column) for row in range(n) for column in range(row + 1)]
    index, end = {cell: state for state, cell in enumerate(cells)}, len(cells)
    transition, reward = np.zeros((end + 1, 2, end + 1)), np.zeros((end + 1, 2))
    noise = np.zeros((end + 1, 2))
    for (row, column), state in index.items():
        right = int(rights[row, column])
        for to, action, probability in (
            (column + 1, right, 1 - fails),
            (column, right, fails),
            (max(column - 1, 0), 1 - right, 1.0),
        ):
            transition[state, action, index.get((row + 1, to), end)] += probability
        reward[state, right] = -move_cost + (column == n - 1)
        if stochastic and row == n - 1 and column in (0, n - 1):
            noise[state] = 1
    transition[end, :, end] = 1
    return MDP(
        transition=transition,
        reward=reward,
        discount=None,
        terminal=["end"],
        states=[*(f"{row},{column}" for row, column in cells), "end"],
        stage=np.array([*(row for row, _ in cells), n]),
        noise=noise if stochastic else None,
        name=f"deep-sea-{n}{'-stochastic' if stochastic else ''}",
    )
