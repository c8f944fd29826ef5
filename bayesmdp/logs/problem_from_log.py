"""The decision problem that a log describes: its states, actions and rewards, and which next states were seen.

What the dynamics are stays open; that is the posterior's part. The rules, which are ours:

* The row of a pair (state, action) names the next states seen after it; all others are lumped as *elsewhere*; see
  :mod:`bayesmdp.problems.elsewhere`. Or each state is an outcome of each row, seen or not, and a prior says how
  probable it is: more honest, for the shares of what was never seen are uncertain too, and as large as the square of
  the states.
* The reward of a transition is the mean of what it brought. What elsewhere brings depends on what rewards are paid
  for. If every state was always entered with one and the same reward, they are paid on entering: elsewhere brings the
  average (or, if elsewhere is worth the least, the smallest) over the states it stands for, in which a state never
  entered counts with the smallest reward of the log. Otherwise elsewhere brings the pair's mean reward.
* A state that some step entered as `terminated` is terminal. A truncated step says nothing of that kind: its next state
  has a future, though the log does not show it.
* An action never tried in a state is not available there: nothing is known of its reward, nor, but from the prior, of
  where it leads. A state that was never acted in has no tried action. There every action is taken to lead
  elsewhere at the smallest reward of the log.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from jax.typing import ArrayLike
from numpy.typing import NDArray

from bayesmdp.logs.compress import compress
from bayesmdp.logs.log import begins_of, counts_of, ends_of, label_indices, label_set, refuse_missing, written_indices
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.problems.mdp import MDP

__all__ = ["mdp_from_log", "open_actions", "starts_of"]


def mdp_from_log(
    log: xr.Dataset,
    *,
    discount: float | None,
    horizon: int | None = None,
    elsewhere: Literal["mean", "least", "none", "each"] = "mean",
    paid_for: Literal["auto", "entering", "acting"] = "auto",
    reachable: pd.DataFrame | None = None,
    initial: Hashable | ArrayLike | None = None,
    name: str = "log",
) -> MDP:
    """An MDP with unknown dynamics, from logged transitions.

    Parameters
    ----------
    log : Dataset over ``step``
        As `read_log` and `collect` return it, perhaps counted; ``terminated`` and ``truncated`` may be missing, and are
        then False.
    discount : float in (0, 1), or None
    horizon : int, optional
        How many steps count; as both of these for `MDP`.
    elsewhere : {"mean", "least", "none", "each"}
        What a next state not seen after a pair is worth: the average, or the least, of the states not seen after it; or
        that there is none, so that what was not seen cannot happen; or each what it is worth.
    paid_for : {"auto", "entering", "acting"}
        Whether rewards belong to the next state or to the pair, which tells what elsewhere brings; by default the log
        is asked, as the module says.
    reachable : DataFrame, optional
        What can happen, where that is known: columns ``state``, ``next_state`` and, unless it holds for all of them,
        ``action``. A pair that it does not mention may lead anywhere. In the place of `elsewhere`, which is then not
        read.
    initial : label or array [state], optional
        Where episodes start; by default where those of the log do. A log read with ``gaps="allow"`` that has gaps does
        not tell; then each state counts as often as it was acted in.
    name : str

    Returns
    -------
    MDP
        On a successor table, without a transition; dense if `elsewhere` is ``"each"``.

    Raises
    ------
    ValueError
        For a log that `compress` refuses, or a terminal state that is acted in: with the steps.

    See Also
    --------
    bayesmdp.read_log : the log.
    bayesmdp.prior_from_log : a prior for it.
    bayesmdp.plan_log : all of it in one call.

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
    if elsewhere not in ("mean", "least", "none", "each"):
        raise ValueError(f"elsewhere must be one of mean, least, none, each; got {elsewhere!r}")
    if paid_for not in ("auto", "entering", "acting"):
        raise ValueError(f"paid_for must be one of auto, entering, acting; got {paid_for!r}")
    rows = compress(log)
    states, actions = label_set(log, "states"), label_set(log, "actions")
    terminal = _terminal(log, len(states))
    tried = np.zeros((len(states), len(actions)), bool)
    tried[rows.state, rows.action] = True
    available, untold = open_actions(tried, terminal)
    if elsewhere == "none" and reachable is None and untold.any():
        label = states[int(np.flatnonzero(untold)[0])]
        raise ValueError(f"state {label!r} was never acted in, so with elsewhere='none' it leads nowhere")
    entering = _entering(log, len(states)) if paid_for != "acting" else None
    if paid_for == "entering" and entering is None:
        raise ValueError("paid_for is 'entering', but some state was entered with different rewards; use 'acting'")
    successor: NDArray[np.int32] | None
    if reachable is not None:
        successor = _reachable(reachable, states, actions)
        _refuse_unreachable(rows, successor, states, actions)
        reward = np.take_along_axis(_each(rows, tried, entering) + np.zeros(len(states)), successor, -1)
    elif elsewhere == "each":
        successor, reward = None, _each(rows, tried, entering)
    else:
        successor, reward = _table(rows, tried, entering, elsewhere)
    reward = np.where(untold[:, None, None], _least_reward(log), reward)
    return MDP(
        successor=successor,
        reward=reward,
        discount=discount,
        horizon=horizon,
        elsewhere="least" if elsewhere == "least" else "mean",
        initial=starts_of(log, terminal) if initial is None else initial,
        terminal=terminal,
        available=available,
        states=states,
        actions=actions,
        name=name,
    )


