"""Policies in the forms people write them, as probabilities or positions of actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.validation import distributions, reject_first
from bayesmdp.problems.labels import in_order
from bayesmdp.problems.mdp import MDP

__all__ = ["action_indices", "policy_by_stage", "policy_in_order", "policy_probabilities"]


def policy_probabilities(mdp: MDP, policy: str | ArrayLike | xr.DataArray) -> NDArray[np.float64]:
    """Return a policy in any accepted form as probabilities.

    Parameters
    ----------
    mdp : MDP
    policy : "uniform", action labels [state], or probabilities [state, action]
        Where it names its states or actions, as a DataArray or Series does, these may be in any order.

    Returns
    -------
    array [state, action]
    """
    policy = policy_in_order(mdp, policy)
    if isinstance(policy, str):
        if policy != "uniform":
            raise ValueError(f"the only policy with a name is 'uniform'; got {policy!r}")
        return mdp.available / mdp.available.sum(-1, keepdims=True)
    if callable(policy):
        raise TypeError(
            "policy is a function; pass what it returns: an action [state], as [policy(state) for state in mdp.states] "
            "has it, or probabilities [state, action]"
        )
    if isinstance(policy, xr.DataArray) and "stage" in policy.dims:
        raise ValueError("policy is by stage, and here one for all stages is needed, such as policy.sel(stage=0)")
    if isinstance(policy, xr.DataArray) and set(policy.dims) == {"state", "action"}:
        policy = policy.transpose("state", "action")
    given = np.asarray(policy)
    if given.shape == (mdp.num_states,):
        table = np.eye(mdp.num_actions)[action_indices(mdp, given)]
    else:
        table = distributions("policy", given, (mdp.num_states, mdp.num_actions))
    reject_first("policy", (table > 0) & ~mdp.available, table, "is a probability of an action that is not available")
    return table


def policy_in_order(mdp: MDP, policy: Any) -> Any:
    """Return a policy with states and actions in the MDP's order, where it says which they are.

    Parameters
    ----------
    mdp : MDP
    policy : policy in any accepted form
        Coordinates ``state`` and ``action`` of a DataArray, and an index of pandas that is not just counted, name them.

    Raises
    ------
    ValueError
        Naming a state or action that the policy does not have.

    Examples
    --------
    >>> ring = MDP(reward=np.zeros((3, 1)), discount=0.9, states=["a", "b", "c"])
    >>> backwards = xr.DataArray([2, 1, 0], {"state": ["c", "b", "a"]}, "state")
    >>> policy_in_order(ring, backwards).values.tolist()
    [0, 1, 2]
    """
    return in_order("policy", policy, {"state": mdp.states, "action": mdp.actions})


def action_indices(mdp: MDP, labels: ArrayLike | xr.DataArray) -> NDArray[np.int64]:
    """Return the positions of actions, in an array of the same shape.

    Parameters
    ----------
    mdp : MDP
    labels : array of labels [...]

    Raises
    ------
    KeyError
        Naming a label that is no action's.
    """
    given = np.asarray(labels)
    return np.array([mdp.action_index(label) for label in given.ravel().tolist()], np.int64).reshape(given.shape)


def policy_by_stage(mdp: MDP, policy: str | ArrayLike | xr.DataArray) -> NDArray[np.float64]:
    """Return a policy for the stages of an MDP's horizon as probabilities.

    Parameters
    ----------
    mdp : MDP
        With a horizon and without stages of its own.
    policy : action labels [stage, state], probabilities [stage, state, action], or any that does without a stage
        What is not by stage is done at every stage.

    Returns
    -------
    array [stage, state, action]

    Raises
    ------
    ValueError, KeyError
        For another number of stages than the horizon's, what fits both labels by stage and probabilities, and what
        `policy_probabilities` refuses.
    """
    policy = policy_in_order(mdp, policy)
    stages, states, actions = int(mdp.horizon or 0), mdp.num_states, mdp.num_actions
    named = isinstance(policy, xr.DataArray) and "stage" in policy.dims
    if isinstance(policy, xr.DataArray) and named:
        policy = policy.transpose("stage", "state", ...)
    given = np.asarray(policy)
    numbers = given.dtype.kind in "fiu" and given.shape == (states, actions)
    labelled = given.ndim == 2 and given.shape[1] == states and not numbers
    told = isinstance(policy, xr.DataArray) and set(policy.dims) == {"state", "action"}
    if numbers and not (named or told) and given.shape == (stages, states):
        raise ValueError(
            f"policy has shape {given.shape}, so it may be labels [stage, state] or probabilities [state, action]: "
            "pass a DataArray, whose dims say which"
        )
    if not (named or labelled or given.ndim == 3):
        return np.broadcast_to(policy_probabilities(mdp, policy), (stages, states, actions))
    if len(given) != stages:
        raise ValueError(f"policy has {len(given)} stages; the horizon of {mdp.name} is {stages}")
    return np.stack([policy_probabilities(mdp, rows) for rows in given])
