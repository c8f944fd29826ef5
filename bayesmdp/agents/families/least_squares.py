"""What agents for linear MDPs learn: expected next values by ridge regression on features.

For any V, the least-squares estimate of P V, linear in the features, has the weights

    Lambda^-1 sum_i phi_i V(s_i'),    Lambda = ridge I + sum_i phi_i phi_i'.

The sum is a matrix [feature, next state] times V, so neither memory nor time grows with the number of steps; Lambda^-1
and log det Lambda follow by rank-one updates.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int

from bayesmdp.agents.agent import Options
from bayesmdp.foundation.arrays import Array

__all__ = [
    "ROUNDING",
    "Regression",
    "doubled",
    "include",
    "lengths",
    "no_data",
    "refreshed",
    "sweeps_to_settle",
    "unit_bonus",
]

ROUNDING = 1e-9
"""A Q that is higher by no more than this is not counted as a different one."""


class Regression(NamedTuple):
    """Sufficient statistics of the steps seen.

    Attributes
    ----------
    matrix, inverse : arrays [feature, feature]
        Lambda and its inverse.
    log_det : float
        log det Lambda.
    moved : array [feature, next_state]
        ``sum_i phi_i e_{s_i'}'``.
    """

    matrix: Float[Array, "feature feature"]
    inverse: Float[Array, "feature feature"]
    log_det: Float[Array, ""]
    moved: Float[Array, "feature next_state"]

    def weights(self, value: Float[Array, " next_state"]) -> Float[Array, " feature"]:
        """Return the weights of the estimate of P V, for V [next_state]."""
        return self.inverse @ (self.moved @ value)


def no_data(ridge: Array | float, dimension: int, num_states: int) -> Regression:
    """Return the statistics before the first step.

    Parameters
    ----------
    ridge : float
    dimension, num_states : int
        Numbers of features and of next states.

    Returns
    -------
    Regression
    """
    matrix = ridge * jnp.eye(dimension)
    return refreshed(Regression(matrix, matrix, jnp.zeros(()), jnp.zeros((dimension, num_states))))


def include(known: Regression, feature: Float[Array, " feature"], next_state: Int[Array, ""]) -> Regression:
    """Return the statistics with one more step, by a rank-one update.

    Parameters
    ----------
    known : Regression
    feature : array [feature]
        phi of the step's pair.
    next_state : int
        Where it led.

    Returns
    -------
    Regression
    """
    along = known.inverse @ feature
    stretch = 1 + feature @ along
    # Adding by .at would scatter, which is slower on a CPU.
    column = lax.dynamic_index_in_dim(known.moved, next_state, 1) + feature[:, None]
    return Regression(
        matrix=known.matrix + jnp.outer(feature, feature),
        inverse=known.inverse - jnp.outer(along, along) / stretch,
        log_det=known.log_det + jnp.log(stretch),
        moved=lax.dynamic_update_slice_in_dim(known.moved, column, next_state, 1),
    )


def refreshed(known: Regression) -> Regression:
    """Return the statistics with inverse and determinant made afresh, so that rounding does not pile up."""
    return known._replace(inverse=jnp.linalg.inv(known.matrix), log_det=jnp.linalg.slogdet(known.matrix)[1])


def doubled(now: Regression, before: Regression) -> Bool[Array, ""]:
    """Return whether det Lambda has more than doubled, which ends an episode.

    Parameters
    ----------
    now, before : Regression
        Of all steps, and of those before the episode.

    Returns
    -------
    bool
    """
    return now.log_det > before.log_det + np.log(2)


def lengths(
    inverse: Float[Array, "feature feature"], features: Float[Array, "*batch feature"]
) -> Float[Array, "*batch"]:
    """Return the lengths of features in the norm of Lambda^-1.

    Parameters
    ----------
    inverse : array [feature, feature]
        Lambda^-1.
    features : array [..., feature]

    Returns
    -------
    array [...]
    """
    return jnp.sqrt(jnp.maximum(jnp.einsum("...d,de,...e->...", features, inverse, features), 0))


def unit_bonus(options: Options, dimension: int) -> Array:
    """Return beta = 2 c sp(v*) d sqrt(log(d T / delta)), the bonus of a pair whose features have length 1.

    Parameters
    ----------
    options : mapping
        c as ``scale``, sp(v*) as ``span``, T as ``horizon`` and delta as ``failure``.
    dimension : int
        d.

    Returns
    -------
    float
        In units of value.
    """
    logarithm = jnp.log(dimension * options["horizon"] / options["failure"])
    return options["scale"] * 2 * options["span"] * dimension * jnp.sqrt(logarithm)


def sweeps_to_settle(horizon: int, discount: float) -> int:
    """Return how many sweeps a contraction takes to forget its start up to rounding.

    Parameters
    ----------
    horizon : int
        The most that are of use.
    discount : float in (0, 1)
        What a sweep contracts by.

    Returns
    -------
    int
    """
    return min(int(horizon), int(np.ceil(np.log(ROUNDING / 10) / np.log(discount))))
