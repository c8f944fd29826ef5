"""Columns of true and false, however they are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.logs.log_sources import Table

__all__ = ["TRUE", "as_flags", "read_flags"]

TRUE = ("true", "1", "1.0", "yes", "y", "t")

_FLAGS = {
    **dict.fromkeys(TRUE, True),
    **dict.fromkeys(("false", "0", "0.0", "no", "n", "f"), False),
}


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
    codes, distinct = pd.factorize(frame[name])
    flags = np.array([_flag(value) for value in distinct] + [-1], np.int8)[codes]
    if (flags < 0).any():
        row = int(np.argmax(flags < 0))
        complaint = "is missing" if codes[row] < 0 else f"is {frame[name].iloc[row]!r}"
        table.refuse(row, f"{name} {complaint}", "write true or false, or 1 or 0")
    return flags.astype(bool)


def _flag(value: Any) -> int:
    """Return 1 for a word or number that says true, 0 for false, and -1 for any other."""
    return _FLAGS.get(str(value).strip().lower(), -1)


def as_flags(column: pd.Series) -> NDArray[np.bool_] | None:
    """Return a column as true and false, what is missing taken for false; None if it holds anything else."""
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        return None
    if not 0 < len(distinct) <= len(_FLAGS):
        return None
    flags = np.array([_flag(value) for value in distinct] + [0], np.int8)
    return None if (flags < 0).any() else flags.astype(bool)[codes]
