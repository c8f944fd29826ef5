"""Checks made before anything is compiled: each message names the array, the index, the value and the remedy."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ROW_TOLERANCE",
    "distributions",
    "finite_array",
    "integer",
    "labels",
    "number",
    "numeric_array",
    "reject_first",
    "replicate_numbers",
    "turned",
]

ROW_TOLERANCE = 2e-6
"""How far from 1 a distribution may sum: those made in 32 bit, or of six digits, are welcome, and are normalised."""


def numeric_array(name: str, values: ArrayLike, *shapes: tuple[int, ...]) -> NDArray[np.float64]:
    """Return `values` as float64, a copy.

    Parameters
    ----------
    name : str
        For messages.
    values : array_like
    *shapes : tuple of int
        Those allowed; any, if there are none.

    Returns
    -------
    float64 array

    Raises
    ------
    TypeError
        If they are not numbers.
    ValueError
        If they are of another shape.
    """
    array = np.asarray(values)
    if array.dtype == bool or not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise TypeError(f"{name} must hold numbers; got dtype {array.dtype}")
    if shapes and array.shape not in shapes:
        *others, last = map(str, shapes)
        expected = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}{turned(name, array.shape, *shapes)}")
    return array.astype(np.float64)


def finite_array(name: str, values: ArrayLike, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Return `values` as float64, a copy.

    Parameters
    ----------
    name : str
        For messages.
    values : array_like
    shape : tuple of int, optional

    Returns
    -------
    float64 array

    Raises
    ------
    TypeError
        If they are not numbers.
    ValueError
        If one is not finite, with its index, or they are of another shape.
    """
    array = numeric_array(name, values, *(() if shape is None else (shape,)))
    reject_first(name, ~np.isfinite(array), array, "is not finite")
    return array


def turned(name: str, shape: tuple[int, ...], *expected: tuple[int, ...]) -> str:
    """Return a remedy for an array that would be as expected with its first two axes exchanged, empty for any other.

    Parameters
    ----------
    name : str
        Of the array, for the remedy.
    shape : tuple of int
        That it has.
    *expected : tuple of int
        Those allowed.

    Returns
    -------
    str
        To stand at the end of a message.
    """
    exchanged = (*shape[1::-1], *shape[2:])
    if exchanged == shape or exchanged not in expected:
        return ""
    return f"; state comes first, then action: transpose it, np.swapaxes({name}, 0, 1)"


def distributions(
    name: str, values: ArrayLike, shape: tuple[int, ...], *, tolerance: float = ROW_TOLERANCE, remedy: str = ""
) -> NDArray[np.float64]:
    """Return `values` as float64 that are distributions along the last axis; those of 32 bit are normalised.

    Parameters
    ----------
    name : str
        For messages.
    values : array_like
    shape : tuple of int
    tolerance : float
        How far from 1 each may sum.
    remedy : str, optional
        For one that does not sum to 1.

    Returns
    -------
    float64 array

    Raises
    ------
    TypeError, ValueError
        As `finite_array`, and for a negative entry or a row that does not sum to 1.
    """
    array = finite_array(name, values, shape)
    reject_first(name, array < 0, array, "is negative; probabilities are at least 0")
    total = np.asarray(array.sum(-1))
    remedy = remedy or f"{'each row' if array.ndim > 1 else 'it'} must sum to 1"
    reject_first(name, np.abs(total - 1) > tolerance, total, "", verb="sums to", remedy=remedy)
    # Rows that are as good as 64 bit makes them stay as they are, to the last bit.
    loose = np.abs(total - 1) > 1e-8
    array[loose] /= total[loose][..., None]
    return array


