"""Logs: the steps of an agent or of a person, as they were taken.

A *log* is an `xarray.Dataset` over the dim ``step`` with variables ``state``, ``action``, ``reward``, ``next_state``
(labels, as a person would write them), ``terminated`` (the next state is terminal: nothing follows) and ``truncated``
(the recording was cut off: something would have followed). Its attrs carry the label sets. A log may be *counted*: each
distinct step once, with ``count``, how often it was taken, and ``begins``, whether its steps are the first of their
episode (:mod:`bayesmdp.logs.counted_log`); then what follows on what is not told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP

__all__ = [
    "as_labels",
    "begins_of",
    "counts_of",
    "ends_of",
    "label_indices",
    "label_set",
    "left_out_told",
    "make_log",
    "refuse_counted",
    "refuse_missing",
    "size_of",
    "written_indices",
]


LARGEST_REWARD = 1e100
"""Beyond, sums of rewards and values overflow."""


def make_log(
    mdp: MDP,
    state: NDArray[Any],
    action: NDArray[Any],
    reward: NDArray[Any],
    next_state: NDArray[Any],
    terminated: NDArray[Any] | None = None,
    truncated: NDArray[Any] | None = None,
) -> xr.Dataset:
    """Make a log from arrays of *indices*, written with the MDP's labels.

    Parameters
    ----------
    mdp : MDP
    state, action, next_state : int array [step]
    reward : array [step]
    terminated, truncated : bool array [step], optional
        All false by default.

    Returns
    -------
    Dataset over ``step``
    """
    ends = {"terminated": terminated, "truncated": truncated}
    states, actions = label_array(mdp.states), label_array(mdp.actions)
    columns = {"state": states[state], "action": actions[action], "reward": np.asarray(reward, float)}
    columns |= {"next_state": states[next_state]}
    columns |= {
        name: np.zeros(len(state), bool) if end is None else np.asarray(end, bool) for name, end in ends.items()
    }
    return xr.Dataset(
        {name: ("step", values) for name, values in columns.items()},
        coords={"step": np.arange(len(state))},
        attrs={"mdp": mdp.name, "states": list(mdp.states), "actions": list(mdp.actions)},
    )


def label_set(log: xr.Dataset, kind: str) -> Sequence[Hashable]:
    """Return the labels that a log's attrs carry.

    Parameters
    ----------
    log : Dataset
    kind : {"states", "actions"}

    Raises
    ------
    ValueError
        If there are none.
    """
    if kind not in log.attrs:
        raise ValueError(f"the log's attrs have no {kind!r}; set log.attrs[{kind!r}] to the labels, or pass mdp")
    return as_labels(log.attrs[kind])


def ends_of(log: xr.Dataset, name: str) -> NDArray[np.bool_]:
    """Return the flags ``terminated`` or ``truncated`` [step] of a log, False where it has none.

    Parameters
    ----------
    log : Dataset over ``step``
    name : {"terminated", "truncated"}

    Returns
    -------
    bool array [step]
    """
    return np.asarray(log[name].values, bool) if name in log else np.zeros(log.sizes["step"], bool)


def begins_of(log: xr.Dataset) -> NDArray[np.bool_]:
    """Return which rows [step] of a log are the first of an episode: the first of all, and each after an end."""
    if "begins" in log:
        return np.asarray(log["begins"].values, bool)
    return np.append(True, (ends_of(log, "terminated") | ends_of(log, "truncated"))[:-1])


def counts_of(log: xr.Dataset) -> NDArray[np.float64]:
    """Return how many steps each row of a log stands for [step]: one, unless it is counted."""
    return np.asarray(log["count"].values, float) if "count" in log else np.ones(log.sizes["step"])


def size_of(log: xr.Dataset) -> int:
    """Return the number of steps of a log."""
    return round(float(counts_of(log).sum()))


def refuse_counted(log: xr.Dataset, what: str) -> None:
    """Refuse a counted log, for something that goes from step to step.

    Raises
    ------
    ValueError
    """
    if isinstance(log, xr.Dataset) and "count" in log:
        raise ValueError(
            f"{what} goes from step to step, and this log has each distinct step once, with its count; read it with "
            "read_log(..., distinct=False)"
        )


def as_labels(given: Any) -> list[Hashable]:
    """List the labels that an attr holds: a list as it was written, an array as files return it, or one label alone."""
    return list(given) if isinstance(given, list | tuple) else list(np.atleast_1d(given).tolist())


def label_indices(log: xr.Dataset, name: str, labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Return the position of each label of a column in its set.

    Parameters
    ----------
    log : Dataset over ``step``
    name : str
        The column.
    labels : sequence of labels

    Returns
    -------
    int array [step]

    Raises
    ------
    ValueError
        If a label is not in the set: with its step.
    """
    positions = {label: i for i, label in enumerate(labels)}
    code, values = pd.factorize(log[name].values, use_na_sentinel=False)  # by hashing: labels may be of any kinds
    index = np.array([_position(positions, labels, value) for value in values.tolist()])[code]
    if (index < 0).any():
        step = int(np.flatnonzero(index < 0)[0])
        kind = "action" if name == "action" else "state"
        raise ValueError(
            f"log {name} at step {step} is {log[name].values[step : step + 1].tolist()[0]!r}, which is no {kind}; "
            f"the {len(labels)} {kind}s are {', '.join(map(repr, labels[:6]))}{', ...' if len(labels) > 6 else ''}"
        )
    return index


def refuse_missing(what: str, table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse a table without these columns, by what it is."""
    for column in columns:
        if column not in table:
            raise ValueError(f"{what} has no column {column!r}; it has {', '.join(map(str, table.columns))}")


def written_indices(what: str, table: pd.DataFrame, column: str, labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Positions of the labels in a table's column, by how they are written.

    Parameters
    ----------
    what : str
        The table, for errors.
    table : DataFrame
    column : {"state", "next_state", "action"}
    labels : sequence of labels

    Raises
    ------
    ValueError
        Naming the row of a label that is none of these.
    """
    place = {str(label): i for i, label in enumerate(labels)}
    index = [place.get(str(label), -1) for label in table[column]]
    if -1 in index:
        row, kind = index.index(-1), "action" if column == "action" else "state"
        raise ValueError(f"{what} names {table[column].tolist()[row]!r} in row {row}, which is no {kind} of the log")
    return np.array(index, np.int64)


def _position(positions: dict[Hashable, int], labels: Sequence[Hashable], value: Any) -> int:
    """Return where a label stands, -1 if nowhere; a float that was rounded is not the whole number it is equal to."""
    position = positions.get(value, -1)
    rounded = isinstance(value, float) and abs(value) > 2**53 and isinstance(labels[position], int)
    return -1 if rounded else position


@contextlib.contextmanager
def left_out_told(log: Any) -> Iterator[None]:
    """Add to an error about a column that `read_log` left out why it is not there, and what to do."""
    try:
        yield
    except AttributeError as error:
        if not isinstance(log, xr.Dataset) or error.name not in as_labels(log.attrs.get("left_out", [])):
            raise
        raise AttributeError(
            f"{error}. The log's source has a column {error.name!r}, which read_log left out: name it in "
            f"read_log(covariates=[{error.name!r}]), and rows of data tell its values apart"
        ) from error
