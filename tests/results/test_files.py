"""Results on disk come back as they were, in files that are the same for the same run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayesmdp import results
from tests.synthetic import synthetic_result


def with_beliefs(result: xr.DataTree) -> xr.DataTree:
    rng = np.random.default_rng(0)
    dims = ("chain", "draw", "checkpoint", "replicate", "state")
    draws = xr.Dataset(
        {"transition": (dims, rng.random((1, 5, 2, 8, 3)))},
        {"checkpoint": [50, 200], "state": np.array(["left", "middle", "right"], object)},
        {"engine": "exact"},
    )
    nodes = {node.path: node.to_dataset(inherit=False) for node in result.subtree}
    return xr.DataTree.from_dict({**nodes, "/beliefs/PSRL/posterior": draws})


@pytest.mark.parametrize("thin", [1, 5])
@pytest.mark.parametrize("checkpoints", [[], [50], [50, 200]])
def test_everything_but_timing_comes_back(tmp_path: Path, thin: int, checkpoints: list[int]) -> None:
    result = with_beliefs(synthetic_result(3, thin=thin))
    result.attrs["checkpoints"] = checkpoints
    back = results.load(results.save(result, tmp_path / "run.nc"))
    assert back.attrs == result.attrs
    assert {name: type(value) for name, value in back.attrs.items()} == {
        name: type(value) for name, value in result.attrs.items()
    }
    xr.testing.assert_equal(back.to_dataset(), result.to_dataset())
    assert {name: back[name].dtype for name in back.data_vars} == {
        name: result[name].dtype for name in result.data_vars
    }
    kept, given = back["beliefs/PSRL/posterior"].to_dataset(), result["beliefs/PSRL/posterior"].to_dataset()
    np.testing.assert_array_equal(kept["transition"], given["transition"])
    assert kept["state"].values.tolist() == ["left", "middle", "right"]
    assert bool(back["timing/seconds"].isnull().all())


def test_xarray_alone_opens_it(tmp_path: Path) -> None:
    result = with_beliefs(synthetic_result(2))
    path = results.save(result, tmp_path / "run.nc")
    with xr.open_datatree(path) as opened:
        assert opened["regret"].dims == ("agent", "replicate", "step")
        assert opened["agent"].values.tolist() == ["PSRL", "BRMDP-0.1"]
        assert "timing" not in opened.children
        assert list(opened["beliefs"].children) == ["PSRL"]


def test_equal_results_are_equal_bytes_whatever_their_past(tmp_path: Path) -> None:
    result = with_beliefs(synthetic_result(2))
    first = results.save(result, tmp_path / "first.nc")
    other = result.copy(deep=True)
    other["timing"]["seconds"] = other["timing/seconds"] * 2
    other.dataset = other.to_dataset()[
        ["state", "solves", "regret", "reward", "short", "bound", "failures", "level", "period"]
    ]
    for past, again in (
        ("other order and timing", other),
        ("read from a file", results.load(first)),
        ("read lazily, by xarray", xr.open_datatree(first)),
    ):
        second = results.save(again, tmp_path / "second.nc")
        assert second.read_bytes() == first.read_bytes(), past
        again.close()


def test_files_are_compressed(tmp_path: Path) -> None:
    result = synthetic_result(3, replicates=16, steps=2_000)
    result["regret"][:] = np.round(result["regret"])
    path = results.save(result, tmp_path / "run.nc")
    assert path.stat().st_size < 0.2 * result.to_dataset().nbytes


def test_long_series_are_cut_into_chunks(tmp_path: Path) -> None:
    result = synthetic_result(1, replicates=2, steps=600_000)
    with xr.open_datatree(results.save(result, tmp_path / "run.nc")) as opened:
        assert opened["regret"].encoding["chunksizes"] == (1, 1, 2**18)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = results.save(synthetic_result(2), tmp_path / "run.nc")
    before = path.read_bytes()

    def fail(tree: xr.DataTree, part: Path, **options: object) -> None:
        part.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", fail)
    with pytest.raises(OSError, match="no space left"):
        results.save(synthetic_result(3), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made(tmp_path: Path) -> None:
    assert results.save(synthetic_result(1), tmp_path / "a" / "b" / "run.nc").exists()


def test_what_is_not_a_result_is_refused(tmp_path: Path) -> None:
    result = synthetic_result(2)
    with pytest.raises(TypeError, match="got Dataset"):
        results.save(result.to_dataset(), tmp_path / "run.nc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no 'regret'"):
        results.save(xr.DataTree(result.to_dataset()[["reward"]]), tmp_path / "run.nc")
    result.attrs["options"] = {"scale": 1.0}
    with pytest.raises(ValueError, match=r"attrs\['options'\] of / is a dict; write it as a JSON string"):
        results.save(result, tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


def test_what_is_not_a_results_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no results file .*none\.nc; `bayesmdp run`"):
        results.load(tmp_path / "none.nc")
    text = tmp_path / "notes.nc"
    text.write_text("not netCDF")
    with pytest.raises(ValueError, match=r"notes\.nc is not a results file"):
        results.load(text)
    other = tmp_path / "other.nc"
    xr.Dataset({"x": ("i", [1.0])}).to_netcdf(other, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"other\.nc is not a results file: result has no 'reward'; it holds x"):
        results.load(other)
    whole = results.save(synthetic_result(2), tmp_path / "whole.nc")
    cut = shutil.copy(whole, tmp_path / "cut.nc")
    with open(cut, "r+b") as file:
        file.truncate(whole.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"cut\.nc is not a results file, or was cut short"):
        results.load(cut)
