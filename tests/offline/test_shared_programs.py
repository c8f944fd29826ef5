"""What a plan from measurements compiles: programs of the first log serve others; and what that rests on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

import bayesmdp as bm
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.model_reading.read_model import read_sites
from bayesmdp.model_reading.records import Records
from bayesmdp.models.fourier_dynamics import FourierFeatures
from bayesmdp.models.linear_dynamics import constant_and_linear
from bayesmdp.models.linear_rewards import up_to_squares
from bayesmdp.offline.feature_evidence import feature_evidence
from bayesmdp.offline.measured_file import read_measured_plan
from bayesmdp.offline.measured_space import MeasuredSpace, space_of_log
from bayesmdp.posterior.closed_forms.find_regression import find_regression
from bayesmdp.problems.model_units import ModelUnits
from bayesmdp.problems.simulated_problem import simulate_steps
from tests.offline.test_measured_plan import rows_of
from tests.programs import compiled_programs

SECOND = 8
"""Programs that a second log may compile: a few of single operations, on arrays of its own number of rows."""


def test_a_second_log_is_planned_with_the_programs_of_the_first():
    """Another box, other rewards, starts and numbers of rows and episodes; and its plan is read with them."""
    options = {"draws": 20, "calibration": 0, "discount": 0.8}
    read_measured_plan(bm.plan_log(rows_of(150), **options).tree)
    other = rows_of(190, seed=3)
    for name in ("state", "next_state"):
        other[name] = 20 + 3 * other[name]
    other["reward"] = 100 * other["reward"]
    with compiled_programs() as second:
        report = bm.plan_log(other, **options)
    with compiled_programs() as reading:
        read_measured_plan(report.tree)
    assert len(second) <= SECOND, second
    assert not reading
    assert report.bound < -50  # in the other log's units


def test_values_do_not_hang_on_the_units_that_a_log_is_in():
    """The same log in other units is planned alike: actions, and values in these units."""
    log = rows_of(150)
    other = log.copy()
    for name in ("state", "next_state"):
        other[name] = 20 + 3 * log[name]
    other["reward"] = 100 * log["reward"]
    told, scaled = (bm.plan_log(each, draws=20, calibration=0, discount=0.8) for each in (log, other))
    assert scaled.bound == pytest.approx(100 * told.bound, rel=1e-9)
    np.testing.assert_allclose(scaled.policy["state"], 20 + 3 * told.policy["state"], rtol=1e-9)
    assert scaled.policy["action"].values.tolist() == told.policy["action"].values.tolist()
    np.testing.assert_allclose(scaled.policy["margin"], 100 * told.policy["margin"], rtol=1e-6)
    # What is kept of the log is in the log's own units, without the rows that only filled up.
    np.testing.assert_array_equal(scaled.tree["constant_data"]["state"], other["state"])
    np.testing.assert_array_equal(scaled.tree["observed_data"]["next_state"], other["next_state"])


@pytest.mark.parametrize("coordinates", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_evidences_of_features_are_those_of_the_models(coordinates):
    """Differences of log evidences against the closed form that is read off the models themselves."""
    log = rows_of(120, coordinates=coordinates)
    space = space_of_log(log, 0.8)
    action = np.array([["left", "stay", "right"].index(each) for each in log["action"].values], np.int32)
    seen = {name: log[name].values for name in ("next_state", "reward")}
    rows = space.units.records_in(Records(log["state"].values, action, seen, np.ones(120)))
    sizes, waves = space.sizes_in_units, FourierFeatures(coordinates, 40, 0.5, 0)

    def exact(model):
        with jax.enable_x64(True):
            data = fit_rows(model, rows)
            reading = read_sites(model, data)
            form = find_regression(reading, data)
            return form.log_evidence(reading, form.learn_log(model, form.before, data), data)

    moved = rows.seen["next_state"] - rows.state
    told = [
        feature_evidence(features, rows.state, action, moved, noise=0.05, scales=(10.0, 100.0))
        for features in (constant_and_linear, waves)
    ]
    models = [bm.models.linear_dynamics(sizes, scale=scale) for scale in (10.0, 100.0)]
    models.append(bm.models.fourier_dynamics(sizes, length=0.5, scale=10.0))
    expected = np.array([exact(model) for model in models])
    quick = np.array([told[0][10.0], told[0][100.0], told[1][10.0]])
    np.testing.assert_allclose(quick - quick[0], expected - expected[0], rtol=1e-9, atol=1e-7)
    # Of rewards, beside the same steps; they are another target of the same function, and take as long again.
    if coordinates == 2:
        paid = rows.seen["reward"][:, None]
        quick = [
            feature_evidence(each, rows.state, action, paid, noise=0.1, scales=(10.0,))[10.0]
            for each in (up_to_squares, waves)
        ]
        expected = [exact(bm.models.linear_rewards(sizes, None, each)) for each in (up_to_squares, waves)]
        assert quick[1] - quick[0] == pytest.approx(expected[1] - expected[0], rel=1e-9, abs=1e-7)


def test_steps_in_units_of_the_box_are_those_of_the_model_in_the_units_of_the_log():
    space = MeasuredSpace(
        ("x", "y"), ("a", "b"), (0.0, -4.0), (2.0, 6.0), (3.0, 7.0), ((1.0, 1.0),), ((1.0, 1.0),), 0.9
    )
    weights = np.random.default_rng(0).normal(size=(2, 3, 2)) / 5
    values = {"precision": np.array([50.0, 80.0]), "weights": weights}
    values |= {"reward_precision": np.array(100.0), "reward_weights": np.ones((2, 6)) / 10}
    state, action = jnp.asarray([[0.5, 0.0], [1.5, 3.0]]), jnp.asarray([0, 1])
    told = []
    for sizes, units in ((space.sizes, None), (space.sizes_in_units, space.units)):
        mdp = space.problem(bm.models.linear_rewards(sizes), units=units)
        with jax.enable_x64(True):
            told.append(simulate_steps(mdp.problem, mdp.model, random.key(0), values, state, action))
    for one, other in zip(*told, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_problem_in_units_of_its_own_has_no_truth():
    room = bm.environments.thermostat()
    units = ModelUnits.of_box(room.problem.low, room.problem.high, (0.0, 1.0))
    with pytest.raises(ValueError, match="a problem whose model has units of its own cannot be acted in"):
        room.replace(truth=room.truth, units=units)
