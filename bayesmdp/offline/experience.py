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

__all__ = ["Experience", "RewardSums", "added_up"]


class RewardSums(NamedTuple):
    """What was paid, added up by groups: pairs of a state and an action, or states that were entered.

    Attributes
    ----------
    tries : array [group, ...]
        Number of rewards.
    mean : array [group, ...]
        Mean of the rewards; 0 where there are none.
    scatter : array [group, ...]
        Sum of their squared differences from that mean.
    """

    tries: NDArray[np.float64]
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def added_up(
        cls,
        at: tuple[NDArray[np.int64], ...],
        shape: tuple[int, ...],
        reward: NDArray[np.float64],
        weight: NDArray[np.float64],
    ) -> RewardSums:
        """Add up rewards [row], each as often as its weight says, by groups of a shape at which they are."""
        tries, total, scatter = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        np.add.at(tries, at, weight)
        np.add.at(total, at, weight * reward)
        mean = total / np.maximum(tries, 1)
        np.add.at(scatter, at, weight * (reward - mean[at]) ** 2)
        return cls(tries, mean, scatter)

    @property
    def noise_variance(self) -> float:
        """The variance of a reward about its group's mean, pooled over groups with more than one.

        Where there is none, half of the variance of all rewards; at least a millionth of that, so that a spread that is
        0 in a short log is no certainty.
        """
        tries = self.tries
        tried, again = tries > 0, float(np.maximum(tries - 1, 0).sum())
        total = tries.sum()
        mean = (tries * self.mean).sum() / total
        between = float((tries * (self.mean - mean) ** 2)[tried].sum())
        every = (between + float(self.scatter.sum())) / total
        pooled = float(self.scatter.sum()) / again if again else every / 2
        return max(pooled, 1e-6 * every, np.finfo(float).tiny ** 0.5)


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
    entered : RewardSums [next_state], or None
        The same rewards by the state that was entered; None where outcomes are not next states.
    """

    counts: NDArray[np.float64]
    reward_mean: NDArray[np.float64]
    reward_scatter: NDArray[np.float64]
    entered: RewardSums | None = None

    @property
    def tries(self) -> NDArray[np.float64]:
        """How often each pair was tried [state, action]."""
        return np.asarray(self.counts.sum(-1))

    @property
    def paid(self) -> RewardSums:
        """The rewards by pair [state, action]."""
        return RewardSums(self.tries, self.reward_mean, self.reward_scatter)


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
    counts = np.zeros(mdp.sizes)
    np.add.at(counts, (rows.state, rows.action, rows.next_state), rows.weight)
    _, mean, scatter = RewardSums.added_up((rows.state, rows.action), counts.shape[:2], rows.reward, rows.weight)
    entered = None
    if mdp.successor is None:
        entered = RewardSums.added_up((rows.next_state,), counts.shape[2:], rows.reward, rows.weight)
    return Experience(counts, mean, scatter, entered)
