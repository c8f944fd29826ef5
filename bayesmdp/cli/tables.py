"""What the command line shows: tables of names, of results, of plans and of comparisons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import rich.box
import rich.progress
import xarray as xr
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bayesmdp.cli.numbers import short
from bayesmdp.cli.opinions import opinions_told
from bayesmdp.cli.states import states_told
from bayesmdp.foundation.visible_text import one_line, visible
from bayesmdp.results.analysis import summary
from bayesmdp.studies.study import part_name

if TYPE_CHECKING:
    from bayesmdp.offline.plan_log import Report
    from bayesmdp.studies import Study
    from bayesmdp.studies.study import Part

__all__ = [
    "claims_text",
    "difference_table",
    "effect_table",
    "name_table",
    "plan_told",
    "recommended_table",
    "setting_table",
    "study_table",
    "summary_table",
]

STATES_SHOWN, PAIRS_SHOWN, TURNS_SHOWN = 20, 10, 3


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
    """Yield what was read, the policy and its worth, the pairs least known, and what can be relied on."""
    attrs, log, policy = report.tree.attrs, report.log, report.policy
    solved = f"{attrs['plan_draws']} draws" if attrs["plan_draws"] else "no draws"
    if not attrs["converged"]:
        solved += f", not converged: the promise is known within {attrs['bound']:.2g}"
    if attrs.get("ties"):
        where = "pairs of a stage and a state" if "horizon" in attrs else "states"
        solved += f", two actions equally good in {attrs['ties']:,} {where}"
    read = {
        "rows": f"{log['rows']:,}, of which {log['terminated']:,} terminated and {log['truncated']:,} truncated"
        + (f"; {log['dropped']:,} left out, for nothing follows them" if log["dropped"] else ""),
        "states": f"{log['states']:,}, of which {log['terminal']:,} terminal; {log['actions']:,} actions",
        "pairs tried": f"{log['tried']:,} of {log['pairs']:,}",
        "left out": ", ".join(map(one_line, json.loads(attrs["left_out"]))),
        "prior": attrs["prior"],
        "posterior": f"{attrs['engine']}: {attrs['reason']}",
        "plan": f"{attrs['risk']}, {_counted(attrs)}, {solved}, seed {attrs['seed']}",
    }
    # A path is broken nowhere, so that it can be copied.
    yield Text(visible(attrs["source"]), no_wrap=True, overflow="ignore", style="italic")
    yield name_table("\nWhere episodes start", _headline(report))
    yield name_table("\nThe log and the plan", {name: text for name, text in read.items() if text})
    if states := states_told(report.tree):
        yield name_table("\nStates", {name: visible(text) for name, text in states.items()})
    yield "\nPolicy"
    yield policy_table(policy)
    yield "Least known on the policy's path"
    yield least_known_table(policy)
    yield name_table("\nWithout a prior", opinions_told(report.tree))
    if expert := _expert(attrs):
        yield name_table("\nFor experts", expert)


def _steps(number: int) -> str:
    return f"{number:,} step" + "s" * (number != 1)


def _counted(attrs: Mapping[Any, Any]) -> str:
    """Which rewards count."""
    return f"horizon {attrs['horizon']:,}" if "horizon" in attrs else f"discount {attrs['discount']:g}"


def policy_table(policy: xr.Dataset) -> Table:
    """Action and worth of the states that were visited most, at the first stage, and where the action changes."""
    stages, actions = policy.sizes.get("stage", 0), policy["action"].values
    policy = policy.isel(stage=0, drop=True) if stages else policy
    policy = policy.assign(position=("state", np.arange(policy.sizes["state"])))
    acted = policy.isel(state=~policy["terminal"].values & (policy["tried"] > 0).values)
    shown = acted.isel(state=np.argsort(-acted["visits"].values, kind="stable")[:STATES_SHOWN])
    left = acted.sizes["state"] - shown.sizes["state"]
    untried = int((~policy["terminal"] & (policy["tried"] == 0)).sum())
    notes = [f"worth: or more, with posterior probability {1 - policy.attrs['level']:g}, unchecked"]
    notes += [f"{left:,} more states are in the files"] * (left > 0)
    notes += [f"no action was tried in {untried:,} more states"] * (untried > 0)
    notes += ["today: how probable the action is there now"] * ("today" in acted)
    notes += ["departing: what the start gains by it on average"] * ("departing" in acted)
    notes += ["a percentage after an action: it is mixed with others"] * bool(acted.get("mixes", np.array(False)).any())
    if stages:
        notes.insert(0, f"at stage 0, with {_steps(stages)} to come")
        notes.append("the files have each stage")
    later = [_later(actions[:, position]) if stages else "" for position in shown["position"].values]
    if any(later):
        notes.insert(1, "later: what is chosen from which stage on, in steps taken")
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


def _later(actions: NDArray[np.str_]) -> str:
    """Where the actions [stage] change: the first few times."""
    chosen = [one_line(action) for action in actions.tolist()]
    turns = [f"{chosen[stage]} from {stage}" for stage in range(1, len(chosen)) if chosen[stage] != chosen[stage - 1]]
    more = len(turns) - TURNS_SHOWN
    return ", ".join(turns[:TURNS_SHOWN]) + f" and {more} more" * (more > 0)


def least_known_table(policy: xr.Dataset) -> Table:
    """The pairs on the policy's path that were tried least."""
    places = np.nonzero((policy["on_path"] & ~policy["terminal"]).values)
    # The stages of a plan may meet a pair more than once.
    pairs = dict(
        zip(
            zip(places[-1].tolist(), policy["action"].values[places].tolist(), strict=True),
            policy["tried"].values[places].tolist(),
            strict=True,
        )
    )
    table = _table(f"of {len(pairs):,} pairs")
    table.add_column("times tried", justify="right")
    labels = policy["state"].values.tolist()
    for (position, action), tried in sorted(pairs.items(), key=lambda pair: pair[1])[:PAIRS_SHOWN]:
        state = labels[position]
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
    certain = f"with posterior probability {1 - told.attrs['level']:g}, unchecked"
    notes = [
        "tried: how often the log took this action in this state",
        f"worth: of the plan from there on, or more, {certain}",
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


def _table(caption: str) -> Table:
    """A narrow table of states and actions, to which columns are added."""
    table = Table(caption=caption, caption_justify="left", box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("state", "action"):
        table.add_column(heading, overflow="fold", min_width=6)
    return table


def _headline(report: Report) -> dict[str, str]:
    """The numbers to quote, what they rest on, and how they were checked; then what else is known at the start."""
    attrs = report.tree.attrs
    if "initial_bound" not in attrs:
        return {
            "quote": "nothing: rows of the log do not go on, so it does not say where episodes start; the states below "
            "have their own worth. --start STATE says where, --gaps cut that the recording was cut off there"
        }
    certain = f"{1 - attrs['level']:g}"
    steps = _steps(attrs["horizon"]) if "horizon" in attrs else ""
    counted = f"in {steps}" if steps else f"in rewards discounted by {attrs['discount']:g}"
    told = {
        "quote": f"this policy earns {short(attrs['initial_bound'])} or more, {counted}, with probability {certain}"
    }
    told |= _beside_today(attrs, certain)
    told["check"] = report.checked
    if "unchecked" in attrs:
        told["check"] += ". The number is the posterior's, and as good as its prior"
    told["if"] = (
        "the states tell all that matters for what comes next, episodes start as those of the log or where --start "
        "says, and the world goes on as it was while the log was made"
    )
    told["rewards"] = attrs["rewards"]
    future = f"future of {steps}" if steps else "discounted future"
    told["never seen"] = (
        f"{100 * attrs['initial_unseen']:.2g}% of the {future} lies behind a step that the log never saw"
    )
    lower, upper = (short(attrs[f"initial_worth_{name}"]) for name in ("lower", "upper"))
    told["posterior"] = f"{lower} to {upper} in the middle 90%, unchecked"
    return told


def _beside_today(attrs: Mapping[Any, Any], certain: str) -> dict[str, str]:
    """What is gained over what is done today, and what that earns."""
    if "initial_gain_bound" not in attrs:
        return {}
    bound, chance = attrs["initial_gain_bound"], _chance(attrs["initial_better"])
    if "initial_better_checked" in attrs:
        share, logs = attrs["initial_better_checked"], attrs["checked_logs"] / 2
        more = " or more" if share == logs / (logs + 1) else ""
        chance += f" by draws, {_chance(share)}{more} by the check"
    today, lower, upper = (short(attrs[f"initial_today{end}"]) for end in ("", "_lower", "_upper"))
    whose = "the log's behaviour" if attrs["baseline"] == "log" else "the policy of today"
    if bound > 0:
        better = f"by {short(bound)} or more than {whose}, with probability {certain}; at all with probability {chance}"
    elif attrs["initial_unchanged"]:
        better = f"no: to go on as {whose} does is the plan"
    else:
        better = (
            f"not shown: better than {whose} with probability {chance}, and worse by {short(abs(bound))} at the most "
            f"with probability {certain}"
        )
    return {
        "better": better,
        "today": f"{whose} earns {today} ({lower} to {upper} in the middle 90%)",
    }


def _chance(share: float) -> str:
    """A probability that draws or logs tell, which is never sure."""
    return "below 0.01" if share < 0.01 else "above 0.99" if share > 0.99 else f"{share:.2f}"


def _expert(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """Other numbers of the same policy, which are not what it is worth."""
    told = {}
    if attrs["aim"] == "gain":
        told["criterion"] = f"{short(attrs['gain'])} at the start by {attrs['risk']}: it chose the policy"
        told["one action each"] = f"{short(attrs['gain_deterministic'])} by the most probable actions alone"
    elif "initial_promise" in attrs:
        told["criterion"] = f"{short(attrs['initial_promise'])} at the start by {attrs['risk']}: it chose the policy"
    if "initial_lighter" in attrs:
        lighter, heavier = short(attrs["initial_lighter"]), short(attrs["initial_heavier"])
        told["prior"] = (
            f"before the check {short(attrs['initial_worth_quantile'])}; {lighter} if the prior of transitions "
            f"weighed a third as much, {heavier} if three times as much"
        )
    guarantee = attrs.get("guarantee_level")
    if guarantee is not None:
        told["guarantee"] = (
            f"under the posterior, with probability {min(1 - guarantee, 0.99):.2g} or more the policy reaches its "
            "criterion in all states at once (Proposition 1)"
            if guarantee < 0.995
            else "none for the criterion over so many uncertain rows (Proposition 1)"
        )
    if attrs.get("elsewhere") == "mean":
        told["elsewhere"] = "next states never seen count at their average, as if that were sure"
    return told


def setting_table(table: pd.DataFrame, quantity: str, shown: int, confidence: float) -> Table:
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
    """
    ordered = table.dropna(subset="mean").sort_values("mean", ascending=quantity != "reward")
    few = ordered if len(ordered) <= 2 * shown else pd.concat([ordered.head(shown), ordered.tail(3)])
    caption = f"{len(table)} settings" + (f", the best {shown} and the worst 3" if len(few) < len(ordered) else "")
    return _framed(few, {"mean": f"final\n{quantity}"}, caption, confidence)


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
    return _framed(effects, {"mean": f"mean\n{quantity}"}, "Each option, averaged over all others", confidence)


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
    by = {"holm": "after Holm's correction", "bh": "with false ones at most that share", "none": "without correction"}
    caption = (
        f"Less {baseline}, paired by replicate: {sure} of {len(table)} differences are significant at "
        f"{1 - confidence:.2g} {by[correction]}; without correction {int((table['p'] <= 1 - confidence).sum())}"
        + (". The surest below and above" if len(few) < len(table) else "")
    )
    headings = {"difference": "difference", "p_adjusted": "adjusted\np"}
    return _framed(few, headings, caption, confidence)


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
            cells.append(f"{row[name]:.2g}" if name == "p_adjusted" else _rounded(row[name]))
            if not i:
                known = pd.notna(row["lower"])
                cells.append(f"{_rounded(row['lower'])} to {_rounded(row['upper'])}" if known else "-")
        framed.add_row(*["-" if cell == "nan" else cell for cell in cells])
    return framed


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
