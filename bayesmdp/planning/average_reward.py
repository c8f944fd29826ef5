"""The largest average reward of an MDP: its gain, and the bias that says how good each state is to start from.

With ``(T V)(s) = max_a r(s, a) + sum_s' p(s, a, s') V(s')``, gain J* and bias v* solve the optimality equation

    J* + v*(s) = (T v*)(s),

v* up to a constant (here its least entry is 0, so its largest is its span). For any V whatever,

    min_s (T V - V)(s)  <=  J of the greedy policy, whatever the start  <=  J*  <=  max_s (T V - V)(s)

(Puterman, 1994, theorem 8.5.5), so a V is as good as the *spread* of T V - V. Both ends are moved apart by what
rounding can do. J* is the same from every state where the MDP is *weakly communicating*: each state of one closed set
can be reached from each other, and all others are left in the end whatever one does. Where it is not, the two ends need
never meet; :func:`~bayesmdp.planning.communicating.check_weakly_communicating` names the states.

A risk measure (:mod:`~bayesmdp.planning.risk`) may stand for the mean: T is then its operator, J* the gain of that, and
policy iteration solves with the rows at which the risk is attained. Optimism is one, in which each pair's row is chosen
from a set; J* is then the largest gain of all MDPs in the set.

*Relative value iteration* replaces V by ``(1 - step) V + step T V``, less a constant. The lazy step changes neither J*
nor the policies, and makes the iteration converge for periodic chains too; it may take long where mixing does.
*Policy iteration* solves ``h + g = r + P h`` for gain g and bias h of the greedy policy. That has one solution if the
policy's chain has one recurrent class, which not all policies of a weakly communicating MDP need have, so the solution
is taken only if it raises the lower end or halves the spread; otherwise sweeps of relative value iteration are, until
the greedy policy is another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import Draws, expected_reward, greedy, once
from bayesmdp.planning.policy_values import DENSE_LIMIT, policy_transition, rows_between_states
from bayesmdp.planning.risk import Mean, Risk
from bayesmdp.planning.solvers import unknown
from bayesmdp.problems.problem import Problem

__all__ = [
    "GainPlan",
    "average_policy_iteration",
    "bias_bound",
    "gain_and_bias",
    "relative_value_iteration",
]

MEAN = Mean()

STEP = 0.9
"""Of relative value iteration."""


class GainPlan(NamedTuple):
    """A solved average-reward problem.

    Attributes
    ----------
    gain : float
        The middle of `lower` and `upper`.
    value : array [state]
        The bias, whose least entry is 0.
    span : float
        Its largest entry: how much the start can matter.
    q : array [state, action]
        ``r + P value - gain``: what the optimality equation takes the largest of.
    policy : int32 array [state]
        Greedy in `q`. Its average reward is at least `lower` from every state.
    lower, upper : float
        J* lies between them.
    iterations : int32
        Applications of the operator.
    converged : bool
        ``upper - lower <= max(tolerance, twice what rounding can do)``.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> draws = bm.planning.believed_draws({"transition": river.transition[None]}, river.problem)
    >>> plan = relative_value_iteration(river.problem, draws, bm.Mean())
    >>> isinstance(plan, GainPlan), round(float(plan.lower), 3)
    (True, 0.429)
    """

    gain: Float[Array, ""]
    value: Float[Array, " state"]
    span: Float[Array, ""]
    q: Float[Array, "state action"]
    policy: Int[Array, " state"]
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]

    @property
    def bound(self) -> Float[Array, ""]:
        """Half the distance of the ends, which is at least the error of `gain`."""
        return (self.upper - self.lower) / 2


class _Point(NamedTuple):
    """A value and what one application of the operator tells of it."""

    value: Float[Array, " state"]
    q: Float[Array, "state action"]
    policy: Int[Array, " state"]
    improved: Float[Array, " state"]
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    rounding: Float[Array, ""]
    attained: Any


class _Task:
    """What stays fixed through a solve."""

    def __init__(self, problem: Problem, draws: Draws, risk: Risk, tolerance: float | Array) -> None:
        problem = jax.tree.map(jnp.asarray, problem)
        self.problem = problem._replace(discount=1.0)
        self.risk, self.draws = risk, risk.prepare(Draws(jnp.asarray(draws.transition), jnp.asarray(draws.reward)))
        self.unit = 4 * np.finfo(self.draws.transition.dtype).eps * self.problem.num_outcomes
        available = problem.available[..., None]
        reward = jnp.max(jnp.abs(self.draws.reward), where=available, initial=0)
        self.largest = jnp.maximum(reward, 1)
        self.blurred = jnp.maximum(1e-6 * reward, 100 * self.unit * self.largest)
        self.tolerance = tolerance

    def apply(self, value: Float[Array, " state"], attained: Any) -> _Point:
        """Apply the operator once and see how far it moves the value, up and down."""
        value = value - jnp.min(value)
        q, attained = once(self.risk.evaluate(self.problem, self.draws, value, attained))
        policy, improved = greedy(self.problem, q)
        rises = improved - value
        rounding = self.unit * (jnp.max(jnp.abs(value)) + self.largest)
        lower, upper = jnp.min(rises) - rounding, jnp.max(rises) + rounding
        return _Point(value, q, policy, improved, lower, upper, rounding, attained)

    def start(self, value: Float[Array, " state"] | None) -> _Point:
        """Before the first application of the operator, which the loop makes, so that it is compiled once."""
        value = jnp.zeros(self.problem.num_states) if value is None else jnp.asarray(value)
        nothing = unknown(jax.eval_shape(lambda: self.apply(value, None)))
        ends = {"lower": jnp.full_like(nothing.lower, -jnp.inf), "upper": jnp.full_like(nothing.upper, jnp.inf)}
        no_policy = jnp.full_like(nothing.policy, -1)
        return nothing._replace(value=value, policy=no_policy, improved=value, **ends)

    def lazy(self, point: _Point) -> Float[Array, " state"]:
        """Return ``(1 - STEP) V + STEP T V``, the next value of relative value iteration."""
        return point.value + STEP * (point.improved - point.value)

    def solve(self, point: _Point) -> Float[Array, " state"]:
        """Return the bias of the greedy policy at the rows where the risk is attained."""
        rows, reward = self.risk.rows(self.draws, point.attained, point.policy)
        dense = rows_between_states(self.problem, rows, point.policy)
        return _gain_and_bias(dense, expected_reward(rows, reward)[:, 0])[1]

    def proceed(self, point: _Point, iterations: Int[Array, ""], max_iterations: int | Array) -> Bool[Array, ""]:
        """Whether another application is due: neither converged, nor at the limit, nor NaN."""
        return (iterations < max_iterations) & ~self.converged(point) & ~jnp.isnan(point.lower)

    def converged(self, point: _Point) -> Bool[Array, ""]:
        # The ends are never nearer than twice the rounding; as much again is what more sweeps might not remove.
        return point.upper - point.lower <= jnp.maximum(self.tolerance, 4 * point.rounding)

    def plan(self, point: _Point, iterations: Int[Array, ""]) -> GainPlan:
        """Return the plan that a point amounts to."""
        gain = (point.lower + point.upper) / 2
        return GainPlan(
            gain=gain,
            value=point.value,
            span=jnp.max(point.value),
            q=point.q - gain,
            policy=point.policy,
            lower=point.lower,
            upper=point.upper,
            iterations=iterations,
            converged=self.converged(point),
        )


def relative_value_iteration(
    problem: Problem,
    draws: Draws,
    risk: Risk = MEAN,
    *,
    tolerance: float | Array = 1e-10,
    max_iterations: int | Array = 1_000_000,
    value: Float[Array, " state"] | None = None,
) -> GainPlan:
    """Apply the operator, lazily, until the ends are near enough.

    Parameters
    ----------
    problem : Problem
        Its discount is not read.
    draws : Draws
        transition [draw, state, action, outcome], reward [..., state, action, outcome or 1].
    risk : Risk, default `Mean()`
    tolerance : float
        On ``upper - lower``.
    max_iterations : int
    value : array [state], optional
        Where to start; 0 by default.

    Returns
    -------
    GainPlan

    See Also
    --------
    bayesmdp.planning.average_policy_iteration : fewer steps, each with a linear system.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> with jax.enable_x64(True):
    ...     plan = relative_value_iteration(river.problem, Draws(river.transition[None], river.reward))
    >>> round(float(plan.gain), 8), round(float(plan.span), 4)
    (0.42862243, 6.3103)
    """
    task = _Task(problem, draws, risk, tolerance)

    def sweep(carry: tuple[_Point, Int[Array, ""]]) -> tuple[_Point, Int[Array, ""]]:
        point, iterations = carry
        return task.apply(task.lazy(point), point.attained), iterations + 1

    def unfinished(carry: tuple[_Point, Int[Array, ""]]) -> Bool[Array, ""]:
        return task.proceed(*carry, max_iterations)

    return task.plan(*lax.while_loop(unfinished, sweep, (task.start(value), jnp.int32(0))))


def average_policy_iteration(
    problem: Problem,
    draws: Draws,
    risk: Risk = MEAN,
    *,
    tolerance: float | Array = 1e-10,
    max_iterations: int | Array = 1_000_000,
    value: Float[Array, " state"] | None = None,
) -> GainPlan:
    """Solve for gain and bias of the greedy policy, until the ends are near enough.

    Up to 2,000 states; beyond, no system is solved and this is relative value iteration.

    Parameters
    ----------
    problem, draws, risk, tolerance, max_iterations, value
        As for `relative_value_iteration`.

    Returns
    -------
    GainPlan

    See Also
    --------
    bayesmdp.planning.relative_value_iteration : many cheap steps.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(50, discount=None)
    >>> with jax.enable_x64(True):
    ...     plan = average_policy_iteration(river.problem, Draws(river.transition[None], river.reward))
    >>> int(plan.iterations) < 300, float(plan.upper - plan.lower) < 1e-10
    (True, True)
    """
    if problem.num_states > DENSE_LIMIT:
        return relative_value_iteration(
            problem, draws, risk, tolerance=tolerance, max_iterations=max_iterations, value=value
        )
    task = _Task(problem, draws, risk, tolerance)

    def step(
        carry: tuple[_Point, Int[Array, " state"], Int[Array, ""]],
    ) -> tuple[_Point, Int[Array, " state"], Int[Array, ""]]:
        point, tried, iterations = carry
        again = (point.policy == tried).all()
        value = lax.cond(again, lambda: task.lazy(point), lambda: task.solve(point))
        candidate = task.apply(value, point.attained)
        better = candidate.lower > point.lower
        halved = candidate.upper - candidate.lower <= (point.upper - point.lower) / 2
        # The system of a policy with two recurrent classes has no solution, but rounding finds one, of any size, at
        # which the ends cannot be told apart.
        accepted = again | ((better | halved) & (candidate.rounding <= task.blurred))
        kept = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), candidate, point)
        return kept, point.policy, iterations + 1

    def unfinished(carry: tuple[_Point, Int[Array, " state"], Int[Array, ""]]) -> Bool[Array, ""]:
        point, _, iterations = carry
        return task.proceed(point, iterations, max_iterations)

    start = task.start(value)
    point, _, iterations = lax.while_loop(unfinished, step, (start, start.policy, jnp.int32(0)))
    return task.plan(point, iterations)


def gain_and_bias(
    problem: Problem,
    transition: Float[Array, "state action outcome"],
    reward: Float[Array, "state action outcome_or_1"],
    policy: Num[Array, "state ..."],
) -> tuple[Float[Array, ""], Float[Array, " state"]]:
    """Gain and bias of a policy whose chain has one recurrent class, by a factorisation.

    Parameters
    ----------
    transition : array [state, action, outcome]
    reward : array [state, action, outcome or 1]
    policy : int array [state], or probabilities [state, action]

    Returns
    -------
    gain : float
    bias : array [state]
        0 in the first state. Not finite, or meaningless, where the chain has several recurrent classes.

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> with jax.enable_x64(True):
    ...     gain, bias = gain_and_bias(river.problem, river.transition, river.reward, np.zeros(6, int))
    >>> round(float(gain), 8)
    0.005
    """
    rows = policy_transition(problem, transition, policy)
    rewards = expected_reward(jnp.asarray(transition), jnp.asarray(reward))[..., 0]
    if policy.ndim == 1:
        rewards = rewards[jnp.arange(problem.num_states), policy]
    else:
        rewards = jnp.sum(policy * rewards, axis=-1)
    return _gain_and_bias(rows, rewards)


def bias_bound(problem: Problem, draws: Draws, plan: GainPlan) -> Float[Array, ""]:
    """Bound the error of differences of ``plan.value``, as those of the bias of ``plan.policy`` under the mean.

    That is v* where no other policy is as good. With A the matrix of ``h + g = r + P h``, what A leaves unexplained is
    magnified by at most the norm of its inverse, for gain and bias each.

    Parameters
    ----------
    problem : Problem
    draws : Draws
        transition [draw, state, action, outcome], reward [..., state, action, outcome or 1].
    plan : GainPlan
        A solution for the mean of these draws.

    Returns
    -------
    float
        In the units of the bias.
    """
    task = _Task(problem, draws, MEAN, 0.0)
    rows, reward = task.risk.rows(task.draws, (), plan.policy)
    system = _system(rows_between_states(task.problem, rows, plan.policy))
    missing = system @ (plan.value - plan.value[0]).at[0].set(plan.gain) - expected_reward(rows, reward)[:, 0]
    rounding = task.unit * (plan.span + task.largest)
    return 2 * jnp.linalg.norm(jnp.linalg.inv(system), jnp.inf) * (jnp.max(jnp.abs(missing)) + rounding)


def _gain_and_bias(
    rows: Float[Array, "state state"], rewards: Float[Array, " state"]
) -> tuple[Float[Array, ""], Float[Array, " state"]]:
    solved = jnp.linalg.solve(_system(rows), rewards)
    return solved[0], solved.at[0].set(0.0)


def _system(rows: Float[Array, "state state"]) -> Float[Array, "_ _"]:
    # The first unknown is the gain, in the place of the bias of the first state, which is 0.
    return (jnp.eye(len(rows)) - rows).at[:, 0].set(1.0)
