"""Logs whose states are numbers, from columns of measurements as they stand: one column a coordinate.

What followed a step is in columns of its own, or in the next row of the episode. With columns every row is kept, those
that ended an episode too. Without, a last row, after which nothing is known, is left out, and counted; if it is
terminated that is warned of, for nothing is then learned of ends. Its action and reward are left out with it: what a
model says of a reward, or of whether a step is the last, may look at the next state, and a row without one has no
likelihood then; and which rows these are hangs on what followed, so that the others alone say too little of ends. A
prior that learns where episodes end is therefore not given such a log. Rows that do not go on are told of as in tables:
the next row is taken for the start of an episode, but with ``gaps="allow"``, for rows in no order, nobody knows where
episodes start.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.columns import ENDS, listed, unused_columns
from bayesmdp.logs.ends import refuse_ends_by_place
from bayesmdp.logs.ends_by_name import refuse_ends_by_name
from bayesmdp.logs.ends_left_out import refuse_ends_left_out
from bayesmdp.logs.flags import read_flags
from bayesmdp.logs.log import LARGEST_REWARD
from bayesmdp.logs.log_labels import read_labels
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.measurements import numbers
from bayesmdp.logs.row_order import Beside
from bayesmdp.problems.labels import label_array

__all__ = ["InOrder", "read_coordinates"]

LARGEST = 1e100
"""Of a coordinate, in size: squares and products of larger ones are no numbers."""


class InOrder(NamedTuple):
    """How rows belong together: the columns of episodes and of their steps, and what to do where they do not go on."""

    episode: Any = None
    step: Any = None
    gaps: str = "warn"


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
        How the coordinates after a step are called; where there is a column of episodes they need not be there.
    order : InOrder
    actions : list of labels, optional
    costs : bool
        Whether rewards are costs, with the opposite sign.

    Returns
    -------
    Dataset over ``step``
        ``state`` and ``next_state`` [step, coordinate], labelled by coordinate, ``action``, ``reward``, ``terminated``
        and ``truncated``. Attrs: ``dropped`` (rows left out because nothing follows them) and ``dropped_ends`` (those
        of them that are terminated), if any; and ``starts_known``, whether episodes start where rows do not go on.
    """
    names = list(coordinates)
    if isinstance(coordinates, str) or not names or len(set(names)) < len(names):
        raise ValueError(f"coordinates are a list of distinct columns; got {coordinates!r}")
    if order.step is not None and order.episode is None:
        raise ValueError(f"step={order.step!r} orders the rows of episodes; name the column that tells these, episode=")
    wanted, follows = _wanted(table, names, columns, next_columns, order)
    frame = table.read({name: table.columns.index(column) for name, column in wanted.items()})
    if not len(frame):
        raise ValueError(f"{table.name} has a header but no rows; a log needs at least one step")
    state = _measured(table, frame, [f"from {name}" for name in names], wanted, LARGEST)
    action_set, (action,) = read_labels(table, frame, ("action",), actions, None)
    reward = _measured(table, frame, ["reward"], wanted, LARGEST_REWARD)[:, 0] * (-1.0 if costs else 1.0)
    ends = {name: read_flags(table, frame, name) for name in ENDS}
    ends["truncated"] &= ~ends["terminated"]
    ordered, goes_on = _in_order(table, frame, wanted)
    places = {name: table.columns.index(column) for name, column in wanted.items()}
    others = unused_columns(table, places)
    asks = order.gaps in ("warn", "refuse")
    dropped = dropped_ends = gaps = 0
    if follows:
        kept, follow = ordered, _measured(table, frame, [f"to {name}" for name in names], wanted, LARGEST)[ordered]
        ended = (ends["terminated"] | ends["truncated"])[ordered]
        apart = np.append((state[ordered[1:]] != follow[:-1]).any(-1), False)
        broken = goes_on & (apart & ~ended)[:-1]
        gaps = int(broken.sum())
        unsaid = np.append(broken | ~goes_on, False) & ~ended
        if unsaid.any() and asks:

            def beside_ends(place: int) -> Beside:
                column = table.read({"column": place})["column"].iloc[ordered]
                last = np.arange(len(ordered)) == len(ordered) - 1
                return Beside(column, unsaid, unsaid | ended, last, np.ones(len(ordered), np.int64), ordered)

            by_episode = order.episode is not None
            refuse_ends_by_place(table, columns, places, others, beside_ends, by_episode=by_episode)
        _tell_gaps(table, ordered[:-1][broken], order.gaps)
    else:
        kept, follow = ordered[:-1][goes_on], state[ordered[1:][goes_on]]
        # An episode's last row is left out, so its recording was cut off after the row before.
        cut = kept[np.append(~goes_on[1:], True)[goes_on]]
        ends["truncated"][cut] = ~ends["terminated"][cut]
        dropped = len(frame) - len(kept)
        left_out = np.ones(len(frame), bool)
        left_out[kept] = False
        dropped_ends = int(ends["terminated"][left_out].sum())
        if asks:
            without = table._replace(read=lambda chosen: table.read(chosen).iloc[np.sort(kept)], scan=None)
            filled = {"truncated": f"truncated (by {order.episode})", **columns}
            refuse_ends_left_out(table, without, filled, places, others, dropped)
        _tell_lost_ends(table, np.flatnonzero(left_out & ends["terminated"]), _names_after(names, next_columns))
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
        attrs={
            "actions": action_set,
            "source": table.name,
            "starts_known": int(order.gaps != "allow" or not gaps),
            **left,
        },
    )


