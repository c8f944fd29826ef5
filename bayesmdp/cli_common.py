"""What the commands share: how they fail, and how they read values."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import typer

from bayesmdp.shown import visible

__all__ = ["fail", "json_or_text", "say"]


def say(message: str) -> None:
    """Tell what is being done, beside the results."""
    typer.echo(visible(message), err=True)


def fail(message: str) -> NoReturn:
    """Tell a mistake of the user's in one line and leave with 2."""
    say(f"bayesmdp: {' '.join(line.strip() for line in message.splitlines())}")
    raise typer.Exit(2)


def json_or_text(text: str) -> Any:
    """A number, a list or the like as JSON has it, otherwise the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
