"""Q by trees and by neighbours: against scikit-learn's own answers, and plans whose values are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.neighbors import KNeighborsRegressor

import bayesmdp as bm
from bayesmdp.planning import (
    Draws,
    FittedQ,
    Mean,
    NeighboursQ,
    Rollouts,
    TreesQ,
    fitted_policy,
    policy_iteration,
)
from bayesmdp.planning.approximations import approximation
from tests.corridor import MDP, ROOMS, tabular


def told(fit, approximate, at):
    with jax.enable_x64(True):
        return np.asarray(jax.jit(approximate.value)(jax.tree.map(jnp.asarray, fit), jnp.asarray(at)))


@pytest.fixture
def seen():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 4)), rng.normal(size=(300, 3))


def test_trees_say_what_scikit_learn_says_of_them(seen):
    """The same trees, asked in compiled code: at the places that they were grown at, and at others."""
    place, target = seen
    trees = TreesQ(trees=7, depth=5)
    fit = trees.improve(trees.init(jax.random.key(0), 4, 3), place, target)
    made = []

    class Spy(ExtraTreesRegressor):
        def fit(self, *given):
            made.append(self)
            return super().fit(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.ensemble.ExtraTreesRegressor", Spy)
        again = trees.improve(fit, place, target)
    jax.tree.map(np.testing.assert_array_equal, fit, again)  # the same targets, the same trees
    at = np.concatenate([place, np.random.default_rng(1).normal(size=(500, 4))])
    np.testing.assert_allclose(told(fit, trees, at), made[0].predict(at), atol=1e-12)
    other = trees.improve(fit, place, target + 1e-6)
    assert np.abs(told(other, trees, at) - told(fit, trees, at)).max() > 1e-2  # other targets, other splits
    shape = jax.eval_shape(lambda key: trees.init(key, 4, 3), jax.random.key(0))
    assert jax.tree.map(np.shape, fit) == jax.tree.map(lambda leaf: leaf.shape, shape)


def test_neighbours_say_what_scikit_learn_says_of_the_latest_places(seen):
    place, target = seen
    neighbours = NeighboursQ(neighbours=5, kept=200)
    fit = neighbours.init(jax.random.key(0), 4, 3)
    with jax.enable_x64(True):
        for part in (slice(0, 100), slice(100, 200), slice(200, 300)):
            fit = neighbours.improve(fit, jnp.asarray(place[part]), jnp.asarray(target[part]))
    at = np.random.default_rng(1).normal(size=(50, 4))
    expected = KNeighborsRegressor(5).fit(place[100:], target[100:]).predict(at)
    np.testing.assert_allclose(told(fit, neighbours, at), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["trees", "neighbours"])
def test_a_table_posed_on_numbers_is_planned_for(name):
    """As its exact plan does it; features are one of each room, which trees split on and neighbours share."""
    approximate = {"trees": TreesQ(trees=5), "neighbours": NeighboursQ(kept=256)}[name]
    problem, kernel, reward = tabular(np.array([[0.5, 0.8]]))
    with jax.enable_x64(True):
        exact = jax.device_get(jax.jit(policy_iteration)(problem, Draws(kernel, reward), Mean()))
    plan = bm.solve(MDP, solver=FittedQ(approximate, places=100, samples=20, rollouts=Rollouts(number=4_000)))
    assert plan.attrs["converged"] and float(plan["lower"]) <= exact.value[0] <= float(plan["upper"])
    kept = fitted_policy(plan, MDP)
    assert kept.approximation == approximate and approximation(name).__class__ is approximate.__class__
    rooms = np.arange(ROOMS)[:, None] + 0.5
    assert kept.actions(rooms).tolist() == [MDP.actions[a] for a in exact.policy]
    np.testing.assert_allclose(kept.q(rooms).max(-1), exact.value, atol=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trees", "neighbours"])
def test_plans_are_worth_what_those_by_linear_features_are(name):
    """The thermostat's, whose features are right for it; and the policy comes back from its file."""
    room = bm.environments.thermostat(discount=0.8)
    rollouts = Rollouts(number=2_000)
    linear = bm.solve(room, solver=FittedQ(places=128, samples=4, rollouts=rollouts))
    approximate = {"trees": TreesQ(trees=5), "neighbours": NeighboursQ(kept=256)}[name]
    plan = bm.solve(
        room, solver=FittedQ(approximate, places=512 if name == "trees" else 128, samples=4, rollouts=rollouts)
    )
    assert plan.attrs["converged"] and approximation(name).__class__ is approximate.__class__
    assert float(plan.value) == pytest.approx(float(linear.value), abs=0.02 * float(linear.value))
    at = np.linspace(0, 40, 9)[:, None]
    kept = fitted_policy(plan, room)
    assert kept.approximation == approximate
    low, high = kept.q(at).min(), kept.q(at).max()
    assert room.problem.value_range[0] <= low < high <= room.problem.value_range[1]


def test_agents_refuse_what_is_fitted_on_the_host():
    with pytest.raises(ValueError, match="TreesQ is fitted between compiled programs, and an agent's loop is one"):
        bm.agents.fitted_psrl(bm.models.thermostat(), approximation="trees")
    trees = TreesQ(trees=2)
    fit = trees.init(jax.random.key(0), 1, 2)
    with pytest.raises(TypeError, match="trees are grown on the host"):
        jax.jit(trees.improve)(fit, jnp.zeros((9, 1)), jnp.zeros((9, 2)))


@pytest.mark.parametrize(
    "make, options, why",
    [
        (TreesQ, {"trees": 0}, "trees"),
        (TreesQ, {"depth": 17}, "a tree of depth 17 has 131,072 leaves; it is at most 16"),
        (TreesQ, {"fewest": 0}, "fewest"),
        (TreesQ, {"seed": -1}, "seed"),
        (NeighboursQ, {"neighbours": 0}, "neighbours"),
        (NeighboursQ, {"neighbours": 9, "kept": 8}, "kept"),
    ],
)
def test_bad_options_are_refused(make, options, why):
    with pytest.raises(ValueError, match=why):
        make(**options)
