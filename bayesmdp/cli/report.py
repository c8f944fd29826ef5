"""The command ``bayesmdp report``: options, messages and files. The work is in `bayesmdp.reports`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesmdp.cli.messages import fail, say

__all__ = ["report"]


def report(
    result: Annotated[Path, typer.Argument(help="The .nc file that `bayesmdp plan` wrote.")],
    pages: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="The page, ending in .html, or its content, in .json.")
    ],
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="The log behind the plan, to show its hash.")] = None,
) -> None:
    """Write the page of `bayesmdp plan --report` for an existing plan."""
    from bayesmdp.offline.plan_file import as_report
    from bayesmdp.reports.write import check_target, sha256_of, write_report

    try:
        for page in pages:
            check_target(page)
        if log is not None and not log.exists():
            raise FileNotFoundError(f"--log: no file {log}")
        say(f"reading {result}")
        plan = as_report(result).tree
        say("writing the report: other assumptions, and what to collect next, which takes about as long as the plan")
        write_report(plan, *pages, sha256="" if log is None else sha256_of(log))
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(str(error))
    for page in pages:
        typer.echo(f"{'json' if page.suffix.lower() == '.json' else 'report':8} {page}")
