"""What an inexact prior costs on the benchmark of Castronovo et al. (2016). Declared before it was run.

Their second question: the problems are those of the study ``bbrl``, and the learners' prior is not the distribution
that these are drawn from. *Inexact*, as theirs, has one count for every next state and knows nothing of which can be
reached; *exact* has the counts of the distribution, on the same dense problem, so that both stand beside each other on
common random numbers. 200 problems of 250 steps each, the return discounted at .95.

- ``chain``: the generalised chain, in which a pair leads to two of five states; ``double-loop``: the generalised double
  loop, to two of nine; ``grid``: to up to three of 25, without BFS3, which finds little there (study ``bbrl``) at the
  highest cost.

Expected: all agents lose, the more the more states there are; agents with a bonus (BEB, the variance bonus), which try
each pair some times whatever they believe, lose less than posterior sampling. This is the second declaration. The first
was of 100 problems, without the grid and without BFS3 and BAMCP, which were added, and BEB and the variance bonus took
the moments of the exact prior from 200 draws of it; they are in closed form now. What was seen in it is below.

What came out: nothing that was expected. That the exact prior returns more is shown for no agent in either problem; the
differences are at most 3.3 (-.9 to 7.5) of 43 on the chain and .11 (-.04 to .25) of 2.9 on the double loop, and for BEB
on the double loop the inexact prior is ahead by .13 (.004 to .26). Nor is it shown that a bonus is better with it than
posterior sampling. A row of one count a state is soon unlearned: after three tries of a pair that leads to two of five
states 3/8 of its mean is still elsewhere, and a return discounted at .95 asks for little more precision than that. What
can be reached is worth much where leaps must be ruled out for long plans, as on RiverSwim (study ``structure-agents``),
and little here. BEB and the variance bonus return less with *exact* on the double loop than in ``bbrl`` (2.67 and 2.82;
there 3.02 and 3.07), where problems stand on a table of successors: there a pair that leads to one state for certain
has two outcomes that both do, and a bonus as any other, here it is known and has none, and a bonus on the way round the
loop is worth having. Held against that form, the inexact prior costs BEB .22 and the variance bonus .25 (unpaired).

``make study STUDIES=bbrl_inexact`` runs what ``results/`` does not hold, two minutes of one core, and writes
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
