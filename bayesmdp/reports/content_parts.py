"""Parts of a report's content that are the same for plans over states and over numbers."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.offline.report import Report
from bayesmdp.reports.advice import advice_of
from bayesmdp.reports.opinions import opinions_told
from bayesmdp.reports.sentences import counted_told

__all__ = ["checks_of", "made_of", "recommendation_of", "second_opinion_of"]


def recommendation_of(report: Report, words: Mapping[str, str], paid: Collection[float] = ()) -> dict[str, Any]:
    """Return what is recommended and how sure that is.

    Parameters
    ----------
    report : Report
    words : mapping of name to str
        As the terminal has them.
    paid : collection of float
        As for `advice_of`.
    """
    attrs = report.tree.attrs
    advice = advice_of(report.tree, paid)
    told: dict[str, Any] = {
        "status": advice.status,
        "sentence": advice.sentence,
        "cautions": advice.cautions,
        "counted": counted_told(attrs),
        "unit": attrs.get("unit"),
        "level": attrs.get("level", report.policy.attrs["level"]),
        "bound": report.bound,
        "gain_bound": report.gain,
        "words": dict(words),
    }
    if advice.status == "no start":
        return told | {"why_not": "the log does not show where episodes start"}
    told["check"] = report.checked
    value = report.tree["at_start"]["value"].mean() if "at_start" in report.tree.children else np.nan
    told["value"] = {"mean": value} | {end: attrs[f"initial_worth_{end}"] for end in ("lower", "upper")}
    if "initial_gain" in attrs:
        for name in ("today", "gain"):
            ends = {end: attrs[f"initial_{name}_{end}"] for end in ("lower", "upper")}
            told[name] = {"mean": attrs[f"initial_{name}"]} | ends
        told["better"] = {"by_draws": attrs["initial_better"], "by_check": attrs.get("initial_better_checked")}
    return told


def checks_of(tree: xr.DataTree) -> list[dict[str, Any]]:
    """Return the checks of the log, one after the other; none where it was not asked.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    """
    if "log_checks" not in tree.children:
        return []
    asked = tree["log_checks"].to_dataset()
    names = ("check", "found", "statistic", "p_value", "p_adjusted", "alarm", "meaning", "remedy")
    return [{name: asked[name].values[i].item() for name in names} for i in range(asked.sizes["check"])]


def made_of(
    attrs: Mapping[Any, Any], words: Mapping[str, str], settings: Sequence[str], *, command: str, date: str
) -> dict[str, Any]:
    """Return how the plan was made.

    Parameters
    ----------
    attrs : mapping
        Of the tree of a `Report`.
    words : mapping of name to str
        As the terminal has them.
    settings : sequence of str
        Attrs that are told by name, where they are there.
    command, date : str
    """
    return {
        "date": date or None,
        "command": command or None,
        "seed": attrs["seed"],
        "versions": json.loads(attrs["versions"]),
        "settings": {name: attrs[name] for name in settings if name in attrs},
        "words": dict(words),
    }


def second_opinion_of(tree: xr.DataTree) -> dict[str, Any]:
    """Return what estimators without a prior say of the plan, or why there are none.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    """
    words = {
        name: text
        for name, text in opinions_told(tree).items()
        if not name.startswith(("alarm", "the log", "the rest", "no answer"))
    }
    if "second_opinion" not in tree.children:
        if "log_checks" not in tree.children:
            return {"why_not": "the log is so long that it would take too much time"}
        by_stage = "the plan may change from step to step, and the estimators take one that stays the same"
        return {"why_not": by_stage if "horizon" in tree.attrs else "the log does not show where episodes start"}
    asked = tree["second_opinion"].to_dataset()
    names = ("estimator", "value", "lower", "upper", "tells", "why", "disagrees")
    estimates = [{name: asked[name].values[i].item() for name in names} for i in range(asked.sizes["estimator"])]
    return {"words": words, "estimates": estimates}
