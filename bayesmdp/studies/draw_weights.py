"""Draws used again, with weights or where rows did not change, at equal processor time. Declared before it was run.

How draws may be used again Song, Wang and Zhou (2026), section 6, leave open. The study ``draw-reuse`` has draws that
are kept whole and renewed by a share at each plan. Here draws are kept row by row
(:mod:`~bayesmdp.posterior.beliefs.held_rows`), in two ways that each look free of bias: *weighted*, importance weights
for what was seen since a row was drawn, which is drawn anew where the effective size of the weights is below a half;
and *changed*, rows drawn anew where something was seen since, and kept where nothing was, whose posterior is the same
as before. Both stand also with a share of .1 of all other rows drawn anew at each plan, and *unseen* is weights beside
drawing anew all rows of which nothing was seen since. That none of them but the last is free of bias for one who acts
follows from the argument in that module, and a test of it had been run; what it costs had not.

Time saved is spent on draws: each rule has as many as take the processor time of 200 fresh ones (cells ``0.95`` and
``0.99``) or of 50 (``0.95-quarter``), and the budget of a pair, EC.23, is in proportion. Seconds of processor time for
a run of AQ-BRMDP with 200 and 600 draws, of which no regret was looked at, gave a line for each rule: at .95 and 200
draws .108 fresh, .104 renewed by .1, .068 weighted, .057 changed, .110 unseen; at .99 .026, .073, .019, .018 and .032.
The numbers of draws below are those lines', to within an eighth, and beyond where one number serves two cells.

BRMDP-0.5 and AQ-BRMDP on RiverSwim-6 under Dirichlet(1/S), as in ``draw-reuse``: 128 replicates of 5,000 steps on
common random numbers. What is expected: weights and rows drawn anew where they changed cost BRMDP-0.5 as much as kept
draws do, several times the regret of fresh ones at .99; a share of .1 does not mend it; unseen costs nothing; AQ-BRMDP
minds none of them; more draws gain nothing that shows.

What came out: BRMDP-0.5 is ruined as expected. Beside 200 fresh draws weights lose it 40,642 (26,878 to 54,406) at .99,
of 20,928, and 6,923 (4,681 to 9,165) at .95, of 3,430; drawing anew what changed loses more in all three cells. A share
of .1 of the rows takes back over a third of that at .99, and is surely behind fresh draws in five of six cases. Drawing
anew what was not seen is surely behind fresh draws nowhere, and ahead nowhere. AQ-BRMDP is the better for the bias with
weights, in all three cells, by 65 (6 to 124) of 1,198, by 1,601 (243 to 2,960) of 21,442 and, with 50 draws, by 206
(138 to 274) of 1,327. Of the number of draws it was wrong to expect nothing: at .95 BRMDP-0.5 lost 1,366 (931 to 1,801)
with 50 fresh draws and 3,430 (2,255 to 4,604) with 200, in four times the time, since the luck of few draws sends it
exploring. And one thing said above was wrong: *unseen* opens the trap, but is not free of bias. What it keeps is what
was good enough to be tried, and with the coin of the tutorial ``robustness_and_exploration`` its draws are too high
(the mean of their rank is .55), those of the other two too low (.49 and .40).

``make study STUDIES=draw_weights`` runs what ``results/`` does not hold, some eight minutes of one core, and writes
``draw_weights.csv``, a row an agent, and ``draw_weights_statements.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.draw_reuse import PLANNERS, comparison
from bayesmdp.studies.statements import final_regret, statement_table, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims"]

RULES: Mapping[str, Mapping[str, Any]] = {
    "fresh": {},
    "renewed .1": {"draws": "renewed", "share": 0.1},
    "weighted": {"draws": "weighted", "share": 0.0},
    "weighted, and .1": {"draws": "weighted", "share": 0.1},
    "changed": {"draws": "changed", "share": 0.0},
    "changed, and .1": {"draws": "changed", "share": 0.1},
    "unseen": {"draws": "unseen", "share": 0.0},
}

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "0.95": {"fresh": 200, "renewed": 200, "weighted": 310, "changed": 360, "unseen": 180},
    "0.99": {"fresh": 200, "renewed": 60, "weighted": 310, "changed": 360, "unseen": 180},
    "0.95-quarter": {"fresh": 50, "renewed": 50, "weighted": 80, "changed": 80, "unseen": 50},
}
"""Draws of each rule that take equal time, by cell and kind of draws."""

BUDGET = 68.0 / 200
"""``draw_scale`` for each draw there is: that of the agents' defaults."""


def _cell(name: str) -> Study:
    discount, _, quarter = name.partition("-")
    agents = {}
    for planner, spec in PLANNERS.items():
        for rule, options in RULES.items():
            number = NUMBERS[name][str(options.get("draws", "fresh"))]
            drawn = {"num_draws": number, "draw_scale": BUDGET * number, **options}
            agents[f"{planner} {rule}"] = AgentSpec(spec.algorithm, {**spec.options, **drawn})
    return Study(
        title=f"draws used again at equal time on RiverSwim-6, discount {discount}{', few draws' * bool(quarter)}",
        environment="riverswim",
        environment_options={"num_states": 6, "discount": float(discount)},
        prior="dirichlet_transitions",
        prior_options={"concentration": 1 / 6},
        agents=agents,
        replicates=128,
        thin=100,
        note="declared before it was run",
    )


STUDIES: Mapping[str, Study] = {name: _cell(name) for name in NUMBERS}


def claims(result: xr.DataTree) -> pd.DataFrame:
    """The statements about one cell, each with a 95% interval over paired replicates.

    Parameters
    ----------
    result : DataTree

    Returns
    -------
    DataFrame
        As `statement_table` has it: for each planner and rule what it saves of the regret with fresh draws, and for
        rules with a share of .1 what that share saves.
    """
    regret = final_regret(result)
    told = {}
    for agent in regret.index:
        planner, _, rule = agent.partition(" ")
        if rule != "fresh":
            rival = regret.loc[f"{planner} fresh"]
            told[f"{planner}, {rule}: its regret is below that with fresh draws by"] = rival - regret.loc[agent], 0.0
        if rule.endswith(", and .1"):
            rival = regret.loc[agent.removesuffix(", and .1")]
            told[f"{planner}, {rule}: its regret is below that without the .1 by"] = rival - regret.loc[agent], 0.0
    return statement_table(told)


main = tables_of_cells(
    "draw-weights", STUDIES, {"draw_weights": (comparison, 3), "draw_weights_statements": (claims, 2)}
)
