"""Plans from logs of measurements: against worlds that are known, from the command line to new rows and the page."""

from dataclasses import replace

import html5lib
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesmdp as bm
from bayesmdp.model_reading.records import Records
from bayesmdp.offline import measured_plan, measured_way
from bayesmdp.offline.measured_file import read_measured_plan
from bayesmdp.offline.measured_space import begins_of_rows, space_of_log
from bayesmdp.offline.measured_worlds import AsBelieved, AsSeen
from bayesmdp.offline.near_rows import NearRows
from bayesmdp.offline.state_behaviour import state_behaviour
from bayesmdp.planning import Rollouts, fitted_policy
from bayesmdp.reports import measured_sensitivity
from bayesmdp.reports.measured_again import PlannedAgain, log_of_plan
from bayesmdp.reports.opinions import alarms_told
from bayesmdp.results.files import write_tree
from tests.command_line import call, told_in_one_line

DISCOUNT = 0.8
PUSH = np.array([-0.5, 0.0, 0.5])


def rows_of(number, seed=0, *, coordinates=1, pushes=PUSH, drift=0.0):
    """A number that goes back to 0 and is pushed; what is paid is most at 1. The second coordinate is noise."""
    rng, rows = np.random.default_rng(seed), []
    for row in range(number):
        if row % 20 == 0:
            state = rng.normal(size=coordinates)
        a = int(rng.integers(len(pushes)))
        after = 0.5 * state + np.array([pushes[a], 0.0])[:coordinates] + 0.3 * rng.normal(size=coordinates)
        after[0] += drift * (row >= number / 2)
        rows.append((state, ("left", "stay", "right")[a], paid(state) + 0.05 * rng.normal(), after, row % 20 == 19))
        state = after
    state, action, reward, after, cut = map(np.array, zip(*rows, strict=True))
    axes = ("step", "coordinate")
    columns = {"state": (axes, state), "next_state": (axes, after), "action": ("step", action)}
    columns |= {"reward": ("step", reward), "truncated": ("step", cut)}
    names = ["level", "weather"][:coordinates]
    actions = ["left", "stay", "right"][: len(pushes)]
    return xr.Dataset(columns, coords={"coordinate": names}, attrs={"actions": actions})


def paid(state):
    return -((state[..., 0] - 1) ** 2)


def known(state, action, next_state):
    return paid(state)


def true_worth(report, number=4_000):
    """What the plan truly earns where the log's episodes start, simulated in NumPy."""
    kept = read_measured_plan(report.tree)
    policy, rng = fitted_policy(kept.plan, kept.mdp), np.random.default_rng(1)
    starts = np.array(kept.space.starts)
    state, total = starts[rng.integers(len(starts), size=number)], np.zeros(number)
    for step in range(40):
        total += DISCOUNT**step * paid(state)
        pushed = PUSH[policy.q(state).argmax(-1)]
        state = 0.5 * state + 0.3 * rng.normal(size=state.shape)
        state[:, 0] += pushed
    return float(total.mean())


@pytest.fixture(scope="module")
def report():
    return bm.plan_log(rows_of(300), risk="quantile:0.25", discount=DISCOUNT, draws=40, calibration=3)


def test_what_is_promised_is_delivered(report):
    attrs, true = report.tree.attrs, true_worth(report)
    assert report.bound <= true + 0.05
    assert attrs["initial_worth_lower"] - 0.2 < true < attrs["initial_worth_upper"] + 0.2
    assert attrs["initial_better"] > 0.95 and report.gain > 0  # to push to the right is known to pay
    assert "linear_dynamics" in attrs["prior"] and "squares and products" in attrs["rewards"]
    assert report.log == {
        "rows": 300,
        "coordinates": 1,
        "actions": 3,
        "terminated": 0,
        "truncated": 15,
        "dropped": 0,
        "episodes": 15,
    }
    below = np.abs(report.policy["state"].values[:, 0] + 0.3) < 0.5
    assert set(report.policy["action"].values[below].tolist()) == {"right"}


