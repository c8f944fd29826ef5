"""Posteriors from logs of recorded primitives: the closed form is looked for, and then draws are made.

`infer` does both. They are apart for callers that go on with the closed form, which need not look for it again.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.user_code import check_model, model_name
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.model_reading.read_model import Impossible, Model, Reading, read_sites
from bayesmdp.model_reading.records import Records, check_records
from bayesmdp.models.arguments import thaw
from bayesmdp.posterior.beliefs.make_belief import ByParticles
from bayesmdp.posterior.closed_forms.find_matrix_regression import (
    check_all_rows,
    find_any_regression,
    looks_like_regression,
)
from bayesmdp.posterior.closed_forms.matrix_regression import MatrixRegression
from bayesmdp.posterior.closed_forms.primitives import Pairs, find_pairs, impossible_rows, learn, log_evidence
from bayesmdp.posterior.closed_forms.priors import NotConjugate
from bayesmdp.posterior.closed_forms.regression import Regression
from bayesmdp.posterior.inference.request import Drawn, Request, check_draws, drawn_exactly, sampled
from bayesmdp.posterior.inference.tree import Labels, by_draw, in_chains, label_parameters, numbered_tree, versions
from bayesmdp.posterior.particles.sampler import DEFAULT, Settings

__all__ = ["FoundRecords", "find_records", "infer_found", "infer_records"]


class FoundRecords(NamedTuple):
    """What is known of the posterior of a model and a log before anything is drawn.

    Attributes
    ----------
    model : NumPyro function of `Records`
    reading : Reading
        Of the model.
    data : Records
        As the model observes them.
    form : Pairs, Regression or None
        The closed form, if there is one and it is wanted.
    sums : Sums, MatrixSums or None
        Of the data, for a regression.
    method, reason : str
        As for `infer`, and why the closed form is taken or not.
    settings : Settings
        Of particles.
    """

    model: Model
    reading: Reading
    data: Records
    form: Pairs | Regression | MatrixRegression | None
    sums: Any
    method: str
    reason: str
    settings: Settings = DEFAULT


def infer_records(model: Model, log: xr.Dataset | Records, mdp: Any, request: Request) -> xr.DataTree:
    """Infer a model of recorded primitives.

    Parameters
    ----------
    model : NumPyro function of `Records`
    log : Dataset or Records
    mdp : SimulatedMDP or None
    request : Request
        The options of `infer`, checked.

    Returns
    -------
    DataTree
    """
    return infer_found(find_records(model, log, mdp, request.method), request)


def find_records(model: Model, log: xr.Dataset | Records, mdp: Any = None, method: str = "auto") -> FoundRecords:
    """Read a model of recorded primitives, and look for the closed form of its posterior.

    Parameters
    ----------
    model : NumPyro function of `Records`
    log : Dataset or Records
    mdp : SimulatedMDP or None
    method : str
        As for `infer`.

    Returns
    -------
    FoundRecords
    """
    data = check_records(log) if isinstance(log, Records) else read_records(log, mdp)
    settings = DEFAULT
    if isinstance(model, ByParticles):
        settings, model, method = model.settings, model.model, "smc" if method == "auto" else method
    with jax.enable_x64(True):
        # Read the model once, and check that its primitives lead where the log says.
        check_model(model)
        data = fit_rows(model, data)
        reading = read_sites(model, data)
        if not isinstance(log, Records) and "next_state" not in data.seen:
            _check_next(reading.run(data).values["next_state"], np.asarray(log["next_state"]))
        form, sums, reason = _closed_form(reading, data, method)
    return FoundRecords(model, reading, data, form, sums, method, reason, settings)


def infer_found(found: FoundRecords, request: Request) -> xr.DataTree:
    """Draw from a posterior of which it is known whether it has a closed form.

    Parameters
    ----------
    found : FoundRecords
    request : Request
        Its method is the one that was found.

    Returns
    -------
    DataTree
    """
    model, reading, data, form, sums, method, reason, settings = found
    with jax.enable_x64(True):
        groups: dict[str, xr.Dataset] = {}
        if form is None:
            engine = "nuts" if method == "nuts" else "smc"
            check_draws(request.draws, reason)
            drawn = sampled(engine, model, data, reading.names, request, settings)
            if drawn.statistics:
                groups["sample_stats"] = by_draw(drawn.statistics, {})
        elif isinstance(form, Regression | MatrixRegression):
            engine = "exact"
            assert sums is not None
            drawn = _drawn_by_regression(form, sums, form.log_evidence(reading, sums, data), request)
            groups["parameters"] = _regression_parameters(form, sums)
        else:
            engine = "exact"
            _refuse_impossible(data, impossible_rows(model, form, data))
            after = {name: np.asarray(values) for name, values in learn(model, form, form.before, data).items()}
            evidence = log_evidence(reading, form, after, data)
            drawn = drawn_exactly(form.before, after, form.layout, None, evidence, request)
            groups["parameters"] = label_parameters(after, dict(form.families), reading.dims, Labels((), ()))
    attrs = {
        "engine": engine,
        **drawn.account,
        "reason": reason,
        "model": model_name(model),
        "latents": json.dumps(list(reading.latents)),
        "families": form.layout.to_text() if isinstance(form, Pairs) else "{}",
        **({"regression": form.described()} if isinstance(form, Regression | MatrixRegression) else {}),
        "seed": request.seed,
        "num_transitions": float(np.sum(data.weight)),
        **versions(),
    }
    after_data, before_data = (
        by_draw(
            {name: draws[name] for name in reading.latents if name in draws}, reading.dims
        )  # none if parameters alone are kept
        for draws in (drawn.posterior, drawn.prior)
    )
    rows = {
        name: (("row", *(f"{name}_axis_{i}" for i in range(np.ndim(values) - 1))), np.asarray(values))
        for name, values in data.seen.items()
    }
    groups |= {
        "posterior": after_data.assign_attrs(attrs),
        "prior": before_data,
        "observed_data": xr.Dataset(rows),
        "constant_data": xr.Dataset(
            {
                "state": (("row", "coordinate"), np.asarray(data.state)),
                "action": ("row", np.asarray(data.action)),
                "weight": ("row", np.asarray(data.weight)),
            }
        ),
    }
    return numbered_tree(groups, attrs)


def _closed_form(
    reading: Reading, data: Records, method: str
) -> tuple[Pairs | Regression | MatrixRegression | None, Any, str]:
    """The closed form if there is one and it is wanted, the sums for a regression, and why it is taken or not."""
    if method not in ("auto", "exact"):
        return None, None, f"asked for with method={method!r}"
    try:
        if not looks_like_regression(reading, data):
            return find_pairs(reading, data), None, "sites observe the unknowns directly"
        form = find_any_regression(reading, data)
        _refuse_impossible(data, form.impossible(reading.model, data))
        nothing: Any = form.before
        sums = form.learn_log(reading.model, nothing, data)
        check_all_rows(form, reading, sums, data)
        return form, sums, "what is observed is Normal, and linear in Normal unknowns"
    except NotConjugate as error:
        if method == "exact":
            raise
        return None, None, f"no closed form: {error}"


def _drawn_by_regression(
    form: Regression | MatrixRegression, sums: Any, log_evidence: float, request: Request
) -> Drawn:
    """Draws of the prior and the posterior of a linear regression."""
    account = {"log_evidence": log_evidence, "log_evidence_sd": 0.0}
    if not request.draws:
        return Drawn({}, {}, {}, account)
    keys = jax.random.split(jax.random.key(request.seed))
    prior, posterior = (
        in_chains(jax.tree.map(np.asarray, form.draw(key, each, request.draws)), request.chains)
        for key, each in zip(keys, (form.before, sums), strict=True)
    )
    return Drawn(posterior, prior, {}, account)


def _regression_parameters(form: Regression | MatrixRegression, sums: Any) -> xr.Dataset:
    """What the form's `of_parameters` reads."""
    parameters = {name: np.asarray(values) for name, values in form.parameters(sums).items()}
    if isinstance(form, MatrixRegression):
        dims: dict[str, tuple[str, ...]] = {
            "mean": ("coefficient", "to"),
            "precision": ("coefficient", "other_coefficient"),
            "degrees": (),
            "rate": ("to", "with"),
        }
        return xr.Dataset({name: (dims[name], values) for name, values in parameters.items()})
    axes = ("group", "coefficient", "other_coefficient")
    parameters["place"] = thaw(form.place)
    return xr.Dataset({name: (axes[: values.ndim], values) for name, values in parameters.items()})


def _refuse_impossible(data: Records, impossible: NDArray[np.bool_]) -> None:
    if impossible.any():
        row = int(np.flatnonzero(impossible)[0])
        recorded = ", ".join(f"{name} {np.asarray(column)[row]}" for name, column in data.seen.items())
        raise Impossible(
            f"the log's row {row} ({recorded}), from state {np.asarray(data.state)[row]}, has probability 0 under the "
            "model; check the log, or widen the prior"
        )


def _check_next(lead: NDArray[np.float64], next_state: NDArray[np.float64]) -> None:
    """Refuse a log whose next states are not where its primitives lead."""
    off = np.abs(lead - next_state).max(-1) > 1e-6
    if off.any():
        step = int(np.flatnonzero(off)[0])
        raise ValueError(
            f"log next_state at step {step} is {next_state[step].tolist()}; its primitives lead to "
            f"{lead[step].tolist()} under the model"
        )
