"""Does a level that adapts help where the average reward is what counts? A study declared before it was run.

AQ-BRMDP (Song, Wang and Zhou, 2026) is for discounted rewards: its pseudo-episodes, on whose number k its levels rest,
end with probability 1 - discount. Here there is no discount. A period ends when a pair's visits have doubled, k counts
periods, of which there are some tens in 5,000 steps, and the plan is for the gain of the quantile operator
(:mod:`bayesmdp.agents.brmdp`); both are ours. AQ-BRMDP at its defaults, with C = 4, .25, and without the visit factor
(kappa = 0), beside BR-MDP at the fixed levels .3, .5, .7 and .9 and posterior sampling, all with the same periods.

- ``river``: RiverSwim-6, and ``chain``, both under Dirichlet(1/S). Rewards are known.

64 replicates of 5,000 steps on common random numbers. Regret is the sum of gaps, what actions cost for good, which has
less noise than the sum of rewards and the same mean but for where a run begins and ends. The fixed level is chosen on
the replicates of even number and all are judged on those of odd number.

A cell ``queue``, with room for 10 packets on its successor table, was declared too, and given up before any of its
regrets was seen. The quantile of a row may have hardly any probability of moving on, so that the largest gain depends
on the start and no plan has it: in a trial of 36 runs of 300 steps 240 plans did not converge within 1,000 iterations,
and 64 replicates would have taken hours. Plans that do not converge are counted, and followed for what they are.

What came out: AQ-BRMDP carries over. It is surely ahead of posterior sampling on both worlds, by 119 (77 to 162) of 133
on the river and 1,785 (434 to 3,136) of 2,184 on the chain, and cannot be told from the best fixed level, which is .7
on the one (-4, -11 to 3) and .9 on the other (-124, -980 to 731). That level is surely ahead of posterior sampling,
too; .5 and .3 are traps here as with a discount, and so is C = 4, whose levels do not rise in the few tens of periods
that doubling leaves: .3 and C = 4 lose on the river what never leaving the bank costs. The visit factor is not shown to
help. C = .25 is surely behind C = 1 on the river, by 24 (20 to 27), and not told apart on the chain, where runs of C =
1 differ widely. Some plans did not converge, nearly all of them with C = 4.

``make study STUDIES=average_levels`` runs what ``results/`` does not hold, two minutes of one core, and writes
``average_levels.csv``, a row an agent, and ``average_levels_statements.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.statements import best_on_even, final_regret, interval_table, statement_table, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims", "gap_table"]

FIXED, ADAPTIVE = "level ", "AQ-BRMDP"

AGENTS: Mapping[str, AgentSpec] = {
    "PSRL": AgentSpec("psrl"),
    **{f"{FIXED}{level:g}": AgentSpec("brmdp", {"level": level}) for level in (0.3, 0.5, 0.7, 0.9)},
    ADAPTIVE: AgentSpec("aq_brmdp"),
    f"{ADAPTIVE} C=4": AgentSpec("aq_brmdp", {"scale": 4.0}),
    f"{ADAPTIVE} C=0.25": AgentSpec("aq_brmdp", {"scale": 0.25}),
    f"{ADAPTIVE} k=0": AgentSpec("aq_brmdp", {"sensitivity": 0.0}),
}

WORLDS: Mapping[str, Mapping[str, Any]] = {
    "river": {
        "environment": "riverswim",
        "environment_options": {"num_states": 6, "discount": None},
        "prior_options": {"concentration": 1 / 6},
    },
    "chain": {
        "environment": "chain",
        "environment_options": {"discount": None},
        "prior_options": {"concentration": 1 / 5},
    },
}

STUDIES: Mapping[str, Study] = {
    world: Study(
        title=f"levels that adapt for the average reward, {world}",
        prior="dirichlet_transitions",
        agents=AGENTS,
        thin=100,
        note="declared before it was run; periods are ours",
        **{"steps": 5_000, "replicates": 64, **options},
    )
    for world, options in WORLDS.items()
}


def gap_table(result: xr.DataTree) -> pd.DataFrame:
    """Return one row an agent: the sum of its gaps with a 95% interval, the periods it planned in, and failed plans."""
    gaps, data = final_regret(result, "gap"), result.to_dataset()
    table = interval_table({agent: {"regret": sample} for agent, sample in gaps.iterrows()}).rename_axis("agent")
    for report in ("period", "failures"):
        table[report] = data[report].isel(step=-1).mean("replicate").sel(agent=list(gaps.index)).values
    return table


def claims(result: xr.DataTree) -> pd.DataFrame:
    """The statements about one world, each with a 95% interval over the paired replicates of odd number.

    Parameters
    ----------
    result : DataTree

    Returns
    -------
    DataFrame
        As `statement_table` has it, and ``chosen``, the fixed level that was best on the others.
    """
    gaps = final_regret(result, "gap")
    fixed, judged = best_on_even(gaps, FIXED), gaps.iloc[:, 1::2]
    pairs = {
        "AQ-BRMDP's regret is below that of posterior sampling by": ("PSRL", ADAPTIVE),
        "AQ-BRMDP's regret is below that of the best fixed level by": (fixed, ADAPTIVE),
        "the best fixed level's regret is below that of posterior sampling by": ("PSRL", fixed),
        "the visit factor lowers AQ-BRMDP's regret by": (f"{ADAPTIVE} k=0", ADAPTIVE),
        "C = 1 has less regret than C = 4 by": (f"{ADAPTIVE} C=4", ADAPTIVE),
        "C = 1 has less regret than C = 0.25 by": (f"{ADAPTIVE} C=0.25", ADAPTIVE),
    }
    told = {text: ((judged.loc[worse] - judged.loc[better]).to_numpy(), 0.0) for text, (worse, better) in pairs.items()}
    return statement_table(told).assign(chosen=fixed)


main = tables_of_cells(
    "average-levels", STUDIES, {"average_levels": (gap_table, 2), "average_levels_statements": (claims, 2)}
)
