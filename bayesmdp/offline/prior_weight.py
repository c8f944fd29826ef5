"""The posterior if the prior of transitions weighed another number of observations."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["FACTORS", "with_prior_weight"]

FACTORS = (1 / 3, 3.0)
"""Of the prior's weight, at which a plan is judged again."""


def with_prior_weight(
    posterior: xr.DataTree, counts: NDArray[np.float64], outcome_dim: str, weight: float
) -> xr.DataTree:
    """Return the parameters of a posterior whose prior of transitions weighs so many times its own weight.

    Parameters
    ----------
    posterior : DataTree
        With the group ``parameters``, in which the rows of ``transition`` are Dirichlet.
    counts : array [state, action, outcome]
        How often each outcome was seen.
    outcome_dim : str
        The name of the last axis.
    weight : float

    Returns
    -------
    DataTree
        Of which :func:`bayesmdp.draw` makes draws. Equal seeds give draws that differ by the prior alone.
    """
    parameters = posterior["parameters"].to_dataset()
    if weight != 1:
        dims = "state", "action", outcome_dim
        prior = np.maximum(parameters["transition"].transpose(*dims).values - counts, 0)
        parameters["transition"] = dims, counts + weight * prior
    kept = xr.DataTree.from_dict({"parameters": parameters})
    kept.attrs = {"families": posterior.attrs.get("families", "{}")}
    return kept
