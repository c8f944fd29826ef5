"""What `simulate` and `simulate_tasks` make ready once for all replicates, and the truth that each replicate draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax import random
from jaxtyping import Float, Key

from bayesmdp.agents import Agent
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model, sample_prior
from bayesmdp.planning.operators import reward_table
from bayesmdp.posterior import Belief, QBelief
from bayesmdp.problems.decision_problem import DecisionProblem
from bayesmdp.simulation.checks import check_rewards, check_room, check_run
from bayesmdp.simulation.linear_truth import warn_of_features
from bayesmdp.simulation.robustness import Robust

__all__ = ["Prepared", "Truth", "draw_truth", "prepare", "window_length"]


class Prepared(NamedTuple):
    """What all replicates of a call share.

    Attributes
    ----------
    beliefs : mapping of agent to belief
        None for an agent that is not Bayesian.
    probe : mapping of site to array, optional
        One draw of the truth, which stands for all in checks and in the results' digest; None where the truth is the
        problem's own.
    problem, kernel : pytrees
        What agents are told, and how the world moves, on the device.
    options : mapping of agent to mapping of option to array
        On the device.
    """

    beliefs: dict[str, Belief | QBelief | None]
    probe: dict[str, Array] | None
    problem: Any
    kernel: Any
    options: dict[str, dict[str, Array]]


class Truth(NamedTuple):
    """The true kernel of a replicate or a task, and its mean rewards where they are not the problem's."""

    kernel: Any
    reward: Float[Array, "state action outcome_or_1"] | None


def prepare(
    mdp: DecisionProblem, agents: Mapping[str, Agent], *, truth: Model | None, robust: Robust | None, steps: int
) -> Prepared:
    """Check the arguments of a call together, and make the agents' beliefs.

    Parameters
    ----------
    mdp : MDP, ContinuousMDP or SimulatedMDP
    agents : mapping of name to Agent
    truth : NumPyro model, optional
        What true kernels are drawn from.
    robust : Robust, optional
    steps : int
        Steps of a run, or of a task.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError, TypeError
        As :mod:`bayesmdp.simulation.checks` says.
    """
    check_run(mdp, agents, truth, robust, steps)
    with jax.enable_x64(True):
        beliefs = {name: agent.make_belief(mdp) for name, agent in agents.items()}
        probe = None if truth is None else sample_prior(truth, random.key(0), mdp.sizes)
        check_rewards(mdp, beliefs, probe)
        check_room(beliefs, steps)
        warn_of_features(mdp, agents, probe)
        options = {name: dict(agent.options) for name, agent in agents.items()}
        return Prepared(beliefs, probe, *jax.device_put((mdp.problem, mdp.dynamics, options)))


def draw_truth(truth: Model | None, key: Key[Array, ""], mdp: DecisionProblem, prepared: Prepared) -> Truth:
    """Draw a replicate's or a task's truth, with 64 bits on; without a model it is the problem's own.

    Parameters
    ----------
    truth : NumPyro model, optional
    key : key
    mdp : MDP, ContinuousMDP or SimulatedMDP
    prepared : Prepared

    Returns
    -------
    Truth
    """
    drawn = {} if truth is None else sample_prior(truth, key, mdp.sizes)
    reward = drawn.get("reward")
    return Truth(
        kernel=drawn.get("transition", prepared.kernel),
        reward=None if reward is None else reward_table(reward, mdp.sizes),
    )


def window_length(thin: int, steps: int) -> int:
    """Return the number of steps that are recorded together, checked.

    Parameters
    ----------
    thin : int
    steps : int
        Steps of a run, which windows must divide.

    Returns
    -------
    int

    Raises
    ------
    ValueError
    """
    thin = integer("thin", thin, 1)
    if steps % thin:
        raise ValueError(f"thin must divide steps; got thin={thin}, steps={steps}")
    return thin
