"""Reproductions: what each paper claims, and the verdict of the stored studies, from ``bayesmdp.studies.claims``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module

from bayesmdp.studies.claims import PAPERS, claims
from docs.generator.words import title

__all__ = ["made"]

INTRODUCTION = """
The package was built beside four papers. For each of their claims that can be tried there is an entry: where the paper
says it, what it says, how we read it, the figure that came out with its 95% interval, and a verdict. Settings were
declared before they were run, and the tables are made from stored results when this page is built.

*Yes* and *no* mean that the whole interval lies on one side of the threshold. *Open* means that it does not, or that no
study covers the claim; then the reason stands in the place of the figure. A verdict is about our reading and the
problems that were tried. It is not a proof, and a *no* may come of settings that a paper's text leaves open.

The last column is the command that makes the figure again, from a checkout. ``bayesmdp claims`` prints the same.
"""


def made() -> Iterator[tuple[str, str]]:
    """The overview and a page for each paper."""
    table = claims()
    rows = [".. list-table::", "   :header-rows: 1", "   :widths: 34 16 16 16 18", ""]
    rows.append("   * - paper\n     - claims\n     - yes\n     - no\n     - open, or of both kinds")
    for paper in PAPERS:
        verdicts = table.loc[table["paper"] == paper, "verdict"]
        yes, no = (verdicts.map(lambda verdict, kind=kind: _kind(verdict) == kind).sum() for kind in ("yes", "no"))
        name = f":doc:`{_title(paper)} <{paper}>`"
        rows.append(
            f"   * - {name}\n     - {len(verdicts)}\n     - {yes}\n     - {no}\n     - {len(verdicts) - yes - no}"
        )
    tree = [".. toctree::", "   :hidden:", "", *(f"   {paper}" for paper in PAPERS), ""]
    yield "reproductions/index", "\n".join([title("Reproductions"), INTRODUCTION, *rows, "", *tree])
    for paper in PAPERS:
        yield f"reproductions/{paper}", _paper(paper, table[table["paper"] == paper])


def _kind(verdict: str) -> str:
    yes, no = verdict.startswith("yes"), bool(re.search(r"\bno\b", verdict))
    if yes and not no and "open" not in verdict:
        return "yes"
    return "no" if verdict.startswith("no") and "yes" not in verdict and "open" not in verdict else "both"


def _title(paper: str) -> str:
    module = import_module(f"bayesmdp.studies.claims.{paper.replace('-', '_')}")
    found = re.search(r'"([^"]+)"', module.__doc__ or "")
    return found[1] if found else paper


def _paper(paper: str, table: object) -> str:
    lines = [title(_title(paper)), ".. list-table::", "   :header-rows: 1", "   :widths: 12 26 30 18 14", ""]
    lines.append("   * - where stated\n     - claim\n     - our reading\n     - figure and verdict\n     - command")
    for row in table.itertuples():  # type: ignore[attr-defined]
        figure = f"{row.figure}, {row.threshold}: " if row.threshold else f"{row.figure} " if row.figure else ""
        command = f"``{row.command}``" if row.command else ""
        cells = (
            row.place,
            _plain(row.claim),
            _plain(row.reading),
            f"{_plain(figure)}**{_plain(row.verdict)}**",
            command,
        )
        lines.append("   * - " + "\n     - ".join(cells))
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text that has no meaning for reStructuredText."""
    return re.sub(r"([*_|`\\])", r"\\\1", text)
