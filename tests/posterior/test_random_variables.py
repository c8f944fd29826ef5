import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

from bayesmdp.posterior.random_variables import dirichlet, standard_log_gamma, threefry
from tests.statistical import assert_follows, assert_means, assert_same_distribution

pytestmark = pytest.mark.usefixtures("wide")


@pytest.mark.parametrize("shape", [0.01, 1 / 6, 0.999, 1.0, 2.5, 40.0, 1e3, 1e6])
def test_log_gamma_follows_its_distribution(shape: float) -> None:
    draws = np.asarray(standard_log_gamma(jax.random.key(3), np.full(1, shape), 240_000))[:, 0]
    assert_follows(draws, stats.loggamma(shape), f"log Gamma({shape})")
    expected = stats.loggamma(shape)
    assert_means(draws, expected.mean(), "mean")
    assert_means((draws - expected.mean()) ** 2, expected.var(), "variance")


def test_shapes_do_not_disturb_one_another() -> None:
    shape = np.array([0.05, 1.0, 300.0, 0.2, 7.0])
    draws = np.asarray(standard_log_gamma(jax.random.key(5), shape, 48_000))
    assert_means(draws, stats.loggamma(shape).mean())
    correlation = np.corrcoef(draws.T)[np.triu_indices(5, 1)]
    assert np.abs(correlation).max() < 6 / np.sqrt(48_000)


def test_dirichlet_moments_match_the_closed_form() -> None:
    concentration = np.array([[0.1, 0.5, 2.0], [30.0, 5.0, 1.0]])
    draws = np.asarray(dirichlet(jax.random.key(7), concentration, 40_000))
    np.testing.assert_allclose(draws.sum(-1), 1, atol=1e-14)
    total = concentration.sum(-1, keepdims=True)
    mean = concentration / total
    assert_means(draws, mean, "mean")
    centred = draws - mean
    covariance = (mean[:, :, None] * np.eye(3) - mean[:, :, None] * mean[:, None, :]) / (total[..., None] + 1)
    assert_means(centred[..., :, None] * centred[..., None, :], covariance, "covariance")


def test_dirichlet_margins_are_beta() -> None:
    draws = np.asarray(dirichlet(jax.random.key(8), np.array([1 / 6, 0.5, 3.0]), 80_000))
    for k, a in enumerate([1 / 6, 0.5, 3.0]):
        assert_follows(draws[:, k], stats.beta(a, 1 / 6 + 3.5 - a), f"margin {k}")


@pytest.mark.slow
def test_agrees_with_jax() -> None:
    ours = dirichlet(jax.random.key(1), np.full(4, 0.3), 60_000)[:, 0]
    theirs = jax.random.dirichlet(jax.random.key(2), jnp.full(4, 0.3), (60_000,))[:, 0]
    assert_same_distribution(ours, theirs)


def test_small_concentrations_do_not_underflow() -> None:
    draws = np.asarray(dirichlet(jax.random.key(0), np.full(5, 1e-4), 1000))
    assert np.isfinite(draws).all()
    np.testing.assert_allclose(draws.sum(-1), 1)


@pytest.mark.parametrize("size", [1, 17])
def test_any_size(size: int) -> None:
    key = jax.random.key(0)
    assert jax.eval_shape(lambda: standard_log_gamma(key, np.full(size, 2.0))).shape == (size,)
    assert jax.eval_shape(lambda: dirichlet(key, np.full((2, size), 2.0), 3)).shape == (3, 2, size)


def test_same_key_same_draws_alone_and_in_a_batch() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    one = jax.jit(lambda key: dirichlet(key, np.full(4, 0.3), 7))
    batch = jax.jit(jax.vmap(one))(keys)
    alone = np.stack([one(key) for key in keys])
    np.testing.assert_allclose(batch, alone, rtol=1e-6)


def test_threefry_is_threefry() -> None:
    words, counter = jax.random.key_data(jax.random.key(42)), jnp.arange(64, dtype=jnp.uint32)
    ours = jnp.concatenate(threefry(words, counter[:32], counter[32:]))
    np.testing.assert_array_equal(ours, threefry_2x32(words, counter))


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_any_kind_of_key(implementation: str) -> None:
    key = jax.random.key(0, impl=implementation)
    assert_means(np.exp(standard_log_gamma(key, np.full(1, 3.0), 240_000)), np.full(1, 3.0))
