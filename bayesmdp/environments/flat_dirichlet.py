"""Problems that are drawn from a prior: rows that are Dirichlet with known counts, rewards that are known.

Castronovo, Ernst, Couetoux and Fonteneau, "Benchmarking for Bayesian Reinforcement Learning" (2016), compare learners
on problems drawn from *flat Dirichlet multinomials*: for each pair the counts theta[s, a, s'] say which next states
there are and how likely, transition[s, a, :] ~ Dirichlet(theta[s, a, :]), and the reward of a step (s, a, s') is known.
A learner's prior is exact if it is this distribution, inexact if every count is 1 and nothing is known of what can be
reached.

All counts of the paper's three problems are 0 or 1. On a successor table, which names the next states that can be
reached, ``dirichlet_transitions(problem, 1.0)`` therefore is the exact prior; on a dense problem the same call is the
inexact one, and :func:`~bayesmdp.models.sparse_dirichlet` the exact one. Either draws the truths of a comparison with
``bm.simulate(..., truth=prior)``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["problem_from_counts"]


def problem_from_counts(
    counts: NDArray[np.float64],
    reward: NDArray[np.float64],
    *,
    dense: bool,
    seed: int | None,
    discount: float,
    states: Sequence[Hashable],
    actions: Sequence[Hashable],
    name: str,
) -> MDP:
    """Make a problem whose rows are Dirichlet with these counts.

    Parameters
    ----------
    counts : array [state, action, next_state]
        theta, 0 where a next state is impossible.
    reward : array [state, action, next_state]
    dense : bool
        Whether outcomes are all states, and not a table of those that can be reached.
    seed : int or None
        The same seed draws the same problem; None gives the mean of the distribution.
    discount : float in (0, 1)
    states, actions : sequences of labels
    name : str

    Returns
    -------
    MDP
        Its name ends with the seed if there is one, and with ``dense``.

    Examples
    --------
    >>> counts = np.array([[[1.0, 3.0]], [[1.0, 0.0]]])
    >>> options = {"dense": True, "seed": None, "discount": 0.9, "states": "ab", "actions": ["go"], "name": "two"}
    >>> problem_from_counts(counts, np.zeros((2, 1, 2)), **options).transition.tolist()
    [[[0.25, 0.75]], [[1.0, 0.0]]]
    """
    discount = number("discount", discount, above=0, below=1)
    weight = counts
    if seed is not None:
        rng = np.random.default_rng(integer("seed", seed, 0))
        weight = np.where(counts > 0, rng.standard_gamma(np.where(counts > 0, counts, 1)), 0)
    mdp = MDP(
        transition=weight / weight.sum(-1, keepdims=True),
        reward=reward,
        discount=discount,
        states=states,
        actions=actions,
        name=name + (f"-seed-{seed}" if seed is not None else "") + ("-dense" if dense else ""),
    )
    return mdp if dense else mdp.with_successors()
