"""Rows of a log and how they lie to each other: read one by one, or grouped to distinct rows where they are many.

What the checks of a log ask for is the same for both: which rows are there, how often, where the first of each stands,
and what the row after and the row before it say. A group counts as one row, so that checks cost what there is to tell
apart, however long the log is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.logs.columns import ENDS
from bayesmdp.logs.distinct_rows import BEFORE, Distinct, Summed, distinct_rows
from bayesmdp.logs.flags import as_flags, read_flags
from bayesmdp.logs.log_labels import plain_label
from bayesmdp.logs.log_sources import Table
from bayesmdp.logs.scanned_columns import Columns

__all__ = ["Beside", "Chain", "DistinctRows", "EachRow", "Rows", "Unplaced"]

KINDS_OF_FLAGS = 24
"""Different values above which a column says neither true nor false; roughly, for they are counted so."""


class Unplaced(Exception):
    """A message needs the place of a row, and rows were grouped without it."""


class Beside(NamedTuple):
    """A column beside what a log says of ends.

    Attributes
    ----------
    column : Series [row]
    gap, ended, last : bool array [row]
        Whether an episode ends there though the log does not say how: the next row starts elsewhere, or is of another
        episode; that, or an end of which it says how; and the last row of all.
    times, first : int array [row]
        How many rows it stands for, and where the first of them is.
    """

    column: pd.Series
    gap: NDArray[np.bool_]
    ended: NDArray[np.bool_]
    last: NDArray[np.bool_]
    times: NDArray[np.int64]
    first: NDArray[np.int64]


class Rows(Protocol):
    """Rows of a log, each of which may stand for several.

    Attributes
    ----------
    table : Table
        Whose places are those of these rows.
    frame : DataFrame [row]
        Under our names for columns.
    count : int array [row]
    rewards : Summed or None
        Of each row, where rewards were summed.
    """

    table: Table
    frame: pd.DataFrame
    count: NDArray[np.int64]
    rewards: Summed | None

    def apart(self, state: NDArray[np.int64], next_state: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the next row's state is another than a row's next state [row]."""

    def begins(self, chain: Chain, *, cut: bool) -> NDArray[np.bool_]:
        """Return which rows [row] begin an episode: the first, and those after an end, or after a gap if that cuts."""

    def next_label(self, row: int, chain: Chain) -> Any:
        """Return the state of the row after the first that one stands for."""

    def backwards(self, chain: Chain) -> int:
        """Count how often rows do not go on if they are read from the last to the first."""

    def beside(self, place: int, chain: Chain) -> Beside | None:
        """Return a column, by its position, beside ends; None if it has too many values to be one of flags."""


class Chain(NamedTuple):
    """How rows follow on each other.

    Attributes
    ----------
    rows : Rows
        The rows, each of which may stand for several that are alike.
    state, next_state : int array [row]
        Indices into `states`.
    terminated, truncated : bool array [row]
        What the log says of ends.
    states : labels
    by_episode : bool
        Whether `truncated` says only where another episode follows, and no column of the log says how one ended.
    """

    rows: Rows
    state: NDArray[np.int64]
    next_state: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    states: Sequence[Any]
    by_episode: bool = False

    @property
    def gap(self) -> NDArray[np.bool_]:
        """Rows [row] after which the next one starts elsewhere, though no episode ended."""
        return self.rows.apart(self.state, self.next_state) & ~self.terminated & ~self.truncated

    @property
    def unsaid(self) -> NDArray[np.bool_]:
        """Rows [row] at which an episode ends of which the log does not say how."""
        return self.gap | self.truncated if self.by_episode else self.gap


