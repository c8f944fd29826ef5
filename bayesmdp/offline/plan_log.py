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
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jax.typing import ArrayLike

from bayesmdp.foundation.one_thread import one_blas_thread
from bayesmdp.logs.compress import compress
from bayesmdp.logs.covariates import covariates_of
from bayesmdp.logs.log import as_labels, begins_of, counts_of, ends_of, label_set, size_of
from bayesmdp.logs.problem_from_log import mdp_from_log
from bayesmdp.model_reading.read_model import Model, read
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.at_start import Asked, said_at_start
from bayesmdp.offline.behaviour import Estimate, today_of
from bayesmdp.offline.named_prior import make_prior
from bayesmdp.offline.over_today import Compared, check_aim, compare, plan_for_gain
from bayesmdp.offline.policy_table import policy_table
from bayesmdp.offline.promise import Promise
from bayesmdp.offline.second_opinion import second_opinion
from bayesmdp.planning import plan
from bayesmdp.planning.posterior_value import at_start, value_draws
from bayesmdp.planning.risk import Risk, offered
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.posterior import NotConjugate, draw, infer
from bayesmdp.posterior.inference.transitions import log_rows
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import action_indices

__all__ = ["Report", "plan_log"]

DISCOUNT = 0.99
"""Where neither a discount nor a horizon is asked for."""

DRAWS_BYTES = 2**31
"""Refuse draws of the transition probabilities, or of values, that take more: several copies of them are made."""

EACH = 50_000
"""States times actions times states up to which each state is by itself an outcome of each pair."""

MADE_BY = "bayesmdp plan"
"""By which the tree of a plan from a log is told from others."""


class Report(NamedTuple):
    """A policy planned from a log, with what it promises and what it is worth.

    Attributes
    ----------
    log : dict of str to int
        ``rows``, ``states``, ``terminal``, ``actions``, ``pairs`` and ``tried`` (pairs of a state and an action that
        could be, and that were, tried), ``terminated`` and ``truncated`` (rows), ``dropped`` (rows that the log's
        reader left out because nothing follows them) and ``episodes``, where the log says where they start.
    policy : Dataset over ``state``, or over ``stage`` (steps taken) and ``state`` of a plan for a horizon
        ``action`` (label; empty in terminal states and where none was tried), ``visits`` of the state, ``tried``: those
        of the chosen pair, ``promise``, ``worth_lower`` and ``worth_upper`` (5% and 95% posterior quantiles of the
        policy's value), ``worth_quantile`` (that at the risk's level) with ``worth_quantile_lower`` and
        ``worth_quantile_upper`` (its 95% Monte Carlo interval), ``on_path``, ``terminal``. Attrs: the same at the
        initial distribution, as ``initial_promise``; and ``initial_bound``, the number to quote, with ``checked_logs``,
        ``checked_kept`` (before it was lowered), ``checked_lowered`` (by how much), ``checked_kept_lowered``,
        ``checked_worlds`` and ``checked_halves`` (what each world, and the halves of the log, said), or
        ``unchecked``, why not; ``initial_unseen``, the share of the future, discounted or over the horizon, that lies
        behind the first step which the log never saw; and ``initial_lighter`` and ``initial_heavier``, the posterior
        quantile if the prior of transitions weighed a third, or three times, as much. None of these where gaps of the
        log leave open where episodes start.

        Beside what is done today: ``today``, how probable the action is today, ``gain``, ``gain_lower``, ``gain_upper``
        (mean, 5% and 95% quantiles of what the policy is worth more), ``better`` (the share of draws in which it is)
        and, with a discount and up to 300 states, ``departing``: the mean of what the *start* gains by this action, in
        the place of doing as today in this state alone. Attrs: ``initial_today``, its value, with ``_lower`` and
        ``_upper``; ``initial_gain`` likewise; ``initial_gain_bound``, its quantile at the risk's level, lowered by what
        the check found, which is under ``gain_checked_kept`` and so on, as of the bound; and the probability that
        anything is gained: ``initial_better`` by draws, ``initial_better_checked`` by the check (`Checked.chance`);
        ``initial_unchanged``, whether the plan is to go on as today.
        A plan for the gain may mix actions: ``action`` is the most probable one, ``probability`` its own, and ``mixes``
        says where there are others, which ``plan`` has in full.
    tree : DataTree
        Groups ``plan``, ``policy``, ``problem`` and those of the posterior, ``log_checks`` and ``second_opinion`` where
        there are any (:mod:`bayesmdp.offline.second_opinion`); ``baseline``, the ``probability`` of each action today
        [state, action], where something is said of today; ``at_start``, the value where episodes start [draw], of the
        policy and of ``today``, where that is known; what was asked for as attrs.
    """

    log: dict[str, int]
    policy: xr.Dataset
    tree: xr.DataTree

    @property
    def bound(self) -> float:
        """What the policy earns at the least where episodes start; NaN where the log does not say where they do."""
        return float(self.tree.attrs.get("initial_bound", np.nan))

    @property
    def gain(self) -> float:
        """What is gained over what is done today, at the least, where episodes start; NaN where that is not known."""
        return float(self.tree.attrs.get("initial_gain_bound", np.nan))

    @property
    def checked(self) -> str:
        """How the bound and the gain were checked, in a sentence."""
        attrs = self.tree.attrs
        if "checked_logs" not in attrs:
            return f"not checked: {attrs.get('unchecked', 'the log does not say where episodes start')}"
        text = f"on {attrs['checked_logs']} logs like yours, from worlds in which the truth is known, "
        text += f"{attrs['checked_kept']} kept the number as it is computed"
        lowered = [attrs["checked_lowered"]]
        if "gain_checked_kept" in attrs:
            text += f" and {attrs['gain_checked_kept']} the gain"
            lowered.append(attrs["gain_checked_lowered"])
        if max(lowered) <= 0:
            return text
        they = "it is" if len(lowered) == 1 else "they are"
        by = " and ".join(f"{each:#.4g}" if each > 0 else "nothing" for each in lowered)
        return f"{text}; {they} lowered by {by}, so that {they} kept as often as is said"


