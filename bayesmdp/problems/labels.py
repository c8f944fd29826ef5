"""Names of states and actions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["label_array"]


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
