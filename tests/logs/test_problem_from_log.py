"""The problem a log describes, against counting by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp import mdp_from_log, read_log
from bayesmdp.models import dirichlet_transitions

ROWS = [
    # state, action, reward, next state, terminated, truncated
    ("home", "walk", -1.0, "park", False, False),
    ("park", "walk", -1.0, "home", False, False),
    ("home", "bus", -2.0, "work", True, False),
    ("park", "bus", -3.0, "home", False, True),
    ("home", "walk", -2.0, "park", False, False),
    ("park", "walk", -1.0, "shop", False, False),
]


def log_of(rows):
    names = ("state", "action", "reward", "next_state", "terminated", "truncated")
    columns = {name: ("step", np.array(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
    attrs = {"states": ["home", "park", "shop", "work"], "actions": ["bus", "walk"]}
    return xr.Dataset(columns, attrs=attrs)


LOG = log_of(ROWS)


def test_what_was_seen():
    mdp = mdp_from_log(LOG, discount=0.9)
    assert mdp.states == ("home", "park", "shop", "work")
    assert mdp.terminal.tolist() == [False, False, False, True]
    assert mdp.successor[0].tolist() == [[3, -1, -1], [1, -1, -1]]
    assert mdp.successor[1].tolist() == [[0, -1, -1], [0, 2, -1]]
    # Elsewhere brings the pair's mean reward; an untried pair the least of the log.
    assert mdp.reward[0, :, 0].tolist() == [-2, -1.5]
    assert mdp.reward[2].tolist() == [[-3], [-3]]
    # shop was entered and never acted in: every action is taken to lead elsewhere.
    assert mdp.available.tolist() == [[True, True], [True, True], [True, True], [True, True]]
    assert mdp.successor[2].tolist() == [[-1] * 3] * 2
    # Episodes start at steps 0, 3 (after the end) and 4 (after the cut).
    np.testing.assert_allclose(mdp.initial, [2 / 3, 1 / 3, 0, 0])


def test_rewards_of_an_outcome():
    rows = [*ROWS, ("home", "walk", 5.0, "home", False, False)]
    mdp = mdp_from_log(log_of(rows), discount=0.9)
    assert mdp.successor[0, 1].tolist() == [0, 1, -1]
    np.testing.assert_allclose(mdp.reward[0, 1], [5, -1.5, 2 / 3])


def test_rewards_paid_on_entering():
    """Lake's reward is the goal's: what was not seen to lead there may still do so, and brings its share of 1."""
    rows = [
        ("a", "x", 0.0, "b", False, False),
        ("b", "x", 1.0, "goal", True, False),
        ("a", "y", 0.0, "a", False, False),
    ]
    log = log_of(rows).assign_attrs(states=["a", "b", "c", "goal"], actions=["x", "y"])
    mdp = mdp_from_log(log, discount=0.9)
    assert mdp.successor[0].tolist() == [[1, -1], [0, -1]]
    # After (a, x) all but b may follow, after (b, x) all but the goal.
    np.testing.assert_allclose(mdp.reward[0], [[0, 1 / 3], [0, 1 / 3]])
    np.testing.assert_allclose(mdp.reward[1, 0], [1, 0])
    # Nothing is known of c, entered though it never was: the least of the log.
    np.testing.assert_allclose(mdp.reward[2], 0)
    acting = mdp_from_log(log, discount=0.9, paid_for="acting")
    np.testing.assert_allclose(acting.reward[1, 0], 1)
    with pytest.raises(ValueError, match="paid_for is 'entering', but some state"):
        mdp_from_log(LOG, discount=0.9, paid_for="entering")
    with pytest.raises(ValueError, match="paid_for must be one of"):
        mdp_from_log(LOG, discount=0.9, paid_for="leaving")


def test_least_is_a_bound_for_rewards_too():
    rows = [
        ("s", "go", 0.0, "m", False, False),
        ("m", "go", 0.0, "s", False, False),
        ("m", "back", -100.0, "pit", False, False),
        ("pit", "go", 0.0, "s", False, False),
    ]
    log = log_of(rows).assign_attrs(states=["m", "pit", "s"], actions=["back", "go"])
    mdp = mdp_from_log(log, discount=0.9, elsewhere="least")
    assert mdp.successor[2, 1].tolist() == [0, -1]
    assert mdp.reward[2, 1].tolist() == [0, -100]
    # (m, back) names the pit; of the rest both bring 0.
    assert mdp.reward[0, 0].tolist() == [-100, 0]


@pytest.mark.parametrize("bring", [5.0, 0.0])
def test_a_state_seen_only_where_the_recording_was_cut_brings_the_least(bring):
    rows = [
        ("a", "x", -10.0, "b", False, False),
        ("b", "x", 5.0, "a", False, False),
        ("a", "x", bring - 10, "b", False, False),
        ("b", "x", 5.0, "c", False, True),
    ]
    mdp = mdp_from_log(log_of(rows).assign_attrs(states=["a", "b", "c"], actions=["x"]), discount=0.9)
    assert set(mdp.reward[2].ravel()) == {-10}


def test_labels_of_several_kinds_come_back_from_a_log():
    mdp = bm.MDP(transition=np.full((3, 1, 3), 1 / 3), reward=np.zeros((3, 1)), discount=0.9, states=(0, (1, 1), "end"))
    assert mdp_from_log(bm.collect(mdp, steps=50), discount=0.9).states == mdp.states


def test_no_guarantee_where_what_is_lumped_counts_at_its_mean():
    lake = bm.environments.frozen_lake(discount=0.9)
    log = bm.collect(lake, steps=3_000, seed=0)
    for elsewhere, level in (("mean", 1.0), ("least", None), ("none", None)):
        mdp = mdp_from_log(log, discount=0.9, elsewhere=elsewhere)
        posterior = bm.infer(dirichlet_transitions(mdp, 1 / 16), log, draws=50, mdp=mdp)
        found = bm.plan(posterior, mdp, bm.Quantile(0.1)).attrs["guarantee_level"]
        # Of 11 states that are not terminal no row is known.
        assert found == pytest.approx(level or 1 - 0.9**11, abs=1e-12)


def test_an_action_never_tried_is_not_available():
    mdp = mdp_from_log(log_of([row for row in ROWS if row[:2] != ("park", "bus")]), discount=0.9)
    assert mdp.available[1].tolist() == [False, True]


def test_a_truncated_step_does_not_absorb():
    """The last state of a cut recording keeps its future; taken for an end it would have none."""
    cut = mdp_from_log(log_of(ROWS), discount=0.9)
    assert not cut.terminal[0]
    with pytest.raises(ValueError, match=r"state 'home' ends an episode at step 3 but is acted in at step 0; .*trunc"):
        mdp_from_log(log_of([(*row[:4], row[4] or row[5], False) for row in ROWS]), discount=0.9)


def test_without_elsewhere():
    rows = [row for row in ROWS if row[3] != "shop"]
    mdp = mdp_from_log(log_of(rows).assign_attrs(states=["home", "park", "work"]), discount=0.9, elsewhere="none")
    assert not mdp.has_elsewhere
    assert mdp.successor[..., 0].tolist() == [[2, 1], [0, 0], [2, 2]]
    with pytest.raises(ValueError, match="state 'shop' was never acted in"):
        mdp_from_log(LOG, discount=0.9, elsewhere="none")
    with pytest.raises(ValueError, match="elsewhere must be one of mean, least, none"):
        mdp_from_log(LOG, discount=0.9, elsewhere="best")


def test_another_log_enters_by_what_it_names():
    lake = bm.environments.frozen_lake()
    short, long = (bm.collect(lake, steps=steps, seed=seed) for steps, seed in ((60, 0), (2_000, 1)))
    mdp = mdp_from_log(short, discount=0.99)
    rows = bm.compress(long, mdp.replace(available=None))
    assert rows.weight.sum() == 2_000
    lumped = mdp.successor[rows.state, rows.action, rows.next_state] == -1
    dense = bm.compress(long)
    named = np.array([n in mdp.successor[s, a] for s, a, n in zip(*dense[:3], strict=True)])
    assert rows.weight[lumped].sum() == dense.weight[~named].sum() > 0
    assert len(set(zip(*rows[:3], strict=True))) == len(rows.weight)


def test_the_posterior_of_the_lumped_row_is_that_of_the_dense_one():
    """Dirichlet rows aggregate: elsewhere has the sum of what the dense row gives the states it stands for."""
    lake = bm.environments.frozen_lake()
    log = bm.collect(lake, steps=300, seed=0)
    mdp = mdp_from_log(log, discount=0.99)
    lumped = bm.infer(dirichlet_transitions(mdp, 0.3), log, draws=0, mdp=mdp).parameters["transition"].values
    dense = bm.infer(dirichlet_transitions(lake, 0.3), log, draws=0, mdp=lake).parameters["transition"].values
    for s, a in np.ndindex(16, 4):
        table = mdp.successor[s, a]
        unnamed = np.setdiff1d(np.arange(16), table)
        np.testing.assert_allclose(lumped[s, a][table == -1].sum(), dense[s, a, unnamed].sum(), rtol=1e-12)
        np.testing.assert_allclose(lumped[s, a][table >= 0], dense[s, a, table[table >= 0]], rtol=1e-12)


def test_under_the_mean_the_lumped_plan_is_the_dense_one():
    """Exact in expectation, from parameters: the mean kernel of a symmetric prior spreads elsewhere evenly."""
    lake = bm.environments.frozen_lake()
    log = bm.collect(lake, steps=2_000, seed=0)
    mdp = mdp_from_log(log, discount=0.95)

    def plan(problem, reward):
        a = bm.infer(dirichlet_transitions(problem, 0.3), log, draws=0, mdp=problem).parameters["transition"]
        mean = (a / a.sum(a.dims[-1])).expand_dims("draw")
        return bm.plan(mean.to_dataset(name="transition"), problem.replace(reward=reward))

    # One reward for both, by pair, since what an unseen transition brings is not in the log.
    reward = np.random.default_rng(0).normal(size=(16, 4))
    same = lake.replace(discount=0.95, available=mdp.available, terminal=mdp.terminal)
    np.testing.assert_allclose(plan(mdp, reward).value, plan(same, reward).value, atol=1e-9)


def declared(*rows, columns=("state", "action", "next_state")):
    return pd.DataFrame(rows, columns=columns)


def test_what_can_happen_may_be_declared():
    rows = [(0, "go", 1.0, 1), (1, "go", 0.0, 0), (0, "stay", 0.0, 0), (0, "go", 2.0, 2), (2, "go", 0.0, 0)]
    log = read_log(pd.DataFrame(rows, columns=["state", "action", "reward", "next_state"]), gaps="allow")
    can = declared((0, "go", 1), (0, "go", 2), (1, "go", 0), (1, "stay", 1), (0, "stay", 0))
    problem = mdp_from_log(log, discount=0.9, reachable=can)
    assert [sorted(set(row.tolist())) for row in problem.successor.reshape(-1, problem.num_outcomes)] == [
        [1, 2],
        [0],
        [0],
        [1],
        [0, 1, 2],  # which it does not mention: anywhere
        [0, 1, 2],
    ]
    assert not problem.has_elsewhere
    # Rewards follow their next state; what was never seen pays the pair's mean.
    assert problem.reward[0, 0].tolist()[:2] == [1.0, 2.0]
    posterior = bm.infer(bm.prior_from_log(log, problem), log, mdp=problem, draws=4)
    drawn = posterior["posterior"]["transition"].values.reshape(4, 3, 2, -1)
    np.testing.assert_allclose(drawn.sum(-1), 1)
    # The same for all actions.
    every = mdp_from_log(log, discount=0.9, reachable=declared((2, 0), columns=("state", "next_state")))
    assert set(every.successor[2].ravel().tolist()) == {0}


@pytest.mark.parametrize(
    ("can", "message"),
    [
        (declared((0, "go", 2)), "the log has 1 after action 'go' in state 0, 1 times, which reachable does not allow"),
        (declared((0, "go", 5)), "reachable names 5 in row 0, which is no state of the log"),
        (declared((0, "fly", 1)), "reachable names 'fly' in row 0, which is no action of the log"),
        (declared((0, 1), columns=("from", "to")), "reachable has no column 'state'; it has from, to"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(can, message):
    rows = [(0, "go", 1.0, 1), (1, "go", 0.0, 2), (2, "go", 0.0, 0)]
    log = read_log(pd.DataFrame(rows, columns=["state", "action", "reward", "next_state"]))
    with pytest.raises(ValueError, match=message):
        mdp_from_log(log, discount=0.9, reachable=can)
