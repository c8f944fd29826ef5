"""Columns of any size, scanned by Polars: read row by row, or grouped to distinct rows before they come into Python.

What depends on the order of rows is found in the scan: whether the next row goes on where one stopped, and what the
row before says of ends. Rewards are summed as whole numbers, in units of 2**-44 of half their range, so that a sum does
not depend on the order in which it is made, and nothing cancels.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

__all__ = ["BEFORE", "MISSING", "Distinct", "Scan", "Summed", "sum_rewards"]

# Less than pandas' own list, in which the perfectly good action "None" is missing.
MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")

BEFORE = "before "
"""Begins the names of columns of the row before."""

PREFETCHED = "POLARS_ROW_GROUP_PREFETCH_SIZE"

FIRST = 255
"""Stands for the row before the first."""

UNITS = 2.0**44
"""Whole numbers by which half of the range of rewards is told where they are summed."""


class Summed(NamedTuple):
    """Rewards of groups of rows, as exact sums.

    Attributes
    ----------
    total, squares : array of int [group]
        Sums of the whole numbers that stand for rewards, and of their squares.
    unit : Unit
        What these whole numbers are.
    """

    total: NDArray[Any]
    squares: NDArray[Any]
    unit: Unit

    def negative(self) -> Summed:
        """Return the sums of these rewards with the opposite sign."""
        return Summed(-self.total, self.squares, Unit(-self.unit.most, -self.unit.least))

    def moments(self, count: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and the variance [group] of the rewards, of which there are so many [group]."""
        number = count.astype(object)
        apart = (self.squares * number - self.total * self.total).astype(float) / count.astype(float) ** 2
        return self.unit.centre + self.unit.size * (self.total.astype(float) / count), apart * self.unit.size**2


class Unit(NamedTuple):
    """Whole numbers that stand for rewards, from -`UNITS` for the least to `UNITS` for the most."""

    least: float
    most: float

    @property
    def centre(self) -> float:
        return self.least / 2 + self.most / 2

    @property
    def size(self) -> float:
        return max(self.most / 2 - self.least / 2, float(np.finfo(float).tiny)) / UNITS

    def whole(self, number: pl.Expr) -> pl.Expr:
        """Rewards as these numbers."""
        import polars as pl

        return ((number - self.centre) / self.size).round().cast(pl.Int64).cast(pl.Int128)


class Distinct(NamedTuple):
    """The distinct rows of some columns.

    Attributes
    ----------
    frame : DataFrame
        Those columns, and those of the row before under names that begin with `BEFORE`.
    times : int array [row]
        How often each was seen.
    apart, before_apart : bool array [row]
        Whether the next row's state is another than this row's next state; and the same of the row before.
    begins : bool array [row]
        The first row of all.
    rewards : Summed or None
    first : int array [row], or None
        The number of the row where each was first, in order, if that was asked for.
    last : bool array [row], or None
        The last row of all, likewise.
    """

    frame: pd.DataFrame
    times: NDArray[np.int64]
    apart: NDArray[np.bool_]
    before_apart: NDArray[np.bool_]
    begins: NDArray[np.bool_]
    rewards: Summed | None
    first: NDArray[np.int64] | None
    last: NDArray[np.bool_] | None


