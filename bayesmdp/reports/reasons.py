"""Why the plan does what it does in a state: what was tried there, what followed, and what the next best would cost.

Under each draw of the posterior that the plan has not seen, ``q(s, a)`` is what is earned by taking an action now and
going on by the plan. The *runner-up* is the action, among the others that the log tried in that state, of the largest
posterior mean of q; the reason is the posterior of ``q(s, chosen) - q(s, runner-up)``. Plans for a quantile are not
those of the largest mean, so that a difference may be below 0: the chosen action is then the more cautious one.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.planning.operators import expected_reward, target
from bayesmdp.planning.posterior_draws import read_dataset, read_draws
from bayesmdp.planning.posterior_value import value_draws
from bayesmdp.problems.labels import label_array
from bayesmdp.reports.kept_plan import KeptPlan

__all__ = ["followed", "reasons"]

_target = jax.jit(target)


def reasons(plan: KeptPlan) -> xr.Dataset:
    """Compare each state's action with the runner-up, at the first stage.

    Parameters
    ----------
    plan : KeptPlan

    Returns
    -------
    Dataset over ``state``
        ``runner_up`` (label; empty where the log tried nothing else), ``difference`` (posterior mean of what is earned
        more, in the units of the value) with ``difference_lower`` and ``difference_upper`` (its 5% and 95% quantiles),
        ``better`` (share of draws in which the chosen action earns more), NaN where there is no runner-up; ``paid``
        (mean reward of the chosen pair's tries, NaN without any), ``q`` [state, action] (posterior means, NaN where an
        action was not tried); ``too_rare``, whether the runner-up was tried too rarely to be planned with; and, if
        today is known, ``today_action``, the most frequent one (the plan's, if it is as frequent as any), and
        ``today_share``.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.reports.kept_plan import read_plan
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> told = reasons(read_plan(bm.plan_log(log, discount=0.95, draws=50, calibration=0).tree))
    >>> told["runner_up"].values.tolist()
    ['left', 'left', 'left', 'left', 'left', 'left']
    >>> bool((told["difference"] > 0).all())
    True
    """
    mdp, tries = plan.mdp, plan.tries
    chosen = plan.chosen[0] if mdp.by_stage else plan.chosen
    state = np.arange(mdp.num_states)
    q = _q(plan)
    tried = (tries > 0) & mdp.available & ~mdp.terminal[:, None]
    mean = np.where(tried, q.mean(0), np.nan)
    others = np.where(tried & (np.arange(mdp.num_actions) != chosen[:, None]), q.mean(0), -np.inf)
    runner = others.argmax(-1)
    compared = np.isfinite(others.max(-1)) & tried[state, chosen]
    difference = q[:, state, chosen] - q[:, state, runner]
    # A difference of values that are the same may not be 0.
    difference[np.abs(difference) <= 1e-9 * float(np.abs(q).max())] = 0
    low, high = np.quantile(difference, [0.05, 0.95], axis=0, method="inverted_cdf")
    labels = label_array(mdp.actions, text=True).astype(str)

    def where_compared(values: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
        return "state", np.where(compared, values, np.nan)

    reward = np.asarray(expected_reward(plan.counts, mdp.reward))[..., 0] if mdp.reward.shape[-1] > 1 else None
    total = tries * mdp.reward[..., 0] if reward is None else reward
    with np.errstate(invalid="ignore", divide="ignore"):
        paid = np.where(tries > 0, total / tries, np.nan)
    columns: dict[str, Any] = {
        "runner_up": ("state", np.where(compared, labels[runner], "")),
        "difference": where_compared(difference.mean(0)),
        "difference_lower": where_compared(low),
        "difference_upper": where_compared(high),
        "better": where_compared((difference > 0).mean(0)),
        "paid": ("state", paid[state, chosen]),
        "too_rare": ("state", compared & ~plan.open[state, runner]),
        "q": (("state", "action"), mean),
    }
    today = plan.today
    if today is not None:
        acted = tries.any(-1) & ~mdp.terminal
        # Of several that are as frequent it is the plan's own, if that is among them.
        as_frequent = today.mean[state, chosen] >= today.mean.max(-1) - 1e-12
        usual = np.where(as_frequent, chosen, today.mean.argmax(-1))
        columns["today_action"] = "state", np.where(acted, labels[usual], "")
        columns["today_share"] = "state", np.where(acted, today.mean[state, usual], np.nan)
    coords = {"state": label_array(mdp.states), "action": label_array(mdp.actions)}
    return xr.Dataset(columns, coords)


def followed(plan: KeptPlan, state: int, action: int, most: int = 3) -> tuple[list[tuple[Any, int]], int]:
    """What followed a pair in the log.

    Parameters
    ----------
    plan : KeptPlan
    state, action : int
        Positions.
    most : int
        Next states told.

    Returns
    -------
    list of (next state, times), the most frequent first, and how many more next states there were
    """
    counts = plan.counts[state, action]
    order = np.argsort(-counts, kind="stable")
    seen = order[counts[order] > 0]
    leads = seen if plan.mdp.successor is None else plan.mdp.successor[state, action, seen]
    told = [(plan.mdp.states[lead], round(float(counts[place]))) for lead, place in zip(leads, seen, strict=True)]
    return told[:most], max(0, len(told) - most)


def _q(plan: KeptPlan) -> NDArray[np.float64]:
    """What an action now, and the plan from then on, earn under each fresh draw [draw, state, action]."""
    mdp, posterior = plan.mdp, plan.posterior(fresh=True)
    draws = read_draws(read_dataset(posterior), mdp)
    values = value_draws(posterior, mdp, plan.policy).values
    if mdp.by_stage:
        values = values[:, 1] if values.shape[1] > 1 else np.zeros_like(values[:, 0])
    with jax.enable_x64(True):
        rewards = draws.reward if np.ndim(draws.reward) == 4 else [draws.reward] * len(values)
        return np.stack(
            [np.asarray(_target(mdp.problem, *each)) for each in zip(draws.transition, rewards, values, strict=True)]
        )
