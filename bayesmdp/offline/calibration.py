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

How much excesses lower a bound :mod:`bayesmdp.offline.checked` says. The truth is neither of the two worlds, so this is
a check and no proof; what it is worth the study ``kept-promises`` measures. That it is done so is ours.

What is promised of the gain over what is done today is checked in the same way on the same logs: today's policy is
estimated anew from each of them, and is truly, in a world, what made the logs. So is the interval in which lies what
today's policy earns: it is moved apart. A probability that anything is gained is read off the same excesses
(`Checked.chance`); in the study ``better-than-behaviour`` it says less than is true.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bayesmdp.logs.problem_from_log import open_actions
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.checked import Calibration, LogErrors, apart, judge_errors
from bayesmdp.offline.experience import Experience, added_up
from bayesmdp.offline.logs_alike import Recording, Scatter, logs_alike
from bayesmdp.offline.promise import Pipeline, promised, true_worth, worlds_of

__all__ = ["calibrate", "in_threads_of_checks", "logs_of_each", "too_many_logs"]

THREADS = 4
"""At most: each holds the draws of a plan."""


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

    def errors(number: int) -> LogErrors:
        said, world = promised(pipeline, made[number], seeds[number]), number // logs
        worth = true_worth(problem, worlds[world], said.policy)
        return LogErrors.of(said.values, said.gains, worth, earned_today[world], pipeline.level)

    found = in_threads_of_checks(errors, range(len(made)))
    split = _split(rng, pipeline, rows, logs)
    names = [world.name for world in worlds]
    return judge_errors(found, names, split, pipeline.level, compared=today is not None)


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
        of_value = apart(said.values.mean(), worth, size)
        if today is None or said.gains is None:
            return of_value, 0.0
        available, _ = open_actions(told_by.tries > 0, problem.terminal)
        gain = worth - true_worth(problem, other, today.estimate(told_by.tries, available).mean)
        return of_value, apart(said.gains.mean(), gain, size)

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
