"""Features of states for Q-functions that are linear in them: smooth bumps on a grid, and polynomials."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import jax.numpy as jnp
import numpy as np

from bayesmdp.foundation.arrays import Array

__all__ = ["Bumps", "Polynomials"]


@dataclass(frozen=True)
class Bumps:
    """Normalised Gaussian bumps about the points of a grid, as wide as the points are apart; hashable.

    They add up to 1 everywhere, so that what is linear in them is an average of values at the points.

    Parameters
    ----------
    axes : tuple of (first, last, number)
        Of the points along each coordinate.

    Examples
    --------
    >>> halfway = Bumps(((0.0, 2.0, 3),))(np.array([1.0]))
    >>> [round(float(each), 2) for each in halfway]
    [0.27, 0.45, 0.27]
    """

    axes: tuple[tuple[float, float, int], ...]

    def __call__(self, state: Array) -> Array:
        """Return features [..., point], of all coordinates' points together, from states [..., coordinate]."""
        features = jnp.ones((*state.shape[:-1], 1))
        for coordinate, (first, last, number) in enumerate(self.axes):
            points = np.linspace(first, last, number)
            apart = (state[..., coordinate, None] - points) / (points[1] - points[0])
            near = -(apart**2) / 2
            bumps = jnp.exp(near - near.max(-1, keepdims=True))
            bumps = bumps / bumps.sum(-1, keepdims=True)
            size = features.shape[-1] * bumps.shape[-1]
            features = (features[..., :, None] * bumps[..., None, :]).reshape(*state.shape[:-1], size)
        return features


@dataclass(frozen=True)
class Polynomials:
    """All products of at most so many coordinates, each in units of a box; hashable.

    Parameters
    ----------
    low, high : tuple of float
        Corners of the box, which become -1 and 1.
    degree : int

    Examples
    --------
    >>> Polynomials((0.0, 0.0), (2.0, 2.0), 2)(np.array([2.0, 0.0])).tolist()  # 1, u, v, u^2, uv, v^2
    [1.0, 1.0, -1.0, 1.0, -1.0, 1.0]
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    degree: int

    def __call__(self, state: Array) -> Array:
        """Return features [..., product] of states [..., coordinate]."""
        low, high = np.array(self.low), np.array(self.high)
        place = 2 * (state - low) / (high - low) - 1
        parts = [jnp.ones(state.shape[:-1])]
        for degree in range(1, self.degree + 1):
            for chosen in combinations_with_replacement(range(len(self.low)), degree):
                parts.append(jnp.prod(place[..., np.array(chosen)], -1))
        return jnp.stack(parts, -1)
