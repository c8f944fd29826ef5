"""Sweeps as files: read, and exported."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast

import xarray as xr

from bayesmdp.foundation.extras import brought_by
from bayesmdp.results.files import write_tree

__all__ = ["SHARED", "StoreError", "export", "read_sweep"]

FORMAT = 1

PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$")
"""What Zarr calls a file while it writes it."""

PLACES = {"environment": "environment_options", "prior": "prior_options", "reward_prior": "reward_options"}
"""Where options of the whole study are."""
SHARED = ("steps", *PLACES)
"""Those that concern every agent."""


class StoreError(ValueError):
    """A store that cannot be used for this sweep, or not now. Nothing in it was changed.

    Examples
    --------
    >>> import tempfile
    >>> try:
    ...     read_sweep(tempfile.mkdtemp())
    ... except StoreError as error:
    ...     print("no sweep")
    no sweep
    """


def read_sweep(path: str | PathLike[str], *, chunks: Any = None) -> xr.DataTree:
    """A sweep's results, opened lazily, each option in its natural order; a running one as far as it is.

    Parameters
    ----------
    path : path
    chunks : optional
        As for ``xarray.open_datatree``: ``{}`` gives dask arrays, for results larger than memory.

    Returns
    -------
    DataTree
        A child an agent: ``regret``, ``reward`` and the agent's reports [options..., replicate, step], and
        ``steps_done`` [options..., replicate].

    Raises
    ------
    FileNotFoundError, StoreError
        If there is no store, or it is not a sweep's.

    Examples
    --------
    >>> import tempfile
    >>> from bayesmdp.sweeps import Sweep, run_sweep
    >>> sweep = Sweep("aq-brmdp/riverswim-6", {"PSRL.episode": [10, 20]}, agents=["PSRL"], replicates=2, steps=50)
    >>> tree = read_sweep(run_sweep(sweep, tempfile.mkdtemp() + "/small.zarr"))
    >>> tree["PSRL/regret"].sizes["replicate"]
    2
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no store {path}; `bayesmdp sweep` writes one")
    if not stored_attrs(path):
        raise StoreError(f"{path} is not a sweep's store")
    tree = xr.open_datatree(path, engine="zarr", chunks=chunks)
    # In the store values stand in the order in which they were added.
    root = {axis["name"] for axis in json.loads(tree.attrs["axes"])}
    nodes = {}
    for place in (".", *json.loads(tree.attrs["study"])["agents"]):
        node: Any = tree[place]
        data = node.to_dataset(inherit=True)
        nodes[place] = data.sortby([str(dim) for dim in data.dims if dim in root and data[dim].dtype.kind in "iufb"])
    return xr.DataTree.from_dict(nodes)


def export(
    path: str | PathLike[str],
    to: str | PathLike[str],
    *,
    agents: Sequence[str] | None = None,
    select: Mapping[str, Any] | None = None,
) -> Path:
    """Write a part of a sweep to a netCDF file, with its attrs.

    Parameters
    ----------
    path : path
        Of the store.
    to : path
        A file that is there already is replaced.
    agents : sequence of str, optional
        Only these.
    select : mapping of option to value or list of values, optional
        Only these settings; where an agent has no such option, all of its.

    Raises
    ------
    FileNotFoundError, StoreError, KeyError
        Naming the agent, option or value that the store does not have.

    Examples
    --------
    >>> import tempfile
    >>> from bayesmdp.sweeps import Sweep, run_sweep
    >>> folder = tempfile.mkdtemp()
    >>> sweep = Sweep("aq-brmdp/riverswim-6", {"PSRL.episode": [10, 20]}, agents=["PSRL"], replicates=2, steps=50)
    >>> store = run_sweep(sweep, folder + "/small.zarr")
    >>> export(store, folder + "/part.nc", select={"episode": 10}).name
    'part.nc'
    """
    tree = read_sweep(path)
    unknown = [agent for agent in agents or [] if agent not in tree.children]
    if unknown:
        raise KeyError(f"no agent {unknown[0]!r} in {path}; it has {', '.join(tree.children)}")
    chosen = [".", *(agents if agents is not None else tree.children)]
    parts: dict[str, Any] = {place: cast(xr.DataTree, tree[place]).to_dataset(inherit=True) for place in chosen}
    for name, value in (select or {}).items():
        places = [place for place, data in parts.items() if name in data.dims]
        if not places:
            options = sorted({str(dim) for data in parts.values() for dim in data.dims})
            raise KeyError(f"{path} has no option {name!r} of these agents; it has {', '.join(options)}")
        values = value if isinstance(value, list) else [value]
        there = list(dict.fromkeys(each for place in places for each in parts[place][name].values.tolist()))
        known = [text for each in values for text in (each, str(each), json.dumps(each)) if text in there]
        absent = [each for each in values if not {str(each), json.dumps(each)} & {str(held) for held in there}]
        if absent:
            raise KeyError(f"{name} has no value {absent[0]!r} in {path}; it has {', '.join(map(str, there))}")
        for place in places:
            held = parts[place][name].values.tolist()
            parts[place] = parts[place].isel({name: [i for i, each in enumerate(held) if each in known]})
    nodes = {place: data.load() for place, data in parts.items()}
    write_tree(xr.DataTree.from_dict(nodes), to)
    return Path(to)


def stored_attrs(path: Path) -> dict[str, Any]:
    """The attrs of a store; empty if there is none at `path`."""
    with brought_by("sweeps"):
        import zarr

    if not path.exists() or (path.is_dir() and all(PARTIAL.search(each.name) for each in path.iterdir())):
        return {}
    try:
        attrs = dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError, NotADirectoryError, ValueError) as error:
        raise StoreError(f"{path} is not a sweep's store; name another") from error
    if "format" not in attrs or "axes" not in attrs:
        raise StoreError(f"{path} is a Zarr group, but not a sweep's store; name another")
    if attrs["format"] != FORMAT:
        raise StoreError(
            f"{path} has format {attrs['format']}, this version of bayesmdp writes format {FORMAT}: use the version "
            f"that wrote it, {json.loads(str(attrs['versions']))['bayesmdp']}, or name another store"
        )
    return attrs
