"""Empirical Bayes of Q-values: against conditioning done otherwise, SciPy's densities, and the truth as tasks grow."""

import jax
import numpy as np
import pytest
from scipy import stats

from bayesmdp.learned_priors import empirical_bayes as room
from bayesmdp.learned_priors.empirical_bayes import empirical_bayes, evident_scale
from bayesmdp.learned_priors.q_values import mtsrl_plus
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior
from tests.learned_priors.made_up import made_up, spd, told

MEAN = np.array([[1.0, -1.0, 0.5], [0.0, 2.0, -0.5]])
COVARIANCE = np.stack([spd(3, 1), spd(3, 2)])
BASE = GaussianPrior(np.zeros((2, 3)), np.stack([2 * np.eye(3)] * 2), np.array([0.5, 0.7]))


@pytest.fixture
def exactly(monkeypatch):
    monkeypatch.setattr(room, "TOLERANCE", 1e-11)
    monkeypatch.setattr(room, "ITERATIONS", 3_000)


def two_stages(tasks, seed=0):
    """Tasks whose first stage leads to known mixtures of the second's weights, and earns the rest of its value."""
    past, theta, phi, _ = made_up(tasks, 6, MEAN, COVARIANCE, 0.5, seed=seed)
    rng = np.random.default_rng(seed + 50)
    ahead = rng.normal(size=(tasks, 6, 3))
    value = np.einsum("kni,ki->kn", phi[:, 0], theta[:, 0]) + 0.5 * rng.normal(size=(tasks, 6))
    reward = value - np.einsum("kni,ki->kn", ahead, theta[:, 1])
    carry, earned = past.carry.copy(), past.earned.copy()
    carry[:, 0] = np.einsum("kni,knj->kij", phi[:, 0], ahead)
    earned[:, 0] = np.einsum("kni,kn->ki", phi[:, 0], reward)
    score = earned.copy()
    score[:, 0] += np.einsum("kij,kj->ki", carry[:, 0], theta[:, 1])
    return past._replace(carry=carry, earned=earned, score=score), theta


def conditioned(mean, covariance, past, k, noise):
    """Posteriors of task k, stage by stage, by conditioning a joint Normal of theta and A'r + A'Phi m'."""
    later, spread, found = np.zeros(3), np.zeros((3, 3)), []
    for h in (1, 0):
        gram, carry = past.gram[k, h], past.carry[k, h]
        y = past.earned[k, h] + carry @ later
        total = gram @ covariance[h] @ gram + noise[h] ** 2 * gram + carry @ spread @ carry.T
        gain = covariance[h] @ gram @ np.linalg.pinv(total)
        later = mean[h] + gain @ (y - gram @ mean[h])
        spread = covariance[h] - gain @ gram @ covariance[h]
        found.append((later, spread))
    return found[::-1]


def test_a_stage_is_conditioned_on_targets_as_uncertain_as_the_next_stage():
    past, _ = two_stages(4)
    noise = np.array([0.4, 0.6])
    regressions = room._regressions(past, BASE, noise)
    later = room._nothing_later(regressions)
    for h in (1, 0):
        axes = regressions[h].axes
        hyper = room._Hyper(axes.T @ MEAN[h], axes.T @ COVARIANCE[h] @ axes, 1.0)
        later = room._posterior(hyper, regressions[h], *later)
        for k in range(4):
            theta, spread = conditioned(MEAN, COVARIANCE, past, k, noise)[h]
            np.testing.assert_allclose(axes @ later[0][k], theta, rtol=1e-8)
            np.testing.assert_allclose(axes @ later[1][k] @ axes.T, spread, rtol=1e-7, atol=1e-10)


