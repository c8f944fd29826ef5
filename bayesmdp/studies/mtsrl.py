"""Learned priors across tasks: meta-regret, and what it depends on. Declared before it was run.

The claims are those of MTSRL and MTSRL+, of which the abstract is at hand: over the first tasks no worse than the
prior-independent algorithm (RLSVI), later below it and near the meta-oracle, which knows the tasks' distribution;
better than meta-learners of bandits; robust to misspecified features and priors. What it leaves open is ours, as are
`empirical Bayes`, `AdaTS of Q` (the meta-posterior of bandits on Q-values) and `full Bayes`.

This is the second declaration. In the first, agents believed the noise that their first prior assumed, MTSRL+ widened
its covariance by a share of the largest variance, and empirical Bayes took the targets of each task for true; settings
tried since then, on other tasks of these families, led to the rules that are now the defaults. What is asked here:

- At full size empirical Bayes, one method in all cells, is by task 40 within 15% of the oracle that assumes the noise
  that others begin with; in the cells with Normal Q-values it is within 10% of the better of MTSRL+ (half shrunk, not
  shrunk, isotropic) and of itself with the strength found.
- The noise is learned by all who learn a prior; the oracle is there with the noise assumed and with the true one, and
  so is RLSVI. (After the first four replicates at full size MTSRL and MTSRL+ were added there with the noise assumed,
  since they had done better so in the first declaration.)
- Bandits that are told nothing learn their prior as empirical Bayes does, beside AdaTS and Meta-TS, which are told the
  covariance of tasks' rewards.

Cells:

- ``recommendation``: the recommendation engine at full size (10 products, 5 recommendations, 4,521 states, 110
  features, in which Q* is not linear), 40 tasks of 200 customers; lambda = .2 and sigma^2 = .001 as Osband, Van Roy
  and Wen. Tasks differ from one engine by .5 in each log-odds weight.
- ``recommendation-small``: 4 products, 3 recommendations, 40 tasks of 100 customers; all agents, warm-up tasks K0 and
  rules. ``recommendation-osband``: the same with tasks about no engine at all, by 2 in each weight of what was shown.
- ``recommendation-tabular``: the tasks of the small one, with a feature for each pair of state and action, in which Q*
  is linear.
- ``gaussian``: a layered problem with exactly Normal Q-values, so that the oracle's prior is the truth, as variable in
  one direction as in another; ``gaussian-anisotropic`` with half the variance in each direction of that in the one
  before; ``gaussian-tails`` with multivariate t weights of 3 degrees of freedom, ``gaussian-additive`` with features
  too few for Q.
- ``gaussian-bayes``: the hierarchy inferred in full beside its plug-ins.
- ``riverswim``: rivers whose currents differ; a Dirichlet prior learned from them, for PSRL and AQ-BRMDP, whose visit
  factor is the power, its only one when the study was run.

``make study STUDIES=mtsrl`` runs every cell that ``results/`` does not hold and writes its tables,
``mtsrl*.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.mtsrl_tasks import (
    LAYERS,
    ORACLE,
    RLSVI,
    SHOP,
    SMALL,
    SMALL_SHOP,
    TRUE_NOISE,
    WARM_UP,
    engines_apart,
    learner,
    normal_tasks,
)
from bayesmdp.studies.statements import finished_cells, mean_interval, statement_table
from bayesmdp.studies.task_study import LearnerSpec, TaskStudy

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "claims_table", "gap_rate", "regret_by_task", "regret_table"]


def _agents(growth: float = 1.25) -> dict[str, LearnerSpec]:
    """Those of every cell about Q-values."""
    return {
        RLSVI: LearnerSpec("tsrl"),
        ORACLE: LearnerSpec("tsrl", knows="prior"),
        TRUE_NOISE: LearnerSpec("tsrl", knows="prior and noise"),
        "MTSRL": learner("tsrl", "mtsrl", "covariance", growth=growth, learn_noise=True),
        "MTSRL+": learner("tsrl", "mtsrl+", growth=growth, learn_noise=True),
        "empirical Bayes": learner("tsrl", "empirical-bayes", growth=growth),
        "AdaTS": learner("bandit_ts", "adats", "covariance", growth=growth),
        "bandit, empirical Bayes": learner("bandit_ts", "empirical-bayes", growth=growth),
    }


def _assumed(growth: float = 1.25) -> dict[str, LearnerSpec]:
    """The paper's two, which believe the noise that their first prior assumed."""
    return {
        "MTSRL, noise assumed": learner("tsrl", "mtsrl", "covariance", growth=growth, learn_noise=False),
        "MTSRL+, noise assumed": learner("tsrl", "mtsrl+", growth=growth, learn_noise=False),
    }


