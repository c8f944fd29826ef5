"""Sentences of the page, for a reader who knows the domain and no reinforcement learning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import xarray as xr

from bayesmdp.foundation.visible_text import one_line
from bayesmdp.reports.numbers import amount, few, percent
from bayesmdp.reports.words import chances_told, same_for_all, steps_told, whose

__all__ = ["cautions_told", "counted_told", "departing", "label_told", "reason_told", "recommendation", "trust_told"]

MUCH = 0.2
"""Of the future behind steps never seen, from which it is said beside the recommendation."""


def recommendation(attrs: Mapping[Any, Any]) -> tuple[str, str]:
    """What is recommended, and how sure it is that it beats what is done today: a status, and a sentence or two.

    Parameters
    ----------
    attrs : mapping
        Of the tree of a `Report`.

    Returns
    -------
    status : {"better", "not shown", "no difference", "unchanged", "not compared", "no start"}
    sentence : str
    """
    if "initial_bound" not in attrs:
        return "no start", (
            "The plan below says what to do in each state. What it earns in all, and whether that is more than what is "
            "done today, is not told: the log does not say where episodes start."
        )
    certain = f"{1 - attrs['level']:g}"
    if "initial_gain_bound" not in attrs:
        return "not compared", (
            f"The plan below earns {amount(attrs['initial_bound'], attrs)} or more, with probability {certain}. It "
            "was not compared with what is done today, as was asked."
        )
    bound, chances = attrs["initial_gain_bound"], list(chances_told(attrs).values())
    if bound > 0:
        # The more cautious of the two.
        lower = -1 if attrs.get("initial_better_checked", 1.0) <= attrs["initial_better"] else 0
        if attrs["level"] > 0.5:
            return "not shown", (
                f"It is not shown that the plan below is better than {whose(attrs)}: it earns at least "
                f"{amount(bound, attrs)} more with probability {certain} only, for such was the risk asked for. That "
                f"it earns more at all has probability {chances[lower]}."
            )
        return "better", (
            f"Follow the plan below, if what it rests on holds: it earns at least {amount(bound, attrs)} more than "
            f"{whose(attrs)}, which earns {amount(attrs['initial_today'], attrs)} on average, with probability "
            f"{certain}. That it earns more at all has probability {chances[lower]}."
        )
    if attrs["initial_unchanged"]:
        return "unchanged", f"Go on as today: to do as {whose(attrs)} does is the plan."
    if same_for_all(attrs):
        return "no difference", (
            f"Nothing speaks for the plan below or against it: under every draw it earns the same as {whose(attrs)}."
        )
    return "not shown", (
        f"It is not shown that the plan below is better than {whose(attrs)}: that it earns more has probability "
        f"{' by the posterior and '.join(chances)}{' by the check' * (len(chances) > 1)}, and with probability "
        f"{certain} it earns less by {amount(abs(bound), attrs)} at the most. Until more is recorded, to go on as "
        "today is the safer choice."
    )


def counted_told(attrs: Mapping[Any, Any]) -> str:
    """How rewards are counted, for who knows no discount."""
    unit = f", in {attrs['unit']}" if "unit" in attrs else ""
    if "horizon" in attrs:
        return f"What is earned is the sum of the rewards of {steps_told(attrs['horizon'])}{unit}."
    return (
        f"What is earned is the sum of all rewards to come{unit}, in which each step later counts "
        f"{attrs['discount']:g} times as much as the one before (the discount)."
    )


def trust_told(checks: Sequence[Mapping[str, Any]]) -> str:
    """How far the log can be trusted, by the checks that were made of it."""
    alarms = [str(each["check"]) for each in checks if each["alarm"]]
    asked = sum(not str(each["found"]).startswith("not asked") for each in checks)
    if not checks:
        return "The log was not asked whether it can be trusted, for the time that so long a log takes."
    if alarms:
        return (
            f"{len(alarms)} of {asked} checks speak{'s' * (len(alarms) == 1)} against it ({', '.join(alarms)}): the "
            "numbers on this page rest on what does not seem to hold. Read what each means before the plan is used."
        )
    return (
        f"No fault was found by {asked} checks. They cannot find what left no trace in the log, such as a reason to "
        "act that nobody wrote down."
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


def cautions_told(tree: xr.DataTree, paid: Collection[float] = ()) -> list[str]:
    """What to know before a plan is relied on.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    paid : collection of float
        The rewards that the log shows; one of them only cannot tell actions apart.
    """
    attrs, told = tree.attrs, []
    if len(paid) == 1:
        (only,) = paid
        told.append(
            f"Every row of the log paid the same, {amount(only, attrs)}: it does not show that any action pays more."
        )
    if "log_checks" in tree.children:
        checks = tree["log_checks"].to_dataset()
        alarms = checks["check"].values[checks["alarm"].values].tolist()
        if alarms:
            told.append(f"Checks of the log raise an alarm ({', '.join(alarms)}): read below what that means.")
    if "second_opinion" in tree.children and tree["second_opinion"].to_dataset()["disagrees"].any():
        told.append("The second opinion disagrees with the plan's own numbers by more than chance.")
    if "unchecked" in attrs:
        told.append(f"The numbers were not checked on logs like yours: {attrs['unchecked']}.")
    if attrs.get("initial_unseen", 0.0) > MUCH:
        told.append(f"{percent(attrs['initial_unseen'])} of what is to come lies behind a step that the log never saw.")
    return told


def reason_told(entry: Mapping[str, Any]) -> list[str]:
    """Why the plan does what it does in a state, in sentences.

    Parameters
    ----------
    entry : mapping
        Of the list ``policy`` of the content of a report.
    """
    reason = entry["reason"]
    paid = "" if reason["paid"] is None else f", which paid {few(reason['paid'])} on average"
    times = f"{entry['tried']:,} time" + "s" * (entry["tried"] != 1)
    told = [f"Tried {times} here{paid}."]
    if reason["runner_up"] is None:
        return [*told, "Nothing else was tried here, so there is nothing to compare it with."]
    mean, low, high = (reason[name] for name in ("difference", "difference_lower", "difference_upper"))
    label = f"“{label_told(reason['runner_up'])}”"
    other = f"{label}, the next best on average"
    if low == mean == high == 0:
        return [*told, f"It earns the same as {label}."]
    range_ = f"({few(low)} to {few(high)} in the middle 90%)"
    if low > 0:
        return [*told, f"It earns {few(mean)} more {range_} than {other}."]
    if high < 0:
        return [*told, f"It earns {few(-mean)} less on average {range_} than {other}; it was chosen for its caution."]
    amount = f"{few(abs(mean))} {'more' if mean >= 0 else 'less'} on average"
    cautious = "" if mean >= 0 else "; it was chosen for what it earns at the least"
    return [*told, f"A close call, which the log cannot settle: it earns {amount} {range_} than {other}{cautious}."]


def label_told(label: Any) -> str:
    """A label as it is read: in one line, and not as nothing where it is blank.

    Examples
    --------
    >>> label_told("left"), label_told("")
    ('left', '(blank)')
    """
    text = one_line(label)
    if text.strip():
        return text
    return f"({len(text)} blank{'s' * (len(text) > 1)})" if text else "(blank)"
