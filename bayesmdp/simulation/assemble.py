"""Finished runs as one labelled result, and the replicates of two results as those of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior import Belief, QBelief
from bayesmdp.posterior.inference.tree import Labels, label_draws
from bayesmdp.problems.decision_problem import DecisionProblem
from bayesmdp.simulation.windows import Rollout

__all__ = ["Run", "assemble", "finished_by_all", "join_replicates"]


class Run(NamedTuple):
    """One finished replicate, on the host.

    Attributes
    ----------
    rollout : Rollout
    draws : mapping of site to array [checkpoint, draw, ...]
        Posterior draws at the checkpoints, if there are any.
    quantile_values : array [checkpoint]
        NaN where they are not measured.
    seconds : float
        What the run took.
    """

    rollout: Rollout
    draws: dict[str, Array]
    quantile_values: Float[Array, " checkpoint"]
    seconds: float


def assemble(
    mdp: DecisionProblem,
    beliefs: Mapping[str, Belief | QBelief | None],
    runs: Mapping[tuple[str, int], Run],
    attrs: dict[str, Any],
    resume: xr.DataTree | None,
) -> xr.DataTree | None:
    """Return the results of the replicates that every agent finished, joined to those of `resume`.

    Parameters
    ----------
    mdp : MDP, ContinuousMDP or SimulatedMDP
    beliefs : mapping of agent to belief
        None for an agent that is not Bayesian.
    runs : mapping of (agent, replicate) to Run
    attrs : mapping
        What determines the call, from :func:`~bayesmdp.simulation.provenance.provenance`.
    resume : DataTree, optional

    Returns
    -------
    DataTree or None
        As :func:`~bayesmdp.simulate` describes it; None where no replicate is finished and there is nothing to resume.
    """
    names = list(beliefs)
    whole = finished_by_all(names, runs)
    if not whole:
        return resume
    reports = {key for name in names for key in runs[name, whole[0]].rollout.report}

    def stack(values: Callable[[Run], Array], dtype: Any) -> tuple[tuple[str, ...], NDArray[Any]]:
        array = _stacked([values(runs[name, r]) for name in names for r in whole], dtype)
        array = array.reshape(len(names), len(whole), *array.shape[1:])
        return ("agent", "replicate", "step", "coordinate")[: array.ndim], array

    not_reported = np.full(attrs["steps"] // attrs["thin"], np.nan)
    variables = {
        "reward": stack(lambda run: run.rollout.reward, float),
        "regret": stack(lambda run: run.rollout.regret, float),
        "state": stack(lambda run: run.rollout.state, mdp.state_dtype),
        "action": stack(lambda run: run.rollout.action, np.int32),
    }
    if any(run.rollout.robust_regret is not None for run in runs.values()):
        variables["robust_regret"] = stack(
            lambda run: not_reported if run.rollout.robust_regret is None else run.rollout.robust_regret, float
        )
    if all(run.rollout.gap is not None for run in runs.values()):
        variables["gap"] = stack(lambda run: run.rollout.gap, float)
    for report in sorted(reports):
        variables[report] = stack(lambda run, key=report: run.rollout.report.get(key, not_reported), np.float32)  # type: ignore[misc]
    step = np.arange(attrs["thin"], attrs["steps"] + 1, attrs["thin"])
    coords = {"agent": names, "replicate": whole, "step": step}
    if "robust_regret" in variables and attrs["checkpoints"]:
        values = np.array([[runs[name, r].quantile_values for r in whole] for name in names])
        variables["quantile_value"] = ("agent", "replicate", "checkpoint"), values
        coords["checkpoint"] = attrs["checkpoints"]
    nodes = {"/": xr.Dataset(variables, coords, attrs)}
    seconds = [[runs[name, r].seconds for r in whole] for name in names]
    nodes["/timing"] = xr.Dataset({"seconds": (("agent", "replicate"), seconds)})
    for name in names:
        draws = {
            site: np.stack([runs[name, r].draws[site] for r in whole], axis=2).swapaxes(0, 1)[None]
            for site in runs[name, whole[0]].draws
        }
        belief = beliefs[name]
        if not draws or belief is None:
            continue
        nodes[f"/beliefs/{name}/posterior"] = label_draws(
            draws,
            ("chain", "draw", "checkpoint", "replicate"),
            dict(belief.dims),
            Labels(mdp.states, mdp.actions, mdp.successor),
            {"checkpoint": attrs["checkpoints"], "replicate": whole},
        )
    return join_replicates(resume, xr.DataTree.from_dict(nodes))


def _stacked(rows: Sequence[Array], dtype: Any) -> NDArray[Any]:
    """Return arrays of one shape as rows of one array, copied on as many threads as there are cores."""
    array = np.empty((len(rows), *rows[0].shape), dtype)
    threads = min(os.cpu_count() or 1, len(rows))
    bounds = np.linspace(0, len(rows), threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        blocks = (slice(first, last) for first, last in pairwise(bounds))
        for copied in [pool.submit(np.stack, rows[block], out=array[block], casting="same_kind") for block in blocks]:
            copied.result()
    return array


def finished_by_all(names: Sequence[str], runs: Mapping[tuple[str, int], object]) -> list[int]:
    """Return the replicates that every agent finished, in order.

    Parameters
    ----------
    names : sequence of str
        The agents.
    runs : mapping of (agent, replicate) to run

    Returns
    -------
    list of int
    """
    return sorted(r for r in {r for _, r in runs} if all((name, r) in runs for name in names))


def join_replicates(old: xr.DataTree | None, new: xr.DataTree) -> xr.DataTree:
    """Return new results together with those that the run was resumed from, if it was.

    Parameters
    ----------
    old : DataTree, optional
    new : DataTree

    Returns
    -------
    DataTree
        Replicates in order.
    """
    if old is None:
        return new
    paths = [node.path for node in new.subtree if node.data_vars]
    return xr.DataTree.from_dict({path: _join(old, new, path) for path in paths})


def _join(old: xr.DataTree, new: xr.DataTree, path: str) -> xr.Dataset:
    """Return one node with both sets of replicates; what `old` lacks (a file holds no timing) is missing values."""
    is_in_old = path.strip("/") in {node.path.strip("/") for node in old.subtree}
    parts = [old[path].to_dataset() if is_in_old else old.to_dataset()[["agent", "replicate"]], new[path].to_dataset()]
    both = xr.concat(parts, "replicate", data_vars="all", coords="minimal", compat="override", join="outer")
    both.attrs = dict(parts[1].attrs)
    return both.sortby("replicate")