MORE = {
    "RLSVI, true noise": LearnerSpec("tsrl", knows="noise"),
    "bandit": LearnerSpec("bandit_ts"),
    "bandit, true noise": LearnerSpec("bandit_ts", knows="noise"),
    "bandit oracle": LearnerSpec("bandit_ts", knows="prior"),
    "bandit oracle, true noise": LearnerSpec("bandit_ts", knows="prior and noise"),
    "Meta-TS": learner("bandit_ts", "meta-ts", "covariance"),
    "AdaTS of Q": learner("tsrl", "adats", "covariance"),
    "greedy": LearnerSpec("lsvi"),
    "Boltzmann": LearnerSpec("lsvi", {"temperature": 0.05}),
    **_assumed(),
    "empirical Bayes, noise assumed": learner("tsrl", "empirical-bayes", learn_noise=False),
    "AdaTS, noise assumed": learner("bandit_ts", "adats", "covariance", learn_noise=False),
    "MTSRL+, widened": learner("tsrl", "mtsrl+", rule="widened", learn_noise=True),
    "MTSRL+, widened, noise assumed": learner("tsrl", "mtsrl+", rule="widened", learn_noise=False),
    "MTSRL+, isotropic": learner("tsrl", "mtsrl+", shrink=1.0, learn_noise=True),
    "MTSRL+, not shrunk": learner("tsrl", "mtsrl+", shrink=0.0, learn_noise=True),
    "empirical Bayes, strength found": learner("tsrl", "empirical-bayes", strength=None),
    **{f"MTSRL+ K0={k}": learner("tsrl", "mtsrl+", warm_up=k, learn_noise=True) for k in (2, 4)},
    **{f"empirical Bayes K0={k}": learner("tsrl", "empirical-bayes", warm_up=k) for k in (2, 4)},
}

JUDGED = (
    "MTSRL",
    "MTSRL, noise assumed",
    "MTSRL+",
    "MTSRL+, noise assumed",
    "empirical Bayes",
    "AdaTS of Q",
    "full Bayes",
)
"""Agents that statements are about."""
RULES = ("MTSRL+", "MTSRL+, isotropic", "MTSRL+, not shrunk", "empirical Bayes, strength found")
"""Agents that differ in how they find the covariance alone."""
LEARNERS = {name for name, spec in (_agents() | MORE).items() if spec.method} | {"full Bayes"}

