"""Replicates on threads: each program is compiled once, before runs start together."""

from threading import Barrier, Lock
from typing import NamedTuple

import pytest
import xarray as xr

from bayesmdp.simulation.threads import run_replicates


class Finished(NamedTuple):
    seconds: float = 0.0


def join(runs):
    return xr.DataTree(xr.Dataset({"runs": len(runs)}))


def test_programs_are_compiled_once_and_then_all_replicates_start_together():
    together, compiled = Barrier(3, timeout=20), []

    def run(agent, replicate):
        assert sorted(compiled) == ["A", "C"]
        together.wait()  # broken, and so an error, unless three runs are under way at once
        return Finished()

    programs = {"A": "one", "B": "one", "C": "another"}
    result = run_replicates(
        run, programs, [4], join, compile_ahead=lambda agent, replicate: compiled.append(agent), workers=3
    )
    assert int(result["runs"]) == 3


def test_without_a_way_to_compile_the_first_run_of_each_program_goes_ahead():
    lock, order = Lock(), []

    def run(agent, replicate):
        with lock:
            order.append((agent, replicate))
        return Finished()

    run_replicates(run, {"A": "one", "B": "one", "C": "another"}, range(3), join, workers=2)
    assert set(order[:2]) == {("A", 0), ("C", 0)}
    assert len(order) == len(set(order)) == 9


def test_what_goes_wrong_while_programs_are_compiled_is_raised():
    def broken(agent, replicate):
        raise ValueError("a model that cannot be read")

    with pytest.raises(ValueError, match="cannot be read"):
        run_replicates(lambda agent, replicate: Finished(), {"A": 1}, [0], join, compile_ahead=broken)
