"""What a fitted plan does in new states that are numbers, and where it was not made for them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from bayesmdp.logs.measurements import numbers
from bayesmdp.planning import fitted_policy
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["WHY", "recommend_states"]

WHY = {
    "recommended": "",
    "not a number": "a coordinate is missing, or no number",
    "outside": "the state lies outside of the box in which the plan was fitted",
    "terminal": "the episode is over",
}
"""What may be said of a row, and why nothing is recommended there."""


def recommend_states(plan: xr.Dataset, rows: pd.DataFrame, mdp: SimulatedMDP, decimal: str = ".") -> pd.DataFrame:
    """Find what a fitted plan does in new states; see :func:`~bayesmdp.recommend`.

    Parameters
    ----------
    plan : Dataset
        From `plan` of a simulated problem, or read from its file.
    rows : DataFrame
        A column for each coordinate, in their order, whatever they are called.
    mdp : SimulatedMDP
    decimal : {".", ","}
        The sign in numbers that are written as text.

    Returns
    -------
    DataFrame [row]
        ``status``, ``action``, ``promise`` (what Q says of the state), ``margin`` (by how much Q holds the action
        better than the next) and ``why``.
    """
    policy, problem = fitted_policy(plan, mdp), mdp.problem
    size = problem.start.size
    if rows.shape[1] != size:
        raise ValueError(
            f"the rows have {rows.shape[1]} columns; the states of {mdp.name} have {size} coordinates: give a column "
            "for each, in their order"
        )
    states = np.stack([numbers(rows.iloc[:, i], decimal)[0] for i in range(size)], -1)
    known = np.isfinite(states).all(-1)
    filled = np.where(known[:, None], states, problem.start)
    status = np.full(len(rows), "recommended", object)
    status[((filled < problem.low) | (filled > problem.high)).any(-1)] = "outside"
    if problem.terminal is not None:
        with jax.enable_x64(True):
            status[np.asarray(jax.jit(problem.terminal)(jnp.asarray(filled)))] = "terminal"
    status[~known] = "not a number"
    q = policy.q(filled)
    ordered = np.sort(q, -1)
    taken = status == "recommended"
    margin = ordered[:, -1] - ordered[:, -2] if q.shape[1] > 1 else np.full(len(q), np.inf)
    actions = label_array(mdp.actions)[q.argmax(-1)].astype(object)
    columns = {
        "status": status,
        "action": np.where(taken, actions, ""),
        "promise": np.where(taken, ordered[:, -1], np.nan),
        "margin": np.where(taken, margin, np.nan),
        "why": [WHY[each] for each in status],
    }
    return pd.DataFrame(columns, index=rows.index)
