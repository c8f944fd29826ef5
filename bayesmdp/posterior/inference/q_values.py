"""Posteriors of Q-values from a log of episodes, or from targets made elsewhere."""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.user_code import model_name
from bayesmdp.foundation.validation import finite_array, reject_first
from bayesmdp.model_reading.model_runs import looked_at
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.rows import Targets
from bayesmdp.posterior.closed_forms.priors import NotConjugate
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, condition, read_gaussian, root
from bayesmdp.posterior.inference.request import Request, sampled
from bayesmdp.posterior.inference.tree import by_draw, numbered_tree, versions
from bayesmdp.posterior.q_regression.backward import TaskStatistics, row_targets, task_statistics
from bayesmdp.posterior.q_regression.rows import QRows, rows_of
from bayesmdp.problems.mdp import MDP

__all__ = ["infer_q", "of_q_values", "statistics_of"]

THETA = ("stage", "feature")
STATISTICS = {
    "gram": (*THETA, "other_feature"),
    "score": THETA,
    "square": ("stage",),
    "count": ("stage",),
    "carry": (*THETA, "other_feature"),
    "earned": THETA,
}


def of_q_values(model: Model, mdp: MDP) -> bool:
    """Tell whether a model is one of Q-values; a model of transitions cannot read such rows.

    Parameters
    ----------
    model : NumPyro function
    mdp : MDP

    Returns
    -------
    bool
    """
    if mdp.stage is None or mdp.features is None or not callable(model):
        return False
    row = Targets(np.zeros(1, int), np.zeros((1, mdp.features.shape[-1])), np.zeros(1), np.ones(1))
    with jax.enable_x64(True):
        try:
            return looked_at(model, row, lambda messages: "theta" in messages)
        except AttributeError:
            return False
        except (TypeError, ValueError):  # of other sizes, which is said where it is read
            return True


def infer_q(model: Model, log: xr.Dataset | Targets, mdp: MDP, request: Request) -> xr.DataTree:
    """Infer a model of Q-values; targets of a log are made backwards, with the next stage's posterior mean.

    Parameters
    ----------
    model : NumPyro function of `Targets`
    log : Dataset or Targets
    mdp : MDP
        With stages and features.
    request : Request
        The options of `infer`, checked.

    Returns
    -------
    DataTree
    """
    stages, features = int(mdp.horizon or 0), (0 if mdp.features is None else mdp.features.shape[-1])
    if not stages or not features:
        raise ValueError(f"{mdp.name} has no {'features' if stages else 'stages'}, which a model of Q-values needs")
    if isinstance(log, Targets):
        log = _checked(log, stages, features)
    with jax.enable_x64(True):
        prior, reason = _closed_form(model, stages, features, needed=not isinstance(log, Targets), request=request)
        targets, statistics = _regression(prior, mdp, log, stages)
        parameters, groups = {}, {}
        if prior is None or statistics is None or request.method == "nuts":
            reason = "asked for with method='nuts'" if request.method == "nuts" else reason
            drawn = sampled("nuts", model, targets, ("theta",), request)
            before, after = drawn.prior["theta"], drawn.posterior["theta"]
            groups["sample_stats"] = by_draw(drawn.statistics, {})
        else:
            mean, covariance = map(np.asarray, condition(prior, statistics.gram, statistics.score))
            parameters = {"mean": (THETA, mean), "covariance": ((*THETA, "other_feature"), covariance)}
            after, before = (
                _draws(seed, *moments, draws=request.draws).reshape(request.chains, -1, stages, features)
                for seed, moments in (
                    (request.seed, (mean, covariance)),
                    (request.seed + 1, (prior.mean, prior.covariance)),
                )
            )
    attrs = {
        "engine": "exact" if parameters else "nuts",
        "reason": reason,
        "model": model_name(model),
        "latents": json.dumps(["theta"]),
        "mdp": mdp.name,
        "seed": request.seed,
        **versions(),
    }
    leading = ("chain", "draw", *THETA)
    groups |= {
        "posterior": xr.Dataset({"theta": (leading, after)}, attrs=attrs),
        "prior": xr.Dataset({"theta": (leading, before)}),
        "observed_data": xr.Dataset({"target": ("row", np.asarray(targets.target, float))}),
        "constant_data": xr.Dataset(
            {
                "features": (("row", "feature"), np.asarray(targets.features, float)),
                "row_stage": ("row", np.asarray(targets.stage)),
                "weight": ("row", np.asarray(targets.weight, float)),
            }
        ),
    }
    if parameters:
        groups["parameters"] = xr.Dataset(parameters)
    if statistics is not None:
        groups["likelihood"] = xr.Dataset(
            {name: (dims, np.asarray(getattr(statistics, name))) for name, dims in STATISTICS.items()}
        )
    return numbered_tree(groups, attrs)