STUDIES: Mapping[str, TaskStudy] = {
    "recommendation": TaskStudy(
        title="learned priors in the recommendation engine, 4,521 states",
        agents=_agents(growth=1.5) | _assumed(growth=1.5),
        **{**SHOP, "steps": 1_000, "tasks": 40, "thin": 1_000, "replicates": 16},
    ),
    "recommendation-small": TaskStudy(
        title="learned priors in a small recommendation engine",
        agents=_agents() | MORE,
        environment_options=SMALL_SHOP,
        **SMALL,
    ),
    "recommendation-osband": TaskStudy(
        title="learned priors in small recommendation engines that have nothing but their spread in common",
        agents=_agents(),
        environment_options=SMALL_SHOP,
        **{**SMALL, "truth_options": partial(engines_apart, 4, 2.0)},
    ),
    "recommendation-tabular": TaskStudy(
        title="learned priors in a small recommendation engine with tabular features",
        agents=_agents(growth=1.5),
        environment_options={**SMALL_SHOP, "tabular": True},
        truth_environment_options={"tabular": False},
        **SMALL,
    ),
    "gaussian": TaskStudy(title="learned priors where Q is Normal", agents=_agents() | MORE, **LAYERS),
    "gaussian-anisotropic": TaskStudy(
        title="learned priors where Q is Normal, and varies in a few directions",
        agents=_agents() | MORE,
        **{**LAYERS, "truth_options": partial(normal_tasks, 4, 9, decay=0.5)},
    ),
    "gaussian-tails": TaskStudy(
        title="learned priors where Q has long tails",
        agents=_agents(),
        **{**LAYERS, "truth_options": partial(normal_tasks, 4, 9, tails=3.0)},
    ),
    "gaussian-additive": TaskStudy(
        title="learned priors where features are too few for Q",
        agents=_agents(),
        **{
            **LAYERS,
            "environment_options": {**LAYERS["environment_options"], "additive": True},
            "truth_environment_options": {"additive": False},
        },
    ),
    "gaussian-bayes": TaskStudy(
        title="the hierarchy inferred in full, beside its plug-ins",
        agents={name: spec for name, spec in _agents(growth=1.5).items() if spec.algorithm == "tsrl"}
        | {"full Bayes": learner("tsrl", "full-bayes", warm_up=2, growth=1.5, draws=400, num_warmup=300, chains=1)},
        **{**LAYERS, "environment_options": {"width": 2, "actions": 2, "horizon": 3, "noise": 0.5}}
        | {"truth_options": partial(normal_tasks, 3, 4)}
        | {"steps": 150, "tasks": 20, "thin": 150, "replicates": 8},
    ),
    "riverswim": TaskStudy(
        title="a Dirichlet prior learned from rivers with other currents",
        environment="riverswim",
        environment_options={"num_states": 6, "discount": 0.95},
        prior="dirichlet_transitions",
        prior_options={"concentration": 1 / 6},
        truth="river_current",
        truth_options={"concentration": (2.0, 4.0, 2.0)},
        agents={
            "PSRL": LearnerSpec("psrl"),
            "PSRL, learned": LearnerSpec("psrl", method="dirichlet", learning={"warm_up": 4}),
            "PSRL, oracle": LearnerSpec("psrl", knows="prior"),
            "AQ-BRMDP": LearnerSpec("aq_brmdp", {"visit_factor": "power"}),
            "AQ-BRMDP, learned": LearnerSpec(
                "aq_brmdp", {"visit_factor": "power"}, method="dirichlet", learning={"warm_up": 4}
            ),
            "AQ-BRMDP, oracle": LearnerSpec("aq_brmdp", {"visit_factor": "power"}, knows="prior"),
        },
        steps=500,
        tasks=30,
        thin=50,
        replicates=16,
    ),
}


def regret_by_task(result: xr.DataTree) -> xr.DataArray:
    """Regret [agent, replicate, task]."""
    return result.to_dataset()["regret"].groupby("task").sum()


