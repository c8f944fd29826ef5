"""Priors by name, from this package or from a file of the user's own: the ``--prior`` and ``--rewards`` of a plan.

Unless told otherwise the prior is the one that the log speaks for (:mod:`bayesmdp.offline.prior_from_log`), and rewards
are what the log shows (:mod:`bayesmdp.offline.reward_models`). `dirichlet_transitions` by name has uniform rows of the
concentration for which the log speaks. The choice is ours: with 1 for each of hundreds of states the prior would
outweigh most logs, and with so little that a row weighs one observation, what plans promise is far too much
(:mod:`bayesmdp.studies.icu_sepsis`).

A prior of rewards stands on one of transitions: the one that the log speaks for, unless the option ``transitions``
names another. That one's own options are ``transitions.OPTION``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp import models
from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.foundation.user_code import from_file, needed_arguments, told_by_line
from bayesmdp.logs.compress import compress
from bayesmdp.logs.covariates import covariates_of
from bayesmdp.model_reading.read_model import Model, read
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.base_rows import base_rows_for
from bayesmdp.offline.experience import Experience, added_up
from bayesmdp.offline.made_prior import MadePrior
from bayesmdp.offline.near_states import with_near_states
from bayesmdp.offline.prior_from_log import log_prior, row_prior
from bayesmdp.offline.remade import of_rows
from bayesmdp.offline.reward_models import RewardModel, RewardScatter, reward_model
from bayesmdp.posterior.dirichlet_evidence import FAR, WEIGHTS, best_weight, dirichlet_log_evidence, evidence_by_weight
from bayesmdp.problems.mdp import MDP

__all__ = ["make_prior", "maker_of"]

TRANSITIONS = "transitions."
"""Before the options of the prior on which one of rewards stands."""


def make_prior(
    text: str, log: xr.Dataset, mdp: MDP, settings: Mapping[str, Any], *, rewards: str = "auto"
) -> MadePrior:
    """A prior by its name, for a log.

    Parameters
    ----------
    text : str
        ``"auto"``, ``"pooled"`` (the same, and rare states learn from neighbouring ones, as
        :mod:`bayesmdp.offline.near_states` says), one of `bayesmdp.models`, or ``FILE.py:NAME``: a function of the MDP
        that returns a model, or itself a model, which is told by its one parameter's being called ``data``.
    log : Dataset over ``step``
    mdp : MDP
    settings : mapping of option to value
    rewards : str
        "auto", "known", "normal", "bernoulli", or ``FILE.py:NAME``: a function of the MDP and a model of transitions
        that returns a model of both.

    Returns
    -------
    MadePrior

    Raises
    ------
    ValueError, TypeError
        If there is none of that name, it has no such option, needs one that is not given, or does not work.
    """
    of_file = ":" in rewards or rewards.endswith(".py")
    rows = compress(log, mdp, distinct_rewards=True)
    experience = added_up(rows, mdp)
    paid = reward_model(log, rows, experience, "auto" if of_file else rewards)
    scatter = RewardScatter(paid, rows, experience)
    base = _of_transitions(text, log, mdp, experience, settings)
    # A prior that says something of rewards is left alone.
    if base.rewarded or of_file:
        model, told = base.model, "as in the prior"
        if base.rewarded and rewards != "auto":
            raise ValueError(f"--rewards {rewards} and --prior {text} both define the rewards; give only one of them")
        if of_file:
            maker, file = maker_of(rewards, {})
            with told_by_line(file):
                model = _told(maker(mdp, base.model), file)
            told = rewards
        if paid.kind == "known" and experience.reward_scatter.any():
            # To the prior rewards are by pair, and those of a pair differ by what they led to.
            scatter = RewardScatter(reward_model(log, rows, experience, "normal"), rows, experience)
        return MadePrior(model, base.described, told, paid.kind, rows, experience, model, None, scatter, None)
    remade = None if base.concentration is None else of_rows(base.concentration, paid)
    model = paid.wrap(mdp, base.model)
    return MadePrior(
        model, base.described, paid.described, paid.kind, rows, experience, base.model, remade, scatter, paid
    )


class _Transitions(NamedTuple):
    """A model by its name: how it is described, and its concentration for a log, where rows are Dirichlet."""

    model: Model
    described: str
    rewarded: bool = False
    concentration: Callable[[Experience], NDArray[np.float64]] | None = None


def _of_transitions(
    text: str, log: xr.Dataset, mdp: MDP, experience: Experience, settings: Mapping[str, Any]
) -> _Transitions:
    """The model that a name says, with its options."""
    if text in ("auto", "pooled"):
        if not isinstance(settings.get("ordered", True), bool):
            raise ValueError(f"ordered is true or false; got {settings['ordered']!r}")
        unknown = [option for option in settings if option != "ordered"]
        if unknown:
            raise ValueError(
                f"the prior by the log has no option {unknown[0]!r}, only ordered; name the prior that has it, such as "
                "dirichlet_transitions"
            )
        bases = base_rows_for(mdp, **settings)
        if text == "pooled":
            bases = with_near_states(bases, log, mdp)
        made = log_prior(mdp, experience, bases, RewardModel("known", {}, ""))
        return _Transitions(
            made.model, made.described, concentration=lambda other: row_prior(other.counts, bases).concentration
        )
    maker, file = maker_of(text, models.PRIORS)
    name = text.rpartition(":")[2]
    parameters = list(inspect.signature(maker).parameters)
    is_model = parameters == ["data"]
    options = [] if is_model else parameters[1:]
    on_transitions = options[:1] == ["transitions"]
    below = {option: value for option, value in settings.items() if on_transitions and option.startswith(TRANSITIONS)}
    settings = {option: value for option, value in settings.items() if option not in below}
    unknown = [option for option in settings if option not in options]
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}; it has {', '.join(options) or 'none'}")
    if is_model:
        model = _told(maker, file)
        return _Transitions(model, name, _rewarded(model, log, mdp))
    standing = ""
    if on_transitions:
        under = str(settings.pop("transitions", "auto"))
        own = {option.removeprefix(TRANSITIONS): value for option, value in below.items()}
        underneath = _of_transitions(under, log, mdp, experience, own)
        settings["transitions"] = underneath.model
        standing = f" on {underneath.described}"
    _refuse_incomplete(maker, name, settings)
    shipped = maker is models.dirichlet_transitions
    rows = _as_rows(experience)
    evidence = evidence_by_weight(rows, mdp) if shipped else {}
    by_evidence = shipped and "concentration" not in settings
    if by_evidence:
        settings = {"concentration": best_weight(evidence) / mdp.num_states}
    with told_by_line(file):
        model = maker(mdp, **settings)
    if not callable(model):
        raise TypeError(f"{text} returned a {type(model).__name__}; it must return a model, a function of data")
    model = _told(model, file) if file else model
    shown = ", ".join(
        f"{option}={f'{v:.4g}' if isinstance(v, float) else v}" for option, v in settings.items() if not callable(v)
    )
    described = (f"{name}({shown})" if shown else name) + standing
    described += _by_the_log(mdp, rows, evidence, settings["concentration"]) if shipped else ""
    fixed = np.asarray(settings["concentration"], float) if shipped and not by_evidence else None

    def concentration(other: Experience) -> NDArray[np.float64]:
        shape = mdp.num_states, mdp.num_actions, mdp.num_outcomes
        if fixed is not None and fixed.ndim:
            return np.broadcast_to(fixed, shape)
        each = float(fixed) if fixed is not None else best_weight(evidence_by_weight(_as_rows(other), mdp)) / shape[0]
        return np.broadcast_to(each * np.asarray(mdp.outcome_size), shape)

    return _Transitions(
        model,
        described,
        on_transitions or (bool(file) and _rewarded(model, log, mdp)),
        concentration if shipped else None,
    )


def maker_of(text: str, shipped: Mapping[str, Callable[..., Any]]) -> tuple[Callable[..., Any], str]:
    """Return the function of a name, or of FILE.py:NAME, and its file.

    Parameters
    ----------
    text : str
    shipped : mapping of name to function

    Returns
    -------
    function : callable
    file : str
        Empty for one that is shipped.
    """
    file, colon, name = text.rpartition(":")
    if not colon and text.endswith(".py"):
        raise ValueError(f"{text} may contain several functions: name one, as in {text}:prior")
    if colon:
        return from_file(Path(file), name), file
    if name not in shipped:
        hint = did_you_mean(name, list(shipped), otherwise=f"there are {', '.join(shipped)}", quoted=False)
        raise ValueError(f"no prior {name!r}; {hint} (one of your own is FILE.py:NAME)")
    return shipped[name], ""


def _rewarded(model: Model, log: xr.Dataset, mdp: MDP) -> bool:
    """Whether a model of the user's own looks at rewards."""
    return read(model, mdp.outcome_dim, covariates_of(log)).rewarded


