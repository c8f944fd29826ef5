"""What regret means: an MDP names its objective, and the simulator charges each step by it.

An objective has three functions. ``baseline(problem, transition)`` is computed once for each true kernel;
``regret(problem, transition, baseline, policy)`` once for each planning period, from which ``charge(problem, regret, s,
a)`` reads off the charge of a step in state s by action a. Where the charge does not depend on the policy in use it is
read off the baseline, and there is no ``regret``.

*discounted*: the step in s is charged V*(s) - V^policy(s), both under the true kernel. Song, Wang and Zhou (2026),
(15). Where states are numbers both are of the point of the problem's mesh that is nearest to s.

*episode*: the first step of an episode of fixed length is charged V*(s) - V^policy(s), the others nothing. Both are
discounted where the MDP with stages has a discount.

*average*: the step is charged J* - r(s, a), the gain of the true kernel less the mean reward of what was done. Jaksch,
Ortner and Auer (2010); Hong, Zhang and Tewari (2024), section 2.1. It may be negative, and so may its sum at first: a
start can be better than the average state. What an action costs for good is its *gap*, v*(s) - q*(s, a), recorded
beside: it is never negative, and its sum has the mean of the regret's less v*(start) - v*(end), without the chance of
the way.

Two more quantities say how robust a learner is (:class:`Robust`; their section 5.2 and EC.7.5). *Robust regret*, (16),
is what the policy in use falls short of the cautious plan, by the plan's own measure: the step in s is charged
V_level(s) - V_level^policy(s), the optimal quantile Bayesian-risk value at one low level under the belief at the start
of the planning period, less the policy's. It is never negative. This is a reading: EC.6 calls the summands nonnegative,
and Lemma 3 subtracts two quantile values of one policy. With ``policy_under="truth"`` the policy's true value is
subtracted instead, V_level(s) - V^policy(s), which is negative where the policy does better in truth than the cautious
plan dares to promise. The *posterior quantile value* of the policy in use is the left quantile over kernels P
drawn from the belief of its value V_P^policy at the start:

    the ceil(level M)-th smallest of (I - discount P^policy_m)^{-1} r_m averaged over initial states,  m = 1..M.

Both are estimated from draws of their own, which agents never see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning import (
    Draws,
    Mean,
    average_policy_iteration,
    backward_induction,
    episode_value,
    expected_reward,
    greedy,
    policy_evaluation,
    policy_iteration,
    solve,
)
from bayesmdp.problems.continuous_mdp import ContinuousProblem
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.simulated_problem import SimulatedProblem

__all__ = ["BY_STEP", "OBJECTIVES", "TASK_OBJECTIVES", "Objective"]


class Objective(NamedTuple):
    """Functions that turn a policy into regret; see the module.

    Attributes
    ----------
    baseline : callable
        ``baseline(problem, transition)``.
    regret : callable, optional
        ``regret(problem, transition, baseline, policy)``; None where steps are charged by the baseline.
    charge : callable
        ``charge(problem, regret, s, a) -> float``.
    gap : callable, optional
        ``gap(regret, s, a) -> float``, what the action costs for good, where the objective has such a thing.
    check : callable, optional
        ``check(mdp)`` refuses a problem before anything is compiled.
    cautious : bool
        Whether the value that robust regret is measured against is defined.
    """

    baseline: Callable[[Any, Any], Any]
    regret: Callable[[Any, Any, Any, Any], Any] | None
    charge: Callable[[Any, Any, Array, Array], Array]
    gap: Callable[[Any, Array, Array], Array] | None = None
    check: Callable[[Any], object] | None = None
    cautious: bool = False


def _optimal_value(problem: Problem, transition: Float[Array, "state action outcome"]) -> Float[Array, " state"]:
    """Return V*."""
    return policy_iteration(problem, Draws(transition[None], problem.reward), Mean()).value


def _value_gap(
    problem: Problem,
    transition: Float[Array, "state action outcome"],
    baseline: Float[Array, " state"],
    policy: Num[Array, "state ..."],
) -> Float[Array, " state"]:
    """Return V* - V^policy, where V* is the baseline; another value in its place gives what falls short of that."""
    return baseline - policy_evaluation(problem, transition, problem.reward, policy)


def _in_state(
    problem: Problem, regret: Float[Array, " state"], s: Int[Array, ""], a: Int[Array, ""]
) -> Float[Array, ""]:
    """Charge a step by the state it is made in."""
    return regret[s]


class _Pairs(NamedTuple):
    """What an action costs [state, action]: its reward below the gain, and its worth below the best action's."""

    shortfall: Float[Array, "state action"]
    gap: Float[Array, "state action"]


