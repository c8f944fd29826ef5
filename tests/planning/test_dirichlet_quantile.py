import jax
import numpy as np
import pytest
from scipy import integrate, special, stats

import bayesmdp as bm
from bayesmdp.planning import Draws, Quantile, Risk, policy_iteration, value_iteration
from bayesmdp.planning.dirichlet_mean import mean_distribution
from bayesmdp.planning.dirichlet_quantile import DirichletQuantile, dirichlet_quantile
from tests.statistical import assert_standard_normal

LEVELS = (1e-3, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-3)
compiled_distribution, compiled_quantile = jax.jit(mean_distribution), jax.jit(dirichlet_quantile)
SOLVERS = [jax.jit(policy_iteration), jax.jit(value_iteration)]


@pytest.fixture(autouse=True)
def in_64_bit():
    with jax.enable_x64(True):
        yield


def padded(concentration, numbers, last):
    """With outcomes that cannot be and rows of nothing, so that few shapes are compiled."""
    arrays = [np.asarray(array, float) for array in (concentration, numbers, last)]
    rows, outcomes = arrays[0].shape
    more = (0, 1_024 - rows), (0, max(0, 10 - outcomes))
    return [np.pad(array, more[: array.ndim]) for array in arrays], rows, outcomes


def quantiles(concentration, numbers, level):
    arrays, rows, outcomes = padded(concentration, numbers, level)
    q, row, error = (np.asarray(part)[:rows] for part in compiled_quantile(*arrays))
    return q, row[:, :outcomes], error


def assert_between(distribution, q, error, level):
    """The true quantile is within `error` of q, up to what scipy's own distribution function is good for."""
    assert (distribution(q - error) <= level + 2e-13).all()
    assert (distribution(q + error) >= level - 2e-13).all()


def test_two_outcomes_are_beta():
    grid = (0.01, 0.03, 0.1, 0.5, 1, 2, 10, 100, 1e3, 1e5)
    a, b, level = (part.ravel() for part in np.meshgrid(grid, grid, LEVELS))
    q, row, error = quantiles(np.stack([a, b], -1), np.tile([0.0, 1.0], (len(a), 1)), level)
    assert_between(lambda x: stats.beta.cdf(x, b, a), q, error, level)
    assert error.max() < 2e-12
    moderate = (np.minimum(a, b) >= 0.1) & (np.maximum(a, b) <= 100)
    np.testing.assert_allclose(q[moderate], stats.beta.ppf(level, b, a)[moderate], rtol=0, atol=2e-13)
    np.testing.assert_allclose(row[:, 1], q, rtol=0, atol=1e-12)


def test_the_distribution_function_in_both_tails():
    grid = (0.01, 0.1, 1, 3, 50, 1e3, 1e5)
    a, b, level = (part.ravel() for part in np.meshgrid(grid, grid, (1e-8, 1e-3, 0.2, 0.5, 0.9, 1 - 1e-6)))
    x = stats.beta.ppf(level, b, a)
    inside = (x > 1e-10) & (x < 1 - 1e-10)
    a, b, x = a[inside], b[inside], x[inside]
    found = compiled_distribution(np.stack([a, b], -1), np.tile([0.0, 1.0], (len(a), 1)), x)
    expected, density = stats.beta.cdf(x, b, a), stats.beta.pdf(x, b, a)
    # In x = .001 +- 1e-19, what a concentration of 1e5 makes of one rounding of x is 1e-12 of the density.
    np.testing.assert_allclose(found.below, expected, rtol=0, atol=3e-12)
    assert (np.abs(found.below - expected) <= found.error + 2e-16 * density + 1e-14).all()
    np.testing.assert_allclose(found.rows.sum(-1), density, rtol=1e-9)


