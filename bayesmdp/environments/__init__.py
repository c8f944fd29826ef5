"""Decision problems to learn on, one file each: functions that return an :class:`~bayesmdp.problems.mdp.MDP`."""

from collections.abc import Callable
from typing import Any

from bayesmdp.environments.chain import chain
from bayesmdp.environments.frozen_lake import frozen_lake, slips
from bayesmdp.environments.gymnasium import collect_gymnasium, from_gymnasium, policy_function, to_gymnasium
from bayesmdp.environments.icu_sepsis import clinicians_policy, icu_sepsis
from bayesmdp.environments.inventory import inventory
from bayesmdp.environments.layers import layers
from bayesmdp.environments.linear import hard_linear_mdp, random_linear_mdp
from bayesmdp.environments.queue import queue
from bayesmdp.environments.rare_room import rare_room
from bayesmdp.environments.recommendation import recommendation
from bayesmdp.environments.risky_lake import risky_lake
from bayesmdp.environments.riverswim import riverswim
from bayesmdp.environments.slippery_lake import slippery_lake
from bayesmdp.environments.wearing_machine import wearing_machine

__all__ = [
    "ENVIRONMENTS",
    "GROUPS",
    "chain",
    "clinicians_policy",
    "collect_gymnasium",
    "from_gymnasium",
    "frozen_lake",
    "hard_linear_mdp",
    "icu_sepsis",
    "inventory",
    "layers",
    "policy_function",
    "queue",
    "random_linear_mdp",
    "rare_room",
    "recommendation",
    "risky_lake",
    "riverswim",
    "slippery_lake",
    "slips",
    "to_gymnasium",
    "wearing_machine",
]

GROUPS: dict[str, tuple[Callable[..., Any], ...]] = {
    "One reward to find": (
        riverswim,
        chain,
        rare_room,
        frozen_lake,
        risky_lake,
    ),
    "Work that does not end": (
        queue,
        inventory,
        wearing_machine,
    ),
    "Episodes and choices": (
        layers,
        recommendation,
        icu_sepsis,
    ),
    "Linear features": (
        random_linear_mdp,
        hard_linear_mdp,
    ),
    "Spaces of numbers": (slippery_lake,),
    "From elsewhere": (from_gymnasium,),
}
"""What `bayesmdp list` shows and studies name, by kind; a new environment is one name here."""

ENVIRONMENTS: dict[str, Callable[..., Any]] = {part.__name__: part for parts in GROUPS.values() for part in parts}
