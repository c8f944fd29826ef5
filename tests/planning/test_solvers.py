import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quantecon
from jax import lax

import bayesmdp as bm
from bayesmdp.planning import Draws, Mean, Quantile, backup, operators, policy_iteration, value_iteration
from bayesmdp.planning import policy_values as evaluation
from tests import oracles

EPSILON = np.finfo(float).eps
compiled_policy_iteration, compiled_value_iteration = jax.jit(policy_iteration), jax.jit(value_iteration)
COMPILED = [compiled_policy_iteration, compiled_value_iteration]


@pytest.fixture(autouse=True)
def in_64_bit():
    with jax.enable_x64(True):
        yield


def random_draws(rng, shape, concentration):
    """Dirichlet rows about a random mean; small concentrations put nearly all of a row on one state."""
    gammas = rng.standard_gamma(np.full(shape, concentration)) + 1e-300
    return gammas / gammas.sum(-1, keepdims=True)


def problem_of(reward, discount, **options):
    return bm.MDP(reward=reward, discount=discount, **options).problem


def at_rounding_level(plan, problem):
    """Whether the residual is within the documented rounding of one backup, rewards being at most 1 here."""
    unit = 4 * EPSILON * problem.num_outcomes * (np.abs(plan.value).max() + max(1, np.abs(problem.reward).max()))
    return plan.residual <= unit * (1 + 1e-6)


SHAPES = [(20, 4, 2), (40, 6, 3), (25, 9, 2)]
DISCOUNTS = (0.5, 0.9, 0.95, 0.99)
CONCENTRATIONS = (1.0, "1/states", 0.01)


