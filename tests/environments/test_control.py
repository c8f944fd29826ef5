"""Control problems on spaces of numbers: step by step against Gymnasium's, linear-quadratic control against Riccati."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.environments import acrobot, cart_pole, linear_quadratic, mountain_car, pendulum, riccati, thermostat
from bayesmdp.planning import FittedQ, Rollouts, fitted_policy
from bayesmdp.problems.simulated_problem import next_states
from tests.statistical import assert_follows

gymnasium = pytest.importorskip("gymnasium")


def action_of(problem, action):
    """What Gymnasium takes for an action of ours."""
    return np.array([problem.actions[action]]) if problem.name == "pendulum" else action


CONTROL = {"CartPole-v1": cart_pole, "MountainCar-v0": mountain_car, "Pendulum-v1": pendulum, "Acrobot-v1": acrobot}


@functools.cache
def problem_of(name):
    return CONTROL[name]()


ANGLES = {"Pendulum-v1": [0], "Acrobot-v1": [0, 1]}


@pytest.mark.parametrize("name", CONTROL)
def test_steps_are_those_of_gymnasium(name):
    """From 300 random states of the box, and along one episode: next states, rewards and ends, to rounding."""
    problem = problem_of(name)
    rng, env = np.random.default_rng(0), gymnasium.make(name).unwrapped
    env.reset(seed=0)
    low, high = problem.problem.low, problem.problem.high
    states = rng.uniform(low, high, (300, len(low)))
    states[::7, 0] = low[0]  # an end of the valley
    actions = rng.integers(0, problem.num_actions, 300)
    with jax.enable_x64(True):
        step = jax.jit(lambda state, action: next_states(problem.model, jax.random.key(0), {}, state, action))
        after = np.asarray(step(states, actions))
        reward = np.asarray(problem.problem.reward(jnp.asarray(states), jnp.asarray(actions), jnp.asarray(after)))
        ends = np.asarray(problem.problem.continues(jnp.asarray(after))) == 0
    for i, action in enumerate(actions):
        env.state = states[i].copy()
        if name == "CartPole-v1":
            env.steps_beyond_terminated = None
        _, paid, ended, _, _ = env.step(action_of(problem, int(action)))
        there = np.array(env.state, float)
        for angle in ANGLES.get(name, []):
            there[angle] = (there[angle] + np.pi) % (2 * np.pi) - np.pi
        np.testing.assert_allclose(after[i], there, rtol=1e-12, atol=1e-12, err_msg=str(states[i]))
        assert reward[i] == pytest.approx(float(paid), abs=1e-12)
        assert ends[i] == ended
    assert ends.any() == (name != "Pendulum-v1")


def test_a_pendulum_on_the_circle_is_what_gymnasium_shows():
    """From 100 random states, in the 32 bits of Gymnasium's observations; and where episodes begin."""
    rng, env, swing = np.random.default_rng(1), gymnasium.make("Pendulum-v1").unwrapped, pendulum(seen="circle")
    env.reset(seed=0)
    states, actions = rng.uniform([-np.pi, -8], [np.pi, 8], (100, 2)), rng.integers(0, swing.num_actions, 100)
    seen = np.stack([np.cos(states[:, 0]), np.sin(states[:, 0]), states[:, 1]], -1)
    with jax.enable_x64(True):
        after = np.asarray(next_states(swing.model, jax.random.key(0), {}, jnp.asarray(seen), jnp.asarray(actions)))
        paid = np.asarray(swing.problem.reward(jnp.asarray(seen), jnp.asarray(actions), jnp.asarray(after)))
        begun = np.asarray(jax.vmap(swing.problem.draw_start)(jax.random.split(jax.random.key(0), 500)))
    for i, action in enumerate(actions):
        env.state = states[i].copy()
        shown, reward, *_ = env.step(np.array([swing.actions[action]]))
        np.testing.assert_allclose(after[i], shown, atol=1e-5)
        assert paid[i] == pytest.approx(float(reward), abs=1e-9)
    np.testing.assert_allclose((begun[:, :2] ** 2).sum(-1), 1)
    angle = np.arctan2(begun[:, 1], begun[:, 0])
    assert_follows(angle, stats.uniform(-np.pi, 2 * np.pi), "angle")
    assert_follows(begun[:, 2], stats.uniform(-1, 2), "speed")


