"""Q-functions linear in features, one vector of weights a stage, Normal before any data.

    theta[h]           ~ Normal(mean[h], covariance[h] + widening I),        h = 0, ..., horizon - 1, independent
    target | h, phi    ~ Normal(<phi, theta[h]>, noise)

With A the features of a stage's rows and b their targets its posterior is Normal, with

    precision = (covariance + widening I)^-1 + A'A / noise^2,
    mean      = precision^-1 ((covariance + widening I)^-1 mean + A'b / noise^2).

What agents regress on are targets ``r + discount max over a' of <phi(s', a'), theta[h + 1]>`` (a discount of 1 unless
the MDP has one), so theta is drawn stage by stage, the last first. Randomised least-squares value iteration is this
with mean 0 (Osband, Van Roy and Wen, 2016); a mean and a covariance learned from other tasks, widened by what is not
known of them, make it an informative prior.
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

from .arguments import Frozen, frozen_numbers, frozen_root, thaw

__all__ = ["gaussian_q"]


def gaussian_q(
    mdp: Any,
    mean: ArrayLike = 0.0,
    covariance: ArrayLike = 1.0,
    *,
    noise: ArrayLike = 1.0,
    widening: ArrayLike = 0.0,
) -> Callable[[Any], None]:
    """A Normal prior on the weights of Q-functions.

    Parameters
    ----------
    mdp
        Read for `horizon` and `features` [state, action, feature].
    mean : float, or array broadcastable to [stage, feature]
    covariance : float, or array [feature, feature] or [stage, feature, feature]
        A number is the variance of each weight. Positive definite, once widened.
    noise : float, or array [stage]
        Standard deviation of targets about <phi, theta>. Positive.
    widening : float, or array [stage]
        Added to each weight's variance. At least 0.

    Returns
    -------
    NumPyro model with the site ``theta`` [stage, feature], of data with rows of `stage`, `features` and `target`

    Raises
    ------
    ValueError
        If the MDP has no stages or no features, a number is not finite, or a covariance is not symmetric or not
        positive definite: with its stage.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(3, 2)
    >>> prior = gaussian_q(shop, covariance=5.0, noise=0.03)
    >>> bm.infer(prior, bm.collect(shop, steps=20), mdp=shop, draws=100).posterior["theta"].shape
    (4, 25, 2, 12)
    """
    features = getattr(mdp, "features", None)
    if features is None or getattr(mdp, "horizon", None) is None:
        raise ValueError(
            "gaussian_q needs episodes of a fixed length, and features: MDP(stage=[state], features=[state, action, "
            "feature]), or unroll(mdp.replace(features=features), horizon)"
        )
    stages, size = int(mdp.horizon), int(features.shape[-1])
    means = frozen_numbers("mean", mean, (stages, size), positive=False, axes="[stage, feature]")
    noises = frozen_numbers("noise", noise, (stages,), axes="[stage]")
    wider = thaw(frozen_numbers("widening", widening, (stages,), positive=False, axes="[stage]"))
    if (wider < 0).any():
        stage = int(np.argmax(wider < 0))
        raise ValueError(f"widening[{stage}] = {wider[stage]:g}; it must be at least 0")
    return _model(means, frozen_root("covariance", covariance, (stages, size), wider), noises)


@lru_cache(maxsize=64)
def _model(mean: Frozen, factor: Frozen, noise: Frozen) -> Callable[[Any], None]:
    (stages, _), *_ = mean

    def model(data: Any) -> None:
        with numpyro.plate("stage", stages, dim=-1):
            theta = numpyro.sample(
                "theta",
                dist.MultivariateNormal(thaw(mean), scale_tril=thaw(factor)),
                infer={"event_dims": ["feature"]},
            )
        with data.rows():
            expected = jnp.sum(data.features * theta[data.stage], -1)
            numpyro.sample("target", dist.Normal(expected, jnp.asarray(thaw(noise))[data.stage]), obs=data.target)

    model.__name__ = "gaussian_q"
    return model
