"""Risk measures: what a posterior's many targets of a state-action pair are worth as one number.

* Mean: the average over draws. The target is linear in the kernel, so one averaged kernel serves the whole plan.
* Quantile at level alpha: the left quantile ``inf{x : F(x) >= alpha}`` of the N targets, which is their
  ``ceil(alpha N)``-th order statistic (NumPy's ``inverted_cdf``). Levels may differ by pair, and so may the number of
  draws a pair uses.

EC.23 of Song, Wang and Zhou, "Evolving Robustness-Exploration Trade-off" (2026), asks for more draws where the quantile
is harder to estimate::

    N(alpha) = ceil(scale * alpha (1 - alpha) / pdf(z)^2),    z the normal alpha-quantile.

CVaR, the mean of the targets below the quantile, is in :mod:`~bayesmdp.planning.cvar`, and the quantile of a Dirichlet
posterior without draws in :mod:`~bayesmdp.planning.dirichlet_quantile`.

A risk measure is a pytree with the three methods of :class:`Risk`. Its numbers are traced: another level is no new
compilation. To add one, write these methods in a file of its own. What it may offer beside them is in
:class:`Offered`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import Draws, expected_reward, target
from bayesmdp.problems.problem import Problem

__all__ = ["Mean", "Offered", "Risk", "backup", "offered"]


@runtime_checkable
class Risk(Protocol):
    """What a planner asks of a risk measure.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> all(hasattr(bm.Quantile(0.1), name) for name in ("prepare", "evaluate", "rows"))
    True
    """

    def prepare(self, draws: Draws) -> Draws:
        """Do once a plan what need not be done at each backup."""
        ...

    def evaluate(
        self, problem: Problem, draws: Draws, value: Float[Array, " state"], attained: Any = None
    ) -> tuple[Float[Array, "state action"], Any]:
        """Return the risk of each pair, and where it is attained.

        Parameters
        ----------
        draws : Draws
            Prepared or not.
        value : array [state]
        attained : pytree, optional
            That of an earlier backup of the same draws, as a hint.

        Returns
        -------
        q : array [state, action]
        attained : pytree
            Whatever `rows` needs.
        """
        ...

    def rows(
        self, draws: Draws, attained: Any, policy: Int[Array, " state"]
    ) -> tuple[Float[Array, "state outcome"], Float[Array, "state outcome_or_1"]]:
        """Return kernel and reward rows at which the risk of the chosen pairs is attained.

        Their target is `q` at the value of that backup and a supporting line elsewhere: what policy iteration solves.

        Returns
        -------
        transition : array [state, outcome]
        reward : array [state, outcome or 1]
        """
        ...


class Offered(NamedTuple):
    """What a risk measure may have beside the methods of `Risk`, each under this name, and what holds if it has not.

    Attributes
    ----------
    linear : bool
        Whether the rows at which it is attained are the same at every value, those of one policy in one MDP. Policy
        iteration then accepts each value that does not fall.
    error : callable
        ``error(attained)``: at least the error of `evaluate` [state, action] beyond rounding, which the solvers add to
        their bound.
    level, num_draws : number, array [state, action] or None
        `plan` refuses other shapes.
    """

    linear: bool = False
    error: Callable[[Any], Any] = lambda attained: 0
    level: Any = None
    num_draws: Any = None


def offered(risk: Risk) -> Offered:
    """Return what a risk measure has beside its three methods."""
    return Offered(**{name: getattr(risk, name) for name in Offered._fields if hasattr(risk, name)})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mean:
    """The posterior mean of the target.

    See Also
    --------
    bayesmdp.Quantile : at least so much with a given posterior probability.
    bayesmdp.CVaR : the mean of the worst part.

    Examples
    --------
    >>> print(Mean())
    mean
    """

    linear: ClassVar[bool] = True

    def value(self, targets: Float[Array, "draw state action"]) -> Float[Array, "state action"]:
        """Return the mean over the draws.

        Parameters
        ----------
        targets : array [draw, state, action]

        Returns
        -------
        array [state, action]
        """
        return jnp.mean(targets, axis=0)

    def prepare(self, draws: Draws) -> Draws:
        """Return one averaged kernel [1, state, action, outcome] and reward [1 or absent, state, action, 1]."""
        reward = expected_reward(draws.transition, draws.reward)
        if reward.ndim == 4:
            reward = jnp.mean(reward, axis=0)
        return Draws(jnp.mean(draws.transition, axis=0, keepdims=True), reward)

    def evaluate(
        self, problem: Problem, draws: Draws, value: Float[Array, " state"], attained: Any = None
    ) -> tuple[Float[Array, "state action"], Any]:
        """Return the average target of each pair; attained everywhere, so nothing is kept; see `Risk.evaluate`."""
        return jnp.mean(target(problem, draws.transition, draws.reward, value), axis=0), ()

    def rows(
        self, draws: Draws, attained: Any, policy: Int[Array, " state"]
    ) -> tuple[Float[Array, "state outcome"], Float[Array, "state outcome_or_1"]]:
        """Return averaged rows [state, outcome] of the chosen pairs; see `Risk.rows`."""
        transition, reward = self.prepare(draws)
        states = jnp.arange(policy.shape[0])
        return transition[0, states, policy], reward[states, policy]

    def __str__(self) -> str:
        return "mean"


def backup(problem: Problem, draws: Draws, value: Float[Array, " state"], risk: Risk) -> Float[Array, "state action"]:
    """Return the risk of each pair's target over the draws.

    Parameters
    ----------
    draws : Draws
    value : array [state]
    risk : Risk

    Returns
    -------
    q : array [state, action]

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> both = Draws(np.stack([river.transition, np.flip(river.transition, 0)]), river.reward)
    >>> backup(river.problem, both, np.arange(6.0), bm.planning.Quantile(0.5)).shape
    (6, 2)
    """
    return risk.evaluate(problem, draws, value)[0]
