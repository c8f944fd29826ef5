"""Sweeps: two workers against one, what a chunk costs beside its runs, and memory as replicates grow.

AQ-BRMDP on RiverSwim-6, 5,000 steps. Times are from the first stored chunk to the last, when all programs are compiled;
the limit is the time that the runs themselves take.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = {"agents": ["AQ-BRMDP"], "steps": 5_000}
STUDY = "aq-brmdp/riverswim-6"


def run(workers: int | None, replicates: int, chunk: int = 8, steps: int = 5_000) -> tuple[float, int]:
    """Seconds from the first stored chunk to the last, and the runs in between."""
    from bayesmdp.sweeps import Sweep, run_sweep

    sweep = Sweep(
        STUDY,
        {"AQ-BRMDP.scale": [0.5, 1.0, 2.0, 4.0]},
        **{**SWEEP, "steps": steps, "replicates": replicates, "chunk": chunk},
    )
    stamps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run_sweep(
            sweep, Path(folder) / "s.zarr", workers=workers, on_chunk=lambda _: stamps.append(time.perf_counter())
        )
    # The first chunk of each worker compiles, or loads, its program.
    skip = 2 * (workers or 2)
    return stamps[-1] - stamps[skip - 1], (len(stamps) - skip) * chunk


def overhead() -> None:
    """A chunk on one thread against the runs in it, and its commit."""
    from bayesmdp.sweeps import Sweep
    from bayesmdp.sweeps.chunks import run_chunk
    from bayesmdp.sweeps.run import _tasks
    from bayesmdp.sweeps.store import open_store

    for chunk in (1, 8, 32):
        sweep = Sweep(STUDY, {"AQ-BRMDP.scale": [0.5, 1.0, 2.0]}, **SWEEP, replicates=chunk, chunk=chunk)
        with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "s.zarr", sweep) as store:
            missing = store.missing()
            tasks = _tasks(store, missing)
            run_chunk(tasks[0])
            study = sweep.problem_of(missing[1].cell).with_options({"AQ-BRMDP": {"scale": 1.0}})
            rows = []
            for number, task in list(enumerate(tasks))[1:] * 3:
                began = time.perf_counter()
                arrays = run_chunk(task)
                ran = time.perf_counter()
                store.commit(missing[number], arrays)
                committed = time.perf_counter()
                alone = float(study.run(replicates=chunk, workers=1, thin=100)["timing"]["seconds"].sum())
                rows.append((ran - began, committed - ran, alone))
            whole, commit, alone = (sorted(column)[len(column) // 2] for column in zip(*rows, strict=True))
        share = (whole - alone) / alone
        print(f"chunk of {chunk:2}: {whole:.3f} s, runs {alone:.3f} ({share:+.1%} beside them); commit {commit:.3f} s")


def limit() -> float:
    """Two bare processes, which know nothing of each other, against one: what two cores give at most."""
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); from sweeps import bare; bare(sys.argv[1])"
    rates = []
    for count in (1, 2):
        start = str(time.time() + 20)
        processes = [
            subprocess.Popen([sys.executable, "-c", code, start], stdout=subprocess.PIPE) for _ in range(count)
        ]
        rates.append(sum(float(process.communicate()[0]) for process in processes))
    print(f"bare processes: {rates[0]:.1f} and {rates[1]:.1f} runs/s, two are {rates[1] / rates[0]:.2f} times one")
    return rates[1]


def bare(start: str) -> None:
    """Runs a second of this process alone, from a given time on."""
    from bayesmdp.studies import find

    study = find(STUDY).with_agents(["AQ-BRMDP"])
    study.run(replicates=1, steps=5_000, thin=100, workers=1)
    time.sleep(max(0.0, float(start) - time.time()))
    began = time.perf_counter()
    study.run(replicates=200, steps=5_000, thin=100, workers=1)
    print(200 / (time.perf_counter() - began))


def memory() -> None:
    """Peak memory of a process that runs a sweep, as replicates grow."""
    for replicates in (16, 128, 1_024):
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from sweeps import run\n"
            f"run(None, {replicates}, steps=500)\n"
            "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        print(f"{4 * replicates:6,} runs: peak {int(told.stdout) / 1024:.0f} MB")


if __name__ == "__main__":
    from bayesmdp.foundation.compiled_programs import keep_programs

    keep_programs()
    overhead()
    for _ in range(2):
        most, rates = limit(), {}
        for workers in (1, 2, None):
            seconds, runs = run(workers, 128, chunk=32)
            rates[workers] = runs / seconds
            print(f"{f'{workers} processes' if workers else 'threads'}: {runs / seconds:.1f} runs/s")
        print(
            f"two workers are {rates[2] / rates[1]:.2f} times one, {rates[2] / most:.0%} of two bare processes; "
            f"threads {rates[None] / rates[1]:.2f} times one worker"
        )
    memory()
    print(f"(this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB)")
