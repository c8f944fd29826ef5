"""What agents over linear Q-functions share: a draw of theta for each episode, then the best action under it.

They differ in four numbers and in their priors, which are numbers too, so across tasks all of them are one compiled
program. A draw's deviation from the posterior mean is taken `spread` times (0: the mean itself); targets count the next
state's value `lookahead` times (0: rewards alone); an action is drawn uniformly with probability `epsilon`, and
otherwise in proportion to exp(Q / temperature), the best one where the temperature is 0.

*A warm-up that does not adapt*, if asked for: the first episodes of a task are played uniformly at random over the
available actions, whatever they earn, until the least eigenvalue of each stage's Gram matrix A'A reaches a number, or
for so many episodes. Learners across tasks (:mod:`bayesmdp.simulation.simulate_tasks`) are then told of these episodes
alone. What was tried there depends on no reward of the same stage, so that least squares is unbiased for the last
stage's weights, where Q is linear; targets of earlier stages have the bias of their max. Directions along which no pair
of a stage has a feature do not count. Others that no policy reaches, or chance does not, end with the limit, and what a
learner makes of unseen directions is its own affair (:mod:`~bayesmdp.learned_priors.q_values`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Bool, Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior.beliefs.q_values import QBelief, QState, q_belief
from bayesmdp.posterior.q_regression.rows import QRows
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["linear_q_agent"]


class _State(NamedTuple):
    """What the agent believes, the weights that it acts by, episodes begun, and its warm-up, () without one."""

    belief: QState
    theta: Float[Array, "stage feature"]
    period: Float[Array, ""]
    warm_up: Any = ()


class _WarmUp(NamedTuple):
    """Whether it goes on, what was seen in it, and the directions of no pair's features, times the eigenvalue asked."""

    lasts: Bool[Array, ""]
    rows: QRows
    void: Float[Array, "stage feature feature"]


def linear_q_agent(
    algorithm: str,
    prior: Callable[[Any], Model],
    episodes: int | None,
    *,
    spread: float = 1.0,
    lookahead: float = 1.0,
    epsilon: float = 0.0,
    temperature: float = 0.0,
    excitation: float | None = None,
    at_random: int | None = None,
    **recorded: float,
) -> Agent:
    """Make an agent of this family.

    Parameters
    ----------
    algorithm : str
        Its name.
    prior : callable
        ``prior(mdp)``, a NumPyro model with a site ``theta`` [stage, feature].
    episodes : int, optional
        Room for experience; see :func:`~bayesmdp.posterior.beliefs.q_values.q_belief`.
    spread, lookahead, epsilon, temperature : float
        The four numbers of the family; see the module.
    excitation : float, optional
        The eigenvalue up to which a task is played at random; there is no such warm-up without it.
    at_random : int, optional
        How many episodes that may take at most; to be given with `excitation`, and not without.
    **recorded : float
        Options to be recorded in the results beside these.

    Returns
    -------
    Agent
    """
    room = None if episodes is None else integer("episodes", episodes, 1)
    options: dict[str, float] = {
        "spread": spread,
        "lookahead": lookahead,
        "epsilon": epsilon,
        "temperature": temperature,
    }
    if (excitation is None) != (at_random is None):
        raise ValueError(
            "excitation and at_random are given together or not at all: directions that no policy reaches would "
            f"otherwise keep a warm-up from ending; got excitation={excitation!r} and at_random={at_random!r}"
        )
    if excitation is not None:
        options |= {
            "excitation": number("excitation", excitation, above=0),
            "at_random": integer("at_random", at_random, 1),
        }
    return Agent(
        algorithm,
        _rules if excitation is None else _rules_with_warm_up,
        lambda mdp: q_belief(prior(mdp), mdp, room),
        options,
        {**recorded, **({} if room is None else {"episodes": room})},
        objectives=("episode",),
    )


def _rules(belief: QBelief, problem: Problem, options: Options) -> Rules:
    return _make_rules(belief, problem, options, warms=False)


def _rules_with_warm_up(belief: QBelief, problem: Problem, options: Options) -> Rules:
    return _make_rules(belief, problem, options, warms=True)


