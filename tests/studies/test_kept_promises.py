"""The study of promises: its problems are what they are said to be, and its shares are counted right."""

import numpy as np
import pandas as pd
import pytest

import bayesmdp as bm
from bayesmdp.studies import kept_promises
from bayesmdp.studies.kept_promises import CELLS, Cell, run_problem, summary
from bayesmdp.studies.tables import stored_table


@pytest.mark.parametrize("name", CELLS)
def test_every_truth_is_a_problem_with_something_at_stake(name):
    cell = CELLS[name]
    rng = np.random.default_rng(0)
    mdp = kept_promises._truth(rng, cell.truth)
    behaviour = kept_promises._behaviour(rng, mdp, cell.behaviour)
    np.testing.assert_allclose(behaviour.sum(-1), 1)
    assert (behaviour[~mdp.available] == 0).all()
    mdp, log = kept_promises._log(rng, mdp, behaviour, cell)
    assert log.sizes["step"] == cell.steps
    worth = bm.solve(mdp)["value"].values @ mdp.initial
    assert worth > bm.evaluate(mdp, behaviour).values @ mdp.initial + 1e-6
    if cell.rewards in ("bernoulli", "entered ones"):
        assert set(log["reward"].values) <= {0.0, 1.0}


def test_behaviour_is_as_it_is_said():
    rng, mdp = np.random.default_rng(0), kept_promises._truth(np.random.default_rng(0), "sparse")
    half = kept_promises._behaviour(rng, mdp, "half")
    assert 0 < (half.max(-1) == 1).sum() < mdp.num_states
    skewed = kept_promises._behaviour(rng, mdp, "skewed")
    assert (skewed > 0).all()
    assert skewed.max(-1).mean() > 0.6


def test_a_problem_is_the_same_again_and_its_figures_fit_together():
    cell = Cell("dirichlet", 50, "normal", 0.5)
    first, again = (run_problem(cell, 3, draws=50, logs=10) for _ in range(2))
    assert first == again
    assert first["behaviour"] <= first["best"]
    assert first["truth"] <= first["best"] + 1e-9
    assert first["promise"] <= first["raw"]


def test_shares_and_prices_are_counted(tmp_path):
    told = {"behaviour": 0.0, "best": 2.0, "checked": 1.0}
    rows = [
        {"cell": "c", **told, "truth": 1.0, "promise": p, "raw": r} for p, r in ((0.5, 1.5), (1.0, 1.0), (1.2, 2.5))
    ]
    row = summary(pd.DataFrame(rows)).loc["c"]
    assert row["promise_kept"] == pytest.approx(2 / 3)
    assert row["raw_kept"] == pytest.approx(1 / 3)
    assert row["raw_beyond"] == pytest.approx(1 / 3)
    assert row["promise_beyond"] == 0
    assert row["promise_price"] == pytest.approx(0.5)
    assert row["policy"] == pytest.approx(0.5)
    assert row["promise_kept_lower"] < 2 / 3 < row["promise_kept_upper"]


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    calls = []

    def one(cell, seed, **options):
        calls.append(seed)
        return {"truth": 1.0, "promise": 0.5, "raw": 0.6, "best": 2.0, "behaviour": 0.0, "checked": 1.0}

    monkeypatch.setattr(kept_promises, "run_problem", one)
    for problems in (2, 3):
        kept_promises.main(str(tmp_path), str(tmp_path), cells=["ring"], problems=problems)
    assert calls == [0, 1, 2]
    assert pd.read_csv(tmp_path / "kept_promises.csv")["problems"].tolist() == [3]


def test_the_stored_table_has_every_cell():
    table = stored_table("kept_promises", index_col="cell")
    assert set(table.index) == set(CELLS)
    shares = table[[name for name in table if name.endswith(("kept", "beyond"))]]
    assert ((shares >= 0) & (shares <= 1)).all().all()
