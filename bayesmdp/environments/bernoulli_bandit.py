"""Bernoulli bandit: arms that pay 1 or nothing, as an MDP of one state.

An arm's two outcomes both lead back to the one state; the second pays 1. Dirichlet rows over outcomes are Beta priors
of the arms, so everything for unknown transitions is for unknown arms too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmdp.foundation.validation import finite_array, number, reject_first
from bayesmdp.problems.mdp import MDP

__all__ = ["bernoulli_bandit"]


def bernoulli_bandit(probability: ArrayLike = (0.4, 0.6), *, discount: float = 0.95) -> MDP:
    """Return arms that pay 1 with a probability of their own, and otherwise 0.

    Parameters
    ----------
    probability : array [arm]
        Of being paid, in [0, 1].
    discount : float in (0, 1)

    Returns
    -------
    MDP
        One state; actions 0, 1, ..., the arms; outcomes 0 and 1, the pay. ``dirichlet_transitions(mdp,
        concentration=[1.0, 1.0])`` is a uniform prior of each arm.

    Notes
    -----
    *What it asks.* What is known exactly: Gittins indices and Bayes-optimal values.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> arms = bm.environments.bernoulli_bandit([0.1, 0.5, 0.3], discount=0.9)
    >>> arms, round(float(bm.solve(arms)["value"][0]), 6)
    (MDP('bernoulli-bandit-3': 1 state, 3 actions, discount 0.9), 5.0)
    """
    pays = finite_array("probability", probability)
    if pays.ndim != 1 or not pays.size:
        raise ValueError(f"probability has shape {pays.shape}; expected one number an arm")
    reject_first("probability", (pays < 0) | (pays > 1), pays, "is no probability")
    arms = len(pays)
    return MDP(
        transition=np.stack([1 - pays, pays], -1)[None],
        successor=np.zeros((1, arms, 2), int),
        reward=np.broadcast_to([0.0, 1.0], (1, arms, 2)),
        discount=number("discount", discount, above=0, below=1),
        name=f"bernoulli-bandit-{arms}",
    )
