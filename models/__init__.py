"""Priors over unknown decision problems, as NumPyro functions."""

from collections.abc import Callable
from typing import Any

from .dirichlet_transitions import dirichlet_transitions
from .gaussian_q import gaussian_q
from .gaussian_q_hierarchy import gaussian_q_hierarchy
from .gaussian_q_tasks import gaussian_q_tasks
from .hierarchical_dirichlet import hierarchical_dirichlet
from .logistic_transitions import logistic_transitions
from .queue_rates import queue_rates
from .rewards import beta_bernoulli_rewards, normal_gamma_rewards, normal_rewards
from .river_current import river_current
from .slippery_lake import slippery_lake
from .tied_moves import tied_moves

__all__ = [
    "GROUPS",
    "PRIORS",
    "beta_bernoulli_rewards",
    "dirichlet_transitions",
    "gaussian_q",
    "gaussian_q_hierarchy",
    "gaussian_q_tasks",
    "hierarchical_dirichlet",
    "logistic_transitions",
    "normal_gamma_rewards",
    "normal_rewards",
    "queue_rates",
    "river_current",
    "slippery_lake",
    "tied_moves",
]

GROUPS: dict[str, tuple[Callable[..., Any], ...]] = {
    "Transitions": (
        dirichlet_transitions,
        hierarchical_dirichlet,
        logistic_transitions,
        river_current,
        tied_moves,
        queue_rates,
    ),
    "Rewards, beside any prior of transitions": (
        normal_rewards,
        normal_gamma_rewards,
        beta_bernoulli_rewards,
    ),
    "Q-functions": (
        gaussian_q,
        gaussian_q_hierarchy,
        gaussian_q_tasks,
    ),
    "Spaces of numbers": (slippery_lake,),
}
"""What `bayesmdp list` shows, and studies and `bayesmdp plan` name, by kind; a new prior is one name here."""

PRIORS: dict[str, Callable[..., Any]] = {part.__name__: part for parts in GROUPS.values() for part in parts}
