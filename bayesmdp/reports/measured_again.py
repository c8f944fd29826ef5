"""A plan from a log of measurements, asked for again: the log that its file holds, and what was asked of it."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmdp.offline.measured_file import KeptMeasuredPlan
from bayesmdp.offline.measured_way import MeasuredWay, way_of_log

__all__ = ["PlannedAgain", "log_of_plan"]

LONG = 20_000
"""Rows of a log up to which plans are made again."""


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


class PlannedAgain:
    """What was asked of a plan, and the way to it, which is gone when it is asked for and kept.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    plan : KeptMeasuredPlan

    Attributes
    ----------
    why_not : str
        Why the plan cannot be made again; empty if it can.
    """

    def __init__(self, tree: xr.DataTree, plan: KeptMeasuredPlan) -> None:
        self._tree, self._plan, attrs = tree, plan, tree.attrs
        self._way: MeasuredWay | None = None
        self.why_not = ""
        if "rewards_name" not in attrs or "reward" not in tree["constant_data"]:
            self.why_not = "the plan's file does not contain everything that it was made from"
        elif not attrs["rewards_name"] or "a function" in (attrs["terminal"], attrs.get("baseline_name")):
            self.why_not = "the plan was made with functions that its file does not contain"
        elif tree["constant_data"].sizes["row"] > LONG:
            self.why_not = "the log is long, and each new plan would take as long as this one"

    @cached_property
    def log(self) -> xr.Dataset:
        """The log."""
        return log_of_plan(self._tree, self._plan)

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What was asked, as arguments of `way_of_log`, with ``risk``, ``aim`` and ``seed``."""
        attrs = self._tree.attrs
        return {
            "risk": str(attrs["risk"]).removesuffix(" of the gain"),
            "aim": attrs["aim"],
            "baseline": _baseline_of(self._tree),
            "discount": attrs.get("discount"),
            "horizon": attrs.get("horizon"),
            "prior": attrs["prior_name"],
            "settings": json.loads(attrs["prior_settings"]),
            "rewards": attrs["rewards_name"],
            "terminal": attrs["terminal"] or None,
            "initial": np.array(self._plan.space.starts[0]) if attrs["initial_told"] else None,
            "seed": int(attrs["seed"]),
        }

    def way(self) -> MeasuredWay:
        """The way from the log to the plan at hand."""
        if self._way is None:
            own = {name: value for name, value in self.asked.items() if name not in ("risk", "aim", "seed")}
            self._way = way_of_log(self.log, **own, say=lambda text: None)
        return self._way


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
