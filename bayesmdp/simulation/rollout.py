"""An agent acting in a world step by step, and what is recorded of it.

A run is a few calls of compiled functions that do not know how long it is (:mod:`~bayesmdp.simulation.walk`): `_first`
makes the agent's first state, `advance` takes steps. Windows and checkpoints are read off between two calls, on the
host.

Planning is a branch of the loop (`lax.cond`), taken when a period begins; mapping over replicates therefore happens
outside, since `vmap` would turn the branch into both of its sides at every step. Robust regret is computed in a branch
and from random numbers of its own, so that measuring it changes nothing else, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Bool, Float, Int, Key, Num

from bayesmdp.agents import Rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.planning import Quantile, believed_draws, policy_iteration
from bayesmdp.problems.world import AGENT, cut_off, keys_of_step
from bayesmdp.simulation.regret import Objective
from bayesmdp.simulation.walk import Periods, chunks, walk
from bayesmdp.simulation.windows import Record, Rollout, Windows

__all__ = ["advance", "baseline_of", "run_agent"]

BEGIN, ACT, OBSERVE = range(3)
"""What the agent's keys of a step are for."""


class _Setting(NamedTuple):
    """What stays the same through a run: what the agent is told, the truth, and what it is measured against.

    Attributes
    ----------
    problem, options, prior
        What the agent is told; the prior replaces the belief's own, unless it is None.
    truth : Problem
        The problem with the true mean rewards.
    kernel : pytree
        The true one.
    baseline : pytree
        What regret is measured against.
    robust : (key, level), optional
        Of robust regret.
    restart : int, optional
        After how many steps the world starts again.
    """

    problem: Any
    truth: Any
    kernel: Any
    options: Mapping[str, Array]
    baseline: Any
    robust: tuple[Key[Array, ""], Float[Array, ""]] | None
    prior: Any
    restart: Any = None


class _Floor(NamedTuple):
    """The cautious value [state] under the belief at the period's start, and robust regret by state."""

    value: Float[Array, " state"]
    regret: Any


class _Moment(NamedTuple):
    """Where a run is: the agent's state, the world's, the regret of the policy in use, and whether a period begins.

    The regret is () where steps are charged by the baseline: what a branch of the loop writes is copied at each step.
    The age is how many steps the episode has had, counted where the world cuts episodes off.
    """

    agent: Any
    state: Num[Array, "*coordinate"]
    regret: Any
    floor: _Floor | None
    starts: Bool[Array, ""]
    age: Any = None


def run_agent(
    key: Key[Array, ""],
    problem: Any,
    kernel: Any,
    options: Mapping[str, Array],
    *,
    rules: Any,
    belief: Any,
    world: Any,
    goal: Objective,
    steps: int,
    thin: int = 1,
    checkpoints: Sequence[int] = (),
    robust: tuple[Key[Array, ""], Float[Array, ""]] | None = None,
    robust_draws: int = 0,
    policy_under: str = "belief",
    reward: Float[Array, "state action outcome_or_1"] | None = None,
    baseline: Any = None,
    prior: Any = None,
    restart: int | None = None,
) -> Rollout:
    """Run one replicate: `steps` steps of an agent in the world with the true `kernel`, with 64 bits on.

    Parameters
    ----------
    key : key
        Determines the run.
    problem : Problem, or that of a continuous or simulated MDP
        What the agent is told.
    kernel : array [state, action, outcome], or pytree
        How the world moves.
    options : mapping of str to array
        The agent's.
    rules, belief, world, goal
        Which program it is: see :class:`~bayesmdp.agents.Agent`, :mod:`bayesmdp.problems.world` and
        :mod:`bayesmdp.simulation.regret`. Everything else but `robust_draws` and `policy_under` is read by the
        program as it runs.
    thin : int
        Steps of a window; divides `steps`.
    checkpoints : sequence of int
        Numbers of steps, increasing, after which to keep the belief and the policy.
    robust : (key, level), optional
        Compute robust regret at this level, from `robust_draws` draws of the belief at each period, with the policy's
        value under the "belief" or the "truth", as `policy_under` says.
    reward : array [state, action, outcome or 1], optional
        The true mean rewards, where they are not the problem's.
    baseline : pytree, optional
        What regret is measured against, by `baseline_of` the truth, where runs share it.
    prior : pytree, optional
        Parameters of a prior of the belief's family, to begin with instead of its own.
    restart : int, optional
        After how many steps the world starts again.

    Returns
    -------
    Rollout
    """
    truth = problem if reward is None else problem._replace(reward=reward)
    if baseline is None:
        baseline = baseline_of(truth, kernel, goal=goal)
    begun_again = None if restart is None else np.int32(restart)
    setting = _Setting(problem, truth, kernel, options, baseline, robust, prior, begun_again)
    program = {"rules": rules, "belief": belief, "world": world, "goal": goal}
    measured = {"robust_draws": robust_draws, "policy_under": policy_under}
    # Split here, by one program for all: within `_first` each agent's would hold a copy of it.
    keys, moment = _first(random.split(key, 4), setting, **program)
    windows, kept = Windows(steps, thin, 2 + (robust is not None) + (goal.gap is not None)), []
    for begin, end in chunks(steps, checkpoints):
        moment, records, columns = advance(keys, moment, setting, np.int32(begin), np.int32(end), **measured, **program)
        windows.add(begin, end, records)
        if end in checkpoints:
            kept.append(jax.tree.map(np.asarray, _kept(moment.agent, setting, rules=rules, belief=belief)))
    sums = iter(windows.sums)
    beliefs, policies = jax.tree.map(lambda *leaves: np.stack(leaves), *kept) if kept else (None, None)
    return Rollout(
        reward=next(sums),
        regret=next(sums),
        state=windows.state,
        action=windows.action,
        report={name: windows.last[int(column)] for name, column in columns.items()},
        beliefs=beliefs,
        policies=policies,
        robust_regret=None if robust is None else next(sums),
        gap=None if goal.gap is None else next(sums),
    )


