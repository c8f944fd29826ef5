"""From a posterior to a plan for the gain over a baseline, where states are numbers.

What is planned is that of :mod:`~bayesmdp.planning.state_gain`, under some draws of the posterior; what is gained is
told by rollouts under others, of the policy and of the baseline under the same draws and with the same random numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.planning.gain_policy import GainPolicy, describe_gain, read_gain
from bayesmdp.planning.rollouts import SimulatedReturns, simulate_returns, tolerance_of
from bayesmdp.planning.simulated_plan import SHARE, FittedQ
from bayesmdp.planning.simulated_values import planned_and_fresh, read_unknowns, risk_between, spread_over
from bayesmdp.planning.state_baseline import baseline_policy
from bayesmdp.planning.state_gain import gain_of_draws
from bayesmdp.planning.state_policies import GAIN
from bayesmdp.planning.state_rules import check_same_problem
from bayesmdp.planning.value_intervals import check_scalar_risk
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["gain_policy", "plan_simulated_gain"]


def plan_simulated_gain(
    posterior: xr.DataTree | xr.Dataset,
    mdp: SimulatedMDP,
    risk: Any,
    options: FittedQ,
    tolerance: float | None,
    baseline: Any,
) -> xr.Dataset:
    """Plan for what is gained over a baseline; see :func:`~bayesmdp.plan`.

    Parameters
    ----------
    posterior : DataTree or Dataset
    mdp : SimulatedMDP
    risk : Mean, Quantile or CVaR
        Of the gain.
    options : FittedQ
    tolerance : float, optional
    baseline
        As for `baseline_policy`.

    Returns
    -------
    Dataset
    """
    check_scalar_risk(risk)
    if mdp.horizon is not None:
        raise ValueError(
            f"a gain over a baseline is of discounted reward, and {mdp.name} has a horizon of {mdp.horizon}: use "
            "mdp.replace(discount=0.99, horizon=None), or leave the baseline out"
        )
    usual = baseline_policy(mdp, baseline)
    planned, fresh = planned_and_fresh(read_unknowns(posterior, mdp), options.num_draws)
    found = gain_of_draws(planned, mdp, risk, usual, options, tolerance_of(mdp, tolerance, SHARE))
    rollouts, some = options.rollouts, spread_over(fresh, options.rollouts.max_draws)
    mine, its = (simulate_returns(mdp, some, each, rollouts) for each in (found.policy.policy, usual))
    gained = SimulatedReturns(mine.lowest - its.highest, mine.highest - its.lowest, mine.horizon)
    if found.as_today:
        gained = SimulatedReturns(0 * gained.lowest, 0 * gained.highest, mine.horizon)
    told = risk_between(risk, gained, rollouts.confidence)
    plan = describe_gain(found.policy, found.iterations, mine, options, settled=found.settled)
    at = plan["places"].values
    share, of_baseline = found.policy.probabilities(at), found.policy.as_baseline(at)
    return plan.assign(departure=("place", np.abs(share - of_baseline).sum(-1) / 2)).assign_attrs(
        gain=told.value,
        gain_lower=told.lower,
        gain_upper=told.upper,
        better=float((gained.middle.mean(1) > 0).mean()),
        as_baseline=int(found.as_today),
    )


def gain_policy(plan: xr.Dataset, mdp: SimulatedMDP, baseline: Any) -> GainPolicy:
    """Make a plan for the gain, or its file, a policy again that can be asked at any state.

    Parameters
    ----------
    plan : Dataset
        From :func:`~bayesmdp.plan` of a simulated problem with a baseline, or read from its file.
    mdp : SimulatedMDP
        The problem, whose functions no file holds.
    baseline
        The one that was planned over, which no file holds either.

    Returns
    -------
    GainPolicy

    Raises
    ------
    TypeError, ValueError
        If `plan` is none for a gain, or one of another problem.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> off = lambda state: (0 * state[..., 0]).astype(int)
    >>> plan = bm.solve(room, baseline=off, solver=bm.planning.FittedQ(places=64, samples=2))
    >>> gain_policy(plan, room, off).departs([[12.0], [25.0]]).tolist()
    [True, False]
    """
    if not isinstance(plan, xr.Dataset):
        raise TypeError(f"plan must be the Dataset that plan returns; got {type(plan).__name__}")
    if plan.attrs.get("solver") != GAIN:
        raise ValueError("the Dataset is no plan for the gain over a baseline")
    of = f"the plan is of another problem, {plan.attrs.get('mdp', 'without a name')!r}"
    check_same_problem(of, plan["action"].values.tolist(), plan["places"].values, plan["features"].values, mdp)
    return read_gain(plan, mdp, baseline_policy(mdp, baseline))
