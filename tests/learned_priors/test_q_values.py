"""Priors on Q learned from tasks: closed forms, other ways to compute the same, and convergence to the truth."""

import jax
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from bayesmdp.learned_priors.full_bayes import full_bayes, infer_hierarchy
from bayesmdp.learned_priors.q_values import (
    empirical_bayes,
    estimates,
    meta_posterior,
    mtsrl,
    mtsrl_plus,
    posterior_covariance,
    root,
)
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior
from bayesmdp.posterior.q_regression.backward import TaskStatistics
from tests.statistical import assert_standard_normal


def spd(size, seed):
    factor = np.random.default_rng(seed).normal(size=(size, size))
    return factor @ factor.T / size + 0.1 * np.eye(size)


def made_up(tasks, rows, mean, covariance, noise, seed=0):
    """Data [task, stage, row] of tasks drawn from Normal(mean, covariance): statistics, theta, features, targets."""
    rng = np.random.default_rng(seed)
    stages, size = mean.shape
    factor = np.linalg.cholesky(covariance)
    theta = mean + np.einsum("hij,khj->khi", factor, rng.normal(size=(tasks, stages, size)))
    phi = rng.normal(size=(tasks, stages, rows, size))
    target = np.einsum("khni,khi->khn", phi, theta) + noise * rng.normal(size=(tasks, stages, rows))
    return told(phi, target), theta, phi, target


def told(phi, target):
    tasks, stages, rows, size = phi.shape
    return TaskStatistics(
        np.einsum("khni,khnj->khij", phi, phi),
        np.einsum("khni,khn->khi", phi, target),
        (target**2).sum(-1),
        np.full((tasks, stages), float(rows)),
        np.zeros((tasks, stages, size, size)),
    )


MEAN = np.array([[1.0, -1.0, 0.5], [0.0, 2.0, -0.5]])
COVARIANCE = np.stack([spd(3, 1), spd(3, 2)])
BASE = GaussianPrior(np.zeros((2, 3)), np.stack([2 * np.eye(3)] * 2), np.array([0.5, 0.7]))


def log_evidence(phi, target, mean, covariance, noise):
    """Of one stage's data [task, row, feature], theta integrated out, by SciPy's multivariate Normal."""
    return sum(
        stats.multivariate_normal.logpdf(b, a @ mean, a @ covariance @ a.T + noise**2 * np.eye(len(b)))
        for a, b in zip(phi, target, strict=True)
    )


def test_estimates_are_least_squares_and_their_errors_what_repetition_shows():
    past, _, phi, target = made_up(4, 20, MEAN, COVARIANCE, 0.5)
    flat = GaussianPrior(BASE.mean, 1e4 * BASE.factor, BASE.noise)
    found = estimates(past, flat)
    for k in range(4):
        for h in range(2):
            expected = np.linalg.lstsq(phi[k, h], target[k, h])[0]
            np.testing.assert_allclose(found.theta[k, h], expected, rtol=1e-6)
            left = ((target[k, h] - phi[k, h] @ expected) ** 2).sum() / (20 - 3)
            np.testing.assert_allclose(
                found.error[k, h], left * np.linalg.inv(phi[k, h].T @ phi[k, h]), rtol=1e-5, atol=1e-9
            )


def test_errors_are_carried_back_through_the_targets():
    """Two stages, one action: the target of the first is what the estimate of the second says of where it led."""
    rng = np.random.default_rng(0)
    repeats, rows, size = 4_000, 30, 3
    first, second = rng.normal(size=(rows, size)), rng.normal(size=(rows, size))
    led_to = first @ rng.normal(size=(size, size))
    theta = rng.normal(size=size)
    noisy = second @ theta + 0.5 * rng.normal(size=(repeats, rows))
    flat = GaussianPrior(np.zeros((2, size)), np.stack([1e4 * np.eye(size)] * 2), np.full(2, 0.5))
    estimate = noisy @ np.linalg.pinv(second).T
    # What the first stage earns has noise .3, beside the error of the second's estimate.
    target = estimate @ led_to.T + 0.3 * rng.normal(size=(repeats, rows))
    phi = np.broadcast_to(np.stack([first, second]), (repeats, 2, rows, size))
    past = told(phi, np.stack([target, noisy], 1))
    carry = np.zeros((repeats, 2, size, size))
    carry[:, 0] = first.T @ led_to
    found = estimates(past._replace(carry=carry), flat)
    seen = np.cov(found.theta[:, 0].T)
    promised = found.error[:, 0].mean(0)
    error = np.sqrt((np.outer(np.diag(seen), np.diag(seen)) + seen**2) / repeats)
    assert_standard_normal((promised - seen) / error / 1.05)
    without = estimates(past, flat).error[:, 0].mean(0)
    assert np.trace(without) < 0.7 * np.trace(seen)


