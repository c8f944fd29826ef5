"""Inventory control: how much to order each morning against a demand that nobody knows.

The stock s is counted in the morning, a units are ordered and arrive at once, and the day's demand D is served as far
as the y = s + a units go; what is left, max(y - D, 0), is the next morning's stock, and demand beyond it is lost. A day
earns

    price min(y, D) - cost a - fee [a > 0] - holding max(y - D, 0) - penalty max(D - y, 0),

of which the agent is told the mean. The textbook case (Puterman, 1994, section 3.2) with Poisson demand; the numbers
are ours. Where a day leads depends on y alone, so the MDP is linear in indicators of y, far fewer than there are pairs.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlogy

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["inventory"]

PRICE, COST, FEE, HOLDING, PENALTY = 5.0, 2.0, 3.0, 0.5, 1.0


def inventory(capacity: int = 10, *, demand: float = 4.0, rescale: bool = True, discount: float | None = None) -> MDP:
    """How much to order each morning for a demand that varies; no stock at the start.

    Parameters
    ----------
    capacity : int, at least 1
        The most units that can be kept.
    demand : float
        Mean of the Poisson demand.
    rescale : bool
        Whether rewards are moved and scaled to lie in [0, 1], as optimistic agents need.
    discount : float, or None for the average reward

    Returns
    -------
    MDP
        States 0..capacity; actions 0..capacity units ordered, available as far as there is room; ``features`` [state,
        action, feature], which tell the stock after the order.

    Notes
    -----
    *What it asks.* Structure: all depends on stock and order alone, so that few features suffice.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.inventory(rescale=False)
    >>> plan = bm.solve(shop)
    >>> round(float(plan.gain), 2), plan.policy.values.tolist()
    (7.99, [10, 9, 8, 7, 0, 0, 0, 0, 0, 0, 0])
    """
    size = integer("capacity", capacity, 1) + 1
    mean = number("demand", demand, above=0)
    stock, ordered = np.arange(size)[:, None], np.arange(size)
    after = np.minimum(stock + ordered, size - 1)
    available = stock + ordered < size

    # Twelve standard deviations and more: what lies beyond is less than rounding.
    day = np.arange(size + int(mean + 12 * np.sqrt(mean)) + 12)
    chance = np.exp(xlogy(day, mean) - gammaln(day + 1) - mean)
    chance[-1] += 1 - chance.sum()
    level = np.arange(size)
    left = np.maximum(level[:, None] - day, 0)
    following = np.zeros((size, size))
    np.add.at(following, (level[:, None], left), chance)
    sold, lost = level[:, None] - left, np.maximum(day - level[:, None], 0)
    earned = (chance * (PRICE * sold - HOLDING * left - PENALTY * lost)).sum(-1)

    reward = earned[after] - COST * ordered - FEE * (ordered > 0)
    if rescale:
        low, high = reward[available].min(), reward[available].max()
        reward = (reward - low) / (high - low)
    reward = np.where(available, reward, 0.0)
    return MDP(
        transition=following[after],
        reward=reward,
        discount=discount,
        available=available,
        features=np.eye(size)[after],
        name=f"inventory-{size - 1}",
    )
