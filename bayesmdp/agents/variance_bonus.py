"""The variance-based bonus of Sorg, Singh and Lewis (2010).

At each step the agent takes the optimal action of the posterior-mean MDP with the reward

    r(s, a) + beta_R sd[R(s, a)] + beta_P sqrt(sum_s' Var[P(s' | s, a)]),

standard deviations and variances under the posterior: what is known well has no bonus, however seldom it was tried,
which is where the structure of a prior pays. Under independent Dirichlet rows Var = m (1 - m) / (a_0 + 1).

Sorg, Singh and Lewis give scales under which the value is optimistic with high probability, and tune them in their
experiments; both are 1 by default here, which is ours.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import learns_reward
from bayesmdp.agents.families.periods import episode_option, every
from bayesmdp.agents.families.planning import Decision, live_mean, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number, reject_first
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Mean, believed_draws
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.problem import Problem

__all__ = ["variance_bonus"]


def variance_bonus(
    prior: Model, *, reward_scale: float = 1.0, transition_scale: float = 1.0, episode: int | None = 1
) -> Agent:
    """Plan for the posterior mean with a bonus for what varies under the posterior.

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site and perhaps a ``reward`` site
        Its mean rewards need a finite variance, which those of `normal_gamma_rewards` have if `shape` is above 1.
    reward_scale : float, at least 0
        beta_R, the scale of the rewards' part; of no effect where rewards are known.
    transition_scale : float, at least 0
        beta_P, the scale of the kernel's part, in units of value.
    episode : int, optional
        Steps from one plan to the next, by the paper 1; None for pseudo-episodes.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, or a prior whose mean rewards have no finite variance.

    Notes
    -----
    *When.* Where the prior has structure: what is known from elsewhere gets no bonus, however seldom it was tried.

    *When not.* Where the prior is overconfident, since then nothing is explored.

    *Cost.* One plan for the posterior mean each period, by default each step, and the posterior's variances.

    It reports ``bonus``, that of the pair, and ``mean_bonus``, its average over pairs.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.variance_bonus(dirichlet_transitions(river, concentration=1 / 6))
    >>> result = bm.simulate(river, {"variance": agent}, steps=50, replicates=1)
    >>> result["bonus"].values[0, 0, 0].round(3)  # sqrt(6 (1/6) (5/6) / 2)
    np.float32(0.645)
    """
    options = {
        "reward_scale": number("reward_scale", reward_scale, minimum=0),
        "transition_scale": number("transition_scale", transition_scale, minimum=0),
    }
    return Agent("variance-bonus", _rules, lambda mdp: _belief(prior, mdp), options | episode_option(episode))


def _belief(prior: Model, mdp: MDP) -> Belief:
    """Make the belief, and refuse a prior whose mean rewards have no finite variance."""
    belief = make_belief(prior, mdp, num_draws=1)
    if not learns_reward(belief):
        return belief
    assert belief.moments is not None
    with jax.enable_x64(True):
        variance = np.asarray(belief.moments(random.key(0), belief.init(random.key(0)))[1]["reward"][1])
    if variance.ndim != 2:
        given = "[next_state]" if variance.ndim == 1 else "[state, action, next_state]"
        raise ValueError(f"the variance bonus needs a prior whose site 'reward' is [state, action]; it is {given}")
    remedy = "give it one, such as normal_gamma_rewards(..., shape=2)"
    reject_first("the prior variance of reward", ~np.isfinite(variance), variance, "is not finite", remedy=remedy)
    return belief


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        assert belief.moments is not None
        # beta_P sqrt(sum_s' Var[P(s' | s, a)]) + beta_R sd[R(s, a)].
        believed, moments = belief.moments(key, state)
        bonus = options["transition_scale"] * jnp.sqrt(moments["transition"][1].sum(-1))
        if "reward" in moments:
            bonus = bonus + options["reward_scale"] * jnp.sqrt(moments["reward"][1])
        draws = believed_draws({site: mean[None] for site, (mean, _) in moments.items()}, problem)
        return Decision(believed, draws.plus(bonus), Mean(), live_mean(bonus, problem))

    return planning_rules(belief, problem, prepare, every(options, problem))
