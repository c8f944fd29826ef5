"""What is done today where states are numbers: as a table of places or a function of states says it."""

import numpy as np
import pandas as pd
import pytest

import bayesmdp as bm
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.offline.measured_file import read_measured_plan
from bayesmdp.offline.measured_space import space_of_log
from bayesmdp.offline.measured_today import measured_today
from bayesmdp.offline.near_rows import NearRows
from bayesmdp.offline.said_state_behaviour import places_behaviour
from bayesmdp.planning import Rollouts
from bayesmdp.planning.state_baseline import function_behaviour
from bayesmdp.reports.advice import recommendation
from bayesmdp.reports.measured_again import _baseline_of
from bayesmdp.results.files import write_tree
from tests.command_line import call, told_in_one_line
from tests.offline.test_measured_plan import DISCOUNT, PUSH, paid, rows_of

ACTIONS = ("left", "stay", "right")
# As the plans of `test_measured_plan`, so that their programs serve.
OPTIONS = {"discount": DISCOUNT, "draws": 16, "calibration": 0}
RULE = pd.DataFrame({"level": [-1.0, 1.0, 1.0], "action": ["right", "left", "stay"], "probability": [1.0, 0.25, 0.75]})


def by_hand(state):
    """The rule of the table, which changes halfway between its two places, at 0."""
    low = np.asarray(state)[..., 0] <= 0
    return np.where(low[..., None], [0.0, 0.0, 1.0], [0.25, 0.75, 0.0])


def true_worth(behaviour, starts, number=5_000):
    """What a behaviour truly earns in the world of `rows_of`, simulated in NumPy."""
    rng, total = np.random.default_rng(1), np.zeros(number)
    state = starts[rng.integers(len(starts), size=number)]
    for step in range(40):
        total += DISCOUNT**step * paid(state)
        action = (rng.uniform(size=(number, 1)) > behaviour(state).cumsum(-1)).sum(-1)
        state = 0.5 * state + PUSH[action][:, None] + 0.3 * rng.normal(size=state.shape)
    return float(total.mean())


def test_a_table_says_what_is_done_in_the_nearest_place():
    """In units of the box: against distances reckoned by hand, in compiled code too."""
    rng = np.random.default_rng(0)
    places = pd.DataFrame(rng.uniform([0, 0], [1, 100], (5, 2)), columns=["x", "y"])
    told = places_behaviour(places.assign(action=[0, 1, 2, 0, 1]), ["x", "y"], [0, 1, 2], [0, 0], [1, 100])
    asked = rng.uniform([0, 0], [1, 100], (40, 2))
    apart = (((asked[:, None] - places.values[None]) / [1, 100]) ** 2).sum(-1)
    nearest = np.array([0, 1, 2, 0, 1])[apart.argmin(-1)]
    np.testing.assert_array_equal(told.probabilities(asked).argmax(-1), nearest)
    rule, parameters = told.policy
    assert [int(rule(parameters, 0.5, state)) for state in asked] == nearest.tolist()


def test_actions_are_drawn_with_the_probabilities_that_are_said():
    told = places_behaviour(RULE, ["level"], ACTIONS, [-2.0], [2.0])
    for behaviour in (told, function_behaviour(_rule, ACTIONS, np.array([[0.3], [-0.4]]))):
        rule, parameters = behaviour.policy
        drawn = [int(rule(parameters, u, np.array([0.7]))) for u in np.linspace(0.0005, 0.9995, 1_000)]
        np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 1_000, [0.25, 0.75, 0], atol=1e-3)


def _rule(state):
    import jax.numpy as jnp

    low = state[..., :1] <= 0
    return jnp.where(low, jnp.array([0.0, 0.0, 1.0]), jnp.array([0.25, 0.75, 0.0]))


def _positions(state):
    return (state[..., 0] < 0).astype(int) * 2


@pytest.fixture(scope="module")
def by_table():
    return bm.plan_log(rows_of(300), baseline=RULE, **OPTIONS)


def test_what_today_earns_is_what_the_rule_earns(by_table):
    """Under the posterior of 300 rows, against the rule in the true world."""
    starts = np.array(rows_of(300)["state"].values[::20])
    attrs, true = by_table.tree.attrs, true_worth(by_hand, starts)
    assert attrs["initial_today_lower"] - 0.05 < true < attrs["initial_today_upper"] + 0.05
    gain = by_table.tree["at_start"]["value"] - by_table.tree["at_start"]["today"]
    assert attrs["initial_gain"] == pytest.approx(float(gain.mean()))
    shown = by_table.policy["today"].values
    state, action = by_table.policy["state"].values, by_table.policy["action"].values.tolist()
    expected = by_hand(state)[np.arange(len(state)), [ACTIONS.index(each) for each in action]]
    np.testing.assert_allclose(shown, expected)


