"""What an inexact prior costs on the benchmark of Castronovo et al. (2016). Declared before it was run.

Their second question: the problems are those of the study ``bbrl``, and the learners' prior is not the distribution
that these are drawn from. *Inexact*, as theirs, has one count for every next state and knows nothing of which can be
reached; *exact* has the counts of the distribution, on the same dense problem, so that both stand beside each other on
common random numbers. 200 problems of 250 steps each, the return discounted at .95.

- ``chain``: the generalised chain, in which a pair leads to two of five states; ``double-loop``: the generalised double
  loop, to one or two of nine; ``grid``: to one or two of 25, without BFS3, which finds little there (study ``bbrl``) at
  the highest cost.

Expected: all agents lose, the more the more states there are; agents with a bonus (BEB, the variance bonus), which try
each pair some times whatever they believe, lose less than posterior sampling. This is the second declaration. The first
was of 100 problems, without the grid and without BFS3 and BAMCP, which were added, and BEB and the variance bonus took
the moments of the exact prior from 200 draws of it; they are in closed form now. What was seen in it is below.

What came out. On the grid the exact prior is worth nearly everything: 4.2 to 5.8 of the return to the five agents, who
are left with .03 to .26, and 2.2 to BAMCP, which is left with .4. A row of one count a state expects 23 of 25 steps to
lead where none can, and 250 steps do not unlearn 100 such rows; the reward lies sixteen steps away. The first
declaration, without the grid, had found no agent to lose. On the chain BEB, the variance bonus and BAMCP surely lose,
2.5 to 3.1 of 35 to 43 (the paired intervals begin at .5 to 1.3); of the other four it is open. On the double loop only
BAMCP does, .11 (.01 to .21) of 3.0, and BEB is ahead by .07 (.006 to .13) with the inexact prior. So it was right that
more is lost where there are more states, but not that it goes with their number alone: on the double loop, with nine,
what a pair leads to is seen at once. That a bonus loses less than posterior sampling is nowhere shown, and on the grid
the variance bonus loses more, having more to lose.

BEB and the variance bonus return less with *exact* on the double loop than in ``bbrl`` (2.78 and 2.83; there 3.00 and
3.05), where problems stand on a table of successors: there a pair that leads to one state for certain has two outcomes
that both do, and a bonus as any other, here it is known and has none, and a bonus on the way round the loop is worth
having.

``make study STUDIES=bbrl_inexact`` runs what ``results/`` does not hold, half an hour of one core, and writes
``bbrl_inexact.csv``, a row an agent and prior, and ``bbrl_inexact_statements.csv``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.bbrl import AGENTS, PROBLEMS, REPLICATES, STEPS, discounted_returns
from bayesmdp.studies.statements import interval_table, statement_table, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study, find_part

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims", "returns_by_prior"]

NAMES = ("BEB 2.5", "PSRL", "TSEB 0.5", "AQ-BRMDP", "variance bonus", "BFS3", "BAMCP 100")


def _counts(environment: str) -> Callable[[], Mapping[str, Any]]:
    """Options of `sparse_dirichlet`: the counts of the distribution, 1 for each next state that can be reached."""

    def made() -> Mapping[str, Any]:
        mdp = find_part("environments", environment)(dense=True)
        return {"concentration": (mdp.transition > 0).astype(float)}

    return made


def _cell(name: str) -> Study:
    environment = PROBLEMS[name]
    agents = [agent for agent in NAMES if (name, agent) != ("grid", "BFS3")]
    exact = {
        f"{agent}, exact": AgentSpec(
            AGENTS[agent].algorithm, AGENTS[agent].options, "sparse_dirichlet", _counts(environment)
        )
        for agent in agents
    }
    return Study(
        title=f"Castronovo et al. (2016): {name.replace('-', ' ')}, inexact prior beside the exact one",
        environment=environment,
        environment_options={"dense": True},
        prior="dirichlet_transitions",
        prior_options={"concentration": 1.0},
        truth="sparse_dirichlet",
        truth_options=_counts(environment),
        agents={**exact, **{f"{agent}, inexact": AGENTS[agent] for agent in agents}},
        steps=STEPS,
        replicates=REPLICATES,
        note="declared before it was run",
    )


STUDIES: Mapping[str, Study] = {name: _cell(name) for name in PROBLEMS}


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
    names = [name for name in NAMES if f"{name}, exact" in returns.index]
    lost = {name: returns.loc[f"{name}, exact"] - returns.loc[f"{name}, inexact"] for name in names}
    told = {f"{name}: the exact prior returns more than the inexact one by": (lost[name], 0.0) for name in names}
    for name in ("BEB 2.5", "variance bonus"):
        told[f"{name} loses less by the inexact prior than posterior sampling, by"] = lost["PSRL"] - lost[name], 0.0
    return statement_table(told)


main = tables_of_cells(
    "bbrl-inexact", STUDIES, {"bbrl_inexact": (returns_by_prior, 3), "bbrl_inexact_statements": (claims, 3)}
)