def test_the_promise_is_lowered_by_what_the_check_found(report):
    attrs = report.tree.attrs
    assert attrs["initial_bound"] == pytest.approx(attrs["initial_worth_quantile"] - attrs["checked_lowered"])
    assert attrs["checked_logs"] == 6 and 0 <= attrs["checked_kept"] <= attrs["checked_kept_lowered"] <= 6
    assert "on 6 simulated logs like yours" in report.checked
    values = report.tree["at_start"]["value"].values
    assert attrs["initial_worth_quantile"] == np.sort(values)[9]


def test_a_gain_is_checked_over_what_it_is_a_gain_over():
    """Over any action alike, and not over what the log, or one like it, shows to be done."""
    log, pipelines = rows_of(100), []

    def spy(pipeline, *args, **options):
        pipelines.append(pipeline)
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured_plan, "calibrate_measured", spy)
        for baseline in ("uniform", "log"):
            with pytest.raises(InterruptedError):
                bm.plan_log(log, discount=DISCOUNT, draws=40, calibration=1, baseline=baseline)
    data = Records(log["state"].values, np.full(100, 2), {}, np.ones(100))
    uniform, shown = (each.done_today(data).probabilities([[0.0], [1.0]]) for each in pipelines)
    np.testing.assert_allclose(uniform, 1 / 3)
    assert (shown[:, 2] > 0.8).all()


def test_made_up_logs_start_where_the_log_did():
    """And not where policies are valued, where the user said another start."""
    log = rows_of(200)
    space = space_of_log(log, DISCOUNT, initial=[1.5])
    mdp, begins = space.problem(bm.models.linear_dynamics(space.sizes), known), begins_of_rows(log)
    action = np.array([["left", "stay", "right"].index(each) for each in log["action"].values])
    seen = {name: log[name].values for name in ("next_state", "reward")}
    data = Records(log["state"].values, action, seen, np.ones(200))
    behaviour = state_behaviour(data.state, action, 3, space.low, space.high)
    values = {"precision": np.full(1, 100.0), "weights": np.zeros((3, 2, 1))}
    firsts = {tuple(each) for each in data.state[begins]}
    for world in (AsSeen(mdp, data), AsBelieved(mdp, values, Rollouts(number=100))):
        for starts, expected in (
            (data.state[begins], firsts),
            (None, {(1.5,)} if world.name == "as believed" else None),
        ):
            made = world.logs(behaviour, begins, 4, 0, starts)
            found = {tuple(each) for records in made for each in records.state[begins]}
            assert found <= expected if expected else len(found) == 1


def test_ranges_of_values_are_the_posterior_s_and_not_the_simulation_s():
    """Against so many rollouts of each draw that their noise is nothing."""
    told, simulate = [], measured_way.simulate_returns

    def spy(*args, **options):
        told.append((args, simulate(*args, **options)))
        return told[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured_way, "simulate_returns", spy)
        report = bm.plan_log(rows_of(300), discount=DISCOUNT, draws=40, calibration=0, baseline="none")
    (mdp, fresh, policy, rollouts), own = told[0]
    values = report.tree["at_start"]["value"].values
    assert values.mean() == pytest.approx(own.middle.mean(), abs=1e-9)
    # Each draw as often as 125 streams of 16 rollouts, so that the plan's program serves.
    copies, alike = {name: np.repeat(array, 125, 0) for name, array in fresh.items()}, np.tile(np.arange(125), 40)
    many = simulate(mdp, copies, policy, replace(rollouts, number=16 * 5_000), streams=alike)
    many = many.middle.reshape(40, -1).mean(1)
    assert 0.7 * many.std() < values.std() < 1.3 * many.std()
    assert np.corrcoef(values, many)[0, 1] > 0.9
    assert own.middle.mean(1).std() > 4 * many.std()  # what it would be with random numbers of their own


