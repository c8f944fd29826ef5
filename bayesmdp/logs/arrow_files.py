"""Files of Arrow: of the format for files, which is scanned, or of the one for streams, which is read.

A stream may end anywhere, and what is cut off is not missed; so one without the mark at its end is refused. Which
categories are in an order is told to pyarrow only: Polars reads them without it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmdp.foundation.extras import brought_by

if TYPE_CHECKING:
    import polars as pl

__all__ = ["arrow_orders", "first_line", "is_stream", "panics_unsaid", "scan_arrow"]

FILE, STREAM = b"ARROW1", b"\xff\xff\xff\xff"
"""First bytes of either."""

END = STREAM + bytes(4)
"""Last bytes of a stream, and what stands before the footer of a file."""

FOOTER = 2**16
"""Bytes at the end of a file in which pandas has said which categories are in an order."""


def is_stream(path: Path) -> bool:
    """Return whether a file is of the format for streams."""
    with path.open("rb") as file:
        return file.read(len(STREAM)) == STREAM


def scan_arrow(paths: Sequence[Path]) -> pl.LazyFrame:
    """Return the columns of files, those of streams in memory.

    Parameters
    ----------
    paths : sequence of Path

    Raises
    ------
    ValueError
        For a stream without an end.
    """
    import polars as pl

    streams = [is_stream(path) for path in paths]
    if not any(streams):
        return pl.scan_ipc(list(paths), glob=False)
    frames = []
    for path, stream in zip(paths, streams, strict=True):
        if stream and _tail(path, len(END)) != END:
            raise ValueError(f"{path} is a stream of Arrow that was cut short: its end is missing; write it anew")
        frames.append(pl.read_ipc_stream(path).lazy() if stream else pl.scan_ipc(path, glob=False))
    return pl.concat(frames)


def arrow_orders(path: Path, schema: pl.Schema) -> dict[str, list[Any]]:
    """Return the categories of columns where they are in an order.

    Parameters
    ----------
    path : Path
    schema : Schema
        Of the same file, by Polars.

    Raises
    ------
    ImportError
        If they are, and pyarrow is missing.
    """
    import polars as pl

    said = b'"ordered": true' in (path.read_bytes()[:FOOTER] if is_stream(path) else _tail(path, FOOTER))
    if not said and not any(isinstance(kind, pl.Categorical) for kind in schema.values()):
        return {}
    if not said and find_spec("pyarrow") is None:
        return {}
    with brought_by("parquet"):
        import pyarrow as pa
    opens = pa.ipc.open_stream if is_stream(path) else pa.ipc.open_file
    try:
        with pa.memory_map(str(path)) as source:
            wanted = [n for n, field in enumerate(opens(source).schema) if getattr(field.type, "ordered", False)]
            if not wanted:
                return {}
            source.seek(0)
            reader = opens(source, options=pa.ipc.IpcReadOptions(included_fields=wanted))
            first = reader.read_next_batch() if is_stream(path) else reader.get_batch(0)
            return {
                name: column.dictionary.to_pylist()
                for name, column in zip(first.schema.names, first.columns, strict=True)
            }
    except (OSError, ValueError, LookupError, StopIteration):
        return {}  # what is wrong with it is told when it is read


def _tail(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(size, path.stat().st_size), os.SEEK_END)
        return file.read()


def first_line(error: BaseException) -> str:
    """Return what is said of an error of Polars, without what helps nobody: where in Polars, and what types it has."""
    import polars as pl

    if isinstance(error, pl.exceptions.PanicException) or "out-of-spec" in str(error):
        return "its parts do not fit each other"
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def panics_unsaid() -> Iterator[None]:
    """Keep from the terminal what Polars writes there itself where it panics over a damaged file.

    It is told as an exception too, from which a message is made. All else that is written meanwhile is written after.
    """
    sys.stderr.flush()
    kept, failed = os.dup(2), False
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            failed = True
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            said = written.read()
            if not (failed and b"panicked at" in said):
                os.write(2, said)
