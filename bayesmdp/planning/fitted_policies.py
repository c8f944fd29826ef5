"""Policies of fitted plans: what a fit of Q holds best, at any state, and over a number of steps at each stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, reject_first
from bayesmdp.planning.approximations import Approximation
from bayesmdp.planning.state_rules import RandomRule, StatePolicy, best_by, filled_up
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["FittedPolicy", "StagedPolicy", "at_first"]


@dataclass(frozen=True)
class _Greedy(RandomRule):
    """The action that a fit of Q holds best, among those that may be taken: parameters are the fit, and both rules."""

    approximation: Approximation

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return 1 for the best action; may be traced."""
        fit, features, available = parameters
        q = _q_values(fit, state, self.approximation, features, available)
        return jax.nn.one_hot(jnp.argmax(q, -1), q.shape[-1], dtype=float)

    def __call__(self, parameters: Any, uniform: Float[Array, ""], state: Float[Array, " coordinate"]) -> Array:
        fit, features, available = parameters
        q = _q_values(fit, state, self.approximation, features, available)
        return jnp.argmax(q).astype(jnp.int32)


@dataclass(frozen=True, eq=False)
class FittedPolicy:
    """The policy of a fitted plan, to be asked at any state.

    Attributes
    ----------
    mdp : SimulatedMDP
    approximation : Approximation
    fit : pytree

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> plan = bm.solve(lake, solver=bm.planning.FittedQ(places=64, samples=2))
    >>> policy = bm.planning.fitted_policy(plan, lake)
    >>> policy.actions([[3.5, 2.6], [3.4, 2.9]]).tolist()
    ['down', 'down']
    """

    mdp: SimulatedMDP
    approximation: Approximation
    fit: Any

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it."""
        problem = self.mdp.problem
        return StatePolicy(_Greedy(self.approximation), (self.fit, problem.features, problem.available))

    def __call__(self, state: Float[Array, " coordinate"]) -> Int[Array, ""]:
        """Return the position of the best action; may be traced.

        Parameters
        ----------
        state : array [coordinate]
        """
        rule, parameters = self.policy
        return rule(jax.tree.map(jnp.asarray, parameters), jnp.zeros(()), state)

    def q(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return Q-values of states, -inf for actions that may not be taken there.

        Parameters
        ----------
        states : array [..., coordinate]

        Returns
        -------
        array [..., action]

        Raises
        ------
        ValueError, TypeError
            If they have another number of coordinates, or one is not finite: with its index.
        """
        given = np.asarray(states, float)
        coordinates = self.mdp.problem.start.size
        if given.ndim < 1 or given.shape[-1] != coordinates:
            raise ValueError(
                f"states have shape {given.shape}; {self.mdp.name} has states of {coordinates} coordinates, [..., "
                "coordinate]"
            )
        reject_first("states", ~np.isfinite(given), given, "is not finite")
        problem, flat = self.mdp.problem, given.reshape(-1, coordinates)
        with jax.enable_x64(True):
            q = _q_values(self.fit, filled_up(flat, self.mdp), self.approximation, problem.features, problem.available)
        return np.asarray(q, float)[: len(flat)].reshape(*given.shape[:-1], self.mdp.num_actions)

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action: 1 of the best one.

        Parameters
        ----------
        states : array [..., coordinate]

        Returns
        -------
        array [..., action]
        """
        return np.asarray(np.eye(self.mdp.num_actions)[self.q(states).argmax(-1)])

    def margins(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return by how much Q holds the best action better than the next; infinite where there is no other.

        Parameters
        ----------
        states : array [..., coordinate]

        Returns
        -------
        array [...]
        """
        return best_by(self.q(states))

    def actions(self, states: ArrayLike) -> NDArray[Any]:
        """Return the label of the best action in each state.

        Parameters
        ----------
        states : array [..., coordinate]

        Returns
        -------
        array of labels [...]
        """
        return np.asarray(label_array(self.mdp.actions)[self.q(states).argmax(-1)])


@dataclass(frozen=True)
class _GreedyByStage(_Greedy):
    """The same, of the fit of a stage: its parameters' leaves are [stage, ...]."""

    def at_stage(self, parameters: Any, stage: Int[Array, ""]) -> Any:
        """The parameters of `_Greedy` after so many steps."""
        fits, features, available = parameters
        return jax.tree.map(lambda leaf: leaf[stage], fits), features, available


@dataclass(frozen=True, eq=False)
class StagedPolicy:
    """The policy of a fitted plan for a number of steps: a fit of Q for each stage, to be asked at any state.

    Attributes
    ----------
    mdp : SimulatedMDP
        With a horizon.
    approximation : Approximation
    fits : pytree of arrays [stage, ...]
        The stage is the number of steps taken.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat().replace(discount=None, horizon=3)
    >>> plan = bm.solve(room, solver=bm.planning.FittedQ(places=64, samples=2))
    >>> policy = bm.planning.fitted_policy(plan, room)
    >>> policy.actions([[12.0], [25.0]]).shape, policy.at(0).actions([[12.0]]).shape
    ((3, 2), (1,))
    """

    mdp: SimulatedMDP
    approximation: Approximation
    fits: Any

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it."""
        problem = self.mdp.problem
        return StatePolicy(_GreedyByStage(self.approximation), (self.fits, problem.features, problem.available))

    def at(self, stage: int) -> FittedPolicy:
        """Return what is done after so many steps.

        Parameters
        ----------
        stage : int

        Raises
        ------
        ValueError
            If the plan has no such stage.
        """
        horizon = self.mdp.horizon or 0
        if not 0 <= integer("stage", stage, -1) < horizon:
            raise ValueError(f"the plan has stages 0 to {horizon - 1} (steps taken so far); got {stage}")
        return FittedPolicy(self.mdp, self.approximation, jax.tree.map(lambda leaf: leaf[stage], self.fits))

    def _of_stages(self, told: Callable[[FittedPolicy], NDArray[Any]]) -> NDArray[Any]:
        return np.stack([told(self.at(stage)) for stage in range(self.mdp.horizon or 0)])

    def q(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return Q-values [stage, ..., action] of states; see `FittedPolicy.q`.

        Parameters
        ----------
        states : array [..., coordinate]
        """
        return self._of_stages(lambda own: own.q(states))

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action [stage, ..., action]: 1 of the best one.

        Parameters
        ----------
        states : array [..., coordinate]
        """
        return self._of_stages(lambda own: own.probabilities(states))

    def margins(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return by how much Q holds the best action better than the next [stage, ...].

        Parameters
        ----------
        states : array [..., coordinate]
        """
        return self._of_stages(lambda own: own.margins(states))

    def actions(self, states: ArrayLike) -> NDArray[Any]:
        """Return the label of the best action in each state [stage, ...].

        Parameters
        ----------
        states : array [..., coordinate]
        """
        return self._of_stages(lambda own: own.actions(states))


def at_first(policy: Any) -> Any:
    """Return what a policy does at the first step, where it is by stage; else the policy.

    Parameters
    ----------
    policy : FittedPolicy, StagedPolicy, or any other
    """
    return policy.at(0) if isinstance(policy, StagedPolicy) else policy


@partial(jax.jit, static_argnums=2)
def _q_values(
    fit: Any,
    states: Array,
    approximation: Approximation,
    features: Callable[[Array], Array],
    available: Callable[[Array], Array] | None,
) -> Array:
    q = approximation.value(fit, features(states))
    return q if available is None else jnp.where(available(states), q, -jnp.inf)
