"""Regressions with correlated noise of unknown covariance: SciPy's densities, closed forms, calibration, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density
from scipy import stats

import bayesmdp as bm
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import draw_rows, fit_rows
from bayesmdp.model_reading.read_model import read_sites, trace
from bayesmdp.model_reading.records import Records
from bayesmdp.posterior.beliefs.primitives import recorded_belief
from bayesmdp.posterior.closed_forms.find_matrix_regression import find_any_regression
from bayesmdp.problems.world import Step
from tests.statistical import assert_means, assert_p_value, calibration_p_value

CART = bm.environments.linear_quadratic(controls=(-2.0, 0.0, 2.0))
PRIOR = bm.models.matrix_dynamics(CART, scale=3.0, noise=[0.05, 0.1], certainty=2.0)
LOG = bm.collect(CART, steps=50, seed=0)


def tilted(data):
    """A known shape of the noise, two sites of coefficients with means of their own, rows that count for nothing."""
    precision = numpyro.sample("precision", dist.Wishart(4.5, np.array([[1.0, 0.3], [0.3, 0.5]])))
    shift = numpyro.sample("shift", dist.MultivariateNormal(np.array([0.5, -1.0]), precision_matrix=precision / 4))
    with numpyro.plate("feature", 2):
        turn = numpyro.sample("turn", dist.MultivariateNormal(np.zeros(2), precision_matrix=precision))
    state = jnp.asarray(data.state)
    root = np.array([[2.0, 0.0], [0.7, 0.5]])
    after = state + (state @ turn + data.action[:, None] * shift) @ root.T
    with data.rows(), handlers.mask(mask=state[:, 0] > -1.0):
        noise = dist.MultivariateNormal(after, root @ jnp.linalg.inv(precision) @ root.T)
        numpyro.sample("next_state", noise, obs=data.next_state)


def made(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    state, action = rng.normal(size=(rows, 2)), rng.integers(0, 2, rows)
    weight = rng.integers(0, 3, rows).astype(float)
    return Records(state, action, {"next_state": rng.normal(size=(rows, 2))}, weight)


def form_of(model, data):
    with jax.enable_x64(True):
        data = fit_rows(model, data)
        reading = read_sites(model, data)
        return find_any_regression(reading, data), reading, data


@pytest.mark.parametrize("case", ["tilted", pytest.param("matrix_dynamics", marks=pytest.mark.slow)])
def test_the_posterior_times_the_evidence_is_the_joint_density(case):
    """With SciPy's Wishart and matrix-Normal densities, at random values of the unknowns, to rounding."""
    model, data = (tilted, made()) if case == "tilted" else (PRIOR, read_records(LOG, CART))
    form, reading, data = form_of(model, data)
    with jax.enable_x64(True):
        sums = form.learn_log(model, form.before, data)
        evidence = form.log_evidence(reading, sums, data)
        after = form.parameters(sums)
        rng, joint = np.random.default_rng(1), jax.jit(lambda values: log_density(model, (data,), {}, values)[0])
        for _ in range(5):
            noise = stats.wishart(6, np.eye(2)).rvs(random_state=rng)
            weights = after["mean"] + 0.1 * rng.normal(size=after["mean"].shape)
            density = stats.wishart(float(after["degrees"]), np.linalg.inv(after["rate"])).logpdf(noise)
            rows, columns = np.linalg.inv(after["precision"]), np.linalg.inv(noise)
            density += stats.matrix_normal(after["mean"], rows, columns).logpdf(weights)
            values = {name: jnp.asarray(each) for name, each in form.values(weights, noise).items()}
            assert float(joint(values)) == pytest.approx(evidence + density, rel=1e-9)


