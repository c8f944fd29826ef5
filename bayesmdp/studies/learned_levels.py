"""A level that adapts to risk under a prior that is learned: two of the papers in one. Declared before it was run.

AQ-BRMDP (Song, Wang and Zhou, 2026) begins each task cautious, at the floor, whatever is known, and MTSRL (Zhou, 2026)
learns from task to task what is known at the start. Is the one's caution wasted under the other's prior, or is it what
a prior learned from a few tasks needs? The prior is that of transitions, learned by empirical Bayes after each task
(:mod:`~bayesmdp.learned_priors.transitions`), for MTSRL's is of Q-functions, of which AQ-BRMDP's rule says nothing. The
cell ``riverswim`` of the study ``mtsrl`` had been run: there a learned prior saves AQ-BRMDP, with the power as its
visit factor, as large a share of its regret as it saves posterior sampling. New are C, fixed levels, priors learned
from two tasks, the worst tasks, and the second family.

- ``river``: RiverSwim-6 whose current is another in each task, Dirichlet(2, 4, 2), discount .95;
- ``chain``: Chain whose rows are others in each task, Dirichlet with 10 times Chain's probabilities, and .1.

40 replicates of 16 tasks of 400 steps, on common random numbers. Agents start from Dirichlet(1/S), and learn it after
the fourth task, or after the second ("from 2"); *oracle* is told the distribution of tasks. Statements are of tasks 9
to 16, but where they say first, of tasks 3 to 6, or worst, of the two of these eight tasks with the most regret.

What came out: caution is not wasted under a learned prior, it is paid off. The learned prior takes 77% (64 to 90) of
AQ-BRMDP's excess over its oracle on the river and 83% (74 to 93) on chains, and saves it a larger share of its regret
than it saves posterior sampling, by .24 (.14 to .34) and .30 (.21 to .39): a draw from a prior that is learned from few
tasks, and so is wide where these disagreed, still sends posterior sampling after what a quantile passes over. Under it
AQ-BRMDP has less regret than posterior sampling in both families, by 156 (121 to 191) of 259 and 2,156 (1,836 to 2,476)
of 3,725, also in the worst tasks, and also when the prior comes from two tasks. Under the oracle's prior posterior
sampling is ahead on the river, by 19 (13 to 24), and behind on chains. The schedule itself is worth nothing then: the
fixed level .8 under the same learned prior is ahead of AQ-BRMDP in both, by 21 (12 to 31) of 103 and 412 (135 to 690)
of 1,569. The C that is best is 1 under the learned prior in both; without one it is 1 on the river and .25 on chains,
where keeping that .25 would cost 1,349 (892 to 1,807). C = 4 learns nothing from learning: who does not move has no
tasks to learn from.

``make study STUDIES=learned_levels`` runs what ``results/`` does not hold, some five minutes of one core, and writes
``learned_levels.csv``, a row an agent, and ``learned_levels_statements.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.mtsrl import regret_by_task
from bayesmdp.studies.statements import interval_table, statement_table, tables_of_cells
from bayesmdp.studies.task_study import LearnerSpec, TaskStudy

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims", "task_table"]

SCALES = (0.25, 1.0, 4.0)

BASES: Mapping[str, LearnerSpec] = {
    "PSRL": LearnerSpec("psrl"),
    "level 0.8": LearnerSpec("brmdp", {"level": 0.8}),
    **{f"AQ-BRMDP C={scale:g}": LearnerSpec("aq_brmdp", {"scale": scale}) for scale in SCALES},
}


def _learned(spec: LearnerSpec, warm_up: int = 4) -> LearnerSpec:
    return LearnerSpec(spec.algorithm, spec.options, method="dirichlet", learning={"warm_up": warm_up, "growth": 1.25})


AGENTS: Mapping[str, LearnerSpec] = {
    **BASES,
    **{f"{name}, learned": _learned(spec) for name, spec in BASES.items()},
    **{f"{name}, learned from 2": _learned(BASES[name], 2) for name in ("PSRL", "AQ-BRMDP C=1")},
    **{
        f"{name}, oracle": LearnerSpec(BASES[name].algorithm, BASES[name].options, knows="prior")
        for name in ("PSRL", "AQ-BRMDP C=1")
    },
}


def _chains() -> Mapping[str, Any]:
    import numpy as np

    from bayesmdp.environments import chain

    return {"concentration": 10 * np.asarray(chain().transition) + 0.1}


def _cell(title: str, **options: Any) -> TaskStudy:
    return TaskStudy(
        title=title,
        prior="dirichlet_transitions",
        agents=AGENTS,
        steps=400,
        tasks=16,
        thin=400,
        replicates=40,
        note="declared before it was run",
        **options,
    )


STUDIES: Mapping[str, TaskStudy] = {
    "river": _cell(
        "levels that adapt under a prior learned from rivers",
        environment="riverswim",
        environment_options={"num_states": 6, "discount": 0.95},
        prior_options={"concentration": 1 / 6},
        truth="river_current",
        truth_options={"concentration": (2.0, 4.0, 2.0)},
    ),
    "chain": _cell(
        "levels that adapt under a prior learned from chains",
        environment="chain",
        environment_options={"discount": 0.95},
        prior_options={"concentration": 1 / 5},
        truth="dirichlet_transitions",
        truth_options=_chains,
    ),
}

PARTS: Mapping[str, slice] = {"first": slice(2, 6), "last": slice(8, 16)}


def _of_tasks(result: xr.DataTree) -> dict[str, dict[str, Any]]:
    """Regret a task [replicate] of each agent, over the first tasks, the last eight, and the worst two of these."""
    import numpy as np

    regret = regret_by_task(result).transpose("agent", "replicate", "task")
    parts = {}
    for agent, sample in zip(map(str, regret["agent"].values), regret.values, strict=True):
        parts[agent] = {part: sample[:, where].mean(1) for part, where in PARTS.items()}
        parts[agent]["worst"] = np.sort(sample[:, PARTS["last"]], 1)[:, -2:].mean(1)
    return parts


def task_table(result: xr.DataTree) -> pd.DataFrame:
    """Return one row an agent: regret a task over first, last and worst tasks, each with its 95% interval."""
    return interval_table(_of_tasks(result)).rename_axis("agent")


def claims(result: xr.DataTree) -> pd.DataFrame:
    """The statements about one family of tasks, each with a 95% interval over paired replicates.

    C is chosen on the replicates of even number, and statements that name the best are judged on those of odd number.

    Parameters
    ----------
    result : DataTree

    Returns
    -------
    DataFrame
        As `statement_table` has it, and ``chosen``, the best C without and with a learned prior.
    """
    import numpy as np

    parts = _of_tasks(result)

    def less(worse: str, better: str, part: str = "last") -> Any:
        return parts[worse][part] - parts[better][part]

    ours = "AQ-BRMDP C=1"
    best = {
        end: min(SCALES, key=lambda scale, end=end: float(np.mean(parts[f"AQ-BRMDP C={scale:g}{end}"]["last"][::2])))  # type: ignore[misc]
        for end in ("", ", learned")
    }
    tuned, kept = (f"AQ-BRMDP C={best[end]:g}, learned" for end in (", learned", ""))
    saved = {name: less(name, f"{name}, learned") / parts[name]["last"].mean() for name in ("PSRL", ours)}
    excess = less(ours, f"{ours}, oracle").mean()
    told = {
        "AQ-BRMDP: a learned prior lowers its regret by": less(ours, f"{ours}, learned"),
        "AQ-BRMDP: share of its excess over its oracle that the learned prior takes": less(ours, f"{ours}, learned")
        / excess,
        "a learned prior saves AQ-BRMDP a larger share of its regret than PSRL by": saved[ours] - saved["PSRL"],
        "learned: AQ-BRMDP's regret is below that of PSRL by": less("PSRL, learned", f"{ours}, learned"),
        "learned: AQ-BRMDP's regret is below that of level 0.8 by": less("level 0.8, learned", f"{ours}, learned"),
        "learned: AQ-BRMDP's regret in the worst tasks is below that of PSRL by": less(
            "PSRL, learned", f"{ours}, learned", "worst"
        ),
        "oracle: AQ-BRMDP's regret is below that of PSRL by": less("PSRL, oracle", f"{ours}, oracle"),
        "learned from 2, first: AQ-BRMDP's regret is below that of PSRL by": less(
            "PSRL, learned from 2", f"{ours}, learned from 2", "first"
        ),
        "learned from 2, first: AQ-BRMDP's regret is below that with its first prior by": less(
            ours, f"{ours}, learned from 2", "first"
        ),
        "learned: the C that is best then has less regret than the C that is best without by": less(kept, tuned)[1::2],
    }
    chosen = f"C={best['']:g}; C={best[', learned']:g}"
    return statement_table({text: (sample, 0.0) for text, sample in told.items()}).assign(chosen=chosen)


main = tables_of_cells(
    "learned-levels", STUDIES, {"learned_levels": (task_table, 2), "learned_levels_statements": (claims, 3)}
)
