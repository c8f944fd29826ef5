"""The best row of a ball of Kullback-Leibler divergence, against its dual and a general solver."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

import bayesmdp as bm
from bayesmdp.planning import Draws, GainPlan, KLBall, average_policy_iteration, relative_value_iteration


def best_value(share: NDArray, value: NDArray, radius: float) -> float:
    """The largest p value with KL(share, p) <= radius: min over nu of nu - exp(sum share log(nu - value) - radius)."""
    seen, width = share > 0, np.ptp(value)

    def dual(log: float) -> float:
        above = np.exp(log)
        return value.max() + above - np.exp(share[seen] @ np.log(above + (value.max() - value[seen])) - radius)

    grid = np.linspace(np.log(width) - 40, np.log(width) + 20, 3_001)
    least = int(np.argmin([dual(x) for x in grid]))
    ends = grid[max(least - 1, 0)], grid[min(least + 1, 3_000)]
    return optimize.minimize_scalar(dual, bounds=ends, method="bounded", options={"xatol": 1e-12}).fun


compiled_best = jax.jit(lambda ball, share, value: ball.best_for(share, value))


def best_row(share: NDArray, value: NDArray, radius: float) -> NDArray:
    with jax.enable_x64(True):
        return np.asarray(compiled_best(KLBall(np.array([[radius]])), share[None, None], value))[0, 0]


def divergence(share: NDArray, row: NDArray) -> float:
    seen = share > 0
    return float(share[seen] @ np.log(share[seen] / row[seen]))


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_best_row_attains_the_dual(outside: bool, scale: float) -> None:
    rng = np.random.default_rng(int(outside))
    for _ in range(8):
        size = int(rng.integers(3, 6))
        share, value = rng.dirichlet(np.full(size, 0.6)), scale * rng.normal(size=size)
        if outside:
            share[rng.integers(size)] = 0
            share /= share.sum()
        radius = 10 ** rng.uniform(-4, 0.7)
        row = best_row(share, value, radius)
        assert row.min() >= 0
        assert abs(row.sum() - 1) < 1e-12
        assert divergence(share, row) <= radius + 1e-7
        np.testing.assert_allclose(row @ value, best_value(share, value, radius), atol=1e-8 * np.ptp(value))


def test_a_general_solver_finds_the_same_row() -> None:
    share, value, radius = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 2.5]), 0.1
    found = optimize.minimize(
        lambda p: -p @ value,
        share,
        method="SLSQP",
        bounds=[(1e-9, 1)] * 3,
        constraints=[
            {"type": "eq", "fun": lambda p: p.sum() - 1},
            {"type": "ineq", "fun": lambda p: radius - divergence(share, p)},
        ],
        options={"ftol": 1e-14},
    ).x
    np.testing.assert_allclose(best_row(share, value, radius), found, atol=1e-5)


def test_what_is_certain_or_alike_stays_as_it_is() -> None:
    sure = np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(best_row(sure, np.array([0.0, 2.0, 1.0]), 0.5), sure)  # the best already
    # A state that was never seen: 1 - exp(-radius) is all that log(1 / p) <= radius leaves for it.
    np.testing.assert_allclose(best_row(sure, np.array([3.0, 2.0, 1.0]), 0.5), [1 - np.exp(-0.5), np.exp(-0.5), 0])
    share = np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(best_row(share, np.full(3, 1.7), 0.5) @ np.full(3, 1.7), 1.7)
    np.testing.assert_array_equal(best_row(share, np.arange(3.0), 0.0), share)


@pytest.mark.parametrize("solver", [average_policy_iteration, relative_value_iteration])
def test_gain_and_bias_solve_the_optimistic_equation(solver: Callable[..., GainPlan]) -> None:
    river = bm.environments.riverswim(4, discount=None)
    share = (river.transition + 0.05) / (river.transition + 0.05).sum(-1, keepdims=True)
    with jax.enable_x64(True):
        plan = jax.jit(solver)(river.problem, Draws(share[None], river.reward), KLBall(np.full((4, 2), 0.05)))
    assert bool(plan.converged)
    value = np.asarray(plan.value)
    ahead = [[best_value(share[s, a], value, 0.05) for a in range(2)] for s in range(4)]
    best = (river.reward[..., 0] + np.array(ahead)).max(1)
    np.testing.assert_allclose(best, float(plan.gain) + value, atol=1e-7)
    assert float(plan.gain) > float(bm.solve(river).gain)
