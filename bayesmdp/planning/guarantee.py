"""With what probability what a plan promises may fail.

Under the quantile at levels alpha the value V of a plan is a promise about each row by itself.
If rows are independent a posteriori, with probability ``prod_s (1 - alpha(s, pi(s)))`` all rows of the policy pi keep
theirs at once, and then its true value is at least V in every state. So V(s) is at most the posterior quantile of the
policy's value in s at the *guarantee level*::

    1 - prod_s (1 - alpha(s, pi(s))),    s over states that are not terminal and whose row is not known

(Song, Wang and Zhou, 2026, Proposition 1, with levels by state as is ours). Rows that depend on each other leave the
union bound, ``min(1, sum_s alpha(s, pi(s)))``. At level 1 nothing is promised, which for many states is the rule:
``bm.quantile_value`` estimates what the policy is worth. Nothing is promised either where the policy's rows lump what
was not seen as worth its mean: the level then leaves out how uncertain the shares of what is lumped are. Independence
is known where the posterior has parameters of ``transition`` itself. The promise holds for exact quantiles; for those
of draws up to Monte Carlo error, and for CVaR since it is at most the quantile.

A plan for the next H steps is backward induction, and makes a promise of a row once for each stage at which the policy
takes it, with another value of the next states. These fail with probability at most the sum of their levels, whatever
they have to do with each other, so of the stages' policies pi_h the guarantee level is, which is ours::

    1 - prod_(s, a) (1 - min(1, n(s, a) alpha(s, a))),    n(s, a) the number of stages h with pi_h(s) = a.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmdp.planning.operators import Draws
from bayesmdp.problems.mdp import MDP

__all__ = ["guarantee_level"]


def guarantee_level(
    level: Any, policy: NDArray[np.int32], draws: Draws, concentration: NDArray[np.float64] | None, mdp: MDP
) -> float:
    """Return the probability with which a promise of a policy [(stage,) state] may fail, as the module says."""
    times = np.zeros((mdp.num_states, mdp.num_actions), int)
    np.add.at(times, (np.arange(mdp.num_states), policy), 1)
    times[mdp.terminal] = 0
    pairs = np.nonzero(times)
    if concentration is not None:
        unknown = (concentration[pairs] > 0).sum(-1) > 1
    else:
        unknown = _varies(draws.transition, pairs)
        if len(draws.transition) == 1:  # which cannot show what varies
            unknown = ((draws.transition[0][pairs] > 0).sum(-1)) > 1
    lumped = mdp.successor is not None and mdp.elsewhere == "mean" and bool((mdp.successor[pairs] < 0).any())
    if lumped:
        return 1.0
    drawn = np.ndim(draws.reward) == 4
    if drawn:
        unknown |= _varies(draws.reward, pairs)
    alpha = np.minimum(1, times * np.broadcast_to(level, times.shape))[pairs][unknown]
    if concentration is None or drawn:
        return float(min(1, alpha.sum()))
    with np.errstate(divide="ignore"):
        return float(-np.expm1(np.log1p(-alpha).sum()) + 0.0)  # + 0.0: no negative zero


def _varies(draws: NDArray[np.float64], pairs: tuple[NDArray[np.int64], ...]) -> NDArray[np.bool_]:
    """Which rows [pair] are not the same in all draws, a draw at a time."""
    first, varies = draws[0][pairs], np.zeros(len(pairs[0]), bool)
    for draw in draws[1:]:
        varies |= (draw[pairs] != first).any(-1)
    return varies