def test_the_fixed_point_is_one(exactly):
    """Mean, scatter and covariance by the formulas, from posteriors conditioned otherwise, give back what was found."""
    past, _ = two_stages(9)
    prior = empirical_bayes(past, BASE, strength=1.5, learn_noise=False)
    information = np.zeros((2, 3, 3))
    covariance = np.asarray(prior.covariance)
    for _ in range(200):  # the prior is wider than C by what is not known of the mean, which depends on C
        information[:] = 0
        for k in range(9):
            spread = np.zeros((3, 3))
            for h in (1, 0):
                gram, carry = past.gram[k, h], past.carry[k, h]
                total = gram @ covariance[h] @ gram + BASE.noise[h] ** 2 * gram + carry @ spread @ carry.T
                information[h] += gram @ np.linalg.pinv(total) @ gram
                spread = covariance[h] - covariance[h] @ gram @ np.linalg.pinv(total) @ gram @ covariance[h]
        covariance = prior.covariance - np.linalg.inv(np.linalg.inv(BASE.covariance) + information)
    each = [conditioned(prior.mean, covariance, past, k, BASE.noise) for k in range(9)]
    for h in range(2):
        theta, spread = np.array([e[h][0] for e in each]), np.array([e[h][1] for e in each])
        np.testing.assert_allclose(theta.mean(0), prior.mean[h], rtol=1e-6, atol=1e-8)
        apart = theta - theta.mean(0)
        scatter, firmness = spread.sum(0) + apart.T @ apart, 1.5 * 3
        tau = evident_scale(np.linalg.eigvalsh(scatter), 9, firmness)[1]
        expected = (firmness * tau * np.eye(3) + scatter) / (firmness + 9)
        np.testing.assert_allclose(covariance[h], expected, rtol=1e-5, atol=1e-8)


def log_evidence(phi, target, mean, covariance, noise):
    """Of one stage's data [task, row, feature], theta integrated out, by SciPy's multivariate Normal."""
    return sum(
        stats.multivariate_normal.logpdf(b, a @ mean, a @ covariance @ a.T + noise**2 * np.eye(len(b)))
        for a, b in zip(phi, target, strict=True)
    )


def test_left_alone_it_stands_where_the_evidence_is_largest(exactly):
    past, _, phi, target = made_up(30, 5, MEAN, COVARIANCE, 0.5, seed=3)
    flat = BASE._replace(factor=1e6 * BASE.factor)
    prior = empirical_bayes(past, flat, BASE, strength=0.0)
    for h in range(2):
        covariance = prior.covariance[h]
        for _ in range(50):  # solve covariance + unknown(covariance) = prior.covariance
            gram = past.gram[:, h] / prior.noise[h] ** 2
            weights = np.linalg.solve(np.eye(3) + gram @ covariance, gram).sum(0)
            covariance = prior.covariance[h] - np.linalg.inv(weights)
        best = log_evidence(phi[:, h], target[:, h], prior.mean[h], covariance, prior.noise[h])
        rng = np.random.default_rng(h)
        for _ in range(20):
            step, turn = 1e-3 * rng.normal(size=3), np.eye(3) + 1e-3 * rng.normal(size=(3, 3))
            moved = log_evidence(
                phi[:, h], target[:, h], prior.mean[h] + step, turn @ covariance @ turn.T, prior.noise[h]
            )
            assert moved <= best + 1e-6


def log_probability(draws, firmness, tau):
    """Of draws [draw, direction], their covariance inverse Wishart: one after the other, by SciPy's multivariate t."""
    size, scatter, total = draws.shape[1], firmness * tau * np.eye(draws.shape[1]), 0.0
    for k, draw in enumerate(draws):
        freedom = firmness + k - size + 1
        total += stats.multivariate_t.logpdf(draw, np.zeros(size), scatter / freedom, freedom)
        scatter = scatter + np.outer(draw, draw)
    return total


