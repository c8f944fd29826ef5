"""Names of states and actions."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

__all__ = ["in_order", "index_of", "label_array", "label_text", "with_names"]


def label_array(labels: Sequence[Hashable], *, text: bool = False) -> NDArray[Any]:
    """Return labels as an array: integers or text, exactly; anything else as Python objects.

    Parameters
    ----------
    labels : sequence
    text : bool
        Make anything else text, for files.

    Returns
    -------
    array [label]
    """
    kinds = {type(label) for label in labels}
    if kinds == {str}:
        return np.asarray(labels)
    if kinds == {int}:
        numbers: list[Any] = list(labels)
        # Named, for NumPy makes floats of ints below and above 2**63, which then run together.
        for dtype in (np.int64, np.uint64):
            if np.iinfo(dtype).min <= min(numbers) and max(numbers) <= np.iinfo(dtype).max:
                return np.asarray(numbers, dtype)
    if text:
        return np.asarray([str(label) for label in labels])
    array = np.empty(len(labels), object)
    array[:] = labels
    return array


def label_text(labels: Sequence[Hashable]) -> str:
    """Return labels as a list in JSON, for attrs, in which what JSON has no form for is text.

    Parameters
    ----------
    labels : sequence

    Examples
    --------
    >>> label_text(["off", np.int64(2), 0.5])
    '["off", 2, 0.5]'
    """
    return json.dumps(list(labels), default=lambda each: each.item() if isinstance(each, np.generic) else str(each))


def index_of(kind: str, positions: dict[Hashable, int], label: Any) -> int:
    """Return the position of a label.

    Parameters
    ----------
    kind : "state" or "action"
        For the message.
    positions : dict of position by label
    label : object

    Returns
    -------
    int

    Raises
    ------
    KeyError
        Naming the label, if there is none.
    """
    try:
        return positions[label]
    except (KeyError, TypeError):
        known = ", ".join(map(repr, list(positions)[:6])) + (", ..." if len(positions) > 6 else "")
        raise KeyError(f"no {kind} {label!r}; the {kind}s are {known}") from None


def with_names(given: Any, dims: Sequence[str]) -> Any:
    """Return a Series or DataFrame as a DataArray, with the labels of its indices unless they merely count.

    Parameters
    ----------
    given : anything
        All else is returned as it is.
    dims : sequence of str
        Of the axes.

    Examples
    --------
    >>> with_names(pd.Series({"b": 0.75, "a": 0.25}), ["state", "action"]).indexes["state"].tolist()
    ['b', 'a']
    """
    if not isinstance(given, pd.Series | pd.DataFrame):
        return given
    if given.ndim > len(dims):
        return given.to_numpy()
    named = dict(zip(dims, given.axes, strict=False))
    coords = {dim: axis for dim, axis in named.items() if not isinstance(axis, pd.RangeIndex)}
    return xr.DataArray(given.to_numpy(), coords, list(named))


def in_order(name: str, given: Any, labels: Mapping[str, Sequence[Hashable] | None]) -> Any:
    """Return an array in the order of labels, where it says which of them its entries are of.

    Parameters
    ----------
    name : str
        For messages.
    given : anything
        A DataArray, whose coordinates may name entries, or a Series or DataFrame, whose indices do unless they merely
        count. All else is returned as it is.
    labels : mapping of dim to labels, or None
        In the order of the axes that a Series or a DataFrame has. None are labels that are not known.

    Raises
    ------
    ValueError
        Naming a label that is missing, or there more than once.

    Examples
    --------
    >>> in_order("initial", pd.Series({"b": 0.75, "a": 0.25}), {"state": ["a", "b"]}).values.tolist()
    [0.25, 0.75]
    """
    given = with_names(given, list(labels))
    if not isinstance(given, xr.DataArray):
        return given
    for dim, known in labels.items():
        own = given.indexes.get(dim)
        if own is not None and known is not None and len(own) == len(known):
            given = given.isel({dim: _places(name, dim, own, known)})
    return given


def _places(name: str, dim: str, own: pd.Index[Any], labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Where labels stand among an array's own."""
    numbers = np.arange(len(own))
    if own.equals(pd.Index(numbers)) and not any(isinstance(label, int) for label in labels):
        return numbers  # they are positions
    if not own.is_unique:
        raise ValueError(f"{name} has the {dim} {own[own.duplicated()][0]!r} more than once")
    for text in (False, True):  # files have text for labels that are neither text nor whole numbers
        found = own.get_indexer(xr.Dataset(coords={dim: (dim, label_array(labels, text=text))}).indexes[dim])
        if (found >= 0).all():
            return found
    missing = int(np.argmax(found < 0))
    raise ValueError(
        f"{name} has no {dim} {labels[missing]!r}, which is {dim}s[{missing}] of the MDP; it has "
        f"{', '.join(map(repr, own[:6].tolist()))}{', ...' if len(own) > 6 else ''}: give it the labels of the MDP, or "
        f"leave them out with {name}.values"
    )
