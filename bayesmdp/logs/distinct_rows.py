"""Rows grouped to distinct ones, with what depends on their neighbours and with sums of rewards.

Whether the next row goes on where one stopped, and what the row before says of ends, is told for each group. Rewards
are summed as whole numbers, in units of 2**-44 of half their range or of up to twice that, so that a sum does not
depend on the order in which it is made, and nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.logs.scanned_columns import as_pandas

if TYPE_CHECKING:
    import polars as pl

    from bayesmdp.logs.scanned_columns import Columns, Scan

__all__ = ["BEFORE", "FIRST", "Distinct", "Grouping", "Summed", "Unit", "distinct_rows", "sum_rewards"]

BEFORE = "before "
"""Begins the names of columns of the row before."""

FIRST = 255
"""Stands for the row before the first."""

SMALLEST = 2.0**-1000
"""The least unit; some engines take numbers below 2**-1022 for zero, and others do not."""

UNITS = 2.0**44
"""Whole numbers by which half of the range of rewards is told, or up to twice that, where they are summed."""


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
    """Whole numbers that stand for rewards, from -`UNITS` or above for the least to `UNITS` or below for the most.

    Their size is a power of 2, for then every engine divides by it alike.
    """

    least: float
    most: float

    @property
    def centre(self) -> float:
        return self.least / 2 + self.most / 2

    @property
    def size(self) -> float:
        _, exponent = math.frexp(self.most / 2 - self.least / 2)
        return max(math.ldexp(1 / UNITS, exponent), SMALLEST)

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
    cleaned : bool
        Whether states had to be compared without the blanks about them.
    """

    frame: pd.DataFrame
    times: NDArray[np.int64]
    apart: NDArray[np.bool_]
    before_apart: NDArray[np.bool_]
    begins: NDArray[np.bool_]
    rewards: Summed | None
    first: NDArray[np.int64] | None
    last: NDArray[np.bool_] | None
    cleaned: bool


class Grouping(NamedTuple):
    """How rows are grouped.

    Attributes
    ----------
    keys, before : mapping of a column's name to the position of what it holds
        By which rows are grouped as they are, and as the row before has them.
    coded : mapping of our names to positions
        Columns of true and false: with what else is true or false of a row they are one number, ``edge``, for the fewer
        columns to group by, the quicker.
    state, next_state : int
        Positions.
    summed : int, or None
        Position of rewards that are summed.
    unit : Unit or None
        In which they are.
    placed : bool
        Whether the first row of each group is to be known; half as much time again.
    cleaned : bool
        Whether states are compared without the blanks about them.
    """

    keys: dict[str, int]
    before: dict[str, int]
    coded: dict[str, int]
    state: int
    next_state: int
    summed: int | None
    unit: Unit | None
    placed: bool
    cleaned: bool = False

    @property
    def by(self) -> list[str]:
        return [*self.keys, *self.before, "edge", "edge before"]

    @property
    def last(self) -> int:
        """The bit of ``edge`` that the last row has, if rows are placed."""
        return 1 + 2 * len(self.coded)

    def numbered(self, scan: Scan, size: int) -> pl.LazyFrame:
        """Return what rows are grouped by, and what is summed [row]."""
        import polars as pl

        row, edge = pl.col("row number"), pl.col("edge")
        bits = [scan.apart(self.state, self.next_state, cleaned=self.cleaned)]
        flags = map(scan.stored, self.coded.values())
        bits += [bit for flag in flags for bit in (flag, flag.is_null())]
        bits += [row == size - 1] if self.placed else []
        frame = scan.frame.with_row_index("row number") if self.placed else scan.frame
        paid = [] if self.unit is None else [self.unit.whole(scan.number(self.summed or 0)).alias("reward")]
        return frame.select(
            *([row] if self.placed else []),
            sum(bit.fill_null(False).cast(pl.UInt8) * 2**n for n, bit in enumerate(bits)).alias("edge"),
            *(scan.stored(place).alias(name) for name, place in self.keys.items()),
            *(scan.stored(place).shift(1).alias(name) for name, place in self.before.items()),
            *paid,
        ).with_columns(edge.shift(1, fill_value=FIRST).alias("edge before"))

    def totals(self, numbered: pl.LazyFrame) -> pl.LazyFrame:
        """Return the groups of such rows."""
        import polars as pl

        paid = pl.col("reward")
        totals = [pl.len().cast(pl.Int64).alias("count")]
        totals += [paid.sum().alias("sum"), (paid * paid).sum().alias("squares")] if self.unit else []
        totals += [pl.col("row number").min().alias("first")] if self.placed else []
        return numbered.group_by(self.by).agg(totals)


