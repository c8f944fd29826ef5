"""Smooth dynamics: next states linear in random Fourier features of the state, an approximate Gaussian process.

    u(s)           = (s - middle of the box) / half its width
    features(s)    = (1, u(s), root(2 / n) cos(<frequency[j], u(s)> / length + phase[j]), j = 1..n)
    frequency[j]   ~ Normal(0, 1) in each coordinate,    phase[j] ~ Uniform(0, 2 pi)

With Normal weights of the cosines their sum is a draw of a process whose covariance, in units of the noise's variance,
is close to ``scale^2 exp(-|u - u'|^2 / (2 length^2))`` for many features (Rahimi and Recht, 2007). Frequencies and
phases are drawn once, by `seed`, and are no unknowns, so that the posterior is the one of
:mod:`~bayesmdp.models.linear_dynamics`, in closed form, with weights and noise that are unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from .arguments import frozen_numbers, thaw
from .linear_dynamics import box_of, regression_model

__all__ = ["FourierFeatures", "fourier_dynamics"]


COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(12))
"""Taylor's coefficients of the cosine by squares: what is left out is below rounding up to pi / 2, of the first seven
below that of 32 bits."""


def cosine(angle: Any) -> Any:
    """The cosine of angles of moderate size, to rounding, which XLA computes in vectors of numbers.

    Its own takes six times as long in small loops on CPUs, where plans spend most of their time in it.

    Parameters
    ----------
    angle : array
        Of 64 or 32 bits.

    Returns
    -------
    array
        Of as many bits.

    Examples
    --------
    >>> import jax
    >>> angles = np.linspace(-100, 100, 9_999)
    >>> with jax.enable_x64(True):
    ...     off = np.abs(cosine(jnp.asarray(angles)) - np.cos(angles)).max()
    >>> bool(off < 1e-13)
    True
    """
    # With k the number of half turns, cos(x) = (-1)^k cos(x - k pi), and |x - k pi| <= pi / 2; pi in two parts.
    half, rest, series = math.pi, 1.2246467991473532e-16, COSINE
    if angle.dtype == jnp.float32:
        half, rest, series = 3.140625, math.pi - 3.140625, COSINE[:7]
    turns = jnp.round(angle * (1 / math.pi))
    square = ((angle - turns * half) - turns * rest) ** 2
    total = jnp.full_like(square, series[-1])
    for coefficient in series[-2::-1]:
        total = total * square + coefficient
    return total * (1 - 2 * (turns - 2 * jnp.floor(turns / 2)))


@dataclass(frozen=True)
class FourierFeatures:
    """A constant, the coordinates, and cosines of random frequencies; equal where its numbers are.

    Attributes
    ----------
    coordinates, number : int
        Of a place, and of cosines.
    length : float
        Over which functions change, in half widths of the box.
    seed : int
        Of frequencies and phases.
    bits : {64, 32}
        Of features. In 32 they are off by some ten-millionths, and take a third of the time: enough for a Q that is
        fitted to simulated steps, and not for a posterior.

    Examples
    --------
    >>> exact, quick = (FourierFeatures(2, 40, 1.0, 0, bits) for bits in (64, 32))
    >>> place = jnp.asarray([[0.3, -0.7]])
    >>> bool(jnp.abs(exact(place) - quick(place)).max() < 1e-6), quick(place).dtype
    (True, dtype('float32'))
    """

    coordinates: int
    number: int
    length: float
    seed: int
    bits: int = 64

    def __call__(self, place: Any) -> Any:
        """Return features [..., 1 + coordinate + cosine] of places [..., coordinate]."""
        rng = np.random.default_rng(self.seed)
        frequency = rng.normal(size=(self.coordinates, self.number)) / self.length
        phase = rng.uniform(0, 2 * np.pi, self.number)
        if self.bits == 32:
            place = jnp.asarray(place, jnp.float32)
            frequency, phase = frequency.astype(np.float32), phase.astype(np.float32)
        waves = math.sqrt(2 / self.number) * cosine(place @ frequency + phase)
        return jnp.concatenate([jnp.ones((*place.shape[:-1], 1), place.dtype), place, waves], -1)


def fourier_dynamics(
    mdp: Any,
    *,
    number: int = 40,
    length: float = 1.0,
    seed: int = 0,
    scale: float = 10.0,
    noise: ArrayLike = 0.05,
    certainty: float = 1.0,
) -> Callable[[Any], None]:
    """Smooth unknown dynamics for each action, by random Fourier features, with Normal noise of unknown size.

    Parameters
    ----------
    mdp
        As for `linear_dynamics`.
    number : int
        Of cosines; a function that changes often needs more.
    length : float, positive
        Over which dynamics change, in half widths of the box of states.
    seed : int
        Of frequencies and phases.
    scale, noise, certainty
        As for `linear_dynamics`.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``precision`` [coordinate] and
    ``weights`` [action, feature, coordinate]

    Raises
    ------
    TypeError, ValueError
        If there is no box, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> posterior = bm.infer(fourier_dynamics(room, number=10), bm.collect(room, steps=300), mdp=room, draws=100)
    >>> posterior.attrs["engine"], posterior.posterior.sizes["feature"]
    ('exact', 12)
    """
    low, high, actions = box_of(mdp)
    for name, given, least in (("number", number, 1), ("seed", seed, 0)):
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < least:
            raise ValueError(f"{name} must be an integer of at least {least}; got {given!r}")
    size = len(thaw(low))
    width = float(thaw(frozen_numbers("length", length, ())))
    return regression_model(
        "fourier_dynamics",
        low,
        high,
        actions,
        FourierFeatures(size, int(number), width, int(seed)),
        frozen_numbers("scale", scale, ()),
        frozen_numbers("noise", noise, (size,), axes="[coordinate]"),
        frozen_numbers("certainty", certainty, ()),
    )
