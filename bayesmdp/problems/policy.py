"""Policies in the forms people write them, as probabilities."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.validation import distributions, reject_first
from bayesmdp.problems.mdp import MDP

__all__ = ["policy_probabilities"]


def policy_probabilities(mdp: MDP, policy: str | ArrayLike | xr.DataArray) -> NDArray[np.float64]:
    """Return a policy in any accepted form as probabilities.

    Parameters
    ----------
    mdp : MDP
    policy : "uniform", action labels [state], or probabilities [state, action]

    Returns
    -------
    array [state, action]
    """
    if isinstance(policy, str):
        if policy != "uniform":
            raise ValueError(f"the only policy with a name is 'uniform'; got {policy!r}")
        return mdp.available / mdp.available.sum(-1, keepdims=True)
    if callable(policy):
        raise TypeError(
            "policy is a function; pass what it returns: an action [state], as [policy(state) for state in mdp.states] "
            "has it, or probabilities [state, action]"
        )
    if isinstance(policy, xr.DataArray) and set(policy.dims) == {"state", "action"}:
        policy = policy.transpose("state", "action")
    given = np.asarray(policy)
    if given.shape == (mdp.num_states,):
        table = np.eye(mdp.num_actions)[[mdp.action_index(label) for label in given.tolist()]]
    else:
        table = distributions("policy", given, (mdp.num_states, mdp.num_actions))
    reject_first("policy", (table > 0) & ~mdp.available, table, "is a probability of an action that is not available")
    return table
