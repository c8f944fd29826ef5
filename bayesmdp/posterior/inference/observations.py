"""What is one observation of a log: which row each step is of, and which episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.compress import compress
from bayesmdp.logs.log import as_labels, ends_of, refuse_counted
from bayesmdp.model_reading.model_runs import Data
from bayesmdp.model_reading.read_model import Reading
from bayesmdp.model_reading.records import Records
from bayesmdp.model_reading.rows import combinations
from bayesmdp.problems.mdp import MDP

__all__ = ["episode_of_step", "row_of_step"]


def row_of_step(log: Any, data: Data, reading: Reading | None, mdp: MDP | None) -> NDArray[np.int64]:
    """Which row each step is of.

    Parameters
    ----------
    log : Dataset over ``step``, or weighted rows
    data : Transitions, Targets or Records
        The log as the rows that the model reads.
    reading : Reading or None
        The model; None of one of Q-values.
    mdp : MDP or None

    Returns
    -------
    int array [step]

    Raises
    ------
    ValueError
        If a weight is not whole, or steps are not observations of their own.
    """
    if not isinstance(log, xr.Dataset):
        weight = np.asarray(data.weight, float)
        broken = weight != np.round(weight)
        if broken.any():
            row = int(np.argmax(broken))
            raise ValueError(f"row {row} has the weight {weight[row]:g}, which is no number of steps; use by='row'")
        return np.repeat(np.arange(len(weight)), weight.astype(int))
    if reading is None:
        raise ValueError(
            "the targets of a log's Q-values are made from one another, so that none can be left out alone; use "
            "by='row'"
        )
    if isinstance(data, Records):
        return np.arange(len(data.weight))
    refuse_counted(log, "what is told by step")
    # Rows that are distinct in the number of the step too are the steps.
    number = "step_number"
    while number in log.variables:
        number += "_"
    numbered = log.assign({number: ("step", np.arange(log.sizes["step"]))}).assign_attrs(
        covariates=[*as_labels(log.attrs.get("covariates", [])), number]
    )
    steps = compress(numbered, mdp, covariates=(*reading.covariates, number))
    order = np.argsort(steps.covariates[number])
    names = ["state", "action", "next_state", *(["reward"] if reading.rewarded else []), *reading.covariates]
    both = {name: np.concatenate([getattr(data, name), getattr(steps, name)[order]]) for name in names}
    rows = len(data.weight)
    kind, kinds = combinations(both, rows + len(order))
    row_of = np.empty(kinds, int)
    row_of[kind[:rows]] = np.arange(rows)
    return row_of[kind[rows:]]


def episode_of_step(log: Any) -> NDArray[np.int64]:
    """Which episode each step is of, counted from 0.

    Parameters
    ----------
    log : Dataset over ``step``
        With ``terminated`` or ``truncated``.

    Returns
    -------
    int array [step]

    Raises
    ------
    ValueError
        If the log does not say where episodes end.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.frozen_lake()
    >>> log = bm.collect(lake, steps=30, seed=0)
    >>> numbers = episode_of_step(log)
    >>> bool((np.diff(numbers) == log["terminated"][:-1]).all())
    True
    """
    remedy = "use by='step' or by='row'"
    if not isinstance(log, xr.Dataset):
        raise ValueError(f"weighted rows do not say which episode they are of; give the log itself, or {remedy}")
    if not log.attrs.get("ordered", 1):
        raise ValueError(f"the log's rows are in no order, so that it shows no episodes; {remedy}")
    refuse_counted(log, "what is told by episode")
    ends = ends_of(log, "terminated") | ends_of(log, "truncated")
    if not ends[:-1].any():
        raise ValueError(
            f"the log is one episode: no step before the last is terminated or truncated; mark the ends, or {remedy}"
        )
    return np.append(0, np.cumsum(ends[:-1]))
