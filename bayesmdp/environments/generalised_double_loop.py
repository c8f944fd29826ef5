"""Generalised double loop: two loops through one state, a trap with a small reward and a way that may fail to a larger.

The GDL distribution of Castronovo, Ernst, Couetoux and Fonteneau (2016): nine states and two actions, two loops of five
states that cross at the first. From there either action leads into the first loop or into the second, both with count
1. In the first loop, states 2 to 5, every step goes on, and returning to the start earns 1. In the second, states 6 to
9, a step goes on or back to the start without a reward, both with count 1, and closing the loop earns 2. Counts and
rewards are those of the distribution files of the paper's library (BBRL).
"""

from __future__ import annotations

import numpy as np

from bayesmdp.environments.flat_dirichlet import problem_from_counts
from bayesmdp.problems.mdp import MDP

__all__ = ["generalised_double_loop"]

TRAP, GOOD = (1, 2, 3, 4), (5, 6, 7, 8)


def generalised_double_loop(*, dense: bool = False, seed: int | None = None, discount: float = 0.95) -> MDP:
    """Return two loops that cross at the start, of which the better one is left at random.

    Parameters
    ----------
    dense : bool
        Whether outcomes are all states, and not those that can be reached; see
        :mod:`bayesmdp.environments.flat_dirichlet`.
    seed : int, optional
        Draw the problem from its prior. Without one it is the prior's mean.
    discount : float in (0, 1)

    Returns
    -------
    MDP
        States 1..9, starting at the first; actions 1 and 2; reward [state, action, outcome]. Its exact prior is
        ``dirichlet_transitions(problem, 1.0)``.

    Notes
    -----
    *What it asks.* Whether an agent leaves a loop that pays for one that pays more and may fail.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> loops = bm.environments.generalised_double_loop()
    >>> [loops.successor[state, 0].tolist() for state in (0, 1, 5, 8)]
    [[1, 5], [2, 2], [0, 6], [0, 0]]
    """
    counts = np.zeros((9, 2, 9))
    counts[0, :, [TRAP[0], GOOD[0]]] = 1
    for loop in (TRAP, GOOD):
        counts[loop, :, (*loop[1:], 0)] = 1
    counts[GOOD, :, 0] = 1
    reward = np.zeros(counts.shape)
    reward[TRAP[-1], :, 0], reward[GOOD[-1], :, 0] = 1, 2
    return problem_from_counts(
        counts,
        reward,
        dense=dense,
        seed=seed,
        discount=discount,
        states=range(1, 10),
        actions=(1, 2),
        name="generalised-double-loop",
    )
