"""The likeliest model of a log, and what a policy is worth in it: fitted Q evaluation, where Q is a table.

Fitted Q evaluation (Le, Voloshin and Yue, 2019) regresses r + gamma V(s') on (s, a) until Q no longer changes. With one
parameter a pair the regression is a mean, and its limit solves

    Q[s, a] = mean over the pair's steps of  r + gamma V[s'],      V[s] = sum over a of  policy[s, a] Q[s, a],

the values of the policy in the model whose rows are the log's frequencies. A pair that was never tried is taken to
bring the least for ever after: the smallest reward of the log, or nothing where that is more and episodes end.

When steps get other weights w, as in a bootstrap, V moves to first order by

    (I - gamma P)^-1 g,      g[s] = sum over a of  policy[s, a] (mean_w of  r + gamma V[s']  -  Q[s, a]),

(the infinitesimal jackknife of Q; one factorisation serves all weights, and none divides by a pair that has lost its
steps.)
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from bayesmdp.offline.steps import Steps
from bayesmdp.problems.mdp import MDP

__all__ = ["LikeliestModel"]


LARGE = 1e200
"""Mean squares of ratios beyond are as good as infinite."""


class LikeliestModel:
    """The frequencies of a log, and the values of a policy under them.

    Parameters
    ----------
    steps : Steps
    mdp : MDP
        Gives sizes, terminal states and the discount.
    policy : array [state, action]
        Probabilities.

    Attributes
    ----------
    pair : int array [step]
        Which of the pairs that were tried each step tried.
    pair_state, pair_action : int array [pair]
    tries : array [pair]
    chosen : array [pair]
        The policy's probability of the pair's action in its state.
    untried : array [state]
        Its probability of actions that were never tried there.
    discount : float
    """

    def __init__(self, steps: Steps, mdp: MDP, policy: NDArray[np.float64]) -> None:
        self.size, self.discount = mdp.num_states, 1.0 if mdp.discount is None else mdp.discount
        self.steps = steps
        code, self.pair = np.unique(steps.state * mdp.num_actions + steps.action, return_inverse=True)
        self.pair_state, self.pair_action = np.divmod(code, mdp.num_actions)
        self.tries = np.bincount(self.pair).astype(float)
        self.chosen = policy[self.pair_state, self.pair_action]
        self.live = ~mdp.terminal
        tried = np.bincount(self.pair_state, self.chosen, self.size)
        self.untried = np.where(self.live, np.maximum(1 - tried, 0), 0)
        self.untried[self.untried < 1e-12] = 0
        triple, self._triple = np.unique(self.pair * self.size + steps.next_state, return_inverse=True)
        self._triple_pair, self._triple_next = np.divmod(triple, self.size)
        times = np.bincount(self._triple)
        self._share = times / self.tries[self._triple_pair]
        smallest = float(steps.reward.min())
        lasting = 1 / (1 - self.discount) if self.discount < 1 else float(mdp.horizon or 0)
        self.least = (min(smallest, 0.0) if mdp.terminal.any() else smallest) * lasting

    @cached_property
    def value(self) -> NDArray[np.float64]:
        """Of the policy in each state [state]."""
        paid = self._means(self.steps.reward)
        reward = np.bincount(self.pair_state, self.chosen * paid, self.size)
        return np.asarray(self._solver.solve(reward + self.untried * self.least)) * self.live

    @cached_property
    def q(self) -> NDArray[np.float64]:
        """Of each pair that was tried [pair]."""
        return self._means(self.steps.reward + self.discount * self.value[self.steps.next_state])

    def reweighted(self, weight: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values [sample, state] and Q [sample, pair] when pieces of the log weigh otherwise, to first order.

        Parameters
        ----------
        weight : array [sample, piece]
            Positive, of mean 1.
        """
        target = self.steps.reward + self.discount * self.value[self.steps.next_state]
        places = self.steps.piece, self.pair
        shape = weight.shape[1], len(self.tries)
        missed = sparse.csr_array((target - self.q[self.pair], places), shape=shape)
        tries = weight @ sparse.csr_array((np.ones(len(target)), places), shape=shape)
        moved = (weight @ missed) / tries
        pairs = np.arange(len(self.tries))
        by_state = sparse.csr_array((self.chosen, (pairs, self.pair_state)), shape=(len(pairs), self.size))
        change = self._solver.solve(np.ascontiguousarray((moved @ by_state).T)).T * self.live
        # The change of V is carried to Q by the unweighted rows: what that leaves out is of second order.
        leads = sparse.csr_array((self._share, (self._triple_next, self._triple_pair)), shape=(self.size, len(pairs)))
        return self.value + change, self.q + moved + self.discount * (change @ leads)

    def discounted_steps(
        self, start: NDArray[np.float64], through: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Expected discounted number of visits [state] from a distribution of starts, until a step leaves the model.

        Parameters
        ----------
        start : array [state]
        through : bool array [pair], optional
            Pairs after which it goes on; all that were tried by default.
        """
        solver = self._solver if through is None else splu(self._system(through))
        return np.asarray(solver.solve(start, trans="T")) * self.live

    def mean_square_ratio(self, behaviour: NDArray[np.float64], start: NDArray[np.float64], decisions: int) -> float:
        """Mean square of an episode's ratio of probabilities under the policy and under a behaviour, in the model.

        The sum over a of policy^2 / behaviour takes the place of the sum over a of policy in the kernel of the model.

        Parameters
        ----------
        behaviour : array [pair]
        start : array [state]
            Mean square of the ratio with which episodes begin, times the share of those that begin there.
        decisions : int
            After which the ratio is looked at; that of an episode that ended is the one it ended with.
        """
        squares = self.chosen**2 / behaviour
        values = squares[self._triple_pair] * self._share
        shape = self.size, self.size
        step = sparse.csr_array((values, (self._triple_next, self.pair_state[self._triple_pair])), shape=shape)
        ended, mass = 0.0, start
        for _ in range(decisions):
            mass = np.minimum(step @ mass, LARGE)
            ended += float(mass[~self.live].sum())
            mass = mass * self.live
        return ended + float(mass.sum())

    def _means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean [pair] of values [step]."""
        return np.bincount(self.pair, values) / self.tries

    @cached_property
    def _solver(self) -> SuperLU:
        return splu(self._system(np.ones(len(self.tries), bool)))

    def _system(self, through: NDArray[np.bool_]) -> sparse.csc_array:
        """I - gamma P [state, next_state], where only steps of these pairs [pair] go on."""
        share = self.chosen[self._triple_pair] * self._share * self.live[self._triple_next]
        places = self.pair_state[self._triple_pair], self._triple_next
        rows = sparse.csc_array((share * through[self._triple_pair], places), shape=(self.size, self.size))
        return sparse.csc_array(sparse.eye_array(self.size, format="csc") - self.discount * rows)
