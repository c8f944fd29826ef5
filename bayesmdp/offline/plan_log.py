"""From logged transitions to a cautious policy: the work of ``bayesmdp plan``.

The log becomes a problem whose dynamics are open (:mod:`bayesmdp.logs.problem_from_log`), a prior and the log a
posterior, and the posterior a plan. What the policy is worth is judged under posterior draws that the plan has not
seen, for a policy looks better under the draws it was chosen with; and the one number that is promised of it is checked
on logs like this one before it is said (:mod:`bayesmdp.offline.calibration`).

The *path* is our word for the states that the policy reaches from where episodes start, by transitions that were seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from jax.typing import ArrayLike

from bayesmdp.foundation.one_thread import one_blas_thread
from bayesmdp.foundation.package_versions import package_versions
from bayesmdp.logs.compress import compress
from bayesmdp.logs.covariates import covariates_of
from bayesmdp.logs.log import as_labels, begins_of, counts_of, ends_of, label_set, size_of
from bayesmdp.logs.problem_from_log import mdp_from_log
from bayesmdp.model_reading.read_model import Model, read
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.at_start import Asked, said_at_start
from bayesmdp.offline.behaviour import Estimate, today_of
from bayesmdp.offline.least_tries import least_tries_of, often_tried
from bayesmdp.offline.measured_plan import plan_measured
from bayesmdp.offline.measured_space import is_measured
from bayesmdp.offline.named_prior import make_prior
from bayesmdp.offline.over_today import Compared, check_aim, compare, plan_for_gain
from bayesmdp.offline.policy_table import policy_table
from bayesmdp.offline.promise import Promise
from bayesmdp.offline.report import DISCOUNT, MADE_BY, Report, level_of
from bayesmdp.offline.second_opinion import second_opinion
from bayesmdp.planning import plan
from bayesmdp.planning.posterior_value import at_start, value_draws
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.posterior import NotConjugate, draw, infer
from bayesmdp.posterior.inference.transitions import log_rows
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import action_indices

__all__ = ["plan_log"]

DRAWS_BYTES = 2**31
"""Refuse draws of the transition probabilities, or of values, that take more: several copies of them are made."""

LONGEST_UNIT = 40

EACH = 50_000
"""States times actions times states up to which each state is by itself an outcome of each pair."""


def plan_log(
    log: xr.Dataset,
    *,
    risk: str = "quantile:0.1",
    baseline: str | pd.DataFrame | ArrayLike | Callable[..., Any] = "log",
    aim: Literal["value", "gain"] = "value",
    discount: float | None = None,
    horizon: int | None = None,
    prior: str = "auto",
    settings: Mapping[str, Any] | None = None,
    rewards: str | Callable[..., Any] = "auto",
    terminal: str | Callable[..., Any] | None = None,
    elsewhere: str = "auto",
    reachable: pd.DataFrame | None = None,
    least_tries: int | None = None,
    initial: Any = None,
    quantile: str = "draws",
    draws: int = 200,
    seed: int = 0,
    calibration: int = 20,
    sample: xr.Dataset | None = None,
    unit: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Plan from a log, and say what the policy is worth.

    Parameters
    ----------
    log : Dataset over ``step``
        As `read_log` returns it. Where its states are numbers (``read_log(coordinates=)``) see
        :mod:`bayesmdp.offline.measured_plan` for what is done, and told.
    risk : str
        As for `risk_from_text`.
    baseline : "log", "none", DataFrame, or a policy as for `plan`
        What is done today, that the plan is compared with: what the log shows of its behaviour, nothing, or what is
        said, as a table (see `said_behaviour`) or probabilities [state, action]. Where states are numbers a table of
        places (:mod:`bayesmdp.offline.said_state_behaviour`), or a function of states, by its file or itself, that
        returns probabilities [..., action] or positions of actions.
    aim : {"value", "gain"}
        What the plan is the best for: the value, or the gain over the baseline, for which it may mix actions and stays
        with the baseline where nothing better is sure enough (:mod:`bayesmdp.planning.over_baseline`).
    discount : float in (0, 1), optional
        0.99 by default, unless there is a horizon.
    horizon : int, optional
        Plan for so many steps in the place of a discount: each reward counts in full, and the policy is by stage.
    prior, settings
        As for `make_prior`.
    rewards : {"auto", "known", "normal", "bernoulli"} or "FILE.py:NAME"
        What rewards are, by default what the log shows (:mod:`bayesmdp.offline.reward_models`); or a function of the
        MDP and a model of transitions, which returns a model of both. Where states are numbers "auto", which learns
        them, or a function of states, actions (their positions) and next states, by its file or itself.
    terminal : "FILE.py:NAME" or callable, optional
        Where states are numbers: of states [..., coordinate], where episodes end. A log with terminated rows needs it.
    elsewhere : {"auto", "mean", "least", "none", "each"}
        As for `mdp_from_log`; by default ``"each"`` for up to 50,000 triples of a state, an action and a next state,
        and ``"mean"`` beyond.
    reachable : DataFrame, optional
        As for `mdp_from_log`.
    least_tries : int, optional
        Plan with an action in a state only if the log tried it there so often; in a state where none was, with those
        tried the most. A plan for the gain may do as the baseline all the same. By default 3 where rewards are learned
        and 2 where they are known (:mod:`bayesmdp.offline.least_tries`).
    initial : label, optional
        The state in which episodes start, or its coordinates; by default where those of the log do, if it tells.
    quantile : {"draws", "exact"}
        As for `plan`.
    draws : int
        To plan with, and as many others to judge by.
    seed : int
    calibration : int
        Logs to check the promise on, for each of two worlds; 0 for none. Nothing is checked where the posterior
        has no closed form, rewards differ by next state in it, or to plan from a simulated log takes too long: where
        draws of all pairs are large (`LARGE`), but for plans for the value from a table of successors, of up to a
        thousand states.
    sample : Dataset over ``step``, optional
        Some episodes of a counted log, step by step (`sample_log`), which are asked for second opinions in its place.
    unit : str
        What rewards are counted in, such as "euros", for what is said of the plan.
    say : function of str
        Told what is being done.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        If something is not as asked for: see the functions named.

    See Also
    --------
    bayesmdp.write_report : the page.
    bayesmdp.recommend : what to do in new rows.
    bayesmdp.check_log : may the log be believed?

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> report = plan_log(log, discount=0.95, draws=50)
    >>> report.policy["action"].values.tolist()
    ['right', 'right', 'right', 'right', 'right', 'right']
    """
    measure, unit = risk_from_text(risk), _checked_unit(unit)
    if is_measured(log):
        discount, horizon = _goal(discount, horizon)
        of_tables: dict[str, tuple[Any, Any]] = {"elsewhere": (elsewhere, "auto"), "reachable": (reachable, None)}
        of_tables |= {"quantile": (quantile, "draws"), "sample": (sample, None), "least_tries": (least_tries, None)}
        for name, (given, only) in of_tables.items():
            if given is not only and given != only:
                raise ValueError(f"{name}={given!r} is for logs with labelled states; for measurements leave it out")
        return plan_measured(
            log,
            measure,
            baseline=baseline,
            aim=aim,
            discount=discount,
            horizon=horizon,
            prior=prior,
            settings=settings or {},
            rewards=rewards,
            terminal=terminal,
            initial=initial,
            draws=draws,
            seed=seed,
            calibration=calibration,
            unit=unit,
            say=say,
        )
    if terminal is not None or not isinstance(rewards, str) or callable(baseline):
        functions = {
            "a function of rewards": not isinstance(rewards, str),
            "a function as baseline": callable(baseline),
        }
        name = "terminal" if terminal is not None else next(name for name, given in functions.items() if given)
        raise ValueError(f"{name} is for logs of measurements, read with coordinates=; leave it out")
    mdp = _problem_of(log, discount, horizon, elsewhere, reachable, initial)
    _check_memory(mdp, draws)
    rows = compress(log, mdp)
    today = today_of(baseline, rows, mdp)
    starts_known = initial is not None or bool(log.attrs.get("starts_known", log.attrs.get("ordered", 1)))
    check_aim(aim, today, mdp, measure, quantile, draws, starts_known=starts_known)
    least_tries_of(least_tries, known=True)
    made = make_prior(prior, log, mdp, settings or {}, rewards=rewards)
    say(f"posterior of {made.described}")
    posterior, planning, fresh = _posterior(made.model, log, mdp, draws, seed)
    say(f"planning with {measure}" + " of the gain" * (aim == "gain"))
    tries = made.experience.tries
    usual = None if today is None else today.estimate(tries, mdp.available)
    least = made.least_tries(least_tries)
    if aim == "gain" and usual is not None:
        planned = plan_for_gain(planning, mdp, measure, usual.mean, tries, least)
    else:
        often = often_tried(mdp, tries, least)
        planned = plan(planning, often, measure, quantile=quantile, strict=False)  # type: ignore[arg-type] # checked there
    chosen = planned["probability"] if aim == "gain" else planned["policy"]
    say("evaluating the policy with new draws")
    values = value_draws(fresh, mdp, chosen)
    compared = None if usual is None else compare(fresh, mdp, chosen, values, usual, tries, seed + 1)
    level = level_of(measure)
    policy = policy_table(mdp, rows, planned, values, level, starts_known=starts_known, compared=compared)
    if starts_known:
        asked = Asked(measure, level, quantile, draws, calibration, seed, today, aim, least)
        said = Promise(
            planned["probability"].values if aim == "gain" else action_indices(mdp, planned["policy"]),
            at_start(values, mdp).values,
            None if compared is None else at_start(compared.gains, mdp).values,
            compared is not None and compared.as_today,
        )
        with one_blas_thread():
            policy.attrs |= said_at_start(made, log, mdp, asked, said, chosen, fresh, posterior, say=say)
    say("second opinion without a prior, and checks of the log")
    worth = at_start(values, mdp) if starts_known else None
    opinions = second_opinion(log if sample is None else sample, mdp, chosen, worth, seed)
    counts = _counts(log, mdp, rows)
    attrs = {
        "made_by": MADE_BY,
        "source": str(log.attrs.get("source", "")),
        "left_out": json.dumps(as_labels(log.attrs.get("left_out", []))),
        **({"recoding": log.attrs["recoding"]} if "recoding" in log.attrs else {}),
        "log": json.dumps(counts),
        "risk": planned.attrs["risk"],
        **({"unit": unit} if unit else {}),
        "baseline": "none" if today is None else "as said" if today.said else "log",
        "aim": aim,
        **{name: told for name in ("discount", "horizon") if (told := getattr(mdp, name)) is not None},
        "prior": made.described,
        "rewards": made.rewards,
        "elsewhere": _named(mdp, elsewhere, reachable),
        "least_tries": least,
        "draws": draws,
        "plan_draws": planned.attrs["num_draws"],
        **{
            name: planned.attrs[name]
            for name in ("converged", "bound", "ties", "guarantee_level", "gain", "gain_deterministic", "rise")
            if name in planned.attrs
        },
        "seed": seed,
        **{name: posterior.attrs[name] for name in ("engine", "reason", "families") if name in posterior.attrs},
        **{name: value for name, value in policy.attrs.items()},
        "versions": json.dumps(package_versions("bayesmdp", "jax", "numpyro")),
    }
    groups = {name: node.to_dataset() for name, node in posterior.children.items() if name != "prior"}
    groups |= _beside(mdp, usual, values if starts_known else None, compared)
    problem = _problem(mdp)
    if made.kind == "normal":
        noise = np.asarray(made.scatter.noise)  # type: ignore[attr-defined]
        problem["noise"] = ("state", "action") if noise.ndim > 1 else "next_state", noise
    tree = xr.DataTree.from_dict({"plan": planned, "policy": policy, "problem": problem, **opinions, **groups})
    tree.attrs = attrs
    return Report(counts, policy, tree)


