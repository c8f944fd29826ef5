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
from jaxtyping import Bool, Float, Int, Key, UInt32

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.random_variables import threefry
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import AGENT, NOISE, Step, cut_off, invert

__all__ = ["CHUNK", "Periods", "chunks", "follow_policy", "walk"]

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


class Periods(NamedTuple):
    """How a walk is cut into periods, at whose beginnings something is done that its steps then go by.

    Attributes
    ----------
    begin : callable
        ``begin(moment, taken) -> moment``.
    due : callable
        ``due(moment) -> bool``: whether a period begins before the next step. It holds no longer after `begin`.
    """

    begin: Callable[[Any, Array], Any]
    due: Callable[[Any], Bool[Array, ""]]


def walk(
    step: Callable[[Any, Array, Array], tuple[Any, Any]],
    key: Key[Array, ""],
    moment: Any,
    taken: Int[Array, ""],
    until: Int[Array, ""],
    *,
    noisy: bool,
    periods: Periods | None = None,
) -> tuple[Any, Any]:
    """Take the steps after number `taken` up to number `until`, at most `CHUNK`.

    Steps stand in a loop of their own inside that over periods, because on a CPU XLA compiles a loop without scatters
    and calls of libraries, which carries fewer than some 60 arrays, into one kernel: 30 ns a step of an agent between
    two plans, where a loop of kernels takes 1,000. Where planning for a few states has none of them either, a whole run
    is one kernel.

    Parameters
    ----------
    step : callable
        ``step(moment, taken, uniforms) -> (moment, record)``, with numbers that are uniform in [0, 1), in the places
        that :mod:`bayesmdp.problems.world` names.
    key : key
        The world's.
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
    uniforms_after = partial(_uniforms, key, noisy)
    shapes = jax.eval_shape(lambda: step(moment, taken, uniforms_after(taken)[0]))
    records = jax.tree.map(lambda leaf: jnp.zeros((CHUNK, *leaf.shape), leaf.dtype), shapes[1])

    def next_block(carry: Any) -> Any:
        before, moment, records = carry
        uniforms, length = uniforms_after(before), jnp.minimum(BLOCK, until - before)

        def next_step(carry: Any) -> Any:
            i, moment, records = carry
            moment, record = step(moment, before + i, lax.dynamic_index_in_dim(uniforms, i, 0, False))
            # Indexing with .at would scatter, which is slower on a CPU.
            write = partial(lax.dynamic_update_index_in_dim, index=before - taken + i, axis=0)
            return i + 1, moment, jax.tree.map(write, records, record)

        def in_period(carry: Any) -> Bool[Array, ""]:
            within = carry[0] < length
            return within if periods is None else within & ~periods.due(carry[1])

        def next_period(carry: Any) -> Any:
            i, moment, records = carry
            if periods is not None:
                begin = periods.begin
                moment = lax.cond(periods.due(moment), begin, lambda moment, taken: moment, moment, before + i)
            return lax.while_loop(in_period, next_step, (i, moment, records))

        block = lax.while_loop(lambda carry: carry[0] < length, next_period, (jnp.int32(0), moment, records))
        return before + BLOCK, *block[1:]

    return lax.while_loop(lambda carry: carry[0] < until, next_block, (taken, moment, records))[1:]


def _uniforms(key: Key[Array, ""], noisy: bool, taken: Int[Array, ""]) -> Float[Array, "step place"]:
    """Make the numbers of the next `BLOCK` steps: of step t, words 3 t to 3 t + 2 of the key, and t of the noise's.

    They are those of ``random.uniform(random.split(key, (steps, 3)))``, which takes five times as long, and which a
    call for each step would repeat.
    """
    step = (taken + jnp.arange(BLOCK)).astype(jnp.uint32)
    parts = [(key, 3 * step[:, None] + jnp.arange(NOISE, dtype=jnp.uint32))]
    if noisy:
        parts.append((random.fold_in(key, 1), step[:, None]))
    return jnp.concatenate([_uniform(random.key_data(own)[:2], place) for own, place in parts], axis=1)


def _uniform(words: UInt32[Array, " 2"], place: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """Return numbers in [0, 1) from the first 52 of 64 bits, as `jax.random.uniform` makes them of keys."""
    high, low = threefry(words, jnp.zeros_like(place), place)
    bits = high.astype(jnp.uint64) << 20 | low.astype(jnp.uint64) >> 12
    return lax.bitcast_convert_type(bits | np.uint64(0x3FF0000000000000), jnp.float64) - 1


def follow_policy(
    key: Key[Array, ""],
    problem: Problem,
    kernel: Float[Array, "state action outcome"],
    policy: Float[Array, "stage state action"],
    *,
    world: Any,
    steps: int,
    length: int | None = None,
) -> tuple[Step, Bool[np.ndarray, " step"]]:
    """Follow a policy given as probabilities for `steps` steps, with 64 bits on.

    Parameters
    ----------
    key : key
    problem : Problem
    kernel : array [state, action, outcome]
        The true one.
    policy : array [stage, state, action]
        Of one stage, what is done at every step of an episode; otherwise a stage a step of it.
    world : callable
        ``world(problem, kernel) -> World``.
    steps : int
    length : int, optional
        After how many steps an episode that has not ended is cut off, and the next one begins.

    Returns
    -------
    Step
        Fields [step], on the host.
    cut : bool array [step]
        Whether the episode was cut off after the step.
    """
    problem, kernel, policy = jax.device_put((problem, kernel, policy))
    most = None if length is None else np.int32(length)
    step_key, state = _set_out(key, problem, kernel, world=world)
    moment, parts = (state, np.int32(0)), []
    for begin, end in chunks(steps, ()):
        until = (np.int32(begin), np.int32(end))
        moment, record = _follow(step_key, moment, problem, kernel, policy, most, *until, world=world)
        parts.append(jax.tree.map(lambda field: np.asarray(field)[: end - begin], record))  # noqa: B023
    return jax.tree.map(lambda *fields: np.concatenate(fields), *parts)


@partial(jax.jit, static_argnames="world")
def _set_out(
    key: Key[Array, ""], problem: Problem, kernel: Float[Array, "state action outcome"], *, world: Any
) -> tuple[Key[Array, ""], Int[Array, ""]]:
    """Return the key of the steps' random numbers, and the first state."""
    start_key, step_key = random.split(key)
    return step_key, world(problem, kernel).start(start_key)


