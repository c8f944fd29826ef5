"""The study of second opinions: its logs, and its summaries against sums by hand."""

import numpy as np
import pandas as pd
import pytest

from bayesmdp.studies import second_opinions
from bayesmdp.studies.second_opinions import CHECKED, LENGTH, OPINIONS, Kind, alarms, log_and_problem, opinions
from bayesmdp.studies.tables import stored_table


def test_logs_end_as_their_kind_says():
    for ends, steps in (("cut", 20 * LENGTH), ("one", 200)):
        log, mdp, _ = log_and_problem(np.random.default_rng(0), Kind(ends, 20))
        assert log.sizes["step"] == steps and mdp.num_states == 5
        assert int(log["truncated"].sum()) == (20 if ends == "cut" else 1)
    log, mdp, behaviour = log_and_problem(np.random.default_rng(1), Kind("end", 2_000))
    assert int(log["terminated"].sum()) == 2_000 and not log["truncated"].any()
    starts = np.append(True, log["terminated"].values[:-1])
    assert (log["state"].values[starts] == 0).all()
    # Each step ends an episode with probability .1, and actions are those of the behaviour.
    assert 1 / log["terminated"].values.mean() == pytest.approx(10, abs=4 * 10 / 2_000**0.5)
    first = log["action"].values[starts]
    shares = np.bincount(first, minlength=3) / 2_000
    np.testing.assert_allclose(shares, behaviour[0], atol=4 * 0.5 / 2_000**0.5)


@pytest.mark.parametrize(("fault", "ends"), [("dynamics drift", "one"), ("reward drift", "one"), ("order", "one")])
def test_a_fault_is_planted_where_its_context_says(fault, ends):
    """The same draws, and so the same log, up to the first step of another context."""
    clean, _, _ = log_and_problem(np.random.default_rng(2), Kind(ends, 20))
    faulty, _, _ = log_and_problem(np.random.default_rng(2), Kind(ends, 20, fault=fault))
    same = (clean["state"] == faulty["state"]).values & (clean["reward"] == faulty["reward"]).values
    before = 1 if fault == "order" else 100
    assert same[:before].all() and not same.all()


def test_summaries_are_counted():
    columns = {
        "tells": [True, True, True, False],
        "value": [1.0, 2, 4, 9],
        "lower": [0.0, 1, 3, 9],
        "upper": [2.0, 3, 5, 9],
    }
    rows = pd.DataFrame({f"weighted|{name}": values for name, values in columns.items()})
    rows["truth"] = [1.0, 2.5, 6.0, 0.0]
    row = opinions(rows).loc["weighted"]
    assert row["tells"] == 0.75 and row["covered"] == pytest.approx(2 / 3)
    assert row["bias"] == pytest.approx(-2.5 / 3 / rows["truth"].std())
    assert row["error"] == pytest.approx(np.sqrt(4.25 / 3) / rows["truth"].std())
    found = alarms(pd.DataFrame({"order": [True, False], "reward tails": [True, False], "few tries": [False, False]}))
    assert found["any"] == 0.5 and found["order"] == 0.5 and "few tries" not in found


def test_it_writes_both_tables(tmp_path, monkeypatch):
    told = {"truth": 1.0} | {
        f"weighted|{name}": value for name, value in (("tells", True), ("value", 1.0), ("lower", 0.0), ("upper", 2.0))
    }
    monkeypatch.setattr(second_opinions, "opinion", lambda kind, seed: told | {"truth": 1.0 + seed})
    monkeypatch.setattr(second_opinions, "check", lambda kind, seed: {"order": bool(kind.fault), "few tries": False})
    second_opinions.main(tables=str(tmp_path), logs=(3, 2))
    table = pd.read_csv(tmp_path / "second_opinions.csv", index_col=["cell", "estimator"])
    assert set(table.index.get_level_values("cell")) == set(OPINIONS) and (table["covered"] == 0.6667).all()
    checks = pd.read_csv(tmp_path / "log_checks.csv", index_col="cell")
    assert list(checks.index) == list(CHECKED) and checks.loc["order-end", "logs"] == 2
    assert checks.loc["clean-end", "any"] == 0 and checks.loc["order-end", "any"] == 1


def test_the_stored_tables_have_every_cell():
    told, checked = stored_table("second_opinions"), stored_table("log_checks")
    assert set(told["cell"]) == set(OPINIONS) and set(checked["cell"]) == set(CHECKED)
    # An estimate that can tell is one to be told with its interval.
    assert told.loc[told["tells"] > 0, ["covered", "covered_lower", "covered_upper"]].notna().all(axis=None)
