"""Values under each draw of a kernel and a reward, compiled once for all numbers: a draw at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.finite_horizon import backward_induction, episode_value, horizon_plan, horizon_value
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.policy_values import policy_evaluation
from bayesmdp.planning.risk import Mean
from bayesmdp.planning.solvers import policy_iteration
from bayesmdp.problems.problem import Problem

__all__ = ["best_values", "values_of_each", "values_under"]


@partial(jax.jit, static_argnames="by_stage")
def values_under(
    problem: Problem, draws: Draws, policy: Num[Array, "*stage state ..."], *, by_stage: bool = False
) -> Float[Array, "draw *stage state"]:
    """Return values [draw, (stage,) state], a draw at a time, so that memory does not grow with their number."""
    evaluated = horizon_value if by_stage else _evaluation(problem)
    return _over_draws(draws, lambda p, r: evaluated(problem, p, r, policy))


@partial(jax.jit, static_argnames="horizon")
def values_of_each(
    problem: Problem, draws: Draws, policies: Float[Array, "draw state action"], *, horizon: int | None = None
) -> Float[Array, "draw *stage state"]:
    """Return values [draw, (stage,) state] of a policy for each draw, the same at all stages."""

    def evaluated(transition: Array, reward: Array, policy: Array) -> Array:
        if horizon is not None:
            return horizon_value(problem, transition, reward, jnp.broadcast_to(policy, (horizon, *policy.shape)))
        return _evaluation(problem)(problem, transition, reward, policy)

    return _over_draws(draws, evaluated, policies)


def _evaluation(problem: Problem) -> Any:
    """How one policy for all steps is evaluated."""
    return policy_evaluation if problem.stage is None else episode_value


@partial(jax.jit, static_argnames="horizon")
def best_values(problem: Problem, draws: Draws, *, horizon: int | None) -> Float[Array, "draw *stage state"]:
    """Return the value of the best policy under each draw [draw, (stage,) state]."""

    def solved(transition: Array, reward: Array) -> Array:
        kernel = Draws(transition[None], reward)
        if problem.stage is not None:
            return backward_induction(problem, kernel).value
        if horizon is not None:
            return horizon_plan(problem, kernel, Mean(), horizon).value
        return policy_iteration(problem, kernel, Mean()).value

    return _over_draws(draws, solved)


def _over_draws(draws: Draws, function: Any, *each: Array) -> Float[Array, "draw *stage state"]:
    """Apply a function of one kernel and reward, and of what else there is for each draw, to each draw in turn."""
    if draws.reward.ndim == 3:
        return lax.map(lambda own: function(own[0], draws.reward, *own[1:]), (draws.transition, *each))
    return lax.map(lambda own: function(*own), (draws.transition, draws.reward, *each))
