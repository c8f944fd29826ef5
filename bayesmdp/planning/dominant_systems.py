"""Linear systems whose diagonal outweighs the rest of each row, as those of policies do, solved quickest for few states.

Elimination of such a system needs no exchange of rows: what it leaves is as dominant, and no entry grows to more than
twice the largest (Higham, 2002, Theorem 9.9); the same holds for the transposed system. So rows keep their places, and
what lies outside the envelope of the matrix (:mod:`bayesmdp.problems.envelope`) stays zero.

On a CPU a call of LAPACK costs a microsecond before it begins, and keeps the loop around it from being compiled into
one kernel; these loops are light enough for that (see :func:`bayesmdp.simulation.walk.walk`). Microseconds a system of
n equations on one core, here and by LAPACK: full ones, n = 3: .08 and 1.0; 6: .22 and 1.3; 10: .6 and 2.1; 16: 1.7 and
3.1; of bandwidth 1, n = 50: 5 and 21; 128: 22 and 140. Many systems at once, and other devices, are LAPACK's.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.envelope import PIECE, Envelope

__all__ = ["solve_dominant"]

FEW = 24
"""Equations up to which a full system is eliminated here."""


def solve_dominant(
    matrix: Float[Array, "n n"], right: Float[Array, " n"], envelope: Envelope | None = None
) -> Float[Array, " n"]:
    """Solve ``matrix @ x = right`` where each diagonal entry outweighs the rest of its row.

    So it is for ``I - discount P``. It can be differentiated and mapped.

    Parameters
    ----------
    matrix : array [n, n]
        Not checked.
    right : array [n]
    envelope : Envelope, optional
        Where the matrix has entries, where that is known and narrow.

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
    # Derivatives are solves of the same kind, not derivatives of the loops.
    return lax.custom_linear_solve(
        lambda x: matrix @ x,
        right,
        lambda _, right: _solve(matrix, right, envelope),
        transpose_solve=lambda _, right: _solve(matrix.T, right, None),
    )


@custom_vmap
def _solve(matrix: Array, right: Array, envelope: Envelope | None) -> Any:
    if right.size > FEW and envelope is None:
        return jnp.linalg.solve(matrix, right)
    return lax.platform_dependent(matrix, right, envelope, cpu=_eliminate, default=_by_library)


@_solve.def_vmap
def _solve_many(
    number: int, mapped: tuple[bool, bool, Any], matrix: Array, right: Array, envelope: Envelope | None
) -> tuple[Array, bool]:
    if not mapped[0]:
        return jnp.linalg.solve(matrix, right.T).T, True
    right = jnp.broadcast_to(right, (number, matrix.shape[-1]))
    return jnp.linalg.solve(matrix, right[..., None])[..., 0], True


def _by_library(matrix: Array, right: Array, envelope: Envelope | None) -> Array:
    del envelope
    return jnp.linalg.solve(matrix, right)


def _eliminate(matrix: Array, right: Array, envelope: Envelope | None) -> Array:
    if envelope is None or right.size <= FEW:
        return _full(matrix, right)
    return _within(matrix, right, *envelope)


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
    """Eliminate within an envelope, a piece of a row at a time, then substitute backwards."""
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
