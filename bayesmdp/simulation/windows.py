"""What is recorded of a run: its steps, summed or read off in windows of so many."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

from bayesmdp.foundation.arrays import Array

__all__ = ["Record", "Rollout", "Windows"]


class Rollout(NamedTuple):
    """An agent's run on the host, in windows of ``thin`` steps.

    Attributes
    ----------
    reward, regret : arrays [window]
        Sums over the window.
    state, action : arrays [window]
        Of the window's last step.
    report : dict of arrays [window]
        The agent's own account at the window's last step.
    beliefs : pytree, leading axis [checkpoint]
        Belief states after the checkpoints' numbers of steps; None if there are none.
    policies : array [checkpoint, state]
        The policies in use then; None if there are none.
    robust_regret, gap : array [window] or None
        Sums over the window: where it was asked for, and where the objective has it.
    """

    reward: Float[Array, " window"]
    regret: Float[Array, " window"]
    state: Num[Array, "window ..."]
    action: Int[Array, " window"]
    report: dict[str, Float[Array, " window"]]
    beliefs: Any
    policies: Num[Array, "checkpoint state *action"] | None
    robust_regret: Float[Array, " window"] | None = None
    gap: Float[Array, " window"] | None = None


class Record(NamedTuple):
    """What is recorded of a step, or of several with a leading axis.

    Attributes
    ----------
    state, action
        The state acted in, and the action.
    numbers : array [..., number]
        First the numbers that are summed over windows, then the agent's reports.
    """

    state: Num[Array, " ..."]
    action: Int[Array, "*step"]
    numbers: Float[Array, "*step number"]


class Windows:
    """Records of a run, filled chunk by chunk: some numbers are summed over windows, the rest is of their last step.

    Each number has an array of its own, of the type in which results hold it: to fill those costs no more than to fill
    one for all, and nothing is converted when runs are put together.

    Attributes
    ----------
    sums, last : lists of arrays [window]
        The numbers that are summed, and the reports.
    state, action : arrays [window]
    """

    def __init__(self, steps: int, thin: int, summed: int) -> None:
        self.thin, self.windows = thin, steps // thin
        self.sums = [np.zeros(self.windows) for _ in range(summed)]

    def add(self, begin: int, end: int, records: Record) -> None:
        """Add the steps after `begin` up to `end`, which are the first rows of `records`."""
        state, action, numbers = (np.asarray(part)[: end - begin] for part in records)
        summed, last = np.split(numbers.T, [len(self.sums)])
        if begin == 0:
            self.state, self.action = (
                np.zeros((self.windows, *part.shape[1:]), part.dtype) for part in (state, action)
            )
            self.last = [np.zeros(self.windows, np.float32) for _ in last]
        if self.thin == 1:  # each step is a window, and summing over one costs a short run as much as the rest
            self._put(slice(begin, end), slice(None), state, action, last)
            for array, part in zip(self.sums, summed, strict=True):
                array[begin:end] = part
            return
        # Rows at which windows begin; the first may have begun in the chunk before.
        first = begin // self.thin
        starts = np.arange(-(begin % self.thin), end - begin, self.thin)
        for array, part in zip(self.sums, summed, strict=True):
            array[first : first + len(starts)] += np.add.reduceat(part, np.maximum(starts, 0))
        ends = starts[starts + self.thin <= end - begin] + self.thin - 1
        self._put(slice(first, first + len(ends)), ends, state, action, last)

    def _put(self, windows: slice, rows: Any, state: Any, action: Any, last: Any) -> None:
        """Keep what is recorded of the last steps of these windows, which are these rows of the chunk."""
        for array, part in zip((self.state, self.action, *self.last), (state, action, *last), strict=True):
            array[windows] = part[rows]
