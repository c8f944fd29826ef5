"""What a plan from a log says where episodes start: one number, how it was checked, and what it hangs on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import sparse

from bayesmdp.logs.log import counts_of, ends_of, size_of
from bayesmdp.logs.problem_from_log import open_actions, starts_of
from bayesmdp.offline.behaviour import Today
from bayesmdp.offline.calibration import calibrate, logs_of_each, too_many_logs
from bayesmdp.offline.checked import Calibration, Checked, middle_of
from bayesmdp.offline.experience import Experience
from bayesmdp.offline.logs_alike import Recording
from bayesmdp.offline.made_prior import MadePrior
from bayesmdp.offline.prior_weight import FACTORS, with_prior_weight
from bayesmdp.offline.promise import LARGE, Pipeline, Policy, Promise
from bayesmdp.planning.dirichlet_quantile import DirichletQuantile
from bayesmdp.planning.posterior_draws import read_dataset, read_draws
from bayesmdp.planning.posterior_value import at_start, value_draws
from bayesmdp.planning.quantile_interval import left_quantile
from bayesmdp.planning.risk import Risk
from bayesmdp.posterior import draw
from bayesmdp.problems.mdp import MDP

__all__ = ["Asked", "said_at_start", "told_at_start"]

STEPS = 100_000
"""Discounted steps at most: those that come later count nothing."""

STAGES = 200
"""Planning over so many stages takes as long again as making the draws."""

MOST_STATES, MOST_DRAWN = 1_000, 100_000_000
"""Of a problem, and numbers in the draws of a few pairs of each state, up to which a promise is checked: a plan then
takes some seconds, and less than a gigabyte."""

LONG = 100_000
"""Rows of a log up to which a promise is checked."""


class Asked(NamedTuple):
    """What was asked of a plan.

    Attributes
    ----------
    risk : Risk
    level : float
        At which the policy's value is told.
    quantile : {"draws", "exact"}
    draws : int
    calibration : int
        Logs to check on, for each of two worlds; 0 for none.
    seed : int
    today : Today, or None
        What is done today.
    aim : {"value", "gain"}
        What the plan is the best for.
    least_tries : int
        How often an action was tried at least, to be planned with.
    """

    risk: Risk
    level: float
    quantile: str
    draws: int
    calibration: int
    seed: int
    today: Today | None
    aim: Literal["value", "gain"]
    least_tries: int


def said_at_start(
    made: MadePrior,
    log: xr.Dataset,
    mdp: MDP,
    asked: Asked,
    said: Promise,
    chosen: xr.DataArray,
    fresh: xr.DataTree,
    posterior: xr.DataTree,
    *,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Check what the posterior says of a policy, and say what that hangs on.

    Parameters
    ----------
    made : MadePrior
    log : Dataset over ``step``
    mdp : MDP
    asked : Asked
    said : Promise
        The policy, and what it is worth under `fresh`.
    chosen : DataArray
        The policy by its labels.
    fresh : DataTree
        Draws that the policy was not chosen with.
    posterior : DataTree
        Of which they are.
    say : function of str

    Returns
    -------
    dict
        The attrs that `Report` describes.
    """
    told: dict[str, Any] = {"initial_unseen": _unseen(mdp, made.experience, fresh, said.policy)}
    exact = posterior.attrs["engine"] == "exact"
    if exact and _of_rows(posterior) and asked.draws * mdp.num_states * mdp.num_outcomes <= LARGE:
        told |= _by_weight(posterior, mdp, made.experience, chosen, asked)
    why_not = _why_not(log, asked)
    pipeline = _pipeline(made, mdp, asked) if exact and not why_not else None
    if pipeline is not None and _takes_long(pipeline, made.experience):
        pipeline, why_not = None, "the problem is large, and each simulated log would take as long as this one"
    if pipeline is None and not why_not:
        why_not = (
            "only a posterior in closed form, with rewards by state and action or by next state, can be recomputed "
            "quickly enough"
        )
    checked = None
    if pipeline is None:
        told["unchecked"] = why_not
    else:
        cut = (
            float(np.average(ends_of(log, "truncated"), weights=counts_of(log))) if log.attrs.get("ordered", 1) else 1.0
        )
        recording = Recording(starts_of(log, mdp.terminal), cut)
        logs = logs_of_each(asked.calibration, asked.level)
        long = ", which takes minutes where a problem is large" if pipeline.by_few else ""
        say(f"checking the reported numbers on {2 * logs} simulated logs like this one{long}")
        checked = calibrate(pipeline, made.rows, made.scatter, recording=recording, logs=logs, seed=asked.seed)
        told["checked_logs"] = checked.logs
    return told | told_at_start(said, asked.level, checked, least=_least(made, mdp))


