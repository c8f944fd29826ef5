"""Continuous problems simulated by their models: the lake against its own geometry, its mesh against simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.planning import Draws, Mean, policy_evaluation, policy_iteration
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import next_states
from bayesmdp.results.files import load, save
from tests.statistical import assert_follows, assert_p_value, counts_p_value

LAKE = bm.environments.slippery_lake()
LETTERS = np.array(list("".join(LAKE.layout)))
LEFT, DOWN, RIGHT, UP = range(4)


compiled_states = jax.jit(next_states, static_argnums=0)


def simulated(state, action, count, seed=0, lake=LAKE):
    with jax.enable_x64(True):
        states, actions = np.tile(np.asarray(state, float), (count, 1)), np.full(count, action)
        return np.asarray(compiled_states(lake.model, jax.random.key(seed), lake.truth, states, actions))


def test_a_move_on_ice_turns_as_told_and_is_uniform_in_length():
    start = np.array([1.5, 2.5])  # from here no move leaves the lake
    moved = simulated(start, RIGHT, 20_000) - start
    across = np.abs(moved[:, 0]) > 0
    right, up, down = (moved[:, 0] > 0).sum(), (moved[:, 1] < 0).sum(), (moved[:, 1] > 0).sum()
    assert right + up + down == 20_000 and (moved[across][:, 1] == 0).all()
    # To the left of right is up, to its right down.
    assert_p_value(counts_p_value([up, right, down], [2_000, 16_000, 2_000]), "turns")
    assert_follows(np.abs(moved).sum(-1), stats.uniform(), "lengths")


def test_edges_holes_and_the_goal():
    corner = np.array([0.2, 0.2])
    after = simulated(corner, LEFT, 20_000)
    moved = (after != corner).any(-1)
    assert ((after >= 0) & (after <= 4)).all()
    # Left (.8) and up (.1) fit in with lengths up to .2; down (.1) always.
    assert moved.mean() == pytest.approx(0.9 * 0.2 + 0.1, abs=4 * np.sqrt(0.28 * 0.72 / 20_000))
    hole = np.array([1.5, 1.5])
    after = simulated(hole, UP, 20_000)
    moved = (after != hole).any(-1)
    assert moved.mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 20_000))
    assert (after[:, 0] == 1.5).all() and (after[:, 1] <= 1.5).all()
    back = np.floor(simulated([3.5, 3.5], UP, 20_000)).astype(int)
    seen = np.bincount(4 * back[:, 1] + back[:, 0], minlength=16)
    ice = np.isin(LETTERS, ("S", "F"))
    assert_p_value(counts_p_value(seen, ice), "cells")


@pytest.mark.parametrize(
    "place, action", [((0.75, 2.42), RIGHT), ((1.5, 1.25), DOWN), ((3.92, 0.08), UP), ((3.5, 3.5), 0)]
)
def test_the_mesh_has_the_distribution_of_simulated_next_states(place, action):
    problem = LAKE.problem
    with jax.enable_x64(True):
        kernel = np.asarray(problem.kernel({name: jnp.asarray(value) for name, value in LAKE.truth.items()}))
    assert kernel.shape == (784, 4, 784)
    np.testing.assert_allclose(kernel.sum(-1), 1, atol=1e-12)
    assert kernel.min() >= 0
    at = int(((problem.points - place) ** 2).sum(-1).argmin())
    after = simulated(problem.points[at], action, 20_000)
    squares = np.minimum(np.floor(after * 7), 27).astype(int)
    seen = np.bincount(28 * squares[:, 1] + squares[:, 0], minlength=784)
    assert_p_value(counts_p_value(seen, kernel[at, action]), "squares")


def optimum(lake):
    problem = lake.problem
    with jax.enable_x64(True):
        kernel = problem.kernel({name: jnp.asarray(value) for name, value in lake.truth.items()})
        plan = policy_iteration(problem.mesh, Draws(kernel[None], problem.mesh.reward), Mean())
        value = policy_evaluation(problem.mesh, kernel, problem.mesh.reward, plan.policy)
        start = int(problem.nearest(problem.start))
    return np.asarray(value), np.asarray(plan.policy), start


@pytest.mark.slow
def test_values_on_the_mesh_are_those_of_the_continuous_problem():
    """The mesh's best policy, followed by simulation, earns what the mesh says, and finer meshes agree."""
    value, policy, start = optimum(LAKE)
    finer, _, at = optimum(bm.environments.slippery_lake(resolution=11))
    assert value[start] == pytest.approx(finer[at], rel=0.005)
    runs, total = 4_000, np.zeros(4_000)
    state = np.tile(LAKE.problem.start, (runs, 1))
    with jax.enable_x64(True):
        go = jax.jit(lambda key, state, action: next_states(LAKE.model, key, LAKE.truth, state, action))
        nearest = jax.jit(jax.vmap(LAKE.problem.nearest))
        for step in range(160):
            action = policy[np.asarray(nearest(state))]
            after = go(jax.random.key(step), state, action)
            total += 0.95**step * np.asarray(LAKE.problem.reward(state, action, after))
            state = np.asarray(after)
    error = total.std() / np.sqrt(runs)
    # The mesh's own error is allowed beside that of the simulation.
    assert total.mean() == pytest.approx(value[start], abs=4 * error + 0.005 * value[start])


