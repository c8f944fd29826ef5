"""Steps per second of each agent, one thread, after compilation; everything recorded.

* RiverSwim-6 with known rewards, Chain and Queue (51 states) with unknown ones; discount .95.
* BEB, MBIE-EB and the variance bonus plan at every step; the others once an episode, of 20 steps where they have a
  length, or when a pair was tried often enough.

Run: ``python benchmarks/agents.py``; some minutes.
"""

from rich.console import Console
from rich.table import Table

import bayesmdp as bm
from bayesmdp.agents import aq_brmdp, brmdp
from bayesmdp.models import dirichlet_transitions
from bayesmdp.studies import find
from bayesmdp.studies.tseb import ALL

bm.keep_programs()

STEPS, RUNS = 5_000, 4


def speeds(mdp, agents):
    """Steps per second by agent: the median over runs, of which the first, that compiles, is left out."""
    result = bm.simulate(mdp, agents, steps=STEPS, replicates=RUNS, workers=1)
    seconds = result["timing"].to_dataset()["seconds"].isel(replicate=slice(1, None)).median("replicate")
    return dict(zip(agents, STEPS / seconds.values, strict=True))


def main():
    river = bm.environments.riverswim(6)
    prior = dirichlet_transitions(river, concentration=1 / 6)
    study = find("tseb/all-riverswim")
    columns = {"riverswim-6, known rewards": speeds(river, study.make_agents(river, prior))}
    columns["riverswim-6, known rewards"] |= speeds(river, {"BR-MDP": brmdp(prior), "AQ-BRMDP": aq_brmdp(prior)})
    for world in ("chain", "queue"):
        study = find(f"tseb/all-{world}")
        mdp = study.make_mdp()
        columns[world] = speeds(mdp, study.make_agents(mdp, study.make_prior(mdp)))
    table = Table("agent", *columns, title="steps per second")
    for name in (*ALL, "BR-MDP", "AQ-BRMDP"):
        table.add_row(name, *(f"{found[name]:,.0f}" if name in found else "-" for found in columns.values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