def test_a_function_is_the_rule_that_it_says(by_table):
    """The same rule, so the same numbers; the one of positions is deterministic."""
    other = bm.plan_log(rows_of(300), baseline=_rule, **OPTIONS)
    assert other.tree.attrs["initial_today"] == pytest.approx(by_table.tree.attrs["initial_today"], abs=1e-9)
    assert other.tree.attrs["baseline_name"] == "a function"
    told = function_behaviour(_positions, ACTIONS, np.array([[0.5]]))
    np.testing.assert_array_equal(told.probabilities([[-1.0], [1.0]]), [[0, 0, 1], [1, 0, 0]])


def test_a_table_is_kept_in_the_file_of_the_plan(by_table, tmp_path):
    write_tree(by_table.tree, tmp_path / "plan.nc")
    import xarray as xr

    kept = _baseline_of(xr.open_datatree(tmp_path / "plan.nc", engine="h5netcdf").load())
    again = places_behaviour(kept, ["level"], ACTIONS, [-2.0], [2.0])
    at = np.linspace(-1.9, 1.9, 7)[:, None]
    np.testing.assert_allclose(again.probabilities(at), by_hand(at))


def test_a_function_may_be_in_a_file(tmp_path):
    (tmp_path / "rule.py").write_text("def act(state):\n    return (state[..., 0] < 0).astype(int)\n")
    log = rows_of(300)
    data, space = read_records(log), space_of_log(log, DISCOUNT)
    near = NearRows(data.state, data.action, 3, space.low, space.high)
    told, name = measured_today(f"{tmp_path / 'rule.py'}:act", data, space, near)
    np.testing.assert_array_equal(told.probabilities([[-1.0], [1.0]]), [[0, 1, 0], [1, 0, 0]])
    assert name == f"{tmp_path / 'rule.py'}:act"


def test_what_nobody_did_near_is_warned_of():
    log = rows_of(300)
    rows = np.flatnonzero(~((log["action"].values == "right") & (log["state"].values[:, 0] < 0)))
    with pytest.warns(
        UserWarning, match="does in [0-9]+ of [0-9]+ rows what no row of the log near did, first 'right'"
    ):
        bm.plan_log(log.isel(step=rows), baseline=RULE, **OPTIONS)


GOOD = rows_of(40)


@pytest.mark.parametrize(
    "baseline, why",
    [
        (RULE.drop(columns="level"), "the baseline has no column 'level'; it has action, probability"),
        (RULE.iloc[:0], "the baseline has no rows"),
        (RULE.assign(level=["a", 1, 1]), "the baseline's level in row 0 is 'a'; it is a finite number"),
        (RULE.assign(level=[np.nan, 1, 1]), "level in row 0 is nan"),
        (RULE.assign(action="jump"), "the baseline names 'jump' in row 0, which is no action of the log"),
        (RULE.assign(probability=[1, -0.1, 1.1]), "the baseline's probability in row 1 is -0.1; it is from 0 to 1"),
        (RULE.assign(probability=[1, 0.3, 0.3]), "the baseline at level 1: probabilities sum to 0.6, not 1"),
        (RULE.assign(action=["right", "left", "left"]), "at level 1: the action 'left' is named more than once"),
        (lambda state: state[..., 0], r"the baseline of 40 states is float64 \(40,\); it is probabilities"),
        (lambda state: (state[..., 0] * 0).astype(int) + 3, "is 3; actions are at the positions 0 to 2"),
        (lambda state: 0 * _rule(state) + 0.5, r"is \[0.5, 0.5, 0.5\]; probabilities are at least 0 and sum to 1"),
        (
            "today.csv",
            "where states are numbers baseline is log, none, uniform, a table with the columns level, action",
        ),
        (3, "got 3"),
        ("missing.py:rule", "missing.py"),
    ],
)
def test_bad_baselines_are_refused(baseline, why):
    with pytest.raises((ValueError, OSError), match=why):
        bm.plan_log(GOOD, baseline=baseline, **OPTIONS)


def test_a_function_is_refused_where_states_are_labels():
    log = bm.collect(bm.environments.riverswim(3), policy="uniform", steps=50)
    with pytest.raises(ValueError, match="a function as baseline is for logs of measurements"):
        bm.plan_log(log, baseline=_rule)


@pytest.mark.slow
def test_rollouts_of_a_rule_are_those_of_the_world():
    """In the world as it is, in compiled code: within the interval that is told."""
    room = bm.environments.thermostat()
    table = pd.DataFrame({"warmth": [18.0, 22.0], "action": ["high", "off"]})
    told = places_behaviour(table, ["warmth"], room.actions, room.problem.low, room.problem.high)
    value = bm.evaluate(room, lambda state: told.policy.rule(told.policy.parameters, 0.5, state), rollouts=Rollouts())
    other = bm.evaluate(room, lambda state: (state[0] <= 20).astype(int) * 2, rollouts=Rollouts())
    assert float(value) == pytest.approx(float(other), abs=1e-9)


