"""Pictures of performance profiles: tables of :mod:`bayesmdp.results.robust` -> Axes. Nothing is computed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmdp.foundation.visible_text import in_figure
from bayesmdp.results.plots import colour_of, new_figure, style_of
from bayesmdp.results.setting_names import setting_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_profiles"]

WIDE = 30.0
"""Thresholds that span more than this factor are drawn on a logarithmic scale."""


def plot_profiles(
    profiles: pd.DataFrame, ax: Axes | None = None, *, quantity: str = "regret", figure: Figure | None = None
) -> Axes:
    """Share of runs with at most a total, a curve a setting, with its band.

    A curve that is higher everywhere is better, of regret: at each total more of its runs are that low.

    Parameters
    ----------
    profiles : DataFrame
        From :func:`~bayesmdp.results.robust.performance_profiles`.
    ax : Axes, optional
        To draw on; a new figure's by default.
    quantity : str
        What was summed, for the label.
    figure : Figure, optional
        For a new Axes.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from bayesmdp.results.robust import performance_profiles
    >>> totals = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], index=pd.Index(["PSRL"], name="agent"))
    >>> plot_profiles(performance_profiles(totals, [0, 2, 4])).get_lines()[0].get_ydata().tolist()
    [0.0, 0.5, 1.0]
    """
    if ax is None:
        if figure is None:
            figure = new_figure(7.0, 4.0)
        else:
            figure.set_size_inches(7.0, 4.0)
        ax = figure.subplots()
    from matplotlib.ticker import NullFormatter

    names = profiles.index.names[:-1]
    at = profiles.index.get_level_values("threshold").to_numpy(float)
    for i, (place, own) in enumerate(profiles.groupby(level=list(range(len(names))), sort=False, dropna=False)):
        where = own.index.get_level_values("threshold").to_numpy(float)
        style: dict[str, Any] = {"color": colour_of(i), "linestyle": style_of(i)}
        ax.plot(
            where,
            own["share"],
            linewidth=1.6,
            drawstyle="steps-post",
            label=in_figure(setting_text(place, names)),
            **style,
        )
        ax.fill_between(where, own["lower"], own["upper"], color=colour_of(i), alpha=0.15, linewidth=0, step="post")
    if at.min() > 0 and at.max() > WIDE * at.min():
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())  # several decades have labels enough
    ax.set(xlabel=f"{in_figure(quantity.replace('_', ' '))} per run", ylabel="share of runs at or below")
    ax.set(xlim=(at.min(), at.max()), ylim=(0, 1.02))
    ax.set_title("Performance profiles", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, loc="best")
    return ax
