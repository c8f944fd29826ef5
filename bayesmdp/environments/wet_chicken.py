"""Wet Chicken: canoeing towards a waterfall, where the best places are the most dangerous ones.

Hans and Udluft, "Efficient Uncertainty Propagation for Reinforcement Learning with Limited Data" (2009), in two
dimensions; on a grid as in Scholl et al., "Safe Policy Improvement Approaches on Discrete Markov Decision Processes"
(2022), who round positions to whole numbers. The river is `length` long and `width` wide, positions (along, across).
Across it the current v and the turbulence s change::

    v = 3 across / width,    s = 3.5 - v,    along' = round(along + push + v + s * luck),    luck ~ Uniform(-1, 1),

with push 0 (drift, and to the right or left by 1 across), -1 (hold) or -2 (paddle back), no farther up than 0 and
within the banks. Who comes to `length` or beyond falls, and starts again at (0, 0). The reward is the new position
along the river.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["wet_chicken"]

ACTIONS = {"drift": (0, 0), "hold": (-1, 0), "back": (-2, 0), "right": (0, 1), "left": (0, -1)}
"""Push along and across the river."""


def wet_chicken(length: int = 5, width: int = 5, *, discount: float = 0.95) -> MDP:
    """Wet Chicken on a grid.

    Parameters
    ----------
    length, width : int, at least 2
    discount : float in (0, 1)

    Returns
    -------
    MDP
        States are named ``along,across``; reward [state, action, next_state].

    Notes
    -----
    *What it asks.* Caution: the best places are next to a fall.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> canoe = bm.environments.wet_chicken()
    >>> canoe.num_states, round(float(bm.solve(canoe)["value"][0]), 2)
    (25, 43.08)
    """
    length, width = integer("length", length, 2), integer("width", width, 2)
    discount = number("discount", discount, above=0, below=1)
    places = [(along, across) for along in range(length) for across in range(width)]
    transition = np.zeros((len(places), len(ACTIONS), len(places)))
    for state, (along, across) in enumerate(places):
        current = 3 * across / width
        turbulence = 3.5 - current
        for action, (push, aside) in enumerate(ACTIONS.values()):
            middle = along + push + current
            # The chance of each whole number is that of luck between two halves.
            ends = np.clip((np.arange(length + 1) - 0.5 - middle) / turbulence, -1, 1)
            below = (ends + 1) / 2
            below[0] = 0
            shares = np.diff(below)
            bank = min(max(across + aside, 0), width - 1)
            transition[state, action, np.arange(length) * width + bank] += shares
            transition[state, action, 0] += 1 - below[-1]
    reward = np.broadcast_to(np.array([float(along) for along, _ in places]), transition.shape)
    return MDP(
        transition=transition,
        reward=reward,
        discount=discount,
        initial="0,0",
        states=[f"{along},{across}" for along, across in places],
        actions=tuple(ACTIONS),
        name=f"wet-chicken-{length}x{width}",
    )
