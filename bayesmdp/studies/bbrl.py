"""The benchmark of Castronovo, Ernst, Couetoux and Fonteneau (2016) for Bayesian learners: their rivals and ours.

Problems are drawn from a prior that the learners know: the generalised chain, the generalised double loop and the grid,
250 steps of each, judged by the return discounted at .95 (truncated there, which leaves out 3e-6 of it). They report
95% intervals over 500 problems; here are 200, on common random numbers. Their library is C++, and their choice of
BAMCP's and BFS3's sizes is among many that they tried; those here are named.

``make study STUDIES=bbrl`` runs every cell that ``results/`` does not hold, and writes ``bbrl.csv``, one row an agent:
its return with a 95% interval, milliseconds a step (the median of eight problems, one after another on one thread), and
the paper's interval where it has one, with whether the two overlap.

Of the paper's six intervals (BEB, BFS3 and BAMCP, on the chain and the double loop) five overlap with ours, BAMCP's
with 100 simulations a step; with 500 it is above theirs on the chain (36.8 to 42.8; theirs 32.4 to 36.5). BFS3 does
better here on the double loop, with a tree of another size. Planners that look ahead are nowhere surely ahead of the
best bonus, which takes a fortieth of their time or less; on the grid, where the reward lies some sixteen steps away,
100 simulations see too little of it, and the variance bonus is surely ahead of all.

Of the agents that the paper does not have the variance bonus returns most on all three: 41.7 (39.0 to 44.4) on the
chain, 3.05 (2.94 to 3.15) on the double loop and 6.20 (5.79 to 6.61) on the grid. The return is drawn against the time
of a step in the tutorial ``exploration_bonuses``.

MBIE-EB returns .16 on the grid for what it does by design: a pair that was never tried is worth 200 to it, and of the
100 pairs it has tried 64 after 150 steps (the variance bonus 28), so that its first reward comes at step 180 (there at
19), when .95 to that power is 1e-4. From step 250 on it earns 128 in 250 steps, BEB 144 (20 problems; means, and
medians of the first reward).

What was seen before the table was made: BAMCP's exploration was set on a bandit and the two-state chain, looked at in
four settings on 64 problems of the chain, and BFS3's sizes in three on 24, some of which are among the table's; all
differed by no more than chance. A first table was of 100 problems, which are among these. The rows of both were run
again after ties between actions had come to be broken at random: before, BAMCP returned .004 on the grid, and all six
intervals overlapped (BFS3 on the double loop: 2.67 to 2.97).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.statements import mean_interval, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study, find_part

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["PUBLISHED", "STUDIES", "returns_table"]

DISCOUNT, STEPS, REPLICATES, TIMED = 0.95, 250, 200, 8

PUBLISHED: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "generalised-chain-5-3": {
        "BEB 2.5": (37.5, 42.7),
        "BFS3": (32.2, 35.7),
        "BAMCP 100": (32.4, 36.5),
        "BAMCP 500": (32.4, 36.5),
        "optimum": (67.5, 78.0),
    },
    "generalised-double-loop": {
        "BEB 2.5": (2.85, 3.04),
        "BFS3": (2.49, 2.74),
        "BAMCP 100": (2.90, 3.10),
        "BAMCP 500": (2.90, 3.10),
        "optimum": (3.38, 3.63),
    },
}
"""Their 95% intervals under the exact prior, by the problem's name; the grid's are not at hand."""

AGENTS: Mapping[str, AgentSpec] = {
    "BEB 2.5": AgentSpec("beb", {"scale": 2.5}),
    "BFS3": AgentSpec("bfs3", {"trials": 50, "branching": 5, "depth": 15}),
    "BAMCP 100": AgentSpec("bamcp", {"simulations": 100, "depth": 25}),
    "BAMCP 500": AgentSpec("bamcp", {"simulations": 500, "depth": 25}),
    "PSRL": AgentSpec("psrl"),
    "BOSS": AgentSpec("boss"),
    "TSEB 0.5": AgentSpec("tseb", {"reward_weight": 0.5}),
    "BRMDP 0.5": AgentSpec("brmdp", {"level": 0.5}),
    "BRMDP 0.8": AgentSpec("brmdp", {"level": 0.8}),
    "AQ-BRMDP": AgentSpec("aq_brmdp"),
    "MBIE-EB": AgentSpec("mbie_eb"),
    "variance bonus": AgentSpec("variance_bonus"),
}

PROBLEMS = {
    "chain": "generalised_chain",
    "double-loop": "generalised_double_loop",
    "grid": "generalised_grid",
}
"""The environment of each cell."""

SLOW = {"grid": ("BAMCP 500",)}
"""What a cell is too large for."""


def _cell(name: str, environment: str) -> Study:
    return Study(
        title=f"Castronovo et al. (2016): {name.replace('-', ' ')}, exact prior",
        environment=environment,
        # On a successor table one count a next state is the exact prior.
        prior="dirichlet_transitions",
        prior_options={"concentration": 1.0},
        agents={agent: spec for agent, spec in AGENTS.items() if agent not in SLOW.get(name, ())},
        steps=STEPS,
        replicates=REPLICATES,
        bayes=True,
        note="the sizes of BAMCP's and BFS3's searches are ours",
    )


STUDIES: Mapping[str, Study] = {name: _cell(name, environment) for name, environment in PROBLEMS.items()}


def discounted_returns(result: xr.DataTree) -> pd.DataFrame:
    """Return the discounted return of each agent [agent, replicate].

    Parameters
    ----------
    result : DataTree
        From a study's `run`, with every step recorded.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> reward = xr.DataArray(np.ones((1, 2, 3)), {"agent": ["A"]}, ("agent", "replicate", "step"))
    >>> discounted_returns(xr.DataTree(xr.Dataset({"reward": reward}))).round(4).values.tolist()
    [[2.8525, 2.8525]]
    """
    import numpy as np
    import pandas as pd

    reward = result.to_dataset()["reward"].transpose("agent", "replicate", "step")
    total = reward.values @ DISCOUNT ** np.arange(reward.sizes["step"])
    return pd.DataFrame(total, index=list(map(str, reward["agent"].values)))


def returns_table(result: xr.DataTree, timed: xr.DataTree | None = None) -> pd.DataFrame:
    """Tabulate each agent's return, its time a step, and what the paper has for it.

    Parameters
    ----------
    result : DataTree
    timed : DataTree, optional
        Of a run of the same agents, whose times are told.

    Returns
    -------
    DataFrame
        One row an agent, and one for the optimum over 500 problems of the prior: ``return``, ``lower``, ``upper``,
        ``milliseconds`` a step (the median over problems of `timed`), ``published_lower``, ``published_upper``, and
        ``overlap``.
    """
    import numpy as np
    import pandas as pd

    name = str(result.attrs["mdp"])
    known = PUBLISHED.get(name, {})
    seconds = {}
    if timed is not None:
        median = timed["timing"].to_dataset()["seconds"].median("replicate")
        seconds = dict(zip(map(str, median["agent"].values), median.values.tolist(), strict=True))
    samples = {agent: sample.to_numpy() for agent, sample in discounted_returns(result).iterrows()}
    samples["optimum"] = _optima(PROBLEMS[_cell_of(result)])
    rows = {}
    for agent, sample in samples.items():
        figures = dict(zip(("return", "lower", "upper"), mean_interval(sample), strict=True))
        low, high = known.get(str(agent), (np.nan, np.nan))
        overlap = "" if np.isnan(low) else "yes" if figures["lower"] <= high and low <= figures["upper"] else "no"
        rows[agent] = figures | {
            "problems": len(sample),
            "milliseconds": 1e3 * seconds.get(str(agent), np.nan) / STEPS,
            "published_lower": low,
            "published_upper": high,
            "overlap": overlap,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("agent")


def _optima(environment: str, problems: int = 500) -> Any:
    """Return the best value at the start of problems of the prior."""
    import numpy as np

    from bayesmdp.planning import solve

    make = find_part("environments", environment)
    return np.array([float(solve(make(seed=seed))["value"][0]) for seed in range(problems)])


def _cell_of(result: xr.DataTree) -> str:
    """The cell that a result is of."""
    return next(cell for cell in PROBLEMS if cell in str(result.attrs["mdp"]))


def _timed_table(result: xr.DataTree) -> pd.DataFrame:
    """The table with the times of a run on one thread, which others do not slow down."""
    return returns_table(result, STUDIES[_cell_of(result)].run(replicates=TIMED, workers=1))


main = tables_of_cells("bbrl", STUDIES, {"bbrl": (_timed_table, 3)})
