"""Options of agents chosen before they are compared, each agent's under the same number of runs.

A comparison in which one agent's options were tuned and its rivals' were not says who was tuned. Here each agent goes
through its own grid under one budget, declared before: an agent with many settings runs each less often. The setting
with the best mean is taken, and the comparison that follows has other random numbers, for the best of many means is
better than its setting is.
"""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Any, Literal

import pandas as pd

from bayesmdp.foundation.validation import integer
from bayesmdp.results.comparison import final_totals
from bayesmdp.results.setting_names import setting_text
from bayesmdp.sweeps.run import run_sweep
from bayesmdp.sweeps.sweep import Cell, Sweep

__all__ = ["tune"]

FEWEST = 2
"""Runs of each setting, of which a mean is taken."""


def tune(
    sweep: Sweep,
    path: str | PathLike[str],
    *,
    runs: int = 64,
    quantity: str = "regret",
    best: Literal["lowest", "highest"] | None = None,
    **options: Any,
) -> tuple[Sweep, pd.DataFrame]:
    """Choose each agent's options by its best mean, all agents under the same number of runs.

    Parameters
    ----------
    sweep : Sweep
        Its grid holds the options to choose from, of agents alone.
    path : path
        Of a store for these runs, as of :func:`~bayesmdp.sweeps.run_sweep`; what it holds is not run again.
    runs : int
        Of each agent, divided among its settings; agents with one setting are not run.
    quantity : str
        What is summed over a run.
    best : {"lowest", "highest"}, optional
        By default the highest of ``reward`` and the lowest of anything else.
    **options
        Of `run_sweep`: ``workers``, ``client``, ``on_begin``, ``on_chunk``.

    Returns
    -------
    Sweep
        Without a grid: the chosen options are settings, and its seed is the next one, so that what is compared by it
        was not chosen by the same runs.
    DataFrame [setting]
        ``agent``, ``mean``, ``runs`` and whether it was ``chosen``, of what was tried.

    Raises
    ------
    ValueError
        If there is nothing to choose, the problem is swept too, or an agent has more settings than its runs allow.
    StoreError, TypeError, KeyError, WorkerError
        As `run_sweep` does.

    See Also
    --------
    bayesmdp.sweeps.run_until_decided : the comparison that may follow.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = "aq-brmdp/riverswim-6"
    ...     swept = Sweep(study, {"AQ-BRMDP.scale": [0.5, 2.0]}, agents=["PSRL", "AQ-BRMDP"], steps=50)
    ...     tuned, tried = tune(swept, f"{folder}/tuning.zarr", runs=4)
    >>> dict(tuned.grid), tuned.seed, tried["runs"].tolist(), int(tried["chosen"].sum())
    ({}, 1, [2, 2], 1)
    """
    integer("runs", runs, 1)
    if best not in (None, "lowest", "highest"):
        raise ValueError(f"best must be lowest or highest; got {best!r}")
    highest = best == "highest" if best else quantity == "reward"
    if shared := [axis.key for axis in sweep.axes if axis.place not in sweep.base.agents]:
        raise ValueError(f"{shared[0]} is swept, and agents are tuned in one problem; give it one value in settings")
    settings = {agent: [cell for cell in sweep.cells() if cell.agent == agent] for agent in sweep.base.agents}
    settings = {agent: cells for agent, cells in settings.items() if len(cells) > 1}
    if not settings:
        raise ValueError("the sweep's grid has nothing to choose from: give an agent's option several values")
    for agent, cells in settings.items():
        if runs < FEWEST * len(cells):
            raise ValueError(
                f"{agent} has {len(cells)} settings, for which {runs} runs are too few; give it {FEWEST * len(cells)} "
                "or more, or fewer values"
            )
    for cells in settings.values():
        run_sweep(replace(sweep, replicates=runs // len(cells)), path, only=set(cells).__contains__, **options)
    totals = final_totals(path, quantity=quantity, steps=max(sweep.lengths))
    totals.index = pd.Index([setting_text(place, totals.index.names) for place in totals.index])
    tried, chosen = [], dict[str, Any]()
    for agent, cells in settings.items():
        count = runs // len(cells)
        means = _means(totals, cells, count)
        place = means.idxmax() if highest else means.idxmin()
        tried += [(name, agent, mean, count, name == place) for name, mean in means.items()]
        taken = next(cell for cell in cells if cell.name == place)
        chosen |= {axis.key: value for axis, value in taken.settings}
    table = pd.DataFrame(tried, columns=["setting", "agent", "mean", "runs", "chosen"]).set_index("setting")
    return replace(sweep, grid={}, settings={**sweep.settings, **chosen}, seed=sweep.seed + 1), table


def _means(totals: pd.DataFrame, cells: list[Cell], count: int) -> pd.Series:
    """Mean total of each of an agent's settings over its first `count` runs; the store may hold others."""
    means: pd.Series = totals.loc[[cell.name for cell in cells]].iloc[:, :count].mean(axis=1)
    return means
