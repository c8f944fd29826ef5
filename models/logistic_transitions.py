"""Two outcomes whose odds are log-linear in features.

    weight[feature]         ~ Normal(mean, scale), independent
    transition[s, a, 1]     = sigmoid(<phi(s, a), weight>),    transition[s, a, 0] the rest
    outcome | s, a          ~ Categorical(transition[s, a, :])

phi is the MDP's `features`. Of a family of tasks that differ in `weight` it is the distribution; as a prior its
posterior has no closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import nn
from numpy.typing import ArrayLike, NDArray

from .arguments import Frozen, freeze, frozen_numbers, pair_sizes, thaw

__all__ = ["logistic_transitions"]


def logistic_transitions(mdp: Any, mean: ArrayLike | None = 0.0, scale: ArrayLike = 1.0) -> Callable[[Any], None]:
    """A logistic model of which of two outcomes a pair has.

    Parameters
    ----------
    mdp
        Read for `num_states`, `num_actions`, `num_outcomes`, which must be 2, and `features` [state, action, feature].
    mean, scale : float, or array broadcastable to [feature]
        Of the weights; scales are positive. With ``mean=None`` the weights are about those of the MDP's own transition
        probabilities, as a distribution of tasks like it.

    Returns
    -------
    NumPyro model with the sites ``weight`` [feature] and ``transition`` [state, action, outcome]

    Raises
    ------
    ValueError
        If the MDP has no features or not two outcomes, or a number is not finite or not positive.

    Examples
    --------
    >>> import bayesmdp as bm, jax
    >>> from bayesmdp.model_reading.read_model import sample_prior
    >>> shop = bm.environments.recommendation(3, 2)
    >>> drawn = sample_prior(logistic_transitions(shop), jax.random.key(0), (shop.num_states, 3, 2))
    >>> drawn["weight"].shape, drawn["transition"].shape
    ((12,), (8, 3, 2))
    """
    pair_sizes(mdp)
    features = getattr(mdp, "features", None)
    if features is None:
        raise ValueError("logistic_transitions needs features: MDP(features=[state, action, feature])")
    if mdp.num_outcomes != 2:
        raise ValueError(f"logistic_transitions is for pairs with 2 outcomes; this MDP has {mdp.num_outcomes}")
    size = (features.shape[-1],)
    mean = _own_weights(mdp) if mean is None else mean
    means = frozen_numbers("mean", mean, size, positive=False, axes="[feature]")
    scales = frozen_numbers("scale", scale, size, axes="[feature]")
    return _model(freeze(np.ascontiguousarray(features, dtype=np.float64)), means, scales)


def _own_weights(mdp: Any) -> NDArray[np.float64]:
    """Least squares for the log odds of the MDP's pairs, as far as they are finite."""
    if getattr(mdp, "transition", None) is None:
        raise ValueError("mean=None takes the weights of the MDP's own transition probabilities, of which it has none")
    with np.errstate(divide="ignore"):
        odds = np.log(mdp.transition[..., 1]) - np.log(mdp.transition[..., 0])
    pairs = np.isfinite(odds) & mdp.available & ~mdp.terminal[:, None]
    return np.linalg.lstsq(mdp.features[pairs], odds[pairs])[0]


@lru_cache(maxsize=16)
def _model(features: Frozen, mean: Frozen, scale: Frozen) -> Callable[[Any], None]:
    def model(data: Any) -> None:
        with numpyro.plate("feature", features[0][-1], dim=-1):
            weight = numpyro.sample("weight", dist.Normal(thaw(mean), thaw(scale)))
        likely = nn.sigmoid(jnp.asarray(thaw(features)) @ weight)
        transition = numpyro.deterministic("transition", jnp.stack([1 - likely, likely], -1))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    model.__name__ = "logistic_transitions"
    return model
