"""Posterior sampling (PSRL): act optimally for one sampled MDP until the period ends, then sample again.

At the start of each period one MDP is drawn from the posterior, always fresh, and its optimal policy is followed until
the next. Strens (2000); Osband, Russo and Van Roy (2013), with episodes of a given length; in the continuing form of Xu
et al. (2024), with pseudo-episodes, that Song, Wang and Zhou (2026), section EC.7.2, compare with. Where the problem is
judged by its average reward a period ends by default when a pair's visits have doubled, and the plan is for the gain of
the sample: Agrawal and Jia (2017), one of the two rules of Ouyang et al. (2017).
"""

from __future__ import annotations

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.periods import episode_option, every
from bayesmdp.agents.families.planning import sampling_rules
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.problem import Problem

__all__ = ["psrl"]


def psrl(prior: Model, *, episode: int | None = None) -> Agent:
    """Plan for one posterior draw of the problem, anew in each period (PSRL).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site and perhaps a ``reward`` site
    episode : int, optional
        Steps from one sample to the next; by default a pseudo-episode, or until visits double.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* Where there is a prior and rewards are discounted, come in episodes, or are averaged: it has one option,
    plans seldom, and is the rival to beat.

    *When not.* Where what is learned must be safe on the way: a draw is as often too hopeful as too careful. Where one
    state can trap the learner for good.

    *Cost.* One plan for one draw a period; the steps between cost next to nothing.

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
    return Agent(
        "psrl",
        _rules,
        lambda mdp: make_belief(prior, mdp, num_draws=1),
        episode_option(episode),
        objectives=("discounted", "average", "episode"),
    )


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    return sampling_rules(belief, problem, every(options, problem))
