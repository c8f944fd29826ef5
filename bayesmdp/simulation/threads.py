"""Replicates on threads, which can be interrupted."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol

import xarray as xr

__all__ = ["Interrupted", "OnReplicate", "Timed", "run_replicates"]


type OnReplicate = Callable[[str, int, float], None]
"""Called with (agent, replicate, seconds) after each run."""


class Timed(Protocol):
    """A finished run that says how long it took."""

    @property
    def seconds(self) -> float: ...


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during `simulate`: `result` holds the replicates that every agent finished (None if there are none).

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> agents = {"PSRL": bm.agents.psrl(bm.models.dirichlet_transitions(river))}
    >>> try:
    ...     result = bm.simulate(river, agents, steps=100, replicates=2)
    ... except bm.Interrupted as stopped:
    ...     result = stopped.result  # simulate(..., resume=result) goes on from there
    >>> result.sizes["replicate"]
    2
    """

    def __init__(self, result: xr.DataTree | None) -> None:
        done = 0 if result is None else result.sizes["replicate"]
        super().__init__(f"interrupted with {done} replicates done; pass them as simulate(..., resume=) to go on")
        self.result = result


def run_replicates[Finished: Timed](
    run: Callable[[str, int], Finished],
    programs: Mapping[str, Hashable],
    replicates: Sequence[int],
    join: Callable[[Mapping[tuple[str, int], Finished]], xr.DataTree | None],
    *,
    compile_ahead: Callable[[str, int], object] | None = None,
    done: Collection[int] = (),
    workers: int | None = None,
    on_replicate: OnReplicate | None = None,
) -> xr.DataTree:
    """Run all agents in all replicates that are not done yet, on threads, and join what they return.

    Parameters
    ----------
    run : callable
        ``run(agent, replicate)``, which returns a finished run.
    programs : mapping of agent to hashable
        The agents, and what the compiled program of each depends on: agents with equal ones share a program.
    replicates : sequence of int
    join : callable
        ``join({(agent, replicate): run}) -> DataTree``, of those replicates that every agent finished.
    compile_ahead : callable, optional
        ``compile_ahead(agent, replicate)`` compiles what a run needs. Without it the first run with each program goes
        ahead of the others, so that none is compiled twice.
    done : collection of int
        Replicates to leave out.
    workers : int, optional
        Threads; by default as many as there are cores.
    on_replicate : callable, optional
        Called after each run, from the calling thread.

    Returns
    -------
    DataTree

    Raises
    ------
    Interrupted
        On Ctrl-C, carrying what is done.
    """
    todo = [(agent, replicate) for replicate in replicates if replicate not in done for agent in programs]
    runs: dict[tuple[str, int], Finished] = {}
    try:
        for task, finished in _each(run, compile_ahead, todo, programs, workers):
            runs[task] = finished
            if on_replicate is not None:
                on_replicate(*task, finished.seconds)
    except KeyboardInterrupt as stop:
        raise Interrupted(join(runs)) from stop
    result = join(runs)
    assert result is not None
    return result


def _each[Finished](
    run: Callable[[str, int], Finished],
    compile_ahead: Callable[[str, int], object] | None,
    todo: Sequence[tuple[str, int]],
    programs: Mapping[str, Hashable],
    workers: int | None,
) -> Iterator[tuple[tuple[str, int], Finished]]:
    """Yield finished runs as they come, each program having been compiled once."""
    first = list({programs[name]: (name, replicate) for name, replicate in reversed(todo)}.values())
    if compile_ahead is None:
        yield from _in_threads(run, first, workers)
        todo = [task for task in todo if task not in first]
    else:
        list(_in_threads(compile_ahead, first, workers))
    yield from _in_threads(run, todo, workers)


def _in_threads[Finished](
    run: Callable[[str, int], Finished], tasks: Sequence[tuple[str, int]], workers: int | None
) -> Iterator[tuple[tuple[str, int], Finished]]:
    """Yield what `run` makes of each (agent, replicate), as it comes."""
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        running = {pool.submit(run, *task): task for task in tasks}
        for future in as_completed(running):
            yield running[future], future.result()
    finally:
        # On an error or Ctrl-C what has not begun is dropped; at most one run a thread is waited for.
        pool.shutdown(cancel_futures=True)
