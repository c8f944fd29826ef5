"""Planning when the dynamics are known: the yardstick for everything that has to learn them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import linalg

from bayesmdp.planning.communicating import average_reward, check_weakly_communicating
from bayesmdp.planning.plan import plan
from bayesmdp.planning.rollouts import Rollouts
from bayesmdp.planning.simulated_values import evaluate_simulated
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_by_stage, policy_probabilities
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["evaluate", "solve"]


def solve(mdp: MDP | SimulatedMDP, **options: Any) -> xr.Dataset:
    """The best policy under an MDP's own kernel, as :func:`plan` returns it.

    Parameters
    ----------
    mdp : MDP or SimulatedMDP
        With a transition, or with true values of the unknowns.
    **options
        Of :func:`plan`.

    Raises
    ------
    ValueError
        If the MDP has no transition, or is judged by its average reward, which depends on the start: with two states
        that tell why.

    See Also
    --------
    bayesmdp.plan : where the dynamics are not known.
    bayesmdp.evaluate : what a given policy earns.

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


def _solve_simulated(mdp: SimulatedMDP, **options: Any) -> xr.Dataset:
    """The plan for a posterior of one draw, the truth."""
    if mdp.truth is None:
        raise ValueError(f"{mdp.name} has no truth: its unknowns are not known")
    truth = {
        name: (("draw", *(f"{name}_axis_{i}" for i in range(np.ndim(value)))), np.asarray(value)[None])
        for name, value in mdp.truth.items()
    }
    return plan(xr.Dataset(truth), mdp, **options)


def evaluate(
    mdp: MDP | SimulatedMDP, policy: Any, *, rollouts: Rollouts | None = None, states: ArrayLike | None = None
) -> xr.DataArray:
    """Return what a policy is worth under an MDP's own kernel: what a plan delivers, beside what it promised.

    Parameters
    ----------
    mdp : MDP or SimulatedMDP
        With a transition, or with true values of the unknowns.
    policy : "uniform", action labels [state], or probabilities [state, action]
        ``plan.policy`` of :func:`plan` will do; where that is by stage, so may other policies be. Where states are
        numbers "uniform", a plan, or a function of the state [coordinate] that returns the position of an action.
    rollouts : Rollouts, optional
        How the value is simulated, where states are numbers.
    states : array [place, coordinate], optional
        Where to start from then; by default where the problem does.

    Returns
    -------
    DataArray
        ``value`` [state], by a direct solve of ``(I - discount P) V = r``; of an MDP judged by it, the average reward
        from each state; of one with stages, the reward of the rest of the episode, under its discount if it has one; of
        one with a horizon, ``value`` [stage, state], that of the steps which are left. Where states are numbers the
        value at the start, or [place], with the coordinates ``lower`` and ``upper``: a Monte Carlo interval, of which
        the attrs tell ``confidence``, ``rollouts`` and ``horizon``.

    Raises
    ------
    ValueError, KeyError
        If the MDP has no transition, or the policy does not fit it.

    See Also
    --------
    bayesmdp.solve : the best policy.
    bayesmdp.value_draws : the same under each posterior draw.
    bayesmdp.off_policy : the same from a log alone, without a model.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> round(float(bm.evaluate(river, ["left"] * 6)[0]), 6)
    0.1
    >>> lake = bm.environments.slippery_lake()
    >>> worth = bm.evaluate(lake, "uniform", rollouts=bm.planning.Rollouts(number=2_000))
    >>> bool(worth.lower < worth < worth.upper)
    True
    """
    return for_space(EVALUATORS, mdp)(mdp, policy, rollouts=rollouts, states=states)


def _evaluate_finite(
    mdp: MDP, policy: str | ArrayLike | xr.DataArray, *, rollouts: Rollouts | None = None, states: Any = None
) -> xr.DataArray:
    """The policy's Bellman equation, solved as one sparse linear system, or backwards over a horizon."""
    if rollouts is not None or states is not None:
        raise ValueError(
            "rollouts and states are for problems whose states are numbers; a finite MDP is solved exactly"
        )
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


SOLVERS: Mapping[str, Callable[..., xr.Dataset]] = {"finite": _solve_finite, "simulated": _solve_simulated}
EVALUATORS: Mapping[str, Callable[..., xr.DataArray]] = {
    "finite": _evaluate_finite,
    "simulated": evaluate_simulated,
}
"""How problems are solved and policies evaluated, by the kind of a problem's states."""


def _kernel(mdp: MDP) -> NDArray[np.float64]:
    if mdp.transition is None:
        raise ValueError(f"{mdp.name} has no transition: its dynamics are not known")
    return mdp.transition
