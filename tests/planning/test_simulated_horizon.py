"""Plans by stage on spaces of numbers: against tables, the Riccati recursion, and sums of rewards."""

import functools
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.environments.linear_quadratic import CONTROL, MATRIX, STATE_COST
from bayesmdp.planning import (
    CVaR,
    FittedQ,
    LinearQ,
    Mean,
    NeighboursQ,
    Quantile,
    Rollouts,
    SampledFutures,
    fitted_policy,
)
from bayesmdp.planning.fitted_rounds import _round
from tests.corridor import MDP, ROOMS, tabular

HORIZON = 8
SHORT = MDP.replace(discount=None, horizon=HORIZON)
QUICK = FittedQ(LinearQ(ridge=1e-6), places=100, samples=20, rollouts=Rollouts(number=4_000))


def posterior_of(likely):
    return xr.Dataset({"likely": (("draw", "kind"), likely)})


def table_of(likely, discount):
    """The plan of the table by backward induction, and the table [stage, room, action] of Q."""
    _, kernel, reward = tabular(likely)
    table = bm.MDP(reward=reward, discount=discount, horizon=HORIZON, actions=MDP.actions)
    return table, xr.Dataset({"transition": (("draw", "state", "action", "next_state"), kernel)})


@pytest.mark.parametrize(
    ("risk", "discount"),
    [
        (Mean(), 0.8),
        pytest.param(Quantile(0.15), None, marks=pytest.mark.slow),
        pytest.param(CVaR(0.3), 0.8, marks=pytest.mark.slow),
    ],
    ids=["mean", "quantile", "cvar"],
)
def test_a_table_posed_on_numbers_is_planned_for_as_the_table_is(risk, discount):
    likely = np.random.default_rng(0).beta([3.0, 5.0], 2.0, (200, 2))
    planned = np.linspace(0, 199, 100).round().astype(int)
    table, drawn = table_of(likely[planned], discount)
    exact = bm.plan(drawn, table, risk)
    how = FittedQ(LinearQ(ridge=1e-6), num_draws=100, places=100, samples=40, rollouts=Rollouts(number=4_000))
    plan = bm.plan(posterior_of(likely), SHORT.replace(discount=discount), risk, solver=how)
    assert plan["q"].dims == ("stage", "place", "action") and plan["stage"].values.tolist() == list(range(HORIZON))
    np.testing.assert_allclose(plan["q"][:, 1:], exact["q"], rtol=0, atol=0.03)  # places are the start and the rooms
    # Where the table's best action is better by more than that, it is the plan's.
    sure = np.abs(np.diff(exact["q"].values)[..., 0]) > 0.06
    np.testing.assert_array_equal(plan["policy"].values[:, 1:][sure], exact["policy"].values[sure])
    assert sure.sum() > 10 and plan.attrs["converged"] == 1 and plan.attrs["horizon"] == HORIZON
    assert ("discount" in plan.attrs) == (discount is not None)
    # What it is worth under the draws that were not planned with.
    fresh, chosen = np.delete(likely, planned, 0), plan["policy"].values[:, 1:]
    table, drawn = table_of(fresh, discount)
    worth = bm.value_draws(drawn, table, xr.DataArray(chosen, dims=("stage", "state"))).values[:, 0, 0]
    assert float(plan["lower"]) <= float(risk.value(worth[:, None, None])[0, 0]) <= float(plan["upper"])


def riccati_backwards(horizon):
    """P and the constant of the value with all steps to go, of the default system without a discount."""
    matrix, control, cost = np.array(MATRIX), np.array(CONTROL)[:, None], np.diag(STATE_COST)
    value, constant = np.zeros((2, 2)), 0.0
    for _ in range(horizon):
        gain = np.linalg.solve(0.1 + control.T @ value @ control, control.T @ value @ matrix)
        constant += np.trace(value * 0.05**2)
        value = cost + matrix.T @ value @ matrix - matrix.T @ value @ control @ gain
    return value, constant


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [1, 15])
def test_linear_quadratic_control_is_riccatis_recursion(horizon):
    """Riccati's controls are no grid's: what the plan is worth is at most theirs, and by no more than it says less."""
    cart = bm.environments.linear_quadratic().replace(discount=None, horizon=horizon)
    plan, (value, constant), start = bm.solve(cart), riccati_backwards(horizon), cart.problem.start
    best = -(start @ value @ start) - constant
    assert float(plan["lower"]) - 1e-9 <= best
    assert float(plan["upper"]) >= best - max(plan.attrs["misfit"], 1e-9)
    assert float(plan["value"]) == pytest.approx(best, rel=0.025)


