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

from bayesmdp.foundation.arrays import Array

__all__ = ["Regression", "doubled", "include", "lengths", "no_data", "refreshed"]


class Regression(NamedTuple):
    """Sufficient statistics of the steps seen.

    Attributes
    ----------
    matrix, inverse : arrays [feature, feature]
        Lambda and its inverse.
    log_det : float
        Of Lambda.
    moved : array [feature, next_state]
        ``sum_i phi_i e_{s_i'}'``.
    """

    matrix: Array
    inverse: Array
    log_det: Array
    moved: Array

    def weights(self, value: Array) -> Array:
        """Of the estimate of P V, for V [next_state]."""
        return self.inverse @ (self.moved @ value)


def no_data(ridge: Array, dimension: int, num_states: int) -> Regression:
    """Before the first step."""
    matrix = ridge * jnp.eye(dimension)
    return refreshed(Regression(matrix, matrix, jnp.zeros(()), jnp.zeros((dimension, num_states))))


def include(known: Regression, feature: Array, next_state: Array) -> Regression:
    """With one more step: the features [feature] of its pair, and where it led."""
    along = known.inverse @ feature
    stretch = 1 + feature @ along
    return Regression(
        matrix=known.matrix + jnp.outer(feature, feature),
        inverse=known.inverse - jnp.outer(along, along) / stretch,
        log_det=known.log_det + jnp.log(stretch),
        moved=known.moved.at[:, next_state].add(feature),
    )


def refreshed(known: Regression) -> Regression:
    """With inverse and determinant made afresh, so that rounding does not pile up."""
    return known._replace(inverse=jnp.linalg.inv(known.matrix), log_det=jnp.linalg.slogdet(known.matrix)[1])


def doubled(now: Regression, before: Regression) -> Array:
    """Whether det Lambda has more than doubled."""
    return now.log_det > before.log_det + np.log(2)


def lengths(inverse: Array, features: Array) -> Array:
    """|phi| in the norm of Lambda^-1, of features [..., feature]."""
    return jnp.sqrt(jnp.maximum(jnp.einsum("...d,de,...e->...", features, inverse, features), 0))
