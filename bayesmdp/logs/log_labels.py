"""Labels of states and actions as a log's source writes them: exact, in a known order, or refused.

Labels are whole numbers or text. In a text file they are numbers only if the whole set is: one label such as ``goal``
makes text of all states, and ``007`` is text. Nothing is rounded: a whole number that a float cannot tell from its
neighbours, as a hash that passed through an array of floats, is no label any more.

The set is what was seen, numbers in numerical and text in alphabetical order, unless it is *declared*: by the caller,
then anything else is refused; by the ordered categories of a pandas column; or by the attrs of a Dataset.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.logs.columns import listed
from bayesmdp.logs.log import as_labels
from bayesmdp.logs.log_sources import MISSING, Table
from bayesmdp.problems.labels import label_array

__all__ = ["check_declared", "exact_digits", "plain_label", "read_labels"]

_WHOLE = re.compile(r"-?[1-9]\d{0,18}|0")
_DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")


class _Factor(NamedTuple):
    """A column as indices into its distinct labels, and these as Python's int or str."""

    codes: NDArray[np.int64]
    labels: list[Any]
    categories: list[Any] | None


def check_declared(name: str, given: Iterable[Any] | None) -> list[Any] | None:
    """Check labels that the caller declares, and return them as Python's int or str, in their order.

    Parameters
    ----------
    name : str
        For messages.
    given : iterable of labels, or None

    Returns
    -------
    list or None

    Raises
    ------
    TypeError, ValueError
        If one could be no label, or is of another kind than the first, or stands there twice, or there are none.
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a list of labels; got {given!r}")
    labels = [label.item() if isinstance(label, np.generic) else label for label in given]
    for place, label in enumerate(labels):
        if isinstance(label, bool) or not isinstance(label, int | str):
            raise TypeError(f"{name}[{place}] is {label!r}, where labels are whole numbers or text")
        if type(label) is not type(labels[0]):
            raise TypeError(f"{name}[{place}] is {label!r} and {name}[0] is {labels[0]!r}; use one kind")
        if label in labels[:place]:
            raise ValueError(f"{name}[{place}] is {label!r}, which stands at {labels.index(label)} already")
    if not labels:
        raise ValueError(f"{name} declares no label; leave it out to take those of the log")
    return labels


def read_labels(
    table: Table, frame: pd.DataFrame, names: Sequence[str], declared: list[Any] | None, given: Any
) -> tuple[list[Any], list[NDArray[np.int64]]]:
    """Return the label set of some columns, and each column as indices into it.

    Parameters
    ----------
    table, frame
        Where the columns are from, and they themselves.
    names : sequence of str
        Columns that share one set.
    declared : list, optional
        From `check_declared`: the set in its order; other labels are refused.
    given : list or array, optional
        A set that is taken if it holds all labels, as a Dataset's attrs have it.

    Returns
    -------
    labels : list
    codes : list of int arrays [row]

    Raises
    ------
    ValueError, TypeError
        For what is no label, is missing, or is not among those declared: with its place.
    """
    factors = [_factor(table, name, frame[name]) for name in names]
    if table.written:
        meant = _numbers_meant({value for factor in factors for value in factor.labels}, declared)
        factors = [factor._replace(labels=list(map(meant, factor.labels))) for factor in factors]
    _refuse_odd(table, names, factors, declared or [])
    distinct = {value for factor in factors for value in factor.labels}
    if declared is not None:
        kind = "actions" if "action" in names else "states"
        _refuse(
            table,
            names,
            factors,
            distinct - set(declared),
            lambda value: f"{value!r}, none of the {len(declared)} {kind} declared: {listed(declared)}",
            f"correct it, or declare it with {kind}=",
        )
        labels = declared
    else:
        kept = [plain_label(label)[0] for label in as_labels(given)] if given is not None else []
        ordered = _categories(table, names, factors)
        labels = kept if kept and distinct <= set(kept) else ordered or sorted(distinct)
    _refuse_inexact(table, names, factors, labels)
    position = {label: i for i, label in enumerate(labels)}
    return labels, [np.array([position[value] for value in factor.labels])[factor.codes] for factor in factors]


def _factor(table: Table, name: str, column: pd.Series) -> _Factor:
    categories: list[Any] | None = None
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        kind = next(type(value).__name__ for value in column if not isinstance(value, Hashable))
        raise TypeError(f"{table.name} {name} holds a {kind}; a label is a whole number or text") from None
    missing = codes < 0
    if table.written:
        # A blank around a word for missing is no label, though pandas takes it for one.
        blank = [isinstance(value, str) and value.strip() in MISSING for value in distinct.tolist()]
        missing |= np.array([*blank, False])[codes]
    if missing.any():
        remedy = "give each step a label"
        if name == "next_state":
            remedy += ", at an episode's end any, such as 'end'"
        if name == "action":
            remedy += "; a row that only records an episode's last state is no step: leave it out"
        complaint = f"{name} is missing" + " (empty, or a word for it such as NA or null)" * table.written
        table.refuse(int(np.argmax(missing)), complaint, remedy)
    if isinstance(column.dtype, pd.CategoricalDtype):
        distinct = column.cat.categories.take(pd.Categorical(distinct).codes)  # without the dtype's wrapping
        if column.cat.ordered:  # others are how a column is packed, and a filtered one keeps those it lost
            categories = [plain_label(label)[0] for label in column.cat.categories.tolist()]
    digits = exact_digits(distinct.dtype)
    plain: list[Any] = []
    for code, value in enumerate(distinct.tolist()):
        label, complaint, remedy = plain_label(value, digits)
        if complaint:
            table.refuse(int(np.argmax(codes == code)), f"{name} is {value!r}, {complaint}", remedy)
        plain.append(label.strip() if table.written and isinstance(label, str) else label)
    return _Factor(codes, plain, categories)


def exact_digits(dtype: Any) -> int:
    """Binary digits of whole numbers that a column holds exactly."""
    numpy_dtype = getattr(dtype, "numpy_dtype", dtype)
    return int(np.finfo(numpy_dtype).nmant) + 1 if getattr(numpy_dtype, "kind", "") == "f" else 53


def plain_label(value: Any, digits: int = 53) -> tuple[Any, str, str]:
    """A label as Python's int or str; otherwise what is wrong with it, and the remedy."""
    if isinstance(value, str):
        if "\0" in value:
            return value, "and no file can hold the character 0", "take it out of the label"
        return str(value), "", ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)), "", ""  # as a text file would have it
    if isinstance(value, int | np.integer):
        return int(value), "", ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        digits = min(digits, exact_digits(getattr(value, "dtype", None)))
        if abs(value) < 2**digits:  # which may have been the next number
            return int(value), "", ""
        return value, "a float, which cannot tell it from its neighbours", "keep whole numbers as int, or as text"
    return value, "where labels are whole numbers or text", "number the levels, or name them with .astype(str)"