@pytest.mark.parametrize("name", CONTROL)
def test_episodes_begin_and_are_cut_off_as_gymnasiums(name):
    problem, env = problem_of(name), gymnasium.make(name)
    assert int(problem.problem.length) == env.spec.max_episode_steps
    theirs = []
    for seed in range(300):
        env.reset(seed=seed)
        theirs.append(np.array(env.unwrapped.state, float))
    with jax.enable_x64(True):
        ours = np.asarray(jax.vmap(problem.problem.draw_start)(jax.random.split(jax.random.key(0), 3_000)))
    for coordinate in range(ours.shape[1]):
        one, other = ours[:, coordinate], np.array(theirs)[:, coordinate]
        if np.ptp(other) == 0:
            assert (one == other[0]).all()
            continue
        low, high = one.min(), one.max()
        assert_follows(other, stats.uniform(low, high - low), f"starts[{coordinate}]")


def test_riccati_solves_its_equation():
    a, b = np.array([[1.0, 0.2], [0.0, 1.0]]), np.array([0.02, 0.2])
    best, cost = riccati(), np.zeros((2, 2))
    for _ in range(500):
        push = 0.9 * b @ cost @ a / (0.1 + 0.9 * b @ cost @ b)
        cost = np.diag([1.0, 0.1]) + 0.9 * a.T @ cost @ (a - np.outer(b, push))
    np.testing.assert_allclose(best.cost, cost, rtol=1e-9)
    np.testing.assert_allclose(best.gain, push, rtol=1e-9)
    # The value satisfies Bellman's equation with noise: -x'Px - c = -x'Qx - R u^2 - .9 (x''P x' + trace(P W) + c).
    x = np.array([0.3, -0.7])
    u = -best.gain @ x
    after = a @ x + b * u
    paid = -(x**2 @ np.array([1.0, 0.1])) - 0.1 * u**2
    assert best.value(x) == pytest.approx(paid + 0.9 * (best.value(after) - np.trace(best.cost) * 0.05**2))


@pytest.mark.slow
def test_a_plan_of_linear_quadratic_control_is_riccatis_rounded_to_the_grid():
    problem, best = linear_quadratic(), riccati()
    controls = np.array(problem.actions)
    plan = bm.solve(problem, solver=FittedQ(rollouts=Rollouts(number=30_000)))
    states = np.random.default_rng(0).uniform(-0.6, 0.6, (300, 2))
    chosen = fitted_policy(plan, problem).actions(states).astype(float)
    apart = np.abs(chosen + states @ best.gain)
    assert apart.max() < 0.5 and np.mean(apart) < 0.2  # the grid's step is .5, so that rounding alone is up to .25
    rounded = bm.evaluate(
        problem,
        lambda state: jnp.argmin(jnp.abs(jnp.asarray(controls) + state @ jnp.asarray(best.gain))),
        rollouts=Rollouts(number=30_000),
    )
    optimum = best.value([0.5, 0.5])
    assert float(plan["lower"]) <= float(rounded["upper"])
    assert float(plan["upper"]) >= float(rounded["lower"])
    assert 1.03 * optimum < float(plan["lower"]) < optimum + 0.005  # no better than without a grid, and hardly worse


