"""What to collect next where states are numbers: the value of perfect information, and where it is large."""

import numpy as np
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.offline.measured_file import read_measured_plan
from bayesmdp.reports.measured_again import PlannedAgain
from bayesmdp.reports.measured_collect import measured_collect, perfect_information
from tests.offline.test_measured_plan import rows_of


def test_perfect_information_is_what_deciding_again_gains():
    """One pair's value is known, all others are their means: reckoned draw by draw."""
    rng = np.random.default_rng(0)
    q = rng.normal([0.0, 0.3, 0.1], size=(50, 4, 3))
    q[:, 1, 2] = -np.inf
    gain, error = perfect_information(q)
    mean = q.mean(0)
    for place in range(4):
        now = mean[place].argmax()
        for action in range(3):
            gained = []
            for draw in range(50):
                told = mean[place].copy()
                told[action] = q[draw, place, action]
                gained.append(told.max() - told[now])
            assert gain[place, action] == pytest.approx(np.mean(gained), abs=1e-12)
            assert error[place, action] == pytest.approx(np.std(gained, ddof=1) / 50**0.5, abs=1e-12)
    assert gain[1, 2] == 0


def test_stages_add_up_by_how_often_one_is_there():
    """And the error is that of the sum under each draw, for stages have the same draws."""
    rng = np.random.default_rng(1)
    q, share = rng.normal(size=(30, 3, 4, 2)), rng.uniform(size=(3, 4))
    gain, error = perfect_information(q, share)
    alone = [perfect_information(q[:, stage], share[stage]) for stage in range(3)]
    np.testing.assert_allclose(gain, sum(told for told, _ in alone))
    same = np.repeat(q[:, :1], 3, 1)
    np.testing.assert_allclose(
        perfect_information(same, share)[1], alone[0][1] / share[0][:, None] * share.sum(0)[:, None]
    )
    assert (error < sum(told for _, told in alone)).all()


def test_what_is_the_same_under_all_draws_is_worth_nothing_to_know():
    assert (perfect_information(np.tile([[[1.0, 0.5]]], (10, 1, 1)))[0] == 0).all()


def collected(log, **options):
    report = bm.plan_log(log, discount=0.8, draws=40, calibration=0, baseline="none", **options)
    plan = read_measured_plan(report.tree)
    return measured_collect(report.tree, plan, PlannedAgain(report.tree, plan))


@pytest.mark.slow
def test_more_rows_are_worth_the_most_where_a_good_action_was_hardly_tried():
    """The push to the right pays above -.5, and was tried there in one row of 37; beside ten times the whole log."""
    log = rows_of(300)
    state, action = log["state"].values[:, 0], log["action"].values
    rows = np.flatnonzero(~((action == "right") & (state > -0.5)) | (np.arange(300) % 37 == 0))
    told = collected(log.isel(step=rows), prior="fourier_dynamics")
    assert told["sure"] and told["draws"] == 32
    gains = [pair["gain"] for pair in told["pairs"]]
    assert gains == sorted(gains, reverse=True) and all(pair["gain"] > 2 * pair["error"] for pair in told["pairs"])
    hardly = [pair for pair in told["pairs"] if pair["action"] == "right" and pair["state"][0] > -0.5]
    assert hardly and min(pair["tried"] for pair in hardly) <= 3
    much = collected(rows_of(3_000), prior="linear_dynamics")
    assert sum(pair["gain"] for pair in much["pairs"]) < 0.1 * sum(gains)


def test_why_nothing_is_told_is_said():
    tree = xr.DataTree.from_dict({"constant_data": xr.Dataset({"reward": ("row", np.zeros(3))})})
    tree.attrs = {"rewards_name": "", "terminal": ""}
    why_not = "the plan was made with functions that its file does not contain"
    assert measured_collect(tree, None, PlannedAgain(tree, None)) == {"why_not": why_not}
