"""Priors for logs of measurements: by name, or the one that the log speaks for; and what is believed of rewards.

What can be compared are the evidences of regressions, which are exact: steps linear in the state, or smooth in it by
random Fourier features that change over a half width of the box, a half or a quarter of it. Rewards are a regression
too, of squares and products or of the latter two, chosen by evidence in the same way; they are known where a function
says what steps pay, or where all rows pay the same. How large weights may be is chosen with the rest, of two scales.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesmdp import models
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.user_code import needed_arguments, told_by_line
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.model_reading.read_model import Model, read_sites
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import freeze, thaw
from bayesmdp.models.fourier_dynamics import FourierFeatures
from bayesmdp.models.linear_rewards import up_to_squares
from bayesmdp.offline.measured_space import MeasuredSpace
from bayesmdp.offline.named_prior import maker_of
from bayesmdp.posterior.closed_forms.find_regression import find_regression
from bayesmdp.problems.simulated_problem import primitives_of

__all__ = ["MeasuredPrior", "measured_prior"]

WAVES, LENGTHS = 40, (1.0, 0.5, 0.25)
"""Of Fourier features: how many, and over how many half widths of the box they change."""

SCALES = (10.0, 100.0)
"""Standard deviations of weights, in those of the noise: what is known nearly to rounding has large ones. The first is
the priors' own."""


class MeasuredPrior(NamedTuple):
    """What is believed of steps and of what they pay, before the log is read.

    Attributes
    ----------
    model : NumPyro function of `Records`
    reward : callable or None
        Where rewards are known; else the model samples them.
    described, rewards : str
        What is believed of steps, and of rewards.
    """

    model: Model
    reward: Callable[..., Array] | None
    described: str
    rewards: str


@dataclass(frozen=True)
class Always:
    """The same reward for every step; equal where the number is."""

    value: float

    def __call__(self, state: Array, action: Array, next_state: Array) -> Array:
        """Return the number, one a step."""
        return jnp.full(jnp.shape(action), self.value)


def measured_prior(
    text: str, data: Records, space: MeasuredSpace, settings: Mapping[str, Any], rewards: str | Callable[..., Array]
) -> MeasuredPrior:
    """Make a prior by its name, for a log of measurements.

    Parameters
    ----------
    text : str
        ``"auto"``, a prior of `bayesmdp.models` on spaces of numbers, or ``FILE.py:NAME``: a function of the problem's
        sizes that returns a model of `Records`, or itself a model, which is told by its one parameter's being called
        ``data``.
    data : Records
        The log.
    space : MeasuredSpace
    settings : mapping of option to value
    rewards : "auto", "FILE.py:NAME", or callable
        A function of states, actions (their positions) and next states, as of a `SimulatedMDP`; by default they are
        learned.

    Returns
    -------
    MeasuredPrior

    Raises
    ------
    ValueError, TypeError
        If there is none of that name, it has no such option, needs one that is not given, or does not work.
    """
    if isinstance(rewards, str) and rewards != "auto" and ":" not in rewards:
        raise ValueError(
            "where states are numbers rewards are auto, or FILE.py:NAME of a function of states, actions and next "
            f"states; got {rewards!r}"
        )
    steps, described = _steps(text, data, space, settings)
    paid, size = np.asarray(data.seen["reward"]), len(space.low)
    if "reward" in primitives_of(steps, size):
        if rewards != "auto":
            raise ValueError(
                f"the prior {text} samples rewards, and rewards={rewards!r} says them too; give one of them"
            )
        return MeasuredPrior(steps, None, described, "as the prior has them")
    if callable(rewards):
        return MeasuredPrior(steps, rewards, described, f"known, by {getattr(rewards, '__name__', 'a function')}")
    if rewards != "auto":
        function, _ = maker_of(rewards, {})
        return MeasuredPrior(steps, function, described, f"known, by {rewards}")
    if paid.min() == paid.max():
        return MeasuredPrior(steps, Always(float(paid[0])), described, f"known: every row paid {paid[0]:g}")
    # Rewards are independent of steps given states and actions, so that simple steps will do to compare them.
    features: dict[str, Callable[[Any], Any]] = {
        "squares and products": up_to_squares,
        **{f"Fourier features, length {length:g}": FourierFeatures(size, WAVES, length, 0) for length in LENGTHS[1:]},
    }
    simple = models.linear_dynamics(space.sizes)
    evidence: dict[tuple[str, float], float] = {}
    for name, function in features.items():
        told = _evidences(models.linear_rewards(space.sizes, simple, function), data, groups=slice(-1, None))
        evidence |= {(name, scale): value for scale, value in told.items()}
    name, scale = max(evidence, key=lambda key: evidence[key])
    model = models.linear_rewards(space.sizes, steps, features[name], scale=scale)
    return MeasuredPrior(model, None, described, f"learned by state and action: {name}, by the log's evidence")


def _steps(text: str, data: Records, space: MeasuredSpace, settings: Mapping[str, Any]) -> tuple[Model, str]:
    """The model of where steps lead, and how it is described."""
    if text == "auto":
        if settings:
            raise ValueError(f"the prior by the log has no option {next(iter(settings))!r}; name the prior that has it")
        known = {"linear_dynamics": partial(models.linear_dynamics, space.sizes)}
        for length in LENGTHS:
            smooth = partial(models.fourier_dynamics, space.sizes, number=WAVES, length=length)
            known[f"fourier_dynamics, length {length:g}"] = smooth
        by_scale = {name: _evidences(make(), data) for name, make in known.items()}
        scales = {name: max(told, key=lambda scale: told[scale]) for name, told in by_scale.items()}
        evidence = {name: told[scales[name]] for name, told in by_scale.items()}
        first, second = sorted(evidence, key=lambda name: -evidence[name])[:2]
        odds = evidence[first] - evidence[second]
        described = f"{first}, by the log's evidence: log odds {odds:,.0f} against {second}"
        return known[first](scale=scales[first]), described
    maker, file = maker_of(text, models.PRIORS)
    name = text.rpartition(":")[2]
    parameters = list(inspect.signature(maker).parameters)
    if parameters == ["data"]:
        if settings:
            raise ValueError(f"{name} has no option {next(iter(settings))!r}; it has none")
        return maker, name
    unknown = [option for option in settings if option not in parameters[1:]]
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}; it has {', '.join(parameters[1:]) or 'none'}")
    needed = needed_arguments(maker, settings)[1:]
    if needed:
        raise ValueError(f"{name} needs {' and '.join(needed)}: --set {needed[0]}=VALUE, numbers or lists as in JSON")
    with told_by_line(file):
        model = maker(space.sizes, **settings)
    shown = ", ".join(f"{option}={value}" for option, value in settings.items())
    return model, f"{name}({shown})" if shown else name


def _evidences(model: Model, data: Records, groups: slice = slice(None)) -> dict[float, float]:
    """The log evidence by the scale of weights, of all groups of the noise or some; sums of the log are made once."""
    with jax.enable_x64(True):
        data = fit_rows(model, data)
        reading = read_sites(model, data)
        form = find_regression(reading, data)
        sums = form.learn_log(model, form.before, data)
        told = {}
        for scale in SCALES:
            precision = thaw(form.precision).copy()
            precision[groups] *= (SCALES[0] / scale) ** 2
            told[scale] = form._replace(precision=freeze(precision)).log_evidence(reading, sums, data)
        return told
