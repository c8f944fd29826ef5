"""Pictures of plans from a log: a plan -> Axes, each told by shape and position too, not by colour alone.

A *plan* is what `bm.plan_log` returns, or the DataTree that ``bayesmdp plan`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.visible_text import in_figure, one_line
from bayesmdp.results.plots import colour_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plan_tree",
    "plot_calibration",
    "plot_gain",
    "plot_policy",
    "plot_transitions",
    "plot_value",
    "short_label",
]

LABEL = 18
"""Signs of a label that are shown; what is longer ends in dots."""

ROOM = 40
"""Signs that fit side by side below a picture."""

NUMBERED = 12
"""Actions up to which the tries are written into their cells."""

COLUMNS = 26
"""Next states in one picture: the most probable ones."""

SELDOM = 0.02
"""Next states that are never more probable are left out."""

BANDS = (0.95, 0.8, 0.5)
"""Shares of the draws within the bars of a fan, widest first."""


def plan_tree(plan: Any) -> xr.DataTree:
    """The DataTree of a plan from a log.

    Raises
    ------
    TypeError
        If it is none.
    """
    tree = getattr(plan, "tree", plan)
    if not isinstance(tree, xr.DataTree) or not {"plan", "policy", "problem"} <= set(tree.children):
        raise TypeError(
            f"plan must be what bm.plan_log returns, or the DataTree of its file; got {type(plan).__name__}"
        )
    return tree


def plot_policy(plan: Any, ax: Axes | None = None, *, stage: int = 0, most: int = 30) -> Axes:
    """What a plan does and what it rests on: states by actions, shaded by tries, the chosen action framed.

    Parameters
    ----------
    plan : Report or DataTree
    ax : Axes, optional
        A new figure's by default.
    stage : int
        Steps taken, of a plan for a horizon.
    most : int
        States shown: those visited most, in their own order.

    Returns
    -------
    Axes
        Numbers are times tried. A dot marks the choice; where actions are mixed, its size is the share of each.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> ax = bm.plot_policy(bm.plan_log(log, discount=0.95, draws=50, calibration=0))
    >>> [tick.get_text() for tick in ax.get_xticklabels()]
    ['left', 'right']
    """
    from matplotlib import rcParams
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    tree = plan_tree(plan)
    policy = _first(tree["policy"].to_dataset(), stage)
    tries, states, actions = _tries(tree)
    shown = _most_visited(policy, most)
    share = _shares(tree, policy, actions, stage)
    if ax is None:
        ax = new_figure(2.2 + 0.55 * max(len(actions), 4), 1.4 + 0.3 * max(len(shown), 3)).subplots()
    ink, darkest = rcParams["text.color"], max(float(tries[shown].max(initial=0)), 1.0)
    cells, shades, frames = [], [], []
    for row, state in enumerate(shown):
        for action in range(len(actions)):
            count = tries[state, action]
            if count:
                cells.append(Rectangle((action - 0.5, row - 0.5), 1, 1))
                shades.append(to_rgba(colour_of(0), 0.06 + 0.49 * (count / darkest) ** 0.5))
            if len(actions) <= NUMBERED and count:
                weight = "bold" if share[state, action] else "normal"
                ax.text(action, row, f"{count:,.0f}", ha="center", va="center", fontsize="small", fontweight=weight)
            if share[state, action]:
                frames.append(Rectangle((action - 0.46, row - 0.44), 0.92, 0.88))
                if len(actions) > NUMBERED or share[state, action] < 1:
                    ax.plot(action - 0.3, row, "o", color=ink, markersize=2 + 4 * share[state, action])
    ax.add_collection(PatchCollection(cells, facecolors=shades, edgecolor="none"))
    ax.add_collection(PatchCollection(frames, facecolor="none", edgecolor=ink, linewidth=1.6))
    ax.set_xlim(-0.5, len(actions) - 0.5)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xticks(range(len(actions)), [short_label(action) for action in actions])
    _upright(ax, [short_label(action) for action in actions])
    ax.set_yticks(range(len(shown)), [short_label(states[state]) for state in shown])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("action")
    ax.set_ylabel("state")
    return ax


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
    _bare(ax)
    ax.set_xlabel("earned from the start, in units of reward")
    return ax


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
    'gained over what is done today, in units of reward'
    """
    from matplotlib import rcParams

    tree = plan_tree(plan)
    told = tree["at_start"].to_dataset() if "at_start" in tree.children else xr.Dataset()
    if "today" not in told:
        raise ValueError("the plan was not compared with what is done today, or the log does not say where it starts")
    gain, bound = (told["value"] - told["today"]).values, float(tree.attrs["initial_gain_bound"])
    ink = rcParams["text.color"]
    if ax is None:
        ax = new_figure(6, 2.6).subplots()
    # Bins of one width with an edge at 0, so that no bar holds gains and losses.
    width = max(float(np.ptp(gain)) / 16, 1e-9 * (1 + float(np.abs(gain).max())))
    edges = width * np.arange(np.floor(gain.min() / width), np.floor(gain.max() / width) + 2)
    heights, _ = np.histogram(gain, edges)
    bars = ax.bar(
        edges[:-1], 100 * heights / len(gain), width, align="edge", color=colour_of(0), alpha=0.6, linewidth=0
    )
    for left, bar in zip(edges[:-1], bars, strict=True):
        if (left < 0 and bound < 0) or left < -width / 2:
            bar.set(hatch="////", edgecolor=ink, facecolor=colour_of(4))
    ax.axvline(0, color=ink, linewidth=1.2)
    ax.axvline(bound, color=ink, linewidth=1.8, linestyle="--")
    least, most = min(edges[0], 0, bound), max(edges[-1], 0, bound)
    margin = 0.04 * (most - least)
    ax.set_xlim(least - margin, most + margin)
    top = ax.get_ylim()[1] * 1.3
    ax.set_ylim(0, top)
    right = bound > (least + most) / 2
    certain = f"at least this,\nwith probability {1 - tree.attrs['level']:g}"
    ax.text(bound + (-margin if right else margin) / 2, top, certain, va="top", ha="right" if right else "left")
    if abs(bound) > 0.2 * (most - least):
        ax.text(margin / 2, top, "as today", va="top", ha="left")
    _bare(ax, left=True)
    ax.set_xlabel("gained over what is done today, in units of reward")
    ax.set_ylabel("% of draws")
    return ax


