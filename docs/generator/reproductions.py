"""Reproductions: what each paper claims, and the verdict of the stored studies, from ``bayesmdp.studies.claims``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module

from bayesmdp.studies.claims import PAPERS, claims
from docs.generator.words import title

__all__ = ["made"]

INTRODUCTION = """
The package was built alongside four papers. For each of their claims that can be tested there is an entry: where the
paper makes the claim, what it says, how we read it, the number that our runs gave, and a verdict. The settings were
fixed before the runs, and the tables are made from stored results when this page is built.

*Yes* means that the 95% interval of the number lies on the side of the threshold that the claim needs, and *no* that it
lies on the other side. *Open* means that the interval contains the threshold, or that no study covers the claim; then
the entry says why. A verdict is about our reading and the problems that were run. It is not a proof, and a *no* may be
due to settings that the text of the paper leaves open.

Many claims were tested in several settings. Then the entry gives the smallest and the largest of the numbers, without
their intervals, and counts the verdicts. For example, ``96.2 to 12,499 in 14, above 0: yes in 14`` means that the claim
holds if the number is above 0, that in 14 settings it ranged from 96.2 to 12,499, and that the verdict is *yes* in all.

The last column is the command that computes the number again, in a checkout of the repository. A study runs what is not
stored in ``results/`` yet, which takes minutes to an hour for each of its cells; the tests take seconds to minutes.
``bayesmdp claims`` prints the same tables.
"""


def made() -> Iterator[tuple[str, str]]:
    """The overview and a page for each paper."""
    table = claims()
    rows = [".. list-table::", "   :header-rows: 1", "   :widths: 34 16 16 16 18", ""]
    rows.append("   * - paper\n     - claims\n     - yes\n     - no\n     - open or mixed")
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
    guide = ":doc:`How to read this table <index>`: what *yes*, *no* and *open* mean, and what the commands do.\n"
    lines = [title(_title(paper)), guide, ".. list-table::", "   :header-rows: 1", "   :widths: 12 26 30 18 14", ""]
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