def test_a_log_gives_the_closed_form_and_the_evidence_of_its_predictions():
    """The evidence is a product of Student's t of each step after those before it."""
    posterior = bm.infer(PRIOR, LOG, mdp=CART, draws=8_000)
    assert posterior.attrs["engine"] == "exact"
    state, action = LOG["state"].values, LOG["action"].values
    moved = (LOG["next_state"] - LOG["state"]).values
    one = np.concatenate([np.ones((50, 1)), state], -1)
    x = np.concatenate([one * (action == label)[:, None] for label in CART.actions], -1)
    degrees, rate, rows = 5.0, 5.0 * np.diag([0.05, 0.1]) ** 2, np.eye(9) / 9
    evidence, mean = 0.0, np.zeros((9, 2))
    for phi, y in zip(x, moved, strict=True):
        left, free = y - phi @ mean, degrees - 1
        evidence += stats.multivariate_t(
            np.zeros(2), (1 + phi @ np.linalg.solve(rows, phi)) * rate / free, df=free
        ).logpdf(left)
        after = rows + np.outer(phi, phi)
        rate = rate + np.outer(left, left) / (1 + phi @ np.linalg.solve(rows, phi))
        mean, rows, degrees = np.linalg.solve(after, rows @ mean + np.outer(phi, y)), after, degrees + 1
    assert posterior.attrs["log_evidence"] == pytest.approx(evidence, rel=1e-10)
    found = posterior["parameters"].to_dataset()
    for name, expected in (("mean", mean), ("precision", rows), ("degrees", degrees), ("rate", rate)):
        np.testing.assert_allclose(found[name].values, expected, rtol=1e-7, atol=1e-10, err_msg=name)
    drawn = posterior.posterior
    assert_means(drawn["weights"].values.reshape(-1, 18), mean.ravel(), "weights")
    noise = drawn["precision"].values.reshape(-1, 2, 2)
    assert_means(noise.reshape(-1, 4), degrees * np.linalg.inv(rate).ravel(), "precision")
    apart = drawn["weights"].values.reshape(-1, 9, 2) - mean
    # Whitened by rows and columns, what is left is standard Normal.
    white = np.linalg.cholesky(rows).T @ apart @ np.linalg.cholesky(noise)
    assert_p_value(stats.kstest(white[::4].ravel(), stats.norm.cdf).pvalue, "whitened weights")
    later = bm.draw(bm.infer(PRIOR, LOG, mdp=CART, draws=0), 8_000)
    for name in ("weights", "precision"):
        np.testing.assert_array_equal(later.posterior[name], posterior.posterior[name])


@pytest.mark.slow
def test_for_one_coordinate_it_is_the_regression_of_numbers():
    room = bm.environments.thermostat()
    log = bm.collect(room, steps=40, seed=0)
    priors = (make(room, scale=4.0, noise=0.1) for make in (bm.models.matrix_dynamics, bm.models.linear_dynamics))
    matrix, numbers = (bm.infer(prior, log, mdp=room, draws=0) for prior in priors)
    assert matrix.attrs["log_evidence"] == pytest.approx(numbers.attrs["log_evidence"], rel=1e-10)
    one, other = (each["parameters"].to_dataset() for each in (matrix, numbers))
    np.testing.assert_allclose(one["mean"].values[:, 0], other["mean"].values[0], rtol=1e-7, atol=1e-10)
    assert float(one["degrees"]) == pytest.approx(2 * other["shape"].item())
    assert one["rate"].item() == pytest.approx(2 * other["rate"].item())


@pytest.mark.slow
def test_it_is_calibrated():
    """Simulation-based calibration (Talts et al., 2018): truths from NumPyro's own prior, 25 steps of each."""
    model, actions = PRIOR, 3
    rows, draws, repetitions = 25, 99, 400
    form, _, _ = form_of(model, made(rows)._replace(action=np.arange(rows) % actions))

    @jax.jit
    @jax.vmap
    def rank(key):
        prior_key, state_key, step_key, draw_key = jax.random.split(key, 4)
        one = Records(jnp.zeros((1, 2)), jnp.zeros(1, int), {}, jnp.ones(1))
        messages = trace(handlers.seed(model, prior_key), one)
        truth = {name: messages[name]["value"] for name, _ in form.dims}
        state, action = jax.random.uniform(state_key, (rows, 2), minval=-1.0), jnp.arange(rows) % actions
        _, seen = draw_rows(model, step_key, truth, state, action)
        sums = form.learn(model, form.before, Records(state, action, seen, jnp.ones(rows)))
        drawn = form.draw(draw_key, sums, draws)
        return {name: (drawn[name].reshape(draws, -1) < truth[name].ravel()).sum(0) for name in truth}

    with jax.enable_x64(True):
        found = rank(jax.random.split(jax.random.key(3), repetitions))
    for name, each in found.items():
        for element in np.asarray(each).T:
            assert_p_value(calibration_p_value(element, draws), f"ranks of {name}")


