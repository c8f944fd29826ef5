import jax
import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.planning import Draws, Mean, Quantile, Risk, backup, policy_iteration, quantile_budget, value_iteration
from bayesmdp.planning.operators import target
from bayesmdp.planning.risk import Offered, offered
from bayesmdp.planning.risk_names import risk_from_text

compiled_backup, compiled_plan = jax.jit(backup), jax.jit(policy_iteration)
compiled_evaluate = jax.jit(lambda problem, draws, value, risk, hint=None: risk.evaluate(problem, draws, value, hint))
compiled_value = jax.jit(lambda risk, values: risk.value(values))


@pytest.fixture(autouse=True)
def in_64_bit():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("draws", [1, 2, 3, 10, 49, 100, 301])
def test_quantile_is_numpys_inverted_cdf(draws):
    rng = np.random.default_rng(draws)
    values = rng.normal(size=(draws, 4, 3))
    values[:, 1] = np.round(values[:, 1], 1)
    quantile = jax.jit(lambda level: Quantile(level).value(values))
    # Multiples of 1/N are where level * N is an integer but for rounding, and ceil could go either way.
    levels = np.concatenate([np.arange(1, draws) / draws, [1e-9, 0.07, 1 / 3, 0.5, 0.29, 0.999, 1 - 1e-9]])
    for level in levels:
        expected = np.quantile(values, level, axis=0, method="inverted_cdf")
        np.testing.assert_array_equal(quantile(level), expected)


def test_levels_by_pair():
    rng = np.random.default_rng(0)
    values, level = rng.normal(size=(50, 6, 2)), rng.uniform(0.01, 0.99, (6, 2))
    found = compiled_value(Quantile(level), values)
    for state, action in np.ndindex(6, 2):
        expected = np.quantile(values[:, state, action], level[state, action], method="inverted_cdf")
        assert found[state, action] == expected


def test_a_pair_uses_its_first_draws_only():
    rng = np.random.default_rng(1)
    values, level = rng.normal(size=(50, 6, 2)), rng.uniform(0.01, 0.99, (6, 2))
    number = rng.integers(1, 80, (6, 2))
    found = compiled_value(Quantile(level, number), values)
    for state, action in np.ndindex(6, 2):
        used = values[: number[state, action], state, action]
        assert found[state, action] == np.quantile(used, level[state, action], method="inverted_cdf")
    first = compiled_value(Quantile(np.full((6, 2), 0.3), np.full((6, 2), 20)), values)
    np.testing.assert_array_equal(first, np.quantile(values[:20], 0.3, axis=0, method="inverted_cdf"))


def posterior_draws(seed, draws=30, reward_draws=True):
    rng = np.random.default_rng(seed)
    river = bm.environments.riverswim(6)
    reward = rng.normal(size=((draws,) if reward_draws else ()) + (6, 2, 6))
    return river.problem, Draws(rng.dirichlet(np.ones(6), size=(draws, 6, 2)), reward), rng.normal(size=6)


@pytest.mark.parametrize("reward_draws", [True, False])
@pytest.mark.parametrize("risk", [Mean(), Quantile(0.2), Quantile(np.linspace(0.1, 0.9, 12).reshape(6, 2), 17)])
def test_preparing_changes_nothing_and_rows_attain_the_risk(risk, reward_draws):
    problem, draws, value = posterior_draws(5, reward_draws=reward_draws)
    plain = compiled_backup(problem, draws, value, risk)
    prepared = risk.prepare(draws)
    q, attained = compiled_evaluate(problem, prepared, value, risk)
    np.testing.assert_allclose(q, plain, rtol=1e-13, atol=1e-14)
    again, _ = compiled_evaluate(problem, prepared, value, risk, attained)
    np.testing.assert_array_equal(again, q)
    for policy in (np.zeros(6, int), np.ones(6, int)):
        transition, reward = risk.rows(prepared, attained, policy)
        at_rows = (transition * (reward + problem.discount * value)).sum(-1)
        np.testing.assert_allclose(at_rows, q[np.arange(6), policy], rtol=1e-13, atol=1e-14)


def test_mean_of_uncertain_rewards_is_of_the_product():
    """Where reward and kernel vary together, mean(p r) is not mean(p) mean(r)."""
    problem, draws, value = posterior_draws(6)
    expected = (draws.transition * (draws.reward + problem.discount * value)).sum(-1).mean(0)
    np.testing.assert_allclose(backup(problem, draws, value, Mean()), expected, rtol=0, atol=1e-14)


def test_reward_draws_of_length_one_broadcast():
    problem, draws, _ = posterior_draws(7)
    one = draws._replace(reward=draws.reward[:1])
    same = draws._replace(reward=draws.reward[0])
    for risk in (Mean(), Quantile(0.4)):
        found, expected = (compiled_plan(problem, form, risk) for form in (one, same))
        np.testing.assert_allclose(found.value, expected.value, rtol=1e-13)


