"""Priors on Q learned from tasks: closed forms, other ways to compute the same, and convergence to the truth."""

import jax
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from bayesmdp.learned_priors.full_bayes import full_bayes, infer_hierarchy
from bayesmdp.learned_priors.q_values import (
    estimates,
    meta_posterior,
    mtsrl,
    mtsrl_plus,
    pooled_noise,
    posterior_covariance,
)
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, root
from tests.learned_priors.made_up import made_up, spd, told
from tests.statistical import assert_standard_normal

MEAN = np.array([[1.0, -1.0, 0.5], [0.0, 2.0, -0.5]])
COVARIANCE = np.stack([spd(3, 1), spd(3, 2)])
BASE = GaussianPrior(np.zeros((2, 3)), np.stack([2 * np.eye(3)] * 2), np.array([0.5, 0.7]))


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


def test_mtsrl_averages_the_estimates_of_tasks_that_saw_everything():
    past, *_ = made_up(5, 10, MEAN, COVARIANCE, 0.5)
    flat = GaussianPrior(BASE.mean, 1e4 * BASE.factor, BASE.noise)
    prior = mtsrl(past, flat, covariance=COVARIANCE)
    each = [estimates(jax.tree.map(lambda x, k=k: x[k : k + 1], past), flat).theta[0] for k in range(5)]
    np.testing.assert_allclose(prior.mean, np.mean(each, 0), rtol=1e-6)
    np.testing.assert_allclose(prior.covariance, COVARIANCE)


def half_seen(tasks, seed=0):
    """Tasks of which each sees two of three directions, many times: statistics and theta."""
    _, theta, phi, _ = made_up(tasks, 400, MEAN, COVARIANCE, 0.5, seed=seed)
    phi[np.arange(tasks), :, :, np.arange(tasks) % 3] = 0
    target = np.einsum("khni,khi->khn", phi, theta)
    return told(phi, target + 0.5 * np.random.default_rng(seed + 1).normal(size=target.shape)), theta


def test_directions_that_a_task_did_not_see_do_not_draw_the_mean_towards_the_base():
    past, theta = half_seen(300)
    saw = np.arange(300)[:, None] % 3 != np.arange(3)
    for prior in (mtsrl(past, BASE, covariance=COVARIANCE), mtsrl_plus(past, BASE, episodes=1, tasks=300)):
        expected = (theta * saw[:, None]).sum(0) / saw.sum(0)[None]
        np.testing.assert_allclose(prior.mean, expected, atol=0.03)
    # The base's mean, where it is not the tasks', is no variance of theirs.
    np.testing.assert_allclose(np.trace(prior.covariance[0]), np.trace(COVARIANCE[0]), rtol=0.25)
    np.testing.assert_allclose(np.trace(prior.covariance[1]), np.trace(COVARIANCE[1]), rtol=0.25)


def test_mtsrl_plus_follows_its_formulas():
    past, *_ = made_up(6, 4, MEAN, COVARIANCE, 0.5)
    flat = GaussianPrior(BASE.mean, 1e5 * BASE.factor, BASE.noise)
    found = estimates(past, flat)
    wide = mtsrl_plus(past, flat, episodes=7, tasks=11, rule="widened", scale=0.3)
    near = mtsrl_plus(past, flat, episodes=7, tasks=11, shrink=0.25)
    for h in range(2):
        sample = np.cov(found.theta[:, h].T)
        left = sample - found.error[:, h].mean(0)
        values, vectors = np.linalg.eigh(left)
        assert values[0] < 0  # or the two rules would not be told apart by what they do with it
        kept = vectors @ np.diag(np.maximum(values, 0)) @ vectors.T
        width = 0.3 * max(values[-1], 0) * np.sqrt((5 * 3 + 2 * np.log(7 * 11 * 2)) / 5)
        np.testing.assert_allclose(wide.covariance[h], kept + width * np.eye(3), rtol=1e-5, atol=1e-8)
        trace = max(np.trace(left), np.trace(sample) / 6)
        expected = 0.75 * kept * trace / np.trace(kept) + 0.25 * trace / 3 * np.eye(3)
        np.testing.assert_allclose(near.covariance[h], expected, rtol=1e-5, atol=1e-8)


