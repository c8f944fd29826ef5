"""What all policies on spaces of numbers are for compiled code, and how one of another problem is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = [
    "RandomRule",
    "StatePolicy",
    "after_steps",
    "best_by",
    "check_horizon",
    "check_same_problem",
    "features_of",
    "filled_up",
]

FEWEST = 16
"""States that compiled code is asked for at once, at the least."""


class StatePolicy(NamedTuple):
    """A policy on a space of numbers, as compiled code takes it.

    Attributes
    ----------
    rule : callable
        ``rule(parameters, uniform [], state [coordinate]) -> int []``; hashable, and equal where policies differ in
        their parameters alone. Where it is by stage it has a method ``at_stage(parameters, stage)``, which gives the
        parameters that it takes after so many steps; see `after_steps`.
    parameters : pytree
    """

    rule: Callable[[Any, Array, Array], Array]
    parameters: Any


def after_steps(rule: Any, parameters: Any, stage: Int[Array, ""]) -> Any:
    """Return the parameters of a rule after so many steps of an episode; the same for all rules not by stage.

    Parameters
    ----------
    rule : callable
        As of a `StatePolicy`.
    parameters : pytree of JAX's arrays
    stage : int; may be traced
    """
    at_stage = getattr(rule, "at_stage", None)
    return parameters if at_stage is None else at_stage(parameters, stage)


class RandomRule:
    """A rule that draws its action; subclasses say how probable each is, and are frozen dataclasses."""

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return the probability of each action; may be traced."""
        raise NotImplementedError

    def __call__(self, parameters: Any, uniform: Array, state: Float[Array, " coordinate"]) -> Int[Array, ""]:
        """Return the position of an action, drawn with a uniform number."""
        probability = self.probabilities(parameters, state)
        below = jnp.cumsum(probability) / probability.sum()
        return jnp.minimum((uniform >= below).sum(), len(below) - 1).astype(jnp.int32)


def filled_up(states: NDArray[np.float64], mdp: SimulatedMDP) -> NDArray[np.float64]:
    """Return states [state, coordinate] filled up to a power of two, so that a program serves other numbers of them.

    Parameters
    ----------
    states : array [state, coordinate]
    mdp : SimulatedMDP
        By whose start they are filled up.
    """
    size = 1 << (max(len(states), FEWEST) - 1).bit_length()
    return np.concatenate([states, np.broadcast_to(mdp.problem.start, (size - len(states), states.shape[1]))])


def best_by(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the best of some choices is better than the next [...]; infinite where there is one.

    Parameters
    ----------
    values : array [..., choice]
    """
    if values.shape[-1] == 1:
        return np.full(values.shape[:-1], np.inf)
    ordered = np.sort(values, -1)
    return np.asarray(ordered[..., -1] - ordered[..., -2])


def check_same_problem(
    of: str, actions: list[Any], places: NDArray[np.float64], features: NDArray[np.float64], mdp: SimulatedMDP
) -> None:
    """Refuse what is of another problem: its actions, places, and the features there.

    Parameters
    ----------
    of : str
        What messages begin with.
    actions : list of labels
    places : array [place, coordinate]
    features : array [place, feature]
    mdp : SimulatedMDP

    Raises
    ------
    ValueError
    """
    if actions != label_array(mdp.actions).tolist():
        raise ValueError(f"{of}: its actions are {actions}, those of {mdp.name} are {list(mdp.actions)}")
    if places.shape[-1] != mdp.problem.start.size:
        raise ValueError(
            f"{of}: its states have {places.shape[-1]} coordinates, those of {mdp.name} have {mdp.problem.start.size}"
        )
    own = features_of(mdp, places)
    # Those of 32 bits differ in their seventh digit from one machine to another.
    if own.shape != features.shape or not np.allclose(own, features, rtol=1e-6, atol=1e-6):
        raise ValueError(f"{of}: the features of {mdp.name} are others")


def check_horizon(of: str, horizon: int | None, mdp: SimulatedMDP) -> None:
    """Refuse what is by stage in a problem that is not, or is one of another number of steps, and the other way round.

    Parameters
    ----------
    of : str
        What messages begin with.
    horizon : int or None
        The stages that there are.
    mdp : SimulatedMDP

    Raises
    ------
    ValueError
    """
    if horizon != mdp.horizon:
        own, its = ("no horizon" if each is None else f"a horizon of {each}" for each in (horizon, mdp.horizon))
        raise ValueError(f"{of}: it has {own}, and {mdp.name} has {its}; use mdp.replace(horizon={horizon})")


def features_of(mdp: SimulatedMDP, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a problem's features [place, feature] at places [place, coordinate].

    Parameters
    ----------
    mdp : SimulatedMDP
    places : array [place, coordinate]
    """
    with jax.enable_x64(True):
        return np.asarray(_features_at(places, mdp.problem.features), float)


@jax.jit
def _features_at(places: Array, features: Callable[[Array], Array]) -> Array:
    return features(places)
