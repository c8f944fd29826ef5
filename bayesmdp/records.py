"""Experience on spaces of numbers: rows of steps with what caused them, for models that are also simulators.

A model of a continuous problem is a NumPyro function of :class:`Records`. It samples the unknowns; in ``with
data.rows():`` it samples for each row what chance decides, the *primitives*, each with ``obs=data.seen.get(name)``; and
it computes ``numpyro.deterministic("next_state", ...)`` [row, coordinate] from state, action and primitives. Where
primitives were recorded it is a likelihood; where they were not it draws them, and simulates
(:func:`bayesmdp.simulated.next_states`). A primitive that decides nothing in a row is masked there
(``numpyro.handlers.mask``), and is then no part of what was recorded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayesmdp.data import label_indices, label_set, no_column, weighted_rows
from bayesmdp.mdp import Array

__all__ = ["Records", "check_records", "read_records"]

NEEDED = ("state", "action", "reward", "next_state")


class Records(NamedTuple):
    """Weighted rows of steps: what the `data` argument of a model of a continuous problem is.

    Attributes
    ----------
    state : array [row, coordinate]
    action : int array [row]
    seen : mapping of site to array [row, ...]
        The recorded primitives; empty in a simulation. Only those count that a model does not mask.
    weight : array [row]
        How often the row was seen; 0 is no observation.
    """

    state: Array
    action: Array
    seen: Mapping[str, Array]
    weight: Array

    @contextlib.contextmanager
    def rows(self) -> Iterator[None]:
        """Enter the plate ``data_rows``, as in `Transitions.rows`."""
        with weighted_rows(self.weight):
            yield

    def __getattr__(self, name: str) -> Any:
        raise no_column(self, name)


def read_records(log: xr.Dataset, mdp: Any | None = None) -> Records:
    """The steps of a log whose ``state`` has the dims step and coordinate; further variables are primitives.

    Numbers of primitives may be missing (NaN) in rows where a model does not look at them.

    Raises
    ------
    ValueError
        For an empty log, a missing column, an unknown action, or a state that is not finite: with the step.
    """
    missing = [name for name in NEEDED if name not in log]
    if missing:
        raise ValueError(f"the log has no {', '.join(missing)}; its variables are {', '.join(map(str, log))}")
    if log.sizes["step"] == 0:
        raise ValueError("the log is empty; a posterior needs at least one step (the prior is the model itself)")
    actions = label_set(log, "actions") if mdp is None else mdp.actions
    columns = {str(name): np.asarray(values) for name, values in log.data_vars.items() if values.dims[:1] == ("step",)}
    primitives = {name: values for name, values in columns.items() if name not in (*NEEDED, "terminated", "truncated")}
    action = label_indices(log, "action", actions).astype(np.int32)
    return check_records(Records(columns["state"].astype(float), action, primitives, np.ones(len(action))))


def check_records(data: Records) -> Records:
    """As NumPy arrays of one length.

    Raises
    ------
    ValueError
        Naming the column of another length, or the state, action or weight that is not finite.
    """
    seen = {str(name): np.asarray(values) for name, values in data.seen.items()}
    found = Records(np.asarray(data.state, float), np.asarray(data.action), seen, np.asarray(data.weight, float))
    if found.state.ndim != 2:
        raise ValueError(f"state has shape {found.state.shape}; expected [row, coordinate]")
    for name, values in {"action": found.action, "weight": found.weight, **seen}.items():
        if values.shape[:1] != found.state.shape[:1]:
            raise ValueError(f"{name} has shape {values.shape}; expected {len(found.state)} rows, as state has")
    for name, values in {"state": found.state, "action": found.action, "weight": found.weight}.items():
        if not np.isfinite(values).all():
            index = ", ".join(map(str, np.argwhere(~np.isfinite(values))[0]))
            raise ValueError(f"{name}[{index}] is not finite")
    if (found.weight < 0).any() or not found.weight.sum() > 0:
        raise ValueError("the weights must be at least 0, and not all 0")
    return found
