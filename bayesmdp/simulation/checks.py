"""What `simulate` refuses before anything is compiled, and warns of when it is done."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.agents import Agent
from bayesmdp.agents.families.empirical_mdp import learns_reward
from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Model, describe_row
from bayesmdp.model_reading.rows import all_transitions
from bayesmdp.planning.operators import reward_table
from bayesmdp.posterior import Belief, QBelief
from bayesmdp.problems.decision_problem import DecisionProblem, for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.reward_noise import BernoulliNoise
from bayesmdp.simulation.regret import OBJECTIVES
from bayesmdp.simulation.robustness import Robust

__all__ = ["check_rewards", "check_room", "check_run", "warn_of_lost_particles"]

FOR_SPACE = {
    "finite": "psrl",
    "continuous": "gamma_lscvi_ucb_visited",
    "simulated": "fitted_psrl, fitted_brmdp and fitted_aq_brmdp",
}
"""Agents to suggest, by the kind of a problem's states."""


def check_run(
    mdp: DecisionProblem,
    agents: Mapping[str, Agent],
    truth: Model | None,
    robust: Robust | None,
    steps: int,
) -> None:
    """Refuse arguments of `simulate` that are of the wrong kind, or do not go together.

    Parameters
    ----------
    mdp, agents, truth, robust, steps
        As for :func:`~bayesmdp.simulate`.

    Raises
    ------
    ValueError, TypeError
    """
    suggestion = for_space(FOR_SPACE, mdp)
    mdp.check_acting(drawn=truth is not None)
    if not isinstance(agents, Mapping) or not agents:
        raise ValueError("agents must be a mapping of names to agents, with at least one")
    for name, agent in agents.items():
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"agent name {name!r} must be a non-empty string without '/'")
        if not isinstance(agent, Agent):
            raise TypeError(f"agents[{name!r}] is a {type(agent).__name__}; make agents with bayesmdp.agents")
        if mdp.space not in agent.spaces:
            raise ValueError(
                f"agents[{name!r}] ({agent.algorithm}) is for MDPs with {' or '.join(agent.spaces)} states; those of "
                f"{mdp.name} are {mdp.space}, for which there is {suggestion}"
            )
        endless = not mdp.sizes or (agent.room is not None and mdp.sizes[0] > agent.room + 1)
        if endless and agent.room is not None and steps > agent.room:
            raise ValueError(
                f"agents[{name!r}] has room for the states of {agent.room} steps, fewer than {mdp.name} has; steps is "
                f"{steps}: make it with horizon={steps}, and discount= as it is where that should stay"
            )
        if mdp.objective not in agent.objectives:
            remedy = {
                "discounted": "",
                "horizon": "; act in bm.unroll(mdp), whose states know their stage"
                if mdp.space == "finite"
                else "; give it a discount with mdp.replace(discount=0.99, horizon=None)",
            }.get(mdp.objective, "; give it a discount with mdp.replace(discount=0.99, stage=None)")
            raise ValueError(
                f"agents[{name!r}] ({agent.algorithm}) is for MDPs whose objective is {' or '.join(agent.objectives)}; "
                f"that of {mdp.name} is {mdp.objective}{remedy}"
            )
    if robust is not None and not isinstance(robust, Robust):
        raise TypeError(f"robust must be a Robust, such as bm.Robust(level=0.1); got {robust!r}")
    goal = for_space(OBJECTIVES, mdp)[mdp.objective]
    if goal.check is not None and truth is None:
        goal.check(mdp)
    if robust is not None and not goal.cautious:
        raise ValueError(
            f"robust regret is of discounted value in finite MDPs; the objective of {mdp.name} is {mdp.objective!r} "
            f"and its states are {mdp.space}"
        )


def check_room(beliefs: Mapping[str, Belief | QBelief | None], steps: int) -> None:
    """Refuse agents that have no room for what they will see.

    Parameters
    ----------
    beliefs : mapping of agent to belief
    steps : int

    Raises
    ------
    ValueError
    """
    for name, belief in beliefs.items():
        if isinstance(belief, Belief) and belief.room is not None and steps > belief.room:
            raise ValueError(
                f"agents[{name!r}] follows its prior by particles, with room for {belief.room} steps; steps is "
                f"{steps}: make it with room={steps}"
            )
        if not isinstance(belief, QBelief) or belief.layout.episodes is None:
            continue
        room, length = belief.layout.episodes, belief.layout.length
        if steps > room * length:
            raise ValueError(
                f"agents[{name!r}] has room for {room} episodes (of at least {length} steps each); steps is {steps}: "
                f"make it with episodes={-(-steps // length)}"
            )


