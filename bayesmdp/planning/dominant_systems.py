"""Linear systems whose diagonal outweighs the rest of each row, as those of policies do, solved quickest for few states.

Elimination of such a system needs no exchange of rows: what it leaves is as dominant, and no entry grows to more than
twice the largest (Higham, 2002, Theorem 9.9); the same holds for the transposed system. So rows keep their places, and
what lies outside the *envelope* of the matrix, the columns from the first entry of a row on and up to the last so far,
stays zero. A chain, a queue or a grid has a narrow one, which is found from the numbers themselves.

On a CPU a call of LAPACK costs a microsecond before it begins, and keeps the loop around it from being compiled into
one kernel; these loops are light enough for that (see :func:`bayesmdp.simulation.walk.walk`). Microseconds a system of
n equations on one core, here and by LAPACK: full ones, n = 3: .08 and 1.0; 6: .22 and 1.3; 10: .6 and 2.1; 16: 1.7 and
3.1; of bandwidth 1, n = 50: 7 and 21; 128: 24 and 140, and a third more where the spans of rows are not told. Many systems at once, and other devices, are LAPACK's.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array

__all__ = ["solve_dominant"]

FEW, NARROW = 24, 8
"""Equations up to which a full system is eliminated here; and row pieces a pivot up to which one with an envelope is."""

PIECE = 16
"""Columns of a row that are changed at once."""


type Spans = tuple[Int[Array, " n"], Int[Array, " n"]]
"""The first and the last column with an entry of each row."""


def solve_dominant(
    matrix: Float[Array, "n n"], right: Float[Array, " n"], spans: Spans | None = None
) -> Float[Array, " n"]:
    """Solve ``matrix @ x = right`` where each diagonal entry outweighs the rest of its row.

    So it is for ``I - discount P``. It can be differentiated and mapped.

    Parameters
    ----------
    matrix : array [n, n]
        Not checked.
    right : array [n]
    spans : (int32 array [n], int32 array [n]), optional
        The first and the last column of each row that may have an entry, where they are known; otherwise looked for.

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
    # Derivatives are solves of the same kind, not derivatives of the loops; for them any spans are looked for.
    return lax.custom_linear_solve(
        lambda x: matrix @ x,
        right,
        lambda _, right: _solve(matrix, right, spans),
        transpose_solve=lambda _, right: _solve(matrix.T, right, None),
    )


@custom_vmap
def _solve(matrix: Array, right: Array, spans: Spans | None) -> Any:
    return lax.platform_dependent(matrix, right, spans, cpu=_eliminate, default=_by_library)


@_solve.def_vmap
def _solve_many(
    number: int, mapped: tuple[bool, bool, Any], matrix: Array, right: Array, spans: Spans | None
) -> tuple[Array, bool]:
    if not mapped[0]:
        return jnp.linalg.solve(matrix, right.T).T, True
    right = jnp.broadcast_to(right, (number, matrix.shape[-1]))
    return jnp.linalg.solve(matrix, right[..., None])[..., 0], True


def _by_library(matrix: Array, right: Array, spans: Spans | None = None) -> Array:
    del spans
    return jnp.linalg.solve(matrix, right)


def _eliminate(matrix: Array, right: Array, spans: Spans | None) -> Array:
    size = right.size
    if size <= FEW:
        return _full(matrix, right)
    columns = jnp.arange(size, dtype=jnp.int32)

    def envelope(spans: Spans) -> Array:
        first, last = (jnp.minimum(spans[0], columns), lax.cummax(jnp.maximum(spans[1], columns)))
        lowest = lax.cummax(jnp.zeros(size, jnp.int32).at[first].max(columns))
        pieces = jnp.sum((lowest - columns) * ((last - columns) // PIECE + 1))
        return lax.cond(pieces <= NARROW * size, _within, _without, matrix, right, lowest, last)

    if spans is not None:
        return envelope(spans)

    def look() -> Array:
        entries = matrix != 0
        first = jnp.min(jnp.where(entries, columns, size), axis=1)
        return envelope((first, jnp.max(jnp.where(entries, columns, 0), axis=1)))

    # One row tells of most matrices without an envelope; to look at all takes a quarter as long as LAPACK does.
    short = jnp.sum(matrix[size // 2] != 0) <= size // 2
    return lax.cond(short, look, lambda: jnp.linalg.solve(matrix, right))


def _without(matrix: Array, right: Array, lowest: Array, last: Array) -> Array:
    del lowest, last
    return jnp.linalg.solve(matrix, right)


def _full(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
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


def _within(
    matrix: Float[Array, "n n"], right: Float[Array, " n"], lowest: Int[Array, " n"], last: Int[Array, " n"]
) -> Float[Array, " n"]:
    """Eliminate within an envelope, a piece of a row at a time, then substitute backwards.

    Parameters
    ----------
    lowest, last : int array [n]
        The lowest row with an entry in a column or one before it, and the last column with one in a row or one above.
    """
    size, zero = right.size, jnp.int32(0)
    full = jnp.pad(matrix, ((0, 0), (0, PIECE)))

    def each_piece[Carry](k: Int[Array, ""], change: Any, carry: Carry) -> Carry:
        number = (last[k] - k) // PIECE + 1
        return lax.fori_loop(zero, number, lambda j, carry: change(k + j * PIECE, carry), carry)

    def part(full: Array, i: Array, at: Array) -> Array:
        return lax.dynamic_slice(full, (i, at), (1, PIECE))

    def below(k: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        def one(i: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
            full, right = carry
            factor = full[i, k] / full[k, k]

            def less(at: Array, full: Array) -> Array:
                return lax.dynamic_update_slice(full, part(full, i, at) - factor * part(full, k, at), (i, at))

            right = lax.dynamic_update_index_in_dim(right, right[i] - factor * right[k], i, 0)
            return each_piece(k, less, full), right

        return lax.fori_loop(k + 1, lowest[k] + 1, one, carry)

    full, right = lax.fori_loop(zero, jnp.int32(size - 1), below, (full, right))

    def back(j: Int[Array, ""], solution: Array) -> Array:
        k = jnp.int32(size - 1) - j

        def more(at: Array, known: Array) -> Array:  # the k-th entry of the solution is still 0
            return known + jnp.sum(part(full, k, at)[0] * lax.dynamic_slice(solution, (at,), (PIECE,)))

        known = each_piece(k, more, jnp.zeros((), right.dtype))
        return lax.dynamic_update_index_in_dim(solution, (right[k] - known) / full[k, k], k, 0)

    return lax.fori_loop(zero, jnp.int32(size), back, jnp.zeros(size + PIECE, right.dtype))[:size]