class Scan(NamedTuple):
    """Columns that are scanned when they are needed.

    Attributes
    ----------
    frame : LazyFrame
        Columns "0", "1", ... by position.
    damaged : function of an exception
        What to raise for one of Polars.
    written : bool
        Whether all are text, as a text file has them.
    decimal : str
        Of numbers that are text.
    orders : mapping of position to labels
        Of the columns whose categories are in an order.
    rows : int, optional
        How many there are, if that is known.
    """

    frame: pl.LazyFrame
    damaged: Callable[[Exception], Exception]
    written: bool = False
    decimal: str = "."
    orders: Mapping[int, list[Any]] = {}
    rows: int | None = None

    def read(self, chosen: Mapping[Any, int]) -> pd.DataFrame:
        """Read columns row by row, under our names for their positions."""
        wanted = sorted(set(chosen.values()))
        frame = self.collect(self.frame.select(self.column(place).alias(str(place)) for place in wanted))
        columns = {place: _as_pandas(frame[str(place)], self.orders.get(place)) for place in wanted}
        return pd.DataFrame({ours: columns[place] for ours, place in chosen.items()})

    def size(self) -> int:
        """Count the rows."""
        import polars as pl

        return self.rows if self.rows is not None else int(self.collect(self.frame.select(pl.len())).item())

    def kinds(self, place: int) -> int:
        """Count the different values of a column, roughly."""
        return int(self.collect(self.frame.select(self.column(place).approx_n_unique())).item())

    def numbers(self, place: int, rows: int) -> int:
        """Count the different numbers of a column's first rows."""
        return int(self.collect(self.frame.head(rows).select(self.number(place).n_unique())).item())

    def value(self, place: int, row: int) -> Any:
        """Return what stands in a row, None if nothing does."""
        return self.collect(self.frame.slice(row, 1).select(self.column(place))).item()

    def first_wrong(self, place: int, low: float, high: float) -> int | None:
        """Return the first row in which a column is no number from low to high; None if there is none."""
        import polars as pl

        wrong = ~self.number(place).is_between(low, high).fill_null(False)
        found = self.collect(
            self.frame.select(wrong.alias("wrong")).with_row_index().filter("wrong").select(pl.first()).head(1)
        )
        return int(found.item()) if len(found) else None

    def distinct(
        self,
        chosen: Mapping[Any, int],
        state: int,
        next_state: int,
        flags: Mapping[str, int],
        summed: int | None = None,
        *,
        placed: bool = False,
        cleaned: bool = False,
    ) -> Distinct:
        """Group rows by some columns, and by how they lie between their neighbours.

        Parameters
        ----------
        chosen, flags : mapping of our names to positions
            By which rows are grouped, the flags also by those of the row before.
        state, next_state : int
            Positions.
        summed : int, optional
            Position of rewards that are summed, all of them finite numbers.
        placed : bool
            Say where each is first, in the order of which they then are; half as much time again.
        cleaned : bool
            Compare states with the blanks about them taken away; done where there are any.

        Returns
        -------
        Distinct
        """
        import polars as pl

        schema = self.frame.collect_schema()
        # What is true or false of a row is one number, for the fewer columns to group by, the quicker.
        coded = [name for name, place in flags.items() if schema[str(place)] == pl.Boolean]
        spelled = {name: place for name, place in flags.items() if name not in coded}
        row, edge = pl.col("row number"), pl.col("edge")
        bits = [self._apart(state, next_state, cleaned=cleaned)]
        bits += [bit for name in coded for bit in (pl.col(str(flags[name])), pl.col(str(flags[name])).is_null())]
        bits += [row == self.size() - 1] if placed else []
        edges = sum(bit.fill_null(False).cast(pl.UInt8) * 2**n for n, bit in enumerate(bits))
        # Text is grouped as it is written, and cleaned when it is less.
        keys = {f"key {n}": place for n, place in enumerate({**chosen, **spelled}.values())}
        before = {f"before {n}": place for n, place in enumerate(spelled.values())}
        unit = None if summed is None else self._unit(summed)
        reward = [] if summed is None or unit is None else [unit.whole(self.number(summed)).alias("reward")]
        numbered = (self.frame.with_row_index("row number") if placed else self.frame).select(
            *([row] if placed else []),
            edges.alias("edge"),
            *(pl.col(str(place)).alias(name) for name, place in keys.items()),
            *(pl.col(str(place)).shift(1).alias(name) for name, place in before.items()),
            *reward,
        )
        numbered = numbered.with_columns(edge.shift(1, fill_value=FIRST).alias("edge before"))
        paid = pl.col("reward")
        totals = [paid.sum().alias("sum"), (paid * paid).sum().alias("squares")] if reward else []
        by = [*keys, *before, "edge", "edge before"]
        totals += [row.min().alias("first")] if placed else []
        raw = self.collect(numbered.group_by(by).agg(pl.len().alias("count"), *totals))
        raw = raw.sort("first") if placed else raw
        found = raw.with_columns(self._cleaned(pl.col(name)).alias(name) for name in (*keys, *before))
        if self.written and not cleaned and any((raw[name] != found[name]).any() for name in keys):
            return self.distinct(chosen, state, next_state, flags, summed, placed=placed, cleaned=True)
        columns = {
            ours: _as_pandas(found[name], self.orders.get(place))
            for ours, (name, place) in zip((*chosen, *spelled), keys.items(), strict=True)
        }
        columns |= {BEFORE + ours: _as_pandas(found[name], None) for ours, name in zip(spelled, before, strict=True)}
        told, was = (found[name].to_numpy()[:, None] >> np.arange(8) & 1 == 1 for name in ("edge", "edge before"))
        begins = found["edge before"].to_numpy() == FIRST
        was = was & ~begins[:, None]
        for n, name in enumerate(coded):
            flag, missing = told[:, 2 * n + 1], told[:, 2 * n + 2]
            columns[name] = np.where(missing, None, flag) if missing.any() else flag
            columns[BEFORE + name] = was[:, 2 * n + 1]
        rewards = None
        if unit is not None:
            total, squares = (np.array(found[name].to_list(), object) for name in ("sum", "squares"))
            rewards = Summed(total, squares, unit)
        return Distinct(
            pd.DataFrame(columns),
            found["count"].to_numpy().astype(np.int64),
            told[:, 0],
            was[:, 0],
            begins,
            rewards,
            found["first"].to_numpy().astype(np.int64) if placed else None,
            told[:, len(bits) - 1] if placed else None,
        )

    def backwards(self, state: int, next_state: int) -> int:
        """Count how often rows do not go on if they are read from the last to the first."""
        return int(self.collect(self.frame.select(self._apart(state, next_state, -1).sum())).item())

    def _apart(self, state: int, next_state: int, towards: int = 1, *, cleaned: bool = True) -> pl.Expr:
        """Whether the next row's state is another than a row's next state; or the other way round."""
        import polars as pl

        schema = self.frame.collect_schema()
        here, after = (self.column(place) if cleaned else pl.col(str(place)) for place in (next_state, state))
        one, other = schema[str(state)], schema[str(next_state)]
        if one != other:
            both: Any = pl.Int128 if one.is_integer() and other.is_integer() else pl.String
            both = pl.Float64 if both is pl.String and one.is_numeric() and other.is_numeric() else both
            here, after = here.cast(both), after.cast(both)
        # Nothing follows the last row, nor is anything known of a state that is missing.
        return (after.shift(-1) != here if towards == 1 else here.shift(-1) != after).fill_null(False)

    def column(self, place: int) -> pl.Expr:
        """Return a column, with nothing where it says that something is missing."""
        import polars as pl

        return self._cleaned(pl.col(str(place)))

    def _cleaned(self, column: pl.Expr) -> pl.Expr:
        import polars as pl

        if not self.written:
            return column
        column = column.str.strip_chars()
        return pl.when(column.is_in(list(MISSING))).then(None).otherwise(column)

    def number(self, place: int) -> pl.Expr:
        """Return a column as finite numbers, with nothing where it has none."""
        import polars as pl

        column = self.column(place)
        if self.written or self.frame.collect_schema()[str(place)] == pl.String:
            if self.decimal == ",":
                column = column.str.replace_all(".", "?", literal=True).str.replace_all(",", ".", literal=True)
            column = column.str.strip_chars()
        number = column.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)

    def _unit(self, place: int) -> Unit:
        number = self.number(place)
        ends = self.collect(self.frame.select(number.min().alias("least"), number.max().alias("most")))
        return Unit(float(ends["least"].item()), float(ends["most"].item()))

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """Scan."""
        import polars as pl

        try:
            with _few_groups_at_once():
                return frame.collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self.damaged(error) from error