def plot_transitions(plan: Any, ax: Axes | None = None, *, stage: int = 0, most: int = 20) -> Axes:
    """Where the plan's actions lead: a square for each next state, within which its probability is uncertain.

    Parameters
    ----------
    plan : Report or DataTree
    ax : Axes, optional
    stage : int
        Steps taken, of a plan for a horizon.
    most : int
        States shown: those visited most.

    Returns
    -------
    Axes
        Rows are states with the plan's most probable action, columns next states. The area of the inner square is the
        5% posterior quantile of the probability, that of the one around it the 95% quantile: what is well known has no
        rim. A full cell is 1. What is never more probable than 2% is left out, and of many next states those of the
        largest probabilities are shown.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    >>> ax = bm.plot_transitions(bm.plan_log(log, discount=0.95, draws=50, calibration=0))
    >>> ax.get_yticklabels()[0].get_text()
    '0: right'
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    tree = plan_tree(plan)
    policy = _first(tree["policy"].to_dataset(), stage)
    _, states, actions = _tries(tree)
    shown = _most_visited(policy, most)
    chosen = [actions.index(label) for label in policy["action"].values[shown].astype(str).tolist()]
    low, high = _row_quantiles(tree, shown, chosen)
    columns = np.flatnonzero((high > SELDOM).any(0))
    columns = np.sort(columns[np.argsort(-high[:, columns].sum(0), kind="stable")[:COLUMNS]])
    names = [*states, "elsewhere"]
    if ax is None:
        ax = new_figure(3 + 0.35 * max(len(columns), 4), 1.6 + 0.3 * max(len(shown), 3)).subplots()
    for ends, alpha in ((high, 0.28), (low, 0.9)):
        squares = [
            Rectangle((place - side / 2, row - side / 2), side, side)
            for row, sides in enumerate(0.94 * np.sqrt(ends[:, columns]))
            for place, side in enumerate(sides.tolist())
            if high[row, columns[place]] > SELDOM
        ]
        ax.add_collection(PatchCollection(squares, facecolor=to_rgba(colour_of(0), alpha), edgecolor="none"))
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xticks(range(len(columns)), [short_label(names[column]) for column in columns])
    _upright(ax, [short_label(names[column]) for column in columns])
    rows = [
        f"{short_label(states[state])}: {short_label(actions[action])}"
        for state, action in zip(shown, chosen, strict=True)
    ]
    ax.set_yticks(range(len(shown)), rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("next state")
    ax.set_ylabel("state: action")
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
    ['value, as computed', 'value, as told']
    """
    from matplotlib import rcParams
    from scipy.stats import binomtest

    attrs = plan_tree(plan).attrs
    if "checked_logs" not in attrs:
        raise ValueError(f"the promise was not checked: {attrs.get('unchecked', 'the start is not known')}")
    logs = int(attrs["checked_logs"])
    kept = {}
    for name, key in (("value", "checked"), ("gain", "gain_checked")):
        if f"{key}_kept" in attrs:
            kept[f"{name}, as computed"] = int(attrs[f"{key}_kept"])
            kept[f"{name}, as told"] = int(attrs[f"{key}_kept_lowered"])
    if ax is None:
        ax = new_figure(6, 0.9 + 0.42 * len(kept)).subplots()
    ink = rcParams["text.color"]
    for row, (name, number) in enumerate(kept.items()):
        interval = binomtest(number, logs).proportion_ci(method="wilson")
        ax.plot([100 * interval.low, 100 * interval.high], [row, row], color=colour_of(0), linewidth=2.5)
        marker = "o" if name.endswith("told") else "s"
        ax.plot(100 * number / logs, row, marker, color=ink, markersize=6)
    ax.axvline(100 * (1 - attrs["level"]), color=ink, linestyle="--", linewidth=1.2)
    ax.set_yticks(range(len(kept)), list(kept))
    ax.set_ylim(len(kept) - 0.5, -0.5)
    _bare(ax)
    ax.set_xlim(right=101)
    ax.set_xlabel(f"kept, in % of {logs} logs (dashed: promised)")
    return ax


