"""Where do the statements of Song, Wang and Zhou (2026), section 5.2, hold? A study declared before it was run.

The risky lake (:mod:`bayesmdp.environments.risky_lake`) with slip 1/3 and .1 and a shortcut that fails with probability
.7 and .9, a hole's exit .05, under Dirichlet(1/S) and Dirichlet(1) at discount .95 and .99. Five more cells, all at
slip .1 and Dirichlet(1/S), have an exit of .01 and .2, the shortcut in cell 4 in place of 6, and 20,000 steps in place
of 5,000. In each cell the paper's five agents (AQ-BRMDP with C = 1, kappa = .25, 200 fresh draws) run 64 replicates on
common random numbers, and their robust regret and, at 20 checkpoints, their posterior .1-quantile value are measured on
100 draws. None of these numbers is recoverable from the paper's text. At slip 1/3 the shortcut that fails with
probability .7 is part of the best policy, which speaks against that pair of numbers being the paper's; in the other
three combinations it is not.

``kappa`` is their sensitivity analysis (EC.7.6, Table EC.1): the schedule's kappa on the standard lake, which has no
shortcut, at slip 1/3, discount .95 and Dirichlet(1/S), for the visit factor as a mixture and as a power.

:func:`main` runs every cell, keeps its results in ``results/`` and writes one row a statement to ``risky_lake.csv``,
one an agent to ``risky_lake_regret.csv``, and the sensitivity to ``risky_lake_kappa.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.aq_brmdp import paper_agents
from bayesmdp.studies.statements import finished_cells, interval_table, mean_interval, ratio_interval, statement_table
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims", "sensitivity"]

PRIORS = {"sparse": ("1/S", 1 / 16), "uniform": ("1", 1.0)}
SENSITIVITIES = (0.1, 0.25, 0.5, 0.75, 1.0)
ADAPTIVE, FIXED = "AQ-BRMDP", ("BRMDP-0.1", "BRMDP-0.3", "BRMDP-0.5")
COMMON: Mapping[str, Any] = {
    "environment": "risky_lake",
    "prior": "dirichlet_transitions",
    "replicates": 64,
    "note": "declared before it was run",
}


def _cell(slip: float, failure: float, prior: str, discount: float, steps: int = 5_000, **lake: float) -> Study:
    told, concentration = PRIORS[prior]
    lake = {"exit": 0.05, **lake}
    about = ", ".join(f"{name} {option:g}" for name, option in lake.items())
    return Study(
        title=f"section 5.2: slip {slip:.2g}, failure {failure:g}, {about}, discount {discount:g}, Dirichlet({told})"
        + (f", {steps} steps" if steps != 5_000 else ""),
        environment_options={"failure": failure, "slip": slip, "discount": discount, **lake},
        prior_options={"concentration": concentration},
        agents=paper_agents(scale=1.0, sensitivity=0.25),
        robust={"level": 0.1, "draw_scale": 34.0},
        steps=steps,
        thin=steps // 5_000,
        checkpoint_every=steps // 20,
        **COMMON,
    )


CELLS: dict[str, Study] = {
    f"{slip:.2g}-{failure:g}-{prior}-{discount:g}": _cell(slip, failure, prior, discount)
    for (prior, discount), slip, failure in product(
        (("uniform", 0.95), ("sparse", 0.95), ("uniform", 0.99), ("sparse", 0.99)), (1 / 3, 0.1), (0.7, 0.9)
    )
}
CELLS |= {f"0.1-0.7-sparse-0.99-exit-{exit:g}": _cell(0.1, 0.7, "sparse", 0.99, exit=exit) for exit in (0.01, 0.2)}
CELLS |= {
    f"0.1-{failure:g}-sparse-0.95-cell-4": _cell(0.1, failure, "sparse", 0.95, shortcut=4) for failure in (0.7, 0.9)
}
CELLS["0.1-0.7-sparse-0.99-long"] = _cell(0.1, 0.7, "sparse", 0.99, steps=20_000)

KAPPA = Study(
    title="Table EC.1: the schedule's sensitivity kappa on the lake without the shortcut",
    environment_options={"failure": None, "discount": 0.95},
    prior_options={"concentration": 1 / 16},
    agents={"PSRL": AgentSpec("psrl")}
    | {
        f"AQ k={kappa:g}{'' if factor == 'mixture' else ' power'}": AgentSpec(
            "aq_brmdp", {"scale": 1.0, "sensitivity": kappa, "visit_factor": factor}
        )
        for factor, kappa in product(("mixture", "power"), SENSITIVITIES)
    },
    **COMMON,
)

STUDIES: Mapping[str, Study] = {**CELLS, "kappa": KAPPA}


def claims(result: xr.DataTree) -> pd.DataFrame:
    """The statements of section 5.2 as figures of one cell, each with a 95% interval over paired replicates.

    Parameters
    ----------
    result : DataTree
        With the paper's five agents, robust regret and posterior quantile values.

    Returns
    -------
    DataFrame
        One row a statement: ``figure``, ``lower``, ``upper``, ``threshold``, and ``holds`` (yes, no, or open).

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> ones = np.ones((5, 2, 3)) * np.arange(5)[:, None, None]
    >>> data = {name: (("agent", "replicate", "step"), ones) for name in ("regret", "robust_regret")}
    >>> data["quantile_value"] = (("agent", "replicate", "checkpoint"), ones)
    >>> result = xr.DataTree(xr.Dataset(data, {"agent": ["PSRL", *FIXED, ADAPTIVE]}))
    >>> claims(result)["holds"].value_counts().to_dict()
    {'no': 6, 'yes': 5}
    """
    data = result.to_dataset()
    agents = data["agent"].values.tolist()
    low, middle, high = FIXED
    regret, robust = ({a: data[q].sel(agent=a).sum("step").values for a in agents} for q in ("regret", "robust_regret"))
    promised = {agent: data["quantile_value"].sel(agent=agent).mean("checkpoint").values for agent in agents}
    differences = {
        "PSRL's final regret exceeds AQ's by": regret["PSRL"] - regret[ADAPTIVE],
        "PSRL's final robust regret exceeds AQ's by": robust["PSRL"] - robust[ADAPTIVE],
        **{f"PSRL's final regret exceeds {agent}'s by": regret["PSRL"] - regret[agent] for agent in FIXED},
        f"{high}'s final regret exceeds {middle}'s by": regret[high] - regret[middle],
        f"{low}'s final regret exceeds {middle}'s by": regret[low] - regret[middle],
        **{
            f"AQ's posterior quantile value, a mean over time, exceeds {agent}'s by": promised[ADAPTIVE]
            - promised[agent]
            for agent in agents
            if agent != ADAPTIVE
        },
    }
    return statement_table({statement: (sample, 0.0) for statement, sample in differences.items()})


def sensitivity(result: xr.DataTree) -> pd.DataFrame:
    """Table EC.1: final regret, and its reduction as a share of PSRL's, with 95% intervals over paired replicates.

    Parameters
    ----------
    result : DataTree
        With PSRL and any others.

    Returns
    -------
    DataFrame
        One row an agent: ``regret``, ``regret_lower``, ``regret_upper``, ``reduction``, ``reduction_lower``,
        ``reduction_upper``.

    Examples
    --------
    >>> import xarray as xr
    >>> regret = (("agent", "replicate", "step"), [[[4.0], [4.0]], [[3.0], [3.0]]])
    >>> result = xr.DataTree(xr.Dataset({"regret": regret}, {"agent": ["PSRL", "AQ k=0.25"]}))
    >>> sensitivity(result).loc["AQ k=0.25", ["regret", "reduction"]].to_dict()
    {'regret': 3.0, 'reduction': 0.25}
    """
    import numpy as np
    import pandas as pd

    data = result.to_dataset()
    regret = {agent: data["regret"].sel(agent=agent).sum("step").values for agent in data["agent"].values.tolist()}
    rows = {}
    for agent, sample in regret.items():
        reduction: tuple[float, ...] = (np.nan,) * 3
        if agent != "PSRL":
            ratio, lower, upper = ratio_interval(sample, regret["PSRL"])
            reduction = 1 - ratio, 1 - upper, 1 - lower
        rows[agent] = (*mean_interval(sample), *reduction)
    columns = [f"{name}{bound}" for name in ("regret", "reduction") for bound in ("", "_lower", "_upper")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("agent")


def summary(result: xr.DataTree) -> pd.DataFrame:
    """One row an agent: final regret and robust regret, and the mean over time of the posterior quantile value."""
    rows = {}
    for agent in result.to_dataset()["agent"].values.tolist():
        data = result.to_dataset().sel(agent=agent)
        rows[agent] = {
            "regret": data["regret"].sum("step"),
            "robust_regret": data["robust_regret"].sum("step"),
            "quantile_value": data["quantile_value"].mean("checkpoint"),
        }
    return interval_table(rows).rename_axis("agent")


def main(folder: str = "results", tables: str = "results") -> None:
    """Run every cell that `folder` does not hold yet, and write the three tables to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the tables, written as CSV.
    """
    from pathlib import Path

    import pandas as pd

    statements, figures = [], []
    place: Path = Path(tables)
    for _, result in finished_cells("risky-lake", {"kappa": KAPPA}, folder):
        sensitivity(result).round(4).to_csv(place / "risky_lake_kappa.csv")
    for cell, result in finished_cells("risky-lake", CELLS, folder):
        statements.append(claims(result).assign(cell=cell))
        figures.append(summary(result).reset_index().assign(cell=cell))
        pd.concat(statements).set_index("cell").round(4).to_csv(place / "risky_lake.csv")
        pd.concat(figures).set_index(["cell", "agent"]).round(4).to_csv(place / "risky_lake_regret.csv")
