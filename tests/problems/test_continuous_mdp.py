"""Continuous states: the wearing machine against SciPy and a grid, and what is refused."""

import jax
import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.environments.wearing_machine import LOWER, REWARD, UPPER
from bayesmdp.results.files import load, save

MACHINE = bm.environments.wearing_machine()
LOW, HIGH, EARNED = (np.array(table) for table in (LOWER, UPPER, REWARD))


def bernstein(x):
    return np.stack([stats.binom.pmf(i, 3, x) for i in range(4)], -1)


def kumaraswamy(x, a):
    return np.stack([1 - (1 - x ** LOW[a, i]) ** HIGH[a, i] for i in range(4)])


def on_a_grid(cells):
    """Cells of equal width, from whose middles the machine moves."""
    edges = np.linspace(0, 1, cells + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    mixed = np.stack([bernstein(middles) @ np.diff(kumaraswamy(edges, a)) for a in range(3)], 1)
    return bm.MDP(transition=mixed / mixed.sum(-1, keepdims=True), reward=bernstein(middles) @ EARNED.T, discount=None)


def test_gain_and_span_agree_with_a_fine_grid():
    plan = bm.solve(on_a_grid(800))
    assert float(plan.gain) == pytest.approx(MACHINE.gain, abs=1e-6)
    assert plan.attrs["span"] == pytest.approx(MACHINE.span, abs=2e-3)
    switches = np.flatnonzero(np.diff(plan.policy.values))
    # Run when new, spare when worn, repair when worn out; as the docstring says.
    assert plan.policy.values[[0, *switches + 1]].tolist() == [0, 1, 2]
    np.testing.assert_allclose((switches + 1) / 800, [0.21, 0.66], atol=0.01)


@pytest.mark.parametrize("x, a", [(0.0, 0), (0.3, 1), (0.7, 0), (1.0, 2)])
def test_next_states_have_the_distribution_that_is_linear_in_the_features(x, a):
    with jax.enable_x64(True):
        problem = jax.tree.map(jax.numpy.asarray, MACHINE.problem)
        uniforms = jax.random.uniform(jax.random.key(0), (4_000, 2))
        drawn = jax.vmap(lambda u: problem.draw(problem.parameters, u, np.float64(x), a))(uniforms)
        features, reward = problem.view(problem.parameters, np.float64(x))
    assert stats.kstest(np.asarray(drawn), lambda y: bernstein(np.array(x)) @ kumaraswamy(y, a)).pvalue > 1e-3
    np.testing.assert_allclose(np.asarray(features)[a, 4 * a : 4 * a + 4], bernstein(np.array(x)), atol=1e-12)
    assert np.asarray(features).sum() == pytest.approx(3)
    np.testing.assert_allclose(reward, EARNED @ bernstein(np.array(x)), atol=1e-12)


def _elsewhere(parameters, uniforms, state, action):
    return uniforms[0]


@pytest.mark.slow
def test_runs_record_numbers_and_regret_against_the_gain(tmp_path):
    agent = bm.agents.gamma_lscvi_ucb_visited(horizon=200, span=MACHINE.span)
    options = {"steps": 200, "replicates": 2, "seed": 3}
    result = bm.simulate(MACHINE, {"visited": agent}, **options)
    x, a = result["state"].values[0], result["action"].values[0]
    assert x.dtype == float and (x[:, 0] == 0).all() and ((x >= 0) & (x <= 1)).all()
    earned = np.take_along_axis(bernstein(x) @ EARNED.T, a[..., None], -1)[..., 0]
    np.testing.assert_allclose(result["reward"].values[0], earned, atol=1e-12)
    np.testing.assert_allclose(result["regret"].values[0], MACHINE.gain - earned, atol=1e-12)
    again = bm.simulate(MACHINE, {"visited": agent}, **{**options, "replicates": 3}, resume=result)
    np.testing.assert_array_equal(again["state"].values[:, :2], result["state"].values)
    other = bm.ContinuousMDP(
        view=MACHINE.problem.view,
        draw=_elsewhere,
        parameters=MACHINE.problem.parameters,
        start=0.0,
        actions=MACHINE.actions,
        gain=MACHINE.gain,
        span=MACHINE.span,
        name=MACHINE.name,
    )
    with pytest.raises(ValueError, match="resume holds another run: its digest"):
        bm.simulate(other, {"visited": agent}, **{**options, "replicates": 3}, resume=result)
    with pytest.raises(ValueError, match="numbers of a continuous space"):
        bm.occupancy(result)
    bm.plot_study(result)
    save(result, tmp_path / "machine.nc")
    np.testing.assert_array_equal(load(tmp_path / "machine.nc")["state"].values, result["state"].values)


@pytest.mark.slow
def test_it_learns_the_machine():
    agent = bm.agents.gamma_lscvi_ucb_visited(horizon=2_000, span=MACHINE.span, scale=0.03)
    regret = bm.simulate(MACHINE, {"visited": agent}, steps=2_000, replicates=3, thin=500)["regret"].values[0]
    # Acting at random loses .24 a step; the last quarter is far below, and below the first.
    assert regret[:, -1].mean() < 0.05 * 500
    assert regret[:, -1].mean() < regret[:, 0].mean()


def test_agents_and_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"agents\['UCRL2'\] \(ucrl2\) is for MDPs with finite states; .* continuous"):
        bm.simulate(MACHINE, {"UCRL2": bm.agents.ucrl2()}, steps=10, replicates=1)
    agent = bm.agents.gamma_lscvi_ucb_visited(horizon=10, span=1.0)
    with pytest.raises(ValueError, match="truth draws kernels of finite MDPs"):
        bm.simulate(MACHINE, {"visited": agent}, steps=10, replicates=1, truth=lambda: None)
    for refused in (
        lambda: bm.solve(MACHINE),
        lambda: bm.evaluate(MACHINE, "uniform"),
        lambda: bm.plan(None, MACHINE),
        lambda: bm.value_draws(None, MACHINE, "uniform"),
        lambda: bm.collect(MACHINE, steps=3),
        lambda: bm.environments.to_gymnasium(MACHINE),
    ):
        with pytest.raises(TypeError, match=r"mdp must be a bayesmdp\.MDP.*; got ContinuousMDP"):
            refused()
    problem = MACHINE.problem
    parts = {"view": problem.view, "draw": problem.draw, "parameters": problem.parameters, "start": 0.0, "gain": 0.5}
    with pytest.raises(ValueError, match=r"view gives features \(3, 12\) and rewards \(3,\); .* 2 actions"):
        bm.ContinuousMDP(**parts, actions=("run", "repair"), span=1.0)
    with pytest.raises(ValueError, match=r"draw gives a state of shape \(2,\); expected that of start, \(\)"):
        bm.ContinuousMDP(**{**parts, "draw": lambda p, u, s, a: u}, actions=("run", "spare", "repair"), span=1.0)
    with pytest.raises(
        ValueError, match=r"room for the states of 10 steps, fewer than wearing-machine has; steps is 20: .* horizon=20"
    ):
        bm.simulate(MACHINE, {"visited": agent}, steps=20, replicates=1)
    rich = {**parts, "parameters": problem.parameters._replace(reward=3 * problem.parameters.reward)}
    with pytest.raises(ValueError, match=r"earns 3 by action 'run' in state 0\.0, which is outside \[0, 1\]"):
        rich_machine = bm.ContinuousMDP(**rich, actions=("run", "spare", "repair"), span=1.0)
        bm.simulate(rich_machine, {"visited": agent}, steps=10, replicates=1)
    with pytest.raises(ValueError, match="span must be a number of at least 0; got -1"):
        bm.ContinuousMDP(**parts, actions=("run", "spare", "repair"), span=-1)
