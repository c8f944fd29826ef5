"""What the command line shows of plans from logs, and of what they recommend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import rich.box
import xarray as xr
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bayesmdp.cli.tables import name_table
from bayesmdp.foundation.visible_text import one_line, visible
from bayesmdp.offline.measured_file import is_measured_plan
from bayesmdp.reports.advice import advice_of
from bayesmdp.reports.measured_words import measured_headline, measured_log_told
from bayesmdp.reports.numbers import short
from bayesmdp.reports.opinions import opinions_told
from bayesmdp.reports.states import states_told
from bayesmdp.reports.words import experts_told, headline, labelled, least_known, log_told, steps_told, turns_told

if TYPE_CHECKING:
    from bayesmdp.offline.report import Report

__all__ = ["plan_told", "recommended_table"]

STATES_SHOWN, PAIRS_SHOWN = 20, 10


def plan_told(report: Report) -> Iterator[RenderableType]:
    """Yield what is recommended, what was read, the policy and its worth, and what can be relied on."""
    attrs, policy = report.tree.attrs, report.policy
    if is_measured_plan(report.tree):
        yield from _measured_told(report)
        return
    # A path is broken nowhere, so that it can be copied.
    yield Text(visible(attrs["source"]), no_wrap=True, overflow="ignore", style="italic")
    yield from _advised(report)
    yield name_table("\nWhat the policy earns", labelled(headline(report.tree.attrs, report.checked)))
    yield name_table("\nThe log and the plan", labelled(log_told(report.log, attrs)))
    if states := states_told(report.tree):
        yield name_table("\nStates", {name: visible(text) for name, text in states.items()})
    yield "\nPolicy"
    yield policy_table(policy)
    yield "Least-tried pairs on the policy's path"
    yield least_known_table(policy, report.tree)
    yield name_table("\nSecond opinion without a prior", labelled(opinions_told(report.tree)))
    if expert := experts_told(attrs):
        yield name_table("\nFor experts", expert)


def _advised(report: Report) -> Iterator[RenderableType]:
    """Yield what is recommended, before any number."""
    advice = advice_of(report.tree)
    yield Text(f"\n{visible(advice.sentence)}", style="bold")
    for caution in advice.cautions:
        yield Text(f"- {visible(caution)}")


def _measured_told(report: Report) -> Iterator[RenderableType]:
    """Yield the same of a plan whose states are numbers."""
    attrs = report.tree.attrs
    yield Text(visible(attrs["source"]), no_wrap=True, overflow="ignore", style="italic")
    yield from _advised(report)
    yield name_table("\nWhat the policy earns", labelled(measured_headline(attrs, report.checked)))
    yield name_table("\nThe log and the plan", measured_log_told(report.log, attrs))
    yield "\nPolicy, in states that represent the log"
    yield places_table(report.policy)
    yield name_table("\nSecond opinion without a prior", labelled(opinions_told(report.tree)))


def places_table(policy: xr.Dataset) -> Table:
    """Action and worth in the states that stand for all, at the first stage, and where the action changes."""
    names, stages, actions = policy["coordinate"].values.tolist(), policy.sizes.get("stage", 0), policy["action"].values
    later = [turns_told(actions[:, place]) if stages else "" for place in range(policy.sizes["place"])]
    policy = policy.isel(stage=0, drop=True) if stages else policy
    notes = [f"worth: at least this much with posterior probability {1 - policy.attrs['level']:g}, unchecked"]
    notes += ["rows: rows of the log that the state represents; tried: rows near the state with this action"]
    notes += ["today: probability of the action under today's policy"] * ("today" in policy)
    notes += ["*: as today, the likeliest action"] * ("departs" in policy and not policy["departs"].values.all())
    if stages:
        notes = [f"at stage 0, with {steps_told(stages)} left", *notes, "the files contain all stages"]
    if any(later):
        notes.insert(1, "later: actions from later stages on (stage: steps taken so far)")
    table = Table(
        caption="; ".join(notes), caption_justify="left", box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False
    )
    for name in names:
        table.add_column(one_line(name), justify="right")
    table.add_column("action", overflow="fold", min_width=6)
    if any(later):
        table.add_column("later", overflow="fold", min_width=6)
    for heading in ("rows", "tried", *["today"] * ("today" in policy), "worth", "5% to 95%"):
        table.add_column(heading, justify="right", no_wrap=True)
    for place in range(policy.sizes["place"]):
        row = policy.isel(place=place)
        table.add_row(
            *[f"{value:.4g}" for value in row["state"].values],
            one_line(row["action"].item()) + "*" * ("departs" in row and not row["departs"].item()),
            *[later[place]] * any(later),
            f"{row['rows'].item():,}",
            f"{row['tried'].item():,}",
            *[f"{100 * row['today'].item():.0f}%" for _ in range("today" in policy)],
            short(row["worth_quantile"].item()),
            f"{short(row['worth_lower'].item())} to {short(row['worth_upper'].item())}",
        )
    return table


def policy_table(policy: xr.Dataset) -> Table:
    """Action and worth of the states that were visited most, at the first stage, and where the action changes."""
    stages, actions = policy.sizes.get("stage", 0), policy["action"].values
    policy = policy.isel(stage=0, drop=True) if stages else policy
    policy = policy.assign(position=("state", np.arange(policy.sizes["state"])))
    acted = policy.isel(state=~policy["terminal"].values & (policy["tried"] > 0).values)
    shown = acted.isel(state=np.argsort(-acted["visits"].values, kind="stable")[:STATES_SHOWN])
    left = acted.sizes["state"] - shown.sizes["state"]
    untried = int((~policy["terminal"] & (policy["tried"] == 0)).sum())
    notes = [f"worth: at least this much with posterior probability {1 - policy.attrs['level']:g}, unchecked"]
    notes += [f"{left:,} more states are in the files"] * (left > 0)
    notes += [f"in {untried:,} more states no action was tried"] * (untried > 0)
    notes += ["today: probability of the action under today's policy"] * ("today" in acted)
    notes += ["departing: expected gain at the start over doing as today in this state only"] * ("departing" in acted)
    mixed = bool(acted.get("mixes", np.array(False)).any())
    notes += ["a percentage after an action: the plan mixes it with other actions"] * mixed
    if stages:
        notes.insert(0, f"at stage 0, with {steps_told(stages)} left")
        notes.append("the files contain all stages")
    later = [turns_told(actions[:, position]) if stages else "" for position in shown["position"].values]
    if any(later):
        notes.insert(1, "later: actions from later stages on (stage: steps taken so far)")
    table = _table("; ".join(notes))
    if any(later):
        table.add_column("later", overflow="fold", min_width=6)
    compared = "today" in acted
    for heading in ("visits", *["today"] * compared, "worth", "5% to 95%", *["departing"] * ("departing" in acted)):
        table.add_column(heading, justify="right", no_wrap=True)
    for state, turns in enumerate(later):
        row = {name: values.item() for name, values in shown.isel(state=state).reset_coords().items()}
        table.add_row(
            one_line(row["state"]),
            one_line(row["action"]) + (f" {100 * row['probability']:.0f}%" if row.get("mixes") else ""),
            *[turns] * any(later),
            f"{row['visits']:,}",
            *[f"{100 * row['today']:.0f}%" for _ in range(compared)],
            short(row["worth_quantile"]),
            f"{short(row['worth_lower'])} to {short(row['worth_upper'])}",
            *[short(row["departing"]) for _ in range("departing" in row)],
        )
    return table


def least_known_table(policy: xr.Dataset, tree: xr.DataTree | None = None) -> Table:
    """The pairs on the policy's path that were tried least."""
    pairs = least_known(policy, tree)
    table = _table(f"of {len(pairs):,} pairs")
    table.add_column("times tried", justify="right")
    for state, action, tried in pairs[:PAIRS_SHOWN]:
        table.add_row(one_line(state), one_line(action) if tried else "-", f"{tried:,}")
    return table


