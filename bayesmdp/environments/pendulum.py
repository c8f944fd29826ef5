"""A pendulum to be swung up and held, by torques in steps, as Gymnasium's Pendulum-v1 has it.

The state is (angle, turning speed), the angle 0 where it stands and between -pi and pi; Gymnasium shows the cosine and
the sine in its place, and takes any torque from -2 to 2, of which actions are a grid here. A step costs the square of
the angle, a tenth of that of the speed and a thousandth of that of the torque. The discount is ours. Steps are those of
Gymnasium to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayesmdp.environments.state_features import Bumps
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["pendulum"]

GRAVITY, FASTEST, STRONGEST, SECONDS = 10.0, 8.0, 2.0, 0.05
COSTLIEST = np.pi**2 + 0.1 * FASTEST**2 + 0.001 * STRONGEST**2


def pendulum(*, torques: int | Sequence[float] = 5, discount: float = 0.98, length: int = 200) -> SimulatedMDP:
    """A pendulum that hangs, to be swung up and held by a weak motor.

    Parameters
    ----------
    torques : int, at least 2, or sequence of float from -2 to 2
        The actions, or how many of them there are, in equal steps.
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
    *What it asks.* Control of an angle, with actions on a grid.

    Examples
    --------
    >>> pendulum(torques=3).actions
    (-2.0, 0.0, 2.0)
    """
    if isinstance(torques, Sequence) and not isinstance(torques, str):
        least, most = -STRONGEST, STRONGEST
        actions = tuple(number("torques", each, minimum=least, maximum=most) for each in torques)
    else:
        actions = tuple(np.linspace(-STRONGEST, STRONGEST, integer("torques", torques, 2)).tolist())
    return _problem(actions, number("discount", discount, minimum=0, below=1), integer("length", length, 1))


@lru_cache(maxsize=16)
def _problem(torques: tuple[float, ...], discount: float, length: int) -> SimulatedMDP:
    actions = np.array(torques)

    def physics(data: Any) -> None:
        angle, speed = jnp.moveaxis(jnp.asarray(data.state), -1, 0)
        torque = jnp.asarray(actions)[data.action]
        faster = jnp.clip(speed + (1.5 * GRAVITY * jnp.sin(angle) + 3 * torque) * SECONDS, -FASTEST, FASTEST)
        numpyro.deterministic("next_state", jnp.stack([_turned(angle + faster * SECONDS), faster], -1))

    def cost(state: Array, action: Array, next_state: Array) -> Array:
        torque = jnp.asarray(actions)[action]
        # A model that is learned may say that it turns faster than it can; that costs no more.
        speed = jnp.clip(state[..., 1], -FASTEST, FASTEST)
        return -(_turned(state[..., 0]) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)

    return SimulatedMDP(
        model=physics,
        truth={},
        reward=cost,
        reward_range=(-COSTLIEST, 0.0),
        features=Bumps(((-np.pi, np.pi, 17), (-FASTEST, FASTEST, 15))),
        start=dist.Uniform(np.array([-np.pi, -1.0]), np.array([np.pi, 1.0])).to_event(1),
        low=(-np.pi, -FASTEST),
        high=(np.pi, FASTEST),
        actions=torques,
        discount=discount,
        length=length,
        name="pendulum",
    )


def _turned(angle: Array) -> Array:
    """The same angle from -pi to pi."""
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
