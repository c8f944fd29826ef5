"""Columns from wherever they are, and what a row is called when something is wrong with it.

Files, and frames of other libraries, are scanned (:mod:`bayesmdp.logs.scanned_columns`), so that they may be larger
than memory; a pandas DataFrame and a Dataset, which are in memory already, are taken as they are. What the columns hold
is checked in :mod:`bayesmdp.logs`.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pandas as pd
import xarray as xr

from bayesmdp.foundation.extras import brought_by
from bayesmdp.logs.arrow_files import arrow_orders, first_line, panics_unsaid, scan_arrow
from bayesmdp.logs.dask_columns import DaskScan
from bayesmdp.logs.parquet_pages import ColumnPages, Damaged
from bayesmdp.logs.queries import answer, is_query, query_name, query_on
from bayesmdp.logs.recorded_episodes import frame_of_episodes, is_recorded
from bayesmdp.logs.scanned_columns import MISSING, Columns, Scan
from bayesmdp.logs.text_files import open_text

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MISSING", "Table", "open_table", "parts_of"]

SEPARATORS = {".csv": ",", ".tsv": "\t"}
LINES, ARROW = (".jsonl", ".ndjson"), (".arrow", ".arrows", ".feather", ".ipc")
KINDS = ".csv, .tsv (either perhaps .gz), .parquet, .jsonl, .ndjson, .arrow, .arrows, .feather"


class Table(NamedTuple):
    """Columns under the names that their source gives them.

    Attributes
    ----------
    name : str
        For messages.
    columns : tuple of names
    read : function of {our name: position among the columns} to a DataFrame with our names and rows 0, 1, 2, ...
    place : function of a row's number to what a message calls it, such as "line 7"
    written : bool
        Whether labels were read from text, so that text of digits may be meant as numbers.
    decimal : str
        The sign between the digits of numbers that are written as text.
    scan : function that returns Columns, or None
        Of the same columns where they can be grouped without being read; None if they are in memory.
    """

    name: str
    columns: tuple[Any, ...]
    read: Callable[[Mapping[Any, int]], pd.DataFrame]
    place: Callable[[int], str]
    written: bool = False
    decimal: str = "."
    scan: Callable[[], Columns] | None = None

    def refuse(self, row: int, complaint: str, remedy: str) -> NoReturn:
        """Raise a `ValueError` with the place of a row, what is wrong with it and what to do."""
        raise ValueError(f"{self.name} {self.place(row)}: {complaint}; {remedy}")


def open_table(
    source: Any, separator: str | None, encoding: str, decimal: str, connection: Any = None, query: str | None = None
) -> Table:
    """Open the columns of a path, DataFrame or Dataset; rows are read later.

    Parameters
    ----------
    source : path, DataFrame, Dataset, or anything that speaks Arrow
        See `read_log`; or a Table, which is open.
    separator : str or None
        Between the fields of a text file; None means its ending says which.
    encoding : str
        Of text files.
    decimal : {".", ","}
        The sign in numbers that are written as text.
    connection : optional
        To a database, of which the source is a query.
    query : str, optional
        Asked of the path (:func:`bayesmdp.logs.queries.query_on`).

    Returns
    -------
    Table

    Raises
    ------
    TypeError, ValueError, OSError, ImportError
        If it is none of these, or cannot be read: with the reason.
    """
    if decimal not in (".", ","):
        raise ValueError(f"decimal must be '.' or ','; got {decimal!r}")
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise ValueError(f"separator must be one character and no quotation mark; got {separator!r}")
    if isinstance(source, Table):
        return source
    if connection is not None and not isinstance(source, str):
        raise TypeError(f"connection= is for a query, such as 'SELECT * FROM visits'; got {type(source).__name__}")
    if query is not None:
        return _arrow_table(query_on(Path(source), query), decimal, str(source))
    if connection is not None or is_query(source):
        return _arrow_table(answer(source, connection), decimal, query_name(source))
    if isinstance(source, pd.DataFrame):
        return _frame_table(source, "the DataFrame", "row", decimal)
    if isinstance(source, xr.Dataset):
        if len(source.dims) != 1:
            raise ValueError(f"a log has one dim, such as 'step'; the Dataset has {', '.join(map(str, source.dims))}")
        (dim,) = source.dims
        columns = {name: values.values for name, values in source.reset_coords().items() if values.dims == (dim,)}
        return _frame_table(pd.DataFrame(columns), "the Dataset", str(dim), decimal)
    if is_recorded(source):
        return _frame_table(frame_of_episodes(source), "the dataset", "step", decimal)
    if isinstance(source, str | Path):
        return _file_table(Path(source), separator, encoding, decimal)
    return _arrow_table(source, decimal)


def _frame_table(frame: pd.DataFrame, name: str, unit: str, decimal: str) -> Table:
    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        return pd.DataFrame({ours: frame.iloc[:, place].array for ours, place in chosen.items()})

    return Table(name, tuple(frame.columns), read, lambda row: f"{unit} {row}", decimal=decimal)


def _arrow_table(source: Any, decimal: str, name: str = "") -> Table:
    """Open a frame of another library: Polars, Arrow, a DuckDB relation, a dataset of Hugging Face."""
    import polars as pl

    kind = type(source).__name__
    sliced = not isinstance(source, pl.LazyFrame)
    if isinstance(source, pl.LazyFrame):
        frame = source
    elif isinstance(source, pl.DataFrame):
        frame = source.lazy()
    elif type(source).__module__.startswith("dask.dataframe"):
        columns = DaskScan.of(source, decimal)
        names = tuple(source.columns)
        return Table("the Dask DataFrame", names, columns.read, "row {}".format, decimal=decimal, scan=lambda: columns)
    elif hasattr(source, "to_polars") or hasattr(source, "__arrow_c_stream__"):
        try:
            frame = (source.to_polars() if hasattr(source, "to_polars") else pl.DataFrame(source)).lazy()
        except pl.exceptions.PolarsError as error:
            raise _doubled(f"the {kind}", error) or ValueError(
                f"the {kind} cannot be read: {first_line(error)}; pass it as a pandas DataFrame"
            ) from error
    else:
        raise TypeError(
            f"a log is read from a path, a DataFrame or a Dataset; got {kind}, which does not speak Arrow either, as "
            "frames of Polars and relations of DuckDB do"
        )
    return _scan_table(
        lambda: frame, name or f"the {kind}", decimal, orders=functools.partial(_orders_of, source), sliced=sliced
    )


def _no_orders(schema: pl.Schema) -> dict[str, list[Any]]:
    """The categories that are in an order, of a source that tells of none but by its types."""
    return {}


def _orders_of(source: Any, schema: pl.Schema) -> dict[str, list[Any]]:
    """The categories of a table of Arrow, of the columns where they are in an order; Polars does not keep it."""
    if type(source).__module__.partition(".")[0] != "pyarrow" or not hasattr(source, "itercolumns"):
        return {}
    columns = zip(source.column_names, source.itercolumns(), strict=True)
    return {
        name: column.chunk(0).dictionary.to_pylist()
        for name, column in columns
        if getattr(column.type, "ordered", False) and getattr(column, "num_chunks", 0)
    }


def _file_table(path: Path, separator: str | None, encoding: str, decimal: str) -> Table:
    """Open a file by its ending, or a folder or a pattern of files of one kind."""
    import polars as pl

    parts = parts_of(path)
    endings = {_ending(part) for part in parts}
    if len(endings) > 1:
        raise ValueError(
            f"{path} holds files of several kinds, {', '.join(sorted(endings))}; name those that are meant"
        )
    (ending,) = endings
    if ending in SEPARATORS:
        if len(parts) > 1:
            raise ValueError(
                f"{path} are {len(parts)} text files; join them, or read them with Polars and pass the frame: "
                "polars.scan_csv(..., infer_schema=False)"
            )
        return _text_table(parts[0], separator or SEPARATORS[ending], encoding, decimal)
    named = str(path)
    orders: Callable[[pl.Schema], Mapping[str, list[Any]]] = _no_orders
    scan: Callable[[list[Path]], pl.LazyFrame]
    if ending == ".parquet":
        kind, scan = "a Parquet file", functools.partial(pl.scan_parquet, glob=False)
        orders = functools.partial(_orders, parts[0])
    elif ending in LINES:
        kind, scan = "a file of JSON lines", _scan_lines
    elif ending in ARROW:
        kind, scan, orders = "an Arrow file", scan_arrow, functools.partial(arrow_orders, parts[0])
    else:
        raise ValueError(f"{path} is none of {KINDS}; read it with pandas, pass the DataFrame")

    def damaged(error: BaseException) -> Exception:
        # Where several parts of an Arrow file are damaged, which of them is told is chance.
        told = "its parts do not fit each other" if ending in ARROW and _is_damage(error) else first_line(error)
        return _doubled(named, error) or ValueError(
            f"{named} is not {kind}, or is damaged, or was cut short: {told}; write it anew"
        )

    return _scan_table(
        lambda: scan(parts),
        named,
        decimal,
        damaged,
        orders,
        sliced=ending not in LINES,
        panics=ending in (*ARROW, ".parquet"),
        pages=parts if ending == ".parquet" else (),
    )


def _scan_lines(paths: list[Path]) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_ndjson([glob.escape(str(path)) for path in paths], infer_schema_length=None)


def _is_damage(error: BaseException) -> bool:
    import polars as pl

    return not isinstance(error, pl.exceptions.SchemaError | pl.exceptions.SchemaFieldNotFoundError)


def _doubled(name: str, error: BaseException) -> Exception | None:
    """What to say of a source in which two columns have one name; None if the error is another."""
    import polars as pl

    if isinstance(error, pl.exceptions.DuplicateError) or "more than one occurrence" in str(error):
        return ValueError(f"{name} has a column more than once: {first_line(error)}; rename all but one")
    return None


def parts_of(path: Path) -> list[Path]:
    """The files that a path means, in order."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is a pipe or a device, which can be read only once; save it to a file first")
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(part for part in path.rglob("*") if part.is_file() and part.name[0] not in "._")
        if not found:
            raise FileNotFoundError(f"{path} is a folder without files")
        return found
    found = sorted(map(Path, glob.glob(str(path), recursive=True)))
    if not found:
        raise FileNotFoundError(f"no file {path}")
    return found


