"""What ``bayesmdp plan`` reads: the log, from files or a cluster, and tables that options name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmdp.cli.messages import say
from bayesmdp.cli.plan_options import as_options

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["coordinates_of", "read_behaviour", "read_numbers", "read_option_table", "read_states", "sample_of"]


def read_numbers(source: Any, names: str, **options: Any) -> xr.Dataset:
    """The log, its states being numbers, with what it warns of said in terms of the command's options."""
    from bayesmdp.logs.read_log import read_log

    with _warnings_said():
        return read_log(source, coordinates=coordinates_of(names), **options)


def read_states(log: Any, dask: str | None, **options: Any) -> xr.Dataset:
    """The log, checked, with what it warns of said in terms of the command's options."""
    from bayesmdp.logs.read_log import read_log

    with _warnings_said():
        return read_log(log, distinct=None, **options) if dask is None else _on_cluster(log, dask, **options)


def _on_cluster(log: Path, address: str, **options: Any) -> xr.Dataset:
    """The log, counted by the workers of a cluster, which read its files themselves."""
    from bayesmdp.foundation.extras import brought_by
    from bayesmdp.logs.read_log import read_log

    with brought_by("dask"):
        import dask.dataframe
        from distributed import Client
    if log.suffix.lower() != ".parquet" and not log.is_dir():
        raise ValueError(f"--dask needs a Parquet file or a folder of them, and {log} is neither; leave it out")
    with Client(address):
        frame = dask.dataframe.read_parquet(log)
        return read_log(frame, distinct=True, **options).assign_attrs(source=str(log))


@contextmanager
def _warnings_said() -> Iterator[None]:
    """Say what is warned of in terms of the command's options."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        say(f"bayesmdp: warning: {as_options(str(warning.message))}")


def sample_of(source: Any, log: xr.Dataset, **options: Any) -> xr.Dataset | None:
    """Some episodes of a log that is counted."""
    if "count" not in log:
        return None
    from bayesmdp.logs.sampled_log import sample_log
    from bayesmdp.offline.second_opinion import LARGE

    return sample_log(source, log, LARGE, **options)


def coordinates_of(text: str) -> list[str]:
    """The columns of numbers that are the state."""
    return [name.strip() for name in text.split(",")]


def read_behaviour(
    path: Path, separator: str | None, encoding: str, decimal: str, coordinates: Sequence[str] = ()
) -> pd.DataFrame:
    """The table of what is done today, in states or at places."""
    table = read_option_table("--baseline", path, separator, encoding)
    if decimal != ".":
        for name in {"probability", *coordinates} & set(table.columns):
            table[name] = table[name].str.replace(decimal, ".")
    return table


def read_option_table(option: str, path: Path, separator: str | None, encoding: str) -> pd.DataFrame:
    """The table of a file that an option names, its labels as they are written."""
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"{option}: no file {path}")
    try:
        return pd.read_csv(path, sep=separator or ",", encoding=encoding, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{option} {path} is not a table: {error}") from error
