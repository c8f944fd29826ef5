"""Next states observed directly: closed forms of linear regressions against scipy, calibration, and what is refused."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density
from scipy import stats

import bayesmdp as bm
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import draw_rows, fit_rows
from bayesmdp.model_reading.read_model import read_sites, trace
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import thaw
from bayesmdp.planning.simulated_values import read_unknowns
from bayesmdp.posterior.beliefs.primitives import recorded_belief
from bayesmdp.posterior.closed_forms.find_regression import find_regression
from bayesmdp.problems.world import Step
from tests.statistical import assert_means, assert_p_value, calibration_p_value

ROOM = bm.environments.thermostat()
LOG = bm.collect(ROOM, steps=60, seed=0)


def design(log):
    """Features of the thermostat's own model: what leaks, and the heat."""
    state, action = log["state"].values[:, 0], log["action"].values
    heat = np.array([{"off": 0.0, "low": 0.5, "high": 1.0}[name] for name in action])
    return np.stack([5.0 - state, heat], -1)


def test_known_noise_is_a_normal_regression():
    posterior = bm.infer(bm.models.thermostat(leak=(0.2, 0.1), power=(3.0, 2.0), noise=0.4), LOG, mdp=ROOM, draws=4_000)
    assert posterior.attrs["engine"] == "exact"
    x, y = design(LOG), (LOG["next_state"] - LOG["state"]).values[:, 0]
    prior, mean = np.diag([1 / 0.1**2, 1 / 2.0**2]), np.array([0.2, 3.0])
    precision = prior + x.T @ x / 0.4**2
    expected = np.linalg.solve(precision, prior @ mean + x.T @ y / 0.4**2)
    found = posterior["parameters"].to_dataset()
    np.testing.assert_allclose(found["mean"].values[0], expected, rtol=1e-9)
    np.testing.assert_allclose(found["precision"].values[0], precision, rtol=1e-9)
    drawn = np.stack([posterior.posterior[name].values.ravel() for name in ("leak", "power")], -1)
    assert_means(drawn, expected, "draws")
    apart = (drawn - expected) @ np.linalg.cholesky(precision)
    assert_means(apart[:, :, None] * apart[:, None, :], np.eye(2), "covariance")
    evidence = stats.multivariate_normal(x @ mean, 0.4**2 * np.eye(60) + x @ np.diag([0.01, 4.0]) @ x.T).logpdf(y)
    assert posterior.attrs["log_evidence"] == pytest.approx(evidence, rel=1e-10)


def test_unknown_noise_is_a_students_t():
    """The evidence is that of a multivariate Student's t, and so is what the precision is believed to be."""
    prior = bm.models.linear_dynamics(ROOM, scale=4.0, noise=0.1, certainty=2.0)
    posterior = bm.infer(prior, LOG, mdp=ROOM, draws=4_000)
    state, action = LOG["state"].values[:, 0] / 20 - 1, LOG["action"].values
    moved = (LOG["next_state"] - LOG["state"]).values[:, 0] / 20
    x = np.concatenate([np.stack([action == name, (action == name) * state], -1) for name in ROOM.actions], -1)
    shape, rate, spread = 2.0, 2.0 * 0.1**2, 16.0
    marginal = np.eye(60) + spread * x @ x.T
    evidence = stats.multivariate_t(np.zeros(60), rate / shape * marginal, df=2 * shape).logpdf(moved) - 60 * np.log(20)
    assert posterior.attrs["log_evidence"] == pytest.approx(evidence, rel=1e-10)
    found = posterior["parameters"].to_dataset()
    assert found["shape"].item() == pytest.approx(shape + 30)
    assert found["rate"].item() == pytest.approx(rate + moved @ np.linalg.solve(marginal, moved) / 2, rel=1e-9)
    covariance = np.linalg.inv(np.eye(6) / spread + x.T @ x)
    expected = covariance @ x.T @ moved
    np.testing.assert_allclose(found["mean"].values[0], expected, rtol=1e-8, atol=1e-10)
    weights = posterior.posterior["weights"].values.reshape(-1, 6)
    assert_means(weights, expected, "weights")
    scaled = (weights - expected) / np.sqrt((found["rate"] / found["shape"]).item() * np.diag(covariance))
    for each in scaled.T:
        assert_p_value(stats.kstest(each, stats.t(2 * shape + 60).cdf).pvalue, "scaled weights")
    assert_means(
        posterior.posterior["precision"].values.reshape(-1, 1), [(found["shape"] / found["rate"]).item()], "noise"
    )


