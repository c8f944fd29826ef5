"""A plan from a log beside what is done today, and plans that aim at what is gained over it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.offline.behaviour import Estimate, Today
from bayesmdp.offline.least_tries import often_tried
from bayesmdp.planning.over_baseline import departures, plan_over_baseline, refuse_gain
from bayesmdp.planning.posterior_draws import read_dataset, read_draws
from bayesmdp.planning.posterior_value import value_draws
from bayesmdp.planning.risk import Risk
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_by_stage, policy_probabilities

__all__ = ["NEEDS_DISCOUNT", "Compared", "check_aim", "compare", "gained", "plan_for_gain"]

NEEDS_DISCOUNT = "a plan for the gain needs a discount: leave the horizon out, or use aim='value'"

SMALL = 300
"""States up to which what each departure is worth is told: it takes an inverse of a matrix for each draw."""


class Compared(NamedTuple):
    """A policy beside what is done today.

    Attributes
    ----------
    today : array [state, action]
        Probabilities.
    gains : DataArray [draw, (stage,) state]
        What the policy is worth more, under draws that it was not chosen with.
    departing : array [state], or None
        What it is worth more at the start than if it did as today in one state, on average over draws.
    as_today : bool
        Whether the policy is to go on as today.
    """

    today: NDArray[np.float64]
    gains: xr.DataArray
    departing: NDArray[np.float64] | None
    as_today: bool


def check_aim(
    aim: str, today: Today | None, mdp: MDP, risk: Risk, quantile: str, draws: int, *, starts_known: bool
) -> None:
    """Refuse what cannot be aimed at."""
    if aim not in ("value", "gain"):
        raise ValueError(f"aim must be 'value' or 'gain'; got {aim!r}")
    if aim == "value":
        return
    if not starts_known:
        raise ValueError(
            "a plan for the gain needs to know where episodes start, and the log does not show it: use initial=STATE, "
            "or aim='value'"
        )
    if mdp.objective != "discounted":
        raise ValueError(NEEDS_DISCOUNT)
    if today is None:
        raise ValueError("a plan for the gain needs a baseline; baseline='none' leaves it out")
    if quantile != "draws":
        raise ValueError("the gain over a baseline has no exact quantile: use quantile='draws'")
    refuse_gain(mdp, risk, draws)


def plan_for_gain(
    planning: xr.DataTree, mdp: MDP, risk: Risk, usual: NDArray[np.float64], tries: NDArray[np.float64], least: int
) -> xr.Dataset:
    """A plan for the gain over the baseline, that does as the baseline in states which the log never acted in.

    Where it does otherwise, it takes actions that were tried there `least` times or more, or else the most.
    """
    often = often_tried(mdp, tries, least).available
    planned = plan_over_baseline(read_draws(read_dataset(planning), mdp), mdp, risk, usual, open_actions=often)
    untold = ~tries.any(-1)
    probability = np.where(untold[:, None], usual, planned["probability"])
    return planned.assign(
        probability=planned["probability"].copy(data=probability),
        policy=planned["policy"].copy(data=label_array(mdp.actions)[probability.argmax(-1)]),
    ).assign_attrs(converged=1)


def compare(
    fresh: xr.DataTree,
    mdp: MDP,
    policy: xr.DataArray,
    values: xr.DataArray,
    today: Estimate,
    tries: NDArray[np.float64],
    seed: int,
) -> Compared:
    """Compare a policy with what is done today, of which the log leaves some doubt too.

    Parameters
    ----------
    fresh : DataTree
        Draws that the policy was not chosen with.
    mdp : MDP
    policy : DataArray
        As for `value_draws`, which gave `values`.
    values : DataArray [draw, (stage,) state]
    today : Estimate
    tries : array [state, action]
        How often the log tried each pair.
    seed : int
    """
    gains = gained(fresh, mdp, policy, values, today, tries, seed)
    if gains is None:
        return Compared(today.mean, 0 * values, None if mdp.by_stage else np.zeros(mdp.num_states), True)
    least = mdp.has_elsewhere and mdp.elsewhere == "least"
    departing = None
    if mdp.objective == "discounted" and mdp.num_states <= SMALL and not least:
        chosen = policy_probabilities(mdp, policy)
        departing = departures(read_draws(read_dataset(fresh), mdp), mdp, chosen, today.mean).mean(0)
    return Compared(today.mean, gains, departing, False)


def gained(
    fresh: xr.DataTree,
    mdp: MDP,
    policy: xr.DataArray,
    values: xr.DataArray,
    today: Estimate,
    tries: NDArray[np.float64],
    seed: int,
) -> xr.DataArray | None:
    """What a policy gains over what is done today [draw, (stage,) state]; None for one that goes on as today.

    The arguments are those of `compare`.
    """
    acted = tries.any(-1) & ~mdp.terminal
    chosen = policy_by_stage(mdp, policy) if mdp.by_stage else policy_probabilities(mdp, policy)
    if np.allclose(chosen[..., acted, :], today.mean[acted], rtol=0, atol=1e-12):
        # To go on as today gains 0, for sure.
        return None
    drawn = today.draws(values.sizes["draw"], seed)
    return values - value_draws(fresh, mdp, xr.DataArray(drawn, dims=("draw", "state", "action")[-drawn.ndim :]))
