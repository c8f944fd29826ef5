"""The study of promises from logs of measurements: its systems, its figures, and its stored table."""

import numpy as np
import pandas as pd
import pytest

from bayesmdp.studies import measured_promises
from bayesmdp.studies.measured_promises import CELLS, DISCOUNT, Cell, System, run_problem
from bayesmdp.studies.tables import stored_table


def test_systems_are_stable_and_logs_are_theirs():
    for seed in range(20):
        system = System.drawn(np.random.default_rng(seed), 2)
        assert 0.29 < np.abs(np.linalg.eigvals(system.moves)).max() < 0.96
    log = system.log(np.random.default_rng(0), 4_000)
    action = np.searchsorted(["a", "b", "c"], log["action"].values)
    left = log["next_state"].values - log["state"].values @ system.moves - system.pushes[action]
    np.testing.assert_allclose(left.std(0), system.noise, rtol=0.06)
    np.testing.assert_allclose(left.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.bincount(action, minlength=3) / 4_000, system.behaviour, atol=0.04)


def test_the_behaviour_is_worth_what_its_moments_say():
    """One coordinate: mean and variance of the state go on by themselves."""
    system = System.drawn(np.random.default_rng(1), 1)._replace(behaviour=np.array([0.2, 0.5, 0.3]))
    start, worth = np.array([[0.7]]), 0.0
    mean, variance = 0.7, 0.0
    pushed = float(system.behaviour @ system.pushes[:, 0])
    scatter = float(system.behaviour @ system.pushes[:, 0] ** 2) - pushed**2 + float(system.noise[0]) ** 2
    for step in range(90):
        worth -= DISCOUNT**step * ((mean - system.target[0]) ** 2 + variance)
        mean = float(system.moves[0, 0]) * mean + pushed
        variance = float(system.moves[0, 0]) ** 2 * variance + scatter
    assert system.worth(None, start) == pytest.approx(float(worth), rel=0.03)


@pytest.mark.slow
def test_a_problem_is_the_same_again_and_its_figures_fit_together():
    first, again = (run_problem(Cell(1, 60), 3, draws=20, logs=0) for _ in range(2))
    assert first["promise"] == first["raw"] and np.isnan(first["checked"])
    assert {name: value for name, value in first.items() if name != "checked"} == {
        name: value for name, value in again.items() if name != "checked"
    }
    assert first["truth"] > first["behaviour"]


def test_shares_and_prices_are_counted(tmp_path, monkeypatch):
    calls = []

    def one(cell, seed, **options):
        calls.append(seed)
        return {"truth": 1.0, "promise": (0.5, 1.0, 1.2)[seed], "raw": 1.5, "behaviour": 0.0, "checked": 1.0}

    monkeypatch.setattr(measured_promises, "run_problem", one)
    for problems in (2, 3):
        measured_promises.main(str(tmp_path), str(tmp_path), cells=["one-coordinate"], problems=problems)
    assert calls == [0, 1, 2]  # what is there is not run again
    row = pd.read_csv(tmp_path / "measured_promises.csv", index_col="cell").loc["all"]
    assert row["problems"] == 3 and row["promise_kept"] == pytest.approx(2 / 3, abs=1e-4) and row["raw_kept"] == 0
    assert row["promise_price"] == pytest.approx(1.0) and row["policy"] == pytest.approx(1.0)
    assert row["promise_kept_lower"] < 2 / 3 < row["promise_kept_upper"]
    problems = pd.read_csv(tmp_path / "measured_promises_problems.csv")
    assert problems["seed"].tolist() == [0, 1, 2] and problems["promise"].tolist() == [0.5, 1.0, 1.2]


def test_the_stored_shares_are_those_of_the_stored_problems():
    problems = stored_table("measured_promises_problems")
    assert problems.groupby("cell")["seed"].nunique().to_dict() == dict.fromkeys(CELLS, measured_promises.PROBLEMS)
    again, stored = measured_promises.summary(problems), stored_table("measured_promises", index_col="cell")
    np.testing.assert_allclose(again.values, stored.values, atol=2e-4)


def test_the_stored_table_has_every_cell():
    table = stored_table("measured_promises", index_col="cell")
    assert set(table.index) == {*CELLS, "all"}
    assert ((table["promise_kept"] >= 0) & (table["promise_kept"] <= 1)).all()
    assert table.loc["all", "problems"] == table.loc[list(CELLS), "problems"].sum()
