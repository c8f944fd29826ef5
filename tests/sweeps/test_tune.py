"""Options of agents chosen before they are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesmdp.results.comparison import final_totals
from bayesmdp.sweeps import run_sweep, tune
from tests.command_line import call, told_in_one_line
from tests.sweeps.stores import small_sweep

GRID = {"AQ-BRMDP.scale": [0.5, 1.0, 2.0]}


def test_the_best_mean_of_equal_budgets_is_taken(tmp_path: Path) -> None:
    """By a whole sweep of the same runs; and what the store holds is not run again."""
    sweep = small_sweep(grid=GRID, agents=["PSRL", "AQ-BRMDP"], chunk=4)
    ran: list[Any] = []
    tuned, tried = tune(sweep, tmp_path / "a.zarr", runs=14, on_chunk=ran.append)
    means = final_totals(run_sweep(small_sweep(grid=GRID, replicates=4, chunk=4), tmp_path / "b.zarr")).mean(axis=1)
    np.testing.assert_array_equal(tried["mean"], means.loc["AQ-BRMDP"])
    best = GRID["AQ-BRMDP.scale"][int(np.argmin(means.loc["AQ-BRMDP"]))]
    assert tried.index[tried["chosen"]].tolist() == [f"AQ-BRMDP,scale={best:g}"] and set(tried["runs"]) == {4}
    assert sum(len(chunk.replicates) for chunk in ran) == 12 and {chunk.cell.agent for chunk in ran} == {"AQ-BRMDP"}
    assert tuned.base.agents["AQ-BRMDP"].options["scale"] == best and not tuned.axes and tuned.seed == sweep.seed + 1
    assert tuned.base.agents["AQ-BRMDP"].options["num_draws"] == 20  # what was set before stays
    again, told = tune(sweep, tmp_path / "a.zarr", runs=14, on_chunk=ran.append)
    assert len(ran) == 3 and again == tuned
    pd.testing.assert_frame_equal(told, tried)


def test_rewards_are_best_where_they_are_highest(tmp_path: Path) -> None:
    sweep = small_sweep(grid=GRID, agents=["AQ-BRMDP"], chunk=4)
    _, highest = tune(sweep, tmp_path / "a.zarr", runs=6, quantity="reward")
    _, lowest = tune(sweep, tmp_path / "a.zarr", runs=6, quantity="reward", best="lowest")
    assert highest["mean"][highest["chosen"]].item() == highest["mean"].max()
    assert lowest["mean"][lowest["chosen"]].item() == lowest["mean"].min()


@pytest.mark.parametrize(
    "grid, options, why",
    [
        ({}, {}, "nothing to choose from"),
        ({"AQ-BRMDP.scale": [1.0]}, {}, "nothing to choose from"),
        ({**GRID, "environment.discount": [0.9, 0.95]}, {}, "environment.discount is swept"),
        (GRID, {"runs": 5}, "AQ-BRMDP has 3 settings, for which 5 runs are too few; give it 6 or more"),
        (GRID, {"runs": 0}, "runs must be an integer of at least 1; got 0"),
        (GRID, {"best": "most"}, "best must be lowest or highest; got 'most'"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_run(
    tmp_path: Path, grid: dict[str, Any], options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        tune(small_sweep(grid=grid), tmp_path / "a.zarr", **options)
    assert not (tmp_path / "a.zarr").exists()


def test_the_command_tunes_and_compares_by_other_runs(tmp_path: Path) -> None:
    lines = [
        'study = "aq-brmdp/riverswim-6"',
        'agents = ["PSRL", "BRMDP-0.5"]',
        "steps = 100",
        "replicates = 8",
        "[grid.BRMDP-0.5]",
        "level = [0.3, 0.7]",
    ]
    (tmp_path / "two.toml").write_text("\n".join(lines))
    out, told = call("compare", tmp_path / "two.toml", "--until-decided", "--tune", 4, "--out", tmp_path)
    assert "choosing options with 4 runs of each agent" in told and "2 settings, at most 8 replicates each" in told
    assert "chosen" in out and out.count("BRMDP-0.5,level=") == 2
    assert pd.read_csv(tmp_path / "two-tuned-decisions.csv")[["setting", "against"]].values.tolist() == [
        ["PSRL", "BRMDP-0.5"]
    ]
    file, store = tmp_path / "two.toml", tmp_path / "two-tuned.zarr"
    assert "--tune can only be used with --until-decided" in told_in_one_line("compare", file, "--tune", 4)
    assert "--tune chooses from the grid of a sweep file" in told_in_one_line(
        "compare", store, "--until-decided", "--tune", 4
    )
    _, message = call("compare", file, "--until-decided", "--tune", 3, "--out", tmp_path, code=2)
    assert message.endswith("give it 4 or more, or fewer values\n")