def test_outcomes_of_equal_value_are_one():
    """Ten outcomes at two values, some that cannot be and have wild ones: a Beta, and rows shared by concentration."""
    rng = np.random.default_rng(0)
    cases = 60
    a = 10 ** rng.uniform(-2, 3, (cases, 10))
    a[:, 8:] = 0
    high = np.arange(10) % 3 == 0
    low_value, high_value = rng.normal(size=(2, cases, 1)) * 10 ** rng.uniform(-3, 3, (2, cases, 1))
    numbers = np.where(high, high_value, low_value)
    numbers[:, 8:] = rng.choice([-1e9, 0, 1e12], (cases, 2))
    level = rng.choice(LEVELS, cases)
    q, row, error = quantiles(a, numbers, level)
    share = (q - low_value[:, 0]) / (high_value - low_value)[:, 0]
    width = np.abs(high_value - low_value)[:, 0]
    a_high, a_low = (a * high).sum(-1), (a * ~high).sum(-1)
    rising = (high_value > low_value)[:, 0]
    target = np.where(rising, level, 1 - level)
    assert_between(lambda x: stats.beta.cdf(x, a_high, a_low), share, error / width, target)
    expected = np.where(high, share[:, None] * a / a_high[:, None], (1 - share)[:, None] * a / a_low[:, None])
    np.testing.assert_allclose(row, expected, rtol=0, atol=1e-8)
    assert (row[:, 8:] == 0).all()


@pytest.mark.parametrize(
    ("a", "v"), [((2.0, 0.5, 1.5), (0.0, 1.0, 0.3)), ((40.0, 3.0, 0.4), (1.0, 0.0, -2.0)), ((0.4, 0.3, 0.2), (1, 2, 4))]
)
def test_three_outcomes_by_quadrature_over_one_of_them(a, v):
    """Given p_3 = u, the others are a Beta share of 1 - u."""
    (a1, a2, a3), (v1, v2, v3) = a, v
    level = np.array([0.01, 0.1, 0.5, 0.9])
    q, _, error = quantiles(np.tile(a, (4, 1)), np.tile(v, (4, 1)), level)
    assert error.max() < 1e-11

    def below(x):
        def given(w):
            # u = w^8 tames the singularity at 0 of a density with a concentration below 1.
            u = w**8
            share = ((x - u * v3) / (1 - u) - v1) / (v2 - v1)
            at_most = stats.beta.cdf(share, a2, a1) if v2 > v1 else stats.beta.sf(share, a2, a1)
            return at_most * stats.beta.pdf(u, a3, a1 + a2) * 8 * w**7

        corners = [((x - b) / (v3 - b)) ** 0.125 for b in (v1, v2) if 0 < (x - b) / (v3 - b) < 1]
        return integrate.quad(given, 0, 1, points=corners or None, limit=500, epsabs=1e-11, epsrel=1e-11)[0]

    np.testing.assert_allclose([below(x) for x in q], level, rtol=0, atol=2e-8)


MANY = {
    "visited": ((1 / 6, 12.2, 0.17, 35.0, 4.1), (9.2, 10.0, 3.0, 8.8, 0.0)),
    "seldom": ((0.2, 1.2, 0.2, 0.2, 0.2), (1.0, 2.0, 5.0, 0.0, 3.0)),
    "sparse": ((0.03, 0.02, 0.05, 0.01, 0.4), (1.0, 2.0, 5.0, 0.0, 3.0)),
    "a rare loss": ((0.05, 3e4, 1e4, 0.02, 2.0), (0.0, 1.0, 1.001, -5.0, 0.9)),
    "scales": ((0.4, 2e3, 90.0, 0.9, 1e4), (1e4, 0.1, 0.02, -3.0, 0.11)),
}


@pytest.mark.parametrize("name", MANY)
def test_against_millions_of_draws(name):
    a, v = map(np.array, MANY[name])
    level = np.array([1e-3, 0.1, 0.5, 0.9, 1 - 1e-3])
    q, _, _ = quantiles(np.tile(a, (5, 1)), np.tile(v, (5, 1)), level)
    rng, below, size = np.random.default_rng(1), np.zeros(5), 4 if name == "visited" else 1
    for _ in range(size):
        gammas = rng.standard_gamma(a, size=(1_000_000, 5))
        total = gammas.sum(-1)
        assert (total > 0).all()
        below += (gammas @ v <= q[:, None] * total).sum(-1)
    draws = size * 1_000_000
    assert_standard_normal((below - draws * level) / np.sqrt(draws * level * (1 - level)), name)


