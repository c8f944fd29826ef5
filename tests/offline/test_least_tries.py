"""Actions tried too rarely are not planned with: which ones, by default and on request, and in all that follows."""

import json

import numpy as np
import pandas as pd
import pytest

import bayesmdp as bm
from bayesmdp.logs.problem_from_log import open_actions
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.over_baseline import plan_over_baseline
from bayesmdp.reports.kept_plan import read_plan
from bayesmdp.reports.reasons import reasons
from bayesmdp.reports.sensitivity import sensitivity
from bayesmdp.reports.sentences import reason_told
from bayesmdp.reports.value_of_information import value_of_information
from bayesmdp.reports.words import log_told

OPTIONS = {"discount": 0.5, "draws": 200, "calibration": 0}


def test_which_actions_were_tried_often_enough():
    tries = np.array([[5, 3, 2, 0], [2, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    terminal = np.array([False, False, False, True])
    for least, first, second in (
        (1, [1, 1, 1, 0], [1, 1, 1, 0]),
        (3, [1, 1, 0, 0], [1, 1, 0, 0]),
        (9, [1, 0, 0, 0], [1, 1, 0, 0]),
    ):
        available, untold = open_actions(tries, terminal, least)
        np.testing.assert_array_equal(available, [first, second, [1] * 4, [1] * 4])
        assert untold.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(open_actions(tries > 0, terminal)[0], open_actions(tries, terminal)[0])


@pytest.fixture(scope="module")
def log():
    """One state: A pays 1 with a standard deviation of .5 in 27 tries; B was lucky twice."""
    paid = np.append(np.random.default_rng(0).normal(1, 0.5, 27), [2.9, 3.1])
    rows = {"state": "s", "action": ["A"] * 27 + ["B"] * 2, "reward": paid, "next_state": "s"}
    return bm.read_log(pd.DataFrame(rows))


def test_luck_of_two_tries_is_not_followed_unless_that_is_asked_for(log):
    usual, asked = bm.plan_log(log, **OPTIONS), bm.plan_log(log, least_tries=2, **OPTIONS)
    assert usual.policy["action"].item() == "A" and usual.tree.attrs["least_tries"] == 3
    assert asked.policy["action"].item() == "B" and asked.tree.attrs["least_tries"] == 2
    assert bm.plan_log(log, rewards="known", **OPTIONS).tree.attrs["least_tries"] == 2
    # Plans for something else leave out the same actions, and the page says why the better one was not taken.
    kept = read_plan(usual.tree)
    assert set(sensitivity(kept)["changed"].values.tolist()) == {0}
    told = reasons(kept)
    assert told["runner_up"].item() == "B" and told["too_rare"].item() and told["difference"].item() < 0
    assert not reasons(read_plan(asked.tree))["too_rare"].item()
    page = bm.report_content(usual)
    assert page["made"]["settings"]["least_tries"] == 3
    assert reason_told(page["policy"][0])[-1].endswith("; “B” was tried too rarely to be planned with.")
    assert "at least 3 times" in page["made"]["words"]["pairs tried"]


def test_a_plan_for_the_gain_takes_more_of_what_was_tried_often_enough_alone(log):
    usual, asked = (
        bm.plan_log(log, risk="cvar:0.25", aim="gain", least_tries=least, **OPTIONS).tree for least in (None, 2)
    )
    words = log_told(json.loads(usual.attrs["log"]), usual.attrs)["pairs tried"]
    assert words.endswith("at least 3 times, where a state has any and today's policy is not kept")
    today = usual["baseline"]["probability"].sel(state="s")
    for tree, compare in ((usual, np.less_equal), (asked, np.greater)):
        assert compare(*(part.sel(action="B").item() for part in (tree["plan"]["probability"].sel(state="s"), today)))


def test_a_plan_for_the_gain_keeps_what_was_tried_rarely_where_nothing_else_is_better():
    """Of four states the first three go round.

    In the first the better action may be planned with. In the others only A may: in the second it is worse than B,
    which the baseline takes, in the third it is better, and the fourth is never reached.
    """
    transition = np.zeros((20, 4, 2, 4))
    transition[:, range(4), :, [1, 2, 0, 3]] = 1
    draws = Draws(transition, np.array([[1.0, 2.0], [1.0, 5.0], [1.0, -5.0], [5.0, 5.0]])[..., None])
    mdp = bm.MDP(transition=transition[0], reward=draws.reward[..., 0], discount=0.5, initial=[1.0, 0, 0, 0])
    baseline = np.array([[0.5, 0.5], [0, 1], [0.5, 0.5], [0.7, 0.3]])
    often = np.array([[True, True], [True, False], [True, False], [True, False]])
    planned = plan_over_baseline(draws, mdp, bm.Mean(), baseline, open_actions=often)
    np.testing.assert_allclose(planned["probability"], [[0, 1], [0, 1], [1, 0], [0.7, 0.3]], atol=1e-9)
    assert planned["departure"].values.tolist() == pytest.approx([0.5, 0, 0.5, 0])
    assert planned.attrs["gain"] == pytest.approx((0.5 + 0.25 * 3) / (1 - 0.5**3))


def test_more_tries_are_worth_that_their_action_may_be_planned_with(log):
    kept = read_plan(bm.plan_log(log, initial="s", **OPTIONS).tree)
    one, two = (value_of_information(kept, tries=tries)["gain"].sel(state="s") for tries in (1, 2))
    # Two tries of B, which the plan leaves out, are three with one more.
    reward = kept.tree["parameters"]["reward"].sel(state="s", parameter="mean")
    found = (reward.sel(action="B") - reward.sel(action="A")).item() / (1 - OPTIONS["discount"])
    assert one.sel(action="B").item() == pytest.approx(found, rel=0.1)
    assert two.sel(action="B").item() == pytest.approx(found, rel=0.1)
    tree = kept.tree.copy()
    tree.attrs = tree.attrs | {"least_tries": 4}  # B has three with one more
    told = value_of_information(read_plan(tree), tries=1)
    assert told["gain"].values.tolist() == [[0, 0]] and told["whole"].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"least_tries": 0}, "least_tries must be an integer of at least 1; got 0"),
        ({"least_tries": True}, "least_tries must be an integer of at least 1; got True"),
        ({"least_tries": 2**64}, "least_tries is at most 9,007,199,254,740,992; got 18446744073709551616"),
        ({"least_tries": 2.5}, "least_tries must be an integer of at least 1; got 2.5"),
    ],
)
def test_what_is_no_number_of_tries_is_refused(log, options, message):
    with pytest.raises(ValueError, match=message):
        bm.plan_log(log, **OPTIONS, **options)