def _numbers_meant(texts: set[str], declared: list[Any] | None) -> Callable[[str], Any]:
    """How to read labels from a text file: as numbers if all of them are whole ones, otherwise as they are."""
    if declared is not None and isinstance(declared[0], str):
        return lambda text: text
    if all(_WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in texts):
        return int
    # Ints that went through an array of floats are written 3.0, but 3 and 3.0 side by side are a mistake.
    if all(re.fullmatch(r"-?\d{1,15}\.0*", text) for text in texts):
        return lambda text: int(text.partition(".")[0])
    if declared is not None:
        numbers = {str(label): label for label in declared}  # also those too long to be taken for numbers unasked
        return lambda text: numbers.get(text, text)
    return lambda text: text


def _refuse(
    table: Table,
    names: Sequence[str],
    factors: Sequence[_Factor],
    odd: set[Any],
    complaint: Callable[[Any], str],
    remedy: str,
) -> None:
    """Refuse the first row of the first column that holds one of the `odd` labels."""
    for name, factor in zip(names, factors, strict=True):
        wrong = np.array([value in odd for value in factor.labels])[factor.codes]
        if odd and wrong.any():
            row = int(np.argmax(wrong))
            table.refuse(row, f"{name} is {complaint(factor.labels[factor.codes[row]])}", remedy)


