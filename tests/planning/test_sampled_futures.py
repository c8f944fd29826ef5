"""Planning by sampled futures: against all sequences there are, known values, risk, files and refusals."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.environments import cart_pole, pendulum, thermostat
from bayesmdp.planning import CVaR, FittedQ, Mean, Quantile, Rollouts, SampledFutures, futures_policy
from bayesmdp.planning.futures_policy import Futures, FuturesPolicy

FEW = Rollouts(number=16, max_draws=4, tolerance=1e3)


def swung(state, torques):
    """Rewards of a pendulum from one state by sequences [sequence, step], in NumPy."""
    angle, speed = np.full(len(torques), state[0]), np.full(len(torques), state[1])
    total = np.zeros(len(torques))
    for t in range(torques.shape[1]):
        torque = torques[:, t]
        total -= 0.98**t * (angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
        speed = np.clip(speed + (15 * np.sin(angle) + 3 * torque) * 0.05, -8, 8)
        angle = (angle + 0.05 * speed + np.pi) % (2 * np.pi) - np.pi
    return total


@pytest.fixture(scope="module")
def swinging():
    """A policy of a pendulum, and torques that it takes in 40 states."""
    how = Futures(horizon=6, sequences=256, rounds=6, samples=1, seed=0)
    policy = FuturesPolicy(pendulum(torques=3), {}, Mean(), how)
    states = np.random.default_rng(0).uniform([-np.pi, -6], [np.pi, 6], (40, 2))
    return policy, states, policy.actions(states).astype(float)


def test_the_first_action_is_that_of_the_best_of_all_sequences(swinging):
    """Of the 3^6 sequences of torques from 40 states; what another first action loses is next to nothing."""
    _, states, chosen = swinging
    every = np.array(list(product((-2.0, 0.0, 2.0), repeat=6)))
    lost = []
    for state, first in zip(states, chosen, strict=True):
        totals = swung(state, every)
        lost.append(totals.max() - totals[every[:, 0] == first].max())
    assert max(lost) < 1e-3 and np.mean(np.array(lost) < 1e-9) > 0.9


def wager(data):
    """Waiting leads nowhere; the wager leads to 1 where it is a good one, which nobody knows, and else to -1."""
    good = numpyro.sample("good", dist.Normal(0.0, 1.0))
    moved = jnp.where(data.action == 1, jnp.sign(good), 0.0)
    numpyro.deterministic("next_state", data.state + moved[:, None])


def ends(state):
    return jnp.abs(state[..., 0]) > 0.5


def arrived(state, action, next_state):
    return next_state[..., 0] + 0.2 * (action == 0)


def wager_from_a_tenth_on(state):
    return jnp.stack([state[..., 0] < 10, state[..., 0] > 0.1], -1)


GIVEN = {
    "model": wager,
    "truth": None,
    "reward": arrived,
    "reward_range": (-3.0, 3.2),
    "features": lambda state: state,
    "start": [0.0],
    "low": [-2.0],
    "high": [2.0],
    "actions": ("wait", "wager"),
    "discount": 0.5,
    "terminal": ends,
}


@pytest.mark.parametrize(
    "risk, first",
    [
        pytest.param(Mean(), "wager", marks=pytest.mark.slow),
        (Quantile(0.1), "wait"),
        (CVaR(0.3), "wait"),
        (Quantile(0.6), "wager"),
    ],
    ids=str,
)
def test_risk_is_that_of_the_whole_future_over_draws(risk, first):
    """Waiting for four steps earns .375; the wager 1 under 8 draws of 10 and -1 under 2, so that its mean is .6."""
    good = np.where(np.arange(20) % 10 < 8, 1.0, -1.0)
    policy = FuturesPolicy(bm.SimulatedMDP(**GIVEN), {"good": good}, risk, Futures(4, 64, 6, 1, 0))
    assert policy.actions([[0.0]]).tolist() == [first]


def test_actions_that_are_not_available_are_never_taken():
    """The wager is good under all draws; where it is not allowed no future begins with it."""
    problem = bm.SimulatedMDP(**{**GIVEN, "available": wager_from_a_tenth_on})
    policy = FuturesPolicy(problem, {"good": np.ones(4)}, Mean(), Futures(4, 64, 6, 1, 0))
    assert policy.actions([[0.0], [0.2]]).tolist() == ["wait", "wager"]


def test_a_known_problem_is_solved():
    """The wager is good: it pays 1 at once, and waiting for ever .4."""
    how = SampledFutures(horizon=4, sequences=64, rounds=6, samples=1, rollouts=FEW)
    plan = bm.solve(bm.SimulatedMDP(**{**GIVEN, "truth": {"good": 1.0}}), solver=how)
    assert float(plan["lower"]) == pytest.approx(1) and float(plan["upper"]) == pytest.approx(1)


LITTLE = {"horizon": 8, "sequences": 24, "rounds": 3, "samples": 1}


@pytest.mark.slow
@pytest.mark.parametrize("looks, share", [(LITTLE, 0.9), ({}, 0.96)], ids=["little", "by default"])
def test_a_thermostat_is_kept_warm_by_futures_almost_as_by_the_best_policy(looks, share):
    """Its best value is 13.06: tests/environments/test_control.py has it from a grid."""
    room = thermostat()
    plan = bm.solve(room, solver=SampledFutures(rollouts=Rollouts(number=32), **looks))
    assert float(plan["upper"]) > share * 13.06 and float(plan["lower"]) < 13.06
    assert plan.attrs["beyond"] == pytest.approx(0.95 ** looks.get("horizon", 25) * 1.3 / 0.05)
    assert futures_policy(plan, room).actions([[12.0], [19.0], [25.0]])[[0, 2]].tolist() == ["high", "off"]


def test_a_plan_of_a_posterior_acts_in_the_true_problem_and_comes_back_from_its_file(tmp_path):
    room = thermostat()
    believed = room.replace(model=bm.models.linear_dynamics(room))
    posterior = bm.infer(believed.model, bm.collect(room, steps=100, seed=0), mdp=room, draws=40)
    how = SampledFutures(horizon=8, sequences=24, rounds=3, num_draws=4, rollouts=FEW)
    plan = bm.plan(posterior, believed, solver=how)
    assert (plan.attrs["num_draws"], plan.attrs["value_draws"]) == (4, 4)
    plan.to_netcdf(tmp_path / "plan.nc")
    back = futures_policy(xr.load_dataset(tmp_path / "plan.nc"), believed)
    policy, places = futures_policy(plan, believed), np.linspace(5, 35, 9)[:, None]
    assert back.actions(places).tolist() == policy.actions(places).tolist()
    log = bm.collect(room, policy, steps=60, seed=1)
    assert np.abs(log["state"].values[30:, 0] - 20).mean() < 2
    with pytest.raises(ValueError, match=r"made by a model with the unknowns .*precision.* that of thermostat has"):
        bm.evaluate(room, plan)
    with pytest.raises(ValueError, match=r"it samples futures: bm\.planning\.futures_policy"):
        bm.planning.fitted_policy(plan, believed)
    with pytest.raises(ValueError, match="of another problem"):
        futures_policy(plan, cart_pole())
    with pytest.raises(ValueError, match="states have shape"):
        policy.actions([[1.0, 2.0]])
    with pytest.raises(ValueError, match="no plan by sampled futures"):
        futures_policy(xr.Dataset(), room)
    with pytest.raises(ValueError, match="has no tolerance"):
        bm.plan(posterior, believed, solver=how, tolerance=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, least, steps, options",
    [
        (partial(pendulum, torques=3), -200.0, 800, {"horizon": 40}),
        (cart_pole, 400.0, 1_000, {"horizon": 60, "sequences": 128}),
    ],
    ids=["pendulum", "cart_pole"],
)
def test_known_physics_are_planned_for(make, least, steps, options):
    """Mean sums of rewards of episodes of 200 and 500 steps at most; fitted Q iteration has about -200 and 500."""
    problem = make()
    plan = bm.solve(problem, solver=SampledFutures(samples=1, rollouts=FEW, **options))
    log = bm.collect(problem, plan, steps=steps, seed=0)
    last = np.flatnonzero(log["terminated"].values | log["truncated"].values)
    assert log["reward"].values[: last[-1] + 1].sum() / len(last) > least


BAD = {
    "no horizon": lambda: SampledFutures(horizon=0),
    "one sequence": lambda: SampledFutures(sequences=1),
    "no rounds": lambda: SampledFutures(rounds=0),
    "no draws": lambda: SampledFutures(num_draws=0),
    "no samples": lambda: SampledFutures(samples=0),
    "rollouts that are a number": lambda: SampledFutures(rollouts=100),
    "no solver": lambda: bm.solve(thermostat(), solver=SampledFutures),
    "fitted rollouts": lambda: FittedQ(rollouts=SampledFutures()),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options_are_refused(case):
    with pytest.raises((ValueError, TypeError), match=r"horizon|sequences|rounds|num_draws|samples|rollouts|solver"):
        BAD[case]()


def test_it_may_be_asked_in_compiled_code(swinging):
    policy, states, chosen = swinging
    compiled = jax.jit(policy)
    with jax.enable_x64(True):
        asked = [int(compiled(jnp.array(state))) for state in states[:5]]
    assert [policy.mdp.actions[each] for each in asked] == chosen[:5].tolist()
