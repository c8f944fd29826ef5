"""How fast do both Bayes regrets of AQ-BRMDP grow (Song, Wang and Zhou 2026, Theorem 2)? Declared before it was run.

Theorem 2 bounds the Bayes regret of T steps by the order of sqrt(T), and the robust regret with it, for AQ-BRMDP whose
lambda_k = C / sqrt(k): what a larger C costs in exploration it gains in robustness. Here each replicate's true kernel
is drawn from the prior, on RiverSwim-6's rewards at discount .95 under Dirichlet(1/S) and Dirichlet(1). PSRL and
AQ-BRMDP with C = 1/4, 1 and 4, kappa = .25 and 200 fresh draws run 64 replicates of 100,000 steps on common random
numbers.

The exponent over a decade is log10 R(10 T) / R(T), R the mean over replicates: .5 for growth like sqrt(T), 1 for linear
growth, 0 where nothing is lost any more. A bound is kept by any exponent up to .5 in the long run; it says nothing of
10,000 steps.

``make study STUDIES=regret_growth`` runs both cells and writes one row a regret, agent and decade to
``regret_growth.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from bayesmdp.studies.statements import mean_interval, ratio_interval, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "exponents"]

SCALES = (0.25, 1.0, 4.0)
DECADES = (1_000, 10_000, 100_000)
PRIORS = {"sparse": 1 / 6, "uniform": 1.0}


def _agents() -> Mapping[str, AgentSpec]:
    agents = {"PSRL": AgentSpec("psrl")}
    for scale in SCALES:
        agents[f"AQ C={scale:g}"] = AgentSpec("aq_brmdp", {"scale": scale, "sensitivity": 0.25})
    return agents


STUDIES: Mapping[str, Study] = {
    name: Study(
        title=f"Theorem 2: how both Bayes regrets grow, RiverSwim-6's rewards, Dirichlet({concentration:.2g})",
        environment="riverswim",
        environment_options={"num_states": 6, "discount": 0.95},
        prior="dirichlet_transitions",
        prior_options={"concentration": concentration},
        agents=_agents(),
        bayes=True,
        robust={"level": 0.1, "draw_scale": 34.0},
        steps=DECADES[-1],
        thin=100,
        note="declared before it was run",
    )
    for name, concentration in PRIORS.items()
}


def exponents(result: xr.DataTree) -> pd.DataFrame:
    """The growth of both regrets over each decade of steps, with 95% intervals over replicates by the delta method.

    Parameters
    ----------
    result : DataTree
        With ``regret`` and ``robust_regret``, in windows that end at the decades.

    Returns
    -------
    DataFrame
        One row a regret, agent and decade: ``steps`` at its end, ``total`` so far with ``total_lower`` and
        ``total_upper``, and ``exponent`` with its bounds.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> steps = np.arange(100, 100_001, 100)
    >>> growth = np.diff(np.sqrt(steps), prepend=0)[None, None] * np.array([[1.0], [3.0]])
    >>> both = {name: (("agent", "replicate", "step"), growth) for name in ("regret", "robust_regret")}
    >>> exponents(xr.DataTree(xr.Dataset(both, {"agent": ["A"], "step": steps})))["exponent"].round(3).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    import numpy as np
    import pandas as pd

    rows = []
    for name in ("regret", "robust_regret"):
        total = result[name].cumsum("step").assign_coords(step=result["step"])
        for agent in map(str, total["agent"].values):
            at = {steps: total.sel(agent=agent, step=steps).values for steps in DECADES}
            for before, steps in pairwise(DECADES):
                growth = np.log10(ratio_interval(at[steps], at[before]))
                rows.append((name, agent, steps, *mean_interval(at[steps]), *growth))
    bounds = [f"{figure}{bound}" for figure in ("total", "exponent") for bound in ("", "_lower", "_upper")]
    return pd.DataFrame(rows, columns=["regret", "agent", "steps", *bounds])


main = tables_of_cells("regret-growth", STUDIES, {"regret_growth": (exponents, 4)})
