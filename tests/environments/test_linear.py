"""Inventory and linear MDPs: rows and rewards by enumeration, gains in closed form, features that are what they say."""

import itertools

import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp import environments
from bayesmdp.environments.inventory import inventory as shop

WORLDS = [environments.inventory(6), environments.random_linear_mdp(), environments.hard_linear_mdp(5)]


def test_inventory_day_by_day():
    mdp = environments.inventory(3, demand=2.0, rescale=False)
    demand = range(60)
    chance = stats.poisson.pmf(demand, 2.0)
    for s, a in itertools.product(range(4), range(4)):
        assert mdp.available[s, a] == (s + a <= 3)
        if s + a > 3:
            continue
        row, earned = np.zeros(4), 0.0
        for d, p in zip(demand, chance, strict=True):
            left, lost = max(s + a - d, 0), max(d - s - a, 0)
            row[left] += p
            earned += p * (5 * (s + a - left) - 2 * a - 3 * (a > 0) - 0.5 * left - 1.0 * lost)
        np.testing.assert_allclose(mdp.transition[s, a], row, atol=1e-12)
        assert mdp.reward[s, a, 0] == pytest.approx(earned, abs=1e-9)


def test_rescaling_changes_units_only():
    plain, unit = (environments.inventory(8, rescale=rescale) for rescale in (False, True))
    least, most = (pick(plain.reward[plain.available]) for pick in (np.min, np.max))
    assert unit.reward[unit.available].min() == 0 and unit.reward[unit.available].max() == 1
    first, second = bm.solve(plain), bm.solve(unit)
    assert (first.policy == second.policy).all()
    assert float(first.gain) == pytest.approx(least + (most - least) * float(second.gain), abs=1e-9)


def test_an_inventory_orders_up_to_a_level_below_another():
    """With a fee for ordering an (s, S) policy is best (Scarf, 1960)."""
    for demand in (2.0, 4.0, 6.0):
        policy = bm.solve(environments.inventory(12, demand=demand)).policy.values
        orders = np.flatnonzero(policy > 0)
        assert (orders == np.arange(len(orders))).all()
        assert len({s + policy[s] for s in orders}) == 1


@pytest.mark.parametrize("mdp", WORLDS, ids=lambda mdp: mdp.name)
def test_kernels_are_linear_in_features(mdp):
    live = mdp.available.ravel()
    phi = mdp.features.reshape(live.size, -1)[live]
    rows = mdp.transition.reshape(live.size, -1)[live]
    mu, *_ = np.linalg.lstsq(phi, rows, rcond=None)
    np.testing.assert_allclose(phi @ mu, rows, atol=1e-10)
    assert phi.shape[1] < live.sum()


@pytest.mark.parametrize(("dimension", "delta", "gap"), [(8, 0.1, 0.05), (3, 0.2, 0.2), (2, 0.4, 0.1)])
def test_hard_linear_gain(dimension, delta, gap):
    mdp = environments.hard_linear_mdp(dimension, delta=delta, gap=gap, seed=3)
    assert mdp.num_actions == 2 ** (dimension - 1) and mdp.features.shape[-1] == dimension + 1
    assert float(bm.solve(mdp).gain) == pytest.approx((delta + gap) / (2 * delta + gap), abs=1e-9)
    # The worst action is as much worse.
    assert mdp.transition[0, :, 1].min() == pytest.approx(delta - gap, abs=1e-12)
    assert (np.linalg.norm(mdp.features, axis=-1) <= 1 + 1e-12).all()


def test_random_linear_mdps_differ_by_seed():
    first, again, other = (environments.random_linear_mdp(seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.transition, again.transition)
    assert (first.transition != other.transition).any()
    assert ((first.reward >= 0) & (first.reward <= 1)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shop(0), "capacity must be an integer of at least 1"),
        (lambda: shop(demand=0), "demand must be a number above 0"),
        (lambda: environments.hard_linear_mdp(1), "dimension must be an integer of at least 2"),
        (lambda: environments.hard_linear_mdp(gap=0.2), "gap must be a number above 0 and at most 0.1; got 0.2"),
        (lambda: environments.random_linear_mdp(1), "num_states must be an integer of at least 2"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_features_go_with_copies():
    mdp = environments.random_linear_mdp()
    np.testing.assert_array_equal(mdp.replace(discount=0.9).features, mdp.features)
    assert mdp.problem.features is mdp.features and not mdp.features.flags.writeable