def open_actions(
    tries: NDArray[np.float64] | NDArray[np.bool_], terminal: NDArray[np.bool_], least: int = 1
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which actions may be taken: those tried often enough, or else the most, and all where none was.

    Parameters
    ----------
    tries : array [state, action]
        How often each was tried, or whether it was.
    terminal : bool array [state]
    least : int
        How often is enough. In a state where no action was tried so often, those that were tried the most are open.

    Returns
    -------
    available : bool array [state, action]
    untold : bool array [state]
        States, not terminal, that were never acted in.
    """
    untold = ~tries.any(-1) & ~terminal
    enough = tries >= np.minimum(least, tries.max(-1, keepdims=True))
    return (enough & (tries > 0)) | untold[:, None] | terminal[:, None], untold


def _terminal(log: xr.Dataset, num_states: int) -> NDArray[np.bool_]:
    """States that a step entered as the end of an episode."""
    terminal = np.zeros(num_states, bool)
    terminated = ends_of(log, "terminated")
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
            "cut off, mark the step as truncated, not terminated; where it ends there only at times, give that end "
            "a next_state of its own"
        )
    return terminal


def starts_of(log: xr.Dataset, terminal: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where episodes of a log start: the first step, and each step after an end; anywhere in a log without order.

    Parameters
    ----------
    log : Dataset over ``step``
    terminal : bool array [state]
        Gives the number of states.

    Returns
    -------
    array [state]
    """
    state, count = label_indices(log, "state", label_set(log, "states")), counts_of(log)
    if log.attrs.get("ordered", 1):
        starts = begins_of(log)
        state, count = state[starts], count[starts]
    share: NDArray[np.float64] = np.bincount(state, count, len(terminal))
    return share / share.sum()


def _least_reward(log: xr.Dataset) -> float:
    return float(log.attrs.get("least_reward", log["reward"].min()))


def _entering(log: xr.Dataset, num_states: int) -> NDArray[np.float64] | None:
    """The reward that entering each state [state] always brought; None if some state's differed."""
    entered = label_indices(log, "next_state", label_set(log, "states"))
    reward = np.asarray(log["reward"].values, float)
    bring = np.full(num_states, _least_reward(log))
    bring[entered] = reward
    return bring if (bring[entered] == reward).all() else None


def _reachable(declared: pd.DataFrame, states: Sequence[Hashable], actions: Sequence[Hashable]) -> NDArray[np.int32]:
    """Return the successors [state, action, outcome] that were declared, by how labels are written.

    Rows shorter than the longest repeat their first entry.
    """
    refuse_missing("reachable", declared, ("state", "next_state"))
    index = {
        name: written_indices("reachable", declared, name, labels)
        for name, labels in (("state", states), ("next_state", states), ("action", actions))
        if name in declared
    }
    allowed = np.zeros((len(states), len(actions), len(states)), bool)
    allowed[index["state"], index.get("action", slice(None)), index["next_state"]] = True
    allowed |= ~allowed.any(-1, keepdims=True)
    number = allowed.sum(-1, keepdims=True)
    # The declared come first, in order; what is left of a row is its first entry again.
    order = np.argsort(~allowed, axis=-1, kind="stable")[..., : int(number.max())]
    return np.where(np.arange(order.shape[-1]) < number, order, order[..., :1]).astype(np.int32)


def _refuse_unreachable(
    rows: Transitions, successor: NDArray[np.int32], states: Sequence[Hashable], actions: Sequence[Hashable]
) -> None:
    """Refuse a log that shows what was declared to be impossible."""
    wrong = (successor[rows.state, rows.action] != rows.next_state[:, None]).all(-1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        state, action, after = states[rows.state[row]], actions[rows.action[row]], states[rows.next_state[row]]
        raise ValueError(
            f"the log has {after!r} after action {action!r} in state {state!r}, {rows.weight[row]:g} times, which "
            "reachable does not allow: add it, or correct the log"
        )


def _each(rows: Transitions, tried: NDArray[np.bool_], entering: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Rewards [state, action, next_state or 1]: those seen, and for the others what elsewhere would bring."""
    if entering is not None:
        reward = np.broadcast_to(entering, (*tried.shape, len(tried))).copy()
    else:
        reward = np.repeat(_mean_paid(rows, tried.shape)[..., None], len(tried), axis=-1)
    reward[rows.state, rows.action, rows.next_state] = rows.reward
    return reward[..., :1] if (reward == reward[..., :1]).all() else reward


def _mean_paid(rows: Transitions, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean reward [state, action] of each pair; the least of all rows where it was never tried."""
    pair, size = np.ravel_multi_index((rows.state, rows.action), shape), shape[0] * shape[1]
    seen, total = (np.bincount(pair, weights, size) for weights in (rows.weight, rows.reward * rows.weight))
    return np.where(seen > 0, total / np.maximum(seen, 1), rows.reward.min()).reshape(shape)


def _table(
    rows: Transitions, tried: NDArray[np.bool_], entering: NDArray[np.float64] | None, elsewhere: str
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Successors [state, action, outcome] in order, then -1 as often as fits, and the rewards."""
    num_states, num_actions = tried.shape
    size, lumped = num_states * num_actions, elsewhere != "none"
    # Rows come sorted by state, action and next state, so a row's outcome is its place within its pair.
    pair = rows.state.astype(np.int64) * num_actions + rows.action
    named = np.bincount(pair, minlength=size)
    outcome = np.arange(len(pair)) - np.searchsorted(pair, pair)
    if entering is None:
        unseen = _mean_paid(rows, tried.shape).ravel()
    else:
        total = entering.sum() - np.bincount(pair, weights=entering[rows.next_state], minlength=size)
        unseen = total / np.maximum(num_states - named, 1)
    # A row that names every state has nothing elsewhere.
    width = int((named + (lumped & (named < num_states))).max())
    successor, reward = np.full((size, width), -1, np.int32), np.repeat(unseen[:, None], width, axis=1)
    successor[pair, outcome] = rows.next_state
    if entering is not None and elsewhere == "least":
        # A row of k next states leaves out at least one of the k + 1 states that bring least.
        worst = np.argsort(entering, kind="stable")[: width + 1]
        left_out = np.stack([(successor != state).all(-1) for state in worst], axis=-1)
        reward[:] = entering[worst][left_out.argmax(-1)][:, None]
    reward[pair, outcome] = rows.reward
    # Where nothing is elsewhere, what a row has too many of repeats its first entry, and a pair never tried, which is
    # not available, leads back to its state.
    spare = (successor == -1) & ((named == num_states) | (not lumped))[:, None]
    state = np.arange(size)[:, None] // num_actions
    first = np.where(named[:, None] > 0, successor[:, :1], state)
    successor, reward = np.where(spare, first, successor).astype(np.int32), np.where(spare, reward[:, :1], reward)
    if (reward == reward[:, :1]).all():
        reward = reward[:, :1]
    return successor.reshape(num_states, num_actions, -1), reward.reshape(num_states, num_actions, -1)
