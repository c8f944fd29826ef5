"""Some episodes of a log that is too long to be asked step by step, from all over it.

A counted log does not say what followed on what, which checks of a log and estimates without a prior need. They are
asked of a sample: blocks of rows that lie evenly over the log, each without the rows before its first whole episode,
and cut off where it ends. Where a column tells the episodes, whole ones are drawn at random, wherever their rows stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.logs.log import begins_of, ends_of, size_of
from bayesmdp.logs.log_sources import Table, open_table
from bayesmdp.logs.measured_states import Recoding
from bayesmdp.logs.read_log import read_log
from bayesmdp.logs.scanned_columns import Scan

__all__ = ["sample_log"]

BLOCKS = 20


def sample_log(source: Any, counted: xr.Dataset, rows: int, **options: Any) -> xr.Dataset | None:
    """Read some of a counted log step by step.

    Parameters
    ----------
    source
        As for `read_log`.
    counted : Dataset over ``step``
        What it returned, with ``distinct``.
    rows : int
        How many to read at the most, at least one.
    **options
        As for `read_log`.

    Returns
    -------
    Dataset over ``step``, or None
        None where rows are in no order and no column tells their episodes, where no episode is so short, or where the
        log is in memory already.

    Raises
    ------
    ValueError
        If `rows` is not positive.

    Examples
    --------
    >>> import bayesmdp as bm, polars as pl
    >>> lake = bm.collect(bm.environments.frozen_lake(), steps=3_000, seed=0)
    >>> frame = pl.DataFrame(lake.to_dataframe())
    >>> sample = sample_log(frame, bm.read_log(frame, distinct=True), 1_000)
    >>> 500 < sample.sizes["step"] <= 1_000, bool(bm.check_log(sample)["alarm"].any())
    (True, False)
    """
    if rows < 1:
        raise ValueError(f"rows must be at least 1; got {rows!r}")
    names = ("separator", "encoding", "decimal", "connection")
    text = {name: options.pop(name) for name in names if name in options}
    if "recoding" in counted.attrs:  # blocks are recoded as the whole was, whatever quantiles they have of their own
        options["state"] = Recoding.from_json(counted.attrs["recoding"])
    table = open_table(
        source,
        text.get("separator"),
        text.get("encoding", "utf-8"),
        text.get("decimal", "."),
        text.get("connection"),
    )
    scan = table.scan() if table.scan else None
    labels = {"actions": counted.attrs["actions"]}
    if "recoding" not in counted.attrs:
        labels["states"] = counted.attrs["states"]
    size = size_of(counted)
    # A part of the log may not have seen every measured state.
    whole = {"rows_of": size} | {name: counted.attrs[name] for name in ("states", "recoding") if name in counted.attrs}
    if isinstance(scan, Scan) and options.get("episode") is not None:
        sample = _drawn_episodes(table, scan, rows, {**options, **labels})
        return None if sample is None else sample.assign_attrs(whole)
    if not isinstance(scan, Scan) or not counted.attrs["ordered"]:
        return None
    number = min(BLOCKS, rows, size)
    block = min(rows, size) // number
    # Blocks lie apart by size / number at the least, so that none begins within another.
    begins = np.linspace(0, size - block, number).astype(int)
    logs = [
        _block(table, part, begin, {**options, **labels, "gaps": "cut"})
        for begin, part in zip(begins.tolist(), scan.blocks(begins.tolist(), block), strict=True)
    ]
    firsts = [_first_whole(log) if begin else 0 for begin, log in zip(begins, logs, strict=True)]
    # An endless recording has no episodes: blocks are then what they are, and begin anywhere.
    known = None not in firsts
    logs = [log.isel(step=slice(first if known else 0, None)) for log, first in zip(logs, firsts, strict=True)]
    sample = xr.concat([_cut_off(log) for log in logs], "step", combine_attrs="override")
    sample = sample.assign_coords(step=np.arange(sample.sizes["step"]))
    return sample.assign_attrs(starts_known=int(known and bool(counted.attrs["starts_known"])), **whole)


def _drawn_episodes(table: Table, scan: Scan, rows: int, options: Mapping[str, Any]) -> xr.Dataset | None:
    """Whole episodes drawn at random, always the same ones, of no more than so many rows; None if one is longer."""
    column = scan.label(table.columns.index(options["episode"])).alias("episode")
    lengths = scan.collect(scan.frame.select(column).group_by("episode", maintain_order=True).len()).sort("episode")
    order = np.random.default_rng(0).permutation(len(lengths))
    drawn = order[np.cumsum(lengths["len"].to_numpy()[order]) <= rows]
    if not len(drawn):
        return None
    chosen = lengths[np.sort(drawn).tolist()].select("episode")
    numbered = scan.frame.with_columns(column).with_row_index("row number").join(chosen.lazy(), "episode", "semi")
    read = scan.collect(numbered.sort("row number"))
    numbers = read["row number"].to_numpy()
    part = scan._replace(frame=read.drop("row number", "episode").lazy(), rows=None, sliced=True)
    own = table._replace(read=part.read, scan=lambda: part, place=lambda row: table.place(int(numbers[row])))
    return read_log(own, distinct=False, **options)


def _block(table: Table, part: Scan, begin: int, options: Mapping[str, Any]) -> xr.Dataset:
    """The rows of a log from one on."""
    own = table._replace(read=part.read, scan=lambda: part, place=lambda row: table.place(begin + row))
    return read_log(own, distinct=False, **options)


def _first_whole(log: xr.Dataset) -> int | None:
    """Where the first episode begins after the end of another; None if none does."""
    later = np.flatnonzero(begins_of(log))[1:]
    return int(later[0]) if len(later) else None


def _cut_off(log: xr.Dataset) -> xr.Dataset:
    """A log whose recording was cut off after its last row, unless this ends an episode."""
    cut = ends_of(log, "truncated").copy()
    cut[-1] |= not bool(log["terminated"].values[-1])
    return log.assign(truncated=("step", cut))
