"""What an alarm of `check_log` means, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["ALARMS", "QUIET", "SPARING", "Alarm"]

SPARING = ("behaviour drift", "few tries")
"""Checks whose alarm leaves standing what every number takes for granted."""


class Alarm(NamedTuple):
    """Words on one check.

    Attributes
    ----------
    meaning : str
        What does not hold, and what rests on it.
    remedy : str
        What to do.
    """

    meaning: str
    remedy: str


QUIET = Alarm("no problem found", "")

ALARMS: Mapping[str, Alarm] = {
    "order": Alarm(
        "the states leave out something that affects what happens next, but every plan and number here assumes that "
        "they do not",
        "add what is missing, or the previous step, to the states, and plan again; the doubly robust and importance "
        "sampling estimates of off_policy do not need this assumption",
    ),
    "hidden cause": Alarm(
        "something persistent that is not in the log seems to influence both the actions and the next states, so what "
        "followed an action in the log is not the effect of the action",
        "record what the people who acted knew, and include it in the states; until then, rely neither on the plan nor "
        "on off_policy",
    ),
    "dynamics drift": Alarm(
        "the same action in the same state had other outcomes in the later half of the log; the plan is made for "
        "an average of both halves, which describes neither",
        "plan from the later half, log.isel(step=slice(log.sizes['step'] // 2, None)), or include the period in the "
        "states",
    ),
    "reward drift": Alarm(
        "the same transition had different rewards in the later half of the log; the reported numbers average both",
        "measure rewards on one scale (prices, units), or plan from the later half, "
        "log.isel(step=slice(log.sizes['step'] // 2, None))",
    ),
    "behaviour drift": Alarm(
        "the policy that produced the log changed over time; this does not affect the plan, but importance sampling "
        "assumes a single behaviour throughout",
        "evaluate the policy on each half separately; for the whole log use only the fitted Q estimate of off_policy",
    ),
    "reward tails": Alarm(
        "a few very large rewards dominate (the tails are heavier than exponential), so means and their intervals "
        "depend on a few steps",
        "inspect the largest rewards; if they are correct, cap them, or model them with heavy tails (such as Student's "
        "t) by rewards=FILE.py:NAME",
    ),
    "few tries": Alarm(
        "much of what is reported rests on actions that were tried fewer than five times (over a tenth is an alarm)",
        "record more data on these pairs (the plan lists the least tried), or plan more cautiously, as by "
        "quantile:0.05",
    ),
}
