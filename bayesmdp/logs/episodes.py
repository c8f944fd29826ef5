"""Rows that belong to episodes: put in order, and told what followed where their source does not say.

Records of what was found at each visit have no next state: it is what the next row of the same episode says. The last
row of an episode has no next row. If it is marked as terminated, its next state is `END`, a state of its own, and where
there is such a row all states are text; if not, nothing is known of what its action did: it is left out. With next
states or without, the recording was cut off (``truncated``) at the last row of an episode that is left, unless that row
is terminated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.logs.columns import ENDS
from bayesmdp.logs.dask_columns import DaskScan
from bayesmdp.logs.dask_episodes import ordered_by_episode
from bayesmdp.logs.episode_columns import (
    END,
    ROW,
    any_true,
    check_flags,
    is_true,
    order_as_text,
    present,
    text_of,
    time_in_memory,
    time_of,
    time_reading,
    times_lost,
    with_end,
)
from bayesmdp.logs.flags import read_flags
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.scanned_columns import Columns, Scan

if TYPE_CHECKING:
    import polars as pl

__all__ = ["END", "alone", "in_episodes"]


class _Where(NamedTuple):
    """Positions among a source's columns; None for what it has not."""

    episode: int
    step: int | None
    state: int | None
    next_state: int | None
    terminated: int | None
    truncated: int | None

    @property
    def follow(self) -> bool:
        """Whether next states are those of the rows that follow."""
        return self.next_state is None and self.state is not None

    def filled(self, width: int) -> dict[str, int]:
        """Positions of the columns that are filled in, after `width` others: one that there is keeps its own."""
        cut = width + self.follow if self.truncated is None else self.truncated
        return ({"next_state": width} if self.follow else {}) | {"truncated": cut}

    def widened(self, width: int) -> int:
        """How many columns there are with those that are filled in."""
        return width + self.follow + (self.truncated is None)


def alone(table: Table, columns: Mapping[str, Any]) -> tuple[Table, dict[str, Any]]:
    """Take each row for an episode by itself, as those of a bandit are.

    Parameters
    ----------
    table : Table
    columns : mapping of our names to the source's
        In which ``next_state`` is None.

    Returns
    -------
    table : Table
        With columns of next states, all of them `END`, and of ends.
    columns : dict
        Which names them.
    """
    width = len(table.columns)
    names = {"next_state": "next_state (none)", "terminated": "terminated (each)"}
    state = _place(table, columns, "state")

    def filled(frame: pd.DataFrame) -> pd.DataFrame:
        """The same with these columns, all of them called by position."""
        frame[width], frame[width + 1] = pd.Series(END, frame.index, dtype=object), True
        if state in frame:
            frame[state] = with_end(frame[state], written=table.written)
        return frame

    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        frame = filled(table.read({0: 0} | {place: place for place in chosen.values() if place < width}))
        return pd.DataFrame({ours: frame[place].array for ours, place in chosen.items()})

    def scan() -> Columns:
        import polars as pl

        known = table.scan() if table.scan else None
        assert known is not None
        orders = known.orders if state is None else _orders_as_text(known, state)
        if isinstance(known, DaskScan):
            return known.mapped(
                lambda frame: filled(frame.set_axis(range(width), axis=1).reset_index(drop=True)), orders
            )
        assert isinstance(known, Scan)
        ended = pl.lit("true") if known.written else pl.lit(True)
        added = [pl.lit(END).alias(str(width)), ended.alias(str(width + 1))]
        text = [] if state is None else [text_of(known, state).alias(str(state))]
        return known._replace(frame=known.frame.with_columns(*added, *text), orders=orders)

    made = (*table.columns, *names.values())
    return table._replace(columns=made, read=read, scan=scan if table.scan else None), {**columns, **names}


def in_episodes(table: Table, columns: Mapping[str, Any], episode: Any, step: Any) -> tuple[Table, dict[str, Any], int]:
    """Put rows in the order of their episodes, mark where these were cut off, and fill in next states if none are told.

    Parameters
    ----------
    table : Table
    columns : mapping of our names to the source's
    episode : name of a column
        Rows with the same value there are one episode.
    step : name of a column, or None
        Of numbers or dates, by which the rows of an episode are ordered; by default they are in order.

    Returns
    -------
    table : Table
        Episodes in the order in which they first appear.
    columns : dict
        In which those that were filled in are named.
    dropped : int
        Rows left out, for nothing is known of what followed: none where next states are told.

    Raises
    ------
    ValueError
        For a column that is not there, a row without its episode or its step, or two rows of one step: with the row.
    """
    for option, name in (("episode", episode), ("step", step)):
        if name is not None and name not in table.columns:
            raise ValueError(f"{table.name} has no column {name!r} for {option}=; {did_you_mean(name, table.columns)}")
    ours = ("state", "next_state", "terminated", "truncated")
    of_step = None if step is None else table.columns.index(step)
    where = _Where(table.columns.index(episode), of_step, *(_place(table, columns, name) for name in ours))
    told = (str(episode), str(step))
    ordered, dropped = _ordered(table, where, told)
    names = {"next_state": f"next_state (by {episode})"} if where.follow else {}
    names |= {"truncated": f"truncated (by {episode})"} if where.truncated is None else {}
    return ordered._replace(columns=(*table.columns, *names.values())), {**columns, **names}, dropped


