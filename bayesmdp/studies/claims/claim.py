"""A claim of a paper, and the verdict on it from the stored table of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bayesmdp.studies.tables import stored_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Claim", "Judged", "Stored", "judged"]


@dataclass(frozen=True)
class Stored:
    """Rows of a stored table, and what they must show.

    Attributes
    ----------
    table : str
        Name of the table.
    rows : mapping of column to str or tuple of str
        The rows that have one of these entries in each of these columns.
    figure : str
        The column of figures. Their 95% bounds stand in ``lower`` and ``upper``, or in ``FIGURE_lower`` and
        ``FIGURE_upper`` where the table has such columns.
    must_be : {"above", "below", "near"}
        A figure is near the threshold where it differs by no more than `tolerance` of it. One without bounds is open.
    threshold : float
    tolerance : float
        As a share of the threshold.
    """

    table: str
    rows: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    figure: str = "figure"
    must_be: Literal["above", "below", "near"] = "above"
    threshold: float = 0.0
    tolerance: float = 0.0


@dataclass(frozen=True)
class Claim:
    """What a paper says, and what is known of it.

    Attributes
    ----------
    place : str
        Where the paper says it.
    says : str
        What it says, in our words.
    reading : str
        How it is read here, and under which settings.
    shown : Stored, optional
        What judges it. Without, it stands as open, or as proved by a test.
    command : str
        Reprints the figures.
    why_open : str
        Why no study covers it, where none does.
    tested : bool
        A test asserts it, at the tolerance it names; `command` runs the test.
    """

    place: str
    says: str
    reading: str
    shown: Stored | None = None
    command: str = ""
    why_open: str = ""
    tested: bool = False


class Judged(NamedTuple):
    """A verdict.

    Attributes
    ----------
    figure : str
        The figure with its interval, or the range of several.
    threshold : str
    verdict : str
        yes, no, or open where the interval reaches the threshold; of several rows, how many of each.
    """

    figure: str
    threshold: str
    verdict: str


def judged(claim: Claim) -> Judged:
    """Judge a claim by the table that is stored.

    Parameters
    ----------
    claim : Claim

    Returns
    -------
    Judged

    Raises
    ------
    ValueError
        If the table has no such rows.

    Examples
    --------
    >>> saved = Stored("slippery_lake", {"cell": "neural", "agent": "AQ-BRMDP"}, figure="saved")
    >>> judged(Claim("EC.7.7", "AQ-BRMDP has less regret than PSRL", "by a network", saved, "make study"))
    Judged(figure='38.7 [24.5, 52.9]', threshold='above 0', verdict='yes')
    """
    if claim.shown is None:
        return Judged("", "", "yes, by a test" if claim.tested else f"open: {claim.why_open}")
    shown = claim.shown
    table = stored_table(shown.table, dtype={column: str for column in shown.rows})
    for column, wanted in shown.rows.items():
        table = table[table[column].isin([wanted] if isinstance(wanted, str) else list(wanted))]
    if table.empty:
        raise ValueError(f"the table {shown.table!r} has no rows with {dict(shown.rows)}")
    own = f"{shown.figure}_lower" in table
    lower, upper = (f"{shown.figure}_{end}" if own else end for end in ("lower", "upper"))
    rows = [tuple(map(float, row)) for row in table[[shown.figure, lower, upper]].to_numpy()]
    verdicts = [_verdict(shown, low, high) for _, low, high in rows]
    figures = [figure for figure, *_ in rows]
    if len(rows) == 1:
        told = f"{_short(figures[0])} [{_short(rows[0][1])}, {_short(rows[0][2])}]"
        verdict = verdicts[0]
    else:
        known = [figure for figure in figures if figure == figure] or figures
        told = f"{_short(min(known))} to {_short(max(known))} in {len(rows)}"
        counts = {name: verdicts.count(name) for name in ("yes", "no", "open")}
        verdict = ", ".join(f"{name} in {count}" for name, count in counts.items() if count)
    within = f" within {shown.tolerance:.0%}" if shown.must_be == "near" else ""
    return Judged(told, f"{shown.must_be} {_short(shown.threshold)}{within}", verdict)


def _verdict(shown: Stored, lower: float, upper: float) -> str:
    """Whether an interval lies where it must."""
    low, high = {
        "above": (shown.threshold, float("inf")),
        "below": (-float("inf"), shown.threshold),
        "near": (shown.threshold * (1 - shown.tolerance), shown.threshold * (1 + shown.tolerance)),
    }[shown.must_be]
    if lower != lower or upper != upper:
        return "open"  # no bounds
    if low <= lower and upper <= high and (lower > low or shown.must_be != "above"):
        return "yes"
    return "no" if upper <= low or lower > high else "open"


def _short(number: float) -> str:
    """A number with about three digits."""
    size = abs(number)
    return f"{number:,.0f}" if size >= 100 or number == 0 else f"{number:.1f}" if size >= 10 else f"{number:.3g}"


def claims_table(papers: Mapping[str, tuple[Claim, ...]]) -> pd.DataFrame:
    """Judge the claims of papers.

    Parameters
    ----------
    papers : mapping of name to claims

    Returns
    -------
    DataFrame
        One row a claim: ``paper``, ``place``, ``claim``, ``reading``, ``figure``, ``threshold``, ``verdict``,
        ``command``.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = [
        {"paper": paper, "place": claim.place, "claim": claim.says, "reading": claim.reading}
        | judged(claim)._asdict()
        | {"command": claim.command}
        for paper, stated in papers.items()
        for claim in stated
    ]
    return pd.DataFrame(rows)
