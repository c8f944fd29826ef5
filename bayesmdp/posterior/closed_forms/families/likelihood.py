"""What a site is that observes an unknown directly: its distribution has the unknown for its parameter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array

__all__ = ["Likelihood"]


class Likelihood(ABC):
    """A distribution that observes an unknown of some family.

    Attributes
    ----------
    name : str
        What it is called in messages.
    """

    name: ClassVar[str]

    @abstractmethod
    def takes(self, distribution: Any) -> bool:
        """Whether a NumPyro distribution, without masks and expansions, is this one."""

    @abstractmethod
    def parameter(self, distribution: Any) -> Array:
        """What the distribution has in the place of the unknown."""

    @abstractmethod
    def log_likelihood(self, parameter: NDArray[Any], value: NDArray[Any]) -> NDArray[np.float64]:
        """Log-likelihood [row] of each row's parameter; -inf where the value is impossible.

        Without factors that do not depend on the parameter, which the family's `log_normaliser` does not have either.
        """

    @abstractmethod
    def add(self, parameters: Array, element: Array, value: Array, times: Array) -> Array:
        """The posterior's parameters after some rows; traced.

        Parameters
        ----------
        parameters : array [element, parameter]
        element : int array [row]
            The element of the unknown that each row observes.
        value, times : arrays [row]
            What was observed, and how often it counts.
        """