@contextlib.contextmanager
def _few_groups_at_once() -> Iterator[None]:
    """Have a file read as fast as it is used: what neighbours tell is found row by row, and the rest would wait.

    Polars has no option for this but a variable of the environment, which is put back; 100 million rows then take .6 GB
    and not 2.7 GB, in the same time.
    """
    before = os.environ.get(PREFETCHED)
    os.environ.setdefault(PREFETCHED, "1")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(PREFETCHED, None)


def sum_rewards(paid: NDArray[np.float64]) -> Summed:
    """Return rewards in memory as sums, each of one."""
    unit = Unit(float(paid.min()), float(paid.max()))
    whole = np.rint((paid - unit.centre) / unit.size).astype(np.int64).astype(object)
    return Summed(whole, whole * whole, unit)


def _as_pandas(series: pl.Series, order: list[Any] | None) -> Any:
    """A column as pandas has it, text as categories; in an order only if there is one."""
    import polars as pl

    kind = series.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        series = series.cast(pl.String)
    if series.dtype == pl.String:
        names = order or series.drop_nulls().unique().sort().to_list()
        codes = series.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        return pd.Categorical.from_codes(codes, pd.Index(names, dtype=object), ordered=order is not None)
    if kind == pl.Boolean and series.null_count():
        return pd.array(series.to_list(), dtype="boolean")
    if kind.is_integer() and series.null_count():
        return pd.array(series.to_list(), dtype=str(kind).replace("I", "I"))  # type: ignore[call-overload]
    if kind == pl.Boolean or kind.is_integer() or kind.is_float():
        values = series.to_numpy()
        return values if order is None else pd.Categorical(values, order, ordered=True)
    if kind.is_decimal():
        return series.cast(pl.Float64).to_numpy()
    return pd.Series(series.to_list(), dtype=object)
