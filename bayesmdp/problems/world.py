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

if TYPE_CHECKING:
    from bayesmdp.foundation.arrays import Array
    from bayesmdp.problems.problem import Problem

__all__ = ["Step", "World", "invert", "tabular_world"]


class Step(NamedTuple):
    """One step of experience, as an agent observes it.

    Attributes
    ----------
    state, action, outcome, next_state : int
        Indices; `outcome` is the position on the last axis of ``transition`` (the next state itself when dense).
    reward : float
    last : bool
        Whether the step ended an episode; the next state acted in is then drawn from the initial distribution.
    """

    state: Array
    action: Array
    outcome: Array
    next_state: Array
    reward: Array
    last: Array


class World(NamedTuple):
    """An environment's functions.

    Attributes
    ----------
    start : callable
        ``start(key) -> state``.
    step : callable
        ``step(luck, state, action) -> (Step, next state acted in)``; `luck` is an array of uniform numbers, of which
        the first two are the world's, and the fourth where rewards are noisy.
    """

    start: Callable[[Array], Any]
    step: Callable[[Array, Any, Array], tuple[Step, Any]]


def tabular_world(problem: Problem, kernel: Array) -> World:
    """The world of a finite MDP with the kernel [state, action, outcome].

    The first lucky number picks the outcome, the second the new start where the step was the last of an episode, the
    fourth the noise of the reward.
    """
    if problem.elsewhere is not None:
        raise ValueError("an MDP whose successor table holds -1, elsewhere, is to plan for, not to act in")
    cumulative, initial = jnp.cumsum(kernel, -1), jnp.cumsum(problem.initial)

    def start(key: Array) -> Array:
        return invert(initial, random.uniform(key))

    def step(luck: Array, state: Array, action: Array) -> tuple[Step, Array]:
        outcome = invert(cumulative[state, action], luck[0])
        next_state = outcome if problem.successor is None else problem.successor[state, action, outcome]
        rewards = problem.reward[state, action]
        reward = rewards[0] if rewards.shape[-1] == 1 else rewards[outcome]
        if problem.noise is not None:
            reward = problem.noise.draw(luck[3], reward, state, action)
        last = problem.continuation[next_state] == 0
        return (
            Step(state, action, outcome, next_state, reward, last),
            jnp.where(last, invert(initial, luck[1]), next_state),
        )

    return World(start, step)


def invert(cumulative: Array, uniform: Array) -> Array:
    """Index drawn by inverting cumulative probabilities [outcome]; never one of probability 0."""
    return jnp.sum(cumulative <= uniform * cumulative[-1]).astype(jnp.int32)
