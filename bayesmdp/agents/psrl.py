"""Continuing posterior sampling (PSRL): act optimally for one sampled MDP, a pseudo-episode at a time.

At the start of each pseudo-episode one kernel is drawn from the posterior, always fresh, and its optimal policy is
followed until the next. Strens (2000); Osband, Russo and Van Roy (2013); in the continuing form of Xu et al. (2024)
that Song, Wang and Zhou (2026), section EC.7.2, compare with.
"""

from __future__ import annotations

from bayesmdp.agents.base import Agent, Options, Rules
from bayesmdp.agents.planner import pseudo_episode_rules
from bayesmdp.mdp import Problem
from bayesmdp.planning import Mean
from bayesmdp.posterior import Belief, exact_belief
from bayesmdp.posterior.program import Model

__all__ = ["psrl"]


def psrl(prior: Model) -> Agent:
    """Continuing PSRL under a prior.

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site, conjugate

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.psrl(dirichlet_transitions(river, concentration=1 / 6))
    >>> result = bm.simulate(river, {"PSRL": agent}, steps=100, replicates=2)
    >>> dict(result.sizes)
    {'agent': 1, 'replicate': 2, 'step': 100}
    """
    return Agent("psrl", _rules, lambda mdp: exact_belief(prior, mdp, num_draws=1))


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    return pseudo_episode_rules(belief, problem, options, lambda period, visits, options: Mean())
