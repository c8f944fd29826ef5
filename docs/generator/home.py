"""What the three doors of the home page show: the policy of a log, regret of three agents, a posterior that narrows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import bayesmdp as bm
from bayesmdp.results.plots import colour_of, new_figure

__all__ = ["PICTURES", "write_report"]


def _report() -> Any:
    """The plan of the page `start/log_to_policy`."""
    walks = bm.collect(bm.environments.frozen_lake(), policy="uniform", steps=2_000, seed=0)
    return bm.plan_log(bm.read_log(walks.to_dataframe()), risk="quantile:0.1", discount=0.99)


def write_report(path: Path) -> None:
    """The report page that the home and the start lead to."""
    bm.write_report(_report(), path)


def log_picture() -> Figure:
    """The policy of a log."""
    figure = new_figure(4.6, 3.6)
    bm.plot_policy(_report(), figure.subplots(), most=8)
    return figure


def compare_picture() -> Figure:
    """Regret of three agents with intervals."""
    river = bm.environments.riverswim(6)
    prior = bm.models.dirichlet_transitions(river, concentration=1 / 6)
    agents = {"PSRL": bm.agents.psrl(prior), "AQ-BRMDP": bm.agents.aq_brmdp(prior), "BEB": bm.agents.beb(prior)}
    result = bm.simulate(river, agents, steps=3_000, replicates=24, seed=0, thin=50)
    figure = new_figure(4.6, 3.6)
    bm.plot_regret(result, figure.subplots())
    return figure


def learn_picture() -> Figure:
    """The posterior of one unknown probability after 10, 100 and 1,000 steps."""
    river = bm.environments.riverswim(6)
    log = bm.collect(river, policy="uniform", steps=1_000, seed=0)
    figure = new_figure(4.6, 3.6)
    axes = figure.subplots()
    for index, steps in enumerate((10, 100, 1_000)):
        model = bm.models.river_current(river)
        posterior = bm.infer(model, log.isel(step=slice(steps)), mdp=river, draws=20_000, seed=0)
        ahead = np.asarray(posterior["posterior"]["transition"].sel(state=2, action="right", next_state=3)).ravel()
        style = {"bins": 80, "range": (0, 0.8), "density": True, "histtype": "stepfilled", "alpha": 0.6}
        axes.hist(ahead, color=colour_of(index), label=f"{steps:,} steps", **style)
    axes.axvline(0.35, color="0.2", linestyle="--", linewidth=1)
    axes.set(xlabel="probability of getting ahead", yticks=[])
    axes.legend(frameon=False)
    return figure


PICTURES = {"log": log_picture, "compare": compare_picture, "learn": learn_picture}
