"""The true environment as two functions, which the compiled loop calls without knowing what kind it is.

A kind of environment is a module-level function ``world(problem, kernel) -> World``. The tabular one is here; another
kind (continuous states, simulated from a model given its parameters) is another such function, named by its class's
``world`` attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
from jax import random
from jaxtyping import Bool, Float, Int, Key, Num

if TYPE_CHECKING:
    from bayesmdp.foundation.arrays import Array
    from bayesmdp.problems.problem import Problem

__all__ = [
    "AGENT",
    "NOISE",
    "OUTCOME",
    "RESTART",
    "Step",
    "World",
    "cut_off",
    "invert",
    "keys_of_step",
    "tabular_world",
]

OUTCOME, RESTART, AGENT, NOISE = range(4)
"""The places of a step's uniform numbers: what draws the outcome, the state in which a new episode starts, the agent's
own choice (or whether its period ends), and the noise of the reward, which only a noisy problem has.
"""


def keys_of_step(uniforms: Float[Array, " place"]) -> tuple[Key[Array, ""], Key[Array, ""]]:
    """Return two random keys made of a step's first two uniform numbers: for the step, and for the start of an episode.

    Parameters
    ----------
    uniforms : array [place]

    Returns
    -------
    step, restart : key
    """
    key = random.wrap_key_data((uniforms[:2] * 2.0**32).astype(jnp.uint32), impl="threefry2x32")
    # The first few numbers that are folded in give the keys that a split gives, which the step may use.
    return key, random.fold_in(key, 2**31)


def cut_off(
    world: World, uniforms: Float[Array, " place"], step: Step, following: Array, age: Int[Array, ""]
) -> tuple[Array, Int[Array, ""], Bool[Array, ""]]:
    """Cut an episode off that has reached its length, in a world that has one.

    Parameters
    ----------
    world : World
    uniforms : array [place]
        The step's.
    step : Step
    following : array [coordinate]
        The next state acted in, if the episode goes on.
    age : int
        Steps of the episode before this one.

    Returns
    -------
    following : array [coordinate]
    age : int
        Before the next step.
    cut : bool
        Whether it was cut off; one that reaches its length in a terminal state is not.
    """
    cut = (age + 1 >= world.length) & ~step.last
    again = world.start(keys_of_step(uniforms)[1])
    return jnp.where(cut, again, following), jnp.where(cut | step.last, 0, age + 1), cut


class Step(NamedTuple):
    """One step of experience, as an agent observes it.

    Attributes
    ----------
    state, action, outcome, next_state : int
        Indices; `outcome` is the position on the last axis of ``transition`` (the next state itself when dense). Where
        states are numbers, `state` and `next_state` are [coordinate], and `outcome` is what was recorded of the step.
    reward : float
    last : bool
        Whether the step ended an episode; the next state acted in is then drawn from the initial distribution.
    """

    state: Num[Array, "*coordinate"]
    action: Int[Array, ""]
    outcome: Any
    next_state: Num[Array, "*coordinate"]
    reward: Float[Array, ""]
    last: Bool[Array, ""]


class World(NamedTuple):
    """An environment's functions.

    Attributes
    ----------
    start : callable
        ``start(key) -> state``.
    step : callable
        ``step(uniforms, state, action) -> (Step, next state acted in)``; `uniforms` is an array [place] of random
        numbers that are uniform in [0, 1). The first two are the world's to use as it likes, and the fourth where it
        is noisy.
    noisy : bool
        Whether rewards scatter about their mean, for which steps need a fourth number.
    length : int, optional
        After how many steps an episode is cut off that has not ended; never, if None. Who takes steps counts them.
    """

    start: Callable[[Array], Any]
    step: Callable[[Array, Any, Array], tuple[Step, Any]]
    noisy: bool = False
    length: Any = None


def tabular_world(problem: Problem, kernel: Float[Array, "state action outcome"]) -> World:
    """Return the world of a finite MDP.

    Parameters
    ----------
    problem : Problem
    kernel : array [state, action, outcome]
        The true probabilities of outcomes.

    Returns
    -------
    World

    Raises
    ------
    ValueError
        For a problem whose successor table has the entry -1, elsewhere.
    """
    if problem.elsewhere is not None:
        raise ValueError(
            "an MDP whose successor table contains -1 (next states that are not listed) cannot be simulated: use it to "
            "plan for, or give it a complete table"
        )
    cumulative, initial = jnp.cumsum(kernel, -1), jnp.cumsum(problem.initial)

    def start(key: Key[Array, ""]) -> Int[Array, ""]:
        return invert(initial, random.uniform(key))

    def step(
        uniforms: Float[Array, " place"], state: Int[Array, ""], action: Int[Array, ""]
    ) -> tuple[Step, Int[Array, ""]]:
        outcome = invert(cumulative, uniforms[OUTCOME], state, action)
        next_state = outcome if problem.successor is None else problem.successor[state, action, outcome]
        rewards = problem.reward[state, action]
        reward = rewards[0] if rewards.shape[-1] == 1 else rewards[outcome]
        if problem.noise is not None:
            reward = problem.noise.draw(uniforms[NOISE], reward, state, action)
        last = problem.continuation[next_state] == 0
        following = next_state
        # A problem that is judged by its average reward has no terminal states, and need not look for a start at each
        # step, which takes time that grows with the number of states.
        if problem.discount is not None:
            following = jnp.where(last, invert(initial, uniforms[RESTART]), next_state)
        return Step(state, action, outcome, next_state, reward, last), following

    return World(start, step, noisy=problem.noise is not None)


COUNTED = 16
"""Outcomes up to which those that a uniform number has passed are counted; beyond, they are searched by halves."""


def invert(cumulative: Float[Array, "... outcome"], uniform: Float[Array, ""], *row: Int[Array, ""]) -> Int[Array, ""]:
    """Return the index at which cumulative probabilities pass a uniform number; never one of probability 0.

    Parameters
    ----------
    cumulative : array [..., outcome]
    uniform : float in [0, 1)
    *row : int
        Which row it is, where there are several. A row is not cut out first, for that would read all of it.

    Returns
    -------
    int

    Examples
    --------
    >>> import numpy as np
    >>> int(invert(np.cumsum([0.2, 0.0, 0.8]), 0.3))
    2
    """
    cumulative, number = jnp.asarray(cumulative), cumulative.shape[-1]
    passed = uniform * cumulative[*row, -1]
    if number <= COUNTED:
        return jnp.sum(cumulative[row] <= passed).astype(jnp.int32)
    # Halves: all before `index` are passed, and none from index + width on. The last is never passed.
    index, width = jnp.int32(0), number - 1
    while width:
        half = (width + 1) // 2
        index = jnp.where(cumulative[*row, index + half - 1] <= passed, index + half, index)
        width -= half
    return index
