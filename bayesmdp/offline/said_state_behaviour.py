"""What is done today where states are numbers, as somebody says it: by a table of places, or by a function of states.

A table has a column for each coordinate, ``action`` and, where more than one action is taken, ``probability``. Its
distinct states are *places*, and everywhere else is done what is done in the nearest of these, in units of the box that
the log lies in. That is our reading: a table of a few places stands for a rule that changes halfway between them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.logs.log import refuse_missing, written_indices
from bayesmdp.logs.measurements import numbers
from bayesmdp.model_reading.records import Records
from bayesmdp.offline.measured_space import MeasuredSpace
from bayesmdp.offline.named_prior import maker_of
from bayesmdp.offline.near_rows import NearRows
from bayesmdp.offline.state_behaviour import ActsInStates, StateBehaviour, state_behaviour
from bayesmdp.planning.state_policies import StatePolicy
from bayesmdp.problems.labels import label_array

__all__ = [
    "FunctionBehaviour",
    "PlacesBehaviour",
    "function_behaviour",
    "kept_today",
    "measured_today",
    "places_behaviour",
    "read_today",
]

WHAT = "the baseline"
NEARLY = 1e-6
"""By which probabilities may miss a sum of 1."""

PROBED, RARELY, MANY = 200, 0.01, 0.05
"""States of the log at which a function is tried, a probability below which an action is not asked for, and the
share of rows above which a warning says that nothing is known of what is said."""


def _drawn(uniform: Float[Array, ""], probability: Float[Array, " action"]) -> Int[Array, ""]:
    below = jnp.cumsum(probability) / probability.sum()
    return jnp.minimum((uniform >= below).sum(), len(below) - 1).astype(jnp.int32)


@dataclass(frozen=True)
class _Nearest:
    """The rule of a table: parameters are places in units of the box, probabilities there, and the box's corners."""

    def __call__(
        self, parameters: Any, uniform: Float[Array, ""], state: Float[Array, " coordinate"]
    ) -> Int[Array, ""]:
        return _drawn(uniform, self.probabilities(parameters, state))

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return the probability of each action; may be traced."""
        places, probability, low, high = parameters
        apart = (((state - low) / (high - low))[..., None, :] - places) ** 2
        return jnp.asarray(probability)[jnp.argmin(apart.sum(-1), -1)]


@dataclass(frozen=True)
class _Called:
    """The rule of a function of states that returns probabilities [..., action]."""

    function: Callable[[Array], Array]

    def __call__(
        self, parameters: Any, uniform: Float[Array, ""], state: Float[Array, " coordinate"]
    ) -> Int[Array, ""]:
        return _drawn(uniform, self.probabilities(parameters, state))

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


def measured_today(
    baseline: Any, data: Records, space: MeasuredSpace, near: NearRows
) -> tuple[ActsInStates | None, str]:
    """Read what is done today.

    Parameters
    ----------
    baseline : "log", "none", "uniform", DataFrame, "FILE.py:NAME" or callable
        What the log shows, nothing, each action alike, a table of places, or a function of states.
    data : Records
        The log.
    space : MeasuredSpace
    near : NearRows
        Of the log.

    Returns
    -------
    today : ActsInStates or None
    name : str
        Of the baseline: itself, or "a table" or "a function" where it is no text.

    Raises
    ------
    ValueError
        For another baseline.
    """
    corners, actions = (space.low, space.high), space.actions
    today: ActsInStates
    if isinstance(baseline, pd.DataFrame):
        today, name = places_behaviour(baseline, space.coordinates, actions, *corners), "a table"
    elif callable(baseline) or (isinstance(baseline, str) and ":" in baseline):
        function = maker_of(baseline, {})[0] if isinstance(baseline, str) else baseline
        today = function_behaviour(function, actions, np.asarray(data.state)[:PROBED])
        name = baseline if isinstance(baseline, str) else "a function"
    elif not isinstance(baseline, str) or baseline not in ("log", "none", "uniform"):
        raise ValueError(
            "where states are numbers baseline is log, none, uniform, a table with the columns "
            f"{', '.join(space.coordinates)}, action and probability, or FILE.py:NAME of a function of states; got "
            f"{baseline!r}"
        )
    elif baseline == "none":
        return None, baseline
    else:
        rows = slice(None) if baseline == "log" else slice(0)
        return state_behaviour(data.state[rows], data.action[rows], len(actions), *corners), baseline
    _warn_of_untried(today, data, space, near)
    return today, name


def _warn_of_untried(today: ActsInStates, data: Records, space: MeasuredSpace, near: NearRows) -> None:
    """Warn if today's policy is said to do in many rows what no row of the log near did: nothing is known of that."""
    states = np.asarray(data.state)
    untried = (today.probabilities(states) > RARELY) & (near.counts(states) == 0)
    where = untried.any(-1)
    if where.mean() > MANY:
        row = int(where.argmax())
        action = space.actions[int(untried[row].argmax())]
        warnings.warn(
            f"the baseline does in {int(where.sum()):,} of {len(states):,} rows what no row of the log near did, first "
            f"{action!r} at {states[row].tolist()}: what it earns there, and a gain over it, rests on the prior",
            UserWarning,
            stacklevel=5,
        )


def kept_today(today: ActsInStates, space: MeasuredSpace) -> xr.Dataset:
    """Lay out what is done today, so that a plan's file holds it.

    Parameters
    ----------
    today : ActsInStates
        A function is held by its own file.
    space : MeasuredSpace

    Returns
    -------
    Dataset
    """
    actions = {"action": label_array(space.actions)}
    if isinstance(today, StateBehaviour):
        return xr.Dataset({"weights": (("action", "behaviour_feature"), today.weights)}, actions)
    if not isinstance(today, PlacesBehaviour):
        return xr.Dataset(coords=actions)
    columns = {"state": (("place", "coordinate"), today.places), "probability": (("place", "action"), today.shares)}
    return xr.Dataset(columns, {"coordinate": list(space.coordinates), **actions})


def read_today(tree: xr.DataTree, space: MeasuredSpace) -> ActsInStates | None:
    """Read what is done today from the tree of a plan, or its file.

    Parameters
    ----------
    tree : DataTree
    space : MeasuredSpace

    Returns
    -------
    ActsInStates, or None where the tree does not hold it
    """
    if "baseline" not in tree.children:
        return None
    held, corners = tree["baseline"].to_dataset().load(), (np.array(space.low), np.array(space.high))
    if "weights" in held:
        return StateBehaviour(held["weights"].values, *corners)
    if "state" in held:
        return PlacesBehaviour(held["state"].values, held["probability"].values, *corners)
    function, _ = maker_of(str(tree.attrs["baseline_name"]), {})
    return function_behaviour(function, space.actions, np.array(space.anchors))