def test_the_noise_is_pooled_over_tasks():
    past, _, phi, target = made_up(7, 5, MEAN, COVARIANCE, 0.4)
    flat = GaussianPrior(BASE.mean, 1e5 * BASE.factor, BASE.noise)
    left = [((b - a @ np.linalg.lstsq(a, b)[0]) ** 2).sum() for a, b in zip(phi[:, 0], target[:, 0], strict=True)]
    np.testing.assert_allclose(pooled_noise(past, flat)[0], np.sqrt(sum(left) / (7 * (5 - 3))), rtol=1e-6)
    none_to_spare, *_ = made_up(7, 2, MEAN, COVARIANCE, 0.4)
    np.testing.assert_allclose(pooled_noise(none_to_spare, flat), BASE.noise)
    known = mtsrl(past, flat, covariance=COVARIANCE, learn_noise=False)
    np.testing.assert_allclose(known.noise, BASE.noise)


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


def test_without_widening_or_shrinking_few_tasks_leave_directions_that_are_never_learned():
    """Three tasks vary in two directions: in the others the next task's prior is certain, and wrong."""
    size, mean = 6, np.zeros((1, 6))
    past, *_ = made_up(3, 30, mean, np.eye(size)[None], 0.5, seed=8)
    base = GaussianPrior(mean, 10 * np.eye(size)[None], np.array([0.5]))
    _, theta, phi, target = made_up(50, 40, mean, np.eye(size)[None], 0.5, seed=9)
    new = told(phi, target)
    error = {}
    for name, options in {
        "bare": {"shrink": 0.0},
        "shrunk": {},
        "narrow": {"rule": "widened", "scale": 0.0},
        "widened": {"rule": "widened"},
    }.items():
        prior = mtsrl_plus(past, base, episodes=30, tasks=3, **options)
        values = np.linalg.eigvalsh(prior.covariance[0])
        assert (values[:4] < 1e-9).all() == (name in ("bare", "narrow"))
        spread = posterior_covariance(prior.covariance, new.gram / 0.25)
        residual = new.score - (new.gram @ prior.mean[..., None])[..., 0]
        found = prior.mean + (spread @ residual[..., None])[..., 0] / 0.25
        error[name] = ((found - theta) ** 2).sum(-1).mean()
    assert min(error["bare"], error["narrow"]) > 10 * max(error["shrunk"], error["widened"])


@pytest.mark.slow
def test_the_hierarchy_covers_the_true_parameters():
    """Simulation-based calibration: each stage is a hierarchy of its own, so one run holds as many as there are stages.

    Truths are drawn from the model's own prior, data from them, and each truth's rank among the draws is uniform.
    """
    stages, size, tasks, rows, draws = 60, 2, 6, 5, 400
    rng = np.random.default_rng(0)
    base = GaussianPrior(np.zeros((stages, size)), np.stack([np.eye(size)] * stages), np.full(stages, 0.5))
    mean = rng.normal(size=(stages, size))
    scale = np.abs(rng.normal(size=(stages, size)))
    correlation = 2 * rng.beta(2.0, 2.0, stages) - 1  # LKJ(2) in two dimensions
    covariance = np.einsum("hi,hj->hij", scale, scale)
    covariance[:, 0, 1] *= correlation
    covariance[:, 1, 0] *= correlation
    past, theta, _, _ = made_up(tasks, rows, mean, covariance + 1e-12 * np.eye(size), 0.5, seed=1)
    tree = infer_hierarchy(past, base, draws=draws, num_warmup=200, chains=4, seed=2)
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
