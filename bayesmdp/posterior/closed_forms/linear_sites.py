"""Exact moments of what a model computes from its unknowns, where that is linear: a reward tied over pairs, or a sum.

For ``f = c + sum_i J_i x_i`` of independent x_i, ``E f = c + sum_i J_i E x_i`` and ``Var f = sum_i J_i^2 Var x_i``.
Linearity is found by differentiating the model at two random points, as conjugacy is. Entries of a Dirichlet are not
independent of each other, so nothing may depend on one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.model_runs import looked_at, sites
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.coefficients import random_point
from bayesmdp.posterior.closed_forms.transitions import Conjugate

__all__ = ["Linear", "linear_in"]

LARGEST = 10_000_000
"""Entries of derivatives beyond which they are not looked for."""


class Linear(NamedTuple):
    """A site that is linear in others.

    Attributes
    ----------
    constant : array [...]
    slopes : dict of arrays [..., *shape of the latent site]
        By site; those that are all 0 are left out.
    """

    constant: NDArray[np.float64]
    slopes: dict[str, NDArray[np.float64]]

    def moments(self, moments_of: Mapping[str, tuple[Array, Array]]) -> tuple[Array, Array]:
        """Mean and variance [...], from those of the latent sites."""
        mean, variance = self.constant, 0 * self.constant
        for name, slope in self.slopes.items():
            axes = jnp.ndim(moments_of[name][0])
            mean = mean + jnp.tensordot(slope, moments_of[name][0], axes)
            variance = variance + jnp.tensordot(slope**2, moments_of[name][1], axes)
        return mean, variance


def linear_in(name: str, data: Transitions, conjugate: Conjugate) -> Linear | None:
    """Find how a deterministic site follows from the unknowns, if linearly, and not from a Dirichlet or a precision.

    Parameters
    ----------
    name : str
        The deterministic site.
    data : Transitions
    conjugate : Conjugate
        The model, with its closed form.

    Returns
    -------
    Linear or None
    """
    rng, model = np.random.default_rng(20260102), conjugate.reading.model
    priors = {key: site.prior for key, site in conjugate.sites.items()}
    families = {key: prior.family for prior in priors.values() for key in prior.sites}
    points = [random_point(rng, priors, 1.0) for _ in range(2)]
    points = [{key: families[key].site_value(x) for key, x in point.items()} for point in points]
    with jax.enable_x64(True):
        size = looked_at(model, data, lambda messages: np.size(messages[name]["value"]))
        if size * sum(np.size(x) for x in points[0].values()) > LARGEST:
            return None
        one = jax.tree.map(lambda column: column[:1], data)
        (value, slopes_of), (_, slopes_again) = (
            jax.tree.map(np.asarray, _differentiated(model, name, one, point)) for point in points
        )
    slopes = {key: slope for key, slope in slopes_of.items() if slope.any() or slopes_again[key].any()}
    for key, slope in slopes.items():
        independent = key in conjugate.sites and not conjugate.sites[key].family.event_dim
        if not independent or not np.allclose(slope, slopes_again[key], rtol=1e-12, atol=0):
            return None
    moved = sum(np.tensordot(slope, points[0][key], np.ndim(points[0][key])) for key, slope in slopes.items())
    constant = value - moved
    # A constant that is 0 comes out as what rounding leaves of it.
    return Linear(np.where(np.abs(constant) <= 1e-12 * (1 + np.abs(value)), 0.0, constant), slopes)


@partial(jax.jit, static_argnums=(0, 1))
def _differentiated(model: Model, name: str, data: Transitions, point: dict[str, Array]) -> tuple[Array, Array]:
    """A site's value and its derivatives by the unknowns."""

    def computed(values: dict[str, Array]) -> tuple[Array, Array]:
        value = sites(model, data, values)[name]["value"]
        return value, value

    slopes, value = jax.jacfwd(computed, has_aux=True)(point)
    return value, slopes
