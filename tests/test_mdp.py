"""MDPs: what is accepted, what is refused and in which words."""

import numpy as np
import pytest

from bayesmdp import environments, unroll
from bayesmdp.mdp import MDP
from bayesmdp.objectives import OBJECTIVES

FAIR = [[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.25, 0.75]]]
GOOD = {"transition": FAIR, "reward": [[1.0, 0.0], [0.0, 2.0]], "discount": 0.9}

BAD = {
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
    "discount 1": ({"discount": 1}, "discount must be a number above 0 and below 1; got 1"),
    "discount 0": ({"discount": 0.0}, "discount must be a number"),
    "discount NaN": ({"discount": float("nan")}, "discount must be a number"),
    "discount text": ({"discount": "0.9"}, "discount must be a number"),
    "too few labels": ({"states": ["a"]}, "states has 1 labels for 2 states"),
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
    from bayesmdp.mdp import OBJECTIVES as NAMES

    assert set(NAMES) == {objective for space, objective in OBJECTIVES if space == MDP.space}
    for objective in NAMES:
        discount = 0.9 if objective == "discounted" else None
        mdp = MDP(**GOOD | {"objective": None, "discount": discount})
        mdp = unroll(mdp, 2) if objective == "episode" else mdp
        assert mdp.replace(objective=objective).objective == objective