@pytest.mark.slow
def test_a_run_is_the_same_alone_and_resumed_and_its_log_can_be_read(tmp_path):
    prior = bm.models.slippery_lake(LAKE)
    agent = bm.agents.fitted_psrl(prior, approximation="linear", iterations=3, places=16, samples=2)
    options = {"steps": 60, "seed": 3, "checkpoints": [30], "checkpoint_draws": 50}
    one = bm.simulate(LAKE, {"A": agent}, replicates=1, **options)
    save(one, tmp_path / "one.nc")
    many = bm.simulate(LAKE, {"A": agent}, replicates=3, resume=load(tmp_path / "one.nc"), **options)
    fresh = bm.simulate(LAKE, {"A": agent}, replicates=3, **options)
    for name in ("state", "action", "reward", "regret"):
        np.testing.assert_array_equal(many[name].values, fresh[name].values)
    assert (one["regret"].values >= -1e-9).all()
    assert ((one["state"].values >= 0) & (one["state"].values <= 4)).all()
    assert one["beliefs/A/posterior"]["direction"].dims == ("chain", "draw", "checkpoint", "replicate", "way")
    with pytest.raises(ValueError, match="digest"):
        other = bm.environments.slippery_lake(mobility=0.2)
        bm.simulate(other, {"A": agent}, replicates=2, resume=one, **options)


@pytest.mark.slow
def test_regret_is_the_value_lost_on_the_mesh():
    """An agent of 1 iteration from weights 0 goes left for ever in its first pseudo-episode."""
    value, _, _ = optimum(LAKE)
    prior = bm.models.slippery_lake(LAKE)
    agent = bm.agents.fitted_psrl(
        prior, approximation=bm.planning.LinearQ(ridge=1e12), iterations=1, places=4, samples=1
    )
    run = bm.simulate(LAKE, {"A": agent}, steps=40, replicates=1)
    problem = LAKE.problem
    with jax.enable_x64(True):
        kernel = problem.kernel({name: jnp.asarray(v) for name, v in LAKE.truth.items()})
        left = policy_evaluation(problem.mesh, kernel, problem.mesh.reward, np.zeros(784, int))
    assert (run["action"].values == LEFT).all()
    at = [int(((problem.points - s) ** 2).sum(-1).argmin()) for s in run["state"].values[0, 0]]
    np.testing.assert_allclose(run["regret"].values[0, 0], (value - np.asarray(left))[at], atol=1e-8)


def test_collect_takes_a_policy_of_states():
    log = bm.collect(LAKE, lambda state: jnp.where(state[0] < 2, RIGHT, UP), steps=50, seed=1)
    right = log["action"].values == "right"
    np.testing.assert_array_equal(right, log["state"].values[:, 0] < 2)
    np.testing.assert_array_equal(log["next_state"].values[:-1], log["state"].values[1:])
    with pytest.raises(TypeError, match="policy must be"):
        bm.collect(LAKE, np.zeros(3), steps=5)


def line(data):
    reach = numpyro.sample("reach", dist.Pareto(0.1, 2.0))
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, reach), obs=data.seen.get("length"))
    sign = jnp.where(data.action == 0, -1.0, 1.0)
    numpyro.deterministic("next_state", jnp.clip(data.state + (sign * length)[:, None], 0, 1))


def unmoving(data):
    numpyro.sample("reach", dist.Pareto(0.1, 2.0))


def looking_up(data):
    numpyro.sample("reach", dist.Pareto(0.1, 2.0))
    numpyro.deterministic("next_state", data.state + data.seen["length"][:, None])


def same(state):
    return state


def arrive(state, action, next_state):
    return (next_state[..., 0] >= 1).astype(float)


GOOD = {
    "model": line,
    "truth": {"reach": 0.3},
    "reward": arrive,
    "reward_range": (0.0, 1.0),
    "features": same,
    "start": [0.0],
    "low": [0.0],
    "high": [1.0],
    "actions": ("left", "right"),
    "discount": 0.9,
}


def test_without_a_mesh_regret_is_unknown():
    mdp = SimulatedMDP(**GOOD)
    assert mdp.problem.anchors.ravel().tolist() == [0.1, 0.3, 0.5, 0.7, 0.9]
    agent = bm.agents.fitted_aq_brmdp(line, num_draws=5, approximation="linear", iterations=2, places=4, samples=1)
    run = bm.simulate(mdp, {"A": agent}, steps=30, replicates=1)
    assert np.isnan(run["regret"].values).all()
    assert np.isfinite(run["reward"].values).all()


