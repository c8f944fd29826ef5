"""Bayes-optimal values and Gittins indices against recursion over histories, each other, and published tables."""

import numpy as np
import pytest

import bayesmdp as bm

# Gittins (1989), table of indices of the Beta(a, b) arm at discount .9, rows a = 1..4, columns b = 1..3.
PUBLISHED = [[0.7029, 0.5001, 0.3796], [0.8001, 0.6346, 0.5163], [0.8452, 0.7072, 0.6010], [0.8723, 0.7539, 0.6579]]


def by_histories(mdp, alpha, steps, state, choose=None):
    """The value of the next `steps` steps by recursion over all histories, in Python, sharing nothing."""
    if steps == 0 or mdp.terminal[state]:
        return 0.0
    actions = np.flatnonzero(mdp.available[state])
    worth = []
    for action in actions if choose is None else [choose(state, alpha)]:
        total = 0.0
        for outcome in np.flatnonzero(alpha[state, action]):
            after, seen = mdp.successor[state, action, outcome], alpha.copy()
            seen[state, action, outcome] += 1
            reward = mdp.reward[state, action, outcome % mdp.reward.shape[-1]]
            value = reward + (mdp.discount or 1) * by_histories(mdp, seen, steps - 1, after, choose)
            total += alpha[state, action, outcome] / alpha[state, action].sum() * value
        worth.append(total)
    return max(worth)


def small(seed):
    """A problem with certain rows, impossible outcomes, outcomes that say the same, an end, an action missing."""
    rng = np.random.default_rng(seed)
    successor = rng.integers(0, 3, (3, 2, 2))
    reward = rng.normal(size=(3, 2, 2))
    successor[0, 0], successor[0, 1] = (1, 0), (2, 0)
    successor[1, 1], reward[1, 1] = (1, 1), reward[1, 1, 0]
    available = np.ones((3, 2), bool)
    available[1, 0] = seed % 2
    alpha = rng.uniform(0.3, 2, (3, 2, 2))
    alpha[0, 1, 1] = 0
    goal = {"discount": None, "horizon": 6} if seed == 3 else {"discount": 0.8}
    start = [0.5, 0.5, 0]
    mdp = bm.MDP(reward=reward, successor=successor, available=available, terminal=[2], initial=start, **goal)
    return mdp, alpha


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_a_recursion_over_histories(seed):
    mdp, alpha = small(seed)
    best = bm.bayes_optimal(mdp, alpha, horizon=6)
    for state in (0, 1):
        assert float(best.value.sel(state=state)) == pytest.approx(by_histories(mdp, alpha, 6, state), abs=1e-12)
    assert best.attrs["bound"] < 1e-12
    assert np.isnan(best.q.sel(state=1)).values.tolist() == [not seed % 2, False]

    def last_allowed(state, concentration):
        return int(np.flatnonzero(mdp.available[state])[-1])

    rule = bm.bayes_value(mdp, lambda state, alpha, step: np.ones(len(state), int), alpha, horizon=6)
    expected = [by_histories(mdp, alpha, 6, state, last_allowed) for state in (0, 1)]
    np.testing.assert_allclose(rule.value, expected, atol=1e-12)


def test_counts_in_several_words_are_told_apart():
    """Thirty counts over thirty steps do not fit into one word; the value is that of histories all the same."""
    rng = np.random.default_rng(0)
    mdp = bm.MDP(reward=rng.normal(size=(6, 2, 6)), transition=np.full((6, 2, 6), 1 / 6), discount=None, horizon=40)
    table = mdp.replace(successor=np.broadcast_to(np.arange(6), (6, 2, 6)), reward=mdp.reward)
    alpha = rng.uniform(0.3, 2, mdp.sizes)
    best = bm.bayes_optimal(mdp, alpha, horizon=3)
    assert float(best.value[0]) == pytest.approx(by_histories(table, alpha, 3, 0), abs=1e-12)
    alpha = np.where(np.arange(6) < 2, alpha, 0)
    long = bm.bayes_optimal(mdp, alpha, horizon=9)
    short = bm.bayes_optimal(mdp.replace(horizon=9), alpha)
    assert long.value.values == short.value.values and long.attrs["hyperstates"] == short.attrs["hyperstates"]


def test_the_bound_holds_where_all_steps_count():
    arms = bm.environments.bernoulli_bandit(discount=0.7)
    best = bm.bayes_optimal(arms, [1.0, 1.0], tolerance=1e-6)
    for tolerance in (0.3, 0.03, 0.003):
        rough = bm.bayes_optimal(arms, [1.0, 1.0], tolerance=tolerance)
        assert abs(float(rough.value[0] - best.value[0])) <= rough.attrs["bound"] <= tolerance + 1e-9
        assert rough.attrs["horizon"] < best.attrs["horizon"]
    loops = bm.environments.generalised_double_loop(discount=0.5)
    exact, rough = (bm.bayes_optimal(loops, tolerance=tolerance) for tolerance in (1e-4, 0.1))
    assert abs(float(rough.value[0] - exact.value[0])) <= rough.attrs["bound"] <= 0.1 + 1e-9


def test_gittins_published_indices():
    successes, failures = np.ogrid[1:5, 1:4]
    np.testing.assert_allclose(bm.gittins_index(successes, failures, 0.9), PUBLISHED, atol=5.1e-5)
    assert float(bm.gittins_index(1, 1, 0.99)) == pytest.approx(0.8699, abs=5.1e-5)


