"""What is done today where states are numbers, as somebody says it: by a table of places, or by a function of states.

A table has a column for each coordinate, ``action`` and, where more than one action is taken, ``probability``. Its
distinct states are *places*, and everywhere else is done what is done in the nearest of these, in units of the box that
the log lies in. That is our reading: a table of a few places stands for a rule that changes halfway between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.logs.log import refuse_missing, written_indices
from bayesmdp.logs.measurements import numbers
from bayesmdp.planning.state_rules import RandomRule, StatePolicy

__all__ = ["FunctionBehaviour", "PlacesBehaviour", "function_behaviour", "places_behaviour"]

WHAT = "the baseline"
NEARLY = 1e-6
"""By which probabilities may miss a sum of 1."""


@dataclass(frozen=True)
class _Nearest(RandomRule):
    """The rule of a table: parameters are places in units of the box, probabilities there, and the box's corners."""

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return the probability of each action; may be traced."""
        places, probability, low, high = parameters
        apart = (((state - low) / (high - low))[..., None, :] - places) ** 2
        return jnp.asarray(probability)[jnp.argmin(apart.sum(-1), -1)]


@dataclass(frozen=True)
class _Called(RandomRule):
    """The rule of a function of states that returns probabilities [..., action]."""

    function: Callable[[Array], Array]

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return the probability of each action; may be traced."""
        return jnp.asarray(self.function(state))


@dataclass(frozen=True, eq=False)
class PlacesBehaviour:
    """How probable each action is in a state: as it is in the nearest of some places.

    Attributes
    ----------
    places : array [place, coordinate]
    shares : array [place, action]
    low, high : array [coordinate]
    """

    places: NDArray[np.float64]
    shares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def _scaled(self) -> NDArray[np.float64]:
        return np.asarray((self.places - self.low) / (self.high - self.low))

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it; filled up to a power of two of places, so that programs serve other numbers."""
        filled = np.minimum(np.arange(1 << (len(self.places) - 1).bit_length()), len(self.places) - 1)
        return StatePolicy(_Nearest(), (self._scaled[filled], self.shares[filled], self.low, self.high))

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action.

        Parameters
        ----------
        states : array [place, coordinate]

        Returns
        -------
        array [place, action]
        """
        asked = (np.asarray(states, float) - self.low) / (self.high - self.low)
        apart = ((asked[:, None] - self._scaled[None]) ** 2).sum(-1)
        return self.shares[apart.argmin(-1)]


@dataclass(frozen=True, eq=False)
class FunctionBehaviour:
    """How probable each action is in a state, by a function.

    Attributes
    ----------
    function : callable
        Of states [..., coordinate], to probabilities [..., action]; traced.
    """

    function: Callable[[Array], Array]

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it."""
        return StatePolicy(_Called(self.function), ())

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action.

        Parameters
        ----------
        states : array [place, coordinate]

        Returns
        -------
        array [place, action]
        """
        with jax.enable_x64(True):
            return np.asarray(jax.jit(self.function)(jnp.asarray(states, float)), float)


