"""A Dirichlet prior learned from counts, against SciPy's optimiser and the truth."""

import numpy as np
from scipy import optimize
from scipy.special import gammaln

from bayesmdp.learned_priors.transitions import dirichlet_prior


def log_posterior(concentration, counts, base, strength):
    a, n = concentration, counts
    evidence = gammaln(a.sum()) - gammaln(a.sum() + n.sum(-1)) + (gammaln(a + n) - gammaln(a)).sum(-1)
    return evidence.sum() + (strength * (np.log(a) - a / base)).sum()


def test_it_is_the_mode():
    rng = np.random.default_rng(0)
    counts = np.array([rng.multinomial(20, rng.dirichlet([2.0, 1.0, 0.3])) for _ in range(8)]).astype(float)
    base = np.array([0.5, 1.0, 1.0])
    found = dirichlet_prior(counts, base, strength=1.5)
    best = optimize.minimize(
        lambda log: -log_posterior(np.exp(log), counts, base, 1.5), np.zeros(3), options={"gtol": 1e-8}
    )
    np.testing.assert_allclose(found, np.exp(best.x), rtol=1e-3)


def test_it_is_the_mode_where_tasks_hardly_differ():
    """Concentrations are in the hundreds there, far from the base; at the mode all slopes are 0."""
    counts = np.tile([300.0, 150.0, 50.0], (200, 1))
    found = dirichlet_prior(counts, np.ones(3), strength=0.1)
    assert found.sum() > 700
    ends = found * np.exp(1e-3 * np.stack([np.eye(3), -np.eye(3)]))
    up, down = ([log_posterior(a, counts, np.ones(3), 0.1) for a in side] for side in ends)
    np.testing.assert_allclose((np.array(up) - down) / 2e-3, 0, atol=0.01)


def test_many_tasks_tell_the_truth_and_no_trial_tells_nothing():
    rng = np.random.default_rng(1)
    truth = np.array([6.0, 3.0, 1.0])
    counts = np.array([rng.multinomial(50, p) for p in rng.dirichlet(truth, 3_000)]).astype(float)
    both = np.stack([counts, 0 * counts], 1)
    found = dirichlet_prior(both, np.ones((2, 3)))
    np.testing.assert_allclose(found[0], truth, rtol=0.1)
    np.testing.assert_allclose(found[1], 1)
