"""gamma-LSCVI-UCB: average reward by discounting, for linear MDPs. Hong, Zhang and Tewari (2024), Algorithm 2.

In a linear MDP features phi(s, a) in R^d (``MDP(features=)``) tell where a step leads,
``P(. | s, a) = <phi(s, a), mu(.)>``, so P V is linear in them for every V and can be learnt by least squares over all
pairs. With Lambda = lambda I + sum phi phi', an episode lasts until det Lambda has doubled, and uses the Lambda and the
data of its start, D. Before each step one sweep,

    w = Lambda^-1 sum_D phi_i (V(s_i') - min V),
    Q(s, a) = min(r + gamma (<phi, w> + min V + beta |phi|_{Lambda^-1}), 1 / (1 - gamma)),
    U = max_a Q,    V <- min(U, min_s U + H),

and then the action that is greedy in the largest Q of the episode so far (the *pool*). V is carried from one episode to
the next, and starts at 1 / (1 - gamma). The minima are over all states: this is the variant with a clipping oracle.
Rewards are known and in [0, 1].

Algorithm 1, for tables, makes its values fall from sweep to sweep instead. The paper argues against that here
(sections 4, *Challenges*, and 4.1): minima with all earlier values make the class of possible V too rich to learn P V
for all of it, its covering number exponential in the number of sweeps. *Minimum* is that alternative,

    Q <- min(Q, Q of the sweep),    U = min(max_a Q, V),

in all episodes, with actions greedy in Q; *none* acts by the latest sweep. Both are there to be compared with.

The paper chooses

    gamma = 1 - 1 / sqrt(T),    lambda = 1,    H = 2 sp(v*),    beta = c H d sqrt(log(d T / delta)),

sp(v*) the span of the bias, which the agent is told, and regret O(sp(v*) sqrt(d^3 T) log). c and delta here are ours.

A step costs d (S A + d + S) whatever number of steps were taken; see :mod:`bayesmdp.agents.families.least_squares`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.least_squares import (
    ROUNDING,
    Regression,
    doubled,
    include,
    lengths,
    no_data,
    refreshed,
    unit_bonus,
)
from bayesmdp.agents.families.linear_assumptions import dense_unit_features
from bayesmdp.agents.families.optimistic import best_action, horizon_options, pair_features, share_clipped
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.planning import clip_span, greedy
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["gamma_lscvi_ucb"]

POOLINGS = ("max", "minimum", "none")
"""What of the sweeps is acted on; see the module."""


def gamma_lscvi_ucb(
    *,
    horizon: int,
    span: float,
    scale: float = 0.01,
    failure: float = 0.1,
    discount: float | None = None,
    ridge: float = 1.0,
    clip: bool = True,
    pooling: str = "max",
) -> Agent:
    """Act by optimistic discounted values, linear in features and clipped by all states (gamma-LSCVI-UCB).

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
    ridge : float
        lambda, what keeps the regression regular.
    clip : bool
        Whether V is clipped; without that its span is not bounded.
    pooling : {"max", "minimum", "none"}
        What is acted on: the largest Q of the episode, which is the paper's; the least Q of all sweeps, which then is
        what V is made of; or the latest Q.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For numbers out of range, rewards outside [0, 1], features longer than 1, or a successor table.

    Notes
    -----
    *When.* For the average reward where few features describe many states, and these can be listed.

    *When not.* Where the problem is not linear in the features: `simulate` warns, and nothing is promised.

    *Cost.* One sweep over all states in each step, of order features times (pairs + states); none of it grows with the
    steps taken.

    It reports ``bonus``, ``beta|phi|`` of the pair; ``span``, that of V; ``episode``, their number; ``frozen``, whether
    the Q that was acted on is that of the episode's first sweep; and ``clipped``, the share of states that clipping
    holds at H above the least (or would hold, where `clip` is false).

    Examples
    --------
    >>> import numpy as np
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> agent = bm.agents.gamma_lscvi_ucb(horizon=2_000, span=6.31)
    >>> result = bm.simulate(river, {"gamma-LSCVI-UCB": agent}, steps=2_000, replicates=2)
    >>> bool(result["episode"].max() <= 1 + 12 * np.log2(1 + 2_000 / 12))
    True
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {pooling!r}")
    options = horizon_options(horizon, span, scale, failure, discount)
    # As numbers they need no programs of their own.
    options |= {"ridge": number("ridge", ridge, above=0), "clip": float(clip)}
    options |= {"upwards": float(pooling == "max"), "downwards": float(pooling == "minimum")}
    return Agent(
        "gamma-lscvi-ucb",
        _rules,
        dense_unit_features,
        options,
        {"pooling": pooling},
        objectives=("average",),
        linear=("transition",),
    )


