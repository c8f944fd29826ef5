"""A sweep's results: one Zarr group, written chunk by chunk, which ``xarray.open_datatree`` reads at any time.

    /            the coordinates of what all agents share, and in the attrs what determines the numbers
    /AGENT       its own swept options as coordinates, and variables [shared..., own..., replicate, step]

``steps_done`` [..., replicate] is written last: a chunk counts once it is there, and until then is computed again. What
is not computed yet reads as missing values. The same sweep gives the same bytes, however it was cut up, interrupted or
given more replicates (with more steps, and values of options added, the same numbers in other pieces). ``fingerprint``
[...] is of what made a setting's numbers: problem, priors and options, see `bayesmdp.sweeps.fingerprints`.
One run at a time may write, which a lock beside the store sees to; the system frees it when a run dies.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bayesmdp.foundation.extras import brought_by
from bayesmdp.results.sweep_files import PARTIAL, SHARED, StoreError, export, read_sweep, stored_attrs
from bayesmdp.studies.task_study import TaskStudy
from bayesmdp.sweeps.additions import (
    cut_like_the_store,
    identity_of,
    merged_axes,
    position_of,
    refuse_other_numbers,
    with_stored_agents,
)
from bayesmdp.sweeps.chunks import Finished
from bayesmdp.sweeps.sweep import Axis, Cell, Sweep

with brought_by("sweeps"):
    import zarr
    from filelock import FileLock, Timeout

__all__ = ["Chunk", "Store", "StoreError", "export", "open_store", "read_sweep"]

DONE, MADE_OF = "steps_done", "fingerprint"
SERIES = 2**18
"""Most records of a series in one piece."""


class Chunk(NamedTuple):
    """Replicates of a cell that are to be computed together."""

    cell: Cell
    replicates: tuple[int, ...]


@contextmanager
def open_store(path: str | PathLike[str], sweep: Sweep) -> Iterator[Store]:
    """Open the sweep's store, made or enlarged to hold all of it, for this process alone to write to.

    Raises
    ------
    StoreError
        If another run is writing to it, it holds another sweep, or numbers of another version or another model.

    Parameters
    ----------
    path : path
    sweep : Sweep

    Yields
    ------
    Store
    """
    path = Path(path).resolve()  # one lock, by whatever name the store is called
    with told_when_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"another run is writing to {path}; wait for it, or name another store") from error
        try:
            yield Store(path, sweep)
        finally:
            lock.release()


@contextmanager
def told_when_full(path: Path) -> Iterator[None]:
    """Say of a full disk what it means for the store."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            f"no space is left where {path} is; what was finished is kept. Make room and run the same again"
        ) from error


