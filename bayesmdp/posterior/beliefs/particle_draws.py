"""What beliefs by particles share: catching up with the data, draws by weight, and what is reported of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Key, UInt32

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior.particles.coordinates import Coordinates
from bayesmdp.posterior.particles.sampler import Particles, Settings, choose, effective_size

__all__ = ["ParticleDraws"]


@dataclass(frozen=True, eq=False)
class ParticleDraws(ABC):
    """The functions of a belief by particles; its state is a NamedTuple with `particles`, those of the last draw.

    Attributes
    ----------
    model : NumPyro function of the data
    layout : Coordinates
        Where a particle has the model's unknowns.
    settings : Settings
    num_draws : int
        How many draws a call of `draw` returns.
    """

    model: Model
    layout: Coordinates
    settings: Settings
    num_draws: int

    @abstractmethod
    def caught_up(self, words: UInt32[Array, " 2"], state: Any) -> Any:
        """The state with particles that have taken in all that was seen; `words` are random bits."""

    @abstractmethod
    def values(self, z: Array, choice: Array) -> dict[str, Array]:
        """The sites' values at one particle."""

    def draw(self, key: Key[Array, ""], state: Any) -> tuple[Any, dict[str, Array]]:
        """The draws that an agent plans with."""
        words = random.bits(key, (4,), jnp.uint32)
        state = self.caught_up(words[:2], state)
        return state, self._picked(words[2:], state.particles, self.num_draws)

    def sample(self, key: Key[Array, ""], state: Any, num_draws: int) -> dict[str, Array]:
        """Draws to be looked at, which leave the state as it is."""
        words = random.bits(key, (4,), jnp.uint32)
        return self._picked(words[2:], self.caught_up(words[:2], state).particles, num_draws)

    def _picked(self, words: UInt32[Array, " 2"], particles: Particles, num_draws: int) -> dict[str, Array]:
        picked = choose(words, particles, num_draws)
        return jax.vmap(self.values)(particles.z[picked], particles.choice[picked])

    def report(self, state: Any) -> dict[str, Array]:
        """The effective sample size, how often particles were resampled, and the log evidence of the data so far."""
        particles: Particles = state.particles
        return {
            "effective_size": jnp.where(particles.failed, 0.0, effective_size(particles)),
            "resampled": particles.resampled,
            "log_evidence": particles.log_evidence,
        }
