"""SixArms: a bandit whose arms open rooms, where the better room is the one that is entered more seldom.

Strehl and Littman, "An analysis of model-based interval estimation for Markov decision processes" (2008), section 5. In
the hall, state 0, arm a leads to room a + 1 with probability 1, .15, .1, .05, .03 and .01, and otherwise nowhere. In a
room one arm stays and pays: arm a of room a + 1, from the second room on, pays 133, 300, 800, 1,660 and 6,000, and all
others lead back to the hall. In the first room arm 4 leads back, and every other stays and pays 50.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import number
from bayesmdp.problems.mdp import MDP

__all__ = ["six_arms"]

OPENS = (1.0, 0.15, 0.1, 0.05, 0.03, 0.01)
PAYS = (50.0, 133.0, 300.0, 800.0, 1660.0, 6000.0)
WAY_OUT = 4
"""The arm that leaves the first room."""


def six_arms(*, scale: float = 1.0, discount: float | None = 0.95) -> MDP:
    """Return a hall with six arms, each of which may open a room where one arm pays.

    Parameters
    ----------
    scale : float
        What all rewards are multiplied by; ``1 / 6000`` gives rewards in [0, 1].
    discount : float, or None for the average reward

    Returns
    -------
    MDP
        States 0 (the hall) to 6, starting in the hall; actions 0 to 5; reward [state, action].

    Raises
    ------
    ValueError, TypeError
        If the scale is not a finite number.

    Notes
    -----
    *What it asks.* Whether an agent goes on looking after it has found something good.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.solve(bm.environments.six_arms()).policy.values.tolist()
    [5, 4, 0, 0, 0, 4, 5]
    """
    scale = number("scale", scale)
    arms = np.arange(len(OPENS))
    transition, reward = np.zeros((7, 6, 7)), np.zeros((7, 6))
    transition[0, arms, arms + 1] = OPENS
    transition[0, :, 0] = 1 - np.array(OPENS)
    stays = np.eye(6, dtype=bool)
    stays[0] = arms != WAY_OUT
    for room, pays in enumerate(PAYS, start=1):
        transition[room, arms, np.where(stays[room - 1], room, 0)] = 1
        reward[room] = scale * np.where(stays[room - 1], pays, 0)
    return MDP(transition=transition, reward=reward, discount=discount, name="six-arms")
