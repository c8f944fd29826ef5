"""From a posterior to a plan: the door between labelled draws and the compiled solvers.

A posterior is a `DataTree` with a group ``posterior`` or a `Dataset`, by whomever it was made, with a variable
``transition`` over the draws (``chain`` and ``draw``, ``draw``, or ``sample``) and ``state``, ``action`` and
``next_state`` (``outcome`` for an MDP with a successor table), and optionally ``reward`` over any of these. All is
checked here, on the host, and computed in 64 bit whatever JAX's setting.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.mdp import MDP, Problem, label_array
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.risk import Mean, Quantile, Risk
from bayesmdp.planning.solvers import Plan, policy_iteration, value_iteration
from bayesmdp.validation import finite_array, integer, reject_first

__all__ = ["plan"]

SOLVERS = {"policy_iteration": policy_iteration, "value_iteration": value_iteration}

ROW_TOLERANCE = 1e-6
"""How far from 1 a drawn row may sum: draws made in 32 bit are welcome, and are normalised."""


def plan(
    posterior: xr.DataTree | xr.Dataset,
    mdp: MDP,
    risk: Risk | None = None,
    *,
    solver: Literal["policy_iteration", "value_iteration"] = "policy_iteration",
    tolerance: float = 1e-10,
    max_iterations: int = 1_000_000,
    strict: bool = True,
) -> xr.Dataset:
    """The best policy for a risk measure of the posterior, with a bound on the error of its value.

    Parameters
    ----------
    posterior : DataTree or Dataset
        ``transition`` [(chain,) draw, state, action, next_state], the dims in any order, and optionally ``reward``.
    mdp : MDP
        Labels, discount, terminal states, available actions; the reward too, where the posterior has none.
    risk : Risk, default `Mean()`
        Such as ``bm.Quantile(0.1)``.
    solver : {"policy_iteration", "value_iteration"}
    tolerance : float
        On the bound, in the units of the value; see :mod:`bayesmdp.planning.solvers` for what limits it.
    max_iterations : int
        Applications of the operator.
    strict : bool
        Whether to raise if the solver did not converge; otherwise see the attr ``converged``.

    Returns
    -------
    Dataset
        ``value`` [state], ``q`` [state, action] (NaN where an action is not available) and ``policy`` [state], the best
        action's label; attrs ``bound`` (at least the error of `value`), ``residual``, ``iterations``, ``converged`` (0
        or 1), ``risk``, ``solver``, ``num_draws``, ``tolerance``, ``discount``, ``mdp``.

    Raises
    ------
    TypeError
        For a posterior, MDP or risk measure that is none.
    ValueError
        For draws that do not fit the MDP or are no distributions, naming the entry; for options out of range.
    RuntimeError
        If the solver did not converge and `strict`.

    See Also
    --------
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
    """
    if not isinstance(mdp, MDP):
        raise TypeError(f"mdp must be a bayesmdp.MDP; got {type(mdp).__name__}")
    risk = Mean() if risk is None else _check_risk(risk, mdp)
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}; got {solver!r}")
    tolerance = _check_tolerance(tolerance)
    max_iterations = integer("max_iterations", max_iterations, 1)
    draws = _draws(_dataset(posterior), mdp)
    with jax.enable_x64(True):
        solved = _solve(mdp.problem, draws, risk, tolerance, max_iterations, solver=solver)
        solved = jax.device_get(solved)
    if strict and not solved.converged:
        raise RuntimeError(
            f"{solver} did not converge: after {solved.iterations} iterations the value is known within "
            f"{solved.bound:.3g}, not {tolerance:.3g}; raise max_iterations or tolerance, or pass strict=False"
        )
    return _labelled(solved, mdp).assign_attrs(
        risk=str(risk), solver=solver, num_draws=len(draws.transition), tolerance=tolerance
    )


@partial(jax.jit, static_argnames="solver")
def _solve(problem: Problem, draws: Draws, risk: Risk, tolerance: float, max_iterations: int, *, solver: str) -> Plan:
    return SOLVERS[solver](problem, draws, risk, tolerance=tolerance, max_iterations=max_iterations)


def _check_tolerance(tolerance: Any) -> float:
    number = isinstance(tolerance, int | float | np.number) and not isinstance(tolerance, bool)
    if not (number and 0 <= tolerance < np.inf):
        raise ValueError(f"tolerance must be a finite number of at least 0; got {tolerance!r}")
    return float(tolerance)


def _check_risk(risk: Any, mdp: MDP) -> Risk:
    if isinstance(risk, type) or not isinstance(risk, Risk):
        what = f"the class {risk.__name__}; make one, as in Quantile(0.1)" if isinstance(risk, type) else repr(risk)
        raise TypeError(f"risk must be a risk measure such as Mean() or Quantile(0.1); got {what}")
    if isinstance(risk, Quantile):
        shape = mdp.num_states, mdp.num_actions
        for name in ("level", "num_draws"):
            given = np.shape(getattr(risk, name))
            if given not in ((), shape):
                raise ValueError(f"the quantile's {name} has shape {given}; expected one number or {shape}")
    return risk


def _dataset(posterior: Any) -> xr.Dataset:
    if isinstance(posterior, xr.DataTree):
        if "posterior" in posterior.children:
            posterior = posterior["posterior"]
        elif not posterior.data_vars:
            groups = ", ".join(posterior.children) or "none"
            raise ValueError(
                f"the DataTree has no group 'posterior' (its groups: {groups}); pass the group to plan with"
            )
        posterior = posterior.to_dataset()
    if not isinstance(posterior, xr.Dataset):
        raise TypeError(
            "posterior must be an xarray DataTree or Dataset with a variable 'transition'; "
            f"got {type(posterior).__name__}"
        )
    if "transition" not in posterior:
        names = ", ".join(map(str, posterior.data_vars)) or "none"
        raise ValueError(
            f"the posterior has no variable 'transition' (its variables: {names}); name the model's site 'transition'"
        )
    return posterior


def _draws(posterior: xr.Dataset, mdp: MDP) -> Draws:
    """The arrays of a posterior, as float64 with one leading axis of draws, checked."""
    outcome = "next_state" if mdp.successor is None else "outcome"
    sizes = {"state": mdp.num_states, "action": mdp.num_actions, outcome: mdp.num_outcomes}
    transition = posterior["transition"]
    sample = _sample_dims(transition, sizes)
    labels = {"state": mdp.states, "action": mdp.actions, "next_state": mdp.states}
    _check_dims(transition, sizes, labels)
    if transition.dtype.kind not in "fiu":
        raise TypeError(f"transition must hold probabilities; got dtype {transition.dtype}")
    array = np.array(transition.transpose(*sample, *sizes).values, np.float64)
    live = mdp.available & ~mdp.terminal[:, None]
    # Rows that are never taken may hold anything, so they are neither checked nor kept.
    array[..., ~live, :] = 0
    order = f"indices are {', '.join(map(str, (*sample, *sizes)))}"
    rows = f"each row must sum to 1; indices are {', '.join(map(str, (*sample, 'state', 'action')))}"
    reject_first("transition", ~np.isfinite(array), array, "is not finite", remedy=order)
    reject_first("transition", array < 0, array, "is negative", remedy=order)
    total = array.sum(-1)
    wrong = live & (np.abs(total - 1) > ROW_TOLERANCE)
    reject_first("transition", wrong, total, "", verb="sums to", remedy=rows)
    array /= np.where(live, total, 1)[..., None]
    reward = mdp.reward
    if "reward" in posterior:
        reward = _reward(posterior["reward"], transition, sample, sizes, labels)
    return Draws(array.reshape(-1, *sizes.values()), reward)


def _sample_dims(variable: xr.DataArray, sizes: dict[str, int]) -> tuple[Hashable, ...]:
    """The dims of `variable` that number its draws."""
    expected = ", ".join(sizes)
    missing = [name for name in sizes if name not in variable.dims]
    if missing:
        hint = ""
        if missing == ["outcome"] and "next_state" in variable.dims:
            hint = "; the MDP has a successor table, so the last dim is 'outcome'"
        elif missing == ["next_state"] and "outcome" in variable.dims:
            hint = "; the MDP has no successor table, so the last dim is 'next_state'"
        raise ValueError(
            f"transition has dims {variable.dims} and lacks {', '.join(map(repr, missing))}; "
            f"expected (chain, draw, {expected}) in any order{hint or '; rename with posterior.rename'}"
        )
    sample = tuple(name for name in ("chain", "draw", "sample") if name in variable.dims)
    if sample not in (("chain", "draw"), ("draw",), ("sample",)):
        raise ValueError(
            f"transition has dims {variable.dims}, which do not number draws by (chain, draw), (draw,) or (sample,); "
            "for a single kernel use posterior.expand_dims('draw')"
        )
    extra = [name for name in variable.dims if name not in sizes and name not in sample]
    if extra:
        raise ValueError(
            f"transition has the unexpected dims {extra}; expected {(*sample, *sizes)}: select or stack them"
        )
    if 0 in variable.shape:
        raise ValueError(f"transition is empty: its sizes are {dict(variable.sizes)}")
    return sample


def _check_dims(variable: xr.DataArray, sizes: dict[str, int], labels: dict[str, tuple[Hashable, ...]]) -> None:
    """Refuse sizes and labels that are not the MDP's."""
    name = variable.name
    for dim, size in sizes.items():
        if dim not in variable.dims:
            continue
        if variable.sizes[dim] != size:
            raise ValueError(f"{name} has {variable.sizes[dim]} entries along {dim!r}; the MDP has {size}")
        if dim not in variable.coords or dim not in labels:
            continue
        given, expected = variable[dim].values.tolist(), list(labels[dim])
        unlabelled = given == list(range(size)) and not any(isinstance(label, int) for label in expected)
        if given != expected and not unlabelled:
            at = next(i for i, pair in enumerate(zip(given, expected, strict=True)) if pair[0] != pair[1])
            remedy = f"reorder with posterior.reindex({dim}=mdp.{dim.removeprefix('next_')}s)"
            if set(given) != set(expected):
                remedy = "was the posterior made for another MDP?"
            raise ValueError(
                f"{name} has the label {given[at]!r} at {dim}[{at}] where the MDP has {expected[at]!r}; {remedy}"
            )