def _place(table: Table, columns: Mapping[str, Any], ours: str) -> int | None:
    name = columns.get(ours, ours)
    return table.columns.index(name) if name in table.columns else None


def _refuse_nested(table: Table, name: str, value: Any) -> NoReturn:
    kind = "list" if hasattr(value, "to_list") else type(value).__name__
    raise TypeError(f"{table.name} {name} holds a {kind}; an episode is told by a number or text")


def _refuse_missing(table: Table, row: int, name: str, what: str) -> None:
    table.refuse(row, f"{name} is missing, or cannot be read", f"give each row its {what}")


def _refuse_twice(table: Table, row: int, other: int, name: str) -> None:
    table.refuse(
        max(row, other),
        f"this {name} of the episode is there already, at {table.place(min(row, other))}",
        "keep one row a step",
    )


def _ordered(table: Table, where: _Where, told: Sequence[str]) -> tuple[Table, int]:
    """The rows in order, by way of what their source is, and how many of them were left out."""
    scan = table.scan() if table.scan else None
    if isinstance(scan, Scan):
        return _scanned(table, scan, where, told)
    by = [where.episode, *([] if where.step is None else [where.step])]
    if not isinstance(scan, DaskScan) or not scan.shuffles(by):
        return _in_memory(table._replace(scan=None), where, told)
    reading, step, terminated = None, where.step, where.terminated
    ending = where.follow and terminated is not None and any(scan.each(lambda part: any_true(part, terminated)))
    if step is not None:
        lost = scan.each(lambda part: times_lost(part, step))
        reading = time_reading([any(each) for each in zip(*lost, strict=True)])

    def order(part: Table) -> tuple[Table, int]:
        return _in_memory(part, where, told, reading, ending)

    rows = ordered_by_episode(scan, where.episode, where.widened(len(table.columns)), order)
    known = rows.scan
    if ending and where.state is not None:
        known.orders = _orders_as_text(known, where.state)
    return table._replace(
        read=known.read, place=lambda row: f"row {known.value(rows.numbers, row)}", scan=lambda: known
    ), rows.dropped


def _in_memory(
    table: Table, where: _Where, told: Sequence[str], reading: int | None = None, ending: bool | None = None
) -> tuple[Table, int]:
    """The same of columns in memory; of a part of them it is said whether any row of all is terminated."""
    of_order = {"episode": where.episode} | ({} if where.step is None else {"step": where.step})
    frame = table.read(of_order)
    try:
        code, _ = pd.factorize(frame["episode"])
    except TypeError:
        _refuse_nested(table, told[0], frame["episode"].iloc[0])
    time = np.arange(len(frame)) if where.step is None else time_in_memory(frame["step"], table.decimal, reading)
    for missing, name, what in ((code < 0, told[0], "episode"), (pd.isna(time), told[1], "step")):
        if missing.any():
            _refuse_missing(table, int(np.argmax(missing)), name, what)
    order = np.lexsort((time, code))
    same = np.append(code[order[1:]] == code[order[:-1]], False)
    twice = same & np.append(time[order[1:]] == time[order[:-1]], False)
    if twice.any():
        row = int(np.argmax(twice))
        _refuse_twice(table, int(order[row]), int(order[row + 1]), told[1])
    width, filled = len(table.columns), where.filled(len(table.columns))
    at = {name: place for name, place in zip(ENDS, where[-2:], strict=True) if place is not None}
    flags = table.read(at) if at else pd.DataFrame()
    ended, was = (read_flags(table, flags, name)[order] if name in at else np.zeros(len(order), bool) for name in ENDS)
    as_text = bool(ended.any()) if ending is None else ending
    # The row after the last that is kept of an episode may be left out.
    goes_on = same & np.append((same | ended)[1:], True) if where.follow else same
    cut = was | ~(ended | goes_on)
    kept = np.flatnonzero(same | ended) if where.follow else np.arange(len(order))

    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        given = {place: place for place in chosen.values() if place < width}
        needed = {where.state} if where.follow else set()
        rows = table.read({0: 0} | given | {place: place for place in needed if place is not None}).iloc[order]
        rows = rows.reset_index(drop=True)
        rows[filled["truncated"]] = cut
        if where.follow:
            if as_text:
                rows[where.state] = with_end(rows[where.state], written=table.written)
            # Not by shift(), which makes floats of whole numbers; nothing is made of what the last row is told.
            after = rows[where.state].iloc[np.minimum(np.arange(len(rows)) + 1, len(rows) - 1)].reset_index(drop=True)
            rows[filled["next_state"]] = after.mask(ended, END) if as_text else after
        rows = rows.iloc[kept]
        return pd.DataFrame({ours: rows[place].array for ours, place in chosen.items()})

    place = table.place
    return table._replace(read=read, place=lambda row: place(int(order[kept[row]]))), len(order) - len(kept)


