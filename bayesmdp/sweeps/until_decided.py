"""A sweep that is given replicates until it is decided which of its settings differ.

A replicate is the same alone as in any batch, so to add to a comparison is only to run further numbers, of the settings
that still need them. The store holds each look's runs, and what is decided is a function of these: an interrupted
comparison goes on where it stopped, and ends as it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import pandas as pd

from bayesmdp.results.comparison import final_totals
from bayesmdp.results.sequential import Looks, sequential_decisions, undecided_settings
from bayesmdp.results.setting_names import parse_setting, setting_text
from bayesmdp.sweeps.run import run_sweep
from bayesmdp.sweeps.store import StoreError
from bayesmdp.sweeps.sweep import Cell, Sweep

__all__ = ["run_until_decided"]


def run_until_decided(
    sweep: Sweep,
    path: str | PathLike[str],
    *,
    looks: Looks | None = None,
    baseline: str | Mapping[str, Any] | None = None,
    quantity: str = "regret",
    on_look: Callable[[int, pd.DataFrame], None] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Run a sweep look by look, until every pair of its settings is told apart or given up.

    Parameters
    ----------
    sweep : Sweep
        Its ``replicates`` are the most that there may be, unless `looks` says otherwise.
    path : path
        Of the store, as of :func:`~bayesmdp.sweeps.run_sweep`.
    looks : Looks, optional
        By default each 8 replicates, at level .05.
    baseline : str or mapping, optional
        Compare with this setting alone; by default all pairs in the same problem.
    quantity : str
        What is summed over a run.
    on_look : callable, optional
        Called with the number of replicates and the decisions after each look.
    **options
        Of `run_sweep`: ``workers``, ``client``, ``on_begin``, ``on_chunk``.

    Returns
    -------
    DataFrame
        As :func:`~bayesmdp.results.sequential.sequential_decisions` returns it.

    Raises
    ------
    StoreError, ValueError, TypeError, KeyError, WorkerError
        As `run_sweep` and `sequential_decisions` do.

    See Also
    --------
    bayesmdp.sweeps.run_sweep : a number of replicates that is fixed.
    bayesmdp.simulate_until_decided : without a store.

    Examples
    --------
    >>> import tempfile
    >>> sweep = Sweep("aq-brmdp/riverswim-6", agents=["PSRL", "BRMDP-0.1"], steps=50)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     told = run_until_decided(sweep, f"{folder}/two.zarr", looks=Looks(replicates=16))
    >>> told.index.tolist()
    [('PSRL', 'BRMDP-0.1')]
    """
    looks = Looks(replicates=sweep.count) if looks is None else looks
    names = {cell.name: cell for cell in sweep.cells()}
    _refuse_early(list(names.values()), baseline)
    needed = list(names)
    decisions = pd.DataFrame()
    for count in looks.numbers:
        cells = {names[name] for name in needed}
        run_sweep(replace(sweep, replicates=count), path, only=cells.__contains__, **options)
        # The store may hold shorter runs, from before: those do not count.
        totals = final_totals(path, quantity=quantity, steps=max(sweep.lengths))
        told = [setting_text(place, totals.index.names) for place in totals.index]
        if lacking := [name for name in names if name not in told]:
            raise StoreError(f"{path} holds no {quantity} of {lacking[0]}, which is to be compared")
        here = totals[[name in names for name in told]]  # the store may hold more than this sweep
        here.attrs = dict(totals.attrs)
        decisions = sequential_decisions(here, looks, baseline=baseline)
        if on_look is not None:
            on_look(count, decisions)
        needed = undecided_settings(decisions)
        if not needed:
            break
    return decisions


def _refuse_early(cells: list[Cell], baseline: str | Mapping[str, Any] | None) -> None:
    """Refuse, before anything is run, a sweep in which there is nothing to compare, or not with this agent."""
    if len(cells) < 2:
        raise ValueError("there are no two settings of one problem to compare")
    agents = list(dict.fromkeys(cell.agent for cell in cells))
    asked = parse_setting(baseline) if isinstance(baseline, str) else dict(baseline or {})
    if "agent" in asked and asked["agent"] not in agents:
        raise KeyError(f"no baseline with agent = {asked['agent']!r}; there is {', '.join(agents)}")
