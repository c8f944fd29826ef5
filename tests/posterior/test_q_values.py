"""Posteriors of Q-values through `infer`: exact, by NUTS, from targets and from logs; as ArviZ reads them."""

import warnings

import arviz as az
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.models import gaussian_q
from bayesmdp.posterior import NotConjugate
from tests.statistical import assert_means

LAYERS = bm.environments.layers(2, 2, 3)
RNG = np.random.default_rng(0)
FACTOR = RNG.normal(size=(3, 4, 4)) / 2 + np.eye(4)
MEAN, COVARIANCE, NOISE = RNG.normal(size=(3, 4)), FACTOR @ FACTOR.swapaxes(1, 2), np.array([0.3, 0.5, 1.0])
MODEL = gaussian_q(LAYERS, MEAN, COVARIANCE, noise=NOISE)
ROWS = bm.Targets(RNG.integers(0, 3, 25), RNG.normal(size=(25, 4)), RNG.normal(size=25), RNG.integers(0, 4, 25) * 1.0)


def closed_form():
    mean, covariance = np.zeros((3, 4)), np.zeros((3, 4, 4))
    for h in range(3):
        rows = np.repeat(np.flatnonzero(ROWS.stage == h), ROWS.weight[ROWS.stage == h].astype(int))
        design, target = ROWS.features[rows], ROWS.target[rows]
        inverse = np.linalg.inv(COVARIANCE[h])
        covariance[h] = np.linalg.inv(inverse + design.T @ design / NOISE[h] ** 2)
        mean[h] = covariance[h] @ (inverse @ MEAN[h] + design.T @ target / NOISE[h] ** 2)
    return mean, covariance


def test_exact_equals_the_closed_form():
    posterior = bm.infer(MODEL, ROWS, mdp=LAYERS, draws=4_000)
    assert posterior.attrs["engine"] == "exact"
    mean, covariance = closed_form()
    parameters = posterior["parameters"].to_dataset()
    np.testing.assert_allclose(parameters["mean"], mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(parameters["covariance"], covariance, rtol=1e-9, atol=1e-9)
    draws = posterior["posterior"]["theta"].stack(sample=("chain", "draw")).transpose("sample", ...).values
    assert_means(draws, mean)
    assert_means(posterior["prior"]["theta"].stack(sample=("chain", "draw")).transpose("sample", ...).values, MEAN)


@pytest.mark.slow
def test_nuts_gives_the_same():
    posterior = bm.infer(MODEL, ROWS, mdp=LAYERS, draws=4_000, method="nuts", num_warmup=500)
    assert posterior.attrs["engine"] == "nuts"
    mean, covariance = closed_form()
    theta = posterior["posterior"]["theta"]
    ess = np.minimum(az.ess(posterior, var_names=["theta"])["theta"].values, 4_000)
    assert_means(theta.stack(sample=("chain", "draw")).transpose("sample", ...).values, mean, ess=ess)
    spread = theta.std(("chain", "draw")).values
    np.testing.assert_allclose(spread, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)), rtol=0.15)
    assert "diverging" in posterior["sample_stats"]


def test_arviz_reads_stages_and_features_by_name():
    posterior = bm.infer(MODEL, ROWS, mdp=LAYERS, draws=400)
    assert posterior["posterior"]["theta"].dims == ("chain", "draw", "stage", "feature")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        summary = az.summary(posterior, var_names=["theta"])
    assert "theta[2, 3]" in summary.index and len(summary) == 12


