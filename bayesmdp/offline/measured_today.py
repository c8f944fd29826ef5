"""What is done today where states are numbers, as it was asked for, and as the file of a plan holds it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmdp.model_reading.records import Records
from bayesmdp.offline.measured_space import MeasuredSpace
from bayesmdp.offline.named_prior import maker_of
from bayesmdp.offline.near_rows import NearRows
from bayesmdp.offline.said_state_behaviour import places_behaviour
from bayesmdp.offline.state_behaviour import ActsInStates, StateBehaviour, state_behaviour
from bayesmdp.planning.state_baseline import PlacesBehaviour, function_behaviour
from bayesmdp.problems.labels import label_array

__all__ = ["kept_today", "measured_today", "read_today"]

PROBED, RARELY, MANY = 200, 0.01, 0.05
"""States of the log at which a function is tried, a probability below which an action is not asked for, and the
share of rows above which a warning says that nothing is known of what is said."""


def measured_today(
    baseline: Any, data: Records, space: MeasuredSpace, near: NearRows
) -> tuple[ActsInStates | None, str]:
    """Read what is done today.

    Parameters
    ----------
    baseline : "log", "none", "uniform", DataFrame, "FILE.py:NAME" or callable
        What the log shows, nothing, each action alike, a table of places, or a function of states.
    data : Records
        The log.
    space : MeasuredSpace
    near : NearRows
        Of the log.

    Returns
    -------
    today : ActsInStates or None
    name : str
        Of the baseline: itself, or "a table" or "a function" where it is no text.

    Raises
    ------
    ValueError
        For another baseline.
    """
    corners, actions = (space.low, space.high), space.actions
    today: ActsInStates
    if isinstance(baseline, pd.DataFrame):
        today, name = places_behaviour(baseline, space.coordinates, actions, *corners), "a table"
    elif callable(baseline) or (isinstance(baseline, str) and ":" in baseline):
        function = maker_of(baseline, {})[0] if isinstance(baseline, str) else baseline
        today = function_behaviour(function, actions, np.asarray(data.state)[:PROBED])
        name = baseline if isinstance(baseline, str) else "a function"
    elif not isinstance(baseline, str) or baseline not in ("log", "none", "uniform"):
        raise ValueError(
            "where states are numbers baseline is log, none, uniform, a table with the columns "
            f"{', '.join(space.coordinates)}, action and probability, or FILE.py:NAME of a function of states; got "
            f"{baseline!r}"
        )
    elif baseline == "none":
        return None, baseline
    else:
        rows = slice(None) if baseline == "log" else slice(0)
        return state_behaviour(data.state[rows], data.action[rows], len(actions), *corners), baseline
    _warn_of_untried(today, data, space, near)
    return today, name


def _warn_of_untried(today: ActsInStates, data: Records, space: MeasuredSpace, near: NearRows) -> None:
    """Warn if today's policy is said to do in many rows what no row of the log near did: nothing is known of that."""
    states = np.asarray(data.state)
    untried = (today.probabilities(states) > RARELY) & (near.counts(states, most=1) == 0)
    where = untried.any(-1)
    if where.mean() > MANY:
        row = int(where.argmax())
        action = space.actions[int(untried[row].argmax())]
        warnings.warn(
            f"the baseline does in {int(where.sum()):,} of {len(states):,} rows what no row of the log near did, first "
            f"{action!r} at {states[row].tolist()}: what it earns there, and a gain over it, rests on the prior",
            UserWarning,
            stacklevel=5,
        )


def kept_today(today: ActsInStates, space: MeasuredSpace) -> xr.Dataset:
    """Lay out what is done today, so that a plan's file holds it.

    Parameters
    ----------
    today : ActsInStates
        A function is held by its own file.
    space : MeasuredSpace

    Returns
    -------
    Dataset
    """
    actions = {"action": label_array(space.actions)}
    if isinstance(today, StateBehaviour):
        return xr.Dataset({"weights": (("action", "behaviour_feature"), today.weights)}, actions)
    if not isinstance(today, PlacesBehaviour):
        return xr.Dataset(coords=actions)
    columns = {"state": (("place", "coordinate"), today.places), "probability": (("place", "action"), today.shares)}
    return xr.Dataset(columns, {"coordinate": list(space.coordinates), **actions})


def read_today(tree: xr.DataTree, space: MeasuredSpace) -> ActsInStates | None:
    """Read what is done today from the tree of a plan, or its file.

    Parameters
    ----------
    tree : DataTree
    space : MeasuredSpace

    Returns
    -------
    ActsInStates, or None where the tree does not hold it
    """
    if "baseline" not in tree.children:
        return None
    held, corners = tree["baseline"].to_dataset().load(), (np.array(space.low), np.array(space.high))
    if "weights" in held:
        return StateBehaviour(held["weights"].values, *corners)
    if "state" in held:
        return PlacesBehaviour(held["state"].values, held["probability"].values, *corners)
    function, _ = maker_of(str(tree.attrs["baseline_name"]), {})
    return function_behaviour(function, space.actions, np.array(space.anchors))
