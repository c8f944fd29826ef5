"""Rewards that the model samples: values by a closed form, posteriors from steps taken, what is refused."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayesmdp as bm
from bayesmdp.planning import FittedQ, LinearQ, Rollouts

DISCOUNT = 0.9
GIVEN = {
    "reward_range": (-4.0, 4.0),
    "features": lambda state: jnp.stack([jnp.ones(state.shape[:-1]), state[..., 0]], -1),
    "start": [0.5],
    "low": [-2.0],
    "high": [2.0],
    "actions": ("down", "up"),
    "discount": DISCOUNT,
}


def drifting(data):
    """A number that halves, and is moved by the action; what is paid is so much of it, with noise."""
    push = numpyro.sample("push", dist.Normal(0.0, 1.0))
    price = numpyro.sample("price", dist.Normal(0.0, 1.0))
    state = jnp.asarray(data.state)
    signed = jnp.where(data.action == 1, 1.0, -1.0)
    with data.rows():
        after = 0.5 * state + (push * signed)[:, None]
        numpyro.sample("next_state", dist.Normal(after, 0.1).to_event(1), obs=data.next_state)
        numpyro.sample("reward", dist.Normal(price * state[:, 0], 0.2), obs=data.reward)


PROBLEM = bm.SimulatedMDP(model=drifting, truth={"push": 0.3, "price": 1.5}, reward=None, **GIVEN)


def worth_of_up(push, price):
    """Sum over t of discount^t price E[s_t], where s_t = limit + 2^-t (s_0 - limit) and limit = 2 push."""
    limit = 2 * push
    return price * (limit / (1 - DISCOUNT) + (0.5 - limit) / (1 - DISCOUNT / 2))


def test_values_are_those_of_the_closed_form():
    told = bm.evaluate(PROBLEM, lambda state: jnp.asarray(1), rollouts=Rollouts(number=20_000))
    assert float(told.lower) <= worth_of_up(0.3, 1.5) <= float(told.upper)
    assert float(told.upper - told.lower) < 0.1
    plan = bm.solve(PROBLEM, solver=FittedQ(LinearQ(ridge=1e-6), places=64, samples=8))
    assert set(plan["policy"].values.tolist()) == {"up"}
    assert float(plan["lower"]) <= worth_of_up(0.3, 1.5) <= float(plan["upper"])


def test_a_log_teaches_rewards_exactly():
    """The price is a Normal regression of rewards on states."""
    log = bm.collect(PROBLEM, steps=100, seed=0)
    posterior = bm.infer(drifting, log, mdp=PROBLEM, draws=4_000)
    assert posterior.attrs["engine"] == "exact"
    state, reward = log["state"].values[:, 0], log["reward"].values
    precision = 1 + (state**2).sum() / 0.2**2
    mean = (state * reward).sum() / 0.2**2 / precision
    drawn = posterior.posterior["price"].values.ravel()
    assert drawn.mean() == pytest.approx(mean, abs=5 / np.sqrt(4_000 * precision))
    assert drawn.std() == pytest.approx(precision**-0.5, rel=0.06)


@pytest.mark.slow
def test_what_a_log_taught_of_rewards_is_planned_for():
    posterior = bm.infer(drifting, bm.collect(PROBLEM, steps=100, seed=0), mdp=PROBLEM, draws=4_000)
    plan = bm.plan(posterior, PROBLEM.replace(truth=None), solver=FittedQ(LinearQ(ridge=1e-6), places=64, samples=8))
    assert set(plan["policy"].values.tolist()) == {"up"}


def test_steps_of_a_confined_problem_stay_in_its_box():
    narrow = {"low": [-0.1], "high": [0.6], "reward_range": (-0.1, 0.2)}
    confined = PROBLEM.replace(**narrow, confined=True)
    log = bm.collect(confined, steps=200, seed=0)
    assert log["next_state"].values.min() == -0.1 and log["next_state"].values.max() == 0.6
    assert log["reward"].values.min() == -0.1 and log["reward"].values.max() == pytest.approx(0.2)
    told = bm.evaluate(confined, "uniform", rollouts=Rollouts(number=2_000))
    assert -0.1 / (1 - DISCOUNT) <= float(told) <= 0.2 / (1 - DISCOUNT)


def of_a_pair(data):
    numpyro.sample("price", dist.Normal(0.0, 1.0))
    with data.rows():
        numpyro.sample("next_state", dist.Normal(data.state, 0.1).to_event(1), obs=data.next_state)
        numpyro.sample("reward", dist.Normal(jnp.zeros((len(data.weight), 2)), 1.0).to_event(1), obs=data.reward)


@pytest.mark.parametrize(
    "model, reward, why",
    [
        (
            drifting,
            lambda state, action, after: state[..., 0],
            "the model samples what a step pays, and reward says it",
        ),
        (bm.models.linear_dynamics(PROBLEM), None, "there is no reward, and the model samples none"),
        (of_a_pair, None, r"the model's reward has shape \(1, 2\) for one row"),
    ],
)
def test_rewards_that_are_said_twice_or_not_at_all_are_refused(model, reward, why):
    with pytest.raises(ValueError, match=why):
        bm.SimulatedMDP(model=model, truth=None, reward=reward, **GIVEN)


def test_bad_rewards_are_refused():
    log = bm.collect(PROBLEM, steps=5, seed=0)
    log = log.assign(reward=log["reward"].where(log["step"] != 3))
    with pytest.raises(ValueError, match=r"reward\[3\] = nan, which is not finite"):
        bm.infer(drifting, log, mdp=PROBLEM)
    same = PROBLEM.replace(reward_range=(1.0, 1.0), confined=True)
    with pytest.raises(ValueError, match="so there is nothing to learn"):
        bm.models.linear_rewards(same)
    with pytest.raises(TypeError, match="dynamics must be a NumPyro function"):
        bm.models.linear_rewards(PROBLEM, dynamics=3)
