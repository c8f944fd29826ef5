"""What ``bayesmdp plan`` writes and shows: the plan, its table, the page, and the tables of the terminal."""

from __future__ import annotations

import os
import shlex
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bayesmdp.cli.messages import say

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesmdp.offline.report import Report

__all__ = ["explain_plan", "outputs_of", "pages_of", "show_plan", "write_plan"]


def outputs_of(source: Path, out: Path) -> tuple[Path, Path]:
    """The netCDF file and the CSV to write, refused before anything is computed if they cannot be, or are another's."""
    import xarray as xr

    from bayesmdp.offline.report import MADE_BY

    name = source.with_suffix("") if source.suffix.lower() == ".gz" else source
    path = out if out.suffix == ".nc" else out / f"{name.stem}-plan.nc"
    table = path.with_suffix(".csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write to {path.parent}; give another --out")
    if path.exists():
        try:
            with xr.open_dataset(path, engine="h5netcdf") as opened:  # of the root alone, which says it
                planned_from = opened.attrs.get("source", "") if opened.attrs.get("made_by") == MADE_BY else None
        except (OSError, ValueError):
            planned_from = None
        if planned_from is None:
            raise ValueError(f"{path} exists and is not a plan; give another --out, or move the file away")
        if Path(planned_from).resolve() != source.resolve():
            raise ValueError(f"{path} contains the plan for {planned_from}; give another --out, or move the file away")
    elif table.exists():
        raise ValueError(f"{table} already exists; give another --out, or move the file away")
    return path, table


def pages_of(page: Path | None, content: Path | None) -> list[Path]:
    """The files that explain the plan, refused before anything is computed if they cannot be written."""
    if page is None and content is None:
        return []
    from bayesmdp.reports.write import check_target

    for option, path, suffixes in (("--report", page, (".html", ".htm")), ("--json", content, (".json",))):
        if path is not None and path.suffix.lower() not in suffixes:
            raise ValueError(f"{option} {path} must end in {suffixes[0]}")
    return [check_target(path) for path in (page, content) if path is not None]


def write_plan(report: Report, path: Path, table: Path) -> None:
    """Plan and posterior to a netCDF file, the policy to a CSV beside it; each appears whole or not at all."""
    from bayesmdp.results.files import replacing, write_tree

    write_tree(report.tree, path)
    laid_out = _laid_out(report.policy)
    if "mixes" in report.policy:
        for action, shares in report.tree["plan"]["probability"].groupby("action"):
            laid_out[f"probability of {action}"] = shares.values.ravel()
    with replacing(table) as part:
        laid_out.to_csv(part)


def _laid_out(policy: xr.Dataset) -> pd.DataFrame:
    """The policy as a table, a row a (stage and) state; where states are numbers a column for each coordinate."""
    if "coordinate" not in policy.dims:
        return policy.to_dataframe()
    names = policy["coordinate"].values.tolist()
    rows = policy["state"].to_pandas().set_axis(names, axis=1).join(policy.drop_dims("coordinate").to_dataframe())
    return rows.reorder_levels(["stage", "place"]).sort_index() if "stage" in policy.dims else rows


def explain_plan(report: Report, pages: list[Path], log: Path) -> None:
    """Write what the plan tells, with how it was made."""
    from bayesmdp.reports.write import sha256_of, write_report

    say("writing the report: other assumptions, and what to collect next")
    command = shlex.join(["bayesmdp", *sys.argv[1:]])
    write_report(report, *pages, command=command, date=date.today().isoformat(), sha256=sha256_of(log))


def show_plan(report: Report, path: Path, table: Path) -> None:
    """Print the tables of a plan, and where it was written."""
    from bayesmdp.cli.console import make_console
    from bayesmdp.cli.plan_tables import plan_told

    console = make_console()
    for part in plan_told(report):
        console.print(part)
    typer.echo(f"plan     {path}\npolicy   {table}")
    typer.echo(f'open     xarray.open_datatree("{path.as_posix()}")')
