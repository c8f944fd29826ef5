"""Linear-quadratic control with a grid of controls: a linear system with noise, whose costs are squares.

    state' = A state + B u + noise,    reward = -(state' Q state + R u^2) of the state and control before the step

Without the grid the best value is known: with the discount g the matrix P that solves the Riccati equation

    P = Q + g A'P A - g^2 A'P B (R + g B'P B)^-1 B'P A,    u = -g (R + g B'P B)^-1 B'P A state,

gives the value ``-(state' P state) - g / (1 - g) trace(P W)``, W the covariance of the noise. A grid costs a little
more. The default is a cart without friction, (position, speed), that is pushed for .2 seconds at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from bayesmdp.environments.state_features import Polynomials
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import finite_array, number
from bayesmdp.models.arguments import Frozen, freeze, frozen_numbers, thaw
from bayesmdp.models.linear_system import system_model
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["Riccati", "linear_quadratic", "riccati"]

MATRIX, CONTROL, STATE_COST = ((1.0, 0.2), (0.0, 1.0)), (0.02, 0.2), (1.0, 0.1)
REACH = 1.0
"""Half the width of the box, in each coordinate."""


class Riccati(NamedTuple):
    """The solution without the grid.

    Attributes
    ----------
    cost : array [coordinate, coordinate]
        P.
    gain : array [coordinate]
        K of the best control ``u = -K state``.
    constant : float
        What the noise costs from any state.
    """

    cost: NDArray[np.float64]
    gain: NDArray[np.float64]
    constant: float

    def value(self, state: ArrayLike) -> NDArray[np.float64]:
        """The best value [...] of states [..., coordinate]."""
        given = np.asarray(state, float)
        return np.asarray(-np.einsum("...i,ij,...j->...", given, self.cost, given) - self.constant)


def linear_quadratic(
    *,
    matrix: ArrayLike = MATRIX,
    control: ArrayLike = CONTROL,
    state_cost: ArrayLike = STATE_COST,
    control_cost: float = 0.1,
    noise: ArrayLike = 0.05,
    controls: Sequence[float] = tuple(np.linspace(-4, 4, 17).tolist()),
    discount: float = 0.9,
) -> SimulatedMDP:
    """A linear system with quadratic costs, controlled by a grid of numbers.

    Parameters
    ----------
    matrix : array [coordinate, coordinate]
        A.
    control : array [coordinate]
        B.
    state_cost : array [coordinate]
        The diagonal of Q; at least 0.
    control_cost : float, positive
        R.
    noise : float, or array [coordinate]
        Standard deviations; positive.
    controls : sequence of float
        The actions.
    discount : float

    Returns
    -------
    SimulatedMDP
        States are drawn within 1 of 0 in each coordinate, and start at 1/2.

    Raises
    ------
    TypeError, ValueError
        For a number out of its range, or arrays of other shapes.

    Notes
    -----
    *What it asks.* Fitted planning where the best value is known by a formula.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> cart = linear_quadratic()
    >>> worth = bm.evaluate(cart, bm.solve(cart))
    >>> bool(worth.lower < riccati().value([0.5, 0.5]) < 0.95 * worth.lower)  # rewards are negative
    True
    """
    matrix = finite_array("matrix", matrix)
    size = len(matrix) if matrix.ndim == 2 else 1
    if matrix.shape != (size, size):
        raise ValueError(f"matrix has shape {matrix.shape}; expected [coordinate, coordinate]")
    costs = finite_array("state_cost", state_cost, (size,))
    if (costs < 0).any():
        raise ValueError(f"state_cost is {costs.tolist()}; costs are at least 0")
    if not len(controls):
        raise ValueError("controls is empty; it must list at least one number")
    return _system(
        freeze(matrix),
        freeze(finite_array("control", control, (size,))),
        freeze(costs),
        number("control_cost", control_cost, above=0),
        frozen_numbers("noise", noise, (size,), axes="[coordinate]"),
        tuple(number("controls", each) for each in controls),
        number("discount", discount, minimum=0, below=1),
    )


@made_once
def _system(
    matrix: Frozen,
    control: Frozen,
    state_cost: Frozen,
    control_cost: float,
    noise: Frozen,
    controls: tuple[float, ...],
    discount: float,
) -> SimulatedMDP:
    size = len(thaw(control))

    def reward(state: Array, action: Array, next_state: Array) -> Array:
        chosen = jnp.asarray(np.array(controls))[action]
        return -(state**2 @ thaw(state_cost) + control_cost * chosen**2)

    worst = float(thaw(state_cost).sum()) * REACH**2 + control_cost * max(each**2 for each in controls)
    corner = (REACH,) * size
    return SimulatedMDP(
        model=system_model(freeze(np.array(controls)), control, freeze(np.array(1.0)), noise),
        truth={"drift": (thaw(matrix) - np.eye(size)).T, "push": thaw(control)},
        reward=reward,
        reward_range=(-worst, 0.0),
        features=Polynomials(tuple(-each for each in corner), corner, 2),
        start=np.full(size, REACH / 2),
        low=tuple(-each for each in corner),
        high=corner,
        actions=controls,
        discount=discount,
        name="linear-quadratic",
    )


def riccati(
    *,
    matrix: ArrayLike = MATRIX,
    control: ArrayLike = CONTROL,
    state_cost: ArrayLike = STATE_COST,
    control_cost: float = 0.1,
    noise: ArrayLike = 0.05,
    discount: float = 0.9,
) -> Riccati:
    """Solve the problem of `linear_quadratic` without its grid, by the Riccati equation.

    Parameters
    ----------
    matrix, control, state_cost, control_cost, noise, discount
        As for `linear_quadratic`.

    Returns
    -------
    Riccati

    Examples
    --------
    >>> [round(float(each), 2) for each in riccati().gain]
    [1.97, 1.95]
    """
    a, b = np.asarray(matrix, float), np.asarray(control, float)[:, None]
    q, w = np.diag(np.asarray(state_cost, float)), np.diag(np.broadcast_to(np.square(noise), (len(a),)))
    # The discount is that of both matrices: g A'P A is A'P A of root(g) A.
    cost = linalg.solve_discrete_are(discount**0.5 * a, discount**0.5 * b, q, np.array([[control_cost]]))
    gain = discount * np.linalg.solve(control_cost + discount * b.T @ cost @ b, b.T @ cost @ a)[0]
    return Riccati(cost, gain, float(discount / (1 - discount) * np.trace(cost @ w)))
