"""What agents that follow one plan for a period share: choose what to plan for, plan, follow the plan.

An algorithm of this family is two functions. ``prepare(key, belief_state, period) -> Decision`` says at the start of a
period what to plan for: kernels and rewards (drawn, mean or empirical, perhaps with a bonus) and a risk measure.
``ends(uniform, step, age, visits, before) -> bool`` says when the period is over, as do those of
:mod:`~bayesmdp.agents.families.periods`. The rest is here: plans are for discounted value, or for the average reward
where the problem has no discount.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Bool, Float, Int, Key

from bayesmdp.agents.agent import Options, Rules
from bayesmdp.agents.families.periods import Ends, every
from bayesmdp.foundation.arrays import Array
from bayesmdp.planning import (
    Draws,
    GainPlan,
    Mean,
    Plan,
    Quantile,
    Risk,
    average_policy_iteration,
    backward_induction,
    believed_draws,
    policy_iteration,
)
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = [
    "Decision",
    "PlannerState",
    "live_mean",
    "planning_rules",
    "quantile_rules",
    "sampling_rules",
]

MAX_ITERATIONS = 1_000
"""Most iterations of a plan for the average reward; a kernel whose states hardly reach each other may need more.

Plans that did not converge are reported as ``failures``.
"""


class Decision(NamedTuple):
    """What to plan for.

    Attributes
    ----------
    belief : pytree
        The belief's state, changed by drawing from it.
    draws : Draws
        Kernels and rewards.
    risk : Risk
    account : dict of arrays
        To report at each step: scalars, or [state, action], read off at the step's pair.
    problem : Problem, optional
        Where it is not the agent's own: with copies of the actions one after the other, of which the policy is taken
        modulo the number of actions.
    tolerance : float, optional
        How good the plan for an average reward has to be; as good as rounding permits by default.
    """

    belief: Any
    draws: Draws
    risk: Risk
    account: dict[str, Float[Array, " ..."]]
    problem: Problem | None = None
    tolerance: Float[Array, ""] | None = None


class PlannerState(NamedTuple):
    """State of an agent that follows one plan for a period.

    Attributes
    ----------
    belief : pytree
        The belief's own state.
    period : int
        Periods begun so far.
    age : int
        Steps taken in this one.
    before : array [state, action]
        Visits when it began.
    value, policy : arrays [state]
        The current plan; `value` also warm-starts the next one.
    account : dict of arrays
        The current `Decision`'s.
    solves, failures : float
        Steps of policy iteration so far, each at most one linear solve, and plans so far that did not converge.
    bound : float
        The largest error bound of a plan so far.
    """

    belief: Any
    period: Float[Array, ""]
    age: Int[Array, ""]
    before: Float[Array, "state action"]
    value: Float[Array, " state"]
    policy: Int[Array, " state"]
    account: dict[str, Float[Array, " ..."]]
    solves: Float[Array, ""]
    failures: Float[Array, ""]
    bound: Float[Array, ""]


def live_mean(bonus: Float[Array, "state action"], problem: Problem) -> dict[str, Float[Array, " ..."]]:
    """Return what agents with a bonus report.

    Parameters
    ----------
    bonus : array [state, action]
    problem : Problem

    Returns
    -------
    dict
        ``bonus``, and ``mean_bonus``, its mean over the pairs that can be taken.
    """
    live = problem.available & (problem.continuation > 0)[:, None]
    return {"bonus": bonus, "mean_bonus": jnp.mean(bonus, where=live)}


def planning_rules(
    belief: Belief,
    problem: Problem,
    prepare: Callable[[Array, Any, Array], Decision],
    ends: Ends,
) -> Rules:
    """Return the rules of an agent that plans anew for each period, and follows the plan until it ends.

    Parameters
    ----------
    belief : Belief
    problem : Problem
    prepare : callable
        ``prepare(key, belief_state, period) -> Decision``: what to plan for.
    ends : callable
        ``ends(uniform, step, age, visits, before) -> bool``.

    Returns
    -------
    Rules
        They report ``period``, ``solves``, ``failures`` and ``bound`` (see `PlannerState`), the decision's account, and
        what the belief reports.
    """

    def init(key: Key[Array, ""]) -> PlannerState:
        believed = belief.init(key)
        account = jax.eval_shape(lambda: prepare(random.key(0), believed, jnp.zeros(())).account)
        return PlannerState(
            belief=believed,
            period=jnp.zeros(()),
            age=jnp.zeros((), jnp.int32),
            before=jnp.zeros(problem.available.shape),
            value=jnp.zeros(problem.num_states),
            policy=jnp.zeros(problem.num_states, jnp.int32),
            account={name: jnp.full(leaf.shape, jnp.nan, leaf.dtype) for name, leaf in account.items()},
            solves=jnp.zeros(()),
            failures=jnp.zeros(()),
            bound=jnp.zeros(()),
        )

    def begin(key: Key[Array, ""], state: PlannerState) -> PlannerState:
        period = state.period + 1
        decision = prepare(key, state.belief, period)
        plan = _plan(decision.problem or problem, decision, state.value)
        return PlannerState(
            belief=decision.belief,
            period=period,
            age=jnp.zeros((), jnp.int32),
            before=belief.visits(state.belief),
            value=plan.value,
            policy=plan.policy if decision.problem is None else plan.policy % problem.num_actions,
            account=decision.account,
            solves=state.solves + plan.iterations - 1,
            failures=state.failures + ~plan.converged,
            bound=jnp.maximum(state.bound, plan.bound),
        )

    def act(key: Key[Array, ""], state: PlannerState, s: Int[Array, ""]) -> Int[Array, ""]:
        del key
        return state.policy[s]

    def observe(key: Key[Array, ""], state: PlannerState, step: Step) -> PlannerState:
        return state._replace(belief=belief.observe(key, state.belief, step), age=state.age + 1)

    def over(uniform: Float[Array, ""], state: PlannerState, step: Step) -> Bool[Array, ""]:
        s, a = step.state, step.action
        return ends(uniform, step, state.age, belief.visits(state.belief)[s, a], state.before[s, a])

    def report(state: PlannerState, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        account = {name: values[s, a] if values.ndim else values for name, values in state.account.items()}
        counts = {name: getattr(state, name) for name in ("period", "solves", "failures", "bound")}
        return account | counts | belief.report(state.belief)

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=over,
        policy=lambda state: state.policy,
        report=report,
        belief=lambda state: state.belief,
    )


def _plan(problem: Problem, decision: Decision, value: Float[Array, " state"]) -> Plan | GainPlan:
    """Plan by backward induction, for discounted value or for the average reward, as the problem is judged."""
    if problem.stage is not None:
        return backward_induction(problem, decision.draws, decision.risk)
    if problem.discount is not None:
        return policy_iteration(problem, decision.draws, decision.risk, value=value)
    tolerance = 1e-10 if decision.tolerance is None else decision.tolerance
    return average_policy_iteration(
        problem, decision.draws, decision.risk, tolerance=tolerance, max_iterations=MAX_ITERATIONS, value=value
    )


def quantile_rules(
    belief: Belief, problem: Problem, options: Options, risk: Callable[[Array, Array, Options], Quantile]
) -> Rules:
    """Return the rules of an agent that plans for a quantile of posterior draws in each period.

    A period is a pseudo-episode, or without a discount it ends when visits have doubled.

    Parameters
    ----------
    belief : Belief
    problem : Problem
    options : mapping
    risk : callable
        ``risk(period, visits, options) -> Quantile``, from the number of the period and visits [state, action].

    Returns
    -------
    Rules
        They report the ``level`` planned at, and ``short``: the share of pairs whose budget of draws exceeds what there
        is.
    """

    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        believed, sites = belief.draw(key, state)
        draws = believed_draws(sites, problem)
        measure = risk(period, belief.visits(believed), options)
        account = {
            "level": jnp.broadcast_to(measure.level, problem.available.shape),
            "short": jnp.mean(jnp.asarray(measure.num_draws) > draws.transition.shape[0], dtype=float),
        }
        return Decision(believed, draws, measure, account)

    return planning_rules(belief, problem, prepare, every({}, problem))


def sampling_rules(belief: Belief, problem: Problem, ends: Ends) -> Rules:
    """Return the rules of an agent that plans for what it draws: posterior sampling.

    Parameters
    ----------
    belief : Belief
    problem : Problem
    ends : callable
        When a period is over.

    Returns
    -------
    Rules
    """

    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        believed, sites = belief.draw(key, state)
        return Decision(believed, believed_draws(sites, problem), Mean(), {})

    return planning_rules(belief, problem, prepare, ends)