def _wanted(
    table: Table,
    names: Sequence[str],
    columns: Mapping[str, Any],
    next_columns: str | Mapping[str, str],
    order: InOrder,
) -> tuple[dict[str, Any], bool]:
    """The column of each thing that is read, and whether some say what followed; refuses what is not there."""
    ours = ("action", "reward", *ENDS)
    for name, theirs in columns.items():
        if name not in ours:
            raise ValueError(
                f"columns leads from our names to the source's, and {name!r} is none of ours: with coordinates these "
                f"are {', '.join(ours)}"
            )
        if theirs is not None and theirs not in table.columns:
            raise ValueError(f"{table.name} has no column {theirs!r}; its columns are {listed(table.columns)}")
    after = _names_after(names, next_columns)
    # Where there is a column of episodes the next row says what followed, unless columns do.
    follows = order.episode is None or any(column in table.columns for column in after.values())
    wanted = {name: columns.get(name, name) for name in ("action", "reward")}
    wanted |= {name: columns.get(name, name) for name in ENDS if columns.get(name, name) in table.columns}
    wanted |= {f"from {name}": name for name in names}
    wanted |= {f"to {name}": column for name, column in after.items() if follows}
    wanted |= {
        name: column for name, column in (("episode", order.episode), ("position", order.step)) if column is not None
    }
    for column in wanted.values():
        if column not in table.columns:
            raise ValueError(f"{table.name} has no column {column!r}; its columns are {listed(table.columns)}")
        if table.columns.count(column) > 1:
            raise ValueError(f"{table.name} has the column {column!r} more than once; rename all but one")
    places = {name: table.columns.index(column) for name, column in wanted.items()}
    refuse_ends_by_name(table, columns, places, unused_columns(table, places))
    return wanted, follows


def _tell_gaps(table: Table, rows: NDArray[np.int64], gaps: str) -> None:
    """Warn of rows that the next row does not go on from, though no episode ended, or refuse them."""
    if not len(rows) or gaps in ("cut", "allow"):
        return
    number = "a gap" if len(rows) == 1 else f"{len(rows):,} gaps"
    told = (
        f"{table.name} has {number} between rows, first after {table.place(int(rows[0]))}: the next row's state is not "
        "the one that followed, and no episode ended. It is assumed that the recording was cut off there, and that the "
        "next row starts an episode. Sort rows by episode and time, name the column of episodes with episode=, or use "
        "gaps='cut' if that is right"
    )
    if gaps == "refuse":
        raise ValueError(told)
    warnings.warn(told, UserWarning, stacklevel=4)


def _tell_lost_ends(table: Table, rows: NDArray[np.int64], after: Mapping[str, str]) -> None:
    """Warn of terminated rows that are left out, since nobody wrote down in which state the episode ended."""
    if not len(rows):
        return
    number = "a terminated row is" if len(rows) == 1 else f"{len(rows):,} terminated rows are"
    warnings.warn(
        f"{table.name}: {number} left out, first {table.place(int(rows[0]))}: it is the last of its episode, and the "
        "state in which the episode ended is not recorded, so nothing can be learned about how episodes end. Add a row "
        f"with that state, or columns with what followed, such as {next(iter(after.values()))}",
        UserWarning,
        stacklevel=4,
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
    table: Table, frame: pd.DataFrame, names: Sequence[str], wanted: Mapping[str, Any], largest: float = np.inf
) -> NDArray[np.float64]:
    """Columns of numbers [row, column], all of them finite and none too large."""
    read = np.empty((len(frame), len(names)))
    for i, name in enumerate(names):
        read[:, i], absent = numbers(frame[name], table.decimal)
        wrong = ~np.isfinite(read[:, i])
        if wrong.any():
            row = int(np.argmax(wrong))
            value = frame[name].astype(object).iloc[row]
            shown = "is missing" if absent[row] else f"is {value!r}, which is no finite number"
            table.refuse(row, f"{wanted[name]} {shown}", "leave out the row, or fill in what was measured")
        large = np.abs(read[:, i]) > largest
        if large.any():
            row = int(np.argmax(large))
            shown = f"is {read[row, i]:g}, beyond {largest:g} in size"
            table.refuse(row, f"{wanted[name]} {shown}", "measure it in a larger unit")
    return read


def _in_order(
    table: Table, frame: pd.DataFrame, wanted: Mapping[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The rows in the order of episodes and steps, and whether each but the last is followed by one of its episode."""
    rows = np.arange(len(frame))
    if "episode" not in frame:
        return rows, np.ones(len(frame) - 1, bool)
    episode, _ = pd.factorize(frame["episode"])
    if (episode < 0).any():
        table.refuse(int(np.argmax(episode < 0)), f"{wanted['episode']} is missing", "name the episode of each row")
    position = rows.astype(float)
    if "position" in frame:
        position = _measured(table, frame, ["position"], wanted)[:, 0]
    order = np.lexsort((rows, position, episode))
    same = episode[order][1:] == episode[order][:-1]
    again = same & (position[order][1:] == position[order][:-1])
    if "position" in frame and again.any():
        row = int(order[1:][np.argmax(again)])
        table.refuse(row, f"{wanted['position']} {position[row]:g} is there twice in its episode", "keep one of them")
    return order, same
