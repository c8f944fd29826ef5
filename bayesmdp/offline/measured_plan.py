"""From a log of measurements to a cautious policy: `plan_log` where states are numbers.

The way is that of tables (:mod:`bayesmdp.offline.plan_log`). The log says in which box its states lie
(:mod:`bayesmdp.offline.measured_space`), which prior of steps and of rewards it speaks for
(:mod:`bayesmdp.offline.measured_prior`), and what is done today (:mod:`bayesmdp.offline.state_behaviour`). A plan may
do what the log did near (:mod:`bayesmdp.offline.near_rows`): elsewhere the model goes on in straight lines, or waves,
that nothing has tried. Q is fitted under some draws of the posterior, and the policy valued under others by rollouts;
the number that is promised is checked on logs like this one, and lowered (:mod:`bayesmdp.offline.measured_check`); and
the log is asked whether it may be believed (:mod:`bayesmdp.offline.measured_log_checks`).

The report is a `Report` with the attrs of tables where these have a meaning. Its ``policy`` is over ``place``, a dozen
states of the log, the commonest first, that stand for all of them (medians of clusters): ``state`` [place, coordinate],
``action``, ``rows`` that are nearest to it, ``near``, rows in which any action was taken near it
(:mod:`bayesmdp.offline.near_rows`), ``tried``, those of this action, ``today`` (how probable the action is there
today), ``margin`` (by how much Q holds it better than the next), ``worth_quantile``, ``worth_lower`` and
``worth_upper``. ``initial_unseen`` is the share of the discounted future that lies behind a step near which no row took
the plan's action. Of a plan for a number of steps ``action``, ``tried``, ``today`` and ``margin`` have a dim ``stage``
first, the number of steps taken, and what is earned is that of all steps, from stage 0 on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from bayesmdp.foundation.package_versions import package_versions
from bayesmdp.foundation.validation import integer
from bayesmdp.logs.columns import ENDS
from bayesmdp.logs.log import label_set
from bayesmdp.model_reading.records import Records
from bayesmdp.offline.at_start import told_at_start
from bayesmdp.offline.calibration import logs_of_each, too_many_logs
from bayesmdp.offline.check_log import FEW
from bayesmdp.offline.checked import Calibration, middle_of
from bayesmdp.offline.measured_check import MeasuredPipeline, calibrate_measured
from bayesmdp.offline.measured_log_checks import check_rows
from bayesmdp.offline.measured_off_policy import measured_off_policy
from bayesmdp.offline.measured_paths import discounted_paths
from bayesmdp.offline.measured_policy import ActsByPlan, check_measured_aim
from bayesmdp.offline.measured_posterior import rows_of_log
from bayesmdp.offline.measured_space import begins_of_rows
from bayesmdp.offline.measured_today import kept_today
from bayesmdp.offline.measured_values import values_at_places
from bayesmdp.offline.measured_way import MeasuredFit, MeasuredWay, fit_measured, way_of_log
from bayesmdp.offline.promise import Promise
from bayesmdp.offline.report import MADE_BY, Report, level_of
from bayesmdp.offline.second_opinion import LARGE, SAMPLES, disagrees
from bayesmdp.offline.state_behaviour import ActsInStates, state_behaviour
from bayesmdp.planning.fitted_policies import FittedPolicy, StagedPolicy
from bayesmdp.planning.gain_policy import GainPolicy, describe_gain
from bayesmdp.planning.quantile_interval import left_quantile
from bayesmdp.planning.risk import Risk
from bayesmdp.planning.rollouts import Rollouts
from bayesmdp.planning.simulated_plan import Fitted, describe_plan
from bayesmdp.planning.simulated_values import spread_over
from bayesmdp.planning.value_intervals import check_scalar_risk
from bayesmdp.posterior.closed_forms.find_form import ClosedForm
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import primitives_of

__all__ = ["plan_measured"]

PLACES = 12
"""States of the log that stand for all."""

AFFORDABLE = 2e11
"""Products that sums of one log take, times logs, above which nothing is checked: that would take many minutes."""

LONG = 20_000
"""Rows of a log up to which a promise is checked."""


def plan_measured(
    log: xr.Dataset,
    risk: Risk,
    *,
    baseline: Any,
    aim: str,
    discount: float | None,
    horizon: int | None,
    prior: str,
    settings: Mapping[str, Any],
    rewards: Any,
    terminal: Any,
    initial: Any,
    draws: int,
    seed: int,
    calibration: int,
    unit: str,
    say: Callable[[str], None],
) -> Report:
    """Plan from a log whose states are numbers; see :func:`~bayesmdp.plan_log`, and the module.

    Parameters
    ----------
    log : Dataset over ``step``
    risk : Risk
    baseline, aim, prior, settings, rewards, terminal, initial, draws, seed, calibration, unit, say
        As for `plan_log`.
    discount : float in (0, 1), or None with a horizon
    horizon : int or None

    Returns
    -------
    Report
    """
    check_scalar_risk(risk)
    draws, seed = integer("draws", draws, 2), integer("seed", seed, 0)
    level, begins = level_of(risk), begins_of_rows(log)
    way = way_of_log(
        log,
        discount,
        horizon=horizon,
        baseline=baseline,
        prior=prior,
        settings=settings,
        rewards=rewards,
        terminal=terminal,
        initial=initial,
        say=say,
    )
    mdp, data = way.mdp, way.data
    check_measured_aim(aim, way.today, way.baseline, horizon)
    gone = fit_measured(way, risk, draws, seed, say, aim=aim)
    kept, options, fitted, values, gains = gone.kept, gone.options, gone.fitted, gone.values, gone.gains
    planned = _planned(gone, mdp, risk)
    # What is said where episodes start, checked.
    form, why_not = _why_not(way, level, calibration)
    checked: Calibration | None = None
    with ThreadPoolExecutor(1) as pool:
        # The check begins and ends with few threads, beside which all else is told.
        beside = pool.submit(_told_beside, way, gone, log, begins, level, seed, told=initial is not None)
        if form is not None and not why_not:
            logs = logs_of_each(calibration, level)
            say(f"checking the log, and the reported numbers on {2 * logs} simulated logs like this one")
            said_today = None if way.baseline == "log" else way.today
            pipeline = MeasuredPipeline(
                mdp,
                form,
                risk,
                level,
                draws,
                gone.enough_draws(level),
                options,
                fitted.begun,
                way.today is not None,
                said_today,
                aim,
            )
            checked = calibrate_measured(pipeline, data, begins, logs=logs, seed=seed)
        else:
            say("checking the log")
        unseen, policy, checks, opinions = beside.result()
    told: dict[str, Any] = told_at_start(Promise(np.zeros(0), values, gains, fitted.as_today), level, checked)
    told |= {"unchecked": why_not} if checked is None else {"checked_logs": checked.logs}
    low, high = middle_of(values)
    told |= {
        "level": level,
        "initial_worth_quantile": float(left_quantile(values, level)),
        "initial_worth_lower": low,
        "initial_worth_upper": high,
        "initial_unseen": unseen,
    }
    policy = policy.assign_attrs(told)
    counts = _counts(log, begins)
    attrs: dict[str, Any] = {
        "made_by": MADE_BY,
        "source": str(log.attrs.get("source", "")),
        "left_out": json.dumps([]),
        "space": way.space.to_json(),
        "prior_name": prior,
        "prior_settings": json.dumps(dict(settings)),
        "rewards_name": rewards if isinstance(rewards, str) else "",
        "initial_told": int(initial is not None),
        "terminal": terminal if isinstance(terminal, str) else "" if terminal is None else "a function",
        "log": json.dumps(counts),
        "risk": str(risk) + " of the gain" * (aim == "gain"),
        **({"unit": unit} if unit else {}),
        "baseline": way.baseline if way.baseline in ("none", "log") else "as said",
        "baseline_name": way.baseline,
        "aim": aim,
        **{name: counted for name in ("discount", "horizon") if (counted := getattr(mdp, name)) is not None},
        "prior": way.made.described,
        "rewards": way.made.rewards,
        "draws": draws,
        "plan_draws": planned.attrs["num_draws"],
        "converged": planned.attrs["converged"],
        "seed": seed,
        **{name: kept.attrs[name] for name in ("engine", "reason") if name in kept.attrs},
        **told,
        "versions": json.dumps(package_versions("bayesmdp", "jax", "numpyro")),
    }
    at_start = xr.Dataset({"value": ("draw", values)})
    if gains is not None:
        at_start["today"] = "draw", values - gains
    groups = {name: node.to_dataset() for name, node in kept.children.items() if name != "prior"}
    groups |= {name: rows_of_log(groups[name], data) for name in ("observed_data", "constant_data")}
    groups["constant_data"] = groups["constant_data"].assign(_beside(log, data))
    if way.today is not None and way.baseline != "a function":
        groups["baseline"] = kept_today(way.today, way.space)
    tree = xr.DataTree.from_dict(
        {"plan": planned, "policy": policy, "at_start": at_start, "log_checks": checks, **opinions, **groups}
    )
    tree.attrs = attrs
    return Report(counts, policy, tree)


def _why_not(way: MeasuredWay, level: float, calibration: int) -> tuple[ClosedForm | None, str]:
    """The form by which the way can be gone again quickly, and why nothing is checked; nothing if it is."""
    if not calibration:
        return None, "the check was switched off"
    form = way.found.form
    if form is None:
        return None, "only a posterior in closed form can be recomputed quickly enough"
    beside = sorted({*primitives_of(way.mdp.model, len(way.space.low))} - {"next_state", "reward", "terminal"})
    if beside:
        return None, f"the prior observes {beside[0]!r}, which simulated logs do not hold"
    if told := too_many_logs(level):
        return None, told
    rows = len(way.data.weight)
    if rows > LONG:
        return None, f"simulating logs of more than {LONG:,} rows takes too long"
    logs = 2 * logs_of_each(calibration, level)
    if logs * rows * form.work > AFFORDABLE:
        return None, "the posterior has many unknowns, and each simulated log would take as long as this one"
    return form, ""


class _Beside(NamedTuple):
    """What is told of a plan beside the check of its promise: see `_thin`, `_policy`, `check_rows` and `_opinions`."""

    unseen: float
    policy: xr.Dataset
    checks: xr.Dataset
    opinions: dict[str, xr.Dataset]


def _told_beside(
    way: MeasuredWay,
    gone: MeasuredFit,
    log: xr.Dataset,
    begins: NDArray[np.bool_],
    level: float,
    seed: int,
    *,
    told: bool,
) -> _Beside:
    fresh, policy, rollouts = gone.fresh, gone.fitted.policy, gone.options.rollouts
    unseen, few = _thin(way, fresh, policy, rollouts)
    places = _policy(way, policy, fresh, level, rollouts)
    checks = check_rows(way.found, way.data, begins, way.mdp.num_actions, few=few, seed=seed)
    opinions = _opinions(way, log, begins, policy, gone.values, unseen, seed, told=told)
    return _Beside(unseen, places, checks, opinions)


def _thin(
    way: MeasuredWay,
    fresh: dict[str, NDArray[np.float64]],
    policy: ActsInStates,
    rollouts: Rollouts,
) -> tuple[float, float]:
    """The shares of the discounted future behind the first step near which no row, or few, took the plan's action."""
    behind, every = np.zeros(2), 0.0
    for path, weight in discounted_paths(way, fresh, policy, rollouts):
        tried = way.near.counts(path.state, most=FEW)[np.arange(len(weight)), path.action]
        behind += [(weight * np.logical_or.accumulate(tried < number)).sum() for number in (1, FEW)]
        every += float(weight.sum())
    return float(behind[0] / every), float(behind[1] / every)


