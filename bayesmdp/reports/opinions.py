"""What a plan says without a prior: estimates of the policy's worth by the log alone, and alarms about the log."""

from __future__ import annotations

import xarray as xr

from bayesmdp.offline.log_answers import was_tested
from bayesmdp.reports.numbers import short

__all__ = ["alarms_told", "opinions_told"]

FITTED = "fitted Q"


def opinions_told(tree: xr.DataTree) -> dict[str, str]:
    """Tell estimates beside the posterior, and one line for a log without any alarm, or one for each alarm.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.

    Returns
    -------
    dict of str to str
    """
    if "log_checks" not in tree:
        return {"not asked": "so long a log would take too much time; bm.off_policy and bm.check_log do it on request"}
    told = {}
    if "second_opinion" in tree:
        told = _estimates(tree["second_opinion"].to_dataset())
    elif "horizon" in tree.attrs:
        told["value"] = "not available: the policy is by stage, and bm.off_policy evaluates one policy for all stages"
    checked = tree["log_checks"].to_dataset()
    if "rows_of" in checked.attrs:
        told["asked"] = (
            f"{checked.attrs['rows']:,} of {checked.attrs['rows_of']:,} rows: episodes from all over the log"
        )
    return told | alarms_told(checked)


def alarms_told(checks: xr.Dataset) -> dict[str, str]:
    """Tell each alarm with what it means and what to do, or that there is none; and what could not be asked.

    Parameters
    ----------
    checks : Dataset over ``check``
        As `check_log` returns it.

    Returns
    -------
    dict of str to str
    """
    told: dict[str, str] = {}
    quiet: list[str] = []
    untested: list[str] = []
    columns = ("check", "found", "alarm", "meaning", "remedy")
    for name, found, rings, meaning, remedy in zip(*(checks[each].values.tolist() for each in columns), strict=True):
        if rings:
            told[f"alarm: {name}"] = f"{found}. Meaning: {meaning}. What to do: {remedy}"
        else:
            (quiet if was_tested(found) else untested).append(name)
    if quiet:
        told["the rest" if told else "the log"] = f"no problem found by {', '.join(quiet)}"
    if untested:
        told["no answer"] = ", ".join(untested)
    return told


def _estimates(opinion: xr.Dataset) -> dict[str, str]:
    """The estimates that can tell, whether they disagree with the posterior, and why the others cannot tell."""
    told, lines = opinion.isel(estimator=opinion["tells"].values), {}
    estimates = [
        f"{name} {short(value)} ({short(lower)} to {short(upper)})"
        for name, value, lower, upper in zip(
            *(told[column].values.tolist() for column in ("estimator", "value", "lower", "upper")), strict=True
        )
    ]
    other = told["estimator"].values[told["disagrees"].values].tolist()
    if estimates:
        lines["value"] = ", ".join(estimates) + ("" if other else "; in agreement with the posterior, within chance")
    if other:
        # Fitted Q takes the states for all that matters, as the posterior does.
        cause = (
            "a likely cause is that the prior outweighs the log: check how much weight it has"
            if FITTED in other
            else "the states may leave out something that matters, or the log may contain more than one behaviour"
        )
        lines["disagree"] = f"{', '.join(other)} and the posterior differ by more than chance; {cause}"
    reasons: dict[str, list[str]] = {}
    for name, why in zip(opinion["estimator"].values.tolist(), opinion["why"].values.tolist(), strict=True):
        reasons.setdefault(why, []).append(name)
    silent = [f"{', '.join(names)}: {why}" for why, names in reasons.items() if why]
    return lines | ({"cannot tell": "; ".join(silent)} if silent else {})