@partial(jax.jit, static_argnames="goal")
def baseline_of(truth: Any, kernel: Any, *, goal: Objective) -> Any:
    """Compute what regret is measured against in a world with this kernel and these rewards, with 64 bits on.

    Parameters
    ----------
    truth : Problem, or that of a continuous or simulated MDP
        With the true mean rewards.
    kernel : array [state, action, outcome], or pytree
    goal : Objective

    Returns
    -------
    pytree
        As ``goal.baseline`` gives it.
    """
    return goal.baseline(truth, kernel)


def _agent(setting: _Setting, rules: Any, belief: Any) -> tuple[Rules, Any]:
    """Return the agent's functions, and its belief, which begins with the setting's prior if there is one."""
    if setting.prior is not None:
        belief = belief.with_prior(setting.prior)
    agent: Rules = rules(belief, setting.problem, setting.options)
    return agent, belief


@partial(jax.jit, static_argnames=("rules", "belief"))
def _kept(state: Any, setting: _Setting, *, rules: Any, belief: Any) -> tuple[Any, Any]:
    """Return what a checkpoint keeps: the belief's state, and the policy in use."""
    agent, _ = _agent(setting, rules, belief)
    return agent.belief(state), agent.policy(state)


def _regret(agent: Rules, setting: _Setting, goal: Objective, state: Any) -> Any:
    """Return the regret of the policy in use, from which steps are charged; () where the baseline tells all."""
    if goal.regret is None:
        return ()
    return goal.regret(setting.truth, setting.kernel, setting.baseline, agent.policy(state))


@partial(jax.jit, static_argnames=("rules", "belief", "world", "goal"))
def _first(
    keys: Key[Array, " 4"], setting: _Setting, *, rules: Any, belief: Any, world: Any, goal: Objective
) -> tuple[Key[Array, " 2"], _Moment]:
    """Return the keys of the steps' random numbers, and the moment before the first step."""
    agent_key, world_key, start_key, init_key = keys
    agent, _ = _agent(setting, rules, belief)
    initial = agent.init(init_key)
    regret = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(partial(_regret, agent, setting, goal), initial)
    )
    floor = None if setting.robust is None else _Floor(jnp.zeros(setting.problem.num_states), regret)
    acted_in = world(setting.truth, setting.kernel)
    age = None if acted_in.length is None else jnp.int32(0)
    moment = _Moment(initial, acted_in.start(start_key), regret, floor, jnp.array(True), age)
    return jnp.stack([world_key, agent_key]), moment


