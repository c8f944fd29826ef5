"""What the commands share: how they tell, and how they fail."""

from __future__ import annotations

from typing import NoReturn

import typer

from bayesmdp.foundation.visible_text import visible

__all__ = ["fail", "say"]


def say(message: str) -> None:
    """Tell what is being done, beside the results."""
    typer.echo(visible(message), err=True)


def fail(message: str) -> NoReturn:
    """Tell a mistake of the user's in one line and leave with 2."""
    say(f"bayesmdp: {' '.join(line.strip() for line in message.splitlines())}")
    raise typer.Exit(2)
