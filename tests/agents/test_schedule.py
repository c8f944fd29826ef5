"""The adaptive level and its guarantees: the paper's Lemma 1 and the identities of pseudo-episodes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random

from bayesmdp import MDP, environments, simulate
from bayesmdp.agents import aq_brmdp, brmdp, psrl
from bayesmdp.agents.families.quantile_levels import adaptive_level, mixture, power
from bayesmdp.models import dirichlet_transitions
from bayesmdp.planning import Draws, Mean, Quantile, policy_iteration
from tests.statistical import assert_standard_normal

SCHEDULE = {"scale": 1.0, "sensitivity": 0.5, "floor": 0.1}


def test_level_by_hand():
    visits = np.array([[0, 3], [4, 9]])
    ratio = np.array([[1, 3], [4, 9]]) / 4.25
    for reading, factor in (("mixture", 0.7 + 0.3 * ratio), ("power", ratio**0.3)):
        expected = np.maximum(0.1, 1 - 0.5 / np.sqrt(4) * factor)
        with jax.enable_x64(True):
            level = adaptive_level(4.0, visits, scale=0.5, sensitivity=0.3, floor=0.1, visit_factor=reading)
        np.testing.assert_allclose(level, expected, rtol=1e-14)


@pytest.mark.parametrize("sensitivity", [0.1, 0.5, 1.0])
def test_the_visit_factors_of_all_pairs_sum_to_their_number(sensitivity):
    """The equality in which the proof of Lemma 1 ends; the power keeps its inequality only."""
    for seed in range(20):
        relative = np.random.default_rng(seed).gamma(0.3, size=(7, 3))
        relative /= relative.mean()
        assert mixture(relative, sensitivity).sum() == pytest.approx(21, rel=1e-13)
        assert power(relative, sensitivity).sum() < 21 or sensitivity == 1


def test_without_its_factors_it_is_the_agent_of_one_level():
    river = environments.riverswim(6)
    prior = dirichlet_transitions(river, concentration=1 / 6)
    bare = aq_brmdp(prior, scale=0.3, sensitivity=0.0, decay=0.0)
    result = simulate(river, {"bare": bare, "level": brmdp(prior, level=0.7)}, steps=300, replicates=2)
    assert np.unique(result["level"].sel(agent="bare")).tolist() == pytest.approx([0.7])
    np.testing.assert_array_equal(*result["state"].values)
    assert brmdp(prior, level=0.7).describe() == {"algorithm": "brmdp", "level": 0.7, "draw_scale": 68.0} | {
        "num_draws": 200,
        "draws": "fresh",
        "share": 0.1,
    }
    # The time factor alone: levels rise with the pseudo-episode and are the same for all pairs.
    visits = np.arange(12.0).reshape(6, 2)
    for decay in (0.5, 1.0):
        level = adaptive_level(9.0, visits, scale=1.0, sensitivity=0.0, floor=0.1, decay=decay)
        np.testing.assert_allclose(level, np.full((6, 2), 1 - 9.0**-decay), rtol=1e-6)


def test_level_falls_with_visits_and_rises_with_periods():
    visits = np.arange(12.0).reshape(6, 2) ** 2
    early, late = (np.asarray(adaptive_level(k, visits, **SCHEDULE)) for k in (4.0, 400.0))
    assert (np.diff(late.ravel()) <= 0).all()
    assert (late >= early).all() and (late > early).any()
    assert early.min() >= 0.1 - 1e-7


def two_state_problem():
    return MDP(reward=np.array([[0.0, 0.3], [1.0, 0.2]]), discount=0.9).problem


def optimism(key, scale, period, fixed):
    """For a kernel from the prior and data of it: is V_k >= V* everywhere, is V_k >= the floor's V.

    With the schedule's levels, or with `fixed` ones where that is not 0.
    """
    problem = two_state_problem()
    kernel_key, data_key, draw_key = random.split(key, 3)
    kernel = random.dirichlet(kernel_key, jnp.ones((2, 2, 2)), dtype=float)
    sizes = jnp.array([[2, 40], [10, 5]])
    seen = random.uniform(data_key, (2, 2, 40)) < kernel[..., :1]
    first = jnp.sum(seen & (jnp.arange(40) < sizes[..., None]), -1)
    counts = jnp.stack([first, sizes - first], -1)
    draws = random.dirichlet(draw_key, 1.0 + counts, (1000, 2, 2), dtype=float)
    level = adaptive_level(period, sizes, scale=scale, sensitivity=0.5, floor=0.1)
    level = jnp.where(fixed > 0, fixed, level)
    solve = partial(policy_iteration, problem)
    cautious, ours = lax.map(
        lambda level: solve(Draws(draws, problem.reward), Quantile(level)).value,
        jnp.stack([jnp.full_like(level, 0.1), level]),
    )
    best = solve(Draws(kernel[None], problem.reward), Mean()).value
    return (ours >= best).all(), (ours >= cautious - 1e-9).all()


@jax.jit
def optimism_of_each(keys, scale, period, fixed):
    return lax.map(lambda key: optimism(key, scale, period, fixed), keys)


@pytest.mark.slow
@pytest.mark.parametrize("scale, period", [(0.5, 100.0), (0.3, 25.0)])
def test_lemma_1(scale, period):
    bound = 1 - 4 * scale / np.sqrt(period)
    with jax.enable_x64(True):
        keys = random.split(random.key(0), 300)
        optimistic, above_floor = map(np.asarray, optimism_of_each(keys, scale, period, 0.0))
        low, _ = map(np.asarray, optimism_of_each(keys, scale, period, 0.1))
    error = np.sqrt(bound * (1 - bound) / len(optimistic))
    assert 0.5 < bound < 1
    assert optimistic.mean() >= bound - 4 * error
    assert above_floor.all()
    # The test can fail: a fixed low level is far from optimistic that often.
    assert low.mean() < bound - 10 * error


def test_value_decomposition_of_a_pseudo_episode():
    """E sum_{i<L} (V_k - V^pi)(s_i) = E sum_{j<L} (j + 1) delta_j, with delta the two backups' one-step difference."""
    river = environments.riverswim(6)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, river.transition.shape)
    draws = np.stack([[rng.dirichlet(row) for row in 1 / 6 + counts.reshape(12, 6)] for _ in range(101)])
    with jax.enable_x64(True):
        draws = Draws(draws.reshape(101, 6, 2, 6), river.reward)
        plan = jax.jit(policy_iteration)(river.problem, draws, Quantile(rng.uniform(0.1, 0.9, (6, 2))))
    states, policy = np.arange(6), np.asarray(plan.policy)
    chain, reward = river.transition[states, policy], river.reward[states, policy, 0]
    spread = np.linalg.inv(np.eye(6) - 0.95 * chain)
    discrepancy = np.asarray(plan.q)[states, policy] - (reward + 0.95 * chain @ np.asarray(plan.value))
    lhs = spread @ (np.asarray(plan.value) - spread @ reward)
    np.testing.assert_allclose(lhs, spread @ spread @ discrepancy, atol=1e-8)
    assert np.abs(discrepancy).max() > 0.01