class EachRow:
    """Rows that are read one by one.

    Parameters
    ----------
    table : Table
    chosen : mapping of our names to positions
    """

    rewards: Summed | None = None

    def __init__(self, table: Table, chosen: Mapping[str, int]) -> None:
        self.table, self.frame = table, table.read(chosen)
        self.count = np.ones(len(self.frame), np.int64)

    def apart(self, state: NDArray[np.int64], next_state: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.append(state[1:] != next_state[:-1], False)

    def begins(self, chain: Chain, *, cut: bool) -> NDArray[np.bool_]:
        over = chain.terminated | chain.truncated | (chain.gap & cut)
        return np.append(True, over[:-1])

    def next_label(self, row: int, chain: Chain) -> Any:
        return chain.states[chain.state[row + 1]]

    def backwards(self, chain: Chain) -> int:
        return int((chain.next_state[1:] != chain.state[:-1]).sum())

    def beside(self, place: int, chain: Chain) -> Beside | None:
        row = np.arange(len(self.frame))
        ended = chain.gap | chain.terminated | chain.truncated
        column = self.table.read({"column": place})["column"]
        return Beside(column, chain.unsaid, ended, row == row[-1], self.count, row)


class DistinctRows:
    """Rows that are grouped before they are read.

    Parameters
    ----------
    table : Table
    scan : Columns
        Of the same.
    chosen : mapping of our names to positions
    summed : bool
        Group without regard to rewards, and sum these.
    placed : bool
        Know where each is first; otherwise `Unplaced` is raised where this is needed, and it is to be made again.
    """

    def __init__(self, table: Table, scan: Columns, chosen: Mapping[str, int], *, summed: bool, placed: bool) -> None:
        self._scan, self._chosen, self._placed = scan, dict(chosen), placed
        keys = {ours: place for ours, place in chosen.items() if not (summed and ours == "reward") and ours not in ENDS}
        self._cleaned = False
        self._rows = self._distinct(keys, chosen["reward"] if summed else None)
        self._cleaned = self._rows.cleaned
        self.frame, self.count, self.rewards = self._rows.frame, self._rows.times, self._rows.rewards
        place, rows = table.place, self._rows
        # Not by way of `self`: in a circle, files that were written for a reading would outlive it.
        self.table = table._replace(place=lambda row: place(int(_placed(rows)[row])))

    def apart(self, state: NDArray[np.int64], next_state: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._rows.apart

    def begins(self, chain: Chain, *, cut: bool) -> NDArray[np.bool_]:
        rows, after_end = self._rows, np.zeros(len(self.frame), bool)
        for name in self._ends:
            flags = as_flags(rows.frame[BEFORE + name])
            after_end |= False if flags is None else flags  # all missing: the log is of one row
        return rows.begins | after_end | (rows.before_apart & cut)

    def next_label(self, row: int, chain: Chain) -> Any:
        after = self._scan.value(self._chosen["state"], int(_placed(self._rows)[row]) + 1)
        label, *_ = plain_label(after)
        texts = {str(state): state for state in chain.states}
        if isinstance(label, str) and label not in texts and re.fullmatch(r"-?\d+\.0*", label):  # in a text file
            label = int(label.partition(".")[0])
        return texts.get(str(label), after)

    def backwards(self, chain: Chain) -> int:
        return self._scan.backwards(self._chosen["state"], self._chosen["next_state"])

    def beside(self, place: int, chain: Chain) -> Beside | None:
        if self._scan.kinds(place) > KINDS_OF_FLAGS:
            return None
        if not self._placed:
            raise Unplaced
        rows = self._distinct({"column": place})
        terminated, truncated = (read_flags(self.table, rows.frame, name) for name in ENDS)
        gap = rows.apart & ~terminated & ~truncated
        if chain.by_episode:
            gap |= truncated
        column = rows.frame["column"]
        assert rows.last is not None and rows.first is not None
        return Beside(column, gap, rows.apart | terminated | truncated, rows.last, rows.times, rows.first)

    @cached_property
    def _ends(self) -> dict[str, int]:
        return {name: self._chosen[name] for name in ENDS if name in self._chosen}

    def _distinct(self, keys: Mapping[str, int], summed: int | None = None) -> Distinct:
        state, next_state = self._chosen["state"], self._chosen["next_state"]
        return distinct_rows(
            self._scan, keys, state, next_state, self._ends, summed, placed=self._placed, cleaned=self._cleaned
        )


def _placed(rows: Distinct) -> NDArray[np.int64]:
    if rows.first is None:
        raise Unplaced
    return rows.first
