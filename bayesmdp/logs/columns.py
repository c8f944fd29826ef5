"""Which of a source's columns are a log's: by our names for them, or as the caller says.

Names that others use are suggested in messages and never taken without being asked for; what the columns hold is
checked in :mod:`bayesmdp.logs`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.logs.log_sources import Table

__all__ = ["ENDS", "REQUIRED", "choose_columns", "listed", "unused_columns"]

REQUIRED = ("state", "action", "reward", "next_state")
ENDS = ("terminated", "truncated")

ALIASES = {
    "state": ("s", "obs", "observation", "from", "current_state"),
    "action": ("a", "act", "decision"),
    "reward": ("r", "rew", "return"),
    "next_state": ("s2", "s_next", "s_prime", "sp", "next_s", "next_obs", "next_observation", "new_state", "to"),
}


def choose_columns(table: Table, columns: Mapping[str, Any]) -> dict[str, int]:
    """Find the columns of a source that are a log's, by our names or as the caller says.

    Parameters
    ----------
    table : Table
    columns : mapping of str to a column's name, or None
        From our names to the source's; None leaves that column out.

    Returns
    -------
    dict of str to int
        The position among the source's columns of each of ours that it has.

    Raises
    ------
    ValueError
        For a name that is none of ours or none of the source's, and a column that is missing or stands there twice.
    """
    our_names = (*REQUIRED, *ENDS)
    for ours, theirs in columns.items():
        if ours not in our_names:
            remedy = (
                f"write columns={{{theirs!r}: {ours!r}}}" if theirs in our_names else f"ours are {', '.join(our_names)}"
            )
            raise ValueError(f"columns leads from our names to the source's, and {ours!r} is none of ours; {remedy}")
        if theirs is not None and theirs not in table.columns:
            hint = _layout_hint(table) or did_you_mean(theirs, table.columns, otherwise="give a name it has")
            raise ValueError(f"{table.name} has no column {theirs!r}; it has {listed(table.columns)}; {hint}")
    chosen = {ours: columns.get(ours, ours) for ours in our_names if columns.get(ours, ours) in table.columns}
    missing = [name for name in REQUIRED if name not in chosen]
    if missing:
        _refuse_missing(table, missing)
    doubled = [theirs for theirs in chosen.values() if table.columns.count(theirs) > 1]
    if doubled:
        raise ValueError(f"{table.name} has the column {doubled[0]!r} more than once; rename all but one")
    return {ours: table.columns.index(theirs) for ours, theirs in chosen.items()}


def unused_columns(table: Table, chosen: Mapping[str, int]) -> dict[int, Any]:
    """Return position and name of the columns that are left out, but for the unnamed numbering that pandas writes.

    Parameters
    ----------
    table : Table
    chosen : mapping of str to int
        Positions of the columns that are read.

    Returns
    -------
    dict of int to a column's name
    """
    used = set(chosen.values())
    return {place: name for place, name in enumerate(table.columns) if place not in used and name != ""}


def _refuse_missing(table: Table, missing: Sequence[str]) -> None:
    """Say which columns are missing, and which of the source's they may be."""
    candidates = {str(name).lower(): name for name in table.columns if name not in REQUIRED}
    guesses = {}
    for ours in missing:
        named = [candidates[alias] for alias in ALIASES[ours] if alias in candidates] or [
            candidates[close] for close in get_close_matches(ours, candidates, 1, cutoff=0.75)
        ]
        if named:
            guesses[ours] = named[0]
            candidates = {lower: name for lower, name in candidates.items() if name != named[0]}
    hint = (
        _layout_hint(table)
        or _measured_hint(table, missing)
        or f"columns={guesses or {missing[0]: 'NAME'}} says which are meant"
    )
    raise ValueError(f"{table.name} has no column {listed(missing)}; it has {listed(table.columns)}; {hint}")


def _measured_hint(table: Table, missing: Sequence[str]) -> str:
    """Return how states are made of vectors of observations; empty if there are none."""
    parts = [name for name in map(str, table.columns) if re.fullmatch(r"observation_\d+", name)]
    if "state" not in missing or not parts:
        return ""
    shown = ", ".join(repr(f"{name}:quantiles(4)") for name in parts[:3]) + ", ..." * (len(parts) > 3)
    return f"observations are vectors: make states of their parts, such as state=[{shown}]"


def _layout_hint(table: Table) -> str:
    """Return what to do about a first line that is no header, or one of another separator; empty if it is in order."""
    if not (table.written and table.columns):
        return ""
    first = str(table.columns[0])
    if all(re.fullmatch(r"[-+.\deE]+", str(name)) for name in table.columns):
        return "the first line must be a header that names the columns"
    if "\0" in first:
        return "it is full of the character 0, as UTF-16 is; give its encoding, such as encoding='utf-16-le'"
    if first.startswith(("#", "%", "//")) and not set(map(str, table.columns[1:])) & {*REQUIRED}:
        return (
            f"the first line is a comment, and should be the header; delete it, or read the file with "
            f"pandas.read_csv(..., comment={first[0]!r}) and pass the DataFrame"
        )
    other = re.search(r"[;\t,|]", first) if len(table.columns) == 1 else None
    return f"pass the separator, such as separator={other[0]!r}" if other else ""


def listed(names: Sequence[Any]) -> str:
    """Names for a message, not too many of them."""
    shown = ", ".join(repr(name) if len(str(name)) <= 40 else repr(str(name)[:40]) + "..." for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "none"
