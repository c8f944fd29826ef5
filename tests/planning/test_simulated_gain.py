"""`bm.plan` over a baseline where states are numbers: against what the policies are worth, in a world that is known."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.planning import FittedQ, PlacesBehaviour, Quantile, Rollouts, SampledFutures, fitted_policy, gain_policy
from tests.planning.test_state_gain import never_heated

ROOM = bm.environments.thermostat()
# As many places as in `test_state_gain`, so that its programs serve.
QUICK = FittedQ(places=256, samples=8, num_draws=4, rollouts=Rollouts(number=1_000, max_draws=8))


def drawn(power):
    """Draws of the room's unknowns that differ in what heating does, by these factors."""
    told = {name: np.broadcast_to(value, (len(power), *np.shape(value))).copy() for name, value in ROOM.truth.items()}
    told["power"] = told["power"] * np.reshape(power, (-1, *(1,) * (told["power"].ndim - 1)))
    return xr.Dataset({name: (("draw", *(f"{name}_{i}" for i in range(v.ndim - 1))), v) for name, v in told.items()})


@pytest.fixture(scope="module")
def plan():
    return bm.plan(drawn(np.ones(16)), ROOM, baseline=never_heated, solver=QUICK)


def test_what_is_said_to_be_gained_is_gained(plan):
    policy = gain_policy(plan, ROOM, never_heated)
    ways = Rollouts(number=4_000)
    mine = bm.evaluate(ROOM, policy, rollouts=ways)
    usual = bm.evaluate(ROOM, lambda state: 0 * state[0].astype(int), rollouts=ways)
    error = float(mine["upper"] - mine["lower"] + usual["upper"] - usual["lower"]) / 2
    assert plan.attrs["gain_lower"] - error <= float(mine - usual) <= plan.attrs["gain_upper"] + error
    assert float(plan["lower"]) - error <= float(mine) <= float(plan["upper"]) + error
    assert plan.attrs["better"] == 1 and plan.attrs["as_baseline"] == 0 and float(mine - usual) > 5
    # Where it is cold it departs from doing nothing, altogether.
    cold = plan["places"].values[:, 0] < 15
    np.testing.assert_array_equal(plan["departure"].values[cold], 1)
    np.testing.assert_array_equal(plan["probability"].values.sum(-1), 1)


def test_a_plan_comes_back_from_its_file(plan, tmp_path):
    plan.to_netcdf(tmp_path / "plan.nc", engine="h5netcdf")
    again = gain_policy(xr.load_dataset(tmp_path / "plan.nc", engine="h5netcdf"), ROOM, never_heated)
    places = np.linspace(ROOM.problem.low, ROOM.problem.high, 9)
    np.testing.assert_array_equal(again.gains(places), gain_policy(plan, ROOM, never_heated).gains(places))


@pytest.mark.slow
def test_nothing_is_gained_over_the_best_plan_and_by_the_worst_draw():
    """Over the plan for the value itself; and by the lowest tenth, where heating cools in a draw of four."""
    best = bm.solve(ROOM, solver=FittedQ(places=256, samples=8, rollouts=Rollouts(number=1_000)))
    over = bm.plan(drawn(np.ones(16)), ROOM, Quantile(0.1), baseline=best, solver=QUICK)
    gained = bm.gain_draws(drawn([1.0]), ROOM, gain_policy(over, ROOM, best), fitted_policy(best, ROOM))
    assert over.attrs["gain"] < 0.1 and abs(float(gained.mean())) < 0.1
    unsure = drawn(np.tile([1.0, 1.0, -1.0, 1.0], 4))
    careful = bm.plan(unsure, ROOM, Quantile(0.1), baseline=never_heated, solver=QUICK)
    assert careful.attrs["as_baseline"] == 1 and careful.attrs["gain"] == careful.attrs["gain_upper"] == 0
    assert (careful["departure"] == 0).all()


@pytest.mark.slow
def test_a_table_of_places_and_a_function_that_says_the_same_are_one_baseline():
    low, high = ROOM.problem.low, ROOM.problem.high
    table = PlacesBehaviour([[10.0], [30.0]], [[0.2, 0.0, 0.8], [1.0, 0.0, 0.0]], low, high)

    def rule(state):
        return jnp.asarray([[1.0, 0.0, 0.0], [0.2, 0.0, 0.8]])[(state[..., 0] <= 20).astype(int)]

    places = np.array([[4.0], [19.0], [21.0], [36.0]])
    np.testing.assert_allclose(table.probabilities(places), rule(places), rtol=1e-6)  # the rule's have 32 bits
    one, other = (bm.plan(drawn(np.ones(8)), ROOM, baseline=each, solver=QUICK) for each in (table, rule))
    np.testing.assert_allclose(one["q"], other["q"], rtol=1e-9)
    assert one.attrs["gain"] == pytest.approx(other.attrs["gain"], rel=1e-9)
    # A behaviour is a policy too.
    told = (bm.evaluate(ROOM, table), bm.evaluate(ROOM, "uniform"))
    assert float(told[0]) != float(told[1])


DRAWS = drawn(np.ones(4))

BAD = {
    "a horizon": (
        lambda: bm.plan(DRAWS, ROOM.replace(discount=None, horizon=4), baseline="uniform"),
        ValueError,
        "a gain over a baseline is of discounted reward, and thermostat has a horizon of 4",
    ),
    "sampled futures": (
        lambda: bm.plan(DRAWS, ROOM, baseline="uniform", solver=SampledFutures()),
        ValueError,
        "a plan over a baseline fits what is gained",
    ),
    "no probabilities": (
        lambda: bm.plan(DRAWS, ROOM, baseline=lambda state: state),
        ValueError,
        r"the baseline of 5 states is float64 \(5, 1\); it is probabilities",
    ),
    "an action too far": (
        lambda: bm.plan(DRAWS, ROOM, baseline=lambda state: (state[..., 0] > 20).astype(int) * 7),
        ValueError,
        r"the baseline of \[28.0\] is 7; actions are at the positions 0 to 2",
    ),
    "shares of no distribution": (
        lambda: PlacesBehaviour([[1.0]], [[0.5, 0.6]], [0.0], [2.0]),
        ValueError,
        r"shares\[0\] sums to 1.1",
    ),
    "places of another number": (
        lambda: PlacesBehaviour([[1.0]], [[0.5, 0.5], [1.0, 0.0]], [0.0], [2.0]),
        ValueError,
        r"places have shape \(1, 1\) and shares \(2, 2\)",
    ),
    "another approximation": (
        lambda: bm.plan(DRAWS, ROOM, baseline="uniform", solver=FittedQ("double")),
        ValueError,
        "what is gained is fitted linearly",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, error, why = BAD[case]
    with pytest.raises(error, match=why):
        call()


def test_a_plan_for_the_gain_is_asked_with_its_baseline(plan):
    with pytest.raises(ValueError, match=r"gain_policy\(plan, mdp, baseline\) asks it"):
        bm.evaluate(ROOM, plan)
    with pytest.raises(ValueError, match="the Dataset is no plan for the gain"):
        gain_policy(plan.assign_attrs(solver="fitted_q"), ROOM, "uniform")
