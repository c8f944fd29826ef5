"""What beliefs by particles share: catching up with the data, draws by weight, and what is reported of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Key

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
    def caught_up(self, key: Key[Array, ""], state: Any) -> Any:
        """The state with particles that have taken in all that was seen."""

    @abstractmethod
    def values(self, z: Array, choice: Array) -> dict[str, Array]:
        """The sites' values at one particle."""

    def draw(self, key: Key[Array, ""], state: Any) -> tuple[Any, dict[str, Array]]:
        """The draws that an agent plans with."""
        follow, pick = random.split(key)
        state = self.caught_up(follow, state)
        return state, self._picked(pick, state.particles, self.num_draws)

    def sample(self, key: Key[Array, ""], state: Any, num_draws: int) -> dict[str, Array]:
        """Draws to be looked at, which leave the state as it is."""
        follow, pick = random.split(key)
        return self._picked(pick, self.caught_up(follow, state).particles, num_draws)

    def _picked(self, key: Key[Array, ""], particles: Particles, num_draws: int) -> dict[str, Array]:
        picked = choose(key, particles, num_draws)
        return jax.vmap(self.values)(particles.z[picked], particles.choice[picked])

    def report(self, state: Any) -> dict[str, Array]:
        """The effective sample size, how often particles were resampled, and the log evidence of the data so far."""
        particles: Particles = state.particles
        return {
            "effective_size": jnp.where(particles.failed, 0.0, effective_size(particles)),
            "resampled": particles.resampled,
            "log_evidence": particles.log_evidence,
        }
