"""Tasks whose optimal Q-values are exactly Normal: rewards are made to fit them.

    theta[h] ~ Normal(mean[h], covariance[h]),        Q(s, a) = <phi(s, a), theta[stage of s]>
    reward(s, a) = Q(s, a) - sum over s' of transition(s' | s, a) max over available a' of Q(s', a')

By Bellman's equation Q is then the task's Q*, whatever theta is, so that the prior of :func:`gaussian_q` with the same
mean and covariance is the truth. (The construction is ours.) Transitions are the MDP's own in all tasks; agents do not
know them. With `tails` theta is multivariate t of so many degrees of freedom, with the same mean and covariance: a
family of which the Normal prior is wrong.
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

from .arguments import Frozen, freeze, frozen_numbers, frozen_root, thaw

__all__ = ["gaussian_q_tasks"]


def gaussian_q_tasks(
    mdp: Any, mean: ArrayLike, covariance: ArrayLike, *, tails: float | None = None
) -> Callable[[Any], None]:
    """A distribution of tasks with Normal Q-values.

    Parameters
    ----------
    mdp
        With stages, features and transition probabilities.
    mean : float, or array broadcastable to [stage, feature]
    covariance : float, or array [feature, feature] or [stage, feature, feature]
        A number is the variance of each weight. Positive definite.
    tails : float above 2, optional
        Degrees of freedom.

    Returns
    -------
    NumPyro model with the sites ``theta`` [stage, feature], ``transition`` and ``reward`` [state, action]

    Examples
    --------
    >>> import bayesmdp as bm, jax
    >>> from bayesmdp.model_reading.read_model import sample_prior
    >>> layers = bm.environments.layers(3, 2, 4)
    >>> drawn = sample_prior(gaussian_q_tasks(layers, 0.0, np.eye(6)), jax.random.key(0), layers.transition.shape)
    >>> q = bm.solve(layers.replace(reward=drawn["reward"])).q[:3].values
    >>> bool(np.allclose(q.ravel(), drawn["theta"][0], atol=1e-5))
    True
    """
    if getattr(mdp, "horizon", None) is None or mdp.features is None or mdp.transition is None:
        raise ValueError("gaussian_q_tasks needs an MDP with stages, features and transition probabilities")
    if tails is not None and not 2 < tails < np.inf:
        raise ValueError(f"tails must be finite and above 2, or there is no covariance; got {tails!r}")
    shape = int(mdp.horizon), int(mdp.features.shape[-1])
    means = frozen_numbers("mean", mean, shape, positive=False, axes="[stage, feature]")
    successor = np.arange(mdp.num_states) if mdp.successor is None else mdp.successor
    tables = (
        np.asarray(mdp.features, float),
        np.asarray(mdp.transition, float),
        np.broadcast_to(successor, mdp.transition.shape).astype(np.int32),
        np.asarray(mdp.stage, np.int32),
        np.asarray(mdp.available),
    )
    return _model(means, frozen_root("covariance", covariance, shape), tuple(map(_frozen, tables)), tails)


def _frozen(table: Any) -> Frozen:
    return freeze(np.ascontiguousarray(table))


@lru_cache(maxsize=16)
def _model(mean: Frozen, factor: Frozen, tables: tuple[Frozen, ...], tails: float | None) -> Callable[[Any], None]:
    (stages, size), *_ = mean

    def model(data: Any) -> None:
        features, transition, successor, stage, available = map(thaw, tables)
        root = thaw(factor)
        if tails is None:
            prior = dist.MultivariateNormal(thaw(mean), scale_tril=root)
        else:
            prior = dist.MultivariateStudentT(tails, thaw(mean), scale_tril=root * np.sqrt((tails - 2) / tails))
        with numpyro.plate("stage", stages, dim=-1):
            theta = numpyro.sample("theta", prior, infer={"event_dims": ["feature"]})
        weights = jnp.concatenate([theta, jnp.zeros((1, size))])[stage]  # 0 at the end
        q = jnp.einsum("saf,sf->sa", features, weights)
        best = jnp.where(stage < stages, jnp.max(jnp.where(available, q, -jnp.inf), -1), 0)
        numpyro.deterministic("transition", jnp.asarray(transition))
        going = (stage < stages)[:, None]
        numpyro.deterministic("reward", jnp.where(going, q - jnp.sum(transition * best[successor], -1), 0))

    model.__name__ = "gaussian_q_tasks"
    return model
