"""Decision problems to learn on, one file each: functions that return an :class:`~bayesmdp.problems.mdp.MDP`."""

from collections.abc import Callable, Mapping
from typing import Any

from bayesmdp.environments.acrobot import acrobot as acrobot
from bayesmdp.environments.behaviours import behaviour_of_quality as behaviour_of_quality
from bayesmdp.environments.bernoulli_bandit import bernoulli_bandit as bernoulli_bandit
from bayesmdp.environments.cart_pole import cart_pole as cart_pole
from bayesmdp.environments.chain import chain as chain
from bayesmdp.environments.deep_sea import deep_sea as deep_sea
from bayesmdp.environments.example import Example
from bayesmdp.environments.fishery import best_escapement as best_escapement
from bayesmdp.environments.fishery import fishery as fishery
from bayesmdp.environments.frozen_lake import frozen_lake as frozen_lake
from bayesmdp.environments.frozen_lake import slips as slips
from bayesmdp.environments.garnet import garnet as garnet
from bayesmdp.environments.generalised_chain import generalised_chain as generalised_chain
from bayesmdp.environments.generalised_double_loop import generalised_double_loop as generalised_double_loop
from bayesmdp.environments.generalised_grid import generalised_grid as generalised_grid
from bayesmdp.environments.glucose import glucose as glucose
from bayesmdp.environments.grid import grid as grid
from bayesmdp.environments.gymnasium import from_gymnasium as from_gymnasium
from bayesmdp.environments.gymnasium import to_gymnasium as to_gymnasium
from bayesmdp.environments.gymnasium_logs import collect_gymnasium as collect_gymnasium
from bayesmdp.environments.gymnasium_logs import policy_function as policy_function
from bayesmdp.environments.icu_measurements import sepsis_measurements as sepsis_measurements
from bayesmdp.environments.icu_sepsis import clinicians_policy as clinicians_policy
from bayesmdp.environments.icu_sepsis import icu_sepsis as icu_sepsis
from bayesmdp.environments.inventory import inventory as inventory
from bayesmdp.environments.layers import layers as layers
from bayesmdp.environments.linear import hard_linear_mdp as hard_linear_mdp
from bayesmdp.environments.linear import random_linear_mdp as random_linear_mdp
from bayesmdp.environments.linear_quadratic import linear_quadratic as linear_quadratic
from bayesmdp.environments.linear_quadratic import riccati as riccati
from bayesmdp.environments.measured_clinic import clinic as clinic
from bayesmdp.environments.measured_clinic import clinic_visits as clinic_visits
from bayesmdp.environments.mountain_car import mountain_car as mountain_car
from bayesmdp.environments.network_routing import network_routing as network_routing
from bayesmdp.environments.pendulum import pendulum as pendulum
from bayesmdp.environments.queue import queue as queue
from bayesmdp.environments.rare_room import rare_room as rare_room
from bayesmdp.environments.recommendation import recommendation as recommendation
from bayesmdp.environments.risky_lake import risky_lake as risky_lake
from bayesmdp.environments.riverswim import riverswim as riverswim
from bayesmdp.environments.six_arms import six_arms as six_arms
from bayesmdp.environments.slippery_lake import slippery_lake as slippery_lake
from bayesmdp.environments.thermostat import thermostat as thermostat
from bayesmdp.environments.wearing_machine import wearing_machine as wearing_machine
from bayesmdp.environments.wet_chicken import wet_chicken as wet_chicken

GROUPS: Mapping[str, tuple[Example, ...]] = {
    "One reward to find": (
        Example(riverswim),
        Example(chain),
        Example(rare_room, {"doors": 5, "ways": 2}),
        Example(frozen_lake),
        Example(risky_lake),
        Example(grid, {"rows": 3, "columns": 2}),
        Example(garnet, {"num_states": 6, "num_actions": 2, "branching": 2}),
        Example(six_arms),
        Example(deep_sea, {"size": 4}),
    ),
    "Drawn from a known prior": (
        Example(bernoulli_bandit),
        Example(generalised_chain),
        Example(generalised_double_loop),
        Example(generalised_grid, {"size": 3}),
    ),
    "Work that does not end": (
        Example(queue, {"capacity": 4}),
        Example(inventory, {"capacity": 4}),
        Example(network_routing, {"room": 2}),
        Example(wearing_machine),
        Example(wet_chicken, {"length": 3, "width": 2}),
    ),
    "Episodes and choices": (
        Example(layers),
        Example(recommendation, {"products": 3, "horizon": 2}),
        Example(icu_sepsis),
        Example(clinic),
    ),
    "Linear features": (
        Example(random_linear_mdp, {"num_states": 5, "num_actions": 2}),
        Example(hard_linear_mdp, {"dimension": 3}),
    ),
    "Spaces of numbers": (
        Example(slippery_lake),
        Example(thermostat),
        Example(linear_quadratic),
        Example(cart_pole),
        Example(mountain_car),
        Example(pendulum),
        Example(acrobot),
        Example(glucose),
        Example(fishery),
    ),
    "From elsewhere": (Example(from_gymnasium, {"env": "FrozenLake-v1"}),),
}
"""Every environment, by kind, with a small example of it. A new environment is one line here, beside its import."""

ENVIRONMENTS: Mapping[str, Callable[..., Any]] = {
    each.make.__name__: each.make for row in GROUPS.values() for each in row
}
"""What `bayesmdp list` shows and studies name."""

__all__ = [
    "ENVIRONMENTS",
    "GROUPS",
    "Example",
    "behaviour_of_quality",
    "best_escapement",
    "clinic",
    "clinic_visits",
    "clinicians_policy",
    "collect_gymnasium",
    "policy_function",
    "riccati",
    "sepsis_measurements",
    "slips",
    "to_gymnasium",
    *ENVIRONMENTS,
]
