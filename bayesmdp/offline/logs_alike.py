"""Logs like the one at hand: of the same length, by the same behaviour, from a world whose truth is known."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesmdp.offline.experience import Experience, RewardSums
from bayesmdp.problems.mdp import MDP

__all__ = ["Recording", "Scatter", "World", "as_logged", "logs_alike"]


class Scatter(Protocol):
    """How rewards scatter about their means."""

    def __call__(
        self,
        rng: np.random.Generator,
        state: NDArray[np.int64],
        action: NDArray[np.int64],
        outcome: NDArray[np.int64],
        mean: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return rewards [log] of these means that scatter as those of a log do."""
        ...


class World(NamedTuple):
    """A truth that logs are made of.

    Attributes
    ----------
    name : str
    transition : array [state, action, outcome]
    reward : array [state, action, outcome or 1]
        Means.
    """

    name: str
    transition: NDArray[np.float64]
    reward: NDArray[np.float64]


class Recording(NamedTuple):
    """Where the recordings of a log begin, and how they end.

    Attributes
    ----------
    starts : array [state]
        Distribution of the first state.
    cut : float
        Share of steps after which a recording begins anew, apart from those that end an episode: 1 where the rows of
        the log do not go on from each other.
    """

    starts: NDArray[np.float64]
    cut: float


def logs_alike(
    rng: np.random.Generator,
    problem: MDP,
    worlds: tuple[World, ...],
    tries: NDArray[np.float64],
    scatter: Scatter,
    recording: Recording,
    logs: int,
    steps: int,
) -> list[Experience]:
    """Make logs by the behaviour of a log: all of them step by step together.

    Parameters
    ----------
    rng : Generator
    problem : MDP
    worlds : tuple of World
    tries : array [state, action]
        How often the behaviour tried each pair.
    scatter : Scatter
    recording : Recording
    logs : int
        For each world.
    steps : int
        Of each log.

    Returns
    -------
    list of Experience
        First those of the first world.
    """
    kernel = np.stack([world.transition for world in worlds]).cumsum(-1)
    reward = np.stack([world.reward for world in worlds])
    behaviour = as_logged(tries, problem.available).cumsum(-1)
    start = recording.starts.cumsum()
    world = np.repeat(np.arange(len(worlds)), logs)
    each = np.arange(len(world))
    counts = np.zeros((len(world), *kernel.shape[1:]))
    by_pair = _Running((len(world), *tries.shape))
    by_entered = _Running((len(world), problem.num_states)) if problem.successor is None else None

    def begun() -> NDArray[np.int64]:
        return np.searchsorted(start, rng.random(len(world)) * start[-1], side="right")

    state = begun()
    for _ in range(steps):
        action = _chosen(rng, behaviour[state])
        outcome = _chosen(rng, kernel[world, state, action])
        at = each, state, action
        counts[(*at, outcome)] += 1
        paid = reward[world, state, action, outcome if reward.shape[-1] > 1 else 0]
        paid = scatter(rng, state, action, outcome, paid)
        by_pair.add(at, paid)
        if by_entered is not None:
            by_entered.add((each, outcome), paid)
        state = _entered(rng, problem, state, action, outcome)
        anew = problem.terminal[state] | (rng.random(len(world)) < recording.cut)
        if anew.any():
            state = np.where(anew, begun(), state)
    entered = [None] * len(each) if by_entered is None else [by_entered.of(i) for i in each]
    return [Experience(counts[i], by_pair.mean[i], by_pair.square[i], entered[i]) for i in each]


class _Running:
    """Means and squares about them as numbers come (Welford, 1962), without cancellation."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.number, self.mean, self.square = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def add(self, at: tuple[NDArray[np.int64], ...], values: NDArray[np.float64]) -> None:
        self.number[at] += 1
        apart = values - self.mean[at]
        self.mean[at] += apart / self.number[at]
        self.square[at] += apart * (values - self.mean[at])

    def of(self, log: int | np.integer[Any]) -> RewardSums:
        return RewardSums(self.number[log], self.mean[log], self.square[log])


def as_logged(tries: NDArray[np.float64], available: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How often a log took each action in a state [state, action]; where it never acted, all available ones alike."""
    shares = np.where(tries.any(-1, keepdims=True), tries, available).astype(float)
    shares = np.where(shares.any(-1, keepdims=True), shares, 1)
    return np.asarray(shares / shares.sum(-1, keepdims=True))


def _chosen(rng: np.random.Generator, cumulative: NDArray[np.float64]) -> NDArray[np.int64]:
    """One index of each row [row, index] of cumulative weights."""
    return np.asarray((cumulative <= rng.random(len(cumulative))[:, None] * cumulative[:, -1:]).sum(-1))


def _entered(
    rng: np.random.Generator,
    problem: MDP,
    state: NDArray[np.int64],
    action: NDArray[np.int64],
    outcome: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The next states; elsewhere is any state, for few are named."""
    if problem.successor is None:
        return outcome
    entered = problem.successor[state, action, outcome].astype(np.int64)
    return np.where(entered < 0, rng.integers(problem.num_states, size=len(entered)), entered)
