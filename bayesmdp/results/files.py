"""Results on disk: one netCDF file a run, which ``xarray.open_datatree`` reads without this package.

The same run gives the same bytes: variables are written in a fixed order with fixed chunks, and ``timing``, which
differs from call to call, is left out. Files appear whole or not at all: written beside their place, then moved there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["load", "replacing", "root_dataset", "save", "steps_per_record", "write_tree"]

_CHUNK_BYTES = 2**21
_TIMING = "timing"


def save(result: xr.DataTree, path: str | os.PathLike[str]) -> Path:
    """Write results to a netCDF file, compressed without loss.

    Parameters
    ----------
    result : DataTree
        As `simulate` returns it. ``timing`` is not written.
    path : path
        A file that is there already is replaced; folders are made.

    Returns
    -------
    Path

    Raises
    ------
    TypeError, ValueError
        If `result` is not what `simulate` returns, or holds an attribute that netCDF cannot.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import tempfile, xarray as xr
    >>> ones = (("agent", "replicate", "step"), [[[1.0, 1.0]]])
    >>> root = xr.Dataset({"reward": ones, "regret": ones, "state": ones}, attrs={"thin": 1})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(xr.DataTree(root), f"{folder}/run.nc")
    ...     dict(load(path).sizes)
    {'agent': 1, 'replicate': 1, 'step': 2}
    """
    if not isinstance(result, xr.DataTree):
        raise TypeError(f"save takes the DataTree that simulate returns; got {type(result).__name__}")
    root_dataset(result, "reward", "regret", "state")
    kept = {place: node for place, node in _datasets(result).items() if place.strip("/").split("/")[0] != _TIMING}
    write_tree(xr.DataTree.from_dict(kept), path)
    return Path(path)


def write_tree(tree: xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Write any tree to a netCDF file, compressed without loss, in a fixed order; folders are made.

    Raises
    ------
    ValueError
        If it holds an attribute that netCDF cannot.

    Parameters
    ----------
    tree : DataTree
    path : path
    """
    nodes = {place: _plain(node, place) for place, node in sorted(_datasets(tree).items())}
    encoding = {
        place: {str(name): _encoding(variable.dtype, variable.shape) for name, variable in node.items()}
        for place, node in nodes.items()
    }
    with replacing(path) as part:
        xr.DataTree.from_dict(nodes).to_netcdf(part, engine="h5netcdf", encoding=encoding)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place if all went well and is gone otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _datasets(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    return {node.path: node.to_dataset(inherit=False) for node in tree.subtree}


def load(path: str | os.PathLike[str]) -> xr.DataTree:
    """Results from a file that `save` wrote, in memory and ready for ``simulate(..., resume=)``.

    Parameters
    ----------
    path : path

    Returns
    -------
    DataTree
        What was saved; the seconds of ``timing`` are NaN, since they are not kept.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is not a results file.

    See Also
    --------
    save

    Examples
    --------
    >>> import tempfile
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> agents = {"PSRL": bm.agents.psrl(bm.models.dirichlet_transitions(river))}
    >>> path = tempfile.mkdtemp() + "/run.nc"
    >>> saved = bm.results.save(bm.simulate(river, agents, steps=100, replicates=2), path)
    >>> dict(load(path).sizes)
    {'agent': 1, 'replicate': 2, 'step': 100}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no results file {path}; `bayesmdp run` or bayesmdp.results.save writes one")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            result = xr.DataTree.from_dict({place: node.load() for place, node in _datasets(opened).items()})
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a results file, or was cut short: {error}") from error
    try:
        root = root_dataset(result, "reward", "regret", "state")
    except ValueError as error:
        raise ValueError(f"{path} is not a results file: {error}") from error
    # netCDF keeps no difference between a number and a list of one.
    attrs = {name: value.item() if isinstance(value, np.generic) else value for name, value in root.attrs.items()}
    if "checkpoints" in attrs:
        attrs["checkpoints"] = np.atleast_1d(attrs["checkpoints"]).astype(int).tolist()
    result.attrs = attrs
    unknown = np.full((root.sizes["agent"], root.sizes["replicate"]), np.nan)
    result[_TIMING] = xr.DataTree(xr.Dataset({"seconds": (("agent", "replicate"), unknown)}))
    return result


def root_dataset(result: xr.DataTree | xr.Dataset, *variables: str) -> xr.Dataset:
    """The root of results, refused unless it holds `variables` [agent, replicate, step], some perhaps by coordinate.

    Raises
    ------
    TypeError, ValueError
        Naming what is missing.
    """
    if not isinstance(result, xr.DataTree | xr.Dataset):
        raise TypeError(f"result must be what simulate returns, a DataTree; got {type(result).__name__}")
    root = result.to_dataset() if isinstance(result, xr.DataTree) else result
    wanted = ("agent", "replicate", "step")
    for name in variables:
        if name not in root:
            held = ", ".join(map(str, root.data_vars)) or "nothing"
            raise ValueError(f"result has no {name!r}; it holds {held}. Give what simulate returns, or a file of it")
        if set(root[name].dims) - {"coordinate"} != set(wanted):
            raise ValueError(f"{name} has dims {root[name].dims}; expected {wanted} (select with lists to keep a dim)")
        empty = [dim for dim in wanted if not root.sizes[dim]]
        if empty:
            raise ValueError(f"result is empty along {empty[0]!r}; check the selection")
    return root


def _plain(data: xr.Dataset, place: str) -> xr.Dataset:
    """The dataset in a fixed order, without what it remembers of other files, and with attrs that netCDF can hold."""
    data = data.drop_encoding()
    ordered = xr.Dataset(
        {name: data[name].variable for name in sorted(map(str, data.data_vars))},
        {name: data[name].variable for name in sorted(map(str, data.coords))},
        _plain_attrs(data.attrs, place),
    )
    for name in ordered.variables:
        ordered[name].attrs = _plain_attrs(ordered[name].attrs, f"{place} {name}")
        if ordered[name].dtype == object:
            ordered[name] = ordered[name].astype(str)
    return ordered


def _plain_attrs(attrs: Mapping[Any, Any], place: str) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in attrs.items():
        array = np.asarray(value)
        if array.dtype == bool:
            array = array.astype(int)
        if array.dtype.kind not in "iufU" or (array.dtype.kind == "U" and array.ndim):
            raise ValueError(f"attrs[{name!r}] of {place} is a {type(value).__name__}; write it as a JSON string")
        plain[str(name)] = str(value) if array.dtype.kind == "U" else array[()]
    return plain


def _encoding(dtype: np.dtype[Any], shape: Iterable[int]) -> dict[str, Any]:
    """Compression in chunks of whole series, the last axes first, of at most about 2 MB."""
    sizes = tuple(shape)
    if dtype.kind not in "iuf" or not sizes or 0 in sizes:
        return {}
    chunks: list[int] = []
    room = max(1, _CHUNK_BYTES // dtype.itemsize)
    for position, size in reversed(list(enumerate(sizes))):
        length = min(size, room) if position or len(sizes) == 1 else 1
        chunks.insert(0, length)
        room = max(1, room // length)
    return {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": tuple(chunks)}


def steps_per_record(root: xr.Dataset) -> int:
    """Return the steps that each record sums, checked against the ``step`` coordinate."""
    if "thin" not in root.attrs:
        raise ValueError("result has no attribute 'thin'; give what simulate returns")
    thin = int(root.attrs["thin"])
    gaps = np.diff(root["step"].values)
    if (gaps != thin).any():
        last = root["step"].values[int(np.argmax(gaps != thin))]
        raise ValueError(
            f"records must be thin = {thin} steps apart, but after step {last} one is missing; select ranges"
        )
    return thin
