"""A heated room: how well it keeps warm and how strong the heater is are unknown.

    leak   ~ Normal(*leak)        share of the difference to the outside that is lost in a step
    power  ~ Normal(*power)       degrees that the heater adds in a step at full heat
    next_state ~ Normal(s + leak (outside - s) + power heat[a], noise)

The next temperature is what is observed; it is linear in the unknowns, so that their posterior is Normal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, frozen_normals, frozen_numbers, thaw

__all__ = ["HEAT", "thermostat"]

HEAT = (0.0, 0.5, 1.0)
"""Shares of full heat of the actions off, low and high."""


def thermostat(
    mdp: Any = None,
    *,
    leak: ArrayLike = (0.2, 0.1),
    power: ArrayLike = (3.0, 2.0),
    noise: float = 0.3,
    outside: float = 5.0,
) -> Callable[[Any], None]:
    """A heated room of unknown leak and power.

    Parameters
    ----------
    mdp
        The room, of which nothing is read.
    leak, power : array [2]
        Mean and standard deviation of their Normal priors.
    noise : float, positive
        Known standard deviation of the temperature after a step.
    outside : float
        Known temperature outside.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``leak`` and ``power``

    Raises
    ------
    TypeError, ValueError
        If a number is not finite, or a standard deviation not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> posterior = bm.infer(thermostat(), bm.collect(room, steps=200, seed=0), mdp=room, draws=1_000)
    >>> posterior.attrs["engine"], round(float(posterior.posterior["leak"].mean()), 2)
    ('exact', 0.1)
    """
    priors = frozen_normals(leak=leak, power=power)
    return _model(*priors, frozen_numbers("noise", noise, ()), frozen_numbers("outside", outside, (), positive=False))


@lru_cache(maxsize=64)
def _model(leak: Frozen, power: Frozen, noise: Frozen, outside: Frozen) -> Callable[[Any], None]:
    def model(data: Any) -> None:
        lost = numpyro.sample("leak", dist.Normal(*thaw(leak)))
        added = numpyro.sample("power", dist.Normal(*thaw(power)))
        heat = jnp.asarray(HEAT)[data.action][:, None]
        after = data.state + lost * (thaw(outside) - data.state) + added * heat
        with data.rows():
            numpyro.sample("next_state", dist.Normal(after, thaw(noise)).to_event(1), obs=data.next_state)

    model.__name__ = "thermostat"
    return model