def _reward(
    variable: xr.DataArray,
    transition: xr.DataArray,
    sample: Sequence[Hashable],
    sizes: dict[str, int],
    labels: dict[str, tuple[Hashable, ...]],
) -> NDArray[np.float64]:
    """Drawn rewards as [draw or absent, state, action, outcome or 1]."""
    known = (*sample, *sizes)
    extra = [dim for dim in variable.dims if dim not in known]
    if extra:
        raise ValueError(f"reward has the unexpected dims {extra}; expected some of {known}")
    drawn = [dim for dim in sample if dim in variable.dims]
    if drawn and drawn != list(sample):
        raise ValueError(f"reward has dims {variable.dims} but transition numbers its draws by {tuple(sample)}")
    for dim in drawn:
        if variable.sizes[dim] != transition.sizes[dim]:
            raise ValueError(
                f"reward has {variable.sizes[dim]} entries along {dim!r} and transition {transition.sizes[dim]}; "
                "both must come from the same draws"
            )
    _check_dims(variable, sizes, labels)
    last = list(sizes)[-1]
    full = variable.expand_dims([dim for dim in sizes if dim not in variable.dims]).transpose(*drawn, *sizes)
    array = finite_array("reward", full.values)
    shape = (sizes["state"], sizes["action"], sizes[last] if last in variable.dims else 1)
    array = np.broadcast_to(array, array.shape[: len(drawn)] + shape)
    return array.reshape(-1, *shape) if drawn else array


def _labelled(solved: Plan, mdp: MDP) -> xr.Dataset:
    states, actions = label_array(mdp.states), label_array(mdp.actions)
    return xr.Dataset(
        {
            "value": ("state", solved.value),
            "q": (("state", "action"), np.where(mdp.available, solved.q, np.nan)),
            "policy": ("state", actions[solved.policy]),
        },
        coords={"state": states, "action": actions},
        attrs={
            "residual": float(solved.residual),
            "bound": float(solved.bound),
            "iterations": int(solved.iterations),
            # A netCDF attribute cannot be a boolean.
            "converged": int(solved.converged),
            "discount": mdp.discount,
            "mdp": mdp.name,
        },
    )
