"""Finished runs of agents that met one task after another, as one result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.posterior.closed_forms.q_values import GaussianPrior
from bayesmdp.simulation.assemble import finished_by_all, join_replicates

__all__ = ["WINDOWS", "TaskRuns", "assemble_tasks"]

WINDOWS = ("reward", "regret", "state", "action")
"""What is recorded of each window."""


class TaskRuns(NamedTuple):
    """One agent's tasks in one replicate, on the host.

    Attributes
    ----------
    windows : mapping of name to array [window]
        The rollouts' arrays, of all tasks one after the other.
    priors : list of prior
        Each task's prior, if they are kept.
    learning, seconds : float
        Seconds spent on learning, and in all.
    """

    windows: dict[str, NDArray[Any]]
    priors: list[Any]
    learning: float
    seconds: float


def assemble_tasks(
    names: Sequence[str],
    runs: Mapping[tuple[str, int], TaskRuns],
    attrs: dict[str, Any],
    resume: xr.DataTree | None,
) -> xr.DataTree | None:
    """Return the results of the replicates that every agent finished, joined to those of `resume`.

    Parameters
    ----------
    names : sequence of str
        The agents.
    runs : mapping of (agent, replicate) to TaskRuns
    attrs : mapping
        What determines the call, from :func:`~bayesmdp.simulation.provenance.provenance`.
    resume : DataTree, optional

    Returns
    -------
    DataTree or None
        None where no replicate is finished and there is nothing to resume.
    """
    whole = finished_by_all(names, runs)
    if not whole:
        return resume

    def stack(part: Callable[[TaskRuns], Any]) -> NDArray[Any]:
        return np.array([[part(runs[name, r]) for r in whole] for name in names])

    places: dict[str, Any] = {"agent": list(names), "replicate": whole}
    step = np.arange(attrs["thin"], attrs["tasks"] * attrs["steps"] + 1, attrs["thin"])
    along = {"step": step, "task": ("step", (step - 1) // attrs["steps"])}
    dims = ("agent", "replicate")
    by_window = {
        variable: ((*dims, "step"), stack(lambda run, variable=variable: run.windows[variable]))  # type: ignore[misc]
        for variable in WINDOWS
    }
    nodes = {"/": xr.Dataset(by_window, {**places, **along}, attrs)}
    seconds = {"seconds": (dims, stack(lambda run: run.seconds)), "learning": (dims, stack(lambda run: run.learning))}
    nodes["/timing"] = xr.Dataset(seconds, places)
    for name in names if attrs["keep_priors"] else ():
        used = [runs[name, r].priors for r in whole]
        if used[0][0] is None:
            continue
        if isinstance(used[0][0], GaussianPrior):
            theta = ("replicate", "task", "stage", "feature")
            mean = np.array([[prior.mean for prior in priors] for priors in used])
            covariance = np.array([[prior.covariance for prior in priors] for priors in used])
            kept = {"mean": (theta, mean), "covariance": ((*theta, "other_feature"), covariance)}
        else:
            kept = {"concentration": (("replicate", "task", "state", "action", "outcome"), np.array(used))}
        nodes[f"/priors/{name}"] = xr.Dataset(kept, {"replicate": whole})
    return join_replicates(resume, xr.DataTree.from_dict(nodes))
