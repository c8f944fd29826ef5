"""When is an adaptive level better than a tuned constant one? A study declared before it was run.

Song, Wang and Zhou (2026) compare AQ-BRMDP with constant levels up to one half. Here are those above, up to .95, beside
AQ-BRMDP taken apart: its time factor (lambda_k = C / sqrt(k), or lambda = .2 throughout), its visit factor (kappa .25
as a mixture, or none) and its floor (.1 or .5), all eight combinations. Without either factor the agent is the constant
level .8. Two quicker schedules, C = .5 and C = .25, stand beside them.

Eight problems: RiverSwim-6 at discount .95 under Dirichlet(1/S) and Dirichlet(1), and at .99; RiverSwim-10; the lakes
of section 5.2 and of Table EC.1; Chain; and a queue of up to ten packets. ICU-Sepsis is not among them: a plan there
draws hundreds of millions of Gamma variables, and a run has hundreds of plans. A ninth cell, declared after the others
were run, is the first with mean rewards unknown too: Normal(0, 1), seen with noise .1.

In each problem all agents run 64 replicates of 5,000 steps on common random numbers. The constant level, and the
adaptive agent, that are best on the replicates of even number are judged on those of odd number, so that no choice
flatters itself. Four replicates of five problems had been looked at, to see what a run costs, when this was declared.

``make study STUDIES=levels`` runs every cell that ``results/`` does not hold, and writes one row an agent to
``levels_regret.csv`` and one a statement to ``levels.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.statements import best_on_even, final_regret, regret_table, statement_table, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims"]

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
TIME = {"time": {"scale": 1.0}, "": {"scale": 0.2, "decay": 0.0}}
VISITS = {"visits": {"sensitivity": 0.25}, "": {"sensitivity": 0.0}}
FLOORS = (0.1, 0.5)
CONSTANT, ADAPTIVE, DEFAULT = "level", "AQ", "AQ time visits floor .1"


def _agents() -> Mapping[str, AgentSpec]:
    agents = {"PSRL": AgentSpec("psrl")}
    agents |= {f"{CONSTANT} {level:g}": AgentSpec("brmdp", {"level": level}) for level in LEVELS}
    for (time, of_time), (visits, of_visits), floor in product(TIME.items(), VISITS.items(), FLOORS):
        if time or visits:
            name = " ".join(filter(None, (ADAPTIVE, time, visits, f"floor .{10 * floor:g}")))
            agents[name] = AgentSpec("aq_brmdp", {**of_time, **of_visits, "floor": floor})
    for scale in (0.25, 0.5):
        agents[f"{ADAPTIVE} C={scale:g}"] = AgentSpec("aq_brmdp", {"scale": scale, "sensitivity": 0.25})
    return agents


def _cell(environment: str, concentration: float, *, rewards: bool = False, **options: Any) -> Study:
    about = ", ".join(f"{name} {option}" for name, option in options.items())
    unknown = {"scale": 1.0, "noise": 0.1} if rewards else {}
    return Study(
        title=f"levels above one half on {environment.replace('_', ' ')} ({about}), Dirichlet({concentration:.2g})"
        + (", rewards unknown" if rewards else ""),
        environment=environment,
        environment_options=options,
        prior="dirichlet_transitions",
        prior_options={"concentration": concentration},
        agents=_agents(),
        note="declared before it was run",
        reward_prior="normal_rewards" if rewards else None,
        reward_options=unknown,
    )


STUDIES: Mapping[str, Study] = {
    "river": _cell("riverswim", 1 / 6, num_states=6, discount=0.95),
    "river-uniform": _cell("riverswim", 1.0, num_states=6, discount=0.95),
    "river-patient": _cell("riverswim", 1 / 6, num_states=6, discount=0.99),
    "long-river": _cell("riverswim", 1 / 10, num_states=10, discount=0.95),
    "lake": _cell("risky_lake", 1 / 16, failure=None, discount=0.95),
    "risky-lake": _cell("risky_lake", 1 / 16, failure=0.7, slip=0.1, discount=0.95),
    "chain": _cell("chain", 1 / 5, discount=0.95),
    "queue": _cell("queue", 1 / 3, capacity=10, discount=0.95),
    "river-rewards": _cell("riverswim", 1 / 6, rewards=True, num_states=6, discount=0.95),
}


def claims(result: xr.DataTree) -> pd.DataFrame:
    """The statements about one problem, each with a 95% interval over the paired replicates of odd number.

    Parameters
    ----------
    result : DataTree
        From a study's `run`, with all its agents.

    Returns
    -------
    DataFrame
        One row a statement: ``figure``, ``lower``, ``upper``, ``threshold``, ``holds`` (yes, no, or open), and
        ``chosen``, the agents that were best on the replicates of even number.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> regret = np.arange(len(STUDIES["river"].agents) * 8.0).reshape(-1, 8, 1)
    >>> data = xr.Dataset(
    ...     {"regret": (("agent", "replicate", "step"), regret)}, {"agent": list(STUDIES["river"].agents)}
    ... )
    >>> claims(xr.DataTree(data))["chosen"].iloc[0]
    'level 0.5, AQ time visits floor .1'
    """
    regret = final_regret(result)
    constant, adaptive = best_on_even(regret, CONSTANT), best_on_even(regret, ADAPTIVE)
    judged = regret.iloc[:, 1::2]
    pairs = {
        "the adaptive agent's regret is below the constant level's by": (constant, adaptive),
        "AQ-BRMDP as the paper has it is below the constant level by": (constant, DEFAULT),
        "AQ-BRMDP as the paper has it is below level 0.5 by": ("level 0.5", DEFAULT),
        "the visit factor saves, beside the time factor": ("AQ time floor .1", DEFAULT),
        "the visit factor saves, with no time factor": ("level 0.8", "AQ visits floor .1"),
        "the time factor saves, beside the visit factor": ("AQ visits floor .1", DEFAULT),
        "the time factor saves, with no visit factor": ("level 0.8", "AQ time floor .1"),
        "a floor of .5 saves": (DEFAULT, "AQ time visits floor .5"),
        "the constant level is below PSRL by": ("PSRL", constant),
        "AQ-BRMDP as the paper has it is below PSRL by": ("PSRL", DEFAULT),
    }
    samples = {
        statement: ((judged.loc[more] - judged.loc[less]).to_numpy(), 0.0) for statement, (more, less) in pairs.items()
    }
    return statement_table(samples).assign(chosen=f"{constant}, {adaptive}")


main = tables_of_cells("levels", STUDIES, {"levels": (claims, 4), "levels_regret": (regret_table, 2)})
