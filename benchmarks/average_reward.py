"""Steps per second of the agents for the average reward on RiverSwim-6 (d = 12 features, one a pair), one thread.

* Each agent at T = 1,000, 10,000 and 100,000, after compilation; everything recorded. What a step costs must not grow
  with T; the variant that clips at visited states is also run on a continuous space, where it does, and is meant to.
* NumPy: gamma-LSCVI-UCB with the same rank-one updates, and as it is usually written, with a sum over all data.
* Microseconds a step where 18 states are visited of ever more, with 12 features: the variant that clips at visited
  states must not take longer. The one that clips by all states reads no successor tables, and has none of 100,000.

Run: ``python benchmarks/average_reward.py``; some minutes.
"""

import time

import numpy as np
from rich.console import Console
from rich.table import Table

import bayesmdp as bm
from bayesmdp.studies.average_reward import AGENTS
from bayesmdp.studies.study import Study

bm.keep_programs()

HORIZONS = (1_000, 10_000, 100_000)
STATES, REACHED = (20, 200, 2_000, 100_000), 18
RUNS = 4


def ring(num_states):
    """A ring of 18 states, all soon visited, among others that cannot be reached; on a successor table."""
    place, way = np.arange(REACHED)[:, None], np.array([-1, 1])
    successor = np.zeros((num_states, 2, 2), int)
    successor[:REACHED] = np.stack([(place + way) % REACHED, (place - way) % REACHED], -1)
    transition = np.zeros((num_states, 2, 2))
    transition[:REACHED], transition[REACHED:, :, 0] = (0.8, 0.2), 1
    reward, features = np.zeros((num_states, 2)), np.zeros((num_states, 2, 12))
    reward[:REACHED] = np.random.default_rng(0).random((REACHED, 2))
    features[:REACHED] = np.eye(12).reshape(6, 2, 12)[place[:, 0] // 3]
    return bm.MDP(transition=transition, successor=successor, reward=reward, features=features, discount=None)


def dense(mdp):
    """The same MDP without a successor table."""
    transition = np.zeros((mdp.num_states, 2, mdp.num_states))
    states, actions = np.ogrid[: mdp.num_states, :2]
    np.add.at(transition, (states[..., None], actions[..., None], mdp.successor), mdp.transition)
    return mdp.replace(transition=transition, successor=None)


def by_states(steps=20_000):
    """A table of microseconds a step by the number of states."""
    made = {"horizon": steps, "span": 3.0, "scale": 0.01}
    visited, oracle = bm.agents.gamma_lscvi_ucb_visited(**made), bm.agents.gamma_lscvi_ucb(**made)

    def microseconds(mdp, agent):
        result = bm.simulate(mdp, {"agent": agent}, steps=steps, replicates=RUNS, thin=steps, workers=1)
        return f"{result['timing'].to_dataset()['seconds'].values[0, 1:].min() / steps * 1e6:,.1f}"

    title = f"microseconds a step, {REACHED} states visited (the best of {RUNS - 1} runs)"
    table = Table("agent", *(f"S = {size:,}" for size in STATES), title=title)
    tables = {size: ring(size) for size in STATES}
    full = {size: dense(mdp) for size, mdp in tables.items() if size <= 2_000}
    table.add_row(
        "clipped at visited states, successor table", *(microseconds(mdp, visited) for mdp in tables.values())
    )
    table.add_row("clipped at visited states, dense", *(microseconds(mdp, visited) for mdp in full.values()), "-")
    table.add_row("clipped by all states, dense", *(microseconds(mdp, oracle) for mdp in full.values()), "-")
    return table


def speeds(study, mdp, steps):
    """Steps per second by agent: the median over runs, of which the first, that compiles, is left out."""
    agents = study.make_agents(mdp, study.make_prior(mdp), steps)
    result = bm.simulate(mdp, agents, steps=steps, replicates=RUNS, workers=1)
    seconds = result["timing"].to_dataset()["seconds"].isel(replicate=slice(1, None)).median("replicate")
    return dict(zip(agents, steps / seconds.values, strict=True))


def numpy_speed(mdp, steps, *, horizon, span, scale=0.003, all_data):
    """Steps per second of gamma-LSCVI-UCB in NumPy."""
    rng = np.random.default_rng(0)
    size, gamma, width = mdp.num_states * mdp.num_actions, 1 - horizon**-0.5, 2 * span
    phi = np.eye(size).reshape(mdp.num_states, mdp.num_actions, size)
    cap, beta = 1 / (1 - gamma), scale * width * size * np.sqrt(np.log(size * horizon / 0.1))
    cumulative, reward = np.cumsum(mdp.transition, -1), mdp.reward[..., 0]
    matrix, inverse, log_det = np.eye(size), np.eye(size), 0.0
    moved, value, seen, s, ended = np.zeros((size, mdp.num_states)), np.full(mdp.num_states, cap), [], 0, True
    began = time.perf_counter()
    for _ in range(steps):
        if ended:
            known, known_log_det, known_moved, data = inverse.copy(), log_det, moved.copy(), list(seen)
            length = np.sqrt(np.einsum("sad,de,sae->sa", phi, known, phi))
            pool = np.full(reward.shape, -np.inf)
        least = value.min()
        if all_data:
            total = sum((phi[i, j] * (value[k] - least) for i, j, k in data), np.zeros(size))
        else:
            total = known_moved @ (value - least)
        q = np.minimum(reward + gamma * (phi @ (known @ total) + least + beta * length), cap)
        pool = np.maximum(pool, q)
        value = np.minimum(q.max(-1), q.max(-1).min() + width)
        a = pool[s].argmax()
        t = int((cumulative[s, a] <= rng.random()).sum())
        feature = phi[s, a]
        along = inverse @ feature
        matrix += np.outer(feature, feature)
        inverse = inverse - np.outer(along, along) / (1 + feature @ along)
        log_det += np.log1p(feature @ along)
        moved[:, t] += feature
        seen.append((s, a, t))
        ended, s = log_det > known_log_det + np.log(2), t
    return steps / (time.perf_counter() - began)


def main():
    river = bm.environments.riverswim(6, discount=None)
    span = bm.solve(river).attrs["span"]
    study = Study("speed", "riverswim", "dirichlet_transitions", AGENTS)
    columns = {steps: speeds(study, river, steps) for steps in HORIZONS}
    table = Table("agent", *(f"T = {steps:,}" for steps in HORIZONS), title="steps per second on RiverSwim-6")
    for name in AGENTS:
        table.add_row(name, *(f"{columns[steps][name]:,.0f}" for steps in HORIZONS))
    for name, all_data, most in (("rank-one updates", False, 100_000), ("a sum over all data", True, 1_000)):
        found = [
            f"{numpy_speed(river, steps, horizon=steps, span=span, all_data=all_data):,.0f}" if steps <= most else "-"
            for steps in HORIZONS
        ]
        table.add_row(f"gamma-LSCVI-UCB in NumPy, {name}", *found)
    machine = bm.environments.wearing_machine()
    short = (500, 1_000, 2_000, 4_000)
    grows = Table("agent", *(f"T = {steps:,}" for steps in short), title="steps per second on the wearing machine")
    named = {"gamma-LSCVI-UCB, visited": AGENTS["gamma-LSCVI-UCB, visited"]}
    study = Study("speed", "wearing_machine", None, named)
    grows.add_row(*named, *(f"{speeds(study, machine, steps)[next(iter(named))]:,.0f}" for steps in short))
    Console(width=110).print(table, grows, by_states())


if __name__ == "__main__":
    main()
