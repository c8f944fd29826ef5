"""What to collect next, where states are numbers: what it could be worth to know an action near a place better.

Let Q_m be the action values of the best policy under draw m of the posterior, fitted under that draw alone, E their
mean over draws, a1 the action that the mean holds best at a place and a2 the next. If it were known for sure which Q_m
is true of one action, the plan would change where that action turns out better than a1, or a1 worse than a2. What is
gained by that, on average, is the value of perfect information of Dearden, Friedman and Russell (1998, 1999),

    VPI(s, a) = E_m max(Q_m(s, a) - E Q(s, a1), 0)   for a other than a1,
    VPI(s, a1) = E_m max(E Q(s, a2) - Q_m(s, a1), 0).

It is told for the states that stand for all, each times how often, discounted, the plan is nearer to it than to the
others, from a start, under the posterior's mean; of a plan by stage it is summed over the stages. That product, and the
places, are ours. It is in the units of the value, and about the most that rows there can be worth: no number of rows
makes a thing known for sure, and a change of the plan in one place is counted as long as the plan is near. It is of one
pair at a time.

All draws are fitted with the same random numbers and places, so that what differs between Q_m is what draws say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.offline.measured_file import KeptMeasuredPlan
from bayesmdp.offline.measured_paths import discounted_paths
from bayesmdp.offline.measured_posterior import posterior_of
from bayesmdp.offline.measured_way import options_of
from bayesmdp.planning.risk import Mean
from bayesmdp.planning.simulated_plan import fit_simulated
from bayesmdp.planning.simulated_values import spread_over
from bayesmdp.reports.measured_again import PlannedAgain

__all__ = ["measured_collect", "perfect_information"]

DRAWS = 32
"""That are planned for, each by itself."""

PAIRS = 50
"""That are told, at most."""


def perfect_information(
    q: NDArray[np.float64], share: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what it is worth to know one action's value for sure, and its Monte Carlo standard error.

    Parameters
    ----------
    q : array [draw, (stage,) place, action]
        Minus infinity where an action may not be taken.
    share : array [(stage,) place], optional
        How often one is there, by which it is multiplied, and summed over stages.

    Returns
    -------
    gain, error : array [place, action]

    Examples
    --------
    >>> q = np.array([[[1.0, 0.0]], [[1.0, 3.0]], [[1.0, 0.0]], [[1.0, 0.0]]])  # 1 for sure; 0 or, in one of four, 3
    >>> perfect_information(q)[0].tolist()
    [[0.0, 0.5]]
    """
    mean = q.mean(0)
    is_best = mean.argmax(-1)[..., None] == np.arange(mean.shape[-1])
    first, second = mean.max(-1, keepdims=True), np.where(is_best, -np.inf, mean).max(-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # of actions that may not be taken, where there is one that may
        gained = np.maximum(np.where(is_best, second - q, q - first), 0)
    if share is not None:
        gained = gained * share[..., None]
    gained = gained.sum(1) if q.ndim == 4 else gained
    return gained.mean(0), gained.std(0, ddof=1) / len(q) ** 0.5


def measured_collect(tree: xr.DataTree, plan: KeptMeasuredPlan, again: PlannedAgain) -> dict[str, Any]:
    """Find where more rows could be worth the most.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    plan : KeptMeasuredPlan
    again : PlannedAgain

    Returns
    -------
    dict
        ``draws``, ``asked`` (pairs), ``pairs`` (a list, the most first, of those whose gain is more than two standard
        errors: state, action, tried, gain, error) and ``sure``, how many these are; or ``why_not``.
    """
    if again.why_not:
        return {"why_not": again.why_not}
    way, policy = again.way(), tree["policy"].to_dataset()
    places, seed = policy["state"].values, int(tree.attrs["seed"])
    drawn = posterior_of(way.found, way.mdp, max(DRAWS, int(tree.attrs["draws"])), seed)[1]
    draws = spread_over(drawn, DRAWS)
    options, tolerance = options_of(way.mdp, int(tree.attrs["draws"]), seed)
    q = np.stack(
        [
            fit_simulated(
                {name: values[m : m + 1] for name, values in draws.items()},
                way.mdp,
                Mean(),
                options,
                tolerance,
                1_000_000,
            ).policy.q(places)
            for m in range(DRAWS)
        ]
    )
    share = _nearness(way, drawn, plan, places, options)
    gain, error = perfect_information(q, share if q.ndim == 4 else share.sum(0))
    tried, asked = way.near.counts(places), np.isfinite(q).all(tuple(range(q.ndim - 2)))
    sure = [(int(p), int(a)) for p, a in np.argwhere(asked & (gain > 2 * error) & (gain > 0))]
    sure.sort(key=lambda pair: -gain[pair])
    actions = list(plan.space.actions)
    return {
        "draws": DRAWS,
        "asked": int(asked.sum()),
        "sure": len(sure),
        "pairs": [
            {
                "state": places[p].tolist(),
                "action": actions[a],
                "tried": int(tried[p, a]),
                "gain": float(gain[p, a]),
                "error": float(error[p, a]),
            }
            for p, a in sure[:PAIRS]
        ],
    }


def _nearness(
    way: Any, draws: dict[str, NDArray[Any]], plan: KeptMeasuredPlan, places: NDArray[np.float64], options: Any
) -> NDArray[np.float64]:
    """How likely, discounted, the plan is after each step nearer to each place than to the others [step, place]."""
    width = np.array(plan.space.high) - np.array(plan.space.low)
    near: list[NDArray[np.float64]] = []
    for path, weight in discounted_paths(way, draws, plan.policy, options.rollouts):
        apart = (((path.state[:, None] - places[None]) / width) ** 2).sum(-1)
        near.append(weight[:, None] * np.eye(len(places))[apart.argmin(-1)])
    return np.asarray(np.mean(near, 0))
