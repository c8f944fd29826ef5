"""Pictures of a report as SVG inside its page: in the page's colours, light and dark, the same bytes each time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["svg_figure"]

INK = "#010203"
"""Stands for the colour of the page's text while Matplotlib draws; no picture uses it otherwise."""

COLOURS = {"#0072b2": "var(--blue)", "#e69f00": "var(--amber)", "#d55e00": "var(--red)", INK: "currentColor"}
"""Colours of pictures (:mod:`bayesmdp.results.plots`) and what the page has in their place."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bayesmdp",
    "font.size": 10.0,
    "hatch.color": INK,
    **{f"{name}.color": INK for name in ("text", "xtick", "ytick")},
    **{f"axes.{name}color": INK for name in ("edge", "label", "title")},
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": INK,
}


def svg_figure(name: str, draw: Callable[[Axes], object], *, width: float, height: float, title: str) -> str:
    """Draw a picture and return it as an ``svg`` element.

    Parameters
    ----------
    name : str
        Prefix of its ids, which are unique in a page if the names are.
    draw : function of Axes
    width, height : float
        In inches of 72 units.
    title : str
        What it shows, read out to who cannot see it.

    Returns
    -------
    str

    Examples
    --------
    >>> text = svg_figure("one", lambda ax: ax.plot([0, 1]), width=3, height=2, title="A line")
    >>> text[:5], "currentColor" in text, "<!--" in text
    ('<svg ', True, False)
    """
    from html import escape

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE), warnings.catch_warnings():
        # Fonts are the reader's, which have the signs that Matplotlib's may lack.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots())
        text = StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = text.getvalue()
    # What a page has no need of: prologue, comments, metadata and names of namespaces.
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    head, _, body = svg.partition(">")
    (box,) = re.findall(r'viewBox="[^"]*"', head)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    # The page has its own fonts, and a style in a figure would be one of all its elements.
    body = re.sub(r"font-family: [^;\"]*;? ?|<style.*?</style>", "", body, flags=re.DOTALL)
    for colour, instead in COLOURS.items():
        body = body.replace(colour, instead)
    label = escape(title)
    return f'<svg {box} role="img" aria-label="{label}" style="--drawn: {width:.1f}in">{body.strip()}'