def _closed_form(
    model: Model, stages: int, features: int, *, needed: bool, request: Request
) -> tuple[GaussianPrior | None, str]:
    """The normal prior of a model, or None where it has another and that is allowed; and what to say of it."""
    try:
        return read_gaussian(model, stages, features), "Normal and linear, by its log-likelihood"
    except NotConjugate as error:
        if needed or request.method == "exact":
            raise
        return None, f"no closed form: {error}"


def _regression(
    prior: GaussianPrior | None, mdp: MDP, log: xr.Dataset | Targets, stages: int
) -> tuple[Targets, TaskStatistics | None]:
    """The rows of the regression and, with a normal `prior`, their sums."""
    if isinstance(log, Targets):
        return log, None if prior is None else _sums(log, stages)
    assert prior is not None  # or refused in `_closed_form`
    rows = rows_of(mdp, log)
    statistics = jax.tree.map(np.asarray, task_statistics(prior, mdp.problem, rows))
    return _targets(prior, mdp, rows), statistics


def statistics_of(posteriors: list[xr.DataTree]) -> TaskStatistics:
    """What the data of tasks said, with a leading task axis, from their posteriors.

    Parameters
    ----------
    posteriors : list of DataTree

    Returns
    -------
    TaskStatistics

    Raises
    ------
    ValueError
        If one was inferred by a version that kept less.
    """
    for task, tree in enumerate(posteriors):
        lacking = [name for name in TaskStatistics._fields if name not in tree["likelihood"]]
        if lacking:
            raise ValueError(
                f"posteriors[{task}] has no {', '.join(lacking)}, as of an earlier version: infer it again"
            )
    return TaskStatistics(
        *(
            np.stack([tree["likelihood"].to_dataset()[name].values for tree in posteriors])
            for name in TaskStatistics._fields
        )
    )


def _draws(seed: int, mean: Any, covariance: Any, *, draws: int) -> NDArray[np.float64]:
    """Normal draws [draw, stage, feature]."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((draws, *np.shape(mean)))
    return np.asarray(mean + np.einsum("hij,nhj->nhi", root(covariance), normal))


def _checked(data: Targets, stages: int, features: int) -> Targets:
    """The rows as arrays of one length, all finite, of stages that there are."""
    size = len(np.atleast_1d(np.asarray(data.target)))
    shape = np.shape(data.features)
    if shape != (size, features):
        raise ValueError(f"features of the targets have shape {shape}; expected [row, feature] = {(size, features)}")
    stage = finite_array("stage", data.stage, (size,))
    reject_first("stage", ~np.isin(stage, np.arange(stages)), stage, f"is no stage; they are 0 to {stages - 1}")
    weight = finite_array("weight", data.weight, (size,))
    reject_first("weight", weight < 0, weight, "is negative")
    columns = finite_array("features", data.features), finite_array("target", data.target, (size,))
    return Targets(stage.astype(int), *columns, weight)


def _targets(prior: GaussianPrior, mdp: MDP, rows: QRows) -> Targets:
    """The rows as they were regressed on."""
    assert mdp.features is not None
    stage = np.broadcast_to(np.arange(len(rows.state))[:, None], rows.state.shape)
    seen = np.asarray(rows.weight) > 0
    target = np.asarray(row_targets(prior, mdp.problem, rows))
    return Targets(
        stage[seen], mdp.features[rows.state, rows.action][seen], target[seen], np.asarray(rows.weight)[seen]
    )


def _sums(data: Targets, stages: int) -> TaskStatistics:
    phi, size = np.asarray(data.features, float), np.shape(data.features)[-1]
    target, weight = np.asarray(data.target, float), np.asarray(data.weight, float)
    of = np.asarray(data.stage)[None] == np.arange(stages)[:, None]
    score = np.einsum("hr,r,ri->hi", of, weight * target, phi, optimize=True)
    return TaskStatistics(
        gram=np.einsum("hr,r,ri,rj->hij", of, weight, phi, phi, optimize=True),
        score=score,
        square=of @ (weight * target**2),
        count=of @ weight,
        carry=np.zeros((stages, size, size)),
        earned=score,
    )
