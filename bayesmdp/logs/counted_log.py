"""Counted logs: one row for each distinct step, with how often it was taken.

A posterior needs no more of a log than that, however many steps there are. A counted log is a log whose variable
``count`` says how many steps each row stands for, and ``begins`` which of these are the first of their episode; its
rows are in the order of their labels, and say nothing of what followed on what.

Where there are more than `MANY` steps, the first of which bring more than `KINDS_OF_REWARDS` different rewards, steps
are distinct without regard to the reward. Its mean m and standard deviation d within each are kept by two rows, of half
the count each, that bring m - d and m + d: number, sum and squares, which is all that rewards Normal about a mean of
their own have to tell, are those of the log; `infer` refuses a model that needs more. The attr ``rewards`` of such a
log is "summed".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.distinct_rows import Summed, sum_rewards

__all__ = ["KINDS_OF_REWARDS", "LOOKED_AT", "MANY", "count_steps"]

MANY = 100_000
"""Steps above which a log is counted where the choice is left to `read_log`."""

KINDS_OF_REWARDS, LOOKED_AT = 10_000, 1_000_000
"""Different rewards above which those of many steps are summed, and the first steps, whose rewards tell."""


def count_steps(
    log: xr.Dataset,
    index: Mapping[str, NDArray[np.int64]],
    begins: NDArray[np.bool_],
    count: NDArray[np.int64],
    rewards: Summed | None,
) -> xr.Dataset:
    """Bring together the rows of a log that are alike.

    Parameters
    ----------
    log : Dataset over ``step``
    index : mapping of "state", "action" and "next_state" to int array [step]
        Their labels' positions, by which rows are put in order.
    begins : bool array [step]
        Whether a row's steps are the first of their episode.
    count : int array [step]
        How many steps each row stands for.
    rewards : Summed or None
        Of each row, in the place of the log's, if they are summed already.

    Returns
    -------
    Dataset over ``step``
        With ``count`` and ``begins``.
    """
    others = [str(name) for name in log.data_vars if name not in (*index, "reward")]
    keys = {**index, **{name: np.unique(log[name].values, return_inverse=True)[1] for name in others}, "begins": begins}
    paid = log["reward"].values
    if rewards is None and len(paid) > MANY and len(np.unique(paid[:LOOKED_AT])) > KINDS_OF_REWARDS:
        rewards = sum_rewards(paid)
    by = [np.asarray(key) for key in keys.values()] + ([paid] if rewards is None else [])
    order = np.lexsort(by[::-1])
    new = np.zeros(len(order), bool)
    new[0] = True
    for key in by:
        new[1:] |= key[order[1:]] != key[order[:-1]]
    first = np.flatnonzero(new)
    chosen = order[first]
    number = np.add.reduceat(count[order], first)
    counted = log.isel(step=chosen).assign(begins=("step", begins[chosen]), count=("step", number.astype(float)))
    counted = counted.assign_coords(step=np.arange(len(chosen)))
    if rewards is None:
        return counted
    total, squares = (np.add.reduceat(each[order], first) for each in (rewards.total, rewards.squares))
    return _two_points(counted, Summed(total, squares, rewards.unit), number)


def _two_points(counted: xr.Dataset, rewards: Summed, number: NDArray[np.int64]) -> xr.Dataset:
    """Rows whose rewards have the mean and the variance of those that were summed."""
    mean, variance = rewards.moments(number)
    apart = np.sqrt(variance)
    scatter = apart > 0
    row = np.repeat(np.arange(len(mean)), 1 + scatter)
    sign = np.where(scatter[row], np.where(np.append(True, row[1:] != row[:-1]), -1.0, 1.0), 0.0)
    told = counted.isel(step=row)
    return (
        told.assign(reward=("step", mean[row] + sign * apart[row]), count=("step", number[row] / (1.0 + scatter[row])))
        .assign_coords(step=np.arange(len(row)))
        .assign_attrs(rewards="summed", least_reward=rewards.unit.least)
    )
