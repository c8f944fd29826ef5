"""What is advised by a plan from a log: what is read first, in the terminal, on the page and in the JSON file.

A plan is advised only if more than a number speaks for it. Its gain over what is done today must be shown by draws and,
where there was one, by the check; and nothing may leave in doubt what that gain rests on: a check that was not made, a
future most of which lies behind steps that the log never saw, alarms about what every number takes for granted, or a
second opinion that disagrees. How much is too much is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import xarray as xr

from bayesmdp.offline.log_alarms import SPARING
from bayesmdp.offline.measured_file import is_measured_plan
from bayesmdp.reports.kept_plan import read_plan
from bayesmdp.reports.numbers import amount, percent
from bayesmdp.reports.words import chances_told, gain_is_shown, never_seen, same_for_all, whose

__all__ = ["Advice", "advice_of", "concerns_of", "recommendation"]

MUCH, MOST = 0.2, 0.5
"""Of the future behind steps never seen: from where it is said beside the recommendation, and from where against it."""

AS_TODAY = "Until more data are recorded, continuing as today is the safer choice."


class Concern(NamedTuple):
    """Something to know before a plan is relied on.

    Attributes
    ----------
    caution : str
        A sentence beside the recommendation.
    doubt : str
        Why the plan is not advised, part of a sentence; nothing if this alone does not forbid it.
    """

    caution: str
    doubt: str = ""


class Advice(NamedTuple):
    """What is advised.

    Attributes
    ----------
    status : {"better", "doubtful", "not shown", "no difference", "unchanged", "not compared", "no start"}
    sentence : str
        Or a few.
    cautions : list of str
        Sentences: what to know besides.
    """

    status: str
    sentence: str
    cautions: list[str]


def advice_of(tree: xr.DataTree, paid: Collection[float] | None = None) -> Advice:
    """Say what is recommended, how sure it is that it beats what is done today, and what to know before.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.
    paid : collection of float, optional
        The rewards that the log shows, each once; read from the tree if they are not given.

    Returns
    -------
    Advice

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=500, seed=0)
    >>> advice = advice_of(bm.plan_log(log, discount=0.9, draws=50, calibration=0).tree)
    >>> advice.status, advice.sentence[:82]
    ('doubtful', 'Do not rely on the plan below yet: its numbers were not checked on simulated logs ')
    """
    if paid is None:
        paid = () if is_measured_plan(tree) else read_plan(tree).paid
    concerns = concerns_of(tree, paid)
    status, sentence = recommendation(tree.attrs, [each.doubt for each in concerns if each.doubt])
    said = [each.caution for each in concerns if not (each.doubt and each.doubt in sentence)]
    return Advice(status, sentence, said)


def recommendation(attrs: Mapping[Any, Any], doubts: Sequence[str] = ()) -> tuple[str, str]:
    """Say what is recommended: a status, and a sentence or a few.

    Parameters
    ----------
    attrs : mapping
        Of the tree of a `Report`.
    doubts : sequence of str
        Why a plan is not advised though its numbers speak for it.
    """
    if "initial_bound" not in attrs:
        return "no start", (
            "The plan below says what to do in each state. What it earns in total, and whether that is more than "
            "today's policy earns, is not known: the log does not show where episodes start."
        )
    certain, but = f"{1 - attrs['level']:g}", f"Do not rely on the plan below yet: {'; and '.join(doubts)}. "
    if "initial_gain_bound" not in attrs:
        least = f"it earns at least {amount(attrs['initial_bound'], attrs)} with probability {certain}."
        return "not compared", (
            (f"{but}By its own numbers, {least}" if doubts else f"If the assumptions of the plan below hold, {least}")
            + " It was not compared with today's policy, because no comparison was requested."
        )
    if gain_is_shown(attrs):
        gained = _gained(attrs, certain)
        if doubts:
            return "doubtful", f"{but}By its own numbers, {gained} Until this is settled, continue as today."
        return "better", f"Follow the plan below, provided that its assumptions hold. {gained[0].upper()}{gained[1:]}"
    if attrs["initial_unchanged"]:
        return "unchanged", f"Change nothing: the plan is to follow {whose(attrs)}."
    if same_for_all(attrs):
        return "no difference", (
            f"There is no evidence for or against the plan below: in every draw it earns the same as {whose(attrs)}. "
            f"{AS_TODAY}"
        )
    if attrs["initial_gain_bound"] > 0 and attrs["level"] > 0.5:
        return "not shown", (
            f"A level above 0.5, as was requested, cannot show that the plan below is better than {whose(attrs)}. "
            f"{_not_shown(attrs, certain)} Ask for a level of 0.5 or less."
        )
    return "not shown", (
        f"There is not enough evidence that the plan below is better than {whose(attrs)}. {_not_shown(attrs, certain)} "
        f"{AS_TODAY}"
    )


def _gained(attrs: Mapping[Any, Any], certain: str) -> str:
    """What a plan gains that is shown to gain."""
    chances = list(chances_told(attrs).values())
    # The more cautious of the two.
    lower = -1 if attrs.get("initial_better_checked", 1.0) <= attrs["initial_better"] else 0
    earned, today = attrs["initial_today"] + attrs["initial_gain"], attrs["initial_today"]
    return (
        f"it earns at least {amount(attrs['initial_gain_bound'], attrs)} more than {whose(attrs)} with probability "
        f"{certain}. On average over draws it earns {amount(earned, attrs)}, and {whose(attrs)} "
        f"{amount(today, attrs)}. The probability that it earns more at all is {chances[lower]}."
    )


def _not_shown(attrs: Mapping[Any, Any], certain: str) -> str:
    """What the numbers say of a plan that is not shown to gain."""
    bound, chances = attrs["initial_gain_bound"], list(chances_told(attrs).values())
    at_all = (
        f"The probability that it earns more is {' by the posterior and '.join(chances)}"
        f"{' by the check' * (len(chances) > 1)}."
    )
    if bound <= 0:
        return f"{at_all} With probability {certain}, it earns at most {amount(abs(bound), attrs)} less."
    if attrs["level"] > 0.5:
        return f"It earns at least {amount(bound, attrs)} more, but only with probability {certain}. {at_all}"
    return f"{at_all} That is less than the {certain} with which it would earn at least {amount(bound, attrs)} more."


def concerns_of(tree: xr.DataTree, paid: Collection[float] = ()) -> list[Concern]:
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
            Concern(
                f"Every row of the log has the same reward, {amount(only, attrs)}: the log does not show that any "
                "action pays more than another."
            )
        )
    if "log_checks" in tree.children:
        checks = tree["log_checks"].to_dataset()
        alarms = checks["check"].values[checks["alarm"].values].tolist()
        for names in ([name for name in alarms if name not in SPARING], [name for name in alarms if name in SPARING]):
            if names:
                rang = f"checks of the log raised an alarm ({', '.join(names)})"
                doubt = f"{rang}, so what the plan's numbers take for granted seems not to hold"
                doubt = "" if names[0] in SPARING else doubt
                told.append(Concern(f"{rang[0].upper()}{rang[1:]}: read below what it means.", doubt))
    if "second_opinion" in tree.children:
        opinion = tree["second_opinion"].to_dataset()
        if opinion["disagrees"].any():
            other = "second opinion disagrees with the plan's own numbers by more than chance explains"
            told.append(Concern(f"The {other}.", f"the {other}"))
        elif not opinion["tells"].any():
            told.append(
                Concern("No estimate could be made without a prior: nothing but the model speaks for the plan.")
            )
    if "unchecked" in attrs:
        unchecked = f"numbers were not checked on simulated logs like yours ({attrs['unchecked']})"
        # After another doubt "its" would be of what that speaks of.
        own = "the plan's" if any(each.doubt for each in told) else "its"
        told.append(Concern(f"The {unchecked}.", f"{own} {unchecked}"))
    unseen = attrs.get("initial_unseen", 0.0)
    if unseen > MUCH:
        share = f"{percent(unseen)} of the future comes after a step that {never_seen(attrs)}"
        told.append(Concern(f"{share}.", f"{share}, so the prior speaks for it more than the data" * (unseen > MOST)))
    return told