def _goal(discount: float | None, horizon: int | None) -> tuple[float | None, int | None]:
    """What future rewards count: a discount, or a number of steps in its place."""
    if horizon is not None and discount is not None:
        raise ValueError(f"give a horizon or a discount, not both; got {horizon!r} and {discount!r}")
    return (DISCOUNT if horizon is None and discount is None else discount), horizon


def _checked_unit(unit: str) -> str:
    """A unit that can stand behind a number."""
    if not isinstance(unit, str) or len(unit) > LONGEST_UNIT or not all(map(str.isprintable, unit)):
        raise ValueError(f"unit is a word or two, such as 'euros', of at most {LONGEST_UNIT} characters; got {unit!r}")
    return unit.strip()


def _problem_of(
    log: xr.Dataset,
    discount: float | None,
    horizon: int | None,
    elsewhere: str,
    reachable: pd.DataFrame | None,
    initial: Hashable | None,
) -> MDP:
    """The problem that the log describes, with every state an outcome of every pair where that is affordable."""
    discount, horizon = _goal(discount, horizon)
    if elsewhere == "auto":
        states, actions = len(label_set(log, "states")), len(label_set(log, "actions"))
        elsewhere = "each" if states**2 * actions <= EACH else "mean"
    options: dict[str, Any] = {"elsewhere": elsewhere, "reachable": reachable, "initial": initial}
    return mdp_from_log(log, discount=discount, horizon=horizon, **options)


