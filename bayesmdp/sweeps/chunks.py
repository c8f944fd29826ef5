"""A chunk of a sweep: some replicates of an agent in one setting, a pure function of what it is told.

It runs in a thread, in a process of this machine or on another machine, and gives the same numbers everywhere that has
the same versions and the same kind of processor.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.compiled_programs import forget_programs
from bayesmdp.foundation.extras import brought_by
from bayesmdp.foundation.package_versions import package_versions
from bayesmdp.sweeps.fingerprints import fingerprint, sources

with brought_by("sweeps"):
    import cloudpickle

__all__ = ["PACKAGES", "Arrays", "Finished", "Task", "WorkerError", "current_versions", "run_chunk"]

PACKAGES = ("bayesmdp", "jax", "jaxlib", "numpyro", "numpy")
"""Those on which numbers depend."""
DROPPED = ("state", "action")


class Finished(NamedTuple):
    """A chunk's numbers, and a fingerprint of what made them."""

    arrays: Arrays
    fingerprint: int


type Arrays = dict[str, tuple[tuple[str, ...], NDArray[Any]]]
"""By name: dims, the first of which is replicate, and values."""


class WorkerError(RuntimeError):
    """A worker that cannot, or must not, compute a chunk. What was finished is kept."""


class Task(NamedTuple):
    """All that a chunk depends on. ``problem`` is the setting's study, pickled, so that equal ones are made once."""

    problem: bytes
    agent: str
    options: Mapping[str, Any]
    steps: int
    thin: int
    seed: int
    replicates: tuple[int, ...]
    keep: tuple[str, ...] | None
    versions: str
    sources: str


def current_versions() -> str:
    """Return the versions of the packages on which numbers depend, as JSON."""
    return json.dumps(package_versions(*PACKAGES))


def run_chunk(task: Task, stopped: Callable[[], bool] = lambda: False) -> Finished:
    """Run a chunk, on one thread.

    Parameters
    ----------
    task : Task
    stopped : callable
        Asked after each replicate; once it says True, the chunk is given up.

    Returns
    -------
    Finished
        What `simulate` records by replicate, without the agent's dim.

    Raises
    ------
    WorkerError
        If this process has other versions than the task names, or finds other source.
    InterruptedError
        If it was given up.
    """
    here = current_versions()
    if here != task.versions:
        raise WorkerError(
            f"a worker has other versions, {here}, than the sweep, {task.versions}: install the same on both"
        )
    forget_programs()
    study, problem = _problem(task.problem, task.sources)
    study = study.with_agents([task.agent]).with_options({task.agent: task.options})

    def on_replicate(*finished: Any) -> None:
        if stopped():
            raise InterruptedError("the sweep was stopped")

    sizes = {"steps": task.steps, "thin": task.thin, "seed": task.seed, "replicates": task.replicates}
    result = study.run(problem=problem, workers=1, on_replicate=on_replicate, **sizes)
    root = result.to_dataset().isel(agent=0, drop=True)
    names = [str(name) for name in root.data_vars if name not in DROPPED] if task.keep is None else task.keep
    lacking = [name for name in names if name not in root]
    if lacking:
        raise ValueError(f"keep names {lacking[0]!r}, which is not recorded; there is {', '.join(map(str, root))}")
    arrays = {}
    for name in names:
        ordered = root[name].transpose("replicate", ...)
        arrays[name] = (tuple(map(str, ordered.dims)), np.ascontiguousarray(ordered.values))
    return Finished(arrays, fingerprint(result.attrs))


def _problem(pickled: bytes, wanted: str) -> tuple[Any, tuple[Any, Any]]:
    """The study, and its environment and prior, the same objects for all its chunks: a program is compiled once."""
    with _MAKING:
        found = _made(pickled, wanted)
        if (here := json.dumps(sources(found[0], sent=False))) != wanted:
            raise WorkerError(
                f"the source of the study is {here} where a chunk was to run, not {wanted}: it was changed while the "
                "sweep ran, or a worker has other files"
            )
        return found


@lru_cache(maxsize=4)
def _made(pickled: bytes, wanted: str) -> tuple[Any, tuple[Any, Any]]:
    del wanted  # made anew when the source has changed
    study = cloudpickle.loads(pickled)
    return study, study.make_problem()


_MAKING = threading.Lock()
