"""A patient's glucose by Bergman's minimal model: how it answers to insulin and to itself is unknown.

    sensitivity   ~ LogNormal(*sensitivity)         S_I, 1 / (mU/L) / min
    effectiveness ~ LogNormal(*effectiveness)       S_G = p1, 1 / min

    dG/dt = -S_G (G - G_b) - S_I (R - I_b) G + D    glucose, mmol/L
    dR/dt = p2 (I - R)                              remote insulin, mU/L
    dI/dt = -n I + dose / V                         insulin, mU/L
    dD/dt = -d D                                    glucose that a meal brings, mmol/L/min

Bergman, Ider, Bowden and Cobelli (1979), for a patient who makes no insulin. They write X = S_I (R - I_b), so that
p3 = S_I p2; with R the unknowns enter the first equation alone. The other numbers are those of Lynch and Bequette
(2002). A dose lasts for a step. All but glucose is linear and solved by exponentials, with the inflow J = dose / V,

    I = J/n + b e^(-n t),    R = J/n + a e^(-n t) + (R(0) - J/n - a) e^(-p2 t),    b = I(0) - J/n,  a = p2 b / (p2 - n),

and glucose is integrated by the Runge-Kutta method, a minute at a time. Then

    glucose ~ LogNormal(log G, noise),    meal ~ Bernoulli(meals),    D rises by `size` with a meal,

which are recorded with each step. Noise and meals are ours.

NumPyro's own NUTS and guides begin at rates of up to e^2 a minute, hundreds of times those of a patient, by which
glucose outgrows numbers of 32 bits within a step. They begin well at the prior's medians:
``NUTS(model, init_strategy=init_to_median)``, ``AutoNormal(model, init_loc_fn=init_to_median)``.
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

from .arguments import Frozen, frozen_actions, frozen_normals, frozen_numbers, thaw
from .differential_equations import runge_kutta

__all__ = [
    "BASAL_GLUCOSE",
    "BASAL_INSULIN",
    "EFFECTIVENESS",
    "SENSITIVITY",
    "glucose",
    "glucose_after",
    "glucose_model",
]

BASAL_GLUCOSE, BASAL_INSULIN = 4.5, 15.0
"""mmol/L and mU/L."""
REMOTE_RATE, CLEARANCE, VOLUME, MEAL_RATE = 0.028344, 5 / 54, 12.0, 0.05
"""p2, n and d, a minute; V, litres."""
SENSITIVITY, EFFECTIVENESS = (-6.0, 0.7), (-4.0, 0.7)
"""Mean and standard deviation of their logarithms, where nothing else is said."""


def glucose(
    mdp: Any,
    *,
    sensitivity: ArrayLike = SENSITIVITY,
    effectiveness: ArrayLike = EFFECTIVENESS,
    noise: float = 0.05,
    meals: float = 0.06,
    size: float = 0.5,
    minutes: int = 15,
) -> Callable[[Any], None]:
    """A patient of unknown sensitivity to insulin and glucose, by Bergman's minimal model.

    Parameters
    ----------
    mdp
        Read for `actions`, the doses in units of insulin an hour.
    sensitivity, effectiveness : array [2]
        Mean and standard deviation of their logarithms.
    noise : float, positive
        Known standard deviation of the logarithm of glucose after a step.
    meals : float in (0, 1)
        Known probability of a meal in a step.
    size : float, positive
        What a meal brings at first, mmol/L/min.
    minutes : int
        Of a step.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``sensitivity`` and
    ``effectiveness``

    Raises
    ------
    TypeError, ValueError
        If a number is not finite or out of its range, or a dose is no number of at least 0.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> patient = bm.environments.glucose()
    >>> glucose(patient) is patient.model, glucose(patient, noise=0.1) is patient.model
    (True, False)
    """
    doses = frozen_actions(mdp, positive=False)
    priors = frozen_normals(sensitivity=sensitivity, effectiveness=effectiveness)
    if not 0 < float(thaw(frozen_numbers("meals", meals, (), positive=False))) < 1:
        raise ValueError(f"meals must be a probability between 0 and 1; got {meals!r}")
    if isinstance(minutes, bool) or not isinstance(minutes, int | np.integer) or minutes < 1:
        raise ValueError(f"minutes must be an integer of at least 1; got {minutes!r}")
    told = (frozen_numbers(name, each, ()) for name, each in (("noise", noise), ("meals", meals), ("size", size)))
    return glucose_model(doses, *priors, *told, int(minutes))


def glucose_after(state: Any, dose: Any, sensitivity: Any, effectiveness: Any, minutes: int) -> Any:
    """Return the state after a dose, without meals and noise.

    Parameters
    ----------
    state : array [..., 4]
        Glucose, remote insulin, insulin, and what a meal brings, in the units of the module.
    dose : array [...]
        Units of insulin an hour.
    sensitivity, effectiveness : float
    minutes : int

    Returns
    -------
    array [..., 4]
    """
    sugar, remote, insulin, meal = jnp.moveaxis(jnp.asarray(state), -1, 0)
    steady = 1_000 / 60 * dose / VOLUME / CLEARANCE  # insulin where it no longer changes, of mU a minute
    apart = insulin - steady
    lead = REMOTE_RATE / (REMOTE_RATE - CLEARANCE) * apart

    def others(time: Any) -> tuple[Any, Any, Any]:
        cleared, slow = jnp.exp(-CLEARANCE * time), jnp.exp(-REMOTE_RATE * time)
        so_far = steady + lead * cleared + (remote - steady - lead) * slow
        return so_far, steady + apart * cleared, meal * jnp.exp(-MEAL_RATE * time)

    def rates(time: Any, sugar: Any) -> Any:
        acts, _, brings = others(time)
        return brings - effectiveness * (sugar - BASAL_GLUCOSE) - sensitivity * (acts - BASAL_INSULIN) * sugar

    after = runge_kutta(rates, sugar * jnp.ones_like(steady), float(minutes), steps=minutes)
    return jnp.stack([after, *others(float(minutes))], -1)


@lru_cache(maxsize=64)
def glucose_model(
    doses: Frozen, sensitivity: Frozen, effectiveness: Frozen, noise: Frozen, meals: Frozen, size: Frozen, minutes: int
) -> Callable[[Any], None]:
    """Make the model of the module.

    Parameters
    ----------
    doses : array [action]
    sensitivity, effectiveness : array [2]
    noise, meals, size : float
    minutes : int
    """

    def model(data: Any) -> None:
        by_insulin = numpyro.sample("sensitivity", dist.LogNormal(*thaw(sensitivity)))
        by_itself = numpyro.sample("effectiveness", dist.LogNormal(*thaw(effectiveness)))
        dose = jnp.asarray(thaw(doses))[data.action]
        after = glucose_after(data.state, dose, by_insulin, by_itself, minutes)
        with data.rows():
            around = dist.LogNormal(jnp.log(after[:, 0]), thaw(noise))
            sugar = numpyro.sample("glucose", around, obs=data.seen.get("glucose"))
            meal = numpyro.sample("meal", dist.Bernoulli(thaw(meals)), obs=data.seen.get("meal"))
        brought = after[:, 3] + thaw(size) * meal
        numpyro.deterministic("next_state", jnp.stack([sugar, after[:, 1], after[:, 2], brought], -1))

    model.__name__ = "glucose"
    return model
