"""What would change of a plan from measurements had something else been asked: discount, horizon, level, prior, draws.

Each of them is planned for again from the log that the plan's file holds, without the check of its promise, and set
beside the plan at hand as for tables (:mod:`bayesmdp.reports.sensitivity`): in how many of the states that stand for
all another action is taken (at the first stage), and what its own policy is worth. Plans from one log share their
compiled programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.offline.measured_file import KeptMeasuredPlan
from bayesmdp.offline.measured_way import fit_measured, way_of_log
from bayesmdp.planning.fitted_policies import at_first
from bayesmdp.planning.quantile_interval import left_quantile
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.reports.measured_again import PlannedAgain
from bayesmdp.reports.numbers import short
from bayesmdp.reports.words import steps_told

__all__ = ["measured_sensitivity"]

NAMED = 5
"""States with another action that are named."""


def measured_sensitivity(tree: xr.DataTree, plan: KeptMeasuredPlan, again: PlannedAgain) -> dict[str, Any]:
    """Plan again with another discount or horizon, level and prior, and with other draws.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    plan : KeptMeasuredPlan
    again : PlannedAgain

    Returns
    -------
    dict
        ``states`` (how many stand for all), ``skipped`` and ``changes``, as of tables; or ``why_not``.
    """
    attrs = tree.attrs
    if again.why_not:
        return {"why_not": again.why_not}
    policy = tree["policy"].to_dataset()
    places, weight = policy["state"].values, policy["rows"].values
    chosen = at_first(plan.policy).probabilities(places).argmax(-1)
    level, at_start = float(attrs["level"]), tree["at_start"].to_dataset()
    values, gains = at_start["value"].values, None
    if "today" in at_start:
        gains = values - at_start["today"].values
    as_planned = {"what": "as planned", "value": "", **_worth(values, gains, level)}
    changes = [as_planned | _changed(places, weight, np.zeros(len(places), bool))]
    skipped = "" if attrs["prior_name"] == "auto" else "other priors, because this one was chosen by name"
    for what, value, changed in _others(again.asked, attrs):
        own = again.asked | changed
        risk, seed, aim = risk_from_text(own.pop("risk")), own.pop("seed"), own.pop("aim")
        # The way to another level, or with other draws, is that of the plan at hand.
        same = changed.keys() <= {"risk", "seed"}
        way = again.way() if same else way_of_log(again.log, **own, say=lambda text: None)
        gone = fit_measured(way, risk, int(attrs["draws"]), seed, aim=aim)
        other = at_first(gone.fitted.policy).probabilities(places).argmax(-1) != chosen
        changes.append(
            {
                "what": what,
                "value": value,
                **_worth(gone.values, gone.gains, level, comparable=what not in ("discount", "horizon")),
                **_changed(places, weight, other, plan.space.coordinates),
            }
        )
    return {"states": len(places), "skipped": skipped, "changes": changes}


def _others(asked: Mapping[str, Any], attrs: Mapping[Any, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What else is asked: its name, the value that it has, and the arguments that say so."""
    if asked["prior"] == "auto":
        other = "fourier_dynamics" if str(attrs["prior"]).startswith("linear") else "linear_dynamics"
        yield "prior", other, {"prior": other}
    if (horizon := asked["horizon"]) is not None:
        for steps in sorted({max(1, horizon // 2), 2 * horizon} - {horizon}):
            yield "horizon", steps_told(steps), {"horizon": steps}
    for factor in (2.0, 0.5) if horizon is None else ():
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
