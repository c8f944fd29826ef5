"""BOSS, best of sampled sets: Asmuth, Li, Littman, Nouri and Wingate (2009).

K MDPs are drawn from the posterior and merged: in each state the agent may take any action under any of the K, that is
A K actions. The optimal policy of the merged MDP, which picks for each pair the luckiest of the samples, is followed
until some pair was tried B times, when new ones are drawn. With K = 1 that is posterior sampling with these times of
renewal; the larger K, the more optimistic.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Key, Shaped

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.periods import first_reaches
from bayesmdp.agents.families.planning import Decision, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Draws, Mean, believed_draws
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.problem import Problem

__all__ = ["boss", "merged"]


def boss(prior: Model, *, models: int = 5, tries: int = 10) -> Agent:
    """Plan for the best of several posterior draws at each pair (BOSS, best of sampled sets).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site and perhaps a ``reward`` site
    models : int
        K, how many draws are merged.
    tries : int
        B, how often a pair is tried until new ones are drawn. Both defaults are in the range of the paper's
        experiments.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* Where a plan may be too seldom rather than too timid: several draws make it optimistic wherever any of them
    is.

    *When not.* Where rewards are noisy or there are many actions, for each draw is one more copy of them; and where
    learning must go on, as it plans a given number of times.

    *Cost.* A plan over as many copies of the actions as there are draws, whenever some pair was tried often enough.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.boss(dirichlet_transitions(river, concentration=1 / 6))
    >>> result = bm.simulate(river, {"BOSS": agent}, steps=500, replicates=1)
    >>> float(result["period"][0, 0, -1]) <= 13  # 12 pairs
    True
    """
    options, static = {"tries": integer("tries", tries, 1)}, {"models": integer("models", models, 1)}
    return Agent("boss", _rules, lambda mdp: make_belief(prior, mdp, num_draws=models), options, static)


def merged(draws: Draws, problem: Problem) -> tuple[Draws, Problem]:
    """Merge drawn MDPs into one with an action for each action of each of them, those of the first draw first.

    Parameters
    ----------
    draws : Draws
        transition [draw, state, action, outcome].
    problem : Problem
        What the drawn MDPs have in common.

    Returns
    -------
    draws : Draws
        One draw, [1, state, draw x action, outcome].
    problem : Problem
        With the same actions.
    """
    number = draws.transition.shape[0]

    def side_by_side(
        array: Float[Array, "draw state action outcome_or_1"],
    ) -> Float[Array, "state draw_x_action outcome_or_1"]:
        return jnp.moveaxis(array, 0, 1).reshape(array.shape[1], -1, array.shape[-1])

    def copied(array: Shaped[Array, "state action *outcome"]) -> Shaped[Array, "state draw_x_action *outcome"]:
        return jnp.concatenate([array] * number, axis=1)

    reward = side_by_side(draws.reward) if draws.reward.ndim == 4 else copied(draws.reward)
    wider = problem._replace(
        reward=copied(problem.reward),
        successor=None if problem.successor is None else copied(problem.successor),
        available=copied(problem.available),
    )
    return Draws(side_by_side(draws.transition)[None], reward), wider


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        # K MDPs from the posterior, merged.
        believed, sites = belief.draw(key, state)
        draws, wider = merged(believed_draws(sites, problem), problem)
        return Decision(believed, draws, Mean(), {}, wider)

    return planning_rules(belief, problem, prepare, first_reaches(options["tries"]))
