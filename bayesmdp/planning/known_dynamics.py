"""Planning when the dynamics are known: the yardstick for everything that has to learn them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import linalg

from bayesmdp.planning.communicating import average_reward, check_weakly_communicating
from bayesmdp.planning.plan import plan
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_by_stage, policy_probabilities

__all__ = ["evaluate", "solve"]


def solve(mdp: MDP, **options: Any) -> xr.Dataset:
    """The best policy under an MDP's own kernel, as :func:`plan` returns it.

    Parameters
    ----------
    mdp : MDP
        With a transition.
    **options
        Of :func:`plan`.

    Raises
    ------
    ValueError
        If the MDP has no transition, or is judged by its average reward, which depends on the start: with two states
        that tell why.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> round(float(bm.solve(bm.environments.riverswim(6)).value[0]), 6)
    4.6693
    """
    return for_space(SOLVERS, mdp)(mdp, **options)


def _solve_finite(mdp: MDP, **options: Any) -> xr.Dataset:
    """The plan for a posterior of one draw, the kernel."""
    truth = xr.Dataset({"transition": (("draw", "state", "action", mdp.outcome_dim), _kernel(mdp)[None])})
    if mdp.objective != "average":
        return plan(truth, mdp, **options)
    try:
        check_weakly_communicating(mdp)
    except ValueError:
        # The largest average reward may be the same from everywhere all the same. If so, that is soon seen.
        planned = plan(truth, mdp, **{"max_iterations": 10_000, **options, "strict": False})
        if not planned.attrs["converged"]:
            raise
        return planned
    return plan(truth, mdp, **options)


def evaluate(mdp: MDP, policy: str | ArrayLike | xr.DataArray) -> xr.DataArray:
    """Return what a policy is worth under an MDP's own kernel: what a plan delivers, beside what it promised.

    Parameters
    ----------
    mdp : MDP
        With a transition.
    policy : "uniform", action labels [state], or probabilities [state, action]
        ``plan.policy`` of :func:`plan` will do; where that is by stage, so may other policies be.

    Returns
    -------
    DataArray
        ``value`` [state], by a direct solve of ``(I - discount P) V = r``; of an MDP judged by it, the average reward
        from each state; of one with stages, the reward of the rest of the episode, under its discount if it has one; of
        one with a horizon, ``value`` [stage, state], that of the steps which are left.

    Raises
    ------
    ValueError, KeyError
        If the MDP has no transition, or the policy does not fit it.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> round(float(bm.evaluate(river, ["left"] * 6)[0]), 6)
    0.1
    """
    return for_space(EVALUATORS, mdp)(mdp, policy)


def _evaluate_finite(mdp: MDP, policy: str | ArrayLike | xr.DataArray) -> xr.DataArray:
    """The policy's Bellman equation, solved as one sparse linear system, or backwards over a horizon."""
    if mdp.by_stage:
        value, values = np.zeros(mdp.num_states), []
        for probability in policy_by_stage(mdp, policy)[::-1]:
            chain, reward = _followed(mdp, probability)
            value = reward + (mdp.discount or 1) * (chain @ value)
            values.append(value)
        return xr.DataArray(values[::-1], mdp.state_coords, tuple(mdp.state_coords), "value")
    chain, reward = _followed(mdp, policy_probabilities(mdp, policy))
    if mdp.objective == "average":
        value = average_reward(chain.tocsr(), reward)
    else:
        system = sparse.eye_array(mdp.num_states, format="csc") - (mdp.discount or 1) * chain
        value = np.atleast_1d(linalg.spsolve(system, reward))
    return xr.DataArray(value, mdp.state_coords, tuple(mdp.state_coords), "value")


def _followed(mdp: MDP, probability: NDArray[np.float64]) -> tuple[Any, NDArray[np.float64]]:
    """The chain [state, next_state], without terminal states, and the reward [state] of a policy."""
    kernel = _kernel(mdp)
    goes_on = probability[..., None] * kernel * ~mdp.terminal[:, None, None]
    reward = (goes_on * mdp.reward).sum((1, 2))
    state, _, outcome = np.nonzero(goes_on)
    weight = goes_on[np.nonzero(goes_on)]
    next_state = outcome if mdp.successor is None else mdp.successor[np.nonzero(goes_on)]
    size = (mdp.num_states, mdp.num_states)
    return sparse.csc_array((weight * ~mdp.terminal[next_state], (state, next_state)), shape=size), reward


SOLVERS = {"finite": _solve_finite}
EVALUATORS = {"finite": _evaluate_finite}
"""How problems are solved and policies evaluated, by the kind of a problem's states."""


def _kernel(mdp: MDP) -> NDArray[np.float64]:
    if mdp.transition is None:
        raise ValueError(f"{mdp.name} has no transition: its dynamics are not known")
    return mdp.transition
