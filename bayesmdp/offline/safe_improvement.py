"""What others do with a log and the behaviour that made it: rivals under their names, on the sums of a log.

All plan for the maximum-likelihood MDP of the log: the frequencies of next states and the means of rewards, a pair that
was never tried leading to all states alike for the least reward seen. They differ in what they let the policy do:

* `maximum_likelihood`: whatever was tried.
* `reward_adjusted` (Petrik, Ghavamzadeh and Chow, 2016, RaMDP): the same, with the reward of each pair lowered by
  ``adjustment / sqrt(tries)``.
* `l1_robust` (Petrik, Ghavamzadeh and Chow, 2016; Iyengar, 2005): whatever was tried, for the worst rows that differ
  from the frequencies by at most ``budget / sqrt(tries)`` in L1 norm. Their own budget, from a bound on all rows at
  once, leaves hardly any row known; so it is tuned as well.
* `spibb` (Laroche, Trichelair and Tachet des Combes, 2019): pairs tried fewer than `enough` times are *bootstrapped*.
  In the set ``"b"`` (their Pi_b) the policy takes these exactly as often as the behaviour does, in ``"at most b"``
  (Pi_<=b) no more often; the rest goes to the best other action.
* `soft_spibb` (Nadjahi, Laroche and Tachet des Combes, 2019, the approximate greedy algorithm): in each state the sum
  over actions of ``error(s, a) |policy - behaviour|`` is at most `budget`, with error ``1 / sqrt(tries)``; probability
  is moved from the worst actions to the action where it gains the most for the budget that it takes.

Each is policy iteration with its own greedy step, until the policy no longer changes, but for `l1_robust`, where it
need not end: that is value iteration. The numbers `adjustment`, `enough` and `budget` have no default in their papers
either: they are tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.validation import number
from bayesmdp.offline.experience import Experience
from bayesmdp.problems.mdp import MDP

__all__ = ["LikeliestMDP", "l1_robust", "likeliest", "maximum_likelihood", "reward_adjusted", "soft_spibb", "spibb"]

type Table = NDArray[np.float64]

PRECISION = 1e-9
"""Of value iteration, relative to the largest value."""

MOST = 500
"""Rounds of policy iteration, should policies of equal value take turns."""


class LikeliestMDP(NamedTuple):
    """The maximum-likelihood MDP of a log.

    Attributes
    ----------
    transition : array [state, action, next_state]
    reward : array [state, action]
    tries : array [state, action]
    allowed : bool array [state, action]
        What may be planned with: available, and tried where anything was.
    live : bool array [state]
        States that are not terminal.
    discount : float
    """

    transition: Table
    reward: Table
    tries: Table
    allowed: NDArray[np.bool_]
    live: NDArray[np.bool_]
    discount: float

    def q(self, policy: Table) -> Table:
        """Values [state, action] of pairs, followed by a policy [state, action]."""
        live = self.live.astype(float)
        rows = live[:, None] * (policy[..., None] * self.transition).sum(1) * live
        system = np.eye(len(live)) - self.discount * rows
        value = np.linalg.solve(system, live * (policy * self.reward).sum(-1))
        return np.asarray(self.reward + self.discount * self.transition @ (live * value))


def likeliest(experience: Experience, mdp: MDP) -> LikeliestMDP:
    """Return the maximum-likelihood MDP of a log.

    Parameters
    ----------
    experience : Experience
        Of outcomes that are states.
    mdp : MDP
        Its discount, terminal states and available actions.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.logs.compress import compress
    >>> from bayesmdp.offline.experience import added_up
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=5_000, seed=0)
    >>> seen = likeliest(added_up(compress(log, river, distinct_rewards=True), river), river)
    >>> maximum_likelihood(seen).argmax(-1).tolist()
    [1, 1, 1, 1, 1, 1]
    """
    if mdp.objective != "discounted" or mdp.successor is not None:
        raise ValueError(f"{mdp.name} needs a discount, and states as outcomes")
    tries = experience.tries
    tried = tries > 0
    frequency = np.where(tried[..., None], experience.counts / np.maximum(tries, 1)[..., None], 1 / mdp.num_states)
    least = float(experience.reward_mean[tried].min()) if tried.any() else 0.0
    allowed = mdp.available & (tried | ~tried.any(-1, keepdims=True))
    reward = np.where(tried, experience.reward_mean, least)
    return LikeliestMDP(frequency, reward, tries, allowed, ~mdp.terminal, float(mdp.discount or 1))


def maximum_likelihood(seen: LikeliestMDP) -> Table:
    """Return the best policy [state, action] of the maximum-likelihood MDP."""
    return _iterated(seen, lambda q: _one_hot(np.where(seen.allowed, q, -np.inf)), _even(seen.allowed))


def reward_adjusted(seen: LikeliestMDP, adjustment: float) -> Table:
    """Return the best policy [state, action] where rewards are lowered by how rarely a pair was tried.

    Parameters
    ----------
    seen : LikeliestMDP
    adjustment : float, at least 0
        In the units of the reward.
    """
    adjustment = number("adjustment", adjustment, minimum=0)
    lowered = seen.reward - adjustment / np.sqrt(np.maximum(seen.tries, 1))
    return maximum_likelihood(seen._replace(reward=lowered))


def l1_robust(seen: LikeliestMDP, budget: float) -> Table:
    """Return the best policy [state, action] for the worst rows within a distance of the frequencies.

    Parameters
    ----------
    seen : LikeliestMDP
    budget : float, at least 0
        Of a pair tried once: the L1 distance, at most 2, which falls by the square root of the tries.
    """
    budget = number("budget", budget, minimum=0)
    moved = np.minimum(budget / np.sqrt(np.maximum(seen.tries, 1)), 2) / 2
    live, value = seen.live.astype(float), np.zeros(len(seen.live))
    # Values contract by the discount with each backup.
    for _ in range(int(np.ceil(np.log(PRECISION) / np.log(seen.discount)))):
        future = live * value
        q = seen.reward + seen.discount * _worst_case(seen.transition, moved, future)
        last, value = value, live * np.where(seen.allowed, q, -np.inf).max(-1)
        if np.abs(value - last).max() <= PRECISION * (1 - seen.discount) * np.abs(value).max():
            break
    return _one_hot(np.where(seen.allowed, q, -np.inf))


def _worst_case(rows: Table, moved: Table, value: Table) -> Table:
    """Expected values [state, action], where up to so much probability [state, action] goes from the best to the worst.

    The greedy solution of the linear program: the best next states lose theirs first.
    """
    order = np.argsort(-value, kind="stable")
    falling = rows[..., order]
    lost = np.minimum(falling.cumsum(-1), moved[..., None])
    kept = falling - np.diff(lost, axis=-1, prepend=0)
    kept[..., -1] += lost[..., -1]
    return np.asarray(kept @ value[order])


def spibb(seen: LikeliestMDP, behaviour: Table, enough: float, among: Literal["b", "at most b"] = "at most b") -> Table:
    """Return the best policy [state, action] that trusts only pairs tried often enough.

    Parameters
    ----------
    seen : LikeliestMDP
    behaviour : array [state, action]
        Probabilities.
    enough : float
        Tries from which a pair is trusted.
    among : {"b", "at most b"}
        Whether pairs tried less often are taken as often as by the behaviour, or at most as often.
    """
    if among not in ("b", "at most b"):
        raise ValueError(f"among must be 'b' or 'at most b'; got {among!r}")
    trusted = seen.tries >= number("enough", enough, minimum=0)
    state = np.arange(len(behaviour))

    def greedy(q: Table) -> Table:
        if among == "b":
            policy = np.where(trusted, 0, behaviour)
            best = np.where(trusted, q, -np.inf).argmax(-1)
            policy[state, best] += np.where(trusted.any(-1), 1 - policy.sum(-1), 0)
            return policy
        # The best actions are filled up to what they may have, one after the other.
        order = np.argsort(-q, axis=-1, kind="stable")
        most = np.take_along_axis(np.where(trusted, 1, behaviour), order, -1)
        filled = np.minimum(most.cumsum(-1), 1)
        policy = np.empty_like(q)
        np.put_along_axis(policy, order, np.diff(filled, axis=-1, prepend=0), -1)
        return policy

    return _iterated(seen, greedy, behaviour)


def soft_spibb(seen: LikeliestMDP, behaviour: Table, budget: float) -> Table:
    """Return a policy [state, action] that departs from the behaviour the less, the rarer pairs were tried.

    Parameters
    ----------
    seen : LikeliestMDP
    behaviour : array [state, action]
        Probabilities.
    budget : float, at least 0
        Of each state.
    """
    budget = number("budget", budget, minimum=0)
    error = 1 / np.sqrt(np.maximum(seen.tries, 1))
    error = np.where(seen.tries > 0, error, np.inf)

    def greedy(q: Table) -> Table:
        policy = behaviour.copy()
        for state in np.flatnonzero(seen.live):
            left, own, wrong = budget, q[state], error[state]
            for worst in np.argsort(own, kind="stable"):
                gained = np.where(np.isfinite(wrong), own - own[worst], 0) / (wrong + wrong[worst])
                best = int(np.nan_to_num(gained).argmax())
                cost = wrong[worst] + wrong[best]
                if not gained[best] > 0 or not np.isfinite(cost):
                    continue
                moved = min(policy[state, worst], left / cost)
                policy[state, worst] -= moved
                policy[state, best] += moved
                left -= moved * cost
        return policy

    return _iterated(seen, greedy, behaviour)


def _iterated(seen: LikeliestMDP, greedy: Callable[[Table], Table], start: Table) -> Table:
    """Policy iteration with a greedy step of one's own."""
    policy = start
    for _ in range(MOST):
        better = greedy(seen.q(policy))
        if np.allclose(better, policy, atol=1e-12):
            break
        policy = better
    return policy


def _one_hot(q: Table) -> Table:
    return np.eye(q.shape[-1])[q.argmax(-1)]


def _even(allowed: NDArray[np.bool_]) -> Table:
    return np.asarray(allowed / allowed.sum(-1, keepdims=True))
