"""Pictures of policies on a grid, such as a lake: a plan -> Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesmdp.results.plan_parts import short_label
from bayesmdp.results.plots import colour_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_grid"]

ARROWS = {"left": "←", "down": "↓", "right": "→", "up": "↑", "west": "←", "south": "↓", "east": "→", "north": "↑"}


def plot_grid(plan: Any, shape: tuple[int, int], ax: Axes | None = None) -> Axes:
    """What is done in the cells of a grid, and what the policy is worth from each: arrows on shades, with numbers.

    Parameters
    ----------
    plan : Report, DataTree, or Dataset
        Of `bm.plan_log`; or of `bm.plan` and `bm.solve`, with ``policy`` and ``value`` over ``state``.
    shape : (rows, columns)
        States are numbered row by row from the upper left.
    ax : Axes, optional

    Returns
    -------
    Axes
        Arrows are drawn for actions called left, right, up and down, or by the points of the compass; others are
        written. Of a plan from a log the number is the posterior quantile of what is earned from the cell, cells that
        end an episode are crossed, and those in which nothing was tried are empty.

    Raises
    ------
    ValueError
        If the grid has not as many cells as there are states, or the policy is by stage.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> ax = bm.plot_grid(bm.solve(bm.environments.frozen_lake(discount=0.95)), (4, 4))
    >>> [text.get_text() for text in ax.texts][:3]
    ['←', '0.1805', '↑']
    """
    from matplotlib import rcParams
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    told = _told(plan)
    rows, columns = shape
    if told.sizes["state"] != rows * columns or "stage" in told.dims:
        what = "is by stage" if "stage" in told.dims else f"has {told.sizes['state']} states"
        raise ValueError(f"a grid of {rows} x {columns} cells needs {rows * columns} states; the policy {what}")
    if ax is None:
        ax = new_figure(0.9 * columns + 0.4, 0.9 * rows + 0.4).subplots()
    ink, value = rcParams["text.color"], told["value"].values
    known = np.isfinite(value)
    low, high = (float(each) for each in (value[known].min(initial=0), value[known].max(initial=0)))
    for state in range(rows * columns):
        row, column = divmod(state, columns)
        action, ends = str(told["action"].values[state]), bool(told["terminal"].values[state])
        shade = 0.0 if ends or not known[state] else 0.06 + 0.49 * (value[state] - low) / ((high - low) or 1)
        corner = column - 0.5, row - 0.5
        ax.add_patch(Rectangle(corner, 1, 1, facecolor=to_rgba(colour_of(0), shade), edgecolor=ink, linewidth=0.6))
        if ends:
            ax.plot([column - 0.3, column + 0.3], [row - 0.3, row + 0.3], color=ink, linewidth=0.8)
            ax.plot([column - 0.3, column + 0.3], [row + 0.3, row - 0.3], color=ink, linewidth=0.8)
        elif action:
            arrow = ARROWS.get(action.lower())
            size = "x-large" if arrow else "small"
            ax.text(column, row - 0.12, arrow or short_label(action), ha="center", va="center", fontsize=size)
            if known[state]:
                ax.text(column, row + 0.3, f"{value[state]:.4g}", ha="center", va="center", fontsize="x-small")
    ax.set_xlim(-0.52, columns - 0.48)
    ax.set_ylim(rows - 0.48, -0.52)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _told(plan: Any) -> xr.Dataset:
    """Columns ``action``, ``value`` and ``terminal`` over ``state``."""
    tree = getattr(plan, "tree", plan)
    if isinstance(tree, xr.DataTree):
        policy = tree["policy"].to_dataset()
        columns = {"action": policy["action"], "value": policy["worth_quantile"], "terminal": policy["terminal"]}
        return xr.Dataset(columns)
    if not isinstance(tree, xr.Dataset) or "policy" not in tree:
        raise TypeError(f"plan must be that of bm.plan_log, bm.plan or bm.solve; got {type(plan).__name__}")
    value = tree["value"] if "value" in tree else xr.full_like(tree["policy"], np.nan, dtype=float)
    # What is worth the same whatever is done ends an episode, as far as can be told.
    ends = (tree["q"] == 0).all("action") if "q" in tree else xr.zeros_like(tree["policy"], dtype=bool)
    return xr.Dataset({"action": tree["policy"].astype(str), "value": value, "terminal": ends})