def _scanned(table: Table, scan: Scan, where: _Where, told: Sequence[str]) -> tuple[Table, int]:
    """The same in the scan."""
    import polars as pl

    if scan.schema()[str(where.episode)].is_nested():
        _refuse_nested(table, told[0], scan.value(where.episode, 0))
    row, episode, time = pl.col(ROW), pl.col("episode"), pl.col("time")
    frame = scan.frame.with_row_index(ROW).with_columns(present(scan, where.episode).alias("episode"))
    frame = frame.with_columns(row.alias("time") if where.step is None else time_of(scan, where.step).alias("time"))
    for name, called, what in (("episode", told[0], "episode"), ("time", told[1], "step")):
        missing = scan.collect(frame.filter(pl.col(name).is_null()).select(row.min()))
        if missing.item() is not None:
            _refuse_missing(table, int(missing.item()), called, what)
    frame = frame.with_columns(row.min().over("episode").alias("first")).sort("first", "time", maintain_order=True)
    same = (episode.shift(-1) == episode).fill_null(False)
    twice = frame.with_columns(row.shift(-1).alias("other"), (same & (time.shift(-1) == time)).alias("twice"))
    found = scan.collect(twice.filter("twice").select(ROW, "other").head(1))
    if len(found):
        one, other = found.row(0)
        _refuse_twice(table, int(one), int(other), told[1])
    dropped, filled = 0, where.filled(len(table.columns))
    for name, at in zip(ENDS, where[-2:], strict=True):
        if at is not None:
            check_flags(table, scan, name, at)
    ended, was = (
        pl.lit(False) if place is None else is_true(scan.column(place)) for place in (where.terminated, where.truncated)
    )
    goes_on = same & (same | ended).shift(-1, fill_value=True) if where.follow else same
    cut = was | ~(ended | goes_on)
    if scan.written:
        cut = pl.when(cut).then(pl.lit("true")).otherwise(pl.lit("false"))
    if where.follow:
        assert where.state is not None
        ending = where.terminated is not None and any_true(scan, where.terminated)
        if ending:
            frame = frame.with_columns(text_of(scan, where.state).alias(str(where.state)))
            scan = scan._replace(orders=_orders_as_text(scan, where.state))
        after = scan.column(where.state).shift(-1)
        following = _ending(frame, ended, after) if ending else after
        frame = frame.with_columns(
            (same | ended).alias("kept"),
            following.alias(str(filled["next_state"])),
            cut.alias(str(filled["truncated"])),
        )
        dropped = int(scan.collect(frame.select((~pl.col("kept")).sum())).item())
        frame = frame.filter("kept")
    else:
        frame = frame.with_columns(cut.alias(str(filled["truncated"])))
    ordered = scan._replace(
        frame=frame.drop(ROW, "episode", "time", "first", "kept", strict=False), rows=None, sliced=False
    )
    place = table.place

    def place_of(row: int) -> str:
        return place(int(scan.collect(frame.select(ROW).slice(row, 1)).item()))

    return table._replace(read=ordered.read, place=place_of, scan=lambda: ordered), dropped


def _orders_as_text(scan: Columns, state: int) -> dict[int, list[Any]]:
    """The orders of categories, those of states as text."""
    orders = dict(scan.orders)
    if state in orders:
        orders[state] = order_as_text(orders[state], written=scan.written)
    return orders


def _ending(frame: pl.LazyFrame, ended: pl.Expr, after: pl.Expr) -> pl.Expr:
    """`END` where an episode ended, else what was after; of states that are no labels, which are refused, no more."""
    import polars as pl

    is_text = frame.select(after.alias("state")).collect_schema()["state"] == pl.String
    return pl.when(ended).then(pl.lit(END)).otherwise(after) if is_text else after
