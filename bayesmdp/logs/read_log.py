"""Logs from outside: a CSV or Parquet file, a data frame or a Dataset in, a checked log out.

What a log holds is said in :mod:`bayesmdp.logs.log`. A practitioner's file seldom says it so well, and some faults
change a plan without a sound: an end of an episode that was only a time limit, a line with one field too few, a column
of ints that one missing value turned into text. So everything is checked here once, and each complaint names the file,
the line, the column, the value and the remedy.

What labels may be is said in :mod:`bayesmdp.logs.log_labels`, what ends an episode in :mod:`bayesmdp.logs.ends`.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.columns import ENDS, choose_columns, unused_columns
from bayesmdp.logs.covariates import choose_covariates, read_covariates
from bayesmdp.logs.ends import Chain, check_ends, describe_gaps, read_flags, refuse_ends_by_name, refuse_ends_by_place
from bayesmdp.logs.log import LARGEST_REWARD
from bayesmdp.logs.log_labels import check_declared, read_labels
from bayesmdp.logs.log_sources import Table, open_table
from bayesmdp.logs.measured_states import Spec
from bayesmdp.logs.recoded import NEXT, recoded_table
from bayesmdp.problems.labels import label_array

__all__ = ["read_log"]


def read_log(
    source: str | Path | pd.DataFrame | xr.Dataset,
    *,
    columns: Mapping[str, Any] | None = None,
    state: Spec | None = None,
    next_columns: str | Mapping[str, str] = NEXT,
    end_column: str | None = None,
    states: Iterable[Hashable] | None = None,
    actions: Iterable[Hashable] | None = None,
    covariates: Sequence[str] = (),
    reward_range: tuple[float, float] | None = None,
    gaps: Literal["warn", "refuse", "cut", "allow"] = "warn",
    separator: str | None = None,
    decimal: Literal[".", ","] = ".",
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
        columns are left out, unless they seem to say where episodes end: then they must be named, or waved off with
        None.
    state : str, list of str, or Recoding, optional
        How states are made of measurements, as for :func:`bayesmdp.states`: ``["age:bins(0,40,65,80)", "ward"]``.
    next_columns : str or mapping
        How the measurements after a step are called: a pattern, or ``{"age": "age_later"}``.
    end_column : str, optional
        Says how an episode ended, where a row is terminated; that is then the next state, in the place of ``end``.
    states, actions : lists of labels, optional
        All that there are, in their order: for those that the log never shows, and for models that count on an order.
        By default those that occur, numbers in numerical and text in alphabetical order; a pandas column's ordered
        categories and a Dataset's own label sets are kept.
    covariates : sequence of str
        Other columns, by their names in the source, that models may read as ``data.NAME`` [row]: numbers, or labels,
        which they see as positions in the label set; see :mod:`bayesmdp.logs.covariates`.
    reward_range : (low, high), optional
        Refuse rewards outside.
    gaps : {"warn", "refuse", "cut", "allow"}
        What to do about a row whose next state is not the next row's state though no episode ended. Without a column
        ``truncated`` the recording is taken as cut off there: something would have followed. "cut" says that rows are
        in order and that it was; "allow" is for rows in no order. Unless it is "cut", such a log does not tell where
        episodes start.
    separator : str, optional
        One character, for text files; by default a comma, or a tab in ``.tsv``.
    decimal : {".", ","}
        The sign in rewards that are written as text.
    encoding : str
        Of text files.

    Returns
    -------
    Dataset over ``step``
        ``state``, ``action``, ``reward``, ``next_state``, ``terminated`` and ``truncated``, and the covariates. Where
        an end is both, `truncated` is made false: the end is an end. Attrs: ``states`` and ``actions`` (label sets),
        ``covariates`` (their names, if any), ``source``, ``ordered`` (0 for rows in no order), ``starts_known`` (0
        where gaps leave open where episodes start), ``left_out`` (names of the columns that were not read, if any) and
        ``recoding`` (of measurements, as `Recoding.from_json` reads it).

    Raises
    ------
    ValueError, TypeError
        For a missing or doubled column; a missing label, a label that is neither a whole number nor text, or both kinds
        in one column, or one that was not declared, or that an array cannot hold exactly; a reward that is no finite
        number; a line with too many fields or too few; bytes that are not of the encoding; a state that is terminal in
        one row and not in another; a column that seems to say where episodes end: with place, column, value and remedy.
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
    if gaps not in ("warn", "refuse", "cut", "allow"):
        raise ValueError(f"gaps must be one of warn, refuse, cut, allow; got {gaps!r}")
    columns = dict(columns or {})
    declared = {"states": check_declared("states", states), "actions": check_declared("actions", actions)}
    table = open_table(source, separator, encoding, decimal)
    recoded = recoded_table(table, state, columns, next_columns, end_column)
    table = table if recoded is None else recoded.table
    chosen = choose_columns(table, columns)
    others = choose_covariates(table, covariates, chosen)
    left = unused_columns(table, chosen | others | ({} if recoded is None else recoded.used))
    refuse_ends_by_name(table, columns, chosen, left)
    frame = table.read(chosen | others)
    if not len(frame):
        raise ValueError(f"{table.name} has a header but no rows; a log needs at least one step")
    own_sets = source.attrs if isinstance(source, xr.Dataset) else {}
    # Actions first: a row that lacks one is no step, whatever else it lacks.
    action_set, (action,) = read_labels(table, frame, ("action",), declared["actions"], own_sets.get("actions"))
    names = ("state", "next_state")
    state_set, (before, after) = read_labels(table, frame, names, declared["states"], own_sets.get("states"))
    reward = _rewards(table, frame["reward"], reward_range)
    terminated, truncated = (read_flags(table, frame, name) for name in ENDS)
    # Gymnasium allows both at once; that the state is terminal settles what follows.
    truncated &= ~terminated
    chain = Chain(before, after, terminated, truncated, state_set)
    check_ends(table, chain)
    gap = chain.gap
    if gap.any() and gaps in ("warn", "refuse"):
        refuse_ends_by_place(table, columns, chosen, left, chain)
        message = describe_gaps(table, chain, [name for name in ENDS if name not in frame], list(left.values()))
        if gaps == "refuse":
            raise ValueError(message)
        warnings.warn(message, UserWarning, stacklevel=2)
    ordered = gaps != "allow" or not gap.any()
    if gaps == "cut" or ("truncated" not in frame and ordered):
        truncated |= gap
    variables = _variables(chain, label_array(action_set)[action], reward, truncated)
    attrs = {
        "states": state_set,
        "actions": action_set,
        "source": table.name,
        "ordered": int(ordered),
        "starts_known": int(gaps == "cut" or not gap.any()),
        **({"covariates": list(others)} if others else {}),
        **({"left_out": list(map(str, left.values()))} if left else {}),
        **({} if recoded is None else recoded.attrs),
    }
    columns_of_models = read_covariates(table, frame, list(others))
    return xr.Dataset(variables | columns_of_models, coords={"step": np.arange(len(frame))}, attrs=attrs)


def _variables(
    chain: Chain, action: NDArray[Any], reward: NDArray[np.float64], truncated: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the log's variables over ``step``, states written by their labels."""
    spelled = label_array(chain.states)
    columns = {
        "state": spelled[chain.state],
        "action": action,
        "reward": reward,
        "next_state": spelled[chain.next_state],
        "terminated": chain.terminated,
        "truncated": truncated,
    }
    return {name: ("step", values) for name, values in columns.items()}