def bent(data):
    """Two coordinates with known, correlated noise; a prior with correlations; some rows count for nothing."""
    weights = numpyro.sample("weights", dist.MultivariateNormal(np.array([1.0, -1.0, 0.5]), PRIOR))
    lift = numpyro.sample("lift", dist.Normal(np.zeros(2), 2.0).to_event(1))
    state = jnp.asarray(data.state)
    turned = state * weights[:2] + weights[2] * state[:, ::-1] + lift * (data.action == 1)[:, None]
    with data.rows(), handlers.mask(mask=state[:, 0] > -1.0):
        noise = dist.MultivariateNormal(turned, np.array([[0.5, 0.2], [0.2, 0.3]]))
        numpyro.sample("next_state", noise, obs=data.next_state)


PRIOR = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, -0.4], [0.0, -0.4, 1.5]])


def noisy(data):
    """Noise of each action's own, as a variance; the coefficients of an action share it."""
    with numpyro.plate("action", 2):
        variance = numpyro.sample("variance", dist.InverseGamma(3.0, np.array([0.5, 2.0])))
        slope = numpyro.sample("slope", dist.Normal(0.5, 2.0 * jnp.sqrt(variance)))
        lift = numpyro.sample("lift", dist.Normal(0.0, jnp.sqrt(variance)))
    after = data.state * slope[data.action][:, None] + lift[data.action][:, None]
    with data.rows():
        sd = jnp.sqrt(variance)[data.action][:, None]
        numpyro.sample("next_state", dist.Normal(after, sd).to_event(1), obs=data.next_state)


def two_sites(data):
    """A measurement beside the next state, of the same coefficient and noise."""
    precision = numpyro.sample("precision", dist.Exponential(0.7))
    slope = numpyro.sample("slope", dist.Normal(1.0, 3.0 / jnp.sqrt(precision)))
    sd = 1 / jnp.sqrt(precision)
    with data.rows():
        numpyro.sample("flow", dist.Normal(slope * data.state[:, 0], 2 * sd), obs=data.seen.get("flow"))
        numpyro.sample("next_state", dist.Normal(slope * data.state, sd).to_event(1), obs=data.next_state)


def made(rows=40, seed=0, coordinates=2):
    rng = np.random.default_rng(seed)
    state, action = rng.normal(size=(rows, coordinates)), rng.integers(0, 2, rows)
    seen = {"next_state": rng.normal(size=(rows, coordinates)), "flow": rng.normal(size=rows)}
    weight = rng.integers(0, 3, rows).astype(float)
    return Records(state, action, seen | {"reward": rng.normal(size=rows)}, weight)


def form_of(model, data):
    with jax.enable_x64(True):
        data = fit_rows(model, data)
        reading = read_sites(model, data)
        return find_regression(reading, data), reading, data


def ragged(data):
    """Two sites of noise, one of variances, with different numbers of coefficients."""
    precision = numpyro.sample("precision", dist.Gamma(2.0, 1.5))
    variance = numpyro.sample("variance", dist.InverseGamma(3.0, np.array([0.5, 2.0])).to_event(1))
    slope = numpyro.sample("slope", dist.Normal(1.0, 2.0 / jnp.sqrt(precision)))
    lift = numpyro.sample("lift", dist.Normal(0.5, 3.0 / jnp.sqrt(precision)))
    bend = numpyro.sample("bend", dist.Normal(0.0, jnp.sqrt(variance)).to_event(1))
    with data.rows():
        flow = slope * data.state[:, 0] + lift * data.state[:, 1]
        numpyro.sample("flow", dist.Normal(flow, 1 / jnp.sqrt(precision)), obs=data.seen.get("flow"))
        after = dist.Normal(bend * data.state, jnp.sqrt(variance)).to_event(1)
        numpyro.sample("next_state", after, obs=data.next_state)


