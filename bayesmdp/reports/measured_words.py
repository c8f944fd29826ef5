"""What is said of a plan from a log of measurements, beside the words that it shares with plans over states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesmdp.reports.words import headline

__all__ = ["measured_headline", "measured_log_told"]


def measured_headline(attrs: Mapping[Any, Any], checked: str) -> dict[str, str]:
    """The numbers to quote, what they rest on, and how they were checked.

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
    told = headline(attrs, checked)
    told["if"] = (
        "the measurements contain everything that affects what happens next; the dynamics have the form that the prior "
        "assumes; episodes start as in the log, or where you specified; and the world stays as it was while the log "
        "was recorded"
    )
    return told


def measured_log_told(log: Mapping[str, int], attrs: Mapping[Any, Any]) -> dict[str, str]:
    """What was read and how it was planned with, by name.

    Parameters
    ----------
    log : mapping of str to int
        Of a `Report`.
    attrs : mapping
        Of its tree.

    Returns
    -------
    dict of str to str
    """
    settled = "" if attrs["converged"] else ", stopped before its values had settled"
    counted = f"horizon {attrs['horizon']:,}" if "horizon" in attrs else f"discount {attrs['discount']:g}"
    return {
        "rows": f"{log['rows']:,} in {log['episodes']:,} episodes, of which {log['terminated']:,} terminated and "
        f"{log['truncated']:,} truncated"
        + (f"; {log['dropped']:,} left out because nothing follows them" if log.get("dropped") else ""),
        "states": f"{log['coordinates']} measurements; {log['actions']:,} actions",
        "prior": attrs["prior"],
        "posterior": f"{attrs['engine']}: {attrs['reason']}",
        "plan": f"{attrs['risk']}, {counted}, fitted Q iteration under {attrs['plan_draws']} "
        f"draws{settled}, seed {attrs['seed']}",
    }
