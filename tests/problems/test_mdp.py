"""MDPs: what is accepted, what is refused and in which words."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import sparse

from bayesmdp import environments, unroll
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities
from bayesmdp.simulation.regret import OBJECTIVES
from tests.oracles import forest

FAIR = [[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.25, 0.75]]]
GOOD = {"transition": FAIR, "reward": [[1.0, 0.0], [0.0, 2.0]], "discount": 0.9}

BAD = {
    "row of zeros": ({"transition": [[[0, 0], [1, 0]], FAIR[1]]}, r"\[0, 0\] sums to 0; .*available=\[state, action\]"),
    "six digits too few": ({"transition": [[[0.5, 0.50001], [1, 0]], FAIR[1]]}, r"\[0, 0\] sums to 1.00001"),
    "actions first": (
        {"transition": np.full((2, 3, 3), 1 / 3)},
        r"\(2, 3, 3\), .*transpose.*swapaxes\(transition, 0, 1",
    ),
    "actions first in rewards": (
        {"transition": np.full((3, 2, 3), 1 / 3), "reward": np.ones((2, 3, 3))},
        r"reward has shape \(2, 3, 3\); expected .*transpose it, np.swapaxes\(reward, 0, 1\)",
    ),
    "actions first in available": (
        {"transition": np.full((3, 2, 3), 1 / 3), "reward": np.ones(3), "available": np.ones((2, 3), bool)},
        r"got bool \(2, 3\).*transpose it, np.swapaxes\(available, 0, 1\)",
    ),
    "actions first in successor": (
        {
            "transition": np.full((3, 2, 4), 1 / 4),
            "successor": np.ones((2, 3, 4), int),
            "reward": np.ones(3),
        },
        r"expected \[3, 2, outcome\].*transpose it, np.swapaxes\(successor, 0, 1\)",
    ),
    "actions first in features": (
        {"transition": np.full((3, 2, 3), 1 / 3), "reward": np.ones(3), "features": np.ones((2, 3, 5))},
        r"features has shape \(2, 3, 5\).*transpose it, np.swapaxes\(features, 0, 1\)",
    ),
    "actions first in noise": (
        {"transition": np.full((3, 2, 3), 1 / 3), "reward": np.ones(3), "noise": np.ones((2, 3))},
        r"noise has shape \(2, 3\).*transpose it, np.swapaxes\(noise, 0, 1\)",
    ),
    "reward of minus infinity": (
        {"reward": [[1, -np.inf], [0, 2]]},
        r"reward\[0, 1\] = -inf.*available=\[state, action\]",
    ),
    "sparse rewards": ({"reward": [sparse.eye(2)] * 2}, r"np.stack\(\[p.multiply\(r\).sum\(1\)"),
    "one sparse matrix": ({"transition": sparse.eye(2)}, "transition is one dia_matrix; expected a sequence of sparse"),
    "sparse and dense": ({"transition": [sparse.eye(2), np.eye(2)]}, r"transition\[1\] is a ndarray; expected"),
    "sparse and oblong": (
        {"transition": [sparse.eye(2), sparse.eye(2, 3)]},
        r"transition\[1\] is a dia_matrix of shape \(2, 3\)",
    ),
    "sparse and empty": (
        {"transition": [sparse.csr_array((0, 0))] * 2},
        r"transition\[0\] is a csr_array of shape \(0, 0\)",
    ),
    "sparse and complex": ({"transition": [sparse.eye(2) * 1j] * 2}, "transition must hold numbers; got dtype complex"),
    "sparse and a table": (
        {"transition": [sparse.eye(2)] * 2, "successor": np.zeros((2, 2, 1), int)},
        "leave successor out",
    ),
    "sparse and no distribution": ({"transition": [sparse.eye(2), sparse.eye(2) * 0.5]}, r"\[0, 1\] sums to 0.5"),
    "row does not sum": ({"transition": [[[0.5, 0.8], [1, 0]], FAIR[1]]}, r"transition\[0, 0\] sums to 1.3"),
    "negative probability": ({"transition": [[[1.5, -0.5], [1, 0]], FAIR[1]]}, r"transition\[0, 0, 1\] = -0.5"),
    "NaN probability": ({"transition": [[[np.nan, 1], [1, 0]], FAIR[1]]}, r"transition\[0, 0, 0\] = nan.*not finite"),
    "transition of two axes": ({"transition": np.eye(2)}, r"transition has shape \(2, 2\); expected \(2, 2, 2\)"),
    "transition of one axis": ({"transition": [1.0]}, r"transition starts with \[state, action\]"),
    "no states": ({"transition": np.zeros((0, 2, 0))}, "at least one of each"),
    "next states of another number": ({"transition": np.full((2, 2, 3), 1 / 3)}, r"expected \(2, 2, 2\)"),
    "text in transition": ({"transition": [[["a", "b"]]]}, "must hold numbers"),
    "NaN reward": ({"reward": [[1, 2], [np.nan, 3]]}, r"reward\[1, 0\] = nan"),
    "reward of another shape": ({"reward": [1.0, 2.0, 3.0]}, r"reward has shape \(3,\); expected \(2,\), \(2, 2\)"),
    "boolean reward": ({"reward": [True, False]}, "reward must hold numbers"),
    "discount 1": (
        {"discount": 1},
        r"discount must be a number above 0 and below 1; got 1, .*discount=None .*or also horizon= ",
    ),
    "several discounts": (
        {"discount": np.array([1.0, 0.9])},
        "discount must be a number above 0 and below 1; got array",
    ),
    "discount above 1": ({"discount": 1.1}, "discount must be a number above 0 and below 1; got 1.1$"),
    "discount true": ({"discount": True}, "discount must be a number above 0 and below 1; got True$"),
    "discount 0": ({"discount": 0.0}, "discount must be a number"),
    "discount NaN": ({"discount": float("nan")}, "discount must be a number"),
    "discount text": ({"discount": "0.9"}, "discount must be a number"),
    "too few labels": ({"states": ["a"]}, "states has 1 labels for 2 states"),
    "NaN label": ({"states": [0.0, float("nan")]}, r"states\[1\] is nan, which is no label"),
    "NaN in a label": (
        {"states": [(0, "a"), (1, ("b", float("nan")))]},
        r"states\[1\] is \(1, \('b', nan\)\), which is no label",
    ),
    "no date": (
        {"states": np.array(["2026-01-01", "NaT"], "datetime64[D]")},
        r"states\[1\] is np.datetime64\('NaT'.*\), which is no label",
    ),
    "NA label": ({"actions": [pd.NA, "go"]}, r"actions\[0\] is <NA>, which is no label"),
    "repeated label": ({"actions": ["go", "go"]}, r"actions\[1\] = 'go' repeats actions\[0\]"),
    "float successor": ({"successor": np.zeros((2, 2, 2))}, "must be integer; got dtype float64"),
    "successor out of range": ({"successor": np.full((2, 2, 2), 2)}, r"successor\[0, 0, 0\] = 2, which is no state"),
    "successor of another shape": ({"successor": np.zeros((2, 1, 2), int)}, r"expected \[2, 2, outcome\]"),
    "unknown initial": ({"initial": "shore"}, "no state 'shore'; the states are 0, 1"),
    "initial does not sum": ({"initial": [0.5, 0.4]}, "initial sums to 0.9"),
    "negative initial": ({"initial": [1.5, -0.5]}, r"initial\[1\] = -0.5"),
    "starts in a terminal state": ({"terminal": [0]}, r"initial\[0\] = 1.*terminal"),
    "unknown terminal": ({"terminal": [7]}, "no state 7"),
    "terminal mask of another shape": ({"terminal": [True]}, r"terminal has shape \(1,\)"),
    "no action": ({"available": [[True, True], [False, False]]}, r"available\[1\] .*allows no action"),
    "available is not boolean": ({"available": [[1, 1], [1, 0]]}, "available must be boolean"),
    "unknown objective": ({"objective": "fame"}, "objective must be one of discounted"),
}


@pytest.mark.parametrize("changes, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(changes, message):
    with pytest.raises((ValueError, TypeError, KeyError), match=message):
        MDP(**GOOD | changes)


def test_sizes_must_be_told():
    with pytest.raises(ValueError, match="cannot be told"):
        MDP(reward=[0.0, 1.0], discount=0.9)
    assert MDP(reward=[0.0, 1.0], discount=0.9, actions=["stay", "go"]).num_actions == 2


@pytest.mark.parametrize(
    "reward", [[1.0, 2.0], [[1.0, 1.0], [2.0, 2.0]], np.broadcast_to([[[1.0]], [[2.0]]], (2, 2, 2))]
)
def test_the_three_forms_of_reward_agree(reward):
    mdp = MDP(**GOOD | {"reward": reward})
    np.testing.assert_array_equal(
        np.broadcast_to(mdp.reward, (2, 2, 2)), np.broadcast_to([[[1.0]], [[2.0]]], (2, 2, 2))
    )


def test_arrays_are_copies_that_cannot_be_changed():
    transition = np.array(FAIR)
    mdp = MDP(**GOOD | {"transition": transition})
    transition[0, 0, 0] = 9
    assert mdp.transition[0, 0, 0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        mdp.transition[0, 0, 0] = 9


def test_tuple_labels_name_states():
    cells = [(0, 0), (0, 1)]
    assert MDP(**GOOD | {"states": cells, "initial": (0, 1)}).initial.tolist() == [0, 1]


def test_successor_table_holds_the_same_kernel():
    lake = environments.frozen_lake()
    sparse = lake.with_successors()
    dense = np.zeros_like(lake.transition)
    np.add.at(dense, (*np.indices(sparse.successor.shape)[:2], sparse.successor), sparse.transition)
    np.testing.assert_array_equal(dense, lake.transition)
    np.testing.assert_allclose((sparse.transition * sparse.reward).sum(-1), (lake.transition * lake.reward).sum(-1))
    assert sparse.with_successors() is sparse


def test_every_objective_that_an_mdp_may_name_exists():
    from bayesmdp.problems.problem import OBJECTIVES as NAMES

    # Nobody acts in an MDP with a horizon, but in what `unroll` makes of it.
    assert set(NAMES) == {*OBJECTIVES[MDP.space], "horizon"}
    for objective in NAMES:
        discount, horizon = (0.9 if objective == "discounted" else None), (3 if objective == "horizon" else None)
        mdp = MDP(**GOOD | {"objective": None, "discount": discount, "horizon": horizon})
        mdp = unroll(mdp, 2) if objective == "episode" else mdp
        assert mdp.replace(objective=objective).objective == objective


@pytest.mark.parametrize("states", [2, 30, 1_000])
def test_distributions_made_in_32_bit_are_normalised(states):
    """As `plan` takes them; what 64 bit made stays as it is, to the last bit."""
    rng = np.random.default_rng(states)
    exact = rng.dirichlet(np.full(states, 0.5), (states, 2))
    narrow = exact.astype(np.float32)
    narrow /= narrow.cumsum(-1)[..., -1:]  # one entry after the other, at its least exact
    assert np.abs(narrow.sum(-1, dtype=np.float64) - 1).max() > 1e-8
    mdp = MDP(transition=narrow, reward=np.zeros(states), discount=0.9, initial=narrow[0, 0])
    policy = policy_probabilities(mdp, np.full((states, 2), np.float32(0.5) + np.float32(3e-7)))
    for rows in (mdp.transition, mdp.initial, policy):
        np.testing.assert_allclose(rows.sum(-1), 1, rtol=0, atol=1e-8)
    np.testing.assert_allclose(mdp.transition, exact, rtol=1e-6, atol=1e-30)
    np.testing.assert_array_equal(MDP(transition=exact, reward=np.zeros(states), discount=0.9).transition, exact)


@pytest.mark.parametrize("off", [1e-6, -1e-6])
def test_rows_that_are_off_by_a_millionth_are_normalised(off):
    row = np.array([0.25, 0.75 + off])
    mdp = MDP(**GOOD | {"transition": [[row, [1, 0]], FAIR[1]]})
    np.testing.assert_allclose(mdp.transition[0, 0], row / row.sum(), rtol=1e-15)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("nothing", [[0, 0], [np.nan, 0], [0.5, 0]])
def test_rows_and_rewards_that_are_never_met_may_be_anything(nothing, table):
    """Of actions that are not available, and of terminal states."""
    given = {
        "transition": [[[0.5, 0.5], nothing], [nothing, nothing]],
        "reward": [[1.0, -np.inf], [np.nan, 0.0]],
        "available": [[True, False], [True, True]],
        "terminal": [1],
        "discount": 0.9,
    }
    mdp = MDP(**given, successor=np.broadcast_to([1, 0], (2, 2, 2)) if table else None)
    stay = [[1, 0], [1, 0]] if table else [[1, 0], [0, 1]]
    np.testing.assert_array_equal(mdp.transition, [[[0.5, 0.5], stay[0]], [stay[1], stay[1]]])
    np.testing.assert_array_equal(mdp.reward[..., 0], [[1, 0], [0, 0]])
    with pytest.raises(ValueError, match=r"transition\[0, 1(, 0)?\]"):
        MDP(**given | {"available": None, "reward": [0.0, 0.0]})


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.coo_array, sparse.csc_matrix, sparse.dok_array])
def test_sparse_matrices_make_the_table_of_the_dense_kernel(make):
    kernel, reward = forest(5)
    by_action = [make(kernel[:, action]) for action in range(2)]
    each = np.arange(50.0).reshape(5, 2, 5)
    for paid in (reward, each):
        dense = MDP(transition=kernel, reward=paid, discount=0.9).with_successors()
        found = MDP(transition=by_action, reward=paid, discount=0.9)
        np.testing.assert_array_equal(found.transition, dense.transition)
        np.testing.assert_array_equal(found.successor, dense.successor)
        np.testing.assert_array_equal(found.reward, dense.reward)
    held = np.empty(2, object)
    held[:] = by_action
    np.testing.assert_array_equal(MDP(transition=held, reward=reward, discount=0.9).successor, dense.successor)


def test_sparse_rows_that_are_empty_or_given_in_parts():
    parts = sparse.coo_array(([0.25, 0.75, 1.0, 0.0], ([0, 0, 1, 1], [1, 1, 0, 1])), shape=(2, 2))
    never = sparse.coo_array(([1.0], ([1], [0])), shape=(2, 2))
    given = {"transition": [parts, never], "reward": [0.0, 1.0], "discount": 0.9}
    mdp = MDP(**given, available=[[True, False], [True, True]])
    assert mdp.transition.tolist() == [[[1], [1]], [[1], [1]]] and mdp.successor.tolist() == [[[1], [0]], [[0], [0]]]
    with pytest.raises(ValueError, match=r"transition\[0, 1\] sums to 0; .*available="):
        MDP(**given)


def test_named_axes_may_be_in_any_order():
    """With as many actions as states no shape tells."""
    rng = np.random.default_rng(0)
    kernel, reward = rng.dirichlet(np.ones(3), (3, 3)), rng.normal(size=(3, 3))
    available = np.triu(np.ones((3, 3), bool))
    named = MDP(
        transition=xr.DataArray(kernel, dims=("state", "action", "next_state")).transpose(
            "action", "next_state", "state"
        ),
        reward=xr.DataArray(reward.T, dims=("action", "state")),
        available=xr.DataArray(available.T, dims=("action", "state")),
        discount=0.9,
    )
    np.testing.assert_array_equal(named.transition, kernel)
    np.testing.assert_array_equal(named.reward[..., 0], reward)
    np.testing.assert_array_equal(named.available, available)


def test_named_entries_may_be_in_any_order():
    rng = np.random.default_rng(0)
    kernel, reward = rng.dirichlet(np.ones(3), (3, 2)), rng.normal(size=(3, 2))
    names = {"state": ["low", "middle", "high"], "action": ["x", "y"], "next_state": ["low", "middle", "high"]}
    order = {"state": [2, 0, 1], "action": [1, 0], "next_state": [1, 2, 0]}
    shuffled = xr.DataArray(kernel, names, tuple(names)).isel(order)
    paid = pd.DataFrame(reward, names["state"], names["action"]).iloc[order["state"], order["action"]]
    ends = pd.Series({"high": True, "low": False, "middle": False})
    given = {"transition": shuffled, "reward": paid, "terminal": ends, "initial": "low", "discount": 0.9}
    named = MDP(**given, states=names["state"], actions=names["action"])
    np.testing.assert_array_equal(named.transition, kernel)
    np.testing.assert_array_equal(named.reward[..., 0], reward)
    assert named.terminal.tolist() == [False, False, True]
    # Without labels they are those of the first array that has some.
    own = MDP(**given)
    assert (own.states, own.actions) == (("high", "low", "middle"), ("y", "x"))
    np.testing.assert_array_equal(own.transition, kernel[order["state"]][:, order["action"]][..., order["state"]])
    assert own.terminal.tolist() == [True, False, False]
    with pytest.raises(ValueError, match=r"reward has no state 'middle', which is states\[1\]"):
        MDP(**given | {"reward": paid.rename({"middle": "centre"})}, states=names["state"])
