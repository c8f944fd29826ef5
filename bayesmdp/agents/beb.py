"""BEB: the Bayesian exploration bonus of Kolter and Ng (2009).

At each step the agent takes the optimal action of the posterior-mean MDP with the reward

    r(s, a) + beta / (1 + n0(s, a) + n(s, a)),

n the visits and n0 the weight of the prior's row, the sum of its Dirichlet concentrations. Kolter and Ng show that with
beta = 2 H^2 it is within epsilon of the Bayes-adaptive optimum over H steps, but for a number of steps polynomial in
the sizes; that beta is far too large to use, and `scale` is for the user to choose (1 by default, which is ours).

Here 1 + n0 + n is read off the posterior's moments, as sum m (1 - m) / sum Var over a row with mean m. For a Dirichlet
row that is the same number; for any other prior it says how many observations the row is known as well as.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.periods import episode_option, every
from bayesmdp.agents.families.planning import Decision, live_mean, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Mean, believed_draws
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.problem import Problem

__all__ = ["beb"]


def beb(prior: Model, *, scale: float = 1.0, episode: int | None = 1) -> Agent:
    """Plan for the posterior mean with a bonus for what was tried seldom (BEB).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site and perhaps a ``reward`` site
    scale : float, at least 0
        beta, the scale of the bonus, in units of reward.
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
    *When.* Where there is a prior and a bonus that falls like one over the visits is wanted: it soon stops exploring.

    *When not.* Where being wrong for good is worse than exploring for long: it is greedy for the mean problem sooner
    than others.

    *Cost.* One plan for the posterior mean each period, by default each step.

    It reports ``bonus``, that of the pair, and ``mean_bonus``, its average over pairs.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.beb(dirichlet_transitions(river, concentration=1 / 6))
    >>> bm.simulate(river, {"BEB": agent}, steps=50, replicates=1)["bonus"].values[0, 0, 0]  # 1 / (1 + 1 + 0)
    np.float32(0.5)
    """
    options = {"scale": number("scale", scale, minimum=0)} | episode_option(episode)
    return Agent("beb", _rules, lambda mdp: make_belief(prior, mdp, num_draws=1), options)


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        assert belief.moments is not None
        # beta / (1 + n0 + n), with 1 + n0 + n = sum m (1 - m) / sum Var over a row.
        believed, moments = belief.moments(key, state)
        expected, variance = moments["transition"]
        spread = (expected * (1 - expected)).sum(-1)
        # A row of one outcome is certain.
        bonus = options["scale"] * jnp.where(spread > 0, variance.sum(-1) / jnp.where(spread > 0, spread, 1), 0)
        draws = believed_draws({site: mean[None] for site, (mean, _) in moments.items()}, problem)
        return Decision(believed, draws.plus(bonus), Mean(), live_mean(bonus, problem))

    return planning_rules(belief, problem, prepare, every(options, problem))
