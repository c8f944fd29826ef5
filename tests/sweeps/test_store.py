"""The store: numbers are those of `simulate`, chunks are whole, and nothing is mixed that does not match."""

from __future__ import annotations

import errno
import json
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from filelock import FileLock

from bayesmdp.models import dirichlet_transitions
from bayesmdp.studies import AgentSpec, find
from bayesmdp.sweeps import StoreError, Sweep, WorkerError, chunks, export, read_sweep, run_sweep
from bayesmdp.sweeps import run as engines
from bayesmdp.sweeps.store import Store, open_store
from tests.sweeps.stores import RIVER, contents, small_sweep


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small sweep's store."""
    return run_sweep(small_sweep(), tmp_path_factory.mktemp("sweep") / "small.zarr")


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(finished, tmp_path / "small.zarr"))


def test_xarray_opens_it_without_a_warning(finished: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xr.open_datatree(finished, engine="zarr")
    assert set(tree.children) == {"PSRL", "AQ-BRMDP"}
    assert tree["PSRL/regret"].dims == ("discount", "replicate", "step")
    assert tree["AQ-BRMDP/regret"].dims == ("discount", "scale", "replicate", "step")
    assert tree["AQ-BRMDP"]["scale"].values.tolist() == [0.5, 2.0]
    assert tree["step"].values.tolist() == list(range(2, 101, 2))
    assert (tree["AQ-BRMDP/steps_done"] == 100).all()
    assert {"versions", "seed", "study", "sources", "title"} <= set(tree.attrs)


def test_its_numbers_are_those_of_the_study_run_by_itself(finished: Path) -> None:
    study = find(RIVER).with_agents(["PSRL", "AQ-BRMDP"]).with_options({"AQ-BRMDP": {"num_draws": 20, "scale": 2.0}})
    study = replace(study, environment_options={"num_states": 6, "discount": 0.95})
    alone = study.run(steps=100, replicates=3, thin=2).to_dataset()
    tree = read_sweep(finished)
    for name in ("reward", "regret", "level", "period"):
        there = tree["AQ-BRMDP"][name].sel(discount=0.95, scale=2.0)
        np.testing.assert_array_equal(there, alone[name].sel(agent="AQ-BRMDP"))
    np.testing.assert_array_equal(tree["PSRL/regret"].sel(discount=0.95), alone["regret"].sel(agent="PSRL"))


def test_more_replicates_are_added_and_nothing_is_run_again(store: Path, tmp_path: Path) -> None:
    ran: list[Any] = []
    run_sweep(small_sweep(replicates=5), store, on_chunk=ran.append)
    assert {chunk.replicates for chunk in ran} == {(3,), (4,)}
    assert contents(store) == contents(run_sweep(small_sweep(replicates=5), tmp_path / "whole.zarr"))
    run_sweep(small_sweep(replicates=2), store, on_chunk=ran.append)
    assert len(ran) == 12
    assert read_sweep(store).sizes["replicate"] == 5


def test_more_steps_begin_with_those_that_were_there(store: Path, finished: Path) -> None:
    run_sweep(small_sweep(steps=200), store)
    longer, shorter = read_sweep(store), read_sweep(finished)
    assert longer["step"].values.tolist() == list(range(2, 201, 2))
    for agent in ("PSRL", "AQ-BRMDP"):
        assert (longer[agent]["steps_done"] == 200).all()
        np.testing.assert_array_equal(longer[agent]["regret"].isel(step=slice(50)), shorter[agent]["regret"])
        assert longer[agent]["regret"].notnull().all()


def test_values_of_options_and_agents_are_added(store: Path, tmp_path: Path) -> None:
    grid = {"environment.discount": [0.92, 0.9, 0.95], "AQ-BRMDP.scale": [0.5, 1.0, 2.0]}
    ran: list[Any] = []
    run_sweep(small_sweep(grid=grid), store, on_chunk=ran.append)
    assert len(ran) == 2 * (1 + 3 + 2)
    tree, whole = read_sweep(store), read_sweep(run_sweep(small_sweep(grid=grid), tmp_path / "whole.zarr"))
    for agent in ("PSRL", "AQ-BRMDP"):
        xr.testing.assert_identical(tree[agent].to_dataset(), whole[agent].to_dataset())
    other = {"environment.discount": grid["environment.discount"], "BRMDP-0.5.level": [0.4, 0.6]}
    fixed = {"BRMDP-0.5.num_draws": 20}
    run_sweep(small_sweep(grid=other, agents=["PSRL", "BRMDP-0.5"], settings=fixed, replicates=4), store)
    tree = read_sweep(store)
    assert list(tree.children) == ["PSRL", "AQ-BRMDP", "BRMDP-0.5"]
    # The option and what the agent records under the same name do not get in each other's way.
    np.testing.assert_allclose(tree["BRMDP-0.5/level_recorded"].sel(level=0.4), 0.4, rtol=1e-6)
    assert (tree["BRMDP-0.5/steps_done"] == 100).all()
    assert (tree["AQ-BRMDP/steps_done"].isel(replicate=3) == 0).all()


def test_steps_may_be_swept(tmp_path: Path) -> None:
    sweep = Sweep(RIVER, {"steps": [50, 100]}, agents=["PSRL"], replicates=2, thin=10)
    tree = read_sweep(run_sweep(sweep, tmp_path / "steps.zarr"))
    regret = tree["PSRL/regret"]
    np.testing.assert_array_equal(regret.sel(steps=50).isel(step=slice(5)), regret.sel(steps=100).isel(step=slice(5)))
    assert regret.sel(steps=50).isel(step=slice(5, None)).isnull().all()
    assert tree["PSRL/steps_done"].values.tolist() == [[50, 50], [100, 100]]


def test_a_chunk_counts_once_all_of_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    sweep, path = small_sweep(), tmp_path / "small.zarr"
    original = zarr.Array.__setitem__

    def failing(array: zarr.Array[Any], place: Any, values: Any) -> None:
        written.append(array.path)
        if len([name for name in written if name.endswith("regret")]) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(array, place, values)

    with monkeypatch.context() as patched:
        patched.setattr(zarr.Array, "__setitem__", failing)
        with pytest.raises(StoreError, match=r"no space is left where .*small.zarr is; what was finished is kept"):
            run_sweep(sweep, path)
    done = sum(int((read_sweep(path)[agent]["steps_done"] == 100).sum()) for agent in ("PSRL", "AQ-BRMDP"))
    assert 4 <= done <= 6
    run_sweep(sweep, path)
    assert contents(path) == contents(run_sweep(sweep, tmp_path / "whole.zarr"))


def test_two_runs_do_not_write_at_once(store: Path) -> None:
    before = contents(store)
    with open_store(store, small_sweep()), pytest.raises(StoreError, match="another run is writing"):
        run_sweep(small_sweep(replicates=5), store)
    assert contents(store) == before
    # Who may read needs no lock.
    with FileLock(f"{store}.lock"):
        assert read_sweep(store).sizes["replicate"] == 3


def _rewrite(store: Path, **attrs: Any) -> None:
    zarr.open_group(store, mode="r+", use_consolidated=False).attrs.update(attrs)


def test_numbers_of_other_versions_are_not_added(store: Path) -> None:
    versions = json.loads(read_sweep(store).attrs["versions"])
    _rewrite(store, versions=json.dumps(versions | {"jax": "0.1.2"}))
    before = contents(store)
    with pytest.raises(StoreError, match=r"computed with jax 0.1.2, here is .* install that version"):
        run_sweep(small_sweep(replicates=5), store)
    _rewrite(store, versions=json.dumps(versions), format=99)
    with pytest.raises(StoreError, match="has format 99"):
        run_sweep(small_sweep(replicates=5), store)
    _rewrite(store, format=1)
    assert {name for name in before if name != "zarr.json"} == {name for name in contents(store) if name != "zarr.json"}


def test_a_changed_model_is_refused(tmp_path: Path) -> None:
    source = (
        "from bayesmdp.models import dirichlet_transitions\n"
        "def weak(mdp, weight=1.0):\n"
        "    return dirichlet_transitions(mdp, concentration=weight / mdp.num_states)\n"
    )
    (tmp_path / "priors.py").write_text(source)
    study = replace(find(RIVER), prior=f"{tmp_path}/priors.py:weak", prior_options={}).with_agents(["PSRL"])
    sweep = Sweep(study, {"prior.weight": [1.0]}, replicates=2, steps=50)
    path = run_sweep(sweep, tmp_path / "own.zarr")
    before = contents(path)
    (tmp_path / "priors.py").write_text(source.replace("weight / mdp", "2 * weight / mdp"))
    with pytest.raises(StoreError, match=r"computed with another models.priors.py:weak, whose source has changed"):
        run_sweep(replace(sweep, replicates=3), path)
    assert contents(path) == before
    (tmp_path / "priors.py").write_text(source)
    run_sweep(replace(sweep, replicates=3), path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, "its seed is 0, not 1"),
        ({"thin": 5}, "its thin is 2, not 5"),
        ({"keep": ["regret"]}, "its keep is"),
        ({"settings": {"AQ-BRMDP.num_draws": 30}}, r"its agent AQ-BRMDP is .*'num_draws': 20.*, not .*30"),
        ({"settings": {"environment.num_states": 7}}, r"agent AQ-BRMDP is|environment_options is"),
        ({"grid": {"environment.discount": [0.9]}}, "AQ-BRMDP goes through environment.discount, AQ-BRMDP.scale, not"),
        ({"agents": ["PSRL"], "grid": {"prior.concentration": [1.0]}, "settings": {}}, "PSRL goes through"),
    ],
)
def test_another_sweep_is_refused(changes: dict[str, Any], told: str, store: Path) -> None:
    before = contents(store)
    with pytest.raises(StoreError, match=told):
        run_sweep(small_sweep(**changes), store)
    assert contents(store) == before


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="not a sweep's store"):
        run_sweep(small_sweep(), folder)
    zarr.open_group(tmp_path / "other.zarr", mode="w").attrs.update({"mine": 1})
    with pytest.raises(StoreError, match="but not a sweep's store"):
        run_sweep(small_sweep(), tmp_path / "other.zarr")
    assert contents(folder) == {"thesis.txt": b"years of work"}
    with pytest.raises(FileNotFoundError, match="bayesmdp sweep"):
        read_sweep(tmp_path / "none.zarr")


