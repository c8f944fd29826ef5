"""What a plan does with new rows: the action for each, with what stands behind it.

A row is in a state if its measurements say so, by the recoding that the plan was made with
(:mod:`bayesmdp.logs.measured_states`), or its column ``state``. Where the log never was, nothing is recommended, and it
is said why. No row is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.logs.measured_states import Recoding
from bayesmdp.logs.measurements import category, numbers
from bayesmdp.offline.measured_file import is_measured_plan, read_measured_plan
from bayesmdp.offline.plan_file import opened_plan
from bayesmdp.offline.recommend_states import recommend_states
from bayesmdp.offline.report import Report
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["STATUS", "recommend"]

STATUS = {
    "recommended": "the action was tried in this state",
    "unknown state": "the state does not occur in the log",
    "never acted in": "the log reaches this state but shows no action in it",
    "untried": "the plan's action was never tried in this state",
    "terminal": "the episode is over",
    "unknown stage": "the plan has no such stage",
}
"""What a row's status means."""

SHOWN = ("visits", "tried", "promise", "worth_quantile", "worth_lower", "worth_upper")


class _Plan(NamedTuple):
    """What is needed of a plan.

    Attributes
    ----------
    policy : Dataset over ``state``, or ``stage`` and ``state``
    probability : DataArray [state, action], or None
        Of a policy that mixes actions.
    recoding : Recoding or None
    """

    policy: xr.Dataset
    probability: xr.DataArray | None
    recoding: Recoding | None


def recommend(
    result: str | Path | xr.DataTree | Report | xr.Dataset,
    rows: pd.DataFrame,
    *,
    stage: int | None = None,
    recoding: Recoding | None = None,
    decimal: str = ".",
    mdp: SimulatedMDP | None = None,
) -> pd.DataFrame:
    """Find what a plan does in new rows, and how well the log knows it.

    Parameters
    ----------
    result : path, DataTree or Report
        The netCDF file that ``bayesmdp plan`` writes, that file opened, or what `plan_log` returns. Or the Dataset that
        `plan` returns of a simulated problem, whose states are numbers.
    rows : DataFrame
        With the measurements that the plan's states are made of, or a column ``state``. Where both are there, the
        measurements count. For a simulated problem a column for each coordinate, in their order.
    stage : int, optional
        Steps taken, for a plan by stage; by default a column ``stage`` says it row by row.
    recoding : Recoding, optional
        How the plan's states were made, where the plan does not hold it: of states by an estimator.
    decimal : {".", ","}
        The sign in numbers that are written as text.
    mdp : SimulatedMDP, optional
        The problem of a plan whose states are numbers.

    Returns
    -------
    DataFrame [row]
        With the index of `rows`: ``status`` (see `STATUS`), ``state`` (its label; empty if there is none), ``action``
        (empty if none is recommended), ``visits`` (how often the log acted in the state), ``tried`` (how often it took
        this action there), ``promise`` (the plan's criterion at the state), ``worth_quantile``, ``worth_lower`` and
        ``worth_upper`` (of the policy's value there, as in `Report.policy`), ``why`` (where nothing is recommended).
        For plans that mix actions also ``probability``, that of ``action``, and ``probability of ACTION`` of each.
        Attrs: ``level``, that of ``worth_quantile``. Where states are numbers ``status``, ``action``, ``margin`` (by
        how much Q holds the action better than the next) and ``why``; nothing is recommended outside of the box that
        the plan was fitted in. Of a plan from a log of measurements also ``near`` and ``tried``: rows of the log near
        (:mod:`bayesmdp.offline.near_rows`), and those of them that took the action; without one it is "untried".

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        If `result` is no plan, the rows have neither the measurements nor a state, or a plan by stage is asked without
        one.

    See Also
    --------
    bayesmdp.plan_log : makes the plan.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(3), policy="uniform", steps=500, seed=0)
    >>> report = bm.plan_log(log, discount=0.95, draws=50, calibration=0)
    >>> told = recommend(report, pd.DataFrame({"state": [2, 7]}))
    >>> told[["status", "action"]].values.tolist()
    [['recommended', 'right'], ['unknown state', '']]
    """
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"rows must be a DataFrame; got {type(rows).__name__}")
    if isinstance(result, xr.Dataset):
        if mdp is None:
            raise ValueError("a plan whose states are numbers does not contain their features: pass mdp, its problem")
        stages = _stages(result, rows, stage)
        coordinates = rows.drop(columns="stage") if "stage" in result.sizes and "stage" in rows else rows
        return recommend_states(result, coordinates, mdp, decimal, stages=stages)
    with opened_plan(result) as (tree, name):
        if is_measured_plan(tree):
            if recoding is not None:
                raise ValueError("recoding is for plans with labelled states; for measurements leave it out")
            kept = read_measured_plan(tree)
            named: dict[str, Any] = {"coordinates": kept.space.coordinates, "near": kept.near, "policy": kept.policy}
            named["stages"] = _stages(kept.plan, rows, stage)
            return recommend_states(kept.plan, rows, kept.mdp, decimal, **named)
        plan = _read_plan(tree, name)
    labels, why = _states_of(rows, recoding or plan.recoding, decimal)
    states = plan.policy["state"].values.tolist()
    place = _places(labels, states)
    # As the plan has it, where 3.0 was given for 3.
    labels = np.where(place >= 0, np.array([*map(str, states), ""], object)[place], labels)
    stages = _stages(plan.policy, rows, stage)
    known = (place >= 0) & (stages >= 0)

    def at(name: str, empty: Any) -> NDArray[Any]:
        """A column of the policy, row by row."""
        values = plan.policy[name].values
        index = (np.maximum(stages, 0), np.maximum(place, 0))
        return np.where(known, values[index[-values.ndim :]], empty)

    # What is said of each row; the later of two reasons holds.
    action, visits = at("action", "").astype(object), at("visits", 0)
    status = np.full(len(rows), "recommended", object)
    status[action == ""] = "untried"
    status[visits == 0] = "never acted in"
    status[at("terminal", False)] = "terminal"
    status[stages < 0] = "unknown stage"
    status[place < 0] = "unknown state"
    taken = status == "recommended"
    columns: dict[str, Any] = {"status": status, "state": labels, "action": action}
    if plan.probability is not None:
        columns["probability"] = np.where(taken, at("probability", np.nan), np.nan)
    columns |= {name: at(name, 0 if name in ("visits", "tried") else np.nan) for name in SHOWN}
    if plan.probability is not None:
        for label, shares in zip(plan.probability["action"].values, plan.probability.values.T, strict=True):
            columns[f"probability of {label}"] = np.where(taken, shares[np.maximum(place, 0)], np.nan)
    columns["why"] = [why.get(row, "" if given == "recommended" else STATUS[given]) for row, given in enumerate(status)]
    told = pd.DataFrame(columns, index=rows.index)
    told.attrs["level"] = float(plan.policy.attrs["level"])
    return told


