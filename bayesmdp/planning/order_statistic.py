"""The order statistic of each pair over draws, by interpolation search."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Int, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import once

__all__ = ["order_statistic"]

COUNTS = 12
"""Counts between two looks at which samples are left; about 6 isolate an order statistic of 200 draws."""

FEW_COLUMNS = 32
"""Below so many columns XLA adds floating-point numbers faster than whole ones."""


def order_statistic(
    values: Num[Array, "draw ..."], rank: int | Int[Array, "..."], *, guess: Num[Array, "..."] | None = None
) -> Num[Array, "..."]:
    """The `rank`-th smallest of `values` along the first axis: exactly what sorting would give.

    A search on the value, several times faster than XLA's sort on a CPU. The candidates left in a column lie in a
    bracket, ``below`` of its samples under all of them and ``upto`` at or under its upper end; a pivot is counted and
    becomes one end. The pivot is, by turns, where the answer would lie if the candidates were spread evenly, and the
    middle: of samples as uneven as can be this needs at most twice the counts of bisection. When one candidate is known
    to be the answer (``below == rank - 1`` or ``upto == rank``), or all are equal, it is read off. Every `COUNTS`
    counts the smallest candidate itself is the pivot, so ties, infinities and samples one rounding apart cannot stall
    the search.

    Parameters
    ----------
    values : array [draw, ...]
    rank : int or int array [...]
        From 1 to the number of draws.
    guess : array [...], optional
        First pivot; where it is the answer, one count finds it.

    Returns
    -------
    array [...]
        NaN where a column holds a NaN.

    Examples
    --------
    >>> import numpy as np
    >>> int(order_statistic(np.array([3.0, 1.0, 2.0, 2.0]), 2))
    2
    """
    # A sample that is a pivot must be equal to itself wherever it is counted.
    values = once(jnp.asarray(values))
    rank = jnp.broadcast_to(jnp.asarray(rank, jnp.int32), values.shape[1:])
    largest = np.finfo(values.dtype).max
    counted = values.dtype if rank.size < FEW_COLUMNS else jnp.int32

    def between(low: Array, high: Array, share: Array | float) -> Array:
        low, high = jnp.clip(low, -largest, largest), jnp.clip(high, -largest, largest)
        # Rounding must not take it out of the bracket, which would grow again.
        return jnp.clip((low * (1 - share) + high * share).astype(values.dtype), low, high)

    def known(below: Array, upto: Array) -> Array:
        return (below == rank - 1) | (upto == rank)

    def count(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        rounds, low, high, below, upto, pivot = carry
        number = jnp.sum(values <= pivot, axis=0, dtype=counted).astype(jnp.int32)
        under = number < rank
        low, below = jnp.where(under, pivot, low), jnp.where(under, number, below)
        high, upto = jnp.where(under, high, pivot), jnp.where(under, upto, number)
        share = jnp.where(rounds % 2 == 0, (rank - below - 0.5) / (upto - below), 0.5)
        return rounds + 1, low, high, below, upto, between(low, high, share)

    def unfinished(carry: tuple[Array, ...]) -> Array:
        rounds, low, high, below, upto, _ = carry
        return (rounds < COUNTS) & ~jnp.all(known(below, upto) | (low >= high))

    def look(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        _, low, high, below, upto, pivot, _ = carry
        _, low, high, below, upto, _ = lax.while_loop(unfinished, count, (jnp.int32(0), low, high, below, upto, pivot))
        # Until a pivot has moved it, the lower end is itself a candidate.
        least = jnp.min(jnp.where((values > low) | (below == 0), values, jnp.inf), axis=0)
        most = jnp.max(jnp.where(values <= high, values, -jnp.inf), axis=0)
        alike = ~(least < most)
        done = jnp.all(alike | known(below, upto))
        return done, low, high, below, upto, least, jnp.where(alike | (below == rank - 1), least, most)

    low, high = jnp.min(values, axis=0), jnp.max(values, axis=0)
    none = jnp.zeros_like(rank)
    pivot = between(low, high, 0.5) if guess is None else jnp.asarray(guess, values.dtype)
    start = (jnp.asarray(False), low, high, none, none + values.shape[0], pivot, low)
    return lax.while_loop(lambda carry: ~carry[0], look, start)[-1]
