"""Columns of any size, scanned by Polars when something is asked of them.

What depends on the order of rows, such as whether the next row goes on where one stopped, is found in the scan.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pandas as pd

from bayesmdp.logs.arrow_files import panics_unsaid
from bayesmdp.logs.parquet_pages import Damaged

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MISSING", "Columns", "Scan", "as_pandas"]

# Less than pandas' own list, in which the perfectly good action "None" is missing.
MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")

BLANKS = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B)))
BLANKS += "\u2028\u2029\u202f\u205f\u3000"
"""What Python takes for blank; Polars leaves some of it."""

PIECES = {
    "POLARS_ROW_GROUP_PREFETCH_SIZE": "1",
    "POLARS_CSV_CHUNK_SIZE": f"{2**18}",
}
"""Groups of rows of Parquet files, and bytes of CSV, that Polars reads ahead.

Of Parquet 100 million rows then take .6 GB and not 2.7 GB, of CSV 2 million .09 GB and not .2 GB, in the same time.
"""


class Columns(Protocol):
    """Columns of which may be asked what a log's reader asks, wherever they are; see `Scan`."""

    @property
    def written(self) -> bool: ...
    @property
    def decimal(self) -> str: ...
    @property
    def orders(self) -> Mapping[int, list[Any]]: ...
    def schema(self) -> pl.Schema: ...
    def cleaned(self, column: pl.Expr) -> pl.Expr: ...
    def spelled(self, column: pl.Expr) -> pl.Expr: ...
    def size(self) -> int: ...
    def read(self, chosen: Mapping[Any, int]) -> pd.DataFrame: ...
    def kinds(self, place: int) -> int: ...
    def numbers(self, place: int, rows: int) -> int: ...
    def value(self, place: int, row: int) -> Any: ...
    def first_wrong(self, place: int, low: float, high: float) -> int | None: ...
    def ends(self, place: int) -> tuple[float, float]: ...
    def backwards(self, state: int, next_state: int) -> int: ...
    def grouped(self, grouping: Any) -> pl.DataFrame: ...


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
    exact : bool
        Whether labels of a text file are as they are written, also where they look like numbers.
    sliced : bool
        Whether some rows are had without going through those before them.
    panics : bool
        Whether Polars may panic over it, and writes to the terminal then.
    look : function of a position, optional
        Raises `Damaged` for a column over which Polars would end the process.
    """

    frame: pl.LazyFrame
    damaged: Callable[[BaseException], Exception]
    written: bool = False
    decimal: str = "."
    orders: Mapping[int, list[Any]] = {}
    rows: int | None = None
    exact: bool = False
    sliced: bool = False
    panics: bool = False
    look: Callable[[int], None] | None = None

    def read(self, chosen: Mapping[Any, int]) -> pd.DataFrame:
        """Read columns row by row, under our names for their positions."""
        wanted = sorted(set(chosen.values()))
        frame = self.collect(self.frame.select(self.column(place).alias(str(place)) for place in wanted))
        self.check_size(len(frame))
        columns = {place: as_pandas(frame[str(place)], self.orders.get(place)) for place in wanted}
        return pd.DataFrame({ours: columns[place] for ours, place in chosen.items()})

    def check_size(self, found: int) -> None:
        """Refuse to go on where not all rows could be read."""
        if self.rows is not None and found != self.rows:
            raise self.damaged(ValueError(f"{found:,} of {self.rows:,} rows could be read"))

    def blocks(self, begins: Sequence[int], size: int) -> list[Scan]:
        """Return blocks of so many rows, which begin in rising order and do not overlap, as columns of their own.

        What has to be gone through from the start is gone through once.
        """
        import polars as pl

        if self.sliced:
            return [self._replace(frame=self.frame.slice(begin, size), rows=None) for begin in begins]
        # By numbered rows, for a slice of JSON lines takes blank lines for rows.
        number = pl.col("row number")
        wanted = pl.any_horizontal(number.is_between(begin, begin + size - 1) for begin in begins)
        read = self.collect(self.frame.with_row_index("row number").filter(wanted)).drop("row number")
        if len(read) != len(begins) * size:
            raise self.damaged(ValueError(f"{len(read):,} of {len(begins) * size:,} rows could be read"))
        parts = [read.slice(place * size, size) for place in range(len(begins))]
        return [self._replace(frame=part.lazy(), rows=None, sliced=True) for part in parts]

    def schema(self) -> pl.Schema:
        """Return the types of the columns."""
        return self.frame.collect_schema()

    def size(self) -> int:
        """Count the rows."""
        import polars as pl

        return self.rows if self.rows is not None else int(self.collect(self.frame.select(pl.len())).item())

    def kinds(self, place: int) -> int:
        """Count the different values of a column, roughly; as many as rows where they are lists or the like."""
        if self.schema()[str(place)].is_nested():
            return self.size()
        return int(self.collect(self.frame.select(self.column(place).approx_n_unique())).item())

    def numbers(self, place: int, rows: int) -> int:
        """Count the different numbers of a column's first rows."""
        return int(self.collect(self.frame.head(rows).select(self.number(place).n_unique())).item())

    def value(self, place: int, row: int) -> Any:
        """Return what stands in a row, None if nothing does."""
        import polars as pl

        # A slice of JSON lines takes blank lines for rows.
        decimal = self.schema()[str(place)].is_decimal()
        column = self.column(place).cast(pl.Float64) if decimal else self.column(place)  # as they are read
        rows = self.frame.select(column.alias("value")).with_row_index("row").filter(pl.col("row") == row)
        return self.collect(rows.head(1).select("value")).item()

    def first_wrong(self, place: int, low: float, high: float) -> int | None:
        """Return the first row in which a column is no number from low to high; None if there is none."""
        import polars as pl

        wrong = ~self.number(place).is_between(low, high).fill_null(False)
        found = self.collect(
            self.frame.select(wrong.alias("wrong")).with_row_index().filter("wrong").select(pl.first()).head(1)
        )
        return int(found.item()) if len(found) else None

    def ends(self, place: int) -> tuple[float, float]:
        """Return the least and the largest number of a column."""
        number = self.number(place)
        return self.collect(self.frame.select(number.min().alias("least"), number.max().alias("most"))).row(0)

    def grouped(self, grouping: Any) -> pl.DataFrame:
        """Group rows by a `Grouping` (:mod:`bayesmdp.logs.distinct_rows`)."""
        groups = self.collect(grouping.totals(grouping.numbered(self, self.size())))
        self.check_size(int(groups["count"].sum()))
        return groups

    def backwards(self, state: int, next_state: int) -> int:
        """Count how often rows do not go on if they are read from the last to the first."""
        return int(self.collect(self.frame.select(self.apart(state, next_state, -1).sum())).item())

    def apart(self, state: int, next_state: int, towards: int = 1, *, cleaned: bool = True) -> pl.Expr:
        """Return whether the next row's state is another than a row's next state; or the other way round."""
        after, here = self.compared(state, next_state, cleaned=cleaned)
        # Nothing follows the last row, nor is anything known of a state that is missing.
        return (after.shift(-1) != here if towards == 1 else here.shift(-1) != after).fill_null(False)

    def compared(self, state: int, next_state: int, *, cleaned: bool = True) -> tuple[pl.Expr, pl.Expr]:
        """Return two columns of labels as they compare with each other, whatever their types."""
        places = (state, next_state)
        columns = [self.label(place) if cleaned else self.stored(place) for place in places]
        kinds = [self.schema()[str(place)] for place in places]
        if kinds[0] != kinds[1]:
            text = not all(map(_is_number, kinds))
            columns = [_comparable(column, kind, text=text) for column, kind in zip(columns, kinds, strict=True)]
        return columns[0], columns[1]

    def column(self, place: int) -> pl.Expr:
        """Return a column, with nothing where it says that something is missing."""
        return self.cleaned(self.stored(place))

    def stored(self, place: int) -> pl.Expr:
        """Return a column as it stands in the source, if it can be read."""
        import polars as pl

        if self.look is not None:
            try:
                self.look(place)
            except (Damaged, OSError) as error:
                raise self.damaged(error) from error
        return pl.col(str(place))

    def label(self, place: int) -> pl.Expr:
        """Return a column of labels so that those that mean the same are the same."""
        return self.spelled(self.column(place))

    def spelled(self, column: pl.Expr) -> pl.Expr:
        """Return labels without blanks in one spelling: 1.0 and 1.00 are both 1 in a text file."""
        import polars as pl

        if not self.written or self.exact:
            return column
        whole = column.str.extract(r"^(-?\d{1,15})\.0*$").cast(pl.Int64).cast(pl.String)
        return pl.coalesce(whole, column)

    def cleaned(self, column: pl.Expr) -> pl.Expr:
        """Return a column of this source without blanks, and with nothing where it says that something is missing."""
        import polars as pl

        if not self.written:
            return column
        column = column.str.strip_chars(BLANKS)
        return pl.when(column.is_in(list(MISSING))).then(None).otherwise(column)

    def number(self, place: int) -> pl.Expr:
        """Return a column as finite numbers, with nothing where it has none."""
        import polars as pl

        column = self.column(place)
        number = self.as_number(column) if self.written or self.schema()[str(place)] == pl.String else column
        number = number.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)

    def as_number(self, text: pl.Expr) -> pl.Expr:
        """Return text as numbers, with nothing where it has none."""
        import polars as pl

        if self.decimal == ",":
            text = text.str.replace_all(".", "?", literal=True).str.replace_all(",", ".", literal=True)
        return text.str.strip_chars(BLANKS).cast(pl.Float64, strict=False)

    def collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        """Scan."""
        import polars as pl

        try:
            with _in_small_pieces(), panics_unsaid() if self.panics else contextlib.nullcontext():
                return frame.collect(engine="streaming")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise self.damaged(error) from error