@partial(jax.jit, static_argnames=("rules", "belief", "world", "goal", "robust_draws", "policy_under"))
def advance(
    keys: Key[Array, " 2"],
    moment: _Moment,
    setting: _Setting,
    taken: Int[Array, ""],
    until: Int[Array, ""],
    *,
    rules: Any,
    belief: Any,
    world: Any,
    goal: Objective,
    robust_draws: int,
    policy_under: str,
) -> tuple[_Moment, Record, dict[str, Int[Array, ""]]]:
    """Take the steps after number `taken` up to number `until`, at most `CHUNK`.

    Parameters
    ----------
    keys : array [2]
        The world's and the agent's.
    moment : _Moment
        After `taken` steps.
    setting : _Setting
    taken, until : int
    rules, belief, world, goal, robust_draws, policy_under
        As for `run_agent`.

    Returns
    -------
    moment : _Moment
        After `until` steps.
    records : Record, leading axis [CHUNK]
    columns : dict of int
        The place of each report in the records' numbers, after those that are summed.
    """
    truth, kernel = setting.truth, setting.kernel
    world_key, agent_key = keys
    agent, belief = _agent(setting, rules, belief)
    acted_in = world(truth, kernel)

    def key_of(taken: Int[Array, ""], use: int) -> Key[Array, ""]:
        """The key with which the agent begins, acts or observes at a step; made where it is used, not in blocks."""
        return random.fold_in(agent_key, 3 * taken + use)

    def begin(now: _Moment, taken: Int[Array, ""]) -> _Moment:
        """Where a period begins, the agent plans, and what its steps will be charged is computed."""
        state = agent.begin(key_of(taken, BEGIN), now.agent)
        floor = None if now.floor is None else lay_floor(1 + taken, state, now.floor)
        return _Moment(state, now.state, _regret(agent, setting, goal, state), floor, jnp.array(False), now.age)

    def lay_floor(taken: Int[Array, ""], state: Any, floor: _Floor) -> _Floor:
        assert setting.robust is not None
        key, level = setting.robust
        sites = belief.sample(random.fold_in(key, taken), agent.belief(state), robust_draws)
        draws, policy = believed_draws(sites, setting.problem), agent.policy(state)
        value = policy_iteration(setting.problem, draws, Quantile(level), value=floor.value).value
        if policy_under == "truth":
            assert goal.regret is not None
            return _Floor(value, goal.regret(truth, kernel, value, policy))
        # The same recursion with the policy's actions alone: what is lost is never negative but for its tolerance.
        followed = setting.problem._replace(available=jax.nn.one_hot(policy, setting.problem.num_actions, dtype=bool))
        own = policy_iteration(followed, draws, Quantile(level), value=value).value
        return _Floor(value, jnp.maximum(value - own, 0))

    def step(now: _Moment, taken: Int[Array, ""], uniforms: Float[Array, " place"]) -> tuple[_Moment, Record]:
        state = now.agent
        action = agent.act(key_of(taken, ACT), state, now.state)
        charged_by = setting.baseline if goal.regret is None else now.regret
        charges = [goal.charge(truth, charged_by, now.state, action)]
        if now.floor is not None:
            charges.append(goal.charge(truth, now.floor.regret, now.state, action))
        if goal.gap is not None:
            charges.append(goal.gap(charged_by, now.state, action))
        seen, next_s = acted_in.step(uniforms, now.state, action)
        if setting.restart is not None:
            again, first = (taken + 1) % setting.restart == 0, acted_in.start(keys_of_step(uniforms)[1])
            next_s = jax.tree.map(partial(jnp.where, again), first, next_s)
        age, cut = now.age, jnp.zeros((), bool)
        if age is not None:
            next_s, age, cut = cut_off(acted_in, uniforms, seen, next_s, age)
            if setting.restart is not None:
                age = jnp.where(again, 0, age)
        report = agent.report(state, now.state, action)
        names.update({name: column for column, name in enumerate(sorted(report))})
        # One array a step: on a CPU each array written in a loop costs as much as a small kernel.
        numbers = jnp.stack([seen.reward, *charges, *(report[name].astype(float) for name in names)])
        record = Record(now.state, action, numbers)
        state = agent.observe(key_of(taken, OBSERVE), state, seen)
        # An episode that is cut off is over for the agent too, as one of a fixed number of stages is.
        starts = agent.ends(uniforms[AGENT], state, seen) | cut
        return _Moment(state, next_s, now.regret, now.floor, jnp.asarray(starts), age), record

    names: dict[str, int] = {}
    periods = Periods(begin, lambda now: now.starts)
    moment, records = walk(step, world_key, moment, taken, until, noisy=acted_in.noisy, periods=periods)
    return moment, records, {name: jnp.int32(column) for name, column in names.items()}
