"""Docstrings as reStructuredText: formulas stand as they are written, and what a card needs is found by its mark."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

__all__ = ["MARKS", "advice", "first_sentence", "module_text", "title", "without_advice"]

MARKS = ("When", "When not", "Cost", "What it asks")
"""Paragraphs of a docstring's Notes that cards show, each beginning with its mark as ``*When.*``."""


def title(text: str, under: str = "=") -> str:
    """A heading with the line below it."""
    return f"{text}\n{under * len(text)}\n"


def first_sentence(value: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(value) or "").partition("\n")[0]


def module_text(value: Any) -> str:
    """The docstring of the module that defines a thing, its indented lines as blocks that stand as they are written."""
    module = inspect.getmodule(inspect.unwrap(value))
    return _formulas(textwrap.dedent((module and module.__doc__) or "").strip())


def _formulas(text: str) -> str:
    """Mark indented paragraphs as literal, which in reStructuredText would otherwise flow."""
    told, literal = [], False
    for paragraph in re.split(r"\n\s*\n", text):
        indented = paragraph.startswith("    ")
        if indented and not literal and not (told and told[-1].rstrip().endswith("::")):
            told.append("::")
        literal = indented
        told.append(paragraph)
    return "\n\n".join(told)


def advice(value: Any) -> dict[str, str]:
    """What a docstring says of when to use a thing, when not, and what it costs."""
    marked = rf"(?ms)^\*({'|'.join(MARKS)})\.\*\s+(.*?)(?=\n\s*\n|\Z)"
    return {mark: " ".join(text.split()) for mark, text in re.findall(marked, inspect.getdoc(value) or "")}


def without_advice(lines: list[str]) -> list[str]:
    """The lines of a docstring without the paragraphs that the card shows at its head."""
    text = "\n".join(lines)
    kept = re.sub(rf"\*(?:{'|'.join(MARKS)})\.\*.*?(?:\n\s*\n|\Z)", "", text, flags=re.DOTALL)
    # A heading that nothing stands under any more.
    kept = re.sub(r"Notes\n-----\n\s*(?=\w[^\n]*\n-{3,}|\Z)", "", kept)
    return kept.splitlines()