def test_a_part_is_exported(finished: Path, tmp_path: Path) -> None:
    path = export(finished, tmp_path / "part.nc", agents=["AQ-BRMDP"], select={"discount": 0.95, "scale": [2.0]})
    part, whole = xr.open_datatree(path, engine="h5netcdf"), read_sweep(finished)
    assert set(part.children) == {"AQ-BRMDP"}
    xr.testing.assert_equal(
        part["AQ-BRMDP/regret"].load(), whole["AQ-BRMDP/regret"].sel(discount=[0.95], scale=[2.0]).load()
    )
    assert part.attrs["versions"] == whole.attrs["versions"]
    with pytest.raises(KeyError, match=r"no agent 'AQ'"):
        export(finished, tmp_path / "part.nc", agents=["AQ"])
    with pytest.raises(KeyError, match=r"scale has no value 7.0 in .*; it has 0.5, 2.0"):
        export(finished, tmp_path / "part.nc", select={"scale": 7.0})
    with pytest.raises(KeyError, match=r"no option 'scales'"):
        export(finished, tmp_path / "part.nc", select={"scales": 7.0})


def test_words_and_lists_are_swept(tmp_path: Path) -> None:
    sweep = Sweep(
        RIVER,
        {"AQ-BRMDP.draws": ["fresh", "renewed"]},
        {"AQ-BRMDP.num_draws": 20},
        agents=["AQ-BRMDP"],
        replicates=1,
        steps=50,
        keep=["regret", "action"],
    )
    tree = read_sweep(run_sweep(sweep, tmp_path / "words.zarr"))
    assert tree["AQ-BRMDP"]["draws"].values.tolist() == ["fresh", "renewed"]
    assert set(tree["AQ-BRMDP"].data_vars) == {"regret", "action", "steps_done", "fingerprint"}
    assert tree["AQ-BRMDP/action"].dtype == np.int32
    assert tree["AQ-BRMDP/regret"].sel(draws="fresh").notnull().all()
    with pytest.raises(ValueError, match="keep names 'regrets'"):
        run_sweep(replace(sweep, keep=["regrets"]), tmp_path / "none.zarr")


