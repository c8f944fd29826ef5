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
Rewards are known and in [0, 1]. Theirs:

    gamma = 1 - 1 / sqrt(T),    lambda = 1,    H = 2 sp(v*),    beta = c sp(v*) d sqrt(log(d T / delta)),

sp(v*) the span of the bias, which the agent is told, and regret O(sp(v*) sqrt(d^3 T) log). c and delta here are ours.

The sum over D is a matrix [feature, next state] times a vector, and Lambda^-1 follows by rank-one updates (it is made
afresh at each episode), so a step costs d (S A + d + S) whatever number of steps were taken.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesmdp.agents.base import Agent, Options, Rules, stay
from bayesmdp.agents.optimism import best_action, horizon_options, pair_features, unit_rewards
from bayesmdp.mdp import MDP, Array, Problem
from bayesmdp.planning import clip_span, greedy
from bayesmdp.validation import number
from bayesmdp.world import Step

__all__ = ["gamma_lscvi_ucb"]


def gamma_lscvi_ucb(
    *,
    horizon: int,
    span: float,
    scale: float = 0.003,
    failure: float = 0.1,
    discount: float | None = None,
    ridge: float = 1.0,
    clip: bool = True,
) -> Agent:
    """gamma-LSCVI-UCB with the minimum over all states, on the MDP's features.

    Parameters
    ----------
    horizon : int
        T, the number of steps it will take.
    span : float
        sp(v*), or an upper bound: ``bm.solve(mdp).attrs["span"]``.
    scale : float
        Half their c, so that it multiplies ``H d``, as in `gamma_ucb_cvi`.
    failure : float in (0, 1)
        delta.
    discount : float, optional
        gamma; 1 - 1 / sqrt(T) by default.
    ridge : float
        lambda.
    clip : bool
        Whether to clip.

    Raises
    ------
    ValueError
        For numbers out of range, rewards outside [0, 1], or a successor table.

    Notes
    -----
    It reports ``bonus``, beta |phi| of the pair; ``span``, that of V; ``episode``, their number; and ``frozen``,
    whether the Q that was acted on is that of the episode's first sweep.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> agent = bm.agents.gamma_lscvi_ucb(horizon=2_000, span=6.31)
    >>> result = bm.simulate(river, {"gamma-LSCVI-UCB": agent}, steps=2_000, replicates=2)
    >>> bool(result["episode"].max() <= 1 + 12 * np.log2(1 + 2_000 / 12))
    True
    """
    options = horizon_options(horizon, span, scale, failure, discount)
    options |= {"ridge": number("ridge", ridge, above=0), "clip": float(clip)}
    return Agent("gamma-lscvi-ucb", _rules, _check, options, objectives=("average",))


def _check(mdp: MDP) -> None:
    unit_rewards(mdp)
    if mdp.successor is not None:
        raise ValueError(f"{mdp.name} has a successor table, which this agent does not read: leave it out")


class _State(NamedTuple):
    """What is known, what the episode knows of it, and the optimistic values.

    Attributes
    ----------
    matrix, inverse : arrays [feature, feature]
        Lambda and its inverse.
    log_det : float
        Of Lambda.
    moved : array [feature, next_state]
        ``sum_i phi_i e_{s_i'}'``.
    known_inverse, known_log_det, known_moved
        Those of the episode's start.
    length : array [state, action]
        |phi| under the episode's inverse.
    value : array [state]
    pool : array [state, action]
        The largest Q of the episode.
    frozen : bool array [state, action]
        Whether that is its first.
    over : bool
        Whether the determinant has doubled.
    episode : float
    """

    matrix: Array
    inverse: Array
    log_det: Array
    moved: Array
    known_inverse: Array
    known_log_det: Array
    known_moved: Array
    length: Array
    value: Array
    pool: Array
    frozen: Array
    over: Array
    episode: Array


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    pairs = problem.available.shape
    phi = pair_features(problem)
    dimension, gamma, width = phi.shape[-1], options["discount"], 2 * options["span"]
    beta = options["scale"] * width * dimension * jnp.sqrt(jnp.log(dimension * options["horizon"] / options["failure"]))
    cap = 1 / (1 - gamma)
    reward = problem.reward[..., 0]

    def init(key: Array) -> _State:
        ridge, none = options["ridge"] * jnp.eye(dimension), jnp.zeros((dimension, pairs[0]))
        flat, nothing = jnp.linalg.inv(ridge), jnp.zeros(())
        return _State(
            matrix=ridge,
            inverse=flat,
            log_det=nothing,
            moved=none,
            known_inverse=flat,
            known_log_det=nothing,
            known_moved=none,
            length=jnp.zeros(pairs),
            value=jnp.full(pairs[0], cap),
            pool=jnp.full(pairs, cap),
            frozen=jnp.zeros(pairs, bool),
            over=jnp.zeros((), bool),
            episode=jnp.zeros(()),
        )

    def sweep(state: _State) -> tuple[Array, Array]:
        """The next Q and V."""
        least = jnp.min(state.value)
        weight = state.known_inverse @ (state.known_moved @ (state.value - least))
        q = jnp.minimum(reward + gamma * (phi @ weight + least + beta * state.length), cap)
        value = greedy(problem, q)[1]
        return q, jnp.where(options["clip"] > 0, clip_span(value, width), value)

    def begin(key: Array, state: _State) -> _State:
        # Afresh, so that rounding does not pile up; an identity matrix divided by lambda before any data.
        inverse = jnp.linalg.inv(state.matrix)
        log_det = jnp.linalg.slogdet(state.matrix)[1]
        state = state._replace(
            inverse=inverse,
            log_det=log_det,
            known_inverse=inverse,
            known_log_det=log_det,
            known_moved=state.moved,
            length=jnp.sqrt(jnp.maximum(jnp.einsum("sad,de,sae->sa", phi, inverse, phi), 0)),
            episode=state.episode + 1,
        )
        q, value = sweep(state)
        return state._replace(pool=q, value=value, frozen=jnp.ones(pairs, bool))

    def act(key: Array, state: _State, s: Array) -> Array:
        return best_action(problem, state.pool[s], s)

    def observe(key: Array, state: _State, step: Step) -> _State:
        feature = phi[step.state, step.action]
        along = state.inverse @ feature
        stretch = 1 + feature @ along
        log_det = state.log_det + jnp.log(stretch)
        over = log_det > state.known_log_det + np.log(2)
        state = state._replace(
            matrix=state.matrix + jnp.outer(feature, feature),
            inverse=state.inverse - jnp.outer(along, along) / stretch,
            log_det=log_det,
            moved=state.moved.at[:, step.next_state].add(feature),
            over=over,
        )

        # The sweep before the next step; where that begins an episode, `begin` makes it instead.
        def swept() -> _State:
            q, value = sweep(state)
            higher = q > state.pool
            return state._replace(pool=jnp.where(higher, q, state.pool), value=value, frozen=state.frozen & ~higher)

        return lax.cond(over, lambda: state, swept)

    def report(state: _State, s: Array, a: Array) -> dict[str, Array]:
        return {
            "bonus": beta * state.length[s, a],
            "span": jnp.max(state.value) - jnp.min(state.value),
            "episode": state.episode,
            "frozen": state.frozen[s, a].astype(float),
        }

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=lambda coin, state, step: state.over,
        policy=lambda state: greedy(problem, state.pool)[0],
        report=report,
        next_task=stay,
        belief=lambda state: (),
    )
