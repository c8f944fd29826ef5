"""CVaR, conditional value at risk: the mean of the worst targets, as many as the level says.

With N targets t of a pair, k-th smallest ``t_(k)``, and ``q = t_(ceil(level N))`` their left quantile::

    CVaR = q - mean(max(q - t, 0)) / level = max over x of  x - mean(max(x - t, 0)) / level,

exact for any N: a target that lies on the border of the tail counts in part. It is a mean of the targets with weights
``1 / (level N)`` below q and the rest of 1 shared by those equal to q. Rockafellar and Uryasev (2000), for the lower
tail. It is monotone and moves with constants, so the operator of planning contracts. It is at most the quantile, so a
plan for CVaR promises no more than one for the quantile of the same level.

The sum of the N shortfalls ``q - t`` may be off by N roundings of itself, which the solvers' bound is told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import Draws, expected_reward, once, target
from bayesmdp.planning.quantile import OrderRisk, attaining_draw
from bayesmdp.problems.problem import Problem

__all__ = ["CVaR", "Tail"]

BELOW, BORDER = 2, 1


class Tail(NamedTuple):
    """Where a CVaR is attained.

    Attributes
    ----------
    draw : int32 array [state, action]
        The draw at the border of the tail.
    side : int8 array [draw, state, action]
        `BELOW` the border, at the `BORDER`, or 0.
    error : array [state, action]
        At least the rounding error of the sum of shortfalls, divided by the size of the tail.
    """

    draw: Int[Array, "state action"]
    side: Int[Array, "draw state action"]
    error: Float[Array, "state action"]


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class CVaR(OrderRisk):
    """The mean of the lower tail of the posterior targets.

    Parameters
    ----------
    level : float or array [state, action]
        Share of the draws in the tail: above 0 and at most 1, which is the mean. May be a traced array, which is then
        not checked.
    num_draws : int or int array [state, action], optional
        How many of the draws a pair uses, the first ones; more than there are means all, as does None.

    Raises
    ------
    ValueError, TypeError
        For a level outside (0, 1], a number of draws below 1, or another shape.

    See Also
    --------
    bayesmdp.Quantile : at least so much with a given posterior probability.
    bayesmdp.Mean : what is earned on average.

    Examples
    --------
    >>> print(CVaR(0.1))
    cvar:0.1
    >>> import numpy as np
    >>> float(CVaR(0.5).value(np.array([3.0, 1.0, 5.0, 8.0])[:, None, None])[0, 0])
    2.0
    """

    name = "cvar"
    whole = True

    def value(self, targets: Float[Array, "draw state action"]) -> Float[Array, "state action"]:
        """Return the CVaR over the draws.

        Parameters
        ----------
        targets : array [draw, state, action]

        Returns
        -------
        array [state, action]
        """
        targets = jnp.asarray(targets)
        return self._mean_below(targets, self.select(targets))

    def evaluate(
        self, problem: Problem, draws: Draws, value: Float[Array, " state"], attained: Tail | None = None
    ) -> tuple[Float[Array, "state action"], Tail]:
        """Return the CVaR of each pair, and the side of its quantile that each draw is on; see `Risk.evaluate`."""
        # The border of the tail is one of the targets, and which side a target is on is found by comparing them.
        targets = once(target(problem, draws.transition, draws.reward, value))
        q = self.select(targets, None if attained is None else attained.draw)
        mean = self._mean_below(targets, q)
        # One byte a target, where weights would take eight.
        side = (targets < q).astype(jnp.int8) + (targets <= q).astype(jnp.int8)
        spare = self.spare(len(targets))
        if spare is not None:
            side = jnp.where(spare, 0, side).astype(jnp.int8)
        error = np.finfo(targets.dtype).eps * self.used(len(targets)) * (q - mean)
        return mean, Tail(attaining_draw(targets, q), side, error)

    def error(self, attained: Tail) -> Float[Array, "state action"]:
        """Return the rounding error of the sums over the tails [state, action]."""
        return attained.error

    def rows(
        self, draws: Draws, attained: Tail, policy: Int[Array, " state"]
    ) -> tuple[Float[Array, "state outcome"], Float[Array, "state outcome_or_1"]]:
        """Return tail means of the chosen pairs' rows [state, outcome] and rewards [state, 1]; see `Risk.rows`."""
        total, states = attained.side.shape[0], jnp.arange(policy.shape[0])
        side = attained.side[:, states, policy]
        size = jnp.broadcast_to(self.level * self.used(total), attained.draw.shape)[states, policy]
        rest = 1 - jnp.sum(side == BELOW, axis=0) / size
        shared = rest / jnp.sum(side == BORDER, axis=0)
        weight = jnp.where(side == BELOW, 1 / size, jnp.where(side == BORDER, shared, 0))
        chosen, reward = draws.transition[:, states, policy], jnp.asarray(draws.reward)
        transition = jnp.einsum("ds,dso->so", weight, chosen)
        if reward.ndim == 3:
            return transition, reward[states, policy]
        rewards = expected_reward(chosen, reward[:, states, policy])[..., 0]
        return transition, jnp.sum(weight * rewards, axis=0)[:, None]

    def _mean_below(
        self, targets: Float[Array, "draw state action"], q: Float[Array, "state action"]
    ) -> Float[Array, "state action"]:
        """Return q less the mean shortfall, the first form of the module's formula."""
        shortfall = jnp.maximum(q - targets, 0)
        spare = self.spare(len(targets))
        if spare is not None:
            shortfall = jnp.where(spare, 0, shortfall)
        return q - jnp.sum(shortfall, axis=0) / (self.level * self.used(len(targets)))
