"""``bayesmdp list --environments``: how large the environments are, and how hard to learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from bayesmdp.environments import Example

__all__ = ["hardness_table"]

LARGEST = 100
"""States up to which hardness is worked out, which takes some seconds each."""

MEASURES = ("diameter", "span", "reciprocal_gaps", "value_norm")


def hardness_table(groups: Mapping[str, tuple[Example, ...]]) -> Table:
    """Lay out the examples of environments, by kind, with their sizes and :func:`~bayesmdp.hardness`.

    Parameters
    ----------
    groups : mapping of str to tuple of Example

    Returns
    -------
    Table
        A dash stands for what a problem has not: one with numbers for states no size, one with terminal states, with
        more than 100 states, or judged by episodes no hardness.
    """
    table = Table(title="Environments: small examples, and how hard they are to learn", title_justify="left", box=None)
    table.padding = (0, 1, 0, 0)
    for heading in ("", "states", "actions", "diameter", "span", "1 / gaps", "value norm"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for group, examples in groups.items():
        table.add_row(group, style="bold")
        for example in examples:
            table.add_row(example.make.__name__, *_told(example))
    return table


def _told(example: Example) -> list[str]:
    from bayesmdp.planning import hardness

    none = ["-"] * len(MEASURES)
    try:
        mdp: Any = example.problem
    except ImportError:  # an extra is not installed
        return ["-", "-", *none]
    size = [f"{mdp.num_states:,}" if mdp.space == "finite" else "-", str(mdp.num_actions)]
    if mdp.space != "finite" or mdp.num_states > LARGEST:
        return size + none
    try:
        measured = hardness(mdp)
    except ValueError:
        return size + none
    return size + [_number(float(measured[name])) for name in MEASURES]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.4g}"