@pytest.mark.slow
def test_linear_quadratic_control_is_planned_from_a_log():
    """The posterior of 150 steps: the plan is worth what it says, and close to the best."""
    problem = linear_quadratic(controls=(-2.0, -1.0, 0.0, 1.0, 2.0))
    log = bm.collect(problem, steps=150, seed=0)
    posterior = bm.infer(bm.models.linear_system(problem), log, mdp=problem, draws=200)
    assert posterior.attrs["engine"] == "exact"
    error = posterior.posterior["push"].values.reshape(-1, 2) - problem.truth["push"]
    assert np.abs(error.mean(0) / error.std(0)).max() < 4
    plan = bm.plan(
        posterior, problem, bm.Quantile(0.1), solver=FittedQ(num_draws=8, samples=2, rollouts=Rollouts(number=4_000))
    )
    truth = bm.evaluate(problem, plan)
    assert float(plan["lower"]) < float(truth["upper"])
    assert float(truth) == pytest.approx(float(bm.evaluate(problem, bm.solve(problem))), rel=0.05)


def test_a_thermostat_is_worth_what_numbers_on_a_line_say():
    """Value iteration on 1,001 temperatures, the noise integrated by Gauss-Hermite quadrature."""
    room, grid = thermostat(), np.linspace(0, 40, 1_001)
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    weights /= weights.sum()
    heat = np.array([0.0, 0.5, 1.0])
    value = np.zeros(len(grid))
    after = grid[:, None] + 0.1 * (5 - grid[:, None]) + 3.0 * heat  # [state, action]
    there = after[..., None] + 0.3 * nodes
    paid = np.exp(-(((there - 20) / 2) ** 2)) @ weights - 0.3 * heat
    for _ in range(400):
        value = (paid + 0.95 * np.interp(there, grid, value) @ weights).max(-1)
    plan = bm.solve(room, solver=FittedQ(rollouts=Rollouts(number=40_000)))
    best = float(np.interp(12.0, grid, value))
    assert float(plan["lower"]) <= best and float(plan["value"]) == pytest.approx(best, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem, least, options",
    [
        (cart_pole(), 450.0, {"places": 256, "samples": 1}),
        (mountain_car(), -125.0, {"places": 600, "samples": 1}),
        (pendulum(torques=3), -220.0, {"places": 600, "samples": 1}),
        (acrobot(), -110.0, {"places": 1_000, "samples": 1}),
    ],
    ids=["cart_pole", "mountain_car", "pendulum", "acrobot"],
)
def test_known_physics_are_planned_for(problem, least, options):
    """Mean sums of rewards of episodes, where all is known: of CartPole 500 at most; -110 solves MountainCar."""
    plan = bm.solve(problem, solver=FittedQ(rollouts=Rollouts(number=200), **options), strict=False)
    log = bm.collect(problem, plan, steps=4_000, seed=0)
    ends = np.flatnonzero(log["terminated"].values | log["truncated"].values)
    sums = [part.sum() for part in np.split(log["reward"].values, ends + 1)[:-1]]
    assert np.mean(sums) > least


BAD = {
    "a matrix of another shape": (lambda: linear_quadratic(matrix=np.ones((2, 3))), r"matrix has shape \(2, 3\)"),
    "a control of another size": (lambda: linear_quadratic(control=[1.0]), "control has shape"),
    "a reward for being away": (lambda: linear_quadratic(state_cost=(-1.0, 0.0)), "costs are at least 0"),
    "free control": (lambda: linear_quadratic(control_cost=0.0), "control_cost"),
    "no noise": (lambda: linear_quadratic(noise=0.0), "noise"),
    "noise of another shape": (lambda: linear_quadratic(noise=[0.1] * 3), r"noise has shape \(3,\)"),
    "no controls": (lambda: linear_quadratic(controls=()), "controls is empty"),
    "a control that is none": (lambda: linear_quadratic(controls=("left",)), "controls must be a number"),
    "one torque": (lambda: pendulum(torques=1), "torques"),
    "no length": (lambda: cart_pole(length=0), "length"),
    "an acrobot without an end": (lambda: acrobot(length=0), "length"),
    "no discount": (lambda: mountain_car(discount=1.0), "discount"),
    "a warm leak": (lambda: thermostat(leak=2.0), "leak"),
    "a system's actions": (
        lambda: bm.models.linear_system(bm.environments.cart_pole()),
        "actions must hold numbers",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_numbers_are_refused(case):
    call, why = BAD[case]
    with pytest.raises((ValueError, TypeError), match=why):
        call()
