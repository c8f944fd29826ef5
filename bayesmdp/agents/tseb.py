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
is the latter, which comes near the paper's Table 2 at a noise chosen to that end (study ``tseb``).

Three extensions are named there as future work, and built here in a way that is ours: lambda may rise with the number k
of the episode, 1 - (1 - lambda) k^-decay; c may be drawn in each episode, log-Normal about its mean (`bonus_spread`);
and several drawn MDPs, each with its bonus, may be merged as in :mod:`~bayesmdp.agents.boss` (`models`).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import random
from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.boss import merged
from bayesmdp.agents.families.empirical_mdp import experience, learns_reward, reward_range
from bayesmdp.agents.families.periods import episode_option, every
from bayesmdp.agents.families.planning import Decision, live_mean, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Draws, Mean, believed_draws, expected_reward
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.problem import Problem

__all__ = ["tseb"]

OWN = 2**31
"""What is folded into keys, beyond any number of a site."""


def tseb(
    prior: Model,
    *,
    reward_weight: float = 0.5,
    bonus_scale: float | None = None,
    reward_range: float | None = None,
    reward_noise: float = 0.0,
    decay: float = 0.0,
    bonus_spread: float = 0.0,
    models: int = 1,
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
    decay : float, at least 0
        How fast lambda rises to 1 with the number of the episode; with 0 it stays.
    bonus_spread : float, at least 0
        Standard deviation of log c, drawn in each episode; with 0 c is what it is.
    models : int
        How many draws are planned for, each pair taking the best of them; with 1 it is Thompson sampling.
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
    *When.* Where posterior sampling explores too little within an episode, or rewards are unknown and noisy, so that a
    bonus for both has something to say.

    *When not.* Where the scale of the bonus cannot be tuned: what is best differs by problem, and the defaults are
    ours.

    *Cost.* One plan for one draw an episode, as for `psrl`; with `models` above 1 for so many draws.

    It reports ``bonus``, c f of the pair in this episode, a mean over `models`; ``mean_bonus``, its average over pairs;
    and ``reward_weight``, lambda in this episode.

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
        "decay": number("decay", decay, minimum=0),
        "bonus_spread": number("bonus_spread", bonus_spread, minimum=0),
    }
    if bonus_scale is not None:
        options["bonus_scale"] = number("bonus_scale", bonus_scale, minimum=0)
    if reward_range is not None:
        options["reward_range"] = number("reward_range", reward_range, above=0)
    static = {"models": integer("models", models, 1)}
    own = options | episode_option(episode)
    return Agent("tseb", _rules, lambda mdp: make_belief(prior, mdp, num_draws=models), own, static)


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    rate = problem.discount

    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        believed, sites = belief.draw(key, state)
        draws = believed_draws(sites, problem)
        seen = experience(belief, believed, problem)
        # Keys of their own: the belief has folded the numbers of its sites into this one.
        noise, luck = random.fold_in(key, OWN), random.normal(random.fold_in(key, OWN + 1))
        sampled = expected_reward(draws.transition, draws.reward)[..., 0]
        sampled = sampled + options["reward_noise"] * random.normal(noise, sampled.shape)
        # K_r = |R(s, a) - mean reward seen|, K_p = 1 / max(n(s, a), 1).
        of_reward = jnp.abs(sampled - seen.reward) if learns_reward(belief) else jnp.zeros_like(sampled)
        of_kernel = 1 / jnp.maximum(seen.visits, 1)
        # f = 2 / (1 - discount) (K_r + discount / (1 - discount) delta_r K_p / 2).
        bound = 2 / (1 - rate) * (of_reward + rate / (1 - rate) * reward_range(problem, options) * of_kernel / 2)
        spread = options["bonus_spread"]
        scale = options.get("bonus_scale", (1 - rate) ** 2 / 4) * jnp.exp(spread * luck - spread**2 / 2)
        added = scale * bound
        # lambda_k R + (1 - lambda_k) c f,   1 - lambda_k = (1 - lambda) k^-decay.
        weight = 1 - (1 - options["reward_weight"]) * period ** -options["decay"]
        reward = (weight * sampled + (1 - weight) * added)[..., None]
        account = live_mean(added.reshape(-1, *problem.available.shape).mean(0), problem) | {"reward_weight": weight}
        draws = Draws(draws.transition, reward)
        if draws.transition.shape[0] == 1:
            return Decision(believed, draws, Mean(), account)
        draws, wider = merged(draws, problem)
        return Decision(believed, draws, Mean(), account, wider)

    return planning_rules(belief, problem, prepare, every(options, problem))