@contextlib.contextmanager
def _in_small_pieces() -> Iterator[None]:
    """Have a file read in small pieces, and as fast as these are used.

    What neighbours tell is found row by row, and what is read beyond it would wait. Polars has no options for this but
    variables of the environment, which are put back.
    """
    before = {name: os.environ.get(name) for name in PIECES}
    for name, size in PIECES.items():
        os.environ.setdefault(name, size)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _is_number(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind.is_decimal()


def _comparable(column: pl.Expr, kind: pl.DataType, *, text: bool) -> pl.Expr:
    """Return labels as they compare with those of another type: as whole numbers, or as text."""
    import polars as pl

    if kind.is_nested() or kind == pl.Binary:
        return pl.when(column.is_not_null()).then(pl.lit(""))  # no labels, and refused
    if kind == pl.Boolean:
        return column.cast(pl.String).str.to_titlecase()
    if text:
        return column.cast(pl.String)
    if kind.is_float() or kind.is_decimal():
        return column.cast(pl.Float64).cast(pl.Int128, strict=False)  # others than whole ones are refused
    return column.cast(pl.Int128)


def as_pandas(series: pl.Series, order: list[Any] | None = None) -> Any:
    """Return a column as pandas has it, text as categories; in an order only if there is one."""
    import polars as pl

    kind = series.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        series = series.cast(pl.String)
    if series.dtype == pl.String:
        seen = series.drop_nulls().unique().sort().to_list()
        order = order if order and set(seen) <= set(order) else None  # another file of the folder may have others
        names = order or seen
        codes = series.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        return pd.Categorical.from_codes(codes, pd.Index(names, dtype=object), ordered=order is not None)
    if kind == pl.Boolean and series.null_count():
        return pd.array(series.to_list(), dtype="boolean")
    if kind in (pl.Int128, pl.UInt128):  # of which neither NumPy nor pandas has any
        return pd.Series(series.to_list(), dtype=object)
    if kind.is_integer() and series.null_count():
        return pd.array(series.to_list(), dtype=str(kind))  # type: ignore[call-overload]
    if kind == pl.Boolean or kind.is_integer() or kind.is_float():
        values = series.to_numpy()
        return values if order is None else pd.Categorical(values, order, ordered=True)
    if kind.is_decimal():
        return series.cast(pl.Float64).to_numpy()
    return pd.Series(series.to_list(), dtype=object)
