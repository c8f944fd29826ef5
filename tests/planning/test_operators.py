import jax
import numpy as np
import pytest
from scipy import sparse

import bayesmdp as bm
from bayesmdp.planning import operators
from bayesmdp.planning import policy_values as evaluation
from bayesmdp.planning.operators import Draws, greedy, next_value, target
from bayesmdp.planning.order_statistic import order_statistic
from bayesmdp.planning.policy_values import evaluate_rows, policy_evaluation, policy_transition
from bayesmdp.planning.quantile import Quantile
from bayesmdp.planning.risk import Mean, backup
from tests import oracles

compiled_backup, compiled_evaluation = jax.jit(backup), jax.jit(policy_evaluation)


@pytest.fixture(autouse=True)
def in_64_bit():
    with jax.enable_x64(True):
        yield


def columns(rng, kind, size):
    normal = rng.normal(size=size)
    return {
        "normal": normal,
        "few values": rng.integers(0, 4, size).astype(float),
        "constant": np.full(size, -0.3),
        "neighbours": 1 + np.finfo(float).eps * rng.integers(0, 5, size),
        "cluster": np.where(rng.random(size) < 0.8, 5 + 1e-15 * normal, 1e6 * normal),
        "scales": normal * 10.0 ** rng.integers(-200, 200, size),
        "infinite": np.where(rng.random(size) < 0.3, np.inf * np.sign(normal), normal),
        "all infinite": np.inf * np.sign(normal),
        "extreme": np.where(rng.random(size) < 0.5, np.finfo(float).max * np.sign(normal), normal),
    }[kind]


KINDS = ("normal", "few values", "constant", "neighbours", "cluster", "scales", "infinite", "all infinite", "extreme")
select = jax.jit(order_statistic)
select_from = jax.jit(lambda values, rank, guess: order_statistic(values, rank, guess=guess))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("draws", [1, pytest.param(2, marks=pytest.mark.slow), 7, 60])
def test_order_statistic_is_what_sorting_gives(kind, draws):
    rng = np.random.default_rng(draws)
    values = columns(rng, kind, (draws, 25))
    ordered = np.sort(values, axis=0)
    for rank in range(1, draws + 1):
        np.testing.assert_array_equal(select(values, np.full(25, rank)), ordered[rank - 1])
    ranks = rng.integers(1, draws + 1, 25)
    expected = ordered[ranks - 1, np.arange(25)]
    np.testing.assert_array_equal(select(values, ranks), expected)
    for guess in (expected, values[0], np.full(25, np.inf), np.full(25, -np.inf), np.zeros(25)):
        np.testing.assert_array_equal(select_from(values, ranks, guess), expected)


def test_order_statistic_ends_on_nan_and_says_nan():
    values = np.random.default_rng(0).normal(size=(20, 4))
    values[3, 1] = np.nan
    for rank in (1, 7, 20):
        result = np.asarray(select(values, np.full(4, rank)))
        assert np.isnan(result[1])
        np.testing.assert_array_equal(result[[0, 2, 3]], np.sort(values, 0)[rank - 1][[0, 2, 3]])


def test_order_statistic_in_32_bit():
    values = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    result = select(values, np.full(6, 17))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.sort(values, 0)[16])


@pytest.mark.parametrize("table", [False, True])
def test_target_by_definition(table):
    lake = bm.environments.frozen_lake()
    rng = np.random.default_rng(1)
    value = rng.normal(size=16)
    form = lake.with_successors() if table else lake
    draws = rng.dirichlet(np.ones(form.num_outcomes), size=(5, 16, 4))
    reward = rng.normal(size=(5, 16, 4, form.num_outcomes))
    found = target(form.problem, draws, reward, value)
    for state in range(16):
        for action in range(4):
            for draw in range(5):
                expected = 0.0
                for outcome in range(form.num_outcomes):
                    reached = form.successor[state, action, outcome] if table else outcome
                    future = 0 if lake.terminal[reached] else value[reached]
                    r = reward[draw, state, action, outcome]
                    expected += draws[draw, state, action, outcome] * (r + lake.discount * future)
                expected = 0 if lake.terminal[state] else expected
                assert found[draw, state, action] == pytest.approx(expected, rel=1e-13, abs=1e-14)


def test_a_sum_over_many_outcomes_is_the_same_sum(monkeypatch):
    lake = bm.environments.frozen_lake()
    rng = np.random.default_rng(1)
    arguments = rng.dirichlet(np.ones(16), size=(5, 16, 4)), rng.normal(size=(16, 4, 16)), rng.normal(size=16)
    written_out = target(lake.problem, *arguments)
    monkeypatch.setattr(operators, "UNROLLED", 2)
    np.testing.assert_allclose(target(lake.problem, *arguments), written_out, rtol=1e-14, atol=1e-14)


