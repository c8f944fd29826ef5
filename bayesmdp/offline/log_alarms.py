"""What an alarm of `check_log` means, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["ALARMS", "QUIET", "Alarm"]


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


QUIET = Alarm("nothing speaks against it", "")

ALARMS: Mapping[str, Alarm] = {
    "order": Alarm(
        "the states do not tell all that matters for what comes next, on which every plan and every number here rests",
        "make states of the state and what the step before tells, or of what was left out, and plan again; doubly "
        "robust and the importance sampling of off_policy do not lean on it",
    ),
    "hidden cause": Alarm(
        "something that lasts and is not in the log seems to move both the actions and the next states, so what "
        "followed an action is not what the action does",
        "record what those who acted knew and make it part of the states; until then do not act on the plan, nor on "
        "off_policy",
    ),
    "dynamics drift": Alarm(
        "the same action in the same state led elsewhere in the later half; the plan is for the mean of both halves, "
        "in which nobody lives",
        "plan from the later half, log.isel(step=slice(log.sizes['step'] // 2, None)), or make the period part of the "
        "states",
    ),
    "reward drift": Alarm(
        "the same transition paid otherwise in the later half; what is quoted is a mean of both",
        "measure rewards in one unit (prices, scales), or plan from the later half, "
        "log.isel(step=slice(log.sizes['step'] // 2, None))",
    ),
    "behaviour drift": Alarm(
        "those who made the log changed their ways; the plan does not mind, but importance sampling takes one "
        "behaviour for all of it",
        "judge the policy on each half by itself; read only fitted Q of off_policy for the whole",
    ),
    "reward tails": Alarm(
        "single rewards outweigh the others, with tails heavier than exponential; means, and intervals of them, "
        "hang on a few steps",
        "look at the largest rewards; if they are right, cap them or model them with tails (such as Student's t) by "
        "rewards=FILE.py:NAME",
    ),
    "few tries": Alarm(
        "more than a tenth of what is promised lies at or behind actions tried fewer than five times",
        "record more of those pairs (the plan names the least known), or plan with more caution, such as quantile:0.05",
    ),
}
