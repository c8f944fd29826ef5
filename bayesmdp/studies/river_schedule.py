"""Where do the statements of Song, Wang and Zhou (2026), section 5.1, hold? A study declared before it was run.

RiverSwim-6 and -10; discount .95 and .99; prior Dirichlet(1/S) and Dirichlet(1); the schedule's scale C in {.5, 1, 2,
4} and sensitivity kappa in {.1, .25, .5, 1}, with the visit factor as a mixture, and at C = 1 as a power too (the two
are one at kappa = 1); 200 draws, fresh at each plan, or (for three agents) renewed by a tenth at each plan. In each
cell all agents run 64 replicates of 5,000 steps on common random numbers, so differences are paired. The cells
``neighbours`` have the paper's five agents under a prior that knows which states are next to each other: Dirichlet(1)
on them, and 1e-9 elsewhere.
The cells ``bayes`` draw each replicate's true kernel from the prior: the Bayes regret that the paper's Theorem 2
bounds.

``make study STUDIES=river_schedule`` runs every cell (about half an hour on two cores), keeps its results in
``results/`` and writes one row a statement to ``river_schedule.csv``, one an agent to ``river_schedule_regret.csv``.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from bayesmdp.studies.statements import finished_cells, statement_table
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims"]

SCALES, SENSITIVITIES = (0.5, 1.0, 2.0, 4.0), (0.1, 0.25, 0.5, 1.0)
PRIORS = {"sparse": "1/S", "uniform": "1", "neighbours": "1 on neighbours"}


def _agents() -> dict[str, AgentSpec]:
    agents = {"PSRL": AgentSpec("psrl")}
    agents |= {f"BRMDP-{level}": AgentSpec("brmdp", {"level": level}) for level in (0.1, 0.3, 0.5)}
    for scale, sensitivity in product(SCALES, SENSITIVITIES):
        agents[f"AQ C={scale:g} k={sensitivity:g}"] = AgentSpec(
            "aq_brmdp", {"scale": scale, "sensitivity": sensitivity}
        )
    for sensitivity in SENSITIVITIES[:-1]:
        agents[f"AQ C=1 k={sensitivity:g} power"] = AgentSpec(
            "aq_brmdp", {"scale": 1.0, "sensitivity": sensitivity, "visit_factor": "power"}
        )
    for name in ("BRMDP-0.5", "AQ C=1 k=0.25", "AQ C=2 k=0.5"):
        agents[f"{name} renewed"] = AgentSpec(agents[name].algorithm, {**agents[name].options, "draws": "renewed"})
    return agents


def _concentration(num_states: int, prior: str) -> float | list[list[list[float]]]:
    """Of every next state, or of each [state, action, next_state]."""
    if prior != "neighbours":
        return 1 / num_states if prior == "sparse" else 1.0
    near = [[1.0 if abs(state - other) <= 1 else 1e-9 for other in range(num_states)] for state in range(num_states)]
    return [[row, row] for row in near]


def _cell(num_states: int, discount: float, prior: str, *, bayes: bool = False) -> Study:
    agents = _agents()
    if bayes or prior == "neighbours":
        agents = {name: spec for name, spec in agents.items() if not name.startswith("AQ") or name == "AQ C=1 k=0.25"}
    return Study(
        title=f"section 5.1: RiverSwim-{num_states}, discount {discount:g}, Dirichlet({PRIORS[prior]})"
        + (", kernels from the prior" if bayes else ""),
        environment="riverswim",
        environment_options={"num_states": num_states, "discount": discount},
        prior="dirichlet_transitions",
        prior_options={"concentration": _concentration(num_states, prior)},
        agents=agents,
        bayes=bayes,
        note="declared before it was run",
    )


STUDIES: dict[str, Study] = {
    f"{n}-{discount:g}-{prior}": _cell(n, discount, prior)
    for n, discount, prior in product((6, 10), (0.95, 0.99), ("sparse", "uniform"))
}
STUDIES |= {f"{n}-0.95-neighbours": _cell(n, 0.95, "neighbours") for n in (6, 10)}
STUDIES |= {
    f"{n}-0.95-{prior}-bayes": _cell(n, 0.95, prior, bayes=True) for n, prior in product((6, 10), ("sparse", "uniform"))
}


def claims(result: xr.DataTree, adaptive: str = "AQ-BRMDP") -> pd.DataFrame:
    """The statements of section 5.1 as figures of one cell, each with a 95% interval over paired replicates.

    Parameters
    ----------
    result : DataTree
        Of `simulate`, not thinned, with the agents PSRL, BRMDP-0.1, BRMDP-0.3, BRMDP-0.5 and `adaptive`.
    adaptive : str
        The AQ-BRMDP agent to judge.

    Returns
    -------
    DataFrame
        One row a statement: ``figure``, ``lower``, ``upper``, and ``holds`` (yes, no, or open where the interval
        reaches the threshold).

    Examples
    --------
    >>> from bayesmdp.studies import find
    >>> result = find("aq-brmdp/riverswim-6").run(steps=200, replicates=4)
    >>> claims(result).columns.tolist()
    ['statement', 'figure', 'lower', 'upper', 'threshold', 'holds']
    """
    import json

    import numpy as np

    data = result.to_dataset()
    last = len(json.loads(data.attrs["states"])) - 1
    steps = data.sizes["step"]
    state = {agent: data["state"].sel(agent=agent).values for agent in data["agent"].values.tolist()}
    regret = {agent: data["regret"].sel(agent=agent).values for agent in state}
    final = {agent: values.sum(-1) for agent, values in regret.items()}
    right = {agent: (values >= last - 1).mean(-1) for agent, values in state.items()}
    left = {agent: (values <= 1).mean(-1) for agent, values in state.items()}
    # The first step in the last state; the whole run where it was never reached.
    reached = {
        agent: np.where((values == last).any(-1), (values == last).argmax(-1), steps) for agent, values in state.items()
    }
    growth = {
        agent: values[:, steps // 2 :].sum(-1) / values[:, : steps // 2].sum(-1) for agent, values in regret.items()
    }
    low, middle, high = fixed = ("BRMDP-0.1", "BRMDP-0.3", "BRMDP-0.5")

    statements = {
        "PSRL's final regret exceeds AQ's by": (final["PSRL"] - final[adaptive], 0.0),
        "PSRL reaches the right end later than AQ by (steps)": (reached["PSRL"] - reached[adaptive], 0.0),
        "AQ's share of time in the last two states exceeds PSRL's by": (right[adaptive] - right["PSRL"], 0.0),
        f"{low}'s final regret exceeds {middle}'s by": (final[low] - final[middle], 0.0),
        f"{low}'s final regret exceeds {high}'s by": (final[low] - final[high], 0.0),
        f"{high}'s share of time in the last two states exceeds {low}'s by": (right[high] - right[low], 0.0),
    }
    statements |= {
        f"{agent}'s share of time in the first two states is above .9": (left[agent], 0.9) for agent in fixed
    }
    statements |= {
        f"{agent}'s regret in the second half is above .9 of the first half's": (growth[agent], 0.9) for agent in fixed
    }
    return statement_table(statements)


def main(folder: str = "results", tables: str = "results") -> None:
    """Run every cell that `folder` does not hold yet, and write the two tables to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the tables, written as CSV.
    """
    from pathlib import Path

    import pandas as pd

    from bayesmdp.results import analysis

    statements, regrets = [], []
    for cell, result in finished_cells("river-schedule", STUDIES, folder):
        regret = analysis.final_regret(result).to_dataframe().reset_index()
        regrets.append(regret.assign(cell=cell))
        for adaptive in STUDIES[cell].agents:
            if adaptive.startswith("AQ"):
                statements.append(claims(result, adaptive).assign(cell=cell, adaptive=adaptive))
        pd.concat(statements).set_index(["cell", "adaptive"]).round(4).to_csv(Path(tables) / "river_schedule.csv")
        pd.concat(regrets).set_index(["cell", "agent"]).round(1).to_csv(Path(tables) / "river_schedule_regret.csv")
