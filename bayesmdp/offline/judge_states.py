"""Are the states too fine, or too coarse? What a log says of the states that a recoding made of measurements.

Two levels of a measurement, such as ``age 40 to <65`` and ``65 to 80``, may be *merged* if it makes no difference to
what follows which of them it was. Call f the map from states to what they become when the two levels are one. The steps
that begin at either level are explained in two ways, both of the same data, f(next state) and the reward:

    apart    a row of probabilities for each state and action
    merged   a row for each f(state) and action

with Dirichlet rows as in :mod:`bayesmdp.offline.dependence`. Since the next states are merged on both sides, an age
that stays as it is does not speak against a merger by itself. The *log odds* are the log evidence of merged less that
of apart. A level may be *split* where what follows depends on whether a measurement was above the median of its level:
the log odds are those of such a dependence, and need the measurements. Beyond 3 either way (20 to 1) the log has an
opinion. Both formulas are ours, and are about one change at a time: where steps are spread over many states, mergers
are favoured that would not be among fewer, so take the surest change, and ask again.

That more has to be told apart than the recoding does shows in the check of *order* too
(:func:`bayesmdp.check_log`): where the step before tells of the next, the states leave something out.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.logs.category_parts import Categories
from bayesmdp.logs.log import counts_of, label_indices, label_set, refuse_counted, size_of
from bayesmdp.logs.measured_states import Recoding
from bayesmdp.logs.measurements import numbers
from bayesmdp.offline.dependence import Grouped
from bayesmdp.posterior.dirichlet_evidence import FAR

__all__ = ["judge_states"]

REWARDS = 12
"""Distinct rewards, above which they are told apart by fifths."""

MOST_STEPS = 10_000_000
"""Steps of a counted log, at most, which are gone through one by one."""

MOST = 100
"""Changes asked about, at most: those with most steps."""


def judge_states(
    log: xr.Dataset,
    frame: pd.DataFrame | None = None,
    *,
    recoding: Recoding | None = None,
    few: int = 10,
    checked: xr.Dataset | None = None,
    decimal: str = ".",
) -> xr.Dataset:
    """Say how many states a recoding made, which are rarely seen, and whether to merge or split levels.

    Parameters
    ----------
    log : Dataset over ``step``
        As ``read_log(..., state=...)`` returns it; counted ones of up to 10 million steps too, without a frame.
    frame : DataFrame, optional
        The measurements, one row a step of the log; without them no splits are asked about.
    recoding : Recoding, optional
        Where the log does not hold it.
    few : int
        A state acted in less often is rare.
    checked : Dataset, optional
        What `check_log` said of the log.
    decimal : {".", ","}
        The sign in measurements that are written as text.

    Returns
    -------
    Dataset over ``state`` and ``change``
        By state ``visits`` (steps that begin there), ``entered``, ``actions`` (how many were tried) and ``rare``. By
        change ``kind`` (merge or split), ``first`` and ``second`` (levels, or a level and the median that parts it),
        ``steps`` (that speak to it), ``log_odds`` in its favour, and ``verdict``: favoured, against, or open; by
        falling log odds. Attrs: ``few``, ``measured`` (number of states that are made of measurements), ``asked`` and
        ``left_out`` (numbers of changes), ``markov`` and ``markov_alarm``, what the check of order found, and ``told``,
        if anything in the recoding became other than was asked for.

    Raises
    ------
    ValueError
        If the log's states are not of a recoding, or the measurements are not those of the log.

    See Also
    --------
    bayesmdp.states : declares them.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> visits = bm.environments.clinic_visits(200, seed=0)
    >>> spec = ["age:bins(18,40,65,90)", "lactate:cutoffs(2,4)"]
    >>> columns = {"action": "treatment", "reward": "well"}
    >>> log = bm.read_log(visits, columns=columns, state=spec, end_column="ended")
    >>> judged = judge_states(log)
    >>> int(judged["rare"].sum()), [str(judged[name].values[0]) for name in ("first", "second", "verdict")]
    (0, ['age 18 to <40', 'age 40 to <65', 'favoured'])
    """
    few = integer("few", few, 1)
    if "count" in log:
        if frame is not None or size_of(log) > MOST_STEPS:
            refuse_counted(log, "what states are judged by here")
        log = log.isel(step=np.repeat(np.arange(log.sizes["step"]), counts_of(log).astype(np.int64)))
    recoding = _recoding_of(log, recoding)
    states = [str(state) for state in label_set(log, "states")]
    state, next_state = (label_indices(log, name, label_set(log, "states")) for name in ("state", "next_state"))
    actions = label_set(log, "actions")
    action = label_indices(log, "action", actions)
    tries = np.zeros((len(states), len(actions)), np.int64)
    np.add.at(tries, (state, action), 1)
    levels = np.full((len(states), len(recoding.parts)), -1, np.int64)
    place = {label: index for index, label in enumerate(states)}
    for label, cell in zip(recoding.states, recoding.cells, strict=True):
        levels[place[label]] = cell
    steps = _Steps(state, action, next_state, _coded(np.asarray(log["reward"].values, float)), levels)
    changes = _mergers(steps, recoding)
    if frame is not None:
        changes += _splits(steps, recoding, frame, np.array(states, object)[state], decimal)
    asked = sorted(changes, key=lambda change: -change["steps"])[:MOST]
    for change in asked:
        change["log_odds"] = change.pop("odds")()
    asked.sort(key=lambda change: -change["log_odds"])
    odds = np.array([change["log_odds"] for change in asked], float)
    verdict = np.where(odds > FAR, "favoured", np.where(odds < -FAR, "against", "open"))
    texts = {name: ("change", np.array([c[name] for c in asked], str)) for name in ("kind", "first", "second")}
    visits, acted = tries.sum(-1), levels[:, 0] >= 0
    order = "" if checked is None else str(checked["found"].sel(check="order").values)
    alarm = checked is not None and bool(checked["alarm"].sel(check="order"))
    return xr.Dataset(
        {
            "visits": ("state", visits),
            "entered": ("state", np.bincount(next_state, minlength=len(states))),
            "actions": ("state", (tries > 0).sum(-1)),
            "rare": ("state", acted & (visits < few)),
            **texts,
            "steps": ("change", np.array([change["steps"] for change in asked], np.int64)),
            "log_odds": ("change", odds),
            "verdict": ("change", verdict.astype(str)),
        },
        coords={"state": states},
        attrs={
            "few": few,
            "measured": int(acted.sum()),
            "asked": len(asked),
            "left_out": len(changes) - len(asked),
            "markov": order,
            "markov_alarm": int(alarm),
            **({"told": "; ".join(recoding.told)} if recoding.told else {}),
        },
    )


class _Steps:
    """The steps of a log, by indices, with the levels [state, part] of each state; -1 where an episode ended."""

    def __init__(
        self,
        state: NDArray[np.int64],
        action: NDArray[np.int64],
        next_state: NDArray[np.int64],
        reward: NDArray[np.int64],
        levels: NDArray[np.int64],
    ) -> None:
        self.state, self.action, self.next_state, self.reward, self.levels = state, action, next_state, reward, levels

    def log_odds(self, rows: NDArray[np.int64], context: NDArray[np.int64], merged: NDArray[np.int64]) -> float:
        """Log odds that what follows some rows depends on their context [of `rows`], states merged by a map [state]."""
        group = merged[self.state[rows]] * (int(self.action.max()) + 1) + self.action[rows]
        outcome = merged[self.next_state[rows]] * (int(self.reward.max()) + 1) + self.reward[rows]
        grouped = Grouped(group, outcome)
        return grouped.log_bayes_factor(context[grouped.rows])


def _recoding_of(log: xr.Dataset, recoding: Recoding | None) -> Recoding:
    if recoding is None and "recoding" not in log.attrs:
        raise ValueError(
            "the log does not contain how its states were made from measurements; read it with read_log(..., "
            "state=...), or pass recoding="
        )
    known = Recoding.from_json(log.attrs["recoding"]) if recoding is None else recoding
    states = set(map(str, label_set(log, "states")))
    unknown = [label for label in known.states if label not in states]
    if unknown or not known.cells:
        raise ValueError(f"the recoding is not that of the log, which has no state {(unknown or [''])[0]!r}")
    return known


def _coded(reward: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rewards as kinds [step]: each by itself if they are few, else by fifths."""
    values, code = np.unique(reward, return_inverse=True)
    if len(values) <= REWARDS:
        return np.asarray(code)
    return np.searchsorted(np.quantile(reward, [0.2, 0.4, 0.6, 0.8]), reward)


