"""A report as one page or as JSON: what it tells is computed in :mod:`bayesmdp.reports.content`, and laid out here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import xarray as xr

from bayesmdp.foundation.extras import brought_by
from bayesmdp.logs.log_sources import parts_of
from bayesmdp.offline.log_answers import was_tested
from bayesmdp.offline.measured_file import is_measured_plan, read_measured_plan
from bayesmdp.offline.plan_file import as_report
from bayesmdp.offline.report import Report
from bayesmdp.reports.content import SCHEMA, report_content
from bayesmdp.reports.figures import svg_figure
from bayesmdp.reports.measured_figure import draw_policy
from bayesmdp.reports.numbers import percent, short, with_error
from bayesmdp.reports.sentences import departing, label_told, reason_told
from bayesmdp.results.files import replacing
from bayesmdp.results.plan_parts import short_label
from bayesmdp.results.plan_plots import COLUMNS, NUMBERED, plot_policy, plot_transitions
from bayesmdp.results.worth_plots import plot_calibration, plot_gain, plot_value

__all__ = ["check_target", "sha256_of", "write_report"]

SUFFIXES = (".html", ".htm", ".json")

SECTIONS = {
    "recommendation": "What is recommended, and how certain it is",
    "log": "The log, and how far it can be trusted",
    "policy": "What to do in each state, and why",
    "thin": "Where the data are thin",
    "second-opinion": "A second opinion",
    "sensitivity": "What would change the plan",
    "collect": "What to collect next",
    "made": "How the plan was made",
}

MEASURED_SECTIONS = {
    **{name: SECTIONS[name] for name in ("recommendation", "log")},
    "policy": "What to do, by measurement",
    **{name: SECTIONS[name] for name in ("thin", "second-opinion", "sensitivity")},
    **{name: SECTIONS[name] for name in ("collect", "made")},
}

CHANGES = {
    "as planned": "Nothing (the plan above)",
    "prior": "Prior of the dynamics",
    "discount": "Discount",
    "horizon": "Horizon",
    "level": "Caution",
    "draws": "Other draws",
}

SHOWN, PICTURED, ACTIONS = 25, 20, 26
"""States of the table that are not folded away, states in pictures, and actions up to which there is one."""

PRINTED = 25
"""States of those folded away up to which these are printed as they stand; more are printed without their reasons."""


def write_report(
    plan: Report | xr.DataTree | str | Path, *paths: str | Path, command: str = "", date: str = "", sha256: str = ""
) -> None:
    """Write what a plan from a log tells: a page for ``.html``, the same content for ``.json``.

    The page is one file that loads nothing and runs no script, for a reader who knows the domain and no reinforcement
    learning. It says what is recommended and how sure it is that this beats what is done today; how far the log can be
    trusted; what to do in each state and why; where the data are thin; what the log says without a prior; what would
    change the plan; what to collect next; and how it was made.

    Parameters
    ----------
    plan : Report, DataTree or path
        From `plan_log`, its tree, or the file that ``bayesmdp plan`` wrote. What such a file does not hold of how the
        plan was made is said on the page.
    *paths : str or Path
        Files to write, which end in ``.html`` or ``.json``.
    command, date, sha256 : str, optional
        How the plan was made, when, and of which file, to be told as they are.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        If a path ends otherwise, or holds something that is no report; or if `plan` is none.
    ImportError
        If Jinja2 is missing, which ``pip install "bayesmdp[report]"`` brings.

    See Also
    --------
    bayesmdp.report_content : The content, as numbers, lists and words.

    Examples
    --------
    >>> import bayesmdp as bm, tempfile
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> report = bm.plan_log(log, discount=0.95, draws=50, calibration=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bm.write_report(report, f"{folder}/report.html")
    ...     Path(f"{folder}/report.html").read_text()[:15]
    '<!DOCTYPE html>'
    """
    targets = [check_target(path) for path in paths]
    report = as_report(plan)
    content = report_content(
        plan if isinstance(plan, Report) else report.tree, command=command, date=date, sha256=sha256
    )
    for path in targets:
        if path.suffix.lower() == ".json":
            text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        else:
            text = _page(report, content)
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")


def check_target(path: str | Path) -> Path:
    """Refuse a file that a report cannot be written to, before anything is computed.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Path
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a report is written to NAME.html (the page) or NAME.json (its content); got {path}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} for {path.name}")
    if path.exists():
        with path.open("rb") as there:
            if SCHEMA["name"].encode() not in there.read(2_000):  # type: ignore[attr-defined]
                raise ValueError(f"{path} exists and is not a report; give another name, or move the file away")
    if path.suffix.lower() != ".json":
        with brought_by("report"):
            import jinja2  # noqa: F401
    return path


