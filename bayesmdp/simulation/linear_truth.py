"""Whether a problem is linear in its features, as some agents take it to be, and a warning where it is not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bayesmdp.agents import Agent
from bayesmdp.agents.families.linear_assumptions import TOLERANCE, linear_misfit, shortest_total
from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import reward_table
from bayesmdp.problems.decision_problem import DecisionProblem
from bayesmdp.problems.mdp import MDP

__all__ = ["warn_of_features"]

LARGEST_FIT, LARGEST_TABLE = 2e7, 2e6
"""Multiplications of a least-squares fit, and entries of a dense kernel, up to which it is made: under a second."""


def warn_of_features(mdp: DecisionProblem, agents: Mapping[str, Agent], probe: Mapping[str, Array] | None) -> None:
    """Warn where agents for linear MDPs act in a problem that is not linear in its features.

    Parameters
    ----------
    mdp : MDP, ContinuousMDP or SimulatedMDP
        Looked at if it is finite, has features, and is small enough for that to be quick.
    agents : mapping of name to Agent
    probe : mapping of site to array, optional
        One draw of the truth; None where the truth is the problem's own.
    """
    misled = {name: agent.linear for name, agent in agents.items() if agent.linear}
    if not misled or not isinstance(mdp, MDP) or mdp.features is None:
        return
    pairs, dimension = int(mdp.available.sum()), mdp.features.shape[-1]
    if pairs * dimension * (dimension + mdp.num_states) > LARGEST_FIT or pairs * mdp.num_states > LARGEST_TABLE:
        return
    true = {"transition": mdp.transition, "reward": mdp.reward} | dict(probe or {})
    kernel, reward = np.asarray(true["transition"]), np.asarray(reward_table(np.asarray(true["reward"]), mdp.sizes))
    tables = {"transition": _dense(mdp, kernel), "reward": (kernel * reward).sum(-1, keepdims=True)}
    for what, table in tables.items():
        believers = ", ".join(name for name, linear in misled.items() if what in linear)
        if believers and (misfit := linear_misfit(mdp.features, table, mdp.available)).size > TOLERANCE:
            state, action = misfit.state, misfit.action
            _warn(
                f"the {what} of {mdp.name} is not linear in its features, as agents {believers} take it to be: least "
                f"squares misses {what}[{state}, {action}], state {mdp.states[state]!r} and action "
                f"{mdp.actions[action]!r}, by {misfit.size:.3g} (half the sum of errors); give features that it is "
                "linear in, or none, mdp.replace(features=None), for one of each pair"
            )
    total, most = shortest_total(mdp.features, mdp.available), dimension**0.5
    if total > most * (1 + TOLERANCE):
        _warn(
            f"features of {mdp.name} are short for agents {', '.join(misled)}: weights mu(S) with <phi, mu(S)> = 1 "
            f"have a norm of at least {total:.6g}, above the {most:.6g} = sqrt(d) that their theory rests on; multiply "
            f"all features by {total / most:.6g}, if none becomes longer than the agents accept, or choose others"
        )


def _warn(text: str) -> None:
    """Warn at the line that called `simulate`."""
    warnings.warn(text, UserWarning, stacklevel=5)


def _dense(mdp: MDP, transition: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a kernel with next states for its last axis."""
    if mdp.successor is None:
        return transition
    dense = np.zeros((*mdp.available.shape, mdp.num_states))
    state, action, _ = np.indices(transition.shape)
    np.add.at(dense, (state, action, mdp.successor), transition)
    return dense
