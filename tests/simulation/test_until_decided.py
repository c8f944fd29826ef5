"""Agents compared in as many replicates as it takes."""

from __future__ import annotations

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.results.sequential import sequential_decisions


def rivals() -> tuple[bm.MDP, dict[str, bm.agents.Agent]]:
    """Two agents that are the same, and one that explores too little."""
    river = bm.environments.riverswim(6)
    prior = bm.models.dirichlet_transitions(river, 1 / 6)
    agents = {"A": bm.agents.mbie_eb(prior), "B": bm.agents.mbie_eb(prior), "PSRL": bm.agents.psrl(prior)}
    return river, agents


def test_replicates_are_those_of_one_call_and_stop_when_all_is_decided() -> None:
    river, agents = rivals()
    looks = bm.Looks(replicates=40, every=8, flips=1_000)
    seen = []
    told = bm.simulate_until_decided(
        river, agents, steps=600, thin=600, looks=looks, seed=3, on_replicate=lambda *run: seen.append(run[:2])
    )
    whole = bm.simulate(river, agents, steps=600, thin=600, seed=3, replicates=40)["regret"].sum("step").values
    there = told.totals.notna().to_numpy()
    np.testing.assert_array_equal(told.totals.to_numpy()[there], whole[there])
    assert len(seen) == there.sum() < whole.size
    assert told.decisions.loc[("A", "B")].tolist() == [0, 0, 0, "equal", 8]  # and no more are run for it
    assert told.decisions.loc[("A", "PSRL"), "decision"] == told.decisions.loc[("B", "PSRL"), "decision"] != "undecided"
    assert sum(result["regret"].sizes["agent"] * 8 for result in told.results) == there.sum()
    again = sequential_decisions(told.totals, looks)
    assert again.equals(told.decisions)


def test_mistakes_are_told_before_anything_runs() -> None:
    river, agents = rivals()
    with pytest.raises(ValueError, match="adds replicates itself; replicates is not for it: use looks="):
        bm.simulate_until_decided(river, agents, steps=10, replicates=3)
    with pytest.raises(ValueError, match="no two settings"):
        bm.simulate_until_decided(river, {"A": agents["A"]}, steps=10)
    with pytest.raises(KeyError, match="no baseline"):
        bm.simulate_until_decided(river, agents, steps=10, baseline="Z")
    with pytest.raises(ValueError, match="nothing is recorded by step as 'regrets'"):
        bm.simulate_until_decided(river, agents, steps=10, quantity="regrets")