def _refuse_odd(table: Table, names: Sequence[str], factors: Sequence[_Factor], declared: Sequence[Any]) -> None:
    """Refuse labels of two kinds, levels, and names that differ only in how their accents are coded."""
    distinct = {value for factor in factors for value in factor.labels}
    text = {value for value in distinct if isinstance(value, str)}
    decimals = {value for value in text if table.written and _DECIMAL.fullmatch(value)} - set(declared)
    odd = decimals or (text if len(text) < len(distinct) else set())
    remedy = "use one kind, as .astype(str) does for a column"
    if decimals:
        remedy = "if it is a name, read the file with pandas.read_csv(..., dtype=str) and pass the DataFrame"
    numbers = sorted(distinct - text) or sorted(value for value in text - odd if _WHOLE.fullmatch(value))
    others = f"labels are whole numbers, such as {numbers[0]}, or" if numbers else "labels are whole numbers or"
    _refuse(table, names, factors, odd, lambda value: f"{value!r}, where {others} text", remedy)
    composed: dict[str, list[str]] = {}
    for value in dict.fromkeys([*declared, *sorted(text)]):
        if isinstance(value, str) and not value.isascii():
            composed.setdefault(unicodedata.normalize("NFC", value), []).append(value)
    for name, spellings in composed.items():
        kept = spellings[0] if spellings[0] in declared else name
        complaint = f"which elsewhere is {kept!a}: one name, its accents coded in two ways"
        _refuse(
            table,
            names,
            factors,
            set(spellings) - {kept} if len(spellings) > 1 else set(),
            lambda value, complaint=complaint: f"{value!a}, {complaint}",  # type: ignore[misc]
            "read the file with pandas.read_csv(..., dtype=str), use .str.normalize('NFC') and pass the DataFrame",
        )


def _categories(table: Table, names: Sequence[str], factors: Sequence[_Factor]) -> list[Any]:
    """The order that ordered categories declare, those of two columns brought together; empty if there is none.

    Labels that no category names, as those of a column of text, come after the others.
    """
    declared = [factor.categories for factor in factors if factor.categories is not None]
    before: dict[Any, list[Any]] = {label: [] for categories in declared for label in categories}
    others = {label for factor in factors for label in factor.labels} - before.keys()
    if not before or {type(label) for label in (*before, *others)} not in ({int}, {str}):
        return []
    for categories in declared:
        for earlier, later in pairwise(categories):
            before[later].append(earlier)
    try:
        return [*TopologicalSorter(before).static_order(), *sorted(others)]
    except CycleError:
        raise ValueError(
            f"{table.name}: the categories of {' and '.join(names)} are in orders that contradict each other; give "
            "both columns the same ones, or declare the labels and their order with states="
        ) from None


def _refuse_inexact(table: Table, names: Sequence[str], factors: Sequence[_Factor], labels: Sequence[Any]) -> None:
    """Refuse whole numbers that no array of ints can hold together."""
    numbers = [label for label in labels if isinstance(label, int)]
    if not numbers or label_array(numbers).dtype != object:
        return
    odd = {label for label in numbers if not -(2**63) <= label < 2**63}
    complaint = f"too large to stand beside {min(numbers)}" if max(numbers) < 2**64 else "too large for a whole number"
    _refuse(
        table, names, factors, odd, lambda value: f"{value}, {complaint}", "write labels as text, with .astype(str)"
    )
    raise ValueError(f"{table.name}: the labels hold {max(numbers)}, {complaint}; write labels as text")
