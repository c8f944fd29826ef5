"""Pictures of sweeps: tables of :mod:`bayesmdp.results.comparison` -> Figure. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmdp.foundation.visible_text import in_figure
from bayesmdp.results.plots import colour_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_differences", "plot_effects"]

PANELS = 12
"""Most heat maps of one figure."""


def plot_effects(
    effects: pd.DataFrame,
    settings: pd.DataFrame | None = None,
    *,
    quantity: str = "regret",
    figure: Figure | None = None,
) -> Figure:
    """Draw what each option does on average over the others: a row a problem, a column an option, a line an agent.

    Parameters
    ----------
    effects : DataFrame
        From :func:`~bayesmdp.results.comparison.option_effects`.
    settings : DataFrame, optional
        From :func:`~bayesmdp.results.comparison.settings_table`: agents without options of their own are drawn as level
        lines.
    quantity : str
        What was summed, for the label.
    figure : Figure, optional
        To draw on; a new one by default.

    Returns
    -------
    Figure

    Examples
    --------
    >>> from bayesmdp.results.comparison import option_effects
    >>> index = pd.MultiIndex.from_product([["A"], [1, 2], [0.1, 0.2]], names=["agent", "scale", "rate"])
    >>> totals = pd.DataFrame([[1.0, 1.2], [2.0, 2.2], [3.0, 3.2], [4.0, 4.2]], index=index)
    >>> [ax.get_xlabel() for ax in plot_effects(option_effects(totals)).axes]
    ['scale', 'rate']
    """
    by = list(effects.index.names[:-3])
    options = list(dict.fromkeys(effects.index.get_level_values("option")))
    known = effects if settings is None else settings
    agents = list(dict.fromkeys(known.index.get_level_values("agent")))
    problems = list(effects.groupby(level=by, sort=True)) if by else [((), effects)]
    figure = _sized(figure, max(6.0, 4.4 * len(options)), 0.6 + 3.0 * len(problems))
    grid = figure.subplots(len(problems), len(options), sharex="col", sharey="row", squeeze=False)
    drawn: dict[Axes, dict[Any, Any]] = {}
    for row, (problem, part) in zip(grid, problems, strict=True):
        place: Any = dict(zip(by, problem, strict=True))
        swept = set(part.index.get_level_values("agent"))
        level = {} if settings is None else _level(settings, place, set(agents) - swept)
        for ax, option in zip(row, options, strict=True):
            drawn[ax] = {}
            told = part.xs(option, level="option").reset_index()
            values = _in_order(told["value"])
            for agent, own in told.groupby("agent", sort=False):
                own = own.set_index("value").reindex(values)
                error = np.abs([own["mean"] - own["lower"], own["upper"] - own["mean"]])
                style: dict[str, Any] = {"fmt": "o-", "markersize": 4, "linewidth": 1.4, "label": agent}
                colour = colour_of(agents.index(agent))
                drawn[ax][agent] = ax.errorbar(range(len(values)), own["mean"], error, color=colour, **style)
            for agent, (mean, lower, upper) in level.items():
                colour = colour_of(agents.index(agent))
                drawn[ax][agent] = ax.axhline(mean, color=colour, linestyle="--", linewidth=1.2, label=agent)
                ax.axhspan(lower, upper, color=colour, alpha=0.12, linewidth=0)
            ax.set_xticks(range(len(values)), [_short(value) for value in values])
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(alpha=0.25, linewidth=0.6)
            ax.set_ylim(bottom=min(0.0, float(effects["lower"].min())))
        title = ", ".join(f"{in_figure(name)} {_short(value)}" for name, value in place.items())
        row[0].set_title(title, loc="left", fontsize=10)
        row[0].set_ylabel(f"{_told(quantity)} per run")
        row[0].yaxis.set_major_formatter("{x:,.0f}")
    for ax, option in zip(grid[-1], options, strict=True):
        ax.set_xlabel(in_figure(option))
    if len(agents) > 1:
        _legend(grid[0, -1], drawn[grid[0, -1]])
    figure.suptitle(
        f"{_told(quantity).capitalize()} by option, averaged over the other options, with intervals", x=0.01, ha="left"
    )
    return figure


def _legend(ax: Axes, drawn: dict[Any, Any]) -> None:
    """Agents by their names, of which Matplotlib would leave out those that begin with an underscore."""
    legend = ax.legend(list(drawn.values()), ["agent"] * len(drawn), frameon=False)
    for text, agent in zip(legend.get_texts(), drawn, strict=True):
        text.set_text(in_figure(agent))


def _level(settings: pd.DataFrame, place: dict[str, Any], agents: set[str]) -> dict[str, tuple[float, ...]]:
    """Mean and interval of agents that have one setting in a problem."""
    table = settings.reset_index()
    for name, value in place.items():
        table = table[table[name] == value]
    table = table[table["agent"].isin(agents)].drop_duplicates("agent", keep=False).set_index("agent")
    return {str(agent): tuple(row[["mean", "lower", "upper"]]) for agent, row in table.iterrows()}


def plot_differences(
    differences: pd.DataFrame,
    *,
    baseline: str,
    by: Sequence[str] | None = None,
    quantity: str = "regret",
    figure: Figure | None = None,
) -> Figure:
    """Differences from the baseline, as shares of its mean: a heat map a problem, over two options of the agent.

    Dots mark what is significant after correction. With fewer than two options of its own, points with intervals.

    Parameters
    ----------
    differences : DataFrame
        From :func:`~bayesmdp.results.comparison.paired_differences`.
    baseline : str
        For the title.
    by : sequence of str, optional
        Options that are kept apart; by default those of the problem.
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
    by = list(differences.attrs.get("problem", []) if by is None else by)
    table = differences.reset_index()
    swept = [str(name) for name in differences.index.names if name != "agent" and table[name].nunique() > 1]
    panels: list[tuple[str, pd.DataFrame, str, str]] = []
    agents = list(dict.fromkeys(table["agent"]))
    for agent, rows in table.groupby("agent", sort=False):
        own = [option for option in swept if option not in by and rows[option].nunique() > 1]
        if len(own) < 2:
            continue
        across, along = sorted(own, key=lambda option: -rows[option].nunique())[:2]
        others = [option for option in swept if option not in (across, along) and rows[option].nunique() > 1]
        for values, part in rows.groupby(others, sort=True) if others else [((), rows)]:
            told = ", ".join(
                f"{in_figure(option)} {_short(value)}" for option, value in zip(others, values, strict=True)
            )
            name = f"{in_figure(agent)}: {told}" if told and len(agents) > 1 else told or in_figure(agent)
            panels.append((name, part, across, along))
    if not panels:
        return _points(table, swept, baseline, quantity, figure)
    if len(panels) > PANELS:
        raise ValueError(f"there are {len(panels)} heat maps to draw, more than {PANELS}; select fewer settings")
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    figure = _sized(figure, 5.2 * columns + 1, 3.0 * -(-len(panels) // columns) + 0.8)
    grid = figure.subplots(-(-len(panels) // columns), columns, squeeze=False)
    largest = float(table["relative"].abs().quantile(0.95)) or 1.0
    image: Any = None
    for ax, (name, part, across, along) in zip(grid.flat, panels, strict=False):
        image = _heat_map(ax, part, across, along, largest)
        ax.set_title(name, loc="left", fontsize=10)
    for ax in grid.flat[len(panels) :]:
        ax.set_visible(False)
    label = f"{_told(quantity)}: relative difference\nfrom the baseline"
    bar = figure.colorbar(image, ax=list(grid.flat), label=label, shrink=0.8, extend="both")
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{share:+.0%}")
    sure = int(table["significant"].sum())
    figure.suptitle(
        fill(
            f"Difference from {in_figure(baseline)}, paired by replicate: {sure} of {len(table)} settings are "
            "significant after correction (dots)",
            40 * columns + 20,
        ),
        x=0.01,
        ha="left",
    )
    return figure


def _heat_map(ax: Axes, part: pd.DataFrame, across: str, along: str, largest: float) -> Any:
    xs, ys = _in_order(part[across]), _in_order(part[along])
    wide = part.pivot(index=along, columns=across, values="relative").reindex(index=ys, columns=xs)
    sure = part.pivot(index=along, columns=across, values="significant").reindex(index=ys, columns=xs)
    image = ax.imshow(wide.to_numpy(float), cmap="PuOr_r", vmin=-largest, vmax=largest, aspect="auto", origin="lower")
    rows, columns = np.nonzero(sure.to_numpy() == True)  # noqa: E712 - missing cells are neither
    ax.plot(columns, rows, ".", color="black", markersize=4)
    ax.set_xticks(range(len(xs)), [_short(value) for value in xs])
    ax.set_yticks(range(len(ys)), [_short(value) for value in ys])
    ax.set(xlabel=in_figure(across), ylabel=in_figure(along))
    return image


def _points(table: pd.DataFrame, swept: list[str], baseline: str, quantity: str, figure: Figure | None) -> Figure:
    """A line a setting, with its interval."""
    names = [
        ", ".join(
            [
                in_figure(row["agent"]),
                *(f"{in_figure(option)} {_short(row[option])}" for option in swept if pd.notna(row[option])),
            ]
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
        label = "significant after correction" if sure else "not significant"
        ax.errorbar(part["difference"], places[rows], xerr=error, fmt="o", color=colour, markersize=5, label=label)
    ax.axvline(0, color="0.6", linestyle=":")
    ax.set_yticks(places, names)
    ax.set_xlabel(f"difference in {_told(quantity)} from {in_figure(baseline)}, paired by replicate")
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
    return f"{value:.3g}" if isinstance(value, float) else in_figure(value)


def _told(quantity: str) -> str:
    return in_figure(quantity.replace("_", " "))
