"""MDP-EXP2: average reward of a fast mixing linear MDP by exponential weights. Wei et al. (2021), Algorithm 3.

Where the MDP is linear in features phi(s, a) (``MDP(features=)``), the sum of the N rewards that follow a pair is, in
expectation and up to what has not mixed, linear in phi too. An episode is B steps with the policy

    pi_k(a | s) proportional to exp(eta sum_{j < k} <phi(s, a), w_j>),

in B / (2 N) parts of 2 N steps. The first N steps of a part only mix; tau is the first of the other N, and R the sum of
their rewards. From the parts m = 1..B / (2 N)

    M_k = sum_m sum_a pi_k(a | s_tau) phi(s_tau, a) phi(s_tau, a)',    w_k = M_k^-1 sum_m phi(s_tau, a_tau) R_m,

if the least eigenvalue of M_k is at least B sigma / (24 N), and w_k = 0 if not. sigma, which the agent is told, is the
least eigenvalue of the same matrix under the stationary distribution of any policy (*excitation*). The paper chooses,
with t_mix the mixing time,

    N = 8 t_mix log T,    B = 32 N log(d T) / sigma,    eta = min(sqrt(1 / (T t_mix)), sigma / (24 N)),

for regret of O(sqrt(t_mix^3 T) / sigma). For T up to 10^5 B is most of T or more, and eta too small to be noticed, so
all three can be set. Reconstructed from the paper's outline. Ours: rewards are known, and R is the sum of their means;
unavailable actions have probability 0; what a part's length leaves over of an episode only mixes, and the last episode
may be cut short.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import nn, random
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.linear_assumptions import wei_features
from bayesmdp.agents.families.optimistic import pair_features
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning import greedy
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step, invert

__all__ = ["mdp_exp2"]


def mdp_exp2(
    *,
    horizon: int,
    mixing: float,
    excitation: float,
    window: int | None = None,
    episode: int | None = None,
    rate: float | None = None,
) -> Agent:
    """Choose actions by exponential weights of linear estimates of Q (MDP-EXP2).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    mixing : float
        t_mix, the mixing time, in steps.
    excitation : float
        sigma, the least eigenvalue of M under any policy.
    window : int, optional
        N, in steps: what is left for the chain to mix; the paper's by default, as for `episode` and `rate`.
    episode : int, at least twice `window`, optional
        B, the steps of an episode.
    rate : float, optional
        eta, the rate of the exponential weights.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, rewards outside [0, 1], or features longer than sqrt(2).

    Notes
    -----
    *When.* In a comparison of linear methods that need no optimism, where every policy soon sees all features.

    *When not.* Where exploring takes a plan, as on a river: its policies have to mix fast by themselves.

    *Cost.* A few sums of features a step, one small system an episode.

    It reports ``probability``, pi(a | s) of what was done; ``excited``, the least eigenvalue of the last M_k as a share
    of its trace; and ``skipped``, how many episodes so far had none large enough.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> mdp = bm.environments.random_linear_mdp()
    >>> agent = bm.agents.mdp_exp2(horizon=500, mixing=2, excitation=0.01, window=2, episode=100, rate=0.3)
    >>> result = bm.simulate(mdp, {"EXP2": agent}, steps=500, replicates=2)
    >>> float(result["skipped"].max())
    0.0
    """
    steps, t_mix = integer("horizon", horizon, 2), number("mixing", mixing, above=0)
    sigma = number("excitation", excitation, above=0)
    width = int(np.ceil(8 * t_mix * np.log(steps))) if window is None else integer("window", window, 1)
    options: dict[str, float] = {"horizon": steps, "mixing": t_mix, "excitation": sigma, "window": width}
    if episode is not None:
        options["episode"] = integer("episode", episode, 2 * width)
    least = min(float(np.sqrt(1 / (steps * t_mix))), sigma / (24 * width))
    options["rate"] = least if rate is None else number("rate", rate, above=0)
    return Agent("mdp-exp2", _rules, wei_features, options, objectives=("average",), linear=("transition", "reward"))


class _State(NamedTuple):
    """The policy, and the sums of the episode.

    Attributes
    ----------
    weight : array [feature]
        The sum of the w_j so far.
    policy : array [state, action]
        pi, probabilities.
    age : int
        Steps taken in the episode.
    matrix : array [feature, feature]
        M of the parts so far.
    moment : array [feature]
        The sum of phi(s_tau, a_tau) R of the parts so far.
    start : array [feature]
        phi of the pair at tau.
    earned : float
        Rewards since tau.
    excited, skipped : float
        What is reported.
    """

    weight: Float[Array, " feature"]
    policy: Float[Array, "state action"]
    age: Int[Array, ""]
    matrix: Float[Array, "feature feature"]
    moment: Float[Array, " feature"]
    start: Float[Array, " feature"]
    earned: Float[Array, ""]
    excited: Float[Array, ""]
    skipped: Float[Array, ""]


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    phi, reward = pair_features(problem), problem.reward[..., 0]
    dimension, window, sigma = phi.shape[-1], options["window"], options["excitation"]
    # B = 32 N log(d T) / sigma, in whole parts of 2 N.
    paper_episode = jnp.ceil(16 * jnp.log(dimension * options["horizon"]) / sigma) * 2 * window
    episode = options.get("episode", paper_episode)
    # An indicator of a pair that cannot be taken is never seen: its weight is 0, which this says, and M is regular.
    idle = jnp.zeros((dimension, dimension))
    if problem.features is None:
        idle = jnp.diag(~problem.available.ravel() * (episode / (2 * window)))

    def policy_of(weight: Float[Array, " feature"]) -> Float[Array, "state action"]:
        # pi(a | s) proportional to exp(eta sum_j <phi(s, a), w_j>).
        return nn.softmax(options["rate"] * (phi @ weight), axis=-1, where=problem.available)

    def init(key: Key[Array, ""]) -> _State:
        none, zero = jnp.zeros(dimension), jnp.zeros(())
        return _State(none, policy_of(none), jnp.zeros((), jnp.int32), idle, none, none, zero, zero, zero)

    def begin(key: Key[Array, ""], state: _State) -> _State:
        # w_k = M_k^-1 sum_m phi(s_tau, a_tau) R_m if the least eigenvalue of M_k is at least B sigma / (24 N), else 0.
        least = jnp.linalg.eigvalsh(state.matrix)[0]
        enough = least >= episode * sigma / (24 * window)
        matrix = jnp.where(enough, state.matrix, jnp.eye(dimension))
        weight = state.weight + jnp.where(enough, jnp.linalg.solve(matrix, state.moment), 0)
        return init(key)._replace(
            weight=weight,
            policy=policy_of(weight),
            excited=least / jnp.maximum(jnp.trace(state.matrix), 1e-300),
            skipped=state.skipped + (~enough & (state.age > 0)),
        )

    def act(key: Key[Array, ""], state: _State, s: Int[Array, ""]) -> Int[Array, ""]:
        return invert(jnp.cumsum(state.policy[s]), random.uniform(key))

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        s, a = step.state, step.action
        # tau is the first step of the second half of a part, at whose end R is complete.
        place = state.age % (2 * window)
        opens, closes = place == window, place == 2 * window - 1
        # A part that the episode's end cuts short is not looked at.
        counts = state.age - place + 2 * window <= episode
        # sum_a pi(a | s_tau) phi(s_tau, a) phi(s_tau, a)'.
        expected = phi[s].T @ (state.policy[s][:, None] * phi[s])
        start = jnp.where(opens, phi[s, a], state.start)
        earned = jnp.where(opens, 0, state.earned) + reward[s, a]
        return state._replace(
            age=state.age + 1,
            matrix=state.matrix + jnp.where(opens & counts, expected, 0),
            moment=state.moment + jnp.where(closes & counts, earned, 0) * start,
            start=start,
            earned=earned,
        )

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=lambda uniform, state, step: state.age >= episode,
        policy=lambda state: greedy(problem, phi @ state.weight)[0],
        report=lambda state, s, a: {
            "probability": state.policy[s, a],
            "excited": state.excited,
            "skipped": state.skipped,
        },
        belief=lambda state: (),
    )
