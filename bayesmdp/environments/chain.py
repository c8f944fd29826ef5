"""Chain: five states in a row, where patience pays and impatience pays at once. Strens (2000).

``forward`` moves one state on and earns nothing, until the last state, where it stays and earns 10. ``back`` returns to
the first state and earns 2. With probability .2 the agent slips, and what happens is what the other action does. Always
going forward earns 3.677 a step, always going back 1.603, either at random 1.3125.

In the first state rewards are Normal about these means, as for the agents of TSEB; its standard deviation, 1 by
default, is ours.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["chain"]


def chain(num_states: int = 5, *, slip: float = 0.2, noise: float = 1.0, discount: float | None = 0.95) -> MDP:
    """Chain with `num_states` states, starting at the first.

    Parameters
    ----------
    num_states : int, at least 2
    slip : float in [0, 1]
        Probability that the other action happens.
    noise : float, at least 0
        Standard deviation of rewards in the first state.
    discount : float, or None for the average reward

    Returns
    -------
    MDP
        States 1..num_states; actions ``forward`` and ``back``; reward [state, action, next_state].

    Notes
    -----
    *What it asks.* Whether an agent is patient, and can tell a noisy reward from a good one.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.solve(bm.environments.chain()).policy.values.tolist()
    ['forward', 'forward', 'forward', 'forward', 'forward']
    """
    n = integer("num_states", num_states, 2)
    slip, noise = number("slip", slip, minimum=0, maximum=1), number("noise", noise, minimum=0)
    states = np.arange(n)
    onward = np.minimum(states + 1, n - 1)
    transition, reward = np.zeros((n, 2, n)), np.zeros((n, 2, n))
    for action, goes_on in enumerate((1 - slip, slip)):
        transition[states, action, onward] = goes_on
        transition[:, action, 0] = 1 - goes_on
    reward[:, :, 0] = 2
    reward[n - 1, :, n - 1] = 10
    scatter = np.zeros((n, 2))
    scatter[0] = noise
    return MDP(
        transition=transition,
        reward=reward,
        discount=discount,
        states=range(1, n + 1),
        actions=("forward", "back"),
        noise=scatter if noise else None,
        name=f"chain-{n}",
    )
