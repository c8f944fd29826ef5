"""Agents that learn their prior across tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesmdp.agents import Agent
from bayesmdp.foundation.validation import integer, number
from bayesmdp.learned_priors.methods import METHODS, check_method, checked_options
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior

__all__ = ["AcrossTasks", "across_tasks"]


@dataclass(frozen=True)
class AcrossTasks:
    """An agent and how it learns its prior; made by :func:`across_tasks`.

    Attributes
    ----------
    agent : Agent
    method : str or None
        A name in :data:`bayesmdp.learned_priors.methods.METHODS`; None to begin each task anew.
    warm_up : int
        Tasks played under the agent's own prior.
    growth : float
        The prior is learned anew whenever there are this many times as many tasks as when it last was.
    options : mapping
        The options of the method.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> learner = bm.across_tasks(bm.agents.rlsvi(), "empirical-bayes", warm_up=4)
    >>> type(learner).__name__, learner.method, learner.warm_up
    ('AcrossTasks', 'empirical-bayes', 4)
    """

    agent: Agent
    method: str | None = None
    warm_up: int = 0
    growth: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return all options by name, for the results' attrs."""
        scalars = {name: np.asarray(value).tolist() for name, value in self.options.items() if np.ndim(value) == 0}
        arrays = {name: _digest(value) for name, value in self.options.items() if np.ndim(value)}
        learns = {"method": self.method, "warm_up": self.warm_up, "growth": self.growth, **scalars, **arrays}
        return {**self.agent.describe(), **(learns if self.method else {})}


def _digest(array: Any) -> str:
    """Return a fingerprint of an array that is too large to be written out."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def across_tasks(
    agent: Agent, method: str | None = None, *, warm_up: int = 8, growth: float = 1.0, **options: Any
) -> AcrossTasks:
    """Make an agent that learns its prior from task to task.

    Parameters
    ----------
    agent : Agent
        With a prior that is known in closed form: of Q-values (`tsrl`, `rlsvi`, `bandit_ts`, `lsvi`), or Dirichlet and
        Beta.
    method : str, optional
        As for :func:`~bayesmdp.learn_prior`; without it each task is the first.
    warm_up : int
        K0: tasks played under the agent's own prior before any is learned. (A warm-up within each task is the agent's:
        `excitation` of `tsrl`.)
    growth : float, at least 1
        Learn anew only when there are this many times as many tasks as at the last time; 1 is after each task.
    **options
        The options of the method, as for :func:`~bayesmdp.learn_prior`.

    Returns
    -------
    AcrossTasks
        To be given to :func:`~bayesmdp.simulate_tasks`.

    Raises
    ------
    TypeError
        For anything but an agent.
    ValueError
        For an unknown method, an option it does not have, or numbers out of range.

    See Also
    --------
    bayesmdp.learn_prior : one step of it, from posteriors.
    bayesmdp.simulate_tasks : runs such agents.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> across_tasks(bm.agents.rlsvi(), "mtsrl+", warm_up=4, scale=0.1).describe()["method"]
    'mtsrl+'
    """
    if not isinstance(agent, Agent):
        raise TypeError(f"agent is a {type(agent).__name__}; make agents with bayesmdp.agents")
    if method is None:
        if options:
            raise ValueError(f"{next(iter(options))}= is an option of a method, and no method is given")
        return AcrossTasks(agent)
    checked = checked_options(method, options)
    least = METHODS[method].least
    return AcrossTasks(
        agent, method, integer("warm_up", warm_up, least), number("growth", growth, minimum=1.0), checked
    )


def check_learner(name: str, learner: AcrossTasks, own_prior: Any, tasks: int) -> None:
    """Refuse a method that cannot learn the agent's prior.

    Parameters
    ----------
    name : str
        The agent's.
    learner : AcrossTasks
        With a method.
    own_prior : GaussianPrior, or array [state, action, outcome]
        The prior that the agent begins with; None where none can be learned.
    tasks : int

    Raises
    ------
    ValueError
    """
    if own_prior is None:
        raise ValueError(
            f"the prior of agents[{name!r}] cannot be learned across tasks: only that of Q-values 'theta' that are "
            "Normal, or of a 'transition' that is Dirichlet, can"
        )
    assert learner.method is not None
    about = "theta" if isinstance(own_prior, GaussianPrior) else "transition"
    check_method(learner.method, about, f"that of agents[{name!r}] is")
    if learner.warm_up >= tasks:
        raise ValueError(
            f"agents[{name!r}] learns its prior after a warm-up of {learner.warm_up} tasks, but there are only "
            f"{tasks}: give more tasks, or a smaller warm_up"
        )
    if "covariance" in learner.options:
        shape = np.shape(learner.options["covariance"])
        if shape != own_prior.factor.shape:
            raise ValueError(
                f"covariance of agents[{name!r}] has shape {shape}; expected [stage, feature, feature] = "
                f"{own_prior.factor.shape}"
            )