def test_nothing_is_recommended_that_was_not_tried_near(report):
    rows = pd.DataFrame({"who": ["a", "b", "c", "d"], "level": [0.0, np.nan, 50.0, 1.0]})
    told = bm.recommend(report, rows)
    assert told["status"].tolist() == ["recommended", "not a number", "outside", "recommended"]
    assert told["action"].tolist()[:3] == ["right", "", ""]
    log = rows_of(300)
    state, action = log["state"].values[:, 0], log["action"].values
    width = 0.1 * np.ptp(np.concatenate([state, log["next_state"].values[:, 0]])) * 1.1
    near = np.abs(state) <= width
    assert told["near"].iloc[0] == near.sum() and told["tried"].iloc[0] == (near & (action == "right")).sum()
    assert bm.recommend(report, rows.iloc[:0]).empty
    with pytest.raises(ValueError, match="the rows have 'who', but need 'level'"):
        bm.recommend(report, rows[["who"]])
    with pytest.raises(ValueError, match="the plan is the same at each step; leave stage out"):
        bm.recommend(report, rows, stage=0)


@pytest.mark.slow
def test_plans_do_not_what_was_never_tried_near():
    """A log that never pushed to the right where the level is high, though the model would have it so."""
    log = rows_of(300)
    state, action = log["state"].values[:, 0], log["action"].values
    kept = log.isel(step=np.flatnonzero(~((action == "right") & (state > 0.3))))
    careful = bm.plan_log(kept, draws=8, discount=DISCOUNT, calibration=0, prior="linear_dynamics", rewards=known)
    acts = read_measured_plan(careful.tree)
    q = fitted_policy(acts.plan, acts.mdp).q([[1.2], [0.0]])
    assert np.isneginf(q[0, 2]) and np.isfinite(q[1]).all()


