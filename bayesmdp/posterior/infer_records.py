"""Posteriors from logs of recorded primitives."""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.posterior import nuts, smc_run
from bayesmdp.posterior.datatree import Labels, by_draw, in_chains, label_parameters, numbered_tree, versions
from bayesmdp.posterior.engines import ByParticles
from bayesmdp.posterior.exact import exact_draws
from bayesmdp.posterior.families import FAMILIES
from bayesmdp.posterior.primitives import fit_rows
from bayesmdp.posterior.priors import NotConjugate
from bayesmdp.posterior.program import Impossible, Model, Program, read_sites
from bayesmdp.posterior.recorded import find_pairs, impossible_rows, learn, log_evidence
from bayesmdp.posterior.runs import run_at_random
from bayesmdp.posterior.smc import DEFAULT
from bayesmdp.records import Records, check_records, read_records

__all__ = ["infer_records"]


def infer_records(
    model: Model,
    log: xr.Dataset | Records,
    *,
    mdp: Any,
    draws: int,
    method: str,
    seed: int,
    chains: int,
    num_warmup: int,
    progress: bool,
) -> xr.DataTree:
    """`infer` of a model of recorded primitives."""
    data = check_records(log) if isinstance(log, Records) else read_records(log, mdp)
    settings, told = DEFAULT, {}
    if isinstance(model, ByParticles):
        settings, model, method = model.settings, model.model, "smc" if method == "auto" else method
    with jax.enable_x64(True):
        if not callable(model):
            raise TypeError(f"a model is a NumPyro function of the data; got {type(model).__name__}")
        data = fit_rows(model, data)
        latents, dims = read_sites(model, data)
        if not isinstance(log, Records):
            _check_next(run_at_random(model, data, latents).values["next_state"], np.asarray(log["next_state"]))
        pairs, reason = None, f"asked for with method={method!r}"
        if method in ("auto", "exact"):
            try:
                pairs, reason = find_pairs(model, data), "sites observe the unknowns directly"
            except NotConjugate as error:
                if method == "exact":
                    raise
                reason = f"no closed form: {error}"
        if pairs is None and not draws:
            raise ValueError(f"draws must be at least 1 where the posterior is not known in closed form: {reason}")
        groups: dict[str, xr.Dataset] = {}
        program = Program(latents, (), dims, (0, 0, 0))
        if pairs is not None:
            engine = "exact"
            _refuse_impossible(data, impossible_rows(model, pairs, data))
            after = {name: np.asarray(values) for name, values in learn(model, pairs, pairs.before, data).items()}
            told = {"log_evidence": log_evidence(model, pairs, after, data), "log_evidence_sd": 0.0}
            posterior = in_chains(exact_draws(after, pairs.layout, draws, seed, None), chains)
            prior = in_chains(exact_draws(pairs.before, pairs.layout, draws, seed, None, prior=True), chains)
            families = {name: FAMILIES[kind] for name, kind in pairs.families}
            groups["parameters"] = label_parameters(after, families, dims, Labels((), ()))
        else:
            if method in ("auto", "smc"):
                engine = "smc"
                sample = smc_run.run(
                    model,
                    data,
                    num_draws=draws,
                    num_chains=chains,
                    seed=seed,
                    settings=settings,
                    progress=progress,
                )
                told = sample.account()
                posterior, prior = ({name: of[name] for name in latents} for of in (sample.draws, sample.prior))
            else:
                engine = "nuts"
                posterior, statistics = nuts.run(
                    model,
                    data,
                    program,
                    num_draws=draws,
                    num_chains=chains,
                    num_warmup=num_warmup,
                    seed=seed,
                    progress=progress,
                )
                groups["sample_stats"] = by_draw(statistics, {})
                prior = in_chains(nuts.prior_draws(model, data, program, draws, seed + 1), chains)
    attrs = {
        "engine": engine,
        **told,
        "reason": reason,
        "model": getattr(model, "__name__", type(model).__name__),
        "latents": json.dumps(list(latents)),
        "families": json.dumps({} if pairs is None else {name: [[name], kind] for name, kind in pairs.families}),
        "seed": seed,
        "num_transitions": float(np.sum(data.weight)),
        **versions(),
    }
    rows = {
        name: (("row", *(f"{name}_axis_{i}" for i in range(np.ndim(values) - 1))), np.asarray(values))
        for name, values in data.seen.items()
    }
    groups |= {
        "posterior": by_draw(posterior, dims).assign_attrs(attrs),
        "prior": by_draw(prior, dims),
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


def _refuse_impossible(data: Records, impossible: NDArray[np.bool_]) -> None:
    if impossible.any():
        row = int(np.flatnonzero(impossible)[0])
        told = ", ".join(f"{name} {np.asarray(column)[row]}" for name, column in data.seen.items())
        raise Impossible(
            f"the log's row {row} ({told}), from state {np.asarray(data.state)[row]}, has probability 0 under the "
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
