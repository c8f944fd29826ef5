"""What a line of the registry of agents says: the maker, and how a small example of it is made and set to work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from inspect import signature
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from bayesmdp.agents.agent import Agent
from bayesmdp.environments.riverswim import riverswim
from bayesmdp.environments.slippery_lake import slippery_lake as lake_environment
from bayesmdp.model_reading.read_model import Model
from bayesmdp.models import dirichlet_transitions, gaussian_q
from bayesmdp.models import slippery_lake as lake_prior
from bayesmdp.problems.unroll import unroll

__all__ = ["Example", "endless_river", "river", "river_in_episodes", "slippery_lake"]


@cache
def river() -> tuple[Any, Model]:
    """Return a discounted river of six states, and a Dirichlet prior of it."""
    problem = riverswim(6)
    return problem, dirichlet_transitions(problem, concentration=1 / 6)


@cache
def endless_river() -> tuple[Any, Model]:
    """Return the same river and prior, judged by the average reward."""
    problem, prior = river()
    return problem.replace(discount=None), prior


@cache
def river_in_episodes() -> tuple[Any, Model]:
    """Return the same river in episodes of ten steps, each pair a feature, and a Normal prior of its Q-function."""
    problem = unroll(riverswim(6).replace(features=np.eye(12).reshape(6, 2, 12)), 10)
    return problem, gaussian_q(problem, covariance=4.0, noise=0.1)


@cache
def slippery_lake() -> tuple[Any, Model]:
    """Return the lake whose states are positions, and its prior."""
    problem = lake_environment()
    return problem, lake_prior(problem)


class Example(NamedTuple):
    """A registered agent, and how a small example of it is made.

    Attributes
    ----------
    make : callable
        The maker: the prior first, if it takes one, then options by keyword.
    setting : callable
        Returns a problem in which the agent can act, and a prior for it if it takes one.
    options : mapping
        What the maker must be given, or is given to learn sooner than with the constants of the theory.
    does_not_learn : str
        Why its regret per step does not fall within 6,000 steps of the example; empty where it does.

    Examples
    --------
    >>> from bayesmdp.agents import psrl
    >>> example = Example(psrl, endless_river)
    >>> example.problem, example.agent().algorithm
    (MDP('riverswim-6': 6 states, 2 actions, average reward), 'psrl')
    """

    make: Callable[..., Agent]
    setting: Callable[[], tuple[Any, Model]] = river
    options: Mapping[str, Any] = MappingProxyType({})
    does_not_learn: str = ""

    @property
    def problem(self) -> Any:
        """The problem that the example acts in."""
        return self.setting()[0]

    def agent(self) -> Agent:
        """Make the example."""
        prior = self.setting()[1:] if "prior" in signature(self.make).parameters else ()
        return self.make(*prior, **self.options)
