"""States of measurements made while a source is scanned, so that it may be larger than memory.

A settled part of a recoding gives equal values equal levels, so that it may be asked of a piece of the source at a
time, and what it has to take from data (quantiles, the names of categories) depends on the distinct values of its
column, on how often each occurs and on which comes first. The source is gone through once for each part that is not
settled, once to find which states occur and which row has none, and once more by the log's reader, which groups rows by
their states. The result is that of reading every row, to the last digit. Estimators of scikit-learn that no numbers
stand for are not asked piece by piece, since what they say of a row may depend on the others: their rows are read
(:mod:`bayesmdp.logs.recoded`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.logs.category_parts import Categories
from bayesmdp.logs.episode_columns import END, check_flags, is_true
from bayesmdp.logs.estimated_parts import Estimated
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.measured_parts import Part
from bayesmdp.logs.measured_states import Recoding
from bayesmdp.logs.measurements import named, numbers_in
from bayesmdp.logs.scanned_columns import Scan, as_pandas

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Measured", "by_piece", "recoded_scan", "refuse_end"]

ENDED = -1
"""Stands for the code of a state where an episode has ended."""


class Measured(NamedTuple):
    """Where a source has what states are made of.

    Attributes
    ----------
    now, then : mapping of a measurement's name to the position of its column
        Before the step and after it; `then` is empty where nothing was measured after it.
    terminated, how : int, or None
        Positions of the columns that say whether an episode ended, and how.
    """

    now: Mapping[str, int]
    then: Mapping[str, int]
    terminated: int | None
    how: int | None


def by_piece(table: Table, recoding: Recoding, measured: Measured) -> Scan | None:
    """Return the columns of a source if states can be made of them piece by piece.

    Parameters
    ----------
    table : Table
    recoding : Recoding
    measured : Measured

    Returns
    -------
    Scan, or None
        None for columns in memory or on other machines, without rows, or of lists, and for estimators that are not
        kept as numbers.
    """
    scan = table.scan() if table.scan else None
    if not isinstance(scan, Scan) or any(isinstance(part, Estimated) for part in recoding.parts):
        return None
    schema, places = scan.schema(), [*measured.now.values(), *measured.then.values()]
    places += [] if measured.how is None else [measured.how]
    if any(schema[str(place)].is_nested() for place in places):
        return None
    return scan if len(scan.collect(scan.frame.select(scan.stored(0)).head(1))) else None


def recoded_scan(
    table: Table, scan: Scan, recoding: Recoding, measured: Measured
) -> tuple[dict[str, pl.Expr], list[str], Recoding]:
    """Make states of measurements while these are scanned.

    Parameters
    ----------
    table : Table
        For messages.
    scan : Scan
        What `by_piece` returned.
    recoding : Recoding
    measured : Measured

    Returns
    -------
    columns : dict of str to expression
        ``state`` and, where what followed was measured, ``next_state``, as categories.
    labels : list of str
        All that occur, in order, those of ends last.
    recoding : Recoding
        Settled, with the states that occur.

    Raises
    ------
    ValueError
        For the first row that has no state: with place, column, value and remedy.
    """
    import polars as pl

    if measured.terminated is not None:
        check_flags(table, scan, "terminated", measured.terminated)
    ended = pl.lit(False) if measured.terminated is None else is_true(scan.column(measured.terminated))
    numeric = {name for part in recoding.parts if not isinstance(part, Categories) for name in part.columns}
    now, then = _columns(scan, measured.now, "now", numeric), _columns(scan, measured.then, "then", numeric)
    end = {} if measured.how is None else _columns(scan, {"how": measured.how}, "end")
    recoding = _settled(scan, recoding, now, then, ended)

    def codes(pieces: pl.Series, columns: Mapping[str, _Column]) -> NDArray[np.int64]:
        return recoding.codes_of(_frame(pieces, columns), decimal=scan.decimal)

    code = _by_piece(now.values(), lambda pieces: pl.Series(codes(pieces, now)), pl.Int64())
    found = {"now": code, "then": pl.lit(ENDED, pl.Int64), "how": pl.lit(END)}
    if measured.then:
        after = _by_piece(then.values(), lambda pieces: pl.Series(codes(pieces, then)), pl.Int64())
        found["then"] = pl.when(ended).then(ENDED).otherwise(after)
    if end:
        how = _by_piece(end.values(), lambda pieces: pl.Series(_names(pieces, end), dtype=pl.String), pl.String())
        found["how"] = pl.when(ended).then(how).otherwise(pl.lit(END))
    numbered = scan.frame.with_row_index("row number").select("row number", **found)
    totals = pl.len().alias("count"), pl.col("row number").min().alias("first")
    groups = scan.collect(numbered.group_by(*found).agg(totals))
    scan.check_size(int(groups["count"].sum()))
    groups = groups.sort("first")
    _refuse_first(table, scan, recoding, measured.now, groups["now"], groups["first"], "")
    entered = groups.filter(pl.col("then") != ENDED)
    _refuse_first(table, scan, recoding, measured.then, entered["then"], entered["first"], ", in what followed")
    seen = np.union1d(groups["now"].to_numpy(), entered["then"].to_numpy())
    recoding = recoding.over(recoding.levels_of_codes(seen))
    labels = list(recoding.states)
    if measured.then and measured.terminated is not None:
        over = groups.filter(pl.col("then") == ENDED)
        for name, first in over.select("how", "first").iter_rows() if end else ():
            if name is None or name in recoding.states:
                refuse_end(f"{table.name} {table.place(int(first))}", name)
        labels += sorted(set(over["how"].to_list()))
    choices = pl.Series(labels, dtype=pl.Enum(labels))
    place_of = {name: place for place, name in enumerate(labels)}

    def state(pieces: pl.Series) -> pl.Series:
        return choices.gather(np.searchsorted(seen, codes(pieces, now)))

    def next_state(pieces: pl.Series) -> pl.Series:
        over = pieces.struct.field("ended").to_numpy()
        chosen = np.zeros(len(pieces), np.int64)
        if not over.all():
            chosen[~over] = np.searchsorted(seen, codes(pieces.filter(pl.Series(~over)), then))
        if over.any():
            chosen[over] = [place_of[name or ""] for name in _names(pieces.filter(pl.Series(over)), end)]
        return choices.gather(chosen)

    columns = {"state": _by_piece(now.values(), state, choices.dtype)}
    if measured.then:
        columns["next_state"] = _by_piece([*then.values(), *end.values()], next_state, choices.dtype, ended)
    return columns, labels, recoding


def refuse_end(place: str, name: str | None) -> NoReturn:
    """Refuse a row that does not say how its episode ended, or calls it as a state that goes on."""
    fault = f"is {name!r}, which is a state that goes on" if name else "is missing"
    raise ValueError(f"{place}: how the episode ended {fault}; name the end, as 'died'")


class _Column(NamedTuple):
    """A column of measurements.

    Attributes
    ----------
    field : str
        What it is called in pieces.
    value : expression
    order : list, or None
        Its categories, where they are in one.
    """

    field: str
    value: pl.Expr
    order: list[Any] | None


def _columns(scan: Scan, places: Mapping[str, int], when: str, numeric: Container[str] = ()) -> dict[str, _Column]:
    """Columns by the name of what is measured, text that is meant as numbers read as these."""
    import polars as pl

    columns = {}
    for n, (name, place) in enumerate(places.items()):
        value, order = scan.column(place), scan.orders.get(place)
        if name in numeric and order is None and scan.schema()[str(place)] == pl.String:
            value = numbers_in(value, scan.decimal)
        columns[name] = _Column(f"{when} {n}", value, order)
    return columns


def _settled(
    scan: Scan, recoding: Recoding, now: Mapping[str, _Column], then: Mapping[str, _Column], ended: pl.Expr
) -> Recoding:
    """Take from the distinct values of columns what the parts need."""
    import polars as pl

    parts: list[Part] = []
    for part in recoding.parts:
        if part.labels:
            parts.append(part)
            continue
        (name,) = part.columns
        values = [_distinct(scan, now[name], pl.lit(True))]
        # What followed may show categories that no row begins with; each row counts once for quantiles.
        if isinstance(part, Categories) and then:
            values.append(_distinct(scan, then[name], ~ended))
        frame = pd.concat([each for each, _ in values]).set_axis([name], axis=1)
        parts.append(part.settled(frame, scan.decimal, np.concatenate([times for _, times in values])))
    return replace(recoding, parts=tuple(parts))


def _distinct(scan: Scan, column: _Column, counted: pl.Expr) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The values of a column by where each is first, and how often it occurs, in the rows that are counted."""
    import polars as pl

    row = pl.col("row number")
    rows = scan.frame.with_row_index("row number").select(row, column.value.alias("value"), counted.alias("counted"))
    totals = pl.col("counted").sum().cast(pl.Int64).alias("times"), row.filter("counted").min().alias("first")
    groups = scan.collect(rows.group_by("value").agg(totals)).sort("first")
    times = groups["times"].to_numpy()
    return pd.DataFrame({"value": as_pandas(groups["value"], column.order)})[times > 0], times[times > 0]


