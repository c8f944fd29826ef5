"""Some episodes of a log that is too long to be asked step by step, from all over it.

A counted log does not say what followed on what, which checks of a log and estimates without a prior need. They are
asked of a sample: blocks of rows that lie evenly over the log, each without the rows before its first whole episode,
and cut off where it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.logs.log import ends_of, size_of
from bayesmdp.logs.log_sources import Table, open_table
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
        How many to read at the most.
    **options
        As for `read_log`.

    Returns
    -------
    Dataset over ``step``, or None
        None where rows are in no order, or not in that of their episodes.

    Examples
    --------
    >>> import bayesmdp as bm, polars as pl
    >>> lake = bm.collect(bm.environments.frozen_lake(), steps=3_000, seed=0)
    >>> frame = pl.DataFrame(lake.to_dataframe())
    >>> sample = sample_log(frame, bm.read_log(frame, distinct=True), 1_000)
    >>> 500 < sample.sizes["step"] <= 1_000, bool(bm.check_log(sample)["alarm"].any())
    (True, False)
    """
    text = {name: options.pop(name) for name in ("separator", "encoding", "decimal") if name in options}
    measured = options.get("state") is not None or options.get("episode") is not None
    table = open_table(source, text.get("separator"), text.get("encoding", "utf-8"), text.get("decimal", "."))
    scan = table.scan() if table.scan else None
    if not isinstance(scan, Scan) or measured or not counted.attrs["ordered"]:
        return None
    labels = {"states": counted.attrs["states"], "actions": counted.attrs["actions"]}
    size, block = size_of(counted), rows // BLOCKS
    begins = np.linspace(0, max(size - block, 0), BLOCKS).astype(int)
    logs = [_block(table, scan, int(begin), min(block, size), {**options, **labels, "gaps": "cut"}) for begin in begins]
    whole = [log for log in logs if log is not None]
    # An endless recording has no episodes: blocks are then what they are, and begin anywhere.
    known = len(whole) == len(logs)
    if not known:
        logs = [
            _block(table, scan, int(begin), block, {**options, **labels, "gaps": "cut"}, whole=False)
            for begin in begins
        ]
        whole = [log for log in logs if log is not None]
    sample = xr.concat(whole, "step", combine_attrs="override")
    sample = sample.assign_coords(step=np.arange(sample.sizes["step"]))
    return sample.assign_attrs(starts_known=int(known and bool(counted.attrs["starts_known"])), rows_of=size)


def _block(
    table: Table, scan: Scan, begin: int, size: int, options: Mapping[str, Any], *, whole: bool = True
) -> xr.Dataset | None:
    """The episodes of a block of rows; None where it has the end of none."""
    part = scan._replace(frame=scan.frame.slice(begin, size), rows=None)
    own = table._replace(read=part.read, scan=lambda: part, place=lambda row: table.place(begin + row))
    log = read_log(own, distinct=False, **options)
    ended = ends_of(log, "terminated") | ends_of(log, "truncated")
    if whole and begin:
        if not ended[:-1].any():
            return None
        log = log.isel(step=slice(int(np.argmax(ended)) + 1, None))
    cut = ends_of(log, "truncated").copy()
    cut[-1] |= not bool(log["terminated"].values[-1])
    return log.assign(truncated=("step", cut))
