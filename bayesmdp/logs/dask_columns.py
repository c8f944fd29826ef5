"""Columns of a Dask DataFrame: grouped partition by partition, on whatever machines these are, and added up.

Each partition groups its own rows and hands back, beside the groups, its first row and its last: what these two are to
their neighbours is settled when all are there. So the result is that of one machine, to the last digit, and a partition
that is lost with its worker is simply done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from bayesmdp.foundation.extras import brought_by
from bayesmdp.logs.distinct_rows import FIRST, Grouping
from bayesmdp.logs.scanned_columns import Scan

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DaskScan"]

KINDS = 100
"""Different values of a column that one partition tells at the most."""

UNKNOWN = "__UNKNOWN_CATEGORIES__"
"""Stands for the categories that Dask has not looked at yet."""

IN_ORDER = "categories in an order,"
"""How the kind of a column begins whose categories are in an order."""

APART = 1
"""The bit of ``edge`` of a row whose next row's state is another than its next state."""


class _Part(NamedTuple):
    """What a partition hands back.

    Attributes
    ----------
    groups : DataFrame
        Of its rows but the first and the last.
    ends : DataFrame of no, one or two rows
        The first row and the last, as they are grouped, with ``state``, ``next_state`` and whether it is ``begin`` or
        ``end`` of the partition.
    """

    groups: pl.DataFrame
    ends: pl.DataFrame


