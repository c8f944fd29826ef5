"""What a family is tried with by the contract of families: a prior of it and data about it, written with NumPyro."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Example"]


class Example(NamedTuple):
    """Two elements of a family, and what observes them.

    Attributes
    ----------
    parameters : nested tuple [2, parameter]
        What the family has to read from the priors.
    priors : tuple of functions (*values of the sites before) -> NumPyro distribution
        One for each site, of both elements at once.
    reward : function (*values of all sites) -> NumPyro distribution, or None
        Of a reward, which may be 0 or 1, about each element; None for a family that rewards say nothing of.
    direct : function (value) -> NumPyro distribution, or None
        The family's likelihood, where it has one.
    observed : nested tuple [2, observation]
        What such sites have observed of each element.
    """

    parameters: tuple[tuple[float, ...], ...]
    priors: tuple[Callable[..., Any], ...]
    reward: Callable[..., Any] | None = None
    direct: Callable[[Any], Any] | None = None
    observed: tuple[tuple[float, ...], ...] = ()