def sha256_of(path: str | Path) -> str:
    """SHA-256 of what a log is read from, in hexadecimal; nothing for what is no file.

    Parameters
    ----------
    path : str or Path
        A file: the digest of its bytes. A folder or a pattern of several files: the digest of their list, a line each
        in the order of their paths, with the file's digest, two spaces, and its path in the folder that holds them all,
        as the program ``sha256sum`` prints it there.
    """
    try:
        parts = parts_of(Path(path))
    except (OSError, ValueError):
        return ""
    if parts == [Path(path)]:
        return _digest(parts[0])
    folder = Path(path) if Path(path).is_dir() else Path(os.path.commonpath([part.parent for part in parts]))
    lines = [f"{_digest(part)}  {part.relative_to(folder).as_posix()}\n" for part in parts if part.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _page(report: Report, content: dict[str, Any]) -> str:
    """The page of a report."""
    with brought_by("report"):
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup

    folder = files("bayesmdp.reports") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "gain": lambda pair: with_error(pair["gain"], pair["error"]),
        "label": label_told,
        "percent": percent,
        "reason": reason_told,
        "short": lambda number: "–" if number is None else short(number),
        "tested": was_tested,
        "trim_number": lambda number: f"{number:g}",
    }
    if is_measured_plan(report.tree):
        pictures = _measured_figures(report)
        template, sections = "measured.html.j2", MEASURED_SECTIONS
        others, compared = departing([])
    else:
        pictures, sections = _figures(report, content), SECTIONS
        template, (others, compared) = "report.html.j2", departing(content["policy"])
    return environment.get_template(template).render(
        c=content,
        # Ours, and of no label: what is in them is escaped by Matplotlib.
        figures={name: Markup(svg) for name, (svg, _) in pictures.items()},
        captions={name: caption for name, (_, caption) in pictures.items()},
        css=Markup((folder / "report.css").read_text("utf-8")),
        sections=sections,
        changes=CHANGES,
        shown=SHOWN,
        printed=PRINTED,
        paper_width=_paper_width(content["policy"]),
        others=others,
        compared=compared,
    )


def _paper_width(policy: Sequence[Mapping[str, Any]]) -> int:
    """Characters that a state with its action takes in a list on paper; longer ones take several lines."""
    longest = max((len(str(entry["state"])) + len(str(entry["action"])) for entry in policy), default=0)
    return min(longest, 40) + len(": ≠ (1,234)")


def _measured_figures(report: Report) -> dict[str, tuple[str, str]]:
    """The pictures of a plan whose states are numbers."""
    pictures = _worth_figures(report, compared="initial_gain_bound" in report.tree.attrs)
    plan, states = read_measured_plan(report.tree), report.tree["constant_data"].to_dataset()["state"].values
    one = len(plan.space.coordinates) == 1
    caption = (
        "What the plan does in states of the log"
        + ("." if one else ", by the two measurements that change it most.")
        + " Open markers: fewer than five rows of the log nearby took this action."
    )
    height = 0.9 + 0.35 * len(plan.space.actions) if one else 3.4
    svg = svg_figure("policy", lambda ax: draw_policy(plan, states, ax), width=6, height=height, title=caption)
    return pictures | {"policy": (svg, caption)}


