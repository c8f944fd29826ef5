"""Plans and values on spaces of numbers: against tables, the lake's mesh, and how often intervals hold the truth."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from scipy import stats

import bayesmdp as bm
from bayesmdp.models.fourier_dynamics import FourierFeatures
from bayesmdp.planning import (
    CVaR,
    DoubleQ,
    Draws,
    FittedQ,
    LinearQ,
    Mean,
    Quantile,
    Rollouts,
    fitted_policy,
    policy_iteration,
)
from bayesmdp.planning.fitted_rounds import _round
from bayesmdp.planning.policy_values import policy_evaluation
from bayesmdp.planning.rollouts import _returns, horizon_within, simulate_returns
from bayesmdp.planning.simulated_plan import fit_simulated
from bayesmdp.planning.simulated_values import risk_between
from bayesmdp.planning.state_policies import state_policy
from tests.corridor import DISCOUNT, MDP, ROOMS, rooms_where, tabular

compiled_plan = jax.jit(policy_iteration)
QUICK = FittedQ(LinearQ(ridge=1e-6), places=100, samples=20, rollouts=Rollouts(number=4_000))
ROUGH = FittedQ(LinearQ(ridge=2.0), places=20, samples=2, rollouts=Rollouts(number=100))


def bold(state):
    return jnp.asarray(1)


def posterior_of(likely):
    return xr.Dataset({"likely": (("draw", "kind"), likely)})


def worth(likely, policy):
    """Values at the start [draw] of actions [state], from the table."""
    problem, kernel, reward = tabular(likely)
    with jax.enable_x64(True):
        one = jax.jit(lambda row: policy_evaluation(problem, row, jnp.asarray(reward), jnp.asarray(policy))[0])
        return np.asarray(jax.lax.map(one, jnp.asarray(kernel)))


def covers(told, truth):
    return told.lower <= truth <= told.upper


def assert_covered(hits, nominal, repetitions):
    """As often as an interval of this level must at least, but for what chance does to so many repetitions."""
    assert hits >= stats.binom.ppf(1e-4, repetitions, nominal), f"{hits} of {repetitions}"


def test_intervals_of_a_known_world_hold_the_tables_value():
    truth = float(worth(np.array([[0.5, 0.8]]), np.ones(ROOMS, int))[0])
    values, policy = {"likely": np.array([[0.5, 0.8]])}, state_policy(MDP, bold)
    told = [
        risk_between(Mean(), simulate_returns(MDP, values, policy, Rollouts(number=400, seed=seed)), 0.9)
        for seed in range(200)
    ]
    hits = sum(covers(each, truth) for each in told)
    assert_covered(hits, 0.9, 200)
    assert hits <= stats.binom.ppf(1 - 1e-4, 200, 0.9)  # nor wider than they need be
    assert float(bm.evaluate(MDP, bold)) == pytest.approx(truth, abs=0.01)


@pytest.mark.slow
def test_intervals_hold_what_moments_of_a_linear_system_say():
    """Of a cart that brakes by itself, under a constant push: the discounted costs are sums over means and spreads."""
    matrix, control, cost, noise, discount = np.array([[0.9, 0.1], [0.0, 0.8]]), np.array([0.02, 0.2]), 0.3, 0.05, 0.9
    cart = bm.environments.linear_quadratic(
        matrix=matrix, control=control, state_cost=(1.0, cost), noise=noise, controls=(-1.0, 1.0), discount=discount
    )
    mean, spread, truth = cart.problem.start, np.zeros((2, 2)), 0.0
    for t in range(400):
        truth -= discount**t * (np.array([1.0, cost]) @ (np.diag(spread) + mean**2) + 0.1)
        mean, spread = matrix @ mean + control, matrix @ spread @ matrix.T + noise**2 * np.eye(2)
    known, policy, hits = {name: value[None] for name, value in cart.truth.items()}, state_policy(cart, bold), 0
    for seed in range(200):
        told = risk_between(Mean(), simulate_returns(cart, known, policy, Rollouts(number=400, seed=seed)), 0.95)
        hits += covers(told, truth)
    assert_covered(hits, 0.95, 200)
    assert hits <= stats.binom.ppf(1 - 1e-4, 200, 0.95) + 2  # what the horizon leaves out is in them too


@pytest.mark.parametrize("risk", [Mean(), Quantile(0.1), Quantile(0.5), CVaR(0.2)], ids=str)
def test_intervals_over_draws_hold_the_posteriors_risk(risk):
    """100 posteriors of 200 draws, each valued by 20 rollouts a draw; the truth is of 40,000 draws of the table."""
    rng, policy = np.random.default_rng(1), state_policy(MDP, bold)
    exact = worth(rng.beta(3.0, 2.0, (40_000, 2)), np.ones(ROOMS, int))
    truth = float(risk.value(exact[:, None, None])[0, 0])
    hits, widths = 0, []
    for seed in range(100):
        values = {"likely": rng.beta(3.0, 2.0, (200, 2))}
        told = risk_between(risk, simulate_returns(MDP, values, policy, Rollouts(number=4_000, seed=seed)), 0.95)
        hits += covers(told, truth)
        widths.append(told.upper - told.lower)
    assert_covered(hits, 0.95, 100)
    assert np.mean(widths) < 2.5 * exact.std()


@pytest.mark.parametrize("likely", [[0.5, 0.8], [0.9, 0.3]])
def test_a_table_posed_on_numbers_is_worth_what_the_table_is(likely):
    problem, kernel, reward = tabular(np.array([likely]))
    with jax.enable_x64(True):
        exact = jax.device_get(compiled_plan(problem, Draws(kernel, reward), Mean()))
    plan = bm.solve(rooms_where(likely), solver=QUICK)
    assert float(plan["lower"]) <= exact.value[0] <= float(plan["upper"])
    assert float(plan["upper"] - plan["lower"]) < 0.1
    assert plan.attrs["converged"] == 1 and plan.attrs["misfit"] < 0.15
    chosen = [MDP.actions[a] for a in exact.policy]
    rooms = fitted_policy(plan, MDP).actions(np.arange(ROOMS)[:, None] + 0.5)
    assert rooms.tolist() == chosen
    assert plan["policy"].values[1:].tolist() == chosen  # the places are the start and the anchors


@pytest.mark.parametrize(
    "risk",
    [pytest.param(Mean(), marks=pytest.mark.slow), Quantile(0.15), pytest.param(CVaR(0.3), marks=pytest.mark.slow)],
    ids=["mean", "quantile", "cvar"],
)
def test_a_plan_of_draws_is_that_of_the_table(risk):
    """Q at the start is the table's nested risk of the draws planned with; the value is the others' whole future."""
    likely = np.random.default_rng(0).beta([3.0, 5.0], 2.0, (400, 2))
    planned = np.linspace(0, 399, 100).round().astype(int)
    problem, kernel, reward = tabular(likely[planned])
    with jax.enable_x64(True):
        exact = jax.device_get(compiled_plan(problem, Draws(kernel, reward[None]), risk))
    plan = bm.plan(posterior_of(likely), MDP, risk, solver=FittedQ(LinearQ(ridge=1e-6), num_draws=100, samples=40))
    assert (plan.attrs["num_draws"], plan.attrs["value_draws"]) == (100, 200)
    assert float(plan["q"][0].max()) == pytest.approx(float(exact.value[0]), abs=0.05)
    others = np.delete(likely, planned, axis=0)
    truth = worth(others, np.asarray(exact.policy))
    assert float(plan["lower"]) <= float(risk.value(truth[:, None, None])[0, 0]) <= float(plan["upper"])


def test_a_plan_is_never_valued_by_the_draws_it_was_made_with():
    """The one draw planned with says that every step leads on, the other that none does."""
    plan = bm.plan(posterior_of(np.array([[1.0, 1.0], [0.0, 0.0]])), MDP, solver=QUICK)
    assert float(plan["q"][0].max()) > 0.3
    assert float(plan["upper"]) < 1e-3


@pytest.mark.slow
def test_the_lakes_plan_is_worth_what_its_policy_is_on_the_mesh():
    lake = bm.environments.slippery_lake()
    plan = bm.solve(lake)
    problem = lake.problem
    with jax.enable_x64(True):
        kernel = problem.kernel({name: jnp.asarray(value) for name, value in lake.truth.items()})
        actions = fitted_policy(plan, lake).q(problem.points).argmax(-1)
        value = np.asarray(policy_evaluation(problem.mesh, kernel, problem.mesh.reward, actions))
        start = int(problem.nearest(problem.start))
    # On the mesh one moves from the middle of a small square, which the study allows half a per cent.
    slack = 0.005 * value[start]
    assert float(plan["lower"]) - slack <= value[start] <= float(plan["upper"]) + slack
    assert 1.0 < value[start] < 1.115  # the best there is on the mesh


def test_values_by_draw_quantiles_and_gains_agree():
    likely = np.random.default_rng(2).beta(3.0, 2.0, (60, 2))
    posterior, ways = posterior_of(likely), Rollouts(number=24_000)  # 400 of each draw, as in other tests
    values = bm.value_draws(posterior, MDP, bold, rollouts=ways)
    exact = worth(likely, np.ones(ROOMS, int))
    z = (values.values - exact) / values["error"].values
    assert values.dims == ("draw",) and np.abs(z).max() < 4.5
    quantile = bm.quantile_value(posterior, MDP, bold, 0.3, rollouts=ways)
    truth = np.quantile(exact, 0.3, method="inverted_cdf")
    assert float(quantile["initial_lower"]) <= truth <= float(quantile["initial_upper"])
    gain = bm.gain_draws(posterior, MDP, bold, bold, rollouts=ways)
    assert np.abs(gain.values).max() == 0  # the same random numbers for both
    careful = bm.gain_draws(posterior, MDP, bold, lambda state: jnp.asarray(0), rollouts=ways)
    told = exact - worth(likely, np.zeros(ROOMS, int))
    assert np.abs((careful.values - told) / careful["error"].values).max() < 4.5


def test_the_horizon_leaves_no_more_than_the_tolerance():
    for tolerance in (0.5, 1e-2, 1e-6):
        horizon = horizon_within(MDP, tolerance)
        assert DISCOUNT**horizon / (1 - DISCOUNT) <= tolerance < DISCOUNT ** (horizon - 1) / (1 - DISCOUNT)
    told = bm.evaluate(MDP, bold, rollouts=Rollouts(tolerance=2.0))
    assert told.attrs["beyond_horizon"] == pytest.approx(DISCOUNT ** told.attrs["horizon"] / (1 - DISCOUNT))
    truth = worth(np.array([[0.5, 0.8]]), np.ones(ROOMS, int))[0]
    assert told["lower"] < truth < told["upper"]


def walk_of(growth):
    """A number from a box of 0 to 2 is what is earned; a step multiplies it, or adds 1 where that would be by 1."""

    def model(data):
        growing = numpyro.sample("growing", dist.Uniform(0.0, 3.0))
        state = jnp.asarray(data.state)
        numpyro.deterministic("next_state", jnp.where(growing == 1, state + 1, growing * state))

    return bm.SimulatedMDP(
        model=model,
        truth={"growing": growth},
        reward=lambda state, action, next_state: state[..., 0],
        reward_range=(0.0, 2.0),
        features=lambda state: state,
        start=[1.0],
        low=[0.0],
        high=[2.0],
        actions=("only",),
        discount=DISCOUNT,
    )


@pytest.mark.parametrize("tolerance", [None, 1.0, 5.0])
def test_rewards_outside_of_their_range_take_the_horizon_along(tolerance):
    """The rewards 1, 2, 3, ... are worth 1 / (1 - discount)^2."""
    told = bm.evaluate(walk_of(1.0), "uniform", rollouts=Rollouts(number=16, tolerance=tolerance))
    assert told["lower"] <= 1 / (1 - DISCOUNT) ** 2 <= told["upper"]
    assert float(told["upper"] - told["lower"]) <= (1e-3 if tolerance is None else tolerance)


def test_rewards_that_outgrow_the_discount_are_told_of():
    with pytest.warns(UserWarning, match=r"outside the reward_range \(0.0, 2.0\), and rewards grow faster than"):
        bm.evaluate(walk_of(2.0), "uniform", rollouts=Rollouts(number=16))


def test_values_of_other_starts():
    places = np.arange(ROOMS)[:, None] + 0.5
    told = bm.evaluate(MDP, bold, states=places)
    problem, kernel, reward = tabular(np.array([[0.5, 0.8]]))
    with jax.enable_x64(True):
        exact = np.asarray(policy_evaluation(problem, kernel[0], reward, np.ones(ROOMS, int)))
    np.testing.assert_allclose(told, exact, atol=0.02)
    assert (told["lower"] <= exact).all() and (exact <= told["upper"]).all()


@pytest.mark.parametrize(
    "approximation", [LinearQ(ridge=2.0), pytest.param("neural", marks=pytest.mark.slow)], ids=["linear", "neural"]
)
def test_a_plan_comes_back_from_its_file(approximation, tmp_path):
    plan = bm.solve(MDP, solver=replace(ROUGH, approximation=approximation), tolerance=0.5, strict=False)
    plan.to_netcdf(tmp_path / "plan.nc", engine="h5netcdf")
    again = xr.load_dataset(tmp_path / "plan.nc", engine="h5netcdf")
    places = np.linspace(0, 4.9, 20)[:, None]
    np.testing.assert_array_equal(fitted_policy(again, MDP).q(places), fitted_policy(plan, MDP).q(places))
    np.testing.assert_array_equal(
        bm.collect(MDP, again, steps=20)["action"], bm.collect(MDP, fitted_policy(plan, MDP), steps=20)["action"]
    )


def test_another_posterior_compiles_nothing():
    likely = np.random.default_rng(0).beta(3.0, 2.0, (40, 2))
    first = bm.plan(posterior_of(likely), MDP, Quantile(0.2), solver=QUICK)
    compiled = _round._cache_size()
    other = bm.plan(posterior_of(likely[::-1] ** 2), MDP, Quantile(0.4), solver=QUICK)
    assert _round._cache_size() == compiled
    assert float(first["value"]) != float(other["value"])


def test_rollouts_are_one_program_whether_draws_share_their_random_numbers_or_not():
    values, policy = {"likely": np.full((200, 2), 0.6)}, state_policy(MDP, bold)
    own = simulate_returns(MDP, values, policy, Rollouts(number=3_200))
    compiled = _returns._cache_size()
    alike = simulate_returns(MDP, values, policy, Rollouts(number=3_200), streams=np.zeros(200, int))
    assert _returns._cache_size() == compiled
    assert np.ptp(alike.middle.mean(1)) == 0 < np.ptp(own.middle.mean(1))


def test_a_problem_without_a_truth_is_planned_for_and_not_acted_in():
    unknown = MDP.replace(truth=None)
    plan = bm.plan(posterior_of(np.random.default_rng(0).beta(3.0, 2.0, (40, 2))), unknown, Quantile(0.2), solver=QUICK)
    assert float(plan["lower"]) > 0
    for call in (lambda: bm.collect(unknown, steps=3), lambda: bm.evaluate(unknown, plan), lambda: bm.solve(unknown)):
        with pytest.raises(ValueError, match="simulated has no truth"):
            call()


DRAWS = posterior_of(np.full((8, 2), 0.5))


@functools.cache
def rough_plan():
    return bm.solve(MDP, solver=ROUGH, tolerance=2.0, strict=False)


def other_features(state):
    return jnp.concatenate([state, state**2, state**3, state**4, state**5], -1)


BAD = {
    "no posterior": (lambda: bm.plan(3, MDP), TypeError, "posterior must be an xarray"),
    "other unknowns": (lambda: bm.plan(DRAWS.rename(likely="p"), MDP), ValueError, "no 'likely', an unknown of the"),
    "another shape": (lambda: bm.plan(DRAWS.isel(kind=[0]), MDP), ValueError, r"'likely' has shape \(1,\); .* \(2,\)"),
    "not finite": (
        lambda: bm.plan(DRAWS.where(DRAWS.draw != 3), MDP),
        ValueError,
        r"likely\[3, 0\] = nan, which is not finite",
    ),
    "no draws": (lambda: bm.plan(DRAWS.isel(draw=0), MDP), ValueError, "do not number draws"),
    "parameters alone": (
        lambda: bm.plan(xr.DataTree.from_dict({"parameters": DRAWS}), MDP),
        ValueError,
        "make draws of its parameters with bm.draw",
    ),
    "a risk by state": (lambda: bm.plan(DRAWS, MDP, Quantile([[0.1, 0.2]])), ValueError, r"level has shape \(1, 2\)"),
    "no risk": (lambda: bm.plan(DRAWS, MDP, 0.1), TypeError, "one of Mean, Quantile, CVaR; got 0.1"),
    "a risk's class": (lambda: bm.plan(DRAWS, MDP, Quantile), TypeError, "the class Quantile; make one"),
    "a table's solver": (lambda: bm.plan(DRAWS, MDP, solver="value_iteration"), TypeError, "solver must be made"),
    "an exact quantile": (lambda: bm.plan(DRAWS, MDP, quantile="exact"), ValueError, "quantile='exact' is for finite"),
    "a baseline by name": (lambda: bm.plan(DRAWS, MDP, baseline="log"), TypeError, "policy must be 'uniform', a plan"),
    "a policy that mixes": (lambda: bm.plan(DRAWS, MDP, deterministic=True), ValueError, "deterministic=True is for"),
    "no convergence": (
        lambda: bm.solve(MDP, solver=ROUGH, max_iterations=3),
        RuntimeError,
        "did not settle in 3 iterations",
    ),
    "a label": (lambda: bm.evaluate(MDP, ["bold"] * 5), TypeError, "policy must be 'uniform', a plan"),
    "a real action": (lambda: bm.evaluate(MDP, lambda s: s[0]), TypeError, "of continuous ones give a grid"),
    "an action too far": (
        lambda: bm.evaluate(MDP, lambda s: jnp.where(s[0] > 2, 2, 0)),
        ValueError,
        r"policy\(\[2.5\]\) is 2; the actions of simulated are 0 to 1",
    ),
    "another lake's plan": (
        lambda: bm.evaluate(bm.environments.slippery_lake(), rough_plan()),
        ValueError,
        "the plan is of another problem, 'simulated': its actions are",
    ),
    "other features": (
        lambda: bm.evaluate(MDP.replace(features=other_features), rough_plan()),
        ValueError,
        "the features of simulated are others",
    ),
    "another lake's policy": (
        lambda: bm.evaluate(bm.environments.slippery_lake(), fitted_policy(rough_plan(), MDP)),
        ValueError,
        "the policy is of another problem, 'simulated': its actions are",
    ),
    "a policy of other features": (
        lambda: bm.collect(MDP.replace(features=other_features), fitted_policy(rough_plan(), MDP), steps=2),
        ValueError,
        "the policy is of another problem, 'simulated': the features of simulated are others",
    ),
    "no fitted plan": (lambda: bm.evaluate(MDP, DRAWS), ValueError, "no fitted plan"),
    "a state of another shape": (lambda: fitted_policy(rough_plan(), MDP).q([0.5, 0.5]), ValueError, r"shape \(2,\)"),
    "a NaN coordinate": (
        lambda: fitted_policy(rough_plan(), MDP).q([[0.5], [np.nan]]),
        ValueError,
        r"states\[1, 0\] = nan",
    ),
    "NaN to start from": (lambda: bm.evaluate(MDP, bold, states=[[np.nan]]), ValueError, r"states\[0, 0\] = nan"),
    "starts of another shape": (lambda: bm.evaluate(MDP, bold, states=[0.5]), ValueError, r"states have shape \(1,\)"),
    "rollouts of a number": (lambda: bm.evaluate(MDP, bold, rollouts=5), TypeError, "rollouts must be made"),
    "too few rollouts": (lambda: Rollouts(number=3), ValueError, "number must be an integer of at least 16"),
    "no tolerance": (lambda: Rollouts(tolerance=0.0), ValueError, "tolerance"),
    "certainty": (lambda: Rollouts(confidence=1.0), ValueError, "confidence"),
    "no places": (lambda: FittedQ(places=0), ValueError, "places"),
    "another approximation": (lambda: FittedQ("quadratic"), ValueError, "neural, linear"),
    "no rollouts": (lambda: FittedQ(rollouts=100), TypeError, "rollouts must be made"),
    "a finite problem's rollouts": (
        lambda: bm.evaluate(bm.environments.riverswim(3), "uniform", rollouts=Rollouts()),
        ValueError,
        "a finite MDP is solved exactly",
    ),
    "an unknown argument": (lambda: MDP.replace(gamma=0.5), TypeError, "has no 'gamma'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, error, why = BAD[case]
    with pytest.raises(error, match=why):
        call()


def gamble(data):
    """Where one goes does not matter; what a step pays is luck of mean 0."""
    with data.rows():
        luck = numpyro.sample("luck", dist.Normal(0.0, 1.0), obs=data.seen.get("luck"))
    numpyro.deterministic("next_state", luck[:, None])


def of_luck(state, action, next_state):
    return next_state[..., 0]


def level(state):
    return jnp.ones_like(state)


@pytest.mark.slow
def test_a_second_fit_takes_the_over_estimation_away():
    """Ten actions that are all worth 0. One fit's largest Q is the largest of ten errors, at each iteration."""
    casino = bm.SimulatedMDP(
        model=gamble,
        truth={},
        reward=of_luck,
        reward_range=(-10.0, 10.0),
        features=level,
        start=[0.0],
        low=[-1.0],
        high=[1.0],
        actions=tuple(range(10)),
        discount=0.9,
        name="casino",
    )
    too_high = {}
    for approximation in (LinearQ(ridge=1e-6), DoubleQ(ridge=1e-6)):
        how = FittedQ(approximation, places=20, samples=1, rollouts=Rollouts(number=16))
        fits = [fit_simulated({}, casino, Mean(), replace(how, seed=seed), 1.0, 120) for seed in range(5)]
        q = np.array([fitted.policy.q([0.0]) for fitted in fits])
        assert q.shape == (5, 10)
        too_high[type(approximation)] = q.mean()
    # Of ten fits with a standard deviation of 1 / sqrt(20) the largest is .34 too high, and that is paid for ever.
    assert too_high[LinearQ] == pytest.approx(0.9 / 0.1 * 0.34, rel=0.1)
    assert abs(too_high[DoubleQ]) < 0.1 * too_high[LinearQ]


