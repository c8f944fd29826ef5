"""Plans on spaces of numbers: fitted Q iteration under some draws of a posterior, valued by rollouts under others.

The iteration is that of the fitted agents (:mod:`~bayesmdp.planning.fitted_q`): at places drawn anew each time the risk
over draws of the expected target is regressed on, so risk is taken of one step at a time, as in plans over tables. It
starts from Q = 0 and makes as many iterations as an exact one would need to come within the tolerance,

    discount^n (highest - lowest value) <= tolerance,

and then goes on, a quarter of that at a time, until the mean over the anchors of max_a Q changes by no more than a
twentieth of its standard deviation over them, or the tolerance. Whether it came to that is the attr ``converged``. Each
fit is as noisy as the places it saw; where Q is linear in the fit, the plan's is the mean of those of the last round.

Of a problem with a horizon there is a fit for each stage, the last stage's first, as in backward induction over tables.
A stage begins at the fit of the stage after, by which its next states are valued, and makes rounds of `OF_STAGE`
iterations until its values no longer drift by the same rule. How many these are is ours.

Q chooses the policy, and is no statement of its value: the maximum over actions makes it too high, and it is as good as
the approximation. The plan's ``value`` does not trust it: it is the risk over draws of the *whole future's* value of
the policy, from rollouts under draws that took no part in planning (:mod:`~bayesmdp.planning.value_intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jax import random
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.planning.approximations import Approximation, approximation
from bayesmdp.planning.fitted_policies import FittedPolicy, StagedPolicy
from bayesmdp.planning.fitted_rounds import FURTHER, MOST, Rounds, Settled
from bayesmdp.planning.risk import Risk
from bayesmdp.planning.rollouts import (
    Rollouts,
    SimulatedReturns,
    count_draws,
    horizon_within,
    simulate_returns,
    tolerance_of,
)
from bayesmdp.planning.simulated_values import planned_and_fresh, read_unknowns, risk_between, spread_over
from bayesmdp.planning.state_policies import fit_variables
from bayesmdp.planning.value_intervals import check_scalar_risk
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["Fitted", "FittedQ", "describe_plan", "fit_simulated", "how_fitted", "plan_simulated"]


SHARE = 1e-3
"""The part of what values can differ by that iterations may leave out, where no tolerance is given."""


ALLOWED = 16
"""Iterations allowed at the least: few are asked for where values hardly differ, and a ridge holds fits back."""

OF_STAGE = 8
"""Iterations of each round of a stage; there are two rounds at the least, and `MOST` at the most."""


@dataclass(frozen=True)
class FittedQ:
    """How a plan on a space of numbers is made: what `solver` is there.

    Parameters
    ----------
    approximation : {"linear", "double", "neural", "trees", "neighbours"} or Approximation
        Of Q; "double" is linear too, by two fits against over-estimation. The network needs the extra ``neural``, and
        trees need ``sklearn``.
    num_draws : int
        Posterior draws that are planned with, at most half of all; the others value the plan.
    places : int
        States at which Q is fitted, drawn anew for each iteration, uniformly over the box of states.
    samples : int
        Next states simulated for each place, action and draw.
    rollouts : Rollouts
        How the plan is valued.
    seed : int
        Of the plan.

    Raises
    ------
    TypeError, ValueError
        For an option out of range.

    Examples
    --------
    >>> FittedQ(places=64).num_draws
    32
    """

    approximation: str | Approximation = "linear"
    num_draws: int = 32
    places: int = 256
    samples: int = 8
    rollouts: Rollouts = field(default_factory=Rollouts)
    seed: int = 0

    def __post_init__(self) -> None:
        approximation(self.approximation)
        for name in ("num_draws", "places", "samples"):
            integer(name, getattr(self, name), 1)
        integer("seed", self.seed, 0)
        if not isinstance(self.rollouts, Rollouts):
            raise TypeError(f"rollouts must be made, as bm.planning.Rollouts() is; got {self.rollouts!r}")


def plan_simulated(
    posterior: xr.DataTree | xr.Dataset,
    mdp: SimulatedMDP,
    risk: Risk,
    options: FittedQ,
    tolerance: float | None,
    max_iterations: int,
    *,
    strict: bool,
) -> xr.Dataset:
    """Plan for a posterior of the unknowns of a problem's model; see :func:`~bayesmdp.plan`.

    Parameters
    ----------
    posterior : DataTree or Dataset
    mdp : SimulatedMDP
    risk : Mean, Quantile or CVaR
    options : FittedQ
    tolerance : float, optional
    max_iterations : int
    strict : bool

    Returns
    -------
    Dataset
    """
    check_scalar_risk(risk)
    values, others = planned_and_fresh(read_unknowns(posterior, mdp), options.num_draws)
    tolerance = tolerance_of(mdp, tolerance, SHARE)
    fitted = fit_simulated(values, mdp, risk, options, tolerance, max_iterations)
    if strict and not fitted.settled:
        raise RuntimeError(
            f"fitted Q iteration did not settle in {fitted.iterations} iterations; raise places or samples of FittedQ, "
            "choose other features, raise max_iterations, or pass strict=False"
        )
    # Value the policy under draws that it was not planned with.
    rollouts = options.rollouts
    returns = simulate_returns(mdp, spread_over(others, rollouts.max_draws), fitted.policy.policy, rollouts)
    return describe_plan(fitted, returns, mdp, risk, options, tolerance, num_draws=count_draws(values))


class Fitted(NamedTuple):
    """What fitted Q iteration came to.

    Attributes
    ----------
    policy : FittedPolicy or StagedPolicy
    iterations : int
    settled : bool
        Whether values had stopped to drift, at each stage.
    misfit : float
        Root mean square of targets less Q, at places that were not fitted.
    """

    policy: FittedPolicy | StagedPolicy
    iterations: int
    settled: bool
    misfit: float


def fit_simulated(
    values: Mapping[str, NDArray[np.float64]],
    mdp: SimulatedMDP,
    risk: Any,
    options: FittedQ,
    tolerance: float,
    max_iterations: int,
    *,
    begun: FittedPolicy | StagedPolicy | None = None,
) -> Fitted:
    """Fit Q under draws of the unknowns, until its values no longer drift.

    Parameters
    ----------
    values : mapping of site to array [draw, ...]
    mdp : SimulatedMDP
    risk : Mean, Quantile or CVaR
    options : FittedQ
    tolerance : float
    max_iterations : int
        Of all stages together.
    begun : FittedPolicy or StagedPolicy, optional
        A fit to begin at, such as that of a problem much like this one, in place of Q = 0: then one round is made (of
        each stage), and values need not have settled for the policy to.

    Returns
    -------
    Fitted
    """
    approximate = approximation(options.approximation)
    rounds = Rounds(values, risk, approximate, options.places, options.samples, tolerance)
    with jax.enable_x64(True):
        key = random.key(options.seed)
        if begun is None:
            features = jax.eval_shape(mdp.problem.features, mdp.problem.start).shape[-1]
            fit = approximate.init(random.fold_in(key, 0), features, mdp.num_actions)
        else:
            fit = begun.fits if isinstance(begun, StagedPolicy) else begun.fit
        if mdp.horizon is not None:
            return _fit_stages(rounds, key, mdp, fit, max_iterations, anew=begun is None)
        first = horizon_within(mdp, tolerance)
        length = min(max(1, math.ceil(FURTHER * first)), max_iterations)
        first = first if begun is None else 0
        most = min(max_iterations, max(MOST * first + length, ALLOWED if begun is None else 0))
        one = rounds.settle(key, mdp.problem, fit, None, first=first, length=length, most=most)
    policy = FittedPolicy(mdp, approximate, jax.tree.map(np.asarray, one.kept))
    return Fitted(policy, one.done, one.settled, float(np.sqrt(one.square)))


def _fit_stages(rounds: Rounds, key: Array, mdp: SimulatedMDP, fit: Any, max_iterations: int, *, anew: bool) -> Fitted:
    """Fit one stage after the other, the last first, from the same fit or, where it is by stage, each from its own."""
    horizon = mdp.horizon or 0
    length = max(1, min(OF_STAGE, max_iterations // horizon))
    most = min(MOST * length, max_iterations // horizon) if anew else length
    made: list[Settled] = []
    for stage in reversed(range(horizon)):
        after = made[-1].kept if made else jax.tree.map(np.zeros_like, fit) if anew else _of_stage(fit, stage)
        own = after if anew and made else fit if anew else _of_stage(fit, stage)
        problem, own_key = mdp.problem.at_stage(stage), random.fold_in(key, 1 + stage)
        made.append(rounds.settle(own_key, problem, own, after, first=0, length=length, most=most))
    fits = jax.tree.map(
        lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *[one.kept for one in made[::-1]]
    )
    return Fitted(
        StagedPolicy(mdp, rounds.approximation, fits),
        sum(one.done for one in made),
        all(one.settled for one in made),
        float(np.sqrt(np.mean([one.square for one in made]))),
    )


def _of_stage(fits: Any, stage: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[stage], fits)


def describe_plan(
    fitted: Fitted,
    returns: SimulatedReturns,
    mdp: SimulatedMDP,
    risk: Any,
    options: FittedQ,
    tolerance: float,
    *,
    num_draws: int,
) -> xr.Dataset:
    """Lay out a plan, with its value by rollouts.

    Parameters
    ----------
    fitted : Fitted
    returns : SimulatedReturns
        Under draws that took no part in planning.
    mdp : SimulatedMDP
    risk : Mean, Quantile or CVaR
    options : FittedQ
    tolerance : float
    num_draws : int
        That were planned with.

    Returns
    -------
    Dataset
    """
    told = risk_between(risk, returns, options.rollouts.confidence)
    places = np.concatenate([mdp.problem.start[None], mdp.problem.anchors])
    variables, attrs = fit_variables(fitted.policy, places)
    return xr.Dataset(
        {
            "value": ((), told.value),
            "lower": ((), told.lower),
            "upper": ((), told.upper),
            **variables,
        },
        coords={
            "action": label_array(mdp.actions),
            **({} if mdp.horizon is None else {"stage": np.arange(mdp.horizon)}),
        },
        attrs={
            **attrs,
            "risk": str(risk),
            "solver": "fitted_q",
            **({} if mdp.discount is None else {"discount": mdp.discount}),
            "num_draws": num_draws,
            "iterations": fitted.iterations,
            "converged": int(fitted.settled),
            "misfit": fitted.misfit,
            "tolerance": tolerance,
            **how_fitted(options, returns),
        },
    )


def how_fitted(options: FittedQ, returns: SimulatedReturns) -> dict[str, Any]:
    """Return the attrs of a plan that say how it was fitted and valued.

    Parameters
    ----------
    options : FittedQ
    returns : SimulatedReturns
        That valued it.
    """
    return {
        "places_fitted": options.places,
        "samples": options.samples,
        "seed": options.seed,
        "value_draws": len(returns.lowest),
        "rollouts": returns.lowest.shape[1],
        "horizon": returns.horizon,
        "confidence": options.rollouts.confidence,
    }
