"""A log's source seen through a recoding: its states, and next states, made of measurements.

The reader of logs (:mod:`bayesmdp.logs.read_log`) takes states from columns ``state`` and ``next_state``. Where these
are to be made of measurements, the source is opened as a table that has them: each holds labels, their order declared.

What followed a step is measured in columns of its own, ``next_age`` beside ``age``; any other way to name them may be
said. Nothing is measured of where an episode has ended, or what is measured there is not a state to act in: after a row
that is ``terminated`` the next state is ``end``, or what a column says of how it ended, such as ``died``.

Columns in memory are recoded here; those that are scanned, while they are (:mod:`bayesmdp.logs.recoded_scan`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.logs.columns import listed
from bayesmdp.logs.episode_columns import END
from bayesmdp.logs.flags import read_flags
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.measured_states import Recoding, Spec, as_recoding
from bayesmdp.logs.measurements import named
from bayesmdp.logs.recoded_scan import Measured, by_piece, recoded_scan, refuse_end

if TYPE_CHECKING:
    import polars as pl

    from bayesmdp.logs.scanned_columns import Scan

__all__ = ["END", "Recoded", "recoded_frame", "recoded_table"]

NEXT = "next_{}"
"""How a measurement of what followed is called, by the name of that of the state."""


class Recoded(NamedTuple):
    """A source with states of measurements.

    Attributes
    ----------
    table : Table
        With the columns ``state`` and, where what followed was measured, ``next_state``.
    recoding : Recoding
        Settled, with the states that occur.
    used : dict of str to int
        Positions of the source's columns of which they are made.
    """

    table: Table
    recoding: Recoding
    used: dict[str, int]

    @property
    def attrs(self) -> dict[str, str]:
        """What a log keeps of it: the recoding as text, unless it is by an estimator that no text holds."""
        try:
            return {"recoding": self.recoding.to_json()}
        except TypeError:
            return {}


def recoded_table(
    table: Table,
    state: Spec | None,
    columns: Mapping[str, Any],
    next_columns: str | Mapping[str, str] = NEXT,
    end_column: str | None = None,
) -> Recoded | None:
    """See a source through a recoding.

    Parameters
    ----------
    table : Table
    state : Spec or None
        As for `bayesmdp.states`; None where the source has states.
    columns : mapping of our name to the source's
        As the caller of `read_log` gave it; read for ``terminated``.
    next_columns : str or mapping of str to str
        A pattern that holds ``{}`` for the name of the measurement, or the names in full.
    end_column : str, optional
        Says how an episode ended, in rows that are terminated.

    Returns
    -------
    Recoded, or None if there is nothing to recode

    Raises
    ------
    ValueError, TypeError
        For a column that is missing, a row that has no state, or options that contradict each other: with place,
        column, value and remedy.
    """
    if state is None:
        if end_column is not None or next_columns != NEXT:
            option = "end_column" if end_column is not None else "next_columns"
            raise ValueError(f"{option} is about states that are made of measurements; say of which, with state=")
        return None
    for ours in ("state", "next_state"):
        if columns.get(ours) is not None:
            raise ValueError(
                f"columns says that {ours!r} is {columns[ours]!r}, and state= makes states of measurements; give one "
                "of them"
            )
    recoding = as_recoding(state)
    now = {column: _place(table, column) for column in recoding.columns}
    then = _next_places(table, recoding, next_columns)
    flag = columns.get("terminated", "terminated")
    used = {f"now {column}": place for column, place in now.items()}
    used |= {f"then {column}": place for column, place in then.items()}
    used |= {"how": _place(table, end_column)} if end_column is not None else {}
    measured = Measured(now, then, table.columns.index(flag) if flag in table.columns else None, used.get("how"))
    scan = by_piece(table, recoding, measured)
    if scan is not None:
        scanned, labels, recoding = recoded_scan(table, scan, recoding, measured)
        return Recoded(_with_scanned(table, scan, scanned, labels), recoding, used)
    read = table.read(used | ({} if measured.terminated is None else {"terminated": measured.terminated}))
    if not len(read):  # the reader refuses it
        return Recoded(_with_columns(table, pd.DataFrame(columns=["state", "next_state"])), recoding, used)
    made, recoding = recoded_frame(
        pd.DataFrame({column: read[f"now {column}"].array for column in now}),
        pd.DataFrame({column: read[f"then {column}"].array for column in then}) if then else None,
        recoding,
        terminated=read_flags(table, read, "terminated"),
        how=read["how"] if end_column is not None else None,
        decimal=table.decimal,
        place=lambda row: f"{table.name} {table.place(row)}",
    )
    return Recoded(_with_columns(table, made), recoding, used)


def recoded_frame(
    now: pd.DataFrame,
    then: pd.DataFrame | None,
    recoding: Recoding,
    *,
    terminated: NDArray[np.bool_] | None = None,
    how: pd.Series | None = None,
    decimal: str = ".",
    place: Callable[[int], str] = "row {}".format,
) -> tuple[pd.DataFrame, Recoding]:
    """Make states of measurements.

    Parameters
    ----------
    now : DataFrame
        What was measured before each step.
    then : DataFrame, optional
        What was measured after it, in columns of the same names.
    recoding : Recoding
        Settled on `now`, unless it is settled.
    terminated : bool array [row], optional
        Where nothing follows.
    how : Series, optional
        How an episode ended, read where it is terminated.
    decimal : {".", ","}
    place : function of a row's number to what a message calls it

    Returns
    -------
    DataFrame
        ``state`` and, with `then`, ``next_state``, as ordered categories of the same labels.
    Recoding
        With the states that occur.

    Raises
    ------
    ValueError
        For the first row that has no state.

    Examples
    --------
    >>> now, then = pd.DataFrame({"age": [30, 70]}), pd.DataFrame({"age": [70, None]})
    >>> made, recoding = recoded_frame(now, then, as_recoding("age:cutoffs(65)"), terminated=np.array([False, True]))
    >>> made["next_state"].tolist(), recoding.states
    (['age >=65', 'end'], ('age <65', 'age >=65'))
    """
    ended = np.zeros(len(now), bool) if terminated is None else terminated
    goes_on = None if then is None else then.loc[~ended]
    settled = recoding.settled(now, *([] if goes_on is None else [goes_on]), decimal=decimal)
    levels = settled.levels_of(now, decimal=decimal, place=place)
    columns = {"state": settled.labels_of(levels)}
    ends: list[str] = []
    if goes_on is None:
        settled = settled.over(levels)
    else:
        rows = np.flatnonzero(~ended)
        entered = settled.levels_of(
            goes_on, decimal=decimal, place=lambda row: f"{place(int(rows[row]))}, in what followed"
        )
        settled = settled.over(levels, entered)
        columns["next_state"] = _ends(how, ended, settled.states, place)
        columns["next_state"][~ended] = settled.labels_of(entered)
        ends = sorted(set(columns["next_state"][ended].tolist()))
    order = pd.CategoricalDtype([*settled.states, *ends], ordered=True)
    return pd.DataFrame({name: pd.Categorical(labels, dtype=order) for name, labels in columns.items()}), settled


def _ends(
    how: pd.Series | None, ended: NDArray[np.bool_], states: tuple[str, ...], place: Callable[[int], str]
) -> NDArray[np.object_]:
    """How each episode ended [row], where it did."""
    labels = np.full(len(ended), END, object)
    if how is None:
        return labels
    read = named(how)
    names = np.array([*read.names, ""], object)[read.codes]
    wrong = ended & ((read.codes < 0) | np.isin(names.astype(str), states))
    if wrong.any():
        row = int(np.argmax(wrong))
        refuse_end(place(row), names[row])
    labels[ended] = names[ended]
    return labels


def _next_places(table: Table, recoding: Recoding, next_columns: str | Mapping[str, str]) -> dict[str, int]:
    """Where what followed was measured, by the name of the measurement; none where it was not."""
    if isinstance(next_columns, str):
        if "{}" not in next_columns or next_columns == "{}":
            raise ValueError(f"next_columns names what followed by a pattern such as 'next_{{}}'; got {next_columns!r}")
        names = {column: next_columns.replace("{}", column) for column in recoding.columns}
    else:
        unknown = [column for column in next_columns if column not in recoding.columns]
        if unknown:
            hint = did_you_mean(unknown[0], recoding.columns)
            raise ValueError(f"next_columns names {unknown[0]!r}, of which no state is made; {hint}")
        names = {column: next_columns.get(column, NEXT.replace("{}", column)) for column in recoding.columns}
    missing = [(column, name) for column, name in names.items() if name not in table.columns]
    if len(missing) == len(names) and next_columns == NEXT:
        if "next_state" in table.columns:
            raise ValueError(
                f"{table.name} has next_state, but states are made of {listed(recoding.columns)}: give what followed "
                f"as {listed(list(names.values()))}, or say what these columns are called with next_columns="
            )
        return {}
    if missing:
        column, name = missing[0]
        raise ValueError(
            f"{table.name} has no column {name!r} for {column!r} after the step; it has {listed(table.columns)}; "
            "say what it is called with next_columns="
        )
    return {column: table.columns.index(name) for column, name in names.items()}


def _place(table: Table, column: str) -> int:
    names = list(map(str, table.columns))
    if column not in names:
        hint = did_you_mean(column, names, otherwise=f"it has {listed(table.columns)}")
        raise ValueError(f"{table.name} has no column {column!r} to make states of; {hint}")
    if names.count(column) > 1:
        raise ValueError(f"{table.name} has the column {column!r} more than once; rename all but one")
    return names.index(column)


def _with_columns(table: Table, made: pd.DataFrame) -> Table:
    """The table with columns that are made already, in the place of its own of these names."""
    names = _names_with(table, made.columns)
    places = {names.index(name): name for name in made.columns}

    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        below = {ours: place for ours, place in chosen.items() if place not in places}
        frame = table.read(below) if below else pd.DataFrame()
        columns = {ours: made[places[place]] if place in places else frame[ours] for ours, place in chosen.items()}
        return pd.DataFrame({ours: column.array for ours, column in columns.items()})

    return table._replace(columns=tuple(names), read=read, scan=None)


def _with_scanned(table: Table, scan: Scan, made: Mapping[str, pl.Expr], labels: list[str]) -> Table:
    """The table with columns that are made when it is scanned, likewise."""
    import polars as pl

    names = _names_with(table, made)
    places = {names.index(name): column for name, column in made.items()}
    # All columns of a text file are text.
    columns = {place: column.cast(pl.String) if scan.written else column for place, column in places.items()}
    frame = scan.frame.with_columns(column.alias(str(place)) for place, column in columns.items())
    known = scan._replace(frame=frame, orders={**scan.orders, **dict.fromkeys(places, labels)})
    return table._replace(columns=tuple(names), read=known.read, scan=lambda: known)


def _names_with(table: Table, made: Iterable[str]) -> list[Any]:
    return [*table.columns, *(name for name in made if name not in table.columns)]
