"""Steps in a world, in one compiled loop whose length is no part of the program.

The loop is called for at most `CHUNK` steps at a time, from any step on, so that nothing compiles again for a longer
run. Random numbers are laid out by step: the world's depend on the run's key and the step alone, so agents run together
meet the same random numbers, and a shorter run is the beginning of a longer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Bool, Float, Int, Key

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import AGENT, NOISE, Step, invert

__all__ = ["CHUNK", "Periods", "RandomNumbers", "chunks", "follow_policy", "walk"]

CHUNK, BLOCK = 4_096, 256
"""Most steps of one call, and those whose random numbers are made at once.

A call of more steps costs a short run more: it makes arrays of so many rows whatever it is asked for.
"""


def chunks(steps: int, checkpoints: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Return where the calls that make up a run begin and end: at most `CHUNK` steps apart, and at each checkpoint.

    Parameters
    ----------
    steps : int
        Steps of the run.
    checkpoints : sequence of int
        Numbers of steps after which a call has to end.

    Returns
    -------
    iterator of (begin, end)
        Numbers of steps taken.
    """
    ends = sorted({*range(CHUNK, steps, CHUNK), *checkpoints, steps})
    return zip([0, *ends], ends, strict=False)


class RandomNumbers(NamedTuple):
    """The random numbers of a step, or of several with a leading axis.

    Attributes
    ----------
    uniforms : array [..., place]
        Uniform in [0, 1), in the places that :mod:`bayesmdp.problems.world` names.
    keys : array [..., 3], optional
        With which an agent begins, acts and observes; None where no agent acts.
    """

    uniforms: Float[Array, "*step place"]
    keys: Key[Array, "*step use"] | None


class Periods(NamedTuple):
    """How a walk is cut into periods, at whose beginnings something is done that its steps then go by.

    Attributes
    ----------
    begin : callable
        ``begin(moment, taken, random_numbers) -> moment``, with the random numbers of the period's first step.
    due : callable
        ``due(moment) -> bool``: whether a period begins before the next step. It holds no longer after `begin`.
    """

    begin: Callable[[Any, Array, RandomNumbers], Any]
    due: Callable[[Any], Bool[Array, ""]]


def walk(
    step: Callable[[Any, Array, RandomNumbers], tuple[Any, Any]],
    keys: Key[Array, " owner"],
    moment: Any,
    taken: Int[Array, ""],
    until: Int[Array, ""],
    *,
    noisy: bool,
    periods: Periods | None = None,
) -> tuple[Any, Any]:
    """Take the steps after number `taken` up to number `until`, at most `CHUNK`.

    Steps stand in a loop of their own inside that over periods, because XLA compiles a loop that is light enough, as
    the steps of most agents are between two plans, into one kernel: 20 ns a step where a loop of kernels takes 1,000.
    What makes a loop light, on a CPU: its body reads and writes less than 1,024 bytes, and holds no scatter, matrix
    product, sort or call of a library.

    Parameters
    ----------
    step : callable
        ``step(moment, taken, random_numbers) -> (moment, record)``.
    keys : array [owner]
        The world's key, and the agent's if there is one.
    moment : pytree
        Where the run is after `taken` steps.
    taken, until : int
    noisy : bool
        Whether the world also needs a number for the noise of rewards.
    periods : Periods, optional

    Returns
    -------
    moment : pytree
        Where the run is after `until` steps.
    records : pytree, leading axis [CHUNK]
        What was recorded of each step; rows beyond the last step are zeros.
    """
    noise_key = random.fold_in(keys[0], 1) if noisy else None
    numbers_after = partial(_random_numbers, keys, noise_key)
    shapes = jax.eval_shape(lambda: step(moment, taken, jax.tree.map(lambda part: part[0], numbers_after(taken))))
    records = jax.tree.map(lambda leaf: jnp.zeros((CHUNK, *leaf.shape), leaf.dtype), shapes[1])

    def next_block(carry: Any) -> Any:
        before, moment, records = carry
        numbers, length = numbers_after(before), jnp.minimum(BLOCK, until - before)

        def of_step(i: Int[Array, ""]) -> RandomNumbers:
            return jax.tree.map(lambda part: lax.dynamic_index_in_dim(part, i, 0, False), numbers)

        def next_step(carry: Any) -> Any:
            i, moment, records = carry
            moment, record = step(moment, before + i, of_step(i))
            # Indexing with .at would scatter, which is slower on a CPU.
            write = partial(lax.dynamic_update_index_in_dim, index=before - taken + i, axis=0)
            return i + 1, moment, jax.tree.map(write, records, record)

        def in_period(carry: Any) -> Bool[Array, ""]:
            within = carry[0] < length
            return within if periods is None else within & ~periods.due(carry[1])

        def next_period(carry: Any) -> Any:
            i, moment, records = carry
            if periods is not None:
                begin = partial(periods.begin, taken=before + i, random_numbers=of_step(i))
                moment = lax.cond(periods.due(moment), begin, lambda moment: moment, moment)
            return lax.while_loop(in_period, next_step, (i, moment, records))

        block = lax.while_loop(lambda carry: carry[0] < length, next_period, (jnp.int32(0), moment, records))
        return before + BLOCK, *block[1:]

    return lax.while_loop(lambda carry: carry[0] < until, next_block, (taken, moment, records))[1:]


