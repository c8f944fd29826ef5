"""What the checks of a log found, judged together: p-values corrected for their number, alarms, and words on each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayesmdp.offline.log_alarms import QUIET, Alarm
from bayesmdp.results.comparison import corrected

__all__ = ["NO_POLICY", "Answer", "judged", "was_tested"]

SHARE = 0.1
"""Of the discounted future, above which what lies behind steps that were little tried is told as an alarm."""


NO_POLICY = "not tested: it takes one policy for all steps, and none was given"
"""Found by the check of few tries where there is no policy to ask about."""


class Answer(NamedTuple):
    """What one check found.

    Attributes
    ----------
    found : str
    p : float
        NaN if it is no test, or could not be asked.
    statistic : float
        A log Bayes factor, or a share.
    """

    found: str
    p: float = np.nan
    statistic: float = np.nan


def was_tested(found: str) -> bool:
    """Say whether a check could be made, by what it found.

    Parameters
    ----------
    found : str
        Of an `Answer`; files of plans made before this was reworded say "not asked".

    Examples
    --------
    >>> was_tested("rewards do not vary"), was_tested("not tested: no policy was given")
    (True, False)
    """
    return not found.startswith(("not tested", "not asked"))


def judged(answers: Mapping[str, Answer], alarms: Mapping[str, Alarm], *, level: float, **attrs: Any) -> xr.Dataset:
    """Return what checks found, and which of them raise an alarm.

    Parameters
    ----------
    answers : mapping of check to Answer
        Among them "few tries", which is no test: it alarms when its share is more than a tenth.
    alarms : mapping of check to Alarm
        What an alarm means; checks are told in its order.
    level : float in (0, 1)
        At which P-values, corrected by Holm, alarm.
    **attrs
        Of the Dataset, after `level`.

    Returns
    -------
    Dataset over ``check``
        As `check_log` describes it.
    """
    names = tuple(alarms)
    ordered = [answers[name] for name in names]
    p = np.array([answer.p for answer in ordered])
    p_adjusted = p.copy()
    p_adjusted[~np.isnan(p)] = corrected(p[~np.isnan(p)], "holm")
    alarm = p_adjusted <= level
    alarm[names.index("few tries")] = answers["few tries"].statistic > SHARE
    texts = [alarms[name] if rings else QUIET for name, rings in zip(names, alarm, strict=True)]
    columns = {
        "found": [answer.found for answer in ordered],
        "statistic": np.array([answer.statistic for answer in ordered]),
        "p_value": p,
        "p_adjusted": p_adjusted,
        "alarm": alarm,
        "meaning": [text.meaning for text in texts],
        "remedy": [text.remedy for text in texts],
    }
    return xr.Dataset(
        {name: ("check", values) for name, values in columns.items()},
        coords={"check": list(names)},
        attrs={"level": level, **attrs},
    )
