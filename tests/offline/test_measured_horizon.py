"""Plans for a number of steps from logs of measurements: what is promised, done and told, by stage."""

import html5lib
import numpy as np
import pandas as pd
import pytest

import bayesmdp as bm
from bayesmdp.offline.measured_file import read_measured_plan
from bayesmdp.offline.measured_paths import PATHS
from bayesmdp.offline.measured_way import way_of_log
from bayesmdp.offline.measured_worlds import AsBelieved, AsSeen
from bayesmdp.planning import Rollouts
from bayesmdp.planning.fitted_policies import StagedPolicy
from bayesmdp.reports import measured_sensitivity
from bayesmdp.results.files import write_tree
from tests.command_line import call
from tests.offline.test_measured_plan import PUSH, known, paid, rows_of

HORIZON = 5


ASKED = {"risk": "quantile:0.25", "horizon": HORIZON, "draws": 40, "rewards": known, "prior": "linear_dynamics"}


@pytest.fixture(scope="module")
def report():
    return bm.plan_log(rows_of(300), calibration=0, baseline="none", **ASKED)


def true_worth(report, number=20_000):
    """What the plan truly earns in so many steps from where the log's episodes start, simulated in NumPy."""
    kept, rng = read_measured_plan(report.tree), np.random.default_rng(1)
    starts = np.array(kept.space.starts)
    state, total = starts[rng.integers(len(starts), size=number)], np.zeros(number)
    for stage in range(HORIZON):
        total += paid(state)
        pushed = PUSH[kept.policy.at(stage).q(state).argmax(-1)]
        state = 0.5 * state + 0.3 * rng.normal(size=state.shape)
        state[:, 0] += pushed
    return float(total.mean())


def test_what_is_told_holds_what_is_earned(report):
    attrs, true = report.tree.attrs, true_worth(report)
    assert attrs["initial_worth_lower"] - 0.1 < true < attrs["initial_worth_upper"] + 0.1
    assert attrs["horizon"] == HORIZON and "discount" not in attrs and attrs["converged"] == 1
    policy = report.policy
    assert policy["action"].dims == policy["tried"].dims == ("stage", "place")
    # The first three steps push towards 1, which pays in the next ones; the last action pays nothing any more.
    below = np.abs(policy["state"].values[:, 0]) < 0.5
    assert (policy["action"].values[:3, below] == "right").all()
    last = policy["margin"].values[-1]
    np.testing.assert_allclose(last[np.isfinite(last)], 0, atol=1e-12)


@pytest.mark.slow
def test_what_is_promised_is_lowered_towards_what_is_delivered():
    """Of one log at a level of .25 no more can be asked than that the check brings the number nearer to the truth."""
    report = bm.plan_log(rows_of(300), calibration=3, **ASKED)
    attrs, true = report.tree.attrs, true_worth(report)
    raw = attrs["initial_worth_quantile"]
    assert report.gain > 0 and attrs["initial_better"] > 0.95
    assert abs(report.bound - true) < 0.5 * abs(raw - true)
    assert attrs["checked_logs"] == 6 and 0 <= attrs["checked_kept"] <= attrs["checked_kept_lowered"] <= 6


def test_rows_are_recommended_for_by_their_stage(report, tmp_path):
    write_tree(report.tree, tmp_path / "plan.nc")
    policy = read_measured_plan(report.tree).policy
    assert isinstance(policy, StagedPolicy)
    levels = np.linspace(-1, 1.2, 6)
    rows = pd.DataFrame({"level": levels, "stage": [0, 1, 2, 3, HORIZON, 4]})
    told = bm.recommend(tmp_path / "plan.nc", rows)
    assert told["status"].tolist() == ["recommended"] * 4 + ["unknown stage", "recommended"]
    own = [policy.at(stage).actions([[level]])[0] for level, stage in zip(levels, [0, 1, 2, 3, 0, 4], strict=True)]
    assert told["action"].tolist() == [*own[:4], "", own[5]]
    same = bm.recommend(report, rows[["level"]], stage=2)
    assert same["action"].tolist() == policy.at(2).actions(levels[:, None]).tolist()
    # The plan's Dataset, whose rows are coordinates in their order.
    kept = read_measured_plan(report.tree)
    plain = bm.recommend(kept.plan, rows, mdp=kept.mdp)
    assert plain["action"].tolist() == told["action"].tolist()
    for options, why in (
        ({}, "the plan is by stage: give the number of steps"),
        ({"stage": HORIZON}, "has stages 0 to 4"),
    ):
        with pytest.raises(ValueError, match=why):
            bm.recommend(report, rows[["level"]], **options)


def way_of(number):
    """What a plan of so many rows is made of."""
    given = {"prior": "linear_dynamics", "settings": {}, "rewards": known, "terminal": None, "initial": None}
    return way_of_log(rows_of(number), None, horizon=HORIZON, baseline="log", say=lambda text: None, **given)


