"""Columns of true and false, however they are written."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.logs.log_sources import Table

__all__ = ["FALSE", "TRUE", "as_flags", "read_flags", "refuse_flag"]

TRUE = ("true", "1", "1.0", "yes", "y", "t")
FALSE = ("false", "0", "0.0", "-0.0", "no", "n", "f")

_FLAGS = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}


def read_flags(table: Table, frame: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """Read a column of true and false, however they are written.

    Parameters
    ----------
    table : Table
        Where the column is from, for messages.
    frame : DataFrame
    name : str

    Returns
    -------
    bool array [row]
        All false if there is no such column.

    Raises
    ------
    ValueError
        For an entry that is missing, or neither true nor false: with its place.
    """
    if name not in frame:
        return np.zeros(len(frame), bool)
    try:
        codes, distinct = pd.factorize(frame[name])
    except TypeError:
        refuse_flag(table, 0, name, f"is {frame[name].iloc[0]!r}")
    flags = np.array([_flag(value) for value in distinct] + [-1], np.int8)[codes]
    if (flags < 0).any():
        row = int(np.argmax(flags < 0))
        complaint = "is missing" if codes[row] < 0 else f"is {frame[name].astype(object).iloc[row]!r}"
        refuse_flag(table, row, name, complaint)
    return flags.astype(bool)


def refuse_flag(table: Table, row: int, name: str, complaint: str) -> NoReturn:
    """Refuse a row that says neither true nor false."""
    table.refuse(row, f"{name} {complaint}", "write true or false, or 1 or 0")


def _flag(value: Any) -> int:
    """Return 1 for a word or number that says true, 0 for false, and -1 for any other."""
    return _FLAGS.get(str(value).strip().lower(), -1)


def as_flags(column: pd.Series) -> NDArray[np.bool_] | None:
    """Return a column as true and false, what is missing taken for false; None if it holds anything else."""
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        return None
    if not len(distinct):
        return None
    # At the first that is none: a column of numbers may have as many values as rows.
    if any(_flag(value) < 0 for value in distinct):
        return None
    return np.array([_flag(value) for value in distinct] + [0], bool)[codes]
