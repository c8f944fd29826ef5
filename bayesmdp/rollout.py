"""The compiled loop: an agent, or a fixed policy, acting in a world step by step.

Planning is a branch of the scan (`lax.cond`), taken when a period begins; mapping over replicates therefore happens
outside, since `vmap` would turn the branch into both of its sides at every step. Random numbers are laid out by step:
the world's depend on the replicate's key and the step alone, so agents run together meet the same luck, and a shorter
run is the beginning of a longer one. Robust regret is computed in a branch and from random numbers of its own, so that
measuring it changes nothing else, to the last bit.
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
from bayesmdp.objectives import Objective
from bayesmdp.planning import Quantile, believed_draws, policy_iteration
from bayesmdp.world import Step, invert

__all__ = ["Rollout", "follow_policy", "run_agent"]

LUCK, COIN = 3, 2
"""Uniform numbers a step: two for the world, one for the agent's coin or a randomised policy's choice."""


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
    policies : array [checkpoint, state]
        The policies in use then.
    robust_regret, gap : array [window] or None
        Sums over the window: where it was asked for, and where the objective has it.
    """

    reward: Array
    regret: Array
    state: Array
    action: Array
    report: dict[str, Array]
    beliefs: Any
    policies: Any
    robust_regret: Array | None = None
    gap: Array | None = None


class _Floor(NamedTuple):
    """The cautious value [state] under the belief at the period's start, and robust regret by state."""

    value: Array
    regret: Any


