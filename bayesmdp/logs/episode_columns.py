"""Columns that tell of episodes, from any source: states to which an end is added, steps in an order, flags of ends.

Each is there in memory and in a scan, and says the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray

from bayesmdp.logs.flags import FALSE, TRUE, refuse_flag
from bayesmdp.logs.log_labels import exact_digits, plain_label
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.scanned_columns import Scan

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "END",
    "ROW",
    "any_true",
    "as_text",
    "check_flags",
    "is_true",
    "order_as_text",
    "present",
    "text_of",
    "time_in_memory",
    "time_of",
    "time_reading",
    "times_lost",
    "with_end",
]

END = "end"
"""The state after the last step of an episode that ended, where a log has no next states."""

ROW = "row number"

DECIMALS = r"-?\d{1,15}\.0*"
"""Whole numbers that went through an array of floats."""


def as_text(column: pd.Series, *, written: bool) -> pd.Series:
    """Labels as text, but for what is missing or is no label, which is refused when it is read."""
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        return column
    values = distinct.tolist()
    if written and values and all(re.fullmatch(DECIMALS, value) for value in values):
        values = [str(int(value.partition(".")[0])) for value in values]
    digits = exact_digits(getattr(column.dtype, "categories", column).dtype)
    read = [(value, plain_label(value, digits)) for value in values]
    texts = [value if complaint else str(label) for value, (label, complaint, _) in read]
    return pd.Series(pd.Series([*texts, None], dtype=object).to_numpy()[codes], dtype=object)


def with_end(column: pd.Series, *, written: bool) -> pd.Series:
    """States as text, to which `END` may be added, categories in their order."""
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        texts = order_as_text(column.cat.categories.tolist(), written=written)
        renamed = column.cat.rename_categories(texts)
        return renamed if END in texts else renamed.cat.add_categories([END])
    return as_text(column, written=written)


def order_as_text(labels: Sequence[Any], *, written: bool) -> list[Any]:
    """Labels in an order as the text of which they then are."""
    return as_text(pd.Series(list(labels), dtype=object), written=written).tolist()


def text_of(scan: Scan, place: int) -> pl.Expr:
    """The same of a column that is scanned."""
    import polars as pl

    kind, column = scan.schema()[str(place)], scan.column(place)
    if kind == pl.Boolean:
        return column.cast(pl.String).str.to_titlecase()
    if scan.written:
        odd = (~column.str.contains(f"^(?:{DECIMALS})$")).any()
        return column if scan.collect(scan.frame.select(odd)).item() else scan.spelled(column)
    if kind.is_float() or kind.is_decimal():
        number, most = column.cast(pl.Float64).fill_nan(None), 2 ** (24 if kind == pl.Float32 else 53)
        odd = ((number != number.floor()) | (number.abs() >= most)).any()
        return column if scan.collect(scan.frame.select(odd)).item() else number.cast(pl.Int64).cast(pl.String)
    return column.cast(pl.String) if kind.is_integer() or kind in (pl.Categorical, pl.Enum) else column


def time_in_memory(column: pd.Series, decimal: str, reading: int | None = None) -> NDArray[Any]:
    """Numbers or dates by which rows are ordered, as they are or as they are written; none where they are neither.

    Text is read as what all of it is, or as the `reading` of which this is a part (`time_reading`).
    """
    import polars as pl

    if pd.api.types.is_datetime64_any_dtype(column):
        return column.to_numpy("datetime64[ns]")
    if pd.api.types.is_timedelta64_dtype(column):
        return column.to_numpy()
    given = column.astype(object)
    try:
        values = pl.Series(given.where(given.notna(), None).tolist())
    except (TypeError, pl.exceptions.PolarsError):  # of several types
        return pd.to_numeric(given, errors="coerce").to_numpy()
    scan = Scan(pl.DataFrame({"0": values}).lazy(), lambda error: ValueError(str(error)), decimal=decimal)
    time = scan.collect(scan.frame.select(time_of(scan, 0, reading).alias("0")))["0"]
    return time.rank("dense").cast(pl.Float64).to_numpy()


def check_flags(table: Table, scan: Scan, name: str, place: int) -> None:
    """Refuse what is neither true nor false, also in rows that are left out: these are by what it says."""
    import polars as pl

    if scan.schema()[str(place)] == pl.Boolean:
        odd = scan.column(place).is_null()
    elif scan.schema()[str(place)].is_nested():
        odd = pl.lit(True)
    else:
        odd = ~scan.column(place).cast(pl.String).str.strip_chars().str.to_lowercase().is_in([*TRUE, *FALSE])
    rows = scan.frame.select(odd.fill_null(True).alias("odd")).with_row_index(ROW).filter("odd").select(ROW).head(1)
    found = scan.collect(rows)
    if len(found):
        row = int(found.item())
        value = scan.value(place, row)
        refuse_flag(table, row, name, "is missing" if value is None or value != value else f"is {value!r}")


def present(scan: Scan, place: int) -> pl.Expr:
    """A column without what is no number."""
    column = scan.column(place)
    return column.fill_nan(None) if scan.schema()[str(place)].is_float() else column


def is_true(flags: pl.Expr) -> pl.Expr:
    """Return whether a column of flags that were checked says true."""
    import polars as pl

    return flags.cast(pl.String).str.strip_chars().str.to_lowercase().is_in(list(TRUE)).fill_null(False)


def any_true(scan: Scan, place: int) -> bool:
    """Return whether a column of flags says true anywhere; what is wrong with it is told when it is checked."""
    if scan.schema()[str(place)].is_nested():
        return False
    return bool(scan.collect(scan.frame.select(is_true(scan.column(place)).any())).item())


def time_of(scan: Scan, place: int, reading: int | None = None) -> pl.Expr:
    """Return a column of numbers or dates by which rows are ordered, with nothing where it is neither."""
    import polars as pl

    kind, column = scan.schema()[str(place)], present(scan, place)
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        return pl.when(pl.lit(False)).then(pl.lit(0))
    if not _is_text(kind):
        return column
    return _readings(scan, place)[time_reading(times_lost(scan, place)) if reading is None else reading]


def times_lost(scan: Scan, place: int) -> list[bool]:
    """Return whether any of a column of text is lost if it is read as whole numbers, and as numbers."""
    if not _is_text(scan.schema()[str(place)]):
        return [False, False]
    column = present(scan, place)
    lost = [
        (each.is_null() & column.is_not_null()).any().alias(str(n)) for n, each in enumerate(_readings(scan, place)[:2])
    ]
    return list(scan.collect(scan.frame.select(lost)).row(0))


def time_reading(lost: Sequence[bool]) -> int:
    """Return the first reading by which nothing is lost, or that of dates."""
    return [*lost, False].index(False)


def _is_text(kind: pl.DataType) -> bool:
    import polars as pl

    return kind in (pl.Categorical, pl.Enum, pl.String)


def _readings(scan: Scan, place: int) -> list[pl.Expr]:
    """A column of text as whole numbers, as numbers, and as dates."""
    import polars as pl

    column = present(scan, place).cast(pl.String)
    return [
        column.cast(pl.Int128, strict=False),
        scan.as_number(column),
        column.str.to_datetime(strict=False, time_zone="UTC"),
    ]