def test_a_plan_comes_back_from_its_file(report, tmp_path, monkeypatch):
    others, few = measured_sensitivity._others, ("quantile:0.125, more careful", "another seed")
    monkeypatch.setattr(
        measured_sensitivity, "_others", lambda *given: (each for each in others(*given) if each[1] in few)
    )
    write_tree(report.tree, tmp_path / "plan.nc")
    rows = pd.DataFrame({"level": np.linspace(-1, 2, 7)})
    pd.testing.assert_frame_equal(bm.recommend(tmp_path / "plan.nc", rows), bm.recommend(report, rows))
    bm.write_report(tmp_path / "plan.nc", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    parser = html5lib.HTMLParser(strict=True)
    parser.parse(text)
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org", "")
    content = bm.report_content(report)
    assert content["recommendation"]["bound"] == report.bound and content["recommendation"]["status"] == "better"
    assert [each["name"] for each in content["log"]["coordinates"]] == ["level"]
    changes = content["sensitivity"]["changes"]
    assert [each["what"] for each in changes] == ["as planned", "level", "draws"] and not changes[0]["changed"]
    assert changes[0]["bound"] == pytest.approx(report.tree.attrs["initial_worth_quantile"])
    assert changes[2]["bound"] != changes[0]["bound"]
    told = content["second_opinion"]["estimates"]
    assert [each["estimator"] for each in told] == ["per decision", "weighted", "fitted Q"]
    assert told[2]["tells"] and not told[2]["disagrees"]
    assert content["collect"]["asked"] > 20 and content["collect"]["draws"] == 32
    assert "What to collect next" in text
    with pytest.raises(TypeError, match="the plan's states are numbers"):
        bm.plot_policy(report)


@pytest.mark.slow
def test_what_would_change_the_plan_is_planned_again(report):
    """With the other prior, discounts, levels and draws; the same draws and arguments give the same plan."""
    acts = read_measured_plan(report.tree)
    told = measured_sensitivity.measured_sensitivity(report.tree, acts, PlannedAgain(report.tree, acts))["changes"]
    asked = ["as planned", "prior", "discount", "discount", "level", "level", "draws"]
    assert [each["what"] for each in told] == asked
    assert [each["comparable"] for each in told] == [True, True, False, False, True, True, True]
    assert told[1]["value"] == "fourier_dynamics"
    log = log_of_plan(report.tree, acts)
    again = bm.plan_log(log, risk="quantile:0.25", discount=DISCOUNT, draws=40, calibration=0)
    np.testing.assert_allclose(again.tree["at_start"]["value"], report.tree["at_start"]["value"], rtol=1e-9)
    careful = bm.plan_log(log, risk="quantile:0.125", discount=DISCOUNT, draws=40, calibration=0)
    values = careful.tree["at_start"]["value"].values
    assert told[4]["bound"] == pytest.approx(np.sort(values)[9])


@pytest.mark.slow
def test_rewards_that_are_all_the_same_are_said_to_tell_no_action_from_another(report, monkeypatch):
    for slow in ("PlannedAgain", "measured_sensitivity", "measured_collect"):
        monkeypatch.setattr(f"bayesmdp.reports.measured_content.{slow}", lambda *_: {})
    tree, told = report.tree.copy(), []
    for spread in (1.0, 0.0):
        rows = report.tree["constant_data"].to_dataset()
        tree["constant_data"] = xr.DataTree(rows.assign(reward=2.0 + spread * rows["reward"]))
        told.append(bm.report_content(tree)["recommendation"]["cautions"])
    assert told[1][0].startswith("Every row of the log has the same reward, 2.000: the log does not show")
    assert told[1][1:] == told[0]


@pytest.mark.parametrize("names", [["level"], pytest.param(["level", "weather"], marks=pytest.mark.slow)], ids=len)
def test_the_command_plans_recommends_and_explains(names, tmp_path):
    """In two coordinates with a page; that of a plan in one is read in another test."""
    log, page = rows_of(300 if len(names) == 1 else 120, coordinates=len(names)), len(names) > 1
    frame = pd.DataFrame(log["state"].values, columns=names).assign(did=log["action"].values)
    after = pd.DataFrame(log["next_state"].values, columns=[f"{name} then" for name in names])
    frame = pd.concat([frame, after], axis=1).assign(cost=-log["reward"].values, cut=log["truncated"].values)
    frame.to_csv(tmp_path / "log.csv", index=False)
    given = ("--continuous", ",".join(names), "--next-columns", "{} then", "--column", "action=did", "--cost", "cost")
    given += ("--column", "truncated=cut", "--prior", "linear_dynamics", "--set", "noise=0.2", "--discount", "0.8")
    options = ("--draws", "40", "--no-calibration", "--out", tmp_path)
    options += ("--report", tmp_path / "page.html") * page
    shown, _ = call("plan", tmp_path / "log.csv", *given, *options, columns=160)
    assert "linear_dynamics(noise=0.2)" in shown and "this policy earns" in shown and "not checked" in shown
    table = pd.read_csv(tmp_path / "log-plan.csv")
    assert {*names, "action", "tried", "worth_quantile"} <= set(table.columns)
    assert table["rows"].sum() == log.sizes["step"]
    if page:
        text = (tmp_path / "page.html").read_text()
        assert "weather" in text and text.count("<svg") >= 2
    new = pd.DataFrame({"weather": [0.0], "level": [-0.5], "name": ["x"]})
    new.to_csv(tmp_path / "new.csv", index=False)
    shown, _ = call("recommend", tmp_path / "log-plan.nc", tmp_path / "new.csv", "--out", tmp_path / "told.csv")
    assert "right" in shown and pd.read_csv(tmp_path / "told.csv")["action"].tolist() == ["right"]
    # Columns go by their names, in whatever order.
    turned = bm.recommend(tmp_path / "log-plan.nc", new[["level", "name", "weather"]])
    pd.testing.assert_frame_equal(turned, bm.recommend(tmp_path / "log-plan.nc", new))
    assert turned["margin"].item() > 0
    assert "--pool is for labelled states" in told_in_one_line(
        "plan", tmp_path / "log.csv", *given, "--pool", "--out", tmp_path / "other"
    )


def test_the_command_says_what_is_wrong_by_its_own_options(tmp_path):
    rows = [
        {"t": 1.0, "next_t": 2.0, "action": "off", "reward": 0.0},
        {"t": 2.0, "next_t": 3.0, "action": "on", "reward": 1},
    ]
    frame = pd.DataFrame(rows)
    for changed, options, why in (
        (frame.assign(done=[0, 1]), (), "pass --column terminated=done if nothing can follow"),
        (frame.assign(terminated=[0, 1]), (), "pass --terminal, a function of states"),
        (frame[::-1], ("--gaps", "refuse"), "or use --gaps 'cut' if that is right"),
        (frame, ("--reward-range", "0,1"), "--reward-range is for labelled states"),
        (frame, ("--step", "t"), "name the column that tells these, --episode"),
    ):
        changed.to_csv(tmp_path / "log.csv", index=False)
        given = (tmp_path / "log.csv", "--continuous", "t", *options, "--out", tmp_path)
        assert why in told_in_one_line("plan", *given)


GOOD = rows_of(40)


@pytest.mark.parametrize(
    "change, options, why",
    [
        ({}, {"horizon": 4, "discount": 0.9}, "give a horizon or a discount, not both; got 4 and 0.9"),
        ({}, {"horizon": 0}, "horizon must be an integer of at least 1"),
        ({}, {"horizon": 4, "aim": "gain"}, "a plan for the gain needs a discount: leave the horizon out"),
        ({}, {"elsewhere": "least"}, "elsewhere='least' is for logs with labelled states"),
        ({}, {"baseline": "today.csv"}, "baseline is log, none, uniform, a table with"),
        ({}, {"prior": "linear_dynamcis"}, "no prior 'linear_dynamcis'; did you mean linear_dynamics"),
        ({}, {"prior": "linear_dynamics", "settings": {"noize": 1}}, "linear_dynamics has no option 'noize'"),
        ({}, {"settings": {"noise": 1}}, "the prior by the log has no option 'noise'"),
        ({}, {"rewards": "normal"}, "for logs of measurements, rewards is auto or FILE.py:NAME"),
        ({}, {"initial": [99.0]}, "initial level = 99 is outside the range of the log"),
        ({}, {"draws": 1}, "draws"),
        ({}, {"discount": 1.0}, "discount"),
        ({"state": 3.0, "next_state": 3.0}, {}, "the coordinate 'level' is 3 in every row; leave it out"),
        (
            {"terminated": True},
            {},
            "40 rows of the log are terminated, but it is not known which states end an episode",
        ),
        ({}, {"terminal": lambda state: state[..., 0] > -9}, r"next_state at step 0, \[.*\], is terminal by terminal"),
        ({}, {"terminal": lambda state: state}, "expected one bool for each"),
    ],
)
def test_bad_requests_are_refused(change, options, why):
    log = GOOD
    for name, value in change.items():
        like = log[name] if name in log else log["truncated"]
        log = log.assign({name: xr.full_like(like, value)})
    with pytest.raises(ValueError, match=why):
        bm.plan_log(log, **{"draws": 4, "calibration": 0} | options)


def test_options_of_measurements_are_refused_for_labels():
    log = bm.collect(bm.environments.riverswim(3), policy="uniform", steps=50)
    with pytest.raises(ValueError, match="terminal is for logs of measurements"):
        bm.plan_log(log, terminal="ends.py:end")


def test_a_log_of_hardly_any_rows_is_refused_and_one_of_few_warned_of(monkeypatch):
    with pytest.raises(ValueError, match="the log has only 3 rows, too few to learn how 1 measurement changes"):
        bm.plan_log(rows_of(3), draws=4, calibration=0)

    def stop(*_):
        raise InterruptedError

    # What is learned of such a log is learned as of any other.
    monkeypatch.setattr(measured_way, "measured_today", stop)
    told = pytest.warns(UserWarning, match="the log has 8 rows, .* rests mainly on the prior; record more")
    with told, pytest.raises(InterruptedError):
        bm.plan_log(rows_of(8), draws=4, calibration=0, prior="linear_dynamics", rewards=known)


def test_an_action_that_was_never_taken_is_refused():
    log = GOOD.assign_attrs(actions=["left", "stay", "right", "jump"])
    with pytest.raises(ValueError, match="the action 'jump' was never taken"):
        bm.plan_log(log, draws=4, calibration=0)


# What the way is made of.


def test_rewards_may_be_a_function_in_a_file(tmp_path):
    (tmp_path / "rewards.py").write_text("def twice(state, action, next_state):\n    return 2 * state[..., 0]\n")
    given = {"prior": "linear_dynamics", "settings": {}, "terminal": None, "initial": None, "horizon": None}
    told = {"baseline": "none", "say": lambda text: None, "rewards": f"{tmp_path / 'rewards.py'}:twice"}
    way = measured_way.way_of_log(rows_of(40), DISCOUNT, **given, **told)
    assert way.mdp.problem.reward(np.array([0.25]), 1, np.array([0.5])) == 0.5
    assert "reward" not in way.found.form.mean_values(way.found.sums)


def test_episodes_begin_where_they_ended_or_rows_do_not_go_on():
    log = rows_of(60)
    assert np.flatnonzero(begins_of_rows(log)).tolist() == [0, 20, 40]
    assert np.flatnonzero(begins_of_rows(log.drop_vars("truncated"))).tolist() == [0, 20, 40]
    space = space_of_log(log, 0.9)
    np.testing.assert_array_equal(np.array(space.starts), log["state"].values[[0, 20, 40]])
    every = np.concatenate([log["state"].values, log["next_state"].values])
    assert space.low[0] == pytest.approx(every.min() - 0.05 * np.ptp(every))


def test_the_behaviour_is_that_of_the_logistic_regression():
    """Where probabilities are logistic in one coordinate: against the frequencies of many rows."""
    rng = np.random.default_rng(0)
    state = rng.uniform(-1, 1, (40_000, 2))
    score = np.stack([np.zeros(len(state)), 1.5 * state[:, 0], -0.5 + state[:, 1]], -1)
    share = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
    action = (rng.uniform(size=(len(state), 1)) > share.cumsum(-1)).sum(-1)
    told = state_behaviour(state, action, 3, [-1, -1], [1, 1])
    np.testing.assert_allclose(told.probabilities(state[:50]), share[:50], atol=0.03)
    rule, parameters = told.policy
    drawn = np.array(
        [int(rule(parameters, jnp.asarray(u), jnp.asarray(state[0]))) for u in np.linspace(0.005, 0.995, 100)]
    )
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 100, told.probabilities(state[:1])[0], atol=0.011)


