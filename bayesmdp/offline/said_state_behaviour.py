"""What is done today where states are numbers, as somebody writes it down: a table of places.

A table has a column for each coordinate, ``action`` and, where more than one action is taken, ``probability``. Its
distinct states are the places of a :class:`~bayesmdp.planning.state_baseline.PlacesBehaviour`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bayesmdp.logs.log import refuse_missing, written_indices
from bayesmdp.logs.measurements import numbers
from bayesmdp.planning.state_baseline import NEARLY, WHAT, PlacesBehaviour

__all__ = ["places_behaviour"]


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
