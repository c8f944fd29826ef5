"""Whether a promise is kept: the whole way from a log to a promise, tried on logs like the one at hand.

A posterior quantile of a policy's value is a promise as good as its prior, and the prior was chosen by the same log, as
was the policy, which is the one that luck favoured. So before it is said, the promise is checked from outside: in a
world whose truth is known, logs of the same length are made by the same behaviour, each goes all the way (the prior is
chosen, a plan made, its bound computed from fresh draws), and what the policy is truly worth there is compared. The
bound is lowered by what it over-promised, so that it would have been kept at its level in each of two worlds:

    as seen      the frequencies of the log, where what was not seen cannot happen and what was lucky stays so
    as believed  the mean of the posterior, in which everything that the prior allows happens now and then

A third check needs no world. Of two halves of the log the one chooses a policy and says what it is worth, and the
other, which luck did not choose, says so too. What the first says more, on average over random halves and less by the
square root of 2 since a log is twice as long as its half, is taken off as well: it acts on another cause, luck that no
world made from the log will call so.

With B logs of a world the excess ``bound - truth`` that is the ceil((1 - level) (B + 1))-th smallest is taken, the rank
at which a further log of that world would be kept with probability 1 - level (exchangeability), and the larger of the
two worlds', if it is positive. The truth is neither of the two worlds, so this is a check and no proof;
what it is worth the study ``kept-promises`` measures. That it is done so is ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bayesmdp.logs.problem_from_log import open_actions
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.experience import Experience, added_up
from bayesmdp.offline.logs_alike import Recording, Scatter, World, logs_alike
from bayesmdp.planning.dirichlet_quantile import DirichletQuantile
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.plan import solve_draws
from bayesmdp.planning.posterior_value import left_quantile, values_under
from bayesmdp.planning.risk import Risk
from bayesmdp.posterior.closed_forms.draws import Layout, exact_draws
from bayesmdp.posterior.closed_forms.families import FAMILIES
from bayesmdp.problems.mdp import MDP

__all__ = [
    "AFFORDABLE",
    "Calibration",
    "Pipeline",
    "Recording",
    "World",
    "calibrate",
    "fresh_values",
    "layout_of",
    "promised",
    "true_worth",
]

AFFORDABLE, STAGES = 4_000_000, 200
"""Numbers in the draws of one plan above which a promise is not checked: that would take minutes. Planning over so many
stages takes as long again as making the draws."""

THREADS = 4
"""At most: each holds the draws of a plan."""

type Parameters = dict[str, NDArray[np.float64]]


class Pipeline(NamedTuple):
    """The way from sums of a log to a promise, as it is gone for the log at hand and for others like it.

    Attributes
    ----------
    problem : MDP
    posterior : function of Experience
        Returns parameters by site.
    layout : Layout
        Of the sites.
    risk : Risk
        What the plan is the best for.
    level : float
        The promise is to be broken no more often.
    draws : int
    """

    problem: MDP
    posterior: Callable[[Experience], Parameters]
    layout: Layout
    risk: Risk
    level: float
    draws: int


class Calibration(NamedTuple):
    """How a promise did.

    Attributes
    ----------
    logs : int
        In all, the same number of each world.
    kept : int
        Of the bounds as they are computed.
    lowered : float
        How much the bound is lowered.
    kept_lowered : int
        Of the bounds lowered by so much.
    by_world : dict of (kept, excess) by name
    split : float
        How much more one half of the log says of its policy than the other half does, over the square root of 2.
    """

    logs: int
    kept: int
    lowered: float
    kept_lowered: int
    by_world: dict[str, tuple[int, float]]
    split: float


def layout_of(rewards: str) -> Layout:
    """Return the layout of Dirichlet rows and of rewards by pair of a kind: what `infer` finds."""
    families = {"known": (), "bernoulli": ("Beta",), "normal": ("Normal",)}[rewards]
    drawn = tuple((("reward",), FAMILIES[family]) for family in families)
    return Layout(((("transition",), FAMILIES["Dirichlet"]), *drawn), ())


def calibrate(
    pipeline: Pipeline,
    rows: Transitions,
    scatter: Scatter,
    *,
    recording: Recording,
    logs: int,
    seed: int,
) -> Calibration:
    """Check a promise on logs like the one at hand.

    Parameters
    ----------
    pipeline : Pipeline
    rows : Transitions
        The log at hand, one row for each distinct reward of a transition.
    scatter : Scatter
    recording : Recording
        Where the recordings of the log begin, and how they end.
    logs : int
        For each world.
    seed : int

    Returns
    -------
    Calibration
    """
    rng = np.random.default_rng([seed, 23])
    experience = added_up(rows, pipeline.problem)
    worlds = _worlds(pipeline, experience)
    steps = int(experience.tries.sum())
    made = logs_alike(rng, pipeline.problem, worlds, experience.tries, scatter, recording, logs, steps)
    seeds = [int(rng.integers(2**31)) for _ in made]

    def over(number: int) -> float:
        values, policy = promised(pipeline, made[number], seeds[number])
        return float(left_quantile(values, pipeline.level)) - true_worth(
            pipeline.problem, worlds[number // logs], policy
        )

    excess = np.array(_in_threads(over, range(len(made)))).reshape(len(worlds), logs)
    rank = min(int(np.ceil((1 - pipeline.level) * (logs + 1))), logs)
    by_world = {
        world.name: (int((own <= _rounding(own)).sum()), float(np.sort(own)[rank - 1]))
        for world, own in zip(worlds, excess, strict=True)
    }
    split = _split(rng, pipeline, rows, logs)
    lowered = max(0.0, *(taken for _, taken in by_world.values())) + max(0.0, split)
    if lowered <= _rounding(excess):
        lowered = 0.0
    kept = sum(kept for kept, _ in by_world.values())
    kept_lowered = int((excess <= lowered + _rounding(excess)).sum())
    return Calibration(excess.size, kept, lowered, kept_lowered, by_world, split)


def _split(rng: np.random.Generator, pipeline: Pipeline, rows: Transitions, times: int) -> float:
    """How much more one half of the log says of the policy that it chose than the other half does: what a log would."""
    problem, halves = pipeline.problem, []
    for _ in range(times):
        # Steps are independent given their pairs, so each may fall into either half.
        first = rng.binomial(rows.weight.astype(np.int64), 0.5).astype(float)
        chosen_by, told_by = (
            added_up(rows._replace(weight=weight), problem) for weight in (first, rows.weight - first)
        )
        if chosen_by.counts.any() and told_by.counts.any():
            halves.append((chosen_by, told_by, int(rng.integers(2**31))))

    def over(half: tuple[Experience, Experience, int]) -> float:
        chosen_by, told_by, seed = half
        values, policy = promised(pipeline, chosen_by, seed)
        _, other = _worlds(pipeline, told_by)
        return float(values.mean()) - true_worth(problem, other, policy)

    return float(np.mean(_in_threads(over, halves))) / 2**0.5 if halves else 0.0


def _in_threads(function: Callable[[Any], float], arguments: Iterable[Any]) -> list[float]:
    """Map a function that spends its time outside of Python; what has not begun is left when interrupted."""
    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    try:
        return list(pool.map(function, arguments))
    finally:
        pool.shutdown(cancel_futures=True)


def _rounding(excess: NDArray[np.float64]) -> float:
    """A promise that is off by rounding is kept."""
    return 1e-9 * float(1 + np.abs(excess).max())


def promised(pipeline: Pipeline, log: Experience, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Go the way that the log at hand goes: the prior, the plan, and its policy's value under fresh draws.

    Parameters
    ----------
    pipeline : Pipeline
    log : Experience
    seed : int

    Returns
    -------
    values : array [draw]
        The policy's value at the start under draws that it was not chosen with.
    policy : int array [(stage,) state]
    """
    problem, parameters = pipeline.problem, pipeline.posterior(log)
    available, untold = open_actions(log.tries > 0, problem.terminal)
    arrays = problem.problem._replace(available=available)
    known = np.where(untold[:, None, None], problem.reward[problem.available].min(), problem.reward)
    planning = (
        Draws(parameters["transition"][None], known)
        if isinstance(pipeline.risk, DirichletQuantile)
        else _draws(parameters, pipeline, known, seed)
    )
    with jax.enable_x64(True):
        solved = solve_draws(
            arrays, planning, pipeline.risk, 1e-10, 1_000_000, solver="policy_iteration", horizon=problem.horizon
        )
        policy = np.asarray(solved.policy, np.int64)
    return fresh_values(parameters, pipeline, known, policy, seed + 1), policy


