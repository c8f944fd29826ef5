"""The policy of a plan from measurements, of the log at hand or of one like it: for the value, or for the gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.offline.over_today import NEEDS_DISCOUNT
from bayesmdp.offline.state_behaviour import ActsInStates
from bayesmdp.planning.fitted_policies import FittedPolicy, StagedPolicy
from bayesmdp.planning.gain_policy import GainPolicy
from bayesmdp.planning.risk import Risk
from bayesmdp.planning.rollouts import tolerance_of
from bayesmdp.planning.simulated_plan import SHARE, FittedQ, fit_simulated
from bayesmdp.planning.simulated_values import spread_over
from bayesmdp.planning.state_gain import gain_of_draws
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["ActsByPlan", "PlannedPolicy", "check_measured_aim", "policy_of_draws"]


type ActsByPlan = FittedPolicy | StagedPolicy | GainPolicy


class PlannedPolicy(NamedTuple):
    """What was planned under draws of a posterior.

    Attributes
    ----------
    policy : FittedPolicy, StagedPolicy or GainPolicy
    begun : the same
        At which fits for other logs begin.
    iterations : int
    settled : bool
    misfit : float
        NaN of a plan for the gain.
    as_today : bool
        Whether the policy is to go on as today.
    """

    policy: ActsByPlan
    begun: ActsByPlan
    iterations: int
    settled: bool
    misfit: float
    as_today: bool = False


def check_measured_aim(aim: str, today: ActsInStates | None, baseline: str, horizon: int | None) -> None:
    """Refuse what cannot be aimed at.

    Parameters
    ----------
    aim : str
    today : ActsInStates or None
    baseline : str
        Its name.
    horizon : int or None

    Raises
    ------
    ValueError
    """
    if aim not in ("value", "gain"):
        raise ValueError(f"aim must be 'value' or 'gain'; got {aim!r}")
    if aim == "gain" and horizon is not None:
        raise ValueError(NEEDS_DISCOUNT)
    if aim == "gain" and today is None:
        raise ValueError("a plan for the gain needs a baseline, and baseline='none' leaves it out")
    if aim == "gain" and baseline == "a function":
        raise ValueError(
            "a plan for the gain does as today in some states, and no file holds a function: name it, "
            "baseline='FILE.py:NAME', or give a table"
        )


def policy_of_draws(
    mdp: SimulatedMDP,
    draws: Mapping[str, NDArray[np.float64]],
    risk: Risk,
    options: FittedQ,
    *,
    over: ActsInStates | None = None,
    begun: ActsByPlan | None = None,
) -> PlannedPolicy:
    """Plan under draws of a posterior.

    Parameters
    ----------
    mdp : SimulatedMDP
    draws : mapping of site to array [draw, ...]
    risk : Mean, Quantile or CVaR
    options : FittedQ
    over : ActsInStates, optional
        What is done today, for a plan that is the best for the gain over it. Where nothing is gained, by the risk over
        draws that the plan may have been made with, it is to go on as today.
    begun : FittedPolicy, StagedPolicy or GainPolicy, optional
        A fit to begin at.

    Returns
    -------
    PlannedPolicy
    """
    tolerance = tolerance_of(mdp, None, SHARE)
    if over is None:
        few = spread_over(draws, options.num_draws)
        assert not isinstance(begun, GainPolicy)
        fitted = fit_simulated(few, mdp, risk, options, tolerance, 1_000_000, begun=begun)
        return PlannedPolicy(fitted.policy, fitted.policy, fitted.iterations, fitted.settled, fitted.misfit)
    assert begun is None or isinstance(begun, GainPolicy)
    gained = gain_of_draws(draws, mdp, risk, over.policy, options, tolerance, begun=begun)
    assert gained.begun is not None
    return PlannedPolicy(
        gained.policy, gained.begun, gained.iterations, gained.settled, float("nan"), as_today=gained.as_today
    )
