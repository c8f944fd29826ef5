"""Fast Gamma and Dirichlet draws on the CPU: the work an agent does at every plan.

Marsaglia and Tsang (2000): with ``d = a - 1/3``, ``c = 1 / sqrt(9 d)``, ``x ~ Normal(0, 1)`` and ``y = c x``, accept
``d (1 + y)^3`` as a Gamma(a) draw, a >= 1, with probability ``exp(h)``, where

    h = x^2 / 2 + d (1 - (1 + y)^3 + 3 log(1 + y)) = d (3 (log(1 + y) - y) + y^2 (3/2 - y)),

the second form being free of cancellation at large shapes. For a < 1, ``Gamma(a) = Gamma(a + 1) exp(-E / a)`` with E
exponential. Everything is in logs, for at concentration 0.01 most draws are below the smallest float.

One proposal in 20 or fewer is rejected. A loop until every draw is accepted would repeat all of them five times over,
so draws stand in blocks of 16 to 32 and each round proposes again for one rejected draw of each block. Where there are
many draws of each variable a block is of one variable, whose shape need not be looked up then.

Proposals are made in 32 bits, from the 64 bits of one Threefry block each (24 for the normal, 24 for the exponential,
16 for the test): what lies beyond 5.4 standard deviations, or below probability 1e-8 near zero, is cut off, and the
density is off by less than one part in 10^5. Sums and normalisation are in 64 bits.
"""

from __future__ import annotations

import math
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Key, Shaped, UInt32

from bayesmdp.foundation.arrays import Array

__all__ = ["dirichlet", "kept", "rolled_log_gamma", "standard_log_gamma", "standard_normal", "uniforms"]

BLOCK, LARGEST = 16, 32
"""Draws in a block: at the least, and at the most, for there is a bit for each."""

