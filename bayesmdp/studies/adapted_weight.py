"""Does a lambda that adapts over time save TSEB its tuning? A study declared before it was run.

TSEB's lambda, the share of the drawn reward beside the bonus, is fixed in the paper (Prasanna, Chandar and Ravindran),
which names a lambda that adapts as future work. Here it rises with the number k of the episode,

    lambda_k = 1 - (1 - lambda_1) k^-decay,    lambda_1 = 0 or .5,    decay = .25, .5 or 1,

beside every fixed lambda in {0, .1, ..., 1}, on the worlds of the study ``tseb`` with rewards unknown (Chain, Queue,
RiverSwim-6, discount .95, episodes of 20 steps): 128 replicates of 5,000 steps on common random numbers. The rule that
asks for nothing, lambda_1 = 0 with decay .5, is held against the fixed lambda, and the rising one, that are best on the
replicates of even number, on those of odd number; so is the best rising one against the best fixed one. Of these rules
one was known, from ``extended-*`` of the study ``tseb`` (2,000 steps): lambda_1 = .5 with decay .5 had lost regret to
lambda = .5 on Chain, saved some on Queue, and neither on RiverSwim.

What came out: the best fixed lambda is another one in each world (.3, 1 and .4), and the rule that asks for nothing is
nowhere surely behind it (regret saved: -1,995, -4,969 to 980, of some 9,000 on Chain; 54, -289 to 397, of 3,600 on
Queue; 2, -56 to 59, of 1,330 on RiverSwim), though on Chain it may have lost half as much again. It is surely ahead of
lambda = .5 on Queue and of posterior sampling, lambda = 1, on Chain and RiverSwim, and surely behind neither anywhere.
That a rising lambda is ahead of the best fixed one is sure on RiverSwim alone, by 3% (42, 6 to 78, with decay .25).

``make study STUDIES=adapted_weight`` runs what ``results/`` does not hold, and writes ``adapted_weight.csv``, a row an
agent, and ``adapted_weight_statements.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayesmdp.studies.statements import best_on_even, final_regret, regret_table, statement_table, tables_of_cells
from bayesmdp.studies.study import AgentSpec, Study
from bayesmdp.studies.tseb import WEIGHTS, WORLDS

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims"]

FIXED, RISES, UNTUNED = "lambda ", "rises from ", "rises from 0, decay 0.5"

AGENTS: Mapping[str, AgentSpec] = {
    **{f"{FIXED}{weight:g}": AgentSpec("tseb", {"reward_weight": weight}) for weight in WEIGHTS},
    **{
        f"{RISES}{first:g}, decay {decay:g}": AgentSpec("tseb", {"reward_weight": first, "decay": decay})
        for first in (0.0, 0.5)
        for decay in (0.25, 0.5, 1.0)
    },
}

STUDIES: Mapping[str, Study] = {
    world: Study(
        title=f"TSEB with a lambda that rises, on {world}, rewards unknown",
        agents=AGENTS,
        steps=5_000,
        replicates=128,
        thin=100,
        note="declared before it was run",
        **options,
    )
    for world, options in WORLDS.items()
}


def claims(result: xr.DataTree) -> pd.DataFrame:
    """The statements about one world, each with a 95% interval over the paired replicates of odd number.

    Parameters
    ----------
    result : DataTree

    Returns
    -------
    DataFrame
        As `statement_table` has it, and ``chosen``, the fixed and the rising lambda that were best on the others.
    """
    regret = final_regret(result)
    fixed, rising = best_on_even(regret, FIXED), best_on_even(regret, RISES)
    judged = regret.iloc[:, 1::2]
    pairs = {
        "the untuned rule's regret is below that of the best fixed lambda by": (fixed, UNTUNED),
        "the untuned rule's regret is below that of lambda = 0.5 by": ("lambda 0.5", UNTUNED),
        "the untuned rule's regret is below that of posterior sampling, lambda = 1, by": ("lambda 1", UNTUNED),
        "the best rising lambda's regret is below that of the best fixed lambda by": (fixed, rising),
    }
    told = {text: ((judged.loc[worse] - judged.loc[better]).to_numpy(), 0.0) for text, (worse, better) in pairs.items()}
    return statement_table(told).assign(chosen=f"{fixed}; {rising}")


main = tables_of_cells(
    "adapted-weight", STUDIES, {"adapted_weight": (regret_table, 2), "adapted_weight_statements": (claims, 2)}
)
