"""What a policy is worth under each posterior draw: the honest statement beside what a plan promises.

A plan's value is the risk of one step at a time; the value of the policy over the whole future is a random number with
a posterior of its own. For draws P_1, ..., P_M of the kernel and a policy pi, ``V_m = (I - discount P_m,pi)^-1 r_m,pi``
(of an MDP with stages or a horizon, the reward of the steps that are left), and the *posterior quantile value* at a
level is the left quantile, the ``ceil(level M)``-th smallest, of the V_m (NumPy's ``inverted_cdf``, rounding of the
product included): Song, Wang and Zhou (2026), EC.24. Its Monte Carlo interval is between order statistics: the number
of draws below the true quantile is Binomial(M, level), whatever the distribution is.

A policy chosen with the same draws looks better under them than it is, as any fit does; use fresh ones.

All of this is said of the posterior that the draws are from. Where a successor table lumps what was not seen as worth
its mean (:mod:`bayesmdp.problems.elsewhere`), that posterior has no doubt about the shares of what is lumped, and the
truth may be less certain than it says; lumped as the least, values are lower bounds instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr
from jax.typing import ArrayLike
from numpy.typing import NDArray

from bayesmdp.foundation.validation import number
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.posterior_draws import read_dataset, read_draws
from bayesmdp.planning.quantile_interval import order_interval
from bayesmdp.planning.rollouts import Rollouts
from bayesmdp.planning.simulated_values import simulated_gain_draws, simulated_quantile_value, simulated_value_draws
from bayesmdp.planning.values_over_draws import best_values, values_of_each, values_under
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_by_stage, policy_in_order, policy_probabilities
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = [
    "at_start",
    "downside_exposure",
    "quantile_value",
    "value_draws",
]


def value_draws(
    posterior: xr.DataTree | xr.Dataset, mdp: MDP | SimulatedMDP, policy: Any, *, rollouts: Rollouts | None = None
) -> xr.DataArray:
    """Return the value of a policy under each posterior draw.

    Parameters
    ----------
    posterior : DataTree or Dataset
        As for `plan`; draws other than those the policy was planned with.
    mdp : MDP or SimulatedMDP
    policy : "uniform", action labels [state], or probabilities [state, action]
        Of an MDP with a horizon also by stage: labels [stage, state] or probabilities [stage, state, action]. A
        DataArray of probabilities with a dim ``draw`` is a policy for each draw, such as one known by a posterior.
        What names its states and actions, as DataArrays and tables of pandas do, may have them in any order.
        Where states are numbers a plan, "uniform", or a function of the state; see `evaluate`.
    rollouts : Rollouts, optional
        How values are simulated, where states are numbers.

    Returns
    -------
    DataArray [draw, state], or [draw, stage, state] of an MDP with a horizon and no stages of its own
        Of a `SimulatedMDP` [draw], at the start, with the coordinate ``error``: the standard error of each.

    See Also
    --------
    bayesmdp.gain_draws : the difference to a baseline's.
    bayesmdp.quantile_value : a quantile of it, with its Monte Carlo interval.
    bayesmdp.evaluate : under the true kernel.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    >>> posterior = bm.infer(dirichlet_transitions(river), log, draws=200)
    >>> value_draws(posterior, river, ["right"] * 6).shape
    (200, 6)
    """
    return for_space(VALUES, mdp)(posterior, mdp, policy, rollouts=rollouts)


def _no_rollouts(rollouts: Rollouts | None) -> None:
    if rollouts is not None:
        raise ValueError("rollouts are for problems whose states are numbers; a finite MDP is solved exactly")


def _finite_value_draws(
    posterior: Any, mdp: MDP, policy: str | ArrayLike | xr.DataArray, *, rollouts: Rollouts | None = None
) -> xr.DataArray:
    """Values [draw, (stage,) state] of a policy in a finite MDP."""
    _no_rollouts(rollouts)
    if isinstance(policy, xr.DataArray) and "draw" in policy.dims:
        values = _values_of_each(posterior, mdp, policy)
    else:
        draws, chosen = _inputs(posterior, mdp, policy)
        with jax.enable_x64(True):
            values = np.asarray(values_under(mdp.problem, draws, chosen, by_stage=mdp.by_stage))
    if not np.isfinite(values).all():
        raise RuntimeError(f"the policy's value under draw {np.argwhere(~np.isfinite(values))[0][0]} was not found")
    coords = {"draw": np.arange(len(values)), **mdp.state_coords}
    return xr.DataArray(values, coords, tuple(coords), "value")


def _values_of_each(posterior: Any, mdp: MDP, policy: xr.DataArray) -> NDArray[np.float64]:
    """Values [draw, (stage,) state] of probabilities [draw, state, action]."""
    if set(policy.dims) != {"draw", "state", "action"}:
        raise ValueError(f"a policy for each draw has the dims draw, state and action; got {policy.dims}")
    policies = policy_in_order(mdp, policy).transpose("draw", "state", "action").values
    draws, _ = _inputs(posterior, mdp, policy.isel(draw=0))
    if len(policies) != len(draws.transition):
        raise ValueError(f"there are {len(policies)} policies for {len(draws.transition)} draws")
    for each in policies[1:]:
        policy_probabilities(mdp, each)
    horizon = mdp.length
    with jax.enable_x64(True):
        return np.asarray(values_of_each(mdp.problem, draws, policies, horizon=horizon))


def at_start(values: xr.DataArray, mdp: MDP) -> xr.DataArray:
    """Average a value over where the MDP starts, at its first stage.

    Parameters
    ----------
    values : DataArray [..., (stage,) state]
    mdp : MDP

    Returns
    -------
    DataArray [...]
    """
    first = values.isel(stage=0, drop=True) if mdp.by_stage else values
    return first @ xr.DataArray(mdp.initial, dims="state")


def gain_draws(
    posterior: xr.DataTree | xr.Dataset,
    mdp: MDP | SimulatedMDP,
    policy: Any,
    baseline: Any,
    *,
    rollouts: Rollouts | None = None,
) -> xr.DataArray:
    """Return what a policy gains over a baseline under each posterior draw: the difference of their values.

    Both are evaluated under the same draw, so that what they share of its uncertainty cancels.

    Parameters
    ----------
    posterior, mdp, policy, rollouts
        As for `value_draws`.
    baseline
        A policy likewise.

    Returns
    -------
    DataArray [draw, state]
        ``gain @ xr.DataArray(mdp.initial, dims="state")`` is the gain at the start. Where states are numbers [draw], at
        the start, by the same random numbers for both, with the coordinate ``error``.

    See Also
    --------
    bayesmdp.value_draws : the value itself.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    >>> posterior = bm.infer(dirichlet_transitions(river), log, draws=200)
    >>> gain = gain_draws(posterior, river, ["right"] * 6, "uniform")
    >>> float((gain > 0).mean()) > 0.99
    True
    """
    return for_space(GAINS, mdp)(posterior, mdp, policy, baseline, rollouts=rollouts)


def _finite_gain_draws(
    posterior: Any, mdp: MDP, policy: Any, baseline: Any, *, rollouts: Rollouts | None = None
) -> xr.DataArray:
    """Differences [draw, (stage,) state] of two policies' values in a finite MDP."""
    one, other = (_finite_value_draws(posterior, mdp, each, rollouts=rollouts) for each in (policy, baseline))
    return (one - other).rename("gain")


