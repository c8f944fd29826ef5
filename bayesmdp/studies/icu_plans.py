"""What ``bayesmdp plan`` makes of a hospital's logs: what it promises and advises on ICU-Sepsis, beside rivals.

Declared before it was run: 20 logs of each of 100, 300 and 1,000 patients, each one episode under the clinicians'
policy (:func:`bayesmdp.studies.icu_sepsis.treat`), discount .99. Of each, two things are told, both as
:mod:`bayesmdp.studies.better_than_behaviour` tells them: gains over the clinicians as a share of what the best policy
gains (.08 of survivals).

*Methods* (``icu_plans.csv``): plans ``mean`` and ``quantile:0.1`` with 200 draws, and the rivals of that study at their
settings, but for those that take minutes to hours here: L1-robust plans, soft SPIBB with budgets of 1 and 2, and plans
for the gain.

*The report* (``icu_checked.csv``): the same log goes the whole way of the command with its defaults: the prior from the
log, rarely tried actions left out, the plan, its check on 20 logs of each of two worlds. What is promised of the value
is kept if the policy truly earns as much, what is promised of the gain if it truly gains as much; both before and after
the check. The column ``problems`` says how many logs were run.

Where a log never acted in a state, the policy does as the estimated behaviour; what clinicians never do in truth cannot
be done, and is replaced by an even choice among what they do. What is promised is of the start that the log shows, what
is true of the true one; their difference is small beside the errors here.

What came out of the first logs, seven of 60 through the report and six through the methods. Plans gain something, .01
to .17 of what the best policy gains. By draws alone .2 to 1.0 of it was promised, with .995 or more of the draws on the
plan's side: kept in none. After the check nothing is promised but a loss that is not exceeded, which held in all; a
gain has a probability of 0 to .14, which is too low; and the report advises none of the plans. What is promised of the
value held in all, before the check and after it. The logs are too few to say which method gains most.

``make study STUDIES=icu_plans`` runs the logs that ``results/`` does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayesmdp.studies.better_than_behaviour import Cell, run_checked, run_problem
from bayesmdp.studies.better_than_behaviour_tables import summary, summary_checked
from bayesmdp.studies.by_problem import tables_by_problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CELLS", "main", "run_log"]

PROBLEMS = 20

CELLS: Mapping[str, Cell] = {f"icu-{patients}": Cell("icu", float("nan"), patients) for patients in (100, 300, 1_000)}


def run_log(cell: Cell, seed: int) -> pd.DataFrame:
    """Run all methods and the report on one log.

    Parameters
    ----------
    cell : Cell
    seed : int

    Returns
    -------
    DataFrame
        Rows of `run_problem`, and of `run_checked`, which alone have a ``status``.
    """
    import pandas as pd

    return pd.concat([run_problem(cell, seed), run_checked(cell, seed)], ignore_index=True)


def _told(ran: pd.DataFrame) -> pd.DataFrame:
    """The table of the methods."""
    return summary(ran[ran["status"].isna()]).round(4)


def _checked(ran: pd.DataFrame) -> pd.DataFrame:
    """The table of the report."""
    return summary_checked(ran[ran["status"].notna()]).round(4)


main = tables_by_problem("icu-plans", CELLS, PROBLEMS, run_log, {"icu_plans": _told, "icu_checked": _checked})