def test_values_in_the_world_as_seen_are_those_of_its_logs():
    """Solved for, against the mean discounted return of logs that the world makes."""
    log = rows_of(200)
    space = space_of_log(log, DISCOUNT)
    mdp = space.problem(bm.models.linear_dynamics(space.sizes), lambda s, a, t: -((s[..., 0] - 1) ** 2).clip(0, 8))
    action = np.array([["left", "stay", "right"].index(each) for each in log["action"].values])
    data = Records(
        log["state"].values, action, {name: log[name].values for name in ("next_state", "reward")}, np.ones(200)
    )
    world, behaviour = AsSeen(mdp, data), state_behaviour(data.state, action, 3, space.low, space.high)
    solved = world.worth(behaviour)
    begins = np.arange(2_000) % 40 == 0
    returns = []
    for made in world.logs(behaviour, begins, 20, seed=3):
        weighted = made.seen["reward"].reshape(-1, 40) * DISCOUNT ** np.arange(40)
        returns += weighted.sum(-1).tolist()
        seen = {tuple(each) for each in np.round(log["state"].values, 12)}
        assert {tuple(each) for each in np.round(made.seen["next_state"], 12)} <= seen
    error = np.std(returns) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - solved) < 4.5 * error


@pytest.mark.slow
def test_values_in_the_world_as_believed_are_those_of_its_logs():
    log = rows_of(200)
    space = space_of_log(log, DISCOUNT)
    model = bm.models.linear_rewards(space.sizes)
    mdp = space.problem(model)
    action = np.array([["left", "stay", "right"].index(each) for each in log["action"].values])
    posterior = bm.infer(model, log, draws=200)
    values = {name: draws.mean(("chain", "draw")).values for name, draws in posterior.posterior.data_vars.items()}
    world = AsBelieved(mdp, values, Rollouts(number=20_000))
    behaviour = state_behaviour(log["state"].values, action, 3, space.low, space.high)
    returns = []
    for made in world.logs(behaviour, np.arange(2_000) % 40 == 0, 20, seed=3):
        returns += (made.seen["reward"].reshape(-1, 40) * DISCOUNT ** np.arange(40)).sum(-1).tolist()
    error = np.std(returns) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - world.worth(behaviour)) < 4.5 * error + 0.02