def _opinions(
    way: MeasuredWay,
    log: xr.Dataset,
    begins: NDArray[np.bool_],
    policy: ActsByPlan,
    values: NDArray[np.float64],
    unseen: float,
    seed: int,
    *,
    told: bool,
) -> dict[str, xr.Dataset]:
    """What the rows alone say of the policy, unless the log is too long for that, or the policy is by stage."""
    if len(begins) > LARGE or isinstance(policy, StagedPolicy):
        return {}
    data, space = way.data, way.space
    ended = log["terminated"].values.astype(bool) if "terminated" in log else np.zeros(len(begins), bool)
    behaviour = state_behaviour(data.state, data.action, len(space.actions), space.low, space.high)
    starts = np.array(space.starts) if told else None
    own = measured_off_policy(
        data, begins, ended, policy, behaviour, starts=starts, unseen=unseen, bootstrap=SAMPLES, seed=seed
    )
    return {"second_opinion": own.assign(disagrees=disagrees(own, xr.DataArray(values, dims="draw")))}


def _planned(gone: MeasuredFit, mdp: SimulatedMDP, risk: Risk) -> xr.Dataset:
    """The plan, with its value by rollouts."""
    fitted, options, policy = gone.fitted, gone.options, gone.fitted.policy
    if isinstance(policy, FittedPolicy | StagedPolicy):
        one = Fitted(policy, fitted.iterations, fitted.settled, fitted.misfit)
        return describe_plan(one, gone.returns, mdp, risk, options, gone.tolerance, num_draws=options.num_draws)
    return describe_gain(policy, fitted.iterations, gone.returns, options, settled=fitted.settled)