def _ending(path: Path) -> str:
    return (Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix).lower()


def _scan_table(
    opened: Callable[[], pl.LazyFrame],
    name: str,
    decimal: str,
    damaged: Callable[[BaseException], Exception] | None = None,
    orders: Callable[[pl.Schema], Mapping[str, list[Any]]] = _no_orders,
    *,
    sliced: bool,
    panics: bool = False,
    pages: Sequence[Path] = (),
) -> Table:
    """A table of columns that have types, with the Parquet files of which the pages are looked at."""
    import polars as pl

    def unread(error: BaseException) -> Exception:
        return _doubled(name, error) or ValueError(f"{name} cannot be read: {first_line(error)}")

    damaged = damaged or unread
    try:
        with panics_unsaid() if panics else contextlib.nullcontext():
            frame = opened()
            schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise damaged(error) from error
    names = schema.names()
    by_position = frame.select(pl.col(column).alias(str(place)) for place, column in enumerate(names))
    declared = {column: kind.categories.to_list() for column, kind in schema.items() if isinstance(kind, pl.Enum)}
    in_order = {names.index(column): order for column, order in {**declared, **orders(schema)}.items()}
    columns = ColumnPages(pages, names)

    def of_column(error: BaseException) -> Exception:
        return damaged(error if isinstance(error, Damaged) else columns.unread() or error)

    scan = Scan(
        by_position, of_column, decimal=decimal, orders=in_order, sliced=sliced, panics=panics, look=columns.look
    )
    return Table(name, tuple(names), scan.read, lambda row: f"row {row}", decimal=decimal, scan=lambda: scan)


