"""From a posterior to a plan: the door between labelled draws and the compiled solvers.

A posterior is a `DataTree` with a group ``posterior`` or a `Dataset`, by whomever it was made, with a variable
``transition`` over the draws (``chain`` and ``draw``, ``draw``, or ``sample``) and ``state``, ``action`` and
``next_state`` (``outcome`` for an MDP with a successor table), and optionally ``reward`` over any of these. All is
checked on the host, in :mod:`~bayesmdp.planning.posterior_draws`, and computed in 64 bit whatever JAX's setting.

What a plan promises, and how surely, :mod:`~bayesmdp.planning.guarantee` says. Finite MDPs are planned for in
:mod:`~bayesmdp.planning.table_plan`, problems on a space of numbers in :mod:`~bayesmdp.planning.simulated_plan`,
:mod:`~bayesmdp.planning.simulated_gain` and :mod:`~bayesmdp.planning.sampled_futures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import xarray as xr

from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning.risk import Mean, Risk
from bayesmdp.planning.sampled_futures import SampledFutures, plan_by_futures
from bayesmdp.planning.simulated_gain import plan_simulated_gain
from bayesmdp.planning.simulated_plan import FittedQ, plan_simulated
from bayesmdp.planning.table_plan import Asked, plan_table
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["plan"]


def plan(
    posterior: xr.DataTree | xr.Dataset,
    mdp: MDP | SimulatedMDP,
    risk: Risk | None = None,
    *,
    quantile: Literal["draws", "exact"] = "draws",
    solver: Literal["policy_iteration", "value_iteration"] | FittedQ | SampledFutures | None = None,
    tolerance: float | None = None,
    max_iterations: int = 1_000_000,
    strict: bool = True,
    baseline: Any = None,
    deterministic: bool = False,
) -> xr.Dataset:
    """The best policy for a risk measure of the posterior, with a bound on the error of its value.

    Parameters
    ----------
    posterior : DataTree or Dataset
        ``transition`` [(chain,) draw, state, action, next_state], the dims in any order, and optionally ``reward``.
        For a `SimulatedMDP` the unknowns of its model.
    mdp : MDP or SimulatedMDP
        Labels, discount or horizon, terminal states, available actions; the reward too, where the posterior has none.
    risk : Risk, default `Mean()`
        Such as ``bm.Quantile(0.1)`` or ``bm.CVaR(0.1)``.
    quantile : {"draws", "exact"}
        Whether a quantile is that of the posterior draws, or that of the Dirichlet distributions they come from, which
        needs the group ``parameters`` and a known reward, and no draws; see
        :mod:`~bayesmdp.planning.dirichlet_quantile`.
    solver : {"policy_iteration", "value_iteration"}, FittedQ or SampledFutures, optional
        By default policy iteration; over a number of steps it is backward induction. Where states are numbers it is
        fitted Q iteration, ``bm.planning.FittedQ()`` with its options, or ``bm.planning.SampledFutures()``, which fits
        nothing and plans anew in each state.
    tolerance : float, optional
        On the bound, in the units of the value, 1e-10 by default; see :mod:`bayesmdp.planning.solvers` for what limits
        it. Of fitted Q iteration what an exact one could lack, by default a thousandth of what values can differ by.
    max_iterations : int
        Applications of the operator.
    strict : bool
        Whether to raise if the solver did not converge; otherwise see the attr ``converged``.
    baseline : "uniform", action labels [state], or probabilities [state, action]; optional
        Plan for what is gained over this policy at the start instead: the risk is then that of one number under each
        draw, the gain over the whole future, and not of each step. See :mod:`bayesmdp.planning.over_baseline`. Where
        states are numbers "uniform", an earlier plan, a function of states [..., coordinate] that returns probabilities
        [..., action] or positions of actions [...], or a ``bm.planning.PlacesBehaviour``; see
        :mod:`bayesmdp.planning.state_gain`.
    deterministic : bool
        With a baseline, whether the policy must not mix actions.

    Returns
    -------
    Dataset
        ``value`` [state], ``q`` [state, action] (NaN where an action is not available) and ``policy`` [state], the best
        action's label; attrs ``bound`` (at least the error of `value`), ``residual``, ``iterations``, ``converged`` (0
        or 1), ``risk``, ``solver``, ``num_draws`` (0 if exact), ``tolerance``, ``discount``, ``mdp``; ``ties``, the
        number of states whose best two actions differ by at most twice the bound, where the policy is not determined;
        and for quantiles and CVaR ``guarantee_level``: `value` is at most the posterior quantile of the policy's value
        at this level, see the module. 1 promises nothing.

        Of an MDP judged by its average reward: ``gain``, known within ``bound``, between the attrs ``lower`` and
        ``upper``; ``value`` is then the bias, whose least entry is 0 and whose largest is the attr ``span``, with
        differences known within ``value_bound`` (NaN beyond 2,000 states) as those of the bias of `policy`; and `q`
        what the optimality equation takes the largest of (:mod:`bayesmdp.planning.average_reward`).

        Of an MDP with a horizon and no stages of its own: `value`, `q` and `policy` have a dim ``stage`` first, the
        number of steps taken, and ``horizon`` is an attr; `ties` counts stages and states.

        With a baseline there is no certified bound, for the maximum is a local one: ``probability`` [state, action] is
        the policy and ``policy`` its most probable action, ``value`` its mean over the draws, ``departure`` [state] the
        probability with which it does otherwise than the baseline, and ``worth`` [state] how much less would be gained
        if it did as the baseline in that state alone. Attrs ``gain``, the risk of the gain under these draws,
        ``gain_deterministic`` that of the most probable actions, ``better`` the share of draws in which anything is
        gained, and ``rise``, that of the gain over the last quarter of the steps. A policy looks better under the draws
        it was planned with: judge it by fresh ones, with `gain_draws`.

        For a `SimulatedMDP` ``value``, the risk over draws of what the policy is worth from the start, and ``lower``
        and ``upper``, an interval of it, by rollouts under draws that were not planned with; the fit of Q; and at some
        ``places`` [place, coordinate], the start first, ``policy`` and ``q``, by which it was chosen and which is no
        estimate of what it is worth: it is too high, as a maximum of fits is, and as good as these. With a horizon
        `policy`, `q` and the fit have a dim ``stage`` first, as those of an MDP have. Attrs
        ``converged``, ``iterations``, ``misfit`` (root mean square of targets less Q, at places that were not fitted),
        ``horizon`` and ``confidence``. The Dataset is itself a policy for `evaluate`, `value_draws`, `quantile_value`
        and `collect`, also when it comes back from a file; ``bm.planning.fitted_policy(plan, mdp)`` asks it at any
        state. See :mod:`bayesmdp.planning.simulated_plan`. By sampled futures there is no fit and no ``q``, but the
        draws, under which ``bm.planning.futures_policy(plan, mdp)`` plans (:mod:`bayesmdp.planning.sampled_futures`).

        With a baseline as well: ``q`` [place, action] and ``as_today`` [place], the risk of what is gained by each
        action and by going on as the baseline does, by which the policy was chosen; ``probability`` and ``departure``
        at these places; and attrs ``gain``, the risk of what is gained from the start under draws that were not planned
        with, ``gain_lower`` and ``gain_upper``, an interval of it, ``better``, and ``as_baseline``, 1 where nothing
        better was found and the policy is the baseline. ``bm.planning.gain_policy(plan, mdp, baseline)`` asks it.

    Raises
    ------
    TypeError
        For a posterior, MDP or risk measure that is none.
    ValueError
        For draws that do not fit the MDP or are no distributions, naming the entry; for options out of range; for an
        exact quantile of a posterior that has none.
    RuntimeError
        If the solver did not converge and `strict`.

    See Also
    --------
    bayesmdp.solve : where the dynamics are known.
    bayesmdp.plan_log : from a log to a policy in one call.
    bayesmdp.quantile_value : what any policy is worth under the posterior.
    bayesmdp.planning.policy_iteration : the same on arrays, for use in compiled code.

    Examples
    --------
    >>> import numpy as np, xarray as xr, bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> rng = np.random.default_rng(0)
    >>> rows = [rng.dirichlet(1 / 6 + 50 * row, size=1_000) for row in river.transition.reshape(12, 6)]
    >>> draws = np.stack(rows, axis=1).reshape(1_000, 6, 2, 6)
    >>> dims = ("draw", "state", "action", "next_state")
    >>> plan = bm.planning.plan(xr.Dataset({"transition": (dims, draws)}), river, bm.planning.Quantile(0.1))
    >>> plan.policy.values.tolist()
    ['right', 'right', 'right', 'right', 'right', 'right']
    >>> plan.attrs["bound"] < 1e-10
    True
    >>> soon = bm.planning.plan(xr.Dataset({"transition": (dims, draws)}), river.replace(discount=None, horizon=20))
    >>> soon["policy"].sel(state=0).values[[0, 19]].tolist()  # with one step left the far end is out of reach
    ['right', 'left']
    """
    planner = for_space(PLANNERS, mdp)
    if tolerance is not None:
        tolerance = number("tolerance", tolerance, minimum=0)
    asked = Asked(quantile, solver, tolerance, integer("max_iterations", max_iterations, 1), strict)
    return planner(posterior, mdp, Mean() if risk is None else risk, asked, baseline, deterministic=deterministic)


def _plan_simulated(
    posterior: xr.DataTree | xr.Dataset,
    mdp: SimulatedMDP,
    risk: Risk,
    asked: Asked,
    baseline: Any,
    *,
    deterministic: bool,
) -> xr.Dataset:
    """A plan on a space of numbers."""
    solver = FittedQ() if asked.solver is None else asked.solver
    if not isinstance(solver, FittedQ | SampledFutures):
        raise TypeError(
            f"where states are numbers solver must be made, as bm.planning.FittedQ(approximation='linear') is; got "
            f"{solver!r}"
        )
    for name, given, only in (("quantile", asked.quantile, "draws"), ("deterministic", deterministic, False)):
        if given != only:
            raise ValueError(f"{name}={given!r} is for finite MDPs; where states are numbers leave it out")
    if baseline is not None:
        if isinstance(solver, SampledFutures):
            raise ValueError("a plan over a baseline fits what is gained: use solver=bm.planning.FittedQ()")
        return plan_simulated_gain(posterior, mdp, risk, solver, asked.tolerance, baseline)
    if isinstance(solver, SampledFutures):
        if asked.tolerance is not None:
            raise ValueError("a plan by sampled futures has no tolerance: raise the horizon of SampledFutures instead")
        return plan_by_futures(posterior, mdp, risk, solver)
    return plan_simulated(posterior, mdp, risk, solver, asked.tolerance, asked.max_iterations, strict=asked.strict)


PLANNERS: Mapping[str, Callable[..., xr.Dataset]] = {"finite": plan_table, "simulated": _plan_simulated}
"""How problems are planned for, by the kind of their states."""
