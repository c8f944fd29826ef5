"""Steps in a world, in one compiled loop whose length is no part of the program.

The loop is called for at most `CHUNK` steps at a time, from any step on, so that nothing compiles again for a longer
run. Random numbers are laid out by step: the world's depend on the run's key and the step alone, so agents run together
meet the same luck, and a shorter run is the beginning of a longer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step, invert

__all__ = ["CHUNK", "COIN", "Luck", "chunks", "follow_policy", "walk"]

CHUNK, BLOCK = 4_096, 256
"""Most steps of one call, and those whose random numbers are made at once.

A call of more steps costs a short run more: it makes arrays of so many rows whatever it is asked for.
"""

UNIFORMS, COIN = 3, 2
"""Uniform numbers a step: two for the world, one for the agent's coin or a randomised policy's choice."""


def chunks(steps: int, checkpoints: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where the calls that make up a run begin and end: at most `CHUNK` steps apart, and at each checkpoint."""
    ends = sorted({*range(CHUNK, steps, CHUNK), *checkpoints, steps})
    return zip([0, *ends], ends, strict=False)


class Luck(NamedTuple):
    """Random numbers of a step: uniform ones, and the keys with which an agent begins, acts and observes."""

    uniforms: Array
    keys: Array | None


def walk(
    step: Callable[[Any, Array, Luck], tuple[Any, Any]],
    keys: Array,
    moment: Any,
    taken: Array,
    until: Array,
    *,
    noisy: bool,
) -> tuple[Any, Any]:
    """The moment after step number `until`, begun after `taken`, and what each step told, in arrays of `CHUNK` rows."""
    noise_key = random.fold_in(keys[0], 1) if noisy else None
    luck_after = partial(_luck, keys, noise_key)
    shapes = jax.eval_shape(lambda: step(moment, taken, jax.tree.map(lambda part: part[0], luck_after(taken))))
    told = jax.tree.map(lambda leaf: jnp.zeros((CHUNK, *leaf.shape), leaf.dtype), shapes[1])

    def block(carry: Any) -> Any:
        at, moment, told = carry
        luck = luck_after(at)

        def one(i: Array, carry: Any) -> Any:
            moment, told = carry
            moment, new = step(
                moment, at + i, jax.tree.map(lambda part: lax.dynamic_index_in_dim(part, i, 0, False), luck)
            )
            # Indexing with .at would scatter, which is slower on a CPU.
            write = partial(lax.dynamic_update_index_in_dim, index=at - taken + i, axis=0)
            return moment, jax.tree.map(write, told, new)

        return at + BLOCK, *lax.fori_loop(0, jnp.minimum(BLOCK, until - at), one, (moment, told))

    return lax.while_loop(lambda carry: carry[0] < until, block, (taken, moment, told))[1:]


def _luck(keys: Array, noise_key: Array | None, taken: Array) -> Luck:
    """Of the next `BLOCK` steps: of step t the words 3 t to 3 t + 2 of each key, and word t of that for noisy rewards.

    The keys are the world's, and the agent's if there is one. One sweep makes all words, since each costs time to
    compile; they are those of ``random.split(key, (steps, 3))`` and ``random.uniform(key, (steps, 3))``.
    """
    step = taken + jnp.arange(BLOCK)
    words = (3 * step[:, None] + jnp.arange(3)).ravel()
    parts = [(key, words) for key in keys]
    if noise_key is not None:
        parts.append((noise_key, step))
    owners, asked = zip(*parts, strict=True)
    owner = jnp.repeat(jnp.arange(len(parts)), np.array([part.size for part in asked]))
    made = jax.vmap(random.fold_in)(jnp.stack(owners)[owner], jnp.concatenate(asked))
    world, *rest = jnp.split(made, np.cumsum([part.size for part in asked])[:-1])
    uniforms = _uniform(world).reshape(BLOCK, UNIFORMS)
    if noise_key is not None:
        uniforms = jnp.concatenate([uniforms, _uniform(rest.pop())[:, None]], axis=1)
    return Luck(uniforms, rest[0].reshape(BLOCK, 3) if rest else None)


def _uniform(keys: Array) -> Array:
    """Numbers in [0, 1) from the first 52 of the keys' 64 bits, as `jax.random.uniform` makes them."""
    words = random.key_data(keys)[..., :2].astype(jnp.uint64)
    bits = words[..., 0] << 20 | words[..., 1] >> 12
    return lax.bitcast_convert_type(bits | np.uint64(0x3FF0000000000000), jnp.float64) - 1


def follow_policy(key: Array, problem: Problem, kernel: Array, policy: Array, *, world: Any, steps: int) -> Step:
    """`steps` steps of a policy given as probabilities [state, action], with 64 bits on: fields [step], on the host."""
    problem, kernel, policy = jax.device_put((problem, kernel, policy))
    keys, state = _set_out(key, problem, kernel, world=world)
    parts = []
    for begin, end in chunks(steps, ()):
        state, seen = _follow(keys, state, problem, kernel, policy, np.int32(begin), np.int32(end), world=world)
        parts.append(jax.tree.map(lambda field: np.asarray(field)[: end - begin], seen))  # noqa: B023
    return jax.tree.map(lambda *fields: np.concatenate(fields), *parts)


@partial(jax.jit, static_argnames="world")
def _set_out(key: Array, problem: Problem, kernel: Array, *, world: Any) -> tuple[Array, Array]:
    start_key, step_key = random.split(key)
    return step_key[None], world(problem, kernel).start(start_key)


@partial(jax.jit, static_argnames="world")
def _follow(
    keys: Array, state: Array, problem: Problem, kernel: Array, policy: Array, taken: Array, until: Array, *, world: Any
) -> tuple[Array, Step]:
    take_step, choice = world(problem, kernel).step, jnp.cumsum(policy, -1)

    def step(state: Array, taken: Array, luck: Luck) -> tuple[Array, Step]:
        del taken
        seen, following = take_step(luck.uniforms, state, invert(choice[state], luck.uniforms[COIN]))
        return following, seen

    return walk(step, keys, state, taken, until, noisy=problem.noise is not None)
