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

Where rewards are *tied* one unknown, ``reward_level``, stands for all the pairs of a group, and learns from all. Tied
by ``"next_state"`` they are what entering a state pays, whatever led there: ``reward`` is [next_state], and r is that
of a transition into it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, Sizes, freeze, frozen_numbers, pair_sizes, thaw

__all__ = ["beta_bernoulli_rewards", "normal_gamma_rewards", "normal_rewards"]

type Model = Callable[[Any], None]
type Tied = bool | str | ArrayLike


class _Tie(NamedTuple):
    """Which rewards share an unknown: group numbers [state, action], those of one next state, or none."""

    groups: Frozen | None
    entered: bool
    unknowns: tuple[int, ...]
    noise: tuple[int, ...]

    @property
    def axes(self) -> str:
        """How the axes of the unknowns are called, where their number does not say it."""
        return "[next_state]" if self.entered else ""

    def numbers(self, name: str, given: ArrayLike, *, positive: bool = True) -> Frozen:
        """Numbers of the prior, one for each unknown."""
        return frozen_numbers(name, given, self.unknowns, positive=positive, axes=self.axes)


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
    noise : float, or array broadcastable to [state, action], or [next_state] where tied by it
        Standard deviation of a reward about its mean.
    tied : False, "state", "action", "all", "next_state", or int array [state, action]
        Which rewards share their unknown: those of the pairs of one state, of one action, all, those of the transitions
        into one state, or those of the pairs of one number 0, 1, 2, ...

    Returns
    -------
    NumPyro model
        With the sites of `transitions` and ``reward`` [state, action]; where tied, that is ``reward_level`` [group] of
        each pair's group; tied by "next_state" it is [next_state].

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
    tie = _tie(tied, mdp)
    numbers = (
        tie.numbers("mean", mean, positive=False),
        tie.numbers("scale", scale),
        frozen_numbers("noise", noise, tie.noise, axes=tie.axes),
    )
    return _normal(_function(transitions), numbers, tie)


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
    tied : False, "state", "action", "all", "next_state", or int array [state, action]
        As for `normal_rewards`.

    Returns
    -------
    NumPyro model
        With the sites of `transitions`, ``precision`` [state, action], or [group] where tied, and ``reward`` [state,
        action]; where tied, that is ``reward_level`` [group] of each pair's group; tied by "next_state" both are
        one for each next state, in the axes [entered] and [next_state].

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
    tie = _tie(tied, mdp)
    numbers = (
        tie.numbers("mean", mean, positive=False),
        tie.numbers("weight", weight),
        tie.numbers("shape", shape),
        tie.numbers("rate", rate),
    )
    return _normal_gamma(_function(transitions), numbers, tie)


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
    tied : False, "state", "action", "all", "next_state", or int array [state, action]
        As for `normal_rewards`.

    Returns
    -------
    NumPyro model
        With the sites of `transitions` and ``reward`` [state, action]; where tied, that is ``reward_level`` [group] of
        each pair's group; tied by "next_state" it is [next_state].

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
    tie = _tie(tied, mdp)
    return _beta_bernoulli(_function(transitions), (tie.numbers("a", a), tie.numbers("b", b)), tie)


@lru_cache(maxsize=64)
def _normal(transitions: Model, numbers: tuple[Frozen, ...], tie: _Tie) -> Model:
    mean, scale, noise = numbers

    def unknown(site: str) -> Any:
        return (numpyro.sample(site, dist.Normal(thaw(mean), thaw(scale))),)

    def observed(at: Any, reward: Any) -> Any:
        return dist.Normal(reward, jnp.asarray(thaw(noise))[at])

    return _composed("normal_rewards", transitions, tie, unknown, observed)


@lru_cache(maxsize=64)
def _normal_gamma(transitions: Model, numbers: tuple[Frozen, ...], tie: _Tie) -> Model:
    def unknown(site: str) -> Any:
        mean, weight, shape, rate = map(thaw, numbers)
        precision = numpyro.sample("precision", dist.Gamma(shape, rate))
        return numpyro.sample(site, dist.Normal(mean, 1 / jnp.sqrt(weight * precision))), precision

    def observed(at: Any, reward: Any, precision: Any) -> Any:
        return dist.Normal(reward, 1 / jnp.sqrt(precision))

    return _composed("normal_gamma_rewards", transitions, tie, unknown, observed)


@lru_cache(maxsize=64)
def _beta_bernoulli(transitions: Model, numbers: tuple[Frozen, ...], tie: _Tie) -> Model:
    a, b = numbers

    def unknown(site: str) -> Any:
        return (numpyro.sample(site, dist.Beta(thaw(a), thaw(b))),)

    def observed(at: Any, reward: Any) -> Any:
        return dist.Bernoulli(reward)

    return _composed("beta_bernoulli_rewards", transitions, tie, unknown, observed)


def _composed(
    name: str,
    transitions: Model,
    tie: _Tie,
    unknown: Callable[[str], tuple[Any, ...]],
    observed: Callable[..., Any],
) -> Model:
    """The model of transitions, the unknowns of the rewards, the mean first, and the rewards seen."""

    def model(data: Any) -> None:
        transitions(data)
        size = tie.unknowns
        if tie.entered:
            with numpyro.plate("entered", size[0], dim=-1):
                unknowns = unknown("reward")
        elif tie.groups is None:
            with numpyro.plate("state", size[0], dim=-2), numpyro.plate("action", size[1], dim=-1):
                unknowns = unknown("reward")
        else:
            with numpyro.plate("group", size[0], dim=-1):
                unknowns = unknown("reward_level")
            unknowns = tuple(values[thaw(tie.groups)] for values in unknowns)
            numpyro.deterministic("reward", unknowns[0])
        with data.rows():
            at = data.next_state if tie.entered else (data.state, data.action)
            seen = observed(at, *(values[at] for values in unknowns))
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


def _tie(tied: Tied, mdp: Sizes) -> _Tie:
    """Which rewards share an unknown, checked."""
    pairs = pair_sizes(mdp)
    if tied is False:
        return _Tie(None, False, pairs, pairs)
    state, action = np.indices(pairs)
    named = {"state": state, "action": action, "all": 0 * state}
    if isinstance(tied, str) and tied == "next_state":
        if getattr(mdp, "successor", None) is not None:
            raise ValueError(
                "tied='next_state' needs outcomes that are next states, and the MDP has a successor table: make it "
                "without one, for a log by mdp_from_log(..., elsewhere='each')"
            )
        return _Tie(None, True, pairs[:1], pairs[:1])
    if isinstance(tied, str) and tied in named:
        group = named[tied]
    elif isinstance(tied, str | bool):
        listed = ", ".join(map(repr, (*named, "next_state")))
        raise ValueError(f"tied must be False, {listed} or group numbers; got {tied!r}")
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
    return _Tie(freeze(group.astype(np.int32)), False, (size,), pairs)
