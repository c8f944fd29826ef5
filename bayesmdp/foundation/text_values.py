"""Text that people write, as values, and what documentation says in one line."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["first_sentence", "json_or_text", "with_point"]


def json_or_text(text: str) -> Any:
    """A number, a list or the like as JSON has it, otherwise the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def with_point(number: str) -> str:
    """A number that has a decimal comma, with a decimal point; no number if it has a point, which would part thousands.

    Examples
    --------
    >>> with_point("-1,5"), with_point("1.234")
    ('-1.5', '1?234')
    """
    return number.replace(".", "?").replace(",", ".")


def first_sentence(documented: Any) -> str:
    """The first sentence of a function's or a module's docstring, empty if it has none.

    Examples
    --------
    >>> first_sentence(json_or_text)
    'A number, a list or the like as JSON has it, otherwise the text.'
    """
    line = (documented.__doc__ or "").strip().partition("\n")[0]
    return re.split(r"(?<=[.?]) ", line)[0]
