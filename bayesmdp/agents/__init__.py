"""Agents that learn online, one algorithm a file; see :mod:`bayesmdp.agents.agent` for the grammar they share."""

from collections.abc import Callable

from bayesmdp.agents.agent import Agent, Rules
from bayesmdp.agents.aq_brmdp import aq_brmdp
from bayesmdp.agents.bandit_ts import bandit_ts
from bayesmdp.agents.beb import beb
from bayesmdp.agents.boss import boss
from bayesmdp.agents.brmdp import brmdp
from bayesmdp.agents.fitted_aq_brmdp import fitted_aq_brmdp
from bayesmdp.agents.fitted_brmdp import fitted_brmdp
from bayesmdp.agents.fitted_psrl import fitted_psrl
from bayesmdp.agents.gamma_lscvi_ucb import gamma_lscvi_ucb
from bayesmdp.agents.gamma_lscvi_ucb_planned import gamma_lscvi_ucb_planned
from bayesmdp.agents.gamma_lscvi_ucb_visited import gamma_lscvi_ucb_visited
from bayesmdp.agents.gamma_ucb_cvi import gamma_ucb_cvi
from bayesmdp.agents.lsvi import lsvi
from bayesmdp.agents.mbie_eb import mbie_eb
from bayesmdp.agents.mdp_exp2 import mdp_exp2
from bayesmdp.agents.mdp_oomd import mdp_oomd
from bayesmdp.agents.olsvi_fh import olsvi_fh
from bayesmdp.agents.optimistic_q_learning import optimistic_q_learning
from bayesmdp.agents.psrl import psrl
from bayesmdp.agents.rlsvi import rlsvi
from bayesmdp.agents.rmax import rmax
from bayesmdp.agents.scal import scal
from bayesmdp.agents.tseb import tseb
from bayesmdp.agents.tsrl import tsrl
from bayesmdp.agents.ucb_avg import ucb_avg
from bayesmdp.agents.ucrl2 import ucrl2
from bayesmdp.agents.variance_bonus import variance_bonus

__all__ = [
    "AGENTS",
    "GROUPS",
    "Agent",
    "Rules",
    "aq_brmdp",
    "bandit_ts",
    "beb",
    "boss",
    "brmdp",
    "fitted_aq_brmdp",
    "fitted_brmdp",
    "fitted_psrl",
    "gamma_lscvi_ucb",
    "gamma_lscvi_ucb_planned",
    "gamma_lscvi_ucb_visited",
    "gamma_ucb_cvi",
    "lsvi",
    "mbie_eb",
    "mdp_exp2",
    "mdp_oomd",
    "olsvi_fh",
    "optimistic_q_learning",
    "psrl",
    "rlsvi",
    "rmax",
    "scal",
    "tseb",
    "tsrl",
    "ucb_avg",
    "ucrl2",
    "variance_bonus",
]

GROUPS: dict[str, tuple[Callable[..., Agent], ...]] = {
    "Posterior sampling": (
        psrl,
        boss,
    ),
    "Risk over the posterior": (
        aq_brmdp,
        brmdp,
    ),
    "Exploration bonuses": (
        tseb,
        beb,
        mbie_eb,
        variance_bonus,
        rmax,
    ),
    "Average reward": (
        gamma_ucb_cvi,
        gamma_lscvi_ucb,
        gamma_lscvi_ucb_planned,
        gamma_lscvi_ucb_visited,
        olsvi_fh,
        optimistic_q_learning,
        ucb_avg,
        mdp_exp2,
        mdp_oomd,
        ucrl2,
        scal,
    ),
    "Q-functions of episodes and tasks": (
        rlsvi,
        tsrl,
        lsvi,
        bandit_ts,
    ),
    "Q-functions on spaces of numbers": (
        fitted_psrl,
        fitted_brmdp,
        fitted_aq_brmdp,
    ),
}
"""What `bayesmdp list` shows and studies name, by kind; a new agent is one name here."""

AGENTS: dict[str, Callable[..., Agent]] = {part.__name__: part for parts in GROUPS.values() for part in parts}
