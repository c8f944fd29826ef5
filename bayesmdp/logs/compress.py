"""A log as weighted rows, one for each distinct transition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.covariates import covariates_of
from bayesmdp.logs.log import LARGEST_REWARD, counts_of, label_indices, label_set
from bayesmdp.model_reading.rows import MeanRewards, Transitions, combinations
from bayesmdp.problems.mdp import MDP

__all__ = ["compress"]


COLUMNS = ("state", "action", "reward", "next_state")


def compress(
    log: xr.Dataset,
    mdp: MDP | None = None,
    *,
    distinct_rewards: bool = False,
    covariates: Sequence[str] = (),
) -> Transitions:
    """The distinct transitions of a log, with how often each was seen as weight.

    Parameters
    ----------
    log : Dataset
        Variables ``state``, ``action``, ``reward``, ``next_state`` over ``step``, holding labels; or a counted log.
    mdp : MDP, optional
        Gives the label sets (and the successor table); by default the log's attrs ``states`` and ``actions`` do.
    distinct_rewards : bool
        One row for each reward that a transition brought, instead of their mean: for models that observe rewards.
        :func:`~bayesmdp.infer` asks the model, so give it the log itself.
    covariates : sequence of str
        Those of the log's covariates in which rows are to be distinct; the others are dropped. Here, too, `infer` asks
        the model.

    Returns
    -------
    Transitions
        Where rewards of one transition that differ became their mean, ``MeanRewards``, which are refused by models
        that observe rewards.

    Raises
    ------
    ValueError
        For an empty log, a missing column, a missing label set, a label that is in no set, a reward that is not finite
        or a next state outside the successor table: with the step at which it happened.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> rows = compress(bm.collect(river, policy="uniform", steps=100, seed=0))
    >>> float(rows.weight.sum())
    100.0
    """
    _check_columns(log)
    states = mdp.states if mdp is not None else label_set(log, "states")
    actions = mdp.actions if mdp is not None else label_set(log, "actions")
    state = label_indices(log, "state", states)
    action = label_indices(log, "action", actions)
    next_state = label_indices(log, "next_state", states)
    reward = np.asarray(log["reward"].values, float)
    wrong = ~(np.abs(reward) <= LARGEST_REWARD)
    if wrong.any():
        step = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"log reward at step {step} is {reward[step]}; rewards must be finite, up to {LARGEST_REWARD:g}"
        )
    # Rewards that differ are told apart first and brought together after, so that sums, and posteriors, are the same to
    # the last digit in whatever order the steps are, and whether they are counted or not.
    values, kind = np.unique(reward, return_inverse=True)
    known = covariates_of(log) if covariates else {}
    other, others = combinations({name: known[name] for name in covariates}, len(state))
    size = len(states), len(actions), len(states), others, len(values)
    index, first, weight = _distinct((state, action, next_state, other, kind), size, counts_of(log))
    if mdp is not None and mdp.successor is not None:
        # Looked up once a distinct row; then those that are all elsewhere are one row more.
        outcome = _outcomes(mdp, index[0], index[1], index[2], first)
        size = len(states), len(actions), mdp.num_outcomes, others, len(values)
        index, merged, weight = _distinct((*index[:2], outcome, *index[3:]), size, weight)
        first = first[merged]
    paid = values[index[4]]
    if not distinct_rewards:
        index, merged, every = _distinct(index[:4], size[:4], weight)
        begins = np.append(merged, len(paid))
        alike = np.array_equal(paid, np.repeat(paid[merged], np.diff(begins)))
        paid, weight, first = np.add.reduceat(paid * weight, merged) / every, every, np.minimum.reduceat(first, merged)
    seen = [column.astype(np.int32) for column in index[:3]]
    kept = {name: known[name][first] for name in covariates}
    kind_of_rows = Transitions if distinct_rewards or alike else MeanRewards
    return kind_of_rows(seen[0], seen[1], seen[2], paid, weight, kept)


type _Columns = tuple[NDArray[np.int64], ...]


def _distinct(
    index: _Columns, size: tuple[int, ...], weight: NDArray[np.float64]
) -> tuple[_Columns, NDArray[np.int64], NDArray[np.float64]]:
    """The distinct rows in order, where each is first seen, and the sum of weights over its copies."""
    rows, first, row = np.unique(np.ravel_multi_index(index, size), return_index=True, return_inverse=True)
    return np.unravel_index(rows, size), first, np.bincount(row, weights=weight)


def _check_columns(log: xr.Dataset) -> None:
    if not isinstance(log, xr.Dataset):
        raise TypeError(f"a log is an xarray.Dataset over 'step'; got {type(log).__name__}")
    missing = [name for name in COLUMNS if name not in log]
    if missing:
        raise ValueError(f"the log has no {', '.join(missing)}; its variables are {', '.join(map(str, log))}")
    for name in COLUMNS:
        if log[name].dims != ("step",):
            raise ValueError(f"log {name} has dims {log[name].dims}; expected ('step',)")
    if log.sizes["step"] == 0:
        raise ValueError("the log is empty; a posterior needs at least one step (the prior is the model itself)")


def _outcomes(
    mdp: MDP,
    state: NDArray[np.int64],
    action: NDArray[np.int64],
    next_state: NDArray[np.int64],
    step: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Position of each next state in the successor table; that of elsewhere where the row does not name it."""
    assert mdp.successor is not None
    table = np.asarray(mdp.successor)[state, action]
    match = table == next_state[:, None]
    named = match.any(-1, keepdims=True)
    match = np.where(named, match, table == -1)
    lost = ~match.any(-1)
    if lost.any():
        # The first of the log, whatever the order of the rows.
        row = np.flatnonzero(lost)[np.argmin(step[lost])]
        seen, reachable = mdp.states[next_state[row]], [mdp.states[i] for i in table[row]]
        raise ValueError(f"log next_state at step {step[row]} is {seen!r}, not among its successors {reachable}")
    rewards = np.broadcast_to(mdp.reward, mdp.successor.shape)[state, action]
    least, most = (np.where(match, rewards, bad).T for bad in (np.inf, -np.inf))
    torn = (match.sum(-1) > 1) & (least.min(0) < most.max(0))
    if torn.any():
        s, a, t = (column[np.flatnonzero(torn)[0]] for column in (state, action, next_state))
        raise ValueError(
            f"{mdp.name} has several outcomes of (state {mdp.states[s]!r}, action {mdp.actions[a]!r}) that lead to "
            f"{mdp.states[t]!r} and earn differently, which a log cannot tell apart: give them one reward, their mean"
        )
    if mdp.transition is not None:
        # Of outcomes that a log cannot tell apart, one that can happen.
        likely = match & (mdp.transition[state, action] > 0)
        match = np.where(likely.any(-1, keepdims=True), likely, match)
    return match.argmax(-1)