def test_the_grid_says_what_was_tried_near():
    rng = np.random.default_rng(0)
    state, action = rng.uniform(size=(200, 2)), rng.integers(0, 2, 200)
    action[state[:, 0] > 0.5] = 0
    near = NearRows(state, action, 2, [0, 0], [1, 1])
    tried, middle = near.tried(), (np.arange(21) + 0.5) / 21
    places = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 2)
    counts = (np.abs(places[:, None] - state).max(-1) <= 0.1)[:, :, None] & (action[:, None] == np.arange(2))
    np.testing.assert_array_equal(near.counts(places), counts.sum(1))
    np.testing.assert_array_equal(near.counts(places, most=3), np.minimum(counts.sum(1), 3))
    np.testing.assert_array_equal(np.asarray(tried(jnp.asarray(places))), counts.any(1) | ~counts.any((1, 2))[:, None])
    assert not np.asarray(tried(jnp.asarray([0.9, 0.5])))[1]


@pytest.mark.parametrize(
    "log, alarm",
    [
        (rows_of(400), None),
        (rows_of(400, drift=0.4), "dynamics drift"),
    ],
    ids=["clean", "drift"],
)
def test_checks_find_what_is_wrong(log, alarm):
    told = bm.check_log(log)
    rings = told["check"].values[told["alarm"].values].tolist()
    assert rings == [] if alarm is None else alarm in rings
    with pytest.raises(ValueError, match="a log of measurements is checked on its own"):
        bm.check_log(log, "uniform")


