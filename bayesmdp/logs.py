"""Logs from outside: a CSV or Parquet file, a data frame or a Dataset in, a checked log out.

What a log holds is said in :mod:`bayesmdp.data`. A practitioner's file seldom says it so well, and some faults change a
plan without a sound: an end of an episode that was only a time limit, a line with one field too few, a column of ints
that one missing value turned into text. So everything is checked here once, and each complaint names the file, the
line, the column, the value and the remedy.

Labels are whole numbers or text. In a text file they are numbers only if the whole set is: one label such as ``goal``
makes text of all states, and ``007`` is text.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.data import LARGEST_REWARD, as_labels
from bayesmdp.mdp import label_array
from bayesmdp.tables import ENDS, MISSING, Table, choose_columns, open_table

__all__ = ["read_log"]

_WHOLE = re.compile(r"-?[1-9]\d{0,17}|0")
_DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def read_log(
    source: str | Path | pd.DataFrame | xr.Dataset,
    *,
    columns: Mapping[str, Any] | None = None,
    reward_range: tuple[float, float] | None = None,
    gaps: Literal["warn", "refuse", "allow"] = "warn",
    separator: str | None = None,
    encoding: str = "utf-8",
) -> xr.Dataset:
    """A log from a file, a data frame or a Dataset, one row a step, in the order in which they happened.

    Parameters
    ----------
    source : path, DataFrame or Dataset
        ``.csv`` or ``.tsv`` with a header line, perhaps ``.gz``; ``.parquet`` (needs the extra ``parquet``); a
        DataFrame; a Dataset over one dim of any name.
    columns : mapping, optional
        From our names to the source's, as ``{"next_state": "s2"}``. Ours are ``state``, ``action``, ``reward``,
        ``next_state``, and ``terminated`` and ``truncated``, which may be missing (None: leave that one out); other
        columns are left alone.
    reward_range : (low, high), optional
        Refuse rewards outside.
    gaps : {"warn", "refuse", "allow"}
        What to do about a row whose next state is not the next row's state though no episode ended. Without a column
        ``truncated`` the recording is taken as cut off there: something would have followed. "allow" is for rows in no
        order.
    separator : str, optional
        One character, for text files; by default a comma, or a tab in ``.tsv``.
    encoding : str
        Of text files.

    Returns
    -------
    Dataset over ``step``
        ``state``, ``action``, ``reward``, ``next_state``, ``terminated`` and ``truncated``. Where both are true,
        `truncated` is made false: the end is an end. Attrs ``states`` and ``actions`` (label sets, numbers in numerical
        and text in alphabetical order; a Dataset's own are kept) and ``source``.

    Raises
    ------
    ValueError, TypeError
        For a missing or doubled column; a missing label, a label that is neither a whole number nor text, or both kinds
        in one column; a reward that is no finite number; a line with too many fields or too few; bytes that are not of
        the encoding; a state that is terminal in one row and not in another: with place, column, value and remedy.
    FileNotFoundError, ImportError
        If there is no such file, or pyarrow is needed and not installed.

    Warns
    -----
    UserWarning
        About gaps, once, with their number and the first place.

    Examples
    --------
    >>> import bayesmdp as bm, pandas as pd
    >>> frame = pd.DataFrame({"s": [0, 1], "action": ["go", "stay"], "reward": [0, 1], "s2": [1, 1], "end": [0, 1]})
    >>> log = read_log(frame.iloc[:1], columns={"state": "s", "next_state": "s2", "truncated": "end"})
    >>> log.attrs["states"], log.attrs["actions"], bool(log["truncated"][0])
    ([0, 1], ['go'], False)
    """
    if gaps not in ("warn", "refuse", "allow"):
        raise ValueError(f"gaps must be one of warn, refuse, allow; got {gaps!r}")
    table = open_table(source, separator, encoding)
    chosen = choose_columns(table, dict(columns or {}))
    frame = table.read(chosen)
    if not len(frame):
        raise ValueError(f"{table.name} has a header but no rows; a log needs at least one step")
    given = source.attrs if isinstance(source, xr.Dataset) else {}
    states, (state, next_state) = _labels(table, frame, ("state", "next_state"), given.get("states"))
    actions, (action,) = _labels(table, frame, ("action",), given.get("actions"))
    reward = _rewards(table, frame["reward"], reward_range)
    terminated, truncated = (_flags(table, frame, name) for name in ENDS)
    # Gymnasium allows both at once; that the state is terminal settles what follows.
    truncated &= ~terminated
    _check_ends(table, states, state, next_state, terminated)
    gap = np.append(state[1:] != next_state[:-1], False) & ~terminated & ~truncated
    if gap.any() and gaps != "allow":
        told = _describe_gaps(table, gap, states, state, next_state, [name for name in ENDS if name not in frame])
        if gaps == "refuse":
            raise ValueError(told)
        warnings.warn(told, UserWarning, stacklevel=2)
    ordered = gaps != "allow" or not gap.any()
    if "truncated" not in frame and ordered:
        truncated |= gap
    spelled = label_array(states)
    variables = {
        "state": spelled[state],
        "action": label_array(actions)[action],
        "reward": reward,
        "next_state": spelled[next_state],
        "terminated": terminated,
        "truncated": truncated,
    }
    return xr.Dataset(
        {name: ("step", values) for name, values in variables.items()},
        coords={"step": np.arange(len(frame))},
        attrs={"states": states, "actions": actions, "source": table.name, "ordered": int(ordered)},
    )


def _labels(
    table: Table, frame: pd.DataFrame, names: Sequence[str], given: Any
) -> tuple[list[Any], list[NDArray[np.int64]]]:
    """The sorted label set of some columns, and each column as indices into it."""
    factors = [_factor(table, name, frame[name]) for name in names]
    distinct = {value for _, values in factors for value in values}
    if table.written:
        number = _numbers_meant(distinct)
        factors = [(codes, list(map(number, values))) for codes, values in factors]
        distinct = set(map(number, distinct))
    text = {value for value in distinct if isinstance(value, str)}
    decimals = {value for value in text if table.written and _DECIMAL.fullmatch(value)}
    odd = decimals or (text if len(text) < len(distinct) else set())
    for name, (codes, values) in zip(names, factors, strict=True):
        wrong = np.array([value in odd for value in values])[codes]
        if wrong.any():
            row = int(np.argmax(wrong))
            remedy = "if it is a name, read the file with pandas.read_csv(..., dtype=str) and pass the DataFrame"
            if not decimals:
                remedy = "use one kind, as .astype(str) does for a column"
            numbers = sorted(distinct - text) or sorted(value for value in text - odd if _WHOLE.fullmatch(value))
            others = f"labels are whole numbers, such as {numbers[0]}, or" if numbers else "labels are whole numbers or"
            table.refuse(row, f"{name} is {values[codes[row]]!r}, where {others} text", remedy)
    labels = sorted(distinct)
    known = [] if given is None else as_labels(given)
    if given is not None and distinct <= set(known):
        labels = known
    position = {label: i for i, label in enumerate(labels)}
    return labels, [np.array([position[value] for value in values])[codes] for codes, values in factors]


def _factor(table: Table, name: str, column: pd.Series) -> tuple[NDArray[np.int64], list[Any]]:
    """A column as indices into its distinct labels, and these as Python's int or str."""
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        kind = type(column.iloc[0]).__name__
        raise TypeError(f"{table.name} {name} holds a {kind}; a label is a whole number or text") from None
    missing = codes < 0
    if table.written:
        # A blank around a word for missing is no label, though pandas takes it for one.
        blank = [isinstance(value, str) and value.strip() in MISSING for value in distinct.tolist()]
        missing |= np.array([*blank, False])[codes]
    if missing.any():
        remedy = "give each step a label" + ", at an episode's end any, such as 'end'" * (name == "next_state")
        told = f"{name} is missing" + " (empty, or a word for it such as NA or null)" * table.written
        table.refuse(int(np.argmax(missing)), told, remedy)
    plain: list[Any] = []
    for code, value in enumerate(distinct.tolist()):
        if isinstance(value, str) and "\0" in value:
            complaint = f"{name} is {value!r}, and no file can hold the character 0"
            table.refuse(int(np.argmax(codes == code)), complaint, "take it out of the label")
        elif isinstance(value, str):
            plain.append(value.strip() if table.written else str(value))
        elif isinstance(value, bool | np.bool_):
            plain.append(str(bool(value)))  # as a text file would have it
        elif isinstance(value, int | np.integer) or (isinstance(value, float | np.floating) and value.is_integer()):
            plain.append(int(value))
        else:
            table.refuse(
                int(np.argmax(codes == code)),
                f"{name} is {value!r}, where labels are whole numbers or text",
                "number the levels, or name them with .astype(str)",
            )
    return codes, plain


def _numbers_meant(texts: set[str]) -> Callable[[str], Any]:
    """How to read labels from a text file: as numbers if all of them are whole ones, otherwise as they are."""
    if all(_WHOLE.fullmatch(text) for text in texts):
        return int
    # Ints that went through an array of floats are written 3.0, but 3 and 3.0 side by side are a mistake.
    if all(re.fullmatch(r"-?\d{1,15}\.0*", text) for text in texts):
        return lambda text: int(text.partition(".")[0])
    return lambda text: text


def _rewards(table: Table, column: pd.Series, reward_range: tuple[float, float] | None) -> NDArray[np.float64]:
    low, high = (-np.inf, np.inf) if reward_range is None else reward_range
    if not low <= high:
        raise ValueError(f"reward_range is (low, high) with low at most high; got {reward_range!r}")
    numeric = pd.api.types.is_numeric_dtype(column) and column.dtype.kind in "iuf"
    if numeric:
        reward = column.to_numpy(np.float64, na_value=np.nan)
    elif column.dtype.kind in "bc":
        reward = np.full(len(column), np.nan)
    else:
        reward = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(np.float64)
    for wrong, complaint, remedy in (
        (~np.isfinite(reward), "which is no finite number", "give each step a number, such as 0.5"),
        (np.abs(reward) > LARGEST_REWARD, f"beyond {LARGEST_REWARD:g} in size", "measure rewards in a larger unit"),
        ((reward < low) | (reward > high), f"outside [{low:g}, {high:g}]", "correct it, or widen the range of rewards"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            value = column.astype(object).iloc[row]
            told = "is missing" if pd.isna(value) else f"is {value!r}, {complaint}"
            table.refuse(row, f"reward {told}", remedy)
    return reward


def _flags(table: Table, frame: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """A column of true and false, however written; all false if there is none."""
    if name not in frame:
        return np.zeros(len(frame), bool)
    codes, distinct = pd.factorize(frame[name])
    flags = np.array([_FLAGS.get(str(value).strip().lower(), -1) for value in distinct] + [-1], np.int8)[codes]
    if (flags < 0).any():
        row = int(np.argmax(flags < 0))
        told = "is missing" if codes[row] < 0 else f"is {frame[name].iloc[row]!r}"
        table.refuse(row, f"{name} {told}", "write true or false, or 1 or 0")
    return flags.astype(bool)


def _check_ends(
    table: Table,
    states: Sequence[Any],
    state: NDArray[np.int64],
    next_state: NDArray[np.int64],
    terminated: NDArray[np.bool_],
) -> None:
    """Refuse a state that ends an episode in one row and is acted in, or entered as any other, in another row."""
    terminal = np.zeros(len(states), bool)
    terminal[next_state[terminated]] = True
    for wrong, complaint in (
        (terminal[state], "is acted in"),
        (terminal[next_state] & ~terminated, "is entered with terminated false"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            index = (state if complaint == "is acted in" else next_state)[row]
            end = int(np.argmax(terminated & (next_state == index)))
            raise ValueError(
                f"{table.name} {table.place(row)}: the state {states[index]!r} {complaint}, but at {table.place(end)} "
                "it is entered with terminated true, so nothing could follow it; where a time limit ended the episode, "
                "mark that row as truncated; where next_state is the next episode's first state, write the last one"
            )


def _describe_gaps(
    table: Table,
    gap: NDArray[np.bool_],
    states: Sequence[Any],
    state: NDArray[np.int64],
    next_state: NDArray[np.int64],
    absent: Sequence[str],
) -> str:
    number, row = int(gap.sum()), int(np.argmax(gap))
    times = "once" if number == 1 else f"{number:,} times"
    told = (
        f"{table.name} does not go on where it was {times}, first after {table.place(row)}: next_state is "
        f"{states[next_state[row]]!r}, but the next row's state is {states[state[row + 1]]!r}, and no episode ended"
    )
    if not absent:
        return f"{told}. Are rows missing or out of order? gaps='allow' accepts them"
    without = " or ".join(map(repr, absent))
    return (
        f"{told}. There is no column {without}, so the recording is taken as cut off there, and the next state as one "
        "with a future; name the column with columns=, or accept this with gaps='allow'"
    )
