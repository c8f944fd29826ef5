"""How hard a problem is to learn: four measures that regret bounds are stated in.

As Conserva and Rauber, "Hardness in Markov Decision Processes: Theory and Practice" (2022), and their library Colosseum
compute them, for a problem that is known:

*Diameter* (Jaksch, Ortner and Auer, 2010): the largest, over pairs of states, of the expected number of steps from one
to the other under the policy that gets there soonest,

    D = max_t max_s h_t(s),    h_t(t) = 0,    h_t(s) = 1 + min_a sum over s' of p(s, a, s') h_t(s').

*Span* of the optimal bias, max v* - min v*: how much better one state is to start from than another, which is at most D
times the spread of rewards.

*Sum of reciprocal gaps*, sum over pairs of 1 / (V*(s) - Q*(s, a) + .1): how many tries it takes to tell actions apart.
The .1 is Colosseum's, without which ties would make it infinite; the theory's sum is over pairs with a gap only, and is
`reciprocal_gaps` here with `regularization=0`.

*Value norm* (Maillard, Mann and Mannor, 2014), the largest standard deviation of what a step leads to,

    max over (s, a) of sqrt(Var[v(s')]),    s' ~ p(s, a, .),    v = V* of the discounted problem, or the bias.

The last three are of the problem as it is judged: V* and Q* under its discount, or, without one, the bias.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import number
from bayesmdp.planning.known_dynamics import solve
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP

__all__ = ["hardness"]


def hardness(mdp: MDP, *, regularization: float = 0.1) -> xr.Dataset:
    """Return measures of how hard a problem is to learn: diameter, span, sum of reciprocal gaps and value norm.

    Parameters
    ----------
    mdp : MDP
        With a transition, and judged by its discounted or its average reward.
    regularization : float, at least 0
        What is added to each gap; with 0 pairs without a gap are left out.

    Returns
    -------
    Dataset
        Numbers ``diameter`` (infinite where some state cannot be reached from another), ``span`` (of the bias without a
        discount, with which the average reward is largest; NaN where that depends on the start), ``reciprocal_gaps``
        and ``value_norm``.

    Raises
    ------
    ValueError
        If the MDP has no transition, is judged by the steps of an episode or a horizon, or has terminal states.

    See Also
    --------
    bayesmdp.solve : the values that it is made of.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.hardness(bm.environments.riverswim(6))
    >>> {name: round(float(river[name]), 2) for name in river}
    {'diameter': 14.72, 'span': 6.31, 'reciprocal_gaps': 67.1, 'value_norm': 0.75}
    """
    for_space({"finite": None}, mdp)
    regularization = number("regularization", regularization, minimum=0)
    if mdp.objective not in ("discounted", "average"):
        raise ValueError(f"hardness is of discounted and of average reward; {mdp.name} is judged by {mdp.objective}")
    if mdp.terminal.any():
        raise ValueError(
            f"{mdp.name} has terminal states, from which nothing can be reached; let them lead back to the start"
        )
    kernel = _between_states(mdp)
    planned = solve(mdp)
    value, q = planned["value"].values, np.where(mdp.available, planned["q"].values, -np.inf)
    # Under an average reward q holds what follows a step, gain and all; gaps are from the best action.
    gaps = (q.max(-1, keepdims=True) - q)[mdp.available]
    reciprocal = 1 / (gaps + regularization) if regularization else 1 / gaps[gaps > 1e-9 * (1 + abs(value).max())]
    spread = kernel @ value**2 - (kernel @ value) ** 2
    return xr.Dataset(
        {
            "diameter": _diameter(kernel, mdp.available),
            "span": planned.attrs["span"] if mdp.objective == "average" else _span(mdp),
            "reciprocal_gaps": float(reciprocal.sum()),
            "value_norm": float(np.sqrt(np.maximum(spread[mdp.available], 0).max())),
        },
        attrs={"mdp": mdp.name, "objective": mdp.objective, "regularization": regularization},
    )


def _between_states(mdp: MDP) -> NDArray[np.float64]:
    """Return the kernel [state, action, next_state]."""
    if mdp.transition is None:
        raise ValueError(f"{mdp.name} has no transition: its dynamics are not known")
    if mdp.successor is None:
        return mdp.transition
    kernel = np.zeros((mdp.num_states, mdp.num_actions, mdp.num_states))
    state, action = np.indices(kernel.shape[:2])
    for outcome in range(mdp.num_outcomes):
        kernel[state, action, mdp.successor[..., outcome]] += mdp.transition[..., outcome]
    return kernel


def _span(mdp: MDP) -> float:
    """Return the span of the optimal bias without a discount; NaN where the largest gain depends on the start."""
    try:
        return float(solve(mdp.replace(discount=None)).attrs["span"])
    except ValueError:
        return float("nan")


def _diameter(kernel: NDArray[np.float64], available: NDArray[np.bool_]) -> float:
    """Return the largest expected number of steps between two states under the policies that are quickest."""
    kernel = np.where(available[..., None], kernel, 0)
    largest = 0.0
    for target in range(len(kernel)):
        policy = _leads_to(kernel > 0, target)
        if policy is None:
            return float("inf")
        largest = max(largest, float(_steps_to(kernel, available, target, policy).max()))
    return largest


def _leads_to(possible: NDArray[np.bool_], target: int) -> NDArray[np.int64] | None:
    """Return a policy that reaches the target from everywhere, since each step may come nearer; None if none does."""
    policy, reached = np.zeros(len(possible), int), np.arange(len(possible)) == target
    while not reached.all():
        nearer = (possible & reached).any(-1)
        new = nearer.any(-1) & ~reached
        if not new.any():
            return None
        policy[new], reached = nearer[new].argmax(-1), reached | new
    return policy


def _steps_to(
    kernel: NDArray[np.float64], available: NDArray[np.bool_], target: int, policy: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the least expected steps [state] to the target, by policy iteration from a policy that arrives."""
    states = np.arange(len(kernel))
    while True:
        chain = np.where(states[:, None] == target, 0, kernel[states, policy])
        steps = np.linalg.solve(np.eye(len(kernel)) - chain, (states != target).astype(float))
        ahead = np.where(available, 1 + kernel @ steps, np.inf)
        better = ahead.min(-1) < steps - 1e-11 * (1 + steps)
        better[target] = False
        if not better.any():
            return steps
        policy = np.where(better, ahead.argmin(-1), policy)
