"""Sweeps that are given replicates until they are decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesmdp.results.comparison import final_totals
from bayesmdp.results.sequential import Looks
from bayesmdp.results.setting_names import setting_text
from bayesmdp.sweeps import StoreError, run_sweep, run_until_decided
from tests.command_line import call, told_in_one_line
from tests.sweeps.stores import small_sweep

LOOKS = Looks(replicates=24, every=8, flips=1_000)


def test_only_what_is_needed_is_run_and_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    sweep = small_sweep(replicates=24, chunk=8)
    looked: list[int] = []
    told = run_until_decided(sweep, tmp_path / "a.zarr", looks=LOOKS, on_look=lambda count, _: looked.append(count))
    assert looked == list(LOOKS.numbers[: len(looked)])
    assert not (told["decision"] == "undecided").any()
    totals = final_totals(tmp_path / "a.zarr")
    whole = final_totals(run_sweep(sweep, tmp_path / "whole.zarr"))
    there = totals.notna().to_numpy()
    assert there.sum() < whole.size  # something was given up or told apart early
    np.testing.assert_array_equal(totals.to_numpy()[there], whole.to_numpy()[:, : totals.shape[1]][there])
    # Each setting has the replicates of its last pair.
    for place, row in zip(totals.index, there, strict=True):
        name = setting_text(place, totals.index.names)
        own = told[[name in pair for pair in told.index]]
        assert row.sum() == own["replicates"].max()
    # Killed after the first look, and run on; and with all replicates there.
    run_sweep(small_sweep(replicates=8, chunk=8), tmp_path / "b.zarr")
    pd.testing.assert_frame_equal(run_until_decided(sweep, tmp_path / "b.zarr", looks=LOOKS), told)
    pd.testing.assert_frame_equal(run_until_decided(sweep, tmp_path / "whole.zarr", looks=LOOKS), told)


def test_shorter_runs_of_the_store_do_not_count(tmp_path: Path) -> None:
    two = {"agents": ["PSRL", "AQ-BRMDP"], "grid": {}, "chunk": 8, "replicates": 16, "thin": 50}
    looks = Looks(replicates=16, flips=400)
    run_sweep(small_sweep(steps=50, **two), tmp_path / "a.zarr")
    told = run_until_decided(small_sweep(steps=100, **two), tmp_path / "a.zarr", looks=looks)
    fresh = run_until_decided(small_sweep(steps=100, **two), tmp_path / "b.zarr", looks=looks)
    pd.testing.assert_frame_equal(told, fresh)
    short = run_until_decided(small_sweep(steps=50, **two), tmp_path / "c.zarr", looks=looks)
    assert short["difference"].item() != told["difference"].item()


@pytest.mark.parametrize(
    "agents, baseline, wrong, why",
    [
        (["PSRL", "AQ-BRMDP"], "greedy", KeyError, "no baseline with agent = 'greedy'; there is PSRL, AQ-BRMDP"),
        (["PSRL"], None, ValueError, "no two settings"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_run(
    tmp_path: Path, agents: list[str], baseline: str | None, wrong: type[Exception], why: str
) -> None:
    sweep = small_sweep(agents=agents, grid={}, settings={}, replicates=8)
    with pytest.raises(wrong, match=why):
        run_until_decided(sweep, tmp_path / "a.zarr", looks=Looks(replicates=8), baseline=baseline)
    assert not (tmp_path / "a.zarr").exists()


def test_a_store_that_lacks_what_is_compared_is_refused(tmp_path: Path) -> None:
    sweep = small_sweep(keep=["reward"], replicates=8)
    run_sweep(sweep, tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="no agent of this sweep has 'regret' by step"):
        run_until_decided(sweep, tmp_path / "a.zarr", looks=Looks(replicates=8))
    assert issubclass(StoreError, ValueError)


def test_the_command_adds_replicates_to_a_sweep_file(tmp_path: Path) -> None:
    lines = ['study = "aq-brmdp/riverswim-6"', 'agents = ["PSRL", "BRMDP-0.5"]', "steps = 100", "replicates = 16"]
    (tmp_path / "two.toml").write_text("\n".join(lines))
    out, told = call("compare", tmp_path / "two.toml", "--until-decided", "--out", tmp_path)
    assert "2 settings, at most 16 replicates each, 8 at a time" in told
    assert "after 8 replicates: " in told
    assert "runs were needed" in out
    table = pd.read_csv(tmp_path / "two-decisions.csv")
    assert table[["setting", "against"]].values.tolist() == [["PSRL", "BRMDP-0.5"]]
    # The same rule by what a store holds runs nothing.
    again, told = call("compare", tmp_path / "two.zarr", "--until-decided", "--replicates", 16, "--out", tmp_path)
    assert again == out
    assert not told
    more, _ = call("compare", tmp_path / "two.zarr", "--until-decided", "--replicates", 64, "--out", tmp_path)
    assert ("undecided" in more) == (table["decision"] == "not told apart").all()


def test_mistakes_are_told(tmp_path: Path) -> None:
    study = "aq-brmdp/riverswim-6"
    told = told_in_one_line("compare", study, "--until-decided", "--replicates", 20, "--out", tmp_path)
    assert "every must divide replicates; 8 does not divide 20: take 16 replicates" in told
    sure = told_in_one_line("compare", study, "--until-decided", "--confidence", 1)
    assert "confidence must be a number above 0 and below 1; got 1" in sure
    assert "no store none.zarr" in told_in_one_line("compare", "none.zarr", "--until-decided")
    assert "leave out --correction and --test" in told_in_one_line(
        "compare", study, "--until-decided", "--test", "wilcoxon"
    )
    assert "--seed can only be used with --until-decided" in told_in_one_line("compare", "none.zarr", "--seed", 3)
    assert "no sweep file none.toml" in told_in_one_line("compare", "none.toml", "--until-decided")
