"""What the sites of a model may be: names of their axes, shapes that do not depend on the data, rows that sum to 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import ROW_TOLERANCE

__all__ = ["Shapes", "axes_of", "check_fixed", "check_names", "check_transition"]

AXES = ("chain", "draw", "state", "action", "next_state", "outcome", "row", "parameter")
"""Names that posteriors give to axes, and sites may not have."""

type Shapes = dict[str, tuple[int, ...] | None]
"""By site; None for what is observed."""


def axes_of(site: dict[str, Any]) -> tuple[str, ...]:
    """Plate names, then the model's own `infer={"event_dims": [...]}`, then the names ArviZ would give."""
    ndim = np.ndim(site["value"])
    names = {frame.dim: frame.name for frame in site.get("cond_indep_stack", ())}
    event = site["fn"].event_dim if site["type"] == "sample" else ndim - len(names)
    given = list(site.get("infer", {}).get("event_dims", []))
    tail = given if len(given) == event else [f"{site['name']}_dim_{i}" for i in range(event)]
    head = [names.get(i - (ndim - event), f"{site['name']}_plate_{i}") for i in range(ndim - event)]
    return (*head, *tail)


def check_names(dims: dict[str, tuple[str, ...]]) -> None:
    """Refuse a site with the name of an axis."""
    axes = {*AXES, *(axis for own in dims.values() for axis in own)}
    taken = [name for name in dims if name in axes]
    if taken:
        raise ValueError(f"the site {taken[0]!r} has the name of an axis of posteriors; give it another")


def check_fixed(once: Shapes, twice: Shapes) -> None:
    """Refuse unknowns whose shape depends on how many rows there are.

    Parameters
    ----------
    once, twice : dict of shapes by site
        Of runs on one row and on two.
    """
    for name in (*once, *twice):
        if name not in once or name not in twice:
            raise ValueError(f"the site {name!r} is there for some data only; sites must not depend on the data")
        if once[name] != twice[name]:
            raise ValueError(
                f"the site {name!r} has shape {once[name]} for 1 rows of data and {twice[name]} for twice as many; "
                "unknowns must have one shape, whatever the data"
            )


def check_transition(transition: Array) -> None:
    """Refuse a ``transition`` that is not [state, action, next_state], or whose rows are no distributions."""
    values = np.asarray(transition, float)
    if values.ndim != 3:
        raise ValueError(f"transition has shape {values.shape}; expected [state, action, next_state]")
    total = values.sum(-1)
    wrong = ~(np.abs(total - 1) <= ROW_TOLERANCE)
    if wrong.any():
        s, a = np.argwhere(wrong)[0]
        raise ValueError(
            f"transition[{s}, {a}] sums to {total[s, a]:.6g} for some values of the unknowns; it must sum to 1"
        )
    if (values < 0).any():
        index = ", ".join(map(str, np.argwhere(values < 0)[0]))
        raise ValueError(f"transition[{index}] is negative for some values of the unknowns")
