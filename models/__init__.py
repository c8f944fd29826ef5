"""Priors over unknown decision problems, as NumPyro functions."""

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
