"""Small problems of other libraries: pymdptoolbox's forest, small and rand, QuantEcon's two states, actions that cannot
be taken. All are parts of one MDP that never leave themselves, so that one compiled program solves them all.
"""

import numpy as np
import pytest
import quantecon
from scipy import sparse

import bayesmdp as bm
from tests.oracles import forest

PUTERMAN = np.array([[[0.5, 0.5], [0, 1]], [[0, 1], [0, 0]]]), np.array([[5, 10], [-1, -np.inf]])
SMALL = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0, 1], [0.1, 0.9]]]).swapaxes(0, 1), np.array([[5, 10], [-1, 2.0]])


def random_problem(seed, states, actions):
    """As pymdptoolbox's rand has them, dense and sparse rows by turns, and half of all actions not to be taken."""
    rng = np.random.default_rng(seed)
    kernel = rng.random((states, actions, states)) * (rng.random((states, actions, states)) < (1, 0.3)[seed % 2])
    kernel[..., 0] += 1e-3
    reward = rng.uniform(-1, 1, (states, actions))
    never = rng.random((states, actions)) < 0.5
    never[np.arange(states), rng.integers(actions, size=states)] = False
    reward[never] = -np.inf
    return kernel / kernel.sum(-1, keepdims=True), reward


PARTS = {
    "Puterman": PUTERMAN,
    "small": SMALL,
    **{f"forest of {ages}": forest(ages) for ages in (3, 10, 50, 200)},
    **{f"random {seed}": random_problem(seed, *sizes) for seed, sizes in enumerate([(2, 2), (5, 4), (11, 3), (30, 4)])},
}
SIZE = sum(len(reward) for _, reward in PARTS.values())
PLACES = np.split(np.arange(SIZE), np.cumsum([len(reward) for _, reward in PARTS.values()])[:-1])


def together(discount):
    """All parts as one MDP, from what their libraries take: a sparse matrix an action, -inf where it is not for."""
    reward, kernels = np.full((SIZE, 4), -np.inf), []
    for place, (_, own) in zip(PLACES, PARTS.values(), strict=True):
        reward[place, : own.shape[1]] = own
    for action in range(4):
        has = [k[:, action] if action < k.shape[1] else np.zeros((len(k), len(k))) for k, _ in PARTS.values()]
        kernels.append(sparse.block_diag([sparse.csr_array(part) for part in has], "csr"))
    return bm.MDP(transition=kernels, reward=reward, available=reward > -np.inf, discount=discount)


@pytest.mark.parametrize("discount", [0.9, 0.95, 0.99])
def test_quantecon_agrees_on_all(discount):
    plan = bm.solve(together(discount))
    value, policy = plan.value.values, plan.policy.values
    assert plan.attrs["bound"] < 1e-9
    for (name, (kernel, reward)), place in zip(PARTS.items(), PLACES, strict=True):
        theirs = quantecon.markov.DiscreteDP(reward, kernel, discount)
        found = theirs.solve(method="policy_iteration")
        np.testing.assert_allclose(value[place], found.v, rtol=0, atol=1e-9, err_msg=name)
        q = reward + discount * kernel @ found.v
        assert (q.max(-1) - q[np.arange(len(q)), policy[place]] < 1e-8).all(), name
    worth = dict(zip(PARTS, (value[place] for place in PLACES), strict=True))
    if discount > 10 / 11:
        known = (5 - 5.5 * discount) / ((1 - 0.5 * discount) * (1 - discount)), -1 / (1 - discount)
        np.testing.assert_allclose(worth["Puterman"], known, rtol=0, atol=1e-9)
    if discount == 0.9:
        np.testing.assert_allclose(worth["small"], [42.4418604651, 36.0465116279], rtol=0, atol=1e-9)
        np.testing.assert_allclose(worth["forest of 3"], [26.244, 29.484, 33.484], rtol=0, atol=1e-9)


def test_the_forests_average_reward():
    """Never cut: it is old in all years but those at most two after a fire."""
    kernel, reward = forest(3)
    plan = bm.solve(bm.MDP(transition=kernel, reward=reward, discount=None))
    assert float(plan.gain) == pytest.approx(4 * 0.9**2, abs=1e-9) and not plan.policy.any()
