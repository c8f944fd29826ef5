"""What keeps compiled programs the same from one log to the next: units of a model, and functions that hold arrays.

A program is compiled for the shapes of its arguments, and for the values of everything else. So a model that holds the
corners of the box that a log lies in would need programs of its own for each log. In units of the box, where every
coordinate is in [-1, 1],

    u = (state - middle) / half,

and rewards are too, it is one model for all logs, and what is the log's own is `ModelUnits`, an argument. Functions of
states that hold numbers of a log, such as features, are an `ArrayFunction`: their arrays are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.records import Records

__all__ = ["ArrayFunction", "ModelUnits", "as_argument"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ModelUnits:
    """The units of a model of steps and rewards, in those of a problem.

    Attributes
    ----------
    middle, half : array [coordinate]
        The state that is 0 in them, and how far from it 1 is.
    paid_middle, paid_half : float
        Of rewards.

    Examples
    --------
    >>> units = ModelUnits.of_box(np.array([10.0]), np.array([30.0]), (0.0, 4.0))
    >>> units.states_in(np.array([25.0])).tolist(), float(units.rewards_out(-0.5))
    ([0.5], 1.0)
    """

    middle: Array
    half: Array
    paid_middle: Array
    paid_half: Array

    @classmethod
    def of_box(cls, low: Array, high: Array, rewards: tuple[float, float]) -> ModelUnits:
        """Return the units in which a box, and a range of rewards, are from -1 to 1.

        Parameters
        ----------
        low, high : array [coordinate]
        rewards : (lowest, highest)
            Where these are the same, rewards are so much above it.
        """
        least, most = map(np.float64, rewards)
        return cls((low + high) / 2, (high - low) / 2, (least + most) / 2, (most - least) / 2 or np.float64(1))

    def states_in(self, state: Array) -> Array:
        """States [..., coordinate] in the model's units; may be traced."""
        return (state - self.middle) / self.half

    def states_out(self, state: Array) -> Array:
        """States [..., coordinate] of the model in the problem's units; may be traced."""
        return self.middle + self.half * state

    def rewards_in(self, reward: Array) -> Array:
        """Rewards [...] in the model's units; may be traced."""
        return (reward - self.paid_middle) / self.paid_half

    def rewards_out(self, reward: Array) -> Array:
        """Rewards [...] of the model in the problem's units; may be traced."""
        return self.paid_middle + self.paid_half * reward

    def records_in(self, data: Records) -> Records:
        """Return rows in the model's units.

        Parameters
        ----------
        data : Records
            Next states and rewards among what was seen.
        """
        seen = dict(data.seen)
        seen["next_state"], seen["reward"] = self.states_in(seen["next_state"]), self.rewards_in(seen["reward"])
        return data._replace(state=self.states_in(data.state), seen=seen)


class ArrayFunction:
    """A function that is a pytree: the arrays that it holds are arguments of compiled programs, and not parts of them.

    Subclasses are registered as pytrees, with `jax.tree_util.register_dataclass`.
    """

    def __call__(self, *given: Array) -> Array:
        """Return what the function is of."""
        raise NotImplementedError


def as_argument(function: Callable[..., Any] | None) -> Any:
    """Return a function as programs take it: a pytree, of its arrays if it is an `ArrayFunction`, else of none.

    Parameters
    ----------
    function : callable or None

    Examples
    --------
    >>> jax.tree.leaves(as_argument(np.cos))
    []
    """
    if function is None or isinstance(function, ArrayFunction | jax.tree_util.Partial):
        return function
    return jax.tree_util.Partial(function)  # type: ignore[no-untyped-call]