def test_mtsrl_averages_the_estimates():
    past, *_ = made_up(5, 10, MEAN, COVARIANCE, 0.5)
    prior = mtsrl(past, BASE, covariance=COVARIANCE)
    each = [estimates(jax.tree.map(lambda x, k=k: x[k : k + 1], past), BASE).theta[0] for k in range(5)]
    np.testing.assert_allclose(prior.mean, np.mean(each, 0))
    np.testing.assert_allclose(prior.covariance, COVARIANCE)


def test_mtsrl_plus_follows_its_formula():
    past, *_ = made_up(6, 4, MEAN, COVARIANCE, 0.5)
    found = estimates(past, BASE)
    prior = mtsrl_plus(past, BASE, episodes=7, tasks=11, scale=0.3)
    for h in range(2):
        values, vectors = np.linalg.eigh(np.cov(found.theta[:, h].T) - found.error[:, h].mean(0))
        kept = vectors @ np.diag(np.maximum(values, 0)) @ vectors.T
        width = 0.3 * max(values[-1], 0) * np.sqrt((5 * 3 + 2 * np.log(7 * 11 * 2)) / 5)
        np.testing.assert_allclose(prior.covariance[h], kept + width * np.eye(3), rtol=1e-9, atol=1e-12)


def test_empirical_bayes_stands_where_the_evidence_is_largest():
    past, _, phi, target = made_up(30, 5, MEAN, COVARIANCE, 0.5, seed=3)
    flat = BASE._replace(factor=1e6 * BASE.factor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesmdp.learned_priors.q_values.TOLERANCE", 1e-12)
        patch.setattr("bayesmdp.learned_priors.q_values.ITERATIONS", 2_000)
        prior = empirical_bayes(past, flat, BASE, strength=0.0, learn_noise=True)
    _, unknown = meta_posterior(
        past, flat._replace(noise=prior.noise), covariance=prior.covariance
    )  # what is added for the mean, nearly: the estimate is prior.covariance less its own
    for h in range(2):
        covariance = prior.covariance[h] - unknown[h]
        for _ in range(50):  # solve covariance + unknown(covariance) = prior.covariance
            gram = past.gram[:, h] / prior.noise[h] ** 2
            weights = np.linalg.solve(np.eye(3) + gram @ covariance, gram).sum(0)
            covariance = prior.covariance[h] - np.linalg.inv(weights)

        def evidence(mean, covariance, noise, h=h):
            return log_evidence(phi[:, h], target[:, h], mean, covariance, noise)

        best = evidence(prior.mean[h], covariance, prior.noise[h])
        rng = np.random.default_rng(h)
        for _ in range(20):
            step = 1e-3 * rng.normal(size=3)
            turn = np.eye(3) + 1e-3 * rng.normal(size=(3, 3))
            moved = evidence(
                prior.mean[h] + step, turn @ covariance @ turn.T, prior.noise[h] * (1 + 1e-3 * rng.normal())
            )
            assert moved <= best + 1e-6


def test_leaps_lead_where_steps_lead():
    past, *_ = made_up(12, 2, MEAN, COVARIANCE, 0.5, seed=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesmdp.learned_priors.q_values.TOLERANCE", 1e-10)
        patch.setattr("bayesmdp.learned_priors.q_values.ITERATIONS", 3_000)
        leaping = empirical_bayes(past, BASE)
        patch.setattr("bayesmdp.learned_priors.q_values._leap", lambda start, once, twice: twice)
        walking = empirical_bayes(past, BASE)
    # Nine thousand steps have not quite arrived.
    np.testing.assert_allclose(leaping.covariance, walking.covariance, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(leaping.mean, walking.mean, rtol=2e-3, atol=1e-6)


def test_meta_posterior_is_that_of_one_large_normal():
    past, _, phi, target = made_up(4, 3, MEAN, COVARIANCE, 0.5, seed=5)
    base = BASE._replace(noise=np.array([0.5, 0.5]))
    mean, covariance = meta_posterior(past, base, covariance=COVARIANCE)
    for h in range(2):
        # All targets given the mean: Normal(A mean, blocks A covariance A' + noise^2 I).
        design = np.concatenate(phi[:, h])
        blocks = np.zeros((12, 12))
        for k in range(4):
            place = slice(3 * k, 3 * k + 3)
            blocks[place, place] = phi[k, h] @ COVARIANCE[h] @ phi[k, h].T + 0.25 * np.eye(3)
        inverse = np.linalg.inv(blocks)
        precision = np.eye(3) / 4 + design.T @ inverse @ design
        np.testing.assert_allclose(covariance[h], np.linalg.inv(precision), rtol=1e-9, atol=1e-12)
        expected = np.linalg.solve(precision, design.T @ inverse @ np.concatenate(target[:, h]))
        np.testing.assert_allclose(mean[h], expected, rtol=1e-9)


def test_posterior_covariance_with_a_singular_prior():
    covariance = np.diag([1.0, 0.0, 2.0])[None]
    precision = np.stack([spd(3, 7)])
    found = posterior_covariance(covariance, precision)[0]
    np.testing.assert_allclose(found[1], 0, atol=1e-12)
    rest = np.ix_([0, 2], [0, 2])
    expected = np.linalg.inv(np.diag([1.0, 0.5]) + precision[0][rest])
    np.testing.assert_allclose(found[rest], expected, rtol=1e-9)
    np.testing.assert_allclose(root(covariance)[0] @ root(covariance)[0].T, covariance[0], atol=1e-12)


def test_learned_priors_converge_to_the_truth():
    """Errors fall as tasks to the power -1/2, slopes fitted over a hundredfold range."""
    sizes = np.array([10, 30, 100, 300, 1000])
    repeats = 24
    errors = {"mean": np.zeros((5, repeats)), "mtsrl+": np.zeros((5, repeats)), "eb": np.zeros((5, repeats))}
    for r in range(repeats):
        past, *_ = made_up(1000, 12, MEAN, COVARIANCE, 0.5, seed=100 + r)
        for i, size in enumerate(sizes):
            part = jax.tree.map(lambda x, size=size: x[:size], past)
            flat = BASE._replace(factor=100 * BASE.factor, noise=np.full(2, 0.5))
            plus, eb = mtsrl_plus(part, flat, episodes=1, tasks=1, scale=0.0), empirical_bayes(part, flat)
            errors["mean"][i, r] = np.linalg.norm(plus.mean - MEAN)
            errors["mtsrl+"][i, r] = np.linalg.norm(plus.covariance - COVARIANCE)
            errors["eb"][i, r] = np.linalg.norm(eb.covariance - COVARIANCE)
    for name, error in errors.items():
        slope = np.polyfit(np.log(sizes), np.log(error.mean(1)), 1)[0]
        assert -0.75 < slope < -0.35, (name, slope)
        assert error[-1].mean() < 0.15 * error[0].mean(), name


def test_without_widening_few_tasks_leave_directions_that_are_never_learned():
    """Three tasks vary in two directions: in the others the next task's prior is certain, and wrong."""
    size, mean = 6, np.zeros((1, 6))
    past, *_ = made_up(3, 30, mean, np.eye(size)[None], 0.5, seed=8)
    base = GaussianPrior(mean, 10 * np.eye(size)[None], np.array([0.5]))
    _, theta, phi, target = made_up(50, 40, mean, np.eye(size)[None], 0.5, seed=9)
    new = told(phi, target)
    error = {}
    for scale in (0.0, 0.1):
        prior = mtsrl_plus(past, base, episodes=30, tasks=3, scale=scale)
        values = np.linalg.eigvalsh(prior.covariance[0])
        assert (values[:4] < 1e-9).all() == (scale == 0)
        spread = posterior_covariance(prior.covariance, new.gram / 0.25)
        residual = new.score - (new.gram @ prior.mean[..., None])[..., 0]
        found = prior.mean + (spread @ residual[..., None])[..., 0] / 0.25
        error[scale] = ((found - theta) ** 2).sum(-1).mean()
    assert error[0.0] > 10 * error[0.1]


@pytest.mark.slow
def test_the_hierarchy_covers_the_true_parameters():
    """Simulation-based calibration: each stage is a hierarchy of its own, so one run holds as many as there are stages.

    Truths are drawn from the model's own prior, data from them, and each truth's rank among the draws is uniform.
    """
    stages, size, tasks, rows, draws = 60, 2, 6, 5, 600
    rng = np.random.default_rng(0)
    base = GaussianPrior(np.zeros((stages, size)), np.stack([np.eye(size)] * stages), np.full(stages, 0.5))
    mean = rng.normal(size=(stages, size))
    scale = np.abs(rng.normal(size=(stages, size)))
    correlation = 2 * rng.beta(2.0, 2.0, stages) - 1  # LKJ(2) in two dimensions
    covariance = np.einsum("hi,hj->hij", scale, scale)
    covariance[:, 0, 1] *= correlation
    covariance[:, 1, 0] *= correlation
    past, theta, _, _ = made_up(tasks, rows, mean, covariance + 1e-12 * np.eye(size), 0.5, seed=1)
    tree = infer_hierarchy(past, base, draws=draws, num_warmup=400, chains=4, seed=2)
    posterior = tree["posterior"].to_dataset().stack(sample=("chain", "draw"))
    for name, truth in (("mean", mean), ("scale", scale), ("theta", theta)):
        found = posterior[name].transpose("sample", ...).values
        # Strictly between 0 and 1, also where all draws lie on one side of the truth.
        u = (((found < truth).sum(0) + 0.5) / (len(found) + 1)).reshape(-1, *truth.shape[-1:])
        per_stage = u if name != "theta" else u.reshape(tasks, stages, size)[0]
        z = stats.norm.ppf(per_stage)
        assert_standard_normal(z.mean(0) * np.sqrt(stages), name)
        assert_standard_normal((np.abs(z).mean(0) - np.sqrt(2 / np.pi)) / np.sqrt((1 - 2 / np.pi) / stages), name)
    assert isinstance(tree, xr.DataTree) and tree["posterior"]["theta"].dims[2:] == ("task", "stage", "feature")


@pytest.mark.slow
def test_full_bayes_agrees_with_closed_forms_where_the_covariance_is_nearly_known():
    """With much data a task its theta is known, and the mean's posterior given their spread is Student's."""
    tasks, size = 12, 2
    past, theta, _, _ = made_up(tasks, 2_000, np.array([[1.0, -1.0]]), np.eye(2)[None], 0.1, seed=6)
    base = GaussianPrior(np.zeros((1, size)), 30 * np.eye(size)[None], np.array([0.1]))
    tree = infer_hierarchy(past, base, draws=2_000, seed=3, spread=10.0)
    found = tree["posterior"].to_dataset().stack(sample=("chain", "draw"))
    np.testing.assert_allclose(found["theta"].mean("sample"), theta, atol=0.02)
    np.testing.assert_allclose(found["mean"].mean("sample"), theta.mean(0), atol=0.15)
    prior = full_bayes(past, base, draws=400, seed=4, spread=10.0)
    np.testing.assert_allclose(prior.mean, theta.mean(0), atol=0.2)
    sample = np.cov(theta[:, 0].T)
    assert np.trace(sample) < np.trace(prior.covariance[0]) < 3 * np.trace(sample)