def fresh_values(
    parameters: Parameters,
    pipeline: Pipeline,
    known: NDArray[np.float64],
    policy: NDArray[np.int64],
    seed: int,
) -> NDArray[np.float64]:
    """Draw a policy's value at the start, apart from the draws that it was chosen with.

    Parameters
    ----------
    parameters : dict of arrays
        Of the posterior.
    pipeline : Pipeline
    known : array [state, action, outcome or 1]
        The rewards, where they are known.
    policy : int array [(stage,) state]
    seed : int

    Returns
    -------
    array [draw]
    """
    problem = pipeline.problem
    if problem.successor is not None:
        return _values_at_start(problem, _draws(parameters, pipeline, known, seed), policy)
    # Where outcomes are states, draws of the policy's own rows are enough, and their systems are solved together.
    taken = np.zeros((problem.num_states, problem.num_actions), bool)
    taken[np.arange(problem.num_states), policy] = True
    own = {name: values[taken] for name, values in parameters.items()}
    drawn = exact_draws(own, pipeline.layout, pipeline.draws, seed, None)
    rows = drawn["transition"]
    reward = drawn["reward"] if "reward" in drawn else (rows * known[taken]).sum(-1)
    if not problem.by_stage:
        return _solved_at_start(problem, rows, reward)
    each = Draws(*(np.zeros((len(rows), *taken.shape, width)) for width in (rows.shape[-1], 1)))
    each.transition[:, taken], each.reward[:, taken] = rows, reward[..., None]
    return _values_at_start(problem, each, policy)


