"""How rewards scatter about their mean: what the simulator adds, and planners need not know.

A kind of noise is a pytree with two methods: ``draw(uniform, mean, state, action)``, the reward of a step whose mean is
`mean`, made from one uniform number, so that runs on common random numbers have common noise too; and
``variance(mean)``, of all pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from bayesmdp.foundation.validation import finite_array, reject_first, turned

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from bayesmdp.foundation.arrays import Array

__all__ = ["BernoulliNoise", "Noise", "NormalNoise", "make_noise"]

LEAST = 1e-12
"""Uniform numbers are kept this far from 0, whose normal quantile is infinite."""


class NormalNoise(NamedTuple):
    """Normal about the mean.

    Attributes
    ----------
    sd : array [state, action]
    """

    sd: Array

    def draw(self, uniform: Array, mean: Array, state: Array, action: Array) -> Array:
        """The reward of a step."""
        return mean + jnp.asarray(self.sd)[state, action] * ndtri(jnp.maximum(uniform, LEAST))

    def variance(self, mean: Array) -> Array:
        """The variance [state, action] of pairs' rewards, whatever their means [state, action]."""
        return jnp.broadcast_to(jnp.asarray(self.sd) ** 2, mean.shape)


class BernoulliNoise(NamedTuple):
    """1 with the mean as its probability, otherwise 0."""

    def draw(self, uniform: Array, mean: Array, state: Array, action: Array) -> Array:
        """The reward of a step."""
        return jnp.where(uniform < mean, 1.0, 0.0)

    def variance(self, mean: Array) -> Array:
        """The variance [state, action] of pairs' rewards of these means [state, action]."""
        return mean * (1 - mean)


type Noise = NormalNoise | BernoulliNoise


def make_noise(noise: str | ArrayLike | None, shape: tuple[int, int], reward: NDArray[np.float64]) -> Any:
    """Noise as an MDP is given it, checked.

    Parameters
    ----------
    noise : float or array [state, action] of standard deviations, "bernoulli", or None
    shape : (num_states, num_actions)
    reward : array [state, action, outcome or 1]

    Raises
    ------
    ValueError
        For a negative standard deviation, another word, or a mean that is no probability.

    Examples
    --------
    >>> make_noise(0.5, (2, 1), np.zeros((2, 1, 1))).sd.tolist()
    [[0.5], [0.5]]
    """
    if noise is None:
        return None
    if isinstance(noise, str):
        if noise != "bernoulli":
            raise ValueError(f"noise must be standard deviations or 'bernoulli'; got {noise!r}")
        reject_first("reward", (reward < 0) | (reward > 1), reward, "is no probability, as noise='bernoulli' needs")
        return BernoulliNoise()
    sd = finite_array("noise", noise)
    try:
        sd = np.broadcast_to(sd, shape).copy()
    except ValueError:
        hint = turned("noise", sd.shape, shape)
        raise ValueError(f"noise has shape {sd.shape}; expected a number or {shape}{hint}") from None
    reject_first("noise", sd < 0, sd, "is negative; standard deviations are at least 0")
    sd.flags.writeable = False
    return NormalNoise(sd)
