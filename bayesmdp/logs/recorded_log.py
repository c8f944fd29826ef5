"""Logs of recorded primitives as the rows that models see."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.foundation.validation import numeric_array, reject_first
from bayesmdp.logs.log import label_indices, label_set
from bayesmdp.model_reading.records import Records, check_records

__all__ = ["read_records"]


NEEDED = ("state", "action", "reward", "next_state")


def read_records(log: xr.Dataset, mdp: Any | None = None) -> Records:
    """Return the steps of a log whose ``state`` has the dims step and coordinate; further variables are primitives.

    Next states, rewards and ``terminal``, which rows ended an episode, are among what was seen, for models that observe
    them. Numbers of primitives may be missing (NaN) in rows where a model does not look at them.

    Raises
    ------
    ValueError
        For an empty log, a missing column, an unknown action, or a state that is not finite: with the step.

    Parameters
    ----------
    log : Dataset over ``step``
    mdp : problem, optional
        Its actions are the label set; by default the log's own.

    Returns
    -------
    Records
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
    columns["reward"] = numeric_array("reward", columns["reward"])
    for name in ("state", "next_state"):
        if log[name].dims != ("step", "coordinate"):
            raise ValueError(f"log {name} has dims {log[name].dims}; expected ('step', 'coordinate')")
        columns[name] = numeric_array(name, columns[name])
    after = columns["next_state"]
    reject_first("next_state", ~np.isfinite(after), after, "is not finite")
    reject_first("reward", ~np.isfinite(columns["reward"]), columns["reward"], "is not finite")
    ended = columns.get("terminated", np.zeros(len(action), bool)).astype(bool)
    seen = {**primitives, "next_state": after, "reward": columns["reward"]}
    seen.setdefault("terminal", ended)
    return check_records(Records(columns["state"], action, seen, np.ones(len(action))))
