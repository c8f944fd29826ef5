"""The study of gains over the behaviour: its arithmetic, and one problem of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesmdp.studies import better_than_behaviour as study
from bayesmdp.studies.better_than_behaviour_tables import summary, summary_checked
from bayesmdp.studies.tables import stored_table


def test_its_table_is_of_the_problems() -> None:
    gain = np.arange(-2.0, 18) / 10
    problems = pd.DataFrame(
        {"cell": "one", "seed": range(20), "method": "ours", "gain": gain, "bound": gain + 0.1, "better": 0.5}
    )
    problems.loc[:14, "bound"] = gain[:15]
    rivals = problems.assign(method="rival", gain=-1.0, bound=np.nan, better=np.nan)
    table = summary(pd.concat([problems, rivals]))
    ours, rival = table.loc[("one", "ours")], table.loc[("one", "rival")]
    assert ours["gain"] == pytest.approx(gain.mean())
    assert ours["gain_lower"] < ours["gain"] < ours["gain_upper"]
    assert ours["worst_tenth"] == pytest.approx(-0.15)
    assert ours["worse"] == pytest.approx(0.1)
    assert ours["bound_kept"] == pytest.approx(0.75)
    assert ours["better_said"] == 0.5 and ours["brier"] == pytest.approx(0.25)
    assert np.isnan(rival["brier"]) and rival["worse"] == 1 and np.isnan(rival["bound_kept"])


def test_what_it_declares() -> None:
    assert study.PROBLEMS == 200 and len(study.CELLS) == 24
    assert sum(cell.noise > 0 for cell in study.CELLS.values()) == 12
    assert {cell.truth for cell in study.CELLS.values()} == {"garnet", "chicken", "grid", "inventory"}


def test_the_table_of_checks_is_of_the_problems() -> None:
    """Four problems: the check saves two bounds, and two plans are advised, one wrongly."""
    problems = pd.DataFrame(
        {
            "cell": ["a", "a", "b", "b"],
            "seed": [0, 1, 0, 1],
            "method": "ours",
            "gain": [0.5, -0.1, 0.2, 0.3],
            "raw": [0.4, 0.2, 0.3, 0.4],
            "bound": [0.3, 0.1, 0.1, -0.2],
            "better_raw": [1.0, 1.0, 1.0, 1.0],
            "better": [1.0, 0.95, 0.5, 1.0],
            "status": ["better", "better", "doubtful", "not shown"],
        }
    )
    every = summary_checked(problems).loc[("all", "ours")]
    assert every["problems"] == 4 and every["kept_raw"] == 0.25 and every["kept"] == 0.75
    assert every["kept_lower"] < 0.75 < every["kept_upper"]
    assert every["gain"] == pytest.approx(0.9 / 4) and every["worse"] == 0.25
    assert every["advised"] == 0.5 and every["followed"] == pytest.approx(0.4 / 4) and every["followed_worse"] == 0.25
    assert every["brier_raw"] == pytest.approx(0.25) and every["brier"] == pytest.approx((0.95**2 + 0.5**2) / 4)
    assert summary_checked(problems).loc[("a", "ours"), "problems"] == 2


@pytest.mark.slow
def test_a_problem_tells_of_every_method() -> None:
    rows = study.run_problem(study.CELLS["inventory-0.5-10"], 0, draws=50, fresh=50).set_index("method")
    assert len(rows) == 24 and rows.index.is_unique
    assert (rows["gain"] <= 1 + 1e-9).all()
    assert rows["bound"].notna().sum() == 5
    # No pair was tried 50 times, so that either set holds the behaviour alone, as it was estimated.
    assert rows.loc["spibb b 50", "gain"] == pytest.approx(rows.loc["spibb at most b 50", "gain"], abs=1e-9)


@pytest.mark.slow
def test_a_check_lowers_the_bound_of_both_aims() -> None:
    rows = study.run_checked(study.CELLS["inventory-0.5-10"], 0, draws=50, logs=9).set_index("method")
    assert rows.index.tolist() == ["quantile:0.1", "gain cvar:0.1"]
    assert (rows["bound"] <= rows["raw"]).all() and (rows["better"] <= rows["better_raw"]).all()
    assert (rows["gain"] <= 1 + 1e-9).all()


def test_the_stored_tables_have_every_cell() -> None:
    told, checked = stored_table("better_than_behaviour"), stored_table("better_checked")
    assert set(told["cell"]) == set(study.CELLS) and set(checked["cell"]) == {*study.CELLS, "all"}
    assert (told.groupby("cell").size() == 24).all()
