"""TSEB: Thompson sampling with an exploration bonus that adapts. Prasanna, Chandar and Ravindran.

At the start of each episode a kernel P and rewards R are drawn from the posterior, and the agent follows the optimal
policy of

    V(s) = max_a  lambda R(s, a) + (1 - lambda) c f(s, a) + discount sum_s' P(s' | s, a) V(s'),
    f(s, a) = 2 / (1 - discount) (K_r + discount / (1 - discount) delta_r K_p / 2),
    K_r = |R(s, a) - mean reward seen|,   K_p = 1 / max(n(s, a), 1),

delta_r the range of rewards. lambda = 1 is posterior sampling, lambda = 0 looks for what is not known and nothing else.
f is the bound of Ravindran and Barto (2004) on what replacing one pair's row and reward changes in *values*; as a
reward it would be swamping, since the planner adds it up again. The scale c is ours, by default (1 - discount)^2 / 4,
so that

    c f = (1 - discount) K_r / 2 + discount delta_r K_p / 4.

Ours too: the mean of no rewards is 0; K_r is 0 where rewards are known; the length of an episode, 20 by default; and
`reward_noise`. The paper draws R(s, a) from "the sampled reward distribution". That may be a mean, drawn from its
posterior, or a reward, whose noise about the mean does not shrink however much was seen: with `reward_noise` above 0 it
is the latter. The paper's Table 2 comes out under that reading only (study ``tseb``).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import random
from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import experience, learns_reward, reward_range
from bayesmdp.agents.families.periods import episode_option, every
from bayesmdp.agents.families.planning import live_mean, sampling_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Draws, expected_reward
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.problem import Problem

__all__ = ["tseb"]


def tseb(
    prior: Model,
    *,
    reward_weight: float = 0.5,
    bonus_scale: float | None = None,
    reward_range: float | None = None,
    reward_noise: float = 0.0,
    episode: int | None = 20,
) -> Agent:
    """Plan for one posterior draw with a bonus for what is not known well (TSEB).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site and perhaps a ``reward`` site
    reward_weight : float in [0, 1]
        lambda, the share of the drawn reward beside the bonus.
    bonus_scale : float, at least 0, optional
        c, the scale of the bonus; (1 - discount)^2 / 4 by default.
    reward_range : float, positive, optional
        delta_r, the largest reward less the least; the problem's by default, which the agent is told even where it must
        learn the rewards.
    reward_noise : float, at least 0
        Standard deviation of the rewards that are drawn about the drawn means; with 0 the means themselves are taken.
    episode : int, optional
        Steps from one sample to the next; None for pseudo-episodes.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    It reports ``bonus``, c f of the pair in this episode, and ``mean_bonus``, its average over pairs.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.tseb(dirichlet_transitions(river, concentration=1 / 6), reward_weight=0.9)
    >>> bm.simulate(river, {"TSEB": agent}, steps=100, replicates=2)["mean_bonus"].dims
    ('agent', 'replicate', 'step')
    """
    options: dict[str, float] = {
        "reward_weight": number("reward_weight", reward_weight, minimum=0, maximum=1),
        "reward_noise": number("reward_noise", reward_noise, minimum=0),
    }
    if bonus_scale is not None:
        options["bonus_scale"] = number("bonus_scale", bonus_scale, minimum=0)
    if reward_range is not None:
        options["reward_range"] = number("reward_range", reward_range, above=0)
    return Agent("tseb", _rules, lambda mdp: make_belief(prior, mdp, num_draws=1), options | episode_option(episode))


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    rate = problem.discount

    def bonus(
        key: Key[Array, ""], state: Any, draws: Draws
    ) -> tuple[Float[Array, "*draw state action 1"], dict[str, Float[Array, " ..."]]]:
        seen = experience(belief, state, problem)
        sampled = expected_reward(draws.transition, draws.reward)[..., 0]
        # The key has drawn the means.
        sampled = sampled + options["reward_noise"] * random.normal(random.fold_in(key, 1), sampled.shape)
        # K_r = |R(s, a) - mean reward seen|, K_p = 1 / max(n(s, a), 1).
        of_reward = jnp.abs(sampled - seen.reward) if learns_reward(belief) else jnp.zeros_like(sampled)
        of_kernel = 1 / jnp.maximum(seen.visits, 1)
        # f = 2 / (1 - discount) (K_r + discount / (1 - discount) delta_r K_p / 2).
        bound = 2 / (1 - rate) * (of_reward + rate / (1 - rate) * reward_range(problem, options) * of_kernel / 2)
        added = options.get("bonus_scale", (1 - rate) ** 2 / 4) * bound
        # lambda R + (1 - lambda) c f.
        weight = options["reward_weight"]
        of_pairs = added.reshape(problem.available.shape)
        return (weight * sampled + (1 - weight) * added)[..., None], live_mean(of_pairs, problem)

    return sampling_rules(belief, problem, every(options, problem), bonus)
