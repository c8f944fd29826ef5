"""What reusing posterior draws costs and saves online: an open question of Song, Wang and Zhou (2026), section 6.

BRMDP-0.5 and AQ-BRMDP (C = 1, kappa = .25), each with 200 draws that are fresh at every plan, or kept and renewed by a
share of .5, .25, .1, .05 or .02 at each plan, or kept throughout (share 0): 64 replicates of 5,000 steps on RiverSwim-6
under Dirichlet(1/S), at discount .99 (the setting of ``aq-brmdp/riverswim-6``) and .95. A further rule draws 1,000 at
every plan: where levels are near one EC.23 asks for more than 200, at which our agents stop. All agents of a cell meet
the same random numbers, so differences to fresh draws are paired. Declared before it was run.

:func:`main` runs both cells, keeps their results in ``results/`` and writes one row an agent to ``draw_reuse.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.statements import mean_interval, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "comparison"]

SHARES = (0.5, 0.25, 0.1, 0.05, 0.02)
PLANNERS = {
    "BRMDP-0.5": AgentSpec("brmdp", {"level": 0.5}),
    "AQ-BRMDP": AgentSpec("aq_brmdp", {"scale": 1.0, "sensitivity": 0.25}),
}
RULES: Mapping[str, Mapping[str, Any]] = {
    "fresh": {},
    "fresh 1000": {"num_draws": 1_000},
    **{f"share {share:g}": {"draws": "renewed", "share": share} for share in SHARES},
    "kept": {"draws": "kept"},
}


def _cell(discount: float) -> Study:
    return Study(
        title=f"reusing posterior draws on RiverSwim-6, discount {discount:g}, Dirichlet(1/S)",
        environment="riverswim",
        environment_options={"num_states": 6, "discount": discount},
        prior="dirichlet_transitions",
        prior_options={"concentration": 1 / 6},
        agents={
            f"{name} {rule}": AgentSpec(planner.algorithm, {**planner.options, **options})
            for name, planner in PLANNERS.items()
            for rule, options in RULES.items()
        },
        note="declared before it was run",
    )


STUDIES: Mapping[str, Study] = {f"{discount:g}": _cell(discount) for discount in (0.95, 0.99)}


def comparison(result: xr.DataTree) -> pd.DataFrame:
    """Final regret of each rule of drawing, and its difference to fresh draws, with 95% intervals.

    Parameters
    ----------
    result : DataTree
        With agents named "PLANNER RULE", one rule of each planner being "fresh".

    Returns
    -------
    DataFrame
        One row an agent: ``regret``, ``regret_lower``, ``regret_upper``; ``excess``, ``excess_lower``,
        ``excess_upper``, its regret less that with fresh draws in the same replicate (NaN for fresh itself); and
        ``seconds`` of a run (median; NaN where the result was read from a file).

    Examples
    --------
    >>> from bayesmdp.studies import find
    >>> study = find("draw-reuse/0.95").with_agents(["BRMDP-0.5 fresh", "BRMDP-0.5 kept"])
    >>> comparison(study.run(steps=100, replicates=2))["excess"].isna().tolist()
    [True, False]
    """
    import numpy as np
    import pandas as pd

    data = result.to_dataset()
    seconds = result["timing"].to_dataset()["seconds"].median("replicate")
    regret = {agent: data["regret"].sel(agent=agent).sum("step").values for agent in data["agent"].values.tolist()}
    rows = {}
    for agent, sample in regret.items():
        excess: tuple[float, ...] = (np.nan,) * 3
        fresh = agent.split()[0] + " fresh"
        if agent != fresh:
            excess = mean_interval(sample - regret[fresh])
        rows[agent] = *mean_interval(sample), *excess, float(seconds.sel(agent=agent))
    columns = [f"{name}{bound}" for name in ("regret", "excess") for bound in ("", "_lower", "_upper")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*columns, "seconds"]).rename_axis("agent")


main = tables_of_cells("draw-reuse", STUDIES, {"draw_reuse": (comparison, 3)})
