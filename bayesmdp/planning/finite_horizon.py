"""Planning an episode of a fixed number of steps, backwards.

In an MDP with stages (:mod:`bayesmdp.problems.stages`) the value of a state is that of the rest of the episode, as seen
from its stage: rewards of the next one count the discount, 1 where there is none. Each application of the operator
makes the values of one stage more exact, the last stage's first, so as many as there are stages give V*; for a risk
measure that is taken at each step, likewise (its nested value).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import Draws, greedy, target
from bayesmdp.planning.risk import Mean, Risk
from bayesmdp.planning.solvers import Plan
from bayesmdp.problems.problem import Problem

__all__ = ["backward_induction", "episode_value"]

MEAN = Mean()


def backward_induction(problem: Problem, draws: Draws, risk: Risk = MEAN) -> Plan:
    """The best policy of an episode, from each state at its stage.

    Parameters
    ----------
    problem : Problem
        With stages.
    draws : Draws
        transition [draw, state, action, outcome], reward [..., state, action, outcome or 1].
    risk : Risk, default `Mean()`

    Returns
    -------
    Plan
        Its ``residual`` is 0 and its ``bound`` that of rounding.

    Examples
    --------
    >>> import jax, bayesmdp as bm
    >>> short = bm.unroll(bm.environments.riverswim(6, discount=None), 20)
    >>> with jax.enable_x64(True):
    ...     plan = backward_induction(short.problem, Draws(short.transition[None], short.reward))
    >>> round(float(plan.value[0]), 4), int(plan.iterations)
    (3.3973, 20)
    """
    prepared = risk.prepare(Draws(jnp.asarray(draws.transition), jnp.asarray(draws.reward)))

    def earlier(
        _: Array, carry: tuple[Float[Array, " state"], Any, Float[Array, "state action"]]
    ) -> tuple[Float[Array, " state"], Any, Float[Array, "state action"]]:
        value, attained, _ = carry
        q, attained = risk.evaluate(problem, prepared, value, attained)
        return greedy(problem, q)[1], attained, q

    q, attained = risk.evaluate(problem, prepared, jnp.zeros(problem.num_states), None)
    value, _, q = lax.fori_loop(1, problem.horizon, earlier, (greedy(problem, q)[1], attained, q))
    unit = 4 * np.finfo(prepared.transition.dtype).eps * problem.num_outcomes
    largest = jnp.maximum(jnp.max(jnp.abs(draws.reward), where=problem.available[..., None], initial=0), 1)
    bound = problem.horizon * unit * (jnp.max(jnp.abs(value)) + largest)
    return Plan(
        value=value,
        q=q,
        policy=greedy(problem, q)[0],
        residual=jnp.zeros(()),
        bound=bound,
        iterations=jnp.asarray(problem.horizon, jnp.int32),
        converged=jnp.ones((), bool),
    )


def episode_value(
    problem: Problem,
    transition: Float[Array, "state action outcome"],
    reward: Float[Array, "state action outcome_or_1"],
    policy: Num[Array, "state ..."],
) -> Float[Array, " state"]:
    """Return what a policy earns in the rest of an episode [state].

    Parameters
    ----------
    transition : array [state, action, outcome]
    reward : array [state, action, outcome or 1]
    policy : int array [state], or probabilities [state, action]

    Examples
    --------
    >>> import jax, numpy as np, bayesmdp as bm
    >>> short = bm.unroll(bm.environments.riverswim(6, discount=None), 20)
    >>> with jax.enable_x64(True):
    ...     value = episode_value(short.problem, short.transition, short.reward, np.zeros(short.num_states, int))
    >>> round(float(value[0]), 6)
    0.1
    """
    if jnp.ndim(policy) == 1:
        policy = jnp.arange(problem.num_actions) == jnp.asarray(policy)[:, None]

    def earlier(_: Array, value: Float[Array, " state"]) -> Float[Array, " state"]:
        return jnp.sum(jnp.where(policy > 0, policy * target(problem, transition, reward, value), 0), axis=-1)

    return lax.fori_loop(0, problem.horizon, earlier, jnp.zeros(problem.num_states))
