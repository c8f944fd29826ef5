"""Rival priors compared by how well they predict a log."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import logsumexp
from tqdm.auto import tqdm

from bayesmdp.logs.covariates import covariates_of
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.model_reading.read_model import Data, Impossible, Model, read
from bayesmdp.model_reading.records import Records, check_records
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.beliefs.make_belief import ByParticles
from bayesmdp.posterior.closed_forms.transitions import NotConjugate
from bayesmdp.posterior.inference.draw_densities import densities_of_rows, set_apart
from bayesmdp.posterior.inference.infer import infer
from bayesmdp.posterior.inference.transitions import log_rows
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["compare_priors"]
if TYPE_CHECKING:
    import pandas as pd


def compare_priors(
    log: xr.Dataset | Transitions | Records,
    priors: Mapping[str, Model],
    *,
    mdp: MDP | SimulatedMDP | None = None,
    progress: bool | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Rival priors on one log: evidence, and how well each step is predicted from the others.

    Parameters
    ----------
    log : Dataset over ``step``, Transitions or Records
    priors : mapping of name to NumPyro model
    progress : bool, optional
        Whether bars on standard error show which prior is at work; by default in terminals and notebooks.
    mdp, **options
        As for :func:`~bayesmdp.infer`; where a prior has no closed form, ``method="smc"`` by default, which has an
        evidence.

    Returns
    -------
    DataFrame
        By prior, the most probable first; where the log is impossible the evidence is minus infinity. ``engine``;
        ``log_evidence`` and its standard error ``log_evidence_sd``; ``probability`` if all were as probable beforehand;
        ``elpd_loo``, the expected log predictive density, its standard error ``se`` and ``p_loo``, the effective number
        of parameters; ``worst_k``, the largest Pareto k, to be trusted below .7; ``worse_by`` and ``worse_by_se``, the
        difference to the best elpd, step by step.

    Raises
    ------
    ValueError
        If the log is impossible under all of them, or only some say anything of rewards; where states are numbers, if
        they observe different columns.

    See Also
    --------
    bayesmdp.prior_from_log : priors that ship, compared and averaged.
    bayesmdp.surprises : does one prior fit at all?

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, steps=200, seed=0)
    >>> table = compare_priors(
    ...     log, {"rows": bm.models.dirichlet_transitions(river), "current": bm.models.river_current(river)}, mdp=river
    ... )
    >>> table.index[0], bool(table["probability"].iloc[0] > 0.99)
    ('current', True)
    """
    import pandas as pd

    if not isinstance(priors, Mapping) or not priors:
        raise TypeError(f"priors must be a mapping of names to models; got {type(priors).__name__}")
    on_numbers = isinstance(log, Records) or (isinstance(log, xr.Dataset) and "coordinate" in log.dims)
    rows_of = (_observed_rows if on_numbers else _transition_rows)(log, priors, mdp)
    rows: dict[str, dict[str, Any]] = {}
    each: dict[str, NDArray[np.float64]] = {}
    counted: dict[str, NDArray[np.float64]] = {}
    impossible: Impossible | None = None
    console = Console(stderr=True)
    shown = console.is_terminal or console.is_jupyter if progress is None else progress
    bar = tqdm(priors.items(), leave=False, disable=not shown)
    for name, model in bar:
        bar.set_description(str(name))
        try:
            posterior = _with_evidence(model, log, mdp=mdp, progress=shown, **options)
        except Impossible as error:
            rows[name] = {"engine": "none", "log_evidence": -np.inf, "log_evidence_sd": 0.0, "elpd_loo": -np.inf}
            impossible = error
            continue
        data = rows_of(name)
        each[name], told = _leave_one_out(model, posterior, data)
        counted[name] = data.weight
        rows[name] = {
            "engine": posterior.attrs["engine"],
            "log_evidence": posterior.attrs.get("log_evidence", np.nan),
            "log_evidence_sd": posterior.attrs.get("log_evidence_sd", np.nan),
            **told,
        }
    if not each:
        assert impossible is not None
        raise impossible
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("prior")
    odds = np.exp(table["log_evidence"] - table["log_evidence"].max())
    table.insert(3, "probability", odds / odds.sum())
    best = max(rows, key=lambda name: rows[name]["elpd_loo"])
    table["worse_by"] = rows[best]["elpd_loo"] - table["elpd_loo"]
    # Step by step, where both models tell the same steps apart.
    table["worse_by_se"] = [
        _error(each[best] - each[name], counted[best])
        if name in each and np.array_equal(counted[name], counted[best])
        else np.nan
        for name in rows
    ]
    return table.sort_values("log_evidence" if table["log_evidence"].notna().all() else "elpd_loo", ascending=False)


