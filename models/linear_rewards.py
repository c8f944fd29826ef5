"""Rewards that are linear in features of the state, for each action, beside any model of where steps lead.

    reward_precision             ~ Gamma(shape, rate)
    reward_weights[a, f]         ~ Normal(0, scale / sqrt(reward_precision))
    reward ~ Normal(middle + half <reward_weights[a], features(u(s))>, half / sqrt(reward_precision))

with `middle` and `half` of the range of rewards, and u(s) the state in units of its box, as in
:mod:`~bayesmdp.models.linear_dynamics`. What a step pays may hang on where it leads: the mean over that is a function
of state and action, which is what is learned, and the rest is noise. With dynamics whose posterior is in closed form
theirs together is: a Normal-Gamma regression with one group more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from .arguments import Frozen, freeze, frozen_numbers, thaw
from .linear_dynamics import box_of, linear_dynamics

__all__ = ["linear_rewards", "up_to_squares"]


def up_to_squares(place: Any) -> Any:
    """Return 1, the coordinates, and all products of two of them.

    Parameters
    ----------
    place : array [..., coordinate]

    Returns
    -------
    array [..., (1 + coordinate) (2 + coordinate) / 2]
    """
    one, other = np.triu_indices(place.shape[-1])
    return jnp.concatenate([jnp.ones((*place.shape[:-1], 1)), place, place[..., one] * place[..., other]], -1)


def linear_rewards(
    mdp: Any,
    dynamics: Callable[[Any], None] | None = None,
    features: Callable[[Any], Any] = up_to_squares,
    *,
    scale: float = 10.0,
    noise: float = 0.1,
    certainty: float = 1.0,
) -> Callable[[Any], None]:
    """Unknown rewards, linear in features of the state, for each action, with Normal noise of unknown size.

    Parameters
    ----------
    mdp
        Read for `problem.low`, `problem.high`, `problem.reward_range` and `num_actions`, as a `SimulatedMDP` has them.
    dynamics : NumPyro model of `Records`, optional
        Of where steps lead; by default `linear_dynamics`.
    features : callable
        As for `linear_dynamics`; by default 1, the coordinates and their products.
    scale : float, positive
        Standard deviation of weights, in those of the noise.
    noise : float, positive
        Prior standard deviation of the noise, as a share of half the range of rewards.
    certainty : float, positive
        Shape of the Gamma prior of the precision: half as many steps as the prior noise stands for.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites of `dynamics` (by default
    ``precision`` and ``weights``), ``reward_precision`` and ``reward_weights`` [action, reward_feature]

    Raises
    ------
    TypeError, ValueError
        If there is no box, `dynamics` is no function, all rewards are the same, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> log = bm.collect(room, steps=300, seed=0)
    >>> posterior = bm.infer(linear_rewards(room), log, mdp=room, draws=100)
    >>> posterior.attrs["engine"], dict(posterior.posterior["reward_weights"].sizes)
    ('exact', {'chain': 4, 'draw': 25, 'action': 3, 'reward_feature': 3})
    """
    low, high, actions = box_of(mdp)
    least, most = map(float, np.asarray(mdp.problem.reward_range))
    if not least < most:
        raise ValueError(f"the rewards of mdp are all {least:g}, so there is nothing to learn of them")
    if dynamics is not None and not callable(dynamics):
        raise TypeError(f"dynamics must be a NumPyro function of the data; got {type(dynamics).__name__}")
    return _model(
        linear_dynamics(mdp) if dynamics is None else dynamics,
        low,
        high,
        freeze(np.array([least, most])),
        actions,
        features,
        frozen_numbers("scale", scale, ()),
        frozen_numbers("noise", noise, ()),
        frozen_numbers("certainty", certainty, ()),
    )


@lru_cache(maxsize=64)
def _model(
    dynamics: Callable[[Any], None],
    low: Frozen,
    high: Frozen,
    reward_range: Frozen,
    num_actions: int,
    features: Callable[[Any], Any],
    scale: Frozen,
    noise: Frozen,
    certainty: Frozen,
) -> Callable[[Any], None]:
    def model(data: Any) -> None:
        dynamics(data)
        corner, width = thaw(low), (thaw(high) - thaw(low)) / 2
        (least, most), shape = thaw(reward_range), thaw(certainty)
        middle, half = (least + most) / 2, (most - least) / 2
        phi = features((jnp.asarray(data.state) - corner) / width - 1)
        precision = numpyro.sample("reward_precision", dist.Gamma(shape, shape * thaw(noise) ** 2))
        sd = 1 / jnp.sqrt(precision)
        # No plates: that of the actions may stand elsewhere in the dynamics, and NumPyro asks that it be the same.
        prior = dist.Normal(0, thaw(scale) * sd).expand((num_actions, phi.shape[-1])).to_event(2)
        axes = {"event_dims": ["action", "reward_feature"]}
        weights = numpyro.sample("reward_weights", prior, infer=axes)
        mean = middle + half * (weights[data.action] * phi).sum(-1)
        with data.rows():
            numpyro.sample("reward", dist.Normal(mean, half * sd), obs=data.reward)

    model.__name__ = f"{getattr(dynamics, '__name__', 'dynamics')} + linear_rewards"
    return model
