"""Ends of episodes in a log: which rows end one, what must not be taken for none, and where rows do not go on.

An end that is not seen is the worst fault of a log: each last state then goes on for ever, and values and policy are
wrong without a sound. Two things give away a column that says where episodes end though it was not named so: its name,
and that it is true where the next row does not go on where the last one stopped. Either is refused until the column is
named, or waved off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmdp.logs.columns import listed
from bayesmdp.logs.ends_by_name import unsettled, ways_to_name, ways_to_wave_off
from bayesmdp.logs.flags import as_flags
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.row_order import Beside, Chain

__all__ = [
    "MISTAKES",
    "beyond_chance",
    "check_ends",
    "describe_gaps",
    "refuse_ends_by_place",
]

CHANCE = 1e-3
"""A column is not taken for an end if chance alone would put so many of its ones on gaps more often than this."""
CHANCE_OF_ALL = 0.05
"""The same of a column that is true on all gaps and nowhere but at ends."""

MISTAKES = 10
"""Of episodes that a column tells: true at ends at least so many times for each row in which it is true and others of
the episode follow, for such a row ended nothing."""


def refuse_ends_by_place(
    table: Table,
    columns: Mapping[str, Any],
    chosen: Mapping[str, int],
    left: Mapping[int, Any],
    beside_ends: Callable[[int], Beside | None],
    *,
    by_episode: bool,
) -> None:
    """Refuse a column left out that is true, or false, where rows do not go on, unless ends are settled.

    For logs in which some rows do not go on, or of which only a column of episodes says where these end.

    Parameters
    ----------
    table, columns, chosen, left
        As for `refuse_ends_by_name`.
    beside_ends : function of a position
        That column beside what the log says of ends; None if it has too many values for flags.
    by_episode : bool
        Whether it is a column of episodes that says where rows do not go on.

    Raises
    ------
    ValueError
        With how often the column is true where rows do not go on, and what to pass for each meaning it may have.
    """
    open_ends, looked = unsettled(columns, chosen, left)
    for place in looked:
        beside = beside_ends(place)
        flags = None if beside is None else as_flags(beside.column)
        if beside is None or flags is None:
            continue
        for true, flag in ((True, flags), (False, ~flags)):
            # What is false at ends is rare, and false by chance where few rows are: only many count.
            if not _falls_on(flag, beside, few=true, by_episode=by_episode):
                continue
            met = flag & beside.gap
            hits, gaps = (int(beside.times[rows].sum()) for rows in (met, beside.gap))
            first = table.place(int(beside.first[np.argmax(met)]))
            by = "where the next row does not go on where the last one stopped"
            by = "in the last row of episodes" if by_episode else by
            where = (
                f"{table.name} has a column {left[place]!r} that is {str(true).lower()} {by} ({hits:,} of {gaps:,} "
                f"times, first at {first}), as at an end of an episode"
            )
            waved = ways_to_wave_off(open_ends)
            if not true:
                raise ValueError(
                    f"{where}; add a column that is true there, named terminated if nothing can follow such a step, or "
                    f"truncated if the recording was cut off there; or pass {waved} if it says something else"
                )
            raise ValueError(
                f"{where}; pass {ways_to_name(left[place], open_ends)}, or {waved} if it says something else"
            )


def _falls_on(flag: NDArray[np.bool_], beside: Beside, *, few: bool, by_episode: bool) -> bool:
    """Whether a flag is true where rows do not go on too often for chance; of all of them a `few` will do.

    Nothing follows the last row, so it does not count.
    """
    count, gap, ended = beside.times - beside.last, beside.gap, beside.ended

    def times(rows: NDArray[np.bool_]) -> int:
        return int(count[rows].sum())

    ones, hits, gaps = times(flag), times(flag & gap), times(gap)
    if by_episode and times(flag & ~ended) * MISTAKES > times(flag & ended):
        return False
    alone = few and hits == gaps and not times(flag & ~ended)
    return beyond_chance(hits, gaps, ones, int(count.sum()), at_ends=times(flag & ended), alone=alone)


def beyond_chance(hits: int, gaps: int, ones: int, rows: int, *, at_ends: int, alone: bool) -> bool:
    """Whether a column is true where rows do not go on too often for chance.

    Parameters
    ----------
    hits, gaps : int
        Of the places where rows do not go on, those at which it is true, and all.
    ones, rows : int
        Rows in which it is true, and all.
    at_ends : int
        Of the former, those at which an episode ends, by a gap or as the log says.
    alone : bool
        Whether it is true in all of these places and nowhere but at ends: then few will do.

    Returns
    -------
    bool
    """
    from scipy.stats import hypergeom  # a third of a second to import, and seldom needed

    if not hits:
        return False
    chance = float(hypergeom.sf(hits - 1, rows, gaps, ones))
    return chance < CHANCE_OF_ALL if alone else at_ends * 2 >= ones and chance < CHANCE


def check_ends(table: Table, chain: Chain) -> None:
    """Refuse a state that ends an episode in one row and is acted in, or entered as any other, in another row.

    Parameters
    ----------
    table : Table
        For messages.
    chain : Chain

    Raises
    ------
    ValueError
        With the places of both rows.
    """
    states, state, next_state, terminated = chain.states, chain.state, chain.next_state, chain.terminated
    terminal = np.zeros(len(states), bool)
    terminal[next_state[terminated]] = True
    for wrong, complaint in (
        (terminal[state], "is acted in"),
        (terminal[next_state] & ~terminated, "is entered with terminated false"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            index = (state if complaint == "is acted in" else next_state)[row]
            end = int(np.argmax(terminated & (next_state == index)))
            raise ValueError(
                f"{table.name} {table.place(row)}: the state {states[index]!r} {complaint}, but at {table.place(end)} "
                "it is entered with terminated true, so nothing could follow it; where a time limit ended the episode, "
                "mark that row as truncated; where next_state is the next episode's first state, write the last one"
            )


def describe_gaps(table: Table, chain: Chain, absent: Sequence[str], left: Sequence[Any]) -> str:
    """Say where rows do not go on, what follows for where episodes start, and what to do about it.

    Parameters
    ----------
    table : Table
    chain : Chain
        With at least one gap.
    absent : sequence of str
        Which of ``terminated`` and ``truncated`` the log has not.
    left : sequence of column names
        Those that are not read.

    Returns
    -------
    str
    """
    gap = chain.gap
    number, row = int(chain.rows.count[gap].sum()), int(np.argmax(gap))
    gaps = "a gap" if number == 1 else f"{number:,} gaps"
    text = (
        f"{table.name} has {gaps} between rows, first after {table.place(row)}: next_state is "
        f"{chain.states[chain.next_state[row]]!r}, but the next row's state is {chain.rows.next_label(row, chain)!r}, "
        "and no episode ended. "
    )
    if "truncated" in absent:
        without = " or ".join(map(repr, absent))
        text += (
            f"There is no column {without}, so it is assumed that the recording was cut off there, before the episode "
            "had ended, and that the next row starts another one. "
        )
    else:
        text += "Are rows missing or out of order? Episodes are assumed to start in the first row and after each end. "
    text += (
        "If rows are missing, in reverse order, or mixed from several episodes, these are not the starts, and numbers "
        "for the start would be wrong; none is reported. "
    )
    if chain.rows.backwards(chain) < number:
        text += "Read from the last row to the first there are fewer gaps: are rows in reverse order? "
    remedies = ["sort rows by episode and time"]
    if absent:
        remedies.append("name the column with columns=")
    remedies.append("use gaps='cut' if rows are in order and the recording was cut off at each of these places")
    text += f"{', '.join(remedies).capitalize()}, or accept the gaps with gaps='allow' if rows are in no order"
    return text + (f". Columns left out: {listed(left)}" if left else "")
