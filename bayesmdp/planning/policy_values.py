"""The value of a policy under one kernel, and what it is computed from: rows of the pairs that the policy chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.dominant_systems import solve_dominant, solve_within
from bayesmdp.planning.operators import expected_reward, over_outcomes, values_reached
from bayesmdp.problems.elsewhere import Elsewhere, LeastElsewhere
from bayesmdp.problems.problem import Problem

__all__ = ["evaluate_rows", "policy_evaluation", "policy_transition", "rows_between_states"]

SMALL, MIXED, DENSE_LIMIT = 128, 1_000, 2_000
"""States up to which a policy is evaluated by a dense factorisation at once; one that mixes actions with a successor
table; and any, where nothing quicker will do."""

PATIENCE = 40
"""Iterations that BiCGStab gets where a factorisation can follow: about what one of some hundred states costs."""


def policy_transition(
    problem: Problem, transition: Float[Array, "state action outcome"], policy: Num[Array, "state ..."]
) -> Float[Array, "state state"]:
    """Kernel between states under a policy; rows of terminal states and columns into them are 0.

    Parameters
    ----------
    transition : array [state, action, outcome]
    policy : int array [state], or probabilities [state, action]

    Returns
    -------
    array [state, next_state]
        What a value is multiplied by, so a row sums to the probability of not ending.

    Raises
    ------
    ValueError
        Where elsewhere is worth the least of some states: that is no fixed kernel.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> import numpy as np
    >>> river = bm.environments.riverswim(6)
    >>> followed = policy_transition(river.problem, river.transition, np.zeros(6, int))  # always to the left
    >>> followed[2].tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    if isinstance(problem.elsewhere, LeastElsewhere):
        raise ValueError("with elsewhere='least' where a policy leads depends on its value; use policy_evaluation")
    return _dense_rows(problem, *_followed(problem, jnp.asarray(transition), problem.reward, policy)[::2])


def rows_between_states(
    problem: Problem, rows: Float[Array, "state outcome"], policy: Int[Array, " state"]
) -> Float[Array, "state state"]:
    """Spread a policy's rows over outcomes into rows over next states.

    Parameters
    ----------
    problem : Problem
    rows : array [state, outcome]
        Of the pairs that the policy chooses.
    policy : int array [state]

    Returns
    -------
    array [state, next_state]
        As `policy_transition` has them.
    """
    return _dense_rows(problem, rows, _leads(problem, policy))


def policy_evaluation(
    problem: Problem,
    transition: Float[Array, "state action outcome"],
    reward: Float[Array, "state action outcome_or_1"],
    policy: Num[Array, "state ..."],
) -> Float[Array, " state"]:
    """Value of a policy under one kernel: the solution of ``(I - discount P) V = r``.

    By a factorisation up to 128 states; by BiCGStab above, and where that is slow to converge by a factorisation up to
    2,000. Beyond, no array [state, state] is made from a successor table.

    Parameters
    ----------
    transition : array [state, action, outcome]
    reward : array [state, action, outcome or 1]
    policy : int array [state], or probabilities [state, action]

    Returns
    -------
    value : array [state]
        0 at terminal states, exactly.

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> value = policy_evaluation(river.problem, river.transition, river.reward, np.zeros(6, int))
    >>> round(float(value[0]), 3)  # .005 / (1 - .95)
    0.1
    """
    # NumPy arrays cannot be indexed by traced ones.
    problem = jax.tree.map(jnp.asarray, problem)
    rows, rewards, leads = _followed(problem, jnp.asarray(transition), jnp.asarray(reward), policy)
    value = _evaluate(problem, rows, rewards, leads)
    if not _few(problem, rows) and problem.envelope is None:
        value = _evaluate(problem, rows, rewards, leads, value)
    if not isinstance(problem.elsewhere, LeastElsewhere):
        return value

    # The least states change with the value, which falls at each round until they no longer do.
    def settle(
        carry: tuple[Int[Array, ""], Float[Array, " state"], Float[Array, " state"]],
    ) -> tuple[Int[Array, ""], Float[Array, " state"], Float[Array, " state"]]:
        rounds, _, value = carry
        return rounds + 1, value, _evaluate(problem, rows, rewards, leads, value)

    def unsettled(carry: tuple[Int[Array, ""], Float[Array, " state"], Float[Array, " state"]]) -> Bool[Array, ""]:
        rounds, last, value = carry
        size = 1 + jnp.max(jnp.abs(value))
        return (rounds < 100) & (jnp.max(jnp.abs(value - last)) > 1e-12 * size)

    return lax.while_loop(unsettled, settle, (jnp.int32(0), value + jnp.inf, value))[2]


