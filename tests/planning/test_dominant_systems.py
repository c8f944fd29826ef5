"""Systems of policies, eliminated without exchanges of rows: against NumPy's solutions, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

import bayesmdp as bm
from bayesmdp.planning.dominant_systems import FEW, solve_dominant, solve_within
from bayesmdp.planning.policy_values import policy_evaluation
from bayesmdp.problems.envelope import PIECE, WIDEST, envelope

TOLERANCE = 2e-9
"""Of solutions of size 1,000: what rounding to 16 digits leaves at a condition number of 2,000, and some."""


@pytest.fixture(autouse=True)
def in_64_bit():
    with jax.enable_x64(True):
        yield


def systems(rng, size, number=3, discount=0.999):
    kernels = rng.dirichlet(np.full(size, 0.3), (number, size))
    return np.eye(size) - discount * kernels, rng.normal(size=(number, size))


@pytest.mark.parametrize("size", [1, *(pytest.param(size, marks=pytest.mark.slow) for size in (2, 5)), FEW, FEW + 1])
def test_full_systems_alone_and_many_at_once(size):
    matrix, right = systems(np.random.default_rng(size), size)
    expected = np.linalg.solve(matrix, right[..., None])[..., 0]
    alone = jax.jit(solve_dominant)
    for one in zip(matrix, right, expected, strict=True):
        np.testing.assert_allclose(alone(*one[:2]), one[2], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(jax.vmap(solve_dominant)(matrix, right), expected, atol=TOLERANCE, rtol=0)
    shared = jax.vmap(solve_dominant, (None, 0))(matrix[0], right)
    np.testing.assert_allclose(shared, np.linalg.solve(matrix[0], right.T).T, atol=TOLERANCE, rtol=0)


def test_derivatives_are_those_of_the_solution():
    matrix, right = systems(np.random.default_rng(0), 5, discount=0.9)
    slopes = jax.grad(lambda *system: solve_dominant(*system)[2], argnums=(0, 1))(matrix[0], right[0])
    # x = A^-1 b: dx_2 / db = A^-T e_2 =: u, and dx_2 / dA = -u x'.
    u, x = np.linalg.solve(matrix[0].T, np.eye(5)[2]), np.linalg.solve(matrix[0], right[0])
    np.testing.assert_allclose(slopes[0], -np.outer(u, x), rtol=1e-12)
    np.testing.assert_allclose(slopes[1], u, rtol=1e-12)


def table(rng, size, down, up, entries):
    """Random rows that lead from `down` states below to `up` above, some to one state twice."""
    column = np.clip(np.arange(size)[:, None] + rng.integers(-down, up + 1, (size, entries)), 0, size - 1)
    return column, 0.999 * rng.dirichlet(np.ones(entries), size)


@pytest.mark.parametrize(
    ("size", "down", "up", "entries"),
    [
        (2, 1, 1, 2),
        (50, 0, 3, 2),
        (90, 1, 2 * PIECE, 3),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((30, 1, 1, 3), (60, 3, 0, 4), (300, 2, 4, 20))),
        (70, 5, 9, 6),
    ],
)
def test_narrow_systems_and_their_derivatives(size, down, up, entries):
    rng = np.random.default_rng(size)
    column, share = table(rng, size, down, up, entries)
    found, right = envelope(column[:, None]), rng.normal(size=(2, size))
    assert found is not None
    matrix = np.eye(size)
    np.add.at(matrix, (np.arange(size)[:, None], column), -share)
    solve = jax.jit(lambda share, right: solve_within(share, column, right, found))
    expected = np.linalg.solve(matrix, right.T).T
    np.testing.assert_allclose(solve(share, right[0]), expected[0], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(jax.vmap(solve, (None, 0))(share, right), expected, atol=TOLERANCE, rtol=0)
    slopes = jax.grad(lambda *system: solve(*system)[-1], argnums=(0, 1))(share, right[0])
    u = np.linalg.solve(matrix.T, np.eye(size)[-1])
    np.testing.assert_allclose(slopes[0], u[:, None] * expected[0][column], atol=1e3 * TOLERANCE, rtol=0)
    np.testing.assert_allclose(slopes[1], u, atol=TOLERANCE, rtol=0)


def test_an_envelope_holds_what_elimination_leaves():
    """Against the factors that SciPy finds without exchanges: no entry lies outside, and the last ones are reached."""
    rng = np.random.default_rng(4)
    column, share = table(rng, 40, 4, 2, 3)
    found = envelope(column[:, None])
    assert found is not None
    matrix = np.eye(40)
    np.add.at(matrix, (np.arange(40)[:, None], column), -share)
    parts = sparse.linalg.splu(
        sparse.csc_array(matrix), permc_spec="NATURAL", diag_pivot_thresh=0, options={"SymmetricMode": True}
    )
    assert (parts.perm_r == np.arange(40)).all()
    lower, upper = parts.L.toarray() != 0, parts.U.toarray() != 0
    lowest = np.maximum.accumulate([np.flatnonzero(entries).max() for entries in lower.T])
    last = np.maximum.accumulate([np.flatnonzero(entries).max() for entries in upper])
    np.testing.assert_array_equal(found.lowest, lowest)
    np.testing.assert_array_equal(found.last, last)
    assert found.width == max((lowest - np.arange(40)).max(), (last - np.arange(40)).max())


def test_no_envelope_where_it_would_not_help():
    rng = np.random.default_rng(0)
    assert envelope(None) is None
    assert envelope(np.array([[[0, -1]], [[1, 0]]])) is None
    size = WIDEST  # so that it is not the width
    assert envelope(rng.integers(0, size, (size, 2, 3))) is None
    # One row that leads far makes the band of every row as wide, though few rows are eliminated for longer.
    steps = np.minimum(np.arange(20_000) + 1, 19_999)[:, None, None]
    for far, wide in ((WIDEST, False), (WIDEST + 1, True), (1_000, True)):
        steps[10] = 10 + far
        assert (envelope(steps) is None) == wide
    assert bm.environments.riverswim(6).problem.envelope is None  # dense: a prior may lead anywhere
    assert bm.environments.queue(0.4).problem.envelope.width == 1


@pytest.mark.parametrize("mixed", [False, True])
def test_policies_of_a_lake_are_worth_what_without_an_envelope(mixed):
    """Terminal states, several entries to one state, and policies that mix actions."""
    lake = bm.environments.frozen_lake(discount=0.99).with_successors()
    rng, problem = np.random.default_rng(1), lake.problem
    assert problem.envelope is not None
    policy = rng.dirichlet(np.ones(4), 16) if mixed else rng.integers(0, 4, 16)
    evaluated = jax.jit(policy_evaluation)
    value = evaluated(problem, lake.transition, lake.reward, policy)
    expected = evaluated(problem._replace(envelope=None), lake.transition, lake.reward, policy)
    np.testing.assert_allclose(value, expected, atol=1e-12, rtol=0)
    assert (np.asarray(value)[np.asarray(problem.continuation) == 0] == 0).all()


def test_a_long_chain_is_certified_where_no_matrix_would_fit():
    """20,000 states in a row: a matrix of them would take 3 GB."""
    size = 20_000
    states = np.arange(size)
    successor = np.stack([np.maximum(states - 1, 0), states, np.minimum(states + 1, size - 1)], -1)[:, None]
    transition = np.tile([0.2, 0.2, 0.6], (size, 1, 1))
    reward = np.zeros((size, 1))
    reward[-1] = 1
    chain = bm.MDP(transition=transition, successor=successor, reward=reward, discount=0.9)
    plan = bm.solve(chain, tolerance=1e-9)
    assert plan.attrs["converged"]
    # Far from the ends V(s - 1), V(s), V(s + 1) fall by one factor: x = .9 (.2 / f + .2 x + .6 f x) / x.
    factor = plan.value.values[-60] / plan.value.values[-61]
    assert abs(1 - 0.9 * (0.2 / factor + 0.2 + 0.6 * factor)) < 1e-9


def test_elimination_is_what_a_cpu_runs():
    """No call of LAPACK in a plan for few states, on which the loops of agents being one kernel rests."""
    river = bm.environments.riverswim(6)
    problem = jax.tree.map(jnp.asarray, river.problem)
    evaluate = jax.jit(policy_evaluation).lower(problem, river.transition, river.reward, np.zeros(6, np.int32))
    assert "custom_call" not in evaluate.as_text()