def reject_first(
    name: str,
    wrong: NDArray[np.bool_],
    values: NDArray[Any],
    complaint: str,
    *,
    verb: str = "=",
    remedy: str = "",
) -> None:
    """Refuse `values` if any of `wrong` is true.

    Parameters
    ----------
    name : str
        For the message.
    wrong : bool array [...]
    values : array [...]
    complaint, verb, remedy : str
        The message is ``name[index] verb value, which complaint; remedy``.

    Raises
    ------
    ValueError
        Quoting the first entry that is wrong, with its index.
    """
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = f"{name}[{', '.join(map(str, index))}]" if wrong.ndim else name
        text = f"{place} {verb} {values[index]:.10g}" + (f", which {complaint}" if complaint else "")
        raise ValueError(text + (f"; {remedy}" if remedy else ""))


def labels(name: str, given: Sequence[Hashable] | None, size: int) -> tuple[Hashable, ...]:
    """Return labels as a tuple of plain Python values, 0, 1, 2, ... if none were given.

    Parameters
    ----------
    name : str
        "states" or "actions", for messages.
    given : sequence of hashables, or None
    size : int
        How many there must be.

    Returns
    -------
    tuple

    Raises
    ------
    ValueError
        If there are not so many, one is missing or, a tuple, holds something that is (NaN, or as pandas has it), or two
        are equal.
    """
    if given is None:
        return tuple(range(size))
    values = tuple(np.asarray(given).tolist()) if isinstance(given, np.ndarray) else tuple(given)
    if len(values) != size:
        raise ValueError(f"{name} has {len(values)} labels for {size} {name}")
    # NumPy makes None of a date that is missing, so these are looked for in what was given.
    for i, label in enumerate(given):
        if _is_absent(label):
            raise ValueError(f"{name}[{i}] is {label!r}, which is no label; give it a name of its own")
    seen: dict[Hashable, int] = {}
    for i, label in enumerate(values):
        if label in seen:
            raise ValueError(f"{name}[{i}] = {label!r} repeats {name}[{seen[label]}]; labels must be unique")
        seen[label] = i
    return values


def _is_absent(label: Any) -> bool:
    """Whether a label is none, as NaN, which is not equal to itself; or a tuple that holds such a part."""
    import pandas as pd  # a third of a second to import, and commands need none of it to answer

    if isinstance(label, tuple):
        return any(map(_is_absent, label))
    # Not None, which is equal to itself and can be asked for.
    return label is not None and pd.isna(label) is True


def replicate_numbers(replicates: int | Sequence[int]) -> list[int]:
    """Return the numbers of replicates, given as how many there are or one by one; refused unless distinct."""
    if not isinstance(replicates, Iterable):
        return list(range(integer("replicates", replicates, 1)))
    numbers = [integer(f"replicates[{i}]", number, 0) for i, number in enumerate(replicates)]
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"replicates must be distinct numbers, at least one; got {numbers}")
    return numbers


def integer(name: str, value: Any, minimum: int) -> int:
    """Return `value` as an int.

    Parameters
    ----------
    name : str
        For messages.
    value : int or NumPy integer
    minimum : int

    Raises
    ------
    ValueError
        For anything else, and below the minimum.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}; got {value!r}")
    return int(value)


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    minimum: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
) -> float:
    """Return `value` as a float.

    Parameters
    ----------
    name : str
        For messages.
    value : number
    above, below : float, optional
        Bounds that it must not reach.
    minimum, maximum : float, optional
        Bounds that it may reach.

    Raises
    ------
    ValueError
        For what is no number, not finite, or out of bounds.
    """
    bounds = [
        (above, "above", float.__gt__),
        (minimum, "of at least", float.__ge__),
        (below, "below", float.__lt__),
        (maximum, "at most", float.__le__),
    ]
    numeric = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not numeric or not all(bound is None or holds(float(value), float(bound)) for bound, _, holds in bounds):
        wanted = " and ".join(f"{word} {bound:g}" for bound, word, _ in bounds if bound is not None)
        raise ValueError(f"{' '.join([name, 'must be a number', wanted]).rstrip()}; got {value!r}")
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite; got {value!r}")
    return float(value)
