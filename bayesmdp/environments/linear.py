"""Linear MDPs: kernels and rewards that are linear in known features. Jin et al. (2020), definition 2.1.

    P(s' | s, a) = <phi(s, a), mu(s')>,    r(s, a) = <phi(s, a), theta>.

*Random*: phi(s, a) is a distribution over d topics, each topic a distribution mu_i over next states with a reward
theta_i, all drawn at random.

*Hard*: the family behind the lower bound for the average reward (Wu et al., 2022, section 4). In x0 each action is a
corner a of a cube, and one of them leads to x1 a little more often than the others:

    P(x1 | x0, a) = delta + <a, theta>,    theta_i = Delta / (d - 1) or -Delta / (d - 1),    P(x0 | x1, .) = delta,

with reward 1 in x1. The best action has the signs of theta, and J* = (delta + Delta) / (2 delta + Delta). Features are
phi(x0, a) = (a, 1, 0) / sqrt(d) and phi(x1, .) = (0, 0, 1).
"""

from __future__ import annotations

import itertools

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["hard_linear_mdp", "random_linear_mdp"]


def random_linear_mdp(
    num_states: int = 20, num_actions: int = 5, *, dimension: int = 4, seed: int = 0, discount: float | None = None
) -> MDP:
    """A random linear MDP.

    Parameters
    ----------
    num_states, num_actions : int
    dimension : int
        d, the number of features.
    seed : int
    discount : float, or None for the average reward

    Returns
    -------
    MDP
        With ``features`` [state, action, feature].

    Notes
    -----
    *What it asks.* Linear methods where the problem is linear for certain.

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> mdp = bm.environments.random_linear_mdp(dimension=4)
    >>> mdp.features.shape, int(np.linalg.matrix_rank(mdp.transition.reshape(100, 20)))
    ((20, 5, 4), 4)
    """
    sizes = integer("num_states", num_states, 2), integer("num_actions", num_actions, 1)
    d = integer("dimension", dimension, 1)
    rng = np.random.default_rng(integer("seed", seed, 0))
    # Concentrated, so that topics differ and pairs are of few topics.
    features = rng.dirichlet(np.full(d, 0.3), sizes)
    topics = rng.dirichlet(np.full(sizes[0], 0.3), d)
    transition = features @ topics
    return MDP(
        transition=transition / transition.sum(-1, keepdims=True),
        reward=features @ rng.random(d),
        discount=discount,
        features=features,
        name=f"random-linear-{d}",
    )


def hard_linear_mdp(
    dimension: int = 8, *, delta: float = 0.1, gap: float = 0.05, seed: int = 0, discount: float | None = None
) -> MDP:
    """The hard linear MDP.

    Parameters
    ----------
    dimension : int, at least 2
        d; there are 2^(d - 1) actions and d + 1 features.
    delta : float in (0, 1)
        How often a state is left.
    gap : float, positive, at most `delta` and 1 - `delta`
        Delta: how much more often the best action leads to the reward.
    seed : int
        Of theta's signs.
    discount : float, or None for the average reward

    Returns
    -------
    MDP
        States ``x0``, ``x1``; with ``features`` [state, action, feature].

    Notes
    -----
    *What it asks.* How regret grows with the number of features, on the family of the lower bound.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> mdp = bm.environments.hard_linear_mdp()
    >>> round(float(bm.solve(mdp).gain), 6)  # (.1 + .05) / (.2 + .05)
    0.6
    """
    d = integer("dimension", dimension, 2)
    leave = number("delta", delta, above=0, below=1)
    more = number("gap", gap, above=0, maximum=min(leave, 1 - leave))
    rng = np.random.default_rng(integer("seed", seed, 0))
    theta = rng.choice([-1, 1], d - 1) * more / (d - 1)
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=d - 1)))
    reached = leave + corners @ theta
    transition = np.empty((2, len(corners), 2))
    transition[0] = np.stack([1 - reached, reached], -1)
    transition[1] = leave, 1 - leave
    features = np.zeros((2, len(corners), d + 1))
    features[0, :, : d - 1], features[0, :, d - 1] = corners, 1
    features[0] /= np.sqrt(d)
    features[1, :, d] = 1
    return MDP(
        transition=transition,
        reward=np.array([0.0, 1.0]),
        discount=discount,
        features=features,
        states=("x0", "x1"),
        name=f"hard-linear-{d}",
    )
