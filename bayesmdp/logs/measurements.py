"""Measurements as they stand in a column: numbers, or the names of categories, with what is missing marked.

The same measurement must become the same state wherever it comes from: a text file, in which all is text, a Parquet
file or a data frame. So text of a number is that number, ``3.0`` names the same category as ``3``, and words for
missing values are read as :mod:`bayesmdp.logs.log_sources` reads them. ``007`` stays a name.
"""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.foundation.text_values import with_point
from bayesmdp.logs.scanned_columns import BLANKS, MISSING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Named", "category", "named", "number_text", "numbers", "numbers_in"]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})\.\d+", re.ASCII)


class Named(NamedTuple):
    """A column of categories.

    Attributes
    ----------
    codes : int array [row]
        Indices into `names`; -1 where the value is missing.
    names : list of str
        Distinct, in the order in which they appear.
    order : list of str, or None
        All that there may be, where the column says so: the ordered categories of pandas.
    """

    codes: NDArray[np.int64]
    names: list[str]
    order: list[str] | None


def numbers(column: pd.Series, decimal: str = ".") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Read a column as finite numbers.

    Parameters
    ----------
    column : Series
    decimal : {".", ","}
        The sign in numbers that are written as text.

    Returns
    -------
    array [row]
        NaN where there is no finite number.
    bool array [row]
        Which values are missing, as opposed to wrong.

    Examples
    --------
    >>> values, missing = numbers(pd.Series(["1,5", " 2", "NA", "high"]), decimal=",")
    >>> values, missing
    (array([1.5, 2. , nan, nan]), array([False, False,  True, False]))
    """
    column = _widened(column)
    if pd.api.types.is_numeric_dtype(column) and column.dtype.kind in "iufb":
        values = column.to_numpy(np.float64, na_value=np.nan)
        missing = np.isnan(values)
    else:
        codes, distinct = _factorized(column)
        read = [_number(value, decimal) for value in distinct]
        absent = [isinstance(value, str) and value.strip() in MISSING for value in distinct]
        values = np.array([*read, np.nan])[codes]
        missing = np.array([*absent, True])[codes]
    return np.where(np.isfinite(values), values, np.nan), missing


def numbers_in(text: pl.Expr, decimal: str = ".") -> pl.Expr:
    """Return scanned text as `numbers` reads it: nothing where it is missing, infinite where it is no number."""
    import polars as pl

    text = text.str.strip_chars(BLANKS)
    missing = text.is_null() | text.is_in(list(MISSING))
    if decimal == ",":
        text = text.str.replace_all(".", "?", literal=True).str.replace_all(",", ".", literal=True)  # as `with_point`
    spelled = text.str.contains(f"^(?:{_NUMBER.pattern.replace(r'\d', '[0-9]')})$")
    number = pl.when(spelled).then(text).cast(pl.Float64, strict=False)  # to the last digit as Python reads it
    return pl.when(~missing).then(number.fill_null(np.inf))


def _factorized(column: pd.Series) -> tuple[NDArray[np.int64], list[Any]]:
    """Each row's place among the distinct values, -1 where it is missing, and these in the order of their rows."""
    packed = isinstance(column.dtype, pd.CategoricalDtype)
    codes, distinct = pd.factorize(column if packed else column.astype(object))
    return codes, distinct.astype(object).tolist()


def _widened(column: pd.Series) -> pd.Series:
    """Numbers of 32 bits as they are written: 2.3 is 2.3, and not 2.299999952, which lies below a cut-off of 2.3."""
    size = getattr(column.dtype, "itemsize", 8)
    if column.dtype.kind != "f" or size >= 8:
        return column
    codes, distinct = pd.factorize(column.to_numpy(np.dtype(f"f{size}"), na_value=np.nan))
    values = np.array([*map(float, distinct.astype(str)), np.nan])
    return pd.Series(values[codes])


def _number(value: Any, decimal: str) -> float:
    """The number that a value is or spells; NaN if none."""
    if isinstance(value, str):
        text = value.strip()
        text = with_point(text) if decimal == "," else text
        return float(text) if _NUMBER.fullmatch(text) else np.nan
    return float(value) if isinstance(value, Real | Decimal | np.number | np.bool_) else np.nan


def named(column: pd.Series) -> Named:
    """Read a column as categories.

    Parameters
    ----------
    column : Series

    Returns
    -------
    Named

    Examples
    --------
    >>> named(pd.Series([3.0, None, 1.5])), named(pd.Series(["3", " 1.50", "007"])).names
    (Named(codes=array([ 0, -1,  1]), names=['3', '1.5'], order=None), ['3', '1.5', '007'])
    """
    column, order = _widened(column), None
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        order = [category(value) or "" for value in column.cat.categories.tolist()]
    codes, distinct = _factorized(column)
    written = [category(value) for value in distinct]
    position: dict[str, int] = {}
    for name in written:
        if name is not None:
            position.setdefault(name, len(position))
    places = np.array([-1 if name is None else position[name] for name in written] + [-1], np.int64)
    return Named(places[codes], list(position), order)


def category(value: Any) -> str | None:
    """The name of a category by its value, None where it is missing."""
    if isinstance(value, str):
        text = value.strip()
        if text in MISSING:
            return None
        return number_text(float(text)) if _DECIMAL.fullmatch(text) else text
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else number_text(float(value))
    return None if value is None or value is pd.NaT or value is pd.NA else str(value)


def number_text(number: float) -> str:
    """Write a number so that it is read as the same number, and a whole one without a point.

    Examples
    --------
    >>> number_text(40.0), number_text(2.5), number_text(-0.0)
    ('40', '2.5', '0')
    """
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(float(number))
