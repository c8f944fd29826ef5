"""Bellman operators on posterior draws: pure functions of arrays, from which the solvers are short compositions.

For a value V and one kernel p the target of a pair is::

    target(s, a) = sum_o p(s, a, o) (r(s, a, o) + discount * c(s') V(s')),    s' = successor(s, a, o), or o when dense,

with continuation c = 0 at terminal states and 1 elsewhere; a terminal state's own target is 0, whatever its rows hold.
A risk measure turns the targets of all draws into one number a pair, ``q(s, a)``; the operator of planning is
``(T V)(s) = max_a q(s, a)`` over the available actions. It is a contraction by ``discount`` in the sup norm for every
risk measure that is monotone and moves with constants: the mean, quantiles, CVaR.

Everything here can be traced, jitted and mapped, in the precision of its inputs; nothing is checked (`plan` does that).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from bayesmdp.elsewhere import Elsewhere
from bayesmdp.mdp import Array, Problem

if TYPE_CHECKING:
    from bayesmdp.planning.risk import Risk

__all__ = [
    "Draws",
    "backup",
    "believed_draws",
    "clip_span",
    "expected_reward",
    "greedy",
    "next_value",
    "once",
    "order_statistic",
    "over_outcomes",
    "target",
    "values_reached",
]

UNROLLED = 16
"""Outcomes up to which a sum over them is written out."""

BISECTIONS = 12
"""Bisections between two looks at which samples are left; about 9 isolate an order statistic of 200 draws."""


class Draws(NamedTuple):
    """Posterior draws of a kernel and a reward (a pytree).

    Attributes
    ----------
    transition : array [draw, state, action, outcome]
    reward : array [draw or absent, state, action, outcome or 1]
        `Problem.reward` where the reward is known.
    """

    transition: Array
    reward: Array

    def plus(self, bonus: Array) -> Draws:
        """With `bonus` [state, action] added to the reward."""
        reward = expected_reward(self.transition, self.reward)
        return Draws(self.transition, reward + bonus[..., None])


def believed_draws(sites: Mapping[str, Array], problem: Problem) -> Draws:
    """What a belief draws, as planners take it: with the problem's reward unless there is a site ``reward``.

    Parameters
    ----------
    sites : mapping of site to array [draw, ...]
        ``reward`` [draw, state, action] or [draw, state, action, outcome].
    """
    if "reward" not in sites:
        return Draws(sites["transition"], problem.reward)
    reward = sites["reward"]
    return Draws(sites["transition"], reward[..., None] if reward.ndim == 3 else reward)


def next_value(problem: Problem, value: Array) -> Array:
    """Value of where each outcome leads, 0 where that is terminal.

    Parameters
    ----------
    value : array [state]

    Returns
    -------
    array [outcome] or [state, action, outcome]
        The shorter form when dense; both broadcast against a transition.
    """
    future = problem.continuation * value
    if problem.successor is None:
        return future
    return values_reached(problem.successor, problem.elsewhere, future)


def values_reached(successor: Array, elsewhere: Elsewhere | None, future: Array) -> Array:
    """Value of where the outcomes of some rows [..., outcome] lead, given the value of being in each state."""
    if elsewhere is None:
        return future[successor]
    return jnp.where(successor < 0, elsewhere.value(future, successor)[..., None], future[successor])


def expected_reward(transition: Array, reward: Array) -> Array:
    """Reward of a pair, ``sum_o p r``, with its last axis of length 1.

    Parameters
    ----------
    transition : array [..., outcome]
    reward : array [..., outcome or 1]

    Returns
    -------
    array [..., 1]
        `reward` itself where it does not depend on the outcome, even if `transition` has more leading axes.
    """
    return reward if reward.shape[-1] == 1 else over_outcomes(transition, reward)[..., None]


def over_outcomes(transition: Array, numbers: Array) -> Array:
    """``sum_o transition * numbers`` for arrays that broadcast."""
    if transition.shape[-1] > UNROLLED:
        return jnp.sum(transition * numbers, axis=-1)
    # On a CPU XLA reduces a short last axis one entry at a time: the written-out sum is 2 to 6 times faster.
    return sum(transition[..., o] * numbers[..., o] for o in range(transition.shape[-1]))


def target(problem: Problem, transition: Array, reward: Array, value: Array) -> Array:
    """Expected reward plus discounted value of the next state, 0 at terminal states.

    Parameters
    ----------
    transition : array [..., state, action, outcome]
    reward : array [..., state, action, outcome or 1]
    value : array [state]

    Returns
    -------
    array [..., state, action]

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> q = target(river.problem, river.transition, river.reward, np.ones(6))
    >>> print(q[-1])
    [0.95 1.95]
    """
    future = next_value(problem, value)
    dense = problem.successor is None
    continued = jnp.asarray(transition) @ future if dense else over_outcomes(transition, future)
    q = expected_reward(transition, reward)[..., 0] + problem.discount * continued
    return jnp.where(problem.continuation[:, None] > 0, q, 0)


def greedy(problem: Problem, q: Array) -> tuple[Array, Array]:
    """Best available action of each state, the first of equals, and its value.

    Parameters
    ----------
    q : array [state, action]

    Returns
    -------
    policy : int32 array [state]
    value : array [state]
    """
    q = jnp.where(problem.available, q, -jnp.inf)
    return jnp.argmax(q, axis=-1).astype(jnp.int32), jnp.max(q, axis=-1)


def backup(problem: Problem, draws: Draws, value: Array, risk: Risk) -> Array:
    """Risk of each pair's target over the draws.

    Parameters
    ----------
    draws : Draws
    value : array [state]
    risk : Risk

    Returns
    -------
    q : array [state, action]

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> both = Draws(np.stack([river.transition, np.flip(river.transition, 0)]), river.reward)
    >>> backup(river.problem, both, np.arange(6.0), bm.planning.Quantile(0.5)).shape
    (6, 2)
    """
    return risk.evaluate(problem, draws, value)[0]


def once[Arrays](computed: Arrays) -> Arrays:
    """The same arrays, which compiled code computes in one place.

    Otherwise it may compute a number again wherever it is used, each time with another rounding, and numbers that are
    compared with it, or found by being equal to it, are no longer the same.
    """
    return lax.optimization_barrier(computed)  # type: ignore[no-untyped-call]


def clip_span(value: Array, span: Array, among: Array | None = None) -> Array:
    """CLIP(f; B, H): values moved into ``[m, m + H]``, with m the least value among the states of B.

    Over all states it is `min(f, min f + H)`, whose span is at most H. Over the states visited so far it needs no
    other, and has what matters of the same properties (Hong, Zhang and Tewari, 2024, Lemma 10): it changes nothing
    where the span is within H and B is all states; its span is at most H; on B it is at most f; it is larger for a
    smaller B; and it is monotone in f.

    Parameters
    ----------
    value : array [state]
    span : float
        H.
    among : bool array [state], optional
        B; all states by default.

    Examples
    --------
    >>> clip_span(np.array([1.0, 2.0, 9.0]), 3.0).tolist()
    [1.0, 2.0, 4.0]
    >>> clip_span(np.array([1.0, 2.0, 9.0]), 3.0, np.array([False, True, True])).tolist()
    [2.0, 2.0, 5.0]
    """
    least = jnp.min(value, where=True if among is None else among, initial=jnp.inf)
    return jnp.clip(value, least, least + span)


def order_statistic(values: Array, rank: Array, *, guess: Array | None = None) -> Array:
    """The `rank`-th smallest of `values` along the first axis: exactly what sorting would give.

    Bisection on the value, several times faster than XLA's sort on a CPU. The candidates left in a column lie in a
    bracket, ``below`` of its samples under all of them and ``upto`` at or under its upper end; a pivot is counted and
    becomes one end. When one candidate is known to be the answer (``below == rank - 1`` or ``upto == rank``), or all
    are equal, it is read off. Every `BISECTIONS` counts the smallest candidate itself is the pivot, so ties, infinities
    and samples one rounding apart cannot stall the search.

    Parameters
    ----------
    values : array [draw, ...]
    rank : int or int array [...]
        From 1 to the number of draws.
    guess : array [...], optional
        First pivot; where it is the answer, one count finds it.

    Returns
    -------
    array [...]
        NaN where a column holds a NaN.

    Examples
    --------
    >>> import numpy as np
    >>> int(order_statistic(np.array([3.0, 1.0, 2.0, 2.0]), 2))
    2
    """
    # A sample that is a pivot must be equal to itself wherever it is counted.
    values = once(jnp.asarray(values))
    rank = jnp.broadcast_to(jnp.asarray(rank, jnp.int32), values.shape[1:])
    largest = np.finfo(values.dtype).max

    def middle(low: Array, high: Array) -> Array:
        return jnp.clip(low, -largest, largest) / 2 + jnp.clip(high, -largest, largest) / 2

    def known(below: Array, upto: Array) -> Array:
        return (below == rank - 1) | (upto == rank)

    def count(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        rounds, low, high, below, upto, pivot = carry
        number = jnp.sum(values <= pivot, axis=0, dtype=jnp.int32)
        under = number < rank
        low, below = jnp.where(under, pivot, low), jnp.where(under, number, below)
        high, upto = jnp.where(under, high, pivot), jnp.where(under, upto, number)
        return rounds + 1, low, high, below, upto, middle(low, high)

    def unfinished(carry: tuple[Array, ...]) -> Array:
        rounds, low, high, below, upto, _ = carry
        return (rounds < BISECTIONS) & ~jnp.all(known(below, upto) | (low >= high))

    def look(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        _, low, high, below, upto, pivot, _ = carry
        _, low, high, below, upto, _ = lax.while_loop(unfinished, count, (jnp.int32(0), low, high, below, upto, pivot))
        # Until a pivot has moved it, the lower end is itself a candidate.
        least = jnp.min(jnp.where((values > low) | (below == 0), values, jnp.inf), axis=0)
        most = jnp.max(jnp.where(values <= high, values, -jnp.inf), axis=0)
        alike = ~(least < most)
        done = jnp.all(alike | known(below, upto))
        return done, low, high, below, upto, least, jnp.where(alike | (below == rank - 1), least, most)

    low, high = jnp.min(values, axis=0), jnp.max(values, axis=0)
    none = jnp.zeros_like(rank)
    pivot = middle(low, high) if guess is None else jnp.asarray(guess, values.dtype)
    start = (jnp.asarray(False), low, high, none, none + values.shape[0], pivot, low)
    return lax.while_loop(lambda carry: ~carry[0], look, start)[-1]
