"""Two links on a joint, to be swung up by a motor between them: Sutton (1996), as Gymnasium's Acrobot-v1 has it.

The state is (angle of the first link, angle of the second to the first, their turning speeds), in radians and seconds.
Both angles are 0 where the links hang, and between -pi and pi; Gymnasium shows cosines and sines in their place. A
torque of -1, 0 or 1 lasts .2 seconds, one step of the Runge-Kutta method. Each step costs 1 until the tip is a link's
length above the joint,

    -cos(first) - cos(first + second) > 1.

The equations of motion are those of Sutton and Barto's book. The discount is ours. Steps are those of Gymnasium to
rounding.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.models.differential_equations import runge_kutta
from bayesmdp.models.fourier_dynamics import FourierFeatures
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["acrobot"]

MASS, LENGTH, CENTRE, MOMENT, GRAVITY, SECONDS = 1.0, 1.0, 0.5, 1.0, 9.8, 0.2
"""Of each link: its mass, its length, where its centre of mass is along it, and its moment of inertia."""
FASTEST = (4 * np.pi, 9 * np.pi)
WAVES = FourierFeatures(coordinates=6, number=300, length=1.0, seed=0)


def acrobot(*, discount: float = 0.99, length: int = 500) -> SimulatedMDP:
    """Two links that hang from a joint, to be swung up by a weak motor between them.

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
    *What it asks.* Control of a chaotic motion, where energy must be gathered over many swings.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(acrobot(), steps=50, seed=0)
    >>> float(log["reward"].sum()), log["state"].sizes["coordinate"]
    (-50.0, 4)
    """
    return _problem(number("discount", discount, minimum=0, below=1), integer("length", length, 1))


@made_once
def _problem(discount: float, length: int) -> SimulatedMDP:
    high = (np.pi, np.pi, *FASTEST)
    return SimulatedMDP(
        model=_physics,
        truth={},
        reward=_cost,
        reward_range=(-1.0, 0.0),
        features=_features,
        start=dist.Uniform(np.full(4, -0.1), np.full(4, 0.1)).to_event(1),
        low=tuple(-each for each in high),
        high=high,
        actions=(-1.0, 0.0, 1.0),
        discount=discount,
        anchors=np.stack(np.meshgrid(*([-0.5, 0.5] * np.array(high)[:, None]), indexing="ij"), -1).reshape(-1, 4),
        terminal=_swung_up,
        length=length,
        name="acrobot",
    )


def _features(state: Array) -> Array:
    """Waves in the cosines and sines of the angles and in the speeds, which are mostly far below the largest."""
    angles, speeds = state[..., :2], 4 * state[..., 2:] / np.array(FASTEST)
    return WAVES(jnp.concatenate([jnp.cos(angles), jnp.sin(angles), speeds], -1))


def _cost(state: Array, action: Array, next_state: Array) -> Array:
    return jnp.where(_swung_up(next_state), 0.0, -1.0)


def _swung_up(state: Array) -> Array:
    return -jnp.cos(state[..., 0]) - jnp.cos(state[..., 0] + state[..., 1]) > 1


def _physics(data: Any) -> None:
    torque = jnp.asarray(data.action) - 1.0

    def rates(time: Array, state: Array) -> Array:
        first, second, turning, bending = jnp.moveaxis(state, -1, 0)
        cosine, sine = jnp.cos(second), jnp.sin(second)
        inner = MASS * (2 * CENTRE**2 + LENGTH**2 + 2 * LENGTH * CENTRE * cosine) + 2 * MOMENT
        cross = MASS * (CENTRE**2 + LENGTH * CENTRE * cosine) + MOMENT
        outer = MASS * CENTRE**2 + MOMENT
        lever = MASS * LENGTH * CENTRE * sine
        lower = MASS * CENTRE * GRAVITY * jnp.cos(first + second - jnp.pi / 2)
        upper = MASS * (CENTRE + LENGTH) * GRAVITY * jnp.cos(first - jnp.pi / 2) + lower
        upper = upper - lever * bending**2 - 2 * lever * bending * turning
        bent = (torque + cross / inner * upper - lever * turning**2 - lower) / (outer - cross**2 / inner)
        return jnp.stack([turning, bending, -(cross * bent + upper) / inner, bent], -1)

    after = runge_kutta(rates, jnp.asarray(data.state), SECONDS, steps=1)
    angles = (after[..., :2] + jnp.pi) % (2 * jnp.pi) - jnp.pi
    speeds = jnp.clip(after[..., 2:], -np.array(FASTEST), np.array(FASTEST))
    numpyro.deterministic("next_state", jnp.concatenate([angles, speeds], -1))