def _optimal_pairs(problem: Problem, transition: Float[Array, "state action outcome"]) -> _Pairs:
    """Return J* - r(s, a) and v*(s) - q*(s, a)."""
    plan = average_policy_iteration(problem, Draws(transition[None], problem.reward))
    # A drawn kernel that does not hang together has no gain that is the same from everywhere.
    gain = jnp.where(plan.converged, plan.gain, jnp.nan)
    shortfall = gain - expected_reward(transition, problem.reward)[..., 0]
    return _Pairs(shortfall, greedy(problem, plan.q)[1][:, None] - plan.q)


def _shortfall(problem: Problem, regret: _Pairs, s: Int[Array, ""], a: Int[Array, ""]) -> Float[Array, ""]:
    """Charge a step J* - r(s, a)."""
    return regret.shortfall[s, a]


def _gap(regret: _Pairs, s: Int[Array, ""], a: Int[Array, ""]) -> Float[Array, ""]:
    """Return v*(s) - q*(s, a)."""
    return regret.gap[s, a]


def _given_gain(problem: ContinuousProblem, transition: None) -> Float[Array, ""]:
    """Return J* as the problem states it."""
    return problem.gain


def _given_shortfall(
    problem: ContinuousProblem, gain: Float[Array, ""], s: Float[Array, " *coordinate"], a: Int[Array, ""]
) -> Float[Array, ""]:
    """Charge a step J* - r(s, a)."""
    return gain - problem.view(problem.parameters, s)[1][a]


class _OnMesh(NamedTuple):
    """What a simulated problem is on its mesh: the true kernel, and V*."""

    transition: Float[Array, "point action outcome"]
    value: Float[Array, " point"]


def _optimal_on_mesh(problem: SimulatedProblem, truth: Any) -> _OnMesh | None:
    """Return V* on the problem's mesh; None where it has none."""
    if problem.mesh is None:
        return None
    transition = problem.kernel(truth)
    mesh = jax.tree.map(jnp.asarray, problem.mesh)
    return _OnMesh(transition, _optimal_value(mesh, transition))


def _gap_on_mesh(
    problem: SimulatedProblem, truth: Any, baseline: _OnMesh | None, policy: Num[Array, "point ..."]
) -> Float[Array, " point"]:
    """Return V* - V^policy on the problem's mesh; NaN where it has none."""
    if baseline is None or problem.mesh is None:
        return jnp.full(len(problem.points), jnp.nan)
    return _value_gap(jax.tree.map(jnp.asarray, problem.mesh), baseline.transition, baseline.value, policy)


def _at_nearest(
    problem: SimulatedProblem, gap: Float[Array, " point"], s: Float[Array, " coordinate"], a: Int[Array, ""]
) -> Float[Array, ""]:
    """Charge a step by the point of the mesh nearest to its state."""
    return gap[problem.nearest(s)]


def _best_episode(problem: Problem, transition: Float[Array, "state action outcome"]) -> Float[Array, " state"]:
    """Return V*, by backward induction over the stages."""
    return backward_induction(problem, Draws(transition[None], problem.reward)).value


def _episode_gap(
    problem: Problem,
    transition: Float[Array, "state action outcome"],
    baseline: Float[Array, " state"],
    policy: Num[Array, "state ..."],
) -> Float[Array, " state"]:
    """Return V* - V^policy in the states of the first stage, and 0 in the others."""
    gap = baseline - episode_value(problem, transition, problem.reward, policy)
    return jnp.where(problem.stage == 0, gap, 0)


def _worse_than_best(
    problem: Problem, transition: Float[Array, "state action outcome"]
) -> Float[Array, "state action"]:
    """Return ``discount^stage (V*(s) - Q*(s, a))``."""
    plan = backward_induction(problem, Draws(transition[None], problem.reward))
    return problem.discount ** problem.stage[:, None] * (plan.value[:, None] - plan.q)  # type: ignore[index]


def _of_pair(
    problem: Problem, gap: Float[Array, "state action"], s: Int[Array, ""], a: Int[Array, ""]
) -> Float[Array, ""]:
    """Charge a step by its pair."""
    return gap[s, a]


BY_STEP = Objective(_worse_than_best, None, _of_pair)
"""Regret of episodes charged as it is made, ``discount^stage (V*(s) - Q*(s, a))`` at each step; no policy is evaluated.

By the performance-difference lemma its expected sum over an episode is V*(start) - V^policy(start).
"""

OBJECTIVES = {
    "finite": {
        "episode": Objective(_best_episode, _episode_gap, _in_state),
        "discounted": Objective(_optimal_value, _value_gap, _in_state, cautious=True),
        # Solving says whether there is one gain to hold agents to.
        "average": Objective(_optimal_pairs, None, _shortfall, _gap, check=solve),
    },
    "simulated": {"discounted": Objective(_optimal_on_mesh, _gap_on_mesh, _at_nearest)},
    "continuous": {"average": Objective(_given_gain, None, _given_shortfall)},
}
"""What regret is, by a problem's space and its objective."""

TASK_OBJECTIVES = {"finite": {**OBJECTIVES["finite"], "episode": BY_STEP}}
"""What regret is across tasks, by the same."""