def recommended_table(told: pd.DataFrame, shown: int) -> Table:
    """Lay out what is recommended for the first rows.

    Parameters
    ----------
    told : DataFrame [row]
        As `recommend` returns it.
    shown : int
        Rows, at most.
    """
    left = len(told) - shown
    if "margin" in told:
        return _recommended_numbers(told, shown)
    certain = f"with posterior probability {1 - told.attrs['level']:g}, unchecked"
    notes = [
        "tried: how often the log took this action in this state",
        f"worth: the plan earns at least this much from there on, {certain}",
    ]
    table = Table("row", caption="; ".join(notes), caption_justify="left", box=rich.box.SIMPLE, pad_edge=False)
    for heading, justify in (("state", "left"), ("action", "left"), ("tried", "right"), ("worth", "right")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type] # both are
    for number, row in enumerate(told.head(shown).to_dict("records")):
        action = row["action"] or row["status"]
        mixed = row.get("probability", 1.0)
        if row["action"] and mixed < 1:
            action += f" {100 * mixed:.0f}%"
        where = row["state"] if row["status"] != "unknown state" else row["state"] or row["why"]
        known = pd.notna(row["worth_quantile"]) and row["status"] == "recommended"
        worth = short(row["worth_quantile"]) if known else "-"
        table.add_row(f"{number:,}", one_line(where), one_line(action), f"{row['tried']:,}" if known else "-", worth)
    if left > 0:
        table.caption = f"{left:,} more rows; {table.caption}"
    return table


def _recommended_numbers(told: pd.DataFrame, shown: int) -> Table:
    """The same of a plan whose states are numbers."""
    left = len(told) - shown
    caption = "tried: rows of the log near the state with this action; margin: fitted Q above the next best action"
    table = Table("row", caption=caption, caption_justify="left", box=rich.box.SIMPLE, pad_edge=False)
    for heading, justify in (("action", "left"), ("tried", "right"), ("margin", "right"), ("why not", "left")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type] # both are
    for number, row in enumerate(told.head(shown).to_dict("records")):
        known = row["status"] == "recommended"
        margin = "only one" if known and np.isinf(row["margin"]) else short(row["margin"]) if known else "-"
        tried = f"{row['tried']:,}" if known else "-"
        table.add_row(f"{number:,}", one_line(row["action"] or row["status"]), tried, margin, row["why"])
    if left > 0:
        table.caption = f"{left:,} more rows; {table.caption}"
    return table


def _table(caption: str) -> Table:
    """A narrow table of states and actions, to which columns are added."""
    table = Table(caption=caption, caption_justify="left", box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("state", "action"):
        table.add_column(heading, overflow="fold", min_width=6)
    return table
