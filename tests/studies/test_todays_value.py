"""The study of what is earned today: shares are counted right, and problems of either study go their way."""

import pandas as pd
import pytest

from bayesmdp.studies import better_than_behaviour, kept_promises
from bayesmdp.studies.todays_value import CELLS, run_problem, summary


def test_the_cells_are_those_of_both_studies() -> None:
    assert len(CELLS) == len(kept_promises.CELLS) + len(better_than_behaviour.CELLS)
    assert CELLS["over-grid-0.9-20"] is better_than_behaviour.CELLS["grid-0.9-20"]


def test_an_interval_holds_the_truth_if_neither_end_misses_it() -> None:
    rows = [
        {"cell": "c", "truth": truth, "lower": 0.0, "upper": 1.0, "wider": wider}
        for truth, wider in ((0.0, 0.0), (1.0, 0.0), (1.4, 0.5), (-0.4, 0.5), (-0.6, 0.5))
    ]
    row = summary(pd.DataFrame(rows)).loc["c"]
    assert row["problems"] == 5 and row["raw"] == pytest.approx(2 / 5) and row["checked"] == pytest.approx(4 / 5)
    assert row["wider"] == pytest.approx(2)
    assert row["checked_lower"] < 4 / 5 < row["checked_upper"]


@pytest.mark.parametrize("cell", ["dirichlet-50", "over-inventory-0.9-10"])
def test_a_problem_is_the_same_again(cell: str) -> None:
    first, again = (run_problem(CELLS[cell], 1, draws=20, logs=9) for _ in range(2))
    assert first == again
    assert first["lower"] < first["upper"] and first["wider"] >= 0
    problem = kept_promises if cell == "dirichlet-50" else better_than_behaviour
    assert first["truth"] == problem.make_problem(CELLS[cell], 1).today
