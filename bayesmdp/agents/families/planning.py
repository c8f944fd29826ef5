"""What agents that follow one plan for a period share: choose what to plan for, plan, follow the plan.

An algorithm of this family is two functions. ``prepare(key, belief_state, period) -> Decision`` says at the start of a
period what to plan for: kernels and rewards (drawn, mean or empirical, perhaps with a bonus) and a risk measure.
``ends(uniform, step, age, visits, before) -> bool`` says when the period is over; :func:`pseudo_episode`,
:func:`every`, :func:`first_reaches` and :func:`doubling` are those there are. The rest is here: plans are for
discounted value, or for the average reward where the problem has no discount.

Pseudo-episodes are those of Xu et al. (2024), as used by Song, Wang and Zhou (2026), section 3.2: after each step a new
one begins with probability 1 - discount, independently of the trajectory. Lengths are Geometric, so the expected sum of
rewards over a pseudo-episode is the discounted value, and T steps hold 1 + (1 - discount)(T - 1) of them in
expectation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random

from bayesmdp.agents.agent import Options, Rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
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
    "doubling",
    "episode_option",
    "every",
    "first_reaches",
    "live_mean",
    "planning_rules",
    "pseudo_episode",
    "pseudo_episode_rules",
    "sampling_rules",
]

type Ends = Callable[[Array, Step, Array, Array, Array], Array]
"""``ends(uniform, step, age, visits, before)``.

A uniform number, the step, steps in the period, and visits of the step's pair, now and when the period began.
"""

MAX_ITERATIONS = 1_000
"""Of a plan for the average reward, which a kernel that hardly hangs together has none of. Failures are counted."""


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
    account: dict[str, Array]
    problem: Problem | None = None
    tolerance: Array | None = None


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
    period: Array
    age: Array
    before: Array
    value: Array
    policy: Array
    account: dict[str, Array]
    solves: Array
    failures: Array
    bound: Array


def pseudo_episode(problem: Problem) -> Ends:
    """A period ends after each step with probability 1 - discount."""
    return lambda uniform, step, age, visits, before: uniform >= problem.discount


def every(options: Options, problem: Problem) -> Ends:
    """A period has as many steps as the option ``episode`` says; without it the problem's kind tells its length."""
    if "episode" in options:
        return lambda uniform, step, age, visits, before: age >= options["episode"]
    if problem.stage is not None:
        return lambda uniform, step, age, visits, before: step.last
    return doubling() if problem.discount is None else pseudo_episode(problem)


def first_reaches(times: Array) -> Ends:
    """A period ends when a pair has just been tried so many times."""
    return lambda uniform, step, age, visits, before: visits == times


def doubling() -> Ends:
    """A period ends when a pair has been tried as often in it as in all before, and once. Jaksch et al. (2010)."""
    return lambda uniform, step, age, visits, before: visits >= 2 * jnp.maximum(before, 0.5)


def episode_option(episode: int | None) -> dict[str, int]:
    """The option ``episode`` of agents, checked; none for pseudo-episodes."""
    return {} if episode is None else {"episode": integer("episode", episode, 1)}


def live_mean(bonus: Array, problem: Problem) -> dict[str, Array]:
    """What agents with a bonus report: that of the pair, and its mean over the pairs that can be taken."""
    live = problem.available & (problem.continuation > 0)[:, None]
    return {"bonus": bonus, "mean_bonus": jnp.mean(bonus, where=live)}


def planning_rules(
    belief: Belief,
    problem: Problem,
    prepare: Callable[[Array, Any, Array], Decision],
    ends: Ends,
) -> Rules:
    """Rules of an agent that plans for ``prepare(key, belief_state, period)`` whenever a period ``ends``."""

    def init(key: Array) -> PlannerState:
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

    def begin(key: Array, state: PlannerState) -> PlannerState:
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

    def act(key: Array, state: PlannerState, s: Array) -> Array:
        del key
        return state.policy[s]

    def observe(key: Array, state: PlannerState, step: Step) -> PlannerState:
        return state._replace(belief=belief.observe(key, state.belief, step), age=state.age + 1)

    def over(uniform: Array, state: PlannerState, step: Step) -> Array:
        s, a = step.state, step.action
        return ends(uniform, step, state.age, belief.visits(state.belief)[s, a], state.before[s, a])

    def report(state: PlannerState, s: Array, a: Array) -> dict[str, Array]:
        told = {name: values[s, a] if values.ndim else values for name, values in state.account.items()}
        told |= {name: getattr(state, name) for name in ("period", "solves", "failures", "bound")}
        return told | belief.report(state.belief)

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


def _plan(problem: Problem, decision: Decision, value: Array) -> Plan | GainPlan:
    if problem.stage is not None:
        return backward_induction(problem, decision.draws, decision.risk)
    if problem.discount is not None:
        return policy_iteration(problem, decision.draws, decision.risk, value=value)
    tolerance = 1e-10 if decision.tolerance is None else decision.tolerance
    return average_policy_iteration(
        problem, decision.draws, decision.risk, tolerance=tolerance, max_iterations=MAX_ITERATIONS, value=value
    )


def pseudo_episode_rules(
    belief: Belief, problem: Problem, options: Options, risk: Callable[[Array, Array, Options], Quantile]
) -> Rules:
    """Rules of an agent that plans draws under ``risk(period, visits, options)`` for each pseudo-episode.

    It reports the ``level`` planned at, and ``short``: the share of pairs whose budget of draws exceeds what there is.
    """

    def prepare(key: Array, state: Any, period: Array) -> Decision:
        believed, sites = belief.draw(key, state)
        draws = believed_draws(sites, problem)
        measure = risk(period, belief.visits(believed), options)
        account = {
            "level": jnp.broadcast_to(measure.level, problem.available.shape),
            "short": jnp.mean(jnp.asarray(measure.num_draws) > draws.transition.shape[0], dtype=float),
        }
        return Decision(believed, draws, measure, account)

    return planning_rules(belief, problem, prepare, pseudo_episode(problem))


def sampling_rules(
    belief: Belief,
    problem: Problem,
    ends: Ends,
    bonus: Callable[[Array, Any, Draws], tuple[Array, dict[str, Array]]] | None = None,
) -> Rules:
    """Rules of an agent that plans for what it draws, with another reward: posterior sampling and its relatives.

    ``bonus(key, belief_state, draws) -> (reward [draw, state, action, 1], account)``.
    """

    def prepare(key: Array, state: Any, period: Array) -> Decision:
        believed, sites = belief.draw(key, state)
        draws = believed_draws(sites, problem)
        account: dict[str, Array] = {}
        if bonus is not None:
            reward, account = bonus(key, believed, draws)
            draws = Draws(draws.transition, reward)
        return Decision(believed, draws, Mean(), account)

    return planning_rules(belief, problem, prepare, ends)
