"""Beliefs by particles about continuous problems: the steps themselves are kept, in room that is fixed beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key, UInt32
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.records import Records
from bayesmdp.posterior.beliefs.particle_draws import ParticleDraws
from bayesmdp.posterior.particles.evaluation import (
    evaluate,
    prior_draw,
    values_at,
)
from bayesmdp.posterior.particles.hmc import Target, finite
from bayesmdp.posterior.particles.sampler import Particles, advance, start

if TYPE_CHECKING:
    from bayesmdp.problems.world import Step

__all__ = ["PrimitiveParticles", "Room", "one_row"]


class Room(NamedTuple):
    """State of a belief by particles.

    Attributes
    ----------
    data : Records
        The steps so far, of weight 1, and empty rows of weight 0.
    count : int
    particles : Particles
        Those of the last draw.
    """

    data: Records
    count: Int[Array, ""]
    particles: Particles


@dataclass(frozen=True, eq=False)
class PrimitiveParticles(ParticleDraws):
    """The functions of a belief about recorded primitives.

    Attributes
    ----------
    probe : Records
        Some steps, with the primitives that the model asks for.
    latents : tuple of str
        The unknowns.
    room : int
        How many steps can be kept.
    """

    probe: Records
    latents: tuple[str, ...]
    room: int

    @property
    def first_row(self) -> Records:
        """One row, for what does not depend on the data."""
        return jax.tree.map(lambda column: column[:1], self.probe)

    def values(self, z: Float[Array, " size"], choice: Int[Array, ""]) -> dict[str, Array]:
        values = values_at(self.model, self.layout, z, choice, self.first_row)
        return {name: values[name] for name in self.latents}

    def target(self, data: Records) -> Target:
        """The posterior that particles follow, given these rows."""
        once, first_row = data._replace(weight=jnp.ones(self.room)), self.first_row
        return Target(
            lambda key: prior_draw(self.model, self.layout, key, first_row),
            lambda z, choice: evaluate(self.model, self.layout, z, choice, once),
            self.layout.choices,
        )

    def init(self, key: Key[Array, ""]) -> Room:
        """The state before any data."""
        data = jax.tree.map(lambda column: jnp.repeat(jnp.asarray(column[:1]), self.room, 0), self.probe)
        data = data._replace(weight=jnp.zeros(self.room))
        # Log-likelihoods are looked up when steps have come in.
        table = jnp.zeros((self.settings.particles, self.room))
        particles = start(key, self.target(data), self.settings)._replace(table=table)
        return Room(data, jnp.zeros((), jnp.int32), particles)

    def observe(self, key: Key[Array, ""], state: Room, step: Step) -> Room:
        """The state after one more step."""
        row = one_row(step, self.probe.seen)
        data = jax.tree.map(lambda column, new: column.at[state.count].set(new[0]), state.data, row)
        return Room(data, state.count + 1, state.particles)

    def caught_up(self, words: UInt32[Array, " 2"], state: Room) -> Room:
        target = self.target(state.data)
        table = jax.vmap(target.evaluate)(state.particles.z, state.particles.choice)[1]
        # Of empty rows, too, what is impossible must be a number: it counts 0 times.
        particles = state.particles._replace(table=finite(table))
        particles = advance(words, particles, state.data.weight, target, self.settings)
        return state._replace(particles=particles)


def one_row(step: Step, asked: Mapping[str, NDArray[Any]]) -> Records:
    """Return a step as one row, with the primitives asked for in their types.

    Parameters
    ----------
    step : Step
        Whose outcome is the recorded primitives.
    asked : mapping of primitive to array
        Those that the model asks for.

    Returns
    -------
    Records
    """
    recorded = {"terminal": step.last, **step.outcome, "next_state": step.next_state, "reward": step.reward}
    seen = {name: jnp.asarray(recorded[name]).astype(like.dtype)[None] for name, like in asked.items()}
    return Records(jnp.asarray(step.state)[None], jnp.asarray(step.action)[None], seen, jnp.ones(1))