def _why_not(log: xr.Dataset, asked: Asked) -> str:
    """Why nothing is checked, whatever the prior; nothing if it may be."""
    if not asked.calibration:
        return "the check was switched off"
    if told := too_many_logs(asked.level):
        return told
    if size_of(log) > LONG:
        return f"simulating logs of more than {LONG:,} rows takes too long"
    return ""


def _pipeline(made: MadePrior, mdp: MDP, asked: Asked) -> Pipeline | None:
    """The way to a promise; None where the prior cannot be made again without `infer`."""
    prior = made.for_other_logs(mdp)
    if prior is None:
        return None
    risk = asked.risk
    if asked.quantile == "exact":
        risk = DirichletQuantile(risk.level)  # type: ignore[attr-defined] # plan has refused the others
    return Pipeline(mdp, prior, risk, asked.level, asked.draws, asked.today, asked.aim, asked.least_tries)


def _takes_long(pipeline: Pipeline, experience: Experience) -> bool:
    """Whether to make a plan from a log takes too long to do it for many."""
    problem = pipeline.problem
    if not pipeline.by_few:
        return pipeline.draws * int(np.prod(problem.sizes)) * (1 + (problem.horizon or 0) / STAGES) > LARGE
    available, untold = open_actions(experience.tries > 0, problem.terminal)
    listed = pipeline.pairs(pipeline.judged(available), untold).problem.available
    return problem.num_states > MOST_STATES or pipeline.draws * listed.size * problem.num_outcomes > MOST_DRAWN


def _of_rows(posterior: xr.DataTree) -> bool:
    """Whether the unknown transitions of a posterior are Dirichlet rows, whose prior can be given another weight."""
    return json.loads(posterior.attrs["families"]).get("transition", ("", ""))[1] == "Dirichlet"


def _least(made: MadePrior, mdp: MDP) -> float:
    """What no policy earns less than, if no step pays less than those of the log; minus infinity where any may."""
    if made.paid is None or made.kind == "normal":
        return -math.inf
    paid = 0.0 if made.kind == "bernoulli" else float(made.rows.reward.min())
    # Where each step pays something, an episode that ends at once earns nothing yet.
    return min(paid, 0.0) * (mdp.horizon or 0 if mdp.by_stage else 1 / (1 - (mdp.discount or 0)))


def _by_weight(
    posterior: xr.DataTree, mdp: MDP, experience: Experience, chosen: xr.DataArray, asked: Asked
) -> dict[str, float]:
    """The policy's quantile at the start if the prior of transitions weighed a third, or three times, as much."""
    told = {}
    for name, factor in zip(("initial_lighter", "initial_heavier"), FACTORS, strict=True):
        # The seed of the draws that the policy is judged by, also when a report asks what another prior would change.
        kept = with_prior_weight(posterior, experience.counts, mdp.outcome_dim, factor)
        values = value_draws(draw(kept, asked.draws, seed=asked.seed + 1), mdp, chosen)
        told[name] = float(left_quantile(at_start(values, mdp).values, asked.level))
    return told


def told_at_start(
    said: Promise, level: float, checked: Calibration | None, *, least: float = -math.inf
) -> dict[str, Any]:
    """Return the numbers to quote, lowered by what the check found, and what it found, as `Report` describes them.

    Parameters
    ----------
    said : Promise
    level : float
    checked : Calibration or None
    least : float
        What any policy earns, below which no number is lowered; nor is the gain below what is lost at most, at the same
        level and under the posterior of today's value, by who earns no more than that. That floor of the gain is ours.
    """
    value, gain = (None, None) if checked is None else (checked.value, checked.gain)
    lowered = 0.0 if value is None else value.lowered
    bound = float(left_quantile(said.values, level))
    told = _lowered("initial_bound", bound, lowered, "checked_least", least) | _found("checked", value)
    if said.gains is None:
        return told
    # A difference of values that are the same may not be 0.
    rounding = 1e-9 * float(np.abs(said.values).max())
    gains = np.where(np.abs(said.gains) > rounding, said.gains, 0.0)
    # To go on as today gains 0, for sure; another policy may gain 0 too, in a log without rewards.
    unchanged = said.as_today
    if gain is not None and unchanged:
        gain = gain._replace(lowered=0.0)
    lowered = 0.0 if gain is None else gain.lowered
    low, high = middle_of(gains)
    today = said.values - gains
    today_low, today_high = middle_of(today)
    interval = None if checked is None else checked.today
    wider = 0.0 if interval is None else interval.wider
    loss, bound = float(left_quantile(least - today, level)), float(left_quantile(gains, level))
    return (
        told
        | {
            "initial_today": float(today.mean()),
            "initial_today_lower": max(today_low - wider, min(least, today_low)),
            "initial_today_upper": today_high + wider,
            "initial_gain": float(gains.mean()),
            "initial_gain_lower": low,
            "initial_gain_upper": high,
            "initial_unchanged": int(unchanged),
            "initial_better": float((gains > 0).mean()),
        }
        | _lowered("initial_gain_bound", bound, lowered, "gain_checked_least", loss)
        | ({} if gain is None or unchanged else {"initial_better_checked": gain.chance(float(gains.mean()))})
        | _found("gain_checked", gain)
        | ({} if interval is None else {"today_checked_kept": interval.kept, "today_checked_wider": wider})
    )


