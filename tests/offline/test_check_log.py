"""Checks of a log: their statistics against definitions, faults that are found, clean logs that stay quiet."""

import itertools
import re

import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.logs.log import make_log
from bayesmdp.offline.check_log import CHECKS, check_log
from bayesmdp.offline.dependence import Grouped, p_value
from bayesmdp.offline.hidden_cause import FEATURES, cause_statistics
from bayesmdp.offline.reward_checks import Residuals
from bayesmdp.offline.steps import steps_of
from bayesmdp.posterior.dirichlet_evidence import WEIGHTS
from bayesmdp.studies.second_opinions import FAULTS, Kind, log_and_problem
from tests.statistical import assert_means, assert_p_value

RNG = np.random.default_rng(0)
GROUP, CONTEXT, OUTCOME = RNG.integers(3, size=60), RNG.integers(4, size=60), RNG.integers(5, size=60)
OUTCOME[GROUP == 2] = 4  # showed one outcome only


def likelihood(group, context, outcome):
    """Log likelihood of outcomes by group and context less that by group, at the frequencies of each."""
    total = 0.0
    for row in range(len(group)):
        for sign, by_context in ((1, True), (-1, False)):
            same = (group == group[row]) & ((context == context[row]) | (not by_context))
            total += sign * np.log((outcome[same] == outcome[row]).mean())
    return total


def test_likelihood_ratios_are_those_of_the_definition():
    """Up to what no permutation changes, so that differences are compared."""
    grouped = Grouped(GROUP, OUTCOME)
    np.testing.assert_array_equal(np.sort(grouped.rows), np.flatnonzero(GROUP != 2))
    orders = list(grouped.within(np.random.default_rng(1), 3))
    found = grouped.ratios(CONTEXT[grouped.rows], orders)
    group, context, outcome = (column[grouped.rows] for column in (GROUP, CONTEXT, OUTCOME))
    for order in orders:
        np.testing.assert_array_equal(group[order], group)
    truth = [likelihood(group, context, outcome[order]) for order in (np.arange(len(group)), *orders)]
    np.testing.assert_allclose(found - found[0], np.array(truth) - truth[0], atol=1e-10)

    piece = np.arange(60) // 6
    later = np.array([[half in chosen for half in range(10)] for chosen in ((5, 6, 7, 8, 9), (0, 2, 5, 6, 8))])
    halves = grouped.ratios_of_halves(later, piece)
    truth = [likelihood(group, half[piece][grouped.rows], outcome) for half in later]
    assert halves[1] - halves[0] == pytest.approx(truth[1] - truth[0], abs=1e-10)


def test_the_bayes_factor_is_that_of_urns():
    """Each outcome given those before it, by Pólya's urn, averaged over weights."""

    def evidence(rows):
        by_weight = []
        for weight in WEIGHTS:
            urns, total = {}, 0.0
            for group, row, outcome in rows:
                kinds = sorted({o for g, _, o in rows if g == group})
                urn = urns.setdefault((group, row), dict.fromkeys(kinds, weight / len(kinds)))
                total += np.log(urn[outcome] / sum(urn.values()))
                urn[outcome] += 1
            by_weight.append(total)
        return np.logaddexp.reduce(by_weight) - np.log(len(WEIGHTS))

    columns = GROUP.tolist(), CONTEXT.tolist(), OUTCOME.tolist()
    apart = evidence(list(zip(*columns, strict=True)))
    alike = evidence([(group, 0, outcome) for group, _, outcome in zip(*columns, strict=True)])
    grouped = Grouped(GROUP, OUTCOME)
    assert grouped.log_bayes_factor(CONTEXT[grouped.rows]) == pytest.approx(apart - alike, rel=1e-10)


def test_the_p_value_of_all_permutations_is_fishers():
    """Of a table of 2 by 2, where the share of permutations is the sum of hypergeometric probabilities."""
    context, outcome = np.repeat([0, 1], [3, 4]), np.array([0, 0, 0, 0, 1, 1, 1])
    grouped = Grouped(np.zeros(7, int), outcome)
    every = [np.array(order) for order in itertools.permutations(range(7))]
    told = p_value(grouped.ratios(context, every)[:, None])
    table = [[3, 0], [1, 3]]
    assert told == pytest.approx(stats.fisher_exact(table).pvalue, abs=1e-3)  # the data count once more


