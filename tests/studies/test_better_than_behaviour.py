"""The study of gains over the behaviour: its arithmetic, and one problem of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesmdp.studies import better_than_behaviour as study


def test_its_table_is_of_the_problems() -> None:
    gain = np.arange(-2.0, 18) / 10
    problems = pd.DataFrame({"cell": "one", "seed": range(20), "method": "ours", "gain": gain, "bound": gain + 0.1})
    problems.loc[:14, "bound"] = gain[:15]
    rivals = problems.assign(method="rival", gain=-1.0, bound=np.nan)
    table = study.summary(pd.concat([problems, rivals]))
    ours, rival = table.loc[("one", "ours")], table.loc[("one", "rival")]
    assert ours["gain"] == pytest.approx(gain.mean())
    assert ours["gain_lower"] < ours["gain"] < ours["gain_upper"]
    assert ours["worst_tenth"] == pytest.approx(-0.15)
    assert ours["worse"] == pytest.approx(0.1)
    assert ours["bound_kept"] == pytest.approx(0.75)
    assert rival["worse"] == 1 and np.isnan(rival["bound_kept"])


def test_what_it_declares() -> None:
    assert study.PROBLEMS == 200 and len(study.CELLS) == 10
    assert {cell.truth for cell in study.CELLS.values()} == {"garnet", "chicken", "inventory"}


@pytest.mark.slow
def test_a_problem_tells_of_every_method() -> None:
    rows = study.run_problem(study.CELLS["inventory-0.5-10"], 0, draws=50, fresh=50).set_index("method")
    assert len(rows) == 21 and rows.index.is_unique
    assert (rows["gain"] <= 1 + 1e-9).all()
    assert rows["bound"].notna().sum() == 3
    # No pair was tried 50 times, so that either set holds the behaviour alone, as it was estimated.
    assert rows.loc["spibb b 50", "gain"] == pytest.approx(rows.loc["spibb at most b 50", "gain"], abs=1e-9)
