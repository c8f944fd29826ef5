"""A mesh over a continuous space, on which a simulated problem can be solved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.mdp import MDP

__all__ = ["Mesh"]


@dataclass(frozen=True)
class Mesh:
    """A finite problem that stands for a continuous one where policies are judged.

    Attributes
    ----------
    points : array [point, coordinate]
    mdp : MDP
        Its states are the points; of its transition nothing is read.
    kernel : callable
        ``kernel(values) -> transition [point, action, point]`` for values of the unknowns by name; may be traced.
    """

    points: NDArray[np.float64]
    mdp: MDP
    kernel: Callable[[Mapping[str, Array]], Array]