def _make_rules(belief: QBelief, problem: Problem, options: Options, *, warms: bool) -> Rules:
    features, stage = problem.features, problem.stage
    assert features is not None
    assert stage is not None

    def init(key: Key[Array, ""]) -> _State:
        started = belief.init(key)
        theta = jnp.zeros((features.shape[-1],)) + belief.prior().mean
        warm_up = _before(problem, started.rows, len(theta), options["excitation"]) if warms else ()
        return _State(started, theta, jnp.zeros(()), warm_up)

    def begin(key: Key[Array, ""], state: _State) -> _State:
        # Backwards through the stages, each regressed on targets made with the draw of the next.
        believed, sites = belief.draw(key, state.belief, problem, options["spread"], options["lookahead"])
        warm_up = _continued(problem, state, options) if warms else ()
        return _State(believed, sites["theta"][0], state.period + 1, warm_up)

    def share_at_random(state: _State) -> Array | float:
        return jnp.where(state.warm_up.lasts, 1.0, options["epsilon"]) if warms else options["epsilon"]

    def act(key: Key[Array, ""], state: _State, s: Int[Array, ""]) -> Int[Array, ""]:
        # The end has no stage of its own.
        q = features[s] @ state.theta[jnp.minimum(stage[s], len(state.theta) - 1)]
        explores, choice, noise = random.split(key, 3)
        # In proportion to exp(Q / temperature), by the largest of Q / temperature plus Gumbel noise.
        heat = options["temperature"]
        tempered = q / jnp.where(heat > 0, heat, 1) + jnp.where(heat > 0, random.gumbel(noise, q.shape), 0)
        any_action = random.gumbel(choice, q.shape)
        values = jnp.where(random.uniform(explores) < share_at_random(state), any_action, tempered)
        return jnp.argmax(jnp.where(problem.available[s], values, -jnp.inf)).astype(jnp.int32)

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        return state._replace(belief=belief.observe(state.belief, step, problem))

    def policy(state: _State) -> Float[Array, "state action"]:
        theta = jnp.concatenate([state.theta, state.theta[-1:]])[stage]
        q = jnp.where(problem.available, jnp.einsum("saf,sf->sa", features, theta), -jnp.inf)
        count = problem.available.sum(-1, keepdims=True)
        heat = options["temperature"]
        tempered = jax.nn.softmax(q / jnp.where(heat > 0, heat, 1), -1)
        best = jnp.arange(problem.num_actions) == jnp.argmax(q, -1)[:, None]
        chosen = jnp.where(heat > 0, tempered, best)
        share = share_at_random(state)
        return (1 - share) * chosen + share * problem.available / count

    def told(state: _State) -> QState:
        # Draws are made from sums over all rows; those who look at rows are learners across tasks.
        if not warms:
            return state.belief
        seen = jax.tree.map(partial(jnp.where, state.warm_up.lasts), state.belief.rows, state.warm_up.rows)
        return state.belief._replace(rows=seen)

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=lambda uniform, state, step: step.last,
        policy=policy,
        report=lambda state, s, a: {"period": state.period},
        belief=told,
    )


def _before(problem: Problem, rows: QRows, stages: int, excitation: Array) -> _WarmUp:
    """Return the warm-up before the first episode."""
    assert problem.features is not None
    assert problem.stage is not None
    possible = problem.available & (problem.continuation > 0)[:, None]
    of = (problem.stage[None] == jnp.arange(stages)[:, None])[..., None] & possible
    values, vectors = jnp.linalg.eigh(jnp.einsum("hsa,saf,sag->hfg", of.astype(float), *[problem.features] * 2))
    void = vectors * (values <= 1e-9 * values[:, -1:])[:, None, :]
    # With this added to a Gram matrix they cannot be what is missing; twice, for rounding.
    return _WarmUp(jnp.ones((), bool), rows, 2 * excitation * void @ jnp.swapaxes(void, 1, 2))


def _continued(problem: Problem, state: _State, options: Options) -> _WarmUp:
    """Return the warm-up at the start of an episode, `state` being that at the end of the one before."""
    assert problem.features is not None
    warm_up, rows = state.warm_up, state.belief.rows
    phi = problem.features[rows.state, rows.action]

    def poor() -> Bool[Array, ""]:
        gram = jnp.swapaxes(phi, 1, 2) @ (rows.weight[..., None] * phi)
        return (jnp.linalg.eigvalsh(gram + warm_up.void)[:, 0] < options["excitation"]).any()

    # Eigenvalues take their time, and only a warm-up needs them.
    lasts = jax.lax.cond(warm_up.lasts & (state.period < options["at_random"]), poor, lambda: jnp.zeros((), bool))
    return _WarmUp(lasts, jax.tree.map(partial(jnp.where, warm_up.lasts), rows, warm_up.rows), warm_up.void)
