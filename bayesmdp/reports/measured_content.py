"""The content of a report on a plan from a log of measurements; the keys are those of tables, with other lists.

recommendation  as of tables
log             source, sha256, rows, episodes, terminated, truncated, actions, coordinates (a list: name, low, high,
changes: the share of the log's states in which the plan would do something else if this coordinate
were that of another row), trust, checks
stages          how many steps a plan by stage is for, or null; its list is of the first
policy          a list, the commonest first: state (a list of numbers), action (of a plan for the gain with its
probability, and departs: whether it is another than today), later (where a plan by stage changes its action), rows,
near, tried, today, margin, worth (quantile, lower, upper)
thin            unseen, few, places (a list, the least tried first: state, action, tried)
second_opinion, sensitivity  as of tables, of the states of `policy`
collect         draws, asked (pairs of such a state and an action), sure (those whose gain is more than two errors),
pairs (a list of these, the most first: state, action, tried, gain, error)
made            as of tables
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.offline.check_log import FEW
from bayesmdp.offline.measured_file import KeptMeasuredPlan
from bayesmdp.offline.report import Report
from bayesmdp.planning.fitted_policies import at_first
from bayesmdp.reports.content_parts import checks_of, made_of, recommendation_of, second_opinion_of
from bayesmdp.reports.measured_again import PlannedAgain
from bayesmdp.reports.measured_collect import measured_collect
from bayesmdp.reports.measured_sensitivity import measured_sensitivity
from bayesmdp.reports.measured_words import measured_headline, measured_log_told
from bayesmdp.reports.sentences import trust_told
from bayesmdp.reports.words import turns_told

__all__ = ["importance", "measured_content"]

ASKED = 1_000
"""Rows of the log at which the plan is asked what each coordinate changes, at most."""

SETTINGS = ("risk", "baseline", "aim", "discount", "horizon", "prior", "rewards", "draws")


def importance(plan: KeptMeasuredPlan, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ask what each coordinate changes: how often the (first) action is another one if it were that of another row.

    Parameters
    ----------
    plan : KeptMeasuredPlan
    states : array [row, coordinate]

    Returns
    -------
    array [coordinate]
    """
    rng, policy = np.random.default_rng(0), at_first(plan.policy)
    asked = states[np.linspace(0, len(states) - 1, min(len(states), ASKED)).round().astype(int)]
    chosen, changed = policy.probabilities(asked).argmax(-1), []
    for i in range(asked.shape[1]):
        other = asked.copy()
        other[:, i] = rng.permutation(asked[:, i])
        changed.append(float((policy.probabilities(other).argmax(-1) != chosen).mean()))
    return np.array(changed)


def measured_content(
    report: Report, plan: KeptMeasuredPlan, schema: dict[str, Any], *, command: str, date: str, sha256: str
) -> dict[str, Any]:
    """Everything that such a report tells; see the module.

    Parameters
    ----------
    report : Report
    plan : KeptMeasuredPlan
    schema : dict
    command, date, sha256 : str

    Returns
    -------
    dict
    """
    tree = report.tree
    attrs, log = tree.attrs, report.log
    places = _places(report.policy)
    again = PlannedAgain(tree, plan)
    few = sorted(places, key=lambda place: place["tried"])
    return {
        "schema": schema,
        "recommendation": recommendation_of(
            report,
            measured_headline(attrs, report.checked),
            np.unique(tree["constant_data"].to_dataset()["reward"].values),
        ),
        "log": _log(report, plan, sha256),
        "stages": attrs.get("horizon"),
        "policy": places,
        "thin": {
            "unseen": attrs["initial_unseen"],
            "few": FEW,
            "places": [{name: each[name] for name in ("state", "action", "tried")} for each in few],
        },
        "second_opinion": second_opinion_of(tree),
        "sensitivity": measured_sensitivity(tree, plan, again),
        "collect": measured_collect(tree, plan, again),
        "made": made_of(attrs, measured_log_told(log, attrs), SETTINGS, command=command, date=date),
    }


def _log(report: Report, plan: KeptMeasuredPlan, sha256: str) -> dict[str, Any]:
    tree, log = report.tree, report.log
    checks = checks_of(tree)
    states = tree["constant_data"].to_dataset()["state"].values
    changes = importance(plan, states)
    coordinates = [
        {"name": name, "low": low, "high": high, "changes": change}
        for name, low, high, change in zip(
            plan.space.coordinates, states.min(0).tolist(), states.max(0).tolist(), changes.tolist(), strict=True
        )
    ]
    return {
        "source": tree.attrs["source"],
        "sha256": sha256 or None,
        "rows": {"read": log["rows"] + log["dropped"], "used": log["rows"], "left_out": log["dropped"]},
        **{name: log[name] for name in ("episodes", "terminated", "truncated", "actions")},
        "coordinates": coordinates,
        "trust": trust_told(checks),
        "checks": checks,
    }


def _places(policy: xr.Dataset) -> list[dict[str, Any]]:
    """What is done in the states that stand for all, at the first stage."""
    entries, actions, stages = [], policy["action"].values, "stage" in policy.dims
    policy = policy.isel(stage=0, drop=True) if stages else policy
    for place in range(policy.sizes["place"]):
        row = policy.isel(place=place)
        names = [
            name
            for name in ("action", "probability", "departs", "rows", "near", "tried", "today", "margin")
            if name in row
        ]
        entries.append(
            {
                "state": row["state"].values.tolist(),
                **{name: row[name].item() for name in names},
                "later": turns_told(actions[:, place]) if stages else "",
                "worth": {end: row[f"worth_{end}"].item() for end in ("quantile", "lower", "upper")},
            }
        )
    return entries
