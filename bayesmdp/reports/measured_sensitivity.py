"""What would change of a plan from measurements had something else been asked: discount, level, prior, other draws.

Each of them is planned for again from the log that the plan's file holds, without the check of its promise, and set
beside the plan at hand as for tables (:mod:`bayesmdp.reports.sensitivity`): in how many of the states that stand for
all another action is taken, and what its own policy is worth. Plans from one log share their compiled programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.offline.measured_file import KeptMeasuredPlan
from bayesmdp.offline.measured_way import MeasuredWay, fit_measured, way_of_log
from bayesmdp.planning import fitted_policy
from bayesmdp.planning.posterior_value import left_quantile
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.reports.numbers import short

__all__ = ["log_of_plan", "measured_sensitivity"]

LONG = 20_000
"""Rows of a log up to which plans are made again."""

NAMED = 5
"""States with another action that are named."""


def log_of_plan(tree: xr.DataTree, plan: KeptMeasuredPlan) -> xr.Dataset:
    """Return the log that a plan was made from, as its file holds it.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    plan : KeptMeasuredPlan

    Returns
    -------
    Dataset over ``step``
    """
    rows = tree["constant_data"].to_dataset().load()
    axes = ("step", "coordinate")
    actions = list(plan.space.actions)
    columns: dict[str, Any] = {
        "state": (axes, rows["state"].values),
        "next_state": (axes, rows["next_state"].values),
        "action": ("step", np.array(actions)[rows["action"].values]),
        "reward": ("step", rows["reward"].values),
        **{name: ("step", rows[name].values.astype(bool)) for name in ("terminated", "truncated")},
    }
    return xr.Dataset(columns, {"coordinate": list(plan.space.coordinates)}, {"actions": actions})


def measured_sensitivity(tree: xr.DataTree, plan: KeptMeasuredPlan) -> dict[str, Any]:
    """Plan again with another discount, level and prior, and with other draws.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    plan : KeptMeasuredPlan

    Returns
    -------
    dict
        ``states`` (how many stand for all), ``skipped`` and ``changes``, as of tables; or ``why_not``.
    """
    attrs = tree.attrs
    if "rewards_name" not in attrs or "reward" not in tree["constant_data"]:
        return {"why_not": "the file of the plan does not hold all that it was made of"}
    if not attrs["rewards_name"] or "a function" in (attrs["terminal"], attrs.get("baseline_name")):
        return {"why_not": "the plan was made with functions that its file does not hold"}
    if tree["constant_data"].sizes["row"] > LONG:
        return {"why_not": "the log is long, and each plan would take as long as this one"}
    log, policy = log_of_plan(tree, plan), tree["policy"].to_dataset()
    places, weight = policy["state"].values, policy["rows"].values
    chosen = fitted_policy(plan.plan, plan.mdp).q(places).argmax(-1)
    asked = {
        "risk": attrs["risk"],
        "baseline": _baseline_of(tree),
        "discount": float(attrs["discount"]),
        "prior": attrs["prior_name"],
        "settings": json.loads(attrs["prior_settings"]),
        "rewards": attrs["rewards_name"],
        "terminal": attrs["terminal"] or None,
        "initial": np.array(plan.space.starts[0]) if attrs["initial_told"] else None,
        "seed": int(attrs["seed"]),
    }
    level, at_start = float(attrs["level"]), tree["at_start"].to_dataset()
    values, gains = at_start["value"].values, None
    if "today" in at_start:
        gains = values - at_start["today"].values
    as_planned = {"what": "as planned", "value": "", **_worth(values, gains, level)}
    changes = [as_planned | _changed(places, weight, np.zeros(len(places), bool))]
    skipped = "" if attrs["prior_name"] == "auto" else "other priors, for this one was named"
    same: MeasuredWay | None = None  # the way to another level, or with other draws, is that of the plan at hand
    for what, value, changed in _others(asked, attrs):
        own = asked | changed
        risk, seed = risk_from_text(own.pop("risk")), own.pop("seed")
        if changed.keys() <= {"risk", "seed"}:
            way = same = same or way_of_log(log, **own, say=lambda text: None)
        else:
            way = way_of_log(log, **own, say=lambda text: None)
        gone = fit_measured(way, risk, int(attrs["draws"]), seed)
        other = gone.fitted.policy.q(places).argmax(-1) != chosen
        changes.append(
            {
                "what": what,
                "value": value,
                **_worth(gone.values, gone.gains, level, comparable=what != "discount"),
                **_changed(places, weight, other, plan.space.coordinates),
            }
        )
    return {"states": len(places), "skipped": skipped, "changes": changes}


def _baseline_of(tree: xr.DataTree) -> Any:
    """What was said to be done today, as `plan_log` takes it."""
    name = tree.attrs.get("baseline_name", "uniform" if tree.attrs["baseline"] == "as said" else tree.attrs["baseline"])
    if name != "a table":
        return name
    said = tree["baseline"].to_dataset()
    place, action = np.nonzero(said["probability"].values)
    columns = dict(zip(said["coordinate"].values.tolist(), said["state"].values[place].T, strict=True))
    told = {"action": said["action"].values[action], "probability": said["probability"].values[place, action]}
    return pd.DataFrame(columns | told)


def _others(asked: Mapping[str, Any], attrs: Mapping[Any, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What else is asked: its name, the value that it has, and the arguments that say so."""
    if asked["prior"] == "auto":
        other = "fourier_dynamics" if str(attrs["prior"]).startswith("linear") else "linear_dynamics"
        yield "prior", other, {"prior": other}
    for factor in (2.0, 0.5):
        discount = 1 - factor * (1 - asked["discount"])
        if 0 < discount < 1:
            yield "discount", f"{discount:g}", {"discount": discount}
    kind, colon, level = str(asked["risk"]).partition(":")
    if colon:
        for factor, how in ((0.5, "more careful"), (2.0, "less careful")):
            if factor * float(level) < 1:
                risk = f"{kind}:{factor * float(level):g}"
                yield "level", f"{risk}, {how}", {"risk": risk}
    yield "draws", "another seed", {"seed": asked["seed"] + 1_000}


def _worth(
    values: NDArray[np.float64], gains: NDArray[np.float64] | None, level: float, *, comparable: bool = True
) -> dict[str, Any]:
    """What is promised of a plan, and of its gain over today, unchecked."""
    return {
        "bound": float(left_quantile(values, level)),
        "gain_bound": None if gains is None else float(left_quantile(gains, level)),
        "comparable": comparable,
    }


def _changed(
    places: NDArray[np.float64], weight: NDArray[np.int64], other: NDArray[np.bool_], names: Sequence[str] = ()
) -> dict[str, Any]:
    """In which of the states another action is taken, and how many rows of the log they stand for."""
    named = [
        ", ".join(f"{name} {short(float(each))}" for name, each in zip(names, place, strict=True))
        for place in places[other][:NAMED]
    ]
    share = float(weight[other].sum() / weight.sum())
    return {"changed": int(other.sum()), "states": named, "changed_share": share}
