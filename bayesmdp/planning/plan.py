"""From a posterior to a plan: the door between labelled draws and the compiled solvers.

A posterior is a `DataTree` with a group ``posterior`` or a `Dataset`, by whomever it was made, with a variable
``transition`` over the draws (``chain`` and ``draw``, ``draw``, or ``sample``) and ``state``, ``action`` and
``next_state`` (``outcome`` for an MDP with a successor table), and optionally ``reward`` over any of these. All is
checked on the host, in :mod:`~bayesmdp.planning.posterior_draws`, and computed in 64 bit whatever JAX's setting.

What a plan promises. Under the quantile at levels alpha the value V of a plan is a promise about each row by itself.
If rows are independent a posteriori, with probability ``prod_s (1 - alpha(s, pi(s)))`` all rows of the policy pi keep
theirs at once, and then its true value is at least V in every state. So V(s) is at most the posterior quantile of the
policy's value in s at the *guarantee level*::

    1 - prod_s (1 - alpha(s, pi(s))),    s over states that are not terminal and whose row is not known

(Song, Wang and Zhou, 2026, Proposition 1, with levels by state as is ours). Rows that depend on each other leave the
union bound, ``min(1, sum_s alpha(s, pi(s)))``. At level 1 nothing is promised, which for many states is the rule:
``bm.quantile_value`` estimates what the policy is worth. Nothing is promised either where the policy's rows lump what
was not seen as worth its mean: the level then leaves out how uncertain the shares of what is lumped are. Independence
is known where the posterior has parameters of ``transition`` itself. The promise holds for exact quantiles; for those
of draws up to Monte Carlo error, and for CVaR since it is at most the quantile.

A plan for the next H steps is backward induction, and makes a promise of a row once for each stage at which the policy
takes it, with another value of the next states. These fail with probability at most the sum of their levels, whatever
they have to do with each other, so of the stages' policies pi_h the guarantee level is, which is ours::

    1 - prod_(s, a) (1 - min(1, n(s, a) alpha(s, a))),    n(s, a) the number of stages h with pi_h(s) = a.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning.average_reward import GainPlan, average_policy_iteration, bias_bound, relative_value_iteration
from bayesmdp.planning.dirichlet_quantile import DirichletQuantile
from bayesmdp.planning.finite_horizon import backward_induction, horizon_plan
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.over_baseline import plan_over_baseline
from bayesmdp.planning.policy_values import DENSE_LIMIT
from bayesmdp.planning.posterior_draws import read_concentration, read_dataset, read_draws
from bayesmdp.planning.quantile import OrderRisk, Quantile
from bayesmdp.planning.risk import Mean, Risk, offered
from bayesmdp.planning.sampled_futures import SampledFutures, plan_by_futures
from bayesmdp.planning.simulated_gain import plan_simulated_gain
from bayesmdp.planning.simulated_plan import FittedQ, plan_simulated
from bayesmdp.planning.solvers import Plan, policy_iteration, value_iteration
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["plan", "solve_draws"]

SOLVERS = {"policy_iteration": policy_iteration, "value_iteration": value_iteration}
AVERAGE_SOLVERS = {"policy_iteration": average_policy_iteration, "value_iteration": relative_value_iteration}


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
    asked = _Asked(quantile, solver, tolerance, integer("max_iterations", max_iterations, 1), strict)
    return planner(posterior, mdp, Mean() if risk is None else risk, asked, baseline, deterministic=deterministic)


class _Asked(NamedTuple):
    """How `plan` is asked to solve."""

    quantile: str
    solver: Any
    tolerance: float | None
    max_iterations: int
    strict: bool


def _plan_simulated(
    posterior: xr.DataTree | xr.Dataset,
    mdp: SimulatedMDP,
    risk: Risk,
    asked: _Asked,
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


def _plan_table(
    posterior: xr.DataTree | xr.Dataset, mdp: MDP, risk: Risk, asked: _Asked, baseline: Any, *, deterministic: bool
) -> xr.Dataset:
    """A plan over the states of a finite MDP, perhaps for the gain over a baseline."""
    _check_risk(risk, mdp)
    quantile, solver = asked.quantile, "policy_iteration" if asked.solver is None else asked.solver
    for name, given, known in (("solver", solver, SOLVERS), ("quantile", quantile, ("draws", "exact"))):
        if not isinstance(given, str) or given not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {given!r}")
    if baseline is not None:
        if quantile != "draws":
            raise ValueError("the gain over a baseline has no exact quantile: use quantile='draws'")
        told = policy_probabilities(mdp, baseline)
        draws = read_draws(read_dataset(posterior), mdp)
        return plan_over_baseline(draws, mdp, risk, told, deterministic=deterministic)
    if deterministic:
        raise ValueError("plans without a baseline are deterministic: deterministic=True is for plans with one")
    tolerance = 1e-10 if asked.tolerance is None else asked.tolerance
    return _plan_finite(posterior, mdp, risk, quantile, solver, tolerance, asked.max_iterations, asked.strict)


def _plan_finite(
    posterior: xr.DataTree | xr.Dataset,
    mdp: MDP,
    risk: Risk,
    quantile: str,
    solver: str,
    tolerance: float,
    max_iterations: int,
    strict: bool,
) -> xr.Dataset:
    """A plan over the states of a finite MDP; the arguments are those of `plan`, checked."""
    if mdp.objective == "average":
        if not isinstance(risk, Mean) or quantile == "exact":
            raise ValueError(
                f"the risk of an average reward is not defined here; {mdp.name} needs a discount or a horizon: "
                "mdp.replace(discount=0.99), mdp.replace(horizon=30)"
            )
        draws = read_draws(read_dataset(posterior), mdp)
        return _plan_average(draws, mdp, solver, tolerance, max_iterations, strict=strict)
    concentration = read_concentration(posterior, mdp)
    if quantile == "exact" or isinstance(risk, DirichletQuantile):
        risk, draws = _exact(risk, posterior, concentration, mdp)
    else:
        draws = read_draws(read_dataset(posterior), mdp)
    with jax.enable_x64(True):
        solved = solve_draws(mdp.problem, draws, risk, tolerance, max_iterations, solver=solver, horizon=mdp.horizon)
        solved = jax.device_get(solved)
    if strict and not solved.converged:
        raise RuntimeError(
            f"{solver} did not converge: after {solved.iterations} iterations the value is known within "
            f"{solved.bound:.3g}, not {tolerance:.3g}; raise max_iterations or tolerance, or pass strict=False"
        )
    exact = isinstance(risk, DirichletQuantile)
    used = solver if mdp.horizon is None else "backward_induction"
    attrs = {"risk": str(risk), "solver": used, "num_draws": 0 if exact else len(draws.transition)}
    if isinstance(risk, OrderRisk | DirichletQuantile):
        attrs["guarantee_level"] = _guarantee_level(risk.level, solved.policy, draws, concentration, mdp)
    return _labelled(solved, mdp).assign_attrs(attrs, tolerance=tolerance, ties=_ties(solved, mdp))


PLANNERS: Mapping[str, Callable[..., xr.Dataset]] = {"finite": _plan_table, "simulated": _plan_simulated}
"""How problems are planned for, by the kind of their states."""


@partial(jax.jit, static_argnames=("solver", "horizon"))
def solve_draws(
    problem: Problem,
    draws: Draws,
    risk: Risk,
    tolerance: float,
    max_iterations: int,
    *,
    solver: str,
    horizon: int | None = None,
) -> Plan:
    """Solve on arrays, by one of `SOLVERS` or over the steps of a horizon: what `plan` compiles."""
    if problem.stage is not None:
        return backward_induction(problem, draws, risk)
    if horizon is not None:
        return horizon_plan(problem, draws, risk, horizon)
    return SOLVERS[solver](problem, draws, risk, tolerance=tolerance, max_iterations=max_iterations)


def _plan_average(
    draws: Draws, mdp: MDP, solver: str, tolerance: float, max_iterations: int, *, strict: bool
) -> xr.Dataset:
    with jax.enable_x64(True):
        solved, value_bound = _solve_average(mdp.problem, draws, tolerance, max_iterations, solver=solver)
        solved = jax.device_get(solved)
    if strict and not solved.converged:
        raise RuntimeError(
            f"{solver} did not converge: after {solved.iterations} iterations the largest average reward is between "
            f"{solved.lower:.10g} and {solved.upper:.10g}, and may depend on the start if the MDP is not weakly "
            "communicating; raise max_iterations or tolerance, or pass strict=False"
        )
    return (
        _tables(solved, mdp)
        .assign(gain=float(solved.gain))
        .assign_attrs(
            lower=float(solved.lower),
            upper=float(solved.upper),
            bound=float(solved.bound),
            value_bound=float(value_bound),
            span=float(solved.span),
            iterations=int(solved.iterations),
            converged=int(solved.converged),
            mdp=mdp.name,
            risk="mean",
            solver=solver,
            num_draws=len(draws.transition),
            tolerance=tolerance,
        )
    )


@partial(jax.jit, static_argnames="solver")
def _solve_average(
    problem: Problem, draws: Draws, tolerance: float, max_iterations: int, *, solver: str
) -> tuple[GainPlan, Array]:
    solved = AVERAGE_SOLVERS[solver](problem, draws, tolerance=tolerance, max_iterations=max_iterations)
    dense = problem.num_states <= DENSE_LIMIT
    return solved, bias_bound(problem, draws, solved) if dense else jnp.nan


def _check_risk(risk: Any, mdp: MDP) -> Risk:
    """Refuse what is no risk measure, and one whose numbers are not of the MDP's pairs."""
    if isinstance(risk, type) or not isinstance(risk, Risk):
        what = f"the class {risk.__name__}; make one, as in Quantile(0.1)" if isinstance(risk, type) else repr(risk)
        raise TypeError(f"risk must be a risk measure such as Mean() or Quantile(0.1); got {what}")
    shape = mdp.num_states, mdp.num_actions
    for name, number_of in (("level", offered(risk).level), ("num_draws", offered(risk).num_draws)):
        shape_of = () if number_of is None else np.shape(number_of)
        if shape_of not in ((), shape):
            kind = type(risk).__name__
            raise ValueError(f"the {kind}'s {name} has shape {shape_of}; expected one number or {shape}")
    return risk


