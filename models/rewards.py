"""Unknown rewards, to compose with any model of the transitions into one.

With r the rewards of a pair (s, a), independent given the unknowns, and n how many were seen:

    normal_rewards          reward[s, a] ~ Normal(mean, scale)
                            r ~ Normal(reward[s, a], noise)
    normal_gamma_rewards    precision[s, a] ~ Gamma(shape, rate)
                            reward[s, a] ~ Normal(mean, 1 / sqrt(weight precision[s, a]))
                            r ~ Normal(reward[s, a], 1 / sqrt(precision[s, a]))
    beta_bernoulli_rewards  reward[s, a] ~ Beta(a, b)
                            r ~ Bernoulli(reward[s, a])

All are conjugate (Bernardo and Smith, 1994, section 5.2). With m the mean of the r and v their mean square about it,

    Normal          precision of the mean 1 / scale^2 + n / noise^2, at (mean / scale^2 + n m / noise^2) over it
    Normal-Gamma    weight + n,  (weight mean + n m) / (weight + n),  shape + n / 2,
                    rate + n v / 2 + weight n (m - mean)^2 / (2 (weight + n))
    Beta            a + number of ones, b + number of zeros

Where rewards are *tied* one unknown, ``reward_level``, stands for all the pairs of a group, and learns from all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, Sizes, freeze, frozen_numbers, pair_sizes, thaw

__all__ = ["beta_bernoulli_rewards", "normal_gamma_rewards", "normal_rewards"]

type Model = Callable[[Any], None]
type Tied = bool | str | ArrayLike


def normal_rewards(
    mdp: Sizes,
    transitions: Model,
    *,
    mean: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    noise: ArrayLike = 1.0,
    tied: Tied = False,
) -> Model:
    """Rewards of unknown mean and known noise.

    Parameters
    ----------
    mdp
        Read for `num_states` and `num_actions`.
    transitions : NumPyro model
        Of the transitions; any.
    mean, scale : float, or array broadcastable to [state, action], or [group] where tied
        Of the prior of the mean reward; `scale` is its standard deviation.
    noise : float, or array broadcastable to [state, action]
        Standard deviation of a reward about its mean.
    tied : False, "state", "action", "all", or int array [state, action]
        Which pairs share their unknown: those of one state, of one action, all, or those of one number 0, 1, 2, ...

    Returns
    -------
    NumPyro model
        With the sites of `transitions` and ``reward`` [state, action]; where tied, that is ``reward_level`` [group] of
        each pair's group.

    Raises
    ------
    TypeError, ValueError
        If `transitions` is no function, a number is not finite or not positive where it must be, or a shape does not
        fit: with the index.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> model = normal_rewards(river, bm.models.river_current(river), scale=0.5, noise=0.1)
    >>> log = bm.collect(river, policy="uniform", steps=100, seed=0)
    >>> bm.infer(model, log, draws=100).posterior["reward"].dims
    ('chain', 'draw', 'state', 'action')
    """
    pairs = pair_sizes(mdp)
    groups, shape = _groups(tied, pairs)
    numbers = (
        frozen_numbers("mean", mean, shape, positive=False),
        frozen_numbers("scale", scale, shape),
        frozen_numbers("noise", noise, pairs),
    )
    return _normal(_function(transitions), numbers, groups)


def normal_gamma_rewards(
    mdp: Sizes,
    transitions: Model,
    *,
    mean: ArrayLike = 0.0,
    weight: ArrayLike = 1.0,
    shape: ArrayLike = 1.0,
    rate: ArrayLike = 1.0,
    tied: Tied = False,
) -> Model:
    """Rewards of unknown mean and unknown noise.

    Parameters
    ----------
    mdp
        Read for `num_states` and `num_actions`.
    transitions : NumPyro model
        Of the transitions; any.
    mean, weight : float, or array broadcastable to [state, action], or [group] where tied
        Of the prior of the mean reward, which counts as much as `weight` rewards.
    shape, rate : the same
        Of the Gamma prior of the precision, 1 / noise^2. The variance of a reward is expected to be
        ``rate / (shape - 1)``, and the prior counts as much as ``2 shape`` rewards.
    tied : False, "state", "action", "all", or int array [state, action]
        As for `normal_rewards`.

    Returns
    -------
    NumPyro model
        With the sites of `transitions`, ``precision`` [state, action], or [group] where tied, and ``reward`` [state,
        action]; where tied, that is ``reward_level`` [group] of each pair's group.

    Notes
    -----
    The rate of the posterior is a difference: of its 16 digits it loses those by which the squared distance of the
    rewards from the prior's mean exceeds their variance, where `weight` is too small to add it back.

    Raises
    ------
    TypeError, ValueError
        As for `normal_rewards`.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> model = normal_gamma_rewards(river, bm.models.dirichlet_transitions(river), weight=0.1, tied="action")
    >>> log = bm.collect(river, policy="uniform", steps=100, seed=0)
    >>> bm.infer(model, log, draws=0).parameters["reward_level"].parameter.values.tolist()
    ['mean', 'weight', 'shape', 'rate']
    """
    pairs = pair_sizes(mdp)
    groups, size = _groups(tied, pairs)
    numbers = (
        frozen_numbers("mean", mean, size, positive=False),
        frozen_numbers("weight", weight, size),
        frozen_numbers("shape", shape, size),
        frozen_numbers("rate", rate, size),
    )
    return _normal_gamma(_function(transitions), numbers, groups)


def beta_bernoulli_rewards(
    mdp: Sizes, transitions: Model, *, a: ArrayLike = 1.0, b: ArrayLike = 1.0, tied: Tied = False
) -> Model:
    """Rewards that are 1 with an unknown probability and else 0.

    A log with other rewards is refused, since they have no probability.

    Parameters
    ----------
    mdp
        Read for `num_states` and `num_actions`.
    transitions : NumPyro model
        Of the transitions; any.
    a, b : float, or array broadcastable to [state, action], or [group] where tied
        Of the Beta prior: as if so many ones and zeros had been seen; 1 and 1 are uniform.
    tied : False, "state", "action", "all", or int array [state, action]
        As for `normal_rewards`.

    Returns
    -------
    NumPyro model
        With the sites of `transitions` and ``reward`` [state, action]; where tied, that is ``reward_level`` [group] of
        each pair's group.

    Raises
    ------
    TypeError, ValueError
        As for `normal_rewards`.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=200, seed=0)
    >>> model = beta_bernoulli_rewards(river, bm.models.dirichlet_transitions(river), tied="all")
    >>> float(bm.infer(model, log.assign(reward=log.reward > 0.5), draws=0).parameters["reward_level"].sum())
    202.0
    """
    pairs = pair_sizes(mdp)
    groups, shape = _groups(tied, pairs)
    numbers = (frozen_numbers("a", a, shape), frozen_numbers("b", b, shape))
    return _beta_bernoulli(_function(transitions), numbers, groups)


@lru_cache(maxsize=64)
def _normal(transitions: Model, numbers: tuple[Frozen, ...], groups: Frozen | None) -> Model:
    mean, scale, noise = numbers

    def unknown(site: str) -> Any:
        return (numpyro.sample(site, dist.Normal(thaw(mean), thaw(scale))),)

    def observed(pair: Any, reward: Any) -> Any:
        return dist.Normal(reward, jnp.asarray(thaw(noise))[pair])

    return _composed("normal_rewards", transitions, groups, numbers[0][0], unknown, observed)


@lru_cache(maxsize=64)
def _normal_gamma(transitions: Model, numbers: tuple[Frozen, ...], groups: Frozen | None) -> Model:
    def unknown(site: str) -> Any:
        mean, weight, shape, rate = map(thaw, numbers)
        precision = numpyro.sample("precision", dist.Gamma(shape, rate))
        return numpyro.sample(site, dist.Normal(mean, 1 / jnp.sqrt(weight * precision))), precision

    def observed(pair: Any, reward: Any, precision: Any) -> Any:
        return dist.Normal(reward, 1 / jnp.sqrt(precision))

    return _composed("normal_gamma_rewards", transitions, groups, numbers[0][0], unknown, observed)


@lru_cache(maxsize=64)
def _beta_bernoulli(transitions: Model, numbers: tuple[Frozen, ...], groups: Frozen | None) -> Model:
    a, b = numbers

    def unknown(site: str) -> Any:
        return (numpyro.sample(site, dist.Beta(thaw(a), thaw(b))),)

    def observed(pair: Any, reward: Any) -> Any:
        return dist.Bernoulli(reward)

    return _composed("beta_bernoulli_rewards", transitions, groups, numbers[0][0], unknown, observed)


def _composed(
    name: str,
    transitions: Model,
    groups: Frozen | None,
    shape: tuple[int, ...],
    unknown: Callable[[str], tuple[Any, ...]],
    observed: Callable[..., Any],
) -> Model:
    """The model of transitions, the unknowns of the rewards, the mean first, and the rewards seen."""

    def model(data: Any) -> None:
        transitions(data)
        if groups is None:
            with numpyro.plate("state", shape[0], dim=-2), numpyro.plate("action", shape[1], dim=-1):
                unknowns = unknown("reward")
        else:
            with numpyro.plate("group", shape[0], dim=-1):
                unknowns = unknown("reward_level")
            unknowns = tuple(values[thaw(groups)] for values in unknowns)
            numpyro.deterministic("reward", unknowns[0])
        with data.rows():
            pair = data.state, data.action
            seen = observed(pair, *(values[pair] for values in unknowns))
            numpyro.sample("observed_reward", seen, obs=data.reward)

    model.__name__ = f"{getattr(transitions, '__name__', 'transitions')} + {name}"
    return model


def _function(transitions: Any) -> Model:
    if not callable(transitions):
        raise TypeError(f"transitions is a NumPyro function of the data; got {type(transitions).__name__}")
    name = getattr(transitions, "__name__", "transitions")
    if next(iter(signature(transitions).parameters), None) == "mdp":
        raise TypeError(f"transitions is a NumPyro function of the data, which {name} makes: give {name}(mdp)")
    if " + " in name:
        raise ValueError(f"transitions has rewards of its own, {name}; give the model of the transitions alone")
    return transitions


def _groups(tied: Tied, pairs: tuple[int, int]) -> tuple[Frozen | None, tuple[int, ...]]:
    """Group numbers [state, action], None where each pair is its own, and the shape of the unknowns."""
    if tied is False:
        return None, pairs
    state, action = np.indices(pairs)
    named = {"state": state, "action": action, "all": 0 * state}
    if isinstance(tied, str) and tied in named:
        group = named[tied]
    elif isinstance(tied, str | bool):
        raise ValueError(f"tied must be False, {', '.join(map(repr, named))} or group numbers; got {tied!r}")
    else:
        group = np.asarray(tied)
        if group.dtype.kind not in "iu":
            raise TypeError(f"tied must hold integers, the numbers of groups; got dtype {group.dtype}")
        if group.shape != pairs:
            raise ValueError(f"tied has shape {group.shape}; expected [state, action] = {pairs}")
        if (group < 0).any():
            s, a = np.argwhere(group < 0)[0]
            raise ValueError(f"tied[{s}, {a}] = {group[s, a]}; groups are numbered 0, 1, 2, ...")
        if (group >= group.size).any():
            s, a = np.argwhere(group >= group.size)[0]
            raise ValueError(f"tied[{s}, {a}] = {group[s, a]}, but {group.size} pairs have at most as many groups")
    size = int(group.max()) + 1
    unused = np.setdiff1d(np.arange(size), group)
    if unused.size:
        raise ValueError(f"tied has no pair of group {unused[0]}; groups are numbered 0, 1, 2, ... without gaps")
    return freeze(group.astype(np.int32)), (size,)
