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

What is promised of the gain over what is done today is checked in the same way on the same logs: today's policy is
estimated anew from each of them, and is truly, in a world, what made the logs. A probability that anything is gained is
read off the same excesses (`Checked.chance`); in the study ``better-than-behaviour`` it says less than is true.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.logs.problem_from_log import open_actions
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.experience import Experience, added_up
from bayesmdp.offline.logs_alike import Recording, Scatter, logs_alike
from bayesmdp.offline.promise import Pipeline, promised, true_worth, worlds_of
from bayesmdp.planning.quantile_interval import left_quantile

__all__ = [
    "Calibration",
    "Checked",
    "calibrate",
    "in_threads_of_checks",
    "judge_excess",
    "logs_of_each",
    "too_many_logs",
]

THREADS = 4
"""At most: each holds the draws of a plan."""


ROUNDING = 1e-12
"""Of the largest value, by which sums of rewards may differ that are the same."""

MOST = 200
"""Logs of each world up to which a promise is checked."""


def logs_of_each(calibration: int, level: float) -> int:
    """Return how many logs are made of each world: so many as were asked for, or as a bound at the level needs.

    Parameters
    ----------
    calibration : int
    level : float in (0, 1)
    """
    return max(calibration, math.ceil(1 / level) - 1)


def too_many_logs(level: float) -> str:
    """Return why a level is not checked; nothing if it is.

    Parameters
    ----------
    level : float in (0, 1)
    """
    if level >= 1 / (MOST + 1):
        return ""
    return f"a level of {level:g} needs {math.ceil(1 / level) - 1:,} simulated logs of each kind"


class Checked(NamedTuple):
    """How one promise did: that of the value, or that of the gain.

    Attributes
    ----------
    kept : int
        Of the bounds as they are computed.
    lowered : float
        How much the bound is lowered.
    kept_lowered : int
        Of the bounds lowered by so much.
    by_world : dict of (kept, excess) by name
    split : float
        How much more one half of the log says of its policy than the other half does, over the square root of 2.
    mean_excess : array [world, log]
        By how much the posterior's mean was more than the truth.
    """

    kept: int
    lowered: float
    kept_lowered: int
    by_world: dict[str, tuple[int, float]]
    split: float
    mean_excess: NDArray[np.float64]

    def chance(self, mean: float) -> float:
        """Probability that the truth is above 0, where the posterior's mean is what it is.

        In a world with B logs the truth of one more is as likely to be ``mean`` less any of their excesses, or beyond
        them, so that with probability ``number of excesses below mean / (B + 1)`` it is above 0 (a conformal predictive
        distribution); the smaller of the worlds', of a mean less what the halves of the log say too much.
        """
        below = self.mean_excess < mean - max(0.0, self.split)
        return float(below.sum(-1).min() / (below.shape[-1] + 1))


