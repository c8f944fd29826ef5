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
from jax import lax, random
from numpy.typing import NDArray

from bayesmdp.agents import Rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.planning import Quantile, believed_draws, policy_iteration
from bayesmdp.problems.problem import Problem
from bayesmdp.simulation.regret import Objective
from bayesmdp.simulation.walk import COIN, Luck, chunks, walk

__all__ = ["Rollout", "advance", "baseline_of", "run_agent"]


class Rollout(NamedTuple):
    """An agent's run on the host, in windows of ``thin`` steps.

    Attributes
    ----------
    reward, regret : arrays [window]
        Sums over the window.
    state, action : arrays [window]
        Of the window's last step.
    report : dict of arrays [window]
        The agent's own account at the window's last step.
    beliefs : pytree, leading axis [checkpoint]
        Belief states after the checkpoints' numbers of steps; None if there are none.
    policies : array [checkpoint, state]
        The policies in use then; None if there are none.
    robust_regret, gap : array [window] or None
        Sums over the window: where it was asked for, and where the objective has it.
    """

    reward: NDArray[np.float64]
    regret: NDArray[np.float64]
    state: NDArray[Any]
    action: NDArray[np.int32]
    report: dict[str, NDArray[np.float64]]
    beliefs: Any
    policies: Any
    robust_regret: NDArray[np.float64] | None = None
    gap: NDArray[np.float64] | None = None


class _Setting(NamedTuple):
    """What stays the same through a run: what the agent is told, the truth, and what it is measured against."""

    problem: Problem
    truth: Problem
    kernel: Array
    options: Mapping[str, Array]
    baseline: Any
    robust: tuple[Array, Array] | None
    prior: Any


class _Floor(NamedTuple):
    """The cautious value [state] under the belief at the period's start, and robust regret by state."""

    value: Array
    regret: Any


class _Moment(NamedTuple):
    """Where a run is: the agent's state, the world's, the regret of the policy in use, and whether a period begins."""

    agent: Any
    state: Array
    regret: Any
    floor: _Floor | None
    starts: Array


def run_agent(
    key: Array,
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
    robust: tuple[Array, Array] | None = None,
    robust_draws: int = 0,
    policy_under: str = "belief",
    reward: Array | None = None,
    baseline: Any = None,
    prior: Any = None,
) -> Rollout:
    """One replicate: `steps` steps of an agent in the world with the true `kernel`, with 64 bits on.

    Parameters
    ----------
    problem : Problem, or that of a continuous or simulated MDP
        What the agent is told.
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
    """
    truth = problem if reward is None else problem._replace(reward=reward)
    if baseline is None:
        baseline = baseline_of(truth, kernel, goal=goal)
    setting = _Setting(problem, truth, kernel, options, baseline, robust, prior)
    program = {"rules": rules, "belief": belief, "world": world, "goal": goal}
    measured = {"robust_draws": robust_draws, "policy_under": policy_under}
    keys, moment = _first(key, setting, **program)
    windows, kept = _Windows(steps, thin, 2 + (robust is not None) + (goal.gap is not None)), []
    for begin, end in chunks(steps, checkpoints):
        moment, told, columns = advance(keys, moment, setting, np.int32(begin), np.int32(end), **measured, **program)
        windows.add(begin, end, told)
        if end in checkpoints:
            kept.append(jax.tree.map(np.asarray, _kept(moment.agent, setting, rules=rules, belief=belief)))
    sums = iter(windows.sums.T)
    beliefs, policies = jax.tree.map(lambda *leaves: np.stack(leaves), *kept) if kept else (None, None)
    return Rollout(
        reward=next(sums),
        regret=next(sums),
        state=windows.state,
        action=windows.action,
        report={name: windows.last[:, int(column)] for name, column in columns.items()},
        beliefs=beliefs,
        policies=policies,
        robust_regret=None if robust is None else next(sums),
        gap=None if goal.gap is None else next(sums),
    )


class _Told(NamedTuple):
    """What is recorded of each step: the state acted in, the action, and numbers [number]: those to sum, reports."""

    state: Array
    action: Array
    numbers: Array