def distinct_rows(
    scan: Columns,
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
    scan : Columns
    chosen, flags : mapping of our names to positions
        By which rows are grouped, the flags also by those of the row before.
    state, next_state : int
        Positions.
    summed : int, optional
        Position of rewards that are summed, all of them finite numbers.
    placed : bool
        Say where each is first, in the order of which they then are.
    cleaned : bool
        Compare states without the blanks about them. By default only if those by which rows are grouped need it.

    Returns
    -------
    Distinct
    """
    import polars as pl

    schema = scan.schema()
    coded = {name: place for name, place in flags.items() if schema[str(place)] == pl.Boolean}
    spelled = {name: place for name, place in flags.items() if name not in coded}
    keys = {f"key {n}": place for n, place in enumerate({**chosen, **spelled}.values())}
    before = {f"before {n}": place for n, place in enumerate(spelled.values())}
    unit = None if summed is None else Unit(*scan.ends(summed))
    grouping = Grouping(keys, before, coded, state, next_state, summed, unit, placed, cleaned)
    raw = scan.grouped(grouping)
    # Text is grouped as it is written, and cleaned when it is less; then states may seem apart that are not.
    found = _cleaned(scan, grouping, raw)
    labels = [name for name, place in keys.items() if place in (state, next_state)]
    if scan.written and not cleaned and _spelled_twice(scan, raw, found, labels):
        grouping = grouping._replace(cleaned=True)
        found = _cleaned(scan, grouping, scan.grouped(grouping))
    found = found.sort("first") if placed else found
    columns = {
        ours: as_pandas(found[name], scan.orders.get(place))
        for ours, (name, place) in zip((*chosen, *spelled), keys.items(), strict=True)
    }
    columns |= {BEFORE + ours: as_pandas(found[name]) for ours, name in zip(spelled, before, strict=True)}
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
    first, last = (found["first"].to_numpy().astype(np.int64), told[:, grouping.last]) if placed else (None, None)
    return Distinct(
        pd.DataFrame(columns),
        found["count"].to_numpy(),
        told[:, 0],
        was[:, 0],
        begins,
        rewards,
        first,
        last,
        grouping.cleaned,
    )


def _cleaned(scan: Columns, grouping: Grouping, raw: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return raw.with_columns(scan.cleaned(pl.col(name)).alias(name) for name in (*grouping.keys, *grouping.before))


def _spelled_twice(scan: Columns, raw: pl.DataFrame, cleaned: pl.DataFrame, names: list[str]) -> bool:
    """Whether labels that mean the same are written in several ways."""
    import polars as pl

    if not names:
        return False
    written, labels = (pl.concat([frame[name] for name in names]).unique() for frame in (raw, cleaned))
    return labels.to_frame().select(scan.spelled(pl.first()).unique()).height < len(written)


def sum_rewards(paid: NDArray[np.float64]) -> Summed:
    """Return rewards in memory as sums, each of one."""
    unit = Unit(float(paid.min()), float(paid.max()))
    whole = np.rint((paid - unit.centre) / unit.size).astype(np.int64).astype(object)
    return Summed(whole, whole * whole, unit)