def _rewards(table: Table, column: pd.Series, reward_range: tuple[float, float] | None) -> NDArray[np.float64]:
    """Return rewards as float64; refuse, with the place, what is no finite number, too large, or out of the range."""
    low, high = (-np.inf, np.inf) if reward_range is None else reward_range
    if not low <= high:
        raise ValueError(f"reward_range is (low, high) with low at most high; got {reward_range!r}")
    a_number = "give each step a number, such as 0.5"
    if pd.api.types.is_numeric_dtype(column) and column.dtype.kind in "iuf":
        reward = column.to_numpy(np.float64, na_value=np.nan)
    elif column.dtype.kind == "c":
        reward = np.full(len(column), np.nan)
    else:
        text = column.astype(object)
        if table.decimal == ",":
            # A point would part thousands, or be a decimal one after all.
            text = text.map(
                lambda value: value.replace(".", "?").replace(",", ".") if isinstance(value, str) else value
            )
        elif text.map(lambda value: isinstance(value, str) and "," in value).any():
            a_number += "; if the comma is a decimal one, pass decimal=','"
        reward = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    for wrong, complaint, remedy in (
        (~np.isfinite(reward), "which is no finite number", a_number),
        (np.abs(reward) > LARGEST_REWARD, f"beyond {LARGEST_REWARD:g} in size", "measure rewards in a larger unit"),
        ((reward < low) | (reward > high), f"outside [{low:g}, {high:g}]", "correct it, or widen the range of rewards"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            value = column.astype(object).iloc[row]
            shown = "is missing" if pd.isna(value) else f"is {value!r}, {complaint}"
            table.refuse(row, f"reward {shown}", remedy)
    return reward