@pytest.mark.parametrize(
    "model", [bent, ragged, *(pytest.param(each, marks=pytest.mark.slow) for each in (noisy, two_sites))]
)
def test_the_posterior_times_the_evidence_is_the_joint_density(model):
    """At random values of the unknowns: log p(values, data) = log evidence + log p(values | data), to rounding."""
    form, reading, data = form_of(model, made())
    with jax.enable_x64(True):
        sums = form.learn_log(model, form.before, data)
        evidence = form.log_evidence(reading, sums, data)
        after = form.parameters(sums)
        rng, joint = np.random.default_rng(1), jax.jit(lambda values: log_density(model, (data,), {}, values)[0])
        for _ in range(5):
            noise = np.exp(rng.uniform(-1, 1, len(after["mean"]))) if form.noises else np.ones(len(after["mean"]))
            group = after["mean"] + rng.normal(size=after["mean"].shape)
            flat = np.zeros(group.size)
            flat[thaw(form.place).ravel()] = group.ravel()
            # What fills up the smaller groups is none of the model's unknowns, and not learned of.
            fills = thaw(form.place) >= sum(int(np.prod(shape)) for _, shape in form.sites)
            filler = np.where(fills[:, :, None] | fills[:, None, :], np.eye(fills.shape[1]), 0.0)
            np.testing.assert_array_equal(np.where(filler > 0, after["precision"], 0.0), filler)
            density = sum(
                stats.multivariate_normal(mean[own], np.linalg.inv(precision[np.ix_(own, own)]) / t).logpdf(each[own])
                for mean, precision, t, each, own in zip(
                    after["mean"], after["precision"], noise, group, ~fills, strict=True
                )
            )
            if form.noises:
                density += stats.gamma(after["shape"], scale=1 / after["rate"]).logpdf(noise).sum()
                variances = np.concatenate([np.full(int(np.prod(shape)), own) for _, shape, own in form.noises])
                density += 2 * np.log(noise[variances]).sum()  # of 1 / t
            values = {name: jnp.asarray(each) for name, each in form.values(flat, noise).items()}
            assert float(joint(values)) == pytest.approx(evidence + density, rel=1e-9)


@pytest.mark.slow
def test_nuts_agrees():
    log = LOG.isel(step=slice(20))
    prior = bm.models.linear_dynamics(ROOM)
    exact, sampled = (bm.infer(prior, log, mdp=ROOM, draws=4_000, method=method) for method in ("exact", "nuts"))
    for name in ("weights", "precision"):
        one, other = (each.posterior[name].values.reshape(4_000, -1) for each in (exact, sampled))
        error = one.std(0) / np.sqrt(400)
        assert np.abs((one.mean(0) - other.mean(0)) / error).max() < 5, name


SMALL = {"number": 3, "scale": 2.0, "certainty": 2.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        bm.models.thermostat(),
        bm.models.linear_dynamics(ROOM, certainty=2.0),
        bm.models.fourier_dynamics(ROOM, **SMALL),
        bm.models.linear_rewards(ROOM, bm.models.linear_dynamics(ROOM, certainty=2.0), certainty=2.0),
        noisy,
    ],
    ids=["thermostat", "linear_dynamics", "fourier_dynamics", "linear_rewards", "noisy"],
)
def test_it_is_calibrated(model):
    """Simulation-based calibration (Talts et al., 2018): truths from NumPyro's own prior, 25 steps of each."""
    rows, draws, repetitions = 25, 99, 400
    actions = 2 if model is noisy else 3
    probe = made(rows, coordinates=1)
    form, _, _ = form_of(model, probe._replace(action=np.arange(rows) % actions))

    @jax.jit
    @jax.vmap
    def rank(key):
        prior_key, state_key, step_key, draw_key = jax.random.split(key, 4)
        one = Records(jnp.zeros((1, 1)), jnp.zeros(1, int), {}, jnp.ones(1))
        messages = trace(handlers.seed(model, prior_key), one)
        truth = {name: messages[name]["value"] for name, _ in form.dims}
        state = jax.random.uniform(state_key, (rows, 1), minval=0.0, maxval=40.0 if model is not noisy else 2.0)
        action = jnp.arange(rows) % actions
        _, seen = draw_rows(model, step_key, truth, state, action)
        data = Records(state, action, seen, jnp.ones(rows))
        drawn = form.draw(draw_key, form.learn(model, form.before, data), draws)
        return {name: (drawn[name].reshape(draws, -1) < truth[name].ravel()).sum(0) for name in truth}

    with jax.enable_x64(True):
        found = rank(jax.random.split(jax.random.key(3), repetitions))
    for name, each in found.items():
        for element in np.asarray(each).T:
            assert_p_value(calibration_p_value(element, draws), f"ranks of {name}")


