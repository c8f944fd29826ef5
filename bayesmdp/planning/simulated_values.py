"""Values of policies on spaces of numbers: under the truth, under each posterior draw, and their quantiles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import finite_array, number, reject_first
from bayesmdp.planning.quantile import Quantile
from bayesmdp.planning.risk import Mean
from bayesmdp.planning.rollouts import Rollouts, SimulatedReturns, count_draws, simulate_returns
from bayesmdp.planning.state_policies import state_policy
from bayesmdp.planning.value_intervals import Statement, risk_of_values
from bayesmdp.problems.labels import label_text
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = [
    "evaluate_simulated",
    "planned_and_fresh",
    "read_unknowns",
    "risk_between",
    "simulated_gain_draws",
    "simulated_quantile_value",
    "simulated_value_draws",
    "spread_over",
]


def read_unknowns(posterior: Any, mdp: SimulatedMDP) -> dict[str, NDArray[np.float64]]:
    """Return the draws of a posterior that a problem's model is simulated with.

    Parameters
    ----------
    posterior : DataTree or Dataset
        With the model's unknowns over (chain, draw), draw or sample.
    mdp : SimulatedMDP

    Returns
    -------
    dict of arrays [draw, ...] by site

    Raises
    ------
    TypeError, ValueError
        If it is none, or of a log whose actions have other positions than the problem's; if an unknown is missing, of
        another shape or not finite: with its name.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> log = bm.collect(lake, steps=50, seed=0)
    >>> values = read_unknowns(bm.infer(lake.model, log, mdp=lake, draws=20), lake)
    >>> {name: array.shape for name, array in values.items()}
    {'direction': (20, 3), 'mobility': (20,), 'reach': (20,)}
    """
    if isinstance(posterior, xr.DataTree):
        if "posterior" not in posterior.children:
            remedy = "; make draws of its parameters with bm.draw" if "parameters" in posterior.children else ""
            groups = ", ".join(posterior.children) or "none"
            raise ValueError(f"the DataTree has no group 'posterior' (its groups: {groups}){remedy}")
        posterior = posterior["posterior"].to_dataset()
    if not isinstance(posterior, xr.Dataset):
        raise TypeError(f"posterior must be an xarray DataTree or Dataset; got {type(posterior).__name__}")
    _check_actions(posterior.attrs.get("actions"), mdp)
    values: dict[str, NDArray[np.float64]] = {}
    for name, shape in mdp.unknowns.items():
        if name not in posterior:
            held = ", ".join(map(str, posterior.data_vars)) or "none"
            raise ValueError(
                f"the posterior has no {name!r}, an unknown of the model of {mdp.name} (its variables: {held}); if it "
                "is of another model, plan in mdp.replace(model=...) with that one"
            )
        variable = posterior[name]
        sample = [dim for dim in ("chain", "draw", "sample") if dim in variable.dims]
        if sample not in (["chain", "draw"], ["draw"], ["sample"]):
            raise ValueError(
                f"{name} has dims {variable.dims}, which do not number draws by (chain, draw), (draw,) or (sample,)"
            )
        array = finite_array(name, variable.transpose(*sample, ...).values)
        array = array.reshape(-1, *array.shape[len(sample) :])
        if array.shape[1:] != shape:
            raise ValueError(f"a draw of {name!r} has shape {array.shape[1:]}; that of the model's is {shape}")
        values[name] = array
    sizes = {name: len(array) for name, array in values.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the unknowns have different numbers of draws: {sizes}")
    return values


def _check_actions(told: Any, mdp: SimulatedMDP) -> None:
    """Refuse draws whose actions have other positions: what was learned of one would be believed of another."""
    if not isinstance(told, str):  # draws of other makers do not say
        return
    theirs, own = json.loads(told), json.loads(label_text(mdp.actions))
    if theirs != own[: len(theirs)]:
        place = next((i for i, (one, other) in enumerate(zip(theirs, own, strict=False)) if one != other), len(own))
        instead = repr(own[place]) if place < len(own) else f"{len(own)} actions"
        raise ValueError(
            f"the posterior is of a log in which action {place} is {theirs[place]!r}, where {mdp.name} has {instead}: "
            "what was learned of one would be believed of another; infer with mdp=, or name the log's actions in the "
            "order of the problem with read_log(actions=[...])"
        )


def planned_and_fresh(
    values: Mapping[str, NDArray[Any]], number_of: int
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Take so many of the draws to plan with, at most half of all, spread evenly, and the others to judge by.

    Of one draw both are that one.

    Parameters
    ----------
    values : mapping of site to array [draw, ...]
    number_of : int

    Returns
    -------
    planned, fresh : dict of arrays by site
    """
    total = count_draws(values)
    with_these = np.zeros(total, bool)
    with_these[np.linspace(0, total - 1, min(number_of, max(1, total // 2))).round().astype(int)] = True
    others = ~with_these if total > 1 else with_these
    planned, fresh = ({name: array[taken] for name, array in values.items()} for taken in (with_these, others))
    return planned, fresh


def spread_over(values: Mapping[str, NDArray[Any]], number_of: int) -> dict[str, NDArray[Any]]:
    """Take so many of the draws, at most, spread evenly over all of them.

    Parameters
    ----------
    values : mapping of site to array [draw, ...]
    number_of : int

    Returns
    -------
    dict of arrays by site
    """
    total = count_draws(values)
    taken = np.linspace(0, total - 1, min(number_of, total)).round().astype(int)
    return {name: array[taken] for name, array in values.items()}


def risk_between(risk: Any, returns: SimulatedReturns, confidence: float) -> Statement:
    """Estimate a risk of the value, with an interval that holds what the horizon leaves out as well.

    Parameters
    ----------
    risk : Mean, Quantile or CVaR
    returns : SimulatedReturns
    confidence : float

    Returns
    -------
    Statement
    """
    low, middle, high = (
        risk_of_values(risk, each, confidence) for each in (returns.lowest, returns.middle, returns.highest)
    )
    return Statement(middle.value, low.lower, high.upper)


def _rollouts(given: Any) -> Rollouts:
    if given is None:
        return Rollouts()
    if not isinstance(given, Rollouts):
        raise TypeError(f"rollouts must be made, as bm.planning.Rollouts(number=1_000) is; got {given!r}")
    return given


def _attrs(mdp: SimulatedMDP, rollouts: Rollouts, returns: SimulatedReturns) -> dict[str, Any]:
    return {
        "confidence": rollouts.confidence,
        "num_draws": len(returns.lowest),
        "rollouts": returns.lowest.shape[1],
        "horizon": returns.horizon,
        "beyond_horizon": float((returns.highest - returns.lowest).mean()),
        "seed": rollouts.seed,
        "mdp": mdp.name,
    }


def evaluate_simulated(
    mdp: SimulatedMDP, policy: Any, *, rollouts: Rollouts | None = None, states: Any = None
) -> xr.DataArray:
    """Simulate the value of a policy under the true unknowns; see :func:`~bayesmdp.evaluate`.

    Parameters
    ----------
    mdp : SimulatedMDP
    policy
        As for `state_policy`.
    rollouts : Rollouts, optional
    states : array [place, coordinate], optional
        Where to start, instead of where the problem does.

    Returns
    -------
    DataArray [] or [place]
        With the coordinates ``lower`` and ``upper``.
    """
    if mdp.truth is None:
        raise ValueError(f"{mdp.name} has no truth: its unknowns are not known; value_draws takes a posterior of them")
    given, acted = _rollouts(rollouts), state_policy(mdp, policy)
    truth = {name: np.asarray(value)[None] for name, value in mdp.truth.items()}
    places = [None] if states is None else list(_places(mdp, states))
    told, returns = [], None
    for place in places:
        returns = simulate_returns(mdp, truth, acted, given, start=place)
        told.append(risk_between(Mean(), returns, given.confidence))
    assert returns is not None
    columns = np.array(told)
    dims: tuple[str, ...] = ("place",)
    if states is None:
        columns, dims = columns[0], ()
    coords: dict[str, Any] = {"lower": (dims, columns[..., 1]), "upper": (dims, columns[..., 2])}
    return xr.DataArray(columns[..., 0], coords, dims, "value", _attrs(mdp, given, returns))


def _places(mdp: SimulatedMDP, states: Any) -> NDArray[np.float64]:
    given = np.asarray(states, float)
    if given.ndim != 2 or given.shape[1] != mdp.problem.start.size or not len(given):
        raise ValueError(
            f"states have shape {given.shape}; expected [place, coordinate], some with {mdp.problem.start.size} "
            "coordinates"
        )
    reject_first("states", ~np.isfinite(given), given, "is not finite")
    return given


def simulated_value_draws(
    posterior: xr.DataTree | xr.Dataset, mdp: SimulatedMDP, policy: Any, *, rollouts: Rollouts | None = None
) -> xr.DataArray:
    """Simulate the value of a policy at the start under each of some draws; see :func:`~bayesmdp.value_draws`.

    Parameters
    ----------
    posterior : DataTree or Dataset
    mdp : SimulatedMDP
    policy
        As for `state_policy`.
    rollouts : Rollouts, optional

    Returns
    -------
    DataArray [draw]
        With the coordinate ``error``, the standard error of each.
    """
    given = _rollouts(rollouts)
    returns = _under_draws(posterior, mdp, policy, given)
    return _by_draw("value", returns.middle, _attrs(mdp, given, returns))


def simulated_gain_draws(
    posterior: xr.DataTree | xr.Dataset,
    mdp: SimulatedMDP,
    policy: Any,
    baseline: Any,
    *,
    rollouts: Rollouts | None = None,
) -> xr.DataArray:
    """Simulate what a policy gains over another at the start under some draws; see :func:`~bayesmdp.gain_draws`.

    Parameters
    ----------
    posterior : DataTree or Dataset
    mdp : SimulatedMDP
    policy, baseline
        As for `state_policy`.
    rollouts : Rollouts, optional

    Returns
    -------
    DataArray [draw]
        With the coordinate ``error``, the standard error of each.
    """
    given = _rollouts(rollouts)
    one, other = (_under_draws(posterior, mdp, each, given) for each in (policy, baseline))
    return _by_draw("gain", one.middle - other.middle, _attrs(mdp, given, one))


def _by_draw(name: str, returns: NDArray[np.float64], attrs: dict[str, Any]) -> xr.DataArray:
    """Means of returns [draw, rollout], with their standard errors."""
    error = returns.std(1, ddof=1) / returns.shape[1] ** 0.5
    coords = {"draw": np.arange(len(returns)), "error": ("draw", error)}
    return xr.DataArray(returns.mean(1), coords, ("draw",), name, attrs)


def _under_draws(posterior: Any, mdp: SimulatedMDP, policy: Any, rollouts: Rollouts) -> SimulatedReturns:
    values = spread_over(read_unknowns(posterior, mdp), rollouts.max_draws)
    return simulate_returns(mdp, values, state_policy(mdp, policy), rollouts)


def simulated_quantile_value(
    posterior: xr.DataTree | xr.Dataset,
    mdp: SimulatedMDP,
    policy: Any,
    level: float,
    confidence: float,
    *,
    rollouts: Rollouts | None = None,
) -> xr.Dataset:
    """Estimate the posterior quantile of a policy's value at the start; see :func:`~bayesmdp.quantile_value`.

    Parameters
    ----------
    posterior : DataTree or Dataset
    mdp : SimulatedMDP
    policy
        As for `state_policy`.
    level, confidence : float in (0, 1)
        The confidence goes before that of `rollouts`.
    rollouts : Rollouts, optional

    Returns
    -------
    Dataset
        ``initial``, ``initial_lower``, ``initial_upper``.
    """
    given = _rollouts(rollouts)
    confidence = number("confidence", confidence, above=0, below=1)
    returns = _under_draws(posterior, mdp, policy, given)
    told = risk_between(Quantile(level), returns, confidence)
    names = ("initial", "initial_lower", "initial_upper")
    attrs = {**_attrs(mdp, given, returns), "level": level, "confidence": confidence}
    return xr.Dataset({name: ((), each) for name, each in zip(names, told, strict=True)}, attrs=attrs)