def regret_table(result: xr.DataTree, first: int = WARM_UP) -> pd.DataFrame:
    """Tabulate regret a task over the first tasks, after them, and over the last quarter, each with its 95% interval.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    first : int
        Tasks that count as the first.

    Returns
    -------
    DataFrame
        One row an agent.

    Examples
    --------
    >>> from bayesmdp.studies import find
    >>> study = find("mtsrl/gaussian").with_agents(["RLSVI", "empirical Bayes"])
    >>> regret_table(study.run(tasks=12, steps=40, thin=40, replicates=2)).index.tolist()
    ['RLSVI', 'empirical Bayes']
    """
    import pandas as pd

    regret = regret_by_task(result)
    tasks = regret.sizes["task"]
    last = slice(tasks - max(tasks // 4, 1), tasks)
    parts = {"first": slice(0, first), "after": slice(first, tasks), "last": last}
    rows = {}
    for agent in map(str, regret["agent"].values):
        row: dict[str, float] = {}
        for part, where in parts.items():
            sample = regret.sel(agent=agent).isel(task=where).mean("task")
            ends = part, f"{part}_lower", f"{part}_upper"
            row |= dict(zip(ends, mean_interval(sample), strict=True))
        rows[agent] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("agent")


def claims_table(result: xr.DataTree, warm_up: int = WARM_UP) -> pd.DataFrame:
    """Tabulate the abstract's claims about one cell, each a mean over replicates of paired differences a task, judged.

    `share` rows say how much of RLSVI's excess over the oracle is gone over the last quarter of the tasks.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    warm_up : int
        Tasks before an agent uses what it learned.

    Returns
    -------
    DataFrame
    """
    regret = regret_by_task(result)
    names, tasks = set(map(str, regret["agent"].values)), regret.sizes["task"]
    first = regret.isel(task=slice(warm_up, 2 * warm_up)).mean("task")
    last = regret.isel(task=slice(tasks - tasks // 4, tasks)).mean("task")

    def less(worse: str, better: str, when: xr.DataArray) -> Any:
        return (when.sel(agent=worse) - when.sel(agent=better)).values

    statements = {}
    for name in JUDGED:
        if name not in names:
            continue
        statements[f"{name}: less regret than RLSVI just after the warm-up, by"] = less(RLSVI, name, first), 0.0
        statements[f"{name}: less regret than RLSVI at the end, by"] = less(RLSVI, name, last), 0.0
        excess = max(float(less(RLSVI, ORACLE, last).mean()), 1e-9)
        statements[f"{name}: share of RLSVI's excess over the oracle gone at the end"] = (
            less(RLSVI, name, last) / excess,
            0.5,
        )
        for rival in ("Meta-TS", "AdaTS", "bandit, empirical Bayes"):
            if rival in names:
                statements[f"{name}: less regret than {rival} at the end, by"] = less(rival, name, last), 0.0
        if name == "empirical Bayes" and names >= set(RULES):
            rivals = last.sel(agent=list(RULES)).mean("replicate")
            best = str(rivals["agent"].values[rivals.values.argmin()])
            within = (last.sel(agent=best) * 1.1 - last.sel(agent=name)).values / float(rivals.min())
            statements[f"{name}: within 10% of the best rule, by this share of its regret"] = within, 0.0
        least = float(last.sel(agent=ORACLE).mean())
        within = (last.sel(agent=ORACLE) * 1.15 - last.sel(agent=name)).values / least
        statements[f"{name}: within 15% of the oracle at the end, by this share of the oracle's regret"] = within, 0.0
    return statement_table(statements)


def gap_rate(result: xr.DataTree, warm_up: int = WARM_UP, *, samples: int = 2_000, seed: int = 0) -> pd.DataFrame:
    """Estimate how fast regret a task falls to the oracle's, as a power of the number of tasks, for agents that learn.

    The mean excess over the oracle in stretches of tasks, each half as long again as the last, is fitted by a line on
    logarithms; intervals are of 95%, by bootstrap over replicates. Where an agent is at the oracle or below it in
    some stretch there is no power, and `above` says in which share of the samples there is.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    warm_up : int
        Tasks left out at the start.
    samples, seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One row an agent.
    """
    import numpy as np
    import pandas as pd

    regret = regret_by_task(result)
    excess, tasks = regret - regret.sel(agent=ORACLE), regret.sizes["task"]
    edges = np.unique(np.append((warm_up * 1.5 ** np.arange(20)).astype(int), tasks))
    edges = edges[edges <= tasks]
    middle = np.log([np.sqrt(a * b) for a, b in pairwise(edges)])
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, regret.sizes["replicate"], (samples, regret.sizes["replicate"]))
    rows = {}
    for agent in map(str, regret["agent"].values):
        if agent not in LEARNERS:
            continue
        each = excess.sel(agent=agent).values
        parts = np.stack([each[:, a:b].mean(1) for a, b in pairwise(edges)], 1)
        means = np.concatenate([parts.mean(0)[None], parts[chosen].mean(1)])
        above = (means > 0).all(1)
        slopes = np.polyfit(middle, np.log(means[above].T), 1)[0] if above.any() else np.array([np.nan])
        lower, upper = np.quantile(slopes[1:], [0.025, 0.975]) if len(slopes) > 40 else (np.nan, np.nan)
        rows[agent] = {
            "power": slopes[0] if above[0] else np.nan,
            "lower": lower,
            "upper": upper,
            "above": above.mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("agent")


def main(folder: str = "results", tables: str = "results") -> None:
    """Run the cells that `folder` does not hold yet, and write the tables to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the tables, written as CSV.
    """
    from pathlib import Path

    import pandas as pd

    regrets, claims, rates = [], [], []
    curves: dict[str, Any] = {}
    for cell, result in finished_cells("mtsrl", STUDIES, folder):
        regrets.append(regret_table(result).reset_index().assign(cell=cell))
        curves[cell] = regret_by_task(result).mean("replicate").to_pandas().T
        if cell == "riverswim":
            continue
        claims.append(claims_table(result).assign(cell=cell))
        rates.append(gap_rate(result).reset_index().assign(cell=cell))
    place = Path(tables)
    pd.concat(regrets).set_index(["cell", "agent"]).round(3).to_csv(place / "mtsrl.csv")
    pd.concat(claims).set_index(["cell", "statement"]).round(3).to_csv(place / "mtsrl_claims.csv")
    pd.concat(rates).set_index(["cell", "agent"]).round(3).to_csv(place / "mtsrl_rates.csv")
    pd.concat(curves, names=["cell"]).round(3).to_csv(place / "mtsrl_curves.csv")