def test_the_scale_is_the_one_under_which_draws_are_most_probable():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(12, 4)) * [0.3, 0.5, 1.0, 3.0]
    values = np.linalg.eigvalsh(draws.T @ draws)
    firmness, tau = evident_scale(values, 12)
    best = log_probability(draws, firmness, tau)
    assert 3 < firmness < 100
    for n in (0.9, 1.1):
        for t in (0.9, 1.0, 1.1):
            assert log_probability(draws, 3 + n * (firmness - 3), t * tau) <= best + 1e-3
    for n in (3.5, 8.0, 50.0, 1e3):
        given, scale = evident_scale(values, 12, n)
        assert given == n
        assert log_probability(draws, n, scale) <= best + 1e-3
        assert all(
            log_probability(draws, n, t * scale) <= log_probability(draws, n, scale) + 1e-9 for t in (0.95, 1.05)
        )


def test_leaps_lead_where_steps_lead(exactly, monkeypatch):
    past, _ = two_stages(12, seed=4)
    leaping = empirical_bayes(past, BASE, strength=1.0)
    monkeypatch.setattr(room, "_leap", lambda start, once, twice: twice)
    walking = empirical_bayes(past, BASE, strength=1.0)
    np.testing.assert_allclose(leaping.covariance, walking.covariance, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(leaping.mean, walking.mean, rtol=2e-3, atol=1e-6)


def test_targets_are_made_anew_whatever_they_were_made_with(exactly):
    past, _ = two_stages(12, seed=5)
    other = np.random.default_rng(0).normal(size=past.score.shape)
    made = past.score + np.einsum("khij,khj->khi", past.carry, other)
    one = empirical_bayes(past, BASE, strength=1.0, learn_noise=False)
    two = empirical_bayes(past._replace(score=made), BASE, strength=1.0, learn_noise=False)
    np.testing.assert_allclose(one.mean, two.mean, rtol=1e-6)
    np.testing.assert_allclose(one.covariance, two.covariance, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("spread", ["alike", "apart"])
def test_it_finds_out_whether_tasks_differ_alike_in_all_directions(spread):
    size = 8
    scale = np.ones(size) if spread == "alike" else 4.0 ** -np.arange(size) * size * 0.75
    past, *_ = made_up(16, 40, np.zeros((1, size)), np.diag(scale)[None], 0.5, seed=11)
    base = GaussianPrior(np.zeros((1, size)), 3 * np.eye(size)[None], np.array([0.5]))
    values = np.linalg.eigvalsh(empirical_bayes(past, base, strength=None).covariance[0])
    if spread == "alike":
        assert values[-1] / values[0] < 1.5
        np.testing.assert_allclose(values.mean(), 1.0, rtol=0.3)
    else:
        assert values[-1] > 20 * np.median(values)
        np.testing.assert_allclose(values[-1], scale[0], rtol=0.5)


def test_directions_that_no_task_saw_keep_the_base():
    phi = made_up(10, 30, MEAN, COVARIANCE, 0.5, seed=6)[2]
    phi[..., 2] = 0
    base = BASE._replace(mean=BASE.mean + np.array([0.0, 0.0, 7.0]))
    prior = empirical_bayes(told(phi, np.einsum("khni,i->khn", phi, MEAN[0])), base)
    np.testing.assert_allclose(prior.mean[:, 2], 7.0)
    # What is not known of the mean there is all that the base did not know.
    assert (prior.covariance[:, 2, 2] >= 4.0).all()


@pytest.mark.parametrize("stage", [0, 1])
def test_a_stage_that_no_task_saw_keeps_the_base(stage):
    past, theta, phi, target = made_up(6, 10, MEAN, COVARIANCE, 0.5, seed=8)
    phi[:, stage], target[:, stage] = 0, 0
    past = told(phi, target)
    past.count[:, stage] = 0
    base = BASE._replace(mean=BASE.mean + 1.0)
    learned = [empirical_bayes(past, base, strength=strength) for strength in (None, 0.0, 1.0)]
    learned += [mtsrl_plus(past, base, episodes=1, tasks=6, rule=rule) for rule in ("shrunk", "widened")]
    for prior in learned:
        np.testing.assert_allclose(prior.mean[stage], 1.0)
        np.testing.assert_allclose(prior.covariance[stage], base.covariance[stage], atol=1e-12)
        np.testing.assert_allclose(prior.noise[stage], base.noise[stage])
        assert np.isfinite(prior.mean).all() and np.isfinite(prior.covariance).all()
        np.testing.assert_allclose(prior.mean[1 - stage], theta[:, 1 - stage].mean(0), atol=0.6)


def test_what_leads_to_directions_that_no_task_saw_is_worth_what_the_base_says():
    """The second stage's third feature is never seen, but the first stage's steps lead to it: to 7 in value."""
    base = BASE._replace(mean=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 7.0]]))
    past, _, phi, target = made_up(10, 30, MEAN, COVARIANCE, 0.5, seed=7)
    phi[:, 1, :, 2] = 0
    past = told(phi, target)
    led_to = np.zeros((10, 30, 3))
    led_to[:, :15, 2] = 1.0
    carry = past.carry.copy()
    carry[:, 0] = np.einsum("kni,knj->kij", phi[:, 0], led_to)
    earned = past.earned.copy()
    earned[:, 0] -= 7.0 * np.einsum("kni,kn->ki", phi[:, 0], led_to[..., 2])
    led = empirical_bayes(past._replace(carry=carry, earned=earned), base, learn_noise=False)
    plain = empirical_bayes(past, base, learn_noise=False)
    np.testing.assert_allclose(led.mean[0], plain.mean[0], rtol=1e-6, atol=1e-8)