def test_number_and_length_of_pseudo_episodes():
    river = environments.riverswim(6, discount=0.9)
    result = simulate(river, {"PSRL": psrl(dirichlet_transitions(river))}, steps=400, replicates=200, seed=5)
    period = result["period"].values[0]
    number = period[:, -1]
    assert_standard_normal((number.mean() - (1 + 0.1 * 399)) / np.sqrt(399 * 0.1 * 0.9 / 200))
    # Lengths are Geometric(1 - discount) from 1: the chance of a new period after any step is .1.
    assert_standard_normal((np.diff(period, axis=1).mean() - 0.1) / np.sqrt(0.09 / (200 * 399)))
    # ... and memoryless: as likely right after a start as later.
    starts = np.diff(period, axis=1) > 0
    after_start = starts[:, 1:][starts[:, :-1]]
    assert_standard_normal((after_start.mean() - 0.1) / np.sqrt(0.09 / after_start.size))


def test_recorded_level_is_the_schedule():
    river = environments.riverswim(6)
    agent = aq_brmdp(dirichlet_transitions(river, concentration=1 / 6), **SCHEDULE)
    result = simulate(river, {"AQ": agent}, steps=300, replicates=2, seed=1)
    level, period = result["level"].values[0], result["period"].values[0]
    assert level.min() >= 0.1 - 1e-6 and level.max() < 1
    assert (level[period == 1] == np.float32(0.1)).all()  # lambda_1 = 1, all relative visits 1: 1 - 1 = 0, so the floor
    assert result["failures"].values.max() == 0


def test_without_a_discount_periods_double_visits_and_levels_count_them():
    river = environments.riverswim(6, discount=None)
    agent = aq_brmdp(dirichlet_transitions(river, concentration=1 / 6), sensitivity=0.5, num_draws=20)
    run = simulate(river, {"AQ": agent}, steps=250, replicates=1).to_dataset().isel(agent=0, replicate=0)
    states, actions, period, told = (run[name].values for name in ("state", "action", "period", "level"))
    visits, before, number = np.zeros((6, 2)), np.zeros((6, 2)), 1
    level = adaptive_level(1.0, before, **SCHEDULE)
    for t, (s, a) in enumerate(zip(states, actions, strict=True)):
        assert period[t] == number and told[t] == pytest.approx(float(level[s, a]), abs=1e-6)
        visits[s, a] += 1
        if visits[s, a] >= 2 * max(before[s, a], 0.5):
            before, number = visits.copy(), number + 1
            level = adaptive_level(float(number), before, **SCHEDULE)
    assert number > 10 and float(run["failures"].max()) == 0