class Store:
    """A store that this process may write to; see `open_store`."""

    def __init__(self, path: Path, sweep: Sweep) -> None:
        self.path = path
        stored = stored_attrs(path)
        if stored and not _has_results(path):
            # Nothing is lost, and a mistake that was found at the first chunk may be mended.
            shutil.rmtree(path)
            stored = {}
        self.sweep = sweep = cut_like_the_store(path, sweep, stored)
        identity = identity_of(sweep)
        if stored:
            refuse_other_numbers(path, stored, identity)
        self.axes = merged_axes(path, stored, sweep)
        self.count = max(sweep.count, stored.get("replicates", 0))
        self.steps = max([*sweep.lengths, stored.get("steps", 0)])
        attributes = {
            "title": sweep.base.title,
            "replicates": self.count,
            "steps": self.steps,
            "axes": json.dumps([axis._asdict() for axis in self.axes]),
            **with_stored_agents(stored, identity),
        }
        self.agents = tuple(json.loads(attributes["study"])["agents"])
        if not stored:
            path.mkdir(exist_ok=True)
            _clear_partial(path)
            zarr.create_group(path, zarr_format=3, attributes=identity | attributes)
        else:
            _clear_partial(path)
        self.root = zarr.open_group(path, mode="r+", use_consolidated=False)
        # The attrs last: until then readers see the store as it was.
        self._lay_out()
        if any(self.root.attrs.get(name) != value for name, value in attributes.items()):
            self.root.attrs.update(attributes)
        self._consolidate()

    def missing(self, only: Callable[[Cell], bool] | None = None) -> list[Chunk]:
        """List what is still to be computed, the first chunk of each agent first: the others need its program.

        Parameters
        ----------
        only : callable, optional
            Tells of a cell whether it counts; by default all do.

        Returns
        -------
        list of Chunk
        """
        chunks: list[Chunk] = []
        whole: Any = {agent: self.root[f"{agent}/{DONE}"] for agent in self.sweep.base.agents}
        for cell in filter(only, self.sweep.cells()) if only is not None else self.sweep.cells():
            done = whole[cell.agent][self._place(cell)]
            for first in range(0, self.sweep.count, self.sweep.chunk):
                numbers = range(first, min(first + self.sweep.chunk, self.sweep.count))
                if todo := tuple(r for r in numbers if done[r] < cell.steps):
                    chunks.append(Chunk(cell, todo))
        ahead = {chunk.cell.agent: i for i, chunk in reversed(list(enumerate(chunks)))}
        return sorted(chunks, key=lambda chunk: chunks[ahead[chunk.cell.agent]] is not chunk)

    def commit(self, chunk: Chunk, finished: Finished) -> None:
        """Write a chunk: it counts when the last of it is there.

        Raises
        ------
        StoreError
            If the disk is full, or something else than the rest of its setting was run.

        Parameters
        ----------
        chunk : Chunk
        finished : Finished
            Its results.
        """
        agent = chunk.cell.agent
        group: Any = self.root[agent]
        first, last = chunk.replicates[0], chunk.replicates[-1]
        if chunk.replicates != tuple(range(first, last + 1)):
            raise ValueError(f"a chunk's replicates are in a row; got {chunk.replicates}")
        at = self._place(chunk.cell)
        place, dims_here = (*at, slice(first, last + 1)), self._dims(agent)
        # An agent may record its level and be swept over it.
        arrays = {f"{name}_recorded" if name in dims_here else name: told for name, told in finished.arrays.items()}
        held = self._variables(agent)
        with told_when_full(self.path):
            made_of = int(held[MADE_OF][at])
            if made_of != finished.fingerprint:
                if (held[DONE][at] == chunk.cell.steps).any():
                    told = ", ".join([agent, *(f"{axis.key} = {value}" for axis, value in chunk.cell.settings)])
                    raise StoreError(
                        f"{self.path} holds runs ({told}) made by another model, prior or environment than those of "
                        "now: something that they import has changed. Restore it, or name another store"
                    )
                held[MADE_OF][at] = finished.fingerprint
            new = [name for name in arrays if name not in held]
            for name in new:
                dims, values = arrays[name]
                self._create(group, agent, name, (*dims_here, *dims), values.shape[1:], values.dtype)
            if new:
                self._consolidate()
                held = self._variables(agent)
            for name, (_, values) in arrays.items():
                held[name][(*place, *(slice(size) for size in values.shape[1:]))] = values
            held[DONE][place] = chunk.cell.steps

    def _variables(self, agent: str) -> dict[str, Any]:
        """The agent's arrays; opening one takes as long as writing to it."""
        if agent not in self._opened:
            group: Any = self.root[agent]
            self._opened[agent] = dict(group.arrays())
        return self._opened[agent]

    def _place(self, cell: Cell) -> tuple[int, ...]:
        """Where a cell's numbers are: the store may hold values that this sweep does not have."""
        held = {axis.key: axis.values for axis in self.axes}
        return tuple(position_of(held[axis.key], value) for axis, value in cell.settings)

    def _axes_of(self, agent: str) -> list[Axis]:
        return [axis for place in (SHARED, (agent,)) for axis in self.axes if axis.place in place]

    def _dims(self, agent: str) -> tuple[str, ...]:
        return tuple(axis.name for axis in self._axes_of(agent))

    def _sizes(self) -> dict[str, int]:
        study = self.sweep.base
        tasks = study.tasks if isinstance(study, TaskStudy) else 1
        sizes = {"replicate": self.count, "step": self.steps * tasks // self.sweep.window}
        if study.checkpoint_every:
            sizes["checkpoint"] = self.steps // study.checkpoint_every
        return sizes

    def _lay_out(self) -> None:
        """Make what is not there and enlarge what is too small; what a killed run left half done is done now."""
        sizes = self._sizes()
        study = self.sweep.base
        coords: dict[str, Any] = {
            "replicate": np.arange(self.count),
            "step": np.arange(1, sizes["step"] + 1) * self.sweep.window,
        }
        if "checkpoint" in sizes:
            coords["checkpoint"] = np.arange(1, sizes["checkpoint"] + 1) * study.checkpoint_every
        shared = {axis.name: _coordinate(axis.values) for axis in self.axes if axis.place in SHARED}
        for name, values in (coords | shared).items():
            self._coordinate(self.root, name, values)
        if isinstance(study, TaskStudy):
            self._coordinate(self.root, "task", (coords["step"] - 1) // self.steps, dim="step")
        # Agents that this sweep does not have are enlarged too: all share their dims.
        for agent in self.agents:
            if agent not in self.root:
                self.root.create_group(agent)
            group: Any = self.root[agent]
            for axis in self.axes:
                if axis.place == agent:
                    self._coordinate(group, axis.name, _coordinate(axis.values))
            lengths = sizes | {axis.name: len(axis.values) for axis in self._axes_of(agent)}
            dims = self._dims(agent)
            if MADE_OF not in group:
                self._create(group, agent, MADE_OF, dims, (), np.dtype(np.int64))
            if DONE not in group:
                self._create(group, agent, DONE, (*dims, "replicate"), (), np.dtype(np.int32))
            for _, array in sorted(group.arrays()):
                shape = tuple(lengths.get(dim, now) for dim, now in zip(_dims_of(array), array.shape, strict=True))
                if shape != array.shape:
                    array.resize(shape)

    def _coordinate(self, group: Any, name: str, values: Any, dim: str | None = None) -> None:
        """Write a coordinate, unless it is there as it should be."""
        text = values.dtype == object
        kept = name in group and (group[name].dtype.kind == "T" if text else group[name].dtype == values.dtype)
        if kept and np.array_equal(group[name][:], values):
            return
        if not kept:
            told: Any = {"dtype": "string" if text else values.dtype, "dimension_names": [dim or name]}
            group.create_array(name, shape=values.shape, chunks=(1024,), overwrite=True, **told)
        group[name].resize(values.shape)
        group[name][:] = values

    def _create(
        self, group: Any, agent: str, name: str, dims: Sequence[str], extra: Sequence[int], dtype: np.dtype[Any]
    ) -> None:
        """A variable with room for all cells: a piece is a chunk's replicates in one setting."""
        lengths = self._sizes() | {axis.name: len(axis.values) for axis in self._axes_of(agent)}
        own = len(dims) - len(extra)
        shape = [lengths[dim] for dim in dims[:own]]
        shape += [lengths.get(dim, size) for dim, size in zip(dims[own:], extra, strict=True)]
        piece = [self.sweep.chunk if dim == "replicate" else 1 for dim in dims[:own]]
        for size in reversed(shape[own:]):
            piece.insert(own, min(size, max(1, SERIES // math.prod(piece))))
        fill: Any = np.nan if dtype.kind == "f" else 0 if name in (DONE, MADE_OF) else -1
        told: Any = {"dtype": dtype, "fill_value": fill, "dimension_names": list(dims)}
        group.create_array(name, shape=shape, chunks=piece, **told)

    def _consolidate(self) -> None:
        """Gather the metadata, so that readers need no second look; done whenever it changes."""
        with warnings.catch_warnings():
            # Not yet in Zarr's specification; xarray asks for it, and what does not know it reads on.
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            zarr.consolidate_metadata(self.path)
        self.root = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        self._opened: dict[str, dict[str, Any]] = {}


def _has_results(path: Path) -> bool:
    """Whether any chunk counts."""
    return next(path.glob(f"*/{DONE}/c"), None) is not None


def _clear_partial(path: Path) -> None:
    """Take away what a killed run was writing; nobody else writes now."""
    for unfinished in path.rglob("*.partial"):
        if PARTIAL.search(unfinished.name):
            unfinished.unlink()


def _coordinate(values: Sequence[Any]) -> Any:
    """Numbers as numbers, all else as text."""
    if all(isinstance(value, bool) for value in values):
        return np.array(values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array(values, float if any(isinstance(value, float) for value in values) else np.int64)
    return np.array([value if isinstance(value, str) else json.dumps(value) for value in values], object)


def _dims_of(array: Any) -> tuple[str, ...]:
    return tuple(array.metadata.dimension_names or ())
