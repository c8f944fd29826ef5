"""A console that shows text as it is."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from bayesmdp.foundation.visible_text import visible

__all__ = ["make_console"]


class _PlainConsole(Console):
    """Shows text as it is: what stands in brackets or between colons is neither markup nor an emoji."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def make_console(*, stderr: bool = False) -> Console:
    """A console that reads nothing into text and colours nothing by itself."""
    return _PlainConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
