"""``bayesmdp sweep``, ``compare`` and ``export``, run as a user runs them."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest
import xarray as xr

from bayesmdp.sweeps import read_sweep, read_sweep_file, run_sweep, shipped_sweeps
from tests.command_line import call, told_in_one_line
from tests.sweeps.stores import small_sweep

TOML = """
study = "aq-brmdp/riverswim-6"
agents = ["PSRL", "AQ-BRMDP"]
replicates = 3
steps = 100
chunk = 2
[set.AQ-BRMDP]
num_draws = 20
[grid.environment]
discount = [0.9, 0.95]
[grid.AQ-BRMDP]
scale = [0.5, 2.0]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small sweep's store, from Python."""
    return run_sweep(small_sweep(), tmp_path_factory.mktemp("cli") / "small.zarr")


def test_a_sweep_is_run_and_the_same_again_does_nothing(tmp_path: Path, store: Path) -> None:
    (tmp_path / "my.toml").write_text(TOML)
    out, told = call("sweep", tmp_path / "my.toml", "--out", tmp_path / "my.zarr")
    assert "6 settings, 3 replicates each" in told
    assert "18 of 18 runs" in told
    assert f"bayesmdp compare {tmp_path / 'my.zarr'}" in out
    xr.testing.assert_identical(read_sweep(tmp_path / "my.zarr").load(), read_sweep(store).load())
    _, told = call("sweep", tmp_path / "my.toml", "--out", tmp_path / "my.zarr")
    assert "already contains 18 of 18 runs" in told
    _, told = call("sweep", tmp_path / "my.toml", "--out", tmp_path / "my.zarr", "--replicates", 4)
    assert "already contains 18 of 24 runs" in told
    assert read_sweep(tmp_path / "my.zarr").sizes["replicate"] == 4


def test_tables_and_figures_of_a_comparison(store: Path, tmp_path: Path) -> None:
    out, _ = call("compare", store, "--out", tmp_path)
    assert "Difference from PSRL, paired by replicate" in out
    assert "after Holm's correction" in out
    assert max(map(len, out.splitlines())) <= 80 or str(tmp_path) in max(out.splitlines(), key=len)
    table = pd.read_csv(tmp_path / "small-differences.csv")
    assert table[["agent", "discount", "scale"]].values.tolist() == [
        ["AQ-BRMDP", discount, scale] for discount in (0.9, 0.95) for scale in (0.5, 2.0)
    ]
    assert len(pd.read_csv(tmp_path / "small-settings.csv")) == 6
    assert set(pd.read_csv(tmp_path / "small-effects.csv")["option"]) == {"scale"}
    for name in ("effects", "differences"):
        assert matplotlib.image.imread(tmp_path / f"small-{name}.png")[..., :3].min() < 0.5
    out, _ = call("compare", store, "--out", tmp_path, "--baseline", "AQ-BRMDP,scale=2", "--correction", "bh")
    assert "after Benjamini and Hochberg's correction" in " ".join(out.split())


def test_robust_summaries_of_few_settings(tmp_path: Path) -> None:
    sweep = small_sweep(replicates=6)  # of as many steps as the store, so that its programs serve
    out, _ = call("compare", run_sweep(sweep, tmp_path / "six.zarr"), "--out", tmp_path)
    assert "middle" in out
    assert " to " in out
    table = pd.read_csv(tmp_path / "six-robust.csv")
    settings = pd.read_csv(tmp_path / "six-settings.csv")
    assert table["agent"].tolist() == settings["agent"].tolist()
    assert (table["rank_lower"] <= table["rank"]).all()
    assert (table["rank"] <= table["rank_upper"]).all()
    assert sorted(table["rank"]) == [1, 1, 2, 2, 3, 3]  # two discounts
    assert matplotlib.image.imread(tmp_path / "six-profiles.png")[..., :3].min() < 0.5


def test_a_results_file_is_compared_too(tmp_path: Path) -> None:
    call(
        "run", "aq-brmdp/riverswim-6", "--agents", "PSRL,BRMDP-0.1", "--steps", 50, "--replicates", 3, "--out", tmp_path
    )
    out, _ = call("compare", tmp_path / "aq-brmdp-riverswim-6-seed0.nc", "--test", "wilcoxon")
    assert "Difference from PSRL" in out


def test_sweeps_with_little_to_compare(tmp_path: Path) -> None:
    for number, grid in enumerate(
        ({"PSRL.episode": [5]}, {"environment.discount": [0.9, 0.95]}, {"PSRL.episode": [5, 9]})
    ):
        sweep = small_sweep(grid=grid, agents=["PSRL"], settings={}, steps=20)
        out, _ = call("compare", run_sweep(sweep, tmp_path / f"{number}.zarr"))
        assert "--baseline AGENT,OPTION=VALUE" in out
        assert (tmp_path / f"{number}-effects.csv").exists() == (number > 0)
    out, _ = call("compare", tmp_path / "2.zarr", "--baseline", "PSRL,episode=5", "--steps", 10)
    assert "Difference from PSRL,episode=5" in out


def test_a_part_is_exported(store: Path, tmp_path: Path) -> None:
    call("export", store, tmp_path / "part.nc", "--agents", "AQ-BRMDP", "--select", "scale=[2.0]")
    part = xr.open_datatree(tmp_path / "part.nc", engine="h5netcdf")
    assert part["AQ-BRMDP"].sizes["scale"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sweep", "none.toml"), "no sweep file none.toml; the named sweeps are aq_schedule"),
        (("sweep", "aq_schedule", "--workers", 1, "--dask", "tcp://a:1"), "give only one of them"),
        (("compare", "none.zarr"), "no store none.zarr"),
        (("export", "none.zarr", "x.nc"), "no store none.zarr"),
        (("export", "none.zarr", "x.nc", "--select", "scale"), "is not OPTION=VALUE"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[object, ...], told: str) -> None:
    assert told in told_in_one_line(*arguments)


def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(TOML)
    arguments = ("sweep", tmp_path / "my.toml", "--out", tmp_path / "my.zarr", "--dask", "tcp://127.0.0.1:9")
    _, told = call(*arguments, code=2)
    assert told.splitlines()[-1].startswith("bayesmdp: no Dask scheduler answers at tcp://127.0.0.1:9")


def test_shipped_sweeps_are_sound() -> None:
    for name, path in shipped_sweeps().items():
        sweep = read_sweep_file(path)
        sweep.check()
        assert name in call("list")[0]
    schedule = read_sweep_file(shipped_sweeps()["aq_schedule"])
    settings = [cell for cell in schedule.cells() if cell.agent == "AQ-BRMDP"]
    assert (len(settings), schedule.count, schedule.lengths) == (200, 32, (5_000,))
