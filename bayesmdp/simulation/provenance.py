"""What a result says of how it came about, and whether a run may go on from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import xarray as xr

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import Belief, QBelief
from bayesmdp.problems.decision_problem import DecisionProblem
from bayesmdp.simulation.robustness import Robust

__all__ = ["provenance", "resumable"]


class Described(Protocol):
    """What tells of its options."""

    def describe(self) -> dict[str, Any]:
        """By name."""
        ...


def provenance(
    mdp: DecisionProblem,
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
    for array in (*mdp.fingerprint(), drawn.get("transition"), drawn.get("reward"), *noise):
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


def _described(robust: Robust | None) -> str:
    """As an attr can hold it."""
    return "not measured" if robust is None else json.dumps(asdict(robust), default=_plain)


def _plain(value: Any) -> Any:
    """NumPy values as JSON can hold them."""
    return np.asarray(value).tolist()


def resumable(resume: xr.DataTree | None, attrs: Mapping[str, Any]) -> set[int]:
    """The replicates that `resume` already holds; refused if they come from another run."""
    if resume is None:
        return set()
    for key, value in attrs.items():
        held = resume.attrs.get(key, "not recorded")
        if not np.array_equal(held, value):
            raise ValueError(f"resume holds another run: its {key} is {held!r}, this call's {value!r}")
    return set(resume.to_dataset()["replicate"].values.tolist())
