"""A few pairs of each state stand for all: the same plans and values, of the same draws, and the same check."""

import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.offline.behaviour import Today, today_of
from bayesmdp.offline.calibration import calibrate
from bayesmdp.offline.logs_alike import Recording
from bayesmdp.offline.named_prior import make_prior
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.offline.promise import Pipeline, promised
from bayesmdp.offline.tried_pairs import Pairs, few_pairs
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.table_plan import solve_draws
from bayesmdp.planning.values_over_draws import values_of_each, values_under
from tests.statistical import assert_means, assert_p_value

TWELVE = bm.environments.garnet(30, 12, 4, seed=1, discount=0.9)


@pytest.fixture(scope="module", params=["mean", "least"])
def asked(request):
    """A log of 30 states by a behaviour that tries a few of twelve actions, and the pairs that may be taken."""
    rng = np.random.default_rng(0)
    policy = np.zeros((30, 12))
    for state in range(28):  # two states are entered at most
        policy[state, rng.choice(12, rng.integers(1, 6), replace=False)] = 1
    policy[28:, 0] = 1
    policy /= policy.sum(-1, keepdims=True)
    log = bm.collect(TWELVE, policy=policy, steps=400, seed=0)
    left = ~np.isin(log["state"].values, TWELVE.states[28:])
    log = log.isel(step=left).assign_attrs(ordered=0)
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere=request.param)
    made = make_prior("auto", log, problem, {})
    tries = made.experience.tries
    untold = ~tries.any(-1)
    available = (tries > 0) | untold[:, None]
    assert untold.sum() >= 1 and (tries > 0).sum(-1).max() <= 8
    return log, problem, made, available, untold


of_one = pytest.mark.parametrize("asked", ["mean", pytest.param("least", marks=pytest.mark.slow)], indirect=True)
by_log_alone = pytest.mark.parametrize("asked", ["mean"], indirect=True)


@of_one
def test_the_same_draws_have_the_same_values_and_the_same_plan(asked):
    """Apart from states never acted in, where the first few actions stand for the others."""
    _, problem, made, available, untold = asked
    available = available & ~(untold[:, None] & (np.arange(12) >= 8))
    arrays = problem.problem._replace(available=available)
    few, rng = few_pairs(arrays, untold, problem.available), np.random.default_rng(1)
    assert few.listed.shape == (30, 8)
    assert all(set(np.flatnonzero(available[s])) <= set(few.listed[s].tolist()) for s in range(30))
    remade = made.for_other_logs(problem)
    every = Pairs(arrays).draws(remade, remade.posterior(made.experience), problem.reward, 40, 0)
    own = Draws(*(np.moveaxis(few.of(np.moveaxis(array, -1, 0)), 0, -1) for array in every))
    share = rng.random((40, 30, 12)) * available
    share /= share.sum(-1, keepdims=True)
    whole = solve_draws(arrays, every, bm.Quantile(0.1), 1e-10, 10_000, solver="policy_iteration")
    listed = solve_draws(few.problem, own, bm.Quantile(0.1), 1e-10, 10_000, solver="policy_iteration")
    policy = few.as_actions(np.asarray(listed.policy))
    told = ~untold
    np.testing.assert_array_equal(policy[told], np.asarray(whole.policy)[told])
    np.testing.assert_allclose(listed.value, whole.value, rtol=1e-9)
    of_one = values_under(few.problem, own, few.as_choices(policy)), values_under(arrays, every, policy)
    of_each = values_of_each(few.problem, own, few.as_choices(share)), values_of_each(arrays, every, share)
    for ours, theirs in (of_one, of_each):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_draws_of_a_few_are_those_of_their_rows(asked):
    _, problem, made, available, untold = asked
    few = few_pairs(problem.problem._replace(available=available), untold, available)
    remade = made.for_other_logs(problem)
    parameters = remade.posterior(made.experience)
    drawn = few.draws(remade, parameters, problem.reward, 4_000, seed=3)
    mean = remade.means(parameters)["transition"]
    state, choice = np.nonzero(few.problem.available)
    assert_means(drawn.transition[:, state, choice], mean[state, few.listed[state, choice]], "transition")
    assert not drawn.transition[:, ~few.problem.available].any()


