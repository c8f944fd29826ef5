import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.planning import Draws, Mean, Quantile, Risk, backup, policy_iteration, value_iteration
from bayesmdp.planning.cvar import CVaR
from tests import oracles

SOLVERS = [jax.jit(policy_iteration), jax.jit(value_iteration)]
solve = SOLVERS[0]
compiled_backup = jax.jit(backup)
compiled_evaluate = jax.jit(lambda problem, draws, value, risk, hint=None: risk.evaluate(problem, draws, value, hint))
compiled_value = jax.jit(lambda risk, values: risk.value(values))


@pytest.fixture(autouse=True)
def in_64_bit():
    with jax.enable_x64(True):
        yield


def iterate(draws, reward, discount, level):
    """Fixed point by plain value iteration, far beyond the tolerance of any plan."""
    value = np.zeros(draws.shape[1])
    for _ in range(int(35 / (1 - discount))):
        value = oracles.tail_means(oracles.targets(draws, reward, discount, value), level).max(-1)
    return value


@pytest.mark.parametrize("draws", [1, 3, 25, 301, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10, 100))])
def test_cvar_is_the_mean_of_the_lowest(draws):
    rng = np.random.default_rng(draws)
    values = rng.normal(size=(draws, 4, 3))
    values[:, 1] = np.round(values[:, 1], 1)
    values[:, 2] = 0.3
    levels = np.concatenate([np.arange(1, draws + 1) / draws, [1e-9, 0.07, 0.1, 1 / 3, 0.5, 0.29, 0.999, 1.0]])
    for level in levels:
        np.testing.assert_allclose(
            compiled_value(CVaR(level), values), oracles.tail_means(values, level), rtol=0, atol=1e-14
        )


def test_the_ends_and_the_order():
    values = np.random.default_rng(0).normal(size=(25, 6, 2))
    np.testing.assert_array_equal(compiled_value(CVaR(0.01), values), values.min(0))
    np.testing.assert_allclose(compiled_value(CVaR(1.0), values), values.mean(0), atol=1e-15)
    levels = np.linspace(0.01, 0.99, 50)
    by_level = np.array([compiled_value(CVaR(level), values) for level in levels])
    assert (np.diff(by_level, axis=0) >= -1e-15).all()
    for level, found in zip(levels, by_level, strict=True):
        assert (found <= compiled_value(Quantile(level), values)).all()


def test_levels_and_draws_by_pair():
    rng = np.random.default_rng(1)
    values, level = rng.normal(size=(50, 6, 2)), rng.uniform(0.01, 1, (6, 2))
    np.testing.assert_allclose(compiled_value(CVaR(level), values), oracles.tail_means(values, level), atol=1e-14)
    number = rng.integers(1, 80, (6, 2))
    found = compiled_value(CVaR(level, number), values)
    for state, action in np.ndindex(6, 2):
        used = values[: number[state, action], state, action]
        assert found[state, action] == pytest.approx(oracles.tail_mean(used, level[state, action]), abs=1e-14)


def random_draws(seed, reward=(), draws=25):
    rng = np.random.default_rng(seed)
    kernels = rng.dirichlet(np.full(5, 0.4), size=(draws, 5, 2))
    return kernels, rng.normal(size=(*reward, 5, 2, 5)), rng.normal(size=5)


@pytest.mark.parametrize("reward", [(), (25,), (1,)])
@pytest.mark.parametrize(
    "risk",
    [CVaR(0.1), CVaR(0.02), CVaR(1.0), CVaR(np.linspace(0.1, 1, 10).reshape(5, 2), 17)],
    ids=["0.1", "0.02", "1", "by pair"],
)
@pytest.mark.parametrize("ties", [False, True])
def test_rows_attain_the_cvar_and_support_it(risk, reward, ties):
    """A CVaR is concave in the value, so at any other value the attained rows are worth at least as much."""
    kernels, rewards, value = random_draws(2, reward)
    if ties:
        kernels[5:15] = kernels[4]
        rewards[5:15] = rewards[4] if len(reward) and reward[0] > 1 else rewards[5:15]
    problem = bm.MDP(reward=rewards.reshape(-1, 5, 2, 5)[0], discount=0.9).problem
    draws = risk.prepare(Draws(kernels, rewards))
    targets = oracles.targets(kernels, rewards, 0.9, value)
    plain = compiled_backup(problem, Draws(kernels, rewards), value, risk)
    q, attained = compiled_evaluate(problem, draws, value, risk)
    np.testing.assert_allclose(q, plain, rtol=0, atol=1e-14)
    used = targets if risk.num_draws is None else targets[:17]
    np.testing.assert_allclose(q, oracles.tail_means(used, risk.level), rtol=0, atol=1e-14)
    again, _ = compiled_evaluate(problem, draws, value, risk, attained)
    np.testing.assert_array_equal(again, q)
    others = np.random.default_rng(3).normal(size=(20, 5))
    for policy in (np.zeros(5, int), np.array([1, 0, 1, 1, 0])):
        chosen = np.arange(5), policy
        transition, reward_row = risk.rows(draws, attained, policy)
        np.testing.assert_allclose(transition.sum(-1), 1, rtol=0, atol=1e-14)
        at_rows = (transition * (reward_row + 0.9 * value)).sum(-1)
        np.testing.assert_allclose(at_rows, q[chosen], rtol=0, atol=1e-14)
        for other in others:
            at_rows = (transition * (reward_row + 0.9 * other)).sum(-1)
            assert (at_rows >= compiled_backup(problem, draws, other, risk)[chosen] - 1e-13).all()


