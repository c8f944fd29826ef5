"""Columns from a file, a data frame or a Dataset, and what a row is called when something is wrong with it.

A text file is read by pandas, quickly. The csv module, which keeps count of lines, is asked only where something is
wrong, for a message that names the line. What the columns hold is checked in :mod:`bayesmdp.logs`.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd
import xarray as xr

from bayesmdp.foundation.extras import brought_by

__all__ = ["MISSING", "Table", "open_table"]

SEPARATORS = {".csv": ",", ".tsv": "\t"}

MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""First bytes of a file, and the encoding that they tell."""

# Less than pandas' own list, in which the perfectly good action "None" is missing.
MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")


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
    """

    name: str
    columns: tuple[Any, ...]
    read: Callable[[Mapping[Any, int]], pd.DataFrame]
    place: Callable[[int], str]
    written: bool = False
    decimal: str = "."

    def refuse(self, row: int, complaint: str, remedy: str) -> NoReturn:
        """Raise a `ValueError` with the place of a row, what is wrong with it and what to do."""
        raise ValueError(f"{self.name} {self.place(row)}: {complaint}; {remedy}")


def open_table(source: Any, separator: str | None, encoding: str, decimal: str) -> Table:
    """Open the columns of a path, DataFrame or Dataset; rows are read later.

    Parameters
    ----------
    source : path, DataFrame or Dataset
    separator : str or None
        Between the fields of a text file; None means its ending says which.
    encoding : str
        Of text files.
    decimal : {".", ","}
        The sign in numbers that are written as text.

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
    if isinstance(source, pd.DataFrame):
        return _frame_table(source, "the DataFrame", "row", decimal)
    if isinstance(source, xr.Dataset):
        if len(source.dims) != 1:
            raise ValueError(f"a log has one dim, such as 'step'; the Dataset has {', '.join(map(str, source.dims))}")
        (dim,) = source.dims
        columns = {name: values.values for name, values in source.reset_coords().items() if values.dims == (dim,)}
        frame = pd.DataFrame(columns)
        return _frame_table(frame, "the Dataset", str(dim), decimal)
    if not isinstance(source, str | Path):
        raise TypeError(f"a log is read from a path, a DataFrame or a Dataset; got {type(source).__name__}")
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise ValueError(f"separator must be one character and no quotation mark; got {separator!r}")
    path = Path(source)
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder; a log is one file: read the folder with pandas.read_parquet or "
            "pandas.concat, sort its rows by episode and time, and pass the DataFrame"
        )
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a pipe or a device, which can be read only once; save it to a file first")
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind.lower() in SEPARATORS:
        return _text_table(path, separator or SEPARATORS[kind.lower()], encoding, decimal)
    if path.suffix.lower() == ".parquet":
        return _parquet_table(path)
    raise ValueError(
        f"{path} is none of .csv, .tsv (perhaps .gz) and .parquet; read it with pandas, pass the DataFrame"
    )


def _frame_table(frame: pd.DataFrame, name: str, unit: str, decimal: str) -> Table:
    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        return pd.DataFrame({ours: frame.iloc[:, place].array for ours, place in chosen.items()})

    return Table(name, tuple(frame.columns), read, lambda row: f"{unit} {row}", decimal=decimal)


def _parquet_table(path: Path) -> Table:
    with brought_by("parquet"):
        from pyarrow import parquet
    try:
        opened = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a Parquet file, or was cut short: {error}") from error

    names = opened.schema_arrow.names

    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        wanted = list(dict.fromkeys(names[place] for place in chosen.values()))
        try:
            frame = opened.read(columns=wanted).to_pandas(ignore_metadata=True)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is damaged; make it again: {error}") from error
        # A name that a file holds twice is refused where it is needed; elsewhere the first one stands for both.
        columns = {ours: frame.iloc[:, frame.columns.tolist().index(names[place])] for ours, place in chosen.items()}
        return pd.DataFrame({ours: column.array for ours, column in columns.items()})

    return Table(str(path), tuple(names), read, lambda row: f"row {row}")


