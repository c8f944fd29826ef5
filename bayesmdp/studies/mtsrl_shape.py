"""Learned priors: where they pay, and how what they cost grows. Declared before it was run.

The study `mtsrl` judges what MTSRL and MTSRL+ are claimed to do; this one asks on what it depends. Its problems are
small, so that many settings can be had: tasks are fewer, and settings other, than those of the guarantees.

- ``map-S-N``: small recommendation engines (4 products, 3 recommendations) whose log-odds weights differ by S between
  tasks, with N customers a task; 16 tasks, judged over the last 8. *Where does learning the covariance beat learning
  the mean?* ``mean alone`` learns as MTSRL does, but keeps the covariance that RLSVI begins with; MTSRL is told the
  true one. *Where does a prior on Q beat one on rewards?* Empirical Bayes beside a bandit that learns likewise.
- ``episodes-N``, ``horizon-H``: layered problems with Normal Q-values (2 states and 2 actions a layer, variances of
  .3), N = 10, 40, 160 episodes (H = 3) and H = 2, 3, 6 (N = 40); 40 tasks. The guarantees are of less cumulative
  meta-regret than RLSVI's after K of the order of H^2 tasks, or N^2 H^2 where the covariance is learned, too. *After
  how many tasks is it less, and stays so?*
- ``long``: 160 tasks at N = 20 and H = 3.

In the layered problems MTSRL is there with the non-adaptive warm-up in each task, too: at random until the least
eigenvalue of each stage's Gram matrix is 1, or for 20 episodes (all of a task where N is 10 or 20 and chance wills it).
Learners begin to learn after 4 tasks on the map and after 2 elsewhere. Cumulative meta-regret is what an agent loses
more than the oracle, summed over tasks; the guarantees' power of K is 1/2.

*The best misspecified prior.* Thompson sampling under the true prior is not the best that can be done, and learners
have been below that "oracle". Beside it stand oracles with other covariances, or with the true noise where agents
assume another. The best of them is chosen by its regret on replicates of even number and judged, as a second reference,
on those of odd number. Intervals are of 95%, Student's for means and by bootstrap over replicates otherwise.

``make study STUDIES=mtsrl_shape`` runs every cell that ``results/`` does not hold and writes ``mtsrl_shape.csv`` (with
the distribution over replicates), ``mtsrl_shape_statements.csv``, ``mtsrl_shape_crossings.csv``,
``mtsrl_shape_powers.csv`` and ``mtsrl_shape_curves.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.mtsrl import ORACLE, RLSVI, SHOP, SMALL_SHOP, TRUE_NOISE, learner, normal_tasks, regret_by_task
from bayesmdp.studies.statements import finished_cells, mean_interval, statement_table
from bayesmdp.studies.task_study import LearnerSpec, TaskStudy

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["STUDIES", "best_prior", "crossing_table", "cumulative", "power_table", "regret_table", "statements"]

SPREADS, CUSTOMERS, EPISODES, HORIZONS = (0.25, 0.5, 1.0), (20, 60, 180), (10, 40, 160), (2, 6)
SAMPLES = 2_000
"""Of each bootstrap."""

EB, BANDIT_EB, MEAN_ALONE = "empirical Bayes", "bandit, empirical Bayes", "mean alone"
FLAT = [[[5.0 * (i == j) for j in range(20)] for i in range(20)]] * 3
"""The covariance that RLSVI begins with on the map."""
_on_map = partial(learner, warm_up=4)
_elsewhere = partial(learner, "tsrl", warm_up=2, growth=1.1)

ON_MAP: Mapping[str, LearnerSpec] = {
    RLSVI: LearnerSpec("tsrl"),
    ORACLE: LearnerSpec("tsrl", knows="prior"),
    TRUE_NOISE: LearnerSpec("tsrl", knows="prior and noise"),
    "oracle, true noise, covariance x 0.25": LearnerSpec("tsrl", knows="prior and noise", stretch=0.25),
    MEAN_ALONE: _on_map("tsrl", "mtsrl", covariance=FLAT, learn_noise=True),
    "MTSRL": _on_map("tsrl", "mtsrl", "covariance", learn_noise=True),
    "MTSRL+": _on_map("tsrl", "mtsrl+", learn_noise=True),
    EB: _on_map("tsrl", "empirical-bayes"),
    "AdaTS": _on_map("bandit_ts", "adats", "covariance"),
    BANDIT_EB: _on_map("bandit_ts", "empirical-bayes"),
}

NOT_ADAPTIVE = "MTSRL, at random first"
IN_LAYERS: Mapping[str, LearnerSpec] = {
    RLSVI: LearnerSpec("tsrl"),
    ORACLE: LearnerSpec("tsrl", knows="prior"),
    "oracle, covariance x 0.5": LearnerSpec("tsrl", knows="prior", stretch=0.5),
    "oracle, covariance x 0.25": LearnerSpec("tsrl", knows="prior", stretch=0.25),
    "MTSRL": _elsewhere("mtsrl", "covariance"),
    "MTSRL+": _elsewhere("mtsrl+"),
    EB: _elsewhere("empirical-bayes"),
    NOT_ADAPTIVE: replace(_elsewhere("mtsrl", "covariance"), options={"excitation": 1.0, "at_random": 20}),
}

LEARNERS = ("MTSRL", NOT_ADAPTIVE, "MTSRL+", EB)
"""Whose growth is asked for."""

COMPARED = (
    (MEAN_ALONE, EB, "to learn the covariance, too: empirical Bayes has less regret than mean alone by"),
    (MEAN_ALONE, "MTSRL+", "to learn the covariance, too: MTSRL+ has less regret than mean alone by"),
    (MEAN_ALONE, "MTSRL", "to be told the covariance: MTSRL has less regret than mean alone by"),
    (BANDIT_EB, EB, "a prior on Q: empirical Bayes has less regret than a bandit that learns likewise by"),
    ("AdaTS", EB, "a prior on Q: empirical Bayes has less regret than AdaTS by"),
    ("AdaTS", "MTSRL+", "a prior on Q: MTSRL+ has less regret than AdaTS by"),
)
"""Who loses more, who less, and what that would show."""


def _map(spread: float, customers: int) -> TaskStudy:
    options = {**SHOP, "truth_options": {"mean": None, "scale": spread}}
    return TaskStudy(
        title=f"learned priors where tasks differ by {spread:g} and have {customers} customers",
        agents=ON_MAP,
        environment_options=SMALL_SHOP,
        **{**options, "steps": 3 * customers, "tasks": 16, "thin": 3 * customers, "replicates": 10},
    )


def _layers(episodes: int, horizon: int, tasks: int = 40) -> TaskStudy:
    return TaskStudy(
        title=f"learned priors in layers: {episodes} episodes of {horizon} steps a task",
        agents=IN_LAYERS,
        environment="layers",
        environment_options={"width": 2, "actions": 2, "horizon": horizon, "noise": 0.5},
        prior="gaussian_q",
        prior_options={"covariance": 4.0, "noise": 0.5},
        truth="gaussian_q_tasks",
        truth_options=partial(normal_tasks, horizon, 4),
        steps=episodes * horizon,
        tasks=tasks,
        thin=episodes * horizon,
        replicates=16,
    )


STUDIES: Mapping[str, TaskStudy] = {
    **{f"map-{spread:g}-{n}": _map(spread, n) for spread in SPREADS for n in CUSTOMERS},
    **{f"episodes-{n}": _layers(n, 3) for n in EPISODES},
    **{f"horizon-{h}": _layers(40, h) for h in HORIZONS},
    "long": _layers(20, 3, 160),
}


def _judged(result: xr.DataTree) -> xr.DataArray:
    """Regret a task over the second half of the tasks [agent, replicate]."""
    regret = regret_by_task(result)
    return regret.isel(task=slice(regret.sizes["task"] // 2, None)).mean("task")


def _names(result: xr.DataTree) -> list[str]:
    return list(map(str, result.to_dataset()["agent"].values))


def best_prior(result: xr.DataTree) -> str:
    """Name the oracle, true or misspecified, with the least regret on replicates of even number."""
    oracles = [name for name in _names(result) if name.startswith(ORACLE)]
    return oracles[int(_judged(result).sel(agent=oracles)[:, ::2].mean("replicate").values.argmin())]


def regret_table(result: xr.DataTree) -> pd.DataFrame:
    """Tabulate regret a task over the second half of the tasks: its mean, and its distribution over replicates.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.

    Returns
    -------
    DataFrame
        One row an agent: ``regret``, ``lower``, ``upper``; ``least``, ``quarter``, ``median``, ``three_quarters`` and
        ``most``.
    """
    import numpy as np
    import pandas as pd

    parts = ("least", "quarter", "median", "three_quarters", "most")
    rows = {}
    for name in _names(result):
        sample = _judged(result).sel(agent=name).values
        among = dict(zip(parts, np.quantile(sample, [0, 0.25, 0.5, 0.75, 1]), strict=True))
        rows[name] = dict(zip(("regret", "lower", "upper"), mean_interval(sample), strict=True)) | among
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("agent")


def statements(result: xr.DataTree) -> pd.DataFrame:
    """Judge what a cell was made to show, by paired differences of regret a task over the second half of the tasks.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.

    Returns
    -------
    DataFrame
        As from `statement_table`, with the prior that was ``chosen`` on replicates of even number.
    """
    late, names, chosen = _judged(result), _names(result), best_prior(result)
    said = {
        says: ((late.sel(agent=more) - late.sel(agent=less)).values, 0.0)
        for more, less, says in COMPARED
        if {more, less} <= set(names)
    }
    apart = late[:, 1::2]
    for name in (ORACLE, *(name for name in LEARNERS if name in names)):
        saved = (apart.sel(agent=name) - apart.sel(agent=chosen)).values
        said[f"the best prior of those tried has less regret than {name} by"] = saved, 0.0
    for name in (name for name in LEARNERS if name in names):
        saved = (late.sel(agent=ORACLE) - late.sel(agent=name)).values
        said[f"{name} has less regret than the oracle by"] = saved, 0.0
    return statement_table(said).assign(chosen=chosen)


def cumulative(result: xr.DataTree, against: str, replicates: slice = slice(None)) -> xr.DataArray:
    """What agents lose more than another, summed over tasks [agent, replicate, task].

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    against : str
        An agent; the oracle for meta-regret.
    replicates : slice

    Returns
    -------
    DataArray
    """
    regret = regret_by_task(result).isel(replicate=replicates)
    return (regret - regret.sel(agent=against)).cumsum("task")


def _resampled(sample: Any) -> Any:
    """Means over replicates [1 + samples, task]: of all, then of bootstrap samples, the same for all agents."""
    import numpy as np

    size = len(sample)
    chosen = np.random.default_rng(0).integers(0, size, (SAMPLES, size))
    return np.concatenate([sample.mean(0)[None], sample[chosen].mean(1)])


def crossing_table(result: xr.DataTree, episodes: int, horizon: int) -> pd.DataFrame:
    """After how many tasks a learner's cumulative regret is below RLSVI's, and stays there.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    episodes, horizon : int
        Of each task.

    Returns
    -------
    DataFrame
        One row a learner: ``tasks`` with its bounds, infinite where that is not seen; and ``of_order``, the share that
        this is of H^2, or of N^2 H^2 where the covariance is not told.
    """
    import numpy as np
    import pandas as pd

    saved, rows = cumulative(result, RLSVI), {}
    for name in (name for name in LEARNERS if name in _names(result)):
        behind = _resampled(saved.sel(agent=name).values) >= 0
        last = behind.shape[1] - np.argmax(behind[:, ::-1], 1)  # the last task at which it is not below, from 1
        tasks = np.where(behind[:, -1], np.inf, np.where(behind.any(1), last + 1.0, 1.0))
        ends = tasks[0], *np.quantile(tasks[1:], [0.025, 0.975], method="nearest")
        order = horizon**2 * (episodes**2 if name in ("MTSRL+", EB) else 1)
        row = dict(zip(("tasks", "tasks_lower", "tasks_upper"), ends, strict=True))
        row |= {f"of_order{end}": value / order for end, value in zip(("", "_lower", "_upper"), ends, strict=True)}
        rows[name] = {"episodes": episodes, "horizon": horizon, **row}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("agent")


def power_table(result: xr.DataTree, first: int = 4) -> pd.DataFrame:
    """The power of the number of tasks with which cumulative meta-regret grows, for learners.

    A line is fitted on logarithms, at numbers of tasks each half as large again as the last. There is no power where
    cumulative meta-regret is not above 0 throughout, and ``above`` says in which share of the samples it is.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    first : int
        The least number of tasks.

    Returns
    -------
    DataFrame
        One row a learner and ``reference``, "oracle" or "best prior".
    """
    import numpy as np
    import pandas as pd

    rows = []
    tasks = regret_by_task(result).sizes["task"]
    at = np.unique(np.append((first * 1.5 ** np.arange(20)).astype(int), tasks))
    at = at[at <= tasks]
    references = ("oracle", ORACLE, slice(None)), ("best prior", best_prior(result), slice(1, None, 2))
    for reference, against, replicates in references:
        lost = cumulative(result, against, replicates)
        for name in (name for name in LEARNERS if name in _names(result)):
            means = _resampled(lost.sel(agent=name).values)[:, at - 1]
            above = (means > 0).all(1)
            powers = np.polyfit(np.log(at), np.log(np.where(above[:, None], means, 1.0)).T, 1)[0]
            powers = np.where(above, powers, np.nan)
            # Bounds are of samples with a power; where these are few there are no bounds.
            known = above[1:].mean() > 0.975
            ends = np.nanquantile(powers[1:], [0.025, 0.975]) if known else (np.nan, np.nan)
            rows.append((name, reference, powers[0], *ends, above.mean()))
    return pd.DataFrame(rows, columns=["agent", "reference", "power", "lower", "upper", "above"])


def _curves(result: xr.DataTree) -> pd.DataFrame:
    """Cumulative meta-regret at each number of tasks, with its interval, one row an agent and number."""
    import pandas as pd

    lost = cumulative(result, ORACLE)
    rows = [
        (name, task + 1, *mean_interval(lost.sel(agent=name)[:, task]))
        for name in (RLSVI, *LEARNERS)
        if name in _names(result)
        for task in range(lost.sizes["task"])
    ]
    return pd.DataFrame(rows, columns=["agent", "tasks", "lost", "lower", "upper"])


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

    parts: dict[str, list[Any]] = {name: [] for name in ("", "_statements", "_crossings", "_powers", "_curves")}
    for cell, result in finished_cells("mtsrl-shape", STUDIES, folder):
        made = {"": regret_table(result).reset_index(), "_statements": statements(result)}
        if not cell.startswith("map"):
            horizon = STUDIES[cell].environment_options["horizon"]
            crossings = crossing_table(result, STUDIES[cell].steps // horizon, horizon)
            made |= {"_crossings": crossings.reset_index(), "_powers": power_table(result), "_curves": _curves(result)}
        for name, part in made.items():
            parts[name].append(part.assign(cell=cell))
    for name, pieces in parts.items():
        table = pd.concat(pieces)
        table.insert(0, "cell", table.pop("cell"))
        table.round(6 if name == "_crossings" else 3).to_csv(Path(tables) / f"mtsrl_shape{name}.csv", index=False)