def _orders(path: Path, schema: pl.Schema) -> dict[str, list[Any]]:
    """The categories of a Parquet file that pandas wrote, of the columns where they are in an order."""
    import polars as pl

    try:
        told = json.loads(pl.read_parquet_metadata(path).get("pandas", "{}"))
        described = [column for column in told.get("columns", ()) if isinstance(column.get("metadata"), dict)]
        names = [column["field_name"] for column in described if column["metadata"].get("ordered")]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, LookupError, AttributeError):
        return {}  # what is wrong with it is told when it is read
    if not names:
        return {}
    with brought_by("parquet"):
        from pyarrow import parquet
    try:
        opened = parquet.ParquetFile(path)
        if not opened.num_row_groups:
            return {}
        first = opened.read_row_group(0, columns=names)
        return {name: first.column(name).chunk(0).dictionary.to_pylist() for name in names}
    except (OSError, ValueError, LookupError, AttributeError):
        return {}  # likewise, and where another program wrote on in the file the names may be gone


def _text_table(path: Path, separator: str, encoding: str, decimal: str) -> Table:
    """Open a text file: every field is text, also 007."""
    import polars as pl

    text = open_text(path, separator, encoding)
    schema = dict.fromkeys(map(str, range(len(text.header))), pl.String)

    @functools.cache
    def scan() -> Scan:
        lines, between, skipped, rows = text.scannable()
        frame = pl.scan_csv(
            lines, separator=between, has_header=False, skip_lines=skipped, n_rows=rows, schema=schema, glob=False
        )

        def unread(error: BaseException) -> Exception:
            return ValueError(f"{path} cannot be read: {first_line(error)}; read it with pandas, pass the DataFrame")

        return Scan(frame, unread, True, decimal, rows=rows)

    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        return scan().read(chosen)

    return Table(str(path), tuple(text.header), read, text.place, True, decimal, scan)
