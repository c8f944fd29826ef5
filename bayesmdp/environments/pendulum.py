"""A pendulum to be swung up and held, by torques in steps, as Gymnasium's Pendulum-v1 has it.

The state is (angle, turning speed), the angle 0 where it stands and between -pi and pi, or, as Gymnasium shows it,
(cosine, sine, turning speed), in which steps are smooth where the pendulum hangs and an angle would jump. Gymnasium
takes any torque from -2 to 2, of which actions are a grid here. A step costs the square of the angle, a tenth of that
of the speed and a thousandth of that of the torque. The discount is ours. Steps are those of Gymnasium to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayesmdp.environments.state_features import Bumps
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["pendulum"]

GRAVITY, FASTEST, STRONGEST, SECONDS = 10.0, 8.0, 2.0, 0.05
COSTLIEST = np.pi**2 + 0.1 * FASTEST**2 + 0.001 * STRONGEST**2
BUMPS = Bumps(((-np.pi, np.pi, 17), (-FASTEST, FASTEST, 15)))
STARTS = dist.Uniform(np.array([-np.pi, -1.0]), np.array([np.pi, 1.0])).to_event(1)
"""Features, and first states, of (angle, speed)."""


def pendulum(
    *,
    torques: int | Sequence[float] = 5,
    discount: float = 0.98,
    length: int = 200,
    seen: Literal["angle", "circle"] = "angle",
) -> SimulatedMDP:
    """A pendulum that hangs, to be swung up and held by a weak motor.

    Parameters
    ----------
    torques : int, at least 2, or sequence of float from -2 to 2
        The actions, or how many of them there are, in equal steps.
    discount : float
    length : int
        Steps after which an episode is cut off.
    seen : {"angle", "circle"}
        Whether states are (angle, speed) or (cosine, sine, speed); priors that are smooth, such as `fourier_dynamics`,
        can learn how the second moves.

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
    if seen not in ("angle", "circle"):
        raise ValueError(f"seen must be 'angle' or 'circle'; got {seen!r}")
    return _problem(
        actions, number("discount", discount, minimum=0, below=1), integer("length", length, 1), seen == "circle"
    )


@made_once
def _problem(torques: tuple[float, ...], discount: float, length: int, circle: bool) -> SimulatedMDP:
    actions = np.array(torques)

    def read(state: Array) -> tuple[Array, Array]:
        """Angle and speed of states [..., coordinate]."""
        if circle:
            return jnp.arctan2(state[..., 1], state[..., 0]), state[..., 2]
        return state[..., 0], state[..., 1]

    def physics(data: Any) -> None:
        angle, speed = read(jnp.asarray(data.state))
        torque = jnp.asarray(actions)[data.action]
        faster = jnp.clip(speed + (1.5 * GRAVITY * jnp.sin(angle) + 3 * torque) * SECONDS, -FASTEST, FASTEST)
        after = _turned(angle + faster * SECONDS)
        numpyro.deterministic("next_state", _on_circle(after, faster) if circle else jnp.stack([after, faster], -1))

    def cost(state: Array, action: Array, next_state: Array) -> Array:
        angle, speed = read(state)
        # A model that is learned may say that it turns faster than it can; that costs no more.
        speed, torque = jnp.clip(speed, -FASTEST, FASTEST), jnp.asarray(actions)[action]
        return -(_turned(angle) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)

    def bumps(state: Array) -> Array:
        return BUMPS(jnp.stack(read(state), -1))

    return SimulatedMDP(
        model=physics,
        truth={},
        reward=cost,
        reward_range=(-COSTLIEST, 0.0),
        features=bumps,
        start=_StartsOnCircle() if circle else STARTS,
        low=(-1.0, -1.0, -FASTEST) if circle else (-np.pi, -FASTEST),
        high=(1.0, 1.0, FASTEST) if circle else (np.pi, FASTEST),
        actions=torques,
        discount=discount,
        length=length,
        name="pendulum-circle" if circle else "pendulum",
    )


class _StartsOnCircle(dist.Distribution):  # type: ignore[misc] # NumPyro has no types
    """Of (cosine, sine, speed), where angle and speed are those of `STARTS`."""

    support = dist.constraints.real_vector

    def __init__(self, *, validate_args: bool | None = None) -> None:
        super().__init__(event_shape=(3,), validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw first states [..., coordinate]."""
        drawn = STARTS.sample(key, sample_shape)
        return _on_circle(drawn[..., 0], drawn[..., 1])


def _on_circle(angle: Array, speed: Array) -> Array:
    return jnp.stack([jnp.cos(angle), jnp.sin(angle), speed], -1)


def _turned(angle: Array) -> Array:
    """The same angle from -pi to pi."""
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
