"""Bayesian linear dynamics: where a step leads is linear in features of the state, with weights of each action's own.

    precision[i]        ~ Gamma(shape, rate)                                    of the noise of coordinate i
    weights[a, f, i]    ~ Normal(0, scale / sqrt(precision[i]))
    u(s)                = (s - middle of the box) / half, half its width        every coordinate in [-1, 1]
    features(s)         = (1, u(s))                                             or a function of u that is given
    next_state[i]       ~ Normal(s[i] + half[i] <weights[a, :, i], features(s)>, half[i] / sqrt(precision[i]))

The prior says that a state stays where it is, and is in units of the box that states lie in: `noise` is how large that
of a step is believed to be, as a share of half the box. The posterior is known in closed form: a Normal-Gamma
regression of each coordinate, whose sums are carried from step to step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, freeze, frozen_numbers, thaw

__all__ = ["constant_and_linear", "linear_dynamics", "regression_model"]


def constant_and_linear(place: Any) -> Any:
    """Return 1 and the coordinates.

    Parameters
    ----------
    place : array [..., coordinate]

    Returns
    -------
    array [..., 1 + coordinate]
    """
    return jnp.concatenate([jnp.ones((*place.shape[:-1], 1)), place], -1)


def linear_dynamics(
    mdp: Any,
    features: Callable[[Any], Any] = constant_and_linear,
    *,
    scale: float = 10.0,
    noise: ArrayLike = 0.05,
    certainty: float = 1.0,
) -> Callable[[Any], None]:
    """Next states linear in features of the state, for each action, with Normal noise of unknown size.

    Parameters
    ----------
    mdp
        Read for `problem.low`, `problem.high` and `num_actions`, as a `SimulatedMDP` has them.
    features : callable
        ``features(u [..., coordinate]) -> [..., feature]`` of places in units of the box, [-1, 1] in each coordinate; a
        module-level function, so that equal priors are one. By default 1 and the coordinates.
    scale : float, positive
        Standard deviation of weights, in those of the noise.
    noise : float, or array [coordinate]
        Prior standard deviation of the noise, as a share of half the box; positive.
    certainty : float, positive
        Shape of the Gamma prior of precisions: half as many steps as the prior noise stands for.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``precision`` [coordinate] and
    ``weights`` [action, feature, coordinate]

    Raises
    ------
    TypeError, ValueError
        If there is no box, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> log = bm.collect(room, steps=300, seed=0)
    >>> posterior = bm.infer(linear_dynamics(room), log, mdp=room, draws=1_000)
    >>> posterior.attrs["engine"], dict(posterior.posterior["weights"].sizes)
    ('exact', {'chain': 4, 'draw': 250, 'action': 3, 'feature': 2, 'to': 1})
    """
    low, high, actions = box_of(mdp)
    size = len(thaw(low))
    return regression_model(
        "linear_dynamics",
        low,
        high,
        actions,
        features,
        frozen_numbers("scale", scale, ()),
        frozen_numbers("noise", noise, (size,), axes="[coordinate]"),
        frozen_numbers("certainty", certainty, ()),
    )


def box_of(mdp: Any) -> tuple[Frozen, Frozen, int]:
    """Return the corners of the box that states lie in, and how many actions there are.

    Parameters
    ----------
    mdp
        With `problem.low`, `problem.high` and `num_actions`.
    """
    problem: Any = getattr(mdp, "problem", None)
    if not hasattr(problem, "low") or not hasattr(problem, "high") or not hasattr(mdp, "num_actions"):
        raise TypeError(
            f"mdp must have a box of states and a number of actions, as a SimulatedMDP has; got {type(mdp).__name__}"
        )
    low, high = (np.asarray(each, float) for each in (problem.low, problem.high))
    return freeze(low), freeze(high), int(mdp.num_actions)


@lru_cache(maxsize=64)
def regression_model(
    name: str,
    low: Frozen,
    high: Frozen,
    num_actions: int,
    features: Callable[[Any], Any],
    scale: Frozen,
    noise: Frozen,
    certainty: Frozen,
) -> Callable[[Any], None]:
    """Make a model of dynamics that are linear in features; see the module.

    Parameters
    ----------
    name : str
    low, high : array [coordinate]
    num_actions : int
    features : callable
    scale, certainty : float
    noise : array [coordinate]
    """
    coordinates = len(thaw(low))

    def model(data: Any) -> None:
        corner, width = thaw(low), (thaw(high) - thaw(low)) / 2
        shape, size = thaw(certainty), thaw(noise)
        state = jnp.asarray(data.state)
        phi = features((state - corner) / width - 1)
        with numpyro.plate("to", coordinates, dim=-1):
            precision = numpyro.sample("precision", dist.Gamma(shape, shape * size**2))
            with numpyro.plate("feature", phi.shape[-1], dim=-2), numpyro.plate("action", num_actions, dim=-3):
                weights = numpyro.sample("weights", dist.Normal(0, thaw(scale) / jnp.sqrt(precision)))
        moved = jnp.einsum("rfi,rf->ri", weights[data.action], phi)
        sd = width / jnp.sqrt(precision)
        with data.rows():
            numpyro.sample("next_state", dist.Normal(state + width * moved, sd).to_event(1), obs=data.next_state)

    model.__name__ = name
    return model