def test_a_state_never_acted_in_does_what_is_listed_of_it(asked):
    _, problem, _, available, untold = asked
    first = np.zeros((30, 12), bool)
    first[:, [3, 9]] = True
    few = few_pairs(problem.problem._replace(available=available), untold, first)
    assert few.listed.shape == (30, 8) and few.listed[untold, :2].tolist() == [[3, 9]] * untold.sum()
    policy = np.tile(np.eye(12)[[11, 9]].mean(0), (30, 1))
    of_choices = few.as_choices(policy)[untold]
    assert (of_choices == np.eye(8)[1]).all()  # 11 is not listed
    every = few.as_choices(np.tile(np.eye(12)[11], (30, 1)))
    np.testing.assert_array_equal(every[untold], np.full((untold.sum(), 8), 1 / 8))


def test_ends_of_episodes_do_not_lengthen_the_lists():
    ice = bm.environments.frozen_lake().with_successors()
    available = np.eye(4, dtype=bool)[np.zeros(16, int)] | ice.terminal[:, None]
    wider = ice.problem._replace(available=np.concatenate([available, available], 1))
    wider = wider._replace(reward=np.tile(ice.reward, (1, 2, 1)), successor=np.tile(ice.successor, (1, 2, 1)))
    assert few_pairs(wider, np.zeros(16, bool), wider.available).listed.shape == (16, 4)


@by_log_alone
@pytest.mark.parametrize("reward", [1.0, -1.0])
@pytest.mark.parametrize("today", ["log", "uniform", "table"])
def test_what_is_said_to_be_done_keeps_its_weight(asked, today, reward, monkeypatch):
    """Each step pays the same, so that every policy earns ten times that, also by actions that were never tried."""
    log, *_ = asked
    every = np.ones(log.sizes["step"])
    log = log.assign(reward=("step", reward * every), terminated=("step", every < 0))
    problem = bm.mdp_from_log(log, discount=0.9)
    made, rows = make_prior("auto", log, problem, {}), bm.compress(log, problem)
    said = np.eye(12)[np.where(problem.available.any(-1), problem.available.argmin(-1), 0)]
    baseline = today_of(said if today == "table" else today, rows, problem.replace(available=np.ones((30, 12), bool)))
    options = {"least_tries": made.least_tries(), "today": baseline}
    monkeypatch.setattr("bayesmdp.offline.promise.LARGE", 1)
    pipeline = Pipeline(problem, made.for_other_logs(problem), bm.Quantile(0.1), 0.1, 70, **options)
    told = promised(pipeline, made.experience, seed=0)
    assert pipeline.by_few and told.values.shape == (60,)
    np.testing.assert_allclose(told.values, 10 * reward, rtol=1e-6)
    np.testing.assert_allclose(told.gains, 0, atol=1e-5)


@of_one
def test_large_problems_are_checked_by_a_few_pairs(asked, monkeypatch):
    """The same policy, worth the same up to Monte Carlo error, as by all pairs."""
    _, problem, made, *_ = asked
    # What is said to be done takes actions that the log never tried.
    said = Today(np.where(np.arange(12) % 3 == 0, 1 / 4, np.zeros((30, 1))), said=True)
    options = {"draws": 1_000, "least_tries": made.least_tries(), "today": said}
    pipeline = Pipeline(problem, made.for_other_logs(problem), bm.Quantile(0.1), 0.1, **options)
    whole = promised(pipeline, made.experience, seed=0)
    monkeypatch.setattr("bayesmdp.offline.promise.LARGE", 1)
    monkeypatch.setattr("bayesmdp.offline.promise.JUDGES", 1_000)
    assert pipeline.by_few
    few = promised(pipeline, made.experience, seed=0)
    told = made.experience.tries.any(-1)
    assert (few.policy != whole.policy)[told].mean() < 0.1
    for ours, theirs in ((few.values, whole.values), (few.values - few.gains, whole.values - whole.gains)):
        assert_p_value(stats.ks_2samp(ours, theirs).pvalue)
    # Logs like this one are planned for by a few pairs too, and the policy valued in worlds that have them all.
    recording = Recording(problem.initial, 0.0)
    checked = calibrate(pipeline, made.rows, made.scatter, recording=recording, logs=1, seed=0)
    assert checked.logs == 2 and checked.value.kept <= 2 and checked.gain.kept <= 2


@pytest.mark.slow
@by_log_alone
def test_a_report_on_a_large_problem_says_what_the_check_found(asked, monkeypatch):
    for place in ("promise", "at_start"):
        monkeypatch.setattr(f"bayesmdp.offline.{place}.LARGE", 1)
    said = {"draws": 40, "calibration": 9, "elsewhere": "mean", "initial": TWELVE.states[0]}
    attrs = plan_log(asked[0], discount=0.9, **said).tree.attrs
    assert attrs["checked_logs"] == 18 and "unchecked" not in attrs and attrs["gain_checked_kept"] <= 18
