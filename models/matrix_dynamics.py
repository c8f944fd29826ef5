"""Bayesian linear dynamics whose noise is correlated: what moves one coordinate by chance may move another too.

    precision      ~ Wishart(n, I / (n noise^2)),    n = coordinates - 1 + 2 certainty
    weights[a, f]  ~ Normal(0, scale^2 precision^-1)         one number for each coordinate
    next_state     ~ Normal(s + half weights[a]' features(s), half precision^-1 half)

in the units of :mod:`~bayesmdp.models.linear_dynamics`, which it is for one coordinate. The posterior is known in
closed form, matrix-Normal Wishart (of the covariance: inverse Wishart), with sums that are carried from step to step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, frozen_numbers, thaw
from .linear_dynamics import box_of, constant_and_linear

__all__ = ["matrix_dynamics"]


def matrix_dynamics(
    mdp: Any,
    features: Callable[[Any], Any] = constant_and_linear,
    *,
    scale: float = 10.0,
    noise: ArrayLike = 0.05,
    certainty: float = 1.0,
) -> Callable[[Any], None]:
    """Next states linear in features of the state, for each action, with correlated Normal noise of unknown covariance.

    Parameters
    ----------
    mdp
        As for `linear_dynamics`.
    features : callable
        As for `linear_dynamics`; `FourierFeatures` of :mod:`~bayesmdp.models.fourier_dynamics` make curves of lines.
    scale : float, positive
        Standard deviation of weights, in those of the noise.
    noise : float, or array [coordinate]
        Prior standard deviation of the noise, as a share of half the box; positive.
    certainty : float, positive
        Half as many steps as the prior noise stands for, beside one for each coordinate but the first.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``precision`` [to, with] and
    ``weights`` [action, feature, to]

    Raises
    ------
    TypeError, ValueError
        If there is no box, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> cart = bm.environments.linear_quadratic(controls=(-2.0, 0.0, 2.0))
    >>> log = bm.collect(cart, steps=100, seed=0)
    >>> posterior = bm.infer(matrix_dynamics(cart), log, mdp=cart, draws=100)
    >>> posterior.attrs["engine"], dict(posterior.posterior["precision"].sizes)
    ('exact', {'chain': 4, 'draw': 25, 'to': 2, 'with': 2})
    """
    low, high, actions = box_of(mdp)
    size = len(thaw(low))
    return _model(
        low,
        high,
        actions,
        features,
        frozen_numbers("scale", scale, ()),
        frozen_numbers("noise", noise, (size,), axes="[coordinate]"),
        frozen_numbers("certainty", certainty, ()),
    )


@lru_cache(maxsize=64)
def _model(
    low: Frozen,
    high: Frozen,
    num_actions: int,
    features: Callable[[Any], Any],
    scale: Frozen,
    noise: Frozen,
    certainty: Frozen,
) -> Callable[[Any], None]:
    coordinates = len(thaw(low))

    def model(data: Any) -> None:
        corner, width = thaw(low), (thaw(high) - thaw(low)) / 2
        degrees = coordinates - 1 + 2 * thaw(certainty)
        state = jnp.asarray(data.state)
        phi = features((state - corner) / width - 1)
        prior = dist.Wishart(degrees, np.diag(1 / thaw(noise) ** 2) / degrees)
        precision = numpyro.sample("precision", prior, infer={"event_dims": ["to", "with"]})
        with numpyro.plate("feature", phi.shape[-1], dim=-1), numpyro.plate("action", num_actions, dim=-2):
            spread = dist.MultivariateNormal(np.zeros(coordinates), precision_matrix=precision / thaw(scale) ** 2)
            weights = numpyro.sample("weights", spread, infer={"event_dims": ["to"]})
        moved = jnp.einsum("rfi,rf->ri", weights[data.action], phi)
        after = dist.MultivariateNormal(state + width * moved, precision_matrix=precision / np.outer(width, width))
        with data.rows():
            numpyro.sample("next_state", after, obs=data.next_state)

    model.__name__ = "matrix_dynamics"
    return model
