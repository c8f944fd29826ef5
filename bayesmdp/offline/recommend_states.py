"""What a fitted plan does in new states that are numbers, and where it was not made for them."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.measurements import numbers
from bayesmdp.offline.measured_policy import ActsByPlan
from bayesmdp.offline.near_rows import NearRows
from bayesmdp.planning import fitted_policy
from bayesmdp.planning.gain_policy import GainPolicy
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["WHY", "recommend_states"]

WHY = {
    "recommended": "",
    "not a number": "a coordinate is missing or is not a number",
    "outside": "the state is outside the range in which the plan was fitted",
    "terminal": "the episode is over",
    "untried": "no row of the log near this state took the plan's action",
    "unknown stage": "the plan has no such stage",
}
"""What may be said of a row, and why nothing is recommended there."""


def recommend_states(
    plan: xr.Dataset,
    rows: pd.DataFrame,
    mdp: SimulatedMDP,
    decimal: str = ".",
    *,
    coordinates: Sequence[str] = (),
    near: NearRows | None = None,
    policy: ActsByPlan | None = None,
    stages: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
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
    coordinates : sequence of str
        Their columns' names, where the plan knows them; other columns are then left alone.
    near : NearRows, optional
        Of the log that was planned from.
    policy : FittedPolicy, StagedPolicy or GainPolicy, optional
        What acts; by default that of the plan.
    stages : int array [row], optional
        Steps taken, of a plan by stage; -1 where it has no such stage.

    Returns
    -------
    DataFrame [row]
        ``status``, ``action``, ``margin`` (by how much Q holds the action better than the next) and ``why``; with
        `near` also ``near``, how many rows of the log were near, and ``tried``, how many of these took the action. Of a
        plan for the gain, which may do as today, at random, also ``probability``, that of ``action``, and
        ``probability of ACTION`` of each.
    """
    acts: ActsByPlan = policy or fitted_policy(plan, mdp)
    problem = mdp.problem
    size = problem.start.size
    if coordinates:
        rows = _columns(rows, coordinates)
    if rows.shape[1] != size:
        raise ValueError(
            f"the rows have {rows.shape[1]} columns, but the states of {mdp.name} have {size} coordinates: give one "
            "column for each, in order"
        )
    states = np.stack([numbers(rows.iloc[:, i], decimal)[0] for i in range(size)], -1)
    known = np.isfinite(states).all(-1)
    filled = np.where(known[:, None], states, problem.start)
    status = np.full(len(rows), "recommended", object)
    status[((filled < problem.low) | (filled > problem.high)).any(-1)] = "outside"
    if problem.terminal is not None:
        with jax.enable_x64(True):
            status[np.asarray(jax.jit(problem.terminal)(jnp.asarray(filled)))] = "terminal"
    taken_so_far = np.zeros(len(rows), np.int64) if stages is None else stages
    status[taken_so_far < 0] = "unknown stage"
    status[~known] = "not a number"
    share, margin = (
        _at_stages(told, taken_so_far, own)
        for told, own in ((acts.probabilities(filled), 2), (acts.margins(filled), 1))
    )
    chosen = share.argmax(-1)
    counts = None if near is None else near.counts(filled)
    if counts is not None:
        status[(status == "recommended") & (counts[np.arange(len(rows)), chosen] == 0)] = "untried"
    taken = status == "recommended"
    actions = label_array(mdp.actions)[chosen].astype(object)
    columns = {
        "status": status,
        "action": np.where(taken, actions, ""),
        "margin": np.where(taken, margin, np.nan),
        **(
            {}
            if counts is None
            else {
                "near": np.where(known, counts.sum(-1), 0),
                "tried": np.where(known, counts[np.arange(len(rows)), chosen], 0),
            }
        ),
        "why": [WHY[each] for each in status],
    }
    if isinstance(acts, GainPolicy):
        columns["probability"] = np.where(taken, share.max(-1), np.nan)
        for label, each in zip(mdp.actions, share.T, strict=True):
            columns[f"probability of {label}"] = np.where(taken, each, np.nan)
    return pd.DataFrame(columns, index=rows.index)


def _at_stages(told: NDArray[np.float64], stages: NDArray[np.int64], own: int) -> NDArray[np.float64]:
    """What is said [(stage,) row, ...] of each row at its stage, where there are stages."""
    return told if told.ndim == own else told[np.maximum(stages, 0), np.arange(len(stages))]


def _columns(rows: pd.DataFrame, coordinates: Sequence[str]) -> pd.DataFrame:
    """The columns of the coordinates, in their order."""
    names = list(map(str, rows.columns))
    for name in coordinates:
        if names.count(name) != 1:
            held = ", ".join(map(repr, names)) or "no column"
            trouble = f"more than one column {name!r}" if name in names else f"{held}, but need {name!r}"
            raise ValueError(f"the rows have {trouble}; the plan's states are {', '.join(map(repr, coordinates))}")
    return rows.iloc[:, [names.index(name) for name in coordinates]]
