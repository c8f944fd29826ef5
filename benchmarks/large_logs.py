"""From a large log to a plan: seconds and memory of a whole process each, and how the cost grows with the states.

* ``bayesmdp plan`` on 1,000,000 steps of Gymnasium's Taxi (500 states, 6 actions) in a CSV file.
* Random MDPs of 12,500 to 100,000 states, 4 actions and up to 4 successors, 20 logged steps a state: posterior, 100
  draws, mean and .1-quantile plans and the posterior quantile value, all on successor tables.
* ICU-Sepsis at full size on the log of 5,000 patients: 200 draws.

Run: ``python benchmarks/large_logs.py``; some minutes.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

STATES = (12_500, 25_000, 50_000, 100_000)


def taxi_log(path, steps=1_000_000, walkers=1_000):
    """Uniformly random Taxi drivers, all at once, by inverting Gymnasium's own table."""
    import gymnasium
    import pandas as pd

    import bayesmdp as bm

    newest = max(name for name in gymnasium.registry if name.startswith("Taxi-v"))
    taxi = bm.environments.from_gymnasium(newest)
    rng = np.random.default_rng(0)
    cumulative = taxi.transition.cumsum(-1)
    start = rng.choice(taxi.num_states, size=walkers, p=taxi.initial)
    parts, state, age = [], start, 0
    for _ in range(steps // walkers):
        action = rng.integers(0, taxi.num_actions, walkers)
        outcome = (cumulative[state, action] <= rng.random(walkers)[:, None]).sum(-1)
        after = taxi.successor[state, action, outcome]
        rewards = taxi.reward[state, action]
        reward = rewards[:, 0] if rewards.shape[-1] == 1 else rewards[np.arange(walkers), outcome]
        age += 1
        terminated, truncated = taxi.terminal[after], np.full(walkers, age == 200)
        parts.append((state, action, reward, after, terminated, truncated & ~terminated))
        ended = terminated | truncated
        state = np.where(ended, rng.choice(taxi.num_states, size=walkers, p=taxi.initial), after)
        age = 0 if age == 200 else age
    # Driver by driver, so that one row follows from the other.
    columns = [np.stack(column, axis=1).ravel() for column in zip(*parts, strict=True)]
    names = ("state", "action", "reward", "next_state", "terminated", "truncated")
    last = np.arange(steps) % (steps // walkers) == steps // walkers - 1
    frame = pd.DataFrame(dict(zip(names, columns, strict=True)))
    frame["truncated"] |= last & ~frame["terminated"]
    frame.to_csv(path, index=False)


def sparse_plan(num_states):
    import bayesmdp as bm
    from bayesmdp.models import dirichlet_transitions

    rng = np.random.default_rng(0)
    successor = rng.integers(0, num_states, (num_states, 4, 4))
    transition = rng.dirichlet(np.ones(4), (num_states, 4))
    reward = rng.random((num_states, 4))
    world = bm.MDP(successor=successor, transition=transition, reward=reward, discount=0.95, name="sparse")
    log = bm.collect(world, steps=20 * num_states, seed=0)
    began = time.perf_counter()
    kept = bm.infer(dirichlet_transitions(world, 1 / 4), log, draws=0, mdp=world)
    posterior = bm.draw(kept, 100)
    bounds = [bm.plan(posterior, world).attrs["bound"]]
    plan = bm.plan(posterior, world, bm.Quantile(0.1))
    bounds.append(plan.attrs["bound"])
    del posterior
    worth = bm.quantile_value(bm.draw(kept, 100, seed=1), world, plan.policy, 0.1)
    return {"seconds": time.perf_counter() - began, "bound": max(bounds), "worth": float(worth.value.mean())}


def icu_plan():
    import bayesmdp as bm
    from bayesmdp.models import dirichlet_transitions

    icu = bm.environments.icu_sepsis()
    log = bm.collect(icu, bm.environments.clinicians_policy(), steps=46_000, seed=0)
    began = time.perf_counter()
    problem = bm.mdp_from_log(log, discount=icu.discount)
    kept = bm.infer(dirichlet_transitions(problem, 1 / problem.num_states), log, draws=0, mdp=problem)
    plan = bm.plan(bm.draw(kept, 200), problem, bm.Quantile(0.1))
    worth = bm.quantile_value(bm.draw(kept, 200, seed=1), problem, plan.policy, 0.1)
    return {"seconds": time.perf_counter() - began, "bound": plan.attrs["bound"], "worth": float(worth.initial)}


def alone(function, *arguments):
    """Result of a call in a process of its own, and that process's largest memory in GiB."""
    code = f"import large_logs, json, resource; r = large_logs.{function}(*{arguments!r}); "
    code += "print(json.dumps({**r, 'memory': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))"
    out = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    if out.returncode:
        raise RuntimeError(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def main():
    table = Table("", "seconds", "GiB", "bound", title="from log to plan, a process each")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "taxi.csv"
        writer = multiprocessing.get_context("spawn").Process(target=taxi_log, args=(log,))
        writer.start()
        writer.join()
        began = time.perf_counter()
        command = [str(Path(sys.executable).parent / "bayesmdp"), "plan", str(log), "--out", folder]
        done = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(done.pid, 0)
        assert status == 0
        seconds, memory = time.perf_counter() - began, usage.ru_maxrss / 2**20
        table.add_row("bayesmdp plan, Taxi, 1,000,000 rows", f"{seconds:.1f}", f"{memory:.2f}", "")
    icu = alone("icu_plan")
    table.add_row("ICU-Sepsis, 46,000 rows", *(f"{icu[key]:.3g}" for key in ("seconds", "memory", "bound")))
    seconds = []
    for num_states in STATES:
        found = alone("sparse_plan", num_states)
        seconds.append(found["seconds"])
        row = (f"{found[key]:.3g}" for key in ("seconds", "memory", "bound"))
        table.add_row(f"{num_states:,} states", *row)
    Console(width=120).print(table)
    exponent, _ = np.polyfit(np.log(STATES), np.log(seconds), 1)
    fixed, slope = np.polynomial.Polynomial.fit(STATES, seconds, 1).convert().coef
    print(f"seconds grow as states^{exponent:.2f}; or {fixed:.1f} s and {1e3 * slope:.2f} s a thousand states")


if __name__ == "__main__":
    main()