@pytest.mark.parametrize("name", MANY)
def test_the_attained_row_is_the_derivative(name):
    a, v = map(np.array, MANY[name])
    levels = np.array([0.1, 0.5, 0.9])
    q, row, error = quantiles(np.tile(a, (3, 1)), np.tile(v, (3, 1)), levels)
    np.testing.assert_allclose(row.sum(-1), 1, rtol=0, atol=1e-13)
    assert (np.abs(row @ v - q) <= 1e-12 * np.abs(v).max() + error).all()
    # From five points, so that the error of the difference is of fourth order; small beside the gaps of the v.
    step = 1e-3 * np.diff(np.sort(v)).min()
    moved = v + step * np.array([-2, -1, 1, 2])[:, None, None] * np.eye(5)
    q, *_ = quantiles(np.tile(a, (60, 1)), np.tile(moved.reshape(20, 5), (3, 1)), levels.repeat(20))
    slope = (np.array([1, -8, 8, -1]) @ q.reshape(3, 4, 5)) / (12 * step)
    np.testing.assert_allclose(row, slope, rtol=0, atol=2e-6)


def test_certain_rows_are_worth_what_they_lead_to():
    a = np.array([[3.0, 0, 0], [2, 3, 0], [0, 0, 0], [1, 2, 3], [0, 1e-2, 0]])
    v = np.array([[1.5, 7, -7], [2, 2, 9], [4, 5, 6], [1e8, 1e8, 1e8], [-1, 0.25, 1]])
    q, row, error = quantiles(a, v, np.full(5, 0.1))
    np.testing.assert_allclose(q, [1.5, 2, 0, 1e8, 0.25], rtol=1e-15)
    np.testing.assert_allclose(row, a / np.maximum(a.sum(-1, keepdims=True), 1e-9), rtol=1e-15)
    assert (error <= 2e-15 * np.abs(q)).all()


def test_one_outcome():
    found = dirichlet_quantile(np.array([[2.0], [0.1]]), np.array([[3.0], [-1.0]]), np.array([0.1, 0.9]))
    q, row, error = (part.tolist() for part in found)
    assert q == [3, -1] and row == [[1], [1]] and error == [0, 0]


def test_steep_distribution_functions():
    """Concentrations of .01: nearly all of p is on one outcome, and F steps up at each of the numbers."""
    a, v = np.tile([0.01, 0.01, 0.01], (3, 1)), np.tile([-1.0, 0.5, 2.0], (3, 1))
    q, _, error = quantiles(a, v, np.array([0.1, 0.5, 0.9]))
    np.testing.assert_allclose(q, [-1, 0.5, 2], rtol=0, atol=4e-15)
    assert error.max() < 1e-14
    # Between two steps, where F is flat, accuracy is of F: a third is reached halfway by symmetry of the outer two.
    q, _, error = quantiles(a[:1, :2], v[:1, :2], np.array([0.5]))
    assert abs(q[0] + 0.25) <= error[0] < 1e-10


