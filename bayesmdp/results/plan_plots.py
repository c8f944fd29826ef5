"""Pictures of plans from a log: a plan -> Axes, each told by shape and position, not by colour alone.

A *plan* is what `bm.plan_log` returns, or the DataTree that ``bayesmdp plan`` writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.results.plan_parts import plan_tree, short_label, tries_of
from bayesmdp.results.plots import colour_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_policy", "plot_transitions"]

NUMBERED = 12
"""Actions up to which the tries are written into their cells."""

ROOM = 40
"""Signs that fit side by side below a picture."""

SELDOM = 0.02
"""Next states that are never more probable are left out."""

COLUMNS = 26
"""Next states in one picture: the most probable ones."""


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

    See Also
    --------
    bayesmdp.plot_grid : for lakes and other grids.
    bayesmdp.plot_transitions : where it leads.

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

    tree = plan_tree(plan, of_states=True)
    policy = _first(tree["policy"].to_dataset(), stage)
    tries, states, actions = tries_of(tree)
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

    tree = plan_tree(plan, of_states=True)
    policy = _first(tree["policy"].to_dataset(), stage)
    _, states, actions = tries_of(tree)
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


def _first(policy: xr.Dataset, stage: int) -> xr.Dataset:
    return policy.isel(stage=stage, drop=True) if "stage" in policy.dims else policy


def _most_visited(policy: xr.Dataset, most: int) -> NDArray[np.intp]:
    """Positions of the states visited most in which something is chosen, in their own order."""
    acted = np.flatnonzero(~policy["terminal"].values.astype(bool) & (policy["tried"].values > 0))
    order = np.argsort(-policy["visits"].values[acted], kind="stable")
    return np.sort(acted[order[:most]])


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


def _upright(ax: Axes, labels: list[str]) -> None:
    """Turn the labels of the lower axis where they have no room side by side."""
    if max(map(len, labels), default=0) * len(labels) > ROOM:
        ax.tick_params(axis="x", labelrotation=90, labelsize="small" if len(labels) > 16 else "medium")