def _beside(
    mdp: MDP, usual: Estimate | None, values: xr.DataArray | None, compared: Compared | None
) -> dict[str, xr.Dataset]:
    """What is done today, and the values at the start, under draws that the policy was not chosen with."""
    groups = {}
    if usual is not None:
        labels = {"state": label_array(mdp.states), "action": label_array(mdp.actions)}
        groups["baseline"] = xr.Dataset({"probability": (("state", "action"), usual.mean)}, labels)
    if values is not None:
        groups["at_start"] = xr.Dataset({"value": at_start(values, mdp)})
        if compared is not None:
            groups["at_start"]["today"] = at_start(values - compared.gains, mdp)
    return groups


def _named(mdp: MDP, elsewhere: str, reachable: pd.DataFrame | None) -> str:
    """What became of next states that were not seen."""
    return (
        "declared" if reachable is not None else "each" if mdp.successor is None else elsewhere.replace("auto", "mean")
    )


def _check_memory(mdp: MDP, draws: int) -> None:
    """Refuse draws, of transitions or of values by stage, that would take more memory than `DRAWS_BYTES`."""
    stages = int(mdp.horizon or 1)
    drawn = f"{mdp.num_states:,} states x {mdp.num_actions} actions x {mdp.num_outcomes} outcomes"
    for numbers, of in (
        (mdp.num_states * mdp.num_actions * mdp.num_outcomes, drawn),
        (stages * mdp.num_states, f"{mdp.num_states:,} values at {stages:,} stages"),
    ):
        size = 8 * draws * numbers
        if size > DRAWS_BYTES:
            fewer, most = "shorten the horizon" if of != drawn else "merge states", int(draws * DRAWS_BYTES / size)
            remedy = f"lower draws to {most} or less, or {fewer}" if most else fewer
            raise ValueError(f"{draws} draws of {of} take {size / 2**30:.1f} GiB; {remedy}")


