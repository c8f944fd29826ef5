"""How the cost of learning grows: exponents of the processor's time, fitted over sizes, beside what theory says.

An exponent e means that twice as much costs 2^e times as much. Each is a least-squares slope in logs, over four or more
sizes, of processor seconds of one thread after compilation; the least of two runs each. Problems are Garnets (random
MDPs on a successor table) of 24 states, 4 actions and 4 outcomes unless said, and queues, whose policies are evaluated
within a narrow envelope; discount .95. Small problems do not reach what theory says of large ones: a plan has parts
that cost the same at any size.

Run: ``python benchmarks/growth.py``; some minutes.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import _timing  # noqa: F401  first: it sets how many threads there are
import numpy as np
from rich.console import Console
from rich.table import Table

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions

STEPS, ROUNDS, REPLICATES = 2_000, 2, 1


class Growth(NamedTuple):
    """An agent at sizes of one kind.

    Attributes
    ----------
    family, of : str
        The agent's, and what grows.
    theory : str
        The exponent that theory says, for large sizes.
    sizes : sequence of int
    make : callable
        ``make(size) -> (mdp, agent, keywords of simulate)``.
    """

    family: str
    of: str
    theory: str
    sizes: Sequence[int]
    make: Callable[[int], tuple]


def garnet(num_states=24, num_actions=4, branching=4):
    mdp = bm.environments.garnet(num_states, num_actions, branching, seed=1).with_successors()
    return mdp, dirichlet_transitions(mdp)


def queue(capacity):
    mdp = bm.environments.queue(0.4, capacity=capacity)
    return mdp, dirichlet_transitions(mdp)


def learning(maker, problem=garnet, /, **made):
    """One agent in one problem, with its numbers of steps and replicates left out."""
    return lambda **sizes: (lambda mdp, prior: (mdp, maker(prior, **made), {}))(*problem(**sizes))


def average(steps):
    river = bm.environments.riverswim(6, discount=None)
    return river, bm.agents.gamma_lscvi_ucb(horizon=steps, span=6.31), {"steps": steps}


def longer(maker, steps, **made):
    mdp, prior = garnet()
    return mdp, maker(prior, **made), {"steps": steps}


def growths():
    psrl, beb, aq = bm.agents.psrl, bm.agents.beb, bm.agents.aq_brmdp
    for name, maker in (("PSRL", psrl), ("BEB", beb)):
        on_garnets, on_queues = learning(maker), learning(maker, queue)
        yield Growth(name, "states, Garnet", "3", (24, 48, 96, 128), lambda n, on=on_garnets: on(num_states=n))
        yield Growth(name, "states, queue", "1", (24, 49, 99, 199), lambda n, on=on_queues: on(capacity=n))
        yield Growth(name, "actions", "1", (2, 4, 8, 16), lambda n, on=on_garnets: on(num_actions=n))
        yield Growth(name, "outcomes", "1", (2, 4, 8, 16), lambda n, on=on_garnets: on(branching=n))
        yield Growth(name, "steps", "1", (8_000, 16_000, 32_000, 64_000), lambda n, maker=maker: longer(maker, n))
    few = learning(aq, num_draws=50)
    yield Growth("AQ-BRMDP", "states, Garnet", "1 to 3", (12, 24, 48, 96), lambda n: few(num_states=n))
    yield Growth("AQ-BRMDP", "actions", "1", (2, 4, 8, 16), lambda n: few(num_actions=n))
    yield Growth("AQ-BRMDP", "outcomes", "1", (2, 4, 8, 16), lambda n: few(branching=n))
    yield Growth("AQ-BRMDP", "draws", "1", (50, 100, 200, 400), lambda n: learning(aq, num_draws=n)())
    yield Growth("AQ-BRMDP", "steps", "1", (1_000, 2_000, 4_000, 8_000), lambda n: longer(aq, n, num_draws=50))
    yield Growth("gamma-LSCVI-UCB", "steps", "1", (20_000, 40_000, 80_000, 160_000), average)
    mdp, prior = garnet()
    yield Growth("PSRL", "replicates", "1", (4, 8, 16, 32), lambda n: (mdp, psrl(prior), {"replicates": n}))


def seconds(mdp, agent, run):
    """Processor seconds: the least of some rounds, after one that compiles."""
    run = {"steps": STEPS, "replicates": REPLICATES} | run
    took = []
    for _ in range(1 + ROUNDS):
        began = time.process_time()
        bm.simulate(mdp, {"agent": agent}, thin=run["steps"], workers=1, **run)
        took.append(time.process_time() - began)
    return min(took[1:])


def main():
    table = Table("agent", "what grows", "sizes", "exponent", "theory", title="growth of the cost")
    for growth in growths():
        measured = [seconds(*growth.make(size)) for size in growth.sizes]
        exponent = np.polyfit(np.log(growth.sizes), np.log(measured), 1)[0]
        sizes = " ".join(f"{size:,}" for size in growth.sizes)
        table.add_row(growth.family, growth.of, sizes, f"{exponent:.2f}", growth.theory)
        print(f"{growth.family}, {growth.of}: {exponent:.2f}", flush=True)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
