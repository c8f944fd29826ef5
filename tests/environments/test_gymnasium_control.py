"""Gymnasium's classic control both ways: problems of it, ours in its loop, plans and logs across."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy import stats

import bayesmdp as bm
from bayesmdp.environments import (
    acrobot,
    cart_pole,
    collect_gymnasium,
    fishery,
    from_gymnasium,
    mountain_car,
    pendulum,
    policy_function,
    riverswim,
    thermostat,
    to_gymnasium,
)
from bayesmdp.problems.simulated_problem import next_states
from tests.statistical import assert_p_value

CONTROL = {
    "CartPole-v1": (cart_pole, {}),
    "MountainCar-v0": (mountain_car, {}),
    "Acrobot-v1": (acrobot, {}),
    "Pendulum-v1": (pendulum, {"actions": (-2.0, 0.5, 2.0)}),
}


@pytest.mark.parametrize("name", CONTROL)
def test_classic_control_becomes_the_problem_of_its_name(name):
    make, options = CONTROL[name]
    problem = from_gymnasium(name, discount=0.9, **options)
    told = {"torques": options["actions"]} if options else {}
    ours = make(discount=0.9, **told)
    assert (problem.name, problem.discount, problem.actions) == (name, 0.9, ours.actions)
    assert int(problem.problem.length) == gymnasium.spec(name).max_episode_steps
    same = ours.replace(name=name, length=int(problem.problem.length))
    for mine, theirs in zip(problem.fingerprint(), same.fingerprint(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_time_limits_starts_and_torques_are_those_that_are_said():
    short = from_gymnasium("CartPole-v1", max_episode_steps=7, initial=[0.0, 0.0, 0.1, 0.0])
    assert int(short.problem.length) == 7 and short.problem.starts is None
    np.testing.assert_array_equal(short.problem.start, [0, 0, 0.1, 0])
    assert from_gymnasium(gymnasium.make("MountainCar-v0").unwrapped).problem.length is None
    assert pendulum(torques=(-1.0, 1.0)).actions == (-1.0, 1.0)


@pytest.mark.filterwarnings("ignore:.*A Box observation space m")
@pytest.mark.parametrize("options", [{}, {"max_steps": 7}, {"render_mode": "ansi"}], ids=str)
@pytest.mark.parametrize("make", [cart_pole, thermostat], ids=["cart_pole", "thermostat"])
def test_gymnasiums_checker_is_content(make, options):
    check_env(to_gymnasium(make(), **options))


def test_ours_in_gymnasium_steps_as_gymnasiums():
    """One game of CartPole in both from the same states: observations, rewards and ends, to the 32 bits it shows."""
    ours, theirs = to_gymnasium(cart_pole()), gymnasium.make("CartPole-v1")
    observation, _ = ours.reset(seed=1)
    theirs.reset(seed=1)
    theirs.unwrapped.state = observation.copy()
    rng, ended = np.random.default_rng(0), False
    while not ended:
        action = int(rng.integers(2))
        observation, *told = ours.step(action)[:4]
        shown, *expected = theirs.step(action)[:4]
        np.testing.assert_allclose(observation, shown, rtol=1e-5, atol=1e-6)
        assert told == expected
        ended = told[1]
    with pytest.raises(gymnasium.error.ResetNeeded):
        ours.step(0)
    again = [to_gymnasium(cart_pole()).reset(seed=seed)[0].tolist() for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_episodes_end_by_the_length_or_by_max_steps():
    for env, last in ((to_gymnasium(pendulum(length=5)), 5), (to_gymnasium(pendulum(length=5), max_steps=3), 3)):
        env.reset(seed=0)
        cut = [env.step(0)[3] for _ in range(last)]
        assert cut == [False] * (last - 1) + [True]


def test_noise_in_gymnasium_is_that_of_the_model():
    """A stock that is caught down to .3: the logarithm of the next is Normal."""
    sea = fishery()
    env = to_gymnasium(sea)
    env.reset(seed=0)
    stocks = np.array([env.step(5)[0][0] for _ in range(2_000)])[1:]  # the goal .3, which is left ever after
    centre = np.log(3 * 0.3 / 1.6) - 0.1**2 / 2
    assert_p_value(stats.kstest(np.log(stocks), stats.norm(centre, 0.1).cdf).pvalue, "stocks")


def hottest(state):
    """Not the heater's full power above ten degrees."""
    return jnp.stack([state[..., 0] < 100, state[..., 0] < 100, state[..., 0] < 10], -1)


def test_actions_that_are_not_available_are_mixed_or_refused():
    room = thermostat().replace(available=hottest)
    env = to_gymnasium(room)
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [1, 1, 0]
    warm = [(env.reset(seed=seed), env.step(2)[0][0])[1] for seed in range(400)]
    # 12 degrees, of which .7 leak, and no heat or 1.5 degrees of it.
    assert np.mean(np.array(warm) > 12.05) == pytest.approx(0.5, abs=0.1)
    strict = to_gymnasium(room, unavailable="raise")
    strict.reset(seed=0)
    with pytest.raises(ValueError, match=r"'high'\) is not available in state \[12.0\]; available are 'off', 'low'"):
        strict.step(2)