def _lowered(name: str, bound: float, lowered: float, stopped: str, least: float) -> dict[str, float]:
    """A number lowered by what a check found, but not below the least that it can be, which it is then said to be."""
    if bound - lowered < least <= bound:
        return {name: least, stopped: least}
    return {name: bound - lowered}


def _found(name: str, checked: Checked | None) -> dict[str, Any]:
    """What a check found, under attrs of a name."""
    if checked is None:
        return {}
    return {
        f"{name}_kept": checked.kept,
        f"{name}_lowered": checked.lowered,
        f"{name}_kept_lowered": checked.kept_lowered,
        f"{name}_worlds": json.dumps(checked.by_world),
        f"{name}_halves": checked.split,
    }


def _unseen(mdp: MDP, experience: Experience, fresh: xr.DataTree, policy: Policy) -> float:
    """The share of the future, discounted or over the horizon, that lies behind the first step which the log never saw.

    Under the posterior mean of the kernel, from where episodes start. Unseen is a next state that never followed a
    pair, or a pair never tried.
    """
    kernel = read_draws(read_dataset(fresh), mdp).transition.mean(0)
    seen = np.where(experience.counts > 0, kernel, 0)
    every, before = (float(mdp.initial @ _steps_to_come(mdp, rows, policy)) for rows in (kernel, seen))
    return max(0.0, 1 - before / every) if every > 0 else 0.0


def _steps_to_come(mdp: MDP, kernel: NDArray[np.float64], policy: Policy) -> NDArray[np.float64]:
    """Expected number of steps [state], discounted or over the horizon, until an episode ends or the kernel stops."""
    if mdp.by_stage:
        steps, last = np.zeros(mdp.num_states), policy[-1]
        one_more = _one_more(mdp, kernel, last)
        for actions in policy[::-1]:
            if (actions != last).any():
                last, one_more = actions, _one_more(mdp, kernel, actions)
            steps = one_more(steps)
        return steps
    one_more = _one_more(mdp, kernel, policy)
    steps = (~mdp.terminal).astype(float)
    for _ in range(STEPS):
        after = one_more(steps)
        if np.abs(after - steps).max() <= 1e-9 * after.max():
            break
        steps = after
    return steps


def _one_more(
    mdp: MDP, kernel: NDArray[np.float64], policy: Policy
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """From the steps to come after the next one, the steps to come [state], by a policy of one stage."""
    state, action = np.nonzero(policy) if policy.dtype.kind == "f" else (np.arange(mdp.num_states), policy)
    share = policy[state, action] if policy.dtype.kind == "f" else np.ones(len(state))
    # Rows [pair, outcome] of the pairs that it takes.
    rows = share[:, None] * kernel[state, action]
    entered = np.arange(mdp.num_states) if mdp.successor is None else mdp.successor[state, action].astype(np.int64)
    entered = np.broadcast_to(entered, rows.shape)
    named = entered >= 0
    place = np.broadcast_to(state[:, None], rows.shape)[named], entered[named]
    # Elsewhere is spread over the states that a row does not name: over all of them, less those that it names.
    left = np.maximum(mdp.num_states - named.sum(-1), 1)
    spread = np.where(named, 0, rows).sum(-1) / left
    live = (~mdp.terminal).astype(float)
    size = mdp.num_states, mdp.num_states
    chain = sparse.csc_array(((rows - spread[:, None])[named] * live[entered[named]], place), shape=size)
    everywhere = np.bincount(state, spread, mdp.num_states)
    return lambda steps: live * (1 + (mdp.discount or 1) * (chain @ steps + everywhere * (live @ steps)))