def test_a_belief_adds_step_by_step_what_a_log_adds():
    prior = bm.models.linear_dynamics(ROOM)
    belief = recorded_belief(prior, ROOM, 7, room=10)
    with jax.enable_x64(True):
        data = fit_rows(prior, read_records(LOG, ROOM))
        state = belief.init(jax.random.key(0))
        sizes = jax.tree.map(jnp.shape, state)
        observe = jax.jit(belief.observe)
        for t in range(60):
            row = jax.tree.map(lambda column: column[t], data)  # noqa: B023
            step = Step(row.state, row.action, {}, row.seen["next_state"], 0.0, np.bool_(False))
            state = observe(jax.random.key(1), state, step)
        assert jax.tree.map(jnp.shape, state) == sizes
        told = jax.tree.map(np.asarray, belief.parameters(state))
        _, drawn = belief.draw(jax.random.key(2), state)
    found = bm.infer(prior, LOG, mdp=ROOM, draws=0)["parameters"]
    for name in ("mean", "precision", "shape", "rate"):
        np.testing.assert_allclose(told[name], found[name].values, rtol=1e-8, atol=1e-10)
    assert drawn["weights"].shape == (7, 3, 2, 1) and belief.room is None


def test_long_logs_are_summed_in_parts_and_draws_are_made_later():
    log = bm.collect(ROOM, steps=1_300, seed=1)
    prior = bm.models.thermostat()
    kept = bm.infer(prior, log, mdp=ROOM, draws=0)
    x = design(log)
    precision = np.diag([1 / 0.1**2, 1 / 2.0**2]) + x.T @ x / 0.3**2
    np.testing.assert_allclose(kept["parameters"]["precision"].values[0], precision, rtol=1e-10)
    made_later, at_once = bm.draw(kept, 40), bm.infer(prior, log, mdp=ROOM, draws=40)
    for name in ("leak", "power"):
        np.testing.assert_array_equal(made_later.posterior[name], at_once.posterior[name])
    assert made_later.posterior["leak"].dims == ("chain", "draw")


def student(data):
    slope = numpyro.sample("slope", dist.Normal(1.0, 0.3))
    with data.rows():
        after = dist.StudentT(4.0, slope * jnp.asarray(data.state), 0.2).to_event(1)
        numpyro.sample("next_state", after, obs=data.next_state)


@pytest.mark.slow
def test_other_densities_go_by_particles():
    """A Student's t of known scale: the posterior against one on a grid."""
    rng = np.random.default_rng(0)
    state = rng.normal(size=(80, 1))
    data = Records(
        state, np.zeros(80, int), {"next_state": 1.3 * state + 0.2 * rng.standard_t(4, (80, 1))}, np.ones(80)
    )
    posterior = bm.infer(student, data, draws=2_000)
    assert posterior.attrs["engine"] == "smc" and "no closed form: " in posterior.attrs["reason"]
    grid = np.linspace(0.8, 1.8, 2_001)
    log = stats.norm(1.0, 0.3).logpdf(grid)
    log += stats.t(4, scale=0.2).logpdf(data.seen["next_state"] - grid * state).sum(0)
    weight = np.exp(log - log.max())
    mean = weight @ grid / weight.sum()
    sd = np.sqrt(weight @ (grid - mean) ** 2 / weight.sum())
    slope = posterior.posterior["slope"].values
    assert slope.mean() == pytest.approx(mean, abs=0.25 * sd) and slope.std() == pytest.approx(sd, rel=0.15)


