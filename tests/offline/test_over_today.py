"""A plan from a log beside what is done today: the gain, how sure it is, its check, and plans that aim at it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats

import bayesmdp as bm
from bayesmdp.logs.problem_from_log import open_actions
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline import calibration
from bayesmdp.offline.at_start import told_at_start
from bayesmdp.offline.behaviour import Today, behaviour_of, estimated_behaviour, said_behaviour
from bayesmdp.offline.calibration import calibrate
from bayesmdp.offline.checked import Calibration, Checked, CheckedInterval, LogErrors, judge_errors, middle_of
from bayesmdp.offline.experience import added_up
from bayesmdp.offline.logs_alike import Recording, as_logged
from bayesmdp.offline.named_prior import make_prior
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.offline.promise import Pipeline, Promise, promised, true_worth, worlds_of
from bayesmdp.planning.quantile_interval import left_quantile
from tests.command_line import call
from tests.offline.test_plan_log import told

DISCOUNT = 0.5


def arms(rewards: dict[str, list[float]]) -> xr.Dataset:
    """Arms in one state: what each try paid."""
    rows = [("s", arm, paid, "s") for arm, each in rewards.items() for paid in each]
    return read_log(pd.DataFrame(rows, columns=["state", "action", "reward", "next_state"]).assign(truncated=True))


@pytest.fixture(scope="module")
def two_arms():
    return arms({"old": [1.0] * 10 + [0.0] * 20, "new": [1.0] * 7 + [0.0] * 3})


@pytest.fixture(scope="module")
def report(two_arms):
    return plan_log(two_arms, discount=DISCOUNT, elsewhere="none", draws=4_000, calibration=0)


def test_the_gain_is_that_of_the_betas(report, two_arms):
    """Today the old arm is taken in three of four steps, and the difference of the arms in each of them is gained."""
    new, old = (stats.beta(*pair) for pair in report.tree["parameters/reward"].values[0])
    today = estimated_behaviour(two_arms, bm.mdp_from_log(two_arms, discount=DISCOUNT)).mean[0, 1]
    assert 0.7 < today < 0.8
    attrs, factor = report.tree.attrs, today / (1 - DISCOUNT)
    spread = factor * np.hypot(old.std(), new.std())
    assert attrs["initial_gain"] == pytest.approx(factor * (new.mean() - old.mean()), abs=4 * spread / 4_000**0.5)
    better, _ = integrate.quad(lambda x: new.pdf(x) * old.cdf(x), 0, 1)
    assert attrs["initial_better"] == pytest.approx(better, abs=4 * 0.5 / 4_000**0.5)
    worth = (today * old.mean() + (1 - today) * new.mean()) / (1 - DISCOUNT)
    assert attrs["initial_today"] == pytest.approx(worth, abs=0.02)
    lower, upper = attrs["initial_gain_lower"], attrs["initial_gain_upper"]
    assert lower < attrs["initial_gain_bound"] == report.gain < attrs["initial_gain"] < upper
    # By state it is the same, for there is one; and so is what its one departure is worth.
    for column, name in (("gain", ""), ("gain_lower", "_lower"), ("gain_upper", "_upper")):
        assert float(report.policy[column][0]) == pytest.approx(attrs[f"initial_gain{name}"], rel=1e-12)
    assert float(report.policy["departing"][0]) == pytest.approx(attrs["initial_gain"], abs=4 * spread / 4_000**0.5)
    assert float(report.policy["today"][0]) == pytest.approx(1 - today)


def test_the_first_lines_say_it(report, two_arms):
    text = " ".join(told(report).split())
    gain = report.tree.attrs["initial_gain_bound"]
    assert (
        f"better than today by at least {gain:#.4g}, compared with the policy in the log, with probability 0.9" in text
    )
    assert "today the policy in the log earns" in text and text.index("better than today by") < text.index(
        "pairs tried"
    )
    assert "in the middle 90% of draws, unchecked), and this policy" in text
    alone = plan_log(two_arms, discount=DISCOUNT, elsewhere="none", draws=20, calibration=0, baseline="none")
    assert not [name for name in alone.tree.attrs if "gain" in str(name) or "today" in str(name)]
    assert "better than" not in told(alone) and np.isnan(alone.gain)
    with pytest.raises(ValueError, match="a plan for the gain needs a baseline"):
        plan_log(two_arms, discount=DISCOUNT, baseline="none", aim="gain")


def test_doing_as_today_gains_nothing(two_arms):
    """Where today's policy is said to be the plan's own."""
    for baseline in ([[1.0, 0.0]], pd.DataFrame({"state": ["s"], "action": ["new"]})):
        options = {"elsewhere": "none", "draws": 50, "calibration": 3, "baseline": baseline}
        report = plan_log(two_arms, discount=DISCOUNT, **options)
        assert report.policy["action"].values.tolist() == ["new"] and report.gain == 0
        assert report.tree.attrs["initial_better"] == 0
        text = " ".join(told(report).split())
        assert "better than today no: the plan is to follow today's policy" in text
    # The interval of today's value is that of the draws, moved apart as far as the check says.
    attrs, drawn = report.tree.attrs, middle_of(report.tree["at_start"]["today"].values)
    wider = attrs["today_checked_wider"]
    assert (attrs["initial_today_lower"] + wider, attrs["initial_today_upper"] - wider) == pytest.approx(drawn)
    assert "with probability 0.9), and this policy" in text and attrs["today_checked_kept"] <= attrs["checked_logs"]


def test_large_rewards_that_are_the_same_gain_and_promise_nothing_by_rounding():
    rng = np.random.default_rng(0)
    state, action = rng.integers(3, size=61), rng.integers(2, size=60)
    walk = pd.DataFrame({"state": state[:-1], "action": action, "reward": 1e9 / 7, "next_state": state[1:]})
    report = plan_log(read_log(walk), draws=20, calibration=2)
    assert np.ptp(report.tree["at_start"]["value"].values) > 0
    assert (report.policy["better"] == 0).all() and "lowered" not in report.checked


def test_what_is_told_does_not_depend_on_the_unit_of_rewards():
    """Rewards of a billionth of a billionth are no rounding: each number is that of the log in a larger unit."""
    rng, unit = np.random.default_rng(0), 2.0**-60
    paid = {f"arm {i}": rng.normal(0, 1, 5) for i in range(12)}
    options = {"discount": DISCOUNT, "elsewhere": "none", "draws": 50, "calibration": 3}
    large, small = (
        plan_log(arms({name: (scale * values).tolist() for name, values in paid.items()}), **options)
        for scale in (1.0, unit)
    )
    told_of_both = [{name: of.tree.attrs[name] for name in ("checked_kept", "initial_better")} for of in (large, small)]
    assert told_of_both[0] == told_of_both[1]
    numbers = ("initial_bound", "initial_gain_bound", "initial_today_lower", "checked_lowered", "today_checked_wider")
    assert [small.tree.attrs[name] / unit for name in numbers] == pytest.approx(
        [large.tree.attrs[name] for name in numbers]
    )
    assert large.tree.attrs["checked_lowered"] > 0 and (small.policy["better"] == large.policy["better"]).all()


@pytest.mark.slow
def test_a_gain_that_luck_favours_is_lowered():
    """Twelve arms that pay alike: the best of twelve means is no gain over taking all of them in turn."""
    bounds, raw = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        log = arms({f"arm {i}": rng.normal(0, 1, 5).tolist() for i in range(12)})
        attrs = plan_log(log, discount=DISCOUNT, elsewhere="none", seed=seed, draws=100).tree.attrs
        raw.append(attrs["initial_gain_bound"] + attrs["gain_checked_lowered"])
        bounds.append(attrs["initial_gain_bound"])
        assert attrs["gain_checked_kept_lowered"] >= 0.9 * attrs["checked_logs"]
    # The truth is 0.
    assert max(raw) > 0.3 and max(bounds) < 0.1


@pytest.mark.parametrize("aim", [pytest.param("value", marks=pytest.mark.slow), "gain"])
def test_the_way_that_is_checked_is_the_way_of_the_plan(aim):
    """The same gain, up to Monte Carlo error, as `plan_log` finds by `infer`; and its check is told of the gain."""
    shop = bm.environments.inventory(5, discount=0.9, rescale=False)
    log = bm.collect(shop, policy="uniform", steps=300, seed=0)
    options = {"discount": 0.9, "rewards": "known", "elsewhere": "each", "aim": aim}
    report = plan_log(log, draws=2_000, calibration=0, **options)
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    made = make_prior("auto", log, problem, {}, rewards="known")
    truth = as_logged(made.experience.tries, problem.available)
    pipeline = Pipeline(problem, made.remade, bm.Quantile(0.1), 0.1, 2_000, Today(truth), aim, least_tries=2)
    said = promised(pipeline, made.experience, seed=0)
    attrs = report.tree.attrs
    spread = attrs["initial_gain_upper"] - attrs["initial_gain_lower"]
    assert left_quantile(said.gains, 0.1) == pytest.approx(report.gain, abs=0.1 * spread)
    # What is truly gained in a world is the difference of two values by an independent solver.
    for world in worlds_of(pipeline, made.experience):
        mdp = bm.MDP(transition=world.transition, reward=world.reward, discount=0.9)
        expected = float(bm.evaluate(mdp, truth).values @ problem.initial)
        assert true_worth(problem, world, truth) == pytest.approx(expected, rel=1e-10)
    few = pipeline._replace(draws=60)
    checked = calibrate(few, made.rows, made.scatter, recording=Recording(problem.initial, 0.0), logs=9, seed=0)
    assert checked.gain.kept <= checked.gain.kept_lowered <= checked.logs == 18
    # Values and gains are off by other amounts.
    assert checked.gain.by_world != checked.value.by_world and checked.gain.split != checked.value.split


def test_what_the_check_compares_is_the_true_gain(monkeypatch):
    """For one policy said to gain 3 of 10, whatever the log; values are by an independent solver."""
    shop = bm.environments.inventory(5, discount=0.9, rescale=False)
    log = bm.collect(shop, policy="uniform", steps=300, seed=0)
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    made = make_prior("auto", log, problem, {}, rewards="known")
    truth = as_logged(made.experience.tries, problem.available)
    today = Today(truth)
    pipeline = Pipeline(problem, made.remade, bm.Quantile(0.1), 0.1, 20, today)
    policy, believed = np.zeros(6, int), []

    def remembered(pipeline, experience):
        believed.append((experience, worlds_of(pipeline, experience)))
        return believed[-1][1]

    monkeypatch.setattr(calibration, "promised", lambda *_: Promise(policy, np.full(20, 10.0), np.full(20, 3.0)))
    monkeypatch.setattr(calibration, "worlds_of", remembered)
    checked = calibrate(pipeline, made.rows, made.scatter, recording=Recording(problem.initial, 0.0), logs=9, seed=0)

    def gains(world, behaviour):
        mdp = bm.MDP(transition=world.transition, reward=world.reward, discount=0.9)
        own, other = (bm.evaluate(mdp, each).values @ problem.initial for each in (policy.tolist(), behaviour))
        return own, own - other

    (_, worlds), *halves = believed
    for world in worlds:
        own, gain = gains(world, truth)
        assert checked.value.by_world[world.name][1] == pytest.approx(10 - own, rel=1e-9)
        assert checked.gain.by_world[world.name][1] == pytest.approx(3 - gain, rel=1e-9)
    assert len(halves) == 9
    over = []
    for half, (_, world) in halves:
        available, _ = open_actions(half.tries > 0, problem.terminal)
        own, gain = gains(world, behaviour_of(half.tries, available).mean)
        over.append((10 - own, 3 - gain))
    assert (checked.value.split, checked.gain.split) == pytest.approx(tuple(np.mean(over, axis=0) / 2**0.5), rel=1e-9)
    assert checked.gain.lowered == pytest.approx(
        max(0, *(excess for _, excess in checked.gain.by_world.values())) + max(0, checked.gain.split)
    )


def test_the_chance_counts_excesses_below_what_is_said():
    """Less what the halves say too much, one more log than there are, and the smaller of two worlds."""
    few = Checked(0, 0.0, 0, {}, 0.25, np.array([[0.0, 1.0, 2.0], [0.1, 0.2, 0.3]]))
    assert few.chance(1.5) == pytest.approx(2 / 4) and few.chance(1.2) == pytest.approx(1 / 4)
    assert few.chance(-1) == 0 and few.chance(9) == pytest.approx(3 / 4)


def test_an_interval_goes_apart_until_it_held_the_truth_of_nine_logs_in_ten():
    """In one world the truth lies .0, .1, ..., 1.9 beyond an end; 19 of 20 logs are asked for, so 1.8."""
    draws = np.arange(20.0)
    assert middle_of(draws) == (0, 18)
    beyond = [18 + 0.1 * k if k % 2 else -0.1 * k for k in range(20)]
    errors = [LogErrors.of(draws + 1, np.ones(20), 0.0, truth, 0.1) for truth in [*np.full(20, 9.0), *beyond]]
    told = judge_errors(errors, ["inside", "beyond"], (0.0, 0.0), 0.1, compared=True).today
    assert told.kept == 21 and told.wider == pytest.approx(1.8)
    assert judge_errors(errors[:20], ["inside"], (0.0, 0.0), 0.1, compared=True).today == CheckedInterval(20, 0.0)
    assert judge_errors(errors, ["inside", "beyond"], (0.0, 0.0), 0.1, compared=False).today is None
    # Both ends go outwards, the lower one not below what any policy earns.
    said, alike = Promise(np.zeros(1), draws + 1, np.ones(20)), Checked(0, 0.0, 0, {}, 0.0, np.zeros((1, 9)))
    for least, low in ((-np.inf, -1.8), (-1.0, -1.0)):
        moved = told_at_start(said, 0.1, Calibration(20, alike, alike, told), least=least)
        assert (moved["initial_today_lower"], moved["initial_today_upper"]) == pytest.approx((low, 19.8))


def test_a_plan_for_the_gain_stays_where_the_log_does_not_tell():
    """In the first state the new arm is better beyond doubt, in the second it was tried twice with luck."""
    rng = np.random.default_rng(1)
    rows = [("sure", "old", paid) for paid in rng.normal(0, 1, 100)]
    rows += [("sure", "new", paid) for paid in rng.normal(2, 1, 50)]
    rows += [("thin", "old", paid) for paid in rng.normal(0, 1, 60)] + [("thin", "new", -4.0), ("thin", "new", 5.0)]
    order = rng.permutation(len(rows))
    frame = pd.DataFrame([rows[i] for i in order], columns=["state", "action", "reward"])
    log = read_log(frame.assign(next_state=rng.choice(["sure", "thin"], len(frame))), gaps="allow")
    report = plan_log(log, discount=0.9, risk="cvar:0.1", aim="gain", initial="sure", calibration=0)
    probability = report.tree["plan"]["probability"]
    assert float(probability.sel(state="sure", action="new")) > 0.95
    assert float(probability.sel(state="thin", action="old")) > 0.5
    assert report.tree.attrs["aim"] == "gain" and "cvar:0.1 of the gain" in report.tree.attrs["risk"]
    text = " ".join(told(report).split())
    assert "if only the most probable actions are taken" in text
    # The table has the worth of each departure, by other draws and one state at a time.
    assert (
        float(report.policy["departing"].sel(state="sure"))
        > 1
        > abs(float(report.policy["departing"].sel(state="thin")))
    )


def test_what_each_departure_is_worth_is_the_difference_of_two_policies():
    river = bm.environments.riverswim(6)
    log = bm.collect(river, policy=[[0.3, 0.7]] * 6, steps=500, seed=0)
    report = plan_log(log, discount=0.9, draws=50, calibration=0, rewards="known")
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    fresh = bm.draw(report.tree, 50, seed=1, model=make_prior("auto", log, problem, {}, rewards="known").model)
    today = estimated_behaviour(log, problem).mean
    chosen = np.eye(2)[[problem.action_index(label) for label in report.tree["plan"]["policy"].values.tolist()]]
    whole = bm.value_draws(fresh, problem, chosen).values @ problem.initial
    for state in range(6):
        other = chosen.copy()
        other[state] = today[state]
        lost = float((whole - bm.value_draws(fresh, problem, other).values @ problem.initial).mean())
        assert float(report.policy["departing"][state]) == pytest.approx(lost, rel=1e-8, abs=1e-12)


CORRIDOR = read_log(
    pd.DataFrame(
        [("a", "go", 0.0, "b"), ("a", "stay", 0.0, "a"), ("b", "go", 1.0, "a")] * 3,
        columns=["state", "action", "reward", "next_state"],
    ),
    gaps="allow",
)


def table(*rows, columns=("state", "action", "probability")):
    return pd.DataFrame(rows, columns=list(columns))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (table(("a", "go"), columns=("state", "move")), "the behaviour has no column 'action'; it has state, move"),
        (table(("c", "go", 1)), "the behaviour names 'c' in row 0, which is no state of the log"),
        (table(("a", "fly", 1)), "the behaviour names 'fly' in row 0, which is no action of the log"),
        (table(("a", "go", "half")), "the behaviour's probability in row 0 is 'half'; it must be from 0 to 1"),
        (table(("a", "go", ""), ("b", "go", 1)), "probability in row 0 is ''; it must be from 0 to 1"),
        (table(("b", "go", 1), ("a", "go", -0.1)), "probability in row 1 is .*; it must be from 0 to 1"),
        (table(("a", "go", 0.5), ("a", "go", 0.5)), "state 'a', action 'go' is listed more than once"),
        (
            table(("b", "stay", 0.25)),
            "state 'b', action 'stay' has probability 0.25, but the log never tried it there",
        ),
        (table(("a", "go", 1)), "state 'b' is missing; give an action for each state"),
        (table(("a", "go", 0.5), ("b", "go", 1)), "state 'a' has probabilities that sum to 0.5, not 1"),
    ],
)
def test_what_is_no_behaviour_is_refused(said, message):
    with pytest.raises(ValueError, match=message):
        plan_log(CORRIDOR, discount=DISCOUNT, baseline=said)


def test_a_behaviour_is_read_by_how_labels_are_written():
    mdp = bm.mdp_from_log(CORRIDOR, discount=DISCOUNT)
    tries = added_up(make_prior("auto", CORRIDOR, mdp, {}).rows, mdp).tries
    told = said_behaviour(table(("a", "go", "0.25"), ("a", "stay", 0.75), ("b", "go", 1)), mdp, tries)
    assert told.tolist() == [[0.25, 0.75], [1, 0]]
    assert said_behaviour(table(("a", "stay", 1), ("b", "go", 1)).drop(columns="probability"), mdp, tries).tolist() == [
        [0, 1],
        [1, 0],
    ]
    # Where the log never acted it may be left out, and any action is as likely.
    unseen = read_log(pd.DataFrame({"state": ["a"], "action": ["go"], "reward": 0.0, "next_state": ["b"]}))
    few = bm.mdp_from_log(unseen, discount=DISCOUNT)
    assert said_behaviour(table(("a", "go", 1)), few, np.array([[1.0], [0.0]])).tolist() == [[1], [1]]


@pytest.mark.parametrize(
    "options",
    [
        {"baseline": None},
        {"baseline": "logged"},
        {"aim": "regret"},
        {"aim": "gain", "quantile": "exact", "initial": "a"},
    ],
)
def test_what_is_not_known_is_refused(options):
    with pytest.raises(ValueError, match=r"baseline must be|aim must be|no exact quantile"):
        plan_log(CORRIDOR, discount=DISCOUNT, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discount": DISCOUNT}, "needs to know where episodes start, and the log does not show it: use initial=STATE"),
        ({"horizon": 3, "initial": "a"}, "needs a discount: leave the horizon out, or use aim='value'"),
    ],
)
def test_where_there_is_no_gain_to_plan_for(options, message):
    with pytest.raises(ValueError, match=message):
        plan_log(CORRIDOR, aim="gain", draws=50, **options)


def test_a_sure_gain_is_told_as_such_and_what_today_is_leaves_doubt():
    """The good arm, taken in 30 of 40 steps, pays 1 and the bad one 0: what is gained is the share of the bad one."""
    log = arms({"good": [1.0] * 30, "bad": [0.0] * 10})
    report = plan_log(log, discount=DISCOUNT, elsewhere="none", rewards="known", draws=2_000, calibration=0)
    attrs = report.tree.attrs
    concentration = behaviour_of(np.array([[10.0, 30.0]]), np.ones((1, 2), bool)).concentration[0]
    bad = stats.beta(*concentration) if report.tree["problem"]["action"].values[0] == "bad" else None
    assert attrs["initial_gain_bound"] == pytest.approx(bad.ppf(0.1) / (1 - DISCOUNT), abs=0.03)
    assert attrs["initial_gain"] == pytest.approx(bad.mean() / (1 - DISCOUNT), abs=0.01)
    assert attrs["initial_better"] == 1 and attrs["initial_unchanged"] == 0
    # With next to no doubt of today a gain that is the same in all draws is still one.
    said = plan_log(
        log, discount=DISCOUNT, elsewhere="none", rewards="known", draws=20, calibration=3, baseline="uniform"
    )
    assert (
        said.tree.attrs["initial_gain_upper"]
        == pytest.approx(said.tree.attrs["initial_gain_lower"])
        == pytest.approx(1)
    )
    assert "by at least 1.000, compared with today's policy" in " ".join(told(said).split())


def test_from_the_command_line(tmp_path, two_arms):
    two_arms.to_dataframe().to_csv(tmp_path / "arms.csv", index=False)
    table(("s", "old", 0.5), ("s", "new", 0.5)).to_csv(tmp_path / "today.csv", index=False)
    common = ("--draws", 60, "--discount", DISCOUNT, "--no-calibration", "--gaps", "allow", "--start", "s")
    options = (*common, "--aim", "gain", "--baseline", tmp_path / "today.csv")
    shown, _ = call("plan", tmp_path / "arms.csv", *options, "--out", tmp_path / "plan.nc")
    text = " ".join(shown.split())
    assert "compared with today's policy, with probability 0.9" in text and "quantile:0.1 of the gain" in text
    policy = pd.read_csv(tmp_path / "plan.csv", index_col="state")
    assert policy.loc["s", ["probability of new", "probability of old"]].sum() == pytest.approx(1)
    for wrong, message in (
        (("--aim", "most"), "aim must be 'value' or 'gain'; got 'most'"),
        (("--baseline", tmp_path / "none.csv"), "--baseline: no file"),
        (("--aim", "gain", "--baseline", "none"), "a plan for the gain needs a baseline; --baseline 'none' leaves"),
        (("--aim", "gain", "--quantile", "exact"), "has no exact quantile: use --quantile 'draws'"),
    ):
        _, error = call("plan", tmp_path / "arms.csv", *common, *wrong, "--out", tmp_path / "no.nc", code=2)
        assert message in " ".join(error.split())


def test_no_more_is_lost_than_what_is_earned_today():
    """Where no policy earns less than 0: of 20 draws of what today earns one is above 19, so 19 are lost at most."""
    today = np.arange(1.0, 21.0)
    said = Promise(np.zeros(1), today + 1, np.ones(20))
    far = Checked(0, 100.0, 0, {}, 0.0, np.zeros((1, 9)))
    told = told_at_start(said, 0.1, Calibration(20, far, far, None), least=0.0)
    assert told["initial_bound"] == told["checked_least"] == 0
    assert told["initial_gain_bound"] == told["gain_checked_least"] == -19
    near = told_at_start(said, 0.1, Calibration(20, far, far._replace(lowered=3.0), None), least=0.0)
    assert near["initial_gain_bound"] == -2 and "gain_checked_least" not in near
    unknown = told_at_start(said, 0.1, Calibration(20, far, far, None))
    assert unknown["initial_gain_bound"] == -99 and "gain_checked_least" not in unknown
