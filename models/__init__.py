"""Priors over unknown decision problems, as NumPyro functions."""

from collections.abc import Callable, Mapping
from typing import Any

from .dirichlet_transitions import dirichlet_transitions as dirichlet_transitions
from .example import Example
from .fishery import fishery as fishery
from .fourier_dynamics import fourier_dynamics as fourier_dynamics
from .gaussian_q import gaussian_q as gaussian_q
from .gaussian_q_hierarchy import gaussian_q_hierarchy as gaussian_q_hierarchy
from .gaussian_q_tasks import gaussian_q_tasks as gaussian_q_tasks
from .glucose import glucose as glucose
from .hierarchical_dirichlet import hierarchical_dirichlet as hierarchical_dirichlet
from .linear_dynamics import linear_dynamics as linear_dynamics
from .linear_rewards import linear_rewards as linear_rewards
from .linear_system import linear_system as linear_system
from .logistic_transitions import logistic_transitions as logistic_transitions
from .matrix_dynamics import matrix_dynamics as matrix_dynamics
from .neural_dynamics import neural_dynamics as neural_dynamics
from .queue_rates import queue_rates as queue_rates
from .rewards import beta_bernoulli_rewards as beta_bernoulli_rewards
from .rewards import normal_gamma_rewards as normal_gamma_rewards
from .rewards import normal_rewards as normal_rewards
from .river_current import river_current as river_current
from .slippery_lake import slippery_lake as slippery_lake
from .sparse_dirichlet import sparse_dirichlet as sparse_dirichlet
from .thermostat import thermostat as thermostat
from .tied_moves import tied_moves as tied_moves

# On a chain of five states an action leads one state on or back to the first, and either may happen for the other.
ON_OR_BACK = [[[min(state + 1, 4), 0], [0, min(state + 1, 4)]] for state in range(5)]

TWO_OF_FIVE = [[[float(reached in pair) for reached in range(5)] for pair in pairs] for pairs in ON_OR_BACK]

GROUPS: Mapping[str, tuple[Example, ...]] = {
    "Transitions": (
        Example(dirichlet_transitions),
        Example(sparse_dirichlet, "chain", {"concentration": TWO_OF_FIVE}),
        Example(hierarchical_dirichlet, engine="nuts"),
        Example(logistic_transitions, "hard_linear_mdp", engine="nuts"),
        Example(river_current),
        Example(tied_moves, "chain", {"leads_to": ON_OR_BACK}),
        Example(queue_rates, "queue", engine="nuts"),
    ),
    "Rewards, beside any prior of transitions": (
        Example(normal_rewards),
        Example(normal_gamma_rewards),
        Example(beta_bernoulli_rewards, "frozen_lake"),
    ),
    "Q-functions": (
        Example(gaussian_q, "layers"),
        Example(gaussian_q_hierarchy, None, {"base_mean": [[0.0]], "base_covariance": 1.0, "noise": 1.0}, engine=""),
        Example(gaussian_q_tasks, "layers", {"mean": 0.0, "covariance": 1.0}, engine=""),
    ),
    "Spaces of numbers": (
        Example(slippery_lake, "slippery_lake"),
        Example(linear_dynamics, "thermostat"),
        Example(matrix_dynamics, "linear_quadratic"),
        Example(fourier_dynamics, "thermostat", {"number": 5}),
        Example(neural_dynamics, "thermostat", {"width": 2}, engine="smc"),
        Example(linear_rewards, "thermostat"),
        Example(thermostat, "thermostat"),
        Example(linear_system, "linear_quadratic"),
        Example(fishery, "fishery", engine="smc"),
        Example(glucose, "glucose", engine="smc"),
    ),
}
"""Every prior, by kind, with a small example of it. A new prior is one line here, beside its import."""

PRIORS: Mapping[str, Callable[..., Any]] = {each.make.__name__: each.make for row in GROUPS.values() for each in row}
"""What `bayesmdp list` shows, and studies and `bayesmdp plan` name."""

__all__ = ["GROUPS", "PRIORS", "Example", *PRIORS]
