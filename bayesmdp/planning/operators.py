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
from jax import lax
from jaxtyping import Bool, Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.elsewhere import Elsewhere
from bayesmdp.problems.problem import Problem

if TYPE_CHECKING:
    pass

__all__ = [
    "Draws",
    "believed_draws",
    "clip_span",
    "expected_reward",
    "greedy",
    "next_value",
    "once",
    "over_outcomes",
    "target",
    "values_reached",
]

UNROLLED = 16
"""Outcomes up to which a sum over them is written out."""


class Draws(NamedTuple):
    """Posterior draws of a kernel and a reward (a pytree).

    Attributes
    ----------
    transition : array [draw, state, action, outcome]
    reward : array [draw or absent, state, action, outcome or 1]
        `Problem.reward` where the reward is known.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> import numpy as np
    >>> river = bm.environments.riverswim(6)
    >>> draws = Draws(river.transition[None], np.asarray(river.problem.reward)[None])
    >>> draws.transition.shape, draws.reward.shape
    ((1, 6, 2, 6), (1, 6, 2, 1))
    """

    transition: Float[Array, "... state action outcome"]
    reward: Float[Array, "... state action outcome_or_1"]

    def plus(self, bonus: Float[Array, "state action"]) -> Draws:
        """Return the same draws with `bonus` [state, action] added to the reward."""
        reward = expected_reward(self.transition, self.reward)
        return Draws(self.transition, reward + bonus[..., None])


def believed_draws(sites: Mapping[str, Array], problem: Problem) -> Draws:
    """Return a belief's draws as planners take them, with the problem's reward unless there is a site ``reward``.

    Parameters
    ----------
    sites : mapping of site to array [draw, ...]
        ``reward`` [draw, state, action], [draw, state, action, outcome] or, for what entering a state pays, [draw,
        next_state].

    Returns
    -------
    Draws

    Examples
    --------
    >>> import bayesmdp as bm
    >>> import numpy as np
    >>> river = bm.environments.riverswim(6)
    >>> believed_draws({"transition": river.transition[None]}, river.problem).transition.shape
    (1, 6, 2, 6)
    """
    if "reward" not in sites:
        return Draws(sites["transition"], problem.reward)
    reward = sites["reward"]
    if reward.ndim == 2:
        return Draws(sites["transition"], jnp.einsum("dsan,dn->dsa", sites["transition"], reward)[..., None])
    return Draws(sites["transition"], reward[..., None] if reward.ndim == 3 else reward)


def reward_table(reward: Array, sizes: tuple[int, ...]) -> Array:
    """Return one draw of a site ``reward`` as a table.

    Parameters
    ----------
    reward : array [state, action], [state, action, outcome] or [next_state]
    sizes : (states, actions, outcomes)

    Returns
    -------
    array [state, action, outcome or 1]
    """
    if reward.ndim == 1:
        return jnp.broadcast_to(reward, sizes)
    return reward if reward.ndim == 3 else reward[..., None]


def next_value(problem: Problem, value: Float[Array, " state"]) -> Float[Array, "... outcome"]:
    """Return the value of where each outcome leads, 0 where that is terminal.

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


def values_reached(
    successor: Int[Array, "... outcome"], elsewhere: Elsewhere | None, future: Float[Array, " state"]
) -> Float[Array, "... outcome"]:
    """Return the value of where the outcomes of some rows lead.

    Parameters
    ----------
    successor : int array [..., outcome]
        Next states; negative for what a successor table does not name.
    elsewhere : Elsewhere or None
        What such an outcome is worth; None where there are none.
    future : array [state]
        Value of being in each state, 0 where it is terminal.

    Returns
    -------
    array [..., outcome]
    """
    if elsewhere is None:
        return future[successor]
    return jnp.where(successor < 0, elsewhere.value(future, successor)[..., None], future[successor])


def expected_reward(
    transition: Float[Array, "... outcome"], reward: Float[Array, "... outcome_or_1"]
) -> Float[Array, "... 1"]:
    """Return the reward of a pair, ``sum_o p r``, with its last axis of length 1.

    Parameters
    ----------
    transition : array [..., outcome]
    reward : array [..., outcome or 1]

    Returns
    -------
    array [..., 1]
        `reward` itself where it does not depend on the outcome, even if `transition` has more leading axes.

    Examples
    --------
    >>> import numpy as np
    >>> expected_reward(np.array([[0.25, 0.75]]), np.array([[0.0, 4.0]])).tolist()
    [[3.0]]
    """
    return reward if reward.shape[-1] == 1 else over_outcomes(transition, reward)[..., None]


def over_outcomes(transition: Float[Array, "... outcome"], numbers: Float[Array, "... outcome"]) -> Float[Array, ...]:
    """Return ``sum_o transition * numbers``.

    Parameters
    ----------
    transition, numbers : array [..., outcome]
        Broadcast against each other.

    Returns
    -------
    array [...]
    """
    if transition.shape[-1] > UNROLLED:
        return jnp.sum(transition * numbers, axis=-1)
    # On a CPU XLA reduces a short last axis one entry at a time: the written-out sum is 2 to 6 times faster.
    return sum(transition[..., o] * numbers[..., o] for o in range(transition.shape[-1]))


def target(
    problem: Problem,
    transition: Float[Array, "... state action outcome"],
    reward: Float[Array, "... state action outcome_or_1"],
    value: Float[Array, " state"],
) -> Float[Array, "... state action"]:
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


def greedy(
    problem: Problem, q: Float[Array, "*stage state action"]
) -> tuple[Int[Array, "*stage state"], Float[Array, "*stage state"]]:
    """Best available action of each state, the first of equals, and its value.

    Parameters
    ----------
    q : array [(stage,) state, action]

    Returns
    -------
    policy : int32 array [(stage,) state]
    value : array [(stage,) state]

    Examples
    --------
    >>> import bayesmdp as bm
    >>> import numpy as np
    >>> river = bm.environments.riverswim(6)
    >>> policy, value = greedy(river.problem, np.tile([1.0, 2.0], (6, 1)))
    >>> policy.tolist(), value.tolist()
    ([1, 1, 1, 1, 1, 1], [2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    """
    q = jnp.where(problem.available, q, -jnp.inf)
    return jnp.argmax(q, axis=-1).astype(jnp.int32), jnp.max(q, axis=-1)


def once[Arrays](computed: Arrays) -> Arrays:
    """The same arrays, which compiled code computes in one place.

    Otherwise it may compute a number again wherever it is used, each time with another rounding, and numbers that are
    compared with it, or found by being equal to it, are no longer the same.
    """
    return lax.optimization_barrier(computed)  # type: ignore[no-untyped-call]


def clip_span(
    value: Float[Array, " state"], span: Array, among: Bool[Array, " state"] | None = None
) -> Float[Array, " state"]:
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
    >>> import numpy as np
    >>> clip_span(np.array([1.0, 2.0, 9.0]), 3.0).tolist()
    [1.0, 2.0, 4.0]
    >>> clip_span(np.array([1.0, 2.0, 9.0]), 3.0, np.array([False, True, True])).tolist()
    [2.0, 2.0, 5.0]
    """
    least = jnp.min(value, where=True if among is None else among, initial=jnp.inf)
    return jnp.clip(value, least, least + span)
