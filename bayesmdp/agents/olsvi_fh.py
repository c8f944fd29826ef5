"""OLSVI.FH: average reward of a linear MDP by finite horizons, one after the other. Wei et al. (2021), Algorithm 2.

The T steps are cut into episodes of H, in each of which the agent follows the optimistic plan for H steps that least
squares makes of all the data (LSVI-UCB; Jin et al., 2020). With Lambda = lambda I + sum phi phi' of the episode's start
and Q_{H+1} = 0, backwards for h = H..1

    w_h = Lambda^-1 sum_i phi_i max_a Q_{h+1}(s_i', a),
    Q_h(s, a) = min(r + <phi, w_h> + beta |phi|_{Lambda^-1}, H),

and the action of the h-th step is greedy in Q_h. Rewards are known here, so that r stays out of the regression; the
paper's is in it. The paper chooses, with sp(v*) the span of the bias, which the agent is told,

    H = max(sqrt(sp(v*)) T^(1/4) / d^(3/4), (sp(v*) T / d^2)^(1/3)),    beta = 20 d H sqrt(log(4 d T / delta)),

lambda = 1, for regret of O(sqrt(sp(v*)) (d T)^(3/4) + (d sp(v*) T)^(2/3)). Reconstructed from the paper's outline, the
logarithm of beta from Jin et al.'s. With that beta Q is H everywhere for longer than 10^5 steps; `scale` multiplies it,
and the default, ours, is what does well in that time. delta is ours.

The sum over the data is a matrix [feature, next state] times a vector, so planning costs H d (S A + S) an episode,
whatever number of steps were taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.least_squares import Regression, include, lengths, no_data, refreshed
from bayesmdp.agents.families.linear_assumptions import wei_features
from bayesmdp.agents.families.optimistic import bonus_options, pair_features
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning import greedy
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["olsvi_fh"]


def olsvi_fh(
    *,
    horizon: int,
    span: float,
    scale: float = 1e-4,
    failure: float = 0.1,
    ridge: float = 1.0,
    episode: int | None = None,
) -> Agent:
    """Plan optimistically by least squares on features, in episodes of a fixed length (OLSVI.FH).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    span : float
        sp(v*), the span of the bias, or an upper bound: ``bm.solve(mdp).attrs["span"]``.
    scale : float
        Scale of beta, the bonus; 1 is the paper's.
    failure : float in (0, 1)
        delta, the probability with which the guarantee may fail.
    ridge : float
        lambda, what keeps the regression regular.
    episode : int, optional
        H, the steps of an episode; the paper's by default. It shapes arrays, so each value is compiled anew.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, rewards outside [0, 1], or features longer than sqrt(2).

    Notes
    -----
    *When.* To compare the reduction to finite horizons with discounting, in linear problems without end.

    *When not.* As a first choice: it forgets its place at the end of each of its episodes, which costs where the span
    is large.

    *Cost.* A backward plan over the horizon an episode, of order horizon times features times pairs.

    It reports ``bonus``, ``beta|phi|`` of the pair; ``episode``, their number; and ``capped``, the share of pairs whose
    Q_1 is H.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> mdp = bm.environments.random_linear_mdp()
    >>> agent = bm.agents.olsvi_fh(horizon=500, span=1.0, episode=10)
    >>> float(bm.simulate(mdp, {"OLSVI": agent}, steps=500, replicates=2)["episode"].max())
    50.0
    """
    options = bonus_options(horizon, span, scale, failure) | {"ridge": number("ridge", ridge, above=0)}
    static = {} if episode is None else {"episode": integer("episode", episode, 1)}
    rules = _StagedRules(None, int(options["horizon"]), options["span"]) if episode is None else _StagedRules(**static)
    return Agent("olsvi-fh", rules, wei_features, options, static, objectives=("average",), linear=("transition",))


class _State(NamedTuple):
    """What is known, and the episode's plan.

    Attributes
    ----------
    known : Regression
        Of all steps.
    length : array [state, action]
        |phi| under the episode's Lambda^-1.
    plan : int array [stage, state]
        The greedy actions of Q_1, Q_2, ...
    stage : int
        Steps taken in the episode.
    episode, capped : float
        What is reported.
    """

    known: Regression
    length: Float[Array, "state action"]
    plan: Int[Array, "stage state"]
    stage: Int[Array, ""]
    episode: Float[Array, ""]
    capped: Float[Array, ""]


@dataclass(frozen=True)
class _StagedRules:
    """The rules for episodes of that length, or the paper's for a horizon and a span. Equal ones share a program."""

    episode: int | None
    horizon: int = 0
    span: float = 0.0

    def __call__(self, belief: None, problem: Problem, options: Options) -> Rules:
        dimension = pair_features(problem).shape[-1]
        steps, span = self.horizon, self.span
        paper_episode = max(span**0.5 * steps**0.25 / dimension**0.75, (span * steps / dimension**2) ** (1 / 3))
        return _rules(problem, options, max(int(np.ceil(paper_episode)), 1) if self.episode is None else self.episode)


def _rules(problem: Problem, options: Options, stages: int) -> Rules:
    phi, reward = pair_features(problem), problem.reward[..., 0]
    pairs, dimension = problem.available.shape, phi.shape[-1]
    # beta = scale 20 d H sqrt(log(4 d T / delta)).
    paper_beta = 20 * dimension * stages * jnp.sqrt(jnp.log(4 * dimension * options["horizon"] / options["failure"]))
    beta = options["scale"] * paper_beta

    def init(key: Key[Array, ""]) -> _State:
        return _State(
            known=no_data(options["ridge"], dimension, pairs[0]),
            length=jnp.zeros(pairs),
            plan=jnp.zeros((stages, pairs[0]), jnp.int32),
            stage=jnp.zeros((), jnp.int32),
            episode=jnp.zeros(()),
            capped=jnp.zeros(()),
        )

    def begin(key: Key[Array, ""], state: _State) -> _State:
        known = refreshed(state.known)
        length = lengths(known.inverse, phi)

        def backup(
            value: Float[Array, " state"], _: None
        ) -> tuple[Float[Array, " state"], tuple[Int[Array, " state"], Float[Array, ""]]]:
            # Q_h = min(r + <phi, w_h> + beta |phi|, H), w_h = Lambda^-1 sum_i phi_i max_a Q_{h+1}(s_i', a).
            q = jnp.minimum(reward + phi @ known.weights(value) + beta * length, stages)
            actions, value = greedy(problem, q)
            return value, (actions, jnp.mean(q >= stages, dtype=float, where=problem.available))

        _, (plan, capped) = lax.scan(backup, jnp.zeros(pairs[0]), None, length=stages, reverse=True)
        return state._replace(
            known=known,
            length=length,
            plan=plan,
            stage=jnp.zeros((), jnp.int32),
            episode=state.episode + 1,
            capped=capped[0],
        )

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        known = include(state.known, phi[step.state, step.action], step.next_state)
        return state._replace(known=known, stage=state.stage + 1)

    def stage_of(state: _State) -> Int[Array, ""]:
        return jnp.minimum(state.stage, stages - 1)

    return Rules(
        init=init,
        begin=begin,
        act=lambda key, state, s: state.plan[stage_of(state), s],
        observe=observe,
        ends=lambda uniform, state, step: state.stage >= stages,
        policy=lambda state: state.plan[stage_of(state)],
        report=lambda state, s, a: {
            "bonus": beta * state.length[s, a],
            "episode": state.episode,
            "capped": state.capped,
        },
        belief=lambda state: (),
    )
