"""What optimistic agents for the average reward share: what they are told, known rewards in [0, 1] among it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number, reject_first
from bayesmdp.models import dirichlet_transitions
from bayesmdp.posterior import Belief, exact_belief
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = [
    "best_action",
    "bonus_options",
    "counter",
    "dense_counter",
    "dense_unit_rewards",
    "horizon_options",
    "never",
    "pair_features",
    "share_clipped",
    "unit_rewards",
]


def bonus_options(horizon: int, span: float, scale: float, failure: float) -> dict[str, float]:
    """Return the options that agents whose bonus grows with the span have in common, checked.

    Parameters
    ----------
    horizon : int, at least 2
        T, the number of steps.
    span : float, at least 0
        sp(v*).
    scale : float, at least 0
        c.
    failure : float in (0, 1)
        delta.

    Returns
    -------
    dict

    Raises
    ------
    ValueError, TypeError
        For numbers out of range.
    """
    return {
        "horizon": integer("horizon", horizon, 2),
        "span": number("span", span, minimum=0),
        "scale": number("scale", scale, minimum=0),
        "failure": number("failure", failure, above=0, below=1),
    }


def horizon_options(
    horizon: int, span: float, scale: float, failure: float, discount: float | None
) -> dict[str, float]:
    """Return `bonus_options` and the discount.

    Parameters
    ----------
    horizon, span, scale, failure
        As for `bonus_options`.
    discount : float in (0, 1), optional
        1 - 1 / sqrt(T) by default.

    Returns
    -------
    dict

    Raises
    ------
    ValueError, TypeError
        For numbers out of range.
    """
    options = bonus_options(horizon, span, scale, failure)
    theirs = 1 - options["horizon"] ** -0.5
    return options | {"discount": theirs if discount is None else number("discount", discount, above=0, below=1)}


def unit_rewards(mdp: MDP) -> None:
    """Refuse an MDP whose rewards are not of pairs or lie outside [0, 1], on which bonuses rest; make no belief."""
    if (mdp.reward != mdp.reward[..., :1]).any():
        raise ValueError(
            f"the reward of {mdp.name} depends on where a step leads, but this agent reads one reward of each pair: "
            "give the mean, mdp.replace(reward=(mdp.transition * mdp.reward).sum(-1)), perhaps with noise"
        )
    live = mdp.available[..., None]
    reject_first(
        "reward",
        live & ((mdp.reward < 0) | (mdp.reward > 1)),
        mdp.reward,
        "is outside [0, 1], which this agent's bonus rests on",
        remedy="rescale the rewards; gain and regret scale with them",
    )


def dense_unit_rewards(mdp: MDP) -> None:
    """Refuse what `unit_rewards` does, and successor tables: for agents that take outcomes for states."""
    unit_rewards(mdp)
    if mdp.successor is not None:
        raise ValueError(f"{mdp.name} has a successor table, which this agent does not read: leave it out")


def counter(mdp: MDP) -> Belief:
    """Make a belief that is asked only how often what was seen, of an MDP with rewards in [0, 1]."""
    unit_rewards(mdp)
    return exact_belief(dirichlet_transitions(mdp), mdp, num_draws=1)


def dense_counter(mdp: MDP) -> Belief:
    """Make the belief of `counter`, and refuse successor tables: for agents that take outcomes for states."""
    dense_unit_rewards(mdp)
    return counter(mdp)


def never(uniform: Float[Array, ""], state: Any, step: Step) -> Bool[Array, ""]:
    """Return False: the `ends` of an agent whose planning has no periods.

    Parameters
    ----------
    uniform, state, step
        Not used.

    Returns
    -------
    bool
    """
    return jnp.zeros((), bool)


def best_action(available: Bool[Array, " action"], values: Float[Array, " action"]) -> Int[Array, ""]:
    """Return the available action with the largest value, the first of equals.

    Parameters
    ----------
    available : bool array [action]
    values : array [action]

    Returns
    -------
    int
    """
    return jnp.argmax(jnp.where(available, values, -jnp.inf)).astype(jnp.int32)


def pair_features(problem: Problem) -> Float[Array, "state action feature"]:
    """Return the features [state, action, feature] of pairs: the problem's, or an indicator of each pair."""
    if problem.features is not None:
        return problem.features
    pairs = problem.available.shape
    return jnp.eye(pairs[0] * pairs[1]).reshape(*pairs, -1)


def share_clipped(value: Float[Array, " state"], width: Array) -> Float[Array, ""]:
    """Return the share of states whose value, before clipping, is as far above the least as clipping lets it be.

    Parameters
    ----------
    value : array [state]
        U.
    width : float
        H.

    Returns
    -------
    float

    Notes
    -----
    U that an earlier sweep clipped to min U + H lies there exactly, and counts.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(share_clipped(jnp.array([1.0, 2.0, 3.0, 9.0]), 2.0))
    0.5
    """
    least = jnp.min(value)
    return jnp.mean((value > least) & (value >= least + width), dtype=float)
