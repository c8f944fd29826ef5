"""Optimism about transitions: the best row of a confidence set, as a risk measure that planners take like any other.

Each pair's row is known to lie near its estimate; the target of the pair is the largest that a row p in its set gives,

    q(s, a) = r(s, a) + discount max_p sum_s' p(s') V(s').

*L1 balls*: ``sum_s' |p - estimate| <= radius``. Mass radius / 2 is moved to the best next state, taken from the worst
(Jaksch, Ortner and Auer, 2010, figure 2). *Boxes*: ``|p - estimate| <= radius`` for each next state. All start at their
lower ends, and what is missing to 1 goes to the best first (Dann and Brunskill, 2015). *KL balls*:
``sum_s' estimate log(estimate / p) <= radius``; the best row is proportional to estimate / (nu - V) on what was seen
(Filippi, Cappe and Garivier, 2010, algorithm 2). Iterating this operator is extended value iteration; where it is
attained is a kernel, so policy iteration works too.

States that no pair of the set is known to lead to count like any other: the sets are over all states, so the problem
must be dense (no successor table), and every state reachable under some kernel of the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import Draws, expected_reward, next_value
from bayesmdp.problems.problem import Problem

__all__ = ["Box", "KLBall", "L1Ball"]

HALVINGS = 60
"""Of the interval in which log(nu - max V) lies."""
NEAREST = 1e-12
"""To the largest value on the support that nu may be, as a share of the range of values."""


class _Optimistic:
    """What sets have in common: draws are one estimate, and the row at which the target is attained is kept."""

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

    def best_for(
        self, estimate: Float[Array, "state action outcome"], future: Float[Array, " outcome"]
    ) -> Float[Array, "state action outcome"]:
        """Return the rows of the set with the largest expected value.

        Parameters
        ----------
        estimate : array [state, action, next_state]
        future : array [next_state]
            What each next state is worth; sets for which more than the order matters have this of their own.

        Returns
        -------
        array [state, action, next_state]
        """
        return self.best(estimate, jnp.argsort(-future, stable=True))

    def prepare(self, draws: Draws) -> Draws:
        """Return the draws as they are."""
        return draws

    def evaluate(
        self, problem: Problem, draws: Draws, value: Float[Array, " state"], attained: Any = None
    ) -> tuple[Float[Array, "state action"], Float[Array, "state action outcome"]]:
        """Return the largest target of each pair [state, action], and its row [state, action, next_state]."""
        future = next_value(problem, value)
        row = self.best_for(draws.transition[0], future)
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

    See Also
    --------
    bayesmdp.planning.Box : entry by entry.
    bayesmdp.planning.KLBall : by divergence.

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

    See Also
    --------
    bayesmdp.planning.L1Ball : all entries together.
    bayesmdp.planning.KLBall : by divergence.

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


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class KLBall(_Optimistic):
    """Rows p with KL(estimate, p) at most `radius` [state, action].

    See Also
    --------
    bayesmdp.planning.L1Ball : by total variation.
    bayesmdp.planning.Box : entry by entry.

    Examples
    --------
    >>> import numpy as np
    >>> ball = KLBall(np.array([[0.05]]))
    >>> ball.best_for(np.array([[[0.5, 0.5, 0.0]]]), np.array([0.0, 1.0, 0.0])).round(3).tolist()
    [[[0.346, 0.654, 0.0]]]
    """

    radius: Array

    def best_for(
        self, estimate: Float[Array, "state action outcome"], future: Float[Array, " outcome"]
    ) -> Float[Array, "state action outcome"]:
        """Solve f(nu) = radius by halving (Filippi, Cappe and Garivier, 2010, algorithm 2).

        With ``f(nu) = sum p log(nu - V) + log(sum p / (nu - V))`` over the support of the estimate p, the best row is
        ``(1 - r) p / (nu - V)``, scaled to sum to 1 - r, and r on the best next state outside of the support: there
        ``nu = V`` of that state and ``r = 1 - exp(f(nu) - radius)`` if f(nu) < radius, and otherwise r = 0.

        Parameters
        ----------
        estimate : array [state, action, next_state]
        future : array [next_state]

        Returns
        -------
        array [state, action, next_state]
        """
        share, radius = jnp.asarray(estimate), jnp.asarray(self.radius)
        smallest = np.finfo(share.dtype).tiny
        seen = share > 0
        top = jnp.max(jnp.where(seen, future, -jnp.inf), -1)
        # Distances from the best of the support, in units of the range of all values.
        width = jnp.maximum(jnp.max(future) - jnp.min(future), smallest)
        below = jnp.where(seen, (top[..., None] - future) / width, 0)

        def rows(above: Float[Array, "state action"]) -> Float[Array, "state action outcome"]:
            return jnp.where(seen, share / (above[..., None] + below), 0)

        def excess(above: Float[Array, "state action"]) -> Float[Array, "state action"]:
            logs = jnp.where(seen, share * jnp.log(above[..., None] + below), 0)
            return logs.sum(-1) + jnp.log(rows(above).sum(-1)) - radius

        # f falls from infinity to 0, and is at most 1 / (4 above^2) where values differ by at most 1.
        low = jnp.full(radius.shape, jnp.log(NEAREST))
        high = jnp.maximum(-jnp.log(2 * jnp.sqrt(jnp.maximum(radius, smallest))), low)

        def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = (ends[0] + ends[1]) / 2
            too_near = excess(jnp.exp(middle)) > 0
            return jnp.where(too_near, middle, ends[0]), jnp.where(too_near, ends[1], middle)

        above = jnp.exp(lax.fori_loop(0, HALVINGS, halve, (low, high))[1])
        # A state outside of the support that is better than all in it may take what is left.
        best = jnp.argmax(future)
        apart = (future[best] - top) / width
        outside = ~seen[..., best] & (apart > NEAREST)
        apart = jnp.where(outside, apart, 1)
        missing = jnp.where(outside, jnp.maximum(-jnp.expm1(excess(apart)), 0), 0)
        row = rows(jnp.where(missing > 0, apart, above))
        row = row * ((1 - missing) / row.sum(-1))[..., None]
        return jnp.where(radius[..., None] > 0, row.at[..., best].add(missing), share)


def _unordered(
    rows: Float[Array, "state action outcome"], order: Int[Array, "... outcome"]
) -> Float[Array, "state action outcome"]:
    return rows[..., jnp.argsort(order)]