def test_statistics_of_rewards_are_those_of_the_definition():
    rng = np.random.default_rng(2)
    transition = rng.integers(4, size=80)
    transition[:2] = 90, 91  # seen once
    reward = rng.normal(size=80) + transition
    residuals = Residuals(transition, transition // 2, reward)
    piece, later = np.arange(80) // 8, np.array([np.arange(10) >= 5, np.arange(10) % 2 == 0])
    size = np.sqrt(sum(reward[transition == own].var() * (transition == own).sum() for own in range(4)) / 78)
    for draw, half in zip(residuals.drift(later, piece), later, strict=True):
        sums, variances = [], []
        for own in range(4):
            rows = transition == own
            off, is_later = reward[rows] - reward[rows].mean(), half[piece][rows]
            sums.append(off[is_later].sum())
            variances.append(is_later.sum() * (~is_later).sum() / rows.sum())
        truth = [sum(sums) ** 2 / sum(variances), (np.array(sums) ** 2 / variances).sum()]
        np.testing.assert_allclose(draw, np.array(truth) / size**2, rtol=1e-10)
    off = np.concatenate([reward[transition == own] - reward[transition == own].mean() for own in range(4)])
    pair = np.repeat([0, 0, 1, 1], [(transition == own).sum() for own in range(4)])
    scaled = np.concatenate(
        [off[pair == own] ** 2 / ((off[pair == own] ** 2).sum() / ((pair == own).sum() - 2)) for own in (0, 1)]
    )
    assert residuals.largest_share() == pytest.approx(scaled.max() / scaled.sum(), rel=1e-10)
    assert not Residuals(transition, transition // 2, 1.0 * transition).scatter


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_told(fault):
    log, _, _ = log_and_problem(
        np.random.default_rng([4, 43]), Kind("end", 600 if fault == "hidden cause" else 300, fault=fault)
    )
    told = check_log(log, permutations=239)
    own = told.sel(check=fault)
    assert bool(own["alarm"]) and float(own["p_adjusted"]) <= 0.05
    assert str(own["remedy"].values) and str(own["meaning"].values)
    # A fault may show in another check, but not in one that looks elsewhere.
    related = {
        "reward tails": {"reward drift"},
        "order": {"hidden cause"},
        "hidden cause": {"order", "dynamics drift", "behaviour drift"},
    }
    alarms = set(told["check"].values[told["alarm"].values].tolist())
    assert alarms <= {fault} | related.get(fault, set())
    quiet = told["remedy"].values[~told["alarm"].values]
    assert (quiet == "").all()


@pytest.mark.slow
def test_a_dependence_that_the_log_is_too_short_to_learn_is_an_alarm_and_told_as_such():
    """Rows that hang on one bit of the state before: the Bayes factor is of five rows in the place of two."""
    log, _, _ = log_and_problem(np.random.default_rng([0, 43]), Kind("end", 300, fault="order"))
    told = check_log(log, permutations=239).sel(check="order")
    assert bool(told["alarm"]) and float(told["statistic"]) < 0
    found = str(told["found"].values)
    assert re.fullmatch(
        r"dependence on the previous (state|action): p 0\.0\d+, log Bayes factor -[\d.]+ "
        r"\(the log is too short to learn separate dynamics for each\)",
        found,
    )
    clean, _, _ = log_and_problem(np.random.default_rng([1, 43]), Kind("end", 300))
    quiet = check_log(clean, permutations=239).sel(check="order")
    assert "too short" not in str(quiet["found"].values) and not quiet["alarm"]


@pytest.mark.parametrize("number", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_a_clean_log_alarms_as_often_as_is_said(number):
    """Of clean logs of three kinds .05 may alarm, by the binomial distribution."""
    kinds = [Kind("end", 100), Kind("cut", 60), Kind("one", 100)]
    alarms = sum(
        bool(check_log(log_and_problem(np.random.default_rng([seed, 47]), kind)[0], permutations=239)["alarm"].any())
        for kind in kinds
        for seed in range(number)
    )
    assert_p_value(stats.binomtest(alarms, 3 * number, 0.05, alternative="greater").pvalue)


def test_a_hidden_cause_is_asked_by_earlier_actions():
    """The sum over pieces and steps of the definition, with every entry of x and y; and under other signs."""
    rng = np.random.default_rng(5)
    visited, action = rng.integers(2, size=(12, 5)), rng.integers(2, size=48)
    state, after = visited[:, :-1].ravel(), visited[:, 1:].ravel()
    last = np.arange(48) % 4 == 3
    log = make_log(bm.MDP(reward=np.zeros((2, 2)), discount=0.9), state, action, 0.0 * state, after, None, last)
    steps = steps_of(log, bm.MDP(reward=np.zeros((2, 2)), discount=0.9))
    pair = 2 * state + action
    x, y = np.eye(4)[pair], np.eye(8)[2 * pair + after]
    x -= np.array([x[state == own].mean(0) for own in range(2)])[state]
    y -= np.array([y[pair == own].mean(0) for own in range(4)])[pair]
    products = np.zeros((12, 4, 8))
    for row in range(48):
        first = row - row % 4
        if row > first:
            products[row // 4] += np.outer(x[first:row].sum(0), y[row]) / np.sqrt(row - first)
    # Features are random: their inner products are those of x and y on average.
    many = np.array([cause_statistics(steps, np.random.default_rng(seed), 60) for seed in range(80)]) / FEATURES**2
    assert_means(many[:, 0], (products.sum(0) ** 2).sum(), "the log's")
    assert_means(many[:, 1:].mean(-1), (products**2).sum(), "under random signs")


def chain_log():
    """From a two ways to b, one tried four times; b goes back."""
    steps = [(0, 0, 1), (1, 0, 0)] * 20 + [(0, 1, 1), (1, 0, 0)] * 4
    state, action, after = np.array(steps).T
    mdp = bm.MDP(reward=np.zeros((2, 2)), discount=0.8)
    return make_log(mdp, state, action, 1.0 * after, after), mdp


def test_the_share_that_rests_on_few_tries_is_summed():
    """The policy takes the way of four tries with probability .25 each time that it is in a."""
    log, mdp = chain_log()
    told = check_log(log, [[0.75, 0.25], [1.0, 0.0]], mdp=mdp).sel(check="few tries")
    known = sum(0.8**time * 0.75 ** (time // 2 + 1) for time in range(400))
    assert float(told["statistic"]) == pytest.approx(1 - known / 5, rel=1e-9) and bool(told["alarm"])
    assert np.isnan(told["p_value"])
    place = mdp.actions[1], mdp.states[0]
    assert told["found"].item().endswith("fewer than 5 times, first of all {!r} in {!r} (tried 4 times)".format(*place))
    three = mdp.replace(reward=np.zeros((2, 3)), actions=[*mdp.actions, "new"], available=None)
    told = check_log(log, [[0.5, 0.1, 0.4], [1.0, 0.0, 0.0]], mdp=three).sel(check="few tries")
    assert told["found"].item().endswith(f"first of all actions never tried in {mdp.states[0]!r}")
    often = check_log(log, [0, 0], discount=0.8).sel(check="few tries")
    assert float(often["statistic"]) == 0 and not often["alarm"]


def test_what_cannot_be_asked_is_said():
    log, mdp = chain_log()
    told = check_log(log, mdp=mdp)
    assert told["found"].sel(check="few tries").item().startswith("not tested: it takes one policy for all steps")
    assert not told["alarm"].any()
    mixed = check_log(log.assign_attrs(ordered=0), mdp=mdp)["found"]
    assert mixed.sel(check="order") == "not tested: no row continues the one before"
    assert mixed.sel(check="dynamics drift") == "not tested: the rows of the log are not in order"
    one = check_log(log.isel(step=[0]), mdp=mdp)
    assert (
        one["p_value"].isnull().all() and one["found"].sel(check="reward drift") == "not tested: the log is too short"
    )
    assert told["check"].values.tolist() == list(CHECKS)
    assert check_log(log).drop_attrs().equals(told.drop_attrs())


def test_drift_of_rewards_needs_no_unit_and_tells_transitions_apart():
    mdp = bm.MDP(reward=np.zeros((5, 2)), discount=0.8)
    rng = np.random.default_rng(3)
    state, action = rng.integers(2, size=(2, 40))
    reward = rng.normal(size=40) + np.repeat([0.0, 2.0], 20)

    def drift(*columns):
        return check_log(make_log(mdp, *columns), mdp=mdp, permutations=119).sel(check="reward drift")

    told = [float(drift(state, action, unit * reward, 1 - state)["p_value"]) for unit in (1.0, 1e-9)]
    assert told[0] == told[1] < 0.05
    # Four rows, fewer than states, of four transitions.
    few = drift(np.array([0, 4, 1, 0]), np.zeros(4, int), np.arange(4.0), np.array([4, 1, 0, 2]))
    assert few["found"] == "every repeated transition had the same reward"


LOG, PROBLEM = chain_log()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "uniform"}, "give either mdp, .* got neither"),
        ({"policy": np.zeros(5, int)}, "give either mdp, .* got neither"),
        ({"mdp": PROBLEM, "discount": 0.9}, "give either mdp, .* got both"),
        ({"policy": "best", "mdp": PROBLEM}, "the only policy with a name is 'uniform'"),
        ({"policy": "uniform", "mdp": PROBLEM.replace(discount=None, horizon=3)}, "mdp has a horizon, so its policies"),
        ({"policy": "uniform", "mdp": PROBLEM.replace(discount=None)}, "mdp has no discount; give"),
        ({"level": 0.0}, "level"),
        ({"permutations": 118}, "permutations must be an integer of at least 119; got 118"),
        ({"seed": -1}, "seed"),
        ({"mdp": bm.MDP(reward=np.zeros((1, 2)), discount=0.9)}, "log state at step 1 is 1, which is no state"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_log(LOG, **options)
