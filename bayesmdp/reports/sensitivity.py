"""What would change had something else been asked: another weight of the prior, discount, horizon, level, other draws.

Each of them is planned for again, by the same draws where these are of the same posterior, and set beside the plan at
hand: in how many states another action is taken, and what its own policy is worth under fresh draws, unchecked. Plans
of the same shapes share their compiled programs. The last line, other draws alone, says how much of that is chance.
Where a problem is large all of them, the plan at hand too, are made with few draws, and set beside that one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.offline.least_tries import often_tried
from bayesmdp.offline.over_today import gained, plan_for_gain
from bayesmdp.offline.prior_weight import FACTORS
from bayesmdp.planning import plan as make_plan
from bayesmdp.planning.over_baseline import refuse_gain
from bayesmdp.planning.posterior_value import at_start, value_draws
from bayesmdp.planning.quantile_interval import left_quantile
from bayesmdp.planning.risk import Risk
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import action_indices
from bayesmdp.reports.kept_plan import KeptPlan
from bayesmdp.reports.words import steps_told

__all__ = ["sensitivity"]

NAMED = 5
"""States with another action that are named."""

AFFORDABLE, MOST = 10_000_000, 50_000_000
"""Numbers in the draws of one plan above which plans are made again with `THRIFTY` draws, and, with these, above which
nothing is planned again: each plan would take more than some ten seconds."""

THRIFTY = 40
"""Draws of plans of large problems."""


class _Asked(NamedTuple):
    """Something else that could have been asked.

    Attributes
    ----------
    what, value : str
        Its name, and the value that it has.
    mdp : MDP
    risk : Risk
    weight : float
        Of the prior of transitions, times its own.
    comparable : bool
        Whether values are in the units of the plan at hand.
    seed : int
        Added to the seed of the draws.
    """

    what: str
    value: str
    mdp: MDP
    risk: Risk
    weight: float = 1.0
    comparable: bool = True
    seed: int = 0


def sensitivity(plan: KeptPlan) -> xr.Dataset:
    """Plan again with another prior, discount or horizon, level and other draws.

    Parameters
    ----------
    plan : KeptPlan

    Returns
    -------
    Dataset over ``change``
        ``what`` was changed and its ``value``, as text; ``changed``, the number of states that the log acted in where
        another action is taken (at the first stage), ``states``, the first of them as JSON, and ``changed_share``, that
        of the log's steps in them; ``bound``, the posterior quantile, at the plan's level, of what the policy earns at
        the start, and ``gain_bound``, that of the gain over today, both unchecked and NaN where not told;
        ``comparable``, whether they are in the units of the plan at hand. The first entry is that plan itself, made
        with as many draws as the others; these are compared with it, and it with the plan at hand. Attrs: ``states``,
        among how many; ``draws``; ``skipped``, what was not asked and why; or ``why_not`` alone.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.reports.kept_plan import read_plan
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> told = sensitivity(read_plan(bm.plan_log(log, discount=0.95, draws=50, calibration=0).tree))
    >>> told["what"].values.tolist()
    ['as planned', 'prior', 'prior', 'discount', 'discount', 'level', 'level', 'draws']
    """
    draws = _draws(plan)
    if not draws:
        return xr.Dataset(attrs={"why_not": "the problem is large, and each new plan would take as long as this one"})
    if draws < plan.attrs["draws"]:
        tree = plan.tree.copy()
        tree.attrs = tree.attrs | {"draws": draws}
        plan = plan._replace(tree=tree)
    tries = plan.tries
    acted = tries.any(-1) & ~plan.mdp.terminal
    began = plan.chosen[0] if plan.mdp.by_stage else plan.chosen
    rows: list[tuple[Any, ...]] = []
    for asked in _others(plan):
        chosen, bound, gain_bound = _planned(plan, asked)
        other = (chosen != began) & acted
        share = float(tries[other].sum() / tries[acted].sum())
        began = began if rows else chosen
        named = json.dumps([plan.mdp.states[state] for state in np.flatnonzero(other)[:NAMED]])
        told = asked.what, asked.value, int(other.sum()), named, share, bound, gain_bound, asked.comparable
        rows.append(told)
    names = ("what", "value", "changed", "states", "changed_share", "bound", "gain_bound", "comparable")
    columns = {name: ("change", list(column)) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    attrs = {"states": int(acted.sum()), "draws": draws, "skipped": _skipped(plan)}
    return xr.Dataset(columns, attrs=attrs)


def _draws(plan: KeptPlan) -> int:
    """With how many draws plans are made again: those of the plan, fewer of a large problem, or none."""
    draws = int(plan.attrs["draws"])
    each = int(np.prod(plan.mdp.sizes)) * (1 + (plan.mdp.horizon or 0) / 100)
    if draws * each <= AFFORDABLE:
        return draws
    # Those of a posterior that was sampled are kept, and of an exact quantile there are none.
    fewer = "posterior" not in plan.tree.children and plan.attrs["plan_draws"] and draws > THRIFTY
    return THRIFTY if fewer and THRIFTY * each <= MOST else 0


def _others(plan: KeptPlan) -> Iterator[_Asked]:
    """What is asked, the plan at hand first."""
    mdp, name = plan.mdp, plan.attrs["risk"].removesuffix(" of the gain").removesuffix(" exact")
    risk = risk_from_text(name)
    as_it_is = _Asked("as planned", "", mdp, risk)
    yield as_it_is
    if plan.concentration is not None:
        for weight, value in zip(FACTORS, ("a third of its weight", "three times its weight"), strict=True):
            yield as_it_is._replace(what="prior", value=value, weight=weight)
    if mdp.by_stage:
        for steps in sorted({max(1, mdp.horizon // 2), 2 * mdp.horizon} - {mdp.horizon}):  # type: ignore[operator]
            changed = mdp.replace(horizon=steps)
            yield as_it_is._replace(what="horizon", value=steps_told(steps), mdp=changed, comparable=False)
    else:
        # Half as far, and twice as far, as the discount looks ahead: 1 / (1 - discount) steps.
        for ahead in (2.0, 0.5):
            discount = 1 - ahead * (1 - mdp.discount)  # type: ignore[operator]
            if discount > 0:
                value = f"{discount:.12g}"
                changed = mdp.replace(discount=discount)
                yield as_it_is._replace(what="discount", value=value, mdp=changed, comparable=False)
    measure, colon, level = name.partition(":")
    for factor, how in ((0.5, "more careful"), (2.0, "less careful")) * bool(colon):
        other = f"{measure}:{factor * float(level):g}"
        if factor * float(level) < 1 and not _refused(plan, other):
            yield as_it_is._replace(what="level", value=f"{other}, {how}", risk=risk_from_text(other))
    if "posterior" not in plan.tree.children and plan.attrs["plan_draws"]:
        yield as_it_is._replace(what="draws", value="another seed", seed=1_000)


def _refused(plan: KeptPlan, risk: str) -> bool:
    """Whether a gain cannot be planned for with this risk: too few draws are in its tail."""
    if plan.attrs["aim"] != "gain":
        return False
    try:
        refuse_gain(plan.mdp, risk_from_text(risk), plan.attrs["draws"])
    except ValueError:
        return True
    return False


def _skipped(plan: KeptPlan) -> str:
    """What was not asked, and why."""
    if plan.concentration is None:
        return "other weights of the prior, because its rows are not Dirichlet"
    return ""


def _planned(plan: KeptPlan, asked: _Asked) -> tuple[NDArray[np.int64], float, float]:
    """Actions [state] of the plan for something else, at the first stage; its bound, and that of its gain."""
    attrs, mdp, today = plan.attrs, asked.mdp, plan.today
    drawn, fresh = (
        plan.posterior(fresh=judged, prior_weight=asked.weight, offset=asked.seed) for judged in (False, True)
    )
    if attrs["aim"] == "gain":
        assert today is not None
        made = plan_for_gain(drawn, mdp, asked.risk, today.mean, plan.tries, plan.least_tries)
        policy = made["probability"]
    else:
        exact = not attrs["plan_draws"]
        often = often_tried(mdp, plan.tries, plan.least_tries)
        made = make_plan(drawn, often, asked.risk, quantile="exact" if exact else "draws", strict=False)
        policy = made["policy"]
    chosen = action_indices(mdp, made["policy"])
    chosen = chosen[0] if mdp.by_stage else chosen
    if "initial_bound" not in attrs:
        return chosen, np.nan, np.nan
    level: Any = attrs["level"]
    values = value_draws(fresh, mdp, policy)
    bound = float(left_quantile(at_start(values, mdp).values, level))
    if today is None:
        return chosen, bound, np.nan
    gains = gained(fresh, mdp, policy, values, today, plan.tries, attrs["seed"] + asked.seed + 1)
    return chosen, bound, 0.0 if gains is None else float(left_quantile(at_start(gains, mdp).values, level))