def _text_table(path: Path, separator: str, encoding: str, decimal: str) -> Table:
    """Open a text file: pandas reads it, and the csv module finds the line of what is wrong."""
    raw = _bytes(path, encoding)
    header = next((fields for _, fields in _records(path, raw, separator)), None)
    if header is None:
        raise ValueError(f"{path} is empty; it needs a header line and at least one step")
    header = [name.strip() for name in header]

    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        if next(islice(_records(path, raw, separator), 1, None), None) is None:
            return pd.DataFrame(columns=list(chosen))
        if _irregular(raw, separator, len(header)):
            _check_fields(path, raw, separator, len(header))
        try:
            # Labels as they are written: left to itself pandas would read 007 as 7.
            frame = pd.read_csv(
                io.BytesIO(raw),
                sep=separator,
                header=0,
                names=range(len(header)),
                usecols=sorted(set(chosen.values())),
                dtype={place: object for ours, place in chosen.items() if ours != "reward"},
                index_col=False,
                skipinitialspace=True,
                keep_default_na=False,
                na_values=list(MISSING),
                decimal=decimal,
                low_memory=False,
            )
        except pd.errors.ParserError as error:
            *_, (line, _) = _records(path, raw, separator)
            raise ValueError(f"{path} line {line}: {error}; is a quotation mark left open?") from None
        return pd.DataFrame({ours: frame[place].array for ours, place in chosen.items()})

    def place(row: int) -> str:
        for number, (line, _) in enumerate(_records(path, raw, separator)):
            if number == row + 1:
                return f"line {line}"
        return f"row {row}"

    return Table(str(path), tuple(header), read, place, written=True, decimal=decimal)


def _bytes(path: Path, encoding: str) -> bytes:
    """Return the file's text as UTF-8."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a gzip file, or was cut short: {error}") from error
    try:
        text = raw.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        likely = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "cp1252")
        raise ValueError(
            f"{path} line {line} holds the byte 0x{raw[error.start]:02x}, which is not {encoding}; "
            f"give the file's encoding, such as encoding={likely!r}"
        ) from None
    except (LookupError, UnicodeError):
        raise ValueError(f"encoding {encoding!r} is not known; it may be 'utf-8', 'cp1252' or 'utf-16'") from None
    return text.encode()


def _records(path: Path, raw: bytes, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Go through the records that are not blank: the first line (the file's is 1) and the fields of each."""
    lines = io.TextIOWrapper(io.BytesIO(raw), "utf-8", newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    line = 1
    try:
        for fields in reader:
            if len(fields) > 1 or "".join(fields).strip():
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path} line {line}: {error}; is a quotation mark left open?") from None


def _irregular(raw: bytes, separator: str, width: int) -> bool:
    """Whether some line seems not to have `width` fields: quick, and wrong only in asking for a closer look."""
    data = np.frombuffer(raw.rstrip() + b"\n", np.uint8)
    mark = (data == ord(separator)) | (data == ord("\n"))
    if b'"' in raw:
        # Between quotation marks separators are text; only the parity of the number of marks counts.
        mark &= (np.cumsum(data == ord('"'), dtype=np.uint8) & 1) == 0
    ends = np.flatnonzero(data[mark] == ord("\n"))
    left_open = not mark[-1]
    return left_open or bool((np.diff(ends, prepend=-1) != width).any())


def _check_fields(path: Path, raw: bytes, separator: str, width: int) -> None:
    for line, fields in _records(path, raw, separator):
        if len(fields) != width:
            text = separator.join(fields)
            raise ValueError(
                f"{path} line {line} has {len(fields)} field{'s' * (len(fields) != 1)} where the header has {width}: "
                f"{text[:60]!r}{'...' * (len(text) > 60)}; complete the line, or quote a field that holds {separator!r}"
            )