def test_two_fits_plan_as_one_and_come_back_from_a_file(tmp_path):
    plan = bm.solve(rooms_where([0.5, 0.8]), solver=FittedQ(DoubleQ(ridge=1e-6), places=100, samples=20))
    truth = float(worth(np.array([[0.5, 0.8]]), np.ones(ROOMS, int))[0])
    assert float(plan["lower"]) <= truth <= float(plan["upper"])
    plan.to_netcdf(tmp_path / "plan.nc")
    back = fitted_policy(xr.load_dataset(tmp_path / "plan.nc"), MDP)
    np.testing.assert_array_equal(back.q(plan["places"].values), plan["q"].values)


def pays_two(state, action, next_state):
    return jnp.full(jnp.shape(action), 2.0)


def test_q_of_features_of_32_bits_is_that_of_64_to_their_rounding():
    """Random Fourier features, as plans from four measurements and more have: their values, and their regression."""
    rng, linear = np.random.default_rng(0), LinearQ()
    place, target = rng.uniform(-1, 1, (300, 4)), 100 * rng.normal(size=(300, 3))
    with jax.enable_x64(True):
        fits, values = [], []
        for bits in (64, 32):
            features = FourierFeatures(4, 50, 1.0, 0, bits)(jnp.asarray(place))
            fits.append(linear.improve(jnp.zeros((55, 3)), features, jnp.asarray(target)))
            values.append(linear.value(fits[0], features))
    assert features.dtype == np.float32 and values[1].dtype == fits[1].dtype == np.float64
    off = np.abs(values[1] - values[0]).max() / np.abs(values[0]).max()
    assert 1e-9 < off < 3e-6
    np.testing.assert_allclose(fits[1], fits[0], atol=1e-5 * np.abs(fits[0]).max())


def test_a_plan_of_rewards_that_are_all_the_same_settles():
    """Values cannot differ then, and fits differ by their ridge."""
    same = MDP.replace(reward=pays_two, reward_range=(2.0, 2.0), mesh=None)
    few = FittedQ(places=20, samples=2, rollouts=Rollouts(number=16))
    plan = bm.plan(posterior_of(np.full((4, 2), 0.5)), same, solver=few)
    assert plan.attrs["converged"] == 1
    assert float(plan.value) == pytest.approx(2 / (1 - DISCOUNT))