def cases(shape):
    """180 cases of one shape: kernels, rewards, discounts, levels (None, the mean, for one in four)."""
    draws, states, actions = shape
    rng = np.random.default_rng(states)
    for case in range(180):
        concentration = CONCENTRATIONS[case % 3]
        concentration = 1 / states if concentration == "1/states" else concentration
        kernels = random_draws(rng, (draws, states, actions, states), concentration)
        reward = rng.random((states, actions, 1)) * (rng.random((states, actions, 1)) < (0.3 if case % 2 else 1))
        level = (
            rng.uniform(0.02, 0.98, (states, actions)) if case % 5 == 0 else np.full((states, actions), rng.random())
        )
        yield kernels, reward, DISCOUNTS[case // 3 % 4], np.clip(level, 0.01, 0.99)


@pytest.mark.parametrize("shape", [SHAPES[0], *(pytest.param(shape, marks=pytest.mark.slow) for shape in SHAPES[1:])])
def test_policy_and_value_iteration_agree_on_540_cases(shape):
    kernels, reward, discount, level = (np.array(column) for column in zip(*cases(shape), strict=True))
    problem = problem_of(reward[0], 0.9)

    def solve(case):
        kernels, reward, discount, level = case
        known = jax.tree.map(jnp.asarray, problem)._replace(reward=reward, discount=discount)
        draws = Draws(kernels, reward)
        solve = partial(policy_iteration, known, draws, tolerance=4e-11)
        sweep = partial(value_iteration, known, draws, tolerance=4e-11)
        return solve(Quantile(level)), sweep(Quantile(level)), solve(Mean()), sweep(Mean())

    *quantile, mean_policy, mean_value = jax.device_get(
        jax.jit(lambda c: lax.map(solve, c))((kernels, reward, discount, level))
    )
    for solved, swept in (quantile, (mean_policy, mean_value)):
        assert solved.converged.all() and swept.converged.all()
        gap = np.abs(solved.value - swept.value).max(-1)
        assert (gap <= solved.bound + swept.bound).all()
        assert (gap <= 1e-10)[discount <= 0.95].all()
        assert (solved.bound <= 4e-11)[discount <= 0.95].all()
        assert np.median(solved.iterations) <= 8 and solved.iterations.max() <= 200


@pytest.mark.parametrize("seed", range(20))
def test_mean_planner_agrees_with_quantecon(seed):
    rng = np.random.default_rng(seed)
    states, actions = ((2, 2), (5, 4), (11, 3))[seed % 3]
    discount = rng.choice([0.5, 0.9, 0.95])
    draws = random_draws(rng, (25, states, actions, states), 0.2)
    reward = rng.normal(size=(states, actions))
    theirs = quantecon.markov.DiscreteDP(reward, draws.mean(0), discount).solve(method="policy_iteration")
    for solver in (compiled_policy_iteration, compiled_value_iteration):
        ours = solver(problem_of(reward, discount), Draws(draws, reward[..., None]), Mean())
        np.testing.assert_allclose(ours.value, theirs.v, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(ours.policy, theirs.sigma)


@pytest.mark.parametrize("seed", range(5))
def test_mean_planner_finds_the_best_of_all_policies(seed):
    rng = np.random.default_rng(seed)
    transition, reward = random_draws(rng, (4, 3, 4), 0.5), rng.normal(size=(4, 3, 4))
    expected = oracles.enumerate_policies(transition, reward, 0.9)
    plan = compiled_policy_iteration(problem_of(reward, 0.9), Draws(transition[None], reward), Mean())
    np.testing.assert_allclose(plan.value, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", COMPILED, ids=["policy", "value"])
@pytest.mark.parametrize("level", [None, 0.1, 0.5])
@pytest.mark.parametrize("table", [False, True])
def test_terminal_states_and_missing_actions(solver, level, table):
    rng = np.random.default_rng(8)
    lake = bm.environments.frozen_lake()
    available = rng.random((16, 4)) < 0.7
    available[:, 0] |= ~available.any(-1)
    lake = lake.replace(available=available)
    form = lake.with_successors() if table else lake
    draws = rng.dirichlet(np.ones(form.num_outcomes), size=(20, 16, 4))
    plan = solver(form.problem, Draws(draws, form.reward), Mean() if level is None else Quantile(level))
    reward = lake.reward
    if table:
        # Rewards follow the outcome, and several outcomes may lead to one state: average them there.
        reward = (draws * form.reward).sum(-1)[..., None]
        draws = oracles.dense_transition(draws, form.successor, 16)
    value, q = oracles.iterate_value(
        draws, reward, lake.discount, level, terminal=lake.terminal, available=lake.available
    )
    np.testing.assert_allclose(plan.value, value, rtol=0, atol=1e-10)
    np.testing.assert_allclose(plan.q, q, rtol=0, atol=1e-10)
    assert (np.asarray(plan.value)[lake.terminal] == 0).all()
    assert lake.available[np.arange(16), plan.policy].all()


def test_reference_values():
    for discount, expected in ((0.95, 4.66930016), (0.99, 37.85470114)):
        river = bm.environments.riverswim(6, discount=discount)
        plan = compiled_policy_iteration(river.problem, Draws(river.transition[None], river.reward), Mean())
        assert plan.value[0] == pytest.approx(expected, abs=5e-9)


@pytest.mark.skipif(not oracles.EXTENDED, reason="needs 80-bit floats")
@pytest.mark.parametrize("level", [None, 0.1, 0.6])
@pytest.mark.parametrize("states", [12, *(pytest.param(states, marks=pytest.mark.slow) for states in (2, 5, 30))])
def test_the_bound_holds_against_extended_precision(states, level):
    """At every stage of a solve, from a cold or a random start, at loose and tight tolerances, at odd scales."""
    rng = np.random.default_rng(states)
    risk, seen = Mean() if level is None else Quantile(level), 0
    for discount, case in itertools.product((0.5, 0.95, 0.99, 0.999, 0.9999), range(6)):
        draws = random_draws(rng, (21, states, 2, states), (1.0, 1 / states, 0.02)[case % 3])
        scale = (1.0, 1e-3, 1e5)[case // 2]
        reward = scale * rng.normal(size=(states, 2, states if case % 2 else 1)) * np.ones((states, 2, states))
        truth, doubt = oracles.exact_value(draws, reward, discount, level)
        solvers = [policy_iteration] + [value_iteration] * (discount <= 0.99 or (states == 2 and case == 0))
        for solver, random_start in itertools.product(solvers, (False, True)):
            start = random_start * scale * rng.normal(size=states) / (1 - discount)
            plans = jax.device_get(
                stages(problem_of(reward, discount), Draws(draws, reward), risk, start, solver=solver)
            )
            error = np.abs(plans.value - truth).max(-1)
            assert (error <= plans.bound + doubt).all()
            assert (doubt <= 0.01 * plans.bound).all()
            assert plans.converged[-2:].all()
            seen += error.size
    assert seen >= 300


@partial(jax.jit, static_argnames="solver")
def stages(problem, draws, risk, start, *, solver):
    """Plans stopped after 1, 3 and 40 applications, at a loose tolerance and at the default."""
    tolerance, most = jnp.array([0, 0, 0, 1e-2, 1e-10]), jnp.array([1, 3, 40, 2**30, 2**30])
    return lax.map(
        lambda t: solver(problem, draws, risk, tolerance=t[0], max_iterations=t[1], value=start), (tolerance, most)
    )


@pytest.mark.skipif(not oracles.EXTENDED, reason="needs 80-bit floats")
def test_the_bound_counts_rewards_that_cancel():
    """Rewards of 1e9 that average out leave rounding errors of 1e-7, which a bound from the value alone would miss."""
    rng = np.random.default_rng(9)
    draws, reward = random_draws(rng, (1, 6, 2, 6), 1.0), rng.normal(size=(6, 2, 6))
    reward = 1e9 * (reward - (draws[0] * reward).sum(-1, keepdims=True))
    truth, doubt = oracles.exact_value(draws, reward, 0.9)
    plan = compiled_policy_iteration(problem_of(reward, 0.9), Draws(draws, reward), Mean())
    assert float(np.abs(np.asarray(plan.value) - truth).max()) <= plan.bound + doubt
    assert plan.converged and plan.bound > 1e-7


@pytest.mark.skipif(not oracles.EXTENDED, reason="needs 80-bit floats")
def test_the_bound_holds_for_the_mean_of_many_draws():
    rng = np.random.default_rng(10)
    for discount in (0.5, 0.9, 0.999):
        draws, reward = random_draws(rng, (10_001, 3, 2, 3), 0.3), rng.random((3, 2, 1))
        truth, doubt = oracles.exact_value(draws, reward, discount)
        plan = compiled_policy_iteration(problem_of(reward, discount), Draws(draws, reward), Mean(), tolerance=0)
        assert float(np.abs(np.asarray(plan.value) - truth).max()) <= plan.bound + doubt


def test_a_forbidding_penalty_does_not_loosen_the_bound():
    river = bm.environments.riverswim(6)
    reward = river.reward.copy()
    reward[2, 0] = -1e12
    plan = compiled_policy_iteration(river.problem, Draws(river.transition[None], reward), Mean())
    assert plan.converged and plan.bound < 1e-10


def cycling_case():
    """A quantile problem on which solving alone goes round for ever."""
    rng = np.random.default_rng(CYCLING_SEED)
    return random_draws(rng, (10, 5, 2, 5), 0.3), rng.random((5, 2, 1))


CYCLING_SEED = 13


def test_where_solving_alone_cycles_the_acceptance_rule_converges():
    draws, reward = cycling_case()
    problem = jax.tree.map(jnp.asarray, problem_of(reward, 0.99))
    risk, value, seen = Quantile(0.5), jnp.zeros(5), []

    @jax.jit
    def solve_alone(value):
        q, attained = risk.evaluate(problem, Draws(draws, reward), value)
        policy, better = operators.greedy(problem, q)
        rows = risk.rows(Draws(jnp.asarray(draws), reward), attained, policy)
        return jnp.abs(better - value).max(), evaluation.evaluate_rows(problem, *rows, policy)

    for _ in range(60):
        residual, value = solve_alone(value)
        seen.append(float(residual))
    assert min(seen) > 1e-6, "the case no longer cycles, so it tests nothing"
    plan = compiled_policy_iteration(problem, Draws(draws, reward), risk)
    expected, _ = oracles.iterate_value(draws, reward[..., 0], 0.99, 0.5)
    assert plan.converged
    np.testing.assert_allclose(plan.value, expected, rtol=0, atol=1e-9)


def test_where_solving_alone_cycles_a_part_of_the_way_helps():
    lake, applied = bm.environments.frozen_lake(), 0
    for seed in (22, 55):
        rng = np.random.default_rng(seed)
        counts = [rng.multinomial(8, row) for row in lake.transition.reshape(-1, 16)]
        rows = np.stack([rng.dirichlet(seen + 1 / 16, 200) for seen in counts], 1).reshape(200, 16, 4, 16)
        plan = compiled_policy_iteration(lake.problem, Draws(rows, lake.reward), Quantile(0.5))
        assert plan.converged
        applied += int(plan.iterations)
    assert applied <= 60  # 306 if T alone follows a refusal


def solved(solver, problem, draws, risk, *, tolerance=1e-10, most=1_000_000, start=0.0):
    """A plan by one program, whatever is asked of it."""
    value = np.broadcast_to(start, problem.num_states)
    return solver(problem, draws, risk, tolerance=tolerance, max_iterations=most, value=value)


@pytest.mark.parametrize("solver", COMPILED, ids=["policy", "value"])
def test_it_says_when_it_stopped_early_and_warm_starts(solver):
    rng = np.random.default_rng(3)
    reward = rng.random((6, 2, 1))
    problem, draws = problem_of(reward, 0.95), Draws(random_draws(rng, (50, 6, 2, 6), 0.2), reward)
    early = solved(solver, problem, draws, Quantile(0.3), most=2)
    assert not early.converged and early.iterations == 2 and early.bound > 1e-6
    full = solved(solver, problem, draws, Quantile(0.3))
    assert full.converged and full.bound <= 1e-10
    again = solved(solver, problem, draws, Quantile(0.3), start=full.value)
    assert again.iterations == 1 and again.converged
    np.testing.assert_array_equal(again.value, full.value)


def test_undefined_numbers_end_the_loop_unconverged():
    river = bm.environments.riverswim(6)
    draws = Draws(np.full((50, 6, 2, 6), np.nan), river.reward)
    plan = solved(compiled_policy_iteration, river.problem, draws, Quantile(0.5))
    assert not plan.converged and plan.iterations < 5


@pytest.mark.parametrize("solver", COMPILED, ids=["policy", "value"])
def test_the_plan_is_consistent_and_at_rounding_level_when_nothing_is_tolerated(solver):
    river = bm.environments.riverswim(6, discount=0.99)
    draws = random_draws(np.random.default_rng(2), (50, 6, 2, 6), 1 / 6)
    plan = solved(solver, river.problem, Draws(draws, river.reward), Quantile(0.2), tolerance=0.0)
    q = jax.jit(backup)(river.problem, Draws(draws, river.reward), plan.value, Quantile(0.2))
    np.testing.assert_allclose(plan.q, q, rtol=1e-15)
    np.testing.assert_array_equal(plan.policy, np.argmax(q, -1))
    assert plan.residual == np.abs(np.max(q, -1) - plan.value).max()
    assert plan.converged and at_rounding_level(plan, river.problem)


def test_many_at_once_equal_one_at_a_time():
    river = bm.environments.riverswim(6)
    draws = random_draws(np.random.default_rng(2), (4, 30, 6, 2, 6), 1 / 6)

    def solve(kernels):
        return policy_iteration(river.problem, Draws(kernels, river.reward), Quantile(0.3))

    single = jax.jit(solve)
    mapped, batched = jax.jit(lambda d: lax.map(solve, d))(draws), jax.jit(jax.vmap(solve))(draws)
    for i in range(4):
        alone = single(draws[i])
        np.testing.assert_array_equal(mapped.value[i], alone.value)
        np.testing.assert_allclose(batched.value[i], alone.value, rtol=0, atol=2e-10)


def test_sparse_states_by_the_iterative_solver(monkeypatch):
    monkeypatch.setattr(evaluation, "SMALL", 10)
    monkeypatch.setattr(evaluation, "DENSE_LIMIT", 10)
    rng = np.random.default_rng(5)
    successor = rng.integers(0, 60, (60, 2, 3))
    draws, reward = random_draws(rng, (20, 60, 2, 3), 0.5), rng.random((60, 2, 1))
    problem = problem_of(reward, 0.97, successor=successor)
    dense = oracles.dense_transition(draws, successor, 60)
    for level, risk in ((None, Mean()), (0.3, Quantile(0.3))):
        expected, _ = oracles.iterate_value(dense, reward[..., 0], 0.97, level)
        plan = jax.jit(lambda draws, risk=risk: policy_iteration(problem, draws, risk))(Draws(draws, reward))
        assert plan.converged and plan.bound <= 1e-10 and plan.iterations < 30
        np.testing.assert_allclose(plan.value, expected, rtol=0, atol=1e-10)