def test_a_store_that_was_left_half_enlarged_is_mended(store: Path, tmp_path: Path) -> None:
    sweep = small_sweep(replicates=5)
    # As if killed after the first array had been enlarged.
    _rewrite(store, replicates=5)
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    group["PSRL/bound"].resize((2, 5, 50))  # type: ignore[union-attr]
    run_sweep(sweep, store)
    assert contents(store) == contents(run_sweep(sweep, tmp_path / "whole.zarr"))


def test_agents_may_sweep_options_of_one_name(tmp_path: Path) -> None:
    agents = {"A": AgentSpec("psrl"), "B": AgentSpec("psrl")}
    study = replace(find(RIVER), agents=agents)
    for name, (one, other) in {"first": ([5, 10, 20], [5, 10]), "second": ([5, 10], [5, 10, 20])}.items():
        sweep = Sweep(study, {"A.episode": one, "B.episode": other}, replicates=1, steps=20)
        path = run_sweep(sweep, tmp_path / f"{name}.zarr")
        tree = read_sweep(path)
        assert tree["A/regret"].sizes["episode"] == len(one)
        assert tree["B"]["episode"].values.tolist() == other
        # A value that only one of them has.
        part = xr.open_datatree(export(path, tmp_path / "part.nc", select={"episode": 20}), engine="h5netcdf")
        assert part["A"].sizes["episode"] + part["B"].sizes["episode"] == 1


