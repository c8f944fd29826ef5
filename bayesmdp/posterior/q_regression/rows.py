"""Experience of episodes as weighted rows, stage by stage, in a form of fixed size.

Where pairs and outcomes are few there is a row for each; where they are many, a row for each step, with room for so
many episodes. Either way no more is to be done when more has been seen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.logs.compress import compress
from bayesmdp.problems.stages import shortest_episode

if TYPE_CHECKING:
    import xarray as xr

    from bayesmdp.problems.mdp import MDP
    from bayesmdp.problems.world import Step

__all__ = ["Layout", "QRows", "empty_rows", "rows_of"]

FEW_ROWS = 2_000
"""A stage's pairs and outcomes up to which each has its row."""

ROOM = 1_000
"""Episodes there is room for otherwise, unless told."""


class QRows(NamedTuple):
    """Experience by stage, each field [stage, row].

    Attributes
    ----------
    state, action, next_state : int arrays
    weight : array
        How often; 0 is no observation.
    reward, square : arrays
        Sums of rewards and of their squares.
    """

    state: Int[Array, "stage row"]
    action: Int[Array, "stage row"]
    next_state: Int[Array, "stage row"]
    weight: Float[Array, "stage row"]
    reward: Float[Array, "stage row"]
    square: Float[Array, "stage row"]


class Layout(NamedTuple):
    """How experience is held: empty rows, how a step is added, and room for how many episodes, and how short."""

    rows: Callable[[], QRows]
    include: Callable[[QRows, Array, Array, Step], QRows]
    episodes: int | None = None
    length: int = 1


def empty_rows(mdp: MDP, episodes: int | None = None) -> Layout:
    """Say how the experience of an MDP is to be held.

    Parameters
    ----------
    mdp : MDP
        With stages.
    episodes : int, optional
        For how many there is to be room, where rows are steps.

    Returns
    -------
    Layout
    """
    assert mdp.stage is not None
    stage = np.where(mdp.terminal, -1, mdp.stage).astype(np.int32)
    stages = int(mdp.stage.max())
    largest = int(np.bincount(stage[stage >= 0]).max()) * mdp.num_actions * mdp.num_outcomes
    if episodes is None and largest <= FEW_ROWS:
        successor = None if mdp.successor is None else (mdp.successor.shape, mdp.successor.tobytes())
        return _a_row_each(stage.tobytes(), (mdp.num_states, mdp.num_actions, mdp.num_outcomes), successor)
    room = ROOM if episodes is None else episodes
    # Where episodes may end early there may be more of them than steps suggest.
    return _as_they_come(stages, room, shortest_episode(mdp.problem))


@lru_cache(maxsize=64)
def _a_row_each(stage: bytes, shape: tuple[int, int, int], successor: tuple[tuple[int, ...], bytes] | None) -> Layout:
    of = np.frombuffer(stage, np.int32)
    state, action, outcome = np.indices(shape).reshape(3, -1).astype(np.int32)
    following = outcome if successor is None else np.frombuffer(successor[1], np.int32).reshape(successor[0])
    if successor is not None:
        following = following[state, action, outcome]
    stages = int(of.max()) + 1
    held = [np.flatnonzero(of[state] == h) for h in range(stages)]
    place = np.zeros(len(state), np.int32)
    columns = np.zeros((3, stages, max(map(len, held))), np.int32)
    for h, rows in enumerate(held):
        place[rows] = np.arange(len(rows))
        columns[:, h, : len(rows)] = state[rows], action[rows], following[rows]
        columns[0, h, len(rows) :] = state[rows[0]]

    def empty() -> QRows:
        return QRows(*(jnp.asarray(column) for column in columns), *jnp.zeros((3, *columns.shape[1:])))

    def include(rows: QRows, h: Int[Array, ""], number: Int[Array, ""], step: Step) -> QRows:
        row = jnp.asarray(place)[(step.state * shape[1] + step.action) * shape[2] + step.outcome]
        return rows._replace(
            weight=rows.weight.at[h, row].add(1),
            reward=rows.reward.at[h, row].add(step.reward),
            square=rows.square.at[h, row].add(jnp.asarray(step.reward, float) ** 2),
        )

    return Layout(empty, include)


@lru_cache(maxsize=64)
def _as_they_come(stages: int, episodes: int, length: int) -> Layout:
    def empty() -> QRows:
        return QRows(*jnp.zeros((3, stages, episodes), jnp.int32), *jnp.zeros((3, stages, episodes)))

    def include(rows: QRows, h: Int[Array, ""], number: Int[Array, ""], step: Step) -> QRows:
        values = (step.state, step.action, step.next_state, 1.0, step.reward, jnp.asarray(step.reward, float) ** 2)
        return QRows(
            *(held.at[h, number].set(jnp.asarray(value, held.dtype)) for held, value in zip(rows, values, strict=True))
        )

    return Layout(empty, include, episodes, length)


def rows_of(mdp: MDP, log: xr.Dataset) -> QRows:
    """Return the distinct steps of a log as rows.

    Parameters
    ----------
    mdp : MDP
        With stages.
    log : Dataset

    Returns
    -------
    QRows

    Raises
    ------
    ValueError
        As `compress` does, and for a step from a terminal state, or one that the MDP does not have.
    """
    assert mdp.stage is not None
    # By next state and reward, which are all that targets look at; outcomes may be indistinct.
    log = log.assign_attrs(states=list(mdp.states), actions=list(mdp.actions))
    data = compress(log, distinct_rewards=True)
    state, following = data.state, data.next_state
    possible = mdp.available[state, data.action] & ~mdp.terminal[state]
    possible &= mdp.terminal[following] | (mdp.stage[following] == mdp.stage[state] + 1)
    if mdp.successor is not None:
        possible &= (mdp.successor[state, data.action] == following[:, None]).any(-1)
    if not possible.all():
        row = int(np.argmin(possible))
        raise ValueError(
            f"the log has a step from state {mdp.states[state[row]]!r} by action {mdp.actions[data.action[row]]!r} to "
            f"{mdp.states[following[row]]!r}, which {mdp.name} does not have"
        )
    of, stages = mdp.stage[state], int(mdp.stage.max())
    count = np.bincount(of, minlength=stages)
    sums = data.weight * data.reward, data.weight * data.reward**2
    columns = [np.zeros((stages, max(int(count.max()), 1)), kind) for kind in (np.int32,) * 3 + (float,) * 3]
    for h in range(stages):
        columns[0][h] = int(np.argmax(mdp.stage == h))  # rows of weight 0 are of some state of the stage
        for column, value in zip(columns, (state, data.action, following, data.weight, *sums), strict=True):
            column[h, : count[h]] = value[of == h]
    return QRows(*columns)
