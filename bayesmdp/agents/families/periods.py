"""When a planning period is over, for agents that follow one plan for a period.

Pseudo-episodes are those of Xu et al. (2024), as used by Song, Wang and Zhou (2026), section 3.2: after each step a new
one begins with probability 1 - discount, independently of the trajectory. Lengths are Geometric, so the expected sum of
rewards over a pseudo-episode is the discounted value, and T steps hold 1 + (1 - discount)(T - 1) of them in
expectation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from bayesmdp.agents.agent import Options
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.simulated_problem import SimulatedProblem
from bayesmdp.problems.world import Step

__all__ = ["Ends", "doubling", "ends_with_episodes", "episode_option", "every", "first_reaches", "pseudo_episode"]

type Ends = Callable[[Array, Step, Array, Array, Array], Array]
"""``ends(uniform, step, age, visits, before)``: whether the period is over after a step.

It is told a number that is uniform in [0, 1), the step, steps in the period, and visits of the step's pair, now and
when the period began.
"""


def pseudo_episode(problem: Problem) -> Ends:
    """Return the rule that a period ends after each step with probability 1 - discount."""
    return lambda uniform, step, age, visits, before: uniform >= problem.discount


def ends_with_episodes(problem: SimulatedProblem) -> Callable[[Array, Any, Step], Array]:
    """Return the `ends` of agents where states are numbers: a pseudo-episode is over, or an episode of the problem.

    Parameters
    ----------
    problem : SimulatedProblem

    Returns
    -------
    callable
    """
    return lambda uniform, state, step: (uniform >= problem.discount) | step.last


def every(options: Options, problem: Problem) -> Ends:
    """Return the rule that a period has as many steps as the option ``episode`` says.

    Parameters
    ----------
    options : mapping
    problem : Problem
        Without the option a period is an episode of a problem with stages, lasts until visits have doubled where the
        problem has no discount, and is a pseudo-episode otherwise.

    Returns
    -------
    callable
    """
    if "episode" in options:
        return lambda uniform, step, age, visits, before: age >= options["episode"]
    if problem.stage is not None:
        return lambda uniform, step, age, visits, before: step.last
    return doubling() if problem.discount is None else pseudo_episode(problem)


def first_reaches(times: Array) -> Ends:
    """Return the rule that a period ends when a pair has just been tried this number of times."""
    return lambda uniform, step, age, visits, before: visits == times


def doubling() -> Ends:
    """Return the rule that a period ends when a pair was tried as often in it as in all before, and at least once.

    Jaksch, Ortner and Auer (2010).
    """
    return lambda uniform, step, age, visits, before: visits >= 2 * jnp.maximum(before, 0.5)


def episode_option(episode: int | None) -> dict[str, int]:
    """Return the option ``episode`` of agents, checked; no option for pseudo-episodes."""
    return {} if episode is None else {"episode": integer("episode", episode, 1)}
