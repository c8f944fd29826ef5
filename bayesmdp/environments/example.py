"""What a line of the registry of environments says: the maker, and how a small example of it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Example"]


class Example(NamedTuple):
    """A registered environment, and how a small example of it is made.

    Attributes
    ----------
    make : callable
        Returns the problem.
    options : mapping
        What makes it small, or what it must be told.

    Examples
    --------
    >>> from bayesmdp.environments import queue
    >>> Example(queue, {"capacity": 4}).problem
    MDP('queue-4': 5 states, 2 actions, discount 0.95)
    """

    make: Callable[..., Any]
    options: Mapping[str, Any] = MappingProxyType({})

    @property
    def problem(self) -> Any:
        """The example, made anew."""
        return self.make(**self.options)
