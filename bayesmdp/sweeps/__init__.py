"""Sweeps: studies over grids of settings, resumable, on as many machines as there are."""

from bayesmdp.results.sweep_files import StoreError, export, read_sweep
from bayesmdp.sweeps.chunks import WorkerError
from bayesmdp.sweeps.run import run_sweep
from bayesmdp.sweeps.sweep import Sweep
from bayesmdp.sweeps.sweep_file import read_sweep_file, shipped_sweeps

__all__ = [
    "StoreError",
    "Sweep",
    "WorkerError",
    "export",
    "read_sweep",
    "read_sweep_file",
    "run_sweep",
    "shipped_sweeps",
]