LEAST = np.float32(-0.9999)
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def standard_log_gamma(
    key: Key[Array, ""], concentration: Float[Array, "..."], num_draws: int | None = None
) -> Float[Array, "..."]:
    """Logs of Gamma(concentration, 1) draws.

    Parameters
    ----------
    key : PRNG key
    concentration : array [...]
        Positive; not checked.
    num_draws : int, optional
        Adds a leading axis ``draw``.

    Returns
    -------
    array [...] or [draw, ...], float64

    Examples
    --------
    >>> with jax.enable_x64(True):
    ...     draws = standard_log_gamma(jax.random.key(0), np.array([0.1, 1.0, 10.0]), 100_000)
    ...     print(np.exp(draws).mean(0).round(1))
    [ 0.1  1.  10. ]
    """
    concentration = jnp.asarray(concentration, jnp.float64)
    copies = 1 if num_draws is None else num_draws
    shape = concentration.shape if num_draws is None else (num_draws, *concentration.shape)
    if 0 in shape:
        return jnp.zeros(shape)
    flat = concentration.ravel()
    # Blocks of one variable's draws, of equal and at most `LARGEST` draws; where these are few, blocks of variables.
    if copies >= BLOCK:
        groups = -(-copies // LARGEST)
        block, each = -(-copies // groups), jnp.tile(flat, groups)[None]
    else:
        block = BLOCK
        each = jnp.pad(jnp.tile(flat, copies), (0, -copies * flat.size % BLOCK), constant_values=1.0).reshape(BLOCK, -1)
    small = each < 1
    d = jnp.where(small, each + 1, each) - 1 / 3
    # A draw of a variable is a row of d; what is read from here on is made of whole arrays, in vectors.
    log_d, rate, d = kept((jnp.log(d), jnp.where(small, 1 / each, 0.0), d.astype(jnp.float32)))
    log_factor, exponential = _accepted(key, d, block)
    log_gamma = kept(log_d + log_factor.astype(jnp.float64) - exponential * rate)
    return log_gamma.ravel()[: copies * flat.size].reshape(shape)


def rolled_log_gamma(words: UInt32[Array, " 2"], concentration: Float[Array, "..."]) -> Float[Array, "..."]:
    """Draw what `standard_log_gamma` does with one copy of the proposal, which compiles three times as fast.

    Every draw is proposed again until all are accepted, which takes three times as long to run: for few draws, or for
    such as are made once.

    Parameters
    ----------
    words : array [2], uint32
        Random bits.
    concentration : array [...]
        Positive; not checked.

    Examples
    --------
    >>> words = jax.random.bits(jax.random.key(0), (2,), "uint32")
    >>> with jax.enable_x64(True):
    ...     draws = rolled_log_gamma(words, np.tile([0.1, 1.0, 10.0], (100_000, 1)))
    ...     print(np.exp(draws).mean(0).round(1))
    [ 0.1  1.  10. ]
    """
    concentration = jnp.asarray(concentration, jnp.float64)
    small = concentration < 1
    d = jnp.where(small, concentration + 1, concentration) - 1 / 3
    counter = lax.iota(jnp.uint32, d.size).reshape(d.shape)
    begun = d.astype(jnp.float32)

    def again(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        attempt, done, log_factor, exponential = carry
        accepted, proposed, other = _propose(words, counter, attempt, begun)
        log_factor = jnp.where(done, log_factor, proposed)
        return attempt + 1, done | accepted, log_factor, jnp.where(attempt == 0, other, exponential)

    first = (np.uint32(0), jnp.zeros(d.shape, bool), begun, begun)
    _, _, log_factor, exponential = lax.while_loop(lambda carry: ~carry[1].all(), again, first)
    return jnp.log(d) + log_factor.astype(jnp.float64) - exponential * jnp.where(small, 1 / concentration, 0.0)


def dirichlet(
    key: Key[Array, ""], concentration: Float[Array, "... category"], num_draws: int
) -> Float[Array, "draw ... category"]:
    """Draw Dirichlet variables, in 64 bits.

    Parameters
    ----------
    key : key
    concentration : array [..., category]
    num_draws : int

    Returns
    -------
    array [draw, ..., category]

    Examples
    --------
    >>> with jax.enable_x64(True):
    ...     print(dirichlet(jax.random.key(0), np.array([1.0, 2.0, 7.0]), 100_000).mean(0).round(2))
    [0.1 0.2 0.7]
    """
    return normalise(standard_log_gamma(key, concentration, num_draws))


def normalise(log_gamma: Float[Array, "... category"]) -> Float[Array, "... category"]:
    """Probabilities proportional to ``exp(log_gamma)`` along the last axis."""
    gamma = jnp.exp(log_gamma - log_gamma.max(-1, keepdims=True))
    return gamma / gamma.sum(-1, keepdims=True)


@partial(jax.jit, static_argnames="block")
def _accepted(key: Key[Array, ""], d: Float[Array, "some width"], block: int) -> tuple[Array, Array]:
    """Accepted ``3 log(1 + y)`` [block, width] and an independent standard exponential; `d` may be one row for all."""
    width = d.shape[-1]
    words = jax.random.bits(key, (2,), jnp.uint32)  # two words, whatever kind of key the user has chosen
    counter = lax.iota(jnp.uint32, block * width).reshape(block, width)
    accepted, log_factor, exponential = kept(
        _propose(words, counter, np.uint32(0), jnp.broadcast_to(d, (block, width)))
    )
    # One bit a draw, so that finding the next rejected draw of a block is one instruction.
    bit = np.uint32(1) << lax.iota(jnp.uint32, block)[:, None]
    rejected = jnp.where(accepted, np.uint32(0), bit).sum(0, dtype=jnp.uint32)
    column = lax.iota(jnp.uint32, width)

    def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        attempt, rejected, log_factor = carry
        # A block that has none left asks for no bit: its proposal replaces nothing.
        lowest = rejected & (~rejected + np.uint32(1))
        its_d = d[0]
        if len(d) > 1:
            place = jnp.minimum(lax.population_count(lowest - np.uint32(1)), np.uint32(block - 1))
            its_d = d.ravel().at[place * np.uint32(width) + column].get(mode="promise_in_bounds")
        accepted, proposed, _ = _propose(words, column, attempt, its_d)
        replaced, proposed = kept((jnp.where(accepted, lowest, np.uint32(0)), proposed))
        return attempt + 1, rejected & ~replaced, jnp.where(bit == replaced, proposed, log_factor)

    first = (np.uint32(1), rejected, log_factor)
    _, _, log_factor = lax.while_loop(lambda carry: (carry[1] > 0).any(), again, first)
    return log_factor, exponential


def _propose(
    words: UInt32[Array, " 2"], counter: Shaped[Array, "..."], attempt: Shaped[Array, ""], d: Float[Array, "..."]
) -> tuple[Bool[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    """Whether accepted, ``3 log(1 + y)``, and an exponential."""
    first, second = kept(threefry(words, counter, jnp.full_like(counter, attempt)))
    x = kept(np.float32(np.sqrt(2)) * lax.erf_inv(_unit(first) * 2 - 1))
    exponential = -jnp.log(_unit(second))
    uniform = (((first & 255) << 8 | (second & 255)).astype(jnp.float32) + np.float32(0.5)) * np.float32(2**-16)
    cx = lax.rsqrt(9 * d) * x
    y = jnp.maximum(cx, LEAST)
    log_factor = jnp.log1p(y)
    h = d * (3 * (log_factor - y) + y * y * (np.float32(1.5) - y))
    return (uniform < jnp.exp(h)) & (cx > LEAST), 3 * log_factor, exponential


def kept[T](values: T) -> T:
    """The same, computed once and in whole arrays.

    XLA would repeat it in each kernel that reads it, which takes longer, to compile too; and a kernel that computes
    what it then cuts or shapes anew does so number by number, not in vectors: up to ten times as long.
    """
    return cast(T, lax.optimization_barrier(values))  # type: ignore[no-untyped-call]


def _unit(bits: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """Uniform on (0, 1) from the upper 24 bits, never 0 or 1."""
    return jnp.minimum(
        (bits >> 8).astype(jnp.float32) * np.float32(2**-24) + np.float32(2**-25), np.float32(1 - 2**-24)
    )


def uniforms(words: UInt32[Array, " 2"], number: Array | int, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Uniform numbers on (0, 1), float64: other ones for each `number`, an unsigned integer.

    JAX's own take longer to compile: they split keys, and each of their calls is a loop of ten kernels.

    Parameters
    ----------
    words : array [2], uint32
        Random bits.
    """
    counter = lax.iota(jnp.uint32, math.prod(shape))
    high, low = kept(threefry(words, counter, jnp.full_like(counter, number)))
    upper, lower = (bits >> np.uint32(k) for bits, k in ((high, 5), (low, 6)))
    return kept(((upper * 2.0**26 + lower + 0.5) * 2.0**-53).reshape(shape))


def standard_normal(words: UInt32[Array, " 2"], number: Array | int, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers, float64: other ones for each `number`, an unsigned integer below 2^31.

    They are made in 32 bits, as those of proposals, and are apart from `uniforms` of the same words and number.

    Parameters
    ----------
    words : array [2], uint32
        Random bits.
    """
    size = math.prod(shape)
    counter = lax.iota(jnp.uint32, -(-size // 2))
    bits = kept(threefry(words, counter, jnp.full_like(counter, jnp.asarray(number, jnp.uint32) | np.uint32(1 << 31))))
    normal = kept(np.float32(np.sqrt(2)) * lax.erf_inv(_unit(kept(jnp.concatenate(bits))) * 2 - 1))
    return normal[:size].reshape(shape).astype(jnp.float64)


def threefry(
    words: UInt32[Array, " 2"], x0: UInt32[Array, "..."], x1: UInt32[Array, "..."]
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """Compute Threefry-2x32, 20 rounds, written out: JAX's own runs as a loop on the CPU.

    Parameters
    ----------
    words : uint32 array [2]
        The key.
    x0, x1 : uint32 arrays [...]
        The counters.

    Returns
    -------
    two uint32 arrays [...]
    """
    schedule = (words[0], words[1], words[0] ^ words[1] ^ np.uint32(0x1BD11BDA))
    x0, x1 = x0 + schedule[0], x1 + schedule[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = (x1 << np.uint32(rotation) | x1 >> np.uint32(32 - rotation)) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1
