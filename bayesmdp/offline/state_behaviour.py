"""What is done today where states are numbers: a multinomial logistic regression of a log's actions on its states.

    P(a | s) proportional to exp(<w[a], features(s)>),    features: 1, the coordinates and their products, in units of
    the box, with a Normal prior of standard deviation 3 on each weight

The weights are the most probable ones. What else the log leaves open of the behaviour is not carried on, other than in
tables; nor is anything that those who acted knew and did not write down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from bayesmdp.foundation.arrays import Array
from bayesmdp.models.linear_rewards import up_to_squares
from bayesmdp.offline.feature_evidence import features_at
from bayesmdp.planning.state_rules import RandomRule, StatePolicy

__all__ = ["ActsInStates", "StateBehaviour", "state_behaviour"]

SPREAD = 3.0
"""Standard deviation of the weights' prior."""


class ActsInStates(Protocol):
    """What acts where states are numbers: a behaviour, or the policy of a plan."""

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it."""
        ...

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action.

        Parameters
        ----------
        states : array [place, coordinate]

        Returns
        -------
        array [place, action]
        """
        ...


@dataclass(frozen=True)
class _Logistic(RandomRule):
    """The rule of the behaviour: parameters are the weights [action, feature] and the corners of the box."""

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return the probability of each action; may be traced."""
        weights, low, high = parameters
        return jax.nn.softmax(up_to_squares(2 * (state - low) / (high - low) - 1) @ weights.T, -1)


@dataclass(frozen=True, eq=False)
class StateBehaviour:
    """How probable each action is in a state.

    Attributes
    ----------
    weights : array [action, feature]
    low, high : array [coordinate]
    """

    weights: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it."""
        return StatePolicy(_Logistic(), (self.weights, self.low, self.high))

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action.

        Parameters
        ----------
        states : array [place, coordinate]

        Returns
        -------
        array [place, action]
        """
        return np.asarray(softmax(_features(states, self.low, self.high) @ self.weights.T, -1))


def _features(states: ArrayLike, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    return features_at(up_to_squares, 2 * (np.asarray(states, float) - low) / (high - low) - 1)


def state_behaviour(
    state: ArrayLike, action: ArrayLike, num_actions: int, low: ArrayLike, high: ArrayLike
) -> StateBehaviour:
    """Fit the behaviour to a log.

    Parameters
    ----------
    state : array [row, coordinate]
    action : int array [row]
    num_actions : int
    low, high : array [coordinate]
        The box.

    Returns
    -------
    StateBehaviour

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> state = rng.uniform(-1, 1, (2_000, 1))
    >>> action = (rng.uniform(size=2_000) < 1 / (1 + np.exp(-2 * state[:, 0]))).astype(int)
    >>> told = state_behaviour(state, action, 2, [-1.0], [1.0])
    >>> told.probabilities([[0.0], [0.5]])[:, 1].round(1).tolist()  # 1 / (1 + exp(-1)) = .73
    [0.5, 0.7]
    """
    corners = np.asarray(low, float), np.asarray(high, float)
    phi, taken = _features(state, *corners), np.eye(num_actions)[:, np.asarray(action)]
    shape, seen = (num_actions, phi.shape[1]), taken @ phi

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        # [action, row], so that rows stand in vectors; exponentials, which take the time, serve value and slope.
        score = weights @ phi.T
        score -= score.max(0)
        power = np.exp(score)
        total = power.sum(0)
        value = np.log(total).sum() - (taken * score).sum() + (weights**2).sum() / (2 * SPREAD**2)
        slope = (power / total) @ phi - seen + weights / SPREAD**2
        return float(value), slope.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B")
    return StateBehaviour(found.x.reshape(shape), *corners)
