"""A pole to be kept upright on a cart: Barto, Sutton and Anderson (1983), as Gymnasium's CartPole-v1 has it.

The state is (position, speed, angle, turning speed), in metres, radians and seconds. A push of 10 newtons to the left
or the right lasts .02 seconds, by one Euler step. The pole has fallen beyond 12 degrees, and the cart has left the
track beyond 2.4 metres; each step until then earns 1. The discount is ours. Steps are those of Gymnasium to rounding.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayesmdp.environments.state_features import Polynomials
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["cart_pole"]

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
TRACK, ANGLE = 2.4, 12 * 2 * math.pi / 360
LOW, HIGH = (-TRACK, -3.0, -ANGLE, -3.0), (TRACK, 3.0, ANGLE, 3.0)


def cart_pole(*, discount: float = 0.99, length: int = 500, order: int = 2) -> SimulatedMDP:
    """A pole on a cart, to be kept upright by pushes to the left and to the right.

    Parameters
    ----------
    discount : float
    length : int
        Steps after which an episode is cut off.
    order : int
        Of the polynomials of the state in which Q is linear. With 4 (70 features) the plan for known physics fails in
        one episode of eight, after 429 steps or more; with 2 (15 features) in one of three, after 296 or more.

    Returns
    -------
    SimulatedMDP
        Nothing of it is unknown; give agents, and posteriors, a prior such as `linear_dynamics`.

    Raises
    ------
    ValueError
        For a number out of its range.

    Notes
    -----
    *What it asks.* Control with episodes that end by failing.

    *Not to be set beside* the cart pole of PETS (Chua, Calandra, McAllister and Levine, 2018), whose curves are often
    quoted. That one, in the authors' code, starts near where the pole hangs (its tip is to be .6 above the cart), is
    pushed by a force that is a number, and never ends: trials are of 200 steps each, 50 of them as the code is
    configured. An episode here ends when the pole has fallen, and early ones last some twenty steps, so that episodes
    and trials are other amounts of experience: compare steps. The mountain car and the pendulum are not among the tasks
    of that code; what agents here learn of them is in the study ``control-learning``.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.collect(cart_pole(), steps=100, seed=0)["terminated"].values.sum().item() > 2
    True
    """
    return _problem(
        number("discount", discount, minimum=0, below=1), integer("length", length, 1), integer("order", order, 1)
    )


@made_once
def _problem(discount: float, length: int, order: int) -> SimulatedMDP:
    return SimulatedMDP(
        model=_physics,
        truth={},
        reward=_one,
        reward_range=(0.0, 1.0),
        features=Polynomials(LOW, HIGH, order),
        start=dist.Uniform(np.full(4, -0.05), np.full(4, 0.05)).to_event(1),
        low=LOW,
        high=HIGH,
        actions=("left", "right"),
        discount=discount,
        anchors=np.stack(np.meshgrid(*([-0.5, 0.5] * np.array(HIGH)[:, None]), indexing="ij"), -1).reshape(-1, 4),
        terminal=_fallen,
        length=length,
        name="cart-pole",
    )


def _one(state: Array, action: Array, next_state: Array) -> Array:
    return jnp.ones(jnp.shape(action))


def _fallen(state: Array) -> Array:
    return (jnp.abs(state[..., 0]) > TRACK) | (jnp.abs(state[..., 2]) > ANGLE)


def _physics(data: Any) -> None:
    _, speed, angle, turning = jnp.moveaxis(jnp.asarray(data.state), -1, 0)
    force = jnp.where(jnp.asarray(data.action) == 1, FORCE, -FORCE)
    total, moment = CART + POLE, POLE * HALF_LENGTH
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    push = (force + moment * turning**2 * sine) / total
    turned = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4 / 3 - POLE * cosine**2 / total))
    moved = push - moment * turned * cosine / total
    rates = jnp.stack([speed, moved, turning, turned], -1)
    numpyro.deterministic("next_state", data.state + SECONDS * rates)
