"""Plans over the states of a finite MDP: a posterior's labelled draws go to the compiled solvers, a table comes back.

Everything is checked on the host and computed in 64 bit whatever JAX's setting.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.average_reward import GainPlan, average_policy_iteration, bias_bound, relative_value_iteration
from bayesmdp.planning.dirichlet_quantile import DirichletQuantile
from bayesmdp.planning.finite_horizon import backward_induction, horizon_plan
from bayesmdp.planning.guarantee import guarantee_level
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.over_baseline import plan_over_baseline
from bayesmdp.planning.policy_values import DENSE_LIMIT
from bayesmdp.planning.posterior_draws import read_concentration, read_dataset, read_draws
from bayesmdp.planning.quantile import OrderRisk, Quantile
from bayesmdp.planning.risk import Mean, Risk, offered
from bayesmdp.planning.solvers import Plan, policy_iteration, value_iteration
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities
from bayesmdp.problems.problem import Problem

__all__ = ["Asked", "plan_table", "solve_draws"]

SOLVERS = {"policy_iteration": policy_iteration, "value_iteration": value_iteration}
AVERAGE_SOLVERS = {"policy_iteration": average_policy_iteration, "value_iteration": relative_value_iteration}


class Asked(NamedTuple):
    """How `plan` is asked to solve."""

    quantile: str
    solver: Any
    tolerance: float | None
    max_iterations: int
    strict: bool


def plan_table(
    posterior: xr.DataTree | xr.Dataset, mdp: MDP, risk: Risk, asked: Asked, baseline: Any, *, deterministic: bool
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
        attrs["guarantee_level"] = guarantee_level(risk.level, solved.policy, draws, concentration, mdp)
    return _labelled(solved, mdp).assign_attrs(attrs, tolerance=tolerance, ties=_ties(solved, mdp))


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


def _ties(solved: Plan, mdp: MDP) -> int:
    """States (at each stage) whose best two available actions are as good as each other, for all that is known."""
    if mdp.num_actions == 1:
        return 0
    ordered = np.sort(np.where(mdp.available, solved.q, -np.inf), axis=-1)
    second, best = ordered[..., -2], ordered[..., -1]
    return int(((best - second <= 2 * solved.bound) & ~mdp.terminal).sum())


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