class _Windows:
    """Records of a run, filled chunk by chunk: some numbers are summed over windows, the rest is of their last step."""

    def __init__(self, steps: int, thin: int, summed: int) -> None:
        self.thin = thin
        self.sums = np.zeros((steps // thin, summed))

    def add(self, begin: int, end: int, told: _Told) -> None:
        """The steps after `begin` up to `end`, the first of the arrays' rows."""
        state, action, numbers = (np.asarray(part)[: end - begin] for part in told)
        summed, last = np.split(numbers, [self.sums.shape[1]], axis=1)
        if begin == 0:
            self.state, self.action, self.last = (
                np.zeros((len(self.sums), *part.shape[1:]), part.dtype) for part in (state, action, last)
            )
        if self.thin == 1:  # each step is a window, and summing over one costs a short run as much as the rest
            for held, part in zip(
                (self.sums, self.state, self.action, self.last), (summed, state, action, last), strict=True
            ):
                held[begin:end] = part
            return
        # Rows at which windows begin; the first may have begun in the chunk before.
        first = begin // self.thin
        starts = np.arange(-(begin % self.thin), end - begin, self.thin)
        self.sums[first : first + len(starts)] += np.add.reduceat(summed, np.maximum(starts, 0), axis=0)
        ends = starts[starts + self.thin <= end - begin] + self.thin - 1
        for held, part in ((self.state, state), (self.action, action), (self.last, last)):
            held[first : first + len(ends)] = part[ends]


@partial(jax.jit, static_argnames="goal")
def baseline_of(truth: Any, kernel: Any, *, goal: Objective) -> Any:
    """What regret is measured against in a world with this kernel and these rewards, with 64 bits on."""
    return goal.baseline(truth, kernel)


def _agent(setting: _Setting, rules: Any, belief: Any) -> tuple[Rules, Any]:
    """The agent's functions, and its belief, which begins with the setting's prior if there is one."""
    if setting.prior is not None:
        belief = belief.with_prior(setting.prior)
    agent: Rules = rules(belief, setting.problem, setting.options)
    return agent, belief


@partial(jax.jit, static_argnames=("rules", "belief"))
def _kept(state: Any, setting: _Setting, *, rules: Any, belief: Any) -> tuple[Any, Any]:
    """What a checkpoint keeps: the belief's state, and the policy in use."""
    agent, _ = _agent(setting, rules, belief)
    return agent.belief(state), agent.policy(state)


def _regret(agent: Rules, setting: _Setting, goal: Objective, state: Any) -> Any:
    return goal.regret(setting.truth, setting.kernel, setting.baseline, agent.policy(state))


@partial(jax.jit, static_argnames=("rules", "belief", "world", "goal"))
def _first(
    key: Array, setting: _Setting, *, rules: Any, belief: Any, world: Any, goal: Objective
) -> tuple[Array, _Moment]:
    """The keys of the steps' random numbers, and the moment before the first step."""
    agent_key, world_key, start_key, init_key = random.split(key, 4)
    agent, _ = _agent(setting, rules, belief)
    initial = agent.init(init_key)
    regret = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(partial(_regret, agent, setting, goal), initial)
    )
    floor = None if setting.robust is None else _Floor(jnp.zeros(setting.problem.num_states), regret)
    start = world(setting.truth, setting.kernel).start(start_key)
    return jnp.stack([world_key, agent_key]), _Moment(initial, start, regret, floor, jnp.array(True))


@partial(jax.jit, static_argnames=("rules", "belief", "world", "goal", "robust_draws", "policy_under"))
def advance(
    keys: Array,
    moment: _Moment,
    setting: _Setting,
    taken: Array,
    until: Array,
    *,
    rules: Any,
    belief: Any,
    world: Any,
    goal: Objective,
    robust_draws: int,
    policy_under: str,
) -> tuple[_Moment, _Told, dict[str, Array]]:
    """The moment `until - taken` steps on, at most `CHUNK`; what is told of them, and the column of each report."""
    problem, truth, kernel = setting.problem, setting.truth, setting.kernel
    agent, belief = _agent(setting, rules, belief)
    take_step = world(truth, kernel).step

    def begin(key: Array, state: Any) -> tuple[Any, Any]:
        state = agent.begin(key, state)
        return state, _regret(agent, setting, goal, state)

    def lay_floor(taken: Array, state: Any, floor: _Floor) -> _Floor:
        assert setting.robust is not None
        key, level = setting.robust
        sites = belief.sample(random.fold_in(key, taken), agent.belief(state), robust_draws)
        draws, policy = believed_draws(sites, problem), agent.policy(state)
        value = policy_iteration(problem, draws, Quantile(level), value=floor.value).value
        if policy_under == "truth":
            return _Floor(value, goal.regret(truth, kernel, value, policy))
        # The same recursion with the policy's actions alone: what is lost is never negative but for its tolerance.
        followed = problem._replace(available=jax.nn.one_hot(policy, problem.num_actions, dtype=bool))
        own = policy_iteration(followed, draws, Quantile(level), value=value).value
        return _Floor(value, jnp.maximum(value - own, 0))

    def step(now: _Moment, taken: Array, luck: Luck) -> tuple[_Moment, _Told]:
        assert luck.keys is not None
        key_begin, key_act, key_observe = luck.keys
        state, regret = lax.cond(now.starts, begin, lambda key, state: (state, now.regret), key_begin, now.agent)
        action = agent.act(key_act, state, now.state)
        charges, floor = [goal.charge(truth, regret, now.state, action)], now.floor
        if floor is not None:
            floor = lax.cond(now.starts, lay_floor, lambda taken, state, floor: floor, 1 + taken, state, floor)
            charges.append(goal.charge(truth, floor.regret, now.state, action))
        if goal.gap is not None:
            charges.append(goal.gap(regret, now.state, action))
        seen, next_s = take_step(luck.uniforms, now.state, action)
        report = agent.report(state, now.state, action)
        names.update({name: column for column, name in enumerate(sorted(report))})
        # One array a step: on a CPU each array written in a loop costs as much as a small kernel.
        numbers = jnp.stack([seen.reward, *charges, *(report[name].astype(float) for name in names)])
        told = _Told(now.state, action, numbers)
        state = agent.observe(key_observe, state, seen)
        starts = agent.ends(luck.uniforms[COIN], state, seen)
        return _Moment(state, next_s, regret, floor, jnp.asarray(starts)), told

    names: dict[str, int] = {}
    moment, told = walk(step, keys, moment, taken, until, noisy=problem.noise is not None)
    return moment, told, {name: jnp.int32(column) for name, column in names.items()}
