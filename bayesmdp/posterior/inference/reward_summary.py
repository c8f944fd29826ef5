"""Many different rewards in a few rows, where the likelihood permits.

A Normal likelihood sees of n rewards only their sum and the sum of their squares. Those of one (state, action, next
state) may then stand in two rows of weight n / 2, at their mean minus and plus their standard deviation, which have the
same sums: a log of a million rewards is no more than two rows for each transition seen. This is ours. Whether the
likelihood permits it is not asked of the model but tried, transition by transition, at random values of the unknowns.
"""

from __future__ import annotations

import jax
import numpy as np
from numpy.typing import NDArray

from bayesmdp.model_reading.read_model import Reading
from bayesmdp.model_reading.rows import Transitions, combinations
from bayesmdp.posterior.closed_forms.coefficients import Rows

__all__ = ["refuse_summed", "summarise_rewards"]

MANY_ROWS = 10_000
"""Rows up to which a log is taken as it is."""

MOST_ROWS = 500
"""Rows that are asked whether their rewards may have been summed."""

TRIALS = 5


def summarise_rewards(reading: Reading, data: Transitions) -> Transitions:
    """The rows, or two for each (state, action, next state) if they are as likely whatever the unknowns are.

    Parameters
    ----------
    reading : Reading
        The model.
    data : Transitions
        Distinct rows.

    Examples
    --------
    >>> import jax, bayesmdp as bm
    >>> from bayesmdp.model_reading.read_model import read
    >>> river = bm.environments.riverswim(3)
    >>> model = bm.models.normal_rewards(river, bm.models.dirichlet_transitions(river))
    >>> nowhere = np.zeros(20_000, np.int32)
    >>> log = Transitions(nowhere, nowhere, nowhere, np.random.default_rng(0).normal(size=20_000), np.ones(20_000))
    >>> with jax.enable_x64(True):
    ...     summarise_rewards(read(model), log).weight
    array([10000., 10000.])
    """
    if len(data.weight) <= MANY_ROWS:
        return data
    other, others = combinations(data.covariates, len(data.weight))
    places = (data.state, data.action, data.next_state, other)
    kind = np.atleast_1d(np.ravel_multi_index(places, (*reading.shape, others)))
    kinds, first, place = np.unique(kind, return_index=True, return_inverse=True)
    if 4 * len(kinds) > len(kind):
        return data

    def by_kind(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(place, numbers, len(kinds))

    weight = by_kind(data.weight)
    mean = by_kind(data.weight * data.reward) / weight
    deviation = np.sqrt(by_kind(data.weight * (data.reward - mean[place]) ** 2) / weight)
    once = jax.tree.map(lambda column: np.repeat(np.asarray(column)[first], 2), data)
    two = once._replace(reward=(mean[:, None] + deviation[:, None] * [-1, 1]).ravel(), weight=np.repeat(weight / 2, 2))
    each, of_two = (Rows(reading, rows._replace(weight=np.ones(len(rows.weight)))) for rows in (data, two))
    for seed in range(TRIALS):
        values = reading.latent_values(data, seed)
        before = by_kind(data.weight * each.values(values))
        after = (two.weight * of_two.values(values)).reshape(-1, 2).sum(-1)
        with np.errstate(invalid="ignore"):  # an impossible row's is minus infinity
            if not (np.abs(before - after) <= 1e-9 * (1 + np.abs(before))).all():
                return data
    kept = np.repeat(deviation > 0, 2) | (np.arange(len(two.weight)) % 2 == 0)
    two = two._replace(weight=np.where(np.repeat(deviation > 0, 2), two.weight, 2 * two.weight))
    shortened: Transitions = jax.tree.map(lambda column: np.asarray(column)[kept], two)
    return shortened


def refuse_summed(reading: Reading, data: Transitions) -> None:
    """Refuse a log whose rewards were summed, for a model to which their number, sum and squares are not all.

    They are if the logarithm of a reward's density is a parabola, as the Normal's is: then its third differences are 0.

    Parameters
    ----------
    reading : Reading
        The model.
    data : Transitions

    Raises
    ------
    ValueError
    """
    some = slice(0, MOST_ROWS)
    paid = np.linspace(data.reward.min(), data.reward.max(), 4)
    if paid[0] == paid[-1]:
        return
    rows = jax.tree.map(lambda column: np.repeat(np.asarray(column)[some], 4), data)
    count = len(rows.weight)
    rows = rows._replace(reward=np.tile(paid, count // 4), weight=np.ones(count))
    for seed in range(TRIALS):
        values = Rows(reading, rows).values(reading.latent_values(data, seed)).reshape(-1, 4)
        possible = np.isfinite(values).all(-1)
        third = values[possible] @ [-1, 3, -3, 1]
        if (np.abs(third) > 1e-9 * (1 + np.abs(values[possible]).max(-1))).any():
            raise ValueError(
                "the log's rewards were summed, of which a model of Normal rewards needs no more than number, mean and "
                "variance, and this model does: read the log with read_log(..., distinct=False)"
            )
