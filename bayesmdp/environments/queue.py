"""Queue: how fast to serve packets, when haste costs. A world of Gopalan and Mannor (2015), as in the paper on TSEB.

There are q packets, 0 to 50. A step serves one with probability .3 (``slow``) or .8 (``fast``) if there is any, which
earns 1; then one arrives with probability `arrival`, and is lost if there is no room. ``fast`` costs .25, and each
packet held at the step's start .1.

The paper does not give the rate of arrivals. At .5, our default, the best policy (fast whenever there is a packet)
earns .2604 a step. The 5,023 to 5,062 of the paper's Table 3, alike for every lambda, are no such rewards: they are
near the packets that are served in 10,000 steps (study ``tseb/queue``).

Whether a packet was served is not seen in where the step leads (one served and one arrived look like nothing): the
reward of an outcome is its expectation given the outcome, which leaves every value as it is.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["queue"]

SERVICE, COST = (0.3, 0.8), (0.0, 0.25)
HOLDING = 0.1


def queue(arrival: float = 0.5, *, capacity: int = 50, discount: float | None = 0.95) -> MDP:
    """Packets served slowly or fast, when haste costs; empty at the start.

    Parameters
    ----------
    arrival : float in [0, 1]
        Probability that a packet arrives in a step.
    capacity : int, at least 1
        The largest number of packets.
    discount : float, or None for the average reward

    Returns
    -------
    MDP
        States 0..capacity; actions ``slow`` and ``fast``; on a successor table with the outcomes one packet less, as
        many, one more.

    Notes
    -----
    *What it asks.* Work without end, on a table of successors with few outcomes.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> line = bm.environments.queue()
    >>> line.transition[3, line.action_index("fast")].round(2).tolist()
    [0.4, 0.5, 0.1]
    >>> bm.solve(line).policy.values[:3].tolist()
    ['slow', 'fast', 'fast']
    """
    rate, size = number("arrival", arrival, minimum=0, maximum=1), integer("capacity", capacity, 1) + 1
    held = np.arange(size)[:, None]
    served = np.where(held > 0, SERVICE, 0.0)
    both, neither = served * rate, (1 - served) * (1 - rate)
    less, more = served * (1 - rate), (1 - served) * rate
    # A packet that finds no room changes nothing.
    neither, more = np.where(held == size - 1, neither + more, neither), np.where(held == size - 1, 0, more)
    same = both + neither
    share = np.divide(both, same, out=np.zeros_like(both), where=same > 0)
    earned = np.stack([np.ones_like(share), share, np.zeros_like(share)], -1)
    transition = np.stack([less, same, more], -1)
    # What cannot happen leads where `same` does, and is worth as much: a log cannot tell the two apart.
    earned = np.where(transition > 0, earned, share[..., None])
    reward = earned - np.array(COST)[:, None] - HOLDING * held[..., None]
    successor = np.clip(held[..., None] + np.array([-1, 0, 1]), 0, size - 1) + np.zeros((size, 2, 3), int)
    return MDP(
        transition=transition,
        reward=reward,
        discount=discount,
        successor=successor,
        actions=("slow", "fast"),
        name=f"queue-{size - 1}",
    )
