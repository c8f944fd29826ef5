"""What a good prior is worth: agents that know how a problem is built, beside the same agents that do not.

Declared before it was run. The *rows* prior knows nothing but which states there are: each row of the kernel is a
Dirichlet of its own. The *structured* one knows what the problem is made of and not the numbers: a river's current
(:func:`~bayesmdp.models.river_current`, exact), how often ice slips (:func:`~bayesmdp.models.tied_moves`), a queue's
rates (:func:`~bayesmdp.models.queue_rates`), the last two by particles. Agents of a cell share random numbers.

- ``river``: RiverSwim-6; ``lake``: FrozenLake 4x4; ``queue``: Queue with room for 20. Discount .95, 2,000 steps, 32
  replicates; PSRL, a fixed level .3, AQ-BRMDP and TSEB under both priors.

``make study STUDIES=structure`` runs every cell that ``results/`` does not hold and writes ``structure.csv`` and
``structure_curves.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.statements import finished_cells, mean_interval
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "worth_table"]

ALGORITHMS: Mapping[str, AgentSpec] = {
    "PSRL": AgentSpec("psrl"),
    "BRMDP-0.3": AgentSpec("brmdp", {"level": 0.3}),
    "AQ-BRMDP": AgentSpec("aq_brmdp"),
    "TSEB": AgentSpec("tseb", {"reward_weight": 0.9}),
}


def _ice() -> Mapping[str, Any]:
    from bayesmdp.environments import slips

    return {"leads_to": slips(), "pattern": ((0.5, 0.0, 0.5), (0.0, 1.0, 0.0))}


def _cell(title: str, prior: str, options: Any = None, **of: Any) -> Study:
    structured = {
        f"{name}, structured": AgentSpec(spec.algorithm, spec.options, prior, options or {})
        for name, spec in ALGORITHMS.items()
    }
    return Study(
        title=title,
        prior="dirichlet_transitions",
        agents={**ALGORITHMS, **structured},
        steps=2_000,
        thin=20,
        replicates=32,
        **of,
    )


STUDIES: Mapping[str, Study] = {
    "river": _cell(
        "what knowing that a river has one current is worth",
        "river_current",
        environment="riverswim",
        environment_options={"num_states": 6, "discount": 0.95},
        prior_options={"concentration": 1 / 6},
    ),
    "lake": _cell(
        "what knowing that ice slips alike everywhere is worth",
        "tied_moves",
        _ice,
        environment="frozen_lake",
        environment_options={"discount": 0.95},
        prior_options={"concentration": 1 / 16},
    ),
    "queue": _cell(
        "what knowing that a queue has two rates is worth",
        "queue_rates",
        environment="queue",
        environment_options={"capacity": 20, "discount": 0.95},
        prior_options={"concentration": 1 / 3},
    ),
}


def worth_table(result: xr.DataTree) -> pd.DataFrame:
    """Total regret of each algorithm under both priors, and their paired difference, with 95% intervals."""
    import pandas as pd

    regret = result.to_dataset()["regret"].sum("step")
    rows = {}
    for name in ALGORITHMS:
        without, structured = regret.sel(agent=name), regret.sel(agent=f"{name}, structured")
        row: dict[str, float] = {}
        for what, sample in (("rows", without), ("structured", structured), ("saved", without - structured)):
            row |= dict(zip((what, f"{what}_lower", f"{what}_upper"), mean_interval(sample), strict=True))
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("agent")


def main(folder: str = "results", tables: str = "results") -> None:
    """Run the cells that `folder` does not hold yet, and write the tables to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the tables, written as CSV.
    """
    from pathlib import Path

    import pandas as pd

    worth = []
    curves: dict[str, Any] = {}
    for cell, result in finished_cells("structure", STUDIES, folder):
        worth.append(worth_table(result).reset_index().assign(cell=cell))
        curves[cell] = result.to_dataset()["regret"].cumsum("step").mean("replicate").to_pandas().T
    place = Path(tables)
    pd.concat(worth).set_index(["cell", "agent"]).round(2).to_csv(place / "structure.csv")
    pd.concat(curves, names=["cell"]).round(2).to_csv(place / "structure_curves.csv")