class Calibration(NamedTuple):
    """How promises did.

    Attributes
    ----------
    logs : int
        In all, the same number of each world.
    value : Checked
    gain : Checked, or None
        None where nothing is said of what is done today.
    """

    logs: int
    value: Checked
    gain: Checked | None


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
    problem, today = pipeline.problem, pipeline.today
    experience = added_up(rows, problem)
    worlds = worlds_of(pipeline, experience)
    steps = int(experience.tries.sum())
    made = logs_alike(rng, problem, worlds, experience.tries, scatter, recording, logs, steps)
    seeds = [int(rng.integers(2**31)) for _ in made]
    earned_today = [0.0 if today is None else true_worth(problem, world, today.truth) for world in worlds]

    def over(number: int) -> list[tuple[float, float]]:
        """The quantile's and the mean's excess over the truth, of the value and of the gain."""
        said = promised(pipeline, made[number], seeds[number])
        worth = true_worth(problem, worlds[number // logs], said.policy)
        gain = worth - earned_today[number // logs]
        pairs = ((said.values, worth), (said.values if said.gains is None else said.gains, gain))
        size = float(np.abs(said.values).max())
        return [
            (_apart(left_quantile(drawn, pipeline.level), truth, size), _apart(drawn.mean(), truth, size))
            for drawn, truth in pairs
        ]

    # [value or gain, quantile or mean, world, log].
    told = np.array(in_threads_of_checks(over, range(len(made)))).reshape(len(worlds), logs, 2, 2).transpose(2, 3, 0, 1)
    split = _split(rng, pipeline, rows, logs)
    names = [world.name for world in worlds]
    value, gain = (
        judge_excess(own[0], own[1], names, part, pipeline.level) for own, part in zip(told, split, strict=True)
    )
    return Calibration(len(made), value, None if today is None else gain)


def judge_excess(
    excess: NDArray[np.float64], mean_excess: NDArray[np.float64], names: list[str], split: float, level: float
) -> Checked:
    """Say by how much bounds that exceed the truth by so much are to be lowered; see the module.

    Parameters
    ----------
    excess : array [world, log]
        Of bounds over the truth.
    mean_excess : array [world, log]
        Of means over it.
    names : list of str
        Of the worlds.
    split : float
        How much more one half of the log says than the other, over the square root of 2.
    level : float

    Returns
    -------
    Checked
    """
    logs = excess.shape[1]
    rank = min(int(np.ceil((1 - level) * (logs + 1))), logs)
    by_world = {
        name: (int((own <= _rounding(own)).sum()), float(np.sort(own)[rank - 1]))
        for name, own in zip(names, excess, strict=True)
    }
    lowered = max(0.0, *(taken for _, taken in by_world.values())) + max(0.0, split)
    if lowered <= _rounding(excess):
        lowered = 0.0
    kept = sum(kept for kept, _ in by_world.values())
    return Checked(kept, lowered, int((excess <= lowered + _rounding(excess)).sum()), by_world, split, mean_excess)


def _split(rng: np.random.Generator, pipeline: Pipeline, rows: Transitions, times: int) -> tuple[float, float]:
    """How much more one half of the log says of the policy that it chose than the other half does: what a log would.

    Of its value, and of its gain over what that half shows to be done today.
    """
    problem, today, halves = pipeline.problem, pipeline.today, []
    for _ in range(times):
        # Steps are independent given their pairs, so each may fall into either half.
        first = rng.binomial(rows.weight.astype(np.int64), 0.5).astype(float)
        chosen_by, told_by = (
            added_up(rows._replace(weight=weight), problem) for weight in (first, rows.weight - first)
        )
        if chosen_by.counts.any() and told_by.counts.any():
            halves.append((chosen_by, told_by, int(rng.integers(2**31))))

    def over(half: tuple[Experience, Experience, int]) -> tuple[float, float]:
        chosen_by, told_by, seed = half
        said = promised(pipeline, chosen_by, seed)
        _, other = worlds_of(pipeline, told_by)
        worth, size = true_worth(problem, other, said.policy), float(np.abs(said.values).max())
        of_value = _apart(said.values.mean(), worth, size)
        if today is None or said.gains is None:
            return of_value, 0.0
        available, _ = open_actions(told_by.tries > 0, problem.terminal)
        gain = worth - true_worth(problem, other, today.estimate(told_by.tries, available).mean)
        return of_value, _apart(said.gains.mean(), gain, size)

    if not halves:
        return 0.0, 0.0
    of_value, of_gain = np.mean(in_threads_of_checks(over, halves), axis=0) / 2**0.5
    return float(of_value), float(of_gain)


def in_threads_of_checks[T](function: Callable[[Any], T], arguments: Iterable[Any]) -> list[T]:
    """Map a function that spends its time outside of Python; what has not begun is left when interrupted.

    Parameters
    ----------
    function : callable
    arguments : iterable

    Returns
    -------
    list
    """
    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    try:
        return list(pool.map(function, arguments))
    finally:
        pool.shutdown(cancel_futures=True)


def _apart(number: Any, truth: float, size: float) -> float:
    """A number less the truth; 0 where only the rounding of values of a size sets them apart."""
    apart = float(number) - truth
    return apart if abs(apart) > ROUNDING * size else 0.0


def _rounding(excess: NDArray[np.float64]) -> float:
    """A promise that is off by rounding is kept."""
    return 1e-9 * float(1 + np.abs(excess).max())