def test_stages_are_told_apart_where_one_acts():
    """With one room left to the end a step back is worth nothing: near the end only the last room's way pays."""
    plan = bm.solve(SHORT, solver=QUICK)
    policy = fitted_policy(plan, SHORT)
    rooms = np.arange(ROOMS)[:, None] + 0.5
    assert policy.actions(rooms).shape == (HORIZON, ROOMS)
    np.testing.assert_array_equal(policy.actions(rooms)[3], policy.at(3).actions(rooms))
    assert not np.allclose(policy.q(rooms)[0], policy.q(rooms)[-1])
    log = bm.collect(SHORT, plan, steps=4_000 * HORIZON, seed=2)
    first, stage = log.isel(step=slice(10 * HORIZON)), np.tile(np.arange(HORIZON), 10)
    np.testing.assert_array_equal(first["truncated"], stage == HORIZON - 1)
    taken = policy.actions(first["state"].values)[stage, np.arange(len(stage))]
    np.testing.assert_array_equal(first["action"], taken)
    # The value is that of the sums of such episodes.
    sums = log["reward"].values.reshape(-1, HORIZON).sum(1)
    told = bm.evaluate(SHORT, plan)
    assert abs(float(told) - sums.mean()) < 4.5 * np.hypot(sums.std() / 4_000**0.5, float(told["upper"] - told) / 1.9)


@pytest.mark.parametrize(
    "approximation",
    [LinearQ(ridge=1e-6), pytest.param(NeighboursQ(), marks=pytest.mark.slow)],
    ids=["linear", "neighbours"],
)
def test_one_step_pays_the_best_reward_of_one_step(approximation):
    """And nothing of what follows, which the fit of a network or of neighbours could add."""
    plan = bm.solve(SHORT.replace(horizon=1), solver=replace(QUICK, approximation=approximation))
    np.testing.assert_allclose(plan["q"][0, 1:5], 0, atol=1e-9)
    np.testing.assert_allclose(plan["q"][0, 5], [0.5, 1.0], atol=0.1)


def test_a_plan_by_stage_comes_back_from_its_file(tmp_path):
    plan = bm.solve(SHORT, solver=QUICK)
    plan.to_netcdf(tmp_path / "plan.nc", engine="h5netcdf")
    again = fitted_policy(xr.load_dataset(tmp_path / "plan.nc", engine="h5netcdf"), SHORT)
    np.testing.assert_array_equal(again.q(plan["places"].values), plan["q"].values)


def test_other_horizons_and_discounts_compile_nothing():
    bm.solve(SHORT, solver=QUICK)
    compiled = _round._cache_size()
    bm.solve(MDP.replace(discount=0.7, horizon=3), solver=QUICK)
    assert _round._cache_size() == compiled


@functools.cache
def short_plan():
    return bm.solve(MDP.replace(discount=None, horizon=2), solver=QUICK)


def short_policy():
    return fitted_policy(short_plan(), MDP.replace(discount=None, horizon=2))


BAD = {
    "no steps": (lambda: MDP.replace(horizon=0), "horizon must be an integer of at least 1"),
    "no discount and no horizon": (lambda: MDP.replace(discount=None), "discount must be a number"),
    "a length as well": (lambda: SHORT.replace(length=3), "length=3 cuts off episodes of a problem that goes on"),
    "a mesh": (lambda: bm.environments.slippery_lake().replace(horizon=3), "with a horizon pass mesh=None"),
    "a plan of other stages": (
        lambda: bm.evaluate(SHORT, short_plan()),
        "it has a horizon of 2, and simulated has a horizon of 8",
    ),
    "a plan by stage": (lambda: bm.evaluate(MDP, short_plan()), "it has a horizon of 2, and simulated has no horizon"),
    "a policy by stage": (
        lambda: bm.evaluate(MDP, short_policy()),
        "it has a horizon of 2, and simulated has no horizon",
    ),
    "a stage too far": (lambda: short_policy().at(2), r"the plan has stages 0 to 1 \(steps taken so far\); got 2"),
    "sampled futures": (lambda: bm.solve(SHORT, solver=SampledFutures()), "looks equally far ahead at each step"),
    "an agent": (
        lambda: bm.simulate(SHORT, {"psrl": bm.agents.fitted_psrl(MDP.model)}, steps=4, replicates=1),
        r"objective is discounted; that of simulated is horizon; give it a discount with mdp.replace",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, why = BAD[case]
    with pytest.raises(ValueError, match=why):
        call()


def test_what_a_horizon_means_is_seen():
    assert repr(MDP.replace(horizon=3)) == "SimulatedMDP('simulated': 1 coordinate, 2 actions, horizon 3, discount 0.8)"
    assert repr(SHORT.replace(horizon=3)) == "SimulatedMDP('simulated': 1 coordinate, 2 actions, horizon 3)"
    np.testing.assert_allclose(SHORT.problem.value_range, [0, 8])
    np.testing.assert_allclose(MDP.replace(horizon=2).problem.value_range, [0, 1.8])
    assert bm.evaluate(SHORT, lambda state: jnp.asarray(1)).attrs["beyond_horizon"] == 0