def test_thousands_of_rows_come_back_in_order():
    rng = np.random.default_rng(3)
    a, b, level = rng.choice([0.3, 1.0, 7.0], (2, 1000, 1)), rng.random((1000, 1)), rng.uniform(0.05, 0.95, 1000)
    a, b = a
    q, *_ = quantiles(np.hstack([a, b]), np.tile([2.0, 3.0], (1000, 1)), level)
    np.testing.assert_allclose(q, 2 + special.betaincinv(b[:, 0], a[:, 0], level), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_sampled_quantiles_converge_to_it_at_the_monte_carlo_rate():
    rng, size = np.random.default_rng(4), 4_000
    a, value = 10 ** rng.uniform(-0.5, 1.5, (6, 2, 6)), rng.normal(size=6)
    problem = bm.MDP(reward=np.zeros((6, 2)), discount=0.9).problem
    level = rng.choice([0.05, 0.3, 0.5, 0.9], (6, 2))
    exact, _ = jax.jit(lambda risk: risk.evaluate(problem, Draws(a, problem.reward), value))(DirichletQuantile(level))
    gammas = rng.standard_gamma(a, size=(size, 6, 2, 6))
    draws = Draws(gammas / gammas.sum(-1, keepdims=True), problem.reward)
    sampled, _ = jax.jit(lambda risk: risk.evaluate(problem, draws, value))(Quantile(level))
    numbers = np.tile(0.9 * value, (12, 1))
    density = compiled_distribution(a.reshape(12, 6), numbers, np.ravel(exact)).rows.sum(-1).reshape(6, 2)
    assert_standard_normal((sampled - exact) * density / np.sqrt(level * (1 - level) / size), "sampled quantile")


def two_way_chain(seed, states=7):
    """A problem of two outcomes a pair, whose exact plan needs the inverse of the incomplete beta function only."""
    rng = np.random.default_rng(seed)
    successor = rng.integers(0, states, (states, 2, 2))
    concentration = 10 ** rng.uniform(-1, 2, (states, 2, 2))
    reward = rng.normal(size=(states, 2, 2 if seed % 2 else 1))
    terminal = np.arange(states) == states - 1
    mdp = bm.MDP(reward=reward, discount=0.9, successor=successor, terminal=terminal)
    return mdp, concentration, rng.uniform(0.02, 0.98, (states, 2))


def iterate_two_ways(mdp, concentration, level):
    value = np.zeros(mdp.num_states)
    for _ in range(400):
        v = mdp.reward + 0.9 * value[mdp.successor]
        rise = special.betaincinv(concentration[..., 1], concentration[..., 0], level)
        fall = special.betaincinv(concentration[..., 0], concentration[..., 1], level)
        low, high = v[..., 0], v[..., 1]
        q = np.where(high >= low, low + (high - low) * rise, high + (low - high) * fall)
        value = np.where(mdp.terminal, 0, q.max(-1))
    return value


@pytest.mark.parametrize("solver", SOLVERS, ids=["policy", "value"])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_plans_by_the_incomplete_beta_function(solver, seed):
    mdp, concentration, level = two_way_chain(seed)
    expected = iterate_two_ways(mdp, concentration, level)
    for most in (2, 1000):
        plan = solver(
            mdp.problem, Draws(concentration[None], mdp.reward), DirichletQuantile(level), max_iterations=most
        )
        assert np.abs(plan.value - expected).max() <= plan.bound + 1e-12
    assert plan.converged and plan.bound < 1e-10 and plan.value[-1] == 0
    assert solver is SOLVERS[1] or plan.iterations <= 20


@pytest.mark.slow
def test_a_hint_and_the_form_of_the_concentrations_change_nothing():
    mdp, concentration, level = two_way_chain(3)
    risk, value = DirichletQuantile(level), np.linspace(-1, 1, 7)
    evaluate = jax.jit(lambda draws, value, hint: risk.evaluate(mdp.problem, draws, value, hint))
    q, attained = evaluate(Draws(concentration, mdp.reward), value, None)
    same, _ = evaluate(risk.prepare(Draws(concentration, mdp.reward)), value, None)
    np.testing.assert_array_equal(q, same)
    for other in (value, value[::-1] ** 3, 0 * value):
        _, elsewhere = evaluate(Draws(concentration[None], mdp.reward), other, None)
        again, _ = evaluate(Draws(concentration[None], mdp.reward), value, elsewhere)
        np.testing.assert_allclose(again, q, rtol=0, atol=1e-13)
    transition, reward = risk.rows(Draws(concentration, mdp.reward), attained, np.ones(7, int))
    assert transition.shape == (7, 2) and reward.shape == (7, 2)
    live = ~mdp.terminal
    at_rows = (transition * (reward + 0.9 * np.where(mdp.terminal, 0, value)[mdp.successor[:, 1]])).sum(-1)
    np.testing.assert_allclose(at_rows[live], q[live, 1], rtol=0, atol=1e-12)


def test_numbers_are_traced():
    mdp, concentration, _ = two_way_chain(0)
    solve, most = SOLVERS[0], 1000

    def value_under(level, concentration):
        risk = DirichletQuantile(np.full((7, 2), level))
        return solve(mdp.problem, Draws(concentration[None], mdp.reward), risk, max_iterations=most).value

    values = [np.asarray(value_under(0.1, concentration))]
    programs = solve._cache_size()
    values += [np.asarray(value_under(level, concentration)) for level in (0.5, 0.9)]
    value_under(0.2, 10 * concentration)
    assert solve._cache_size() == programs and (np.diff(values, axis=0)[:, :-1] > 0).all()
    assert isinstance(DirichletQuantile(0.1), Risk) and not isinstance(DirichletQuantile(0.1), Quantile)


def test_bad_levels_are_refused_and_text():
    with pytest.raises(ValueError, match="level = 1, which is no level; levels lie strictly between 0 and 1"):
        DirichletQuantile(1.0)
    with pytest.raises(ValueError, match=r"level is one number or \[state, action\]; got shape \(2,\)"):
        DirichletQuantile([0.1, 0.2])
    assert str(DirichletQuantile([[0.1, 0.9]])) == "quantile:0.1..0.9 exact"
