"""Agents that learn online, one algorithm a file; see :mod:`bayesmdp.agents.agent` for the grammar they share."""

from collections.abc import Callable, Mapping
from typing import Any

from bayesmdp.agents.agent import Agent as Agent
from bayesmdp.agents.agent import Rules as Rules
from bayesmdp.agents.aq_brmdp import aq_brmdp as aq_brmdp
from bayesmdp.agents.bamcp import bamcp as bamcp
from bayesmdp.agents.bandit_ts import bandit_ts as bandit_ts
from bayesmdp.agents.beb import beb as beb
from bayesmdp.agents.bfs3 import bfs3 as bfs3
from bayesmdp.agents.boss import boss as boss
from bayesmdp.agents.brmdp import brmdp as brmdp
from bayesmdp.agents.doubt_brmdp import doubt_brmdp as doubt_brmdp
from bayesmdp.agents.example import Example, endless_river, river_in_episodes, slippery_lake
from bayesmdp.agents.fitted_aq_brmdp import fitted_aq_brmdp as fitted_aq_brmdp
from bayesmdp.agents.fitted_brmdp import fitted_brmdp as fitted_brmdp
from bayesmdp.agents.fitted_psrl import fitted_psrl as fitted_psrl
from bayesmdp.agents.futures_psrl import futures_psrl as futures_psrl
from bayesmdp.agents.gamma_lscvi_ucb import gamma_lscvi_ucb as gamma_lscvi_ucb
from bayesmdp.agents.gamma_lscvi_ucb_planned import gamma_lscvi_ucb_planned as gamma_lscvi_ucb_planned
from bayesmdp.agents.gamma_lscvi_ucb_visited import gamma_lscvi_ucb_visited as gamma_lscvi_ucb_visited
from bayesmdp.agents.gamma_ucb_cvi import gamma_ucb_cvi as gamma_ucb_cvi
from bayesmdp.agents.imed_rl import imed_rl as imed_rl
from bayesmdp.agents.kl_ucrl import kl_ucrl as kl_ucrl
from bayesmdp.agents.lsvi import lsvi as lsvi
from bayesmdp.agents.mbie_eb import mbie_eb as mbie_eb
from bayesmdp.agents.mdp_exp2 import mdp_exp2 as mdp_exp2
from bayesmdp.agents.mdp_oomd import mdp_oomd as mdp_oomd
from bayesmdp.agents.olsvi_fh import olsvi_fh as olsvi_fh
from bayesmdp.agents.optimistic_q_learning import optimistic_q_learning as optimistic_q_learning
from bayesmdp.agents.psrl import psrl as psrl
from bayesmdp.agents.rlsvi import rlsvi as rlsvi
from bayesmdp.agents.rmax import rmax as rmax
from bayesmdp.agents.scal import scal as scal
from bayesmdp.agents.sparse_sampling import sparse_sampling as sparse_sampling
from bayesmdp.agents.tile_q_learning import tile_q_learning as tile_q_learning
from bayesmdp.agents.tseb import tseb as tseb
from bayesmdp.agents.tsrl import tsrl as tsrl
from bayesmdp.agents.ucb_avg import ucb_avg as ucb_avg
from bayesmdp.agents.ucbvi import ucbvi as ucbvi
from bayesmdp.agents.ucrl2 import ucrl2 as ucrl2
from bayesmdp.agents.variance_bonus import variance_bonus as variance_bonus

# What agents for the average reward are told of the example, and options with which fitted ones are quick.
TOLD: Mapping[str, Any] = {"horizon": 400, "span": 6.31}
QUICK: Mapping[str, Any] = {"approximation": "linear", "iterations": 3, "places": 16, "samples": 2, "room": 400}
SHORT_SIGHTED = (
    "at this size it sees too little of a river; tests/agents/test_lookahead.py shows how near the optimum it is"
)
SMALL = "at this size it cannot; tests/agents/test_fitted.py shows that it learns"

GROUPS: Mapping[str, tuple[Example, ...]] = {
    "Posterior sampling": (
        Example(psrl),
        Example(boss, does_not_learn="it plans a given number of times"),
    ),
    "Risk over the posterior": (
        Example(aq_brmdp),
        Example(brmdp, does_not_learn="a fixed level need not"),
        Example(doubt_brmdp),
    ),
    "Exploration bonuses": (
        Example(tseb),
        Example(beb),
        Example(mbie_eb),
        Example(variance_bonus),
        Example(rmax),
    ),
    "Bayes-adaptive planning": (
        Example(bamcp, options={"simulations": 30, "depth": 15}, does_not_learn=SHORT_SIGHTED),
        Example(bfs3, options={"trials": 10, "branching": 3, "depth": 8}, does_not_learn=SHORT_SIGHTED),
        Example(sparse_sampling, does_not_learn=SHORT_SIGHTED),
    ),
    "Average reward": (
        Example(gamma_ucb_cvi, endless_river, TOLD),
        Example(gamma_lscvi_ucb, endless_river, TOLD),
        Example(gamma_lscvi_ucb_planned, endless_river, TOLD),
        Example(gamma_lscvi_ucb_visited, endless_river, TOLD),
        Example(olsvi_fh, endless_river, {**TOLD, "episode": 50}),
        Example(optimistic_q_learning, endless_river, {**TOLD, "scale": 0.003}),
        Example(ucb_avg, endless_river, TOLD),
        Example(
            mdp_exp2,
            endless_river,
            {"horizon": 400, "mixing": 2, "excitation": 1e-3, "window": 2, "episode": 100, "rate": 0.3},
            does_not_learn="every policy would have to see all pairs soon, which on a river only a few do",
        ),
        Example(
            mdp_oomd,
            endless_river,
            {"horizon": 400, "mixing": 2, "hitting": 50, "window": 8, "episode": 200, "rate": 1.0},
        ),
        Example(ucrl2, endless_river, {"scale": 0.03}),
        Example(kl_ucrl, endless_river, {"horizon": 400, "scale": 0.01}),
        Example(scal, endless_river, {"span": 6.31, "scale": 0.1}),
        Example(imed_rl, endless_river),
    ),
    "Optimism in episodes": (Example(ucbvi, river_in_episodes, {"horizon": 400, "bonus": "rlberry", "scale": 0.1}),),
    "Q-functions of episodes and tasks": (
        Example(rlsvi, river_in_episodes),
        Example(tsrl, river_in_episodes),
        Example(lsvi, river_in_episodes, does_not_learn="who never tries does not swim"),
        Example(bandit_ts, river_in_episodes, does_not_learn="who does not look ahead does not swim"),
    ),
    "Spaces of numbers": (
        Example(fitted_psrl, slippery_lake, QUICK, SMALL),
        Example(fitted_brmdp, slippery_lake, {**QUICK, "num_draws": 10}, SMALL),
        Example(fitted_aq_brmdp, slippery_lake, {**QUICK, "num_draws": 10}, SMALL),
        Example(futures_psrl, slippery_lake, {"depth": 6, "sequences": 16, "rounds": 1, "room": 400}, SHORT_SIGHTED),
        Example(tile_q_learning, slippery_lake, {"initial": 1.0}),
    ),
}
"""Every agent, by kind, with a small example of it. A new agent is one line here, beside its import."""

AGENTS: Mapping[str, Callable[..., Agent]] = {each.make.__name__: each.make for row in GROUPS.values() for each in row}
"""What `bayesmdp list` shows and studies name."""

__all__ = ["AGENTS", "GROUPS", "Agent", "Example", "Rules", *AGENTS]
