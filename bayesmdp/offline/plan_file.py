"""A plan from a log in whatever form one has it: what `plan_log` returned, its tree, or the file of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.offline.report import MADE_BY, Report

__all__ = ["as_report", "opened_plan"]

type Plan = str | Path | xr.DataTree | Report


@contextmanager
def opened_plan(plan: Plan) -> Iterator[tuple[xr.DataTree, str]]:
    """Have a plan's tree, read from its file as far as it is asked for, and what messages call it.

    Parameters
    ----------
    plan : path, DataTree or Report

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        If it is none, or is damaged: with its name.
    """
    if isinstance(plan, str | Path):
        path = Path(plan)
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}; `bayesmdp plan` writes one")
        try:
            opened = xr.open_datatree(path, engine="h5netcdf")
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is not the file of a plan, or is incomplete: {error}") from error
        with opened:
            try:
                yield _checked(opened, str(path)), str(path)
            except OSError as error:
                raise ValueError(f"{path} is not the file of a plan, or is incomplete: {error}") from error
        return
    tree = plan.tree if isinstance(plan, Report) else plan
    if not isinstance(tree, xr.DataTree):
        raise TypeError(f"a plan is the path of its file, a DataTree or a Report; got {type(plan).__name__}")
    yield _checked(tree, "this DataTree"), "this DataTree"


def as_report(plan: Plan) -> Report:
    """Read a plan back as `plan_log` returned it.

    Parameters
    ----------
    plan : path, DataTree or Report

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        As for `opened_plan`.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(3), policy="uniform", steps=500, seed=0)
    >>> report = bm.plan_log(log, discount=0.95, draws=50, calibration=0)
    >>> as_report(report.tree).log == report.log
    True
    """
    if isinstance(plan, Report):
        return plan
    with opened_plan(plan) as (tree, name):
        try:
            # Files hold numbers as arrays of NumPy without a dim; what is told of them is written with Python's.
            nodes = {node.path: node.to_dataset(inherit=False).load() for node in tree.subtree}
            read = {path: data.assign_attrs(_plain(data.attrs)) for path, data in nodes.items()}
            log = json.loads(str(tree.attrs["log"]))
        except (LookupError, ValueError) as error:
            raise ValueError(f"{name} is an incomplete plan: {error}; plan again") from error
    kept = xr.DataTree.from_dict(read)
    return Report(log, kept["policy"].to_dataset(), kept)


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.generic | np.ndarray) else value for name, value in attrs.items()
    }


def _checked(tree: xr.DataTree, name: str) -> xr.DataTree:
    if tree.attrs.get("made_by") != MADE_BY or "policy" not in tree or "plan" not in tree:
        raise ValueError(f"{name} was not written by `bayesmdp plan`; give the .nc file of a plan")
    return tree
