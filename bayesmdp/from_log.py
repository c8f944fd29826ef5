"""The decision problem that a log describes: its states, actions and rewards, and which next states were seen.

What the dynamics are stays open; that is the posterior's part. The rules, which are ours:

* The row of a pair (state, action) names the next states seen after it; all others are lumped as *elsewhere* (see
  :mod:`bayesmdp.elsewhere`), whose reward is the pair's mean reward.
* The reward of a transition is the mean of what it brought.
* A state that some step entered as `terminated` is terminal. A truncated step says nothing of that kind: its next state
  has a future, though the log does not show it.
* An action never tried in a state is not available there: nothing is known of its reward, nor, but from the prior, of
  where it leads. A state that was entered and never acted in has no tried action. There every action is taken to lead
  elsewhere at the smallest reward of the log.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.data import Transitions, compress, label_indices, label_set
from bayesmdp.mdp import MDP

__all__ = ["mdp_from_log"]


def mdp_from_log(
    log: xr.Dataset,
    *,
    discount: float,
    elsewhere: Literal["mean", "least", "none"] = "mean",
    name: str = "log",
) -> MDP:
    """An MDP with unknown dynamics, from logged transitions.

    Parameters
    ----------
    log : Dataset over ``step``
        As `read_log` and `collect` return it; ``terminated`` and ``truncated`` may be missing, and are then False.
    discount : float in (0, 1)
    elsewhere : {"mean", "least", "none"}
        What a next state not seen after a pair is worth: the average, or the least, of the states not seen after it; or
        that there is none, so that what was not seen cannot happen.
    name : str

    Returns
    -------
    MDP
        On a successor table, without a transition. ``initial`` is the distribution of the states in which the log's
        episodes start.

    Raises
    ------
    ValueError
        For a log that `compress` refuses, or a terminal state that is acted in: with the steps.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.frozen_lake()
    >>> log = bm.collect(lake, policy="uniform", steps=500, seed=0)
    >>> problem = mdp_from_log(log, discount=0.99)
    >>> problem
    MDP('log': 16 states, 4 actions, discount 0.99, dynamics unknown)
    >>> problem.successor[0, 1].tolist()  # down from the first cell: stayed, right or down, or anywhere else
    [0, 1, 4, -1]
    """
    if elsewhere not in ("mean", "least", "none"):
        raise ValueError(f"elsewhere must be one of mean, least, none; got {elsewhere!r}")
    rows = compress(log)
    states, actions = label_set(log, "states"), label_set(log, "actions")
    terminal = _terminal(log, len(states))
    tried = np.zeros((len(states), len(actions)), bool)
    tried[rows.state, rows.action] = True
    untold = ~tried.any(-1) & ~terminal
    if elsewhere == "none" and untold.any():
        label = states[int(np.flatnonzero(untold)[0])]
        raise ValueError(f"state {label!r} was entered but never acted in, so with elsewhere='none' it leads nowhere")
    successor, reward = _table(rows, len(states), tried, lumped=elsewhere != "none")
    return MDP(
        successor=successor,
        reward=reward,
        discount=discount,
        elsewhere="mean" if elsewhere == "none" else elsewhere,
        initial=_initial(log, terminal),
        terminal=terminal,
        available=tried | untold[:, None] | terminal[:, None],
        states=states,
        actions=actions,
        name=name,
    )


def _terminal(log: xr.Dataset, num_states: int) -> NDArray[np.bool_]:
    """States that a step entered as the end of an episode."""
    terminal = np.zeros(num_states, bool)
    terminated = _ends(log, "terminated")
    states = label_set(log, "states")
    entered = label_indices(log, "next_state", states)
    terminal[entered[terminated]] = True
    wrong = terminal[label_indices(log, "state", states)]
    if wrong.any():
        step = int(np.flatnonzero(wrong)[0])
        label = log["state"].values[step : step + 1].tolist()[0]
        end = int(np.flatnonzero(terminated & (log["next_state"].values == label))[0])
        raise ValueError(
            f"state {label!r} ends an episode at step {end} but is acted in at step {step}; where the recording was "
            "cut off, mark the step as truncated, not terminated"
        )
    return terminal


def _initial(log: xr.Dataset, terminal: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where episodes start: the first step, and each step after an end."""
    state = label_indices(log, "state", label_set(log, "states"))
    starts = np.concatenate([[True], (_ends(log, "terminated") | _ends(log, "truncated"))[:-1]])
    count = np.bincount(state[starts], minlength=len(terminal))
    return np.asarray(count / count.sum())


def _ends(log: xr.Dataset, name: str) -> NDArray[np.bool_]:
    return np.asarray(log[name].values, bool) if name in log else np.zeros(log.sizes["step"], bool)


def _table(
    rows: Transitions, num_states: int, tried: NDArray[np.bool_], *, lumped: bool
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Successors [state, action, outcome] in order, then -1 as often as fits, and the rewards."""
    num_actions = tried.shape[1]
    # Rows come sorted by state, action and next state, so a row's outcome is its place within its pair.
    pair = rows.state.astype(np.int64) * num_actions + rows.action
    begins = np.searchsorted(pair, np.arange(num_states * num_actions))
    outcome = np.arange(len(pair)) - begins[pair]
    named = np.bincount(pair, minlength=num_states * num_actions)
    # A row that names every state has nothing elsewhere.
    width = int((named + (lumped & (named < num_states))).max())
    successor = np.full((num_states * num_actions, width), -1, np.int32)
    successor[pair, outcome] = rows.next_state
    total = np.bincount(pair, weights=rows.reward * rows.weight, minlength=len(named))
    mean = np.where(named > 0, total / np.maximum(np.bincount(pair, weights=rows.weight, minlength=len(named)), 1), 0)
    reward = np.repeat(np.where(named > 0, mean, rows.reward.min())[:, None], width, axis=1)
    reward[pair, outcome] = rows.reward
    padding = (successor == -1) & ((named == num_states) | (not lumped))[:, None]
    successor, reward = np.where(padding, successor[:, :1], successor), np.where(padding, reward[:, :1], reward)
    # Without elsewhere a pair never tried leads back to its state; it is not available.
    state = np.arange(num_states * num_actions)[:, None] // num_actions
    successor = np.where((successor == -1) & (not lumped), state, successor).astype(np.int32)
    shape = num_states, num_actions
    if (reward == reward[:, :1]).all():
        reward = reward[:, :1]
    return successor.reshape(*shape, -1), reward.reshape(*shape, -1)
