"""The compiled loop: an agent, or a fixed policy, acting in a world step by step.

Planning is a branch of the scan (`lax.cond`), taken when a period begins; mapping over replicates therefore happens
outside, since `vmap` would turn the branch into both of its sides at every step. Random numbers are laid out by step:
the world's depend on the replicate's key and the step alone, so agents run together meet the same luck, and a shorter
run is the beginning of a longer one.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random

from bayesmdp.agents import Rules
from bayesmdp.agents.base import Options
from bayesmdp.mdp import Array, Problem
from bayesmdp.objectives import OBJECTIVES
from bayesmdp.world import Step, invert

__all__ = ["Rollout", "follow_policy", "run_agent"]

LUCK = 3  # uniform numbers a step: two for the world, one for the agent's coin or a randomised policy's choice


class Rollout(NamedTuple):
    """An agent's run, in windows of ``thin`` steps.

    Attributes
    ----------
    reward, regret : arrays [window]
        Sums over the window.
    state, action : arrays [window]
        Of the window's last step.
    report : dict of arrays [window]
        The agent's own account at the window's last step.
    beliefs : pytree, leading axis [checkpoint]
        Belief states after the checkpoints' numbers of steps.
    """

    reward: Array
    regret: Array
    state: Array
    action: Array
    report: dict[str, Array]
    beliefs: Any


@partial(jax.jit, static_argnames=("rules", "belief", "world", "objective", "steps", "thin"))
def run_agent(
    key: Array,
    problem: Problem,
    kernel: Array,
    options: Options,
    checkpoints: Array,
    *,
    rules: Any,
    belief: Any,
    world: Any,
    objective: str,
    steps: int,
    thin: int = 1,
) -> Rollout:
    """One replicate: `steps` steps of an agent in the world with the true `kernel`.

    Parameters
    ----------
    checkpoints : int array [checkpoint]
        Numbers of steps after which to keep the belief.
    rules, belief, world, objective, steps, thin
        Static: see :class:`~bayesmdp.agents.Agent` and :mod:`bayesmdp.world`; `thin` divides `steps`.
    """
    agent: Rules = rules(belief, problem, options)
    start, take_step = world(problem, kernel)
    goal = OBJECTIVES[objective]
    baseline = goal.baseline(problem, kernel)
    agent_key, world_key, start_key, init_key = random.split(key, 4)
    initial = agent.init(init_key)
    beliefs = jax.tree.map(lambda leaf: jnp.zeros((len(checkpoints), *leaf.shape), leaf.dtype), agent.belief(initial))

    def regret_of(state: Any) -> Any:
        return goal.regret(problem, kernel, baseline, agent.policy(state))

    def begin(key: Array, state: Any) -> tuple[Any, Any]:
        state = agent.begin(key, state)
        return state, regret_of(state)

    def keep(taken: Array, beliefs: Any, state: Any) -> Any:
        place = jnp.argmax(checkpoints == taken)
        return jax.tree.map(lambda kept, now: kept.at[place].set(now), beliefs, agent.belief(state))

    def advance(carry: Any, inputs: Any) -> Any:
        state, s, regret, starts, beliefs = carry
        taken, keys, luck = inputs
        state, regret = lax.cond(starts, begin, lambda key, state: (state, regret), keys[0], state)
        action = agent.act(keys[1], state, s)
        step, next_s = take_step(luck, s, action)
        report = agent.report(state, s, action)
        # One array a step: on a CPU each array written in a loop costs as much as a small kernel.
        numbers = jnp.stack([step.reward, goal.charge(regret, s), *(report[name].astype(float) for name in names)])
        state = agent.observe(keys[2], state, step)
        starts = agent.ends(luck[-1], state, step)
        if len(checkpoints):
            due = (checkpoints == taken).any()
            beliefs = lax.cond(due, keep, lambda taken, beliefs, state: beliefs, taken, beliefs, state)
        return (state, next_s, regret, starts, beliefs), (s, action, numbers)

    def window(carry: Any, inputs: Any) -> Any:
        carry, (s, action, numbers) = lax.scan(advance, carry, inputs)
        return carry, (s[-1], action[-1], jnp.concatenate([numbers[:, :2].sum(0), numbers[-1, 2:]]))

    names = sorted(jax.eval_shape(lambda: agent.report(initial, start(start_key), jnp.int32(0))))
    no_regret = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(regret_of, initial))
    carry: Any = (initial, start(start_key), no_regret, jnp.array(True), beliefs)
    inputs = (1 + jnp.arange(steps), random.split(agent_key, (steps, 3)), random.uniform(world_key, (steps, LUCK)))
    if thin == 1:
        (*_, beliefs), (s, action, numbers) = lax.scan(advance, carry, inputs)
    else:
        windows = jax.tree.map(lambda values: values.reshape(steps // thin, thin, *values.shape[1:]), inputs)
        (*_, beliefs), (s, action, numbers) = lax.scan(window, carry, windows)
    reward, regret, *report = numbers.T
    return Rollout(reward, regret, s, action, dict(zip(names, report, strict=True)), beliefs)


@partial(jax.jit, static_argnames=("world", "steps"))
def follow_policy(key: Array, problem: Problem, kernel: Array, policy: Array, *, world: Any, steps: int) -> Step:
    """`steps` steps of a policy given as probabilities [state, action]: fields [step]."""
    start, take_step = world(problem, kernel)
    start_key, step_key = random.split(key)
    choice = jnp.cumsum(policy, -1)

    def advance(s: Array, luck: Array) -> tuple[Array, Step]:
        step, next_s = take_step(luck, s, invert(choice[s], luck[2]))
        return next_s, step

    return lax.scan(advance, start(start_key), random.uniform(step_key, (steps, LUCK)))[1]
