"""Baselines on spaces of numbers: policies that say how probable each action is, which a plan is to gain over.

A baseline is a function of states; a table of *places*, the nearest of which counts everywhere, in units of the box of
states (our reading: a few places stand for a rule that changes halfway between them); an earlier plan; or anything else
whose rule is a `RandomRule`, such as the behaviour that a log shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import distributions, finite_array
from bayesmdp.planning.state_policies import state_policy
from bayesmdp.planning.state_rules import RandomRule, StatePolicy
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["NEARLY", "WHAT", "FunctionBehaviour", "PlacesBehaviour", "baseline_policy", "function_behaviour"]

WHAT = "the baseline"

NEARLY = 1e-6
"""By which probabilities may miss a sum of 1."""


@dataclass(frozen=True)
class _Nearest(RandomRule):
    """The rule of a table: parameters are places in units of the box, probabilities there, and the box's corners."""

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return the probability of each action; may be traced."""
        places, probability, low, high = parameters
        apart = (((state - low) / (high - low))[..., None, :] - places) ** 2
        return jnp.asarray(probability)[jnp.argmin(apart.sum(-1), -1)]


@dataclass(frozen=True)
class _Called(RandomRule):
    """The rule of a function of states that returns probabilities [..., action]."""

    function: Callable[[Array], Array]

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return the probability of each action; may be traced."""
        return jnp.asarray(self.function(state))


@dataclass(frozen=True, eq=False)
class PlacesBehaviour:
    """How probable each action is in a state: as it is in the nearest of some places.

    Attributes
    ----------
    places : array [place, coordinate]
    shares : array [place, action]
    low, high : array [coordinate]
        The box in whose units places are near.

    Raises
    ------
    ValueError
        For other shapes, numbers that are not finite, or shares that are no distributions: with the place.

    Examples
    --------
    >>> told = PlacesBehaviour([[15.0], [25.0]], [[0.0, 1.0], [0.8, 0.2]], [10.0], [30.0])
    >>> told.probabilities([[12.0], [21.0]]).tolist()
    [[0.0, 1.0], [0.8, 0.2]]
    """

    places: NDArray[np.float64]
    shares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("places", "shares", "low", "high"):
            object.__setattr__(self, name, finite_array(name, getattr(self, name)))
        places, shares = np.shape(self.places), np.shape(self.shares)
        if len(places) != 2 or len(shares) != 2 or places[0] != shares[0] or not places[0]:
            raise ValueError(
                f"places have shape {places} and shares {shares}; expected [place, coordinate] and [place, action]"
            )
        distributions("shares", self.shares, shares, tolerance=NEARLY)

    @property
    def _scaled(self) -> NDArray[np.float64]:
        return np.asarray((self.places - self.low) / (self.high - self.low))

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it; filled up to a power of two of places, so that programs serve other numbers."""
        filled = np.minimum(np.arange(1 << (len(self.places) - 1).bit_length()), len(self.places) - 1)
        return StatePolicy(_Nearest(), (self._scaled[filled], self.shares[filled], self.low, self.high))

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action.

        Parameters
        ----------
        states : array [place, coordinate]

        Returns
        -------
        array [place, action]
        """
        asked = (np.asarray(states, float) - self.low) / (self.high - self.low)
        apart = ((asked[:, None] - self._scaled[None]) ** 2).sum(-1)
        return self.shares[apart.argmin(-1)]


@dataclass(frozen=True, eq=False)
class FunctionBehaviour:
    """How probable each action is in a state, by a function.

    Attributes
    ----------
    function : callable
        Of states [..., coordinate], to probabilities [..., action]; traced.
    """

    function: Callable[[Array], Array]

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it."""
        return StatePolicy(_Called(self.function), ())

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action.

        Parameters
        ----------
        states : array [place, coordinate]

        Returns
        -------
        array [place, action]
        """
        with jax.enable_x64(True):
            return np.asarray(jax.jit(self.function)(jnp.asarray(states, float)), float)


def function_behaviour(
    function: Callable[..., Any], actions: Sequence[Any], places: NDArray[np.float64]
) -> FunctionBehaviour:
    """Read what is done today from a function of states.

    Parameters
    ----------
    function : callable
        Of states [..., coordinate], made of JAX's functions: probabilities [..., action], or positions of actions
        [...].
    actions : sequence of labels
    places : array [place, coordinate]
        Where it is tried.

    Returns
    -------
    FunctionBehaviour

    Raises
    ------
    ValueError
        If it returns neither: with the state.

    Examples
    --------
    >>> told = function_behaviour(lambda state: (state[..., 0] < 20).astype(int), ["off", "on"], np.array([[18.0]]))
    >>> told.probabilities([[12.0], [21.0]]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    number = len(actions)
    with jax.enable_x64(True):
        told = np.asarray(jax.jit(function)(jnp.asarray(places, float)))
    if told.shape == (len(places),) and told.dtype.kind in "iu":
        wrong = (told < 0) | (told >= number)
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"{WHAT} of {places[i].tolist()} is {told[i]}; actions are at the positions 0 to {number - 1}"
            )
        return FunctionBehaviour(_OneHot(function, number))
    if told.shape != (len(places), number) or told.dtype.kind != "f":
        raise ValueError(
            f"{WHAT} of {len(places)} states is {told.dtype} {told.shape}; it is probabilities, float "
            f"{(len(places), number)}, or positions of actions, int {(len(places),)}"
        )
    wrong = ~((told >= 0).all(-1) & (np.abs(told.sum(-1) - 1) <= NEARLY))
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"{WHAT} of {places[i].tolist()} is {told[i].tolist()}; probabilities are at least 0 and sum to 1"
        )
    return FunctionBehaviour(function)


@dataclass(frozen=True)
class _OneHot:
    """Probabilities of a function that says which action is taken."""

    function: Callable[..., Any]
    number: int

    def __call__(self, state: Array) -> Array:
        return jax.nn.one_hot(self.function(state), self.number, dtype=float)


def baseline_policy(mdp: SimulatedMDP, baseline: Any) -> StatePolicy:
    """Read a baseline, in whatever form it is written.

    Parameters
    ----------
    mdp : SimulatedMDP
    baseline : "uniform", callable, plan, or what has a `policy`
        See the module, and :func:`~bayesmdp.plan`.

    Returns
    -------
    StatePolicy
        Whose rule is a `RandomRule`.

    Raises
    ------
    TypeError, ValueError
        For anything else, or what says no probabilities of this problem's actions.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> baseline_policy(room, bm.planning.PlacesBehaviour([[15.0]], [[0.5, 0.5]], [10.0], [30.0]))
    Traceback (most recent call last):
      ...
    ValueError: the baseline of 5 states is float64 (5, 2); it is probabilities, float (5, 3)
    """
    places, size = np.asarray(mdp.problem.anchors), mdp.num_actions
    known = isinstance(baseline, str) or hasattr(baseline, "attrs") or hasattr(baseline, "policy")
    acted = state_policy(mdp, baseline) if known else function_behaviour(baseline, mdp.actions, places).policy
    if not isinstance(acted.rule, RandomRule):
        raise TypeError(f"a baseline says how probable each action is, and {type(baseline).__name__} does not")
    with jax.enable_x64(True):
        told = jax.eval_shape(acted.rule.probabilities, acted.parameters, jnp.asarray(places))
    if told.shape != (len(places), size):
        raise ValueError(
            f"{WHAT} of {len(places)} states is {told.dtype} {told.shape}; it is probabilities, float "
            f"{(len(places), size)}"
        )
    return acted
