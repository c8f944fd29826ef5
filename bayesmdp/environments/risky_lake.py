"""The risky lake: a frozen lake without end, whose shortcut to the goal leads more often into a hole.

The risky-branch FrozenLake of Song, Wang and Zhou, "Evolving Robustness-Exploration Trade-off" (2026), section 5.2:
FrozenLake's 4 by 4 map, on which nothing is terminal. A hole is sticky: an action moves out of it in its direction with
probability `exit`, and stays otherwise. From the goal the next state is uniform over the cells that are neither hole
nor goal. Every transition into the goal earns 1. One risky pair, *right* in cell 6, beside a hole and two moves from
the goal, does not slip: it reaches the goal at once with probability ``1 - failure``, and else falls into the hole::

    S  .  .  .      0  1  2  3
    .  H  .  H      4  H  6 >H
    .  .  .  H      8  9 10  H
    H  .  .  G      H 13 14  G

The map's holes, the risky pair, `slip` and `exit` are not recoverable from the paper's text; they are chosen here. The
shortcut may stand in another cell beside a hole.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.environments.frozen_lake import ACTIONS, MAPS, neighbours, slippery
from bayesmdp.foundation.validation import number
from bayesmdp.problems.mdp import MDP

__all__ = ["risky_lake"]

HOLES, GOAL = (5, 7, 11, 12), 15
RIGHT = 2
SHORTCUTS = (4, 6, 10)
"""The cells to the right of which there is a hole."""


def risky_lake(
    *,
    failure: float | None = 0.7,
    exit: float = 0.05,
    slip: float = 1 / 3,
    discount: float = 0.95,
    shortcut: int = 6,
) -> MDP:
    """A continuing FrozenLake with sticky holes and a risky shortcut.

    Parameters
    ----------
    failure : float in [0, 1], optional
        Probability that the shortcut ends in the hole. None makes the pair slip as all others do: the standard lake on
        which the paper examines the schedule's sensitivity (its EC.7.6).
    exit : float in (0, 1]
        Probability that an action moves out of a hole.
    slip : float in [0, 1/2]
        Probability of each perpendicular direction; the intended one has ``1 - 2 slip``.
    discount : float
    shortcut : {4, 6, 10}
        The cell from which *right* is risky.

    Returns
    -------
    MDP
        16 states, one a cell; actions left, down, right, up; reward [state, action, next_state]; no terminal state.

    Raises
    ------
    ValueError
        For a probability that is none, or a shortcut beside no hole.

    Notes
    -----
    *What it asks.* Whether caution pays where a short cut is a trap more often than not.

    Examples
    --------
    >>> from bayesmdp.environments.risky_lake import risky_lake
    >>> lake = risky_lake(failure=0.75)
    >>> lake.transition[6, lake.action_index("right"), [7, 15]].tolist()
    [0.75, 0.25]
    """
    if failure is not None and not 0 <= failure <= 1:
        raise ValueError(f"failure must lie in [0, 1], or be None for no shortcut; got {failure!r}")
    number("exit", exit, above=0, maximum=1)
    if shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut must be a cell with a hole to its right, one of {SHORTCUTS}; got {shortcut!r}")
    rows = columns = len(MAPS["4x4"])
    neighbour = neighbours(rows, columns)
    transition = slippery(neighbour, slip)
    num_states = rows * columns
    holes = np.array(HOLES)
    transition[holes] = (1 - exit) * np.eye(num_states)[holes, None]
    np.add.at(transition, (holes[:, None], np.arange(len(ACTIONS)), neighbour[holes]), exit)
    others = np.setdiff1d(np.arange(num_states), (*HOLES, GOAL))
    transition[GOAL] = 0
    transition[GOAL][:, others] = 1 / len(others)
    if failure is not None:
        transition[shortcut, RIGHT] = 0
        transition[shortcut, RIGHT, [GOAL, shortcut + 1]] = 1 - failure, failure
    return MDP(
        transition=transition,
        reward=np.broadcast_to(np.arange(num_states) == GOAL, transition.shape).astype(float),
        discount=discount,
        actions=ACTIONS,
        name="risky-lake" if failure is not None else "continuing-lake",
    )