def _random_numbers(
    keys: Key[Array, " owner"], noise_key: Key[Array, ""] | None, taken: Int[Array, ""]
) -> RandomNumbers:
    """Make those of the next `BLOCK` steps: of step t the words 3 t to 3 t + 2 of each key, and word t of the noise's.

    One sweep makes all words, since each costs time to compile; they are those of ``random.split(key, (steps, 3))``
    and ``random.uniform(key, (steps, 3))``.
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
    uniforms = _uniform(world).reshape(BLOCK, NOISE)
    if noise_key is not None:
        uniforms = jnp.concatenate([uniforms, _uniform(rest.pop())[:, None]], axis=1)
    return RandomNumbers(uniforms, rest[0].reshape(BLOCK, 3) if rest else None)


def _uniform(keys: Key[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Return numbers in [0, 1) from the first 52 of the keys' 64 bits, as `jax.random.uniform` makes them."""
    words = random.key_data(keys)[..., :2].astype(jnp.uint64)
    bits = words[..., 0] << 20 | words[..., 1] >> 12
    return lax.bitcast_convert_type(bits | np.uint64(0x3FF0000000000000), jnp.float64) - 1


def follow_policy(
    key: Key[Array, ""],
    problem: Problem,
    kernel: Float[Array, "state action outcome"],
    policy: Float[Array, "state action"],
    *,
    world: Any,
    steps: int,
) -> Step:
    """Follow a policy given as probabilities for `steps` steps, with 64 bits on.

    Parameters
    ----------
    key : key
    problem : Problem
    kernel : array [state, action, outcome]
        The true one.
    policy : array [state, action]
    world : callable
        ``world(problem, kernel) -> World``.
    steps : int

    Returns
    -------
    Step
        Fields [step], on the host.
    """
    problem, kernel, policy = jax.device_put((problem, kernel, policy))
    keys, state = _set_out(key, problem, kernel, world=world)
    parts = []
    for begin, end in chunks(steps, ()):
        state, record = _follow(keys, state, problem, kernel, policy, np.int32(begin), np.int32(end), world=world)
        parts.append(jax.tree.map(lambda field: np.asarray(field)[: end - begin], record))  # noqa: B023
    return jax.tree.map(lambda *fields: np.concatenate(fields), *parts)


@partial(jax.jit, static_argnames="world")
def _set_out(
    key: Key[Array, ""], problem: Problem, kernel: Float[Array, "state action outcome"], *, world: Any
) -> tuple[Key[Array, " 1"], Int[Array, ""]]:
    """Return the key of the steps' random numbers, and the first state."""
    start_key, step_key = random.split(key)
    return step_key[None], world(problem, kernel).start(start_key)


@partial(jax.jit, static_argnames="world")
def _follow(
    keys: Key[Array, " 1"],
    state: Int[Array, ""],
    problem: Problem,
    kernel: Float[Array, "state action outcome"],
    policy: Float[Array, "state action"],
    taken: Int[Array, ""],
    until: Int[Array, ""],
    *,
    world: Any,
) -> tuple[Int[Array, ""], Step]:
    """Take steps by actions drawn from the policy; return the state they lead to, and the steps."""
    acted_in, choice = world(problem, kernel), jnp.cumsum(policy, -1)

    def step(state: Int[Array, ""], taken: Int[Array, ""], numbers: RandomNumbers) -> tuple[Int[Array, ""], Step]:
        del taken
        record, following = acted_in.step(numbers.uniforms, state, invert(choice[state], numbers.uniforms[AGENT]))
        return following, record

    return walk(step, keys, state, taken, until, noisy=acted_in.noisy)