@pytest.mark.parametrize("arm", [(1.0, 1.0), (0.5, 2.0), (3.0, 1.0)])
def test_at_its_index_an_arm_is_worth_as_much_as_a_sure_income(arm):
    """An arm beside a sure one: below the index it is pulled, above it is not, and at 1e-6 from it both are as good."""
    index, discount = float(bm.gittins_index(*arm, 0.6)), 0.6
    alpha = np.array([[[arm[1], arm[0]], [1.0, 0.0]]])
    for sure, pulled in ((index - 2e-6, 1), (index + 2e-6, -1)):
        reward = [[[0.0, 1.0], [sure, 0.0]]]
        choice = bm.MDP(reward=reward, successor=np.zeros((1, 2, 2), int), discount=discount)
        worth = bm.bayes_optimal(choice, alpha, tolerance=1e-7).q.values[0]
        assert np.sign(worth[0] - worth[1]) == pulled and abs(worth[0] - worth[1]) < 1e-5


def test_the_least_tolerance_is_kept():
    """Against another formula, by which an index is 1 - discount times the worth of an arm that may be set back."""
    fine = bm.gittins_index([1, 3], [1, 2.5], 0.5, tolerance=1e-12)
    # Katehakis and Veinott (1987); 60 pulls ahead, since .5^60 is below rounding.
    for (a, b), found in zip([(1, 1), (3, 2.5)], fine, strict=True):
        successes, again = np.arange(62), 0.0
        for _ in range(200):
            value = np.full(62, again)
            for seen in range(60, -1, -1):
                mean = (a + successes[: seen + 1]) / (a + b + seen)
                pulled = mean * (1 + 0.5 * value[1 : seen + 2]) + (1 - mean) * 0.5 * value[: seen + 1]
                value = np.maximum(pulled, again)
            again = pulled[0]
        assert found == pytest.approx(0.5 * again, abs=2e-12)


@pytest.mark.parametrize("arms", [2, 3])
def test_pulling_the_arm_of_the_largest_index_is_optimal_and_the_larger_mean_is_not(arms):
    discount, tolerance = (0.7, 1e-4) if arms == 2 else (0.5, 1e-3)
    bandit = bm.environments.bernoulli_bandit([0.5] * arms, discount=discount)
    alpha = np.array([[[1.0, 1.0], [2.0, 1.0], [1.0, 2.0]]])[:, :arms]
    best = bm.bayes_optimal(bandit, alpha, tolerance=tolerance)
    size = best.attrs["horizon"] + 3
    index = bm.gittins_index(*np.ogrid[1:size, 1:size], discount)

    def by_index(state, concentration, step):
        failures, successes = (concentration[:, 0, :, pay].astype(int) - 1 for pay in (0, 1))
        return index[successes, failures].argmax(-1)

    def by_mean(state, concentration, step):
        return (concentration[:, 0, :, 1] / concentration[:, 0].sum(-1)).argmax(-1)

    values = {rule: bm.bayes_value(bandit, rule, alpha, tolerance=tolerance).value[0] for rule in (by_index, by_mean)}
    assert float(values[by_index]) == pytest.approx(float(best.value[0]), abs=2 * tolerance)
    assert float(values[by_mean]) < float(values[by_index]) - 1e-6


ARMS = bm.environments.bernoulli_bandit()


def returning(chosen):
    return bm.bayes_value(ARMS, lambda state, alpha, step: chosen(state), horizon=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bm.bayes_optimal(ARMS, [-1.0, 1.0]), r"concentration\[0, 0, 0\] = -1, which is negative"),
        (lambda: bm.bayes_optimal(ARMS, [0.0, 0.0]), r"concentration\[0, 0\] = 0, which is the sum of a row"),
        (lambda: bm.bayes_optimal(ARMS, [1.0, 1, 1]), "does not broadcast"),
        (lambda: bm.bayes_optimal(ARMS, [1.0, 1.0], tolerance=1e-9), "hyperstates can be reached in .* of"),
        (
            lambda: bm.bayes_optimal(bm.environments.riverswim(3)),
            r"in 8 of 179 steps, and at this rate [\d,]* or more in all of them, .* ask for fewer steps",
        ),
        (lambda: bm.bayes_optimal(bm.environments.six_arms(discount=None)), "no discount and no horizon"),
        (lambda: bm.bayes_optimal(ARMS, [1.0, 1.0], horizon=0), "horizon"),
        (
            lambda: bm.bayes_value(ARMS, lambda state, alpha, step: np.ones((len(state), 3)), horizon=2),
            "policy must return indices of actions",
        ),
        (
            lambda: bm.bayes_value(small(0)[0], lambda state, alpha, step: 0 * state, small(0)[1], horizon=2),
            "policy takes action 0 in state 1, where it is not available",
        ),
        (lambda: returning(lambda state: 0 * state - 1), r"policy\[0\] = -1, which is no action; there are 2"),
        (lambda: returning(lambda state: 0 * state + 2), r"policy\[0\] = 2, which is no action; there are 2"),
        (lambda: returning(lambda state: 0.0 * state), r"policy must return indices of actions .*; got float64"),
        (lambda: returning(lambda state: np.tile([-1.0, 2.0], (len(state), 1))), r"policy\[0, 0\] = -1, which is no"),
        (
            lambda: returning(lambda state: np.tile([np.nan, 1.0], (len(state), 1))),
            r"policy\[0, 0\] = nan, which is no",
        ),
        (lambda: returning(lambda state: np.full((len(state), 2), 0.4)), r"policy\[0\] = 0.8, which is the sum"),
        (lambda: bm.gittins_index(1, 1, 0.5, tolerance=1e-17), "tolerance"),
        (lambda: bm.gittins_index([1, 0], 1, 0.9), r"successes\[1\] = 0"),
        (lambda: bm.gittins_index(1, 1, 1.0), "discount"),
        (lambda: bm.gittins_index(1, 1, 0.9999999), "needs more than 32,768 pulls"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
