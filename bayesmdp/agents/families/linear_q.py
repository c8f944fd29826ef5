"""What agents over linear Q-functions share: a draw of theta for each episode, then the best action under it.

They differ in four numbers and in their priors, which are numbers too, so across tasks all of them are one compiled
program. A draw's deviation from the posterior mean is taken `spread` times (0: the mean itself); targets count the next
state's value `lookahead` times (0: rewards alone); an action is drawn uniformly with probability `epsilon`, and
otherwise in proportion to exp(Q / temperature), the best one where the temperature is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior.beliefs.q_values import QBelief, QState, q_belief
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["linear_q_agent"]


class _State(NamedTuple):
    """What the agent believes, the weights that it acts by, and episodes begun."""

    belief: QState
    theta: Float[Array, "stage feature"]
    period: Float[Array, ""]


def linear_q_agent(
    algorithm: str,
    prior: Callable[[Any], Model],
    episodes: int | None,
    *,
    spread: float = 1.0,
    lookahead: float = 1.0,
    epsilon: float = 0.0,
    temperature: float = 0.0,
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
    **recorded : float
        Options to be recorded in the results beside these.

    Returns
    -------
    Agent
    """
    room = None if episodes is None else integer("episodes", episodes, 1)
    return Agent(
        algorithm,
        _rules,
        lambda mdp: q_belief(prior(mdp), mdp, room),
        {"spread": spread, "lookahead": lookahead, "epsilon": epsilon, "temperature": temperature},
        {**recorded, **({} if room is None else {"episodes": room})},
        objectives=("episode",),
    )


def _rules(belief: QBelief, problem: Problem, options: Options) -> Rules:
    features, stage = problem.features, problem.stage
    assert features is not None
    assert stage is not None

    def init(key: Key[Array, ""]) -> _State:
        return _State(belief.init(key), jnp.zeros((features.shape[-1],)) + belief.prior().mean, jnp.zeros(()))

    def begin(key: Key[Array, ""], state: _State) -> _State:
        # Backwards through the stages, each regressed on targets made with the draw of the next.
        believed, sites = belief.draw(key, state.belief, problem, options["spread"], options["lookahead"])
        return _State(believed, sites["theta"][0], state.period + 1)

    def act(key: Key[Array, ""], state: _State, s: Int[Array, ""]) -> Int[Array, ""]:
        # The end has no stage of its own.
        q = features[s] @ state.theta[jnp.minimum(stage[s], len(state.theta) - 1)]
        explores, choice, noise = random.split(key, 3)
        # In proportion to exp(Q / temperature), by the largest of Q / temperature plus Gumbel noise.
        heat = options["temperature"]
        tempered = q / jnp.where(heat > 0, heat, 1) + jnp.where(heat > 0, random.gumbel(noise, q.shape), 0)
        any_action = random.gumbel(choice, q.shape)
        values = jnp.where(random.uniform(explores) < options["epsilon"], any_action, tempered)
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
        return (1 - options["epsilon"]) * chosen + options["epsilon"] * problem.available / count

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=lambda uniform, state, step: step.last,
        policy=policy,
        report=lambda state, s, a: {"period": state.period},
        belief=lambda state: state.belief,
    )
