"""What the command line shows: tables of names, of results, of plans and of comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import rich.box
import rich.progress
import xarray as xr
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bayesmdp.foundation.visible_text import one_line, visible
from bayesmdp.offline.measured_file import is_measured_plan
from bayesmdp.reports.advice import advice_of
from bayesmdp.reports.measured_words import measured_headline, measured_log_told
from bayesmdp.reports.numbers import short
from bayesmdp.reports.opinions import opinions_told
from bayesmdp.reports.states import states_told
from bayesmdp.reports.words import experts_told, headline, labelled, least_known, log_told, steps_told, turns_told
from bayesmdp.results.analysis import summary
from bayesmdp.studies.study import part_name

if TYPE_CHECKING:
    from bayesmdp.offline.report import Report
    from bayesmdp.studies import Study
    from bayesmdp.studies.study import Part

__all__ = [
    "claims_text",
    "decision_table",
    "difference_table",
    "effect_table",
    "name_table",
    "plan_told",
    "recommended_table",
    "setting_table",
    "study_table",
    "summary_table",
]

STATES_SHOWN, PAIRS_SHOWN = 20, 10


def claims_text(table: pd.DataFrame) -> RenderableType:
    """Claims one under the other, by paper: where, what, our reading, the figure and the verdict, how to print it."""
    lines = Table.grid(padding=(0, 2))
    paper = None
    for row in table.fillna("").to_dict("records"):
        if row["paper"] != paper:
            paper = row["paper"]
            lines.add_row(Text(f"\n{paper}", style="bold"), "")
        lines.add_row(Text(row["place"]), Text(row["claim"]))
        if row["reading"]:
            lines.add_row("", Text(row["reading"], style="dim"))
        figure = f"{row['figure']}, {row['threshold']}: " if row["figure"] else ""
        lines.add_row("", Text(figure).append(row["verdict"], style="bold"))
        if row["command"]:
            lines.add_row("", Text(row["command"], style="dim"))
        lines.add_row("", "")
    return lines


def summary_table(result: xr.DataTree) -> Table:
    """One row an agent: final regret with its interval, reward per step, planning solves and, where timed, seconds."""
    told = summary(result)
    replicates, steps = told.attrs["replicates"], told.attrs["steps"]
    caption = f"{replicates} replicates of {steps:,} steps"
    if replicates == 1:
        caption = f"one replicate of {steps:,} steps, so no interval"
    failures = float(told["failures"].sum())
    if failures:
        caption += f"; {failures:,.0f} plans did not converge"
    timed = bool(told["seconds"].notnull().any())
    table = Table("agent", caption=caption, caption_justify="left", box=rich.box.SIMPLE)
    for heading in ("final\nregret", "95% interval", "reward\nper step", "planning\nsolves") + ("seconds",) * timed:
        table.add_column(heading, justify="right")
    largest = float(abs(told["regret"]).max())
    digits = 0 if largest >= 100 else 1 if largest >= 10 else 3

    def shown(value: xr.DataArray, decimals: int) -> str:
        return f"{float(value):,.{decimals}f}" if value.notnull() else "-"

    for name in told["agent"].values:
        row = told.sel(agent=name)
        lower, upper = shown(row["regret_lower"], digits), shown(row["regret_upper"], digits)
        table.add_row(
            one_line(name),
            shown(row["regret"], digits),
            f"{lower} to {upper}" if replicates > 1 else "-",
            shown(row["reward"], 4),
            shown(row["solves"], 0),
            *[shown(row["seconds"], 2)] * timed,
        )
    return table


def name_table(title: str, told: Mapping[str, str]) -> Table:
    """Lay out names, never cut, with a line on each.

    Parameters
    ----------
    title : str
    told : mapping of name to text
    """
    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in told.items():
        table.add_row(one_line(name), text)
    return table


def study_table(name: str, study: Study) -> Table:
    """Lay out a study's settings, and its agents as ``--agents`` and ``--set`` name them.

    Parameters
    ----------
    name : str
        By which the study was asked for.
    study : Study
    """

    def call(function: Part, options: Mapping[str, object]) -> str:
        shown = {name: f"{value:g}" if isinstance(value, float) else repr(value) for name, value in options.items()}
        return f"{part_name(function)}({', '.join(f'{name}={value}' for name, value in shown.items())})"

    settings = {
        "environment": call(study.environment, study.environment_options),
        "prior": call(study.prior, study.prior_options) if study.prior else "none: no agent needs one",
        "true kernel": "drawn from the prior for each replicate" if study.bayes else "the environment's",
        "size": f"{study.replicates} replicates of {study.steps:,} steps",
    }
    if study.note:
        settings["note"] = study.note
    agents = {f"agent {agent}": call(spec.algorithm, spec.options) for agent, spec in study.agents.items()}
    return name_table(f"{name}: {study.title}", settings | agents)


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


def setting_table(
    table: pd.DataFrame, quantity: str, shown: int, confidence: float, robust: pd.DataFrame | None = None
) -> Table:
    """Lay out the best and the worst settings.

    Parameters
    ----------
    table : DataFrame [setting]
        ``mean``, ``lower`` and ``upper``.
    quantity : {"regret", "reward"}
        Of which the most is the best if it is reward.
    shown : int
        The best settings shown; of the worst there are 3.
    confidence : float
        Of the intervals.
    robust : DataFrame [setting], optional
        From :func:`~bayesmdp.results.robust.robust_summary`, whose interquartile means and ranks are then shown too.
    """
    headings = {"mean": f"final\n{quantity}"}
    if robust is not None:
        ends = zip(robust["rank_lower"], robust["rank_upper"], strict=True)
        ranks = [f"{low}" if low == high else f"{low} to {high}" for low, high in ends]
        table = table.assign(iqm=robust["iqm"].to_numpy(), ranks=ranks)
        headings |= {"iqm": "middle\nhalf", "ranks": "rank"}
    ordered = table.dropna(subset="mean").sort_values("mean", ascending=quantity != "reward")
    few = ordered if len(ordered) <= 2 * shown else pd.concat([ordered.head(shown), ordered.tail(3)])
    caption = f"{len(table)} settings" + (f", the best {shown} and the worst 3" if len(few) < len(ordered) else "")
    return _framed(few, headings, caption, confidence)


def effect_table(effects: pd.DataFrame, quantity: str, confidence: float) -> Table:
    """Lay out what each option does on average.

    Parameters
    ----------
    effects : DataFrame [problem, agent, option, value]
        ``mean``, ``lower`` and ``upper``.
    quantity : str
    confidence : float
        Of the intervals.
    """
    return _framed(effects, {"mean": f"mean\n{quantity}"}, "Each option, averaged over all other options", confidence)


def difference_table(table: pd.DataFrame, baseline: str, correction: str, shown: int, confidence: float) -> Table:
    """Lay out the surest differences, and how many there are.

    Parameters
    ----------
    table : DataFrame [setting]
        ``difference``, ``lower``, ``upper``, ``p``, ``p_adjusted`` and ``significant``.
    baseline : str
        What was subtracted.
    correction : {"holm", "bh", "none"}
    shown : int
        Rows, at most.
    confidence : float
        Of the intervals.
    """
    surest = table.sort_values("p", kind="stable")
    parts = [surest[surest["difference"] < 0].head(shown // 2), surest[surest["difference"] >= 0].head(shown // 2)]
    few = pd.concat(parts) if len(table) > shown else surest
    sure = int(table["significant"].sum())
    by = {
        "holm": "after Holm's correction",
        "bh": "after Benjamini and Hochberg's correction",
        "none": "without correction",
    }
    caption = (
        f"Difference from {baseline}, paired by replicate: {sure} of {len(table)} differences are significant at "
        f"{1 - confidence:.2g} {by[correction]}; {int((table['p'] <= 1 - confidence).sum())} without correction"
        + (". Shown: the most certain ones below and above" if len(few) < len(table) else "")
    )
    headings = {"difference": "difference", "p_adjusted": "adjusted\np"}
    return _framed(few, headings, caption, confidence)


def decision_table(decisions: pd.DataFrame, quantity: str, most: int, level: float) -> Table:
    """Lay out which pairs of settings differ, and after how many replicates that was known.

    Parameters
    ----------
    decisions : DataFrame [pair]
        From :func:`~bayesmdp.results.sequential.sequential_decisions`.
    quantity : str
        What was summed.
    most : int
        Replicates that there might have been.
    level : float
        Probability of any false claim.
    """
    told: dict[str, int] = {}
    for pair, count in decisions["replicates"].items():
        for name in pair if isinstance(pair, tuple) else (pair,):
            told[name] = max(told.get(name, 0), int(count))
    counts = decisions["decision"].value_counts()
    caption = (
        f"difference in {quantity}, first minus second, with repeated confidence intervals: the probability of any "
        f"false claim is at most {level:.2g}. {sum(told.values()):,} of {most * len(told):,} runs were needed"
    )
    if counts.get("undecided"):
        caption += f"; {counts['undecided']} pairs are undecided and need more replicates"
    framed = Table(caption=caption, caption_justify="left", box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    pairs = [pair if isinstance(pair, tuple) else (pair,) for pair in decisions.index]
    # Options that both have are told once.
    options = [[one_line(name).split(",") for name in pair] for pair in pairs]
    shared = [",".join(text for text in here if text in there and text != here[0]) for here, there in options]
    headings = {"in": "left", "setting": "left", "against": "left", "difference": "right", "interval": "right"}
    for name, justify in {**headings, "decision": "left", "replicates": "right"}.items():
        if name != "in" or any(shared):
            framed.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for (_, row), sides, where in zip(decisions.iterrows(), options, shared, strict=True):
        names = [",".join(text for text in side if text not in where.split(",")) for side in sides]
        bounded = pd.notna(row["lower"]) and np.isfinite(row["lower"])
        interval = f"{_rounded(row['lower'])} to {_rounded(row['upper'])}" if bounded else ""
        difference = _rounded(row["difference"]) if pd.notna(row["difference"]) else ""
        cells = [*names, difference, interval, row["decision"], str(row["replicates"])]
        framed.add_row(*([where] if any(shared) else []), *cells)
    return framed


def _framed(table: pd.DataFrame, headings: Mapping[str, str], caption: str, confidence: float) -> Table:
    """Settings, then columns of numbers, the first with its interval."""
    framed = Table(caption=caption, caption_justify="left", box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in table.index.names:
        agent = name == "agent"
        framed.add_column(str(name), justify="left" if agent else "right", no_wrap=agent, overflow="fold")
    for i, heading in enumerate(headings.values()):
        framed.add_column(heading, justify="right", no_wrap=True)
        if not i:
            framed.add_column(f"{100 * confidence:g}%\ninterval", justify="right", no_wrap=True)
    for index, row in table.iterrows():
        places = index if isinstance(index, tuple) else (index,)
        cells = [f"{place:.3g}" if isinstance(place, float) else one_line(place) for place in places]
        for i, name in enumerate(headings):
            told = row[name]
            cells.append(told if isinstance(told, str) else f"{told:.2g}" if name == "p_adjusted" else _rounded(told))
            if not i:
                known = pd.notna(row["lower"])
                cells.append(f"{_rounded(row['lower'])} to {_rounded(row['upper'])}" if known else "-")
        framed.add_row(*["-" if cell == "nan" else cell for cell in cells])
    return framed


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
