"""Regression of Q-values backwards through the stages of an episode.

With h running from the last stage to the first, and theta[h + 1] already known, each row seen at stage h has the target

    b = r + discount max over available a' of <phi(s', a'), theta[h + 1]>,        b = r where the episode ended,

given which theta[h] is Normal (:mod:`~bayesmdp.posterior.closed_forms.q_values`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, condition, posterior_draw
from bayesmdp.posterior.q_regression.rows import QRows
from bayesmdp.problems.problem import Problem

__all__ = ["TaskStatistics", "backward", "row_targets", "task_statistics", "whitened"]


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
        ``A'Phi``, with Phi the features of the best pairs of the states led to, discounted: how errors of the next
        stage's weights enter the targets.
    earned : array [..., feature]
        ``A'r``: with ``carry`` times the next stage's weights it is ``score``, whatever those weights are.
    """

    gram: Float[Array, "... feature feature"]
    score: Float[Array, "... feature"]
    square: Float[Array, "..."]
    count: Float[Array, "..."]
    carry: Float[Array, "... feature feature"]
    earned: Float[Array, "... feature"]


def _next_values(
    problem: Problem, rows: QRows, theta: Float[Array, " feature"]
) -> tuple[Float[Array, " row"], Float[Array, "row feature"]]:
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
    precision: Float[Array, "stage feature feature"],
    normal: Float[Array, "stage feature"],
    lookahead: Array | float = 1.0,
) -> tuple[Float[Array, "stage feature"], Float[Array, "stage feature"]]:
    """Weights of all stages [stage, feature], each stage's targets made with the next one's, and `QState.shift`.

    Parameters
    ----------
    prior : GaussianPrior
    problem : Problem
        With stages and features.
    rows : QRows
    precision : array [stage, feature, feature]
        As in `QState`.
    normal : array [stage, feature]
        Standard Normal numbers; with zeros each stage has its posterior mean.
    lookahead : float
        What the values of next states count beside the discount; with 0 targets are rewards.
    """
    assert problem.features is not None
    features, ahead = problem.features, lookahead * problem.discount

    def stage(
        after: Float[Array, " feature"], inputs: Any
    ) -> tuple[Float[Array, " feature"], tuple[Float[Array, " feature"], Float[Array, " feature"]]]:
        prior, rows, precision, normal = inputs
        value, _ = _next_values(problem, rows, after)
        phi = features[rows.state, rows.action]
        target = rows.reward + rows.weight * (ahead * value - phi @ prior.mean)
        shift = prior.factor.T @ (target @ phi) / prior.noise**2
        theta = posterior_draw(prior, precision, shift, normal)
        return theta, (theta, shift)

    last = jnp.zeros(features.shape[-1])
    return lax.scan(stage, last, (prior, rows, precision, normal), reverse=True)[1]


@jax.jit
def whitened(prior: GaussianPrior, problem: Problem, rows: QRows) -> Float[Array, "stage feature feature"]:
    """Compute the precision that a belief carries, from all rows at once.

    Parameters
    ----------
    prior : GaussianPrior
    problem : Problem
        With stages and features.
    rows : QRows

    Returns
    -------
    array [stage, feature, feature]
    """
    assert problem.features is not None
    along = problem.features[rows.state, rows.action] @ prior.factor / prior.noise[:, None, None]
    return jnp.swapaxes(along, 1, 2) @ (rows.weight[..., None] * along)


@jax.jit
def row_targets(prior: GaussianPrior, problem: Problem, rows: QRows) -> Float[Array, "stage row"]:
    """Make the mean targets of rows backwards with posterior means; 0 for rows not seen.

    Parameters
    ----------
    prior : GaussianPrior
    problem : Problem
        With stages and features.
    rows : QRows

    Returns
    -------
    array [stage, row]
    """
    nothing = jnp.zeros(prior.mean.shape)
    theta, _ = backward(prior, problem, rows, whitened(prior, problem, rows), nothing)
    after = jnp.concatenate([theta[1:], nothing[:1]])
    value = jax.vmap(lambda rows, theta: _next_values(problem, rows, theta)[0])(rows, after)
    target = rows.reward / jnp.maximum(rows.weight, 1) + problem.discount * value
    return jnp.where(rows.weight > 0, target, 0)


@jax.jit
def task_statistics(prior: GaussianPrior, problem: Problem, rows: QRows, lookahead: Array | float = 1.0) -> Any:
    """Sum up what a task's rows say, its targets made backwards with the posterior means under `prior`.

    Parameters
    ----------
    prior : GaussianPrior
    problem : Problem
        With stages and features.
    rows : QRows
    lookahead : float
        What the values of next states count beside the discount.

    Returns
    -------
    TaskStatistics
    """
    assert problem.features is not None
    features, ahead = problem.features, lookahead * problem.discount

    def stage(after: Float[Array, " feature"], inputs: Any) -> tuple[Float[Array, " feature"], TaskStatistics]:
        prior, rows = inputs
        value, best = _next_values(problem, rows, after)
        phi = features[rows.state, rows.action]
        value, weighed = ahead * value, rows.weight[:, None] * phi
        told = TaskStatistics(
            gram=phi.T @ weighed,
            score=(rows.reward + rows.weight * value) @ phi,
            square=jnp.sum(rows.square + 2 * rows.reward * value + rows.weight * value**2),
            count=jnp.sum(rows.weight),
            carry=ahead * weighed.T @ best,
            earned=rows.reward @ phi,
        )
        alone = jax.tree.map(lambda leaf: leaf[None], prior)
        return condition(alone, told.gram[None], told.score[None])[0][0], told

    return lax.scan(stage, jnp.zeros(features.shape[-1]), (prior, rows), reverse=True)[1]