def test_learned_priors_converge_to_the_truth():
    """Errors fall as tasks to the power -1/2, slopes fitted over a hundredfold range."""
    sizes = np.array([10, 30, 100, 300, 1000])
    repeats = 12
    errors = {"mean": np.zeros((5, repeats)), "mtsrl+": np.zeros((5, repeats)), "eb": np.zeros((5, repeats))}
    for r in range(repeats):
        past, *_ = made_up(1000, 12, MEAN, COVARIANCE, 0.5, seed=100 + r)
        for i, size in enumerate(sizes):
            part = jax.tree.map(lambda x, size=size: x[:size], past)
            flat = BASE._replace(factor=100 * BASE.factor, noise=np.full(2, 0.5))
            plus, eb = mtsrl_plus(part, flat, episodes=1, tasks=1, shrink=0.0), empirical_bayes(part, flat)
            errors["mean"][i, r] = np.linalg.norm(plus.mean - MEAN)
            errors["mtsrl+"][i, r] = np.linalg.norm(plus.covariance - COVARIANCE)
            errors["eb"][i, r] = np.linalg.norm(eb.covariance - COVARIANCE)
    for name, error in errors.items():
        slope = np.polyfit(np.log(sizes), np.log(error.mean(1)), 1)[0]
        assert -0.75 < slope < -0.35, (name, slope)
        assert error[-1].mean() < 0.15 * error[0].mean(), name


@pytest.mark.parametrize("unit", [1e-8, 1e6])
@pytest.mark.parametrize("spread", [1.0, 1e-12], ids=["tasks differ", "tasks are one"])
def test_the_prior_has_the_unit_of_rewards(unit, spread):
    past, *_ = made_up(4, 6, MEAN, spread * COVARIANCE, 0.5, seed=1)
    scaled = past._replace(score=unit * past.score, earned=unit * past.earned, square=unit**2 * past.square)
    base = GaussianPrior(*(unit * np.asarray(part) for part in BASE))
    one, other = empirical_bayes(past, BASE), empirical_bayes(scaled, base)
    for part, power in (("mean", 1), ("covariance", 2), ("noise", 1)):
        expected = np.asarray(getattr(one, part))
        np.testing.assert_allclose(getattr(other, part) / unit**power, expected, atol=1e-6 * np.abs(expected).max())
