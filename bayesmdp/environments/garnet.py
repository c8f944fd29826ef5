"""Garnets: random MDPs of a given size and branching, with one goal that is hard to reach or rewards everywhere.

Each pair of a state and an action leads to `branching` states drawn without replacement, with the probabilities that
cuts at uniform random points leave of [0, 1] (Archibald, McKinnon and Thomas, 1995). With a goal they are the random
MDPs of Laroche, Trichelair and Tachet des Combes, "Safe Policy Improvement with Baseline Bootstrapping" (2019): the
start is state 0, and the goal that state from which the best policy is the farthest away, in that its value is the
least; entering it earns 1 and ends the episode. Without one, each pair has a mean reward drawn from a standard Normal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["garnet"]


def garnet(
    num_states: int = 50,
    num_actions: int = 4,
    branching: int = 4,
    *,
    goal: bool = True,
    discount: float = 0.95,
    seed: int = 0,
) -> MDP:
    """Draw a random MDP.

    Parameters
    ----------
    num_states : int, at least 2
    num_actions : int, at least 1
    branching : int, from 1 to `num_states`
        Next states of each pair.
    goal : bool
        Whether one terminal state earns 1 and nothing else earns anything.
    discount : float in (0, 1)
    seed : int
        The same seed gives the same MDP.

    Returns
    -------
    MDP
        Rewards [state, action, next_state] with a goal, else [state, action].

    Notes
    -----
    *What it asks.* Methods on many random problems in the place of one.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> random = bm.environments.garnet(seed=1)
    >>> (random.transition > 0).sum(-1).max(), random.terminal.sum()
    (np.int64(4), np.int64(1))
    """
    states, actions = integer("num_states", num_states, 2), integer("num_actions", num_actions, 1)
    ways = integer("branching", branching, 1)
    if ways > states:
        raise ValueError(f"branching is {ways}, but there are {states} states to lead to")
    discount = number("discount", discount, above=0, below=1)
    rng = np.random.default_rng(integer("seed", seed, 0))
    cuts = np.sort(rng.random((states, actions, ways - 1)), axis=-1)
    shares = np.diff(cuts, axis=-1, prepend=0, append=1)
    # The first of a random order of all states.
    reached = rng.random((states, actions, states)).argsort(-1)[..., :ways]
    transition = np.zeros((states, actions, states))
    np.put_along_axis(transition, reached, shares, axis=-1)
    name = f"garnet-{states}-{actions}-{ways}-{seed}"
    if not goal:
        reward = rng.normal(size=(states, actions))
        return MDP(transition=transition, reward=reward, discount=discount, initial=0, name=f"{name}-dense")
    target = 1 + int(_best_by_goal(transition, discount)[1:].argmin())
    entered = np.zeros((states, actions, states))
    entered[..., target] = 1
    return MDP(
        transition=transition,
        reward=entered,
        discount=discount,
        terminal=np.arange(states) == target,
        initial=0,
        name=name,
    )


def _best_by_goal(transition: NDArray[np.float64], discount: float) -> NDArray[np.float64]:
    """The best value [goal] of state 0 if a state were the goal, for all goals at once, by value iteration."""
    value = np.zeros((len(transition),) * 2)  # [goal, state]
    change = 1.0
    while change > 1e-9:
        worth = value.copy()
        np.fill_diagonal(worth, 1 / discount)  # so that entering it earns 1, and nothing after
        new = discount * np.einsum("sat,gt->gsa", transition, worth, optimize=True).max(-1)
        np.fill_diagonal(new, 0)
        change, value = float(np.abs(new - value).max()), new
    return value[:, 0]
