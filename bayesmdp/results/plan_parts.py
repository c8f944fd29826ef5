"""What pictures of plans have in common: how a plan is read, labels are shortened, and axes made bare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.visible_text import in_figure, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bare_axes", "plan_tree", "short_label", "tries_of"]

LABEL = 34
"""Signs of a label that are shown; what is longer ends in dots."""


def plan_tree(plan: Any, *, of_states: bool = False) -> xr.DataTree:
    """The DataTree of a plan from a log.

    Parameters
    ----------
    plan : Report or DataTree
    of_states : bool
        Whether it must be of states with labels.

    Raises
    ------
    TypeError
        If it is none.
    """
    tree = getattr(plan, "tree", plan)
    needed = {"plan", "policy"} | ({"problem"} if of_states else set())
    if of_states and isinstance(tree, xr.DataTree) and "space" in tree.attrs:
        raise TypeError("the plan's states are numbers, and the picture is of states with labels")
    if not isinstance(tree, xr.DataTree) or not needed <= set(tree.children):
        raise TypeError(
            f"plan must be what bm.plan_log returns, or the DataTree of its file; got {type(plan).__name__}"
        )
    return tree


def tries_of(tree: xr.DataTree) -> tuple[NDArray[np.float64], list[str], list[str]]:
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


def short_label(label: Any) -> str:
    """A label that fits beside an axis."""
    text = one_line(label)
    text = text if len(text) <= LABEL else text[: LABEL - 1] + "…"
    return in_figure(text) if text.strip() else f"'{text}'"


def bare_axes(ax: Axes, *, left: bool = False) -> None:
    """Take away what is no data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines["left"].set_visible(left)
    ax.grid(axis="x", alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    if not left:
        ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=6)
