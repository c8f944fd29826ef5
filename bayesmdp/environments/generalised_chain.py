"""Generalised chain: a chain whose actions go on or back to its start, with probabilities drawn from a prior.

The GC distribution of Castronovo, Ernst, Couetoux and Fonteneau (2016): five states and three actions, each of which
either moves one state on (in the last state: stays) or returns to the first, both with count 1, so that the probability
of moving on is uniform on [0, 1] for each pair. Arriving in the first state earns 2, in the last 10. Counts and rewards
are those of the distribution files of the paper's library (BBRL).
"""

from __future__ import annotations

import numpy as np

from bayesmdp.environments.flat_dirichlet import problem_from_counts
from bayesmdp.foundation.validation import integer
from bayesmdp.problems.mdp import MDP

__all__ = ["generalised_chain"]


def generalised_chain(
    num_states: int = 5,
    num_actions: int = 3,
    *,
    dense: bool = False,
    seed: int | None = None,
    discount: float = 0.95,
) -> MDP:
    """Return a chain of which each action goes on or back, with a probability of its own.

    Parameters
    ----------
    num_states : int, at least 2
    num_actions : int, at least 1
    dense : bool
        Whether outcomes are all states, and not the two that can be reached; see
        :mod:`bayesmdp.environments.flat_dirichlet`.
    seed : int, optional
        Draw the problem from its prior. Without one it is the prior's mean, in which all probabilities are 1/2.
    discount : float in (0, 1)

    Returns
    -------
    MDP
        States 1..num_states, starting at the first; actions 1..num_actions; reward [state, action, outcome]. Its exact
        prior is ``dirichlet_transitions(problem, 1.0)``.

    Notes
    -----
    *What it asks.* Learning under a prior that is the true one, on chains.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> chain = bm.environments.generalised_chain()
    >>> chain.successor[1, 0].tolist(), chain.reward[1, 0].tolist()
    ([0, 2], [2.0, 0.0])
    >>> prior = bm.models.dirichlet_transitions(chain, 1.0)
    >>> runs = bm.simulate(chain, {"PSRL": bm.agents.psrl(prior)}, steps=20, replicates=2, truth=prior)
    >>> set(runs["reward"].values.ravel().tolist()) <= {0.0, 2.0, 10.0}
    True
    """
    n, actions = integer("num_states", num_states, 2), integer("num_actions", num_actions, 1)
    states = np.arange(n)
    counts = np.zeros((n, actions, n))
    counts[:, :, 0] = counts[states, :, np.minimum(states + 1, n - 1)] = 1
    reward = np.zeros((n, actions, n))
    reward[:, :, 0], reward[:, :, n - 1] = 2, 10
    return problem_from_counts(
        counts,
        reward,
        dense=dense,
        seed=seed,
        discount=discount,
        states=range(1, n + 1),
        actions=range(1, actions + 1),
        name=f"generalised-chain-{n}-{actions}",
    )
