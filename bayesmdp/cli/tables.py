"""What the command line shows: tables of names, of claims, of studies and of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
import rich.box
import xarray as xr
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bayesmdp.foundation.visible_text import one_line
from bayesmdp.results.analysis import summary
from bayesmdp.studies.study import part_name

if TYPE_CHECKING:
    from bayesmdp.studies import Study
    from bayesmdp.studies.study import Part

__all__ = ["claims_text", "name_table", "study_table", "summary_table"]


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
