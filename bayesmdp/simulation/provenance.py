"""What a result says of how it was made, and whether a run may go on from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import xarray as xr

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.package_versions import package_versions
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import Belief, QBelief
from bayesmdp.problems.decision_problem import DecisionProblem
from bayesmdp.simulation.robustness import Robust

__all__ = ["provenance", "resumable"]


class Described(Protocol):
    """Anything with `describe()`."""

    def describe(self) -> dict[str, Any]:
        """Return its options, by name."""
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
    """Return what determines a run, as attrs: equal attrs mean equal replicates. Arrays enter as digests.

    Parameters
    ----------
    mdp : MDP, ContinuousMDP or SimulatedMDP
    agents : mapping of name to anything with `describe()`
    beliefs : mapping of agent to belief
        None for an agent that is not Bayesian.
    truth : NumPyro model, optional
    probe : mapping of site to array, optional
        One draw of the truth.
    robust : Robust, optional
    **run
        Further attrs: numbers of steps and windows, the seed.

    Returns
    -------
    dict
        Values that a file can hold.
    """
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
        "versions": json.dumps(package_versions("bayesmdp", "jax", "jaxlib", "numpyro")),
    }


def _described(robust: Robust | None) -> str:
    """Return what is measured of robustness, as an attr can hold it."""
    return "not measured" if robust is None else json.dumps(asdict(robust), default=_plain)


def _plain(value: Any) -> Any:
    """Return a NumPy value as JSON can hold it."""
    return np.asarray(value).tolist()


def resumable(resume: xr.DataTree | None, attrs: Mapping[str, Any]) -> set[int]:
    """Return the replicates that `resume` already holds.

    Parameters
    ----------
    resume : DataTree, optional
        Results of an earlier call.
    attrs : mapping
        What determines this call, from `provenance`.

    Returns
    -------
    set of int

    Raises
    ------
    ValueError
        If what determines the earlier call is something else.
    """
    if resume is None:
        return set()
    for key, value in attrs.items():
        recorded = resume.attrs.get(key, "not recorded")
        if not np.array_equal(recorded, value):
            raise ValueError(f"resume holds another run: its {key} is {recorded!r}, this call's {value!r}")
    return set(resume.to_dataset()["replicate"].values.tolist())