@pytest.mark.parametrize("name", CONTROL)
def test_logs_of_gymnasium_hold_the_states_that_its_observations_show(name):
    """Each next state is where the problem's model leads, though Gymnasium shows 32 bits, and angles as cosines."""
    problem = from_gymnasium(name, **CONTROL[name][1])
    log = collect_gymnasium(name, "uniform", steps=60, seed=3, mdp=problem)
    assert log.identical(collect_gymnasium(name, "uniform", steps=60, seed=3, mdp=problem))
    position = np.array([problem.actions.index(label) for label in log["action"].values.tolist()])
    assert set(position) == set(range(problem.num_actions))
    with jax.enable_x64(True):
        after = np.asarray(next_states(problem.model, jax.random.key(0), {}, log["state"].values, position))
    apart = after - log["next_state"].values
    for angle in {"Acrobot-v1": [0, 1], "Pendulum-v1": [0]}.get(name, []):
        apart[:, angle] = (apart[:, angle] + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(apart).max() < 1e-4


@pytest.mark.slow
def test_a_log_of_gymnasium_is_learned_from():
    """Linear dynamics of 200 random steps of CartPole: where a step leads is known to a hundredth of what it may be."""
    cart = from_gymnasium("CartPole-v1")
    log = collect_gymnasium("CartPole-v1", "uniform", steps=200, seed=0)
    posterior = bm.infer(bm.models.linear_dynamics(cart, noise=0.01), log, mdp=cart, draws=100)
    assert posterior.attrs["engine"] == "exact"
    # A push to the right for .02 seconds: of the speed it adds .195 where all stands still, of 3 that are half the box.
    push = posterior.posterior["weights"].isel(action=1, feature=0, to=1)
    assert float(push.mean()) * 3 == pytest.approx(0.195, abs=0.01)


def test_a_policy_acts_in_gymnasium():
    """Pushing to where the pole falls keeps CartPole up for longer than pushing at random."""

    def lean(state):
        return (state[2] + state[3] > 0).astype(int)

    cart = from_gymnasium("CartPole-v1")
    lengths = {}
    for kind, policy in (("lean", lean), ("uniform", "uniform")):
        act = policy_function(policy, cart, seed=1)
        env = gymnasium.make("CartPole-v1")
        lengths[kind] = 0
        for seed in range(3):
            observation, _ = env.reset(seed=seed)
            ended = False
            while not ended:
                observation, _, terminated, truncated, _ = env.step(act(observation))
                lengths[kind] += 1
                ended = terminated or truncated
    assert lengths["lean"] > 2 * lengths["uniform"]


def test_logs_without_a_problem_hold_observations_and_numbers():
    log = collect_gymnasium("CartPole-v1", lambda observation: int(observation[2] > 0), episodes=2, seed=0)
    assert int((log["terminated"] | log["truncated"]).sum()) == 2 and log.attrs["actions"] == ["left", "right"]
    waves = collect_gymnasium("Pendulum-v1", lambda observation: np.zeros(1), steps=3, mdp=pendulum(torques=3))
    assert waves["action"].values.tolist() == [0.0] * 3


BAD = {
    "a torque that is not said": (lambda: from_gymnasium("Pendulum-v1"), r"say actions=\[-2, 0, 2\]"),
    "a torque beyond the motor": (lambda: from_gymnasium("Pendulum-v1", actions=[-3, 3]), "torques"),
    "torques of a cart": (lambda: from_gymnasium("CartPole-v1", actions=[0, 1]), "leave actions out"),
    "actions of a table": (lambda: from_gymnasium("FrozenLake-v1", actions=[0, 1]), "leave actions out"),
    "another gravity": (lambda: from_gymnasium("Pendulum-v1", g=9.81, actions=[0]), "has g = 9.81; .* for 10.0 alone"),
    "another goal": (lambda: from_gymnasium("MountainCar-v0", goal_velocity=0.1), "goal_velocity"),
    "any force": (lambda: from_gymnasium("MountainCarContinuous-v0"), "needs a Discrete one"),
    "no truth": (lambda: to_gymnasium(cart_pole().replace(truth=None)), "has no truth"),
    "a log of any torque": (lambda: collect_gymnasium("Pendulum-v1", steps=1), "say with mdp="),
    "a log with a table": (
        lambda: collect_gymnasium("CartPole-v1", steps=1, mdp=riverswim(6)),
        "mdp must be a bayesmdp.SimulatedMDP; got MDP",
    ),
    "other actions": (lambda: collect_gymnasium("CartPole-v1", steps=1, mdp=mountain_car()), "has 3 actions"),
    "other states": (
        lambda: collect_gymnasium("Acrobot-v1", steps=1, mdp=mountain_car()),
        "shows no state of 2 coordinates",
    ),
    "a torque that is no action": (
        lambda: collect_gymnasium("Pendulum-v1", lambda seen: [0.3], steps=1, mdp=pendulum()),
        "none of the actions",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, why = BAD[case]
    with pytest.raises((ValueError, TypeError), match=why):
        call()
