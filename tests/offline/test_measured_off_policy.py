"""Second opinions where states are numbers: against hand-made sums, and worlds whose truth is simulated."""

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.model_reading.records import Records
from bayesmdp.offline.measured_off_policy import ENOUGH, measured_off_policy
from bayesmdp.offline.measured_space import space_of_log
from bayesmdp.offline.state_behaviour import StateBehaviour, state_behaviour
from bayesmdp.planning.approximations import LinearQ
from bayesmdp.planning.fitted_policies import FittedPolicy
from tests.offline.test_measured_plan import PUSH, rows_of

DISCOUNT = 0.8


def always(space, action):
    """The policy that takes one action everywhere: features are shares, so that Q is 1 for it and 0 for others."""
    mdp = space.problem(bm.models.linear_rewards(space.sizes))
    fit = np.zeros((21, 3))
    fit[:, action] = 1
    return FittedPolicy(mdp, LinearQ(), fit)


def episodes(number, length, seed, *, ends=False):
    """Short episodes by a uniform behaviour."""
    rng, parts = np.random.default_rng(seed), []
    for _ in range(number):
        state = rng.normal(size=1)
        for t in range(length):
            a = int(rng.integers(3))
            after = 0.5 * state + PUSH[a] + 0.3 * rng.normal(size=1)
            parts.append((state, a, -((state[0] - 1) ** 2), after, t == 0, ends and t == length - 1))
            state = after
    state, action, reward, after, begins, ended = map(np.array, zip(*parts, strict=True))
    data = Records(state, action, {"next_state": after, "reward": reward}, np.ones(len(action)))
    return data, begins, ended


def box():
    return space_of_log(rows_of(400), DISCOUNT)._replace(low=(-6.0,), high=(6.0,))


UNIFORM = StateBehaviour(np.zeros((3, 3)), np.array([-6.0]), np.array([6.0]))


def test_ratios_are_those_summed_by_hand():
    """Of episodes that end after two steps, with one action everywhere, each step three times less probable today."""
    data, begins, ended = episodes(40, 2, 0, ends=True)
    told = measured_off_policy(data, begins, ended, always(box(), 1), UNIFORM, bootstrap=20)
    reward, action = data.seen["reward"].reshape(-1, 2), data.action.reshape(-1, 2)
    first = 3.0 * (action[:, 0] == 1)
    both = first * 3.0 * (action[:, 1] == 1)
    by_decision = (first * reward[:, 0] + DISCOUNT * both * reward[:, 1]).mean()
    weighted = (first @ reward[:, 0]) / first.sum() + DISCOUNT * (both @ reward[:, 1]) / both.sum()
    assert told["value"].sel(estimator="per decision") == pytest.approx(by_decision)
    assert told["value"].sel(estimator="weighted") == pytest.approx(weighted)
    assert told["effective"].sel(estimator="weighted") == pytest.approx(both.sum() ** 2 / (both**2).sum())


def test_estimates_hold_the_true_value():
    """Truth by simulation; Q is of second order for a policy of one action, and rewards a square."""
    data, begins, ended = episodes(4_000, 3, 1)
    space = box()
    told = measured_off_policy(data, begins, ended, always(space, 2), UNIFORM, bootstrap=100, confidence=0.999)
    rng = np.random.default_rng(2)
    state, truth = data.state[begins][rng.integers(4_000, size=40_000)], 0.0
    for step in range(60):
        truth += DISCOUNT**step * float(-((state - 1) ** 2).mean())
        state = 0.5 * state + PUSH[2] + 0.3 * rng.normal(size=state.shape)
    assert told["tells"].all() and (told["effective"].values[:2] > ENOUGH).all()
    assert (told["lower"] - 0.02 < truth).all() and (truth < told["upper"] + 0.02).all()
    assert told["value"].sel(estimator="fitted Q") == pytest.approx(truth, abs=0.05)


def test_what_cannot_tell_says_why():
    space = box()
    data, begins, ended = episodes(30, 20, 3)
    behaviour = state_behaviour(data.state, data.action, 3, space.low, space.high)
    told = measured_off_policy(data, begins, ended, always(space, 2), behaviour, bootstrap=20)
    assert "too few effective episodes: less than 1 of 30" in str(told["why"].values[0]) and told["tells"].values[2]
    unseen = measured_off_policy(data, begins, ended, always(space, 2), behaviour, bootstrap=20, unseen=0.3)
    assert "no row was near" in str(unseen["why"].values[2])
    start = np.array([[1.0]])
    moved = measured_off_policy(data, begins, ended, always(space, 2), behaviour, starts=start, bootstrap=20)
    assert "start is not where" in str(moved["why"].values[0])
    assert float(moved["value"].values[2]) > float(told["value"].values[2])  # 1 is where most is paid
    data, begins, ended = episodes(3, 40, 4)
    few = measured_off_policy(data, begins, ended, always(space, 2), behaviour, bootstrap=20)
    assert few.attrs["pieces"] == "blocks of steps" and np.isnan(few["value"].values[0])
    assert str(few["why"].values[0]) == "the log has fewer than 10 episodes"
