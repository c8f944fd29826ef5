"""Large tables by the pairs that a log tried: all that plans from it and the values of their policies ask of them.

A table made from a log has room for each action in each state. Of a hospital's 25 actions a log of 300 patients has
tried two in a state on average, and a plan takes none of the others. So the few that may be taken are listed, state
by state, and draws, plans and values are made of these alone. In a state that the log never acted in any action may be
taken; a few stand for them, those first that the log which others are made like tried there. Where next states are
lumped, nothing tells untried actions apart, so that little is lost.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.offline.remade import Parameters, Remade
from bayesmdp.planning.operators import Draws
from bayesmdp.problems.problem import Problem

__all__ = ["Pairs", "few_pairs"]

TOGETHER = 4
"""The number of actions listed is a multiple of this, so that logs that are alike share their compiled programs."""


class Pairs(NamedTuple):
    """A problem's arrays, with all of its actions or with a few in each state.

    Attributes
    ----------
    problem : Problem
        Arrays [state, choice, ...].
    listed : int array [state, choice], or None
        The actions; None where choices are the actions themselves.
    """

    problem: Problem
    listed: NDArray[np.int64] | None = None

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """What an array [..., state, action] holds of them [..., state, choice]."""
        if self.listed is None:
            return array
        return array[..., np.arange(len(self.listed))[:, None], self.listed]

    def draws(self, prior: Remade, parameters: Parameters, known: NDArray[np.float64], number: int, seed: int) -> Draws:
        """Draws of a posterior [draw, state, choice, outcome], with the rewards drawn or `known`.

        Rows of pairs that are not available are 0, where only a few pairs are listed.
        """
        if self.listed is None:
            drawn = prior.draws(parameters, number, seed)
            return Draws(drawn["transition"], drawn["reward"][..., None] if "reward" in drawn else known)
        available = np.asarray(self.problem.available)
        taken = np.zeros(known.shape[:2], bool)
        np.put_along_axis(taken, self.listed, available, 1)
        drawn = prior.draws(prior.of_some(parameters, taken), number, seed)
        # Rows come in the order of the actions, which is not that of the list.
        state, action = np.nonzero(taken)
        choice = (self.listed[state] == action[:, None]).argmax(-1)
        transition = np.zeros((number, *available.shape, drawn["transition"].shape[-1]))
        transition[:, state, choice] = drawn["transition"]
        if "reward" not in drawn:
            return Draws(transition, known[np.arange(len(available))[:, None], self.listed])
        reward = np.zeros((number, *available.shape, 1))
        reward[:, state, choice, 0] = drawn["reward"]
        return Draws(transition, reward)

    def as_choices(self, policy: NDArray[Any]) -> NDArray[Any]:
        """A policy of actions, by number or by probabilities [..., state, action], as one of choices."""
        if self.listed is None:
            return policy
        if policy.dtype.kind != "f":
            return (self.listed == policy[..., None]).argmax(-1)
        # In a state that the log never acted in, the few that are listed stand for what it does.
        available = np.asarray(self.problem.available)
        few = np.where(available, self.of(policy), 0)
        total = few.sum(-1, keepdims=True)
        return np.where(total > 0, few / np.where(total > 0, total, 1), available / available.sum(-1, keepdims=True))

    def as_actions(self, policy: NDArray[np.int64]) -> NDArray[np.int64]:
        """A policy of choices [..., state] as one of actions."""
        return policy if self.listed is None else self.listed[np.arange(len(self.listed)), policy]


def few_pairs(problem: Problem, untold: NDArray[np.bool_], first: NDArray[np.bool_]) -> Pairs:
    """Return the available actions of each state, and a few in a state that a log never acted in.

    Parameters
    ----------
    problem : Problem
        With a table of successors.
    untold : bool array [state]
        States that the log never acted in; in others few actions are available.
    first : bool array [state, action]
        Which are listed before others that are available.

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> ice = bm.environments.frozen_lake().with_successors().problem
    >>> right = np.arange(4) >= 2 + np.zeros((16, 1))
    >>> few = few_pairs(ice._replace(available=right), np.zeros(16, bool), right)
    >>> few.listed[0].tolist(), few.problem.available[0].tolist()
    ([2, 3, 0, 1], [True, True, False, False])
    """
    available = np.asarray(problem.available)
    told = available[~untold & (np.asarray(problem.continuation) > 0)]
    most = int(told.sum(-1).max(initial=1))
    number = min(-(-most // TOGETHER) * TOGETHER, available.shape[1])
    listed = np.argsort(np.where(available, np.where(first, 0, 1), 2), axis=-1, kind="stable")[:, :number]
    at = np.arange(len(available))[:, None], listed
    reward, successor = np.asarray(problem.reward)[at], np.asarray(problem.successor)[at]
    elsewhere = problem.elsewhere if problem.elsewhere is None else problem.elsewhere.at(*at)
    few = problem._replace(reward=reward, successor=successor, available=available[at], elsewhere=elsewhere)
    return Pairs(few, listed)