class _Leads(NamedTuple):
    """Where the rows of a policy lead: a successor table's part, each field [state, ...], or None for dense rows."""

    successor: Any
    elsewhere: Elsewhere | None


def _followed(
    problem: Problem,
    transition: Float[Array, "state action outcome"],
    reward: Float[Array, "state action outcome_or_1"],
    policy: Num[Array, "state ..."],
) -> tuple[Float[Array, "state ... outcome"], Float[Array, "state _"], _Leads]:
    """Rows, rewards [state, outcome or 1] and where they lead; actions are outcomes too where the policy mixes them."""
    states = jnp.arange(problem.num_states)
    if policy.ndim == 1:
        return transition[states, policy], reward[states, policy], _leads(problem, policy)
    share = jnp.asarray(policy)[..., None]
    rewards = jnp.sum(share * expected_reward(transition, reward), axis=1)
    if problem.successor is None:
        return jnp.sum(share * transition, axis=1), rewards, _Leads(None, None)
    # Rows stay apart, for what is elsewhere differs from one to the next.
    return share * transition, rewards, _Leads(problem.successor, problem.elsewhere)


def _leads(problem: Problem, policy: Int[Array, " state"]) -> _Leads:
    if problem.successor is None:
        return _Leads(None, None)
    states = jnp.arange(problem.num_states)
    elsewhere = None if problem.elsewhere is None else problem.elsewhere.at(states, policy)
    return _Leads(jnp.asarray(problem.successor)[states, policy], elsewhere)


def evaluate_rows(
    problem: Problem,
    transition: Float[Array, "state outcome"],
    reward: Float[Array, "state outcome_or_1"],
    policy: Int[Array, " state"],
    *,
    start: Float[Array, " state"] | None = None,
) -> Float[Array, " state"]:
    """Evaluate a deterministic policy from the rows of the chosen pairs only, as `policy_evaluation` does from all.

    Parameters
    ----------
    transition : array [state, outcome]
    reward : array [state, outcome or 1]
    policy : int array [state]
        Tells where the outcomes of a successor table lead.
    start : array [state], optional
        Where the iterative solver starts; it lowers the residual there by a factor 1e-10. The direct one needs none.
        Where elsewhere is worth the least of some states, that is the state which is least here.

    Returns
    -------
    value : array [state]
    """
    return _evaluate(problem, transition, reward, _leads(problem, policy), start)


def _few(problem: Problem, rows: Float[Array, "state ... outcome"]) -> bool:
    """Whether a factorisation is the first choice: up to more states where products with the rows take long."""
    return problem.num_states <= (MIXED if rows.ndim == 3 else SMALL)


