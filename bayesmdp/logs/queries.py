"""Queries of SQL as sources of logs: by DuckDB on files and frames, or by an open connection to any database.

The answer to a query is read once and held in memory, for a database need not answer in the same order twice, and the
order of rows is what tells of episodes. A query should say it, by ``ORDER BY``, or leave it to ``episode=`` and
``step=``.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmdp.foundation.extras import brought_by

if TYPE_CHECKING:
    import polars as pl

__all__ = ["answer", "is_query", "query_name", "query_on"]

BEGINS = re.compile(r"\s*(select|with|from)\s", re.IGNORECASE)
DATABASES = ".duckdb, .db, .sqlite (of DuckDB or SQLite), .parquet"
SHOWN = 60
"""Signs of a query in a message."""


def is_query(source: Any) -> bool:
    """Return whether a source is text that begins as a query does, and no file.

    Examples
    --------
    >>> is_query("SELECT * FROM 'log.parquet'"), is_query("selected.csv")
    (True, False)
    """
    return isinstance(source, str) and BEGINS.match(source) is not None and not Path(source[:200]).exists()


def query_name(query: str) -> str:
    """Return what messages call a query."""
    text = " ".join(query.split())
    return f"the query {text if len(text) <= SHOWN else text[: SHOWN - 3] + '...'!r}"


def answer(query: str, connection: Any = None) -> pl.DataFrame:
    """Run a query.

    Parameters
    ----------
    query : str
    connection : optional
        Open, of DuckDB, or of what `polars.read_database` takes: ``sqlite3`` and others of Python's DB-API, SQLAlchemy,
        ADBC. By default DuckDB runs the query in memory, where files may stand for tables.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        If it is no query, or cannot be run: with what the database said.
    ImportError
        If DuckDB is missing.
    """
    import polars as pl

    if not BEGINS.match(query):
        raise ValueError(
            f"{query_name(query)} is none: begin with SELECT, WITH or FROM, for nothing else returns a log"
        )
    own = connection is None
    if own:
        with brought_by("sql"):
            import duckdb
        connection = duckdb.connect()
    try:
        if hasattr(connection, "sql"):
            relation = connection.sql(query)
            table = None if relation is None else relation.pl()
        else:
            table = pl.read_database(query, connection, infer_schema_length=None)
    except ImportError:
        raise
    except Exception as error:  # each database has errors of its own
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{query_name(query)} cannot be run: {said}") from error
    finally:
        if own:
            connection.close()
    if not isinstance(table, pl.DataFrame):
        raise ValueError(f"{query_name(query)} answers with no table")
    return table


def query_on(path: Path, query: str) -> pl.DataFrame:
    """Run a query on the file of a database, or on a Parquet file, which is called ``log`` in it.

    Parameters
    ----------
    path : Path
        It is not written to.
    query : str

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError, FileNotFoundError, ImportError
        As for `answer`, or if the file is of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    with path.open("rb") as file:
        first = file.read(16)
    if first.startswith(b"SQLite format 3"):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            return answer(query, connection)
        finally:
            connection.close()
    with brought_by("sql"):
        import duckdb
    if first[8:12] == b"DUCK":
        with duckdb.connect(str(path), read_only=True) as opened:
            return answer(query, opened)
    if path.suffix.lower() != ".parquet":
        raise ValueError(f"{path} is none of {DATABASES}, which a query is asked of; leave the query out")
    with duckdb.connect() as opened:
        written = str(path).replace("'", "''")
        try:
            opened.execute(f"CREATE VIEW log AS SELECT * FROM read_parquet('{written}')")
        except duckdb.Error as error:
            raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
        return answer(query, opened)