def _policy(
    way: MeasuredWay,
    policy: ActsByPlan,
    fresh: dict[str, NDArray[np.float64]],
    level: float,
    rollouts: Rollouts,
) -> xr.Dataset:
    """What the plan does in some states of the log that stand for all of them."""
    data, mdp = way.data, way.mdp
    low, width = np.array(way.space.low), np.array(way.space.high) - np.array(way.space.low)
    scaled = (data.state - low) / width
    wanted = min(PLACES, len(np.unique(scaled, axis=0)))
    centres, nearest = kmeans2(scaled, wanted, minit="++", rng=np.random.default_rng(0))
    rows = np.bincount(nearest, minlength=wanted)
    order = [i for i in np.argsort(-rows, kind="stable") if rows[i]]
    own = [np.flatnonzero(nearest == i) for i in order]
    places = np.array(
        [
            data.state[each[((scaled[each] - centres[i]) ** 2).sum(-1).argmin()]]
            for i, each in zip(order, own, strict=True)
        ]
    )
    share, near = policy.probabilities(places), way.near.counts(places)
    # [(stage,) place]
    chosen = share.argmax(-1)
    few = replace(rollouts, number=max(16, rollouts.number // 4))
    some = spread_over(fresh, len(next(iter(fresh.values()), [1])) // 4 or 1)
    values = values_at_places(mdp, some, policy.policy, few, places)
    lower, upper = np.quantile(values, [0.05, 0.95], axis=1, method="inverted_cdf")
    at = np.arange(len(places))
    columns: dict[str, Any] = {
        "action": np.array([str(action) for action in mdp.actions])[chosen],
        "rows": rows[order],
        "near": near.sum(-1),
        "tried": near[at, chosen],
        **({} if way.today is None else {"today": way.today.probabilities(places)[at, chosen]}),
        **(
            {"probability": share[at, chosen], "departs": policy.departs(places)}
            if isinstance(policy, GainPolicy)
            else {}
        ),
        "margin": policy.margins(places),
        "worth_quantile": np.array([float(left_quantile(each, level)) for each in values]),
        "worth_lower": lower,
        "worth_upper": upper,
    }
    return xr.Dataset(
        {
            "state": (("place", "coordinate"), places),
            **{name: (("stage", "place")[-np.ndim(column) :], column) for name, column in columns.items()},
        },
        coords={
            "coordinate": list(way.space.coordinates),
            **({} if mdp.horizon is None else {"stage": np.arange(mdp.horizon)}),
        },
    )


def _beside(log: xr.Dataset, data: Records) -> dict[str, Any]:
    """What a plan can be made from again, beside states and actions: what followed, what was paid, and ends."""
    ends = {name: log[name].values if name in log else np.zeros(len(data.weight), bool) for name in ENDS}
    after = {"next_state": (("row", "coordinate"), np.asarray(data.seen["next_state"]))}
    return after | {"reward": ("row", data.seen["reward"])} | {name: ("row", each) for name, each in ends.items()}


def _counts(log: xr.Dataset, begins: NDArray[np.bool_]) -> dict[str, int]:
    """Count what the log holds."""
    ends = {name: int(log[name].sum()) if name in log else 0 for name in ENDS}
    return {
        "rows": log.sizes["step"],
        "coordinates": log.sizes["coordinate"],
        "actions": len(label_set(log, "actions")),
        **ends,
        "dropped": int(log.attrs.get("dropped", 0)),
        "episodes": int(begins.sum()),
    }