def _evaluate(
    problem: Problem,
    rows: Float[Array, "state ... outcome"],
    reward: Float[Array, "state outcome_or_1"],
    leads: _Leads,
    start: Float[Array, " state"] | None = None,
) -> Float[Array, " state"]:
    """Value of rows [state, (action,) outcome]; see `evaluate_rows`."""
    live = problem.continuation > 0
    rewards = reward[:, 0] if rows.ndim == 3 else expected_reward(rows, reward)[:, 0]
    rewards = jnp.where(live, rewards, 0)
    start = jnp.zeros_like(rewards) if start is None else jnp.where(live, start, 0)
    if isinstance(leads.elsewhere, LeastElsewhere):
        least = leads.elsewhere.state(start, leads.successor)[..., None]
        leads = _Leads(jnp.where(leads.successor < 0, least, leads.successor), None)

    def by_elimination() -> Float[Array, " state"]:
        assert problem.envelope is not None
        shape = (problem.num_states, -1)
        share = problem.discount * jnp.where(live[:, None], rows.reshape(shape), 0)
        after = leads.successor.reshape(shape)
        return solve_within(share * problem.continuation[after], after, rewards, problem.envelope)

    def direct() -> Float[Array, " state"]:
        system = jnp.eye(problem.num_states) - problem.discount * _dense_rows(problem, rows, leads)
        return solve_dominant(system, rewards)

    def iterated() -> Float[Array, " state"]:
        return _iterate(problem, rows, rewards, leads, start, direct)

    few = _few(problem, rows)
    if problem.envelope is None:
        return direct() if few else iterated()

    def refined() -> Float[Array, " state"]:
        return _iterate(problem, rows, rewards, leads, iterated(), direct)

    # One state after the other, which other devices than a CPU are slow at.
    return lax.platform_dependent(cpu=by_elimination, default=direct if few else refined)


def _iterate(
    problem: Problem,
    rows: Float[Array, "state ... outcome"],
    rewards: Float[Array, " state"],
    leads: _Leads,
    start: Float[Array, " state"],
    direct: Callable[[], Float[Array, " state"]],
) -> Float[Array, " state"]:
    """Value by BiCGStab; where that is slow to converge by `direct` for not too many states, or by backups."""
    live = problem.continuation > 0
    masked = jnp.where(live.reshape(-1, *(1,) * (rows.ndim - 1)), rows, 0)

    def apply(value: Float[Array, " state"]) -> Float[Array, " state"]:
        future = problem.continuation * value
        if leads.successor is None:
            return value - problem.discount * (masked @ future)
        continued = over_outcomes(masked, values_reached(leads.successor, leads.elsewhere, future))
        return value - problem.discount * continued.reshape(*value.shape, -1).sum(-1)

    # Solving for the correction makes a repeated call refine, whatever the scale of the reward.
    missing = rewards - apply(start)
    few = problem.num_states <= DENSE_LIMIT
    correction, _ = jax.scipy.sparse.linalg.bicgstab(  # type: ignore[no-untyped-call]
        apply, missing, tol=1e-10, maxiter=PATIENCE if few else 2_000
    )
    value = start + correction
    scale = jnp.max(jnp.abs(missing))

    def unsolved(value: Float[Array, " state"]) -> Bool[Array, ""]:  # NaN is unsolved too
        return ~(jnp.max(jnp.abs(rewards - apply(value))) <= 1e-9 * scale + 1e-14 * jnp.max(jnp.abs(value)))

    # It breaks down on some systems, such as cycles. Repeated backups never do.
    def sweep() -> Float[Array, " state"]:
        return lax.while_loop(unsolved, lambda value: value + rewards - apply(value), start)

    return lax.cond(unsolved(value), direct if few else sweep, lambda: value)


def _dense_rows(
    problem: Problem, rows: Float[Array, "state ... outcome"], leads: _Leads
) -> Float[Array, "state state"]:
    """Rows [state, (action,) outcome] as [state, next_state], with terminal states leading nowhere."""
    continuation, size = problem.continuation, problem.num_states
    if leads.successor is not None:
        successor, states = leads.successor, jnp.arange(size).reshape(-1, *(1,) * (rows.ndim - 1))
        named = rows if leads.elsewhere is None else jnp.where(successor < 0, 0, rows)
        dense = jnp.zeros((size, size), rows.dtype).at[states, successor].add(named)
        if leads.elsewhere is not None:
            number, first = leads.elsewhere.number, leads.elsewhere.first
            share = jnp.sum(jnp.where(successor < 0, rows, 0), axis=-1) / jnp.maximum(number, 1)
            # Everywhere, less what the row names: the states that it does not name.
            dense = dense.at[states, successor].add(jnp.where(first, -share[..., None], 0))
            dense = dense + share.reshape(size, -1).sum(-1, keepdims=True)
        rows = dense
    return jnp.where(continuation[:, None] > 0, rows * continuation, 0)
