"""What an inexact prior costs on the benchmark of Castronovo et al. (2016). Declared before it was run.

Their second question: the problems are those of the study ``bbrl``, and the learners' prior is not the distribution
that these are drawn from. *Inexact*, as theirs, has one count for every next state and knows nothing of which can be
reached; *exact* has the counts of the distribution, on the same dense problem, so that both stand beside each other on
common random numbers. 100 problems of 250 steps each, the return discounted at .95.

- ``chain``: the generalised chain, in which a pair leads to two of five states; ``double-loop``: the generalised double
  loop, to two of nine. Not the grid, and not BAMCP and BFS3, for want of processor time: their intervals under an
  inexact prior are not at hand either.

Expected: all agents lose, the more the more states there are; agents with a bonus (BEB, the variance bonus), which try
each pair some times whatever they believe, lose less than posterior sampling.

``make study STUDIES=bbrl_inexact`` runs what ``results/`` does not hold, two minutes of one core, and writes
``bbrl_inexact.csv``, a row an agent and prior, and ``bbrl_inexact_statements.csv``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.bbrl import AGENTS, PROBLEMS, STEPS, discounted_returns
from bayesmdp.studies.statements import interval_table, statement_table, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study, find_part

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims", "returns_by_prior"]

NAMES = ("BEB 2.5", "PSRL", "TSEB 0.5", "AQ-BRMDP", "variance bonus")


def _counts(environment: str) -> Callable[[], Mapping[str, Any]]:
    """Options of `sparse_dirichlet`: the counts of the distribution, 1 for each next state that can be reached."""

    def made() -> Mapping[str, Any]:
        mdp = find_part("environments", environment)(dense=True)
        return {"concentration": (mdp.transition > 0).astype(float)}

    return made


def _cell(name: str) -> Study:
    environment = PROBLEMS[name]
    exact = {
        f"{agent}, exact": AgentSpec(
            AGENTS[agent].algorithm, AGENTS[agent].options, "sparse_dirichlet", _counts(environment)
        )
        for agent in NAMES
    }
    return Study(
        title=f"Castronovo et al. (2016): {name.replace('-', ' ')}, inexact prior beside the exact one",
        environment=environment,
        environment_options={"dense": True},
        prior="dirichlet_transitions",
        prior_options={"concentration": 1.0},
        truth="sparse_dirichlet",
        truth_options=_counts(environment),
        agents={**exact, **{f"{agent}, inexact": AGENTS[agent] for agent in NAMES}},
        steps=STEPS,
        replicates=100,
        note="declared before it was run",
    )


STUDIES: Mapping[str, Study] = {name: _cell(name) for name in ("chain", "double-loop")}


def returns_by_prior(result: xr.DataTree) -> pd.DataFrame:
    """Return one row an agent and prior: the discounted return with its 95% interval over problems."""
    returns = discounted_returns(result)
    return interval_table({agent: {"return": sample} for agent, sample in returns.iterrows()}).rename_axis("agent")


def claims(result: xr.DataTree) -> pd.DataFrame:
    """The statements about one cell, each with a 95% interval over paired problems.

    Parameters
    ----------
    result : DataTree

    Returns
    -------
    DataFrame
        As `statement_table` has it.
    """
    returns = discounted_returns(result)
    lost = {name: returns.loc[f"{name}, exact"] - returns.loc[f"{name}, inexact"] for name in NAMES}
    told = {f"{name}: the exact prior returns more than the inexact one by": (lost[name], 0.0) for name in NAMES}
    for name in ("BEB 2.5", "variance bonus"):
        told[f"{name} loses less by the inexact prior than posterior sampling, by"] = lost["PSRL"] - lost[name], 0.0
    return statement_table(told)


main = tables_of_cells(
    "bbrl-inexact", STUDIES, {"bbrl_inexact": (returns_by_prior, 3), "bbrl_inexact_statements": (claims, 3)}
)
