"""However a sweep is run, cut up, interrupted or killed, its store is the same to the last byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from bayesmdp.sweeps import StoreError, Sweep, read_sweep, run_sweep
from bayesmdp.sweeps.chunks import PACKAGES, current_versions
from tests.sweeps.stores import RIVER, contents, small_sweep

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

MANY = """
study = "aq-brmdp/riverswim-6"
agents = ["PSRL"]
replicates = 40
steps = 500
thin = 10
chunk = 1

[grid.environment]
discount = [0.9, 0.93, 0.96, 0.99]
"""
RUNS = 160


def start(toml: Path, store: Path, *arguments: str) -> subprocess.Popen[str]:
    """A run of the command line, its progress on a pipe."""
    command = [sys.executable, "-m", "bayesmdp.cli", "sweep", str(toml), "--out", str(store), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(toml: Path, store: Path, *arguments: str) -> str:
    """What a run of the command line that must end well told of itself."""
    run = start(toml, store, *arguments)
    _, told = run.communicate(timeout=300)
    assert run.returncode == 0, told
    return told


def stored(store: Path) -> int:
    """Runs that count."""
    return len(list(store.glob("PSRL/steps_done/c/*/*")))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A sweep of many small chunks, and what is in its store after a run in peace, on threads of one process."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.toml").write_text(MANY)
    finish(folder / "many.toml", folder / "peace.zarr")
    return folder / "many.toml", contents(folder / "peace.zarr")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers, as of a Dask cluster."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as made:
        yield made


@pytest.mark.slow
def test_one_process_two_processes_and_a_cluster_give_the_same(
    many: tuple[Path, dict[str, bytes]], cluster: LocalCluster, tmp_path: Path
) -> None:
    toml, peace = many
    for name, arguments in {"one": ("--workers", "1"), "two": ("--workers", "2")}.items():
        finish(toml, tmp_path / f"{name}.zarr", *arguments)
        assert contents(tmp_path / f"{name}.zarr") == peace, name
    finish(toml, tmp_path / "dask.zarr", "--dask", cluster.scheduler_address)
    assert contents(tmp_path / "dask.zarr") == peace
    with Client(cluster) as client:
        here = run_sweep(small_sweep(), tmp_path / "client.zarr", client=client)
    assert contents(here) == contents(run_sweep(small_sweep(), tmp_path / "threads.zarr"))


@pytest.mark.slow
def test_killed_at_six_random_moments_nothing_is_lost(many: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    toml, peace = many
    store, luck = tmp_path / "killed.zarr", random.Random(7)
    added = []
    for _ in range(6):
        before = stored(store)
        run = start(toml, store, "--workers", "2")
        # Some die while they start, the others from the first chunk on; each adds a little.
        deadline = time.monotonic() + (luck.uniform(0.1, 8.0) if luck.random() < 0.25 else 120.0)
        while stored(store) <= before and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.002)
        time.sleep(luck.uniform(0, 0.15))
        run.send_signal(signal.SIGKILL)
        # The pipes close when the last of its processes has gone too.
        run.communicate(timeout=60)
        added.append(stored(store) - before)
    assert stored(store) < RUNS, "the sweep is too small to be killed six times"
    assert sum(number > 0 for number in added) >= 3, "the kills are too early to try anything"
    told = finish(toml, store, "--workers", "2")
    assert f"already contains {stored_before(told)} of {RUNS} runs" in told
    assert contents(store) == peace


def stored_before(told: str) -> str:
    """What the run said that it found."""
    return told.partition(" already contains ")[2].partition(" of ")[0]


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_chunk_loses_nothing(cluster: LocalCluster, tmp_path: Path) -> None:
    sweep = Sweep(RIVER, {"AQ-BRMDP.scale": [0.5, 2.0]}, agents=["AQ-BRMDP"], replicates=48, steps=5_000, chunk=24)
    killed = []
    with Client(cluster) as client:

        def kill() -> None:
            # When both are at work.
            while not all(client.processing().values()) or len(client.processing()) < 2:
                time.sleep(0.05)
            worker = next(address for address, tasks in client.processing().items() if tasks)
            time.sleep(0.5)
            killed.append(client.run(os.getpid, workers=[worker])[worker])
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        run_sweep(sweep, tmp_path / "killed.zarr", client=client)
        killer.join()
    assert killed
    assert contents(tmp_path / "killed.zarr") == contents(run_sweep(sweep, tmp_path / "peace.zarr"))


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["threads", "processes"])
def test_ctrl_c_stops_within_seconds(
    arguments: tuple[str, ...], many: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    toml, peace = many
    store = tmp_path / "stopped.zarr"
    run = start(toml, store, *arguments)
    while stored(store) < 5 and run.poll() is None:
        time.sleep(0.002)
    asked = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert time.monotonic() - asked < 10
    assert run.returncode == 130
    assert f"Interrupted: finished runs are in {store}" in told
    assert "Traceback" not in told
    assert 5 <= stored(store) < RUNS
    finish(toml, store)
    assert contents(store) == peace


@pytest.mark.slow
def test_who_comes_second_is_refused(many: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    toml, _ = many
    store = tmp_path / "shared.zarr"
    first = start(toml, store, "--workers", "1")
    while stored(store) < 1 and first.poll() is None:
        time.sleep(0.01)
    # Held still, so that it is there however fast the machine is.
    first.send_signal(signal.SIGSTOP)
    second = start(toml, store)
    _, told = second.communicate(timeout=120)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert second.returncode == 2
    assert told.splitlines()[-1].startswith(f"bayesmdp: another run is writing to {store}")
    # The lock went with the run that held it.
    with pytest.raises(StoreError, match="holds another sweep"):
        run_sweep(Sweep(RIVER, {"environment.discount": [0.9]}, agents=["PSRL"], seed=3), store)


def test_a_worker_of_other_versions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bayesmdp.sweeps import run as engines

    assert all(f'"{package}"' in current_versions() for package in PACKAGES)
    monkeypatch.setattr(engines, "current_versions", lambda: '{"bayesmdp": "0.0.1"}')
    with pytest.raises(RuntimeError, match=r"a worker has other versions, .* than the sweep, .*0.0.1"):
        run_sweep(small_sweep(), tmp_path / "mixed.zarr")
    assert (read_sweep(tmp_path / "mixed.zarr")["PSRL/steps_done"] == 0).all()


def test_engines_are_asked_for_rightly(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give one of them"):
        run_sweep(small_sweep(), tmp_path / "none.zarr", workers=1, client="tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match="workers must be a whole number, at least 1; got 0"):
        run_sweep(small_sweep(), tmp_path / "none.zarr", workers=0)
    assert not (tmp_path / "none.zarr").exists()
