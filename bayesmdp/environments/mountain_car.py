"""A car in a valley, too weak to drive straight up: Moore (1990), as Gymnasium's MountainCar-v0 has it.

The state is (position, speed). Each step costs 1 until the car is at .5, moving on. The discount is ours. Steps are
those of Gymnasium to rounding.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayesmdp.environments.state_features import Bumps
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["mountain_car"]

LEFT_END, RIGHT_END, FASTEST, GOAL = -1.2, 0.6, 0.07, 0.5
FORCE, GRAVITY = 0.001, 0.0025


def mountain_car(*, discount: float = 0.99, length: int = 200) -> SimulatedMDP:
    """A car in a valley that must swing to get out of it.

    Parameters
    ----------
    discount : float
    length : int
        Steps after which an episode is cut off.

    Returns
    -------
    SimulatedMDP
        Nothing of it is unknown; give agents, and posteriors, a prior such as `fourier_dynamics`.

    Raises
    ------
    ValueError
        For a number out of its range.

    Notes
    -----
    *What it asks.* Control where the goal lies against the first impulse.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> float(bm.collect(mountain_car(), steps=50, seed=0)["state"][:, 0].max()) < 0.5
    True
    """
    return _problem(number("discount", discount, minimum=0, below=1), integer("length", length, 1))


@made_once
def _problem(discount: float, length: int) -> SimulatedMDP:
    return SimulatedMDP(
        model=_physics,
        truth={},
        reward=_cost,
        reward_range=(-1.0, 0.0),
        features=Bumps(((LEFT_END, RIGHT_END, 15), (-FASTEST, FASTEST, 15))),
        start=dist.Uniform(np.array([-0.6, 0.0]), np.array([-0.4, 0.0])).to_event(1),
        low=(LEFT_END, -FASTEST),
        high=(RIGHT_END, FASTEST),
        actions=("left", "coast", "right"),
        discount=discount,
        terminal=_at_goal,
        length=length,
        name="mountain-car",
    )


def _cost(state: Array, action: Array, next_state: Array) -> Array:
    return -jnp.ones(jnp.shape(action))


def _at_goal(state: Array) -> Array:
    return (state[..., 0] >= GOAL) & (state[..., 1] >= 0)


def _physics(data: Any) -> None:
    position, speed = jnp.moveaxis(jnp.asarray(data.state), -1, 0)
    faster = speed + (jnp.asarray(data.action) - 1) * FORCE - GRAVITY * jnp.cos(3 * position)
    faster = jnp.clip(faster, -FASTEST, FASTEST)
    there = jnp.clip(position + faster, LEFT_END, RIGHT_END)
    faster = jnp.where((there == LEFT_END) & (faster < 0), 0.0, faster)
    numpyro.deterministic("next_state", jnp.stack([there, faster], -1))
