"""A room to keep warm: one temperature, a heater with three steps, heat that costs.

The numbers are ours; the law is Newton's, that what is lost is a share of the difference to the outside. See
:func:`bayesmdp.models.thermostat` for what is unknown.
"""

from __future__ import annotations

import jax.numpy as jnp

from bayesmdp.environments.state_features import Bumps
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.models.thermostat import HEAT
from bayesmdp.models.thermostat import thermostat as prior
from bayesmdp.problems.made_once import made_once
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["thermostat"]

WANTED, COLDEST, HOTTEST = 20.0, 0.0, 40.0
PRICE = 0.3


def thermostat(*, leak: float = 0.1, power: float = 3.0, noise: float = 0.3, discount: float = 0.95) -> SimulatedMDP:
    """A room to be kept at 20 degrees, with a heater that is off, low or high.

    Parameters
    ----------
    leak : float in [0, 1]
        True share of the difference to the outside, at 5 degrees, that is lost in a step.
    power : float
        True degrees that full heat adds in a step.
    noise : float, positive
        Standard deviation of the temperature after a step.
    discount : float

    Returns
    -------
    SimulatedMDP
        A step earns 1 at 20 degrees, exp(-1) two degrees off, less .3 for full heat.

    Raises
    ------
    ValueError
        For a number out of its range.

    Notes
    -----
    *What it asks.* The smallest problem whose states are numbers, with two unknowns.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = thermostat()
    >>> plan = bm.solve(room)
    >>> bm.planning.fitted_policy(plan, room).actions([[12.0], [25.0]]).tolist()
    ['high', 'off']
    """
    return _room(
        number("leak", leak, minimum=0, maximum=1),
        number("power", power),
        number("noise", noise, above=0),
        number("discount", discount, minimum=0, below=1),
    )


@made_once
def _room(leak: float, power: float, noise: float, discount: float) -> SimulatedMDP:
    return SimulatedMDP(
        model=prior(noise=noise),
        truth={"leak": leak, "power": power},
        reward=_comfort,
        reward_range=(-PRICE, 1.0),
        features=Bumps(((COLDEST, HOTTEST, 21),)),
        start=[12.0],
        low=[COLDEST],
        high=[HOTTEST],
        actions=("off", "low", "high"),
        discount=discount,
        name="thermostat",
    )


def _comfort(state: Array, action: Array, next_state: Array) -> Array:
    """What the temperature after the step is worth, less what the heat costs."""
    apart = (next_state[..., 0] - WANTED) / 2
    return jnp.exp(-(apart**2)) - PRICE * jnp.asarray(HEAT)[action]
