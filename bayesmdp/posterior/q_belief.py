"""Beliefs about Q-values of episodes, drawn backwards through the stages.

With h running from the last stage to the first, and theta[h + 1] already drawn, each row seen at stage h has the target

    b = r + max over available a' of <phi(s', a'), theta[h + 1]>,        b = r where the episode ended,

given which theta[h] is Normal (:mod:`~bayesmdp.posterior.gaussian`). Experience is held as weighted rows, in one of two
forms. Where pairs and outcomes are few there is a row for each; where they are many, a row for each step, with room for
so many episodes. The sum of L'phi phi'L over the rows, which no target changes, is carried along. So neither form costs
more as experience grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from numpy.typing import NDArray

from bayesmdp.mdp import Array, Problem
from bayesmdp.posterior.gaussian import GaussianPrior, condition, posterior_draw, read_gaussian
from bayesmdp.posterior.program import Model
from bayesmdp.stages import shortest_episode

if TYPE_CHECKING:
    from bayesmdp.mdp import MDP
    from bayesmdp.world import Step

__all__ = [
    "QBelief",
    "QRows",
    "QState",
    "TaskStatistics",
    "backward",
    "empty_rows",
    "q_belief",
    "row_targets",
    "rows_of",
    "task_statistics",
    "whitened",
]

FEW_ROWS = 2_000
"""A stage's pairs and outcomes up to which each has its row."""

ROOM = 1_000
"""Episodes there is room for otherwise, unless told."""

DIMS = (("theta", ("stage", "feature")),)


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

    state: Array
    action: Array
    next_state: Array
    weight: Array
    reward: Array
    square: Array


class QState(NamedTuple):
    """What a belief about Q-values carries.

    Attributes
    ----------
    rows : QRows
    filled : int array [stage]
        Steps seen.
    precision : array [stage, feature, feature]
        Sum of ``L'phi phi'L / noise^2``.
    shift : array [stage, feature]
        Sum of ``L'phi (b - <phi, mean>) / noise^2``, with the targets of the last draw.
    """

    rows: QRows
    filled: Array
    precision: Array
    shift: Array


class TaskStatistics(NamedTuple):
    """What a task's data say of its theta, whatever the prior; leading axes [..., stage].

    Attributes
    ----------
    gram : array [..., feature, feature]
        ``A'A``.
    score : array [..., feature]
        ``A'b``.
    square, count : arrays [...]
        Sum of squared targets, and number of steps.
    carry : array [..., feature, feature]
        ``A'Phi``, with Phi the features of the best pairs of the states led to: how errors of the next stage's weights
        enter the targets.
    """

    gram: Array
    score: Array
    square: Array
    count: Array
    carry: Array


class QBelief(NamedTuple):
    """What an agent over linear Q-functions knows; beside `Belief`, whose functions for draws it shares.

    Attributes
    ----------
    prior : () -> GaussianPrior
    layout : _Layout
    identity : str
        Equal for equal models.
    """

    prior: Callable[[], GaussianPrior]
    layout: _Layout
    identity: str
    dims: tuple[tuple[str, tuple[str, ...]], ...] = DIMS
    possible: None = None
    concentration: None = None

    @property
    def unnamed(self) -> QBelief:
        """Without a prior, to be given one: the same for all of one layout."""
        return self._replace(prior=_no_prior, identity="")

    def with_prior(self, prior: GaussianPrior) -> QBelief:
        """The same over another prior, which may be traced."""
        return self._replace(prior=lambda: prior)

    def init(self, key: Array) -> QState:
        """Before any data."""
        del key
        mean = self.prior().mean
        stages, features = mean.shape
        return QState(
            rows=self.layout.rows(),
            filled=jnp.zeros(stages, jnp.int32),
            precision=jnp.zeros((stages, features, features)),
            shift=jnp.zeros((stages, features)),
        )

    def observe(self, state: QState, step: Step, problem: Problem) -> QState:
        """With one more step."""
        prior = self.prior()
        assert problem.features is not None
        assert problem.stage is not None
        h = problem.stage[step.state]
        along = prior.factor[h].T @ problem.features[step.state, step.action] / prior.noise[h]
        return state._replace(
            rows=self.layout.include(state.rows, h, state.filled[h], step),
            filled=state.filled.at[h].add(1),
            precision=state.precision.at[h].add(jnp.outer(along, along)),
        )

    def draw(
        self, key: Array, state: QState, problem: Problem, spread: Array, lookahead: Array
    ) -> tuple[QState, dict[str, Array]]:
        """One draw of ``theta`` [draw, stage, feature], its deviation from the mean times `spread`."""
        prior = self.prior()
        luck = spread * random.normal(key, prior.mean.shape)
        theta, shift = backward(prior, problem, state.rows, state.precision, luck, lookahead)
        return state._replace(shift=shift), {"theta": theta[None]}

    def sample(self, key: Array, state: QState, num_draws: int) -> dict[str, Array]:
        """Independent draws given the targets of the last draw."""
        luck = random.normal(key, (*state.shift.shape[:1], num_draws, state.shift.shape[1]))
        drawn = jax.vmap(posterior_draw)(self.prior(), state.precision, state.shift, luck)
        return {"theta": drawn.swapaxes(0, 1)}


