"""A stock of fish to live off: what is left of it grows, by chance more or less (Beverton and Holt, 1957; Reed, 1979).

A step catches the stock s down to a goal, if it is above, which earns what is caught, s - left. The fish that are left
recruit G(left) = growth left / (1 + left / half), and the next stock is Z G(left), with lognormal Z of mean 1.

Reed (1979): if what is left recovers, Z G(S) >= S, the best policy is to leave S fish whatever the stock is, S being
where one fish more that is left, discounted, brings no more than it does when caught:

    discount G'(S) = 1,    S = half (sqrt(discount growth) - 1).

With the default noise a stock of S does not recover in one step of 10^8. A stock of x >= S is then worth

    x - S + discount / (1 - discount) (G(S) - S).

The default numbers are ours, in units of the stock that there is without fishing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from bayesmdp.environments.state_features import Bumps
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.models.arguments import freeze, frozen_normals
from bayesmdp.models.fishery import GROWTH, HALF, fishery_model
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["Escapement", "best_escapement", "fishery"]

GOALS = tuple(np.round(np.arange(0.05, 1.001, 0.05), 2).tolist())
MOST = 2.0
"""Stocks of the box, in units of the one that there is without fishing."""


class Escapement(NamedTuple):
    """The best constant goal, where any number may be one.

    Attributes
    ----------
    left : float
        S.
    recruits : float
        G(S).
    discount : float
    """

    left: float
    recruits: float
    discount: float

    def value(self, stock: float) -> float:
        """What a stock of S at least is worth."""
        return stock - self.left + self.discount / (1 - self.discount) * (self.recruits - self.left)


def fishery(
    *,
    growth: float = 3.0,
    half: float = 0.5,
    noise: float = 0.1,
    goals: Sequence[float] = GOALS,
    discount: float = 0.95,
) -> SimulatedMDP:
    """A fishery, in which each year one decides how many fish to leave.

    Parameters
    ----------
    growth : float, above 1
        True number of recruits of each fish that is left, where few are.
    half : float, positive
        True number of fish that are left at which each has half as many recruits.
    noise : float, positive
        Standard deviation of the logarithm of the stock after a step.
    goals : sequence of float
        The actions: fish to be left, all positive.
    discount : float

    Returns
    -------
    SimulatedMDP
        It starts with the stock that there is without fishing, ``half (growth - 1)``.

    Raises
    ------
    TypeError, ValueError
        For a number out of its range.

    Notes
    -----
    *What it asks.* How much to leave for later, where the best policy is known by a formula.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> sea = fishery()
    >>> best = best_escapement()
    >>> always = bm.evaluate(
    ...     sea, lambda state: np.int32(sea.actions.index(0.35))
    ... )  # which leaves .35, whatever there is
    >>> round(best.left, 2), round(best.value(1.0), 2), bool(always.lower < best.value(1.0) < always.upper)
    (0.34, 5.74, True)
    """
    if not len(goals):
        raise ValueError("goals is empty; it must list at least one number")
    return _sea(
        number("growth", growth, above=1),
        number("half", half, above=0),
        number("noise", noise, above=0),
        tuple(number("goals", each, above=0) for each in goals),
        number("discount", discount, minimum=0, below=1),
    )


@made_once
def _sea(growth: float, half: float, noise: float, goals: tuple[float, ...], discount: float) -> SimulatedMDP:
    def caught(state: Array, action: Array, next_state: Array) -> Array:
        stock = state[..., 0]
        return stock - jnp.minimum(stock, jnp.asarray(np.array(goals))[action])

    full = half * (growth - 1)
    return SimulatedMDP(
        model=fishery_model(
            freeze(np.array(goals)), *frozen_normals(growth=GROWTH, half=HALF), freeze(np.array(noise))
        ),
        truth={"growth": growth, "half": half},
        reward=caught,
        reward_range=(0.0, MOST * full),
        features=Bumps(((0.0, MOST * full, 41),)),
        start=[full],
        low=[0.01 * full],
        high=[MOST * full],
        actions=goals,
        discount=discount,
        name="fishery",
    )


def best_escapement(*, growth: float = 3.0, half: float = 0.5, discount: float = 0.95) -> Escapement:
    """Find how many fish are best left each year, by the formula of Reed (1979).

    Parameters
    ----------
    growth, half, discount
        As for `fishery`. The formula asks that ``discount growth`` be above 1, so that fish are worth leaving, and that
        noise be small.

    Returns
    -------
    Escapement

    Raises
    ------
    ValueError
        If no fish are worth leaving.

    Examples
    --------
    >>> best = best_escapement()
    >>> round(best.left, 3), round(best.recruits, 3), round(best.value(1.0), 2)
    (0.344, 0.611, 5.73)
    """
    if not discount * growth > 1:
        raise ValueError(f"discount growth = {discount * growth:g}: with 1 or less it is best to leave no fish")
    left = half * (math.sqrt(discount * growth) - 1)
    return Escapement(left, growth * left / (1 + left / half), discount)
