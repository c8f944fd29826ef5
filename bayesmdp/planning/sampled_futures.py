"""Plans that fit nothing: in each state futures are sampled anew (:mod:`~bayesmdp.planning.futures_policy`).

What such a plan is worth is told as that of a fitted one is, by rollouts under draws that took no part in planning. In
each of their steps the policy plans, so that they are few by default, and the interval is wide. What planning leaves
out beyond its horizon, at most discount^horizon times what values can differ by, is the attr ``beyond``. It is part of
the policy and not of the interval, which is of the policy as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.foundation.validation import integer
from bayesmdp.planning.futures_policy import Futures, FuturesPolicy, futures_variables
from bayesmdp.planning.rollouts import Rollouts, count_draws, simulate_returns
from bayesmdp.planning.simulated_values import planned_and_fresh, read_unknowns, risk_between, spread_over
from bayesmdp.planning.value_intervals import check_scalar_risk
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["SampledFutures", "plan_by_futures"]


@dataclass(frozen=True)
class SampledFutures:
    """Planning in each state by sampled futures: what `solver` may be where states are numbers.

    Parameters
    ----------
    horizon : int
        Steps that are looked ahead.
    sequences, rounds : int
        Sequences of actions in each round of the cross-entropy method, and rounds.
    num_draws : int
        Posterior draws that are planned with, at most half of all; the others value the plan.
    samples : int
        Futures of a sequence under each draw; one is enough where steps have no noise.
    rollouts : Rollouts
        How the plan is valued.
    seed : int
        Of the futures.

    Raises
    ------
    TypeError, ValueError
        For an option out of range.

    Notes
    -----
    It needs no fit, and every action costs a search: for problems in which a fit fails, or where few states are
    met. It is not the more exact of the two: on linear-quadratic control, worth -2.06 by the Riccati equation,
    a plan with these defaults was worth -2.44, further below than fitted Q.

    Examples
    --------
    >>> SampledFutures(horizon=15).sequences
    64
    """

    horizon: int = 25
    sequences: int = 64
    rounds: int = 6
    num_draws: int = 8
    samples: int = 2
    rollouts: Rollouts = field(default_factory=lambda: Rollouts(number=64, max_draws=4))
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("horizon", 1),
            ("sequences", 2),
            ("rounds", 1),
            ("num_draws", 1),
            ("samples", 1),
            ("seed", 0),
        ):
            integer(name, getattr(self, name), least)
        if not isinstance(self.rollouts, Rollouts):
            raise TypeError(f"rollouts must be made, as bm.planning.Rollouts() is; got {self.rollouts!r}")


def plan_by_futures(
    posterior: xr.DataTree | xr.Dataset, mdp: SimulatedMDP, risk: Any, options: SampledFutures
) -> xr.Dataset:
    """Plan for a posterior of the unknowns of a problem's model; see :func:`~bayesmdp.plan`.

    Parameters
    ----------
    posterior : DataTree or Dataset
    mdp : SimulatedMDP
    risk : Mean, Quantile or CVaR
    options : SampledFutures

    Returns
    -------
    Dataset
    """
    check_scalar_risk(risk)
    if mdp.discount is None or mdp.horizon is not None:
        raise ValueError(
            f"a plan by sampled futures looks equally far ahead at each step, and {mdp.name} has a horizon of "
            f"{mdp.horizon}: use bm.planning.FittedQ, or mdp.replace(horizon=None, discount=...)"
        )
    values, others = planned_and_fresh(read_unknowns(posterior, mdp), options.num_draws)
    futures = Futures(options.horizon, options.sequences, options.rounds, options.samples, options.seed)
    policy = FuturesPolicy(mdp, values, risk, futures)
    # Value the policy under draws that it does not plan with.
    rollouts = options.rollouts
    fresh = spread_over(others, rollouts.max_draws)
    returns = simulate_returns(mdp, fresh, policy.policy, rollouts)
    told = risk_between(risk, returns, rollouts.confidence)
    variables, attrs = futures_variables(policy)
    numbers = {name: ((), each) for name, each in zip(("value", "lower", "upper"), told, strict=True)}
    return xr.Dataset(
        {**numbers, **variables},
        coords={"action": label_array(mdp.actions)},
        attrs={
            **attrs,
            "risk": str(risk),
            "discount": mdp.discount,
            "num_draws": count_draws(values),
            "beyond": float(mdp.discount**options.horizon * np.ptp(mdp.problem.value_range)),
            "value_draws": len(returns.lowest),
            "rollouts": returns.lowest.shape[1],
            "horizon": returns.horizon,
            "confidence": rollouts.confidence,
        },
    )
