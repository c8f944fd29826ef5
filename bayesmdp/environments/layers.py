"""Layers of states, one a stage, each step leading to the next layer: small problems in episodes of fixed length.

Every state of a layer has the same actions, and each pair leads to one state of the next layer (or to one of several,
with equal probability), chosen once at random. Rewards are 0: the problem is a frame for tasks that differ in them
(:func:`~bayesmdp.models.gaussian_q_tasks`), and rewards are seen with Normal noise. With one-hot `features` any Q is
linear; additive ones, a state's number plus an action's, can express only a part of them.
"""

from __future__ import annotations

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.unroll import unroll

__all__ = ["layers"]


def layers(
    width: int = 3,
    actions: int = 2,
    horizon: int = 4,
    *,
    noise: float = 0.5,
    branching: int = 1,
    additive: bool = False,
    seed: int = 0,
) -> MDP:
    """Layers of states, one a stage of an episode; rewards are 0 until a task gives them.

    Parameters
    ----------
    width : int
        States a layer.
    actions, horizon : int
    noise : float
        Standard deviation of rewards.
    branching : int, at most `width`
        Next states of a pair, equally likely.
    additive : bool
        Whether features are indicators of state and of action, d = width + actions, and not of their pairs.
    seed : int

    Returns
    -------
    MDP
        With stages; an episode starts in any state of the first layer.

    Notes
    -----
    *What it asks.* Tasks in episodes that differ in their rewards, and what a prior of them is worth.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.environments.layers(3, 2, 4)
    MDP('layers-3-2-4': 13 states, 2 actions, episodes of 4 steps)
    """
    size, number_of_actions = integer("width", width, 1), integer("actions", actions, 1)
    outcomes, length = integer("branching", branching, 1), integer("horizon", horizon, 1)
    if outcomes > size:
        raise ValueError(f"branching must be at most width, {size}; got {outcomes}")
    rng = np.random.default_rng(integer("seed", seed, 0))
    pairs = size, number_of_actions
    following = np.array([rng.permutation(size)[:outcomes] for _ in range(size * number_of_actions)])
    features = np.eye(size * number_of_actions).reshape(*pairs, -1)
    if additive:
        state, action = np.indices(pairs)
        features = np.concatenate([np.eye(size)[state], np.eye(number_of_actions)[action]], -1)
    one_layer = MDP(
        transition=np.full((*pairs, outcomes), 1 / outcomes),
        successor=following.reshape(*pairs, outcomes),
        reward=np.zeros(pairs),
        discount=None,
        initial=np.full(size, 1 / size),
        noise=number("noise", noise, minimum=0),
        features=features,
        name=f"layers-{size}-{number_of_actions}",
    )
    unrolled = unroll(one_layer, length)
    return unrolled.replace(name=f"layers-{size}-{number_of_actions}-{length}")