def quantile_value(
    posterior: xr.DataTree | xr.Dataset,
    mdp: MDP | SimulatedMDP,
    policy: Any,
    level: float = 0.1,
    *,
    confidence: float = 0.95,
    rollouts: Rollouts | None = None,
) -> xr.Dataset:
    """Return the posterior quantile of a policy's value, with its Monte Carlo interval (EC.24).

    With posterior probability at least ``1 - level`` the policy is worth `value` or more.

    Parameters
    ----------
    posterior, mdp, policy, rollouts
        As for `value_draws`.
    level : float in (0, 1)
    confidence : float in (0, 1)
        Of the interval, which says what the number of draws leaves open; minus or plus infinity where they are too few.
        Where states are numbers it goes before that of `rollouts`.

    Returns
    -------
    Dataset
        ``value``, ``lower``, ``upper`` [(stage,) state], and the same of the value at the initial distribution:
        ``initial``, ``initial_lower``, ``initial_upper``. Where states are numbers these three alone, whose interval
        holds what the simulation leaves open too (:mod:`bayesmdp.planning.value_intervals`).

    See Also
    --------
    bayesmdp.value_draws : all draws.
    bayesmdp.downside_exposure : how probable a loss is.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    >>> posterior = bm.infer(dirichlet_transitions(river), log, draws=1_000)
    >>> worth = quantile_value(posterior, river, ["right"] * 6, 0.1)
    >>> bool(worth.initial_lower <= worth.initial <= worth.initial_upper)
    True
    """
    level = number("level", level, above=0, below=1)
    return for_space(QUANTILE_VALUES, mdp)(posterior, mdp, policy, level, confidence, rollouts=rollouts)