def _values(values: Any) -> Mapping[Any, ArrayLike]:
    """Draws by name."""
    if isinstance(values, Mapping) and not isinstance(values, xr.DataTree):
        return values
    tree = plan_tree(values)
    if "at_start" not in tree.children:
        raise ValueError("the log of the plan does not say where episodes start, so nothing is known of what it earns")
    told = tree["at_start"].to_dataset()
    names = {"value": "the plan", "today": "as today"}
    return {names[str(name)]: told[name].values for name in ("value", "today") if name in told}


def _first(policy: xr.Dataset, stage: int) -> xr.Dataset:
    return policy.isel(stage=stage, drop=True) if "stage" in policy.dims else policy


def _most_visited(policy: xr.Dataset, most: int) -> NDArray[np.intp]:
    """Positions of the states visited most in which something is chosen, in their own order."""
    acted = np.flatnonzero(~policy["terminal"].values.astype(bool) & (policy["tried"].values > 0))
    order = np.argsort(-policy["visits"].values[acted], kind="stable")
    return np.sort(acted[order[:most]])


def _tries(tree: xr.DataTree) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """How often each pair was tried [state, action], and the labels as they are written."""
    problem, rows = tree["problem"].to_dataset(), tree["constant_data"].to_dataset()
    labels = [[str(label) for label in problem[name].values.tolist()] for name in ("state", "action")]
    tries = np.zeros([len(own) for own in labels])
    place = []
    for name, own in zip(("state", "action"), labels, strict=True):
        index = {label: i for i, label in enumerate(own)}
        place.append([index[str(label)] for label in rows[name].values.tolist()])
    np.add.at(tries, tuple(place), rows["weight"].values)
    return tries, labels[0], labels[1]


def _shares(tree: xr.DataTree, policy: xr.Dataset, actions: list[str], stage: int) -> NDArray[np.float64]:
    """Probability with which the plan takes each action [state, action]."""
    if "probability" in policy:
        return np.asarray(tree["plan"]["probability"].transpose("state", "action").values)
    return np.array([[float(action == own) for action in actions] for own in policy["action"].values.astype(str)])


def _row_quantiles(
    tree: xr.DataTree, states: NDArray[np.intp], actions: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 5% and 95% quantiles of where pairs lead [pair, next_state], with one column more for elsewhere."""
    problem = tree["problem"].to_dataset()
    outcome = "outcome" if "successor" in problem else "next_state"
    size = problem.sizes["state"]
    if "posterior" in tree.children:
        drawn = tree["posterior"]["transition"].stack(sample=("chain", "draw"), create_index=False)
        own = drawn.transpose("sample", "state", "action", outcome).values[:, states, actions]
        low, high = np.quantile(own, [0.05, 0.95], axis=0)
    else:
        from scipy.stats import beta

        own = tree["parameters"]["transition"].transpose("state", "action", outcome).values[states, actions]
        rest = own.sum(-1, keepdims=True) - own
        possible = (own > 0) & (rest > 0)
        low, high = (
            np.where(possible, beta.ppf(level, np.where(possible, own, 1), np.where(possible, rest, 1)), own > 0)
            for level in (0.05, 0.95)
        )
    if outcome == "next_state":
        return tuple(np.pad(part.astype(float), ((0, 0), (0, 1))) for part in (low, high))  # type: ignore[return-value]
    leads = problem["successor"].values[states, actions]
    leads = np.where(leads < 0, size, leads)
    told = np.zeros((2, len(states), size + 1))
    for side, part in zip(told, (low, high), strict=True):
        np.maximum.at(side, (np.arange(len(states))[:, None], leads), part)
    return told[0], told[1]


def short_label(label: Any) -> str:
    """A label that fits beside an axis."""
    text = one_line(label)
    text = text if len(text) <= LABEL else text[: LABEL - 1] + "…"
    return in_figure(text) if text.strip() else f"'{text}'"


def _upright(ax: Axes, labels: list[str]) -> None:
    """Turn the labels of the lower axis where they have no room side by side."""
    if max(map(len, labels), default=0) * len(labels) > ROOM:
        ax.tick_params(axis="x", labelrotation=90, labelsize="small" if len(labels) > 16 else "medium")


def _bare(ax: Axes, *, left: bool = False) -> None:
    """Take away what is no data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines["left"].set_visible(left)
    ax.grid(axis="x", alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    if not left:
        ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=6)
