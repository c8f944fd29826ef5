"""What is said of a plan from a log, in the terminal and on the page: one set of words for both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.visible_text import one_line
from bayesmdp.reports.numbers import amount, chance, percent, short
from bayesmdp.results.plan_parts import tries_of

__all__ = [
    "chances_told",
    "compared_told",
    "experts_told",
    "gain_is_shown",
    "headline",
    "labelled",
    "least_known",
    "log_told",
    "never_seen",
    "same_for_all",
    "steps_told",
    "turns_told",
    "whose",
]

TURNS_SHOWN = 3

LABELS = {
    "quote": "what it earns",
    "better": "better than today",
    "check": "how it was checked",
    "if": "assumptions",
    "never seen": "not in the log",
    "left out": "columns left out",
    "not asked": "not computed",
    "asked": "rows checked",
    "the log": "checks of the log",
    "the rest": "other checks",
    "disagree": "disagreement",
    "cannot tell": "no estimate",
    "no answer": "not tested",
}
"""How names of words are shown, where a reader would not know them."""


def labelled(told: Mapping[str, str]) -> dict[str, str]:
    """Name words as a reader sees them.

    Parameters
    ----------
    told : mapping of name to str

    Examples
    --------
    >>> labelled({"if": "...", "rewards": "known"})
    {'assumptions': '...', 'rewards': 'known'}
    """
    return {LABELS.get(name, name): text for name, text in told.items()}


def steps_told(number: int) -> str:
    """Count steps.

    Examples
    --------
    >>> steps_told(1), steps_told(1_000)
    ('1 step', '1,000 steps')
    """
    return f"{number:,} step" + "s" * (number != 1)


def headline(attrs: Mapping[Any, Any], checked: str) -> dict[str, str]:
    """The numbers to quote, what they rest on, and how they were checked; then what else is known at the start.

    Parameters
    ----------
    attrs : mapping
        Of the tree of a `Report`.
    checked : str
        How the numbers were checked, in a sentence.

    Returns
    -------
    dict of str to str
    """
    if "initial_bound" not in attrs:
        return {
            "quote": "not known: some rows of the log do not continue the row before, so it does not show where "
            "episodes start. What the policy earns from each state is below. Give the first state with --start STATE, "
            "or use --gaps cut if the recording was cut off there"
        }
    certain = f"{1 - attrs['level']:g}"
    steps = steps_told(attrs["horizon"]) if "horizon" in attrs else ""
    counted = "sum of rewards " + (f"over {steps}" if steps else f"discounted by {attrs['discount']:g}")
    least = amount(attrs["initial_bound"], attrs)
    told = {"quote": f"this policy earns at least {least} with probability {certain} ({counted})"}
    told |= compared_told(attrs)
    told["check"] = checked
    if "unchecked" in attrs:
        told["check"] += ". The number is taken from the posterior as it is, and is only as good as the prior"
    told["if"] = (
        "the state contains everything that affects what happens next; episodes start as in the log, or where you "
        "specified; and the world stays as it was while the log was recorded"
    )
    told["rewards"] = attrs["rewards"]
    future = f"future of {steps}" if steps else "discounted future"
    unseen = percent(attrs["initial_unseen"])
    told["never seen"] = f"{unseen} of the {future} comes after a step that {never_seen(attrs)}"
    lower, upper = (short(attrs[f"initial_worth_{name}"]) for name in ("lower", "upper"))
    told["posterior"] = f"this policy earns {lower} to {upper} in the middle 90% of draws, unchecked"
    return told


def never_seen(attrs: Mapping[Any, Any]) -> str:
    """How a step is called that is not in the log: where states are numbers, one that no row is near."""
    return "no row of the log was near" if "space" in attrs else "never occurred in the log"


def gain_is_shown(attrs: Mapping[Any, Any]) -> bool:
    """Whether the plan is better than today's policy, by the draws and by the check, at a level that shows anything."""
    chances = attrs["initial_better"], attrs.get("initial_better_checked", 1.0)
    sure = min(chances) >= 1 - attrs["level"] - 1e-9
    return bool(attrs["initial_gain_bound"] > 0 and attrs["level"] <= 0.5 and sure)


