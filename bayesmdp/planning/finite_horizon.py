"""Planning a fixed number of steps, backwards.

In an MDP with stages (:mod:`bayesmdp.problems.stages`) the value of a state is that of the rest of the episode, as seen
from its stage: rewards of the next one count the discount, 1 where there is none. Each application of the operator
makes the values of one stage more exact, the last stage's first, so as many as there are stages give V*; for a risk
measure that is taken at each step, likewise (its nested value).

Where states do not know their stage, and H steps count from wherever they begin, values, policies and q have an axis of
stages h = 0, ..., H - 1 before that of states: ``V_h = max_a risk over draws of (r + discount p V_{h+1})``, from no
value after the last. The draws are the same at every stage, and are kept once. Of actions that are equally good, the
policy takes that of the stage before if it is one of them, and else the first: so it changes only where that pays,
which is our choice.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import Draws, expected_reward, greedy, target
from bayesmdp.planning.risk import Mean, Risk, offered
from bayesmdp.planning.solvers import Plan, unknown
from bayesmdp.problems.problem import Problem

__all__ = ["backward_induction", "episode_value", "horizon_plan", "horizon_value"]

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


def horizon_plan(problem: Problem, draws: Draws, risk: Risk, horizon: int) -> Plan:
    """The best policy for the next `horizon` steps, by stage.

    Parameters
    ----------
    problem : Problem
        Without stages.
    draws : Draws
        transition [draw, state, action, outcome], reward [..., state, action, outcome or 1].
    risk : Risk
    horizon : int, at least 1

    Returns
    -------
    Plan
        Its ``value`` and ``policy`` are [stage, state] and its ``q`` is [stage, state, action]; its ``residual`` is 0,
        and its ``bound`` that of rounding and of the risk measure's own error.

    Examples
    --------
    >>> import jax, bayesmdp as bm
    >>> river = bm.environments.riverswim(6).replace(discount=None, horizon=20)
    >>> with jax.enable_x64(True):
    ...     plan = horizon_plan(river.problem, Draws(river.transition[None], river.reward), MEAN, 20)
    >>> round(float(plan.value[0, 0]), 4), [river.actions[a] for a in plan.policy[[0, 14], 0]]
    (3.3973, ['right', 'left'])
    """
    problem = jax.tree.map(jnp.asarray, problem)
    prepared = risk.prepare(Draws(jnp.asarray(draws.transition), jnp.asarray(draws.reward)))

    def earlier(
        carry: tuple[Float[Array, " state"], Any, Float[Array, ""]], _: None
    ) -> tuple[tuple[Float[Array, " state"], Any, Float[Array, ""]], Float[Array, "state action"]]:
        value, attained, error = carry
        q, attained = risk.evaluate(problem, prepared, value, attained)
        own = jnp.max(jnp.where(problem.available, offered(risk).error(attained), 0))
        return (greedy(problem, q)[1], attained, error + own), q

    shapes = jax.eval_shape(lambda: risk.evaluate(problem, prepared, jnp.zeros(problem.num_states), None))
    ended = jnp.zeros(problem.num_states, shapes[0].dtype)
    start = ended, unknown(shapes[1]), jnp.zeros((), ended.dtype)
    (_, _, error), q = lax.scan(earlier, start, length=horizon, reverse=True)
    value = greedy(problem, q)[1]
    # What is elsewhere is found from a sum over all states.
    terms = problem.num_outcomes + (0 if problem.elsewhere is None else problem.num_states)
    largest = jnp.maximum(jnp.max(jnp.abs(draws.reward), where=problem.available[..., None], initial=0), 1)
    rounding = horizon * 4 * np.finfo(prepared.transition.dtype).eps * terms * (jnp.max(jnp.abs(value)) + largest)
    return Plan(
        value=value,
        q=q,
        policy=_changed_where_it_pays(problem, q),
        residual=jnp.zeros(()),
        bound=rounding + error,
        iterations=jnp.asarray(horizon, jnp.int32),
        converged=jnp.ones((), bool),
    )


def _changed_where_it_pays(problem: Problem, q: Float[Array, "stage state action"]) -> Int[Array, "stage state"]:
    """The best actions by stage: that of the stage before where it is one of them, and else the first."""
    first, best = greedy(problem, q)

    def keep(
        before: Int[Array, " state"], now: tuple[Float[Array, "state action"], Any, Any]
    ) -> tuple[Int[Array, " state"], Int[Array, " state"]]:
        q, first, best = now
        as_good = jnp.take_along_axis(q, before[:, None], axis=-1)[:, 0] == best
        chosen = jnp.where(as_good, before, first)
        return chosen, chosen

    return lax.scan(keep, first[0], (q, first, best))[1]


def horizon_value(
    problem: Problem,
    transition: Float[Array, "state action outcome"],
    reward: Float[Array, "state action outcome_or_1"],
    policy: Num[Array, "stage state ..."],
) -> Float[Array, "stage state"]:
    """Return what a policy by stage earns from each stage and state on [stage, state].

    Parameters
    ----------
    problem : Problem
        Without stages.
    transition : array [state, action, outcome]
    reward : array [state, action, outcome or 1]
    policy : int array [stage, state], or probabilities [stage, state, action]

    Examples
    --------
    >>> import jax, numpy as np, bayesmdp as bm
    >>> river = bm.environments.riverswim(6).replace(discount=None, horizon=20)
    >>> with jax.enable_x64(True):
    ...     value = horizon_value(river.problem, river.transition, river.reward, np.zeros((20, 6), int))
    >>> value[[0, 19], 0].round(6).tolist()
    [0.1, 0.005]
    """
    problem = jax.tree.map(jnp.asarray, problem)
    transition = jnp.asarray(transition)
    # It is the same at every stage.
    reward = expected_reward(transition, reward)

    def earlier(
        value: Float[Array, " state"], chosen: Num[Array, "state ..."]
    ) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        q = target(problem, transition, reward, value)
        if chosen.ndim == 1:
            value = jnp.take_along_axis(q, chosen[:, None], axis=-1)[:, 0]
        else:
            value = jnp.sum(jnp.where(chosen > 0, chosen * q, 0), axis=-1)
        return value, value

    return lax.scan(earlier, jnp.zeros(problem.num_states), jnp.asarray(policy), reverse=True)[1]
