"""Posteriors from logs of recorded primitives: the closed form is looked for, and then draws are made.

`infer` does both. They are apart for callers that go on with the closed form, which need not look for it again.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.user_code import check_model, model_name
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.lookups import check_lookups
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.model_reading.read_model import Impossible, Model, Reading, read_sites
from bayesmdp.model_reading.records import Records, check_records
from bayesmdp.models.arguments import thaw
from bayesmdp.posterior.beliefs.make_belief import ByParticles
from bayesmdp.posterior.closed_forms.find_form import ClosedForm, check_log, find_form
from bayesmdp.posterior.closed_forms.matrix_regression import MatrixRegression
from bayesmdp.posterior.closed_forms.primitives import Pairs
from bayesmdp.posterior.closed_forms.priors import NotConjugate
from bayesmdp.posterior.closed_forms.product import Product
from bayesmdp.posterior.closed_forms.regression import Regression
from bayesmdp.posterior.inference.record_checks import (
    check_next,
    known_actions,
    refuse_hidden_ends,
    refuse_other_actions,
)
from bayesmdp.posterior.inference.request import Drawn, Request, check_draws, drawn_exactly, sampled
from bayesmdp.posterior.inference.tree import Labels, by_draw, in_chains, label_parameters, numbered_tree, versions
from bayesmdp.posterior.particles.sampler import DEFAULT, Settings
from bayesmdp.problems.labels import label_text

__all__ = ["FoundRecords", "find_records", "infer_found", "infer_records"]

REASONS = {
    Pairs: "sites observe the unknowns directly",
    Regression: "what is observed is Normal, and linear in Normal unknowns",
    MatrixRegression: "what is observed is Normal, and linear in Normal unknowns",
    Product: "the model falls into independent parts, each of them in closed form",
}
"""Why a closed form is taken."""


class FoundRecords(NamedTuple):
    """What is known of the posterior of a model and a log before anything is drawn.

    Attributes
    ----------
    model : NumPyro function of `Records`
    reading : Reading
        Of the model.
    data : Records
        As the model observes them.
    form : Pairs, Regression, MatrixRegression, Product or None
        The closed form, if there is one and it is wanted.
    sums : as the form has them, or None
        Of the data.
    method, reason : str
        As for `infer`, and why the closed form is taken or not.
    settings : Settings
        Of particles.
    actions : sequence of labels, or None
        What positions of actions stand for, where that is known.
    """

    model: Model
    reading: Reading
    data: Records
    form: ClosedForm | None
    sums: Any
    method: str
    reason: str
    settings: Settings = DEFAULT
    actions: Sequence[Hashable] | None = None


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
    settings, actions = DEFAULT, None
    if isinstance(model, ByParticles):
        settings, model, method = model.settings, model.model, "smc" if method == "auto" else method
    with jax.enable_x64(True):
        # Read the model once, and check that its primitives lead where the log says.
        check_model(model)
        data = fit_rows(model, data)
        reading = read_sites(model, data)
        if not isinstance(log, Records):
            refuse_hidden_ends(log, data, mdp)
            actions = known_actions(log, mdp)
            refuse_other_actions(reading, actions, mdp)
            if "next_state" not in data.seen:
                check_next(reading.run(data).values["next_state"], np.asarray(log["next_state"]))
        form, sums, reason = _closed_form(reading, data, method)
        check_lookups(model, data, reading.latents)
    return FoundRecords(model, reading, data, form, sums, method, reason, settings, actions)


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
    model, reading, data, form, sums, method, reason, settings, actions = found
    with jax.enable_x64(True):
        groups: dict[str, xr.Dataset] = {}
        if form is None:
            engine = "nuts" if method == "nuts" else "smc"
            check_draws(request.draws, reason)
            drawn = sampled(engine, model, data, reading.names, request, settings)
            if drawn.statistics:
                groups["sample_stats"] = by_draw(drawn.statistics, {})
        else:
            engine, evidence = "exact", form.log_evidence(reading, sums, data)
            if isinstance(form, Pairs):
                drawn = drawn_exactly(form.before, sums, form.layout, None, evidence, request)
            else:
                drawn = _drawn(form, sums, evidence, request)
            groups["parameters"] = _labelled(form, sums)
    attrs = {
        "engine": engine,
        **drawn.account,
        "reason": reason,
        "model": model_name(model),
        "latents": json.dumps(list(reading.latents)),
        "families": form.layout.to_text() if isinstance(form, Pairs) else "{}",
        **({"regression": form.described()} if isinstance(form, Regression | MatrixRegression) else {}),
        **({"product": form.described()} if isinstance(form, Product) else {}),
        "seed": request.seed,
        "num_transitions": float(np.sum(data.weight)),
        **({} if actions is None else {"actions": label_text(actions)}),
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


def _closed_form(reading: Reading, data: Records, method: str) -> tuple[ClosedForm | None, Any, str]:
    """The closed form if there is one and it is wanted, the sums of the data, and why it is taken or not."""
    if method not in ("auto", "exact"):
        return None, None, f"asked for with method={method!r}"
    try:
        form: Any = find_form(reading, data)
        _refuse_impossible(data, form.impossible(reading.model, data))
        sums = form.learn_log(reading.model, form.before, data)
        check_log(form, reading, sums, data)
        return form, sums, REASONS[type(form)]
    except NotConjugate as error:
        if method == "exact":
            raise
        return None, None, f"no closed form: {error}"


def _drawn(form: Any, sums: Any, log_evidence: float, request: Request) -> Drawn:
    """Draws of the prior and the posterior of a closed form."""
    account = {"log_evidence": log_evidence, "log_evidence_sd": 0.0}
    if not request.draws:
        return Drawn({}, {}, {}, account)
    keys = jax.random.split(jax.random.key(request.seed))
    prior, posterior = (
        in_chains(jax.tree.map(np.asarray, form.draw(key, each, request.draws)), request.chains)
        for key, each in zip(keys, (form.before, sums), strict=True)
    )
    return Drawn(posterior, prior, {}, account)


def _labelled(form: ClosedForm, sums: Any) -> xr.Dataset:
    """The posterior's parameters, with what the form's `of_parameters` reads."""
    if isinstance(form, Product):
        # Parts have axes of their own.
        parts = []
        for each, own in zip(form.factors, sums, strict=True):
            told = _labelled(each.form, own)
            renamed = {} if not each.prefix else {name: each.prefix + str(name) for name in (*told.dims, *told)}
            parts.append(told.rename(renamed))
        return xr.merge(parts, join="outer")
    parameters = {name: np.asarray(values) for name, values in form.parameters(sums).items()}
    if isinstance(form, Pairs):
        return label_parameters(parameters, dict(form.families), dict(form.dims), Labels((), ()))
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