@pytest.mark.parametrize(
    "change, error, why",
    [
        ({"start": [2.0]}, ValueError, r"start\[0\] = 2 must lie between"),
        ({"low": [1.0]}, ValueError, r"start\[0\] = 0 must lie between low\[0\] = 1"),
        ({"discount": 1.0}, ValueError, "discount"),
        ({"reward_range": (1.0, 0.0)}, ValueError, "the lowest reward comes first"),
        ({"model": unmoving}, ValueError, "computes no next state"),
        ({"truth": {}}, ValueError, "truth has no 'reach'"),
        ({"truth": {"reach": 0.3, "raech": 0.3}}, ValueError, "truth has 'raech'; the model's unknowns are reach"),
        ({"truth": {"reach": [0.3, 0.4]}}, ValueError, r"truth of 'reach' has shape \(2,\)"),
        ({"truth": {"reach": -1.0}}, ValueError, "truth of 'reach' is -1.0, which it cannot be"),
        ({"reward": lambda s, a, n: 10.0 * arrive(s, a, n)}, ValueError, "a reward is 10, outside the reward_range"),
        ({"reward": lambda s, a, n: n}, ValueError, r"reward of \d+ states has shape"),
        ({"alike": lambda s: s > 2}, ValueError, "alike of"),
        ({"anchors": np.zeros((3, 2))}, ValueError, r"anchors have shape \(3, 2\)"),
        ({"anchors": np.zeros((0, 1))}, ValueError, "anchors have shape"),
        ({"model": looking_up}, ValueError, r"use data.seen.get\('length'\)"),
        ({"features": lambda s: s / 0}, ValueError, "features is"),
        ({"model": "a model"}, TypeError, "NumPyro function"),
        ({"start": [0.0, 0.0], "low": [0, 0], "high": [1, 1], "features": jnp.sum}, ValueError, "features of 656"),
        ({"actions": ("left", "left")}, ValueError, "actions"),
    ],
)
def test_bad_problems_are_refused(change, error, why):
    with pytest.raises(error, match=why):
        SimulatedMDP(**{**GOOD, **change})


@pytest.mark.parametrize(
    "options, why",
    [
        ({"mobility": 1.5}, "mobility"),
        ({"reach": 0.0}, "reach"),
        ({"direction": (0.5, 0.4, 0.4)}, "sums to 1.3"),
        ({"direction": (0.5, 0.5)}, "direction"),
        ({"layout": "9x9"}, "no map '9x9'"),
    ],
)
def test_bad_lakes_are_refused(options, why):
    with pytest.raises(ValueError, match=why):
        bm.environments.slippery_lake(**options)


def test_priors_that_do_not_fit_are_refused():
    def other(data):
        reach = numpyro.sample("reach", dist.Pareto(0.1, 2.0))
        with data.rows():
            length = numpyro.sample("step_length", dist.Uniform(0, reach), obs=data.seen.get("step_length"))
        numpyro.deterministic("next_state", data.state + length[:, None])

    with pytest.raises(ValueError, match="observes 'step_length', which slippery-lake does not record"):
        bm.simulate(LAKE, {"A": bm.agents.fitted_psrl(other)}, steps=5)
    finite = bm.models.dirichlet_transitions(bm.environments.riverswim(3))
    with pytest.raises(TypeError, match="'dirichlet_transitions' does not run on steps of a continuous problem"):
        bm.simulate(LAKE, {"A": bm.agents.fitted_psrl(finite)}, steps=5)


def earlier(state, action, next_state):
    return (next_state[..., 0] >= 0.999).astype(float)


def costly_left(state, action, next_state):
    return arrive(state, action, next_state) * jnp.where((action == 0) & (state[..., 0] < 0.05), 0.5, 1.0)


@pytest.mark.parametrize("change", [{"reward": earlier}, {"reward": costly_left}, {"features": jnp.square}])
def test_results_are_not_resumed_by_another_problem(change):
    agent = bm.agents.fitted_psrl(line, approximation="linear", iterations=1, places=4, samples=1)
    run = bm.simulate(SimulatedMDP(**GOOD), {"A": agent}, steps=5, replicates=1)
    with pytest.raises(ValueError, match="digest"):
        bm.simulate(SimulatedMDP(**{**GOOD, **change}), {"A": agent}, steps=5, replicates=2, resume=run)


def test_agents_of_other_spaces_are_refused():
    river = bm.environments.riverswim(3)
    tabular = bm.agents.psrl(bm.models.dirichlet_transitions(river))
    with pytest.raises(ValueError, match="fitted_psrl, fitted_brmdp and fitted_aq_brmdp"):
        bm.simulate(LAKE, {"A": tabular}, steps=5)
    fitted = bm.agents.fitted_psrl(bm.models.slippery_lake(LAKE), room=10)
    with pytest.raises(ValueError, match="states; those of riverswim-3 are finite"):
        bm.simulate(river, {"A": fitted}, steps=5)
    by_particles = bm.agents.fitted_psrl(bm.with_particles(bm.models.slippery_lake(LAKE)), room=10)
    with pytest.raises(ValueError, match="with room=20"):
        bm.simulate(LAKE, {"A": by_particles}, steps=20)
    with pytest.raises(ValueError, match="robust regret is of discounted value in finite MDPs"):
        bm.simulate(LAKE, {"A": fitted}, steps=5, robust=bm.Robust())
    with pytest.raises(ValueError, match="other true values"):
        bm.simulate(LAKE, {"A": fitted}, steps=5, truth=bm.models.slippery_lake(LAKE))
