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

The last two are of the problem as it is judged: V* and Q* under its discount, or, without one, the bias.

Diameters are those that Colosseum holds for its benchmark. Its value norms are not: its code takes from each V(s') the
mean of what follows s', in the place of that of what follows (s, a), which gives .78 where the standard deviation is
.58 (a river of 80 states at discount .99); done so, its values come out of ours too. It has no span.
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

ROUNDS, MOST_STATES = 200, 2_000
"""Of policy iteration in NumPy."""


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
    value, q = _solution(mdp, kernel)
    # Under an average reward q holds what follows a step, gain and all; gaps are from the best action.
    gaps = (q.max(-1, keepdims=True) - q)[mdp.available]
    reciprocal = 1 / (gaps + regularization) if regularization else 1 / gaps[gaps > 1e-9 * (1 + abs(value).max())]
    spread = kernel @ value**2 - (kernel @ value) ** 2
    return xr.Dataset(
        {
            "diameter": _diameter(kernel, mdp.available),
            "span": np.ptp(value) if mdp.objective == "average" else _span(mdp, kernel),
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


def _span(mdp: MDP, kernel: NDArray[np.float64]) -> float:
    """Return the span of the optimal bias without a discount; NaN where the largest gain depends on the start."""
    try:
        return float(np.ptp(_solution(mdp.replace(discount=None), kernel)[0]))
    except ValueError:
        return float("nan")


def _solution(mdp: MDP, kernel: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return value (without a discount the bias) [state] and Q [state, action].

    By policy iteration in NumPy, which has nothing to compile. Without a discount the bias is that of a policy of one
    recurrent class, taken only if it solves the optimality equation; where it does not, as where gains differ, and for
    many states, :func:`~bayesmdp.planning.known_dynamics.solve` has the answer, or says why there is none.
    """
    assert mdp.transition is not None and mdp.reward is not None
    states, discount = np.arange(mdp.num_states), mdp.discount or 1.0
    reward = (mdp.transition * mdp.reward).sum(-1)
    unit, policy = np.eye(mdp.num_states), mdp.available.argmax(-1)
    if mdp.objective == "average":
        # From a policy that looks far ahead, which is more likely to have one recurrent class than any.
        policy = _solution(mdp.replace(discount=0.99), kernel)[1].argmax(-1)
    for _ in range(ROUNDS if mdp.num_states <= MOST_STATES else 0):
        system = unit - discount * kernel[states, policy]
        if mdp.objective == "average":
            # h + g = r + P h with h(0) = 0: the unknown g stands in the place of h(0).
            system[:, 0] = 1.0
        try:
            value = np.linalg.solve(system, reward[states, policy])
        except np.linalg.LinAlgError:
            break
        gain = 0.0
        if mdp.objective == "average":
            gain, value = value[0], np.r_[0.0, value[1:]]
        q = np.where(mdp.available, reward + discount * kernel @ value, -np.inf)
        slack = 1e-10 * (1 + np.abs(value).max() + abs(gain))
        best = q.max(-1)
        better = best > q[states, policy] + slack
        if not better.any():
            if np.abs(best - gain - value).max() > 100 * slack:
                break
            return value, q
        policy = np.where(better, q.argmax(-1), policy)
    planned = solve(mdp)
    return planned["value"].values, np.where(mdp.available, planned["q"].values, -np.inf)


def _diameter(kernel: NDArray[np.float64], available: NDArray[np.bool_]) -> float:
    """Return the largest expected number of steps between two states under the policies that are quickest."""
    kernel = np.where(available[..., None], kernel, 0)
    largest = 0.0
    for target in range(len(kernel)):
        policy = _leads_to(kernel, target)
        if policy is None:
            return float("inf")
        largest = max(largest, float(_steps_to(kernel, available, target, policy).max()))
    return largest


def _leads_to(kernel: NDArray[np.float64], target: int) -> NDArray[np.int64] | None:
    """Return a policy that reaches the target from everywhere, since each step may come nearer; None if none does.

    Of the actions that may come nearer it takes that which most probably does: one that hardly ever does may need more
    steps than a float has digits for.
    """
    policy, reached = np.zeros(len(kernel), int), np.arange(len(kernel)) == target
    while not reached.all():
        nearer = kernel[..., reached].sum(-1)
        new = (nearer > 0).any(-1) & ~reached
        if not new.any():
            return None
        policy[new], reached = nearer[new].argmax(-1), reached | new
    return policy


def _steps_to(
    kernel: NDArray[np.float64], available: NDArray[np.bool_], target: int, policy: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the least expected steps [state] to the target, by policy iteration from a policy that arrives."""
    states, before = np.arange(len(kernel)), np.inf
    while True:
        chain = np.where(states[:, None] == target, 0, kernel[states, policy])
        steps = np.linalg.solve(np.eye(len(kernel)) - chain, (states != target).astype(float))
        ahead = np.where(available, 1 + kernel @ steps, np.inf)
        better = ahead.min(-1) < steps - 1e-11 * (1 + steps)
        better[target] = False
        # Each round is better than the one before it, or what is left is rounding.
        if not better.any() or not steps.sum() < before:
            return steps
        policy, before = np.where(better, ahead.argmin(-1), policy), steps.sum()
