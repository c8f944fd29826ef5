"""Bergman's minimal model: against SciPy, a published run and Kovatchev's risk; its posterior, plan and refusals."""

import jax
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import stats
from scipy.integrate import solve_ivp

import bayesmdp as bm
from bayesmdp.environments import glucose
from bayesmdp.environments.glucose import glucose_risk
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.models.glucose import glucose_after
from bayesmdp.planning import FittedQ, LinearQ, Rollouts
from bayesmdp.problems.simulated_problem import next_states

P1, P2, P3, CLEARANCE, VOLUME = 0.028735, 0.028344, 5.035e-5, 5 / 54, 12.0


def as_published(state, inflow, minutes):
    """Glucose, X, insulin, and what a meal brings, as Lynch and Bequette (2002) write the model; inflow in mU/min."""

    def rates(t, y):
        sugar, x, insulin, meal = y
        return [
            -P1 * (sugar - 4.5) - x * sugar + meal,
            -P2 * x + P3 * (insulin - 15),
            -CLEARANCE * insulin + inflow / VOLUME,
            -0.05 * meal,
        ]

    start = [state[0], P3 / P2 * (state[1] - 15), *state[2:]]
    return solve_ivp(rates, (0, minutes), start, rtol=1e-11, atol=1e-13).y[:, -1]


def test_steps_are_those_of_the_published_equations():
    patient, rng = glucose(), np.random.default_rng(0)
    states = rng.uniform(patient.problem.low, patient.problem.high, (20, 4))
    with jax.enable_x64(True):
        for dose in patient.actions:
            after = np.asarray(glucose_after(states, np.full(20, dose), P3 / P2, P1, 15))
            exact = np.array([as_published(state, 1_000 / 60 * dose, 15) for state in states])
            exact[:, 1] = 15 + exact[:, 1] * P2 / P3
            np.testing.assert_allclose(after, exact, rtol=1e-6, atol=1e-8)


def test_a_run_of_400_minutes_ends_where_another_program_says():
    """A large meal, and 3 mU a minute: what the tests of JModelica.org have for its example BloodGlucose."""
    with jax.enable_x64(True):
        sugar, remote, insulin, meal = np.asarray(glucose_after(np.array([4.5, 15, 15, 3.0]), 0.18, P3 / P2, P1, 400))
    assert sugar == pytest.approx(19.77650, abs=1e-3)
    assert 15 + P3 / P2 * (remote - 15) == pytest.approx(14.97815, abs=1e-3)
    assert insulin == pytest.approx(2.7, abs=1e-3) and abs(meal) < 1e-6


def test_noise_and_meals_are_those_that_are_told():
    patient, size = glucose(), 20_000
    state = np.tile([8.0, 20.0, 10.0, 0.2], (size, 1))
    with jax.enable_x64(True):
        step = jax.jit(lambda key: next_states(patient.model, key, patient.truth, state, np.full(size, 3)))
        after = np.asarray(step(jax.random.key(0)))
    exact = as_published(state[0], 1_000 / 60 * 2.0, 15)
    apart = np.log(after[:, 0] / exact[0]) / 0.05
    assert stats.kstest(apart, stats.norm.cdf).pvalue > 1e-3
    brought = after[:, 3] - exact[3]
    assert set(np.round(brought, 6)) == {0.0, 0.5}
    assert stats.binomtest(int((brought > 0.1).sum()), size, 0.06).pvalue > 1e-3


def test_the_risk_is_kovatchevs():
    """Of the scale: 0 at 112.5 mg/dL and 100 at 20 and 600, all to the digits that are published."""
    with jax.enable_x64(True):
        low, middle, high = np.asarray(glucose_risk(np.array([20.0, 112.5, 600.0]) / 18.016))
    assert low == pytest.approx(100, abs=0.1) and high == pytest.approx(100, abs=0.1)
    assert middle == pytest.approx(0, abs=1e-3)


