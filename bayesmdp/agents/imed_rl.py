"""IMED-RL: try what it takes the least evidence to believe best. Pesquerel and Maillard (2022), for ergodic MDPs.

Before each step the agent solves the empirical MDP for its bias phi, in which each state has only the actions of its
*skeleton*, those tried at least log^2(max_a N(s, a)) times. In state s it then takes an action with the least index

    H(a) = N(s, a) K(a) + log N(s, a),    K(a) = inf { KL(share, p) : r(s, a) + p phi > gamma },
    gamma = max_a r(s, a) + share(s, a) phi,

the maximum over all actions; an action that was never tried has the index -infinity. K is what it would take the row of
a to make a the best. It has the dual (Honda and Takemura, 2015), with v = r + phi - gamma and v_max its largest entry,

    K = max_{0 <= lambda <= 1 / v_max} sum_s' share(s') log(1 - lambda v(s')),

a concave function of one number, solved by halving; 0 where the mean of v is not negative, and infinite where
v_max <= 0: no row makes that action the best. Rewards are known here, so that the infimum is over rows alone and not
over distributions of rewards too.

Shares are of the next states seen and of one uniform row, as in the authors' package ``statrl``, which makes the
empirical MDP communicating. That package (version 1.2609) otherwise differs from the paper: its divergence is
max_x sum share log(U - x v), U the largest r + phi there may be, which is larger than K by log U. Its plans are good to
1e-3 only, which makes no difference: with known rewards and K above, 400 runs of 2,000 steps of a version in NumPy on
RiverSwim-6 lose 107.5 +- 2.7 with that tolerance and 107.1 +- 2.7 with 1e-8, this agent 107.1 +- 3.5 and, on other
random numbers, 112.2 +- 3.6 in 256. (Of the latter the first 64 lose 126 +- 9: a few runs decide such a mean.)
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.optimistic import dense_unit_rewards
from bayesmdp.foundation.arrays import Array
from bayesmdp.planning import Draws, average_policy_iteration
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["divergence_to_best", "imed_rl"]

TOLERANCE, MAX_ITERATIONS = 1e-8, 200
"""Of the plan before each step, which starts at the one before."""
HALVINGS = 60


def imed_rl() -> Agent:
    """Take the action that it takes the least evidence to believe best (IMED-RL).

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For rewards outside [0, 1], or a successor table.

    Notes
    -----
    *When.* For the average reward in a small ergodic table, without a prior, an option or a horizon to tell.

    *When not.* Where dynamics are not ergodic, which its guarantee asks for, or states are many: it plans at each
    step.

    *Cost.* A plan for the average reward before each step, started at the one before.

    It has no options, and is not told for how long it acts. It plans before each step. It reports ``index``, that of
    the action taken (NaN of one that was never tried); ``gain``, that of the empirical MDP; and ``failures``, plans so
    far that did not converge.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> result = bm.simulate(river, {"IMED-RL": bm.agents.imed_rl()}, steps=500, replicates=2)
    >>> float(result["failures"].max())
    0.0
    """
    return Agent("imed-rl", _rules, dense_unit_rewards, {}, objectives=("average",))


def divergence_to_best(
    share: Float[Array, "... next_state"], value: Float[Array, "... next_state"]
) -> Float[Array, "..."]:
    """Return the least divergence to a row under which the mean of `value` is above 0.

    Parameters
    ----------
    share : array [..., next_state]
        Rows, each entry positive.
    value : array [..., next_state]

    Returns
    -------
    array [...]
        ``inf { KL(share, p) : p value > 0 }``: 0 where the mean is 0 or more, infinite where no value is above 0.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(divergence_to_best(np.array([0.9, 0.1]), np.array([-1.0, 1.0]))), 4)  # KL(.9, .5)
    0.3681
    """
    share, value = jnp.asarray(share), jnp.asarray(value)
    largest = value.max(-1)
    possible, needed = largest > 0, (share * value).sum(-1) < 0
    # In units of the largest value lambda lies in [0, 1], where the derivative falls from -E v > 0 to -infinity.
    scaled = jnp.where((possible & needed)[..., None], value / jnp.where(possible, largest, 1)[..., None], 0)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        rises = (share * scaled / (1 - middle[..., None] * scaled)).sum(-1) < 0
        return jnp.where(rises, middle, ends[0]), jnp.where(rises, ends[1], middle)

    zero = jnp.zeros(largest.shape)
    least = lax.fori_loop(0, HALVINGS, halve, (zero, zero + 1))[0]
    divergence = (share * jnp.log1p(-least[..., None] * scaled)).sum(-1)
    return jnp.where(needed, jnp.where(possible, divergence, jnp.inf), 0)


class _State(NamedTuple):
    """Counts and the plan before this step.

    Attributes
    ----------
    counts : array [state, action, next_state]
    value : array [state]
        phi.
    index : array [state, action]
        H.
    gain, failures : float
    """

    counts: Float[Array, "state action next_state"]
    value: Float[Array, " state"]
    index: Float[Array, "state action"]
    gain: Float[Array, ""]
    failures: Float[Array, ""]


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    num_states = problem.num_states

    def begin(key: Key[Array, ""], state: _State) -> _State:
        visits = state.counts.sum(-1)
        share = (state.counts + 1 / num_states) / (visits + 1)[..., None]
        # The skeleton: what was tried log^2 of the most tries, or more.
        most = jnp.max(jnp.where(problem.available, visits, 0), -1, keepdims=True)
        skeleton = problem.available & (visits >= jnp.log(jnp.maximum(most, 1)) ** 2)
        plan = average_policy_iteration(
            problem._replace(available=skeleton),
            Draws(share[None], problem.reward),
            tolerance=TOLERANCE,
            max_iterations=MAX_ITERATIONS,
            value=state.value,
        )
        worth = problem.reward + plan.value  # [state, action, next_state]
        mean = jnp.where(problem.available, (share * worth).sum(-1), -jnp.inf)
        best = mean.max(-1, keepdims=True)
        divergence = jnp.where(mean >= best, 0, divergence_to_best(share, worth - best[..., None]))
        tried = jnp.maximum(visits, 1)
        index = jnp.where(visits > 0, tried * divergence + jnp.log(tried), -jnp.inf)
        return state._replace(
            value=plan.value,
            index=jnp.where(problem.available, index, jnp.inf),
            gain=plan.gain,
            failures=state.failures + ~plan.converged,
        )

    def act(key: Key[Array, ""], state: _State, s: Int[Array, ""]) -> Int[Array, ""]:
        # Ties are broken at random. What cannot be the best has an infinite index, as what cannot be taken has.
        index = state.index[s]
        least = (index == index.min()) & problem.available[s]
        return jnp.argmax(jnp.where(least, random.uniform(key, index.shape), -1)).astype(jnp.int32)

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        return state._replace(counts=state.counts.at[step.state, step.action, step.next_state].add(1))

    def report(state: _State, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        index = state.index[s, a]
        return {"index": jnp.where(jnp.isfinite(index), index, jnp.nan), "gain": state.gain, "failures": state.failures}

    def init(key: Key[Array, ""]) -> _State:
        pairs, zero = problem.available.shape, jnp.zeros(())
        return _State(jnp.zeros((*pairs, num_states)), jnp.zeros(num_states), jnp.zeros(pairs), zero, zero)

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=lambda uniform, state, step: jnp.ones((), bool),
        policy=lambda state: jnp.argmin(jnp.where(problem.available, state.index, jnp.inf), -1).astype(jnp.int32),
        report=report,
        belief=lambda state: (),
    )
