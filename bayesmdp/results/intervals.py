"""Intervals of means over replicates."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from bayesmdp.foundation.validation import number

__all__ = ["interval_over_replicates", "origin"]


def interval_over_replicates(values: xr.DataArray, confidence: float, root: xr.Dataset) -> xr.Dataset:
    """Mean over replicates with Student's t interval.

    Parameters
    ----------
    values : DataArray [replicate, ...]
    confidence : float in (0, 1)
    root : Dataset
        The results that the values are of, for the attrs.

    Returns
    -------
    Dataset
        ``mean``, ``lower`` and ``upper``, without the dim replicate; NaN bounds for one replicate. All are NaN where a
        replicate has none of the numbers, for what the others have is not the mean of all.
    """
    number("confidence", confidence, above=0, below=1)
    count = values.sizes["replicate"]
    mean = values.mean("replicate", skipna=False)
    if count > 1:
        half = (
            values.std("replicate", ddof=1, skipna=False)
            * float(stdtrit(count - 1, (1 + confidence) / 2))
            / np.sqrt(count)
        )
        how = f"Student's t at {confidence:g} over {count} replicates"
    else:
        half = xr.full_like(mean, np.nan)
        how = "none: one replicate has no spread; run more replicates"
    attrs = {**origin(root), "replicates": count, "confidence": confidence, "interval": how}
    return xr.Dataset({"mean": mean, "lower": mean - half, "upper": mean + half}, attrs=attrs)


def origin(root: xr.Dataset) -> dict[str, Any]:
    """The attrs of results that say what they are of."""
    return {name: root.attrs[name] for name in ("title", "mdp", "objective", "seed") if name in root.attrs}
