"""Gymnasium's classic control as problems whose states are numbers, and how its observations show their states.

CartPole, MountainCar, Acrobot and Pendulum are here as :func:`~bayesmdp.environments.cart_pole` and so on, which step
as Gymnasium's do. That holds for Gymnasium's own numbers, so an environment with others is refused by name.

Gymnasium shows angles by their cosines and sines, in pairs, before all else: an observation with k entries more than
the state has coordinates begins with those of its first k coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.environments.acrobot import acrobot
from bayesmdp.environments.cart_pole import cart_pole
from bayesmdp.environments.mountain_car import mountain_car
from bayesmdp.environments.pendulum import pendulum
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["control_problem", "is_control", "state_shown"]


class Control(NamedTuple):
    """One of Gymnasium's classes.

    Attributes
    ----------
    make : callable
        Returns the problem.
    numbers : mapping
        Attributes of an environment, as they must be for the problem to be the same.
    """

    make: Callable[..., SimulatedMDP]
    numbers: Mapping[str, Any]


CONTROL: Mapping[str, Control] = MappingProxyType(
    {
        "CartPoleEnv": Control(
            cart_pole,
            {
                "gravity": 9.8,
                "masscart": 1.0,
                "masspole": 0.1,
                "length": 0.5,
                "force_mag": 10.0,
                "tau": 0.02,
                "kinematics_integrator": "euler",
                "theta_threshold_radians": 12 * 2 * np.pi / 360,
                "x_threshold": 2.4,
                "_sutton_barto_reward": False,
            },
        ),
        "MountainCarEnv": Control(
            mountain_car,
            {
                "min_position": -1.2,
                "max_position": 0.6,
                "max_speed": 0.07,
                "goal_position": 0.5,
                "goal_velocity": 0.0,
                "force": 0.001,
                "gravity": 0.0025,
            },
        ),
        "AcrobotEnv": Control(
            acrobot,
            {
                "dt": 0.2,
                "LINK_LENGTH_1": 1.0,
                "LINK_LENGTH_2": 1.0,
                "LINK_MASS_1": 1.0,
                "LINK_MASS_2": 1.0,
                "LINK_COM_POS_1": 0.5,
                "LINK_COM_POS_2": 0.5,
                "LINK_MOI": 1.0,
                "torque_noise_max": 0.0,
                "book_or_nips": "book",
            },
        ),
        "PendulumEnv": Control(
            pendulum, {"max_speed": 8.0, "max_torque": 2.0, "dt": 0.05, "g": 10.0, "m": 1.0, "l": 1.0}
        ),
    }
)
"""By the name of Gymnasium's class."""


def is_control(env: Any) -> bool:
    """Say whether an environment of Gymnasium is one of classic control that is a problem here.

    Parameters
    ----------
    env : gymnasium.Env
    """
    bare = type(env.unwrapped)
    return bare.__name__ in CONTROL and bare.__module__.startswith("gymnasium.envs.classic_control")


def control_problem(
    env: Any, discount: float, actions: Sequence[float] | None, initial: Any, name: str
) -> SimulatedMDP:
    """Return the problem that an environment of classic control is; its time limit is the length of episodes.

    Parameters
    ----------
    env : gymnasium.Env
    discount : float
    actions : sequence of float, optional
        Torques, for the pendulum alone.
    initial : array [coordinate], optional
        Where episodes start; by default at random, as Gymnasium's do.
    name : str

    Returns
    -------
    SimulatedMDP

    Raises
    ------
    ValueError
        If its numbers are not Gymnasium's, or torques are missing or given where actions are not torques.
    """
    kind = CONTROL[type(env.unwrapped).__name__]
    for number, usual in kind.numbers.items():
        given = getattr(env.unwrapped, number, usual)
        if given != usual:
            raise ValueError(f"{name} has {number} = {given!r}; the problem is known here for {usual!r} alone")
    continuous = kind.make is pendulum
    if continuous and actions is None:
        raise ValueError(f"{name} takes any torque; actions are a finite list here: say actions=[-2, 0, 2], or others")
    if not continuous and actions is not None:
        raise ValueError(f"{name} has a finite list of actions already: leave actions out")
    options = {"torques": actions} if continuous else {}
    made = kind.make(discount=discount, **options)
    started = {} if initial is None else {"start": np.asarray(initial, float)}
    limit = None if env.spec is None else env.spec.max_episode_steps
    return made.replace(length=limit, name=name, **started)


def state_shown(observation: Any, coordinates: int) -> NDArray[np.float64]:
    """Return the state that an observation shows; see the module.

    Parameters
    ----------
    observation : array
    coordinates : int
        Of the state.

    Returns
    -------
    array [coordinate]

    Raises
    ------
    ValueError
        If it is no array of numbers, or too short or too long to show such a state.

    Examples
    --------
    >>> state_shown([0.0, 1.0, -3.0], 2).round(2).tolist()  # a cosine, a sine, a speed
    [1.57, -3.0]
    """
    shown = np.asarray(observation, float)
    angles = shown.size - coordinates
    if shown.ndim != 1 or not 0 <= angles <= coordinates:
        raise ValueError(
            f"the observation has shape {shown.shape}; it shows no state of {coordinates} coordinates, whether angles "
            "are among them or not"
        )
    return np.concatenate([np.arctan2(shown[1 : 2 * angles : 2], shown[: 2 * angles : 2]), shown[2 * angles :]])
