"""A stock of fish that is caught down to a goal and grows again: how fast it grows, and how far, are unknown.

    growth ~ LogNormal(*growth)      recruits of each fish that is left, where few are
    half   ~ LogNormal(*half)        fish that are left at which each has half as many
    left   = min(s, goal[a])
    next_state ~ LogNormal(log(growth left / (1 + left / half)) - noise^2 / 2, noise)

The mean stock is Beverton and Holt's (1957), of the fish that were left; without fishing it settles at ``half (growth -
1)``. It is not linear in the unknowns, so there is no closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, frozen_actions, frozen_normals, frozen_numbers, thaw

__all__ = ["GROWTH", "HALF", "fishery", "fishery_model"]

GROWTH, HALF = (1.0, 0.5), (-0.7, 0.5)
"""Mean and standard deviation of their logarithms, where nothing else is said."""


def fishery(
    mdp: Any,
    *,
    growth: ArrayLike = GROWTH,
    half: ArrayLike = HALF,
    noise: float = 0.1,
) -> Callable[[Any], None]:
    """A fishery of unknown growth and size, by Beverton and Holt, with lognormal noise.

    Parameters
    ----------
    mdp
        Read for `actions`, the goals: fish to be left, in the units of the state.
    growth, half : array [2]
        Mean and standard deviation of their logarithms.
    noise : float, positive
        Known standard deviation of the logarithm of the stock after a step.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``growth`` and ``half``

    Raises
    ------
    TypeError, ValueError
        If an action is no positive number, a number is not finite, or a standard deviation not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> sea = bm.environments.fishery()
    >>> fishery(sea) is sea.model, fishery(sea, noise=0.2) is sea.model
    (True, False)
    """
    goals = frozen_actions(mdp, positive=True)
    return fishery_model(goals, *frozen_normals(growth=growth, half=half), frozen_numbers("noise", noise, ()))


@lru_cache(maxsize=64)
def fishery_model(goals: Frozen, growth: Frozen, half: Frozen, noise: Frozen) -> Callable[[Any], None]:
    """Make the model of the module.

    Parameters
    ----------
    goals : array [action]
    growth, half : array [2]
    noise : float
    """

    def model(data: Any) -> None:
        multiplied = numpyro.sample("growth", dist.LogNormal(*thaw(growth)))
        halved = numpyro.sample("half", dist.LogNormal(*thaw(half)))
        left = jnp.minimum(jnp.asarray(data.state), jnp.asarray(thaw(goals))[data.action][:, None])
        centre = jnp.log(multiplied * left / (1 + left / halved)) - thaw(noise) ** 2 / 2
        with data.rows():
            numpyro.sample("next_state", dist.LogNormal(centre, thaw(noise)).to_event(1), obs=data.next_state)

    model.__name__ = "fishery"
    return model