def test_values_of_another_kind_are_added(tmp_path: Path) -> None:
    def sweep(*values: Any) -> Sweep:
        return Sweep(RIVER, {"prior.concentration": list(values)}, agents=["PSRL"], replicates=1, steps=20)

    path = run_sweep(sweep(1), tmp_path / "kinds.zarr")
    run_sweep(sweep(1, 2.5), path)
    run_sweep(sweep(0.25, 1, 2.5), path)
    tree = read_sweep(path)
    assert tree["concentration"].values.tolist() == [0.25, 1.0, 2.5]
    assert (tree["PSRL/steps_done"] == 20).all()
    alone = read_sweep(run_sweep(sweep(2.5), tmp_path / "alone.zarr"))
    np.testing.assert_array_equal(tree["PSRL/regret"].sel(concentration=[2.5]), alone["PSRL/regret"])


HELPER = "CONCENTRATION = {}\n"
PRIOR = """
import sys
sys.path.insert(0, {folder!r})
import {helper}
from bayesmdp.models import dirichlet_transitions

def mine(mdp):
    return dirichlet_transitions(mdp, concentration={helper}.CONCENTRATION)
"""


def test_what_a_model_imports_is_noticed_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "told_by_a_helper.py").write_text(HELPER.format(1.0))
    (tmp_path / "mine.py").write_text(PRIOR.format(folder=str(tmp_path), helper="told_by_a_helper"))
    study = replace(find(RIVER), prior=f"{tmp_path}/mine.py:mine", prior_options={}).with_agents(["PSRL"])
    path = run_sweep(Sweep(study, replicates=2, steps=50, chunk=1), tmp_path / "own.zarr")
    before = read_sweep(path)["PSRL/regret"].load()
    sys.modules["told_by_a_helper"].CONCENTRATION = 2.5
    chunks._made.cache_clear()
    with pytest.raises(StoreError, match="something that they import has changed"):
        run_sweep(Sweep(study, replicates=4, steps=50), path)
    np.testing.assert_array_equal(read_sweep(path)["PSRL/regret"].isel(replicate=slice(2)), before)
    del sys.modules["told_by_a_helper"]


def test_priors_that_differ_in_what_they_close_over_are_told_apart(tmp_path: Path) -> None:
    def prior_of(concentration: float) -> Any:
        return lambda mdp: dirichlet_transitions(mdp, concentration=concentration)

    def sweep(concentration: float, replicates: int) -> Sweep:
        study = replace(find(RIVER), prior=prior_of(concentration), prior_options={}).with_agents(["PSRL"])
        return Sweep(study, replicates=replicates, steps=50)

    path = run_sweep(sweep(1.0, 2), tmp_path / "closed.zarr")
    with pytest.raises(StoreError, match="whose source has changed"):
        run_sweep(sweep(2.5, 4), path)
    run_sweep(sweep(1.0, 4), path)
    other = AgentSpec("psrl", prior="dirichlet_transitions", prior_options=lambda: {"concentration": 3.0})
    lately = replace(find(RIVER), agents={"PSRL": other})
    path = run_sweep(Sweep(lately, replicates=1, steps=50), tmp_path / "lately.zarr")
    changed = replace(other, prior_options=lambda: {"concentration": 0.1})
    with pytest.raises(StoreError, match="holds another sweep: its agent PSRL"):
        run_sweep(Sweep(replace(lately, agents={"PSRL": changed}), replicates=2, steps=50), path)


