"""Linear systems of a few states, solved without a library's call, which takes longer than the arithmetic does.

On a CPU a call of LAPACK costs a microsecond before it begins, and keeps the loop around it from being compiled into
one kernel. One core, microseconds a system of n equations, here and by LAPACK: n = 3: .08 and 1.0; 6: .22 and 1.3;
10: .6 and 2.1; 16: 1.7 and 3.1; 24: 5.2 and 5.6; 32: 11 and 8.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array

__all__ = ["solve_dominant"]

FEW = 16
"""Equations up to which elimination is written out here; beyond, and where many are solved at once, LAPACK is as fast."""


def solve_dominant(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """Solve ``matrix @ x = right`` where each diagonal entry outweighs the rest of its row.

    So it is for ``I - discount P``. Elimination then needs no exchange of rows: what it leaves is as dominant, and no
    entry grows to more than twice the largest (Higham, 2002, Theorem 9.9).

    Parameters
    ----------
    matrix : array [n, n]
        Not checked.
    right : array [n]

    Returns
    -------
    array [n]

    Examples
    --------
    >>> import numpy as np
    >>> print(solve_dominant(np.array([[2.0, 1.0], [0.5, 1.0]]), np.array([4.0, 2.5])))
    [1. 2.]
    """
    matrix, right = jnp.asarray(matrix), jnp.asarray(right)
    size = matrix.shape[-1]
    if size > FEW:
        return jnp.linalg.solve(matrix, right)
    return lax.platform_dependent(matrix, right, cpu=_eliminate, default=jnp.linalg.solve)


def _eliminate(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """Eliminate row by row, then substitute backwards; the loops are light enough for XLA to make them one kernel."""
    size = matrix.shape[-1]

    def below(k: Int[Array, ""], full: Float[Array, "n n+1"]) -> Float[Array, "n n+1"]:
        pivot = lax.dynamic_index_in_dim(full, k, 0, False)

        def one(i: Int[Array, ""], full: Float[Array, "n n+1"]) -> Float[Array, "n n+1"]:
            row = lax.dynamic_index_in_dim(full, i, 0, False)
            return lax.dynamic_update_index_in_dim(full, row - row[k] / pivot[k] * pivot, i, 0)

        return lax.fori_loop(k + 1, size, one, full)

    def back(j: Int[Array, ""], solution: Float[Array, " n"]) -> Float[Array, " n"]:
        k = size - 1 - j
        row = lax.dynamic_index_in_dim(full, k, 0, False)
        # Entries before k, which elimination has left near 0, meet zeros.
        entry = (row[size] - jnp.sum(row[:size] * solution)) / row[k]
        return lax.dynamic_update_index_in_dim(solution, entry, k, 0)

    full = lax.fori_loop(0, size - 1, below, jnp.concatenate([matrix, right[:, None]], axis=1))
    return lax.fori_loop(0, size, back, jnp.zeros(size, matrix.dtype))