def plan_log(
    log: xr.Dataset,
    *,
    risk: str = "quantile:0.1",
    baseline: str | pd.DataFrame | ArrayLike = "log",
    aim: Literal["value", "gain"] = "value",
    discount: float | None = None,
    horizon: int | None = None,
    prior: str = "auto",
    settings: Mapping[str, Any] | None = None,
    rewards: str = "auto",
    elsewhere: str = "auto",
    reachable: pd.DataFrame | None = None,
    initial: Hashable | None = None,
    quantile: str = "draws",
    draws: int = 200,
    seed: int = 0,
    calibration: int = 20,
    sample: xr.Dataset | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Plan from a log, and say what the policy is worth.

    Parameters
    ----------
    log : Dataset over ``step``
        As `read_log` returns it.
    risk : str
        As for `risk_from_text`.
    baseline : "log", "none", DataFrame, or a policy as for `plan`
        What is done today, that the plan is compared with: what the log shows of its behaviour, nothing, or what is
        said, as a table (see `said_behaviour`) or probabilities [state, action].
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
        MDP and a model of transitions, which returns a model of both.
    elsewhere : {"auto", "mean", "least", "none", "each"}
        As for `mdp_from_log`; by default ``"each"`` for up to 50,000 triples of a state, an action and a next state,
        and ``"mean"`` beyond.
    reachable : DataFrame, optional
        As for `mdp_from_log`.
    initial : label, optional
        The state in which episodes start; by default where those of the log do, if it tells.
    quantile : {"draws", "exact"}
        As for `plan`.
    draws : int
        To plan with, and as many others to judge by.
    seed : int
    calibration : int
        Logs to check the promise on, for each of two worlds; 0 for none. Nothing is checked where the posterior is not
        of independent Dirichlet rows and of rewards as the log shows them, or draws are too large (`AFFORDABLE`).
    sample : Dataset over ``step``, optional
        Some episodes of a counted log, step by step (`sample_log`), which are asked for second opinions in its place.
    say : function of str
        Told what is being done.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        If something is not as asked for: see the functions named.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> report = plan_log(log, discount=0.95, draws=50)
    >>> report.policy["action"].values.tolist()
    ['right', 'right', 'right', 'right', 'right', 'right']
    """
    measure = risk_from_text(risk)
    mdp = _problem_of(log, discount, horizon, elsewhere, reachable, initial)
    _check_memory(mdp, draws)
    rows = compress(log, mdp)
    today = today_of(baseline, rows, mdp)
    starts_known = initial is not None or bool(log.attrs.get("starts_known", log.attrs.get("ordered", 1)))
    check_aim(aim, today, mdp, measure, quantile, draws, starts_known=starts_known)
    made = make_prior(prior, log, mdp, settings or {}, rewards=rewards)
    say(f"posterior of {made.described}")
    posterior, planning, fresh = _posterior(made.model, log, mdp, draws, seed)
    say(f"planning with {measure}" + " of the gain" * (aim == "gain"))
    tries = made.experience.tries
    usual = None if today is None else today.estimate(tries, mdp.available)
    if aim == "gain" and usual is not None:
        planned = plan_for_gain(planning, mdp, measure, usual.mean, tries)
    else:
        planned = plan(planning, mdp, measure, quantile=quantile, strict=False)  # type: ignore[arg-type] # checked there
    chosen = planned["probability"] if aim == "gain" else planned["policy"]
    say("worth of the policy under fresh draws")
    values = value_draws(fresh, mdp, chosen)
    compared = None if usual is None else compare(fresh, mdp, chosen, values, usual, tries, seed + 1)
    level = _level(measure)
    policy = policy_table(mdp, rows, planned, values, level, starts_known=starts_known, compared=compared)
    if starts_known:
        asked = Asked(measure, level, quantile, draws, calibration, seed, today, aim)
        said = Promise(
            planned["probability"].values if aim == "gain" else action_indices(mdp, planned["policy"]),
            at_start(values, mdp).values,
            None if compared is None else at_start(compared.gains, mdp).values,
            compared is not None and compared.as_today,
        )
        with one_blas_thread():
            policy.attrs |= said_at_start(made, log, mdp, asked, said, chosen, fresh, posterior, say=say)
    say("the log without a prior")
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
        "baseline": "none" if today is None else "as said" if today.said else "log",
        "aim": aim,
        **{name: told for name in ("discount", "horizon") if (told := getattr(mdp, name)) is not None},
        "prior": made.described,
        "rewards": made.rewards,
        "elsewhere": _named(mdp, elsewhere, reachable),
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
        "versions": json.dumps({package: version(package) for package in ("bayesmdp", "jax", "numpyro")}),
    }
    groups = {name: node.to_dataset() for name, node in posterior.children.items() if name != "prior"}
    groups |= _beside(mdp, usual, values if starts_known else None, compared)
    problem = _problem(mdp)
    if made.kind == "normal":
        problem["noise"] = ("state", "action"), np.broadcast_to(made.scatter.noise, mdp.available.shape)  # type: ignore[attr-defined]
    tree = xr.DataTree.from_dict({"plan": planned, "policy": policy, "problem": problem, **opinions, **groups})
    tree.attrs = attrs
    return Report(counts, policy, tree)


def _problem_of(
    log: xr.Dataset,
    discount: float | None,
    horizon: int | None,
    elsewhere: str,
    reachable: pd.DataFrame | None,
    initial: Hashable | None,
) -> MDP:
    """The problem that the log describes, with every state an outcome of every pair where that is affordable."""
    if horizon is not None and discount is not None:
        raise ValueError(f"give a horizon or a discount, not both; got {horizon!r} and {discount!r}")
    if horizon is None and discount is None:
        discount = DISCOUNT
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


def _level(risk: Risk) -> float:
    """Return the level at which the policy's value is reported; 0.1 for the mean, which has none, under any name."""
    own = offered(risk).level
    level = 0.1 if own is None else float(np.max(own))
    return level if level < 1 else 0.1


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
