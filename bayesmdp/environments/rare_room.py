"""A room of many doors that is not worth a visit: where clipping optimistic values matters.

In the hall one can *work*, for a reward of 1/2, or look for the room in one of several ways, each of which earns
nothing and finds it with probability `chance`. All its doors lead back to the hall; the first earns 1, the others
nothing. So the gain is 1/2, the room is worth 1/2 more than the hall, and each look costs (1 - chance) / 2 for good.

An agent that plans for discounted value and believes of every door not yet tried that it is worth 1 / (1 - gamma) finds
the room worth some 1 / (2 (1 - gamma)) more than the hall, and goes there again and again until it has tried them all:
for each door it looks 1 / chance times. One that knows that no state is worth more than H = 1 above another keeps to
its work, since chance H is less than 1/2. The construction is ours.

Agents to which a door never tried is worth a bonus beta more than the worst state, and no more (gamma-UCB-CVI where it
is recentred, gamma-LSCVI-UCB), take the room for worth beta / sqrt(n + 1) - 1/2 more than the hall, n the tries of its
least tried door. One that does not clip looks for it while that exceeds 1 / (2 chance): for each door some
(beta / (1/2 + 1 / (2 chance)))^2 times 1 / chance looks, where that is more than one try. With one way to look
(``ways=1``, so that the bonus of looking itself is soon spent) and a chance of .2, it is so for the beta of the theory,
about 6 H.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["rare_room"]


def rare_room(doors: int = 100, *, ways: int = 8, chance: float = 0.3, discount: float | None = None) -> MDP:
    """A hall with work, and a room of many doors that is not worth a visit.

    Parameters
    ----------
    doors : int, above `ways`
    ways : int, at least 1
        To look for the room.
    chance : float in (0, 1)
        That a look finds it.
    discount : float, or None for the average reward

    Returns
    -------
    MDP
        States ``hall``, in which action 0 is to work and actions 1 to `ways` to look for the room, and ``room``, in
        which an action is a door.

    Notes
    -----
    *What it asks.* Whether optimism about what was never tried is held within bounds.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> plan = bm.solve(bm.environments.rare_room())
    >>> float(plan.gain), round(plan.attrs["span"], 6), plan.policy.values.tolist()
    (0.5, 0.5, [0, 0])
    """
    ways = integer("ways", ways, 1)
    doors, found = integer("doors", doors, ways + 1), number("chance", chance, above=0, below=1)
    transition = np.zeros((2, doors, 2))
    transition[..., 0] = 1
    transition[0, 1:] = 1 - found, found
    reward = np.zeros((2, doors))
    reward[:, 0] = 0.5, 1
    available = np.ones((2, doors), bool)
    available[0, ways + 1 :] = False
    return MDP(
        transition=transition,
        reward=reward,
        available=available,
        discount=discount,
        states=("hall", "room"),
        name=f"rare-room-{doors}",
    )
