"""The fishery: its plan against Reed's formula and a table of values, its posterior against one on a grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import optimize, stats

import bayesmdp as bm
from bayesmdp.environments import best_escapement, fishery
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.planning import FittedQ, LinearQ, Rollouts, fitted_policy


def recruits(left, growth=3.0, half=0.5):
    return growth * left / (1 + left / half)


def test_reeds_escapement_is_the_best_of_all():
    best = best_escapement(growth=4.0, half=0.3, discount=0.9)
    found = optimize.minimize_scalar(
        lambda left: left - 0.9 * recruits(left, 4.0, 0.3), bounds=(0, 1), method="bounded"
    )
    assert best.left == pytest.approx(found.x, abs=1e-5)
    assert best.recruits == pytest.approx(recruits(best.left, 4.0, 0.3))
    with pytest.raises(ValueError, match="leave no fish"):
        best_escapement(growth=1.05, discount=0.95)


def values_on_a_line(goals, noise=0.1, discount=0.95):
    """Value iteration on 401 stocks, the noise integrated by Gauss-Hermite quadrature."""
    grid = np.linspace(0.01, 2.0, 401)
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    left = np.minimum(grid[:, None], goals)
    after = recruits(left)[..., None] * np.exp(noise * nodes - noise**2 / 2)
    value = np.zeros(len(grid))
    for _ in range(300):
        value = (grid[:, None] - left + discount * np.interp(after, grid, value) @ (weights / weights.sum())).max(-1)
    return grid, value


@pytest.mark.slow
def test_the_plan_finds_the_best_escapement():
    sea, best = fishery(goals=(0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 1.0)), best_escapement()
    plan = bm.solve(sea, solver=FittedQ(LinearQ(ridge=1e-3), places=100, samples=64))
    grid, value = values_on_a_line(np.array(sea.actions))
    exact = float(np.interp(1.0, grid, value))
    # Of a finer choice nothing is to be had beyond Reed's, and these goals lose next to nothing.
    assert exact == pytest.approx(best.value(1.0), rel=1e-3) and exact < best.value(1.0)
    assert float(plan["lower"]) <= exact <= float(plan["upper"])
    assert float(plan["upper"] - plan["lower"]) < 0.01
    stocks = np.linspace(0.5, 1.5, 50)[:, None]
    assert np.abs(fitted_policy(plan, sea).actions(stocks).astype(float) - best.left).max() < 0.06


def test_a_constant_goal_is_worth_what_the_formula_says():
    """Leaving .5 of 1 at first, and of .75 on average from then on."""
    sea = fishery()
    position = sea.actions.index(0.5)
    worth = bm.evaluate(sea, lambda state: jnp.asarray(position), rollouts=Rollouts(number=10_000))
    exact = 0.5 + 19 * (recruits(0.5) - 0.5)
    assert float(worth["lower"]) <= exact <= float(worth["upper"])


def test_a_log_is_as_likely_as_beverton_and_holt_say():
    sea = fishery()
    log = bm.collect(sea, steps=20, seed=2)
    with jax.enable_x64(True):
        rows = fit_rows(sea.model, read_records(log, sea))
        joint = jax.jit(lambda values: log_density(sea.model, (rows,), {}, values)[0])(sea.truth)
    left = np.minimum(log["state"].values[:, 0], log["action"].values.astype(float))
    after = stats.lognorm(0.1, scale=recruits(left) * np.exp(-(0.1**2) / 2))
    assert after.mean() == pytest.approx(recruits(left))
    prior = stats.lognorm(0.5, scale=np.e).logpdf(3.0) + stats.lognorm(0.5, scale=np.exp(-0.7)).logpdf(0.5)
    assert float(joint) == pytest.approx(prior + after.logpdf(log["next_state"].values[:, 0]).sum())


@pytest.mark.slow
def test_the_posterior_is_that_of_a_grid():
    sea = fishery()
    log = bm.collect(sea, steps=60, seed=1)
    posterior = bm.infer(bm.models.fishery(sea), log, mdp=sea, draws=2_000).posterior
    growth, half = np.exp(np.linspace(0.7, 1.5, 201)), np.exp(np.linspace(-1.3, 0.0, 201))
    left = np.minimum(log["state"].values[:, 0], log["action"].values.astype(float))
    centre = np.log(recruits(left, growth[:, None, None], half[:, None])) - 0.1**2 / 2
    log_density = stats.norm(centre, 0.1).logpdf(np.log(log["next_state"].values[:, 0])).sum(-1)
    log_density += stats.norm(1.0, 0.5).logpdf(np.log(growth))[:, None] + stats.norm(-0.7, 0.5).logpdf(np.log(half))
    weight = np.exp(log_density - log_density.max())
    for name, axis, values in (("growth", 1, np.log(growth)), ("half", 0, np.log(half))):
        each = weight.sum(axis) / weight.sum()
        mean = each @ values
        sd = np.sqrt(each @ (values - mean) ** 2)
        assert each[0] + each[-1] < 1e-6
        drawn = np.log(posterior[name].values)
        assert drawn.mean() == pytest.approx(mean, abs=0.2 * sd) and drawn.std() == pytest.approx(sd, rel=0.15), name


BAD = {
    "no growth": (lambda: fishery(growth=1.0), "growth"),
    "no room": (lambda: fishery(half=0.0), "half"),
    "no noise": (lambda: fishery(noise=0.0), "noise"),
    "no goals": (lambda: fishery(goals=()), "goals is empty"),
    "nothing left": (lambda: fishery(goals=(0.0, 0.5)), "goals"),
    "goals of another problem": (lambda: bm.models.fishery(bm.environments.thermostat()), "actions must hold numbers"),
    "no goals for the prior": (lambda: bm.models.fishery(None), "mdp must have actions"),
    "a prior without spread": (lambda: bm.models.fishery(fishery(), half=(0.0, 0.0)), "standard deviation of half"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_numbers_are_refused(case):
    call, why = BAD[case]
    with pytest.raises((ValueError, TypeError), match=why):
        call()
