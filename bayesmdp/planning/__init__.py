"""Planning: from posterior draws to a policy, with a bound on the error of its value."""

from bayesmdp.planning.approximations import DoubleQ, LinearQ, NeuralQ
from bayesmdp.planning.average_reward import GainPlan, average_policy_iteration, gain_and_bias, relative_value_iteration
from bayesmdp.planning.bayes_optimal import bayes_optimal, bayes_value
from bayesmdp.planning.communicating import check_weakly_communicating
from bayesmdp.planning.confidence_sets import Box, KLBall, L1Ball
from bayesmdp.planning.cvar import CVaR
from bayesmdp.planning.finite_horizon import backward_induction, episode_value, horizon_plan, horizon_value
from bayesmdp.planning.fitted_q import fitted_q_iteration
from bayesmdp.planning.futures_policy import futures_policy
from bayesmdp.planning.gittins import gittins_index
from bayesmdp.planning.hardness import hardness
from bayesmdp.planning.known_dynamics import evaluate, solve
from bayesmdp.planning.operators import Draws, believed_draws, clip_span, expected_reward, greedy, target
from bayesmdp.planning.order_statistic import order_statistic
from bayesmdp.planning.plan import plan
from bayesmdp.planning.policy_values import policy_evaluation, policy_transition
from bayesmdp.planning.posterior_value import downside_exposure, gain_draws, quantile_value, value_draws
from bayesmdp.planning.quantile import Quantile, quantile_budget
from bayesmdp.planning.risk import Mean, Risk, backup
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.planning.rollouts import Rollouts
from bayesmdp.planning.sampled_futures import SampledFutures
from bayesmdp.planning.simulated_gain import gain_policy
from bayesmdp.planning.simulated_plan import FittedQ
from bayesmdp.planning.solvers import Plan, policy_iteration, value_iteration
from bayesmdp.planning.state_baseline import PlacesBehaviour
from bayesmdp.planning.state_policies import fitted_policy
from bayesmdp.planning.trees_and_neighbours import NeighboursQ, TreesQ

__all__ = [
    "Box",
    "CVaR",
    "DoubleQ",
    "Draws",
    "FittedQ",
    "GainPlan",
    "KLBall",
    "L1Ball",
    "LinearQ",
    "Mean",
    "NeighboursQ",
    "NeuralQ",
    "PlacesBehaviour",
    "Plan",
    "Quantile",
    "Risk",
    "Rollouts",
    "SampledFutures",
    "TreesQ",
    "average_policy_iteration",
    "backup",
    "backward_induction",
    "bayes_optimal",
    "bayes_value",
    "believed_draws",
    "check_weakly_communicating",
    "clip_span",
    "downside_exposure",
    "episode_value",
    "evaluate",
    "expected_reward",
    "fitted_policy",
    "fitted_q_iteration",
    "futures_policy",
    "gain_and_bias",
    "gain_draws",
    "gain_policy",
    "gittins_index",
    "greedy",
    "hardness",
    "horizon_plan",
    "horizon_value",
    "order_statistic",
    "plan",
    "policy_evaluation",
    "policy_iteration",
    "policy_transition",
    "quantile_budget",
    "quantile_value",
    "relative_value_iteration",
    "risk_from_text",
    "solve",
    "target",
    "value_draws",
    "value_iteration",
]
