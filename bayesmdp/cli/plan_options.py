"""Options of ``bayesmdp plan`` as values, and messages about arguments as messages about options."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Sequence
from typing import Any

from bayesmdp.cli.messages import fail
from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.foundation.text_values import json_or_text

__all__ = [
    "as_options",
    "bounds_of",
    "label_of",
    "labels_of",
    "next_columns_of",
    "numbers_of",
    "pairs_of",
    "refuse_of_tables",
]


def refuse_of_tables(**given: Any) -> None:
    """Refuse options that are about states with labels."""
    for name, value in given.items():
        if value:
            fail(f"--{name.replace('_', '-')} is for labelled states; with --continuous leave it out")


def numbers_of(text: str | None) -> list[float] | None:
    """The numbers of a state."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--start {text!r} does not give the numbers of a state, such as 5.5,0.2") from None


def pairs_of(name: str, given: list[str] | None, example: str) -> dict[str, str]:
    """Texts of the form NAME=VALUE, by the name; fail with an example for others."""
    pairs = {}
    for text in given or []:
        left, equals, right = text.partition("=")
        if not (left.strip() and equals):
            fail(f"{name} {text!r} is not of the form NAME=VALUE, such as {example}")
        pairs[left.strip()] = right
    return pairs


def next_columns_of(text: str) -> str | dict[str, str]:
    """A pattern, or names by the measurement."""
    return text if "{}" in text or "=" not in text else pairs_of("--next-columns", text.split(","), "age=age_later")


def labels_of(text: str | None) -> list[Any] | None:
    """Labels from a JSON list, or from between commas: numbers if all of them are whole ones."""
    if text is None:
        return None
    listed = json_or_text(text)
    if isinstance(listed, list):
        return listed
    parts = [part.strip() for part in text.split(",")]
    return [int(part) for part in parts] if all(re.fullmatch("0|-?[1-9][0-9]*", part) for part in parts) else parts


def label_of(text: str | None, states: Sequence[Any]) -> Any:
    """A state by how it is written."""
    if text is None:
        return None
    written = {str(state): state for state in states}
    if text not in written:
        raise ValueError(f"--start {text!r} is not a state of the log; {did_you_mean(text, written)}")
    return written[text]


def bounds_of(text: str) -> tuple[float, float]:
    """The lowest and the highest of LOW,HIGH."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        fail(f"--reward-range {text!r} is not LOW,HIGH, such as -1,1")
    return low, high


def as_options(message: str) -> str:
    """A message that speaks of Python's arguments, speaking of the command's options."""

    def columns(match: re.Match[str]) -> str:
        try:
            named = ast.literal_eval(match[1])
        except SyntaxError:  # a name that holds a brace
            return match[0]
        return " ".join(f"--column {shlex.quote(f'{ours}={theirs or ""}')}" for ours, theirs in named.items())

    message = message.replace("next_columns=", "--next-columns").replace("next_columns", "--next-columns")
    message = re.sub(r"columns=({.*?})", columns, message)
    message = re.sub(
        r"\b(separator|decimal|encoding|gaps|elsewhere|quantile|baseline|aim|step|terminal)='(.*?)'",
        r"--\1 '\2'",
        message,
    )
    message = message.replace("least_tries", "--least-tries")
    return re.sub(
        r"\b(states|actions|episode|step|cost|terminal)=(?!')",
        r"--\1",
        message.replace("columns=", "--column").replace("initial=", "--start "),
    )
