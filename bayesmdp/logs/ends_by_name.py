"""Columns whose names say that they tell where episodes end: refused until they are named, or waved off."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bayesmdp.logs.columns import ENDS
from bayesmdp.logs.flags import as_flags
from bayesmdp.logs.log_sources import Table

__all__ = ["refuse_ends_by_name", "unsettled", "ways_to_name", "ways_to_wave_off"]

# Asked about whatever they hold.
ALIASES = {
    "terminated": ("done", "last", "terminal", "end", "is_terminal", "dones", "is_done", "terminations", "terminate"),
    "truncated": ("truncations", "truncation", "truncate", "timeout", "timeouts", "time_limit"),
}
# Words of names that are about nothing but ends: asked about where the column holds flags, some of them true.
_ENDING = re.compile(
    "absorbing|completed?|dones?|end(ed|ing|s)?|eo[es]|exit|final|finish(ed)?|last|over|stop(ped)?|terminals?"
    "|terminat(es?|ed|ing|ions?)|is(done|end|final|last|over|terminal)|gameover|endofepisode"
)
_CUTTING = re.compile("censored|cut|cutoff|timeouts?|timelimit|truncat(es?|ed|ions?)")
_FILLING = re.compile(
    "a|and|at|by|ep|episodes?|flags?|game|has|in|is|limit|mask|next|of|off|or|out|reached|rollout|run|sequence|session"
    "|state|step|the|this|timed?|traj|trajectory|transition|was"
)


def _meant_by_name(name: Any) -> tuple[str, bool] | None:
    """Which of ours a column's name means, and whether whatever it holds; None if it is about something else."""
    plain = str(name).lower()
    for ours, aliases in ALIASES.items():
        if plain in (*aliases, ours):
            return ours, True
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d{2,}", str(name))]
    ending, cutting, filling = ([word for word in words if of.fullmatch(word)] for of in (_ENDING, _CUTTING, _FILLING))
    if set(words) - {*ending, *cutting, *filling}:
        return None
    if ending:
        return "terminated", False
    timed = {"time", "timed"} & set(words) and {"limit", "out"} & set(words)
    return ("truncated", False) if cutting or timed else None


def refuse_ends_by_name(
    table: Table, columns: Mapping[str, Any], chosen: Mapping[str, int], left: dict[int, Any]
) -> None:
    """Refuse a column left out whose name says that it tells of ends, unless it is waved off with None.

    Parameters
    ----------
    table : Table
    columns : mapping
        As the caller of `read_log` gave it; a name of ours with None waves columns off.
    chosen : mapping of str to int
        Positions of the columns that are read.
    left : dict of int to a column's name
        Those that are not, by position.

    Raises
    ------
    ValueError
        With what to pass for each meaning that the column may have.
    """
    meant = {place: meaning for place, name in left.items() if (meaning := _meant_by_name(name))}
    meant = {place: meaning for place, meaning in meant.items() if meaning[0] not in {**chosen, **columns}}
    looked = [place for place, (_, whatever) in meant.items() if not whatever]
    contents = table.read({place: place for place in looked}) if looked else pd.DataFrame()
    for ours, whatever in (("terminated", True), ("truncated", True), ("terminated", False), ("truncated", False)):
        for place in [place for place, meaning in meant.items() if meaning == (ours, whatever)]:
            flags = None if whatever else as_flags(contents[place])
            if not whatever and (flags is None or not flags.any()):
                continue
            name = left[place]
            if ours == "truncated":
                raise ValueError(
                    f"{table.name} has a column {name!r}; pass columns={{'truncated': {name!r}}} if it says that the "
                    "recording was cut off, or columns={'truncated': None} if it says something else"
                )
            raise ValueError(
                f"{table.name} has a column {name!r}, which does not say why an episode ended; pass "
                f"columns={{'terminated': {name!r}}} if nothing can follow such a step, "
                f"columns={{'truncated': {name!r}}} if the recording was cut off there, as by a time limit, or "
                "columns={'terminated': None} if it says something else"
            )


def unsettled(
    columns: Mapping[str, Any], chosen: Mapping[str, int], left: Mapping[int, Any]
) -> tuple[list[str], list[int]]:
    """Return which ends are not settled, and the positions of columns left out that may tell them; none if all are.

    An end is settled once it is a column, or waved off with None. A column that was asked about by its name is waved
    off by that answer.

    Parameters
    ----------
    columns, chosen, left
        As for `refuse_ends_by_name`.

    Returns
    -------
    list of "terminated", "truncated"
    list of int
    """
    open_ends = [ours for ours in ENDS if ours not in {**chosen, **columns}]
    asked = {place for place, name in left.items() if (meaning := _meant_by_name(name)) and meaning[0] in columns}
    return open_ends, [place for place in left if place not in asked] if open_ends else []


def ways_to_wave_off(open_ends: Sequence[str]) -> str:
    """Say what to pass where a column tells of none of these ends.

    Parameters
    ----------
    open_ends : sequence of "terminated", "truncated"

    Returns
    -------
    str
    """
    return "columns={" + ", ".join(f"{ours!r}: None" for ours in open_ends) + "}"


def ways_to_name(column: Any, open_ends: Sequence[str]) -> str:
    """Say what to pass for each meaning that a column may have.

    Parameters
    ----------
    column : a column's name
    open_ends : sequence of "terminated", "truncated"

    Returns
    -------
    str
    """
    why = {
        "terminated": "if nothing can follow such a step",
        "truncated": "if the recording was cut off there, as by a time limit",
    }
    return ", ".join(f"columns={{{ours!r}: {column!r}}} {why[ours]}" for ours in open_ends)
