"""Pictures of what a plan from a log is worth: a plan -> Axes, each told by shape and position, not by colour alone.

A *plan* is what `bm.plan_log` returns, or the DataTree that ``bayesmdp plan`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bayesmdp.foundation.visible_text import in_figure
from bayesmdp.results.plan_parts import bare_axes, plan_tree, short_label
from bayesmdp.results.plots import colour_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_calibration", "plot_gain", "plot_value"]

BANDS = (0.95, 0.8, 0.5)
"""Shares of the draws within the bars of a fan, widest first."""

BESIDE = 0.63
"""How far along the axis of gains a line may be for its words to have room on the right."""


def plot_value(values: Any, ax: Axes | None = None) -> Axes:
    """What policies earn at the start, side by side: fans of the posterior, the middle 50, 80 and 95% of its draws.

    Parameters
    ----------
    values : Report, DataTree, or mapping of name to array [draw]
        Of a plan: its own value, and that of what is done today.
    ax : Axes, optional

    Returns
    -------
    Axes
        The line in each fan is the median.

    Raises
    ------
    ValueError
        For a plan whose log does not say where episodes start, or a policy without draws.

    See Also
    --------
    bayesmdp.plot_gain : over what is done today.
    bayesmdp.plot_policy : what is done.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> ax = bm.plot_value({"new": [1.0, 2.0, 3.0], "old": [0.0, 1.0, 2.0]})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['new', 'old']
    """
    from matplotlib import rcParams
    from matplotlib.colors import to_rgba

    drawn = {str(name): np.asarray(own, float).ravel() for name, own in _values(values).items()}
    for name, own in drawn.items():
        if not own.size or not np.isfinite(own).all():
            raise ValueError(f"the values of {name!r} must be finite numbers, one a draw; got {own[:3]}")
    if ax is None:
        ax = new_figure(6, 0.9 + 0.6 * len(drawn)).subplots()
    for row, own in enumerate(drawn.values()):
        for band, height, alpha in zip(BANDS, (0.26, 0.42, 0.58), (0.25, 0.45, 0.7), strict=True):
            low, high = np.quantile(own, [(1 - band) / 2, (1 + band) / 2])
            ax.barh(row, high - low, left=low, height=height, color=to_rgba(colour_of(row), alpha), linewidth=0)
        middle = float(np.median(own))
        ax.plot([middle, middle], [row - 0.34, row + 0.34], color=rcParams["text.color"], linewidth=2)
    ax.set_yticks(range(len(drawn)), [short_label(name) for name in drawn])
    ax.set_ylim(len(drawn) - 0.5, -0.5)
    bare_axes(ax)
    ax.set_xlabel(f"earned from the start, in {_unit_of(values)}")
    return ax


def _unit_of(plan: Any) -> str:
    """What rewards are counted in."""
    if isinstance(plan, Mapping) and not isinstance(plan, xr.DataTree):
        return "units of reward"
    unit = plan_tree(plan).attrs.get("unit")
    return in_figure(unit) if unit else "units of reward"


def plot_gain(plan: Any, ax: Axes | None = None) -> Axes:
    """What a plan gains over what is done today: the posterior, with what would be a loss hatched, and the bound told.

    Parameters
    ----------
    plan : Report or DataTree
        With a baseline, and a log that says where episodes start.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the plan was not compared with anything.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> ax = bm.plot_gain(bm.plan_log(log, discount=0.95, draws=50, calibration=0))
    >>> ax.get_xlabel()
    "gain over today's policy, in units of reward"
    """
    from matplotlib import rcParams

    tree = plan_tree(plan)
    told = tree["at_start"].to_dataset() if "at_start" in tree.children else xr.Dataset()
    if "today" not in told:
        raise ValueError("the plan was not compared with today's policy, or the log does not show where episodes start")
    gain, bound = (told["value"] - told["today"]).values, float(tree.attrs["initial_gain_bound"])
    ink = rcParams["text.color"]
    if ax is None:
        ax = new_figure(6, 2.6).subplots()
    # Bins of one width with an edge at 0, so that no bar holds gains and losses.
    # No thinner than can be seen.
    extent = max(float(gain.max()), bound, 0) - min(float(gain.min()), bound, 0)
    width = max(float(np.ptp(gain)) / 16, extent / 100, 1e-9 * (1 + float(np.abs(gain).max())))
    edges = width * np.arange(np.floor(gain.min() / width), np.floor(gain.max() / width) + 2)
    heights, _ = np.histogram(gain, edges)
    bars = ax.bar(
        edges[:-1], 100 * heights / len(gain), width, align="edge", color=colour_of(0), alpha=0.6, linewidth=0
    )
    for left, bar in zip(edges[:-1], bars, strict=True):
        if left < -width / 2:
            bar.set(hatch="////", edgecolor=ink, facecolor=colour_of(4))
    ax.axvline(0, color=ink, linewidth=1.2)
    ax.axvline(bound, color=ink, linewidth=1.8, linestyle="--")
    least, most = min(edges[0], 0, bound), max(edges[-1], 0, bound)
    margin = 0.04 * (most - least)
    ax.set_xlim(least - margin, most + margin)
    top = ax.get_ylim()[1] * 1.3
    ax.set_ylim(0, top)
    certain = f"dashed: at least this\nwith probability {1 - tree.attrs['level']:g}"
    # On the right of its line as long as there is room, for on the left it may meet what stands at 0.
    if bound - least > BESIDE * (most - least):
        ax.text(bound - margin / 2, top, certain, va="top", ha="right")
        room = 1 - BESIDE
    else:
        ax.text(max(bound, 0) + margin / 2, top, certain, va="top", ha="left")
        room = 0.0
    if bound > (room + 0.34) * (most - least):  # both stand beside each other, with a gap
        ax.text(margin / 2, top, "same as today", va="top", ha="left")
    bare_axes(ax, left=True)
    ax.set_xlabel(f"gain over today's policy, in {_unit_of(plan)}")
    ax.set_ylabel("% of draws")
    return ax


def plot_calibration(plan: Any, ax: Axes | None = None) -> Axes:
    """How often what is promised was kept on the logs of its check, before and after it was lowered.

    Parameters
    ----------
    plan : Report or DataTree
        Whose promise was checked.
    ax : Axes, optional

    Returns
    -------
    Axes
        Shares of logs with 95% intervals of Wilson, and the share that is promised as a line.

    Raises
    ------
    ValueError
        If nothing was checked, saying why.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=500, seed=0)
    >>> ax = bm.plot_calibration(bm.plan_log(log, discount=0.9, draws=50))
    >>> [label.get_text() for label in ax.get_yticklabels()][:2]
    ['value, as computed', 'value, as reported']
    """
    from matplotlib import rcParams
    from scipy.stats import binomtest

    attrs = plan_tree(plan).attrs
    if "checked_logs" not in attrs:
        raise ValueError(f"the numbers were not checked: {attrs.get('unchecked', 'the start is not known')}")
    logs = int(attrs["checked_logs"])
    kept = {}
    for name, key in (("value", "checked"), ("gain", "gain_checked")):
        if f"{key}_kept" in attrs:
            kept[f"{name}, as computed"] = int(attrs[f"{key}_kept"])
            kept[f"{name}, as reported"] = int(attrs[f"{key}_kept_lowered"])
    if ax is None:
        ax = new_figure(6, 0.9 + 0.42 * len(kept)).subplots()
    ink = rcParams["text.color"]
    for row, (name, number) in enumerate(kept.items()):
        interval = binomtest(number, logs).proportion_ci(method="wilson")
        ax.plot([100 * interval.low, 100 * interval.high], [row, row], color=colour_of(0), linewidth=2.5)
        marker = "o" if name.endswith("reported") else "s"
        ax.plot(100 * number / logs, row, marker, color=ink, markersize=6)
    ax.axvline(100 * (1 - attrs["level"]), color=ink, linestyle="--", linewidth=1.2)
    ax.set_yticks(range(len(kept)), list(kept))
    ax.set_ylim(len(kept) - 0.5, -0.5)
    bare_axes(ax)
    ax.set_xlim(right=101)
    ax.set_xlabel(f"held in % of {logs} logs (dashed: stated)")
    return ax


def _values(values: Any) -> Mapping[Any, ArrayLike]:
    """Draws by name."""
    if isinstance(values, Mapping) and not isinstance(values, xr.DataTree):
        return values
    tree = plan_tree(values)
    if "at_start" not in tree.children:
        raise ValueError("the plan's log does not show where episodes start, so it is not known what the plan earns")
    told = tree["at_start"].to_dataset()
    names = {"value": "plan", "today": "today's policy"}
    return {names[str(name)]: told[name].values for name in ("value", "today") if name in told}
