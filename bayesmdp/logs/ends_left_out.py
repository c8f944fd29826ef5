"""Ends of episodes that are told in rows which are left out.

Of records without next states the last row of an episode is left out, since nothing is known of what followed. What
says how the episode ended stands in that very row, and is lost unless its column is named.

A row that others of its episode follow ended nothing. So a column that is true in many such rows, as of a second visit,
of a drug that is given from some day on, or of the weekend where episodes are weeks, says something else, even where it
is true in all last rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesmdp.logs.ends import MISTAKES, beyond_chance
from bayesmdp.logs.ends_by_name import unsettled, ways_to_name, ways_to_wave_off
from bayesmdp.logs.flags import as_flags
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.row_order import KINDS_OF_FLAGS

__all__ = ["refuse_ends_left_out"]


def refuse_ends_left_out(
    whole: Table,
    kept: Table,
    columns: Mapping[str, Any],
    chosen: Mapping[str, int],
    left: Mapping[int, Any],
    dropped: int,
) -> None:
    """Refuse a column left out that is true in last rows of episodes, which are left out, unless ends are settled.

    Parameters
    ----------
    whole, kept : Table
        With these rows, and without them; columns that only `kept` has come last.
    columns : mapping
        As the caller of `read_log` gave it, with those that were filled in.
    chosen : mapping of str to int
        Positions of the columns that are read.
    left : mapping of int to a column's name
        Those that are not, by position.
    dropped : int
        Rows that are left out.

    Raises
    ------
    ValueError
        With how often the column is true there and elsewhere, and what to pass for each meaning it may have.
    """
    open_ends, looked = unsettled(columns, chosen, left)
    for place in looked:
        ones, rows = _ones(whole, place)
        elsewhere = _ones(kept, place)[0] if ones else 0
        hits = ones - elsewhere
        alone = hits == dropped and not elsewhere
        if elsewhere * MISTAKES <= hits and beyond_chance(hits, dropped, ones, rows, at_ends=hits, alone=alone):
            raise ValueError(
                f"{whole.name} has a column {left[place]!r} that is true in the last row of episodes ({hits:,} of "
                f"{dropped:,} times; in {elsewhere:,} of {rows - dropped:,} other rows), as at an end of an episode, "
                f"and these rows are left out; pass {ways_to_name(left[place], open_ends)}, or "
                f"{ways_to_wave_off(open_ends)} if it says something else"
            )


def _ones(table: Table, place: int) -> tuple[int, int]:
    """In how many rows a column is true, and of how many; none of none where it holds anything but flags."""
    scan = table.scan() if table.scan else None
    if scan is not None and scan.kinds(place) > KINDS_OF_FLAGS:
        return 0, 0
    flags = as_flags(table.read({"column": place})["column"])
    return (0, 0) if flags is None else (int(flags.sum()), len(flags))