def product(data):
    one, other = (numpyro.sample(name, dist.Normal(1.0, 1.0)) for name in ("one", "other"))
    with data.rows():
        numpyro.sample("next_state", dist.Normal(one * other * data.state, 1.0).to_event(1), obs=data.next_state)


def own_noise(data):
    precision = numpyro.sample("precision", dist.Gamma(2.0, 1.0))
    slope = numpyro.sample("slope", dist.Normal(1.0, 1.0))
    with data.rows():
        sd = 1 / jnp.sqrt(precision)
        numpyro.sample("next_state", dist.Normal(slope * data.state, sd).to_event(1), obs=data.next_state)


def growing(data):
    slope = numpyro.sample("slope", dist.Normal(1.0, 1.0))
    with data.rows():
        sd = jnp.exp(slope * data.state)
        numpyro.sample("next_state", dist.Normal(slope * data.state, sd).to_event(1), obs=data.next_state)


def half_known(data):
    precision = numpyro.sample("precision", dist.Gamma(2.0, 1.0))
    slope = numpyro.sample("slope", dist.Normal(1.0, 1 / jnp.sqrt(precision)))
    with data.rows():
        sd = jnp.stack([1 / jnp.sqrt(precision), jnp.ones(())])
        numpyro.sample("next_state", dist.Normal(slope * data.state, sd).to_event(1), obs=data.next_state)


def by_another(data):
    centre = numpyro.sample("centre", dist.Normal(0.0, 1.0))
    slope = numpyro.sample("slope", dist.Normal(centre, 1.0))
    with data.rows():
        numpyro.sample("next_state", dist.Normal(slope * data.state, 1.0).to_event(1), obs=data.next_state)


@pytest.mark.parametrize(
    "model, why",
    [
        (product, "the likelihood of row 0 is not that of a linear regression"),
        (own_noise, r"the standard deviation of slope\[\], a coefficient, is not a number over the square root"),
        (growing, "the likelihood of row 0 is not that of a linear regression"),
        (half_known, "the noise of some of what is observed is known"),
        (by_another, "a prior depends on another unknown"),
        (student, "closed forms are known here for"),
    ],
)
def test_what_is_no_regression_is_refused_with_the_reason(model, why):
    with pytest.raises(bm.NotConjugate, match=why):
        bm.infer(model, made(), method="exact")


def rarely_bent(data):
    lift = numpyro.sample("lift", dist.Normal(np.zeros(2), 1.0).to_event(1))
    rare = data.action == 1
    after = data.state + jnp.where(rare, jnp.exp(lift[1]), lift[0])[:, None]
    with data.rows():
        numpyro.sample("next_state", dist.Normal(after, 1.0).to_event(1), obs=data.next_state)


def test_rows_that_a_form_was_not_tried_on_must_fit_too():
    """One row of 3,000 goes by another rule: with a weight of 0 it is none of the log."""
    data = made(3_000, coordinates=1)._replace(action=(np.arange(3_000) == 1_001).astype(int), weight=np.ones(3_000))
    with pytest.raises(bm.NotConjugate, match="the likelihood of some rows of the log is not that of a linear"):
        bm.infer(rarely_bent, data, method="exact")
    without = data._replace(weight=1.0 - data.action)
    assert bm.infer(rarely_bent, without, method="exact", draws=10).attrs["engine"] == "exact"


def outside(data):
    slope = numpyro.sample("slope", dist.Normal(1.0, 1.0))
    numpyro.sample("next_state", dist.Normal(slope * data.state, 1.0).to_event(2), obs=data.next_state)