def _refuse_first(
    table: Table,
    scan: Scan,
    recoding: Recoding,
    places: Mapping[str, int],
    codes: pl.Series,
    first: pl.Series,
    where: str,
) -> None:
    """Refuse the first row that has no state, by the codes of rows and where each is first, in order."""
    wrong = (recoding.levels_of_codes(codes.to_numpy()) < 0).any(-1)
    if wrong.any():
        row = int(first[int(np.argmax(wrong))])
        (alone,) = scan.blocks([row], 1)
        recoding.levels_of(
            alone.read(places), decimal=scan.decimal, place=lambda _: f"{table.name} {table.place(row)}{where}"
        )


def _by_piece(
    columns: Iterable[_Column],
    ask: Callable[[pl.Series], pl.Series],
    kind: pl.DataType,
    ended: pl.Expr | None = None,
) -> pl.Expr:
    """What a function says of columns, a piece of them at a time."""
    import polars as pl

    fields = {column.field: column.value for column in columns}
    fields |= {} if ended is None else {"ended": ended}
    return pl.struct([value.alias(field) for field, value in fields.items()]).map_batches(
        ask, return_dtype=kind, is_elementwise=True
    )


def _frame(pieces: pl.Series, columns: Mapping[str, _Column]) -> pd.DataFrame:
    """Such columns as the parts of a recoding take them."""
    fields = {name: as_pandas(pieces.struct.field(column.field), column.order) for name, column in columns.items()}
    return pd.DataFrame(fields)


def _names(pieces: pl.Series, end: Mapping[str, _Column]) -> list[str | None]:
    """How episodes ended; None where that is missing."""
    if not end:
        return [END] * len(pieces)
    read = named(_frame(pieces, end)["how"])
    names = [*read.names, None]
    return [names[code] for code in read.codes.tolist()]
