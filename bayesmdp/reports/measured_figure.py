"""A picture of a policy where states are numbers: what it does in the log's states, over what changes it most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesmdp.foundation.visible_text import in_figure
from bayesmdp.offline.measured_file import KeptMeasuredPlan
from bayesmdp.planning.fitted_policies import at_first
from bayesmdp.reports.measured_content import importance
from bayesmdp.results.plan_parts import bare_axes, short_label
from bayesmdp.results.plots import colour_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["draw_policy"]

MARKERS = "osv^D<>pP*"
SHOWN = 600
"""Rows of the log that are drawn, at most."""


def draw_policy(plan: KeptMeasuredPlan, states: NDArray[np.float64], ax: Axes) -> Axes:
    """Draw states of the log by the plan's (first) action there, along the two coordinates that change it most.

    Parameters
    ----------
    plan : KeptMeasuredPlan
    states : array [row, coordinate]
        Of the log.
    ax : Axes

    Returns
    -------
    Axes
        Where there is one coordinate, actions are on the other axis. Each action has a mark of its own; rings are
        states near which the log hardly took it.
    """
    shown = states[np.linspace(0, len(states) - 1, min(len(states), SHOWN)).round().astype(int)]
    chosen = at_first(plan.policy).probabilities(shown).argmax(-1)
    few = plan.near.counts(shown)[np.arange(len(shown)), chosen] < 5
    names = [in_figure(short_label(name)) for name in plan.space.coordinates]
    order = np.argsort(-importance(plan, states), kind="stable")
    x, labels = int(order[0]), [in_figure(short_label(action)) for action in plan.space.actions]
    for a, label in enumerate(labels):
        own = np.flatnonzero(chosen == a)
        if not len(own):
            continue
        across = np.full(len(own), float(a)) if len(names) == 1 else shown[own, order[1]]
        faces = np.where(few[own], "none", colour_of(a))
        mark = MARKERS[a % len(MARKERS)]
        # One drawing of the empty and one of the full, for a list of faces has no edge of its own.
        for empty in (False, True):
            part = few[own] == empty
            if part.any():
                ax.scatter(
                    shown[own[part], x],
                    across[part],
                    s=18,
                    marker=mark,
                    facecolors=faces[part][0],
                    edgecolors=colour_of(a),
                    linewidths=0.8,
                    label=label if empty == few[own].all() else None,
                )
    ax.set_xlabel(names[x])
    if len(names) == 1:
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(-0.6, len(labels) - 0.4)
    else:
        ax.set_ylabel(names[order[1]])
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    bare_axes(ax, left=True)
    return ax
