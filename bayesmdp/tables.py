"""Columns from a file, a data frame or a Dataset, and what a row is called when something is wrong with it.

A text file is read by pandas, quickly. The csv module, which keeps count of lines, is asked only where something is
wrong, for a message that names the line. What the columns hold is checked in :mod:`bayesmdp.logs`.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["ENDS", "Table", "choose_columns", "open_table"]

REQUIRED = ("state", "action", "reward", "next_state")
ENDS = ("terminated", "truncated")

# What others call these columns: for suggestions in messages, never taken without being asked for.
ALIASES = {
    "state": ("s", "obs", "observation", "from", "current_state"),
    "action": ("a", "act", "decision"),
    "reward": ("r", "rew", "return"),
    "next_state": ("s2", "s_next", "s_prime", "sp", "next_s", "next_obs", "next_observation", "new_state", "to"),
    "terminated": ("done", "last", "terminal", "end", "is_terminal", "dones", "is_done", "terminations", "terminate"),
    "truncated": ("truncations", "truncation", "truncate", "timeout", "timeouts", "time_limit"),
}

SEPARATORS = {".csv": ",", ".tsv": "\t"}

# Less than pandas' own list, in which the perfectly good action "None" is missing.
MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")


class Table(NamedTuple):
    """Columns under the names that their source gives them.

    Attributes
    ----------
    name : str
        For messages.
    columns : tuple of names
    read : function of {our name: theirs} to a DataFrame with our names and rows 0, 1, 2, ...
    place : function of a row's number to what a message calls it, such as "line 7"
    written : bool
        Whether labels were read from text, so that text of digits may be meant as numbers.
    """

    name: str
    columns: tuple[Any, ...]
    read: Callable[[Mapping[str, Any]], pd.DataFrame]
    place: Callable[[int], str]
    written: bool = False

    def refuse(self, row: int, complaint: str, remedy: str) -> NoReturn:
        raise ValueError(f"{self.name} {self.place(row)}: {complaint}; {remedy}")


def open_table(source: Any, separator: str | None, encoding: str) -> Table:
    """The columns of a path, DataFrame or Dataset; refused with the reason if it is none or cannot be read."""
    if isinstance(source, pd.DataFrame):
        return _frame_table(source, "the DataFrame", "row")
    if isinstance(source, xr.Dataset):
        if len(source.dims) != 1:
            raise ValueError(f"a log has one dim, such as 'step'; the Dataset has {', '.join(map(str, source.dims))}")
        (dim,) = source.dims
        columns = {name: values.values for name, values in source.reset_coords().items() if values.dims == (dim,)}
        frame = pd.DataFrame(columns)
        return _frame_table(frame, "the Dataset", str(dim))
    if not isinstance(source, str | Path):
        raise TypeError(f"a log is read from a path, a DataFrame or a Dataset; got {type(source).__name__}")
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise ValueError(f"separator must be one character and no quotation mark; got {separator!r}")
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind.lower() in SEPARATORS:
        return _text_table(path, separator or SEPARATORS[kind.lower()], encoding)
    if path.suffix.lower() == ".parquet":
        return _parquet_table(path)
    raise ValueError(
        f"{path} is none of .csv, .tsv (perhaps .gz) and .parquet; read it with pandas, pass the DataFrame"
    )


def _frame_table(frame: pd.DataFrame, name: str, unit: str) -> Table:
    columns = tuple(frame.columns)

    def read(chosen: Mapping[str, Any]) -> pd.DataFrame:
        return pd.DataFrame({ours: frame[theirs].array for ours, theirs in chosen.items()})

    return Table(name, columns, read, lambda row: f"{unit} {row}")


def _parquet_table(path: Path) -> Table:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f"reading {path} needs pyarrow: pip install 'bayesmdp[parquet]'") from error
    try:
        opened = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a Parquet file, or was cut short: {error}") from error

    def read(chosen: Mapping[str, Any]) -> pd.DataFrame:
        try:
            frame = opened.read(columns=list(dict.fromkeys(chosen.values()))).to_pandas(ignore_metadata=True)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is damaged; make it again: {error}") from error
        return pd.DataFrame({ours: frame[theirs].array for ours, theirs in chosen.items()})

    return Table(str(path), tuple(opened.schema_arrow.names), read, lambda row: f"row {row}")


def _text_table(path: Path, separator: str, encoding: str) -> Table:
    """A text file: pandas reads it, the csv module finds the line of what is wrong."""
    raw = _bytes(path, encoding)
    header = next((fields for _, fields in _records(path, raw, separator)), None)
    if header is None:
        raise ValueError(f"{path} is empty; it needs a header line and at least one step")
    header = [name.strip() for name in header]

    def read(chosen: Mapping[str, Any]) -> pd.DataFrame:
        if _irregular(raw, separator, len(header)):
            _check_fields(path, raw, separator, len(header))
        positions = {ours: header.index(theirs) for ours, theirs in chosen.items()}
        try:
            # Labels as they are written: left to itself pandas would read 007 as 7.
            frame = pd.read_csv(
                io.BytesIO(raw),
                sep=separator,
                header=0,
                names=range(len(header)),
                usecols=sorted(set(positions.values())),
                dtype={place: object for ours, place in positions.items() if ours != "reward"},
                index_col=False,
                skipinitialspace=True,
                keep_default_na=False,
                na_values=list(MISSING),
                low_memory=False,
            )
        except pd.errors.ParserError as error:
            raise ValueError(f"{path}: {error}; is a quotation mark left open?") from None
        return pd.DataFrame({ours: frame[place].array for ours, place in positions.items()})

    def place(row: int) -> str:
        for number, (line, _) in enumerate(_records(path, raw, separator)):
            if number == row + 1:
                return f"line {line}"
        return f"row {row}"

    return Table(str(path), tuple(header), read, place, written=True)


def _bytes(path: Path, encoding: str) -> bytes:
    """The file as UTF-8."""
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
        raise ValueError(
            f"{path} line {line} holds the byte 0x{raw[error.start]:02x}, which is not {encoding}; "
            "give the file's encoding, such as encoding='cp1252'"
        ) from None
    except (LookupError, UnicodeError):
        raise ValueError(f"encoding {encoding!r} is not known; it may be 'utf-8', 'cp1252' or 'utf-16'") from None
    return text.encode()


def _records(path: Path, raw: bytes, separator: str) -> Iterator[tuple[int, list[str]]]:
    """First line (the file's is 1) and fields of each record that is not blank."""
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


def choose_columns(table: Table, columns: dict[str, Any]) -> dict[str, Any]:
    """The source's name for each of ours that it has."""
    known = (*REQUIRED, *ENDS)
    for ours, theirs in columns.items():
        if ours not in known:
            remedy = f"write columns={{{theirs!r}: {ours!r}}}" if theirs in known else f"ours are {', '.join(known)}"
            raise ValueError(f"columns leads from our names to the source's, and {ours!r} is none of ours; {remedy}")
        if theirs is not None and theirs not in table.columns:
            close = get_close_matches(str(theirs), map(str, table.columns), 1)
            hint = _separator_hint(table) or (f"did you mean {close[0]!r}?" if close else "give a name it has")
            raise ValueError(f"{table.name} has no column {theirs!r}; it has {_listed(table.columns)}; {hint}")
    chosen = {ours: columns.get(ours, ours) for ours in known if columns.get(ours, ours) in table.columns}
    missing = [name for name in REQUIRED if name not in chosen]
    if missing:
        _refuse_missing(table, missing)
    doubled = [theirs for theirs in chosen.values() if table.columns.count(theirs) > 1]
    if doubled:
        raise ValueError(f"{table.name} has the column {doubled[0]!r} more than once; rename all but one")
    if "terminated" not in {**chosen, **columns}:
        aliases = (*ALIASES["terminated"], "terminated")
        ambiguous = [name for name in table.columns if str(name).lower() in aliases]
        unused = [name for name in ambiguous if name not in chosen.values()]
        if unused:
            raise ValueError(
                f"{table.name} has a column {unused[0]!r}, which does not say why an episode ended; pass "
                f"columns={{'terminated': {unused[0]!r}}} if nothing can follow such a step, "
                f"columns={{'truncated': {unused[0]!r}}} if the recording was cut off there, as by a time limit, or "
                "columns={'terminated': None} if it says something else"
            )
    if "truncated" not in {**chosen, **columns}:
        aliases = (*ALIASES["truncated"], "truncated")
        cut = [name for name in table.columns if str(name).lower() in aliases and name not in chosen.values()]
        if cut:
            raise ValueError(
                f"{table.name} has a column {cut[0]!r}; pass columns={{'truncated': {cut[0]!r}}} if it says that the "
                "recording was cut off, or columns={'truncated': None} if it says something else"
            )
    return chosen


def _refuse_missing(table: Table, missing: Sequence[str]) -> NoReturn:
    found = {str(name).lower(): name for name in table.columns if name not in REQUIRED}
    guesses = {}
    for ours in missing:
        named = [found[alias] for alias in ALIASES[ours] if alias in found] or [
            found[close] for close in get_close_matches(ours, found, 1)
        ]
        if named:
            guesses[ours] = named[0]
            found = {lower: name for lower, name in found.items() if name != named[0]}
    hint = _separator_hint(table) or f"columns={guesses or {missing[0]: 'its name there'}} says which are meant"
    if table.columns and all(re.fullmatch(r"[-+.\deE]+", str(name)) for name in table.columns) and table.written:
        hint = "the first line must be a header that names the columns"
    raise ValueError(f"{table.name} has no column {_listed(missing)}; it has {_listed(table.columns)}; {hint}")


def _separator_hint(table: Table) -> str:
    other = re.search(r"[;\t,|]", str(table.columns[0])) if len(table.columns) == 1 and table.written else None
    return f"pass the separator, such as separator={other[0]!r}" if other else ""


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(name) if len(str(name)) <= 40 else repr(str(name)[:40]) + "..." for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "none"
