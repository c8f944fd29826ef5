"""Insulin for a patient who makes none: Bergman's minimal model of glucose, meals that come by chance, doses in steps.

The state is (glucose in mmol/L, remote insulin and insulin in mU/L, what a meal still brings in mmol/L/min). How it
goes on is told by :mod:`bayesmdp.models.glucose`, with its sources. The true sensitivity and effectiveness are those of
Lynch and Bequette (2002). With the dose of 1 unit an hour and no meal, glucose stays at its basal value.

A step costs a hundredth of the risk of the glucose after it (Kovatchev, Cox, Gonder-Frederick and Clarke, 1997),

    f = 1.509 (log(G)^1.084 - 5.381),    risk = 10 f^2,    G in mg/dL, from 20 to 600,

which is 0 at 112.5 mg/dL and 100 at both ends: low glucose is dangerous sooner than high. Steps of 15 minutes, meals
and noise are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from bayesmdp.environments.state_features import Polynomials
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.models.arguments import freeze, frozen_normals
from bayesmdp.models.glucose import (
    BASAL_GLUCOSE,
    BASAL_INSULIN,
    EFFECTIVENESS,
    REMOTE_RATE,
    SENSITIVITY,
    glucose_model,
)
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["glucose", "glucose_risk"]

P3 = 5.035e-5
LOW, HIGH = (2.0, 0.0, 0.0, 0.0), (25.0, 60.0, 60.0, 1.0)
FITTED = Polynomials((float(np.log(LOW[0])), *LOW[1:]), (float(np.log(HIGH[0])), *HIGH[1:]), 4)
MG_PER_MMOL = 18.016
"""mg/dL of glucose in a mmol/L."""
MINUTES = 15


def glucose(
    *,
    sensitivity: float = P3 / REMOTE_RATE,
    effectiveness: float = 0.028735,
    noise: float = 0.05,
    meals: float = 0.06,
    size: float = 0.5,
    doses: Sequence[float] = (0.0, 0.5, 1.0, 2.0, 4.0),
    discount: float = 0.97,
) -> SimulatedMDP:
    """A patient who makes no insulin, to be kept out of danger by doses of it, a quarter of an hour each.

    Parameters
    ----------
    sensitivity : float, positive
        True S_I, 1 / (mU/L) / min.
    effectiveness : float, positive
        True S_G, 1 / min.
    noise : float, positive
        Standard deviation of the logarithm of glucose after a step.
    meals : float in (0, 1)
        Probability of a meal in a step.
    size : float, positive
        What a meal brings at first, mmol/L/min.
    doses : sequence of float, at least 0
        The actions, units of insulin an hour.
    discount : float

    Returns
    -------
    SimulatedMDP
        It starts at the basal values.

    Raises
    ------
    TypeError, ValueError
        For a number out of its range.

    Notes
    -----
    *What it asks.* Doses whose effect comes late, against disturbances that nobody foresees.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(glucose(), steps=200, seed=0)
    >>> log["state"].sizes["coordinate"], {"glucose", "meal"} <= set(log.data_vars), int(log["meal"].sum()) > 3
    (4, True, True)
    """
    if not len(doses):
        raise ValueError("doses is empty; it must list at least one number")
    return _patient(
        number("sensitivity", sensitivity, above=0),
        number("effectiveness", effectiveness, above=0),
        number("noise", noise, above=0),
        number("meals", meals, above=0, below=1),
        number("size", size, above=0),
        tuple(number("doses", each, minimum=0) for each in doses),
        number("discount", discount, minimum=0, below=1),
    )


@made_once
def _patient(
    sensitivity: float,
    effectiveness: float,
    noise: float,
    meals: float,
    size: float,
    doses: tuple[float, ...],
    discount: float,
) -> SimulatedMDP:
    told = (freeze(np.array(each)) for each in (noise, meals, size))
    priors = frozen_normals(sensitivity=SENSITIVITY, effectiveness=EFFECTIVENESS)
    return SimulatedMDP(
        model=glucose_model(freeze(np.array(doses)), *priors, *told, MINUTES),
        truth={"sensitivity": sensitivity, "effectiveness": effectiveness},
        reward=_safety,
        reward_range=(-1.001, 0.0),
        features=_features,
        start=[BASAL_GLUCOSE, BASAL_INSULIN, BASAL_INSULIN, 0.0],
        low=LOW,
        high=HIGH,
        actions=doses,
        discount=discount,
        anchors=np.stack(np.meshgrid([4.0, 6.0, 9.0, 14.0], [10.0, 30.0], [10.0, 30.0], [0.0, 0.3]), -1).reshape(-1, 4),
        name="glucose",
    )


def _features(state: Array) -> Array:
    """Polynomials, in the logarithm of glucose."""
    sugar = jnp.log(jnp.clip(state[..., :1], LOW[0] / 4, 4 * HIGH[0]))
    return FITTED(jnp.concatenate([sugar, state[..., 1:]], -1))


def glucose_risk(sugar: Array) -> Array:
    """Return Kovatchev's risk of glucose values, 0 to 100.

    Parameters
    ----------
    sugar : array
        In mmol/L.

    Returns
    -------
    array

    Examples
    --------
    >>> [round(float(each), 1) for each in glucose_risk(np.array([50.0, 112.5, 180.0, 400.0]) / 18.016)]
    [22.5, 0.0, 7.7, 57.0]
    """
    log = jnp.log(jnp.clip(sugar * MG_PER_MMOL, 20.0, 600.0))
    return 10 * (1.509 * (log**1.084 - 5.381)) ** 2


def _safety(state: Array, action: Array, next_state: Array) -> Array:
    return -glucose_risk(next_state[..., 0]) / 100
