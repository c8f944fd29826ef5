"""MBIE-EB: model-based interval estimation with an exploration bonus, Strehl and Littman (2008).

At each step the agent takes the optimal action of the empirical MDP with the reward

    mean r(s, a) + beta / sqrt(n(s, a)),

where pairs that were never tried are worth the most any could be (:mod:`bayesmdp.agents.families.empirical_mdp`). With

    beta = max_reward / (1 - discount) sqrt(ln(2 S A m / delta) / 2)

its values are optimistic for all pairs, up to m tries of each, with probability 1 - delta; their experiments use far
smaller ones (about .4 on RiverSwim, in units of its largest reward), and `scale` is for the user to choose.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import experience, optimistic
from bayesmdp.agents.families.periods import episode_option, every
from bayesmdp.agents.families.planning import Decision, live_mean, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Mean
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.problem import Problem

__all__ = ["mbie_eb"]


def mbie_eb(prior: Model, *, scale: float = 0.4, max_reward: float | None = None, episode: int | None = 1) -> Agent:
    """Plan for the empirical problem with a bonus for what was tried seldom (MBIE-EB).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site and perhaps a ``reward`` site
        The agent plans for what it saw and not with this prior, which says whether rewards are known, and is what the
        results record as its belief.
    scale : float, at least 0
        beta, the scale of the bonus, in units of reward.
    max_reward : float, optional
        The largest reward there can be; the problem's by default, which the agent is told. Give it where a prior
        draws the true rewards.
    episode : int, optional
        Steps from one plan to the next, by the paper 1; None for pseudo-episodes.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* Without a prior, where pairs can be tried and counted: the classical bonus of one over the root of the
    visits.

    *When not.* Where a prior knows how pairs are alike: it learns each by itself. At the theory's scale it explores for
    very long.

    *Cost.* One plan for the empirical problem each period, by default each step.

    It reports ``bonus``, that of the pair (0 where it was never tried), and ``mean_bonus``, its average over pairs.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.mbie_eb(dirichlet_transitions(river))
    >>> result = bm.simulate(river, {"MBIE-EB": agent}, steps=2_000, replicates=1)
    >>> bool(result["reward"][0, 0, -500:].mean() > 0.3)
    True
    """
    options = {"scale": number("scale", scale, minimum=0)} | episode_option(episode)
    if max_reward is not None:
        options["max_reward"] = number("max_reward", max_reward)
    return Agent("mbie-eb", _rules, lambda mdp: make_belief(prior, mdp, num_draws=1), options)


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        # The empirical MDP with mean r(s, a) + beta / sqrt(n(s, a)), and V_max where a pair was never tried.
        seen = experience(belief, state, problem)
        known = seen.visits > 0
        bonus = jnp.where(known, options["scale"] / jnp.sqrt(jnp.maximum(seen.visits, 1)), 0)
        draws = optimistic(seen, known, seen.reward + bonus, problem, options)
        return Decision(state, draws, Mean(), live_mean(bonus, problem))

    return planning_rules(belief, problem, prepare, every(options, problem))
