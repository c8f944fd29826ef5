"""What a log says, added up: all that Dirichlet rows and rewards by pair can learn from it.

The sums are of the steps of each pair of a state and an action: how often each outcome followed, the mean of what was
paid, and the squares of the differences from that mean. Kept so, nothing cancels, wherever rewards have their origin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.model_reading.rows import Transitions
from bayesmdp.problems.mdp import MDP

__all__ = ["Experience", "added_up"]


class Experience(NamedTuple):
    """Sums over the steps of each pair.

    Attributes
    ----------
    counts : array [state, action, outcome]
        How often each outcome followed.
    reward_mean : array [state, action]
        Mean of the rewards; 0 where there are none.
    reward_scatter : array [state, action]
        Sum of their squared differences from that mean.
    """

    counts: NDArray[np.float64]
    reward_mean: NDArray[np.float64]
    reward_scatter: NDArray[np.float64]

    @property
    def tries(self) -> NDArray[np.float64]:
        """How often each pair was tried [state, action]."""
        return np.asarray(self.counts.sum(-1))

    @property
    def noise_variance(self) -> float:
        """The variance of a reward about its pair's mean, pooled over pairs tried more than once.

        Where no pair was, half of the variance of all rewards; at least a millionth of that, so that a spread that is 0
        in a short log is no certainty.
        """
        tries = self.tries
        tried, again = tries > 0, float(np.maximum(tries - 1, 0).sum())
        total = tries.sum()
        mean = (tries * self.reward_mean).sum() / total
        between = float((tries * (self.reward_mean - mean) ** 2)[tried].sum())
        every = (between + float(self.reward_scatter.sum())) / total
        pooled = float(self.reward_scatter.sum()) / again if again else every / 2
        return max(pooled, 1e-6 * every, np.finfo(float).tiny ** 0.5)


def added_up(rows: Transitions, mdp: MDP) -> Experience:
    """Add up the rows of a log.

    Parameters
    ----------
    rows : Transitions
        One for each distinct reward of a transition, as `compress` makes them with ``distinct_rewards=True``, and with
        `mdp`.
    mdp : MDP

    Returns
    -------
    Experience

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.logs.compress import compress
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=100, seed=0)
    >>> float(added_up(compress(log, river, distinct_rewards=True), river).tries.sum())
    100.0
    """
    shape = mdp.num_states, mdp.num_actions, mdp.num_outcomes
    counts, total, scatter = np.zeros(shape), np.zeros(shape[:2]), np.zeros(shape[:2])
    np.add.at(counts, (rows.state, rows.action, rows.next_state), rows.weight)
    np.add.at(total, (rows.state, rows.action), rows.weight * rows.reward)
    mean = total / np.maximum(counts.sum(-1), 1)
    apart = rows.reward - mean[rows.state, rows.action]
    np.add.at(scatter, (rows.state, rows.action), rows.weight * apart**2)
    return Experience(counts, mean, scatter)
