"""Side-by-side timing: every contender in turn, several rounds, medians and ratios of the same run."""

from __future__ import annotations

import os

# Numerical libraries get one thread each, so that a contender's core count is what its row says.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import time
from collections.abc import Callable, Mapping
from statistics import median

from rich.console import Console
from rich.table import Table

from bayesmdp.foundation.compiled_programs import keep_programs

keep_programs()


def race(
    title: str, contenders: Mapping[str, Callable[[], object]], *, work: float = 1, unit: str = "", rounds: int = 7
) -> dict[str, float]:
    """Time each contender `rounds` times in turn, after one call to warm up; print and return median seconds.

    `work` is how many units (steps, plans) a call does. The ratio column compares with the first contender.
    """
    for contender in contenders.values():
        contender()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            began = time.perf_counter()
            contender()
            seconds[name].append(time.perf_counter() - began)
    table = Table("", "median s", "fastest", "slowest", f"{unit}/s", "times the first", title=title)
    medians = {name: median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    for name, values in seconds.items():
        row = (medians[name], min(values), max(values), work / medians[name], medians[name] / first)
        table.add_row(name, *(f"{value:,.4g}" for value in row))
    Console(width=120).print(table)
    return medians