def _no_prior() -> GaussianPrior:
    raise ValueError("this belief waits for a prior: with_prior")


class _Layout(NamedTuple):
    """How experience is held: empty rows, how a step is added, and room for how many episodes, and how short."""

    rows: Callable[[], QRows]
    include: Callable[[QRows, Array, Array, Step], QRows]
    episodes: int | None = None
    length: int = 1


def q_belief(model: Model, mdp: MDP, episodes: int | None = None) -> QBelief:
    """The belief of a linear-Gaussian model about an MDP's Q-values; the same arguments give the same one.

    Parameters
    ----------
    model : NumPyro function with a site ``theta`` [stage, feature]
    mdp : MDP
        With stages and features; read for what is known of it.
    episodes : int, optional
        Room, where each step is a row. By default 1,000; where a stage has at most 2,000 pairs and outcomes, each has a
        row and room is unlimited.

    Raises
    ------
    NotConjugate
        With the reason.
    ValueError
        If the MDP has no stages or no features, or the model is about others.
    """
    if mdp.stage is None or mdp.features is None:
        missing = "stages" if mdp.stage is None else "features"
        raise ValueError(f"{mdp.name} has no {missing}, which agents over linear Q-functions need; see unroll")
    stages, features = int(mdp.stage.max()), mdp.features.shape[-1]
    prior = read_gaussian(model, stages, features)
    return _q_belief(_Hashed(prior), empty_rows(mdp, episodes))


class _Hashed(NamedTuple):
    """A prior that is a key."""

    prior: GaussianPrior

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and self.digest == other.digest

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in self.prior)).hexdigest()[:16]


@lru_cache(maxsize=256)
def _q_belief(hashed: _Hashed, layout: _Layout) -> QBelief:
    return QBelief(lambda: GaussianPrior(*map(jnp.asarray, hashed.prior)), layout, hashed.digest)


def empty_rows(mdp: MDP, episodes: int | None = None) -> _Layout:
    """How the experience of an MDP is to be held."""
    assert mdp.stage is not None
    stage = np.where(mdp.terminal, -1, mdp.stage).astype(np.int32)
    stages = int(mdp.stage.max())
    largest = int(np.bincount(stage[stage >= 0]).max()) * mdp.num_actions * mdp.num_outcomes
    if episodes is None and largest <= FEW_ROWS:
        successor = None if mdp.successor is None else (mdp.successor.shape, mdp.successor.tobytes())
        return _a_row_each(stage.tobytes(), (mdp.num_states, mdp.num_actions, mdp.num_outcomes), successor)
    room = ROOM if episodes is None else episodes
    # Where episodes may end early there may be more of them than steps suggest.
    return _as_they_come(stages, room, shortest_episode(mdp))


@lru_cache(maxsize=64)
def _a_row_each(stage: bytes, shape: tuple[int, int, int], successor: tuple[tuple[int, ...], bytes] | None) -> _Layout:
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

    def include(rows: QRows, h: Array, number: Array, step: Step) -> QRows:
        row = jnp.asarray(place)[(step.state * shape[1] + step.action) * shape[2] + step.outcome]
        return rows._replace(
            weight=rows.weight.at[h, row].add(1),
            reward=rows.reward.at[h, row].add(step.reward),
            square=rows.square.at[h, row].add(jnp.asarray(step.reward, float) ** 2),
        )

    return _Layout(empty, include)


@lru_cache(maxsize=64)
def _as_they_come(stages: int, episodes: int, length: int) -> _Layout:
    def empty() -> QRows:
        return QRows(*jnp.zeros((3, stages, episodes), jnp.int32), *jnp.zeros((3, stages, episodes)))

    def include(rows: QRows, h: Array, number: Array, step: Step) -> QRows:
        values = (step.state, step.action, step.next_state, 1.0, step.reward, jnp.asarray(step.reward, float) ** 2)
        return QRows(
            *(held.at[h, number].set(jnp.asarray(value, held.dtype)) for held, value in zip(rows, values, strict=True))
        )

    return _Layout(empty, include, episodes, length)


