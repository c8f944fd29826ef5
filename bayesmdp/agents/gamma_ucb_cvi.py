"""gamma-UCB-CVI: average reward by discounting, for tables. Hong, Zhang and Tewari (2024), Algorithm 1.

The agent keeps an optimistic discounted Q, acts greedily on it, and after each step makes one sweep over all pairs,

    Q <- min(Q, r + gamma (P V + beta / sqrt(n))),    U = min(max_a Q, V),    V <- min(U, min_s U + H),

from Q = V = 1 / (1 - gamma), with the kernel P estimated from what was seen and n = 1 + visits. The last step,
clipping, keeps the span of V within H; without it errors are worth as much as the effective horizon 1 / (1 - gamma),
which has to grow with T for the discounted problem to be like the average one. Rewards are known and in [0, 1]. The
paper chooses

    gamma = 1 - 1 / sqrt(T),    H = 2 sp(v*),    beta = c H sqrt(S log(S A T / delta)),

sp(v*) the span of the bias, which the agent is told. With c large enough all of it is optimistic with probability
1 - delta, and regret is O(sp(v*) sqrt(S^2 A T log)). What is large enough is not small: c and delta here are ours.

How P V is estimated is ours, too, for the text leaves open what a row is of which less is known than n says:

* *recentred*: ``sum_s' count (V(s') - min V) / n + min V``. What the missing visit could lead to counts as the worst
  state, at a cost of H / n, which beta / sqrt(n) covers where beta >= H;
* *visited*: ``sum_s' count V(s') / visits``, with the bonus of the visits, and pairs never tried at the start value;
* *naive*: ``sum_s' count V(s') / n``, the formula to the letter. It loses V / n, about 1 / ((1 - gamma) n), of each
  row, which no bonus in use makes up for: regret is linear. It is there to be compared with.

The S under the root of beta comes of a union over all V. After Theorem 2 the paper expects a bonus by Bernstein's
inequality, as in UCBVI (Azar, Osband and Munos, 2017), to take sqrt(S) off the bound, and leaves it open. Ours, with
the empirical Bernstein inequality of Maurer and Pontil (2009), and without a proof:

    bonus = c (sqrt(2 Var(V) L / n) + 7 H L / (3 n)),    L = log(S A T / delta),

Var(V) the variance under the estimated row, in which the visit that is missing, if any, leads to the worst state.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules, stay
from bayesmdp.agents.families.optimistic import best_action, horizon_options, never, share_clipped, unit_rewards
from bayesmdp.foundation.arrays import Array
from bayesmdp.planning import clip_span, greedy
from bayesmdp.planning.operators import next_value, over_outcomes
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["gamma_ucb_cvi"]

ESTIMATES = ("recentred", "visited", "naive")
"""How P V can be estimated; see the module."""


def gamma_ucb_cvi(
    *,
    horizon: int,
    span: float,
    scale: float = 0.02,
    failure: float = 0.1,
    discount: float | None = None,
    clip: bool = True,
    estimate: str = "recentred",
    bernstein: bool = False,
) -> Agent:
    """Act by optimistic discounted values of a table, swept and clipped after each step (gamma-UCB-CVI).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    span : float
        sp(v*), the span of the bias, or an upper bound: ``bm.solve(mdp).attrs["span"]``.
    scale : float
        c, the scale of the bonus. The theory's is of the order of 1; what does well within 10^5 steps is far smaller.
    failure : float in (0, 1)
        delta, the probability with which the guarantee may fail.
    discount : float, optional
        gamma, of the discounted problem that stands for the average reward; 1 - 1 / sqrt(T) by default.
    clip : bool
        Whether to clip, which is what the algorithm adds to its like.
    estimate : {"recentred", "visited", "naive"}
        How P V is estimated where little is known; see the module.
    bernstein : bool
        Whether the bonus is by the variance of V, without the factor sqrt(S); ours. On RiverSwim-6 it takes a `scale`
        of .1 to be optimistic in 20 of 20 runs of 5,000 steps, by the paper's bonus .02.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For numbers out of range, or an MDP with rewards outside [0, 1].

    Notes
    -----
    *When.* For the average reward in a table, without a prior, where the span of the bias is known roughly and rewards
    are known.

    *When not.* Where the span is not known at all, or states are many: it learns each pair by itself.

    *Cost.* One sweep over all pairs in each step.

    It reports ``bonus``, that of the pair in the last sweep; ``span``, that of V; and ``clipped``, the share of states
    that clipping holds at H above the least (or would hold, where `clip` is false).

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> agent = bm.agents.gamma_ucb_cvi(horizon=2_000, span=6.31)
    >>> result = bm.simulate(river, {"gamma-UCB-CVI": agent}, steps=2_000, replicates=2)
    >>> bool((result["span"] <= 2 * 6.31 + 1e-9).all())
    True
    """
    if estimate not in ESTIMATES:
        raise ValueError(f"estimate must be one of {', '.join(ESTIMATES)}; got {estimate!r}")
    options = horizon_options(horizon, span, scale, failure, discount)
    # As numbers they need no programs of their own.
    options |= {"unseen": float(estimate != "visited"), "recentre": float(estimate == "recentred"), "clip": float(clip)}
    options["bernstein"] = float(bernstein)
    return Agent("gamma-ucb-cvi", _rules, unit_rewards, options, {"estimate": estimate}, objectives=("average",))


class _State(NamedTuple):
    """Counts of outcomes and of pairs, the optimistic values, and the last sweep's bonus and what it clipped."""

    counts: Float[Array, "state action outcome"]
    visits: Float[Array, "state action"]
    q: Float[Array, "state action"]
    value: Float[Array, " state"]
    bonus: Float[Array, "state action"]
    clipped: Float[Array, ""]


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    gamma = options["discount"]
    sizes = (problem.num_states, problem.num_actions, problem.num_outcomes)
    width = 2 * options["span"]
    logarithm = jnp.log(sizes[0] * sizes[1] * options["horizon"] / options["failure"])
    beta = options["scale"] * width * jnp.sqrt(sizes[0] * logarithm)

    def init(key: Key[Array, ""]) -> _State:
        full, none = jnp.full(sizes[:2], 1 / (1 - gamma)), jnp.zeros(sizes[:2])
        state = _State(jnp.zeros(sizes), none, full, full[:, 0], none, jnp.zeros(()))
        return state._replace(bonus=bonus(state))

    def tries(state: _State) -> Float[Array, "state action"]:
        """Return n: visits, and 1 more unless the estimate is "visited"."""
        return jnp.maximum(options["unseen"] + state.visits, 1)

    def by_variance(state: _State) -> Float[Array, "state action"]:
        # c (sqrt(2 Var(V) L / n) + 7 H L / (3 n)); above min V the missing visit adds nothing to either moment.
        n, above = tries(state), next_value(problem, state.value - jnp.min(state.value))
        mean, square = (over_outcomes(state.counts, power) / n for power in (above, above**2))
        variance = jnp.maximum(square - mean**2, 0)
        return options["scale"] * (jnp.sqrt(2 * variance * logarithm / n) + 7 * width * logarithm / (3 * n))

    def bonus(state: _State) -> Float[Array, "state action"]:
        return lax.cond(options["bernstein"] > 0, by_variance, lambda state: beta / jnp.sqrt(tries(state)), state)

    def sweep(state: _State) -> _State:
        # P V, less min V where it is recentred.
        least = options["recentre"] * jnp.min(state.value)
        continued = over_outcomes(state.counts, next_value(problem, state.value - least)) / tries(state) + least
        # Q <- min(Q, r + gamma (P V + beta / sqrt(n))); pairs never tried stay where they are, if so asked.
        optimistic = bonus(state)
        q = problem.reward[..., 0] + gamma * (continued + optimistic)
        q = jnp.where(options["unseen"] + state.visits > 0, jnp.minimum(state.q, q), state.q)
        # U = min(max_a Q, V), V <- min(U, min_s U + H).
        value = jnp.minimum(greedy(problem, q)[1], state.value)
        return state._replace(
            q=q,
            value=jnp.where(options["clip"] > 0, clip_span(value, width), value),
            bonus=optimistic,
            clipped=share_clipped(value, width),
        )

    def act(key: Key[Array, ""], state: _State, s: Int[Array, ""]) -> Int[Array, ""]:
        return best_action(problem.available[s], state.q[s])

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        s, a = step.state, step.action
        counts, visits = state.counts.at[s, a, step.outcome].add(1), state.visits.at[s, a].add(1)
        return sweep(state._replace(counts=counts, visits=visits))

    def report(state: _State, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        return {
            "bonus": state.bonus[s, a],
            "span": jnp.max(state.value) - jnp.min(state.value),
            "clipped": state.clipped,
        }

    return Rules(
        init=init,
        begin=stay,
        act=act,
        observe=observe,
        ends=never,
        policy=lambda state: greedy(problem, state.q)[0],
        report=report,
        belief=lambda state: (),
    )