def _transition_rows(log: Any, priors: Mapping[str, Model], mdp: Any) -> Callable[[str], Data]:
    """How the rows of each prior are read, of a log of a finite MDP."""
    known = covariates_of(log) if isinstance(log, xr.Dataset) else getattr(log, "covariates", None)
    outcome = "next_state" if mdp is None else mdp.outcome_dim
    readings = {name: read(model, outcome, known) for name, model in priors.items()}
    looks = {name: reading.rewarded for name, reading in readings.items()}
    if len(set(looks.values())) > 1:
        blind = next(name for name, does in looks.items() if not does)
        raise ValueError(
            f"priors[{blind!r}] says nothing of rewards, and others do, so that they are about other data: wrap it "
            "too, such as with normal_rewards"
        )
    return lambda name: log_rows(readings[name], log, mdp)[0]


def _observed_rows(log: Any, priors: Mapping[str, Model], mdp: Any) -> Callable[[str], Data]:
    """How the rows of each prior are read, of a log whose states are numbers."""
    data = check_records(log) if isinstance(log, Records) else read_records(log, mdp)
    with jax.enable_x64(True):
        rows = {name: fit_rows(getattr(model, "model", model), data) for name, model in priors.items()}
    first, *others = rows
    for name in others:
        if set(rows[name].seen) != set(rows[first].seen):
            one, other = (", ".join(map(repr, sorted(rows[each].seen))) for each in (first, name))
            raise ValueError(
                f"priors[{first!r}] observes {one} and priors[{name!r}] {other}, so that they are about other data"
            )
    return rows.__getitem__


def _with_evidence(model: Model, log: Any, **options: Any) -> xr.DataTree:
    """A posterior: unless a method is asked for exact where it can be, and by particles elsewhere."""
    if "method" in options:
        return infer(model, log, **options)
    if isinstance(model, ByParticles):
        return infer(model, log, method="smc", **options)
    try:
        return infer(model, log, method="exact", **options)
    except NotConjugate:
        return infer(model, log, method="smc", **options)


def _error(each: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Standard error of the sum of so many independent steps."""
    total = weight.sum()
    mean = weight @ each / total
    return float(np.sqrt(weight @ (each - mean) ** 2 / max(total - 1, 1) * total))


def _leave_one_out(model: Model, posterior: xr.DataTree, data: Data) -> tuple[NDArray[np.float64], dict[str, float]]:
    """PSIS-LOO of one step of each row [row], and its sums over all steps."""
    import arviz as az

    likelihood = set_apart(densities_of_rows(model, posterior, data).rows)
    group = xr.Dataset({"step": (("chain", "draw", "row"), likelihood)})
    unknowns = posterior["posterior"].to_dataset()[json.loads(posterior.attrs["latents"])]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter")  # `worst_k` says so
        found = az.loo(xr.DataTree.from_dict({"posterior": unknowns, "log_likelihood": group}), pointwise=True)
    each, worst = np.asarray(found.elpd_i, float).ravel(), float(np.max(found.pareto_k))
    in_sample = logsumexp(likelihood, (0, 1)) - np.log(likelihood[..., 0].size)
    return each, {
        "elpd_loo": float(data.weight @ each),
        "se": _error(each, data.weight),
        "p_loo": float(data.weight @ (in_sample - each)),
        "worst_k": worst,
    }