def _exact(
    risk: Risk, posterior: Any, concentration: NDArray[np.float64] | None, mdp: MDP
) -> tuple[DirichletQuantile, Draws]:
    """The measure that needs no draws, and the concentrations in their place."""
    remedy = "use quantile='draws'"
    if isinstance(risk, Quantile):
        if risk.num_draws is not None:
            raise ValueError("an exact quantile uses no draws: leave num_draws out")
        risk = DirichletQuantile(risk.level)
    if not isinstance(risk, DirichletQuantile):
        raise ValueError(f"only quantiles are known exactly, not {risk}: pass a Quantile, or {remedy}")
    if concentration is None:
        raise ValueError(
            "an exact quantile needs a DataTree with a variable 'transition' in the group 'parameters', which infer "
            f"leaves where the rows themselves are Dirichlet; {remedy}"
        )
    groups = [posterior[name] for name in ("parameters", "posterior") if name in posterior.children]
    if any("reward" in group.data_vars for group in groups):
        raise ValueError(f"an exact quantile needs a known reward, and that of this posterior is not; {remedy}")
    return risk, Draws(concentration[None], mdp.reward)


def _guarantee_level(
    level: Any, policy: NDArray[np.int32], draws: Draws, concentration: NDArray[np.float64] | None, mdp: MDP
) -> float:
    """Return the probability with which a promise of a policy [(stage,) state] may fail, as the module says."""
    times = np.zeros((mdp.num_states, mdp.num_actions), int)
    np.add.at(times, (np.arange(mdp.num_states), policy), 1)
    times[mdp.terminal] = 0
    pairs = np.nonzero(times)
    if concentration is not None:
        unknown = (concentration[pairs] > 0).sum(-1) > 1
    else:
        unknown = _varies(draws.transition, pairs)
        if len(draws.transition) == 1:  # which cannot show what varies
            unknown = ((draws.transition[0][pairs] > 0).sum(-1)) > 1
    lumped = mdp.successor is not None and mdp.elsewhere == "mean" and bool((mdp.successor[pairs] < 0).any())
    if lumped:
        return 1.0
    drawn = np.ndim(draws.reward) == 4
    if drawn:
        unknown |= _varies(draws.reward, pairs)
    alpha = np.minimum(1, times * np.broadcast_to(level, times.shape))[pairs][unknown]
    if concentration is None or drawn:
        return float(min(1, alpha.sum()))
    with np.errstate(divide="ignore"):
        return float(-np.expm1(np.log1p(-alpha).sum()) + 0.0)  # + 0.0: no negative zero


