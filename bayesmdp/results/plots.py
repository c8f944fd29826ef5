"""Pictures of results: Dataset -> Axes. Everything drawn is computed by :mod:`bayesmdp.results.analysis`.

Agents keep their colour in every panel of a figure. The first eight are told apart by colour alone (Okabe and Ito's
palette, safe for colour-blind readers), further ones by line style too, and curves are labelled where they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesmdp.foundation.visible_text import in_figure
from bayesmdp.results import analysis
from bayesmdp.results.files import root_dataset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = [
    "colour_of",
    "new_figure",
    "plot_occupancy",
    "plot_quantile_value",
    "plot_regret",
    "plot_reward",
    "plot_study",
    "style_of",
]

type Result = xr.DataTree | xr.Dataset

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#8C8000")
_STYLES = ("-", "--", ":", "-.")
_REGRET = {
    ("regret", "discounted"): r"sum of $V^*(s) - V^\pi(s)$, in units of reward",
    ("regret", "average"): r"sum of $J^* - r(s, a)$, in units of reward",
    ("robust_regret", "discounted"): r"sum of $V_\mathrm{floor}(s) - V^\pi(s)$, in units of reward",
}
_TITLES = {"regret": "Cumulative regret", "robust_regret": "Cumulative robust regret", "gap": "Sum of gaps"}


def plot_regret(result: Result, ax: Axes | None = None, *, quantity: str = "regret", confidence: float = 0.95) -> Axes:
    """Cumulative regret against steps: means over replicates, with bands.

    Parameters
    ----------
    result : DataTree
        From `simulate`.
    ax : Axes, optional
        A new figure's by default. Labels stand to its right: leave room for them.
    quantity : {"regret", "robust_regret", "gap"}
        ``gap``, of average-reward MDPs: what actions cost for good.
    confidence : float in (0, 1)

    Returns
    -------
    Axes

    See Also
    --------
    bayesmdp.results.analysis.regret_curve : The numbers.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> import xarray as xr
    >>> regret = (("agent", "replicate", "step"), [[[1.0, 2.0], [3.0, 4.0]]])
    >>> result = xr.Dataset({"regret": regret}, {"agent": ["PSRL"], "step": [1, 2]}, {"thin": 1})
    >>> ax = bm.plot_regret(result)
    >>> ax.get_lines()[0].get_ydata().tolist()
    [2.0, 5.0]
    """
    curve = analysis.regret_curve(result, quantity=quantity, confidence=confidence)
    ax = _curves(curve, ax)
    ax.set_title(f"{_TITLES.get(quantity, in_figure(quantity))} (lower is better)", loc="left")
    ax.set_ylabel(_REGRET.get((quantity, curve.attrs.get("objective", "")), "cumulative regret, in units of reward"))
    return ax


def plot_quantile_value(result: Result, ax: Axes | None = None, *, confidence: float = 0.95) -> Axes:
    """Posterior quantile value of the policies in use, against steps: means over replicates, with bands.

    Parameters
    ----------
    result : DataTree
        From ``simulate(..., robust=, checkpoints=)``.
    ax : Axes, optional
    confidence : float in (0, 1)

    Returns
    -------
    Axes

    See Also
    --------
    bayesmdp.results.analysis.quantile_value_curve : The numbers.

    Examples
    --------
    >>> import xarray as xr
    >>> regret = (("agent", "replicate", "step"), [[[1.0, 1.0], [1.0, 1.0]]])
    >>> values = (("agent", "replicate", "checkpoint"), [[[0.1, 0.2], [0.3, 0.4]]])
    >>> data = {"regret": regret, "quantile_value": values}
    >>> ax = plot_quantile_value(
    ...     xr.Dataset(data, {"agent": ["PSRL"], "step": [1, 2], "checkpoint": [1, 2]}, {"thin": 1})
    ... )
    >>> ax.get_xlabel()
    'step'
    """
    curve = analysis.quantile_value_curve(result, confidence=confidence)
    ax = _curves(curve, ax)
    ax.set_title("Posterior quantile value (higher is better)", loc="left")
    sure = f"\nwith posterior probability {1 - curve.attrs['level']:g}" if "level" in curve.attrs else ""
    ax.set_ylabel(f"value at the start, exceeded{sure}" if sure else "value at the start, in units of reward")
    return ax


def plot_reward(result: Result, ax: Axes | None = None, *, window: int | None = None, confidence: float = 0.95) -> Axes:
    """Moving average of the reward per step: means over replicates, with bands.

    Parameters
    ----------
    result : DataTree
    ax : Axes, optional
    window : int, optional
        In steps; by default about a twentieth of the run.
    confidence : float in (0, 1)

    Returns
    -------
    Axes

    See Also
    --------
    bayesmdp.results.analysis.moving_average_reward : The numbers.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> agents = {"PSRL": bm.agents.psrl(bm.models.dirichlet_transitions(river))}
    >>> ax = bm.plot_reward(bm.simulate(river, agents, steps=100, replicates=2), window=20)
    >>> ax.get_xlabel()
    'step'
    """
    curve = analysis.moving_average_reward(result, window=window, confidence=confidence)
    ax = _curves(curve, ax)
    ax.set_title("Moving-average reward (higher is better)", loc="left")
    ax.set_ylabel(f"reward per step, mean of the last {curve.attrs['window']:,} steps")
    return ax


def plot_occupancy(result: Result, axes: Sequence[Axes] | None = None, *, bins: int = 50) -> list[Axes]:
    """Where each agent spends its time as learning goes on: a heat map of states against steps for each agent.

    Parameters
    ----------
    result : DataTree
    axes : sequence of Axes, optional
        One an agent, in the result's order; a new figure's by default.
    bins : int
        Stretches of time, over which the share of steps in each state is taken.

    Returns
    -------
    list of Axes

    Raises
    ------
    ValueError
        If `axes` are not as many as agents.

    See Also
    --------
    bayesmdp.results.analysis.occupancy : The numbers.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> agents = {"PSRL": bm.agents.psrl(bm.models.dirichlet_transitions(river))}
    >>> axes = bm.plot_occupancy(bm.simulate(river, agents, steps=100, replicates=2), bins=10)
    >>> len(axes), axes[0].get_ylabel()
    (1, 'state')
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shares = analysis.occupancy(result, bins=bins)
    count = shares.sizes["agent"]
    if axes is None:
        axes = _heat_axes(new_figure(2.2 * min(count, 5) + 1.2, 2.6 * _rows(count)), count)
    axes = list(axes)
    if len(axes) != count:
        raise ValueError(f"axes must be one an agent, {count}; got {len(axes)}")
    time = np.append(shares["start"].values[:1], shares["stop"].values)
    states = shares["state"].values
    rows = np.arange(len(states) + 1) - 0.5
    scale = Normalize(0, shares["occupancy"].values.max())
    every = -(-len(states) // 12)
    for i, ax in enumerate(axes):
        share = shares["occupancy"].isel(agent=i).transpose("state", "bin").values
        ax.pcolormesh(time, rows, share, norm=scale, cmap="viridis", rasterized=True)
        ax.set_title(in_figure(shares["agent"].values[i]), color=colour_of(i), loc="left", fontweight="bold")
        ax.set_yticks(range(0, len(states), every), [in_figure(label) for label in states[::every]])
        ax.tick_params(length=0)
        ax.locator_params(axis="x", nbins=3)
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.set_xlabel("step")
        if ax.yaxis.get_tick_params().get("labelleft", True):
            ax.set_ylabel("state")
    bar = axes[0].figure.colorbar(ScalarMappable(scale, "viridis"), ax=axes, aspect=25, pad=0.01, fraction=0.05)
    bar.set_label("share of time")
    bar.outline.set_visible(False)
    return axes


def plot_study(
    result: Result,
    *,
    window: int | None = None,
    bins: int = 50,
    confidence: float = 0.95,
    figure: Figure | None = None,
) -> Figure:
    """Regret, reward and state occupancy of all agents in one figure; robustness too where it was measured.

    Parameters
    ----------
    result : DataTree
    window : int, optional
        Of the moving average, in steps.
    bins : int
        Of the heat maps.
    confidence : float in (0, 1)
        Of the bands.
    figure : Figure, optional
        An empty one to draw in; a new one, known to pyplot, by default.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agents = {"PSRL": bm.agents.psrl(dirichlet_transitions(river, concentration=1 / 6))}
    >>> figure = bm.plot_study(bm.simulate(river, agents, steps=200, replicates=3))
    >>> [ax.get_title(loc="left") for ax in figure.axes][:2]
    ['Cumulative regret (lower is better)', 'Moving-average reward (higher is better)']
    """
    final = analysis.final_regret(result, confidence=confidence)
    count = final.sizes["agent"]
    held = set(root_dataset(result).data_vars)
    rows = 2 if "robust_regret" in held else 1
    # The states of a continuous space are numbers, of which there is no map.
    mapped = root_dataset(result, "state")["state"].dtype.kind != "f"
    height = 2.4 * _rows(count) if mapped else 0.0
    if figure is None:
        figure = new_figure(12, 0.4 + 4.2 * rows + height)
    else:
        figure.set_size_inches(12, 0.4 + 4.2 * rows + height)
        figure.set_layout_engine("constrained")
    ratios = [4.2 * rows, height] if mapped else [1.0]
    parts: Any = figure.subfigures(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
    curves = parts[0]
    panels = curves.subplots(rows, 2, squeeze=False)
    plot_regret(result, panels[0, 0], confidence=confidence)
    plot_reward(result, panels[0, 1], window=window, confidence=confidence)
    if "robust_regret" in held:
        plot_regret(result, panels[1, 0], quantity="robust_regret", confidence=confidence)
        if "quantile_value" in held:
            plot_quantile_value(result, panels[1, 1], confidence=confidence)
        else:
            panels[1, 1].set_visible(False)
    curves.suptitle(_headline(final), x=0.01, ha="left", fontsize=13)
    if mapped:
        plot_occupancy(result, _heat_axes(parts[1], count), bins=bins)
        parts[1].suptitle("Share of time in each state, as learning goes on", x=0.01, ha="left", fontsize=12)
    return figure


def _curves(curve: xr.Dataset, ax: Axes | None) -> Axes:
    """Means with bands, labelled at their right ends."""
    if ax is None:
        ax = new_figure(7.5, 4.4).subplots()
    step = curve["step"].values
    for i, name in enumerate(curve["agent"].values):
        mean, lower, upper = (curve[bound].isel(agent=i).values for bound in ("mean", "lower", "upper"))
        if np.isnan(mean).all():
            continue
        colour, style = colour_of(i), style_of(i)
        ax.plot(step, mean, color=colour, linestyle=style, label=in_figure(name), linewidth=1.8)
        if np.isfinite(lower).all():
            ax.fill_between(step, lower, upper, color=colour, alpha=0.18, linewidth=0)
    ax.set_xlabel("step")
    ax.set_xlim(min(0, step[0]), step[-1])
    if not (curve[["mean", "lower"]].to_array() < 0).any():
        ax.set_ylim(bottom=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    if max(map(abs, ax.get_ylim())) >= 1_000:
        ax.yaxis.set_major_formatter("{x:,.0f}")
    _label_ends(ax)
    return ax


def _label_ends(ax: Axes) -> None:
    """Each line's label beside its end, moved apart where ends are close."""
    lines = ax.get_lines()
    ends = [np.asarray(line.get_ydata())[-1] for line in lines]
    low, high = ax.get_ylim()
    box, dpi = ax.get_window_extent(), ax.figure.dpi
    gap = min(13 / 72 * dpi / max(box.height, 1.0), 1 / max(1, len(ends) - 1))
    places = np.clip((np.asarray(ends) - low) / (high - low), 0, 1)
    order = np.argsort(places, kind="stable")
    spread = places[order]
    for i in range(1, len(spread)):
        spread[i] = max(spread[i], spread[i - 1] + gap)
    # What was pushed beyond the top comes down again, and pushes others down.
    ceiling = 1.0
    for i in reversed(range(len(spread))):
        spread[i] = min(spread[i], ceiling)
        ceiling = spread[i] - gap
    for i, place in zip(order, spread, strict=True):
        ax.annotate(
            lines[i].get_label(),
            xy=(1, places[i]),
            xytext=(1.03, place),
            xycoords="axes fraction",
            color=lines[i].get_color(),
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": lines[i].get_color(),
                "linewidth": 0.8,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            },
        )


def _headline(final: xr.Dataset) -> str:
    attrs = final.attrs
    subject = in_figure(attrs.get("title") or attrs.get("mdp") or "Results")
    count = attrs["replicates"]
    if count == 1:
        return f"{subject}: 1 replicate, so no bands"
    told = f"{subject}: means of {count} replicates with {100 * attrs['confidence']:g}% confidence bands"
    return fill(told, 110)


def _rows(count: int) -> int:
    return -(-count // 5)


def _heat_axes(figure: Figure | SubFigure, count: int) -> list[Axes]:
    rows = _rows(count)
    grid = figure.subplots(rows, -(-count // rows), sharey=True, squeeze=False)
    for ax in grid.flat[count:]:
        ax.set_visible(False)
    return list(grid.flat[:count])


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of pyplot, laid out by constraints.

    Parameters
    ----------
    width, height : float
        In inches.
    """
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def colour_of(i: int) -> str:
    """Return the colour of the i-th agent."""
    return _COLOURS[i % len(_COLOURS)]


def style_of(i: int) -> str:
    """Return the line style of the i-th agent."""
    return _STYLES[i // len(_COLOURS) % len(_STYLES)]
