"""Sentences of the page, for a reader who knows the domain and no reinforcement learning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import xarray as xr

from bayesmdp.foundation.visible_text import one_line
from bayesmdp.offline.log_answers import was_tested
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
            "The plan below says what to do in each state. What it earns in total, and whether that is more than "
            "today's policy earns, is not known: the log does not show where episodes start."
        )
    certain = f"{1 - attrs['level']:g}"
    if "initial_gain_bound" not in attrs:
        return "not compared", (
            f"With probability {certain}, the plan below earns at least {amount(attrs['initial_bound'], attrs)}. It "
            "was not compared with today's policy, because no comparison was requested."
        )
    bound, chances = attrs["initial_gain_bound"], list(chances_told(attrs).values())
    if bound > 0:
        # The more cautious of the two.
        lower = -1 if attrs.get("initial_better_checked", 1.0) <= attrs["initial_better"] else 0
        if attrs["level"] > 0.5:
            return "not shown", (
                f"There is not enough evidence that the plan below is better than {whose(attrs)}. It earns at least "
                f"{amount(bound, attrs)} more, but only with probability {certain}, which is the level that was "
                f"requested. The probability that it earns more at all is {chances[lower]}."
            )
        return "better", (
            f"Follow the plan below, provided that its assumptions hold. With probability {certain}, it earns at least "
            f"{amount(bound, attrs)} more than {whose(attrs)}, which earns {amount(attrs['initial_today'], attrs)} on "
            f"average. The probability that it earns more at all is {chances[lower]}."
        )
    if attrs["initial_unchanged"]:
        return "unchanged", f"Change nothing: the plan is to follow {whose(attrs)}."
    if same_for_all(attrs):
        return "no difference", (
            f"There is no evidence for or against the plan below: in every draw it earns the same as {whose(attrs)}."
        )
    return "not shown", (
        f"There is not enough evidence that the plan below is better than {whose(attrs)}. The probability that it "
        f"earns more is {' by the posterior and '.join(chances)}{' by the check' * (len(chances) > 1)}. With "
        f"probability {certain}, it earns at most {amount(abs(bound), attrs)} less. Until more data are recorded, "
        "continuing as today is the safer choice."
    )


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
        return (
            f"{len(alarms)} of {asked} checks raised an alarm ({', '.join(alarms)}): the numbers on this page rest on "
            "assumptions that do not seem to hold. Read what each alarm means before you use the plan."
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
            f"Every row of the log has the same reward, {amount(only, attrs)}: the log does not show that any action "
            "pays more than another."
        )
    if "log_checks" in tree.children:
        checks = tree["log_checks"].to_dataset()
        alarms = checks["check"].values[checks["alarm"].values].tolist()
        if alarms:
            told.append(f"Checks of the log raised an alarm ({', '.join(alarms)}): read below what it means.")
    if "second_opinion" in tree.children and tree["second_opinion"].to_dataset()["disagrees"].any():
        told.append("The second opinion disagrees with the plan's own numbers by more than chance explains.")
    if "unchecked" in attrs:
        told.append(f"The numbers were not checked on simulated logs like yours: {attrs['unchecked']}.")
    if attrs.get("initial_unseen", 0.0) > MUCH:
        unseen = percent(attrs["initial_unseen"])
        told.append(f"{unseen} of the future comes after a step that never occurred in the log.")
    return told


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
    chosen = "; it is the better one by the criterion of the plan and its draws" if mean < 0 else ""
    compared = f"it earns {few(abs(mean))} {'more' if mean >= 0 else 'less'} than {other} {range_}{chosen}."
    if high < 0:
        return [*told, f"On average, {compared}"]
    return [*told, f"Too close to call from this log: on average, {compared}"]


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
