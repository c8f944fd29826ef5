"""Behaviours of a quality that is asked for: what logs are made with where safety is studied.

The quality of a policy is where its value at the start lies between that of the uniform policy, 0, and that of the best
one, 1. As Laroche, Trichelair and Tachet des Combes (2019) have it: the softmax of the best Q-values, as sharp as
brings it half-way from the quality asked for to 1; then in random states nine tenths of the probability of the best
action go to some other one, until the quality is reached; of the last fault only as much as reaches it, which is ours.
So the behaviour is good in most states and bad in some.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning.known_dynamics import solve
from bayesmdp.problems.mdp import MDP

__all__ = ["behaviour_of_quality"]

LEFT = 0.1
"""Of the probability of an action that a fault has struck."""


def behaviour_of_quality(mdp: MDP, quality: float, *, seed: int = 0) -> NDArray[np.float64]:
    """Draw a behaviour whose value lies at a given place between the uniform policy's and the best one's.

    Parameters
    ----------
    mdp : MDP
        With a discount, and next states as outcomes.
    quality : float in (0, 1)
        Reached to rounding.
    seed : int

    Returns
    -------
    array [state, action]
        Probabilities.

    Raises
    ------
    ValueError
        If the uniform policy is as good as the best; for other kinds of MDPs.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> behaviour = behaviour_of_quality(river, 0.5)
    >>> values = [float(bm.evaluate(river, policy)[0]) for policy in ("uniform", behaviour)]
    >>> best = float(bm.solve(river)["value"][0])
    >>> round((values[1] - values[0]) / (best - values[0]), 6)
    0.5
    """
    quality = number("quality", quality, above=0, below=1)
    if mdp.objective != "discounted" or mdp.successor is not None or mdp.transition is None:
        raise ValueError(f"{mdp.name} needs a discount, and a kernel [state, action, next_state] without a table")
    rng = np.random.default_rng(integer("seed", seed, 0))
    solved = solve(mdp)
    q = np.where(mdp.available, solved["q"].values, -np.inf)
    uniform = mdp.available / mdp.available.sum(-1, keepdims=True)
    worst, best = _at_start(mdp, uniform), float(mdp.initial @ solved["value"].values)
    if best - worst <= 1e-9 * (1 + abs(best)):
        raise ValueError(f"in {mdp.name} the uniform policy is as good as the best, so that there is no quality")

    def soft(sharpness: float) -> NDArray[np.float64]:
        weight = np.exp(sharpness * (q - q.max(-1, keepdims=True)) / (best - worst))
        return np.asarray(weight / weight.sum(-1, keepdims=True))

    # The softmax of half the regret, by bisection on its sharpness.
    aim = worst + (1 + quality) / 2 * (best - worst)
    low, high = 0.0, 1.0
    while _at_start(mdp, soft(high)) < aim:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_start(mdp, soft(middle)) < aim else (low, middle)
    policy = soft(high)
    # Faults in random states, until the quality is reached.
    faulty = np.flatnonzero((mdp.available.sum(-1) > 1) & ~mdp.terminal)
    floor = worst + quality * (best - worst)
    while _at_start(mdp, policy) - floor > 1e-9 * (best - worst):
        state = rng.choice(faulty)
        action = int(q[state].argmax())
        others = np.flatnonzero(mdp.available[state] & (np.arange(mdp.num_actions) != action))
        moved = np.zeros(mdp.num_actions)
        moved[action] = -(1 - LEFT) * policy[state, action]
        moved[int(rng.choice(others))] = -moved[action]
        policy[state] += moved
        # The last fault is as large as brings the value to the floor: it falls with the share that is moved.
        low, high = 0.0, 1.0
        if _at_start(mdp, policy) < floor:
            base = policy[state] - moved
            for _ in range(60):
                middle = (low + high) / 2
                policy[state] = base + middle * moved
                low, high = (middle, high) if _at_start(mdp, policy) > floor else (low, middle)
    return policy


def _at_start(mdp: MDP, policy: NDArray[np.float64]) -> float:
    """Value of a policy at the start, by one solve."""
    live = (~mdp.terminal).astype(float)
    kernel = np.asarray(mdp.transition)
    rows = live[:, None] * (policy[..., None] * kernel).sum(1)
    paid = live * (policy * (kernel * mdp.reward).sum(-1)).sum(-1)
    system = np.eye(mdp.num_states) - float(mdp.discount or 1) * rows * live
    return float(mdp.initial @ np.linalg.solve(system, paid))
