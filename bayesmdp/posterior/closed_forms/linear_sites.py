"""Exact moments of what a model computes from its unknowns, where that is linear: a reward tied over pairs, or a sum.

For ``f = c + sum_i J_i x_i`` of independent x_i, ``E f = c + sum_i J_i E x_i`` and ``Var f = sum_i J_i^2 Var x_i``.
Entries of a Dirichlet row with mean m and total concentration a are not independent of each other; what a row adds to
the variance is ``(sum_i J_i^2 m_i - (sum_i J_i m_i)^2) / (a + 1)``. So has it a kernel whose rows are put together from
shorter Dirichlet rows, as where some next states are impossible. Linearity is found by differentiating the model at two
random points, as conjugacy is.
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


class Touched(NamedTuple):
    """The rows of one unknown that a site depends on, and how.

    A row is what is independent of the others: a Dirichlet's entries, or one number of another family.

    Attributes
    ----------
    row : int array [element, touched]
        Of each element of the site, as many as the one that touches most has; a row that is not touched has slope 0.
    slope : array [element, touched, kind]
    simplex : bool
        Whether the kinds of a row add up to 1.
    """

    row: NDArray[np.int64]
    slope: NDArray[np.float64]
    simplex: bool

    def moments(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """What the unknown adds to the mean and variance [element], from its own."""
        kinds = self.slope.shape[-1]
        expected, spread = (table.reshape(-1, kinds)[self.row] for table in (mean, variance))
        added = (self.slope * expected).sum(-1)
        if not self.simplex:
            return added.sum(-1), (self.slope**2 * spread).sum((-2, -1))
        # 1 / (a + 1), by the ratio of a row's variances to those of one observation.
        share = spread.sum(-1) / jnp.maximum((expected * (1 - expected)).sum(-1), np.finfo(np.float64).tiny)
        return added.sum(-1), (share * ((self.slope**2 * expected).sum(-1) - added**2)).sum(-1)


class Linear(NamedTuple):
    """A site that is linear in others.

    Attributes
    ----------
    constant : array [...]
    touched : dict of Touched
        By site; those that do not matter are left out.
    """

    constant: NDArray[np.float64]
    touched: dict[str, Touched]

    def moments(self, moments_of: Mapping[str, tuple[Array, Array]]) -> tuple[Array, Array]:
        """Mean and variance [...], from those of the latent sites."""
        mean, variance = self.constant, jnp.zeros_like(self.constant)
        for name, touched in self.touched.items():
            more, spread = touched.moments(*moments_of[name])
            mean, variance = mean + more.reshape(mean.shape), variance + spread.reshape(mean.shape)
        return mean, jnp.maximum(variance, 0.0)


def linear_in(name: str, data: Transitions, conjugate: Conjugate) -> Linear | None:
    """Find how a deterministic site follows from the unknowns, if linearly, and not from a precision.

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
        if key not in conjugate.sites or not np.allclose(slope, slopes_again[key], rtol=1e-12, atol=0):
            return None
    moved = sum(np.tensordot(slope, points[0][key], np.ndim(points[0][key])) for key, slope in slopes.items())
    constant = value - moved
    # A constant that is 0 comes out as what rounding leaves of it.
    constant = np.where(np.abs(constant) <= 1e-12 * (1 + np.abs(value)), 0.0, constant)
    by_site = {
        key: _touched(slope.reshape(value.size, -1), priors[key].family.event_dim, np.shape(points[0][key])[-1:])
        for key, slope in slopes.items()
    }
    return Linear(constant, by_site)


def _touched(slope: NDArray[np.float64], event_dim: int, kinds: tuple[int, ...]) -> Touched:
    """Keep of slopes [element, entry of the unknown] those by rows that matter."""
    by_row = slope.reshape(len(slope), -1, kinds[0] if event_dim else 1)
    matters = by_row.any(-1)
    most = int(matters.sum(-1).max())
    # The rows that matter first, in their order.
    row = np.argsort(~matters, axis=-1, kind="stable")[:, :most]
    return Touched(row, np.take_along_axis(by_row, row[..., None], 1), bool(event_dim))


@partial(jax.jit, static_argnums=(0, 1))
def _differentiated(model: Model, name: str, data: Transitions, point: dict[str, Array]) -> tuple[Array, Array]:
    """A site's value and its derivatives by the unknowns."""

    def computed(values: dict[str, Array]) -> tuple[Array, Array]:
        value = sites(model, data, values)[name]["value"]
        return value, value

    slopes, value = jax.jacfwd(computed, has_aux=True)(point)
    return value, slopes