def _next_values(problem: Problem, rows: QRows, theta: Array) -> tuple[Array, Array]:
    """The best Q-value [row] of the states led to, under the next stage's weights, and its pairs' features."""
    assert problem.features is not None
    available = problem.available[rows.next_state]
    q = jnp.where(available, problem.features[rows.next_state] @ theta, -jnp.inf)
    going = problem.continuation[rows.next_state]
    best = jnp.argmax(q, -1)
    features = problem.features[rows.next_state, best] * going[:, None]
    return jnp.where(going > 0, jnp.max(q, -1), 0), features


@jax.jit
def backward(
    prior: GaussianPrior,
    problem: Problem,
    rows: QRows,
    precision: Array,
    luck: Array,
    lookahead: Array | float = 1.0,
) -> tuple[Array, Array]:
    """Weights of all stages [stage, feature], each stage's targets made with the next one's, and `QState.shift`.

    Parameters
    ----------
    prior : GaussianPrior
    problem : Problem
        With stages and features.
    rows : QRows
    precision : array [stage, feature, feature]
        As in `QState`.
    luck : array [stage, feature]
        Standard Normal numbers; with zeros each stage has its posterior mean.
    lookahead : float
        What the values of next states count; with 0 targets are rewards.
    """
    assert problem.features is not None
    features = problem.features

    def stage(after: Array, inputs: Any) -> tuple[Array, tuple[Array, Array]]:
        prior, rows, precision, luck = inputs
        value, _ = _next_values(problem, rows, after)
        phi = features[rows.state, rows.action]
        target = rows.reward + rows.weight * (lookahead * value - phi @ prior.mean)
        shift = prior.factor.T @ (target @ phi) / prior.noise**2
        theta = posterior_draw(prior, precision, shift, luck)
        return theta, (theta, shift)

    last = jnp.zeros(features.shape[-1])
    return lax.scan(stage, last, (prior, rows, precision, luck), reverse=True)[1]


@jax.jit
def whitened(prior: GaussianPrior, problem: Problem, rows: QRows) -> Array:
    """The precision [stage, feature, feature] that a belief carries, from all rows at once."""
    assert problem.features is not None
    along = problem.features[rows.state, rows.action] @ prior.factor / prior.noise[:, None, None]
    return jnp.swapaxes(along, 1, 2) @ (rows.weight[..., None] * along)


@jax.jit
def row_targets(prior: GaussianPrior, problem: Problem, rows: QRows) -> Array:
    """Targets [stage, row] of rows of single steps, made backwards with posterior means."""
    nothing = jnp.zeros(prior.mean.shape)
    theta, _ = backward(prior, problem, rows, whitened(prior, problem, rows), nothing)
    after = jnp.concatenate([theta[1:], nothing[:1]])
    return rows.reward + jax.vmap(lambda rows, theta: _next_values(problem, rows, theta)[0])(rows, after)


@jax.jit
def task_statistics(prior: GaussianPrior, problem: Problem, rows: QRows, lookahead: Array | float = 1.0) -> Any:
    """What a task's rows say, its targets made backwards with the posterior means under `prior`.

    Returns
    -------
    TaskStatistics
    """
    assert problem.features is not None
    features = problem.features

    def stage(after: Array, inputs: Any) -> tuple[Array, TaskStatistics]:
        prior, rows = inputs
        value, best = _next_values(problem, rows, after)
        phi = features[rows.state, rows.action]
        value, weighed = lookahead * value, rows.weight[:, None] * phi
        told = TaskStatistics(
            gram=phi.T @ weighed,
            score=(rows.reward + rows.weight * value) @ phi,
            square=jnp.sum(rows.square + 2 * rows.reward * value + rows.weight * value**2),
            count=jnp.sum(rows.weight),
            carry=lookahead * weighed.T @ best,
        )
        alone = jax.tree.map(lambda leaf: leaf[None], prior)
        return condition(alone, told.gram[None], told.score[None])[0][0], told

    return lax.scan(stage, jnp.zeros(features.shape[-1]), (prior, rows), reverse=True)[1]


def rows_of(
    mdp: MDP, state: NDArray[Any], action: NDArray[Any], reward: NDArray[Any], next_state: NDArray[Any]
) -> QRows:
    """Logged steps [step], of indices, as rows."""
    assert mdp.stage is not None
    of = mdp.stage[state]
    stages = int(mdp.stage.max())
    count = np.bincount(of, minlength=stages)
    columns = [np.zeros((stages, max(int(count.max()), 1)), kind) for kind in (np.int32,) * 3 + (float,) * 3]
    values = (state, action, next_state, np.ones(len(state)), reward, np.asarray(reward) ** 2)
    for h in range(stages):
        for column, value in zip(columns, values, strict=True):
            column[h, : count[h]] = value[of == h]
        if not count[h]:
            columns[0][h] = int(np.argmax(mdp.stage == h))
    return QRows(*columns)
