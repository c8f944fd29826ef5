"""The exact Bayes-optimal value of learning, and that of any rule of learning, by dynamic programming over counts.

Where rewards are known and rows are Dirichlet, how to explore has an answer: the optimal value of the Bayes-adaptive
MDP (:mod:`~bayesmdp.planning.hyperstates`), over the hyperstates (s, n) that can be reached::

    V_t(s, n) = max_a sum over o of p_n(o | s, a) (r(s, a, o) + discount V_t+1(s', n + e_sao))

Over a given number of steps that is exact but for rounding. Without one, rewards beyond H steps are bracketed: whatever
is learnt, what follows in state s is worth no less than L(s) and no more than U(s), the largest solutions of

    L(s) = max_a min_o (r + discount L(s')),    U(s) = max_a max_o (r + discount U(s')),

over the outcomes of positive probability, and both are propagated to the start, where they differ by at most discount^H
max (U - L). H is chosen for the tolerance. The bracket is ours; the recursion is Bellman's, for bandits Bradt, Johnson
and Karlin's (1956).

The number of hyperstates grows like H to the power of the number of counts that can grow: two arms over 60 steps have
half a million, three over 30 as many, a chain of two states and two actions over 12 some ten thousand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.validation import finite_array, integer, number, reject_first
from bayesmdp.planning.hyperstates import CountedRows, Levels, counted_rows
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP

__all__ = ["bayes_optimal", "bayes_value"]

EPS = np.finfo(np.float64).eps


def bayes_optimal(
    mdp: MDP,
    concentration: ArrayLike = 1.0,
    *,
    horizon: int | None = None,
    tolerance: float = 1e-3,
    max_hyperstates: int = 5_000_000,
) -> xr.Dataset:
    """Return what learning is worth if it is done as well as it can be: the Bayes-optimal value.

    Parameters
    ----------
    mdp : MDP
        Its known part: rewards, which next states there are, terminal states, which end what is counted.
    concentration : float, or array broadcastable to [state, action, outcome]
        Of the prior's Dirichlet rows, as for :func:`~bayesmdp.models.dirichlet_transitions`; 0 where an outcome is
        impossible.
    horizon : int, optional
        Steps that count, under the MDP's discount. By default the MDP's own horizon, or all steps, within `tolerance`.
    tolerance : float
        How far the value may be off where all steps count.
    max_hyperstates : int
        Of those that may be reached; some 60 bytes each.

    Returns
    -------
    Dataset
        ``value`` [state], ``q`` [state, action] (NaN where it is not available) and ``policy`` [state], the label of
        the best first action, for each state in which one may start. Attrs: ``bound`` on the error of `value` and `q`,
        rounding included, ``horizon``, the steps looked ahead, and ``hyperstates``.

    Raises
    ------
    ValueError
        If a concentration is negative or a row has none; if there is neither a horizon nor a discount; if next states
        are not all named; if there are too many hyperstates.

    See Also
    --------
    bayesmdp.bayes_value : what a given rule is worth, on the same scale.
    bayesmdp.gittins_index : the same for arms that do not touch each other.
    bayesmdp.agents.bamcp : an approximation by search where this is too large.

    Examples
    --------
    Two arms of unknown probability, two pulls: try one, and stay with it if it paid.

    >>> import bayesmdp as bm
    >>> arms = bm.environments.bernoulli_bandit()
    >>> best = bm.bayes_optimal(arms, [1.0, 1.0], horizon=2)
    >>> round(float(best.value[0]), 6)  # 1/2 + .95 (1/2 * 2/3 + 1/2 * 1/2)
    1.054167
    """
    levels, discount, leaves = _levels(mdp, concentration, horizon, tolerance, max_hyperstates)
    lower, upper = (leaf[levels.state(levels.last)] for leaf in leaves)
    of_lower = of_upper = np.zeros((0, mdp.num_actions))
    for _, level in levels.backwards():
        of_lower, of_upper = (levels.worth(level, value, discount) for value in (lower, upper))
        lower, upper = of_lower.max(-1), of_upper.max(-1)
    worth = (of_lower + of_upper) / 2
    place = levels.state(levels.levels[0].words)
    allowed = levels.rows.available[place]
    half = (of_upper[allowed] - of_lower[allowed]).max() / 2
    coords = {"state": label_array(mdp.states)[place], "action": label_array(mdp.actions)}
    return xr.Dataset(
        {
            "value": ("state", worth.max(-1)),
            "q": (("state", "action"), np.where(allowed, worth, np.nan)),
            "policy": ("state", coords["action"][worth.argmax(-1)]),
        },
        coords,
        {
            "bound": float(half + _rounding(levels.rows, len(levels.levels), max(abs(lower).max(), abs(upper).max()))),
            "horizon": len(levels.levels),
            "hyperstates": levels.size,
            "mdp": mdp.name,
        },
    )


def bayes_value(
    mdp: MDP,
    policy: Callable[[NDArray[np.int64], NDArray[np.float64], int], ArrayLike],
    concentration: ArrayLike = 1.0,
    *,
    horizon: int | None = None,
    tolerance: float = 1e-3,
    max_hyperstates: int = 5_000_000,
) -> xr.Dataset:
    """Return what a rule of learning is worth under the prior, exactly: how far from optimal it is.

    Parameters
    ----------
    mdp : MDP
    policy : callable
        ``policy(state, concentration, step)`` with states [hyperstate], their posterior's concentrations [hyperstate,
        state, action, outcome], and the number of steps taken. It returns indices of actions [hyperstate], or
        probabilities [hyperstate, action].
    concentration, horizon, tolerance, max_hyperstates
        As for :func:`bayes_optimal`. Where outcomes of a row share next state and reward, the policy is told their
        concentrations added up, at the first of them.

    Returns
    -------
    Dataset
        ``value`` [state] of each state in which one may start, with the attrs of :func:`bayes_optimal`.

    Raises
    ------
    ValueError
        As :func:`bayes_optimal`; if the policy returns anything else than actions or probabilities, or takes an action
        that is not available.

    See Also
    --------
    bayesmdp.bayes_optimal : what the best rule is worth.

    Examples
    --------
    Always pulling the first arm is worth what its mean says; going by the larger mean is worth more.

    >>> import bayesmdp as bm
    >>> arms = bm.environments.bernoulli_bandit(discount=0.5)
    >>> stay = bm.bayes_value(arms, lambda state, alpha, step: 0 * state, [1.0, 1.0], horizon=4)
    >>> float(stay.value[0])  # 1/2 (1 + 1/2 + 1/4 + 1/8)
    0.9375
    >>> def greedy(state, alpha, step):
    ...     return (alpha[:, 0, :, 1] / alpha[:, 0].sum(-1)).argmax(-1)
    >>> float(bm.bayes_value(arms, greedy, [1.0, 1.0], horizon=4).value[0]).__round__(4)
    1.0132
    """
    levels, discount, leaves = _levels(mdp, concentration, horizon, tolerance, max_hyperstates)
    lower, upper = (leaf[levels.state(levels.last)] for leaf in leaves)
    rows = levels.rows
    for step, level in levels.backwards():
        state = levels.state(level.words)
        share = _shares(np.asarray(policy(state, levels.posterior(level.words), step)), len(state), mdp.num_actions)
        refused = (share > 0) & ~rows.available[state]
        if refused.any():
            where, action = np.argwhere(refused)[0]
            at = mdp.states[state[where]]
            raise ValueError(f"policy takes action {mdp.actions[action]!r} in state {at!r}, where it is not available")
        worth = (np.where(share > 0, levels.worth(level, value, discount), 0) for value in (lower, upper))
        lower, upper = ((share * each).sum(-1) for each in worth)
    place = levels.state(levels.levels[0].words)
    largest = max(abs(lower).max(), abs(upper).max())
    return xr.Dataset(
        {"value": ("state", (lower + upper) / 2)},
        {"state": label_array(mdp.states)[place]},
        {
            "bound": float((upper - lower).max() / 2 + _rounding(rows, len(levels.levels), largest)),
            "horizon": len(levels.levels),
            "hyperstates": levels.size,
            "mdp": mdp.name,
        },
    )


def _shares(chosen: NDArray[Any], hyperstates: int, actions: int) -> NDArray[np.float64]:
    """Return the probabilities [hyperstate, action] of what a policy returned, or refuse it."""
    if chosen.shape == (hyperstates,) and chosen.dtype.kind in "iu":
        reject_first("policy", (chosen < 0) | (chosen >= actions), chosen, f"is no action; there are {actions}")
        return np.eye(actions)[chosen]
    if chosen.shape != (hyperstates, actions) or chosen.dtype.kind not in "iuf":
        raise ValueError(
            f"policy must return indices of actions [{hyperstates}] or their probabilities [{hyperstates}, {actions}]; "
            f"got {chosen.dtype} {list(chosen.shape)}"
        )
    reject_first("policy", ~(chosen >= 0), chosen, "is no probability")
    total = chosen.sum(-1)
    reject_first("policy", ~np.isclose(total, 1), total, "is the sum of its probabilities, which must be 1")
    return chosen.astype(np.float64)


def _levels(
    mdp: MDP, concentration: ArrayLike, horizon: int | None, tolerance: float, most: int
) -> tuple[Levels, float, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the hyperstates, the discount, and bounds [state] on what follows the last step."""
    for_space({"finite": None}, mdp)
    most, tolerance = integer("max_hyperstates", most, 1), number("tolerance", tolerance, above=0)
    rows = _rows(mdp, concentration)
    discount = float(mdp.discount or 1)
    steps = horizon if horizon is not None else mdp.horizon
    nothing = np.zeros(mdp.num_states)
    if steps is not None:
        leaves = nothing, nothing
        steps = integer("horizon", steps, 1)
    elif discount < 1:
        leaves = _brackets(rows, discount)
        gap = float((leaves[1] - leaves[0]).max()) / 2
        steps = max(1, int(np.ceil(np.log(tolerance / gap) / np.log(discount)))) if gap > tolerance else 1
    else:
        raise ValueError(f"{mdp.name} has no discount and no horizon: say with horizon= how many steps count")
    return Levels(rows, np.flatnonzero(mdp.initial), steps, most), discount, leaves


