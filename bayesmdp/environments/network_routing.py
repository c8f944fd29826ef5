"""Network routing: over which of two links to send each packet, when how fast they are is not known.

Hong, Zhang and Tewari (2024) name network routing first among the tasks that do not end, after Mammeri's review (2019);
the model, the smallest there is, and its numbers are ours. A router stands before two links, in front of each of which
up to `room` packets wait. If there is a packet to be routed, an action says which link it joins; a full link takes
none, and where both are full the packet is lost. Then each link delivers the first of its packets with its own
probability, and with the probability `arrival` the next packet to be routed arrives. A step earns

    1 - held / (2 room),

held the packets in both rooms after routing, which by Little's law are proportional to the time that packets spend on
the way. Between equal links it is best to join the shorter queue (Winston, 1977); between unequal ones the faster link,
unless its queue is longer by too much.

Where a step leads and what it earns depend on the two queues after routing alone, so the MDP is linear in indicators of
these, far fewer than there are pairs.
"""

from __future__ import annotations

import itertools

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["network_routing"]


def network_routing(
    room: int = 4,
    *,
    arrival: float = 0.7,
    first: float = 0.6,
    second: float = 0.3,
    discount: float | None = None,
) -> MDP:
    """Packets to be sent over one of two links with queues; both empty at the start.

    Parameters
    ----------
    room : int, at least 1
        The most packets that can wait for a link.
    arrival : float in (0, 1)
        Probability that a packet arrives in a step.
    first, second : float above 0, at most 1
        Probabilities that the links deliver a packet in a step.
    discount : float, or None for the average reward

    Returns
    -------
    MDP
        2 (room + 1)^2 states, such as ``2,0`` (two packets wait for the first link and none for the second) and
        ``2,0+1`` (the same, and a packet to be routed); actions ``first`` and ``second``, available where their link is
        not full; where there is nothing to decide the former alone is, and does nothing; ``features`` [state, action,
        feature], which tell the queues after routing.

    Notes
    -----
    *What it asks.* Average reward with few features for many states.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> network = bm.environments.network_routing()
    >>> plan = bm.solve(network)
    >>> round(float(plan.gain), 4)
    0.7381
    >>> [plan.policy.sel(state=state).item() for state in ("0,1+1", "1,1+1", "3,1+1")]
    ['first', 'first', 'second']
    """
    size = integer("room", room, 1) + 1
    comes = number("arrival", arrival, above=0, below=1)
    served = [number(name, rate, above=0, maximum=1) for name, rate in (("first", first), ("second", second))]
    queues = np.array(list(itertools.product(range(size), repeat=2)))
    # Where a step leads from the queues after routing: each link delivers by itself, and then a packet comes or not.
    delivered = [_after_service(size, rate) for rate in served]
    left = np.einsum("ik,jl->ijkl", *delivered).reshape(size**2, size**2)
    onward = np.stack([(1 - comes) * left, comes * left], -1).reshape(size**2, -1)

    joined = queues[:, None] + np.eye(2, dtype=int)
    taken = (joined < size).all(-1)
    routed = np.where(taken[..., None], joined, queues[:, None])
    # Without a packet, which is every other state, the queues stay as they are; one action stands for doing nothing.
    after = np.stack([np.repeat(queues[:, None], 2, axis=1), routed], 1).reshape(-1, 2, 2)
    available = np.stack([np.zeros_like(taken), taken], 1).reshape(-1, 2)
    available[:, 0] |= ~available.any(-1)
    position = after @ (size, 1)
    return MDP(
        transition=onward[position],
        reward=1 - after.sum(-1) / (2 * (size - 1)),
        discount=discount,
        available=available,
        features=np.eye(size**2)[position],
        states=[f"{one},{two}{packet}" for one, two in queues.tolist() for packet in ("", "+1")],
        actions=("first", "second"),
        name=f"network-routing-{size - 1}",
    )


def _after_service(size: int, rate: float) -> np.ndarray:
    """Return the distribution [packets, packets left] of what a link leaves, which delivers one at that rate."""
    left = np.diag(np.r_[1.0, np.full(size - 1, 1 - rate)])
    left[np.arange(1, size), np.arange(size - 1)] = rate
    return left
