"""What a plan from a log tells: counts of the log, the policy, and everything that was found out, as one tree."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesmdp.planning.cvar import CVaR
from bayesmdp.planning.risk import Risk, offered

__all__ = ["DISCOUNT", "MADE_BY", "Report", "level_of"]

DISCOUNT = 0.99
"""Where neither a discount nor a horizon is asked for."""

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
        ``checked_kept`` (before it was lowered), ``checked_lowered`` (by how much), ``checked_least`` (where
        that would have led below what any policy earns, and so not so far), ``checked_kept_lowered``,
        ``checked_worlds`` and ``checked_halves`` (what each world, and the halves of the log, said), or
        ``unchecked``, why not; ``initial_unseen``, the share of the future, discounted or over the horizon,
        that lies behind the first step which the log never saw; and ``initial_lighter`` and
        ``initial_heavier``, the posterior quantile if the prior of transitions weighed a third, or three times,
        as much. None of these where gaps of the log leave open where episodes start.

        Beside what is done today: ``today``, how probable the action is today, ``gain``, ``gain_lower``, ``gain_upper``
        (mean, 5% and 95% quantiles of what the policy is worth more), ``better`` (the share of draws in which it is)
        and, with a discount and up to 300 states, ``departing``: the mean of what the *start* gains by this action, in
        the place of doing as today in this state alone. Attrs: ``initial_today``, its value, with ``_lower`` and
        ``_upper``; ``initial_gain`` likewise; ``initial_gain_bound``, its quantile at the risk's level, lowered by what
        the check found, which is under ``gain_checked_kept`` and so on, as of the bound (``gain_checked_least``: no
        more of what is earned today can be lost); and the probability that anything is gained: ``initial_better`` by
        draws, ``initial_better_checked`` by the check (`Checked.chance`); ``initial_unchanged``, whether the plan is to
        go on as today.
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
        """What the policy earns at least where episodes start; NaN where the log does not show where they do."""
        return float(self.tree.attrs.get("initial_bound", np.nan))

    @property
    def gain(self) -> float:
        """What is gained at least over today's policy where episodes start; NaN where that is not known."""
        return float(self.tree.attrs.get("initial_gain_bound", np.nan))

    @property
    def checked(self) -> str:
        """How the bound and the gain were checked, in a sentence."""
        attrs = self.tree.attrs
        if "checked_logs" not in attrs:
            return f"not checked: {attrs.get('unchecked', 'the log does not show where episodes start')}"
        text = f"on {attrs['checked_logs']} simulated logs like yours, for which the true value is known: "
        text += f"the number as first computed held in {attrs['checked_kept']} of them"
        lowered = [attrs["checked_lowered"]]
        if "gain_checked_kept" in attrs:
            text += f", and the gain in {attrs['gain_checked_kept']}"
            lowered.append(attrs["gain_checked_lowered"])
        if max(lowered) <= 0:
            return text
        they, hold = ("it was", "it holds") if len(lowered) == 1 else ("they were", "they hold")
        by = " and ".join(f"{each:#.4g}" if each > 0 else "nothing" for each in lowered)
        text += f"; {they} lowered by {by}, so that {hold} as often as stated"
        least, loss = attrs.get("checked_least"), attrs.get("gain_checked_least")
        stopped = [] if least is None else [f"the number only to {least:.4g}, because no policy earns less"]
        if loss is not None:
            stopped.append(f"the gain only to {loss:.4g}, because no policy loses more of what is earned today")
        return text + f" ({'; '.join(stopped)})" * bool(stopped)


def level_of(risk: Risk) -> float:
    """Return the level at which the policy's value is reported: a risk's own, and 0.1 for what has none.

    That is the mean under any name, and CVaR of more than half of the draws, which is nearer to it: at its level the
    policy would be said to earn what it most probably does not.

    Parameters
    ----------
    risk : Risk

    Examples
    --------
    >>> level_of(CVaR(0.25)), level_of(CVaR(0.9))
    (0.25, 0.1)
    """
    own = offered(risk).level
    level = 0.1 if own is None else float(np.max(own))
    return level if level <= 0.5 or (level < 1 and not isinstance(risk, CVaR)) else 0.1
