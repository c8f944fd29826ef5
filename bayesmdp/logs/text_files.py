"""Text files as a scanner of columns can read them: in UTF-8, each line with the fields of the header.

A scanner is quick because it looks at many lines at once, and takes a line with a field too few for one whose last
field is missing. So each file is looked through before, some megabytes at a time: has every line the fields of the
header? One that is compressed or in another encoding is first unpacked to a temporary file, and one that is laid out as
people write and scanners do not read (blank lines, blanks before a quotation mark) is written anew. The csv module,
which keeps count of lines, is asked only there and where something is wrong, for a message that names the line.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["TextFile", "open_text"]

MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""First bytes of a file, and the encoding that they tell."""

AT_ONCE = 2**20
"""Bytes in memory at a time."""


class Scratch:
    """A folder for files that are gone when nothing holds it any more; made when it is needed."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def file(self, name: str) -> Path:
        """Return the path of a file in it."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="bayesmdp-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / name


class TextFile(NamedTuple):
    """A file of lines of fields.

    Attributes
    ----------
    path : Path
        As the caller knows it, for messages.
    lines : Path
        The same lines in UTF-8, unpacked.
    separator : str
    header : sequence of str
    written : Scratch
        Files that were written for this one.
    """

    path: Path
    lines: Path
    separator: str
    header: Sequence[str]
    written: Scratch

    def place(self, row: int) -> str:
        """Return what a message calls a row, 0 being the first after the header."""
        for number, (line, _) in enumerate(_records(self.path, self.lines, self.separator)):
            if number == row + 1:
                return f"line {line}"
        return f"row {row}"

    def scannable(self) -> tuple[Path, str, int, int]:
        """Return a file that a scanner reads as it is meant, its separator, how many lines to skip, and its rows.

        Raises
        ------
        ValueError
            For a line that has not the header's number of fields, or a quotation mark left open.
        """
        rows = _plain_rows(self.lines, self.separator, len(self.header))
        return (self.lines, self.separator, 1, rows) if rows is not None else self.rewritten()

    def rewritten(self) -> tuple[Path, str, int, int]:
        """Write the rows anew, without the header, and return the same."""
        path, rows = self.written.file("rows.csv"), -1
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
            for line, fields in _records(self.path, self.lines, self.separator):
                if len(fields) != len(self.header):
                    self._refuse_fields(line, fields)
                rows += 1
                if rows:
                    writer.writerow(fields)
        with self.lines.open("rb") as written:
            marks = sum(part.count(b'"') for part in iter(lambda: written.read(AT_ONCE), b""))
        if marks % 2:  # one more than there should be, or one that is meant, as for inches: the csv module can tell
            for _ in _records(self.path, self.lines, self.separator, strict=True):
                pass
        return path, ",", 0, rows

    def _refuse_fields(self, line: int, fields: Sequence[str]) -> NoReturn:
        text = self.separator.join(fields)
        raise ValueError(
            f"{self.path} line {line} has {len(fields)} field{'s' * (len(fields) != 1)} where the header has "
            f"{len(self.header)}: {text[:60]!r}{'...' * (len(text) > 60)}; complete the line, or quote a field that "
            f"holds {self.separator!r}"
        )


def open_text(path: Path, separator: str, encoding: str) -> TextFile:
    """Unpack a text file as far as needed, and read its header.

    Parameters
    ----------
    path : Path
        Compressed by gzip if its name ends so.
    separator : str
        One character.
    encoding : str

    Returns
    -------
    TextFile

    Raises
    ------
    ValueError
        For a file that is empty, damaged, or of another encoding: with the line.
    """
    lines, written = path, Scratch()
    packed = path.suffix.lower() == ".gz"
    if packed or not _is_utf8(encoding):
        lines = written.file("lines.csv")
        with gzip.open(path) if packed else path.open("rb") as source, lines.open("wb") as unpacked:
            try:
                _transcode(path, cast("IO[bytes]", source), unpacked, encoding)
            except (OSError, EOFError, zlib.error) as error:
                raise ValueError(f"{path} is not a gzip file, or was cut short: {error}; compress it anew") from error
    else:
        with path.open("rb") as source:
            _transcode(path, source, None, encoding)
    header = next((fields for _, fields in _records(path, lines, separator)), None)
    if header is None:
        raise ValueError(f"{path} is empty; it needs a header line and at least one step")
    return TextFile(path, lines, separator, [name.strip() for name in header], written)


def _is_utf8(encoding: str) -> bool:
    return encoding.lower() in ("utf-8", "utf8")


