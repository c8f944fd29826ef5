"""Finished runs as one result: what they are known by, how they are put together, and whether others may join them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.continuous import ContinuousMDP
from bayesmdp.mdp import MDP, Array
from bayesmdp.objectives import Robust
from bayesmdp.posterior import Belief, QBelief
from bayesmdp.posterior.datatree import Labels, label_draws
from bayesmdp.posterior.program import Model
from bayesmdp.rollout import Rollout
from bayesmdp.simulated import SimulatedMDP

__all__ = ["Run", "assemble", "join_replicates", "provenance", "resumable"]


class Described(Protocol):
    """What tells of its options."""

    def describe(self) -> dict[str, Any]:
        """By name."""
        ...


class Run(NamedTuple):
    """One finished replicate, on the host."""

    rollout: Rollout
    draws: dict[str, Array]
    quantile_values: Array
    seconds: float


def provenance(
    mdp: MDP | ContinuousMDP | SimulatedMDP,
    agents: Mapping[str, Described],
    beliefs: Mapping[str, Belief | QBelief | None],
    truth: Model | None,
    probe: Mapping[str, Array] | None,
    robust: Robust | None,
    **run: Any,
) -> dict[str, Any]:
    """What determines a run, as attrs: equal attrs mean equal replicates. Arrays enter as digests."""
    digest = hashlib.sha256()
    drawn = {} if probe is None else probe
    noise = () if mdp.noise is None else (np.frombuffer(type(mdp.problem.noise).__name__.encode(), np.uint8),)
    for array in (*_arrays(mdp), drawn.get("transition"), drawn.get("reward"), *noise):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return {
        "mdp": mdp.name,
        "states": json.dumps(mdp.states),
        "actions": json.dumps(mdp.actions),
        "objective": mdp.objective,
        **({} if mdp.discount is None else {"discount": mdp.discount}),
        "agents": json.dumps({name: agent.describe() for name, agent in agents.items()}, default=_plain),
        "priors": json.dumps({name: None if belief is None else belief.identity for name, belief in beliefs.items()}),
        "digest": digest.hexdigest()[:16],
        "truth": "the environment's" if truth is None else f"drawn from {getattr(truth, '__name__', 'a model')}",
        **run,
        "robust": _described(robust),
        "versions": json.dumps({package: version(package) for package in ("bayesmdp", "jax", "jaxlib", "numpyro")}),
    }


def _arrays(mdp: MDP | ContinuousMDP | SimulatedMDP) -> Iterable[Array]:
    """All that a problem is; functions by examples of what they give, or by name and what they were compiled to."""
    if isinstance(mdp, MDP):
        return (*mdp.problem, mdp.transition)
    if isinstance(mdp, SimulatedMDP):
        return [*jax.tree.leaves(mdp.problem), *jax.tree.leaves(mdp.truth), *mdp.examples()]
    functions = (mdp.problem.view, mdp.problem.draw)
    told = [f"{f.__module__}.{f.__qualname__}".encode() + f.__code__.co_code for f in functions]
    return [*jax.tree.leaves(mdp.problem), None, *(np.frombuffer(text, np.uint8) for text in told)]


def _described(robust: Robust | None) -> str:
    """As an attr can hold it."""
    return "not measured" if robust is None else json.dumps(asdict(robust), default=_plain)


def _plain(value: Any) -> Any:
    """NumPy values as JSON can hold them."""
    return np.asarray(value).tolist()


def assemble(
    mdp: MDP | ContinuousMDP | SimulatedMDP,
    beliefs: Mapping[str, Belief | QBelief | None],
    runs: Mapping[tuple[str, int], Run],
    attrs: dict[str, Any],
    resume: xr.DataTree | None,
) -> xr.DataTree | None:
    """The results of the replicates that every agent finished, joined to those of `resume`."""
    names = list(beliefs)
    whole = sorted(r for r in {r for _, r in runs} if all((name, r) in runs for name in names))
    if not whole:
        return resume
    reports = {key for name in names for key in runs[name, whole[0]].rollout.report}

    def stack(values: Callable[[Run], Array], dtype: Any) -> tuple[tuple[str, ...], NDArray[Any]]:
        array = np.array([[values(runs[name, r]) for r in whole] for name in names], dtype)
        return ("agent", "replicate", "step", "coordinate")[: array.ndim], array

    nothing = np.full(attrs["steps"] // attrs["thin"], np.nan)
    variables = {
        "reward": stack(lambda run: run.rollout.reward, float),
        "regret": stack(lambda run: run.rollout.regret, float),
        "state": stack(lambda run: run.rollout.state, np.int32 if mdp.space == "finite" else float),
        "action": stack(lambda run: run.rollout.action, np.int32),
    }
    if any(run.rollout.robust_regret is not None for run in runs.values()):
        variables["robust_regret"] = stack(
            lambda run: nothing if run.rollout.robust_regret is None else run.rollout.robust_regret, float
        )
    if all(run.rollout.gap is not None for run in runs.values()):
        variables["gap"] = stack(lambda run: run.rollout.gap, float)
    for report in sorted(reports):
        variables[report] = stack(lambda run, key=report: run.rollout.report.get(key, nothing), np.float32)  # type: ignore[misc]
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


def join_replicates(old: xr.DataTree | None, new: xr.DataTree) -> xr.DataTree:
    """New results with those that a run was resumed from, if it was."""
    if old is None:
        return new
    paths = [node.path for node in new.subtree if node.data_vars]
    return xr.DataTree.from_dict({path: _join(old, new, path) for path in paths})


def _join(old: xr.DataTree, new: xr.DataTree, path: str) -> xr.Dataset:
    """One node with both sets of replicates, in order; what `old` lacks (a file holds no timing) is missing values."""
    there = path.strip("/") in {node.path.strip("/") for node in old.subtree}
    parts = [old[path].to_dataset() if there else old.to_dataset()[["agent", "replicate"]], new[path].to_dataset()]
    both = xr.concat(parts, "replicate", data_vars="all", coords="minimal", compat="override", join="outer")
    both.attrs = dict(parts[1].attrs)
    return both.sortby("replicate")


def resumable(resume: xr.DataTree | None, attrs: Mapping[str, Any]) -> set[int]:
    """The replicates that `resume` already holds; refused if they come from another run."""
    if resume is None:
        return set()
    for key, value in attrs.items():
        held = resume.attrs.get(key, "not recorded")
        if not np.array_equal(held, value):
            raise ValueError(f"resume holds another run: its {key} is {held!r}, this call's {value!r}")
    return set(resume.to_dataset()["replicate"].values.tolist())
