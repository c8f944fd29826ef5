"""SCAL: UCRL2 whose optimistic plan has a bias of bounded span. Fruit, Pirotta, Lazaric and Ortner (2018).

Episodes and confidence sets are UCRL2's (:mod:`~bayesmdp.agents.ucrl2`; boxes by default, as in the paper), but the
plan's bias v may differ between states by no more than c, which the agent is told. With ``L`` the best, over the
available actions and the rows p in the set,

    (L v)(s) = max_a r(s, a) + max_p p v,    (T v)(s) = min((L v)(s), min L v + c),

v <- T v - min T v from v = 0 (*ScOpt*), until the spread of T v - v is at most 1 / sqrt(t), at time t. The plan's gain
is the middle of T v - v. Where the bound cuts, no one action is worth T v; the plan there mixes two so that it is: the
best of L, and the action that may be worst, of the least ``min_p p v``, which may earn nothing: rewards in that may
be believed down to 0 (their augmented MDP), and so the worst is never worth more than the bound. If it were, by
rounding, it is taken with probability 1, and counted.

For T to be a contraction every row leads to the first state with a probability of at least some eta: rows are
``(1 - eta) p + eta e_1``, p in the set. That costs at most eta c of the gain; ours is eta = 1 / (c t + 1), which makes
it 1 / t. Reconstructed from the paper's outline: the paper puts eta into the set's bounds. delta, `scale` and the 1,000
sweeps at most are ours, and rewards are known, so they have no interval of their own but that 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Bool, Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import experience
from bayesmdp.agents.families.optimistic import dense_counter
from bayesmdp.agents.families.periods import doubling
from bayesmdp.agents.ucrl2 import bernstein_set, hoeffding_set
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.planning import Box, L1Ball, clip_span, greedy
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step, invert

__all__ = ["ScOptPlan", "scal", "scopt"]

MAX_SWEEPS = 1_000
"""Of the plan of an episode; plans that needed more are counted as failures."""


def scal(*, span: float, failure: float = 0.1, scale: float = 1.0, bernstein: bool = True) -> Agent:
    """Plan for the best MDP in a confidence set, with a bias of bounded span (SCAL).

    Parameters
    ----------
    span : float
        c, at least sp(v*) for the theory to hold: ``bm.solve(mdp).attrs["span"]``.
    failure : float in (0, 1)
        delta, the probability with which the guarantee may fail.
    scale : float
        Scale of the radii; 1 is the paper's.
    bernstein : bool
        Whether the set is of boxes by Bernstein's inequality, and not of L1 balls.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For numbers out of range, rewards outside [0, 1], or a successor table.

    Notes
    -----
    *When.* As `ucrl2`, where a bound on the span is known: optimism is held within it, in problems with states that
    cannot be reached too.

    *When not.* Where the bound is a guess that may be too small: then the best policy may be out of reach.

    *Cost.* One optimistic plan an episode, of up to 1,000 sweeps.

    It reports ``radius``, that of the pair's row in this episode, in L1 norm; ``gain``, that of the plan; ``cut``, the
    share of states where the bound cuts; ``sweeps``, how many the plan took; ``period``, the number of episodes; and
    ``failures``, plans so far that did not converge or could not meet the bound.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> result = bm.simulate(river, {"SCAL": bm.agents.scal(span=6.31)}, steps=500, replicates=2)
    >>> float(result["failures"].max())
    0.0
    """
    options = {
        "span": number("span", span, minimum=0),
        "failure": number("failure", failure, above=0, below=1),
        "scale": number("scale", scale, minimum=0),
    }
    rules, static = (_bernstein if bernstein else _hoeffding), {"bernstein": bool(bernstein)}
    return Agent("scal", rules, dense_counter, options, static, objectives=("average",))


class ScOptPlan(NamedTuple):
    """A plan whose bias has a bounded span.

    Attributes
    ----------
    policy : array [state, action]
        Probabilities.
    value : array [state]
        The bias v, whose least entry is 0.
    gain : float
        The middle of T v - v.
    cut : bool array [state]
        Where the bound cuts.
    sweeps : int
        Applications of T.
    converged, met : bool
        Whether the spread of T v - v is within the tolerance, and whether every cut could be met.
    """

    policy: Float[Array, "state action"]
    value: Float[Array, " state"]
    gain: Float[Array, ""]
    cut: Bool[Array, " state"]
    sweeps: Int[Array, ""]
    converged: Bool[Array, ""]
    met: Bool[Array, ""]


def scopt(
    problem: Problem,
    estimate: Float[Array, "state action next_state"],
    near: L1Ball | Box,
    span: Array | float,
    *,
    perturbation: Array | float,
    tolerance: Array | float,
    max_sweeps: int = MAX_SWEEPS,
) -> ScOptPlan:
    """Plan by optimistic value iteration under a constraint on the bias' span (ScOpt): see the module.

    Parameters
    ----------
    problem : Problem
        Dense, rewards at least 0, of pairs.
    estimate : array [state, action, next_state]
        The middle of the confidence set.
    near : L1Ball or Box
        The set of rows about the estimate.
    span : float
        c.
    perturbation : float
        eta.
    tolerance : float
        On the spread of T v - v.
    max_sweeps : int

    Returns
    -------
    ScOptPlan
    """
    reward, states = problem.reward[..., 0], jnp.arange(problem.num_states)

    def ahead(value: Float[Array, " state"], order: Int[Array, " state"]) -> Float[Array, "state action"]:
        """Return p v for the rows p = (1 - eta) p + eta e_1 in the set that favour states in this order."""
        return (1 - perturbation) * (near.best(estimate, order) @ value) + perturbation * value[0]

    def optimistic(value: Float[Array, " state"]) -> Float[Array, "state action"]:
        """Return r + max_p p v."""
        return reward + ahead(value, jnp.argsort(-value, stable=True))

    def sweep(
        carry: tuple[Float[Array, " state"], Float[Array, " state"], Int[Array, ""]],
    ) -> tuple[Float[Array, " state"], Float[Array, " state"], Int[Array, ""]]:
        # v <- T v - min T v; kept are v, T v and the number of sweeps.
        _, value, sweeps = carry
        value = value - jnp.min(value)
        return value, clip_span(greedy(problem, optimistic(value))[1], span), sweeps + 1

    def spread(before: Float[Array, " state"], after: Float[Array, " state"]) -> Float[Array, ""]:
        return jnp.max(after - before) - jnp.min(after - before)

    def unfinished(
        carry: tuple[Float[Array, " state"], Float[Array, " state"], Int[Array, ""]],
    ) -> Bool[Array, ""]:
        before, after, sweeps = carry
        return (sweeps < max_sweeps) & ~(spread(before, after) <= tolerance)

    start = sweep((jnp.zeros(len(states)), jnp.zeros(len(states)), jnp.zeros((), jnp.int32)))
    value, after, sweeps = lax.while_loop(unfinished, sweep, start)
    # Where the bound cuts, the best of L v and the action that may be worst are mixed so that they are worth T v.
    best, most = greedy(problem, optimistic(value))
    worst, least = greedy(problem, -ahead(value, jnp.argsort(value, stable=True)))
    least, limit = -least, jnp.min(most) + span
    cut = most > limit
    # More than rounding: a bias of span c leaves room, for no row is worth more than min v + c, nor is min L v less.
    met = jnp.all(~cut | (least <= limit + 1e-9 * (1 + span)))
    share = jnp.where(cut, jnp.clip((limit - least) / jnp.where(cut, most - least, 1), 0, 1), 1)
    policy = jnp.zeros_like(reward).at[states, best].add(share).at[states, worst].add(1 - share)
    # The gain is the middle of T v - v.
    rises = after - value
    gain = (jnp.max(rises) + jnp.min(rises)) / 2
    return ScOptPlan(policy, value, gain, cut, sweeps, spread(value, after) <= tolerance, met)


class _State(NamedTuple):
    """The belief's state, visits when the episode began, its plan, and what is reported."""

    belief: Any
    before: Float[Array, "state action"]
    policy: Float[Array, "state action"]
    radius: Float[Array, "state action"]
    gain: Float[Array, ""]
    cut: Float[Array, ""]
    sweeps: Float[Array, ""]
    period: Float[Array, ""]
    failures: Float[Array, ""]