@partial(jax.jit, static_argnames="world")
def _follow(
    key: Key[Array, ""],
    moment: tuple[Int[Array, ""], Int[Array, ""]],
    problem: Problem,
    kernel: Float[Array, "state action outcome"],
    policy: Float[Array, "stage state action"],
    length: Int[Array, ""] | None,
    taken: Int[Array, ""],
    until: Int[Array, ""],
    *,
    world: Any,
) -> tuple[tuple[Int[Array, ""], Int[Array, ""]], tuple[Step, Bool[Array, " step"]]]:
    """Take steps by actions drawn from the policy; return the state they lead to and its age, and the steps."""
    acted_in, choice = world(problem, kernel)._replace(length=length), jnp.cumsum(policy, -1)

    def step(
        moment: tuple[Int[Array, ""], Int[Array, ""]], taken: Int[Array, ""], uniforms: Float[Array, " place"]
    ) -> tuple[tuple[Int[Array, ""], Int[Array, ""]], tuple[Step, Bool[Array, ""]]]:
        del taken
        state, age = moment
        stage = jnp.minimum(age, len(choice) - 1)
        record, following = acted_in.step(uniforms, state, invert(choice, uniforms[AGENT], stage, state))
        if length is None:
            return (following, age), (record, jnp.zeros((), bool))
        following, age, cut = cut_off(acted_in, uniforms, record, following, age)
        return (following, age), (record, cut)

    return walk(step, key, moment, taken, until, noisy=acted_in.noisy)