def _rows(mdp: MDP, concentration: ArrayLike) -> CountedRows:
    if mdp.has_elsewhere:
        raise ValueError(f"{mdp.name} has next states that its successor table does not name, -1; give it a whole one")
    given = np.asarray(concentration)
    alpha = finite_array("concentration", given if given.ndim else given * mdp.outcome_size)
    try:
        alpha = np.broadcast_to(alpha, mdp.sizes).copy()
    except ValueError:
        raise ValueError(
            f"concentration has shape {alpha.shape}, which does not broadcast to [state, action, outcome] = {mdp.sizes}"
        ) from None
    reject_first("concentration", alpha < 0, alpha, "is negative; it must be positive, or 0 for impossible")
    empty = ~(alpha > 0).any(-1) & mdp.available & ~mdp.terminal[:, None]
    reject_first("concentration", empty, alpha.sum(-1), "is the sum of a row; give some outcome a positive number")
    dense = np.broadcast_to(np.arange(mdp.num_outcomes), mdp.sizes)
    return counted_rows(
        (dense if mdp.successor is None else mdp.successor).astype(np.int64),
        np.broadcast_to(mdp.reward, mdp.sizes).astype(np.float64),
        alpha,
        mdp.available,
        mdp.terminal,
    )


def _brackets(rows: CountedRows, discount: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return L and U of the module; each iterate is a bound, so that it does not matter when they are stopped."""
    rewards = np.append(rows.reward[rows.possible], 0.0 if rows.terminal.any() else rows.reward[rows.possible][0])
    bounds = []
    for worst, start in ((True, rewards.min()), (False, rewards.max())):
        value, change = np.where(rows.terminal, 0, start / (1 - discount)), float("inf")
        while change > 1e-9 * (1 + abs(value).max()):
            target = rows.reward + discount * value[rows.next_state]
            beyond = np.inf if worst else -np.inf
            extreme = np.where(rows.possible, target, beyond)
            extreme = extreme.min(-1) if worst else extreme.max(-1)
            new = np.where(rows.terminal, 0, np.where(rows.possible.any(-1), extreme, -np.inf).max(-1))
            change, value = float(abs(new - value).max()), new
        bounds.append(value)
    return bounds[0], bounds[1]


def _rounding(rows: CountedRows, steps: int, largest: float) -> float:
    """What rounding may add: in each step, that of a sum over outcomes of numbers of this size."""
    outcomes = rows.reward.shape[-1]
    return 4 * EPS * (outcomes + 2) * steps * (largest + abs(rows.reward[rows.possible]).max(initial=1))
