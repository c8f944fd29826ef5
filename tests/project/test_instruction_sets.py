"""Plans are as good as their certificates say, whatever instructions XLA compiles for: checked by sorting in NumPy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import oracles
from tests.instruction_sets import CASES, RISKS, SHAPES, cases

ROOT = Path(__file__).parents[2]
SETS = {"SSE4_2": "sse4_2", "AVX2": "avx2", "AVX512": "avx512f"}
"""Names that XLA takes, and those of the processor's flags."""
EPSILON = np.finfo(float).eps


def supported() -> list[str]:
    """Sets that this machine has; XLA knows them by these names on x86 only."""
    told = Path("/proc/cpuinfo")
    flags = told.read_text().split() if told.exists() else []
    return [name for name, flag in SETS.items() if flag in flags]


def computed_under_each(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """What `tests.instruction_sets` computes under each set, or under XLA's own choice where there are none."""
    found = {}
    for name in supported() or ["chosen"]:
        flags = os.environ.get("XLA_FLAGS", "") + (f" --xla_cpu_max_isa={name}" if name in SETS else "")
        subprocess.run(
            [sys.executable, "-m", "tests.instruction_sets", str(folder / f"{name}.npz")],
            cwd=ROOT,
            # Programs kept on disk are named by what they compute, not by the instructions that they are made of.
            env=os.environ | {"XLA_FLAGS": flags.strip(), "JAX_ENABLE_COMPILATION_CACHE": "false"},
            check=True,
        )
        with np.load(folder / f"{name}.npz") as stored:
            found[name] = dict(stored)
    return found


# One test, since what it checks takes minutes to compute and every worker would compute it anew.
@pytest.mark.slow
def test_every_certificate_holds_and_roundings_are_all_that_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    computed = computed_under_each(tmp_path)
    checked = sum(certificates_checked(computed, shape) for shape in SHAPES)
    assert checked == len(computed) * len(SHAPES) * CASES * 2 * len(RISKS)
    reference, *others = computed.values()
    apart = {
        name: max((float(np.abs(np.asarray(other[name], float) - value).max()) for other in others), default=0.0)
        for name, value in reference.items()
    }
    for name in apart:
        if name.startswith("plan/") and name.endswith("/value"):
            bound = max(found[name.replace("/value", "/bound")].max() for found in computed.values())
            assert apart[name] <= 2 * bound, name
    # What agents and posteriors do may turn on a rounding, so it is reported.
    parts = {name.rsplit("/", 1)[-1] for name in apart}
    largest = {part: max(apart[name] for name in apart if name.endswith(f"/{part}")) for part in sorted(parts)}
    with capsys.disabled():
        sys.stdout.write(f"\nlargest differences between {', '.join(computed)}: {largest}\n")


def certificates_checked(computed: dict[str, dict[str, np.ndarray]], shape: tuple[int, int, int]) -> int:
    """How many plans were computed again in NumPy: each has the residual that it claims, so that its bound is one."""
    measures = {
        "quantile": oracles.over_draws,
        "cvar": oracles.tail_means,
        "mean": lambda targets, level: targets.mean(0),
    }
    assert set(measures) == set(RISKS)
    number = 0
    for chosen, found in computed.items():
        for solver, (risk, measure) in itertools.product(("sweeps", "policies"), measures.items()):
            name = f"plan/{'-'.join(map(str, shape))}/{solver}-{risk}"
            value, policy, residual, bound = (
                found[f"{name}/{part}"] for part in ("value", "policy", "residual", "bound")
            )
            for index, case in enumerate(cases(shape)):
                q = measure(oracles.targets(case.kernels, case.reward, case.discount, value[index]), case.level)
                true = np.abs(q.max(-1) - value[index]).max()
                rounding = 8 * EPSILON * (shape[0] if risk == "cvar" else shape[1]) * (1 + np.abs(value[index]).max())
                where = f"{chosen}, {name}, case {index}"
                assert true <= residual[index] + rounding, where
                assert true / (1 - case.discount) <= bound[index] + rounding / (1 - case.discount), where
                followed = np.take_along_axis(q, policy[index][:, None], 1)[:, 0]
                assert (followed >= q.max(-1) - 2 * true - rounding).all(), where
                number += 1
    return number