class DaskScan:
    """The same as a `Scan`, of the partitions of a Dask DataFrame.

    Parameters
    ----------
    parts : sequence of delayed DataFrames
    empty : DataFrame
        One of the same columns without rows.
    decimal : str
        Of numbers that are text.
    orders : mapping of position to labels
        As a `Scan` has it.
    """

    written = False

    def __init__(
        self, parts: Sequence[Any], empty: pd.DataFrame, decimal: str, orders: Mapping[int, list[Any]]
    ) -> None:
        self.parts, self.empty, self.decimal, self.orders = parts, empty, decimal, orders

    @staticmethod
    def of(source: Any, decimal: str) -> DaskScan:
        """Scan a Dask DataFrame."""
        kinds = {place: kind for place, kind in enumerate(source.dtypes) if isinstance(kind, pd.CategoricalDtype)}
        known = {place: kind.categories.tolist() for place, kind in kinds.items() if kind.ordered}
        orders = {place: order for place, order in known.items() if order != [UNKNOWN]}
        return DaskScan(source.to_delayed(), source._meta, decimal, orders)

    def mapped(self, change: Callable[[pd.DataFrame], pd.DataFrame], orders: Mapping[int, list[Any]]) -> DaskScan:
        """Return the columns that a function makes of those of each partition, of which some are in other orders."""
        with brought_by("dask"):
            from dask.delayed import delayed

        parts = [delayed(change, pure=False)(part) for part in self.parts]
        return DaskScan(parts, change(self.empty), self.decimal, orders)

    def schema(self) -> pl.Schema:
        return _scan_of(self.empty, self.decimal).schema()

    def cleaned(self, column: pl.Expr) -> pl.Expr:
        return column

    def spelled(self, column: pl.Expr) -> pl.Expr:
        return column

    def size(self) -> int:
        return sum(self.sizes)

    def read(self, chosen: Mapping[Any, int]) -> pd.DataFrame:
        def columns(frame: pd.DataFrame) -> pd.DataFrame:
            return pd.DataFrame({ours: frame.iloc[:, place].array for ours, place in chosen.items()})

        read = self.each(columns, scanned=False)
        return pd.concat([each for each in read if len(each)] or read[:1], ignore_index=True)

    def alike(self, places: Iterable[int]) -> bool:
        """Return whether columns are of one type in all partitions, and are no lists or the like."""
        return all(len(kinds := self._types[place]) <= 1 and not any(map(_odd, kinds)) for place in places)

    def shuffles(self, by: Iterable[int]) -> bool:
        """Return whether rows can change partitions by some columns: no column is in several orders."""
        orders = [[kind for kind in kinds if kind.startswith(IN_ORDER)] for kinds in self._types]
        return self.alike(by) and all(len(each) <= 1 for each in orders)

    def kinds(self, place: int) -> int:
        if any(map(_odd, self._types[place])):
            return self.size()

        def distinct(scan: Scan) -> set[Any]:
            return set(scan.collect(scan.frame.select(scan.column(place).unique().head(KINDS))).to_series().to_list())

        return len(set[Any]().union(*self.each(distinct)))

    def numbers(self, place: int, rows: int) -> int:
        def distinct(scan: Scan, left: int) -> set[float | None]:
            number = scan.frame.head(left).select(scan.number(place).unique())
            return set(scan.collect(number).to_series().to_list())

        left = [rows - begin for begin in self._begins if begin < rows]
        return len(set[Any]().union(*self.each(distinct, left)))

    def value(self, place: int, row: int) -> Any:
        part = max(part for part, begin in enumerate(self._begins) if begin <= row and self.sizes[part])
        (found,) = self.each(lambda scan: scan.value(place, row - self._begins[part]), only=part)
        return found

    def first_wrong(self, place: int, low: float, high: float) -> int | None:
        wrong = self.each(lambda scan: scan.first_wrong(place, low, high))
        found = [begin + row for begin, row in zip(self._begins, wrong, strict=False) if row is not None]
        return min(found, default=None)

    def ends(self, place: int) -> tuple[float, float]:
        found = [each for each in self.each(lambda scan: scan.ends(place)) if each[0] is not None]
        least, most = zip(*found, strict=True)
        return min(least), max(most)

    def backwards(self, state: int, next_state: int) -> int:
        def within(scan: Scan) -> tuple[int, list[Any]]:
            after, here = scan.compared(state, next_state)
            ends = scan.collect(scan.frame.select(here.first().alias("here"), after.last().alias("after")))
            return scan.backwards(state, next_state), list(ends.row(0)) if scan.size() else []

        told = [each for each in self.each(within) if each[1]]
        return sum(number for number, _ in told) + sum(one[1][1] != other[1][0] for one, other in pairwise(told))

    def grouped(self, grouping: Grouping) -> pl.DataFrame:
        """Group each partition, settle what its ends are to their neighbours, and add up."""
        import polars as pl

        def part(scan: Scan) -> _Part:
            return _grouped_part(scan, grouping)

        parts = self.each(part)
        if grouping.placed:
            later = [pl.col("first").cast(pl.Int64) + begin for begin in self._begins]
            parts = [_Part(*(each.with_columns(by) for each in part)) for part, by in zip(parts, later, strict=True)]
        parts = _of_one_type(parts, grouping)
        settled = _settled(pl.concat([part.ends for part in parts], how="vertical_relaxed"), grouping)
        names = parts[0].groups.columns
        everything = pl.concat([*(part.groups for part in parts), settled.select(names)], how="vertical_relaxed")
        sums = [pl.col(name).sum() for name in names if name in ("count", "sum", "squares")]
        sums += [pl.col("first").min()] if grouping.placed else []
        return everything.group_by(grouping.by).agg(sums)

    @cached_property
    def _looked(self) -> list[tuple[int, list[str]]]:
        """Return how many rows each partition has, and what its columns are; nothing where all is missing."""

        def look(frame: pd.DataFrame) -> tuple[int, list[str]]:
            return len(frame), [_kind_of(frame.iloc[:, place]) for place in range(frame.shape[1])]

        return self.each(look, scanned=False)

    @cached_property
    def sizes(self) -> list[int]:
        """Return how many rows each partition has."""
        return [size for size, _ in self._looked]

    @cached_property
    def _types(self) -> list[set[str]]:
        """Return what each column is in any partition."""
        return [set(kinds) - {"empty"} for kinds in zip(*(kinds for _, kinds in self._looked), strict=True)]

    @cached_property
    def _begins(self) -> list[int]:
        return list(accumulate(self.sizes, initial=0))[:-1]

    def each(
        self,
        ask: Callable[..., Any],
        options: Sequence[Any] | None = None,
        only: int | None = None,
        *,
        scanned: bool = True,
    ) -> list[Any]:
        """Ask each partition, `scanned` or as it is; in order."""
        with brought_by("dask"):
            from dask.base import compute
            from dask.delayed import delayed

        parts: Iterable[Any] = self.parts if only is None else self.parts[only : only + 1]
        decimal = self.decimal

        def asked(frame: pd.DataFrame, *rest: Any) -> Any:
            return ask(_scan_of(frame, decimal) if scanned else frame, *rest)

        given = [()] * len(self.parts) if options is None else [(each,) for each in options]
        tasks = [delayed(asked, pure=False)(part, *rest) for part, rest in zip(parts, given, strict=False)]
        return list(compute(*tasks))  # type: ignore[no-untyped-call]


