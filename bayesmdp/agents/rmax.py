"""R-MAX: Brafman and Tennenholtz (2002), as in Strehl and Littman (2008).

A pair is *known* once it was tried m times. The agent follows the optimal policy of the empirical MDP of the known
pairs, in which every other is worth the most any could be (:mod:`bayesmdp.agents.families.empirical_mdp`), and plans
again whenever a pair becomes known. Where all pairs are known it never plans again.

Ours: estimates use all that was seen when they are made, where the paper's stop at the first m tries.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import experience, optimistic
from bayesmdp.agents.families.periods import first_reaches
from bayesmdp.agents.families.planning import Decision, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Mean
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.problem import Problem

__all__ = ["rmax"]


def rmax(prior: Model, *, tries: int = 10, max_reward: float | None = None) -> Agent:
    """Plan as if pairs that were tried too seldom earned the most reward there is (R-MAX).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site and perhaps a ``reward`` site
        As for `mbie_eb`.
    tries : int
        m, how often a pair is tried until it is known.
    max_reward : float, optional
        The largest reward there can be; the problem's by default, which the agent is told. Give it where a prior
        draws the true rewards.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* As the classical floor of a comparison, without a prior; where a given number of tries makes a pair known.

    *When not.* With many pairs or little time: it tries every pair that often, however poor, before it is content.

    *Cost.* A plan whenever a pair becomes known, and none once all are.

    It reports ``known``, whether the pair was when the plan was made.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.rmax(dirichlet_transitions(river), tries=5)
    >>> result = bm.simulate(river, {"R-MAX": agent}, steps=2_000, replicates=1)
    >>> float(result["period"][0, 0, -1]) <= 13  # 12 pairs
    True
    """
    options: dict[str, float] = {"tries": integer("tries", tries, 1)}
    if max_reward is not None:
        options["max_reward"] = number("max_reward", max_reward)
    return Agent("rmax", _rules, lambda mdp: make_belief(prior, mdp, num_draws=1), options)


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        # A pair is known after m tries; the others are worth V_max.
        seen = experience(belief, state, problem)
        known = seen.visits >= options["tries"]
        draws = optimistic(seen, known, seen.reward, problem, options)
        return Decision(state, draws, Mean(), {"known": known.astype(float)})

    return planning_rules(belief, problem, prepare, first_reaches(options["tries"]))