def test_single_steps_from_one_place_alarm_of_nothing_and_it_is_said_what_was_not_asked():
    """A coordinate that no row acts in differently, though next states do, and no row goes on from the one before."""
    rng = np.random.default_rng(0)
    state = np.stack([rng.normal(size=60), np.ones(60)], -1)
    axes = ("step", "coordinate")
    columns = {"state": (axes, state), "next_state": (axes, 0.5 * state + 0.3 * rng.normal(size=(60, 2)))}
    columns |= {"action": ("step", np.array(["left", "right"])[rng.integers(0, 2, 60)])}
    columns |= {"reward": ("step", state[:, 0] + rng.normal(size=60))}
    told = bm.check_log(xr.Dataset(columns, attrs={"actions": ["left", "right"]}))
    assert not told["alarm"].any() and told["p_value"].sel(check="behaviour drift") > 0.05
    said = alarms_told(told)
    assert said["no answer"] == "order, few tries"
    assert "order" not in said["the log"] and "misfit" in said["the log"]


def test_a_cause_that_lasts_alarms():
    """What is pushed by hangs on a number that is not in the log and lasts for some steps."""
    rng, rows, state, cause = np.random.default_rng(2), [], np.zeros(1), 0.0
    for _ in range(400):
        cause = 0.9 * cause + 0.3 * rng.normal()
        after = 0.5 * state + cause + 0.1 * rng.normal(size=1)
        rows.append((state, ("left", "stay", "right")[rng.integers(3)], float(state[0]), after))
        state = after
    state, action, reward, after = map(np.array, zip(*rows, strict=True))
    axes = ("step", "coordinate")
    columns = {"state": (axes, state), "next_state": (axes, after), "action": ("step", action)}
    log = xr.Dataset(columns | {"reward": ("step", reward)}, attrs={"actions": ["left", "stay", "right"]})
    told = bm.check_log(log)
    assert bool(told["alarm"].sel(check="order"))


