"""Optimistic Q-learning for the average reward, by discounting. Wei et al. (2020), Algorithm 1.

Model-free: only the pair that was tried moves. On its n-th try, with

    alpha = (H + 1) / (H + n),    bonus = 4 sp(v*) sqrt(H / n log(2 T / delta)),    gamma = 1 - 1 / H,

    Q(s, a) <- (1 - alpha) Q(s, a) + alpha (r + gamma V(s') + bonus),
    U(s, a) <- min(U(s, a), Q(s, a)),    V(s) <- max_a U(s, a),

all of it H at the start, and actions are greedy in U. The paper chooses

    H = min(sqrt(sp(v*) T / (S A)), (T / (S^2 A log(4 T / delta)))^(1/3)),

at least 2, for regret of O(T^(2/3)). The bonus is the paper's times `scale`; delta is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules, stay
from bayesmdp.agents.families.optimistic import best_action, bonus_options, never, unit_rewards
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.planning import greedy
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["optimistic_q_learning"]


def optimistic_q_learning(
    *, horizon: int, span: float, scale: float = 1.0, failure: float = 0.1, effective_horizon: float | None = None
) -> Agent:
    """Learn Q step by step, with a bonus for what was tried seldom (Optimistic Q-learning).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    span : float
        sp(v*), the span of the bias, or an upper bound: ``bm.solve(mdp).attrs["span"]``.
    scale : float
        Scale of the bonus; 1 is the paper's.
    failure : float in (0, 1)
        delta, the probability with which the guarantee may fail.
    effective_horizon : float, at least 2, optional
        H, in steps; the paper's by default.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, or rewards outside [0, 1].

    Notes
    -----
    *When.* For the average reward without a model and without a prior, where memory must be small.

    *When not.* Where steps are few: without a model one step moves one pair.

    *Cost.* One update of one pair a step: the cheapest of all.

    It reports ``bonus``, that of the pair's next try, before `scale`.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> agent = bm.agents.optimistic_q_learning(horizon=500, span=6.31)
    >>> bm.simulate(river, {"Q": agent}, steps=500, replicates=2)["bonus"].dims
    ('agent', 'replicate', 'step')
    """
    options = bonus_options(horizon, span, scale, failure)
    if effective_horizon is not None:
        options["effective_horizon"] = number("effective_horizon", effective_horizon, minimum=2)
    return Agent("optimistic-q-learning", _rules, unit_rewards, options, objectives=("average",))


class _State(NamedTuple):
    """Tries n, Q, and U, the least Q so far."""

    tries: Float[Array, "state action"]
    q: Float[Array, "state action"]
    least: Float[Array, "state action"]


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    pairs = problem.available.shape
    steps, span = options["horizon"], options["span"]
    # H = min(sqrt(sp(v*) T / (S A)), (T / (S^2 A log(4 T / delta)))^(1/3)), at least 2.
    first = jnp.sqrt(span * steps / (pairs[0] * pairs[1]))
    second = (steps / (pairs[0] ** 2 * pairs[1] * jnp.log(4 * steps / options["failure"]))) ** (1 / 3)
    horizon = options.get("effective_horizon", jnp.maximum(jnp.minimum(first, second), 2.0))
    reward = problem.reward[..., 0]

    def bonus(tries: Float[Array, ""]) -> Float[Array, ""]:
        """Return 4 sp(v*) sqrt(H / n log(2 T / delta))."""
        return 4 * span * jnp.sqrt(horizon / tries * jnp.log(2 * steps / options["failure"]))

    def init(key: Key[Array, ""]) -> _State:
        full = jnp.full(pairs, horizon, float)
        return _State(jnp.zeros(pairs), full, full)

    def act(key: Key[Array, ""], state: _State, s: Int[Array, ""]) -> Int[Array, ""]:
        return best_action(problem.available[s], state.least[s])

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        s, a, following = step.state, step.action, step.next_state
        # alpha = (H + 1) / (H + n).
        tries = state.tries[s, a] + 1
        rate = (horizon + 1) / (horizon + tries)
        value = jnp.max(jnp.where(problem.available[following], state.least[following], -jnp.inf))
        # Q <- (1 - alpha) Q + alpha (r + gamma V(s') + bonus), U <- min(U, Q).
        target = reward[s, a] + (1 - 1 / horizon) * value + options["scale"] * bonus(tries)
        q = (1 - rate) * state.q[s, a] + rate * target
        return _State(state.tries.at[s, a].set(tries), state.q.at[s, a].set(q), state.least.at[s, a].min(q))

    return Rules(
        init=init,
        begin=stay,
        act=act,
        observe=observe,
        ends=never,
        policy=lambda state: greedy(problem, state.least)[0],
        report=lambda state, s, a: {"bonus": bonus(state.tries[s, a] + 1)},
        belief=lambda state: (),
    )
