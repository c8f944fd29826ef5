"""A hundred million rows to a plan: seconds and memory of whole processes, beside what the engine needs at the least.

* A Parquet file of 100 states and 5 actions, walkers of 100 steps one after the other; rewards of few different
  numbers, or Normal about them. Read and grouped by `read_log`, and by Polars alone: the same columns, counted, without
  a look at their order. Then the whole of ``bayesmdp plan``.
* The first 2,000,000 rows as CSV and as Parquet: `read_log`, row by row and counted, beside Polars alone, and beside
  pandas, which only parses them.

Run: ``python benchmarks/long_logs.py [ROWS]``; some minutes and 2 GB of disk for the 100,000,000 rows that are the
default.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

STATES, ACTIONS, STEPS, WALKERS, SHORT = 100, 5, 100, 10_000, 2_000_000
COLUMNS = ["state", "action", "reward", "next_state", "terminated", "truncated"]

PROGRAMS = {
    "nothing but imports": "",
    "read_log, counted": "log = bm.read_log(path, distinct=True); told = log.sizes['step']",
    "read_log, row by row": "log = bm.read_log(path); told = log.sizes['step']",
    "Polars alone": "told = len(scan(path).group_by(columns).agg(polars.len()).collect(engine='streaming'))",
    "pandas alone": "told = len(pandas.read_csv(path, dtype=str))",
}

PROGRAM = """
import json, resource, time
import pandas, polars, bayesmdp as bm
from bayesmdp.logs import read_log
path, columns, told = {path!r}, {columns!r}, 0
scan = polars.scan_parquet if path.endswith("parquet") else lambda path: polars.scan_csv(path, infer_schema=False)
wall, work = time.perf_counter(), time.process_time()
{program}
spent = time.perf_counter() - wall, time.process_time() - work
print(json.dumps([*spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, told]))
"""


def write_log(path, rows, noise):
    """Walk, all walkers at once, and write their steps one walker after the other."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    until = rng.dirichlet(np.full(STATES, 0.05), (STATES, ACTIONS)).cumsum(-1)
    until[..., -1] = 1
    mean = np.round(rng.normal(size=(STATES, ACTIONS)), 2)
    writer, done = None, 0
    while done < rows:
        state, parts = rng.integers(0, STATES, WALKERS), []
        for _ in range(STEPS):
            action = rng.integers(0, ACTIONS, WALKERS)
            after = (until[state, action] < rng.random(WALKERS)[:, None]).sum(-1)
            paid = mean[state, action] + noise * rng.normal(size=WALKERS)
            parts.append((state, action, paid, after))
            state = after
        columns = [np.stack(column, 1).ravel() for column in zip(*parts, strict=True)]
        last = np.arange(len(columns[0])) % STEPS == STEPS - 1
        table = pa.table(dict(zip(COLUMNS, [*columns, np.zeros(len(last), bool), last], strict=True)))
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
        done += len(last)
    writer.close()


def alone(program, path):
    """Seconds, seconds of processors, GiB and what is told, of a process of its own."""
    code = PROGRAM.format(path=str(path), columns=COLUMNS, program=PROGRAMS[program])
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if out.returncode:
        raise RuntimeError(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def planned(path, folder):
    """The same of ``bayesmdp plan``."""
    command = [str(Path(sys.executable).parent / "bayesmdp"), "plan", str(path), "--discount", "0.95", "--out", folder]
    began = time.perf_counter()
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(done.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20, 0


def main(rows=100_000_000):
    import polars as pl

    table = Table("", "seconds", "of processors", "GiB", "rows told", title=f"{rows:,} rows, a process each")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"

        def add(name, told):
            table.add_row(name, f"{told[0]:.2f}", f"{told[1]:.2f}", f"{told[2]:.2f}", f"{told[3]:,}" if told[3] else "")

        for noise in (0, 1):
            write_log(path, rows, noise)
            for program in ["read_log, counted", *(["Polars alone"] if not noise else [])]:
                add(f"{program}, {'noisy' if noise else 'few'} rewards", alone(program, path))
            add(f"bayesmdp plan, {'noisy' if noise else 'few'} rewards", planned(path, folder))
        short = pl.scan_parquet(path).head(SHORT).collect()
        short.write_csv(Path(folder) / "short.csv")
        short.write_parquet(Path(folder) / "short.parquet")
        for ending in ("csv", "parquet"):
            readers = (
                "read_log, counted",
                "read_log, row by row",
                "Polars alone",
                *(["pandas alone"] * (ending == "csv")),
            )
            for program in ("nothing but imports", *readers):
                told = alone(program, Path(folder) / f"short.{ending}")
                add(f"{program}, {ending} of {SHORT:,} rows", told)
    Console(width=120).print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