@pytest.mark.slow
def test_promises_are_kept_by_nine_logs_in_ten():
    """40 logs of 60 rows each, without the check, of a world that the prior knows: a quantile at level .1.

    Of 40 logs a promise that is kept half of the time, as the median is, passes once in 300 times.
    """
    kept = 0
    for seed in range(40):
        report = bm.plan_log(rows_of(60, seed=seed), discount=DISCOUNT, draws=40, calibration=0)
        kept += report.bound <= true_worth(report, 2_000)
    assert kept >= stats.binom.ppf(1e-3, 40, 0.9), f"{kept} of 40"


FALLS = """
import numpy as np, numpyro, numpyro.distributions as dist

def falls(data):
    push = numpyro.sample("push", dist.Normal(np.zeros(3), 1.0))
    hazard = numpyro.sample("hazard", dist.Beta(np.ones(3), 3.0))
    with data.rows():
        move = dist.Normal(0.5 * data.state + push[data.action][:, None], 0.3).to_event(1)
        numpyro.sample("next_state", move, obs=data.next_state)
        numpyro.sample("terminal", dist.Bernoulli(hazard[data.action]), obs=data.terminal)
"""


@pytest.mark.slow
def test_a_prior_may_learn_which_steps_end_an_episode(tmp_path):
    """Every third push to the right ends all; each step pays 1, so that the plan does not push."""
    rng, log = np.random.default_rng(4), rows_of(240)
    ended = (log["action"].values == "right") & (rng.uniform(size=240) < 1 / 3)
    log = log.assign(terminated=("step", ended), reward=("step", np.ones(240)))
    log = log.assign(truncated=("step", log["truncated"].values & ~ended))
    (tmp_path / "prior.py").write_text(FALLS)
    given = {"discount": DISCOUNT, "draws": 24, "prior": f"{tmp_path / 'prior.py'}:falls", "baseline": "none"}
    report = bm.plan_log(log, **given)
    attrs = report.tree.attrs
    assert set(report.policy["action"].values.tolist()) <= {"left", "stay"}
    # 1 / (1 - .8 (1 - h)), h being little: 2 of 100 Beta(1, 3) draws.
    assert 3.5 < attrs["initial_worth_lower"] < attrs["initial_worth_upper"] <= 5.01
    assert report.log["terminated"] == ended.sum() and attrs["engine"] == "exact"
    # Both parts are learned anew from each log of the check, and the regression has residuals to be tested.
    assert attrs["checked_logs"] > 0 and report.bound < attrs["initial_worth_upper"]
    assert not report.tree["log_checks"]["found"].str.contains("no residuals").any()
    with pytest.raises(ValueError, match="the prior samples which steps end an episode, and terminal="):
        bm.plan_log(log, **given, terminal=lambda state: state[..., 0] > 9)
    # From rows that did not end an episode alone it would learn that none does.
    with pytest.raises(ValueError, match="3 terminated rows were left out of the log, for nothing follows them"):
        bm.plan_log(log.assign_attrs(dropped_ends=3), **given)
