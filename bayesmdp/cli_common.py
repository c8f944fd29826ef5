"""What the commands share: how they fail, and how they read values."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import typer

__all__ = ["fail", "json_or_text"]


def fail(message: str) -> NoReturn:
    """Tell a mistake of the user's in one line and leave with 2."""
    typer.echo(f"bayesmdp: {' '.join(message.split())}", err=True)
    raise typer.Exit(2)


def json_or_text(text: str) -> Any:
    """A number, a list or the like as JSON has it, otherwise the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
