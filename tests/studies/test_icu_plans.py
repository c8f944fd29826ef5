"""The study of a hospital's logs: whose problems they are, and one small log of it."""

from __future__ import annotations

import pandas as pd
import pytest

from bayesmdp.studies import icu_plans as study
from bayesmdp.studies.better_than_behaviour import Cell, make_problem, run_problem
from bayesmdp.studies.better_than_behaviour_tables import summary_checked
from bayesmdp.studies.icu_sepsis import references
from bayesmdp.studies.tables import stored_table

SMALL = Cell("icu", float("nan"), 12)


def test_its_behaviour_is_that_of_clinicians() -> None:
    given, known = make_problem(SMALL, 0), references()
    assert given.large and given.log["terminated"].values.sum() == 12
    assert given.today == pytest.approx(known["clinicians"], abs=1e-12)
    assert given.today + given.most == pytest.approx(known["optimal"], abs=1e-8)


def test_promises_of_the_value_are_counted_where_problems_tell_them() -> None:
    rows = pd.DataFrame({"cell": "a", "seed": range(4), "method": "ours", "gain": 0.1, "raw": 0.2, "bound": 0.0})
    rows = rows.assign(better_raw=1.0, better=0.5, status="doubtful", truth=0.7)
    rows = rows.assign(promise=[0.6, 0.7, 0.7, 0.8], promise_raw=[0.6, 0.8, 0.8, 0.8])
    told = summary_checked(rows).loc[("a", "ours")]
    assert told["promise_kept"] == 0.75 and told["promise_raw_kept"] == 0.25 and told["kept"] == 1


@pytest.mark.slow
def test_a_small_log_goes_the_way_of_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesmdp.studies.better_than_behaviour.ENOUGH", (5,))
    monkeypatch.setattr("bayesmdp.studies.better_than_behaviour.BUDGETS", ())  # minutes
    rows = run_problem(SMALL, 0, draws=20, fresh=20).set_index("method")
    assert rows.index.is_unique and rows["bound"].notna().sum() == 2 and len(rows) == 8
    # What is truly earned is a probability of survival.
    assert ((given := make_problem(SMALL, 0)).today + rows["gain"] * given.most).between(0.5, 0.8014).all()


def test_the_stored_tables_have_every_cell() -> None:
    told, checked = stored_table("icu_plans"), stored_table("icu_checked")
    assert set(told["cell"]) == set(study.CELLS) and set(checked["cell"]) == {*study.CELLS, "all"}
    assert (told.groupby("cell").size() == 16).all() and (checked["problems"] <= 3 * study.PROBLEMS).all()