def _read_plan(tree: xr.DataTree, name: str) -> _Plan:
    """What is needed of a plan, in memory."""
    policy = tree["policy"].to_dataset().load()
    mixed = tree["plan"].to_dataset().get("probability") if "mixes" in policy else None
    told = tree.attrs.get("recoding")
    try:
        recoding = None if told is None else Recoding.from_json(str(told))
    except ValueError as error:
        raise ValueError(f"{name} does not contain how its states are made from measurements: {error}") from error
    return _Plan(policy, None if mixed is None else mixed.load(), recoding)


def _states_of(
    rows: pd.DataFrame, recoding: Recoding | None, decimal: str
) -> tuple[NDArray[np.object_], dict[int, str]]:
    """The state of each row as it is written, and why it has none, where it has none."""
    names = set(map(str, rows.columns))
    if recoding is not None and names.issuperset(recoding.columns):
        read = recoding.read(rows, decimal=decimal)
        return read.labels, {row: complaint for row, (complaint, _) in read.why.items()}
    if "state" not in names:
        needed = "a column 'state'"
        if recoding is not None:
            missing = [column for column in recoding.columns if column not in names]
            needed = (
                f"{', '.join(map(repr, recoding.columns))}, or {needed}; {', '.join(map(repr, missing))} is missing"
            )
        else:
            needed += "; if its states are made from measurements, pass recoding=, which the plan does not contain"
        raise ValueError(f"the rows have {', '.join(sorted(map(repr, names))) or 'no column'}, but need {needed}")
    # Text as it stands, for 007 and 1.50 may be names.
    labels = np.array(
        [
            value if isinstance(value, str) and category(value) else category(value) or ""
            for value in _only(rows, "state")
        ],
        object,
    )
    return labels, {row: "state is missing" for row in np.flatnonzero(labels == "").tolist()}


def _only(rows: pd.DataFrame, name: str) -> pd.Series:
    """The one column of a name."""
    named = [place for place, column in enumerate(map(str, rows.columns)) if column == name]
    if len(named) > 1:
        raise ValueError(f"the rows have more than one column {name!r}; rename all but one")
    return rows.iloc[:, named[0]]


def _places(labels: NDArray[np.object_], states: list[Any]) -> NDArray[np.int64]:
    """The position [row] of each label among the states, as `read_log` would have read it; -1 where it is none."""
    position = {str(state): place for place, state in enumerate(states)}
    codes, distinct = pd.factorize(labels)
    # Frames keep the blanks about a label, files do not; whole numbers that went through floats are written 3.0.
    spelled = [(label, label.strip(), category(label) or "") for label in distinct.tolist()]
    found = [next((position[name] for name in names if name in position), -1) for names in spelled]
    return np.array(found, np.int64)[codes] if len(labels) else np.zeros(0, np.int64)


def _stages(plan: xr.Dataset, rows: pd.DataFrame, stage: int | None) -> NDArray[np.int64]:
    """The stage [row] to read; 0 in plans without, -1 where there is no such stage."""
    horizon = plan.sizes.get("stage")
    if horizon is None:
        if stage is not None:
            raise ValueError(f"the plan is the same at each step; leave stage out (got {stage})")
        return np.zeros(len(rows), np.int64)
    if stage is not None:
        if not 0 <= integer("stage", stage, -1) < horizon:
            raise ValueError(f"the plan has stages 0 to {horizon - 1} (steps taken so far); got {stage}")
        return np.full(len(rows), stage, np.int64)
    if "stage" not in rows:
        raise ValueError(
            f"the plan is by stage: give the number of steps taken so far, as stage=0 to {horizon - 1} or in a column "
            "'stage'"
        )
    taken, _ = numbers(_only(rows, "stage"))
    fits = (taken >= 0) & (taken < horizon) & (taken == np.floor(taken))
    return np.where(fits, taken, -1).astype(np.int64)