def _counts(log: xr.Dataset, mdp: MDP, rows: Transitions) -> dict[str, int]:
    """Count what the log holds: rows, states, pairs tried, ends."""
    ends = {name: ends_of(log, name) for name in ("terminated", "truncated")}
    count = counts_of(log)
    told = bool(log.attrs.get("starts_known", 1)) and bool(log.attrs.get("ordered", 1))
    return {
        "rows": size_of(log),
        "states": mdp.num_states,
        "terminal": int(mdp.terminal.sum()),
        "actions": mdp.num_actions,
        "pairs": int((~mdp.terminal).sum()) * mdp.num_actions,
        "tried": len(np.unique(rows.state.astype(np.int64) * mdp.num_actions + rows.action)),
        **{name: round(float(count[ended].sum())) for name, ended in ends.items()},
        "dropped": int(log.attrs.get("dropped", 0)),
        **({"episodes": round(float(count[begins_of(log)].sum()))} if told else {}),
    }


def _posterior(
    model: Model, log: xr.Dataset, mdp: MDP, draws: int, seed: int
) -> tuple[xr.DataTree, xr.DataTree, xr.DataTree]:
    """Return the posterior to keep, draws to plan with, and draws to judge by."""
    rows, _ = log_rows(read(model, mdp.outcome_dim, covariates_of(log)), log, mdp)
    try:
        kept = infer(model, rows, draws=0, method="exact", mdp=mdp, seed=seed)
        if not json.loads(kept.attrs["deterministic"]):
            return kept, draw(kept, draws, seed=seed, model=model), draw(kept, draws, seed=seed + 1, model=model)
        # Transitions that the model computes from other unknowns are kept as draws: the file has no model to do so.
        kept = draw(kept, 2 * draws, seed=seed, model=model)
    except NotConjugate:
        kept = infer(model, rows, draws=2 * draws, mdp=mdp, seed=seed)
    drawn = kept["posterior"].to_dataset().stack(sample=("chain", "draw"), create_index=False)
    halves = (drawn.isel(sample=slice(None, None, 2)), drawn.isel(sample=slice(1, None, 2)))
    planning, fresh = (xr.DataTree.from_dict({"posterior": half}) for half in halves)
    return kept, planning, fresh


def _problem(mdp: MDP) -> xr.Dataset:
    """Return the problem that the plan was made for, enough to make the MDP again."""
    outcome = mdp.outcome_dim if mdp.reward.shape[-1] > 1 else "one"
    table = {} if mdp.successor is None else {"successor": (("state", "action", "outcome"), mdp.successor)}
    return xr.Dataset(
        {
            "reward": (("state", "action", outcome), mdp.reward),
            **table,
            "available": (("state", "action"), mdp.available),
            "terminal": ("state", mdp.terminal),
            "initial": ("state", mdp.initial),
        },
        coords={"state": label_array(mdp.states), "action": label_array(mdp.actions)},
    )