def unobserved(data):
    slope = numpyro.sample("slope", dist.Normal(1.0, 1.0))
    with data.rows():
        numpyro.sample("next_state", dist.Normal(slope * data.state, 1.0).to_event(1))


def of_one(data):
    slope = numpyro.sample("slope", dist.Normal(1.0, 1.0))
    with data.rows():
        numpyro.sample("next_state", dist.Normal(slope * data.state[:, :1], 1.0).to_event(1), obs=data.next_state)


def changed(name, step, value):
    values = LOG[name].values.copy()
    values[step] = value
    return LOG.assign({name: (LOG[name].dims, values)})


@pytest.mark.parametrize(
    "log, why",
    [
        (changed("next_state", 7, np.nan), r"next_state\[7, 0\] = nan, which is not finite"),
        (changed("state", 7, np.inf), r"state\[7, 0\] is not finite"),
        (LOG.assign(next_state=("step", LOG["next_state"].values[:, 0])), r"next_state has dims \('step',\)"),
        (
            LOG.assign(next_state=(("step", "coordinate"), LOG["action"].values[:, None])),
            "next_state must hold numbers",
        ),
        (
            LOG.drop_vars("next_state").assign(next_state=(("step", "far"), np.zeros((60, 2)))),
            r"next_state has dims \('step', 'far'\)",
        ),
        (changed("action", 4, "middling"), "action at step 4 is 'midd"),
    ],
)
def test_bad_logs_are_refused_with_the_step(log, why):
    with pytest.raises((ValueError, TypeError), match=why):
        bm.infer(bm.models.thermostat(), log, mdp=ROOM)


GIVEN = {
    "truth": {"slope": 0.5},
    "reward": lambda state, action, after: jnp.zeros(action.shape),
    "reward_range": (0, 1),
    "features": lambda state: state,
    "start": [0.0, 0.0],
    "low": [-1.0, -1.0],
    "high": [1.0, 1.0],
    "actions": ("wait",),
    "discount": 0.9,
}


@pytest.mark.parametrize(
    "model, why",
    [
        (outside, "samples next_state outside of the rows"),
        (of_one, r"next_state has shape \(1, 1\) for one row; expected \(1, 2\)"),
    ],
)
def test_problems_with_models_of_another_kind_are_refused(model, why):
    with pytest.raises(ValueError, match=why):
        bm.SimulatedMDP(model=model, **GIVEN)


@pytest.mark.parametrize(
    "model, why", [(unobserved, "with obs=data.next_state"), (of_one, "next_state has shape"), (outside, "data.rows")]
)
def test_models_that_do_not_observe_next_states_are_refused(model, why):
    with pytest.raises(ValueError, match=why):
        bm.infer(model, made())


def test_priors_of_another_problem_are_refused():
    for maker in (bm.models.linear_dynamics, bm.models.fourier_dynamics):
        with pytest.raises(TypeError, match="mdp must have a box of states"):
            maker(bm.environments.riverswim(3))
        with pytest.raises(ValueError, match="noise"):
            maker(ROOM, noise=0.0)
        with pytest.raises(ValueError, match="noise has shape"):
            maker(ROOM, noise=[0.1, 0.2])
        assert maker(ROOM) is maker(ROOM)
    with pytest.raises(ValueError, match="number must be an integer"):
        bm.models.fourier_dynamics(ROOM, number=0)
    with pytest.raises(ValueError, match="length"):
        bm.models.fourier_dynamics(ROOM, length=-1.0)
    with pytest.raises(ValueError, match="standard deviation of leak"):
        bm.models.thermostat(leak=(0.1, 0.0))


def test_fourier_features_approach_a_gaussian_process():
    """Rahimi and Recht (2007): products are exp(-|u - u'|^2 / (2 length^2)), up to 1 / root(number)."""
    from bayesmdp.models.fourier_dynamics import FourierFeatures

    rng = np.random.default_rng(0)
    u = rng.uniform(-1, 1, (30, 2))
    with jax.enable_x64(True):
        waves = np.asarray(FourierFeatures(2, 20_000, 0.7, 0)(u))[:, 3:]
    apart = ((u[:, None] - u[None]) ** 2).sum(-1)
    np.testing.assert_allclose(waves @ waves.T, np.exp(-apart / (2 * 0.7**2)), atol=0.04)


