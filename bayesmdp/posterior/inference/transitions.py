"""Posteriors of transitions, and of rewards, from logs and from weighted rows."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.user_code import model_name
from bayesmdp.logs.compress import compress
from bayesmdp.logs.covariates import covariates_of
from bayesmdp.logs.log import label_set, left_out_told
from bayesmdp.model_reading.likelihood import row_values
from bayesmdp.model_reading.lookups import check_lookups
from bayesmdp.model_reading.read_model import Impossible, Model, Reading, check, describe_row, read
from bayesmdp.model_reading.rows import MeanRewards, Transitions
from bayesmdp.posterior.beliefs.make_belief import ByParticles
from bayesmdp.posterior.closed_forms.evidence import conjugate_log_evidence
from bayesmdp.posterior.closed_forms.transitions import Conjugate, NotConjugate, find
from bayesmdp.posterior.inference.request import Request, check_draws, drawn_exactly, sampled
from bayesmdp.posterior.inference.reward_summary import refuse_summed, summarise_rewards
from bayesmdp.posterior.inference.tree import Labels, posterior_tree
from bayesmdp.posterior.particles.sampler import DEFAULT
from bayesmdp.problems.mdp import MDP

__all__ = ["infer_transitions", "log_rows", "padded_rows", "read_with_rows"]


TRIALS = 16
"""Random values of the unknowns under which a row is tried before it is called impossible."""

FEWEST_ROWS = 16
"""Small logs, of a few rows and then of a few more, share their programs too."""


def infer_transitions(model: Model, log: xr.Dataset | Transitions, mdp: MDP | None, request: Request) -> xr.DataTree:
    """Infer a model with a site ``transition``, and with unknown rewards where it has a site ``reward``.

    Parameters
    ----------
    model : NumPyro function of the data
    log : Dataset or Transitions
    mdp : MDP or None
        Gives labels and the successor table.
    request : Request
        The options of `infer`, checked.

    Returns
    -------
    DataTree
    """
    reading, data, labels = read_with_rows(model, log, mdp)
    with jax.enable_x64(True):
        padded = padded_rows(data)
        _check_sizes(reading, labels, data)
        check_lookups(model, padded, reading.latents)
        rewards = "as seen" if reading.rewarded else "not looked at"
        if reading.rewarded and isinstance(log, xr.Dataset) and log.attrs.get("rewards") == "summed":
            refuse_summed(reading, data)
        short = summarise_rewards(reading, data) if reading.rewarded else data
        if short is not data:
            data, rewards = short, "two rows a transition, with the same mean and variance"
            padded = padded_rows(data)
        # Choose the engine, and draw.
        engine, closed_form, reason = _engine(reading, padded, request.method)
        parameters: dict[str, NDArray[np.float64]] = {}
        if closed_form is None:
            check_draws(request.draws, reason)
            check(reading, padded)
            if not reading.discrete:  # 16 random trials may miss the one value that a row needs
                _refuse_impossible(padded, _never(reading, padded), reading.rewarded)
            settings = model.settings if isinstance(model, ByParticles) else DEFAULT
            drawn = sampled(engine, model, padded, reading.names, request, settings)
        else:
            parameters, before = (
                {name: np.asarray(values) for name, values in closed_form.posterior(weight).items()}
                for weight in (padded.weight, 0 * padded.weight)
            )
            evidence = conjugate_log_evidence(padded, closed_form, parameters)
            drawn = drawn_exactly(before, parameters, closed_form.layout, reading, evidence, request)
    families = {} if closed_form is None else {name: site.family for name, site in closed_form.sites.items()}
    return posterior_tree(
        prior=drawn.prior,
        posterior=drawn.posterior,
        statistics=drawn.statistics,
        parameters=parameters,
        families=families,
        data=data,
        rewarded=reading.rewarded,
        dims=reading.dims,
        labels=labels.sized(reading.shape),
        attrs={
            "engine": engine,
            **drawn.account,
            "reason": reason,
            "model": model_name(model),
            "latents": json.dumps(list(reading.latents)),
            "deterministic": json.dumps(reading.deterministic),
            "outcome": reading.dims["transition"][-1],
            "families": "{}" if closed_form is None else closed_form.layout.to_text(),
            "rewards": rewards,
            "seed": request.seed,
            "num_transitions": float(data.weight.sum()),
        },
    )


def read_with_rows(model: Model, log: xr.Dataset | Transitions, mdp: MDP | None) -> tuple[Reading, Transitions, Labels]:
    """Read a model once - its unknowns, and whether it looks at rewards - and reduce a log to the rows that it reads.

    Parameters
    ----------
    model : NumPyro function of the data
    log : Dataset or Transitions
    mdp : MDP or None

    Returns
    -------
    reading : Reading
    data : Transitions
    labels : Labels
    """
    with left_out_told(log):
        known = covariates_of(log) if isinstance(log, xr.Dataset) else getattr(log, "covariates", None)
        reading = read(model, "next_state" if mdp is None else mdp.outcome_dim, known)
        data, labels = log_rows(reading, log, mdp)
    return reading, data, labels


def log_rows(reading: Reading, log: xr.Dataset | Transitions, mdp: MDP | None) -> tuple[Transitions, Labels]:
    """Reduce a log to the rows that a model reads, and say what their states and actions are called.

    This is the one place where a log is reduced to rows for a model, after the model was asked what it looks at.

    Parameters
    ----------
    reading : Reading
        The model.
    log : Dataset or Transitions
    mdp : MDP or None

    Returns
    -------
    data : Transitions
    labels : Labels
    """
    if isinstance(log, Transitions):
        if isinstance(log, MeanRewards) and reading.rewarded:
            raise ValueError(
                "the model observes rewards, and those of the data are means over steps that were paid differently, "
                "each of which would count as one exact reward; give the log itself, or "
                "compress(log, distinct_rewards=True)"
            )
        data = jax.tree.map(np.asarray, Transitions(*log))
        shapes = [column.shape for column in jax.tree.leaves(data)]
        if data.weight.ndim != 1 or any(shape != data.weight.shape for shape in shapes):
            raise ValueError(f"the columns of the data have shapes {shapes}; expected equal")
        if not (np.isfinite(data.weight) & (data.weight >= 0)).all() or not data.weight.sum() > 0:
            raise ValueError("the data's weights must be finite, at least 0 and not all 0")
        for name in ("state", "action", "next_state"):
            if (getattr(data, name) < 0).any():
                raise ValueError(f"the data's {name} holds a negative index")
        seen = data.weight > 0
        data = jax.tree.map(lambda column: column[seen], data)
        states: Sequence[Hashable] | None = None if mdp is None else mdp.states
        actions: Sequence[Hashable] | None = None if mdp is None else mdp.actions
    else:
        data = compress(log, mdp, distinct_rewards=reading.rewarded, covariates=reading.covariates)
        states = label_set(log, "states") if mdp is None else mdp.states
        actions = label_set(log, "actions") if mdp is None else mdp.actions
    return data, Labels(states, actions, None if mdp is None else mdp.successor)


def padded_rows(data: Any) -> Any:
    """Add rows of weight 0, up to a power of 2 of rows: logs of about one size share their compiled programs.

    Parameters
    ----------
    data : Transitions, Targets or Records

    Returns
    -------
    Transitions, Targets or Records
    """
    rows = len(data.weight)
    extra = max(FEWEST_ROWS, 1 << (rows - 1).bit_length()) - rows
    padded = jax.tree.map(lambda column: np.concatenate([column, np.repeat(column[:1], extra, axis=0)]), data)
    return padded._replace(weight=np.concatenate([data.weight, np.zeros(extra)]))


def _check_sizes(reading: Reading, labels: Labels, data: Transitions) -> None:
    """Refuse data of other states, actions or outcomes than those of the model's transition."""
    for name, size in zip(("state", "action", "next_state"), reading.shape, strict=True):
        largest = int(np.max(getattr(data, name), initial=0))
        if largest >= size:
            raise ValueError(f"transition has shape {reading.shape}, but the data hold {name} {largest}")
    expected = labels.shape
    if expected is not None and reading.shape != expected:
        remedy = (
            "; pass mdp if its last axis is the outcome of a successor table" if labels.successor is None else ""
        ) + (
            "; if the log shows too few, read_log(states=[...], actions=[...]) declares them all, in the model's order"
            if any(own > logged for own, logged in zip(reading.shape[:2], expected[:2], strict=True))
            else ""
        )
        raise ValueError(
            f"the model's transition has shape {reading.shape}; the log's labels say {expected} "
            f"[state, action, {labels.outcome}]{remedy}"
        )