@partial(jax.jit, static_argnames=("rules", "belief", "world", "goal", "steps", "thin", "robust_draws"))
def run_agent(
    key: Array,
    problem: Problem,
    kernel: Array,
    options: Options,
    checkpoints: Array,
    robust: tuple[Array, Array] | None = None,
    reward: Array | None = None,
    prior: Any = None,
    *,
    rules: Any,
    belief: Any,
    world: Any,
    goal: Objective,
    steps: int,
    thin: int = 1,
    robust_draws: int = 0,
) -> Rollout:
    """One replicate: `steps` steps of an agent in the world with the true `kernel`.

    Parameters
    ----------
    problem : Problem
        What the agent is told.
    checkpoints : int array [checkpoint]
        Numbers of steps after which to keep the belief and the policy.
    robust : (key, level), optional
        Compute robust regret at this level, from `robust_draws` draws of the belief at each period.
    reward : array [state, action, outcome or 1], optional
        The true mean rewards, where they are not the problem's.
    prior : pytree, optional
        Parameters of a prior of the belief's family, to begin with instead of its own.
    rules, belief, world, goal, steps, thin, robust_draws
        Static: see :class:`~bayesmdp.agents.Agent`, :mod:`bayesmdp.world` and :mod:`bayesmdp.objectives`; `thin`
        divides `steps`.
    """
    if prior is not None:
        belief = belief.with_prior(prior)
    agent: Rules = rules(belief, problem, options)
    truth = problem if reward is None else problem._replace(reward=reward)
    start, take_step = world(truth, kernel)
    baseline = goal.baseline(truth, kernel)
    agent_key, world_key, start_key, init_key = random.split(key, 4)
    initial = agent.init(init_key)

    def kept(state: Any) -> Any:
        return agent.belief(state), agent.policy(state)

    marked = jax.tree.map(lambda leaf: jnp.zeros((len(checkpoints), *leaf.shape), leaf.dtype), kept(initial))

    def regret_of(state: Any) -> Any:
        return goal.regret(truth, kernel, baseline, agent.policy(state))

    def begin(key: Array, state: Any) -> tuple[Any, Any]:
        state = agent.begin(key, state)
        return state, regret_of(state)

    def lay_floor(taken: Array, state: Any, floor: _Floor) -> _Floor:
        assert robust is not None
        key, level = robust
        sites = belief.sample(random.fold_in(key, taken), agent.belief(state), robust_draws)
        draws = believed_draws(sites, problem)
        value = policy_iteration(problem, draws, Quantile(level), value=floor.value).value
        return _Floor(value, goal.regret(truth, kernel, value, agent.policy(state)))

    def keep(taken: Array, marked: Any, state: Any) -> Any:
        place = jnp.argmax(checkpoints == taken)
        return jax.tree.map(lambda held, now: held.at[place].set(now), marked, kept(state))

    def advance(carry: Any, inputs: Any) -> Any:
        state, s, regret, floor, starts, marked = carry
        taken, keys, luck = inputs
        state, regret = lax.cond(starts, begin, lambda key, state: (state, regret), keys[0], state)
        action = agent.act(keys[1], state, s)
        charges = [goal.charge(truth, regret, s, action)]
        if floor is not None:
            floor = lax.cond(starts, lay_floor, lambda taken, state, floor: floor, taken, state, floor)
            charges.append(goal.charge(truth, floor.regret, s, action))
        if goal.gap is not None:
            charges.append(goal.gap(regret, s, action))
        step, next_s = take_step(luck, s, action)
        report = agent.report(state, s, action)
        # One array a step: on a CPU each array written in a loop costs as much as a small kernel.
        numbers = jnp.stack([step.reward, *charges, *(report[name].astype(float) for name in names)])
        state = agent.observe(keys[2], state, step)
        starts = agent.ends(luck[COIN], state, step)
        if len(checkpoints):
            due = (checkpoints == taken).any()
            marked = lax.cond(due, keep, lambda taken, marked, state: marked, taken, marked, state)
        return (state, next_s, regret, floor, starts, marked), (s, action, numbers)

    def window(carry: Any, inputs: Any) -> Any:
        carry, (s, action, numbers) = lax.scan(advance, carry, inputs)
        return carry, (s[-1], action[-1], jnp.concatenate([numbers[:, :sums].sum(0), numbers[-1, sums:]]))

    names = sorted(jax.eval_shape(lambda: agent.report(initial, start(start_key), jnp.int32(0))))
    no_regret = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(regret_of, initial))
    no_floor = None if robust is None else _Floor(jnp.zeros(problem.num_states), no_regret)
    sums = 2 + (robust is not None) + (goal.gap is not None)
    carry: Any = (initial, start(start_key), no_regret, no_floor, jnp.array(True), marked)
    inputs = (1 + jnp.arange(steps), random.split(agent_key, (steps, 3)), _luck(world_key, steps, truth))
    if thin == 1:
        (*_, (beliefs, policies)), (s, action, numbers) = lax.scan(advance, carry, inputs)
    else:
        windows = jax.tree.map(lambda values: values.reshape(steps // thin, thin, *values.shape[1:]), inputs)
        (*_, (beliefs, policies)), (s, action, numbers) = lax.scan(window, carry, windows)
    reward, regret, *charged = numbers.T[:sums]
    report = dict(zip(names, numbers.T[sums:], strict=True))
    gap = None if goal.gap is None else charged.pop()
    robust_regret = charged[0] if charged else None
    return Rollout(reward, regret, s, action, report, beliefs, policies, robust_regret, gap)


@partial(jax.jit, static_argnames=("world", "steps"))
def follow_policy(key: Array, problem: Problem, kernel: Array, policy: Array, *, world: Any, steps: int) -> Step:
    """`steps` steps of a policy given as probabilities [state, action]: fields [step]."""
    start, take_step = world(problem, kernel)
    start_key, step_key = random.split(key)
    choice = jnp.cumsum(policy, -1)

    def advance(s: Array, luck: Array) -> tuple[Array, Step]:
        step, next_s = take_step(luck, s, invert(choice[s], luck[COIN]))
        return next_s, step

    return lax.scan(advance, start(start_key), _luck(step_key, steps, problem))[1]


def _luck(key: Array, steps: int, problem: Problem) -> Array:
    """Uniform numbers [step, LUCK], and one more a step for noisy rewards, which changes none of the others."""
    luck = random.uniform(key, (steps, LUCK))
    if problem.noise is None:
        return luck
    return jnp.concatenate([luck, random.uniform(random.fold_in(key, 1), (steps, 1))], axis=1)