def _values_at_start(problem: MDP, draws: Draws, policy: NDArray[np.int64]) -> NDArray[np.float64]:
    """Value of a policy at the start under each draw [draw]."""
    with jax.enable_x64(True):
        values = np.asarray(values_under(problem.problem, draws, policy, by_stage=problem.by_stage))
    return np.asarray((values[:, 0] if problem.by_stage else values) @ problem.initial)


def _solved_at_start(problem: MDP, rows: NDArray[np.float64], reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """Value at the start [...], by rows between states [..., state, next_state] and rewards [..., state]."""
    live = ~problem.terminal
    system = np.eye(len(live)) - (problem.discount or 1) * live[:, None] * rows * live
    return np.asarray(np.linalg.solve(system, (live * reward)[..., None])[..., 0] @ problem.initial)


def _draws(parameters: Parameters, pipeline: Pipeline, known: NDArray[np.float64], seed: int) -> Draws:
    """Draws of a posterior, with the rewards drawn or `known`."""
    drawn = exact_draws(parameters, pipeline.layout, pipeline.draws, seed, None)
    return Draws(drawn["transition"], drawn["reward"][..., None] if "reward" in drawn else known)


def _worlds(pipeline: Pipeline, experience: Experience) -> tuple[World, World]:
    """The two worlds that the module names."""
    problem, parameters = pipeline.problem, pipeline.posterior(experience)
    tried = (experience.tries > 0)[..., None]
    rows = parameters["transition"] / parameters["transition"].sum(-1, keepdims=True)
    seen = np.where(tried, experience.counts / np.maximum(experience.tries, 1)[..., None], rows)
    believed = frequent = problem.reward
    if "reward" in parameters:
        (family,) = (family for names, family in pipeline.layout.sites if names == ("reward",))
        of_mean = {"Beta": lambda own: own[..., :1] / own.sum(-1, keepdims=True), "Normal": lambda own: own[..., :1]}
        believed = of_mean[family.name](parameters["reward"])
        frequent = np.where(tried, experience.reward_mean[..., None], believed)
    return World("as seen", seen, frequent), World("as believed", rows, believed)


def true_worth(problem: MDP, world: World, policy: NDArray[np.int64]) -> float:
    """What a policy is truly worth at the start of a world."""
    if problem.successor is None and not problem.by_stage:
        state = np.arange(problem.num_states)
        rows, reward = world.transition[state, policy], world.reward[state, policy]
        paid = reward[:, 0] if reward.shape[-1] == 1 else (rows * reward).sum(-1)
        return float(_solved_at_start(problem, rows, paid))
    return float(_values_at_start(problem, Draws(world.transition[None], world.reward), policy)[0])
