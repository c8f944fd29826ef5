"""The content of a report, as plain numbers, lists and words: what the page shows, and what the JSON file holds.

Keys, in the order of the page. Where something is not told, its part has ``why_not`` in its place.

    schema          name and version of this layout
    recommendation  status ("better", "doubtful": better by numbers that are not to be relied on yet, "not shown",
                    "no difference", "unchanged", "not compared", "no start"), sentence, cautions (a list of sentences:
                    what the sentence does not say yet), counted (how rewards are), unit, level, bound and gain_bound
                    (each kept with probability 1 - level), value, today and gain (mean, lower, upper: the middle 90% of
                    draws; of today, moved apart by what the check found), better (by_draws, by_check: probability that
                    anything is gained), check, words (as the terminal has them)
    log             source, sha256, rows (read, used, left_out), columns_left_out, episodes, terminated, truncated,
                    states, terminal, actions, pairs, tried (pairs), trust (a sentence), asked (rows, of: where not all
                    of them were asked), checks (a list: check, found, statistic, p_value, p_adjusted, alarm, meaning,
                    remedy), measured (words by name, where states are made of measurements)
    policy          a list, by visits: state, position (among the states), action, probability, mixes, shares (of a
                    plan that mixes actions there, a list, the most probable first: action, probability, tried), visits,
                    tried, on_path, worth (quantile, lower, upper), today (probability of the action), later (where a
                    plan by stage changes its action), followed (a list: state, times), followed_more, reason
                    (runner_up, difference, difference_lower, difference_upper, better, paid, today_action,
                    today_share)
    stages          how many steps a plan by stage is for, or null; its list is of the first
    thin            unseen (share of the future behind a step that the log never saw), few (tries that are few), pairs
                    (a list, the least tried first: state, action, tried), never_acted (states), untried_pairs
    second_opinion  words, estimates (a list: estimator, value, lower, upper, tells, why, disagrees)
    sensitivity     states, draws (of each plan), changes (a list, the plan itself first: what, value, changed, states:
                    the first of these, changed_share, bound, gain_bound, comparable)
    collect         tries, samples, asked (pairs), helped (pairs of which more tries ever changed the plan), sure
                    (pairs whose gain is more than two errors), pairs (a list of these, 50 at most, the most first:
                    state, action, tried, gain, error, whole: whether all of the plan was chosen again; else the gain
                    is at least so much)
    made            date, command, not_kept (what of how it was made is not known to whoever reads a plan's file; a
                    list), seed, versions, and settings by name

Numbers that are not known are null. Of a plan from a log of measurements some parts are others
(:mod:`bayesmdp.reports.measured_content`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.offline.check_log import FEW
from bayesmdp.offline.measured_file import is_measured_plan, read_measured_plan
from bayesmdp.offline.plan_file import as_report
from bayesmdp.offline.report import Report
from bayesmdp.reports.content_parts import checks_of, made_of, recommendation_of, second_opinion_of
from bayesmdp.reports.kept_plan import KeptPlan, read_plan
from bayesmdp.reports.measured_content import measured_content
from bayesmdp.reports.reasons import followed, reasons
from bayesmdp.reports.sensitivity import sensitivity
from bayesmdp.reports.sentences import trust_told
from bayesmdp.reports.states import states_told
from bayesmdp.reports.value_of_information import value_of_information
from bayesmdp.reports.words import experts_told, headline, least_known, log_told, turns_told

__all__ = ["SCHEMA", "report_content"]

SCHEMA = {"name": "bayesmdp-report", "version": 1}

SETTINGS = ("risk", "baseline", "aim", "discount", "horizon", "prior", "rewards", "elsewhere", "least_tries", "draws")

PAIRS = 50
"""Of the lists of pairs that are thin, or to be tried more: at most."""


def report_content(
    plan: Report | xr.DataTree | str | Path, *, tries: int = 10, command: str = "", date: str = "", sha256: str = ""
) -> dict[str, Any]:
    """Everything that a report tells, as plain numbers, lists and words.

    Parameters
    ----------
    plan : Report, DataTree or path
        From `plan_log`, its tree, or the file that ``bayesmdp plan`` wrote.
    tries : int
        For what to collect next: how many more of a pair.
    command, date, sha256 : str, optional
        How the plan was made, when, and of which file.

    Returns
    -------
    dict
        Ready for JSON; its keys are told in :mod:`bayesmdp.reports.content`.

    See Also
    --------
    bayesmdp.write_report : the page made of it.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> content = bm.report_content(bm.plan_log(log, discount=0.95, draws=50, calibration=0))
    >>> content["recommendation"]["status"], content["policy"][0]["action"]
    ('doubtful', 'right')
    """
    report = as_report(plan)
    if is_measured_plan(report.tree):
        acts = read_measured_plan(report.tree)
        content = measured_content(report, acts, SCHEMA, command=command, date=date, sha256=sha256)
        content["made"]["not_kept"] = [] if isinstance(plan, Report) else _not_kept(command, date, sha256)
        return {name: _plain(part) for name, part in content.items()}
    kept, attrs = read_plan(report.tree), report.tree.attrs
    content = {
        "schema": SCHEMA,
        "recommendation": recommendation_of(report, headline(attrs, report.checked) | experts_told(attrs), kept.paid),
        "log": _log(report, sha256),
        "policy": _policy(report.policy, kept),
        "stages": attrs.get("horizon"),
        "thin": _thin(report, kept),
        "second_opinion": second_opinion_of(report.tree),
        "sensitivity": _sensitivity(kept),
        "collect": _collect(kept, tries),
        "made": made_of(attrs, log_told(report.log, attrs), SETTINGS, command=command, date=date),
    }
    content["made"]["not_kept"] = [] if isinstance(plan, Report) else _not_kept(command, date, sha256)
    return {name: _plain(part) for name, part in content.items()}


def _log(report: Report, sha256: str) -> dict[str, Any]:
    attrs, log = report.tree.attrs, report.log
    dropped = int(log.get("dropped", 0))
    checks = checks_of(report.tree)
    counts = {name: log.get(name) for name in ("episodes", "terminated", "truncated", "states", "terminal", "actions")}
    return {
        "source": attrs["source"],
        "sha256": sha256 or None,
        "rows": {"read": log["rows"] + dropped, "used": log["rows"], "left_out": dropped},
        "columns_left_out": json.loads(attrs["left_out"]),
        **counts,
        "pairs": log["pairs"],
        "tried": log["tried"],
        "trust": trust_told(checks),
        "asked": _asked(report.tree),
        "checks": checks,
        "measured": states_told(report.tree),
    }


def _asked(tree: xr.DataTree) -> dict[str, int] | None:
    """How many rows, of how many, were asked for the checks, where not all were."""
    attrs = tree["log_checks"].attrs if "log_checks" in tree.children else {}
    return {"rows": int(attrs["rows"]), "of": int(attrs["rows_of"])} if "rows_of" in attrs else None


def _policy(policy: xr.Dataset, plan: KeptPlan) -> list[dict[str, Any]]:
    """What is done in each state that the log acted in, the most visited first, and why."""
    stages = "stage" in policy.dims
    actions = policy["action"].values
    policy = policy.isel(stage=0, drop=True) if stages else policy
    told = reasons(plan)
    chosen = plan.chosen[0] if stages else plan.chosen
    acted = ~policy["terminal"].values.astype(bool) & (policy["tried"].values > 0)
    states = policy["state"].values.tolist()
    entries = []
    for position in np.argsort(-policy["visits"].values, kind="stable").tolist():
        if not acted[position]:
            continue
        row = {str(name): column.values[position].item() for name, column in policy.data_vars.items()}
        why = {str(name): told[name].values[position].item() for name in told.data_vars if name != "q"}
        next_states, more = followed(plan, position, int(chosen[position]))
        entries.append(
            {
                "state": states[position],
                "position": position,
                "action": row["action"],
                "probability": row.get("probability", 1.0),
                "mixes": row.get("mixes", False),
                "shares": _shares(plan, position) if row.get("mixes") else [],
                "visits": row["visits"],
                "tried": row["tried"],
                "on_path": row["on_path"],
                "worth": {end: row[f"worth_{end}"] for end in ("quantile", "lower", "upper")},
                "today": row.get("today"),
                "later": turns_told(actions[:, position]) if stages else "",
                "followed": [{"state": state, "times": times} for state, times in next_states],
                "followed_more": more,
                "reason": why | {name: why[name] or None for name in ("runner_up", "today_action") if name in why},
            }
        )
    return entries


def _shares(plan: KeptPlan, state: int) -> list[dict[str, Any]]:
    """The actions that a plan mixes in a state, the most probable first."""
    shares, tries = plan.policy.transpose("state", "action").values[state], plan.tries[state]
    order = [action for action in np.argsort(-shares, kind="stable").tolist() if shares[action] > 0]
    return [
        {"action": str(plan.mdp.actions[i]), "probability": float(shares[i]), "tried": int(tries[i])} for i in order
    ]


def _thin(report: Report, plan: KeptPlan) -> dict[str, Any]:
    policy, mdp, tries = report.policy, plan.mdp, plan.tries
    never = ~tries.any(-1) & ~mdp.terminal
    pairs = [pair for pair in least_known(policy, report.tree) if pair[2]]
    return {
        "unseen": report.tree.attrs.get("initial_unseen"),
        "few": FEW,
        "pairs_on_path": len(pairs),
        "pairs_few": sum(tried < FEW for *_, tried in pairs),
        "pairs": [{"state": state, "action": action, "tried": tried} for state, action, tried in pairs[:PAIRS]],
        "never_acted": [mdp.states[i] for i in np.flatnonzero(never)],
        "untried_pairs": report.log["pairs"] - report.log["tried"],
    }


def _sensitivity(plan: KeptPlan) -> dict[str, Any]:
    told = sensitivity(plan)
    if "why_not" in told.attrs:
        return dict(told.attrs)
    rows = [
        {str(name): column.values[i].item() for name, column in told.data_vars.items()}
        for i in range(told.sizes["change"])
    ]
    rows = [row | {"states": json.loads(row["states"])} for row in rows]
    return {**{name: told.attrs[name] for name in ("states", "draws", "skipped")}, "changes": rows}


def _collect(plan: KeptPlan, tries: int) -> dict[str, Any]:
    told = value_of_information(plan, tries=tries, seed=int(plan.attrs["seed"]))
    if "why_not" in told.attrs:
        return dict(told.attrs)
    gain, times, mdp = told["gain"].values, plan.tries, plan.mdp
    order = np.argsort(-np.nan_to_num(gain), axis=None, kind="stable")
    # What is told stands out from the scatter of what was simulated.
    sure = np.nan_to_num(gain) > 2 * np.nan_to_num(told["error"].values)
    pairs = [divmod(int(place), gain.shape[1]) for place in order if sure.flat[place]]
    rows = [
        {
            "state": mdp.states[state],
            "action": str(mdp.actions[action]),
            "tried": int(times[state, action]),
            **{name: told[name].values[state, action].item() for name in ("gain", "error", "whole")},
        }
        for state, action in pairs[:PAIRS]
    ]
    asked, helped = int((~np.isnan(gain)).sum()), int((np.nan_to_num(gain) > 0).sum())
    counts = {"asked": asked, "helped": helped, "sure": len(pairs)}
    return {"tries": tries, "samples": told.attrs["samples"], **counts, "pairs": rows}


def _not_kept(command: str, date: str, sha256: str) -> list[str]:
    """What the file of a plan does not hold of how it was made, where nobody said it either."""
    given = {"the command": command, "the date": date, "the SHA-256 of the log": sha256}
    return [name for name, text in given.items() if not text]


def _plain(part: Any) -> Any:
    """The same for JSON: without numbers that are none, and without types of NumPy."""
    if isinstance(part, Mapping):
        return {str(name): _plain(value) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [_plain(value) for value in part]
    if isinstance(part, np.generic | np.ndarray | xr.DataArray):
        return _plain(np.asarray(part).tolist())
    if isinstance(part, float):
        return part if math.isfinite(part) else None
    return part if isinstance(part, str | int | bool | None) else str(part)