@pytest.mark.parametrize("solver", SOLVERS, ids=["policy", "value"])
@pytest.mark.parametrize("level", [0.02, 0.1, 0.5, "by pair"])
@pytest.mark.parametrize("reward", [(), pytest.param((25,), marks=pytest.mark.slow)])
def test_plans_by_brute_force(solver, level, reward):
    if level == "by pair":
        level = np.random.default_rng(4).uniform(0.05, 1, (5, 2))
    kernels, rewards, _ = random_draws(5, reward)
    problem = bm.MDP(reward=rewards.reshape(-1, 5, 2, 5)[0], discount=0.8).problem
    plan = solver(problem, Draws(kernels, rewards), CVaR(level), max_iterations=1_000)
    expected = iterate(kernels, rewards, 0.8, level)
    assert plan.converged and plan.bound <= 1e-10
    np.testing.assert_allclose(plan.value, expected, rtol=0, atol=plan.bound + 1e-13)


@pytest.mark.parametrize("solver", SOLVERS, ids=["policy", "value"])
def test_the_bound_holds_at_every_stage(solver):
    kernels, rewards, _ = random_draws(6)
    problem = bm.MDP(reward=rewards, discount=0.9).problem
    expected = iterate(kernels, rewards, 0.9, 0.3)
    for most in (1, 2, 4, 10, 1000):
        plan = solver(problem, Draws(kernels, rewards), CVaR(0.3), max_iterations=most)
        assert np.abs(plan.value - expected).max() <= plan.bound + 1e-14


@pytest.mark.slow
@pytest.mark.skipif(not oracles.EXTENDED, reason="needs 80-bit floats")
def test_the_bound_holds_for_long_tails():
    """The sum over a tail of thousands is rounded thousands of times; CVaR at level 1 must be the mean all the same."""
    kernels, rewards, _ = random_draws(7, draws=10_001)
    for discount in (0.9, 0.999):
        truth, doubt = oracles.exact_value(kernels, rewards, discount)
        plan = solve(bm.MDP(reward=rewards, discount=discount).problem, Draws(kernels, rewards), CVaR(1.0))
        assert plan.converged and float(np.abs(np.asarray(plan.value) - truth).max()) <= plan.bound + doubt
        mean = solve(bm.MDP(reward=rewards, discount=discount).problem, Draws(kernels, rewards), Mean())
        np.testing.assert_allclose(plan.value, mean.value, rtol=0, atol=plan.bound + mean.bound)


def test_policy_iteration_takes_few_solves():
    river = bm.environments.riverswim(6)
    draws = np.random.default_rng(2).dirichlet(np.full(6, 0.3), size=(200, 6, 2))
    plan = solve(river.problem, Draws(draws, river.reward), CVaR(0.2))
    assert plan.converged and plan.iterations <= 10


def test_numbers_are_traced():
    kernels, rewards, _ = random_draws(8)
    problem = bm.MDP(reward=rewards, discount=0.9).problem

    def value_under(level):
        return solve(problem, Draws(kernels, rewards), CVaR(level), max_iterations=1_000).value

    values = [value_under(0.1)]
    programs = solve._cache_size()
    values += [value_under(0.5), value_under(1.0)]
    assert solve._cache_size() == programs and (np.diff(values, axis=0) > 0).all()
    assert isinstance(CVaR(0.1), Risk) and not isinstance(CVaR(0.1), Quantile)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.0,), ValueError, "level = 0, which is no level; levels lie above 0 and are at most 1"),
        ((1.1,), ValueError, "level = 1.1,"),
        (([[0.1, 0.2], [0.3, -1]],), ValueError, r"level\[1, 1\] = -1"),
        (([0.1, 0.2],), ValueError, r"level is one number or \[state, action\]; got shape \(2,\)"),
        ((0.1, 0), ValueError, "num_draws = 0, which is no number of draws"),
    ],
)
def test_bad_levels_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        CVaR(*arguments)


def test_text():
    assert str(CVaR(0.25)) == "cvar:0.25"
    assert str(CVaR([[0.1, 1]], 20)) == "cvar:0.1..1 of 20 draws"
