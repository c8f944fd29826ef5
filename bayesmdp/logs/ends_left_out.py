"""Ends of episodes that are told in rows which are left out.

Of records without next states the last row of an episode is left out, since nothing is known of what followed. What
says how the episode ended stands in that very row, and is lost unless its column is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesmdp.logs.columns import ENDS
from bayesmdp.logs.ends import beyond_chance
from bayesmdp.logs.ends_by_name import meant_by_name, ways_to_name
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
    open_ends = [ours for ours in ENDS if ours not in {**chosen, **columns}]
    for place, name in left.items() if open_ends else ():
        meaning = meant_by_name(name)
        if meaning and meaning[0] in columns:  # it was asked about by its name, and waved off
            continue
        ones, rows = _ones(whole, place)
        elsewhere = _ones(kept, place)[0] if ones else 0
        hits = ones - elsewhere
        alone = hits == dropped and not elsewhere
        if beyond_chance(hits, dropped, ones, rows, at_ends=hits, alone=alone):
            waved = ", ".join(f"{ours!r}: None" for ours in open_ends)
            raise ValueError(
                f"{whole.name} has a column {name!r} that is true in the last row of episodes ({hits:,} of {dropped:,} "
                f"times; in {elsewhere:,} of {rows - dropped:,} other rows), as at an end of an episode, and these "
                f"rows are left out; pass {ways_to_name(name, open_ends)}, or columns={{{waved}}} if it says something "
                "else"
            )


def _ones(table: Table, place: int) -> tuple[int, int]:
    """In how many rows a column is true, and of how many; none of none where it holds anything but flags."""
    scan = table.scan() if table.scan else None
    if scan is not None and scan.kinds(place) > KINDS_OF_FLAGS:
        return 0, 0
    flags = as_flags(table.read({"column": place})["column"])
    return (0, 0) if flags is None else (int(flags.sum()), len(flags))
