"""Running a sweep: on threads of this process, on processes of this machine, or on a Dask cluster.

Chunks go out, finished ones come back and are written by this process alone. Of what is scheduled where, tried again
when a worker dies, or held back when workers are full, Dask takes care.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmdp.foundation.extras import brought_by
from bayesmdp.sweeps.chunks import Finished, Task, WorkerError, current_versions, run_chunk
from bayesmdp.sweeps.fingerprints import sources
from bayesmdp.sweeps.store import Chunk, Store, open_store
from bayesmdp.sweeps.sweep import Cell, Sweep

if TYPE_CHECKING:
    from distributed import Client

with brought_by("sweeps"):
    import cloudpickle

__all__ = ["run_sweep"]

RETRIES = 3
"""Of a chunk whose worker fails; Dask gives a chunk up for good when it has brought down that many and one more."""


def run_sweep(
    sweep: Sweep,
    path: str | PathLike[str],
    *,
    workers: int | None = None,
    client: Client | str | None = None,
    only: Callable[[Cell], bool] | None = None,
    on_begin: Callable[[Sequence[Chunk]], None] | None = None,
    on_chunk: Callable[[Chunk], None] | None = None,
) -> Path:
    """Compute what a store does not hold of a sweep yet.

    It may be interrupted or killed at any moment: the same call goes on. More replicates, more steps and more values of
    an option may be added later; longer runs are made from their beginning, since what an agent does may depend on
    their length.

    Parameters
    ----------
    sweep : Sweep
    path : path
        Of the store, a folder; made if it is not there.
    workers : int, optional
        Processes of this machine. By default, without `client`, threads of this process, one a core.
    client : distributed.Client or str, optional
        A Dask cluster, or the address of its scheduler. Its workers need the same versions of the same packages, but no
        access to the store.
    only : callable, optional
        Tells of a cell of the sweep whether it is to be run now; by default all are.
    on_begin, on_chunk : callable, optional
        Called with the chunks that are missing, and with each once it is stored.

    Returns
    -------
    Path

    Raises
    ------
    StoreError, ValueError, TypeError, KeyError
        Before anything is computed; a `StoreError` also when the disk is full.
    WorkerError
        If workers of a cluster have other versions, or die of a chunk.
    KeyboardInterrupt
        On Ctrl-C; what was stored stays.

    See Also
    --------
    bayesmdp.sweeps.run_until_decided : as many replicates as verdicts take.
    bayesmdp.sweeps.read_sweep : opens what is there, also while it runs.

    Examples
    --------
    >>> import tempfile
    >>> from bayesmdp.sweeps import read_sweep
    >>> sweep = Sweep("aq-brmdp/riverswim-6", agents=["PSRL"], replicates=4, steps=100)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = run_sweep(sweep, f"{folder}/rivers.zarr")
    ...     read_sweep(path)["PSRL/regret"].shape
    (4, 50)
    """
    if workers is not None and client is not None:
        raise ValueError("workers are processes of this machine and a client has its own; give one of them")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers must be a whole number, at least 1; got {workers!r}")
    sweep.check()
    with open_store(path, sweep) as store, ExitStack() as engine:
        missing = store.missing(only)
        if on_begin is not None:
            on_begin(missing)
        if not missing:
            return Path(path)
        tasks = _tasks(store, missing)
        if workers is None and client is None:
            finished = _in_threads(tasks)
        else:
            finished = _on_dask(tasks, engine.enter_context(_connected(workers, client)))
        engine.callback(finished.close)
        for i, chunk in finished:
            store.commit(missing[i], chunk)
            if on_chunk is not None:
                on_chunk(missing[i])
    return Path(path)


def _tasks(store: Store, missing: Sequence[Chunk]) -> list[Task]:
    sweep, versions = store.sweep, current_versions()
    pickled: dict[Any, bytes] = {}
    wanted = json.dumps(sources(sweep.base, sent=False))
    tasks = []
    for cell, replicates in missing:
        shared = tuple((axis.key, value) for axis, value in cell.settings if axis.place != cell.agent)
        if shared not in pickled:
            pickled[shared] = cloudpickle.dumps(sweep.problem_of(cell))
        keep = None if sweep.keep is None else tuple(sweep.keep)
        options = sweep.options_of(cell)
        sizes = (cell.steps, sweep.window, sweep.seed)
        tasks.append(Task(pickled[shared], cell.agent, options, *sizes, replicates, keep, versions, wanted))
    return tasks


def _in_threads(tasks: Sequence[Task]) -> Generator[tuple[int, Finished]]:
    """Numbers and results of finished tasks. When it is closed nobody waits for what is running: that is given up."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    number = {pool.submit(run_chunk, task, stop.is_set): i for i, task in enumerate(tasks)}
    try:
        for future in as_completed(list(number)):
            yield number.pop(future), future.result()
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _on_dask(tasks: Sequence[Task], client: Client) -> Generator[tuple[int, Finished]]:
    with brought_by("dask"):
        from distributed import KilledWorker, as_completed

    futures = client.map(run_chunk, tasks, pure=False, retries=RETRIES, batch_size=1_000)
    number = {future.key: i for i, future in enumerate(futures)}
    try:
        for future, chunk in as_completed(futures, with_results=True):
            yield number[future.key], chunk
            future.release()
    except KilledWorker as error:
        raise WorkerError(
            f"a chunk brought down every worker it was given to, the last {error.last_worker.address}: they may lack "
            "memory; what was finished is kept"
        ) from error
    finally:
        client.cancel(futures, force=True)


MALLOC = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
"""By default Dask has workers give memory back after each 64 kB, which costs programs that use it again a quarter."""


@contextmanager
def _connected(workers: int | None, client: Client | str | None) -> Iterator[Client]:
    """A client of the cluster asked for; one that was made here is taken down again."""
    with brought_by("dask"):
        import dask
        from distributed import Client, LocalCluster

    if isinstance(client, Client):
        yield client
    elif client is not None:
        try:
            made = Client(client, timeout=10)
        except (OSError, TimeoutError, ValueError) as error:
            raise ValueError(f"no Dask scheduler answers at {client}: {error}") from error
        with made:
            yield made
    else:
        import logging

        # One thread each: a chunk keeps a core busy, and two threads would share one interpreter.
        options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
        with (
            dask.config.set({MALLOC: 2**27}),
            LocalCluster(n_workers=workers, silence_logs=logging.CRITICAL, **options) as cluster,
            Client(cluster) as made,
        ):
            yield made