def _hoeffding(belief: Belief, problem: Problem, options: Options) -> Rules:
    return _rules(belief, problem, options, hoeffding_set)


def _bernstein(belief: Belief, problem: Problem, options: Options) -> Rules:
    return _rules(belief, problem, options, bernstein_set)


def _rules(belief: Belief, problem: Problem, options: Options, around: Any) -> Rules:
    doubled = doubling()

    def init(key: Key[Array, ""]) -> _State:
        none, zero = jnp.zeros(problem.available.shape), jnp.zeros(())
        return _State(belief.init(key), none, none, none, zero, zero, zero, zero, zero)

    def begin(key: Key[Array, ""], state: _State) -> _State:
        seen = experience(belief, state.belief, problem)
        estimate, near, radius = around(seen, options)
        time = 1 + seen.visits.sum()
        # eta = 1 / (c t + 1), and a plan good to 1 / sqrt(t).
        eta = 1 / (options["span"] * time + 1)
        plan = scopt(problem, estimate, near, options["span"], perturbation=eta, tolerance=time**-0.5)
        return _State(
            belief=state.belief,
            before=seen.visits,
            policy=plan.policy,
            radius=radius,
            gain=plan.gain,
            cut=jnp.mean(plan.cut, dtype=float),
            sweeps=plan.sweeps.astype(float),
            period=state.period + 1,
            failures=state.failures + ~(plan.converged & plan.met),
        )

    def act(key: Key[Array, ""], state: _State, s: Int[Array, ""]) -> Int[Array, ""]:
        return invert(jnp.cumsum(state.policy[s]), random.uniform(key))

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        return state._replace(belief=belief.observe(key, state.belief, step))

    def ends(uniform: Float[Array, ""], state: _State, step: Step) -> Bool[Array, ""]:
        s, a = step.state, step.action
        return doubled(uniform, step, jnp.zeros(()), belief.visits(state.belief)[s, a], state.before[s, a])

    def report(state: _State, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        scalars = {name: getattr(state, name) for name in ("gain", "cut", "sweeps", "period", "failures")}
        return scalars | {"radius": state.radius[s, a]}

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=ends,
        policy=lambda state: greedy(problem, state.policy)[0],
        report=report,
        belief=lambda state: state.belief,
    )
