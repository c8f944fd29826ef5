"""Logs and their compression, against counting by hand."""

from collections import Counter

import numpy as np
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp import environments
from bayesmdp.logs.compress import compress
from bayesmdp.logs.log import make_log
from bayesmdp.model_reading.rows import MeanRewards, Transitions, all_transitions
from bayesmdp.simulation.collect import collect

RIVER = environments.riverswim(6)


def small_log(**changes):
    columns = {
        "state": [0, 1, 1],
        "action": ["right", "left", "left"],
        "reward": [0.0, 0.5, 1.5],
        "next_state": [1, 0, 0],
    }
    columns |= changes
    attrs = {"states": list(RIVER.states), "actions": list(RIVER.actions)}
    return xr.Dataset({name: ("step", np.asarray(values)) for name, values in columns.items()}, attrs=attrs)


def test_compress_counts():
    log = collect(RIVER, steps=2_000, seed=3)
    rows = compress(log)
    action = {label: i for i, label in enumerate(RIVER.actions)}
    seen = Counter(
        (s, action[a], n)
        for s, a, n in zip(
            log.state.values.tolist(), log.action.values.tolist(), log.next_state.values.tolist(), strict=True
        )
    )
    found = zip(rows.state.tolist(), rows.action.tolist(), rows.next_state.tolist(), rows.weight.tolist(), strict=True)
    assert {key: weight for *key_, weight in found for key in [tuple(key_)]} == dict(seen)


def test_a_rows_reward_is_the_mean():
    rows = compress(small_log())
    np.testing.assert_array_equal(rows.weight, [1, 2])
    np.testing.assert_array_equal(rows.reward, [0, 1])


def test_outcomes_of_a_successor_table():
    lake = environments.frozen_lake().with_successors()
    log = collect(lake, steps=500, seed=0)
    rows = compress(log, lake)
    reached = lake.successor[rows.state, rows.action, rows.next_state]
    dense = compress(log)
    assert sorted(zip(rows.state, rows.action, reached, rows.weight, strict=True)) == sorted(
        zip(dense.state, dense.action, dense.next_state, dense.weight, strict=True)
    )


def test_labels_of_several_kinds():
    places = RIVER.replace(states=(0, "mill", (2, 2), 3.5, "0", "5"))
    rows = compress(collect(places, steps=300, seed=0), places)
    np.testing.assert_array_equal(rows.weight, compress(collect(RIVER, steps=300, seed=0)).weight)


def test_all_transitions_reshape_to_counts():
    rows = all_transitions(3, 2, 4)
    index = (rows.state * 2 + rows.action) * 4 + rows.next_state
    np.testing.assert_array_equal(index, np.arange(24))


def test_log_survives_a_csv(tmp_path):
    import pandas as pd

    log = collect(RIVER, steps=50, seed=0)
    log.to_dataframe().to_csv(tmp_path / "log.csv")
    again = pd.read_csv(tmp_path / "log.csv", index_col="step").to_xarray()
    for ours, theirs in zip(compress(log), compress(again, RIVER), strict=True):
        np.testing.assert_array_equal(ours, theirs)


BAD = {
    "empty log": (small_log(state=[], action=[], reward=[], next_state=[]), "the log is empty"),
    "missing column": (small_log().drop_vars("next_state"), "the log has no next_state"),
    "unknown state": (small_log(state=[0, 9, 1]), "log state at step 1 is 9, which is no state"),
    "unknown next state": (small_log(next_state=[1, 0, -1]), "log next_state at step 2 is -1"),
    "unknown action": (small_log(action=["right", "up", "left"]), "log action at step 1 is 'up', which is no action"),
    "labels of another type": (small_log(state=["0", "1", "1"]), "log state at step 0 is '0'"),
    "reward is not finite": (small_log(reward=[0, np.inf, 0]), "log reward at step 1 is inf"),
    "no label set": (xr.Dataset(small_log().data_vars), "attrs have no 'states'"),
    "two dims": (small_log().expand_dims("run"), "expected \\('step',\\)"),
    "a data frame": (small_log().to_dataframe(), "a log is an xarray.Dataset"),
}


@pytest.mark.parametrize("log, message", BAD.values(), ids=BAD)
def test_bad_logs_are_refused_by_place(log, message):
    with pytest.raises((ValueError, TypeError), match=message):
        compress(log)


def test_a_next_state_outside_the_successor_table_is_refused():
    lake = environments.frozen_lake().with_successors()
    log = make_log(lake, np.array([0]), np.array([0]), np.array([0.0]), np.array([15]))
    with pytest.raises(ValueError, match="next_state at step 0 is 15, not among its successors"):
        compress(log, lake)


def test_outcomes_that_a_log_cannot_tell_apart_are_refused():
    table = np.array([[[0, 0, 1]], [[0, 1, 1]]])
    mdp = bm.MDP(transition=np.full((2, 1, 3), 1 / 3), successor=table, reward=[[[1, 0, 0]], [[1, 0, 0]]], discount=0.9)
    log = bm.collect(mdp, steps=20, seed=0)
    with pytest.raises(ValueError, match=r"several outcomes of \(state 0, action 0\) that lead to 0 and"):
        bm.compress(log, mdp=mdp)
    even = mdp.replace(reward=[[[0.5, 0.5, 0]], [[1, 0, 0]]])
    assert bm.compress(log, mdp=even).weight.sum() == 20


def test_distinct_rewards_keep_their_rows():
    rows = compress(small_log(), distinct_rewards=True)
    np.testing.assert_array_equal(rows.weight, [1, 1, 1])
    np.testing.assert_array_equal(np.sort(rows.reward), [0, 0.5, 1.5])


def test_rows_know_whether_their_rewards_are_means():
    log = small_log()
    assert type(compress(log, distinct_rewards=True)) is Transitions
    paid = log.assign(reward=("step", 0.1 + 0.2 * np.arange(log.sizes["step"])))
    same = log.assign(reward=("step", np.full(log.sizes["step"], 0.1 + 0.2)))
    assert type(compress(paid)) is MeanRewards
    assert type(compress(same)) is Transitions  # whatever the rounding of a mean of equal numbers
    # Outcomes that are lumped may be paid differently, even if each was paid alike.
    table = np.full((3, 1, 1), -1)
    lumped = bm.MDP(successor=table, reward=np.zeros((3, 1)), discount=0.9)
    steps = make_log(lumped, np.array([0, 0]), np.array([0, 0]), np.array([1.0, 2.0]), np.array([1, 2]))
    assert type(compress(steps)) is Transitions
    assert type(compress(steps, lumped)) is MeanRewards
    assert type(compress(steps.assign(reward=("step", [1.0, 1.0])), lumped)) is Transitions


def test_padding_of_a_successor_table_is_reachable():
    sparse = RIVER.with_successors()
    reachable = np.take_along_axis(RIVER.transition, sparse.successor, -1) > 0
    assert reachable.all()
    np.testing.assert_allclose(sparse.transition.sum(-1), 1)