def places_behaviour(
    table: pd.DataFrame,
    coordinates: Sequence[str],
    actions: Sequence[Any],
    low: ArrayLike,
    high: ArrayLike,
) -> PlacesBehaviour:
    """Read what is done today from a table of places; see the module.

    Parameters
    ----------
    table : DataFrame
        Columns of the coordinates, ``action`` and perhaps ``probability``; pairs that it leaves out have probability 0.
    coordinates : sequence of str
    actions : sequence of labels
    low, high : array [coordinate]
        The box.

    Returns
    -------
    PlacesBehaviour

    Raises
    ------
    ValueError
        For columns, numbers or actions that are none, an action named twice in a place, and probabilities that do not
        sum to 1: with the row.

    Examples
    --------
    >>> table = pd.DataFrame({"warmth": [15, 25, 25], "action": ["on", "on", "off"], "probability": [1, 0.2, 0.8]})
    >>> told = places_behaviour(table, ["warmth"], ["off", "on"], [10.0], [30.0])
    >>> told.probabilities([[12.0], [21.0]]).tolist()
    [[0.0, 1.0], [0.8, 0.2]]
    """
    refuse_missing(WHAT, table, (*coordinates, "action"))
    if not len(table):
        raise ValueError(f"{WHAT} has no rows; it needs an action in one place at the least")
    states = np.stack([numbers(table[name])[0] for name in coordinates], -1)
    wrong = np.argwhere(~np.isfinite(states))
    if len(wrong):
        row, i = wrong[0]
        shown = table[coordinates[i]].tolist()[row]
        raise ValueError(f"{WHAT}'s {coordinates[i]} in row {row} is {shown!r}; it is a finite number")
    action = written_indices(WHAT, table, "action", actions)
    share = pd.to_numeric(table["probability"], errors="coerce") if "probability" in table else np.ones(len(table))
    share = np.asarray(share, float)
    no_share = ~((share >= 0) & (share <= 1))
    if no_share.any():
        row = int(no_share.argmax())
        raise ValueError(
            f"{WHAT}'s probability in row {row} is {table['probability'].tolist()[row]!r}; it is from 0 to 1"
        )
    places, place = np.unique(states, axis=0, return_inverse=True)
    told, times = np.zeros((len(places), len(actions))), np.zeros((len(places), len(actions)))
    np.add.at(told, (place.ravel(), action), share)
    np.add.at(times, (place.ravel(), action), 1)

    def at(i: int) -> str:
        return f"{WHAT} at " + ", ".join(f"{name} {x:g}" for name, x in zip(coordinates, places[i], strict=True))

    if (times > 1).any():
        i, a = np.argwhere(times > 1)[0]
        raise ValueError(f"{at(i)}: the action {actions[a]!r} is named more than once")
    total = told.sum(-1)
    off = np.abs(total - 1) > NEARLY
    if off.any():
        i = int(off.argmax())
        raise ValueError(f"{at(i)}: probabilities sum to {total[i]:.6g}, not 1")
    return PlacesBehaviour(places, told / total[:, None], np.asarray(low, float), np.asarray(high, float))


def function_behaviour(
    function: Callable[..., Any], actions: Sequence[Any], places: NDArray[np.float64]
) -> FunctionBehaviour:
    """Read what is done today from a function of states.

    Parameters
    ----------
    function : callable
        Of states [..., coordinate], made of JAX's functions: probabilities [..., action], or positions of actions
        [...].
    actions : sequence of labels
    places : array [place, coordinate]
        Where it is tried.

    Returns
    -------
    FunctionBehaviour

    Raises
    ------
    ValueError
        If it returns neither: with the state.

    Examples
    --------
    >>> told = function_behaviour(lambda state: (state[..., 0] < 20).astype(int), ["off", "on"], np.array([[18.0]]))
    >>> told.probabilities([[12.0], [21.0]]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    number = len(actions)
    with jax.enable_x64(True):
        told = np.asarray(jax.jit(function)(jnp.asarray(places, float)))
    if told.shape == (len(places),) and told.dtype.kind in "iu":
        wrong = (told < 0) | (told >= number)
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"{WHAT} of {places[i].tolist()} is {told[i]}; actions are at the positions 0 to {number - 1}"
            )
        return FunctionBehaviour(_OneHot(function, number))
    if told.shape != (len(places), number) or told.dtype.kind != "f":
        raise ValueError(
            f"{WHAT} of {len(places)} states is {told.dtype} {told.shape}; it is probabilities, float "
            f"{(len(places), number)}, or positions of actions, int {(len(places),)}"
        )
    wrong = ~((told >= 0).all(-1) & (np.abs(told.sum(-1) - 1) <= NEARLY))
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"{WHAT} of {places[i].tolist()} is {told[i].tolist()}; probabilities are at least 0 and sum to 1"
        )
    return FunctionBehaviour(function)


@dataclass(frozen=True)
class _OneHot:
    """Probabilities of a function that says which action is taken."""

    function: Callable[..., Any]
    number: int

    def __call__(self, state: Array) -> Array:
        return jax.nn.one_hot(self.function(state), self.number, dtype=float)