def _varies(draws: NDArray[np.float64], pairs: tuple[NDArray[np.int64], ...]) -> NDArray[np.bool_]:
    """Which rows [pair] are not the same in all draws, a draw at a time."""
    first, varies = draws[0][pairs], np.zeros(len(pairs[0]), bool)
    for draw in draws[1:]:
        varies |= (draw[pairs] != first).any(-1)
    return varies


def _ties(solved: Plan, mdp: MDP) -> int:
    """States (at each stage) whose best two available actions are as good as each other, for all that is known."""
    if mdp.num_actions == 1:
        return 0
    ordered = np.sort(np.where(mdp.available, solved.q, -np.inf), axis=-1)
    second, best = ordered[..., -2], ordered[..., -1]
    return int(((best - second <= 2 * solved.bound) & ~mdp.terminal).sum())


# Kept for modules that read a posterior as `plan` does.
_dataset, _draws = read_dataset, read_draws


def _tables(solved: Plan | GainPlan, mdp: MDP) -> xr.Dataset:
    coords, actions = mdp.state_coords, label_array(mdp.actions)
    dims = tuple(coords)
    return xr.Dataset(
        {
            "value": (dims, solved.value),
            "q": ((*dims, "action"), np.where(mdp.available, solved.q, np.nan)),
            "policy": (dims, actions[solved.policy]),
        },
        coords={**coords, "action": actions},
    )


def _labelled(solved: Plan, mdp: MDP) -> xr.Dataset:
    return _tables(solved, mdp).assign_attrs(
        {
            "residual": float(solved.residual),
            "bound": float(solved.bound),
            "iterations": int(solved.iterations),
            # A netCDF attribute cannot be a boolean.
            "converged": int(solved.converged),
            **{name: told for name in ("discount", "horizon") if (told := getattr(mdp, name)) is not None},
            "mdp": mdp.name,
        }
    )