def test_a_belief_adds_step_by_step_what_a_log_adds():
    belief = recorded_belief(PRIOR, CART, 7, room=10)
    with jax.enable_x64(True):
        data = fit_rows(PRIOR, read_records(LOG, CART))
        state = belief.init(jax.random.key(0))
        sizes, observe = jax.tree.map(jnp.shape, state), jax.jit(belief.observe)
        for t in range(50):
            row = jax.tree.map(lambda column: column[t], data)  # noqa: B023
            step = Step(row.state, row.action, {}, row.seen["next_state"], 0.0, np.bool_(False))
            state = observe(jax.random.key(1), state, step)
        assert jax.tree.map(jnp.shape, state) == sizes and belief.room is None
        told = jax.tree.map(np.asarray, belief.parameters(state))
        drawn = jax.eval_shape(belief.draw, jax.random.key(2), state)[1]
        assert drawn["weights"].shape == (7, 3, 3, 2)
    found = bm.infer(PRIOR, LOG, mdp=CART, draws=0)["parameters"]
    for name in ("mean", "precision", "degrees", "rate"):
        np.testing.assert_allclose(told[name], found[name].values, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_correlated_noise_is_found():
    """Two coordinates that the same gusts move: a correlation of .8, which independent noise has no place for."""
    gusts = CART.replace(
        model=PRIOR,
        truth={
            "precision": np.linalg.inv(np.array([[1.0, 0.8], [0.8, 1.0]]) * 0.05**2),
            "weights": np.zeros((3, 3, 2)),
        },
        confined=True,
    )
    posterior = bm.infer(PRIOR, bm.collect(gusts, steps=300, seed=0), mdp=gusts, draws=200).posterior
    covariance = np.linalg.inv(posterior["precision"].values.reshape(-1, 2, 2))
    correlation = covariance[:, 0, 1] / np.sqrt(covariance[:, 0, 0] * covariance[:, 1, 1])
    assert correlation.mean() == pytest.approx(0.8, abs=0.1)


def with_another(data):
    precision = numpyro.sample("precision", dist.Wishart(4.0, np.eye(2)))
    slope = numpyro.sample("slope", dist.Normal(1.0, 1.0))
    with data.rows():
        after = dist.MultivariateNormal(slope * data.state, precision_matrix=precision)
        numpyro.sample("next_state", after, obs=data.next_state)


def of_its_own(data):
    precision = numpyro.sample("precision", dist.Wishart(4.0, np.eye(2)))
    slope = numpyro.sample("slope", dist.MultivariateNormal(np.zeros(2), np.eye(2)))
    with data.rows():
        after = dist.MultivariateNormal(slope * data.state, precision_matrix=precision)
        numpyro.sample("next_state", after, obs=data.next_state)


def of_features_apart(data):
    precision = numpyro.sample("precision", dist.Wishart(4.0, np.eye(2)))
    slope = numpyro.sample("slope", dist.MultivariateNormal(np.zeros(2), precision_matrix=precision))
    with data.rows():
        after = dist.MultivariateNormal(slope * data.state, precision_matrix=precision)
        numpyro.sample("next_state", after, obs=data.next_state)


def in_parts(data):
    precision = numpyro.sample("precision", dist.Wishart(4.0, np.eye(2)))
    lift = numpyro.sample("lift", dist.MultivariateNormal(np.zeros(2), precision_matrix=precision))
    with data.rows():
        after = data.state + lift
        numpyro.sample("next_state", dist.Normal(after, precision[0, 0]).to_event(1), obs=data.next_state)


def rarely(data):
    precision = numpyro.sample("precision", dist.Wishart(4.0, np.eye(2)))
    lift = numpyro.sample("lift", dist.MultivariateNormal(np.zeros(2), precision_matrix=precision))
    after = data.state + jnp.where((data.action == 1)[:, None], jnp.exp(lift), lift)
    with data.rows():
        numpyro.sample("next_state", dist.MultivariateNormal(after, precision_matrix=precision), obs=data.next_state)


@pytest.mark.parametrize(
    "model, why",
    [
        (with_another, "unknowns must all be MultivariateNormal"),
        (of_its_own, "the covariance of coefficients is not a number times the inverse of 'precision'"),
        (of_features_apart, "with features that all coordinates share"),
        (in_parts, "rows must observe one site, which is MultivariateNormal"),
        (rarely, "the likelihood of some rows of the log is not that of a linear"),
    ],
)
def test_what_is_no_such_regression_is_refused_with_the_reason(model, why):
    data = made(3_000)._replace(weight=np.ones(3_000))
    rare = (np.arange(3_000) == 1_001).astype(int)
    with pytest.raises(bm.NotConjugate, match=why):
        bm.infer(model, data._replace(action=rare), method="exact")
