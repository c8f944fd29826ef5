"""Theorem 1 and the two examples of the paper's appendix, against their closed forms."""

import numpy as np
import pytest
from scipy import stats

from bayesmdp.studies.theorem_1 import REWARD, SHARE, TRANSITION, asymptotics
from bayesmdp.studies.two_kernels import downside, trap, trap_problem, two_kernels
from tests.statistical import assert_standard_normal


def predicted(level, discount=0.9):
    """The note's formula, written out state by state instead of in matrices."""
    p, share = np.array(TRANSITION), np.array(SHARE)
    value = np.zeros(4)
    for _ in range(2_000):
        value = np.array(REWARD) + discount * p @ value
    sd = [np.sqrt(sum(p[s, t] * (value[t] - p[s] @ value) ** 2 for t in range(4)) / share[s]) for s in range(4)]
    # sum_k discount^k P^k, the chain's discounted visits
    visits, power = np.zeros((4, 4)), np.eye(4)
    for k in range(2_000):
        visits += discount**k * power
        power = power @ p
    mean = discount * stats.norm.ppf(level) * visits @ sd
    covariance = discount**2 * sum(sd[s] ** 2 * np.outer(visits[:, s], visits[:, s]) for s in range(4))
    return mean, covariance


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_theorem_1(level):
    table = asymptotics(level=level, data_sets=1_000, num_draws=400)
    mean, covariance = predicted(level)
    np.testing.assert_allclose(table["predicted_mean"], mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(table["predicted_covariance"], covariance, rtol=1e-9)
    # What is left at n = 40,000 is a bias of order 1 / sqrt(n): a twentieth of a standard deviation is allowed.
    sd = np.sqrt(np.diag(covariance))
    off = np.maximum(0, np.abs(table["mean"].values - mean) - 0.05 * sd) / table["mean_error"].values
    assert_standard_normal(off, "mean")
    # An entry of a sample covariance has variance (c_ij^2 + c_ii c_jj) / (n - 1). The draws' own noise adds up to
    # 1.57 .. 2.9 parts in 400: one part in 100 is allowed.
    error = np.sqrt((covariance**2 + np.outer(sd, sd) ** 2) / 999)
    off = np.maximum(0, np.abs(table["covariance"].values - covariance) - 0.01 * np.outer(sd, sd)) / error
    assert_standard_normal(off, "covariance")
    if level != 0.5:
        # The mean shift is there: without it the test would fail by far.
        assert (np.abs(mean) / table["mean_error"].values > 20).all()


@pytest.mark.parametrize(
    "discount, safe, mass, level", [(0.9, 0.5, 0.3, 0.2), (0.9, 0.5, 0.3, 0.3), (0.95, 0.7, 0.2, 0.1)]
)
def test_example_1(discount, safe, mass, level):
    assert discount / 2 < safe < discount * (1 - mass)
    table = downside(discount, safe, mass, level=level)
    mean, quantile = table.iloc[0], table.iloc[1]
    assert (mean["start"], quantile["start"]) == ("risky", "safe")
    assert mean["regret_1"] == pytest.approx(0, abs=1e-9) and quantile["regret_2"] == pytest.approx(0, abs=1e-9)
    assert mean["regret_2"] == pytest.approx(safe / (1 - discount), abs=1e-9)
    assert quantile["regret_1"] == pytest.approx((discount - safe) / (1 - discount), abs=1e-9)
    assert mean["exposure"] == pytest.approx(mass) and quantile["exposure"] == 0
    # At the quantile plan's own regret and below, it is exposed too: to kernel 1.
    least = downside(discount, safe, mass, level=level, loss=(discount - safe) / (1 - discount) - 1e-6)
    assert least.iloc[1]["exposure"] == pytest.approx(1 - mass)


def test_example_1_needs_a_level_at_or_below_the_mass():
    table = downside(0.9, 0.5, 0.3, level=0.4)
    assert table["start"].tolist() == ["risky", "risky"]
    with pytest.raises(ValueError, match=r"mass must be a multiple of 1 / num_draws; got 0\.25"):
        downside(mass=0.25)


@pytest.mark.parametrize("safe, trapped", [(0.5, True), (0.8, True), (0.82, False)])
def test_example_2(safe, trapped):
    """Trapped, at linear regret, exactly if c < discount^2 = .81; sampling and the adaptive level get out."""
    result = trap(0.9, safe, steps=300, replicates=6)
    regret, at_start = result["regret"], result["state"] == 0
    loss = (0.81 - safe) / (1 - 0.9) if trapped else 0.0
    np.testing.assert_allclose(regret.sel(agent="BRMDP"), loss, atol=1e-9)
    assert bool(at_start.sel(agent="BRMDP").all())
    for agent in ("PSRL", "AQ-BRMDP"):
        late = regret.sel(agent=agent).isel(step=slice(150, None))
        np.testing.assert_allclose(late, 0, atol=1e-9)
        if trapped:
            assert not bool(at_start.sel(agent=agent).isel(step=-1).any())


def test_the_belief_in_two_kernels():
    import jax

    from bayesmdp.problems.world import Step

    one, two = trap_problem()
    belief = two_kernels(one, two, 1_000, 0.2)
    with jax.enable_x64(True):
        state = belief.init(jax.random.key(0))
        rooms = belief.sample(jax.random.key(1), state, 4_000)["transition"][:, 0, 1]
        share = float(rooms[:, 2].mean())
        assert_standard_normal((share - 0.2) / np.sqrt(0.16 / 4_000))
        # Staying teaches nothing, probing everything.
        state = belief.observe(jax.random.key(0), state, Step(0, 0, 0, 0, 0.5, False))
        np.testing.assert_allclose(np.exp(state[0]), [0.8, 0.2], atol=1e-12)
        state = belief.observe(jax.random.key(0), state, Step(0, 1, 2, 2, 0.0, False))
        np.testing.assert_allclose(np.exp(state[0]), [0, 1])
        _, sites = belief.draw(jax.random.key(2), state)
        np.testing.assert_array_equal(sites["transition"], np.broadcast_to(two.transition, (1_000, 5, 2, 5)))
        np.testing.assert_array_equal(belief.visits(state)[0], [1, 1])
        assert float(belief.rows(state).weight.sum()) == 2
