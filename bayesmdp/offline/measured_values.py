"""What a policy is worth under draws of a posterior, by few rollouts of each; and how many draws a simulated log needs.

The check of a promise (:mod:`bayesmdp.offline.measured_check`) asks how far the bounds of simulated logs, and the ends
of their intervals, lie from the truth. These scatter as the posterior does, by s, and by Monte Carlo errors too: that
of a quantile of n draws, and that of the mean of n times `EACH` returns, which scatter by r. So many draws are taken
that by the Normal distribution

    tail (1 - tail) / (n density^2) + (r / s)^2 / (n EACH) <= 1 / 8,    density that of the tail's quantile,

and errors make bounds scatter by at most a sixteenth more. They are a multiple of 1 / tail, and at most those by which
the policy of the log at hand is valued. Long logs need more of them: the posterior is narrow there, and returns scatter
as they do.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bayesmdp.offline.measured_worlds import EACH
from bayesmdp.planning.rollouts import Rollouts, SimulatedReturns, count_draws, simulate_returns, tolerance_of
from bayesmdp.planning.state_rules import StatePolicy
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["enough_draws", "values_and_gains", "values_at_places", "values_at_start"]

ERROR = 1 / 8
"""Variance of Monte Carlo errors of a simulated log's bound, as a share of that of values over draws."""

LEFT_OUT = 0.01
"""The part of what values can differ by that rollouts which all draws share may leave out."""


def enough_draws(tail: float, values: NDArray[np.float64], returns: NDArray[np.float64]) -> int:
    """Say how many draws tell a bound closely enough; see the module.

    Parameters
    ----------
    tail : float in (0, .5)
        Of the outermost quantile that is told.
    values : array [draw]
        What is told of, of the log at hand.
    returns : array [draw, rollout]
        By which it was simulated.

    Returns
    -------
    int

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.normal(size=200)
    >>> noises = (values[:, None] + scatter * rng.normal(size=(200, 16)) for scatter in (0, 5, 50))
    >>> [enough_draws(0.05, values, returns) for returns in noises]
    [40, 60, 200]
    """
    spread, scatter = float(values.std()), float(returns.std(1).mean())
    if not spread > 0:
        return len(values)
    density = np.exp(-(ndtri(tail) ** 2) / 2) / np.sqrt(2 * np.pi)
    of_quantile = tail * (1 - tail) / density**2
    needed = (of_quantile + (scatter / spread) ** 2 / EACH) / ERROR
    multiple = math.ceil(1 / tail - 1e-9)  # a tail such as (1 - .9) / 2 is rounded
    return min(len(values), multiple * math.ceil(needed / multiple))


def values_at_start(
    mdp: SimulatedMDP,
    values: dict[str, Any],
    policy: StatePolicy,
    rollouts: Rollouts,
    *,
    own: SimulatedReturns | None = None,
) -> NDArray[np.float64]:
    """Simulate what a policy is worth where episodes start under draws of the unknowns.

    A draw gets few rollouts, whose noise may be larger than what the posterior leaves open. So only the mean over draws
    is that of rollouts with random numbers of their own; by how much a draw departs from it is told by rollouts in
    which all draws have the same random numbers. These are shorter: what is left out after them all draws have in
    common, but for about the hundredth part of their departures.

    Parameters
    ----------
    mdp : SimulatedMDP
    values : dict of arrays [draw, ...] by site
    policy : StatePolicy
    rollouts : Rollouts
    own : SimulatedReturns, optional
        Rollouts with random numbers of their own, where they are there.

    Returns
    -------
    array [draw]
    """
    middle, alike = _at_start(mdp, values, policy, rollouts, own)
    return _centred(alike, middle.mean())


def values_and_gains(
    mdp: SimulatedMDP,
    values: dict[str, Any],
    policy: StatePolicy,
    today: StatePolicy,
    of_gain: int,
    rollouts: Rollouts,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Simulate what a policy is worth where episodes start, and under the first draws what it gains over today's.

    For a gain both means are those under the first draws: these have the same random numbers, and what chance does to
    both policies cancels.

    Parameters
    ----------
    mdp, values, policy, rollouts
        As for `values_at_start`, with at least 16 rollouts of each draw.
    today : StatePolicy
        What is done today.
    of_gain : int
        How many of the draws tell the gain.

    Returns
    -------
    array [draw]
        Values of the policy.
    array [of_gain], twice
        Its gains, and values of what is done today.
    """
    own, alike = _at_start(mdp, values, policy, rollouts)
    first = {name: array[:of_gain] for name, array in values.items()}
    fewer = replace(rollouts, number=own.shape[1] * of_gain)
    of_today = values_at_start(mdp, first, today, fewer)
    of_first = _centred(alike[:of_gain], own[:of_gain].mean())
    return _centred(alike, own.mean()), of_first - of_today, of_today


def _at_start(
    mdp: SimulatedMDP,
    values: dict[str, Any],
    policy: StatePolicy,
    rollouts: Rollouts,
    own: SimulatedReturns | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns [draw, rollout] with random numbers of each draw's own, and means [draw] of those that all share."""
    own = simulate_returns(mdp, values, policy, rollouts) if own is None else own
    shared = np.zeros(count_draws(values), int)
    alike = simulate_returns(mdp, values, policy, _shorter(mdp, rollouts), streams=shared)
    return own.middle, alike.middle.mean(1)


def _centred(alike: NDArray[np.float64], mean: Any) -> NDArray[np.float64]:
    """Values [..., draw] with this mean, which depart from it as those do in which all draws share random numbers."""
    return np.asarray(alike - alike.mean(-1, keepdims=True) + mean)


def _shorter(mdp: SimulatedMDP, rollouts: Rollouts) -> Rollouts:
    """The rollouts that tell by how much draws depart from their mean."""
    given, left_out = tolerance_of(mdp, rollouts.tolerance), tolerance_of(mdp, None, LEFT_OUT)
    return replace(rollouts, tolerance=max(given, left_out))


def values_at_places(
    mdp: SimulatedMDP,
    values: dict[str, Any],
    policy: StatePolicy,
    rollouts: Rollouts,
    places: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Simulate what a policy is worth from some places on, as `values_at_start` does from the start.

    Parameters
    ----------
    mdp, values, policy, rollouts
        As for `values_at_start`; so many rollouts are made of each place.
    places : array [place, coordinate]

    Returns
    -------
    array [place, draw]
    """
    number, draws = len(places), count_draws(values)
    every = {name: np.concatenate([array] * number) for name, array in values.items()}
    ways = replace(rollouts, number=number * draws * rollouts.each(draws))
    own, alike = (
        simulate_returns(mdp, every, policy, way, start=np.repeat(places, draws, 0), streams=np.tile(each, number))
        .middle.mean(1)
        .reshape(number, draws)
        for way, each in ((ways, np.arange(draws)), (_shorter(mdp, ways), np.zeros(draws, int)))
    )
    return _centred(alike, own.mean(1, keepdims=True))
