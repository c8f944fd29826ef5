"""What agents read off their experience apart from a posterior: counts, and the MDP that was seen.

Agents that are not Bayesian plan for the *empirical MDP*: the shares of each pair's tries that led to each outcome, and
the mean of the rewards that it brought (the known ones, if the prior says nothing of rewards). A pair that was never
tried has no such estimate. The algorithms here take it to be worth the most that any pair could be,

    V_max = max_reward / (1 - discount),

or `max_reward` itself if that is more because an episode of negative rewards may end, which a row of zeros with V_max
as its reward says to the planner: V_max at once, and nothing after it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float

from bayesmdp.agents.agent import Options
from bayesmdp.foundation.arrays import Array
from bayesmdp.planning import Draws, expected_reward
from bayesmdp.posterior import Belief, QBelief
from bayesmdp.problems.problem import Problem

__all__ = ["Experience", "experience", "largest_reward", "learns_reward", "optimistic", "reward_range"]


class Experience(NamedTuple):
    """The MDP that was seen.

    Attributes
    ----------
    visits : array [state, action]
        How often each pair was tried.
    transition : array [state, action, outcome]
        Shares of tries; zeros where there were none.
    reward : array [state, action]
        Means; known rewards where rewards are known, 0 where nothing is.
    """

    visits: Float[Array, "state action"]
    transition: Float[Array, "state action outcome"]
    reward: Float[Array, "state action"]


def learns_reward(belief: Belief | QBelief) -> bool:
    """Return whether the prior speaks of rewards, so that the problem's own are not to be looked at."""
    return not {"reward", "theta"}.isdisjoint(dict(belief.dims))


def experience(belief: Belief, state: Any, problem: Problem) -> Experience:
    """Return what was seen up to now.

    Parameters
    ----------
    belief : Belief
    state : pytree
        The belief's.
    problem : Problem

    Returns
    -------
    Experience
    """
    rows = belief.rows(state)
    counts = rows.weight.reshape(problem.num_states, problem.num_actions, problem.num_outcomes)
    visits = counts.sum(-1)
    tried = jnp.maximum(visits, 1)
    transition = counts / tried[..., None]
    if learns_reward(belief):
        reward = (counts * rows.reward.reshape(counts.shape)).sum(-1) / tried
    else:
        reward = expected_reward(transition, problem.reward)[..., 0]
    return Experience(visits, transition, reward)


def optimistic(
    seen: Experience,
    known: Bool[Array, "state action"],
    reward: Float[Array, "state action"],
    problem: Problem,
    options: Options,
) -> Draws:
    """Return the empirical MDP where pairs are known, with pairs worth V_max elsewhere; see the module.

    Parameters
    ----------
    seen : Experience
    known : bool array [state, action]
    reward : array [state, action]
        What known pairs are taken to earn.
    problem : Problem
    options : mapping
        With ``max_reward``, unless the problem's largest is meant.

    Returns
    -------
    Draws
        One kernel and its rewards.
    """
    max_reward = largest_reward(problem, options)
    v_max = max_reward / (1 - problem.discount)
    # Terminal states are worth 0, which may be more than negative rewards for ever.
    v_max = jnp.where((problem.continuation == 0).any(), jnp.maximum(max_reward, v_max), v_max)
    transition = jnp.where(known[..., None], seen.transition, 0)
    return Draws(transition[None], jnp.where(known, reward, v_max)[..., None])


def largest_reward(problem: Problem, options: Options) -> Array:
    """Return the option ``max_reward``: that much these algorithms are told of rewards.

    Parameters
    ----------
    problem : Problem
        Its largest reward is the default.
    options : mapping

    Returns
    -------
    float
    """
    return options.get("max_reward", _bounds(problem)[1])


def reward_range(problem: Problem, options: Options) -> Array:
    """Return the option ``reward_range``.

    Parameters
    ----------
    problem : Problem
        The difference of its largest and its least reward is the default.
    options : mapping

    Returns
    -------
    float
    """
    low, high = _bounds(problem)
    return options.get("reward_range", high - low)


def _bounds(problem: Problem) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the least and the largest reward of pairs that can be taken."""
    live = (problem.available & (problem.continuation > 0)[:, None])[..., None]
    return (
        jnp.min(problem.reward, where=live, initial=jnp.inf),
        jnp.max(problem.reward, where=live, initial=-jnp.inf),
    )