def test_the_command_reads_a_baseline_from_a_file(tmp_path):
    """As many rows, draws and places as the other plans have, so that their programs serve."""
    log = rows_of(300)
    frame = pd.DataFrame({"level": log["state"].values[:, 0], "next_level": log["next_state"].values[:, 0]})
    frame = frame.assign(action=log["action"].values, reward=log["reward"].values, truncated=log["truncated"].values)
    frame.to_csv(tmp_path / "log.csv", index=False)
    RULE.to_csv(tmp_path / "today.csv", index=False)
    given = (tmp_path / "log.csv", "--continuous", "level", "--discount", "0.8")
    given += ("--draws", "16", "--no-calibration", "--out", tmp_path)
    shown, _ = call("plan", *given, "--baseline", tmp_path / "today.csv", columns=160)
    assert "today" in shown
    RULE.assign(probability=2).to_csv(tmp_path / "today.csv", index=False)
    assert "the baseline's probability in row 0" in told_in_one_line(
        "plan", *given, "--baseline", tmp_path / "today.csv"
    )
    assert "--baseline: no file" in told_in_one_line("plan", *given, "--baseline", tmp_path / "other.csv")


# Plans for the gain.


@pytest.fixture(scope="module")
def for_gain():
    return bm.plan_log(rows_of(300), aim="gain", baseline=RULE, **OPTIONS | {"risk": "quantile:0.25"})


def test_a_plan_for_the_gain_gains_what_it_says(for_gain, by_table):
    attrs, kept = for_gain.tree.attrs, read_measured_plan(for_gain.tree)
    starts = np.array(kept.space.starts)
    gained = true_worth(kept.policy.probabilities, starts) - true_worth(kept.today.probabilities, starts)
    assert attrs["aim"] == "gain" and attrs["risk"] == "quantile:0.25 of the gain"
    assert for_gain.gain <= gained + 0.05 and attrs["initial_better"] == 1 and not attrs["initial_unchanged"]
    # As much as the plan for the value gains.
    assert attrs["initial_gain"] == pytest.approx(by_table.tree.attrs["initial_gain"], rel=0.1)


def test_a_plan_for_the_gain_comes_back_from_its_file(for_gain, tmp_path):
    write_tree(for_gain.tree, tmp_path / "plan.nc")
    rows = pd.DataFrame({"level": np.linspace(-1, 1.5, 6)})
    told = bm.recommend(tmp_path / "plan.nc", rows)
    pd.testing.assert_frame_equal(told, bm.recommend(for_gain, rows))
    shares = told[[f"probability of {action}" for action in ACTIONS]].values
    assert told["probability"].tolist() == shares.max(-1).tolist()
    np.testing.assert_allclose(shares.sum(-1), 1)
    assert (told["margin"] >= 0).all()


@pytest.mark.slow
def test_the_gain_of_a_plan_for_it_is_checked():
    report = bm.plan_log(rows_of(100), aim="gain", **OPTIONS | {"calibration": 3, "risk": "quantile:0.25"})
    attrs = report.tree.attrs
    assert attrs["checked_logs"] == 6 and 0 <= attrs["gain_checked_kept"] <= attrs["gain_checked_kept_lowered"] <= 6
    raw = np.sort((report.tree["at_start"]["value"] - report.tree["at_start"]["today"]).values)[3]
    assert report.gain == pytest.approx(raw - attrs["gain_checked_lowered"]) and attrs["baseline"] == "log"
    starts = np.array(read_measured_plan(report.tree).space.starts)
    kept = read_measured_plan(report.tree)
    gained = true_worth(kept.policy.probabilities, starts) - true_worth(kept.today.probabilities, starts)
    assert report.gain <= gained + 0.05


@pytest.mark.slow
def test_where_nothing_better_is_known_the_plan_is_to_go_on_as_today():
    """Today's policy is the best there is, and the log is short. Two places, as of the other plan for the gain."""
    log = rows_of(60, seed=3)
    best = pd.DataFrame({"level": [-1.0, 1.0], "action": ["right", "right"]})
    report = bm.plan_log(log, aim="gain", baseline=best, **OPTIONS)
    attrs = report.tree.attrs
    assert attrs["initial_unchanged"] and report.gain == 0 and attrs["initial_gain"] == 0
    assert set(report.policy["action"].values.tolist()) == {"right"} and not report.policy["departs"].any()
    assert recommendation(attrs)[0] == "unchanged"


@pytest.mark.parametrize(
    "options, why",
    [
        ({"aim": "most"}, "aim must be 'value' or 'gain'; got 'most'"),
        (
            {"aim": "gain", "baseline": "none"},
            "a plan for the gain needs a baseline, and baseline='none' leaves it out",
        ),
        ({"aim": "gain", "baseline": _rule}, "no file holds a function: name it, baseline='FILE.py:NAME'"),
    ],
)
def test_bad_aims_are_refused(options, why):
    with pytest.raises(ValueError, match=why):
        bm.plan_log(GOOD, **OPTIONS | options)
