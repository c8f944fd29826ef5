"""Pages of Parquet files, whose headers are looked at before Polars reads a column.

Polars makes room for as many values as a header says, and where these cannot be, such as -41, the process ends without
an exception. A header stands before each page and says how long that is, so one goes from header to header, for as many
values as the footer says that a column has; pages are not decoded. Where a header has a checksum its page is summed:
a changed page may hold other values and show it by nothing else.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bayesmdp.logs.arrow_files import first_line, panics_unsaid
from bayesmdp.logs.thrift_records import Damaged, read_record

__all__ = ["ColumnPages", "Damaged"]

MARK = b"PAR1"
"""First and last bytes of a file; the size of its footer stands before the last ones, in four bytes."""

HEADER, LONGEST_HEADER = 256, 2**20
"""Bytes read for a header, at first and at most: the least and the greatest text of a page may stand in it."""

SMALL = 2**24
"""Bytes for which there is room anyhow; whether a page is as long as it says is found when it is unpacked."""

DICTIONARY = 2
VALUES_IN = {0: 5, DICTIONARY: 7, 3: 8}
"""Types of pages, and the field of a header that holds what only they have: the number of their values comes first."""


class _Chunk(NamedTuple):
    """Pages of one column and one group of rows: the byte at which they begin, their values, and bytes unpacked.

    There are as many values as rows, missing ones among them, except of lists and the like.
    """

    begin: int
    rows: int
    values: int
    unpacked: int


class _Footer(NamedTuple):
    """Pages by the name of their column, and the byte at which the footer begins."""

    chunks: dict[str, list[_Chunk]]
    begin: int


class ColumnPages:
    """Pages of columns, each column looked at once.

    Parameters
    ----------
    paths : sequence of Path
        Of files with the same columns.
    names : sequence of str
        Columns by their position.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.parquet"
    >>> pl.DataFrame({"reward": [0.5, 1.0]}).write_parquet(path)
    >>> ColumnPages([path], ["reward"]).look(0)
    """

    def __init__(self, paths: Sequence[Path], names: Sequence[str]) -> None:
        self._paths, self._names = paths, names
        self._footers: dict[Path, _Footer] = {}
        self._looked: set[int] = set()

    def look(self, place: int) -> None:
        """Refuse a column if a page of it cannot be.

        Parameters
        ----------
        place : int
            Its position; one beyond the names is of no column in the files, and is passed over.

        Raises
        ------
        Damaged
            With the file if there are several, the column, and the byte at which the page begins.
        """
        if place in self._looked or place >= len(self._names):
            return
        for path in self._paths:
            try:
                self._look_in(path, self._names[place])
            except Damaged as error:
                raise Damaged(f"{self._called(path, self._names[place])}, {error}") from None
        self._looked.add(place)

    def unread(self) -> Damaged | None:
        """Say which of the columns that were looked at cannot be read all the same; None if each can."""
        import polars as pl

        for path in self._paths:
            for name in (self._names[place] for place in sorted(self._looked)):
                values = pl.scan_parquet(path, glob=False).select(pl.col(name).drop_nulls().len())
                try:
                    with panics_unsaid():
                        values.collect(engine="streaming")
                except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
                    return Damaged(f"{self._called(path, name)}: {first_line(error)}")
        return None

    def _called(self, path: Path, name: str) -> str:
        return f"{path}, column {name!r}" if len(self._paths) > 1 else f"column {name!r}"

    def _look_in(self, path: Path, name: str) -> None:
        if path not in self._footers:
            self._footers[path] = _footer(path)
        footer = self._footers[path]
        with path.open("rb", buffering=0) as file:
            for chunk in footer.chunks.get(name, ()):
                if chunk.values != chunk.rows:
                    raise Damaged(f"{chunk.values:,} values in a group of {chunk.rows:,} rows")
                _look_at(file, chunk, footer.begin)


def _footer(path: Path) -> _Footer:
    with path.open("rb") as file:
        file.seek(-2 * len(MARK), 2)
        size, mark = int.from_bytes(file.read(len(MARK)), "little"), file.read()
        begin = file.tell() - 2 * len(MARK) - size
        if mark != MARK or begin < 0:
            raise Damaged("the file does not end as one of Parquet does")
        file.seek(begin)
        told, _ = read_record(file.read(size))
    chunks: dict[str, list[_Chunk]] = {}
    try:
        for group in told[4]:
            for column in group[1]:
                about = column[3]
                # A dictionary comes first; where there is none some writers say that it is at 0.
                pages = min((place for place in (about.get(11), about[9]) if place), default=0)
                name, *nested = about[3]
                rows = about[5] if nested else group[3]
                chunk = _Chunk(*map(operator.index, (pages, rows, about[5], about[6])))
                chunks.setdefault(name.decode(), []).append(chunk)
        rows = sum(group[3] for group in told[4])
    except (LookupError, TypeError, ValueError, AttributeError):
        raise Damaged("the end of the file does not say where its columns are") from None
    if rows != told.get(3):
        raise Damaged(f"the end of the file tells of {told.get(3)} rows, and of groups with {rows}")
    return _Footer(chunks, begin)


def _look_at(file: Any, chunk: _Chunk, end: int) -> None:
    """Go from header to header, until there are as many values as there should be."""
    at, left, room = chunk.begin, chunk.values, max(chunk.unpacked, SMALL)
    while left > 0:
        try:
            header, length = _header(file, at, end)
            kind, unpacked, packed = header[1], header[2], header[3]
            values = header[VALUES_IN[kind]][1] if kind in VALUES_IN else 0
            # No text is shorter than a byte, and a dictionary may hold categories that no row has.
            most = unpacked if kind == DICTIONARY else left
            if not (0 <= unpacked <= room and 0 <= packed <= end - at - length):
                raise Damaged(f"{packed:,} bytes, {unpacked:,} unpacked, which cannot be")
            if not 0 <= values <= most:
                raise Damaged(f"{values:,} values, and there are {most:,} at most")
            if 4 in header and zlib.crc32(_read(file, at + length, packed)) != header[4] % 2**32:
                raise Damaged("its checksum is another one than that of what is written")
        except Damaged as error:
            raise Damaged(f"page at byte {at:,}: {error}") from None
        except (LookupError, TypeError):
            raise Damaged(f"page at byte {at:,}: its header does not say what it holds") from None
        at += length + packed
        left -= 0 if kind == DICTIONARY else values


def _header(file: Any, at: int, end: int) -> tuple[dict[int, Any], int]:
    """The record before a page, and its length."""
    if not 0 <= at < end:
        raise Damaged("there is none, and values are missing")
    size = HEADER
    while True:
        try:
            return read_record(_read(file, at, min(size, end - at)))
        except Damaged:
            if size >= min(LONGEST_HEADER, end - at):
                raise Damaged("its header cannot be read") from None
            size *= 64


def _read(file: Any, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