@pytest.mark.parametrize("whose", ["plan's", pytest.param("log's", marks=pytest.mark.slow)])
def test_worths_of_the_believed_world_are_the_sums_of_its_episodes(report, whose):
    """Of a plan whose stages differ, and of what the log does."""
    way = way_of(300)
    values = way.found.form.mean_values(way.found.sums)
    # As many rollouts at a time as the plan's programs are of.
    world, *others = (AsBelieved(way.mdp, values, Rollouts(number=4_080, seed=seed)) for seed in range(5))
    policy = read_measured_plan(report.tree).policy if whose == "plan's" else way.today
    # As many rows and logs as the programs of the plan are of.
    begins = np.arange(60) % HORIZON == 0
    made = [log for seed in range(40) for log in world.logs(policy, begins, PATHS, seed)]
    sums = np.concatenate([log.seen["reward"].reshape(-1, HORIZON).sum(-1) for log in made])
    if whose == "plan's":
        log, stage = made[0], np.arange(60) % HORIZON
        chosen = policy.actions(log.state)[stage, np.arange(60)]
        assert np.array(["left", "stay", "right"])[log.action].tolist() == chosen.tolist()
        assert (chosen != policy.at(0).actions(log.state)).any()
    told = np.mean([each.worth(policy) for each in (world, *others)])
    assert abs(told - sums.mean()) < 4.5 * sums.std() / len(sums) ** 0.5 + 0.02


def test_worths_of_the_seen_world_are_a_walk_over_its_rows():
    """By stage: always to the left at first, then what the row number's parity says; by brute force over near rows."""
    way = way_of(60)
    world, data = AsSeen(way.mdp, way.data), way.data
    state, after, paid_there = data.state[:, 0], data.seen["next_state"][:, 0], data.seen["reward"]
    parity = np.arange(60) % 2

    class ByStage:
        def probabilities(self, places):
            share = np.zeros((HORIZON, len(places), 3))
            share[:2, :, 0] = 1
            share[2:, np.arange(60), 2 * parity] = 1
            return share

    def worth(row, stage):
        if stage == HORIZON:
            return 0.0
        own = np.flatnonzero(data.action == (0 if stage < 2 else 2 * parity[row]))
        near = own[np.abs(state[own] - state[row]).argsort()[:5]]
        return np.mean([paid_there[k] + worth(np.abs(state - after[k]).argmin(), stage + 1) for k in near])

    starts = [worth(np.abs(state - start[0]).argmin(), 0) for start in data.state[::20]]
    assert world.worth(ByStage()) == pytest.approx(np.mean(starts))


@pytest.mark.slow
def test_the_page_and_the_terminal_tell_of_stages(tmp_path):
    log = rows_of(120)
    frame = pd.DataFrame({"level": log["state"].values[:, 0], "level then": log["next_state"].values[:, 0]})
    frame = frame.assign(action=log["action"].values, reward=log["reward"].values, truncated=log["truncated"].values)
    frame.to_csv(tmp_path / "log.csv", index=False)
    given = ("--continuous", "level", "--next-columns", "{} then", "--prior", "linear_dynamics", "--horizon", "4")
    options = ("--draws", "20", "--no-calibration", "--out", tmp_path, "--report", tmp_path / "page.html")
    shown, _ = call("plan", tmp_path / "log.csv", *given, *options, "--json", tmp_path / "page.json", columns=160)
    assert (
        "(sum of rewards over 4 steps)" in shown and "horizon 4" in shown and "at stage 0, with 4 steps left" in shown
    )
    assert "later" in shown and "the policy is by stage, and bm.off_policy evaluates one" in shown
    table = pd.read_csv(tmp_path / "log-plan.csv")
    assert table["stage"].value_counts().tolist() == [12] * 4 and table.columns[:3].tolist() == [
        "stage",
        "place",
        "level",
    ]
    text = (tmp_path / "page.html").read_text()
    html5lib.HTMLParser(strict=True).parse(text)
    assert "The plan is for 4 steps" in text and "sum of the rewards over 4 steps" in text and "later: " in text
    content = bm.report_content(tmp_path / "log-plan.nc")
    assert content["stages"] == 4 and content["collect"]["draws"] == 32
    changed = [each["value"] for each in content["sensitivity"]["changes"] if each["what"] == "horizon"]
    assert changed == ["2 steps", "8 steps"]
    pd.DataFrame({"level": [-0.5]}).to_csv(tmp_path / "new.csv", index=False)
    shown, _ = call("recommend", tmp_path / "log-plan.nc", tmp_path / "new.csv", "--stage", "0")
    assert "right" in shown


def test_other_horizons_are_what_else_is_asked():
    asked = {"prior": "linear_dynamics", "risk": "mean", "discount": None, "horizon": 4, "seed": 0}
    told = [change for _, _, change in measured_sensitivity._others(asked, {"prior": "linear"})]
    assert told == [{"horizon": 2}, {"horizon": 8}, {"seed": 1_000}]