def _engine(reading: Reading, data: Transitions, method: str) -> tuple[str, Conjugate | None, str]:
    """Which engine, the closed form if it is the exact one, and why."""
    if method in ("smc", "nuts"):
        return method, None, f"asked for with method={method!r}"
    if method == "auto" and isinstance(reading.model, ByParticles):
        return "smc", None, "asked for with with_particles"
    try:
        closed_form = find(reading, data)
    except NotConjugate as error:
        if method == "exact":
            raise
        why = f"; {reading.discrete[0]!r} is discrete" if reading.discrete else ""
        return "smc" if reading.discrete else "nuts", None, f"no closed form: {error}{why}"
    _refuse_impossible(data, closed_form.impossible, reading.rewarded)
    each = ((site.prior.sites, site.family.name) for site in closed_form.sites.values())
    kinds = ", ".join(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {kind}" for names, kind in each)
    return "exact", closed_form, f"conjugate, by differentiating the log-likelihood: {kinds}"


def _never(reading: Reading, data: Transitions) -> NDArray[np.bool_]:
    """Rows [row] of probability 0 at each of several random values of the unknowns."""
    once, never = data._replace(weight=np.ones(len(data.weight))), np.ones(len(data.weight), bool)
    for seed in range(TRIALS):
        never &= np.asarray(row_values(reading.model, once, reading.latent_values(data, seed))) < -1e300
        if not never.any():
            break
    return never


def _refuse_impossible(data: Transitions, impossible: NDArray[np.bool_], rewarded: bool) -> None:
    if impossible.any():
        row = describe_row(data, int(np.flatnonzero(impossible)[0]), reward=rewarded)
        raise Impossible(
            f"the log has {row}, which has probability 0 under the model; check the log, or widen the prior"
        )
