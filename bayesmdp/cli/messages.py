"""What the commands share: how they fail, and how they read values."""

from __future__ import annotations

from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from bayesmdp.foundation.visible_text import visible

__all__ = ["fail", "make_console", "say"]


def say(message: str) -> None:
    """Tell what is being done, beside the results."""
    typer.echo(visible(message), err=True)


def fail(message: str) -> NoReturn:
    """Tell a mistake of the user's in one line and leave with 2."""
    say(f"bayesmdp: {' '.join(line.strip() for line in message.splitlines())}")
    raise typer.Exit(2)


class _PlainConsole(Console):
    """Shows text as it is: what stands in brackets or between colons is neither markup nor an emoji."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def make_console(*, stderr: bool = False) -> Console:
    """A console that reads nothing into text and colours nothing by itself."""
    return _PlainConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
