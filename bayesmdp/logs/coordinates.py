"""Logs whose states are numbers, from columns of measurements as they stand: one column a coordinate.

What followed a step is in columns of its own, or in the next row of the episode; a last row, after which nothing is
known, is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.columns import ENDS
from bayesmdp.logs.flags import read_flags
from bayesmdp.logs.log_labels import read_labels
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.measurements import numbers
from bayesmdp.problems.labels import label_array

__all__ = ["InOrder", "read_coordinates"]


class InOrder(NamedTuple):
    """How rows belong together: the columns of episodes, and of their steps."""

    episode: Any = None
    step: Any = None


def read_coordinates(
    table: Table,
    coordinates: Sequence[str],
    *,
    columns: Mapping[str, Any],
    next_columns: str | Mapping[str, str],
    order: InOrder,
    actions: list[Any] | None,
    costs: bool,
) -> xr.Dataset:
    """Read a log whose states are numbers; see :func:`~bayesmdp.read_log`.

    Parameters
    ----------
    table : Table
    coordinates : sequence of str
        Columns of the state's coordinates, in their order.
    columns : mapping
        From our names, ``action``, ``reward``, ``terminated`` and ``truncated``, to the source's.
    next_columns : str or mapping of str to str
        How the coordinates after a step are called, where there is no column of episodes.
    order : InOrder
    actions : list of labels, optional
    costs : bool
        Whether rewards are costs, with the opposite sign.

    Returns
    -------
    Dataset over ``step``
        ``state`` and ``next_state`` [step, coordinate], labelled by coordinate, ``action``, ``reward``, ``terminated``
        and ``truncated``. Attrs: ``dropped`` (rows left out because nothing follows them) and ``dropped_ends`` (those
        of them that are terminated), if any.
    """
    names = list(coordinates)
    if isinstance(coordinates, str) or not names or len(set(names)) < len(names):
        raise ValueError(f"coordinates are a list of distinct columns; got {coordinates!r}")
    after = {} if order.episode is not None else _names_after(names, next_columns)
    wanted = {name: columns.get(name, name) for name in ("action", "reward")}
    wanted |= {name: columns.get(name, name) for name in ENDS if columns.get(name, name) in table.columns}
    wanted |= {f"from {name}": name for name in names} | {f"to {name}": column for name, column in after.items()}
    wanted |= {
        name: column for name, column in (("episode", order.episode), ("position", order.step)) if column is not None
    }
    missing = [column for column in wanted.values() if column not in table.columns]
    if missing:
        held = ", ".join(map(repr, table.columns))
        raise ValueError(f"{table.name} has no column {missing[0]!r}; its columns are {held}")
    frame = table.read({name: table.columns.index(column) for name, column in wanted.items()})
    if not len(frame):
        raise ValueError(f"{table.name} has a header but no rows; a log needs at least one step")
    state = _measured(table, frame, [f"from {name}" for name in names], wanted)
    action_set, (action,) = read_labels(table, frame, ("action",), actions, None)
    reward = _measured(table, frame, ["reward"], wanted)[:, 0] * (-1.0 if costs else 1.0)
    ends = {name: read_flags(table, frame, name) for name in ENDS}
    ends["truncated"] &= ~ends["terminated"]
    dropped = dropped_ends = 0
    if order.episode is None:
        kept, follow = np.arange(len(frame)), _measured(table, frame, [f"to {name}" for name in names], wanted)
    else:
        kept, follow = _next_rows(table, frame, state, wanted)
        dropped = len(frame) - len(kept)
        left_out = np.ones(len(frame), bool)
        left_out[kept] = False
        dropped_ends = int(ends["terminated"][left_out].sum())
    if not len(kept):
        raise ValueError(
            f"{table.name} tells of none of its {len(frame):,} rows what followed: no episode has a second"
        )
    axes, left = ("step", "coordinate"), {}
    if dropped:
        left["dropped"] = dropped
    if dropped_ends:
        left["dropped_ends"] = dropped_ends
    return xr.Dataset(
        {
            "state": (axes, state[kept]),
            "action": ("step", label_array(action_set)[action[kept]]),
            "reward": ("step", reward[kept]),
            "next_state": (axes, follow),
            **{name: ("step", values[kept]) for name, values in ends.items()},
        },
        coords={"step": np.arange(len(kept)), "coordinate": names},
        attrs={"actions": action_set, "source": table.name, **left},
    )


def _names_after(names: Sequence[str], next_columns: str | Mapping[str, str]) -> dict[str, str]:
    """The column that holds each coordinate after the step."""
    if isinstance(next_columns, str):
        if "{}" not in next_columns or next_columns == "{}":
            raise ValueError(f"next_columns names what followed by a pattern such as 'next_{{}}'; got {next_columns!r}")
        return {name: next_columns.replace("{}", name) for name in names}
    lacking = [name for name in names if name not in next_columns]
    if lacking:
        raise ValueError(f"next_columns does not say how {lacking[0]!r} is called after a step")
    return {name: next_columns[name] for name in names}


def _measured(
    table: Table, frame: pd.DataFrame, names: Sequence[str], wanted: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Columns of numbers [row, column], all of them finite."""
    read = np.empty((len(frame), len(names)))
    for i, name in enumerate(names):
        read[:, i], absent = numbers(frame[name], table.decimal)
        wrong = ~np.isfinite(read[:, i])
        if wrong.any():
            row = int(np.argmax(wrong))
            value = frame[name].astype(object).iloc[row]
            shown = "is missing" if absent[row] else f"is {value!r}, which is no finite number"
            table.refuse(row, f"{wanted[name]} {shown}", "leave out the row, or fill in what was measured")
    return read


def _next_rows(
    table: Table, frame: pd.DataFrame, state: NDArray[np.float64], wanted: Mapping[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows after which another of their episode comes, in order, and the states there."""
    episode, _ = pd.factorize(frame["episode"])
    if (episode < 0).any():
        table.refuse(int(np.argmax(episode < 0)), f"{wanted['episode']} is missing", "name the episode of each row")
    rows = np.arange(len(frame))
    position = rows.astype(float)
    if "position" in frame:
        position = _measured(table, frame, ["position"], wanted)[:, 0]
    order = np.lexsort((rows, position, episode))
    same = episode[order][1:] == episode[order][:-1]
    again = same & (position[order][1:] == position[order][:-1])
    if "position" in frame and again.any():
        row = int(order[1:][np.argmax(again)])
        table.refuse(row, f"{wanted['position']} {position[row]:g} is there twice in its episode", "keep one of them")
    return order[:-1][same], state[order[1:][same]]
