"""Priors by name, from this package or from a file of the user's own: the ``--prior`` of ``bayesmdp plan``.

Unless told otherwise, `dirichlet_transitions` has the concentration for which the log speaks. The choice is ours: with
1 for each of hundreds of states the prior would outweigh most logs, and with so little that a row weighs one
observation, what plans promise is far too much (:mod:`bayesmdp.studies.icu_sepsis`).

A prior of rewards stands on one of transitions: the same `dirichlet_transitions`, unless the option ``transitions``
names another. That one's own options are ``transitions.OPTION``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from bayesmdp import models
from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.foundation.user_code import from_file, needed_arguments, told_by_line
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.dirichlet_evidence import FAR, WEIGHTS, best_weight, dirichlet_log_evidence, evidence_by_weight
from bayesmdp.problems.mdp import MDP

__all__ = ["make_prior"]

TRANSITIONS = "transitions."
"""Before the options of the prior on which one of rewards stands."""


def make_prior(text: str, mdp: MDP, rows: Transitions, settings: Mapping[str, Any]) -> tuple[Model, str]:
    """A prior by its name, and what it is called with its options.

    Parameters
    ----------
    text : str
        One of `bayesmdp.models`, or ``FILE.py:NAME``: a function of the MDP that returns a model, or itself a model,
        which is told by its one parameter's being called ``data``.
    mdp : MDP
    rows : Transitions
        The log.
    settings : mapping of option to value

    Raises
    ------
    ValueError, TypeError
        If there is none of that name, it has no such option, needs one that is not given, or does not work.
    """
    file, colon, name = text.rpartition(":")
    if not colon and text.endswith(".py"):
        raise ValueError(f"{text} may hold many functions: name one, as in {text}:prior")
    shipped_names = list(models.PRIORS)
    if not colon and name not in shipped_names:
        hint = did_you_mean(name, shipped_names, otherwise=f"there are {', '.join(shipped_names)}", quoted=False)
        raise ValueError(f"no prior {name!r}; {hint} (one of your own is FILE.py:NAME)")
    maker = from_file(Path(file), name) if colon else models.PRIORS[name]
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
        return _told(maker, file), name
    standing = ""
    if on_transitions:
        under = str(settings.pop("transitions", "dirichlet_transitions"))
        own = {option.removeprefix(TRANSITIONS): value for option, value in below.items()}
        settings["transitions"], described = make_prior(under, mdp, rows, own)
        standing = f" on {described}"
    _refuse_incomplete(maker, name, settings)
    shipped = maker is models.dirichlet_transitions
    evidence = evidence_by_weight(rows, mdp) if shipped else {}
    if shipped and "concentration" not in settings:
        settings = {"concentration": best_weight(evidence) / mdp.num_states}
    with told_by_line(file):
        model = maker(mdp, **settings)
    if not callable(model):
        raise TypeError(f"{text} returned a {type(model).__name__}; it must return a model, a function of data")
    model = _told(model, file) if colon else model
    shown = ", ".join(
        f"{option}={f'{v:.4g}' if isinstance(v, float) else v}" for option, v in settings.items() if not callable(v)
    )
    described = (f"{name}({shown})" if shown else name) + standing
    return model, described + (_by_the_log(mdp, rows, evidence, settings["concentration"]) if shipped else "")


def _refuse_incomplete(found: Callable[..., Any], name: str, settings: Mapping[str, Any]) -> None:
    """Refuse a prior that needs options which are not given, or that is about something else than an MDP."""
    first, *needed = needed_arguments(found, settings) or [""]
    if found in vars(models).values() and first != "mdp":
        raise ValueError(f"{name} is no prior of a log's transitions: it is made of {first}, in Python")
    if needed:
        raise ValueError(f"{name} needs {' and '.join(needed)}: --set {needed[0]}=VALUE, numbers or lists as in JSON")


def _by_the_log(mdp: MDP, rows: Transitions, evidence: Mapping[float, float], concentration: Any) -> str:
    """What the log says of the concentration."""
    if np.ndim(concentration):
        return ""
    weight = concentration * mdp.num_states
    text = f": a row weighs {weight:.3g} observation{'s' * (weight != 1)}" if mdp.has_elsewhere else ""
    if max(evidence.values()) - min(evidence.values()) <= FAR:
        return f"{text}; the log does not tell"
    best = best_weight(evidence) / mdp.num_states
    if concentration == best:
        ends = {WEIGHTS[0]: ", the least tried", WEIGHTS[-1]: ", the most tried"}
        return f"{text}, by the log's evidence{ends.get(weight, '')}"
    gain = max(evidence.values()) - dirichlet_log_evidence(rows, mdp, float(concentration))
    return text + (f"; the log speaks for {best:.3g} (log odds {gain:,.0f})" if gain > FAR else "")


def _told(model: Model, file: str) -> Model:
    """The model, with errors of its own told by line; the posterior's own reasons are not touched."""

    @wraps(model)
    def run(data: Any) -> Any:
        with told_by_line(file):
            return model(data)

    return run