class _State(NamedTuple):
    """What is known, what the episode knows of it, and the optimistic values.

    Attributes
    ----------
    data, known : Regression
        Of all steps, and of those before the episode.
    length : array [state, action]
        |phi| under the episode's inverse.
    value : array [state]
        V.
    pool : array [state, action]
        The Q that is acted on: the largest of the episode, or as `pooling` says.
    frozen : bool array [state, action]
        Whether that is the episode's first.
    clipped : float
        The share of states that the last sweep clipped.
    episode : float
        Episodes begun.
    """

    data: Regression
    known: Regression
    length: Float[Array, "state action"]
    value: Float[Array, " state"]
    pool: Float[Array, "state action"]
    frozen: Bool[Array, "state action"]
    clipped: Float[Array, ""]
    episode: Float[Array, ""]


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    pairs = problem.available.shape
    phi = pair_features(problem)
    dimension, gamma, width = phi.shape[-1], options["discount"], 2 * options["span"]
    beta, cap = unit_bonus(options, dimension), 1 / (1 - gamma)
    reward, falls = problem.reward[..., 0], options["downwards"] > 0

    def init(key: Key[Array, ""]) -> _State:
        nothing = no_data(options["ridge"], dimension, pairs[0])
        return _State(
            data=nothing,
            known=nothing,
            length=jnp.zeros(pairs),
            value=jnp.full(pairs[0], cap),
            pool=jnp.full(pairs, cap),
            frozen=jnp.zeros(pairs, bool),
            clipped=jnp.zeros(()),
            episode=jnp.zeros(()),
        )

    def sweep(state: _State) -> _State:
        """Return the state with the next V and, pooled with the `pool` that it comes with, Q."""
        # w = Lambda^-1 sum_D phi_i (V(s_i') - min V).
        least = jnp.min(state.value)
        weights = state.known.weights(state.value - least)
        # Q = min(r + gamma (<phi, w> + min V + beta |phi|_{Lambda^-1}), 1 / (1 - gamma)).
        q = jnp.minimum(reward + gamma * (phi @ weights + least + beta * state.length), cap)
        q = jnp.where(falls, jnp.minimum(q, state.pool), q)
        # V <- min(U, min_s U + H), U = max_a Q, or min(max_a Q, V) where values fall.
        value = greedy(problem, q)[1]
        value = jnp.where(falls, jnp.minimum(value, state.value), value)
        return state._replace(
            pool=jnp.where(options["upwards"] > 0, jnp.maximum(q, state.pool), q),
            value=jnp.where(options["clip"] > 0, clip_span(value, width), value),
            clipped=share_clipped(value, width),
        )

    def begin(key: Key[Array, ""], state: _State) -> _State:
        # Lambda and D are those of the episode's start; the pool is that of its first sweep, and of those before it
        # only where values fall.
        known = refreshed(state.data)
        length = lengths(known.inverse, phi)
        state = state._replace(data=known, known=known, length=length, episode=state.episode + 1)
        return sweep(state._replace(pool=jnp.where(falls, state.pool, -jnp.inf)))._replace(frozen=jnp.ones(pairs, bool))

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        state = state._replace(data=include(state.data, phi[step.state, step.action], step.next_state))

        # The sweep before the next step; where that begins an episode, `begin` makes it instead.
        def swept() -> _State:
            after = sweep(state)
            return after._replace(frozen=state.frozen & (jnp.abs(after.pool - state.pool) <= ROUNDING))

        return lax.cond(doubled(state.data, state.known), lambda: state, swept)

    def report(state: _State, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        return {
            "bonus": beta * state.length[s, a],
            "span": jnp.max(state.value) - jnp.min(state.value),
            "episode": state.episode,
            "frozen": state.frozen[s, a].astype(float),
            "clipped": state.clipped,
        }

    return Rules(
        init=init,
        begin=begin,
        act=lambda key, state, s: best_action(problem.available[s], state.pool[s]),
        observe=observe,
        ends=lambda uniform, state, step: doubled(state.data, state.known),
        policy=lambda state: greedy(problem, state.pool)[0],
        report=report,
        belief=lambda state: (),
    )
