"""What a belief by particles costs an agent, beside the exact one.

* PSRL and AQ-BRMDP on RiverSwim-6 under the prior of one current: exact, and by 500 and 2,000 particles; seconds for a
  replicate of 2,000 steps, and per pseudo-episode.
* The posterior of a log of 2,000 steps under tied moves on the ice: particles beside NUTS.

Run: ``python benchmarks/smc.py``; some minutes.
"""

from _timing import race  # first: it sets how many threads there are

import bayesmdp as bm
from bayesmdp.models import river_current, tied_moves

STEPS = 2_000


def agents_at_work():
    river = bm.environments.riverswim(6, discount=0.95)
    prior = river_current(river)
    beliefs = {
        "exact": prior,
        "500 particles": bm.with_particles(prior),
        "500, none moved between": bm.with_particles(prior, share=0.0),
        "2,000 particles": bm.with_particles(prior, 2_000),
    }
    for name, maker in (("PSRL", bm.agents.psrl), ("AQ-BRMDP", bm.agents.aq_brmdp)):
        race(
            f"{name} on RiverSwim-6, {STEPS:,} steps",
            {
                belief: lambda model=model, maker=maker: bm.simulate(
                    river, {"agent": maker(model)}, steps=STEPS, replicates=2, workers=1
                )
                for belief, model in beliefs.items()
            },
            work=2 * (1 + 0.05 * (STEPS - 1)),
            unit="plans",
            rounds=3,
        )


def logs():
    lake = bm.environments.frozen_lake()
    log, ice = bm.collect(lake, steps=STEPS, seed=0), tied_moves(lake, bm.environments.slips())
    race(
        "posterior of a log, 4 x 1,000 draws",
        {
            method: lambda method=method: bm.infer(ice, log, mdp=lake, method=method, draws=4_000)
            for method in ("smc", "nuts")
        },
        unit="logs",
        rounds=3,
    )


if __name__ == "__main__":
    agents_at_work()
    logs()