def _mergers(steps: _Steps, recoding: Recoding) -> list[dict[str, Any]]:
    """Mergers of two levels of a part: neighbouring ones, and any without an order, as that of missing values."""
    changes = []
    for number, part in enumerate(recoding.parts):
        used = np.unique(steps.levels[steps.state, number]).tolist()
        absent = len(part.labels) - 1 if getattr(part, "missing", False) else len(part.labels)
        beside = set(pairwise([level for level in used if level < absent]))
        for first, second in combinations(used, 2):
            if part.ordered and second < absent and (first, second) not in beside:
                continue
            merged = _merged(steps.levels, number, first, second)
            own = steps.levels[steps.state, number]
            rows = np.flatnonzero((own == first) | (own == second))
            changes.append(
                {
                    "kind": "merge",
                    "first": part.labels[first],
                    "second": part.labels[second],
                    "steps": len(rows),
                    "odds": lambda rows=rows, own=own, second=second, merged=merged: (
                        -steps.log_odds(rows, (own[rows] == second).astype(np.int64), merged)
                    ),
                }
            )
    return changes


def _merged(levels: NDArray[np.int64], part: int, first: int, second: int) -> NDArray[np.int64]:
    """What each state becomes [state] when two levels of a part are one."""
    same = levels.copy()
    same[same[:, part] == second, part] = first
    measured = levels[:, 0] >= 0
    _, place = np.unique(same[measured], axis=0, return_inverse=True)
    merged = np.arange(len(levels)) + len(levels)  # ends stay what they are
    merged[measured] = place.reshape(-1)
    return merged


def _splits(
    steps: _Steps, recoding: Recoding, frame: pd.DataFrame, states: NDArray[np.object_], decimal: str
) -> list[dict[str, Any]]:
    """Splits of a level at the median of a measurement in it."""
    if len(frame) != len(steps.state) or (recoding.read(frame, decimal=decimal).labels != states).any():
        raise ValueError(
            f"the {len(frame):,} rows of measurements do not match the {len(steps.state):,} steps of the log; give the "
            "table that it was read from"
        )
    changes = []
    itself = np.arange(len(steps.levels))
    for number, part in enumerate(recoding.parts):
        own = steps.levels[steps.state, number]
        for column in [] if isinstance(part, Categories) else part.columns:
            values, _ = numbers(frame[column], decimal)
            for level in np.unique(own).tolist():
                rows = np.flatnonzero((own == level) & ~np.isnan(values))
                if not len(rows):
                    continue
                median = float(np.median(values[rows]))
                above = (values[rows] > median).astype(np.int64)
                if above.any() and not above.all():
                    changes.append(
                        {
                            "kind": "split",
                            "first": part.labels[level],
                            "second": f"{column} above {median:.4g}",
                            "steps": len(rows),
                            "odds": lambda rows=rows, above=above: steps.log_odds(rows, above, itself),
                        }
                    )
    return changes
