"""The table of a policy planned from a log: what it does, how often that was tried, and what it is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.behaviour import tries_of
from bayesmdp.offline.over_today import Compared
from bayesmdp.planning.posterior_value import at_start
from bayesmdp.planning.quantile_interval import order_interval
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import action_indices

__all__ = ["policy_table"]


def policy_table(
    mdp: MDP,
    rows: Transitions,
    planned: xr.Dataset,
    values: xr.DataArray,
    level: float,
    *,
    starts_known: bool,
    compared: Compared | None = None,
) -> xr.Dataset:
    """Lay out a policy.

    Parameters
    ----------
    mdp : MDP
    rows : Transitions
        The log.
    planned : Dataset
        As `plan` returns it.
    values : DataArray [draw, (stage,) state]
        The policy's value under draws that it was not chosen with.
    level : float
        Of the quantile of its value.
    starts_known : bool
        Whether the log says where episodes start.
    compared : Compared, optional
        With what is done today.

    Returns
    -------
    Dataset over ``state``, or ``stage`` and ``state``
        As `Report` describes it.
    """
    chosen = action_indices(mdp, planned["policy"])
    mixed = planned["probability"].values if "probability" in planned else None
    visits = tries_of(rows, mdp)
    tried = visits[np.arange(mdp.num_states), chosen]
    action = np.where(tried > 0, label_array(mdp.actions, text=True).astype(str)[chosen], "")
    # The value at the initial distribution comes last, as one more state.
    first = at_start(values, mdp).values
    drawn = np.concatenate([values.values.reshape(len(first), -1), first[:, None]], axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0, method="inverted_cdf")
    quantile, quantile_lower, quantile_upper = order_interval(drawn, level, 0.95)
    promise = np.append(planned["value"].values, at_start(planned["value"], mdp).values)
    at_states_and_start = {
        "promise": promise,
        "worth_lower": low,
        "worth_upper": high,
        "worth_quantile": quantile,
        "worth_quantile_lower": quantile_lower,
        "worth_quantile_upper": quantile_upper,
    }
    columns = {
        "action": action,
        "visits": visits.sum(-1).astype(np.int64),
        "tried": tried.astype(np.int64),
        **{name: array[:-1].reshape(chosen.shape) for name, array in at_states_and_start.items()},
        "on_path": _path(
            mdp, rows, chosen if mixed is None else mixed > 0, mdp.initial > 0 if starts_known else visits.any(-1)
        ),
        "terminal": mdp.terminal,
    }
    if mixed is not None:
        columns |= {
            "probability": np.where(mdp.terminal, 0, mixed.max(-1)),
            "mixes": ((mixed > 0).sum(-1) > 1) & ~mdp.terminal,
        }
    if compared is not None:
        columns |= _beside_today(compared, chosen, mdp.terminal, float(np.abs(values).max()))
    coords = mdp.state_coords
    dims = tuple(coords)
    at_start_only = {f"initial_{name}": float(array[-1]) for name, array in at_states_and_start.items()}
    return xr.Dataset(
        {name: (dims[-array.ndim :], array) for name, array in columns.items()},
        coords=coords,
        attrs={"level": level} | (at_start_only if starts_known else {}),
    )


def _beside_today(
    compared: Compared, chosen: NDArray[np.int64], terminal: NDArray[np.bool_], largest: float
) -> dict[str, NDArray[np.generic]]:
    """Columns [(stage,) state] of a policy beside what is done today, whose values are at most the largest in size."""
    gains = compared.gains.values
    low, high = np.quantile(gains, [0.05, 0.95], axis=0, method="inverted_cdf")
    columns: dict[str, NDArray[np.generic]] = {
        "today": np.where(terminal, 0, compared.today[np.arange(chosen.shape[-1]), chosen]),
        "gain": gains.mean(0),
        "gain_lower": low,
        "gain_upper": high,
        # A difference of values that are the same may not be 0.
        "better": (gains > 1e-9 * largest).mean(0),
    }
    return columns | ({} if compared.departing is None else {"departing": compared.departing})


def _path(mdp: MDP, rows: Transitions, chosen: NDArray[Any], start: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the states [(stage,) state] that the policy reaches from where episodes may start, by transitions seen.

    The policy is actions [(stage,) state], or whether it takes an action [state, action].
    """
    if mdp.by_stage:
        reached = np.zeros(chosen.shape, bool)
        reached[0] = start
        for before, after, actions in zip(reached, reached[1:], chosen, strict=False):
            after[_entered(mdp, rows, actions, before)] = True
        return reached
    reached, number = start.copy(), 0
    while number < int(reached.sum()):
        number = int(reached.sum())
        reached[_entered(mdp, rows, chosen, reached)] = True
    return reached


def _entered(mdp: MDP, rows: Transitions, actions: NDArray[Any], among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The states that were seen to follow these actions [state], or allowed ones [state, action], in some states."""
    own = rows.action == actions[rows.state] if actions.ndim == 1 else actions[rows.state, rows.action]
    taken = own & among[rows.state]
    source, target = rows.state[taken], rows.next_state[taken]
    if mdp.successor is not None:
        target = mdp.successor[source, rows.action[taken], target]
    return np.asarray(target, np.int64)