def test_quantile_budget_by_formula():
    level = np.array([[0.5, 0.1], [0.99, 0.999]])
    expected = np.ceil(10 * level * (1 - level) / stats.norm.pdf(stats.norm.ppf(level)) ** 2)
    found = jax.jit(quantile_budget)(level, 10)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    factors = [1.57, 2.9, 14, 88]
    np.testing.assert_allclose(quantile_budget(level.ravel(), 1e6) / 1e6, factors, rtol=0.01)
    assert quantile_budget(1 - 1e-13, 1e6) > 0


def test_risk_measures_are_pytrees_with_traced_numbers():
    risk = Quantile(np.full((2, 2), 0.3), 7)
    leaves, form = jax.tree.flatten(risk)
    assert len(leaves) == 2 and isinstance(jax.tree.unflatten(form, leaves), Quantile)
    assert jax.tree.map(np.shape, risk).level == (2, 2)
    traces = []

    @jax.jit
    def level_of(risk):
        traces.append(1)
        return Quantile(risk.level).level

    assert [float(level_of(Quantile(level))) for level in (0.1, 0.25, 0.9)] == [0.1, 0.25, 0.9]
    assert len(traces) == 1
    assert isinstance(Mean(), Risk) and isinstance(risk, Risk)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.0,), ValueError, "level = 0, which is no level; levels lie strictly between 0 and 1"),
        ((1.0,), ValueError, "level = 1,"),
        ((-0.2,), ValueError, "level = -0.2"),
        ((float("nan"),), ValueError, "level = nan, which is not finite"),
        (("0.1",), TypeError, "level must hold numbers"),
        ((True,), TypeError, "level must hold numbers"),
        (([[0.1, 0.2], [0.3, 10.0]],), ValueError, r"level\[1, 1\] = 10"),
        (([0.1, 0.2],), ValueError, r"level is one number or \[state, action\]; got shape \(2,\)"),
        ((0.1, 0), ValueError, "num_draws = 0, which is no number of draws"),
        ((0.1, [[5, -1]]), ValueError, r"num_draws\[0, 1\] = -1"),
        ((0.1, 10.0), TypeError, "num_draws counts draws and must be integer"),
        ((0.1, [10]), ValueError, "num_draws is one number"),
    ],
)
def test_bad_quantiles_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Quantile(*arguments)


def test_text():
    assert str(Quantile(0.25)) == "quantile:0.25"
    assert str(Quantile([[0.1, 0.9]], 20)) == "quantile:0.1..0.9 of 20 draws"


@pytest.mark.parametrize("text", ["mean", "quantile:0.1", "cvar:0.25", "cvar:1"])
def test_text_there_and_back(text):
    assert str(risk_from_text(text)) == text
    assert str(risk_from_text(f" {text.upper()} ")) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("median", "risk must be mean, quantile:LEVEL or cvar:LEVEL, as in quantile:0.1; got 'median'"),
        ("mean:0.1", "got 'mean:0.1'"),
        ("quantile", "got 'quantile'"),
        ("quantile:", "got 'quantile:'"),
        ("quantile:low", "got 'quantile:low'"),
        ("quantile:1", "risk 'quantile:1': level = 1, which is no level; levels lie strictly between 0 and 1"),
        ("cvar:0", "risk 'cvar:0': level = 0, .*at most 1"),
        ("cvar:nan", "risk 'cvar:nan': level = nan, which is not finite"),
    ],
)
def test_bad_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        risk_from_text(text)


def test_a_measure_of_three_methods_is_planned_with_and_offers_nothing_else():
    class Worst:
        def prepare(self, draws):
            return draws

        def evaluate(self, problem, draws, value, attained=None):
            targets = target(problem, draws.transition, draws.reward, value)
            return targets.min(0), targets.argmin(0)

        def rows(self, draws, attained, policy):
            states = np.arange(len(policy))
            return draws.transition[attained[states, policy], states, policy], draws.reward[states, policy]

    river = bm.environments.riverswim(4)
    kernels = np.random.default_rng(0).dirichlet(np.ones(4), (5, 4, 2))
    draws = Draws(kernels, river.reward)
    assert isinstance(Worst(), Risk) and offered(Worst()) == Offered()
    with jax.enable_x64(True):
        plan = policy_iteration(river.problem, draws, Worst())
        # The smallest of five is their quantile at any level up to a fifth.
        known = value_iteration(river.problem, draws, Quantile(0.1))
    np.testing.assert_allclose(plan.value, known.value, atol=1e-9)


def test_what_a_measure_offers_is_asked_in_one_place():
    assert offered(Mean()).linear and offered(Mean()).level is None
    assert not offered(Quantile(0.2)).linear and offered(Quantile(0.2, 3)).num_draws == 3
    assert offered(Quantile(0.2)).error(None) == 0
