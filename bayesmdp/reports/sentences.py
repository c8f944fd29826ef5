"""Sentences of the page, for a reader who knows the domain and no reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import bidirectional

from bayesmdp.foundation.visible_text import one_line
from bayesmdp.offline.log_alarms import SPARING
from bayesmdp.offline.log_answers import was_tested
from bayesmdp.reports.numbers import few
from bayesmdp.reports.words import steps_told

__all__ = ["counted_told", "departing", "label_told", "reason_told", "trust_told"]


def counted_told(attrs: Mapping[Any, Any]) -> str:
    """How rewards are counted, for who knows no discount."""
    unit = f", in {attrs['unit']}" if "unit" in attrs else ""
    if "horizon" in attrs:
        return f"The amount earned is the sum of the rewards over {steps_told(attrs['horizon'])}{unit}."
    return (
        f"The amount earned is the sum of all future rewards{unit}. With each step into the future, a reward counts "
        f"{attrs['discount']:g} times as much (the discount)."
    )


def trust_told(checks: Sequence[Mapping[str, Any]]) -> str:
    """How far the log can be trusted, by the checks that were made of it."""
    alarms = [str(each["check"]) for each in checks if each["alarm"]]
    asked = sum(was_tested(str(each["found"])) for each in checks)
    if not checks:
        return "The log was not checked: it is so long that the checks would take too much time."
    if alarms:
        grave = not set(alarms) <= set(SPARING)
        rest = ": the numbers on this page rest on assumptions that do not seem to hold" * grave
        return (
            f"{len(alarms)} of {asked} checks raised an alarm ({', '.join(alarms)}){rest}. Read what each alarm means "
            "before you use the plan."
        )
    return (
        f"No problem was found by {asked} checks. Checks cannot find what left no trace in the log, such as a reason "
        "for an action that nobody wrote down."
    )


def departing(policy: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
    """Where the plan does something else than what is done most often today, and in how many states that is known.

    Parameters
    ----------
    policy : sequence of mappings
        The list ``policy`` of the content of a report.
    """
    known = [entry for entry in policy if entry["reason"].get("today_action") is not None]
    return [entry for entry in known if str(entry["reason"]["today_action"]) != str(entry["action"])], len(known)


def reason_told(entry: Mapping[str, Any]) -> list[str]:
    """Why the plan does what it does in a state, in sentences.

    Parameters
    ----------
    entry : mapping
        Of the list ``policy`` of the content of a report.
    """
    reason = entry["reason"]
    paid = "" if reason["paid"] is None else f", with an average reward of {few(reason['paid'])}"
    times = f"{entry['tried']:,} time" + "s" * (entry["tried"] != 1)
    told = [f"Tried {times} here{paid}."]
    if reason["runner_up"] is None:
        return [*told, "No other action was tried here, so there is nothing to compare it with."]
    mean, low, high = (reason[name] for name in ("difference", "difference_lower", "difference_upper"))
    label = f"“{label_told(reason['runner_up'])}”"
    other = f"{label}, the best alternative"
    if low == mean == high == 0:
        return [*told, f"It earns the same as {label}."]
    range_ = f"(middle 90% of the difference: {few(low)} to {few(high)})"
    if low > 0:
        return [*told, f"On average, it earns {few(mean)} more than {other} {range_}."]
    why = "it is the better one by the criterion of the plan and its draws"
    if reason["too_rare"]:
        why = f"{label} was tried too rarely to be planned with"
    chosen = f"; {why}" if mean < 0 else ""
    compared = f"it earns {few(abs(mean))} {'more' if mean >= 0 else 'less'} than {other} {range_}{chosen}."
    if high < 0:
        return [*told, f"On average, {compared}"]
    return [*told, f"Too close to call from this log: on average, {compared}"]


def label_told(label: Any) -> str:
    r"""A label as it is read: in one line, and not as nothing where it is blank.

    What is written from right to left is isolated, so that it does not turn round what stands beside it.

    Examples
    --------
    >>> label_told("left"), label_told("")
    ('left', '(blank)')
    >>> label_told("\u05de\u05e6\u05d1") == "\u2068\u05de\u05e6\u05d1\u2069"
    True
    """
    text = one_line(label)
    if any(bidirectional(sign) in ("R", "AL", "AN") for sign in text):
        return f"\u2068{text}\u2069"
    if text.strip():
        return text
    return f"({len(text)} blank{'s' * (len(text) > 1)})" if text else "(blank)"
