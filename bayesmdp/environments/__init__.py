"""Decision problems to learn on, one file each: functions that return an :class:`~bayesmdp.problems.mdp.MDP`."""

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