def test_terminal_states_are_zero_whatever_their_rows():
    lake = bm.environments.frozen_lake()
    transition = lake.transition.copy()
    transition[lake.terminal] = np.nan
    q = compiled_backup(lake.problem, Draws(transition[None], lake.reward), np.ones(16), Mean())
    assert (np.asarray(q)[lake.terminal] == 0).all() and np.isfinite(q).all()
    value = compiled_evaluation(lake.problem, transition, lake.reward, np.full(16, 2))
    assert (np.asarray(value)[lake.terminal] == 0).all() and np.isfinite(value).all()
    assert (np.asarray(next_value(lake.problem, np.ones(16))) == ~lake.terminal).all()


def test_greedy_takes_the_first_best_available_action():
    problem = bm.MDP(
        reward=np.zeros((3, 3)), discount=0.9, available=[[True, True, True], [False, True, True], [True, False, True]]
    ).problem
    policy, value = greedy(problem, np.array([[1.0, 2.0, 2.0], [9.0, 1.0, 1.0], [-3.0, 5.0, -2.0]]))
    assert policy.tolist() == [1, 1, 2] and value.tolist() == [2.0, 1.0, -2.0]
    assert policy.dtype == np.int32


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_backup_is_numpys_quantile(level):
    river = bm.environments.riverswim(6)
    rng = np.random.default_rng(2)
    draws, value = rng.dirichlet(np.full(6, 1 / 6), size=(40, 6, 2)), rng.normal(size=6)
    found = compiled_backup(river.problem, Draws(draws, river.reward), value, Quantile(level))
    # The targets are the same sums in another order, so the quantile moves by their rounding and no more.
    values = oracles.targets(draws, river.reward, river.discount, value)
    expected = np.quantile(values, level, axis=0, method="inverted_cdf")
    np.testing.assert_allclose(found, expected, rtol=0, atol=4e-15)


@pytest.mark.parametrize("discount", [0.5, 0.99, 0.9999])
def test_policy_evaluation_against_a_dense_solve(discount):
    lake = bm.environments.frozen_lake(discount=discount)
    policy = np.random.default_rng(3).integers(0, 4, 16)
    expected = oracles.policy_value(lake.transition, lake.reward, discount, policy, lake.terminal)
    table = lake.with_successors()
    for form in (lake, table):
        found = compiled_evaluation(form.problem, form.transition, form.reward, policy)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)
        kernel = np.asarray(policy_transition(form.problem, form.transition, policy))
        live = ~lake.terminal
        chosen = lake.transition[np.arange(16), policy]
        np.testing.assert_allclose(kernel, chosen * live[:, None] * live, rtol=0, atol=1e-16)


@pytest.mark.parametrize(
    ("table", "limit"),
    [
        pytest.param(False, 10, marks=pytest.mark.slow),
        (False, 100),
        (True, 10),
        pytest.param(True, 100, marks=pytest.mark.slow),
    ],
    ids=["False-iterative", "False-either", "True-iterative", "True-either"],
)
def test_the_iterative_solve_agrees_with_the_direct_one(monkeypatch, table, limit):
    lake = bm.environments.frozen_lake("8x8")
    form = lake.with_successors() if table else lake
    policy = np.random.default_rng(3).integers(0, 4, 64)
    direct = compiled_evaluation(form.problem, form.transition, form.reward, policy)
    monkeypatch.setattr(evaluation, "SMALL", 10)
    monkeypatch.setattr(evaluation, "DENSE_LIMIT", limit)
    # A function of its own, as JAX keeps what was traced with other limits.
    found = jax.jit(lambda *given: policy_evaluation(*given))(form.problem, form.transition, form.reward, policy)
    np.testing.assert_allclose(found, direct, rtol=0, atol=1e-13)
    rows, rewards = form.transition[np.arange(64), policy], form.reward[np.arange(64), policy]
    once = jax.jit(lambda *given: evaluate_rows(*given, start=np.full(64, 5.0)))(form.problem, rows, rewards, policy)
    np.testing.assert_allclose(once, direct, rtol=0, atol=1e-8)


def test_fifty_thousand_sparse_states():
    rng = np.random.default_rng(4)
    size = 50_000
    mdp = bm.MDP(
        transition=rng.dirichlet(np.ones(3), size=(size, 2)),
        successor=rng.integers(0, size, (size, 2, 3)),
        reward=rng.normal(size=(size, 2)),
        discount=0.95,
        initial=np.eye(1, size)[0],
    )
    policy = rng.integers(0, 2, size)
    states = np.arange(size)
    entries = mdp.transition[states, policy].ravel(), (states.repeat(3), mdp.successor[states, policy].ravel())
    kernel = sparse.csr_array(sparse.coo_array(entries, shape=(size, size)))
    value = np.asarray(compiled_evaluation(mdp.problem, mdp.transition, mdp.reward, policy))
    residual = mdp.reward[states, policy, 0] + 0.95 * kernel @ value - value
    assert np.abs(residual).max() / 0.05 < 1e-10
