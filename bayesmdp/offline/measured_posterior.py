"""The posterior of a log of measurements: found once, and asked for draws, for its mean and for residuals.

Rows are in the units of the problem's model. Where these are not the log's, the model serves other logs too, and so do
its programs, of a power of two of rows: some that count for nothing are added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.model_reading.records import Records
from bayesmdp.planning.simulated_values import read_unknowns
from bayesmdp.posterior import draw
from bayesmdp.posterior.inference.primitives import FoundRecords, find_records, infer_found
from bayesmdp.posterior.inference.request import Request, num_chains
from bayesmdp.posterior.inference.transitions import padded_rows
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["find_measured", "posterior_of", "rows_of_log"]

WARMUP = 1_000
"""Of NUTS, where there is no closed form."""


def find_measured(mdp: SimulatedMDP, data: Records) -> FoundRecords:
    """Look for the closed form of the posterior of a problem's model.

    Parameters
    ----------
    mdp : SimulatedMDP
    data : Records
        In the units of the log.

    Returns
    -------
    FoundRecords
    """
    rows = mdp.problem.rows_of_model(data)
    return find_records(mdp.model, rows if mdp.problem.units is None else padded_rows(rows))


def posterior_of(
    found: FoundRecords, mdp: SimulatedMDP, draws: int, seed: int
) -> tuple[xr.DataTree, dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Make draws of a posterior.

    Parameters
    ----------
    found : FoundRecords
    mdp : SimulatedMDP
    draws, seed : int

    Returns
    -------
    kept : DataTree
        Of parameters alone, where it is known in closed form.
    planning, fresh : dict of arrays [draw, ...] by site
        To plan with, and to judge by.
    """
    kept_draws = 2 * draws if found.form is None else 0
    request = Request(kept_draws, found.method, seed, num_chains(kept_draws, 4), WARMUP, progress=False)
    kept = infer_found(found, request)
    if found.form is None:
        every = read_unknowns(kept, mdp)
        planning, fresh = ({name: values[i::2] for name, values in every.items()} for i in range(2))
        return kept, planning, fresh
    drawn = [draw(kept, draws, seed=seed + i, model=mdp.model) for i in range(2)]
    planning, fresh = (read_unknowns(each, mdp) for each in drawn)
    return kept, planning, fresh


def rows_of_log(group: xr.Dataset, data: Records) -> xr.Dataset:
    """Put the rows of a log, in its own units, where those of its model are.

    Parameters
    ----------
    group : Dataset over ``row``
        Of a posterior: constant or observed data.
    data : Records
        The log.

    Returns
    -------
    Dataset
    """
    kept: dict[str, Any] = {}
    for name in map(str, group.data_vars):
        own = group[name]
        values = data.state if name == "state" else data.seen.get(name)
        kept[name] = own.dims, own.values[: len(data.weight)] if values is None else np.asarray(values)
    numbered = {str(dim): np.arange(values.shape[i]) for dims, values in kept.values() for i, dim in enumerate(dims)}
    return xr.Dataset(kept, numbered, group.attrs)
