"""Optimism about transitions: the best row of a confidence set, as a risk measure that planners take like any other.

Each pair's row is known to lie near its estimate; the target of the pair is the largest that a row p in its set gives,

    q(s, a) = r(s, a) + discount max_p sum_s' p(s') V(s').

*L1 balls*: ``sum_s' |p - estimate| <= radius``. Mass radius / 2 is moved to the best next state, taken from the worst
(Jaksch, Ortner and Auer, 2010, figure 2). *Boxes*: ``|p - estimate| <= radius`` for each next state. All start at their
lower ends, and what is missing to 1 goes to the best first (Dann and Brunskill, 2015). Iterating this operator is
extended value iteration; where it is attained is a kernel, so policy iteration works too.

States that no pair of the set is known to lead to count like any other: the sets are over all states, so the problem
must be dense (no successor table), and every state reachable under some kernel of the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import Draws, expected_reward, next_value
from bayesmdp.problems.problem import Problem

__all__ = ["Box", "L1Ball"]


class _Optimistic:
    """What the two have in common: draws are one estimate, and the row at which the target is attained is kept."""

    def best(
        self, estimate: Float[Array, "state action outcome"], order: Int[Array, "... outcome"]
    ) -> Float[Array, "state action outcome"]:
        """Return the rows of the set with the largest expected value.

        Parameters
        ----------
        estimate : array [state, action, next_state]
        order : int array [next_state]
            Next states, the best first.

        Returns
        -------
        array [state, action, next_state]
        """
        raise NotImplementedError

    def prepare(self, draws: Draws) -> Draws:
        """Return the draws as they are."""
        return draws

    def evaluate(
        self, problem: Problem, draws: Draws, value: Float[Array, " state"], attained: Any = None
    ) -> tuple[Float[Array, "state action"], Float[Array, "state action outcome"]]:
        """Return the largest target of each pair [state, action], and its row [state, action, next_state]."""
        future = next_value(problem, value)
        row = self.best(draws.transition[0], jnp.argsort(-future, stable=True))
        reward = expected_reward(draws.transition, draws.reward)[..., 0]
        reward = reward[0] if reward.ndim == 3 else reward
        return reward + problem.discount * (row @ future), row

    def rows(
        self, draws: Draws, attained: Float[Array, "state action outcome"], policy: Int[Array, " state"]
    ) -> tuple[Float[Array, "state outcome"], Float[Array, "state outcome_or_1"]]:
        """Return the best rows of the chosen pairs, and their rewards."""
        states = jnp.arange(policy.shape[0])
        reward = expected_reward(draws.transition, draws.reward)
        reward = reward[0] if reward.ndim == 4 else reward
        return attained[states, policy], reward[states, policy]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class L1Ball(_Optimistic):
    """Rows within `radius` [state, action] of the estimate in the L1 norm.

    Examples
    --------
    >>> import numpy as np
    >>> L1Ball(np.array([[0.4]])).best(np.array([[[0.5, 0.3, 0.2]]]), np.array([1, 0, 2])).round(3).tolist()
    [[[0.5, 0.5, 0.0]]]
    """

    radius: Array

    def best(
        self, estimate: Float[Array, "state action outcome"], order: Int[Array, "... outcome"]
    ) -> Float[Array, "state action outcome"]:
        """Move mass radius / 2 to the best next state, from the worst (Jaksch, Ortner and Auer, 2010, figure 2).

        Parameters
        ----------
        estimate : array [state, action, next_state]
        order : int array [next_state]
            Next states, the best first.

        Returns
        -------
        array [state, action, next_state]
        """
        ordered = jnp.asarray(estimate)[..., order]
        first = jnp.minimum(ordered[..., :1] + jnp.asarray(self.radius)[..., None] / 2, 1)
        # Each keeps what the better ones leave of 1.
        before = first + jnp.cumsum(ordered[..., 1:], -1) - ordered[..., 1:]
        rest = jnp.clip(1 - before, 0, ordered[..., 1:])
        return _unordered(jnp.concatenate([first, rest], -1), order)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Box(_Optimistic):
    """Rows within `radius` [state, action, next_state] of the estimate, each entry by itself.

    Examples
    --------
    >>> import numpy as np
    >>> Box(np.full((1, 1, 3), 0.1)).best(np.array([[[0.5, 0.3, 0.2]]]), np.array([1, 0, 2])).round(3).tolist()
    [[[0.5, 0.4, 0.1]]]
    """

    radius: Array

    def best(
        self, estimate: Float[Array, "state action outcome"], order: Int[Array, "... outcome"]
    ) -> Float[Array, "state action outcome"]:
        """Start at the lower ends and give what is missing to 1 to the best first (Dann and Brunskill, 2015).

        Parameters
        ----------
        estimate : array [state, action, next_state]
        order : int array [next_state]
            Next states, the best first.

        Returns
        -------
        array [state, action, next_state]
        """
        low = jnp.clip(estimate - self.radius, 0, 1)[..., order]
        room = jnp.clip(estimate + self.radius, 0, 1)[..., order] - low
        before = low.sum(-1, keepdims=True) + jnp.cumsum(room, -1) - room
        return _unordered(low + jnp.clip(1 - before, 0, room), order)


def _unordered(
    rows: Float[Array, "state action outcome"], order: Int[Array, "... outcome"]
) -> Float[Array, "state action outcome"]:
    return rows[..., jnp.argsort(order)]