def test_a_log_is_as_likely_as_the_published_equations_say():
    patient = glucose()
    log = bm.collect(patient, steps=30, seed=2)
    with jax.enable_x64(True):
        rows = fit_rows(patient.model, read_records(log, patient))
        joint = jax.jit(lambda values: log_density(patient.model, (rows,), {}, values)[0])(patient.truth)
    state, dose = log["state"].values, log["action"].values.astype(float)
    centre = np.log([as_published(*each)[0] for each in zip(state, 1_000 / 60 * dose, [15] * 30, strict=True)])
    after, meals = log["next_state"].values, log["meal"].values
    expected = (
        stats.lognorm(0.05, scale=np.exp(centre)).logpdf(after[:, 0]).sum() + stats.binom.logpmf(meals, 1, 0.06).sum()
    )
    expected += stats.lognorm(0.7, scale=np.exp(-6.0)).logpdf(P3 / P2) + stats.lognorm(0.7, scale=np.exp(-4.0)).logpdf(
        P1
    )
    assert 0 < meals.sum() < 30
    assert float(joint) == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
def test_the_posterior_is_that_of_a_grid():
    patient = glucose()
    log = bm.collect(patient, steps=60, seed=1)
    posterior = bm.infer(bm.models.glucose(patient), log, mdp=patient, draws=2_000).posterior
    logs = np.linspace(-7.0, -5.6, 61), np.linspace(-4.2, -2.9, 61)
    state, dose = log["state"].values, log["action"].values.astype(float)
    with jax.enable_x64(True):
        of_pair = jax.jit(lambda one, other: glucose_after(state, dose, one, other, 15)[:, 0])
        centre = np.array([[np.asarray(of_pair(*np.exp([one, other]))) for other in logs[1]] for one in logs[0]])
    density = stats.norm(np.log(centre), 0.05).logpdf(np.log(log["next_state"].values[:, 0])).sum(-1)
    density += stats.norm(-6.0, 0.7).logpdf(logs[0])[:, None] + stats.norm(-4.0, 0.7).logpdf(logs[1])
    weight = np.exp(density - density.max())
    for name, axis, values in (("sensitivity", 1, logs[0]), ("effectiveness", 0, logs[1])):
        each = weight.sum(axis) / weight.sum()
        mean = each @ values
        sd = np.sqrt(each @ (values - mean) ** 2)
        assert each[0] + each[-1] < 1e-3
        drawn = np.log(posterior[name].values)
        assert drawn.mean() == pytest.approx(mean, abs=0.2 * sd) and drawn.std() == pytest.approx(sd, rel=0.15), name


@pytest.mark.slow
def test_a_plan_keeps_the_patient_out_of_danger():
    """No dose that is always the same is worth a third as little: the best of these costs 1.2."""
    patient = glucose()
    rollouts = Rollouts(number=2_000)
    plan = bm.solve(patient, solver=FittedQ(LinearQ(ridge=0.01), places=512, rollouts=rollouts), strict=False)
    constant = float(bm.evaluate(patient, lambda state: np.int32(2), rollouts=rollouts))
    assert float(plan["lower"]) > 0.4 * constant
    sugar = bm.collect(patient, plan, steps=500, seed=0)["state"].values[:, 0] * 18.016
    assert np.mean((sugar > 70) & (sugar < 180)) > 0.9  # mg/dL: the range that is aimed at in diabetes


BAD = {
    "no sensitivity": (lambda: glucose(sensitivity=0.0), "sensitivity"),
    "no effectiveness": (lambda: glucose(effectiveness=-1.0), "effectiveness"),
    "meals all the time": (lambda: glucose(meals=1.0), "meals"),
    "no doses": (lambda: glucose(doses=()), "doses is empty"),
    "a dose taken out": (lambda: glucose(doses=(-1.0, 1.0)), "doses"),
    "doses of another problem": (lambda: bm.models.glucose(bm.environments.thermostat()), "actions must hold numbers"),
    "negative doses of a prior": (lambda: bm.models.glucose(bm.environments.pendulum()), "actions are .* at least 0"),
    "meals of a prior": (lambda: bm.models.glucose(glucose(), meals=0.0), "meals must be a probability"),
    "half minutes": (lambda: bm.models.glucose(glucose(), minutes=0.5), "minutes must be an integer"),
    "no spread": (lambda: bm.models.glucose(glucose(), sensitivity=(0.0, 0.0)), "standard deviation of sensitivity"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_numbers_are_refused(case):
    call, why = BAD[case]
    with pytest.raises((ValueError, TypeError), match=why):
        call()
