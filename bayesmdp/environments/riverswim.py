"""RiverSwim: a chain whose current must be swum against, for a long time, to find the large reward at its end.

Strehl and Littman (2008), in the form used by Song, Wang and Zhou, "Evolving Robustness-Exploration Trade-off" (2026),
section 5.1. ``left`` goes with the current and always succeeds. ``right`` is uncertain: in the interior it advances
with probability .35, holds with .6 and loses ground with .05; at the left end it advances with .6, at the right end it
holds with .6. Leaving the leftmost state by ``left`` earns .005, leaving the rightmost by ``right`` earns 1.

Two options are ours, to ask one thing at a time. A lazy river, in which nothing moves with probability ``lazy``
whatever is done, has the same gain and a bias of 1 / (1 - lazy) times the span. Copies of each state, one of which is
drawn at every arrival, change the number of states and nothing else: gain and span stay, and so does the number of
features, indicators of a pair of the river without copies, in which the kernel is linear.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["riverswim"]

LEFT, RIGHT = 0, 1


def riverswim(num_states: int = 6, *, discount: float | None = 0.95, lazy: float = 0.0, copies: int = 1) -> MDP:
    """RiverSwim with `num_states` states, starting at the left end.

    Parameters
    ----------
    num_states : int, at least 3
    discount : float, or None for the average reward
    lazy : float in [0, 1)
        How often the state stays as it is, whatever is done.
    copies : int
        Of each state; with more than one, the MDP has `features` [state, action, feature].

    Returns
    -------
    MDP
        States 0..num_states - 1, or the copies of 0, those of 1, and so on; actions ``left`` and ``right``; reward
        [state, action].

    Notes
    -----
    *What it asks.* Whether an agent swims on against small losses, long before it is paid.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> river.transition[2, river.action_index("right")].tolist()
    [0.0, 0.05, 0.6, 0.35, 0.0, 0.0]
    >>> bm.environments.riverswim(6, copies=3).features.shape
    (18, 2, 12)
    """
    n, many = integer("num_states", num_states, 3), integer("copies", copies, 1)
    still = number("lazy", lazy, minimum=0, below=1)
    transition = np.zeros((n, 2, n))
    interior = np.arange(1, n - 1)
    transition[np.arange(n), LEFT, np.maximum(np.arange(n) - 1, 0)] = 1
    transition[interior, RIGHT, interior + 1] = 0.35
    transition[interior, RIGHT, interior] = 0.6
    transition[interior, RIGHT, interior - 1] = 0.05
    transition[0, RIGHT, [0, 1]] = 0.4, 0.6
    transition[n - 1, RIGHT, [n - 2, n - 1]] = 0.4, 0.6
    reward = np.zeros((n, 2))
    reward[0, LEFT], reward[n - 1, RIGHT] = 0.005, 1
    transition = (1 - still) * transition + still * np.eye(n)[:, None]
    features = None
    if many > 1:
        features = np.eye(2 * n).reshape(n, 2, 2 * n).repeat(many, 0)
        transition = (transition / many).repeat(many, 0).repeat(many, 2)
        reward = reward.repeat(many, 0)
    return MDP(
        transition=transition,
        reward=reward,
        discount=discount,
        actions=("left", "right"),
        features=features,
        name=f"riverswim-{n}{f'-lazy-{still:g}' if still else ''}{f'-x{many}' if many > 1 else ''}",
    )