def _as_rows(experience: Experience) -> Transitions:
    """The transitions seen, without their rewards."""
    state, action, outcome = (place.astype(np.int32) for place in np.nonzero(experience.counts))
    weight = experience.counts[state, action, outcome]
    return Transitions(state, action, outcome, np.zeros(len(weight)), weight)


def _refuse_incomplete(found: Callable[..., Any], name: str, settings: Mapping[str, Any]) -> None:
    """Refuse a prior that needs options which are not given, or that is about something else than an MDP."""
    first, *needed = needed_arguments(found, settings) or [""]
    if found in vars(models).values() and first != "mdp":
        raise ValueError(f"{name} is not a prior for the transitions of a log: it is made from {first}, in Python")
    if needed:
        raise ValueError(f"{name} needs {' and '.join(needed)}: --set {needed[0]}=VALUE, numbers or lists as in JSON")


def _by_the_log(mdp: MDP, rows: Transitions, evidence: Mapping[float, float], concentration: Any) -> str:
    """What the log says of the concentration."""
    if np.ndim(concentration):
        return ""
    weight = concentration * mdp.num_states
    text = f": it counts as {weight:.3g} observation{'s' * (weight != 1)} of each pair" if mdp.has_elsewhere else ""
    if max(evidence.values()) - min(evidence.values()) <= FAR:
        return f"{text}; the log does not determine it"
    best = best_weight(evidence) / mdp.num_states
    if concentration == best:
        ends = {WEIGHTS[0]: ", the smallest considered", WEIGHTS[-1]: ", the largest considered"}
        return f"{text}, by the log's evidence{ends.get(weight, '')}"
    gain = max(evidence.values()) - dirichlet_log_evidence(rows, mdp, float(concentration))
    return text + (f"; the log favours {best:.3g} (log odds {gain:,.0f})" if gain > FAR else "")


def _told(model: Model, file: str) -> Model:
    """The model, with errors of its own told by line; the posterior's own reasons are not touched."""

    @wraps(model)
    def run(data: Any) -> Any:
        with told_by_line(file):
            return model(data)

    return run
