"""Agents that learn online in as many replicates as it takes to tell which is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from bayesmdp.agents import Agent
from bayesmdp.problems.decision_problem import DecisionProblem
from bayesmdp.results.sequential import Looks, sequential_decisions, undecided_settings
from bayesmdp.simulation.simulate import simulate

__all__ = ["Decided", "simulate_until_decided"]


class Decided(NamedTuple):
    """What was decided, and by which runs.

    Attributes
    ----------
    decisions : DataFrame [pair]
        As :func:`~bayesmdp.results.sequential.sequential_decisions` returns it.
    totals : DataFrame [agent, replicate]
        The quantity summed over each run; NaN where an agent needed no such replicate.
    results : tuple of DataTree
        Of `simulate`, one a look: the agents that were still needed, in the replicates of that look.
    """

    decisions: pd.DataFrame
    totals: pd.DataFrame
    results: tuple[xr.DataTree, ...]


def simulate_until_decided(
    mdp: DecisionProblem,
    agents: Mapping[str, Agent],
    *,
    looks: Looks | None = None,
    baseline: str | None = None,
    quantity: str = "regret",
    **options: Any,
) -> Decided:
    """Let agents learn online in further replicates until each pair is told apart or given up.

    ``looks.level`` is meant for all looks and pairs together; see :mod:`bayesmdp.results.sequential`.

    Parameters
    ----------
    mdp : MDP, ContinuousMDP or SimulatedMDP
    agents : mapping of name to Agent
        Two or more.
    looks : Looks, optional
        By default each 8 replicates up to 64, at level .05.
    baseline : str, optional
        Compare the others with this agent alone; by default all pairs.
    quantity : str
        What `simulate` records by step, and is summed over each run.
    **options
        Of :func:`~bayesmdp.simulate`: ``steps``, which it needs, ``seed``, ``truth``, ``thin``, ``workers`` and others.

    Returns
    -------
    Decided

    Raises
    ------
    ValueError, KeyError, TypeError
        For bad arguments, before anything is run.

    See Also
    --------
    bayesmdp.simulate : a number of runs that is fixed.
    bayesmdp.sweeps.run_until_decided : the same for a grid of settings.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> prior = bm.models.dirichlet_transitions(river, 1 / 6)
    >>> rivals = {"PSRL": bm.agents.psrl(prior), "MBIE-EB": bm.agents.mbie_eb(prior)}
    >>> told = bm.simulate_until_decided(river, rivals, steps=500, looks=bm.Looks(replicates=32))
    >>> told.decisions.loc[("PSRL", "MBIE-EB"), "decision"]
    'higher'
    """
    looks = Looks() if looks is None else looks
    for name in ("replicates", "resume"):
        if name in options:
            raise ValueError(f"simulate_until_decided adds replicates itself; {name} is not for it: use looks=")
    totals = pd.DataFrame(
        np.full((len(agents), looks.replicates), np.nan),
        index=pd.Index(list(agents), name="agent"),
        columns=pd.RangeIndex(looks.replicates, name="replicate"),
    )
    decisions = sequential_decisions(totals, looks, baseline=baseline)  # refuses what cannot be compared
    results = []
    for count in looks.numbers:
        needed = undecided_settings(decisions)
        if not needed:
            break
        numbers = range(count - looks.every, count)
        result = simulate(mdp, {name: agents[name] for name in needed}, replicates=numbers, **options)
        recorded = result.to_dataset()
        if quantity not in recorded or "step" not in recorded[quantity].dims:
            raise ValueError(f"nothing is recorded by step as {quantity!r}; there is {', '.join(map(str, recorded))}")
        sums = recorded[quantity].sum("step", skipna=False).transpose("agent", "replicate")
        totals.loc[needed, list(numbers)] = sums.sel(agent=needed).values
        results.append(result)
        decisions = sequential_decisions(totals, looks, baseline=baseline)
    return Decided(decisions, totals, tuple(results))