def whose(attrs: Mapping[Any, Any]) -> str:
    """What the plan is compared with."""
    return "the policy in the log" if attrs["baseline"] == "log" else "today's policy"


def same_for_all(attrs: Mapping[Any, Any]) -> bool:
    """Whether the plan earns what today's policy does under every draw, though it is another one."""
    names = ("initial_gain_lower", "initial_gain", "initial_gain_upper")
    return not attrs["initial_unchanged"] and all(attrs[name] == 0 for name in names)


def compared_told(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """What is gained over what is done today, and what that earns; nothing where it was not compared."""
    if "initial_gain_bound" not in attrs:
        return {}
    bound, certain = attrs["initial_gain_bound"], f"{1 - attrs['level']:g}"
    at_all = ", ".join(f"{text}{how}" for how, text in chances_told(attrs).items())
    lower, upper = (short(attrs[f"initial_today_{end}"]) for end in ("lower", "upper"))
    sure = "with probability 0.9" if "today_checked_kept" in attrs else "in the middle 90% of draws, unchecked"
    apart, today = amount(abs(bound), attrs), amount(attrs["initial_today"], attrs)
    if bound > 0:
        better = (
            "not shown: "
            * (not gain_is_shown(attrs))
            + f"by at least {apart}, compared with {whose(attrs)}, with probability {certain}; better at all with "
            f"probability {at_all}"
        )
    elif attrs["initial_unchanged"]:
        better = f"no: the plan is to follow {whose(attrs)}"
    elif same_for_all(attrs):
        better = f"not shown: in every draw it earns the same as {whose(attrs)}"
    else:
        better = (
            f"not shown: better than {whose(attrs)} with probability {at_all}, and at most {apart} worse with "
            f"probability {certain}; until more data are recorded, continuing as today is the safer choice"
        )
    return {
        "better": better,
        "today": f"{whose(attrs)} earns {today} on average ({lower} to {upper} {sure}), and this policy "
        + amount(attrs["initial_today"] + attrs["initial_gain"], attrs),
    }


def chances_told(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """The probability that anything is gained, by how it was found: by draws and, if there was one, by the check."""
    if "initial_better_checked" not in attrs:
        return {"": chance(attrs["initial_better"])}
    share, logs = attrs["initial_better_checked"], attrs["checked_logs"] / 2
    # With so many logs the check can tell no more.
    checked = chance(share) + " or more" * (share == logs / (logs + 1))
    return {" (posterior)": chance(attrs["initial_better"]), " (check)": checked}


def log_told(log: Mapping[str, int], attrs: Mapping[Any, Any]) -> dict[str, str]:
    """What was read and how it was planned with, by name.

    Parameters
    ----------
    log : mapping of str to int
        Of a `Report`.
    attrs : mapping
        Of its tree.
    """
    solved = f"{attrs['plan_draws']} draws" if attrs["plan_draws"] else "no draws"
    if not attrs["converged"]:
        solved += f", not converged: the value is known to within {attrs['bound']:.2g}"
    if attrs.get("ties"):
        where = "pairs of a stage and a state" if "horizon" in attrs else "states"
        solved += f", two actions are equally good in {attrs['ties']:,} {where}"
    counted = f"horizon {attrs['horizon']:,}" if "horizon" in attrs else f"discount {attrs['discount']:g}"
    read = {
        "rows": f"{log['rows']:,}, of which {log['terminated']:,} terminated and {log['truncated']:,} truncated"
        + (f"; {log['dropped']:,} left out because nothing follows them" if log.get("dropped") else ""),
        "states": f"{log['states']:,}, of which {log['terminal']:,} terminal; {log['actions']:,} actions",
        "pairs tried": f"{log['tried']:,} of {log['pairs']:,}" + _open_told(attrs),
        "left out": ", ".join(map(one_line, json.loads(attrs["left_out"]))),
        "prior": attrs["prior"],
        "posterior": f"{attrs['engine']}: {attrs['reason']}",
        "plan": f"{attrs['risk']}, {counted}, {solved}, seed {attrs['seed']}",
    }
    return {name: text for name, text in read.items() if text}


def _open_told(attrs: Mapping[Any, Any]) -> str:
    """What was planned with, where tries are asked for."""
    least = int(attrs.get("least_tries", 1))
    if least == 1:
        return ""
    unless = " and today's policy is not kept" if attrs["aim"] == "gain" else ""
    return f"; planned with those tried at least {least:,} times, where a state has any{unless}"


def least_known(policy: xr.Dataset, tree: xr.DataTree | None = None) -> list[tuple[Any, str, int]]:
    """The pairs on the policy's path, and how often each was tried: the least first.

    Parameters
    ----------
    policy : Dataset over ``state``, or ``stage`` and ``state``
        Of a `Report`.
    tree : DataTree, optional
        Of the same, which has all actions where the policy mixes them; else the most probable ones count.

    Returns
    -------
    list of (state, action, tries)
    """
    if tree is not None and "mixes" in policy:
        return _least_known_of_mixed(policy, tree)
    places = np.nonzero((policy["on_path"] & ~policy["terminal"]).values)
    # The stages of a plan may meet a pair more than once.
    pairs = dict(
        zip(
            zip(places[-1].tolist(), policy["action"].values[places].tolist(), strict=True),
            policy["tried"].values[places].tolist(),
            strict=True,
        )
    )
    labels = policy["state"].values.tolist()
    return [
        (labels[position], action, tried)
        for (position, action), tried in sorted(pairs.items(), key=lambda pair: pair[1])
    ]


def _least_known_of_mixed(policy: xr.Dataset, tree: xr.DataTree) -> list[tuple[Any, str, int]]:
    """The pairs on the path of a policy that mixes actions, the least tried first."""
    tries, _, actions = tries_of(tree)
    share = tree["plan"]["probability"].transpose("state", "action").values
    taken = (share > 0) & (policy["on_path"] & ~policy["terminal"]).values[:, None]
    pairs = [(policy["state"].values[s].item(), actions[a], int(tries[s, a])) for s, a in np.argwhere(taken).tolist()]
    return sorted(pairs, key=lambda pair: pair[2])


def turns_told(actions: NDArray[np.str_] | Sequence[str]) -> str:
    """Where the actions [stage] change: the first few times.

    Examples
    --------
    >>> turns_told(np.array(["wait", "wait", "go"]))
    'go from 2'
    """
    chosen = [one_line(action) for action in np.asarray(actions).tolist()]
    turns = [f"{chosen[stage]} from {stage}" for stage in range(1, len(chosen)) if chosen[stage] != chosen[stage - 1]]
    more = len(turns) - TURNS_SHOWN
    return ", ".join(turns[:TURNS_SHOWN]) + f" and {more} more" * (more > 0)


def experts_told(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """Other numbers of the same policy, which are not what it is worth."""
    told = {}
    if attrs["aim"] == "gain":
        told["criterion"] = f"{short(attrs['gain'])} at the start by {attrs['risk']}, by which the policy was chosen"
        told["one action each"] = f"{short(attrs['gain_deterministic'])} if only the most probable actions are taken"
    elif "initial_promise" in attrs:
        promise = short(attrs["initial_promise"])
        told["criterion"] = (
            f"{promise} at the start by {attrs['risk']}, by which the policy was chosen step by step; not what it earns"
        )
    if "initial_lighter" in attrs:
        lighter, heavier = short(attrs["initial_lighter"]), short(attrs["initial_heavier"])
        told["prior"] = (
            f"{short(attrs['initial_worth_quantile'])} before the check; {lighter} if the prior of transitions had a "
            f"third of its weight, {heavier} if it had three times its weight"
        )
    guarantee = attrs.get("guarantee_level")
    if guarantee is not None:
        told["guarantee"] = (
            f"under the posterior, the policy reaches its criterion in all states at once with probability at least "
            f"{min(1 - guarantee, 0.99):.2g} (Proposition 1)"
            if guarantee < 0.995
            else "none for the criterion, with so many uncertain rows (Proposition 1)"
        )
    if attrs.get("elsewhere") == "mean":
        told["elsewhere"] = "next states that were never seen count at their average value, as if it were certain"
    return told