@pytest.mark.slow
def test_psrl_learns_to_heat_by_linear_dynamics():
    agent = bm.agents.fitted_psrl(
        bm.models.linear_dynamics(ROOM), approximation="linear", iterations=40, places=48, samples=4
    )
    run = bm.simulate(ROOM, {"A": agent}, steps=300, replicates=2, checkpoints=[300], checkpoint_draws=50)
    reward = run["reward"].values[0]
    best = float(bm.evaluate(ROOM, bm.solve(ROOM), states=[[20.0]])[0]) * 0.05  # of a step, about
    assert reward[:, 150:].mean() > 0.85 * best
    assert run["beliefs/A/posterior"]["weights"].dims == (
        *("chain", "draw", "checkpoint", "replicate"),
        *("action", "feature", "to"),
    )


def of_two_kinds(data):
    """Each action's own push, on an axis of any name."""
    push = numpyro.sample("push", dist.Normal(np.zeros(2), 1.0).to_event(1))
    with data.rows():
        after = dist.Normal(data.state + push[data.action][:, None], 0.1).to_event(1)
        numpyro.sample("next_state", after, obs=data.next_state)


def test_a_model_of_other_actions_than_the_log_names_is_refused():
    """Labels 0 and 2 are positions 0 and 1: a model of three actions would learn of 1 what 2 did."""
    own = {"t": np.arange(12.0), "next_t": np.arange(1.0, 13.0), "action": np.tile([0, 2], 6), "reward": 0.0}
    log = bm.read_log(pd.DataFrame(own), coordinates=["t"])
    problem = SimpleNamespace(low=np.zeros(1), high=np.full(1, 12.0))
    three = bm.models.linear_dynamics(SimpleNamespace(problem=problem, num_actions=3))
    with pytest.raises(ValueError, match=r"'weights' is of 3 actions, and the log names 2: 0, 2, .* which is which"):
        bm.infer(three, log, draws=0)
    with pytest.raises(
        ValueError, match=r"box has 2: 0, 2, .*; make the model for these, or give the plate another name"
    ):
        bm.infer(three, log, mdp=SimpleNamespace(actions=(0, 2), name="box"), draws=0)
    told = bm.infer(three, bm.read_log(pd.DataFrame(own), coordinates=["t"], actions=[0, 1, 2]), draws=400)
    spread = told["posterior"]["weights"].std(("chain", "draw")).sel(feature=0, to=0).values
    assert spread[1] > 3 * max(spread[0], spread[2])
    # An axis of another name says nothing of its size, but what lies beyond it is looked up.
    three_labels = bm.read_log(pd.DataFrame({**own, "action": np.tile([0, 1, 2], 4)}), coordinates=["t"])
    with pytest.raises(IndexError, match=r"index 2 along axis 0 of an array of shape \(2,\) at row 2"):
        bm.infer(of_two_kinds, three_labels, draws=0)


def test_what_was_learned_of_one_action_is_not_believed_of_another():
    """Labels of a log are sorted, those of the room are not: "high" comes first there, and "off" here."""
    room = bm.environments.thermostat()
    own = {"t": np.arange(12.0), "next_t": np.arange(1.0, 13.0), "action": np.tile(["off", "low", "high"], 4)}
    frame, prior = pd.DataFrame({**own, "reward": 0.0}), bm.models.linear_dynamics(room)
    believed = room.replace(model=prior, truth=None)

    def read(log, **options):
        return read_unknowns(bm.infer(prior, log, draws=2, **options), believed)

    log = bm.read_log(frame, coordinates=["t"])
    with pytest.raises(ValueError, match="action 0 is 'high', where thermostat has 'off': what was learned of one"):
        read(log)
    ordered = bm.read_log(frame, coordinates=["t"], actions=room.actions)
    for kept in (read(log, mdp=room), read(ordered)):
        assert kept["weights"].shape == (2, 3, 2, 1)
