"""The command ``bayesmdp recommend``: options, messages and files. The work is in `bayesmdp.offline.recommend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesmdp.cli.messages import fail, say

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["recommend"]

SHOWN = 20
"""Rows of the table on the terminal."""


def recommend(
    result: Annotated[Path, typer.Argument(help="The .nc file that `bayesmdp plan` wrote.")],
    rows: Annotated[
        Path,
        typer.Argument(help="Rows that need an action, with the measurements that define states, or a column state."),
    ],
    out: Annotated[Path | None, typer.Option(help="A CSV with every row and its recommended action.")] = None,
    stage: Annotated[
        int | None,
        typer.Option(min=0, help="For a plan with a horizon: steps taken so far; by default from the column stage."),
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Field separator.")] = None,
    decimal: Annotated[str, typer.Option(help="Decimal sign.")] = ".",
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
) -> None:
    """Recommend an action for each row of a file, or report `unknown state` where the log has no data."""
    from bayesmdp.logs.log_sources import open_table
    from bayesmdp.offline.recommend import recommend as recommend_rows

    try:
        if out is not None and out.resolve() in (result.resolve(), rows.resolve()):
            raise ValueError(f"--out {out} is an input file; give another name")
        table = open_table(rows, separator, encoding, decimal)
        given = table.read({place: place for place in range(len(table.columns))})
        given.columns = list(table.columns)
        told = recommend_rows(result, given, stage=stage, decimal=decimal)
        if out is not None:
            _write(given, told, out)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(str(error).replace("stage=0", "--stage 0").replace("decimal='", "--decimal '"))
    _show(told, out)


def _write(given: pd.DataFrame, told: pd.DataFrame, out: Path) -> None:
    """Every row as it was given, and what is said of it; a column of theirs that has a name of ours is renamed."""
    import pandas as pd

    from bayesmdp.results.files import replacing

    names = [f"{name} (given)" if name in told else name for name in given.columns]
    with replacing(out) as part:
        pd.concat([given.set_axis(names, axis=1), told], axis=1).to_csv(part, index=False)


def _show(told: pd.DataFrame, out: Path | None) -> None:
    """Print how many rows are what, the first of them, and where all are."""
    from bayesmdp.cli.console import make_console
    from bayesmdp.cli.plan_tables import recommended_table

    counts = told["status"].value_counts()
    say(f"{len(told):,} rows: " + (", ".join(f"{number:,} {name}" for name, number in counts.items()) or "none"))
    make_console().print(recommended_table(told, SHOWN))
    if out is not None:
        typer.echo(f"rows     {out}")
    elif len(told) > SHOWN:
        say("use --out FILE.csv to write all rows to a file")
