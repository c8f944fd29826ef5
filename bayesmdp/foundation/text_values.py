"""Values that people write as text."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["json_or_text"]


def json_or_text(text: str) -> Any:
    """A number, a list or the like as JSON has it, otherwise the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