def _finite_quantile_value(
    posterior: Any, mdp: MDP, policy: Any, level: float, confidence: float, *, rollouts: Rollouts | None = None
) -> xr.Dataset:
    """Quantiles [(stage,) state] of a policy's value in a finite MDP."""
    values = _finite_value_draws(posterior, mdp, policy, rollouts=rollouts)
    fields = {"value": values, "initial": at_start(values, mdp)}
    statements: dict[str, xr.DataArray] = {}
    for name, drawn in fields.items():
        low, high = ("lower", "upper") if name == "value" else ("initial_lower", "initial_upper")
        middle, below, above = order_interval(drawn.values, level, confidence)
        rest = drawn.isel(draw=0, drop=True)
        statements |= {key: rest.copy(data=a) for key, a in ((name, middle), (low, below), (high, above))}
    attrs = {"level": level, "confidence": confidence, "num_draws": values.sizes["draw"]}
    return xr.Dataset(statements, attrs=attrs)


def downside_exposure(
    posterior: xr.DataTree | xr.Dataset, mdp: MDP, policy: str | ArrayLike | xr.DataArray, loss: float
) -> xr.DataArray:
    """Return the posterior probability ``P(V*_P - V^policy_P >= loss)`` that a policy loses so much against the best.

    Song, Wang and Zhou (2026), Definition 1. A policy has (loss, delta)-downside exposure in a state where this exceeds
    delta.

    Parameters
    ----------
    posterior, mdp, policy
        As for `value_draws`.
    loss : float
        In the units of the value.

    Returns
    -------
    DataArray [(stage,) state]

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    >>> posterior = bm.infer(dirichlet_transitions(river), log, draws=200)
    >>> exposure = downside_exposure(posterior, river, ["left"] * 6, 1.0)
    >>> bool(exposure[-1] > 0.9)  # from the right end, leaving costs more than 1
    True
    """
    loss = number("loss", loss)
    draws, chosen = _inputs(posterior, mdp, policy)
    with jax.enable_x64(True):
        best = best_values(mdp.problem, draws, horizon=mdp.horizon)
        gap = np.asarray(best - values_under(mdp.problem, draws, chosen, by_stage=mdp.by_stage))
    # Two solves of one system may differ by rounding; a loss of exactly `loss` counts.
    slack = 1e-9 * (1 + np.abs(gap).max())
    coords = mdp.state_coords
    return xr.DataArray((gap >= loss - slack).mean(0), coords, tuple(coords), "exposure")


def _inputs(posterior: Any, mdp: MDP, policy: Any) -> tuple[Draws, NDArray[Any]]:
    """The draws and the policy (actions [(stage,) state], or probabilities [(stage,) state, action]), by the space."""
    return for_space(INPUTS, mdp)(posterior, mdp, policy)


def _finite_inputs(posterior: Any, mdp: MDP, policy: Any) -> tuple[Draws, NDArray[Any]]:
    if mdp.objective == "average":
        raise ValueError(
            f"the value of a policy is of discounted reward, or of so many steps; {mdp.name} needs a discount or a "
            "horizon: mdp.replace(discount=0.99), mdp.replace(horizon=30)"
        )
    probabilities = policy_by_stage(mdp, policy) if mdp.by_stage else policy_probabilities(mdp, policy)
    certain = (probabilities == 1).any(-1).all()
    return read_draws(read_dataset(posterior), mdp), probabilities.argmax(-1) if certain else probabilities


INPUTS = {"finite": _finite_inputs}
"""How a posterior and a policy are read, by the kind of a problem's states."""

VALUES: Mapping[str, Callable[..., xr.DataArray]] = {
    "finite": _finite_value_draws,
    "simulated": simulated_value_draws,
}
"""How a policy is valued under each draw, by the same."""

GAINS: Mapping[str, Callable[..., xr.DataArray]] = {"finite": _finite_gain_draws, "simulated": simulated_gain_draws}
"""How two policies are compared under each draw, by the same."""

QUANTILE_VALUES: Mapping[str, Callable[..., xr.Dataset]] = {
    "finite": _finite_quantile_value,
    "simulated": simulated_quantile_value,
}
"""How the quantile of a policy's value is found, by the same."""