def test_a_file_that_changes_between_two_sweeps_is_read_again(tmp_path: Path) -> None:
    source = "from bayesmdp.models import dirichlet_transitions as rows\ndef mine(mdp):\n    return rows(mdp, {})\n"
    regret = []
    for number, concentration in enumerate((1.0, 2.5)):
        (tmp_path / "mine.py").write_text(source.format(concentration))
        study = replace(find(RIVER), prior=f"{tmp_path}/mine.py:mine", prior_options={}).with_agents(["PSRL"])
        path = run_sweep(Sweep(study, replicates=2, steps=50), tmp_path / f"{number}.zarr")
        regret.append(read_sweep(path)["PSRL/regret"].values)
    assert not np.array_equal(*regret)


def test_a_worker_that_finds_other_files_is_refused(tmp_path: Path) -> None:
    with open_store(tmp_path / "small.zarr", small_sweep()) as store:
        task = engines._tasks(store, store.missing())[0]
    with pytest.raises(WorkerError, match=r"the source of the study is .* where a chunk was to run"):
        chunks.run_chunk(task._replace(sources=task.sources.replace('"models', '"model')))


def test_files_of_others_are_left_alone(store: Path, tmp_path: Path) -> None:
    (tmp_path / "mydata").mkdir()
    (tmp_path / "mydata" / "thesis.partial").write_text("years of work")
    with pytest.raises(StoreError, match="not a sweep's store"):
        run_sweep(small_sweep(), tmp_path / "mydata")
    left = store / f"zarr.{32 * 'a'}.partial"
    left.write_text("half a file")
    run_sweep(small_sweep(), store)
    assert (tmp_path / "mydata" / "thesis.partial").exists()
    assert not left.exists()
    # A run that was killed before it had written anything but this.
    (tmp_path / "young.zarr").mkdir()
    (tmp_path / "young.zarr" / left.name).write_text("half a file")
    run_sweep(small_sweep(), tmp_path / "young.zarr")


def test_a_store_without_results_may_be_another_sweeps(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep names 'regert'"):
        run_sweep(small_sweep(keep=["regert"]), tmp_path / "small.zarr")
    run_sweep(small_sweep(keep=["regret"]), tmp_path / "small.zarr")


def test_a_link_is_the_same_store(store: Path, tmp_path: Path) -> None:
    (tmp_path / "link.zarr").symlink_to(store)
    with open_store(store, small_sweep()), pytest.raises(StoreError, match="another run is writing"):
        run_sweep(small_sweep(replicates=5), tmp_path / "link.zarr")


def test_killed_while_it_was_laid_out_any_choice_of_agents_goes_on(tmp_path: Path) -> None:
    agents = {"A": AgentSpec("psrl"), "B": AgentSpec("psrl")}
    both = Sweep(replace(find(RIVER), agents=agents), {"B.episode": [5, 10]}, replicates=1, steps=20)
    only = Sweep(replace(find(RIVER), agents={"A": agents["A"]}), replicates=1, steps=20)
    path = run_sweep(only, tmp_path / "agents.zarr")
    with open_store(path, both):
        pass
    shutil.rmtree(path / "B" / "steps_done")
    run_sweep(only, path)
    run_sweep(both, path)
    assert (read_sweep(path)["B/steps_done"] == 20).all()


def test_readers_see_the_store_as_it_was_until_all_of_it_is_enlarged(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = zarr.Array.resize
    seen: list[int] = []

    def reading(array: zarr.Array[Any], shape: Any) -> None:
        original(array, shape)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            seen.append(xr.open_datatree(store, engine="zarr").sizes["replicate"])

    with monkeypatch.context() as patched:
        patched.setattr(zarr.Array, "resize", reading)
        with open_store(store, small_sweep(replicates=5)):
            pass
    assert set(seen) == {3}
    assert read_sweep(store).sizes["replicate"] == 5


def test_the_first_chunk_of_each_agent_goes_ahead(tmp_path: Path) -> None:
    with open_store(tmp_path / "small.zarr", small_sweep()) as store:
        assert isinstance(store, Store)
        missing = store.missing()
    assert [chunk.cell.agent for chunk in missing[:2]] == ["PSRL", "AQ-BRMDP"]
    assert len(missing) == len(set(missing)) == 12