def _scan_of(frame: pd.DataFrame, decimal: str) -> Scan:
    import polars as pl

    def polars(column: pd.Series) -> pl.Series:
        kind = _kind_of(column)
        if kind == "empty" and column.dtype == object:
            return pl.Series([None] * len(column), dtype=pl.Null)
        if _odd(kind):  # text will do where it is one of ends
            return pl.Series([None if each is None or each is pd.NA else str(each) for each in column], dtype=pl.String)
        return pl.from_pandas(column)

    columns = {str(place): polars(frame.iloc[:, place]) for place in range(frame.shape[1])}
    return Scan(pl.DataFrame(columns).lazy(), lambda error: ValueError(str(error)), decimal=decimal)


def _grouped_part(scan: Scan, grouping: Grouping) -> _Part:
    """Group a partition, and set its first row and its last apart."""
    import polars as pl

    numbered = scan.collect(grouping.numbered(scan, -1))  # no row is the last of all yet
    state, next_state = scan.compared(grouping.state, grouping.next_state)
    states = scan.collect(scan.frame.select(state=state, next_state=next_state))
    row, size = pl.int_range(pl.len()), len(numbered)
    every = pl.concat([numbered, states], how="horizontal").with_columns(begin=row == 0, end=row == size - 1)
    whole = (
        []
        if grouping.unit is None
        else [pl.col("reward").alias("sum"), (pl.col("reward") * pl.col("reward")).alias("squares")]
    )
    first = [pl.col("row number").alias("first")] if grouping.placed else []
    ends = every.filter(pl.col("begin") | pl.col("end")).with_columns(
        pl.lit(1, pl.Int64).alias("count"), *whole, *first
    )
    middle = numbered.slice(1, max(size - 2, 0)).lazy()
    return _Part(scan.collect(grouping.totals(middle)), ends)


def _of_one_type(parts: list[_Part], grouping: Grouping) -> list[_Part]:
    """Make text of columns that are of several types, which only those are that a log leaves out.

    Numbers of several widths are of one type.
    """
    import polars as pl

    kinds = {name: {part.groups.schema[name] for part in parts} - {pl.Null()} for name in grouping.keys}
    kinds |= {name: {part.groups.schema[name] for part in parts} - {pl.Null()} for name in grouping.before}
    several = [
        name
        for name, own in kinds.items()
        if len(own) > 1 and not (all(kind.is_integer() for kind in own) or all(kind.is_float() for kind in own))
    ]
    texts = [pl.col(name).cast(pl.String) for name in several]
    return [_Part(*(each.with_columns(texts) for each in part)) for part in parts]


def _kind_of(column: pd.Series) -> str:
    """What a column is, as pandas infers it; of categories, what they are and in which order, if they are in one."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = column.cat.categories
        own = pd.api.types.infer_dtype(categories)
        if own.startswith("mixed"):
            return own
        return f"{IN_ORDER} {own} {categories.tolist()!r}" if column.cat.ordered else f"categories {own}"
    if kind == "integer" and column.dtype == "uint64":
        return "unsigned"  # beside other whole numbers, only floats hold all of them
    if kind == "integer" and column.dtype == object and column.dropna().map(lambda number: abs(number) >= 2**63).any():
        return "mixed, beyond 64 bits"
    return kind


def _odd(kind: str) -> bool:
    """Whether a column has values of several types, or of none that Polars has."""
    return kind.startswith("mixed") or kind in ("complex", "period", "interval")


def _settled(ends: pl.DataFrame, grouping: Grouping) -> pl.DataFrame:
    """Tell first and last rows of partitions, in order, what their neighbours are."""
    import polars as pl

    begin, edge = pl.col("begin"), pl.col("edge")
    apart = pl.col("end") & (pl.col("state").shift(-1) != pl.col("next_state")).fill_null(False)
    known = ends.with_columns(edge + apart.cast(pl.UInt8) * APART)
    if grouping.placed:
        last = pl.int_range(pl.len()) == pl.len() - 1
        known = known.with_columns(edge + last.cast(pl.UInt8) * 2**grouping.last)
    spelled = {name: key for name, place in grouping.before.items() for key, at in grouping.keys.items() if at == place}
    # A flag that is also a key by another name is the same column.
    return known.with_columns(
        pl.when(begin).then(edge.shift(1, fill_value=FIRST)).otherwise(pl.col("edge before")).alias("edge before"),
        *(
            pl.when(begin).then(pl.col(key).shift(1)).otherwise(pl.col(name)).alias(name)
            for name, key in spelled.items()
        ),
    )
