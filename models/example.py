"""What a line of the registry of priors says: the maker, how a small example of it is made, and how it is inferred."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from .dirichlet_transitions import dirichlet_transitions

__all__ = ["Example"]


class Example(NamedTuple):
    """A registered prior, and how a small example of it is made.

    Attributes
    ----------
    make : callable
        Returns the NumPyro model. A prior of rewards stands on Dirichlet transitions in the example.
    environment : str or None
        The registered environment whose example it is a prior of. None for one that is made of numbers alone.
    options : mapping
        What it must be told.
    engine : {"exact", "nuts", "smc", ""}
        How :func:`bayesmdp.infer` finds its posterior given a log. Empty for a distribution of tasks, whose problems
        are drawn and not inferred, and for a model of other data than a log.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> Example(bm.models.normal_rewards).model(river).__name__
    'dirichlet_transitions + normal_rewards'
    """

    make: Callable[..., Callable[[Any], None]]
    environment: str | None = "riverswim"
    options: Mapping[str, Any] = MappingProxyType({})
    engine: Literal["exact", "nuts", "smc", ""] = "exact"

    def model(self, problem: Any = None) -> Callable[[Any], None]:
        """Make the example, of an example of its environment where it has one."""
        given = () if self.environment is None else (problem,)
        below = (
            {"transitions": dirichlet_transitions(problem)} if "transitions" in signature(self.make).parameters else {}
        )
        return self.make(*given, **below, **self.options)
