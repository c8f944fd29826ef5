"""Can the posterior's own spread stand in for AQ-BRMDP's C and kappa? A study declared before it was run.

`doubt_brmdp` reads its levels off the posterior, with nothing to tune: one level for all pairs ("doubt"), or a higher
one for pairs that are doubted more ("doubt, relative"). On the eight problems of the study ``levels`` with known
rewards it stands beside AQ-BRMDP at its defaults, and beside the constant level and the adaptive setting that were best
in that study on the replicates of even number, out of six and of eight. It is judged on the replicates of odd number,
which chose nothing; replicates are those of ``levels``, and all agents of a problem meet the same random numbers. 64
replicates of 3,000 steps (there 5,000), on the two lakes, which take ten times as long, 32. The rule was made up before
any of its runs was seen.

What came out: no. The relative rule is surely behind AQ-BRMDP at its defaults on the long river (by 5,613, 5,521 to
5,705) and on Chain (by 9,848, 4,558 to 15,138), ahead for sure nowhere, and cannot be told from it on the other six.
One level for all is surely ahead of AQ-BRMDP's defaults and of its best setting on the river under the uniform prior
(by 272 and 197), and surely behind them on three problems. Neither is ever surely ahead of the best constant level.
The reason can be read off the rule: doubt that is averaged over pairs falls only as pairs are tried, and who is
cautious does not try them. On the long river 18 of 20 pairs stay unvisited, D stays above .63, and so the level below
.37, for ever: all replicates never left the bank. AQ-BRMDP's clock, which needs a scale, raises levels whatever was
seen; that is what it is for.

``make study STUDIES=doubt_levels`` runs what ``results/`` does not hold, and writes ``doubt_levels.csv``, a row an
agent, and ``doubt_levels_statements.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bayesmdp.studies import levels
from bayesmdp.studies.statements import final_regret, regret_table, statement_table, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["CHOSEN", "STUDIES", "claims"]

CHOSEN: Mapping[str, tuple[str, str]] = {
    "river": ("level 0.6", "AQ visits floor .1"),
    "river-uniform": ("level 0.5", "AQ visits floor .1"),
    "river-patient": ("level 0.6", "AQ visits floor .1"),
    "long-river": ("level 0.8", "AQ visits floor .5"),
    "lake": ("level 0.5", "AQ visits floor .5"),
    "risky-lake": ("level 0.95", "AQ time floor .1"),
    "chain": ("level 0.9", "AQ visits floor .1"),
    "queue": ("level 0.9", "AQ time visits floor .1"),
}
"""The best constant level and the best adaptive setting of each problem, from ``levels.csv``."""

SLOW = {"lake": 32, "risky-lake": 32}
"""Replicates of problems that take long."""

OURS: Mapping[str, AgentSpec] = {
    "doubt": AgentSpec("doubt_brmdp", {"relative": False}),
    "doubt, relative": AgentSpec("doubt_brmdp", {"relative": True}),
}


def _cell(name: str) -> Study:
    study = levels.STUDIES[name]
    agents = {agent: study.agents[agent] for agent in dict.fromkeys((levels.DEFAULT, *CHOSEN[name]))}
    title = study.title.replace("levels above one half", "levels that the posterior sets")
    return replace(study, title=title, agents={**agents, **OURS}, steps=3_000, replicates=SLOW.get(name, 64), thin=100)


STUDIES: Mapping[str, Study] = {name: _cell(name) for name in CHOSEN}


def claims(result: xr.DataTree) -> pd.DataFrame:
    """The statements about one problem, each with a 95% interval over the paired replicates of odd number.

    Parameters
    ----------
    result : DataTree

    Returns
    -------
    DataFrame
        As `statement_table` has it, and ``rival``.
    """
    regret = final_regret(result)
    own = set(regret.index)
    constant, adaptive = next(pair for pair in CHOSEN.values() if {levels.DEFAULT, *pair, *OURS} == own)
    judged, told, rivals = regret.iloc[:, 1::2], {}, []
    for ours in OURS:
        for kind, rival in (("the best constant level", constant), ("the best adaptive setting", adaptive)):
            told[f"{ours}: its regret is below that of {kind} by"] = ((judged.loc[rival] - judged.loc[ours]), 0.0)
            rivals.append(rival)
        told[f"{ours}: its regret is below that of AQ-BRMDP at its defaults by"] = (
            (judged.loc[levels.DEFAULT] - judged.loc[ours]),
            0.0,
        )
        rivals.append(levels.DEFAULT)
    return statement_table(told).assign(rival=rivals)


main = tables_of_cells(
    "doubt-levels", STUDIES, {"doubt_levels": (regret_table, 2), "doubt_levels_statements": (claims, 2)}
)
