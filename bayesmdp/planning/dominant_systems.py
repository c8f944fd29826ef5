"""Linear systems whose diagonal outweighs the rest of each row, as those of policies do, solved fast.

Elimination of such a system needs no exchange of rows: what it leaves is as dominant, and no entry grows to more than
twice the largest (Higham, 2002, Theorem 9.9); the same holds for the transposed system. So rows keep their places, and
what lies outside the envelope of the matrix (:mod:`bayesmdp.problems.envelope`) stays zero.

On a CPU a call of LAPACK costs a microsecond before it begins, and keeps the loop around it from being compiled into
one kernel, as these loops are (see :func:`bayesmdp.simulation.walk.walk`). Microseconds a system of n equations on one
core, here and by LAPACK: full ones, n = 3: .08 and 1.0; 6: .22 and 1.3; 10: .6 and 2.1; 16: 1.7 and 3.1; 24: 5.2 and
5.6. Many full systems at once, and those on other devices, are LAPACK's.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import over_outcomes
from bayesmdp.problems.envelope import PIECE, Envelope

__all__ = ["solve_dominant", "solve_within"]

FEW = 24
"""Equations up to which a full system is eliminated here."""


def solve_dominant(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """Solve ``matrix @ x = right`` where each diagonal entry outweighs the rest of its row.

    So it is for ``I - discount P``. It can be differentiated and mapped.

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
    if right.size > FEW:
        return jnp.linalg.solve(matrix, right)
    # Derivatives are solves of the same kind, not derivatives of the loops.
    return lax.custom_linear_solve(
        lambda x: matrix @ x,
        right,
        lambda _, right: _solve(matrix, right),
        transpose_solve=lambda _, right: _solve(matrix.T, right),
    )


@custom_vmap
def _solve(matrix: Array, right: Array) -> Any:
    return lax.platform_dependent(matrix, right, cpu=_eliminate, default=jnp.linalg.solve)


@_solve.def_vmap
def _solve_many(number: int, mapped: list[bool], matrix: Array, right: Array) -> tuple[Array, bool]:
    if not mapped[0]:
        return jnp.linalg.solve(matrix, right.T).T, True
    right = jnp.broadcast_to(right, (number, matrix.shape[-1]))
    return jnp.linalg.solve(matrix, right[..., None])[..., 0], True


def _eliminate(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """Eliminate row by row, then substitute backwards."""
    size = right.size

    def below(k: Int[Array, ""], full: Array) -> Array:
        pivot = lax.dynamic_index_in_dim(full, k, 0, False)

        def one(i: Int[Array, ""], full: Array) -> Array:
            row = lax.dynamic_index_in_dim(full, i, 0, False)
            return lax.dynamic_update_index_in_dim(full, row - row[k] / pivot[k] * pivot, i, 0)

        return lax.fori_loop(k + 1, size, one, full)

    def back(j: Int[Array, ""], solution: Array) -> Array:
        k = size - 1 - j
        row = lax.dynamic_index_in_dim(full, k, 0, False)
        # Entries before k, which elimination has left near 0, meet zeros.
        entry = (row[size] - jnp.sum(row[:size] * solution)) / row[k]
        return lax.dynamic_update_index_in_dim(solution, entry, k, 0)

    full = lax.fori_loop(0, size - 1, below, jnp.concatenate([matrix, right[:, None]], axis=1))
    return lax.fori_loop(0, size, back, jnp.zeros(size, matrix.dtype))


def solve_within(
    share: Float[Array, "n entry"], column: Int[Array, "n entry"], right: Float[Array, " n"], envelope: Envelope
) -> Float[Array, " n"]:
    """Solve ``x[i] - sum_e share[i, e] x[column[i, e]] = right[i]`` by elimination within an envelope.

    Parameters
    ----------
    share : array [n, entry]
        Of each row at least 0, and less than 1 in sum.
    column : int array [n, entry]
        Inside the envelope; the same may come twice in a row.
    right : array [n]
    envelope : Envelope

    Returns
    -------
    array [n]

    Examples
    --------
    >>> import numpy as np
    >>> from bayesmdp.problems.envelope import envelope
    >>> column = np.array([[1], [2], [2]])
    >>> print(solve_within(np.full((3, 1), 0.5), column, np.array([0.0, 0.0, 1.0]), envelope(column[:, None])))
    [0.5 1.  2. ]
    """
    share, column, right = jnp.asarray(share), jnp.asarray(column), jnp.asarray(right)
    lowest, last = jnp.asarray(envelope.lowest), jnp.asarray(envelope.last)
    away = column.astype(jnp.int32) - jnp.arange(right.size, dtype=jnp.int32)[:, None]

    def band() -> Array:
        """The matrix as [row, width + column - row]."""
        places = jnp.asarray(envelope.away)
        entries = over_outcomes(jnp.where(away[:, None] == places[:, None], 1.0, 0.0), share[:, None])
        return jnp.where(places == 0, 1.0, 0.0) - entries

    def turned() -> Array:
        # Entry (i, i + d) of the transposed matrix is (i + d, i) of the matrix.
        rows, width = band(), envelope.width
        padded = jnp.pad(rows, ((width, width), (0, 0)))
        size = right.size
        return jnp.stack([padded[width + d : width + d + size, width - d] for d in range(-width, width + 1)], axis=1)

    return lax.custom_linear_solve(
        lambda x: x - jnp.sum(share * x[column], axis=-1),
        right,
        lambda _, right: _within(band(), right, lowest, last),
        transpose_solve=lambda _, right: _within(turned(), right, last, lowest),
    )


def _within(
    band: Float[Array, "n offset"], right: Float[Array, " n"], lowest: Int[Array, " n"], last: Int[Array, " n"]
) -> Float[Array, " n"]:
    """Eliminate within an envelope, a piece of a row at a time, then substitute backwards."""
    size, width, zero = right.size, band.shape[1] // 2, jnp.int32(0)
    band = jnp.pad(band, ((0, 0), (0, PIECE)))

    def each_piece[Carry](k: Int[Array, ""], change: Any, carry: Carry) -> Carry:
        number = (last[k] - k) // PIECE + 1
        return lax.fori_loop(zero, number, lambda j, carry: change(k + j * PIECE, carry), carry)

    def piece(band: Array, i: Array, column: Array) -> Array:
        return lax.dynamic_slice(band, (i, width + column - i), (1, PIECE))

    def below(k: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        def one(i: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
            band, right = carry
            factor = band[i, width + k - i] / band[k, width]

            def less(column: Array, band: Array) -> Array:
                changed = piece(band, i, column) - factor * piece(band, k, column)
                return lax.dynamic_update_slice(band, changed, (i, width + column - i))

            right = lax.dynamic_update_index_in_dim(right, right[i] - factor * right[k], i, 0)
            return each_piece(k, less, band), right

        return lax.fori_loop(k + 1, lowest[k] + 1, one, carry)

    band, right = lax.fori_loop(zero, jnp.int32(size - 1), below, (band, right))

    def back(j: Int[Array, ""], solution: Array) -> Array:
        k = jnp.int32(size - 1) - j

        def more(column: Array, known: Array) -> Array:  # the k-th entry of the solution is still 0
            return known + jnp.sum(piece(band, k, column)[0] * lax.dynamic_slice(solution, (column,), (PIECE,)))

        known = each_piece(k, more, jnp.zeros((), right.dtype))
        return lax.dynamic_update_index_in_dim(solution, (right[k] - known) / band[k, width], k, 0)

    return lax.fori_loop(zero, jnp.int32(size), back, jnp.zeros(size + PIECE, right.dtype))[:size]
