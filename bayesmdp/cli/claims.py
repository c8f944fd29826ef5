"""``bayesmdp claims``: what the papers claim, and what the stored studies say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesmdp.cli.messages import fail

__all__ = ["claims"]


def claims(
    paper: Annotated[
        str | None, typer.Argument(help="aq-brmdp, tseb, mtsrl or average-reward; all by default.", show_default=False)
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the claims to this file.")] = None,
) -> None:
    """Show the claims of the four papers, with the figures and verdicts of the stored studies."""
    from bayesmdp.cli.console import make_console
    from bayesmdp.cli.tables import claims_text
    from bayesmdp.studies.claims import claims as judge

    try:
        table = judge(paper)
    except ValueError as error:
        fail(str(error))
    if csv is not None:
        try:
            table.to_csv(csv, index=False)
        except OSError as error:
            fail(str(error))
    make_console().print(claims_text(table))
