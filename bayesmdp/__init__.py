"""Bayesian reinforcement learning as probabilistic programming.

Declare what is unknown about a decision problem as a NumPyro model, infer, plan, learn online, compare:

    model -> posterior -> plan -> policy -> simulate -> results -> analysis, plots

Names are imported when they are first used, so that ``import bayesmdp`` and the command line start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesmdp import agents, comparison, environments, models, planning, results, studies, sweeps
    from bayesmdp.analysis import (
        compare,
        final_regret,
        moving_average_reward,
        occupancy,
        quantile_value_curve,
        regret_curve,
        suboptimal_steps,
        summary,
    )
    from bayesmdp.compiled import keep_programs
    from bayesmdp.continuous import ContinuousMDP
    from bayesmdp.data import Targets, Transitions, compress
    from bayesmdp.from_log import mdp_from_log
    from bayesmdp.hierarchy import learn_prior, q_distribution
    from bayesmdp.logs import read_log
    from bayesmdp.mdp import MDP
    from bayesmdp.model_checks import compare_priors, replicate_logs, surprises
    from bayesmdp.objectives import Robust
    from bayesmdp.planning import (
        CVaR,
        Mean,
        Quantile,
        downside_exposure,
        evaluate,
        plan,
        quantile_value,
        solve,
        value_draws,
    )
    from bayesmdp.plots import plot_occupancy, plot_quantile_value, plot_regret, plot_reward, plot_study
    from bayesmdp.posterior import (
        NotConjugate,
        concentration_by_evidence,
        dirichlet_log_evidence,
        draw,
        infer,
        with_particles,
    )
    from bayesmdp.records import Records
    from bayesmdp.simulated import SimulatedMDP
    from bayesmdp.simulation import Interrupted, collect, simulate
    from bayesmdp.stages import unroll
    from bayesmdp.tasks import AcrossTasks, across_tasks, simulate_tasks

__all__ = [
    "MDP",
    "AcrossTasks",
    "CVaR",
    "ContinuousMDP",
    "Interrupted",
    "Mean",
    "NotConjugate",
    "Quantile",
    "Records",
    "Robust",
    "SimulatedMDP",
    "Targets",
    "Transitions",
    "across_tasks",
    "agents",
    "collect",
    "compare",
    "compare_priors",
    "comparison",
    "compress",
    "concentration_by_evidence",
    "dirichlet_log_evidence",
    "downside_exposure",
    "draw",
    "environments",
    "evaluate",
    "final_regret",
    "infer",
    "keep_programs",
    "learn_prior",
    "mdp_from_log",
    "models",
    "moving_average_reward",
    "occupancy",
    "plan",
    "planning",
    "plot_occupancy",
    "plot_quantile_value",
    "plot_regret",
    "plot_reward",
    "plot_study",
    "q_distribution",
    "quantile_value",
    "quantile_value_curve",
    "read_log",
    "regret_curve",
    "replicate_logs",
    "results",
    "simulate",
    "simulate_tasks",
    "solve",
    "studies",
    "suboptimal_steps",
    "summary",
    "surprises",
    "sweeps",
    "unroll",
    "value_draws",
    "with_particles",
]

_MODULES = ("agents", "comparison", "environments", "models", "planning", "results", "studies", "sweeps")
_HOME = {
    "analysis": (
        "compare",
        "final_regret",
        "moving_average_reward",
        "occupancy",
        "quantile_value_curve",
        "regret_curve",
        "suboptimal_steps",
        "summary",
    ),
    "compiled": ("keep_programs",),
    "data": ("Targets", "Transitions", "compress"),
    "from_log": ("mdp_from_log",),
    "logs": ("read_log",),
    "continuous": ("ContinuousMDP",),
    "mdp": ("MDP",),
    "stages": ("unroll",),
    "hierarchy": ("learn_prior", "q_distribution"),
    "tasks": ("AcrossTasks", "across_tasks", "simulate_tasks"),
    "model_checks": ("compare_priors", "replicate_logs", "surprises"),
    "objectives": ("Robust",),
    "planning": (
        "CVaR",
        "Mean",
        "Quantile",
        "downside_exposure",
        "evaluate",
        "plan",
        "quantile_value",
        "solve",
        "value_draws",
    ),
    "plots": ("plot_occupancy", "plot_quantile_value", "plot_regret", "plot_reward", "plot_study"),
    "posterior": (
        "NotConjugate",
        "concentration_by_evidence",
        "dirichlet_log_evidence",
        "draw",
        "infer",
        "with_particles",
    ),
    "records": ("Records",),
    "simulated": ("SimulatedMDP",),
    "simulation": ("Interrupted", "collect", "simulate"),
}
_HOME_OF = {name: home for home, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"bayesmdp.{name}")
    if name in _HOME_OF:
        return getattr(import_module(f"bayesmdp.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'bayesmdp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
