"""Episodes of a Dask DataFrame: brought together and put in order on whatever machines its partitions are.

Rows are numbered as they lie, and shuffled twice: by their episodes, so that each lies in one partition and its first
row is known, and by that row, so that partitions hold episodes in the order in which they first appear. From then on
each partition is what columns in memory are (:mod:`bayesmdp.logs.episodes`), and the result is theirs, row by row. The
machines keep it, for it is asked several times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayesmdp.foundation.extras import brought_by
from bayesmdp.logs.dask_columns import DaskScan
from bayesmdp.logs.log_sources import Table

__all__ = ["Ordered", "ordered_by_episode"]

NUMBER, KEY, FIRST = "number", "key", "first"
"""Columns beside those of the source, which are called by their positions: of each row, its number, a hash of its
episode, and the number of the episode's first row."""


class Ordered(NamedTuple):
    """Rows in the order of their episodes.

    Attributes
    ----------
    scan : DaskScan
        Of all columns, those that were filled in, and last the number that each row had.
    numbers : int
        The position of these.
    dropped : int
        Rows that were left out.
    """

    scan: DaskScan
    numbers: int
    dropped: int


class _Wrong(NamedTuple):
    """What is wrong with a partition, and the first row that is told of."""

    row: int
    error: Exception


def ordered_by_episode(
    scan: DaskScan, episode: int, width: int, order: Callable[[Table], tuple[Table, int]]
) -> Ordered:
    """Bring the rows of each episode together, and put them in order.

    Parameters
    ----------
    scan : DaskScan
    episode : int
        Position of the column that tells episodes apart.
    width : int
        How many columns there are when those that are missing were filled in.
    order : function of a Table of some whole episodes, in memory, to it in order and how many rows it leaves out

    Returns
    -------
    Ordered

    Raises
    ------
    ValueError, TypeError
        Of `order`, for the first row of which it complains.
    """
    with brought_by("dask"):
        import dask.dataframe as dd
        from dask.base import compute, persist
        from dask.delayed import delayed

    sizes, parts = scan.sizes, scan.parts
    begins = np.cumsum([0, *sizes])
    meta = _numbered(scan.empty, 0, episode)
    numbered = [
        delayed(_numbered, pure=False)(part, int(begin), episode) for part, begin in zip(parts, begins, strict=False)
    ]
    frame = dd.from_delayed(numbered, meta=meta, verify_meta=False)
    # By tasks, and not by way of Arrow, whose types are not those of pandas.
    together = frame.shuffle(on=KEY, shuffle_method="tasks").map_partitions(
        _with_first, episode, meta=_with_first(meta, episode)
    )
    cuts = np.unique(np.linspace(0, max(int(begins[-1]) - 1, 1), len(parts) + 1).astype(int)).tolist()
    sorted_by_first = together.set_index(FIRST, divisions=cuts, shuffle_method="tasks")
    ask = delayed(_ordered, pure=False)
    asked = [ask(part, width, order) for part in sorted_by_first.to_delayed()]
    done = persist(*asked)  # type: ignore[no-untyped-call]
    said = compute(*(delayed(_said, pure=False)(each) for each in done))  # type: ignore[no-untyped-call]
    wrong = [each for each in said if isinstance(each, _Wrong)]
    if wrong:
        raise min(wrong, key=lambda each: each.row).error
    empty = _ordered(_with_first(meta, episode).set_index(FIRST), width, order)
    frames = [delayed(_frame, pure=False)(each) for each in done]
    assert not isinstance(empty, _Wrong)
    return Ordered(DaskScan(frames, empty[0], scan.decimal, scan.orders), width, sum(said))


def _numbered(frame: pd.DataFrame, begin: int, episode: int) -> pd.DataFrame:
    """A partition with its columns called by position, and what rows are shuffled by."""
    named = frame.set_axis([str(place) for place in range(frame.shape[1])], axis=1).reset_index(drop=True)
    key = pd.util.hash_pandas_object(frame.iloc[:, episode].astype(object), index=False).to_numpy()
    return named.assign(**{NUMBER: begin + np.arange(len(frame)), KEY: key.astype(np.int64)})


def _with_first(frame: pd.DataFrame, episode: int) -> pd.DataFrame:
    """The same with the number of the first row of each row's episode; their own number for rows without one."""
    code, _ = pd.factorize(frame[str(episode)])
    first = frame.groupby(code)[NUMBER].transform("min") if len(frame) else frame[NUMBER]
    return frame.assign(**{FIRST: np.where(code < 0, frame[NUMBER], first)})


def _ordered(
    frame: pd.DataFrame, width: int, order: Callable[[Table], tuple[Table, int]]
) -> tuple[pd.DataFrame, int] | _Wrong:
    """Some whole episodes in order, with the number of each row, and how many rows were left out."""
    frame = frame.sort_values(NUMBER).reset_index(drop=True)
    # Its own columns, and after them the numbers of the rows.
    numbers, own = frame[NUMBER].to_numpy(), frame.drop(columns=[NUMBER, KEY]).assign(**{NUMBER: frame[NUMBER]})
    told: list[int] = []

    def place(row: int) -> str:
        told.append(int(numbers[row]))
        return f"row {numbers[row]}"

    def read(chosen: Mapping[Any, int]) -> pd.DataFrame:
        return pd.DataFrame({ours: own.iloc[:, at].array for ours, at in chosen.items()})

    try:
        table, dropped = order(Table("the Dask DataFrame", tuple(own.columns), read, place))
    except (ValueError, TypeError) as error:
        return _Wrong(told[0] if told else 0, error)
    given = own.shape[1] - 1
    columns = table.read({at: at if at < given else at + 1 for at in range(width)} | {width: given})
    return columns, dropped


def _said(ordered: tuple[pd.DataFrame, int] | _Wrong) -> int | _Wrong:
    return ordered if isinstance(ordered, _Wrong) else ordered[1]


def _frame(ordered: tuple[pd.DataFrame, int]) -> pd.DataFrame:
    return ordered[0]
