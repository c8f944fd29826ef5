"""How long a first result takes in a process that has just begun, and how much of it is compiling.

Each case runs in processes of its own, first with nothing compiled, then with what the first one kept. The floor is a
process that imports what bayesmdp cannot do without and compiles one function.

    python benchmarks/first_result.py                        # this checkout
    python benchmarks/first_result.py --against ../other     # and ratios to another one, case by case
    python benchmarks/first_result.py --programs infer-exact # which programs the time went into
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parents[1]

RIVER = """
import jax.numpy as jnp, numpy as np, numpyro, numpyro.distributions as dist
import bayesmdp as bm
river = bm.environments.riverswim(6)
swimming = np.arange(1, 5)[:, None]
def current(data):
    ahead = numpyro.sample("ahead", dist.Beta(2, 2))
    row = jnp.stack([(1 - ahead) / 13, (1 - ahead) * 12 / 13, ahead])
    transition = jnp.asarray(river.transition).at[swimming, 1, swimming + np.arange(-1, 2)].set(row)
    transition = numpyro.deterministic("transition", transition)
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)
log = bm.collect(river, policy="uniform", steps=300, seed=0)
"""

CASES = {
    "floor": "import jax, numpyro, arviz; jax.jit(lambda x: x + 1)(1.0)",
    "first-script": """
import arviz as az, bayesmdp as bm
from bayesmdp.models import dirichlet_transitions
lake = bm.environments.frozen_lake()
prior = dirichlet_transitions(lake, concentration=1 / 16)
log = bm.collect(lake, policy="uniform", steps=500, seed=0)
posterior = bm.infer(prior, log, draws=1_000, seed=1)
az.summary(posterior, var_names=["transition"])
plan = bm.plan(posterior, lake, risk=bm.Quantile(0.1))
agents = {"PSRL": bm.agents.psrl(prior), "AQ-BRMDP": bm.agents.aq_brmdp(prior)}
result = bm.simulate(lake, agents, steps=2_000, replicates=16, seed=0)
bm.plot_regret(result)
""",
    "infer-exact": RIVER + "mark(); bm.infer(current, log)",
    "infer-particles": RIVER + "mark(); bm.infer(current, log, method='smc')",
    "agent-particles": RIVER
    + "mark(); bm.simulate(river, {'A': bm.agents.aq_brmdp(bm.with_particles(current))}, steps=200, replicates=1)",
    "exact-quantile": RIVER
    + "posterior = bm.infer(bm.models.dirichlet_transitions(river), log)\n"
    + "mark(); bm.plan(posterior, river, bm.Quantile(0.1), quantile='exact')",
    "command-line": """
import sys, tempfile, os
os.chdir(tempfile.mkdtemp())
sys.argv = ["bayesmdp", "run", "aq-brmdp/riverswim-6"]
from bayesmdp.cli import main
try:
    main()
except SystemExit:
    pass
""",
}
"""What each process runs. What stands before ``mark()`` is not counted."""

METER = """
import json, os, time
began = [time.perf_counter()]
programs = []
def listen(event, seconds, **what):
    if event.endswith(("backend_compile_duration", "jaxpr_trace_duration", "jaxpr_to_mlir_module_duration")):
        programs.append((event.rsplit("/", 1)[-1], what.get("fun_name", ""), seconds))
import jax
jax.monitoring.register_event_duration_secs_listener(listen)
def mark():
    began[0] = time.perf_counter()
    programs.clear()
def tell():
    ended = time.perf_counter()
    with open(os.environ["TOLD"], "w") as file:
        json.dump({"seconds": ended - began[0], "programs": programs}, file)
"""


def first_result(case: str, checkout: Path, cache: str) -> dict[str, Any]:
    """What a process tells of a case: its seconds, and each program's."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        environment = os.environ | {
            "PYTHONPATH": str(checkout),
            "TOLD": str(told),
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "MPLBACKEND": "Agg",
        }
        done = subprocess.run(
            [sys.executable, "-c", f"{METER}{CASES[case]}\ntell()"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{case} in {checkout}: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(told.read_text())
    return found


def measure(case: str, checkout: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cold, and with what the cold one kept."""
    with tempfile.TemporaryDirectory() as cache:
        return first_result(case, checkout, cache), first_result(case, checkout, cache)


def compiling(told: dict[str, Any]) -> float:
    """Seconds of tracing, lowering and compiling."""
    return sum(seconds for _, _, seconds in told["programs"])


def number(told: dict[str, Any]) -> int:
    """Programs compiled, or read from disk."""
    return sum(kind == "backend_compile_duration" for kind, _, _ in told["programs"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--programs", choices=CASES)
    given = parser.parse_args()
    console = Console(width=130)
    if given.programs:
        seconds: dict[str, float] = defaultdict(float)
        for _, name, spent in measure(given.programs, HERE)[0]["programs"]:
            seconds[name] += spent
        table = Table("program", "s", title=f"{given.programs}, cold: tracing, lowering and compiling")
        for name, spent in sorted(seconds.items(), key=lambda item: -item[1])[:30]:
            table.add_row(name, f"{spent:.3f}")
        console.print(table)
        return
    columns = ("cold s", "of it compiling", "programs", "kept s")
    ratios = () if given.against is None else ("cold, ratio", "kept, ratio")
    table = Table("case", *columns, *ratios, title="first result of a process")
    for case in given.cases:
        checkouts = [HERE] if given.against is None else [HERE, given.against.resolve()]
        rounds = [[measure(case, checkout) for checkout in checkouts] for _ in range(given.rounds)]
        cold, kept = ([r[0][i] for r in rounds] for i in (0, 1))
        row = [median(told["seconds"] for told in cold), median(map(compiling, cold))]
        cells = [f"{row[0]:.2f}", f"{row[1]:.2f}", str(number(cold[0])), f"{median(t['seconds'] for t in kept):.2f}"]
        if given.against is not None:
            cells += [f"{median(r[0][i]['seconds'] / r[1][i]['seconds'] for r in rounds):.2f}" for i in (0, 1)]
        table.add_row(case, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