def check_rewards(
    mdp: DecisionProblem, beliefs: Mapping[str, Belief | QBelief | None], probe: Mapping[str, Array] | None
) -> None:
    """Refuse agents whose priors take rewards as known where they are drawn, or as impossible.

    Parameters
    ----------
    mdp : MDP, ContinuousMDP or SimulatedMDP
    beliefs : mapping of agent to belief
    probe : mapping of site to array, optional
        One draw of the truth; None where the truth is the problem's own.

    Raises
    ------
    ValueError
    """
    for_space(REWARD_CHECKS, mdp)(mdp, beliefs, probe)


def _check_rewards_of_kernels(
    mdp: MDP, beliefs: Mapping[str, Belief | QBelief | None], probe: Mapping[str, Array] | None
) -> None:
    """Refuse, in a finite MDP, a truth of another shape, and priors that do not fit its rewards."""
    true = {"transition": mdp.transition, "reward": mdp.reward} | dict(probe or {})
    if np.shape(true["transition"]) != mdp.sizes:
        raise ValueError(
            f"truth draws a transition of shape {np.shape(true['transition'])}; that of {mdp.name} is {mdp.sizes}"
        )
    drawn = probe is not None and "reward" in probe
    mean = np.asarray(reward_table(np.asarray(true["reward"], float), mdp.sizes))
    if drawn and isinstance(mdp.problem.noise, BernoulliNoise) and not ((mean >= 0) & (mean <= 1)).all():
        outside = mean[(mean < 0) | (mean > 1)][0]
        raise ValueError(
            f"truth draws mean rewards such as {outside:.6g}, which are not probabilities, as noise='bernoulli' needs "
            "them to be"
        )
    for name, belief in beliefs.items():
        if drawn and belief is not None and not learns_reward(belief):
            raise ValueError(
                f"truth draws rewards, which the prior of agents[{name!r}] takes as known: give it one with a site "
                "'reward', such as the truth itself"
            )
    # Equal beliefs are one object.
    for belief, name in {belief: name for name, belief in beliefs.items() if belief and belief.possible}.items():
        _check_possible(mdp, name, belief, np.asarray(true["transition"]), mean)


def _known_to_all(*arguments: Any) -> None:
    """Refuse nothing: rewards of problems whose states are numbers are functions that all know."""


REWARD_CHECKS: Mapping[str, Callable[..., None]] = {
    "finite": _check_rewards_of_kernels,
    "simulated": _known_to_all,
    "continuous": _known_to_all,
}
"""What is checked of rewards, by the kind of a problem's states."""


def _check_possible(
    mdp: MDP, name: str, belief: Belief, transition: NDArray[np.float64], mean: NDArray[np.float64]
) -> None:
    """Refuse a belief that cannot learn from the rewards that will be seen, tried at two draws of their noise."""
    assert belief.possible is not None
    rows = all_transitions(mdp.num_states, mdp.num_actions, mdp.num_outcomes)
    mean = np.broadcast_to(mean, (*mean.shape[:2], mdp.num_outcomes)).ravel()
    happens = (transition * mdp.available[..., None]).ravel() > 0
    noise = mdp.problem.noise
    for uniform in (0.25, 0.75) if noise is not None else (0.5,):
        reward = noise.draw(np.float64(uniform), mean, rows.state, rows.action) if noise is not None else mean
        rows = rows._replace(reward=np.asarray(reward))
        wrong = happens & ~belief.possible(rows)
        if wrong.any():
            row = describe_row(rows, int(np.flatnonzero(wrong)[0]), reward=True)
            raise ValueError(
                f"{mdp.name} has {row}, which has probability 0 under the prior of agents[{name!r}]. Rewards that are "
                "only 0 or 1 are made with MDP(noise='bernoulli')"
            )


def warn_of_lost_particles(result: xr.DataTree) -> None:
    """Warn of agents of whose particles all, or nearly all, gave what happened the probability 0."""
    if "effective_size" not in result:
        return
    lost = result.to_dataset()["effective_size"].isel(step=-1) == 0
    for name in map(str, result.to_dataset()["agent"].to_numpy()):
        number = int(lost.sel(agent=name).sum())
        if not number:
            continue
        warnings.warn(
            f"all, or nearly all, particles of agents[{name!r}] gave what happened the probability 0 in {number} of "
            f"{lost.sizes['replicate']} replicates, and it learned nothing from then on (effective_size is 0 there): "
            "widen the prior, or give it more particles with bm.with_particles",
            RuntimeWarning,
            stacklevel=3,
        )
