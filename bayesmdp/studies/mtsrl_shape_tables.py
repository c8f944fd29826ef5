"""The tables of the study of what learned priors depend on: regret, statements, crossings, powers and curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayesmdp.studies.mtsrl import regret_by_task
from bayesmdp.studies.mtsrl_tasks import ORACLE, RLSVI, TRUE_NOISE
from bayesmdp.studies.statements import mean_interval, statement_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import xarray as xr

__all__ = [
    "ASSUMED",
    "BANDIT_EB",
    "EB",
    "LEARNERS",
    "MEAN_ALONE",
    "NOT_ADAPTIVE",
    "QUARTER",
    "best_prior",
    "crossing_table",
    "crossing_tasks",
    "cumulative",
    "curves_table",
    "growth_table",
    "power_table",
    "regret_table",
    "statements",
]

SAMPLES = 2_000
"""Of each bootstrap."""
EB, BANDIT_EB, MEAN_ALONE = "empirical Bayes", "bandit, empirical Bayes", "mean alone"
ASSUMED = f"{MEAN_ALONE}, noise assumed"
QUARTER = "covariance x 0.25"
NOT_ADAPTIVE = "MTSRL, at random first"
LEARNERS = ("MTSRL", NOT_ADAPTIVE, "MTSRL+", EB)
"""Whose growth is asked for."""

COMPARED = (
    (MEAN_ALONE, EB, "to learn the covariance, too: empirical Bayes has less regret than mean alone by"),
    (MEAN_ALONE, "MTSRL+", "to learn the covariance, too: MTSRL+ has less regret than mean alone by"),
    (ASSUMED, EB, "to learn the covariance, too: empirical Bayes has less regret than mean alone, noise assumed, by"),
    (ASSUMED, "MTSRL+", "to learn the covariance, too: MTSRL+ has less regret than mean alone, noise assumed, by"),
    (MEAN_ALONE, "MTSRL", "to be told the covariance: MTSRL has less regret than mean alone by"),
    (BANDIT_EB, EB, "a prior on Q: empirical Bayes has less regret than a bandit that learns likewise by"),
    ("AdaTS", EB, "a prior on Q: empirical Bayes has less regret than AdaTS by"),
    ("AdaTS", "MTSRL+", "a prior on Q: MTSRL+ has less regret than AdaTS by"),
    (ORACLE, f"{ORACLE}, {QUARTER}", "a quarter of the tasks' covariance has less regret than all of it by"),
    (TRUE_NOISE, f"{TRUE_NOISE}, {QUARTER}", "a quarter of the tasks' covariance has less regret than all of it by"),
)
"""Who loses more, who less, and what that would show."""


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


def crossing_tasks(result: xr.DataTree) -> dict[str, Any]:
    """After how many tasks each learner's cumulative regret is below RLSVI's, and stays there.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.

    Returns
    -------
    dict of str to array [1 + samples]
        By the mean over all replicates, then over bootstrap samples of them; infinite where that is not seen.
    """
    import numpy as np

    saved, tasks = cumulative(result, RLSVI), {}
    for name in (name for name in LEARNERS if name in _names(result)):
        behind = _resampled(saved.sel(agent=name).values) >= 0
        last = behind.shape[1] - np.argmax(behind[:, ::-1], 1)  # the last task at which it is not below, from 1
        tasks[name] = np.where(behind[:, -1], np.inf, np.where(behind.any(1), last + 1.0, 1.0))
    return tasks


def crossing_table(crossed: Mapping[str, Any], episodes: int, horizon: int) -> pd.DataFrame:
    """After how many tasks each learner has less cumulative regret than RLSVI, and what share of the order that is.

    Parameters
    ----------
    crossed : mapping of learner to array [1 + samples]
        From `crossing_tasks`.
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

    rows = {}
    for name, tasks in crossed.items():
        ends = tasks[0], *np.quantile(tasks[1:], [0.025, 0.975], method="nearest")
        order = horizon**2 * (episodes**2 if name in ("MTSRL+", EB) else 1)
        row = dict(zip(("tasks", "tasks_lower", "tasks_upper"), ends, strict=True))
        row |= {f"of_order{end}": value / order for end, value in zip(("", "_lower", "_upper"), ends, strict=True)}
        rows[name] = {"episodes": episodes, "horizon": horizon, **row}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("agent")


