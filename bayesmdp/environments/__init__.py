"""Decision problems to learn on, one file each: functions that return an :class:`~bayesmdp.mdp.MDP`."""

from bayesmdp.environments.chain import chain
from bayesmdp.environments.frozen_lake import frozen_lake
from bayesmdp.environments.gymnasium import collect_gymnasium, from_gymnasium, policy_function, to_gymnasium
from bayesmdp.environments.icu_sepsis import clinicians_policy, icu_sepsis
from bayesmdp.environments.queue import queue
from bayesmdp.environments.risky_lake import risky_lake
from bayesmdp.environments.riverswim import riverswim

__all__ = [
    "chain",
    "clinicians_policy",
    "collect_gymnasium",
    "from_gymnasium",
    "frozen_lake",
    "icu_sepsis",
    "policy_function",
    "queue",
    "risky_lake",
    "riverswim",
    "to_gymnasium",
]