def _transcode(path: Path, source: IO[bytes], out: IO[bytes] | None, encoding: str) -> None:
    """Read bytes of an encoding to the end, and write them in UTF-8; refuse those that are of no such encoding."""
    try:
        "".encode(encoding)  # base64 and the like are no encodings of text
        decoder = codecs.getincrementaldecoder("utf-8-sig" if _is_utf8(encoding) else encoding)()
    except (LookupError, ValueError):
        raise ValueError(f"encoding {encoding!r} is not known; it may be 'utf-8', 'cp1252' or 'utf-16'") from None
    line, first = 1, b""
    while True:
        raw = source.read(AT_ONCE)
        first = first or raw[:4]
        if out is None and raw.isascii():  # quicker than to decode it
            decoder.decode(b"")
            if raw:
                line += raw.count(b"\n")
                continue
        before = decoder.getstate()[0]
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            place, held = error.start, error.object
            line += held.count(b"\n", 0, place) - before.count(b"\n")
            likely = next((name for mark, name in MARKS.items() if first.startswith(mark)), "cp1252")
            raise ValueError(
                f"{path} line {line} holds the byte 0x{held[place]:02x}, which is not {encoding}; "
                f"give the file's encoding, such as encoding={likely!r}"
            ) from None
        except UnicodeError as error:  # of UTF-16 or UTF-32 without a mark
            raise ValueError(f"{path} is not {encoding}: {error}; give the file's encoding") from None
        if out is not None:
            out.write(text.encode())
        if not raw:
            return
        line += raw.count(b"\n")


def _records(path: Path, lines: Path, separator: str, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Go through the records that are not blank: the first line (the file's is 1) and the fields of each."""
    line, last = 1, [""]
    with lines.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(_remembered(file, last), delimiter=separator, skipinitialspace=True, strict=strict)
        try:
            for fields in reader:
                # A blank line is no record, but the one field of a line may be empty, in quotation marks.
                if len(fields) > 1 or "".join(fields).strip() or '"' in last[0]:
                    yield line, fields
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{path} line {line}: {error}; is a quotation mark left open?") from None


def _remembered(lines: Iterable[str], last: list[str]) -> Iterator[str]:
    """The lines, of which the last one given is kept."""
    for last[0] in lines:
        yield last[0]


def _plain_rows(path: Path, separator: str, width: int) -> int | None:
    """Count the rows of a file that a scanner reads as it is meant; None if it may not."""
    if not separator.isascii():
        return None
    quote, comma, newline = b'"'[0], ord(separator), b"\n"[0]
    if width == 1:
        return None  # a blank line has as many fields
    with path.open("rb") as file:
        if file.readline().count(b'"') % 2:
            return None  # the header is of several lines
    spaced = [f'{start}{blank}"'.encode() for start in (separator, "\n") for blank in " \t" if start != blank]
    lines, inside, size = 0, 0, _without_blank_end(path, separator)
    with path.open("rb") as file:
        while size:
            raw = file.read(min(AT_ONCE, size))
            raw += file.readline(size - len(raw))
            size -= len(raw)
            raw += b"\n" * (not size)
            if b"\r" in raw and raw.count(b"\r") > raw.count(b"\r\n"):
                return None
            data = np.frombuffer(raw, np.uint8)
            mark = (data == comma) | (data == newline)
            if inside or quote in raw:
                # Between quotation marks separators are text; only the parity of the number of marks counts.
                if any(mark in b"\n" + raw for mark in spaced):
                    return None
                within = (np.cumsum(data == quote, dtype=np.uint8) + inside) & 1
                if not _well_quoted(data, within, comma):
                    return None
                mark &= within == 0
                inside = int(within[-1])
            kinds = data[mark]
            ends = np.flatnonzero(kinds == newline)
            if (np.diff(ends, prepend=-1) != width).any() or (len(kinds) and kinds[-1] != newline) or inside:
                return None
            lines += len(ends)
    return lines - 1


def _well_quoted(data: NDArray[np.uint8], within: NDArray[Any], comma: int) -> bool:
    """Whether quotation marks stand only about whole fields, doubled where they are meant."""
    quote, ends = b'"'[0], [comma, *b"\r\n"]
    marks = np.flatnonzero(data == quote)
    opening, closing = marks[within[marks] == 1], marks[within[marks] == 0]
    before, after = data[np.maximum(opening - 1, 0)], data[np.minimum(closing + 1, len(data) - 1)]
    opened = np.isin(before, [*ends, quote]) | (opening == 0)
    return bool(opened.all() and np.isin(after, [*ends, quote]).all())


def _without_blank_end(path: Path, separator: str) -> int:
    """Return the size of a file without the blanks and the blank lines that it ends with."""
    size, blanks = path.stat().st_size, b" \t\r\n".replace(separator.encode(), b"")
    with path.open("rb") as file:
        while size:
            begin = max(0, size - 4096)
            file.seek(begin)
            kept = len(file.read(size - begin).rstrip(blanks))
            if kept:
                return begin + kept
            size = begin
    return 0