def growth_table(crossed: Mapping[str, Mapping[str, Any]], growths: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """The power of N, or of H, with which the number of tasks grows after which a learner is ahead of RLSVI.

    A line is fitted on logarithms. Samples in which a learner does not come ahead in some cell have no power, and
    ``seen`` is the share of the others; bounds are given where nearly all have one.

    Parameters
    ----------
    crossed : mapping of cell to mapping of learner to array [1 + samples]
        From `crossing_tasks`.
    growths : mapping of quantity to mapping of cell to its value there

    Returns
    -------
    DataFrame
        One row a quantity and a learner: ``quantity``, ``agent``, ``power``, ``lower``, ``upper``, ``seen``.

    Examples
    --------
    >>> import numpy as np
    >>> crossed = {cell: {"MTSRL": np.full(41, tasks)} for cell, tasks in {"a": 3.0, "b": 12.0}.items()}
    >>> growth_table(crossed, {"N": {"a": 10, "b": 20}})["power"].round(6).tolist()
    [2.0]
    """
    import numpy as np
    import pandas as pd

    rows = []
    for quantity, values in growths.items():
        held = {cell: value for cell, value in values.items() if cell in crossed}
        for name in crossed[next(iter(held))] if len(held) > 1 else ():
            tasks = np.stack([crossed[cell][name] for cell in held])
            powers, seen = _powers(list(held.values()), tasks.T, np.isfinite(tasks).all(0))
            rows.append((quantity, name, *powers, seen))
    return pd.DataFrame(rows, columns=["quantity", "agent", "power", "lower", "upper", "seen"])


def _powers(at: Any, means: Any, known: Any) -> tuple[tuple[float, float, float], float]:
    """The power of ``at`` that means [1 + samples, at] grow with: of the first, and its bounds by the other samples.

    Only those that are `known` have one. Others are beyond either bound: they are no sample in the middle, since who
    comes ahead too late to be seen has a large power or a small one. Where 2.5% or more have none there are no bounds.
    """
    import numpy as np

    powers = np.polyfit(np.log(at), np.log(np.where(known[:, None], means, 1.0)).T, 1)[0]
    lower, upper = np.nan, np.nan
    if known[1:].mean() > 0.975:
        lower = np.quantile(np.where(known, powers, -np.inf)[1:], 0.025)
        upper = np.quantile(np.where(known, powers, np.inf)[1:], 0.975)
    return (powers[0] if known[0] else np.nan, lower, upper), known.mean()


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
    for reference, lost in _lost(result).items():
        for name in (name for name in LEARNERS if name in _names(result)):
            means = _resampled(lost.sel(agent=name).values)[:, at - 1]
            powers, above = _powers(at, means, (means > 0).all(1))
            rows.append((name, reference, *powers, above))
    return pd.DataFrame(rows, columns=["agent", "reference", "power", "lower", "upper", "above"])


def _lost(result: xr.DataTree) -> dict[str, xr.DataArray]:
    """Cumulative meta-regret by its reference: the oracle, and the best prior on the replicates that did not choose."""
    chosen = cumulative(result, best_prior(result), slice(1, None, 2))
    return {"oracle": cumulative(result, ORACLE), "best prior": chosen}


def curves_table(result: xr.DataTree) -> pd.DataFrame:
    """Cumulative meta-regret at each number of tasks, with its interval.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.

    Returns
    -------
    DataFrame
        One row a reference, an agent and a number of tasks.
    """
    import pandas as pd

    rows = [
        (reference, name, task + 1, *mean_interval(lost.sel(agent=name)[:, task]))
        for reference, lost in _lost(result).items()
        for name in (RLSVI, *LEARNERS)
        if name in _names(result)
        for task in range(lost.sizes["task"])
    ]
    return pd.DataFrame(rows, columns=["reference", "agent", "tasks", "lost", "lower", "upper"])
