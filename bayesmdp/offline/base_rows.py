"""What rows of a kernel may have in common: candidates for the mean of their Dirichlet prior.

A uniform row says of a pair tried five times that anything may still happen: that stock rises by itself, that a machine
heals. Most logs know better, from their other rows. Each candidate makes of the steps of *other* rows of a log a guess
at one, so that no step counts twice (the displacements of the last three are found with all rows):

    uniform          every next state alike
    next state       as often as each next state followed any pair
    by state         ... any action in the same state
    by action        ... the same action in any state
    shift            the same displacement, next state less state, whatever the action
    shift by action  the same displacement after the same action
    sum              the same displacement from state plus action, such as stock and what is ordered

The last three are for states that are numbers one apart. What would lead beyond either end is taken to stop there, so a
step that ended at an end says only that its displacement was that large or larger: the distribution of displacements is
the maximum of the likelihood of such censored steps (Turnbull, 1976), by the EM algorithm. Which of the candidates to
believe, and how much, is for the evidence to say (:mod:`bayesmdp.offline.prior_from_log`). The candidates are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.problems.mdp import MDP

__all__ = ["Base", "BaseRows", "base_rows_for", "numbered"]

ROUNDS = 12
"""Of EM. Rows are smoothed after, so that the last digits of its limit do not matter."""

type Rows = NDArray[np.float64]


class Base(NamedTuple):
    """One candidate's rows.

    Attributes
    ----------
    rows : array [state, action, outcome]
        Positive, of sum 1.
    steps : array [state, action]
        Of how many other steps each was made; infinite if it is not made of any.
    """

    rows: Rows
    steps: Rows


class BaseRows(NamedTuple):
    """The candidates that fit a problem, each a function of counts.

    Attributes
    ----------
    uniform : array [state, action, outcome]
        The candidate that asks no other row.
    others : dict of function by name
        From counts [state, action, next_state] to the steps of other rows, as they would be here: the same shape.
    """

    uniform: Rows
    others: dict[str, Callable[[Rows], Rows]]

    def bases(self, counts: Rows) -> dict[str, Base]:
        """Make every candidate's rows of counts [state, action, outcome].

        Counts of others become probabilities as if each next state had been seen a fraction of one time more, one time
        in all.
        """
        made = {"uniform": Base(self.uniform, np.full(self.uniform.shape[:2], np.inf))}
        for name, other in self.others.items():
            steps = np.maximum(other(counts), 0)
            total = steps.sum(-1)
            made[name] = Base((steps + self.uniform) / (total + 1)[..., None], total)
        return made


def base_rows_for(mdp: MDP, *, ordered: bool | None = None) -> BaseRows:
    """Return the candidates that a problem permits.

    Parameters
    ----------
    mdp : MDP
        Without a successor table, whose outcomes are no states; with one, only the uniform row is a candidate, in which
        an outcome counts for as many next states as it stands for.
    ordered : bool, optional
        Whether neighbouring states are one step apart; by default where their labels are whole numbers one apart.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> list(base_rows_for(bm.environments.inventory(5)).others)
    ['next state', 'by state', 'by action', 'shift', 'shift by action', 'sum']
    """
    size = np.broadcast_to(mdp.outcome_size, (mdp.num_states, mdp.num_actions, mdp.num_outcomes))
    uniform = size / size.sum(-1, keepdims=True)
    makers: dict[str, Callable[[Rows], Rows]] = {}
    if mdp.successor is None:
        several = mdp.num_actions > 1
        if mdp.num_states > 1:
            makers["next state"] = lambda counts: counts.sum((0, 1)) - counts
        if several:
            makers["by state"] = lambda counts: counts.sum(1, keepdims=True) - counts
        if several and mdp.num_states > 1:
            makers["by action"] = lambda counts: counts.sum(0) - counts
        states, actions = numbered(mdp.states), numbered(mdp.actions)
        if ordered or (ordered is None and states is not None):
            place = np.arange(mdp.num_states)
            makers["shift"] = _Shift(place[:, None] + np.zeros(mdp.num_actions, int), pooled=True)
            if several:
                makers["shift by action"] = _Shift(place[:, None] + np.zeros(mdp.num_actions, int), pooled=False)
            if several and actions is not None:
                makers["sum"] = _Shift(place[:, None] + actions, pooled=True)
    return BaseRows(uniform, makers)


def numbered(labels: Sequence[Hashable]) -> NDArray[np.int64] | None:
    """Whole numbers one apart in their order, as an array; None for any other labels.

    Examples
    --------
    >>> numbered([3, 4, 5]), numbered(["a", "b"]), numbered([0, 2])
    (array([3, 4, 5]), None, None)
    """
    if not all(isinstance(label, int | np.integer) and not isinstance(label, bool) for label in labels):
        return None
    numbers = np.array(labels, np.int64)
    return numbers if (np.diff(numbers) == 1).all() else None


class _Shift:
    """Rows by the displacement from a place [state, action] to the next state.

    Parameters
    ----------
    place : int array [state, action]
    pooled : bool
        Over actions, or for each action by itself.
    """

    def __init__(self, place: NDArray[np.int64], *, pooled: bool) -> None:
        num_states = len(place)
        shift = np.arange(-place.max(), num_states - place.min())
        self.reached = np.clip(place[..., None] + shift, 0, num_states - 1)  # [state, action, shift]
        pair = np.arange(place.size).reshape(*place.shape, 1)
        self.entry = (pair * num_states + self.reached).ravel()  # of [state, action, next_state], flat
        self.over = (0, 1) if pooled else (0,)

    def __call__(self, counts: Rows) -> Rows:
        size, each = counts.size, np.full(self.reached.shape[1:], 1.0)
        for _ in range(ROUNDS):
            told = self._told(counts, each)
            each = np.broadcast_to(told.sum(self.over), each.shape)
        told = self._told(counts, each)
        others = np.broadcast_to(told.sum(self.over), each.shape) - told
        return np.bincount(self.entry, others.ravel(), size).reshape(counts.shape)

    def _told(self, counts: Rows, each: Rows) -> Rows:
        """Steps [state, action, shift] of each displacement: those at an end are shared as `each` has it."""
        weight = np.broadcast_to(each, self.reached.shape)
        mass = np.bincount(self.entry, weight.ravel(), counts.size)
        seen = np.divide(counts.ravel(), mass, out=np.zeros(counts.size), where=mass > 0)
        return np.asarray(weight * seen[self.entry].reshape(self.reached.shape))
