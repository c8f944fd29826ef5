"""What regret means: an MDP names its objective, and the simulator charges each step by it.

An objective has three functions. ``baseline(problem, transition)`` is computed once for each true kernel;
``regret(problem, transition, baseline, policy)`` once for each planning period, here the charge of a step in each state
[state] while the policy is followed; ``charge(regret, s)`` reads off the charge of a step in state s.

*discounted*: the step in s is charged V*(s) - V^policy(s), both under the true kernel. Song, Wang and Zhou (2026),
(15).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bayesmdp.mdp import Array, Problem
from bayesmdp.planning import Draws, Mean, policy_evaluation, policy_iteration

__all__ = ["OBJECTIVES", "Objective"]


class Objective(NamedTuple):
    """Functions that turn a policy into regret; see the module."""

    baseline: Callable[[Problem, Array], Any]
    regret: Callable[[Problem, Array, Any, Array], Any]
    charge: Callable[[Any, Array], Array]


def _optimal_value(problem: Problem, transition: Array) -> Array:
    return policy_iteration(problem, Draws(transition[None], problem.reward), Mean()).value


def _value_gap(problem: Problem, transition: Array, baseline: Array, policy: Array) -> Array:
    return baseline - policy_evaluation(problem, transition, problem.reward, policy)


def _in_state(regret: Array, s: Array) -> Array:
    return regret[s]


OBJECTIVES = {"discounted": Objective(_optimal_value, _value_gap, _in_state)}
