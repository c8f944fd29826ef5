"""A plan from a log for a number of steps: what it promises, how that is checked, and how it is told."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline import at_start
from bayesmdp.offline.calibration import calibrate
from bayesmdp.offline.experience import Experience
from bayesmdp.offline.logs_alike import Recording
from bayesmdp.offline.named_prior import make_prior
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.offline.promise import Pipeline, promised, true_worth, worlds_of
from bayesmdp.planning.quantile_interval import left_quantile
from tests.command_line import call
from tests.offline.test_plan_log import CORRIDOR, told

# Down a corridor and back: only its last step pays. Where nothing else can happen, all is known but for the prior.
LOG = read_log(CORRIDOR.assign(truncated=[False, False, True] * 6))


@pytest.fixture(scope="module")
def sure():
    return plan_log(LOG, horizon=7, elsewhere="none", draws=20, rewards="known")


def test_what_is_certain_is_promised_exactly(sure):
    """Seven steps from a pay at the third and the sixth."""
    attrs = sure.tree.attrs
    assert sure.bound == pytest.approx(2, abs=1e-9) and attrs["initial_promise"] == pytest.approx(2, abs=1e-9)
    assert (attrs["checked_logs"], attrs["checked_kept"], attrs["checked_lowered"]) == (40, 40, 0)
    assert attrs["horizon"] == 7 and "discount" not in attrs and attrs["initial_unseen"] == 0
    left = 7 - sure.policy["stage"].values
    for first, state in enumerate("cba", 1):
        np.testing.assert_allclose(sure.policy["worth_lower"].sel(state=state), (left - first) // 3 + 1, atol=1e-9)
    path = sure.policy["on_path"]
    assert [path["state"].values[row].tolist() for row in path.values] == [["a"], ["b"], ["c"]] * 2 + [["a"]]


def test_it_is_told_in_steps(sure):
    text = " ".join(told(sure).split())
    assert "this policy earns at least 2.000 with probability 0.9 (sum of rewards over 7 steps)" in text
    assert "plan quantile:0.1, horizon 7, 20 draws" in text
    assert "0% of the future of 7 steps comes after a step that never occurred in the log" in text
    assert "at stage 0, with 7 steps left" in text and "later" not in text and "discount" not in text
    assert "of 3 pairs" in text
    # With one action there is nothing to change.
    assert "better than today no: the plan is to follow the policy in the log" in text


@pytest.mark.parametrize("elsewhere", ["each", pytest.param("mean", marks=pytest.mark.slow)])
def test_the_way_that_is_checked_is_the_way_of_the_plan(elsewhere):
    """The same policy by stage and the same quantile, up to Monte Carlo error; worlds are worth what a recursion says.

    The state is what is in stock, of which one is sold at a time with probability 0.6; ordering costs.
    """
    shop = bm.environments.inventory(5, discount=0.9, rescale=False)
    log = bm.collect(shop, policy="uniform", steps=300, seed=0)
    report = plan_log(log, horizon=6, draws=1_000, rewards="known", elsewhere=elsewhere, calibration=0)
    problem = bm.mdp_from_log(log, discount=None, horizon=6, elsewhere=elsewhere)
    made = make_prior("auto", log, problem, {}, rewards="known")
    pipeline = Pipeline(problem, made.remade, bm.Quantile(0.1), 0.1, 1_000, least_tries=2)
    policy, values, *_ = promised(pipeline, made.experience, seed=0)
    planned = report.tree["plan"].to_dataset()
    assert policy.shape == planned["policy"].shape == (6, 6)
    # Under other draws a choice may differ where another is as good up to their error.
    other = np.array(problem.actions)[policy] != planned["policy"].values
    own = np.nanmax(planned["q"].values, -1)
    lost = own - np.take_along_axis(planned["q"].values, policy[..., None], -1)[..., 0]
    assert other.mean() < 0.1 and lost.max() < 0.02 * np.abs(own).max()
    attrs = report.tree.attrs
    width = attrs["initial_worth_quantile_upper"] - attrs["initial_worth_quantile_lower"]
    assert left_quantile(values, 0.1) == pytest.approx(attrs["initial_worth_quantile"], abs=width)
    if elsewhere == "each":
        for world in worlds_of(pipeline, made.experience):
            value = np.zeros(6)
            for actions in policy[::-1]:
                rows = world.transition[np.arange(6), actions]
                value = (rows * (world.reward[np.arange(6), actions] + value)).sum(-1)
            assert true_worth(problem, world, policy) == pytest.approx(value @ problem.initial, rel=1e-10)
    else:
        recording = Recording(problem.initial, 0.0)
        few = pipeline._replace(draws=50)
        assert calibrate(few, made.rows, made.scatter, recording=recording, logs=3, seed=0).logs == 6


def test_the_share_of_the_steps_behind_one_never_seen():
    """Against the chance, step by step, that all steps so far were of a kind that the log shows."""
    rng = np.random.default_rng(0)
    kernels, seen = rng.dirichlet(np.ones(3), (5, 3, 2)), rng.random((3, 2, 3)) < 0.6
    problem = bm.MDP(reward=np.zeros((3, 2)), discount=None, horizon=4, initial=[0.5, 0.2, 0.3])
    chosen = rng.integers(0, 2, (4, 3))
    experience = Experience(np.where(seen, 2.0, 0.0), np.zeros((3, 2)), np.zeros((3, 2)))
    fresh = xr.Dataset({"transition": (("draw", "state", "action", "next_state"), kernels)})
    mean, state, steps = kernels.mean(0), problem.initial, 0.0
    for actions in chosen:
        steps += state.sum()
        state = state @ np.where(seen, mean, 0)[np.arange(3), actions]
    assert at_start._unseen(problem, experience, fresh, chosen) == pytest.approx(1 - steps / 4, abs=1e-12)


def test_what_was_never_seen_is_spread_over_the_states_that_a_row_does_not_name():
    """The last outcome of each row is elsewhere: from a to b or c, and c ends the episode; from b to a or c."""
    successor = np.array([[[0, -1]], [[1, -1]], [[-1, -1]]])
    problem = bm.MDP(reward=np.zeros((3, 1)), discount=0.5, successor=successor, terminal=[2])
    kernels = np.array([[[[0.2, 0.8]], [[0.6, 0.4]], [[0.5, 0.5]]]])
    fresh = xr.Dataset({"transition": (("draw", "state", "action", "outcome"), kernels)})
    experience = Experience(np.array([[[3.0, 0]], [[2, 0]], [[0, 0]]]), np.zeros((3, 1)), np.zeros((3, 1)))
    every = np.linalg.solve(np.eye(2) - 0.5 * np.array([[0.2, 0.4], [0.2, 0.6]]), np.ones(2))[0]
    told = at_start._unseen(problem, experience, fresh, np.zeros(3, int))
    assert told == pytest.approx(1 - 1 / (1 - 0.5 * 0.2) / every, abs=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 5, "discount": 0.9}, "give a horizon or a discount, not both; got 5 and 0.9"),
        ({"horizon": 0}, "horizon must be an integer of at least 1; got 0"),
        ({"horizon": 1.5}, "horizon must be an integer of at least 1; got 1.5"),
        ({"horizon": True}, "horizon must be an integer of at least 1; got True"),
        ({"horizon": 10**9}, "20 draws of 3 values at 1,000,000,000 stages .* GiB; shorten the"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        plan_log(LOG, draws=20, **options)


def test_from_the_command_line(tmp_path):
    """With one step left a wage is better than a study that pays in the next; the files have each stage and state."""
    rows = [("idle", "work", 1.0, "idle"), ("idle", "study", 0.0, "apt"), ("apt", "work", 3.0, "idle")]
    steps = [rows[0], rows[1], rows[2]] * 40
    names = ["state", "action", "reward", "next_state"]
    pd.DataFrame(steps, columns=names).to_csv(tmp_path / "life.csv", index=False)
    options = (tmp_path / "life.csv", "--draws", 20, "--no-calibration", "--out", tmp_path / "life-plan.nc")
    shown, _ = call("plan", *options, "--horizon", 4, "--elsewhere", "none")
    text = " ".join(shown.split())
    assert "idle study work from 3 80" in text and "over 4 steps" in text and "discount" not in text
    table = pd.read_csv(tmp_path / "life-plan.csv", index_col=["stage", "state"])
    assert (
        len(table) == 8 and table.loc[(2, "idle"), "action"] == "study" and table.loc[(3, "idle"), "action"] == "work"
    )
    with xr.open_datatree(tmp_path / "life-plan.nc") as tree:
        assert tree["plan"]["policy"].dims == ("stage", "state") and tree.attrs["horizon"] == 4
        # Two studies and two better wages.
        np.testing.assert_allclose(tree["plan"]["value"].sel(stage=0, state="idle"), 6, atol=1e-9)
        assert json.loads(tree.attrs["log"])["rows"] == 120
    _, message = call("plan", *options, "--horizon", 4, "--discount", 0.9, code=2)
    assert message.splitlines()[-1] == "bayesmdp: give a horizon or a discount, not both; got 4 and 0.9"
    for wrong in (0, "2.5"):
        _, message = call("plan", *options, "--horizon", wrong, code=2)
        assert "Invalid value for '--horizon'" in message
