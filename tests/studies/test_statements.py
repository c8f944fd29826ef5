"""The tables that declared studies share, against SciPy; and cells that are run once, kept and resumed."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bayesmdp import results
from bayesmdp.simulation.threads import Interrupted
from bayesmdp.studies import find
from bayesmdp.studies import statements as tables
from tests.statistical import assert_standard_normal


def test_intervals_are_students():
    sample = np.random.default_rng(0).normal(1.0, 2.0, 17)
    mean, lower, upper = tables.mean_interval(sample, 0.9)
    expected = stats.t.interval(0.9, 16, sample.mean(), stats.sem(sample))
    assert (mean, lower, upper) == pytest.approx((sample.mean(), *expected), rel=1e-12)


def test_a_statement_holds_or_not_or_is_open():
    noise = np.linspace(-0.1, 0.1, 20)
    table = tables.statement_table(
        {"above": (1 + noise, 0.5), "below": (noise - 1, 0.0), "near": (noise + 0.01, 0.0), "on it": (noise * 0, 0.0)}
    ).set_index("statement")
    assert table["holds"].to_dict() == {"above": "yes", "below": "no", "near": "open", "on it": "no"}
    assert table.loc["above", "threshold"] == 0.5
    assert ((table["lower"] <= table["figure"]) & (table["figure"] <= table["upper"])).all()


def test_ratio_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(1_000):
        below = rng.normal(10.0, 2.0, 40)
        above = 0.7 * below + rng.normal(0.5, 1.0, 40)
        _, lower, upper = tables.ratio_interval(above, below, 0.9)
        hits.append(lower <= 0.75 <= upper)
    # The delta method is off by order 1 / n: 0.01 is allowed for it.
    assert_standard_normal(max(0.0, abs(np.mean(hits) - 0.9) - 0.01) / np.sqrt(0.09 / 1_000))


def small(replicates=3):
    study = find("aq-brmdp/riverswim-6").with_agents(["PSRL"])
    return {"cell": replace(study, steps=30, replicates=replicates)}


def test_cells_run_once_and_grow(tmp_path, monkeypatch):
    (cell, first), *rest = tables.finished_cells("paper", small(), tmp_path)
    assert (cell, rest) == ("cell", [])
    assert bool(first["timing/seconds"].notnull().all())
    kept = results.load(tmp_path / "paper-cell-seed0.nc")
    assert kept.attrs["study"] == "paper/cell"
    np.testing.assert_array_equal(kept["regret"], first["regret"])
    more = small(replicates=5)
    ((_, grown),) = tables.finished_cells("paper", more, tmp_path)
    assert grown.sizes["replicate"] == 5
    np.testing.assert_array_equal(grown["regret"].sel(replicate=range(3)), first["regret"])
    # Finished: nothing is run again.
    monkeypatch.setattr(type(more["cell"]), "run", None)
    ((_, again),) = tables.finished_cells("paper", more, tmp_path)
    np.testing.assert_array_equal(again["regret"], grown["regret"])


def test_what_was_finished_before_an_interrupt_is_kept(tmp_path, monkeypatch):
    study = small()["cell"]
    part = study.run(replicates=2)

    def interrupted(self, **options):
        raise Interrupted(part)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(type(study), "run", interrupted)
        list(tables.finished_cells("paper", {"cell": study}, tmp_path))
    assert results.load(tmp_path / "paper-cell-seed0.nc").sizes["replicate"] == 2
    ((_, whole),) = tables.finished_cells("paper", {"cell": study}, tmp_path)
    assert whole.sizes["replicate"] == 3
