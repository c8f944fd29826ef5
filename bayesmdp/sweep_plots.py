"""Pictures of sweeps: tables of :mod:`bayesmdp.comparison` -> Figure. Nothing is computed here."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmdp.plots import colour_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_differences", "plot_effects"]

PANELS = 12
"""Most heat maps of one figure."""


def plot_effects(effects: pd.DataFrame, *, quantity: str = "regret", figure: Figure | None = None) -> Figure:
    """What each option does on average over all others: a panel an option, a line an agent.

    Parameters
    ----------
    effects : DataFrame
        From :func:`~bayesmdp.comparison.option_effects`.
    quantity : str
        What was summed, for the label.
    figure : Figure, optional
        To draw on; a new one by default.

    Returns
    -------
    Figure

    Examples
    --------
    >>> from bayesmdp.comparison import option_effects
    >>> index = pd.MultiIndex.from_product([["A"], [1, 2], [0.1, 0.2]], names=["agent", "scale", "rate"])
    >>> totals = pd.DataFrame([[1.0, 1.2], [2.0, 2.2], [3.0, 3.2], [4.0, 4.2]], index=index)
    >>> [ax.get_xlabel() for ax in plot_effects(option_effects(totals)).axes]
    ['scale', 'rate']
    """
    options = list(dict.fromkeys(effects.index.get_level_values("option")))
    agents = list(dict.fromkeys(effects.index.get_level_values("agent")))
    figure = _sized(figure, max(6.0, 3.4 * len(options)), 4.2)
    panels = figure.subplots(1, len(options), sharey=True, squeeze=False)[0]
    for ax, option in zip(panels, options, strict=True):
        rows = effects.xs(option, level="option")
        values = _in_order(rows.index.get_level_values("value"))
        for agent in agents:
            if agent not in rows.index.get_level_values("agent"):
                continue
            own = rows.loc[agent].reindex(values)
            error = np.abs([own["mean"] - own["lower"], own["upper"] - own["mean"]])
            places = np.arange(len(values))
            colour = colour_of(agents.index(agent))
            ax.errorbar(places, own["mean"], error, fmt="o-", color=colour, label=agent, markersize=4, linewidth=1.4)
        ax.set_xticks(range(len(values)), [_short(value) for value in values])
        ax.set_xlabel(option)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, linewidth=0.6)
    panels[0].set_ylabel(f"{_told(quantity)} of a run")
    panels[0].set_ylim(bottom=min(0.0, float(effects["lower"].min())))
    panels[0].yaxis.set_major_formatter("{x:,.0f}")
    if len(agents) > 1:
        panels[-1].legend(frameon=False)
    figure.suptitle(
        f"{_told(quantity).capitalize()} by option, averaged over all other options, with intervals", x=0.01, ha="left"
    )
    return figure


def plot_differences(
    differences: pd.DataFrame, *, baseline: str, quantity: str = "regret", figure: Figure | None = None
) -> Figure:
    """Differences from the baseline: heat maps over the two options with most values, one for each of the others.

    Dots mark what is significant after correction. With fewer than two swept options, points with their intervals.

    Parameters
    ----------
    differences : DataFrame
        From :func:`~bayesmdp.comparison.paired_differences`.
    baseline : str
        For the title.
    quantity : str
    figure : Figure, optional

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are more than 12 heat maps to draw: select some settings.
    """
    table = differences.reset_index()
    swept = [name for name in differences.index.names if name != "agent" and table[name].nunique() > 1]
    agents = list(dict.fromkeys(table["agent"]))
    own = {a: [o for o in swept if table.loc[table["agent"] == a, o].notna().all()] for a in agents}
    if max(map(len, own.values())) < 2:
        return _points(table, swept, baseline, quantity, figure)
    panels: list[tuple[str, pd.DataFrame, str, str]] = []
    for agent in agents:
        rows = table[table["agent"] == agent]
        by_size = sorted(own[agent], key=lambda option: -rows[option].nunique())
        if len(by_size) < 2:
            continue
        across, along = by_size[:2]
        others = [option for option in own[agent] if option not in (across, along)]
        for values, part in rows.groupby(others, sort=True) if others else [((), rows)]:
            told = ", ".join(f"{option} {_short(value)}" for option, value in zip(others, values, strict=True))
            name = f"{agent}: {told}" if told and len(agents) > 1 else told or agent
            panels.append((name, part, across, along))
    if len(panels) > PANELS:
        raise ValueError(f"there are {len(panels)} heat maps to draw, more than {PANELS}; select fewer settings")
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    figure = _sized(figure, 5.2 * columns + 1, 3.4 * -(-len(panels) // columns) + 0.6)
    grid = figure.subplots(-(-len(panels) // columns), columns, squeeze=False)
    largest = float(table["difference"].abs().max()) or 1.0
    image: Any = None
    for ax, (name, part, across, along) in zip(grid.flat, panels, strict=False):
        image = _heat_map(ax, part, across, along, largest)
        ax.set_title(name, loc="left", fontsize=10)
    for ax in grid.flat[len(panels) :]:
        ax.set_visible(False)
    figure.colorbar(image, ax=list(grid.flat), label=f"{_told(quantity)} less that of the baseline", shrink=0.8)
    sure = int(table["significant"].sum())
    figure.suptitle(
        fill(
            f"Difference from {baseline}, replicate by replicate: {sure} of {len(table)} settings are significant "
            "after correction (dots)",
            30 * columns + 30,
        ),
        x=0.01,
        ha="left",
    )
    return figure


def _heat_map(ax: Axes, part: pd.DataFrame, across: str, along: str, largest: float) -> Any:
    xs, ys = _in_order(part[across]), _in_order(part[along])
    wide = part.pivot(index=along, columns=across, values="difference").reindex(index=ys, columns=xs)
    sure = part.pivot(index=along, columns=across, values="significant").reindex(index=ys, columns=xs)
    image = ax.imshow(wide.to_numpy(float), cmap="PuOr_r", vmin=-largest, vmax=largest, aspect="auto", origin="lower")
    rows, columns = np.nonzero(sure.to_numpy() == True)  # noqa: E712 - missing cells are neither
    ax.plot(columns, rows, ".", color="black", markersize=4)
    ax.set_xticks(range(len(xs)), [_short(value) for value in xs])
    ax.set_yticks(range(len(ys)), [_short(value) for value in ys])
    ax.set(xlabel=across, ylabel=along)
    return image


def _points(table: pd.DataFrame, swept: list[str], baseline: str, quantity: str, figure: Figure | None) -> Figure:
    """A line a setting, with its interval."""
    names = [
        ", ".join(
            [str(row["agent"]), *(f"{option} {_short(row[option])}" for option in swept if pd.notna(row[option]))]
        )
        for _, row in table.iterrows()
    ]
    figure = _sized(figure, 7.5, 0.9 + 0.32 * len(names))
    ax = figure.subplots()
    places = np.arange(len(names))[::-1]
    for sure, colour in ((True, colour_of(0)), (False, "0.55")):
        rows = (table["significant"] == sure).to_numpy()
        part = table[rows]
        error = np.abs([part["difference"] - part["lower"], part["upper"] - part["difference"]])
        label = "significant after correction" if sure else "not"
        ax.errorbar(part["difference"], places[rows], xerr=error, fmt="o", color=colour, markersize=5, label=label)
    ax.axvline(0, color="0.6", linestyle=":")
    ax.set_yticks(places, names)
    ax.set_xlabel(f"{_told(quantity)} less that of {baseline}, replicate by replicate")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="best")
    return figure


def _sized(figure: Figure | None, width: float, height: float) -> Figure:
    if figure is None:
        return new_figure(width, height)
    figure.set_size_inches(width, height)
    return figure


def _in_order(values: Any) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if all(isinstance(value, int | float) for value in distinct) else distinct


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _told(quantity: str) -> str:
    return quantity.replace("_", " ")
