"""What agents that plan by pseudo-episode share: draw from the belief, plan under a risk measure, follow the plan.

Xu et al. (2024), as used by Song, Wang and Zhou (2026), section 3.2: after each step a new pseudo-episode begins with
probability 1 - discount, independently of the trajectory. Lengths are Geometric, so the expected sum of rewards over a
pseudo-episode is the discounted value, and T steps hold 1 + (1 - discount)(T - 1) pseudo-episodes in expectation.

An algorithm of this family is a function from (period, visits, options) to a risk measure; the rest is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from bayesmdp.agents.base import Options, Rules, stay
from bayesmdp.mdp import Array, Problem
from bayesmdp.planning import Draws, Quantile, Risk, policy_iteration
from bayesmdp.posterior import Belief
from bayesmdp.world import Step

__all__ = ["PlannerState", "pseudo_episode_rules"]


class PlannerState(NamedTuple):
    """State of an agent that follows one plan for a pseudo-episode.

    Attributes
    ----------
    belief : pytree
        The belief's own state.
    period : int
        Pseudo-episodes begun so far.
    value, policy : arrays [state]
        The current plan; `value` also warm-starts the next one.
    level : array [state, action]
        Quantile level planned at; NaN under the mean.
    solves, failures : float
        Steps of policy iteration so far, each at most one linear solve, and plans so far that did not converge.
    bound : float
        The largest error bound of a plan so far.
    short : float
        Share of pairs whose budget of draws exceeds what there is, in the current plan.
    """

    belief: Any
    period: Array
    value: Array
    policy: Array
    level: Array
    solves: Array
    failures: Array
    bound: Array
    short: Array


def pseudo_episode_rules(
    belief: Belief, problem: Problem, options: Options, risk: Callable[[Array, Array, Options], Risk]
) -> Rules:
    """Rules of an agent that plans under ``risk(period, visits, options)`` at the start of each pseudo-episode."""
    shape = (problem.num_states, problem.num_actions)

    def init(key: Array) -> PlannerState:
        return PlannerState(
            belief=belief.init(key),
            period=jnp.zeros(()),
            value=jnp.zeros(shape[0]),
            policy=jnp.zeros(shape[0], jnp.int32),
            level=jnp.full(shape, jnp.nan),
            solves=jnp.zeros(()),
            failures=jnp.zeros(()),
            bound=jnp.zeros(()),
            short=jnp.zeros(()),
        )

    def begin(key: Array, state: PlannerState) -> PlannerState:
        believed, sites = belief.draw(key, state.belief)
        period = state.period + 1
        measure = risk(period, belief.visits(believed), options)
        draws = Draws(sites["transition"], sites.get("reward", problem.reward))
        plan = policy_iteration(problem, draws, measure, value=state.value)
        level, short = jnp.array(jnp.nan), jnp.zeros(())
        if isinstance(measure, Quantile):
            level = measure.level
            short = jnp.mean(jnp.asarray(measure.num_draws) > draws.transition.shape[0], dtype=float)
        return PlannerState(
            belief=believed,
            period=period,
            value=plan.value,
            policy=plan.policy,
            level=jnp.broadcast_to(level, shape),
            solves=state.solves + plan.iterations - 1,
            failures=state.failures + ~plan.converged,
            bound=jnp.maximum(state.bound, plan.bound),
            short=short,
        )

    def act(key: Array, state: PlannerState, s: Array) -> Array:
        del key
        return state.policy[s]

    def observe(key: Array, state: PlannerState, step: Step) -> PlannerState:
        return state._replace(belief=belief.observe(key, state.belief, step))

    def ends(coin: Array, state: PlannerState, step: Step) -> Array:
        del state, step
        return coin >= problem.discount

    def report(state: PlannerState, s: Array, a: Array) -> dict[str, Array]:
        account = {name: getattr(state, name) for name in ("period", "solves", "failures", "bound", "short")}
        return {"level": state.level[s, a], **account}

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=ends,
        policy=lambda state: state.policy,
        report=report,
        next_task=stay,
        belief=lambda state: state.belief,
    )
