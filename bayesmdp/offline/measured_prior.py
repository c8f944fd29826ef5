"""Priors for logs of measurements: by name, or the one that the log speaks for; and what is believed of rewards.

What can be compared are the evidences of regressions, which are exact: steps linear in the state, or smooth in it by
random Fourier features that change over a half width of the box, a half or a quarter of it. Rewards are a regression
too, of squares and products or of the latter two, chosen by evidence in the same way; they are known where a function
says what steps pay, or where all rows pay the same. How large weights may be is chosen with the rest, of two scales.

Priors whose numbers are shares of the box are made in its units, where they are the same for every log, and so are
their programs; others, such as those of a file of the user's own, are made in the units of the log.
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
from numpy.typing import NDArray

from bayesmdp import models
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.user_code import needed_arguments, told_by_line
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.records import Records
from bayesmdp.models.fourier_dynamics import FourierFeatures
from bayesmdp.models.linear_dynamics import constant_and_linear
from bayesmdp.models.linear_rewards import up_to_squares
from bayesmdp.offline.feature_evidence import feature_evidence
from bayesmdp.offline.measured_space import MeasuredSpace
from bayesmdp.offline.named_prior import maker_of
from bayesmdp.problems.model_units import ArrayFunction, ModelUnits
from bayesmdp.problems.simulated_problem import primitives_of

__all__ = ["MeasuredPrior", "measured_prior"]

WAVES, LENGTHS = 40, (1.0, 0.5, 0.25)
"""Of Fourier features: how many, and over how many half widths of the box they change."""

SCALES = (10.0, 100.0)
"""Standard deviations of weights, in those of the noise: what is known nearly to rounding has large ones."""

NOISE = {"next_state": 0.05, "reward": 0.1}
"""Prior standard deviations of the noise, as shares of half the box and of half the range of rewards, by default."""

OF_BOX = ("linear_dynamics", "fourier_dynamics", "linear_rewards")
"""Priors whose numbers are shares of the box."""


class MeasuredPrior(NamedTuple):
    """What is believed of steps and of what they pay, before the log is read.

    Attributes
    ----------
    model : NumPyro function of `Records`
    reward : callable or None
        Where rewards are known; else the model samples them.
    described, rewards : str
        What is believed of steps, and of rewards.
    units : ModelUnits or None
        Of the model, where they are not those of the log.
    """

    model: Model
    reward: Callable[..., Array] | None
    described: str
    rewards: str
    units: ModelUnits | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Always(ArrayFunction):
    """The same reward for every step."""

    value: float | Array

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
            "for logs of measurements, rewards is auto or FILE.py:NAME, a function of states, actions and next states; "
            f"got {rewards!r}"
        )
    steps, described, units = _steps(text, data, space, settings)
    paid, size = np.asarray(data.seen["reward"]), len(space.low)
    if "reward" in primitives_of(steps, size):
        if rewards != "auto":
            raise ValueError(f"the prior {text} and rewards={rewards!r} both define the rewards; give only one of them")
        return MeasuredPrior(steps, None, described, "as in the prior", units)
    if callable(rewards):
        known = f"known, by {getattr(rewards, '__name__', 'a function')}"
        return MeasuredPrior(steps, rewards, described, known, units)
    if rewards != "auto":
        function, _ = maker_of(rewards, {})
        return MeasuredPrior(steps, function, described, f"known, by {rewards}", units)
    if paid.min() == paid.max():
        always = Always(np.float64(paid[0]))
        return MeasuredPrior(steps, always, described, f"known: {paid[0]:g} in every row", units)
    features: dict[str, Callable[[Any], Any]] = {
        "squares and products": up_to_squares,
        **{f"Fourier features, length {length:g}": FourierFeatures(size, WAVES, length, 0) for length in LENGTHS[1:]},
    }
    own = space.units
    evidence = _evidences(features, own.states_in(data.state), data.action, own.rewards_in(paid)[:, None], "reward")
    name, scale = max(evidence, key=lambda key: evidence[key])
    sizes = space.sizes if units is None else space.sizes_in_units
    model = models.linear_rewards(sizes, steps, features[name], scale=scale)
    return MeasuredPrior(model, None, described, f"learned by state and action: {name}, by the log's evidence", units)


def _evidences(
    features: Mapping[str, Callable[[Any], Any]],
    place: NDArray[np.float64],
    action: NDArray[np.int64],
    target: NDArray[np.float64],
    of: str,
) -> dict[tuple[str, float], float]:
    """The log evidence of regressions on features, by name and scale of the weights."""
    told: dict[tuple[str, float], float] = {}
    for name, function in features.items():
        each = feature_evidence(function, place, action, target, noise=NOISE[of], scales=SCALES)
        told |= {(name, scale): value for scale, value in each.items()}
    return told


def _steps(
    text: str, data: Records, space: MeasuredSpace, settings: Mapping[str, Any]
) -> tuple[Model, str, ModelUnits | None]:
    """The model of where steps lead, how it is described, and its units."""
    if text == "auto":
        if settings:
            raise ValueError(f"the prior by the log has no option {next(iter(settings))!r}; name the prior that has it")
        size, units = len(space.low), space.units
        known: dict[str, Callable[..., Model]] = {"linear_dynamics": models.linear_dynamics}
        features: dict[str, Callable[[Any], Any]] = {"linear_dynamics": constant_and_linear}
        for length in LENGTHS:
            name = f"fourier_dynamics, length {length:g}"
            known[name] = partial(models.fourier_dynamics, number=WAVES, length=length)
            features[name] = FourierFeatures(size, WAVES, length, 0)
        place = units.states_in(data.state)
        moved = units.states_in(np.asarray(data.seen["next_state"])) - place
        by_scale = _evidences(features, place, data.action, moved, "next_state")
        scales = {name: max(SCALES, key=lambda scale: by_scale[name, scale]) for name in known}
        evidence = {name: by_scale[name, scale] for name, scale in scales.items()}
        first, second = sorted(evidence, key=lambda name: -evidence[name])[:2]
        odds = evidence[first] - evidence[second]
        described = f"{first}, by the log's evidence: log odds {odds:,.0f} against {second}"
        return known[first](space.sizes_in_units, scale=scales[first]), described, units
    maker, file = maker_of(text, models.PRIORS)
    name = text.rpartition(":")[2]
    parameters = list(inspect.signature(maker).parameters)
    if parameters == ["data"]:
        if settings:
            raise ValueError(f"{name} has no option {next(iter(settings))!r}; it has none")
        return maker, name, None
    unknown = [option for option in settings if option not in parameters[1:]]
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}; it has {', '.join(parameters[1:]) or 'none'}")
    needed = needed_arguments(maker, settings)[1:]
    if needed:
        raise ValueError(f"{name} needs {' and '.join(needed)}: --set {needed[0]}=VALUE, numbers or lists as in JSON")
    of_box = not file and name in OF_BOX
    with told_by_line(file):
        model = maker(space.sizes_in_units if of_box else space.sizes, **settings)
    shown = ", ".join(f"{option}={value}" for option, value in settings.items())
    return model, f"{name}({shown})" if shown else name, space.units if of_box else None