@pytest.mark.parametrize("discount", [None, 0.6])
def test_a_log_is_regressed_backwards_and_its_likelihood_kept(discount):
    log = bm.collect(LAYERS.replace(reward=RNG.normal(size=(7, 2))), steps=60, seed=1)
    posterior = bm.infer(MODEL, log, mdp=LAYERS.replace(discount=discount), draws=8)
    observed, given = posterior["observed_data"].to_dataset(), posterior["constant_data"].to_dataset()
    again = bm.Targets(
        given["row_stage"].values, given["features"].values, observed["target"].values, given["weight"].values
    )
    np.testing.assert_allclose(
        bm.infer(MODEL, again, mdp=LAYERS, draws=8)["parameters"]["mean"], posterior["parameters"]["mean"], rtol=1e-9
    )
    last = given["row_stage"].values == 2
    rewards = log["reward"].values[np.array([state[0] for state in log["state"].values.tolist()]) == 2]
    seen = np.repeat(observed["target"].values[last], given["weight"].values[last].astype(int))
    np.testing.assert_allclose(np.sort(seen), np.sort(rewards))
    assert float(posterior["likelihood"]["count"].sum()) == 60


@pytest.mark.slow
def test_a_model_that_is_not_normal_goes_to_nuts_or_is_refused():
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def robust(data):
        with numpyro.plate("stage", 3, dim=-1):
            theta = numpyro.sample(
                "theta", dist.Normal(np.zeros(4), 1.0).to_event(1), infer={"event_dims": ["feature"]}
            )
        with data.rows():
            expected = jnp.sum(data.features * theta[data.stage], -1)
            numpyro.sample("target", dist.StudentT(4.0, expected, 0.5), obs=data.target)

    posterior = bm.infer(robust, ROWS, mdp=LAYERS, draws=100, num_warmup=100)
    assert posterior.attrs["engine"] == "nuts" and "not Normal" in posterior.attrs["reason"]
    with pytest.raises(NotConjugate, match="targets of stage 0 are not Normal"):
        bm.infer(robust, ROWS, mdp=LAYERS, method="exact")
    with pytest.raises(NotConjugate):
        bm.agents.tsrl(robust).make_belief(LAYERS)


def test_bad_logs_are_refused():
    log = bm.collect(LAYERS, steps=30, seed=1)
    broken = log.assign(reward=log["reward"].where(log["step"] != 3))
    with pytest.raises(ValueError, match="reward at step 3 is nan"):
        bm.infer(MODEL, broken, mdp=LAYERS)
    with pytest.raises(ValueError, match="reward"):
        bm.infer(MODEL, log.drop_vars("reward"), mdp=LAYERS)
    with pytest.raises(ValueError):
        bm.infer(MODEL, log.isel(step=slice(0, 0)), mdp=LAYERS)
    names = log["state"].values.copy()
    names[4] = "end"
    with pytest.raises(ValueError, match="'end'"):
        bm.infer(MODEL, log.assign(state=("step", names)), mdp=LAYERS)
    with pytest.raises(ValueError, match="does not take rows of 4 features"):
        bm.infer(gaussian_q(bm.environments.layers(3, 2, 3)), log, mdp=LAYERS)


def test_bad_targets_are_refused():
    with pytest.raises(ValueError, match="a model of Q-values needs mdp"):
        bm.infer(MODEL, ROWS)
    with pytest.raises(ValueError, match="has no stages"):
        bm.infer(MODEL, ROWS, mdp=bm.environments.riverswim(6))
    with pytest.raises(ValueError, match=r"features of the targets have shape \(25, 3\); expected \[row, feature\]"):
        bm.infer(MODEL, ROWS._replace(features=ROWS.features[:, :3]), mdp=LAYERS)
    with pytest.raises(ValueError, match=r"stage\[0\] = 7"):
        bm.infer(MODEL, ROWS._replace(stage=np.full(25, 7)), mdp=LAYERS)
    with pytest.raises(ValueError, match=r"target\[2\] = nan, which is not finite"):
        bm.infer(MODEL, ROWS._replace(target=np.where(np.arange(25) == 2, np.nan, ROWS.target)), mdp=LAYERS)
    with pytest.raises(ValueError, match=r"weight\[1\] = -1"):
        bm.infer(MODEL, ROWS._replace(weight=np.where(np.arange(25) == 1, -1.0, 1.0)), mdp=LAYERS)
