"""Replicates on threads, which can be interrupted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import xarray as xr

__all__ = ["Interrupted", "OnReplicate", "in_threads"]


type OnReplicate = Callable[[str, int, float], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during `simulate`: `result` holds the replicates that every agent finished (None if there are none)."""

    def __init__(self, result: xr.DataTree | None) -> None:
        done = 0 if result is None else result.sizes["replicate"]
        super().__init__(f"interrupted with {done} replicates done; pass them as simulate(..., resume=) to go on")
        self.result = result


def in_threads[Finished](
    run: Callable[[str, int], Finished],
    todo: Sequence[tuple[str, int]],
    program: Mapping[str, Any],
    workers: int | None,
) -> Iterator[tuple[tuple[str, int], Finished]]:
    """Finished runs as they come. Each program's first run goes ahead alone, so that it is compiled once."""
    first = {program[name]: (name, replicate) for name, replicate in reversed(todo)}
    ahead = list(first.values())
    for stage in (ahead, [task for task in todo if task not in ahead]):
        pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
        try:
            tasks = {pool.submit(run, *task): task for task in stage}
            for future in as_completed(tasks):
                yield tasks[future], future.result()
        finally:
            # On an error or Ctrl-C what has not begun is dropped; at most one run a thread is waited for.
            pool.shutdown(cancel_futures=True)