def _worth_figures(report: Report, *, compared: bool) -> dict[str, tuple[str, str]]:
    """Pictures of what a plan earns, or gains, and of the check; no SVG where there is nothing to draw."""
    attrs = report.tree.attrs
    pictures = dict.fromkeys(("headline", "calibration"), ("", ""))

    def draw(name: str, plot: Callable[..., object], height: float, caption: str) -> None:
        svg = svg_figure(name, lambda ax: plot(report, ax), width=5, height=height, title=caption)
        pictures[name] = svg, caption

    if compared:
        caption = (
            "How much more the plan earns than today's policy: the higher a bar, the more probable. To the right of 0 "
            "the plan is better; hatched bars to the left are losses."
            + " The dashed line is the number reported, lowered by the check; the bars are unchecked."
            * ("checked_logs" in attrs)
        )
        draw("headline", plot_gain, 2.5, caption)
    elif "at_start" in report.tree.children:
        caption = "What the plan earns: the strongest bar holds half of the draws, the faintest 95%."
        draw("headline", plot_value, 1.3, caption)
    if "checked_logs" in attrs:
        caption = (
            "Results on simulated logs like yours, for which the true value is known. Squares: numbers as first "
            "computed; dots: as reported here, after they were lowered. Bars are 95% intervals."
        )
        draw("calibration", plot_calibration, 2.1 if "gain_checked_kept" in attrs else 1.3, caption)
    return pictures


def _figures(report: Report, content: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Pictures by name, as SVG with a caption; no SVG where there is nothing to draw."""
    pictures = dict.fromkeys(("headline", "calibration", "policy", "transitions"), ("", ""))
    pictures |= _worth_figures(
        report, compared=content["recommendation"]["status"] in ("better", "doubtful", "not shown")
    )

    def draw(
        name: str, plot: Callable[..., object], height: float, caption: str, width: float = 5, **options: Any
    ) -> None:
        svg = svg_figure(name, lambda ax: plot(report, ax, **options), width=width, height=height, title=caption)
        pictures[name] = svg, caption

    rows = min(len(content["policy"]), PICTURED)
    if rows and content["log"]["actions"] <= ACTIONS:
        more, numbered = len(content["policy"]) > rows, content["log"]["actions"] <= NUMBERED
        mixed = any(entry["mixes"] for entry in content["policy"])
        caption = (
            "Framed: what the plan does. The shade"
            + " and the number show" * numbered
            + " shows" * (not numbered)
            + " how often the action was tried; blank cells were never tried."
            + " The larger a dot, the more often the plan takes the action." * mixed
            + f" Only the {rows} most visited states are shown." * more
        )
        width = max(5, _beside(report.tree, "state") + (0.8 if numbered else 0.3) * content["log"]["actions"])
        draw("policy", plot_policy, 1 + _beside(report.tree, "action") + 0.26 * rows, caption, width, most=PICTURED)
    if rows:
        caption = (
            "Where the plan's actions lead, and how well that is known. The area is the probability; a full cell is "
            "certain. The full inner square is the lower end and the faint outer square the upper end of a 90% range. "
            "A wide faint rim means that little is known."
        )
        below, beside = _beside(report.tree, "state"), _beside(report.tree, "action")
        width = max(5, below + beside + 0.25 * min(report.tree["problem"].sizes["state"], COLUMNS))
        draw("transitions", plot_transitions, 1 + below + 0.26 * rows, caption, width, most=PICTURED)
    return pictures


def _beside(tree: xr.DataTree, dim: str) -> float:
    """Inches that the longest of the labels along a dim takes beside a picture, or upright below it."""
    labels = tree["problem"].to_dataset()[dim].values.tolist()
    return 0.085 * max((len(short_label(label)) for label in labels), default=0)
