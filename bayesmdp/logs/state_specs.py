"""Recodings as they are written on the command line: ``age:bins(0,40,65,80)``, ``lactate:quantiles(4)``, ``ward``.

    COLUMN:bins(EDGE,EDGE,...)      intervals between edges; -inf and inf leave an end open
    COLUMN:cutoffs(CUT,CUT,...)     the same, open at both ends
    COLUMN:quantiles(NUMBER)        as many bins of about as many rows each
    COLUMN:categories(NAME,...)     the names in the column, in this order
    COLUMN                          the names in the column, as they come

Options stand after the arguments: ``closed=right`` (to which bin a cut-off belongs) and ``missing=state`` (a level of
its own for missing values). A name that holds a comma stands in quotation marks. Nothing is evaluated.
"""

from __future__ import annotations

import csv
import re

import numpy as np

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.logs.binned_parts import Bins, Quantiles
from bayesmdp.logs.category_parts import Categories
from bayesmdp.logs.measured_parts import Part

__all__ = ["part_from_text"]

KINDS = {
    "bins": "bins(0,40,65,80)",
    "cutoffs": "cutoffs(2,4)",
    "quantiles": "quantiles(4)",
    "categories": "categories(low,mid,high)",
}
"""Each kind with an example."""

OPTIONS = {"closed": ("left", "right"), "missing": ("refuse", "state")}


def part_from_text(text: str) -> Part:
    """Read one part of a recoding.

    Parameters
    ----------
    text : str

    Returns
    -------
    Part

    Raises
    ------
    ValueError
        If it is not written as the module says, or its edges do not rise: with the remedy.

    Examples
    --------
    >>> part_from_text("age:bins(0,40,65,80)").labels
    ('age 0 to <40', 'age 40 to <65', 'age 65 to 80')
    >>> part_from_text("lactate:cutoffs(2, 4, closed=right, missing=state)").labels
    ('lactate <=2', 'lactate >2 to 4', 'lactate >4', 'lactate missing')
    """
    column, kind, inside = _split(text)
    arguments, options = _arguments(text, inside)
    own_level = options.get("missing") == "state"
    if kind == "categories":
        if "closed" in options:
            raise ValueError(f"state {text!r}: categories have no sides, and so no option closed")
        return Categories(column, tuple(arguments), ordered=bool(arguments), missing=own_level)
    closed = options.get("closed", "left")
    values = [_number(text, argument) for argument in arguments]
    if kind == "quantiles":
        if len(values) != 1 or not float(values[0]).is_integer():
            raise ValueError(f"state {text!r}: quantiles take one whole number, such as quantiles(4)")
        return Quantiles(column, int(values[0]), closed, missing=own_level)
    if kind == "cutoffs":
        if not values or np.isinf(values).any():
            raise ValueError(f"state {text!r}: cutoffs take one number or more, such as cutoffs(2,4)")
        values = [-np.inf, *values, np.inf]
    return Bins(column, tuple(values), closed, missing=own_level)


def _split(text: str) -> tuple[str, str, str]:
    """The column, the kind and what stands in its brackets. A column's name may hold colons and brackets."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"a state is written COLUMN:KIND(...), such as age:{KINDS['bins']}; got {text!r}")
    column, colon, rest = text.strip().rpartition(":")
    found = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", rest, re.DOTALL)
    # An argument may hold a colon too, as in ward:categories(a:b).
    longer = re.fullmatch(rf"(.+?):\s*({'|'.join(KINDS)})\s*\((.*)\)\s*", text.strip(), re.DOTALL)
    if longer:
        return longer[1].strip(), longer[2], longer[3]
    if not colon:
        if rest.rstrip().endswith(")") and (missed := re.match(rf"(.*?)\W*({'|'.join(KINDS)})\s*\(", rest)):
            raise ValueError(
                f"state {text!r} has no colon; write COLUMN:{missed[2]}(...), such as age:{KINDS[missed[2]]}"
            )
        return rest.strip(), "categories", ""
    if not column.strip():
        raise ValueError(f"state {text!r} names no column; write COLUMN:KIND(...), such as age:{KINDS['bins']}")
    if found is None:
        raise ValueError(f"state {text!r} is not closed by a bracket; write it as in age:{KINDS['bins']}")
    if found[1] not in KINDS:
        hint = did_you_mean(found[1], KINDS, otherwise=f"there are {', '.join(KINDS)}")
        raise ValueError(f"state {text!r}: no kind {found[1]!r}; {hint}")
    return column.strip(), found[1], found[2] or ""


def _arguments(text: str, inside: str) -> tuple[list[str], dict[str, str]]:
    """What stands in the brackets: arguments, and options by name."""
    try:
        rows = list(csv.reader([inside.replace("\n", " ")], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"state {text!r}: {error}; is a quotation mark left open?") from None
    arguments: list[str] = []
    options: dict[str, str] = {}
    for field in rows[0] if rows and inside.strip() else []:
        name, equals, value = (piece.strip() for piece in field.partition("="))
        if not (equals and re.fullmatch(r"[a-z]+", name) and name in OPTIONS):
            arguments.append(field.strip())
            continue
        if value not in OPTIONS[name]:
            raise ValueError(f"state {text!r}: {name} must be {' or '.join(OPTIONS[name])}; got {value!r}")
        options[name] = value
    return arguments, options


def _number(text: str, argument: str) -> float:
    try:
        value = float(argument) if re.fullmatch(r"[-+]?(inf|[\d.]+(e[-+]?\d+)?)", argument, re.ASCII | re.I) else np.nan
    except ValueError:
        value = np.nan
    if np.isnan(value):
        name, equals, _ = argument.partition("=")
        hint = did_you_mean(name.strip(), OPTIONS) if equals else "edges are numbers, -inf or inf"
        raise ValueError(f"state {text!r}: {argument!r} is no number; {hint}")
    return value
