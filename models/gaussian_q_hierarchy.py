"""Many tasks' Q-functions, and the distribution they come from: all of it unknown.

    mean[h]          ~ Normal(base_mean[h], base_covariance[h])
    scale[h, i]      ~ HalfNormal(spread),     correlation[h] ~ LKJ(concentration)
    covariance[h]    = diag(scale[h]) correlation[h] diag(scale[h]) = L L'
    theta[k, h]      ~ Normal(mean[h], covariance[h]),        tasks k = 0, 1, ...
    target | k, h, phi ~ Normal(<phi, theta[k, h]>, noise[h])

The data are each task's ``gram = A'A`` and ``score = A'b``, which is all the likelihood looks at. Given the rest theta
is Normal, so it is integrated out of the likelihood, and put back by independent standard Normal `luck`:

    r = (score - gram mean) / noise^2,    M = I + L' gram L / noise^2 = C C',
    theta = mean + L (M^-1 L'r + C'^-1 luck).

A task without data is a new one: its theta is a draw of the prior that the others' data leave.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import cho_solve, solve_triangular
from numpy.typing import ArrayLike, NDArray

from .arguments import Frozen, frozen_numbers, frozen_root, thaw

__all__ = ["gaussian_q_hierarchy"]


def gaussian_q_hierarchy(
    base_mean: NDArray[np.float64],
    base_covariance: NDArray[np.float64],
    *,
    noise: ArrayLike,
    spread: float = 1.0,
    concentration: float = 2.0,
) -> Callable[[Any], None]:
    """A prior over priors on Q-functions.

    Parameters
    ----------
    base_mean : array [stage, feature]
    base_covariance : array [stage, feature, feature]
        Positive definite. Of the tasks' mean.
    noise : float, or array [stage]
        Standard deviation of targets.
    spread : float
        Of how far tasks differ in one weight.
    concentration : float
        Of the correlations; 1 is uniform, above 1 smaller ones are preferred.

    Returns
    -------
    NumPyro model with the sites ``mean``, ``covariance`` and ``theta`` [task, stage, feature], of data with `gram`
    [task, stage, feature, feature] and `score` [task, stage, feature]

    Examples
    --------
    >>> import jax
    >>> from types import SimpleNamespace
    >>> from numpyro import handlers
    >>> model = gaussian_q_hierarchy(np.zeros((2, 3)), np.stack([np.eye(3)] * 2), noise=0.1)
    >>> nothing = SimpleNamespace(gram=np.zeros((5, 2, 3, 3)), score=np.zeros((5, 2, 3)))
    >>> handlers.trace(handlers.seed(model, 0)).get_trace(nothing)["theta"]["value"].shape
    (5, 2, 3)
    """
    mean = np.asarray(base_mean, float)
    stages, size = mean.shape
    return _model(
        frozen_numbers("base_mean", mean, mean.shape, positive=False, axes="[stage, feature]"),
        frozen_root("base_covariance", base_covariance, (stages, size)),
        frozen_numbers("noise", noise, (stages,), axes="[stage]"),
        float(spread),
        float(concentration),
    )


@lru_cache(maxsize=64)
def _model(
    base_mean: Frozen, base_root: Frozen, noise: Frozen, spread: float, concentration: float
) -> Callable[[Any], None]:
    (stages, size), *_ = base_mean

    def model(data: Any) -> None:
        with numpyro.plate("stage", stages, dim=-1):
            away = numpyro.sample(
                "away", dist.Normal(np.zeros(size), 1.0).to_event(1), infer={"event_dims": ["feature"]}
            )
            scale = numpyro.sample(
                "scale", dist.HalfNormal(spread * np.ones(size)).to_event(1), infer={"event_dims": ["feature"]}
            )
            correlation = numpyro.sample("correlation", dist.LKJCholesky(size, concentration)) if size > 1 else 1.0
        mean = numpyro.deterministic("mean", thaw(base_mean) + jnp.einsum("hij,hj->hi", thaw(base_root), away))
        root = scale[..., None] * correlation
        numpyro.deterministic("covariance", root @ root.swapaxes(-1, -2))
        variance = jnp.asarray(thaw(noise))[:, None] ** 2
        residual = (data.score - jnp.einsum("khij,hj->khi", data.gram, mean)) / variance
        across = jnp.einsum("hij,khi->khj", root, residual)
        inner = jnp.eye(size) + root.swapaxes(-1, -2) @ (data.gram / variance[..., None]) @ root
        factor = jnp.linalg.cholesky(inner)
        whitened = solve_triangular(factor, across[..., None], lower=True)[..., 0]
        linear = jnp.sum(mean * (data.score / variance + residual)) / 2
        fit = jnp.sum(whitened**2) / 2 - jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)))
        numpyro.factor("targets", linear + fit)
        with numpyro.plate("task", len(data.score), dim=-2), numpyro.plate("stage", stages, dim=-1):
            luck = numpyro.sample(
                "luck", dist.Normal(np.zeros(size), 1.0).to_event(1), infer={"event_dims": ["feature"]}
            )
        centre = cho_solve((factor, True), across[..., None])
        back = solve_triangular(factor, luck[..., None], lower=True, trans=1)
        numpyro.deterministic("theta", mean + (root @ (centre + back))[..., 0])

    model.__name__ = "gaussian_q_hierarchy"
    return model
