"""Values under posterior draws, against one linear solve a draw and exact binomial coverage."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from bayesmdp import MDP
from bayesmdp.environments import frozen_lake, riverswim
from bayesmdp.planning import downside_exposure, quantile_value, value_draws
from bayesmdp.planning.quantile_interval import order_interval
from tests.oracles import enumerate_policies, policy_value

RNG = np.random.default_rng(0)
DIMS = ("draw", "state", "action", "next_state")
LAKE = frozen_lake(discount=0.9)
KERNELS = np.stack([RNG.dirichlet(np.ones(16), (16, 4)) for _ in range(30)])
POSTERIOR = xr.Dataset({"transition": (DIMS, KERNELS)})


def test_each_draw_is_solved():
    policy = RNG.integers(0, 4, 16)
    values = value_draws(POSTERIOR, LAKE, [LAKE.actions[a] for a in policy])
    assert values.dims == ("draw", "state")
    expected = [policy_value(kernel, LAKE.reward, 0.9, policy, LAKE.terminal) for kernel in KERNELS]
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_a_mixed_policy_is_its_mixed_kernel():
    share = RNG.dirichlet(np.ones(4), 16)
    values = value_draws(POSTERIOR, LAKE, share)
    live = ~LAKE.terminal
    for kernel, value in zip(KERNELS, values.values, strict=True):
        mixed = np.einsum("sa,sat->st", share, kernel) * live[:, None]
        reward = np.einsum("sa,sat,sat->s", share, kernel, LAKE.reward) * live
        np.testing.assert_allclose(value, np.linalg.solve(np.eye(16) - 0.9 * mixed * live, reward), atol=1e-12)


@pytest.mark.parametrize("horizon", [None, 4])
@pytest.mark.parametrize("drawn_rewards", [False, True])
def test_a_policy_for_each_draw_is_the_policy_of_that_draw(horizon, drawn_rewards):
    kernels, shares = RNG.dirichlet(np.ones(3), (5, 3, 2)), RNG.dirichlet(np.ones(2), (5, 3))
    problem = MDP(reward=RNG.normal(size=(3, 2)), discount=0.8).replace(horizon=horizon)
    posterior = xr.Dataset({"transition": (DIMS, kernels)})
    if drawn_rewards:
        posterior["reward"] = (DIMS[:3], RNG.normal(size=(5, 3, 2)))
    told = xr.DataArray(shares.transpose(1, 0, 2), dims=("state", "draw", "action"))
    values = value_draws(posterior, problem, told)
    for draw in range(5):
        alone = value_draws(posterior.isel(draw=[draw]), problem, xr.DataArray(shares[draw], dims=("state", "action")))
        np.testing.assert_allclose(values[draw], alone[0], atol=1e-12)


@pytest.mark.parametrize(
    ("dims", "shape", "message"),
    [
        (("draw", "state"), (5, 3), "a policy for each draw has the dims draw, state and action; got"),
        (("draw", "state", "action"), (4, 3, 2), "there are 4 policies for 5 draws"),
        (("draw", "state", "action"), (5, 3, 3), r"policy has shape .3, 3.; expected .3, 2."),
        (("draw", "state", "action"), (5, 3, 2), "policy.*sum"),
    ],
)
def test_what_is_no_policy_for_each_draw(dims, shape, message):
    posterior = xr.Dataset({"transition": (DIMS, RNG.dirichlet(np.ones(3), (5, 3, 2)))})
    policy = np.full(shape, 0.5)
    policy[-1] *= 2  # the last one's probabilities sum to 2
    with pytest.raises(ValueError, match=message):
        value_draws(posterior, MDP(reward=np.zeros((3, 2)), discount=0.8), xr.DataArray(policy, dims=dims))


def test_drawn_rewards_and_tables_go_the_same_way():
    table = RNG.integers(0, 5, (5, 2, 3))
    kernels, rewards = RNG.dirichlet(np.ones(3), (8, 5, 2)), RNG.normal(size=(8, 5, 2))
    mdp = MDP(successor=table, reward=np.zeros(5), discount=0.8)
    dims = ("draw", "state", "action", "outcome")
    posterior = xr.Dataset({"transition": (dims, kernels), "reward": (dims[:3], rewards)})
    values = value_draws(posterior, mdp, [1] * 5).values
    for kernel, reward, value in zip(kernels, rewards, values, strict=True):
        dense = np.einsum("so,sot->st", kernel[:, 1], np.eye(5)[table[:, 1]])
        np.testing.assert_allclose(value, np.linalg.solve(np.eye(5) - 0.8 * dense, reward[:, 1]), atol=1e-12)


def test_a_long_cycle_on_which_krylov_methods_break_down():
    size = 2_500
    successor = ((np.arange(size) + 1) % size)[:, None, None]
    reward = (np.arange(size) == size - 1).astype(float)
    mdp = MDP(successor=successor, reward=reward, discount=0.99)
    posterior = xr.Dataset({"transition": (("draw", "state", "action", "outcome"), np.ones((1, size, 1, 1)))})
    truth = 0.99 ** (size - 1 - np.arange(size)) / (1 - 0.99**size)
    worth = quantile_value(posterior, mdp, [0] * size, 0.1)
    np.testing.assert_allclose(worth.value, truth, atol=1e-8)
    assert abs(float(worth.initial) - truth[0]) < 1e-8


def test_the_interval_holds_the_quantile_as_often_as_promised():
    """Coverage over 2,000 samples of 50 normals, one sided and both, against the binomial's own."""
    for level in (0.1, 0.5, 0.97):
        middle, low, high = order_interval(RNG.normal(size=(50, 2_000)), level, 0.9)
        true = stats.norm.ppf(level)
        inside = (low <= true) & (true <= high)
        assert inside.mean() > 0.9 - 4 * np.sqrt(0.1 * 0.9 / 2_000)
        assert (low <= middle).all()
        assert (middle <= high).all()
    assert order_interval(np.arange(5.0), 0.01, 0.95)[1] == -np.inf


def test_quantile_value_is_numpys():
    worth = quantile_value(POSTERIOR, LAKE, ["left"] * 16, 0.1)
    values = value_draws(POSTERIOR, LAKE, ["left"] * 16).values
    np.testing.assert_array_equal(worth.value, np.quantile(values, 0.1, axis=0, method="inverted_cdf"))
    assert float(worth.initial) == float(worth.value[0])
    assert worth.attrs["num_draws"] == 30


def test_downside_exposure_by_enumeration():
    river = riverswim(4, discount=0.9)
    kernels = np.stack([RNG.dirichlet(np.full(4, 0.4), (4, 2)) for _ in range(12)])
    policy = np.array([0, 1, 0, 1])
    reward = river.reward[..., 0]
    lost = [enumerate_policies(k, reward, 0.9) - policy_value(k, reward, 0.9, policy) for k in kernels]
    posterior = xr.Dataset({"transition": (DIMS, kernels)})
    for loss in (0.05, 0.5):
        exposure = downside_exposure(posterior, river, [river.actions[a] for a in policy], loss)
        np.testing.assert_allclose(exposure, (np.array(lost) >= loss).mean(0))


@pytest.mark.parametrize("level", [0, 1, "low"])
def test_levels_are_checked(level):
    with pytest.raises(ValueError, match="level must be a number above 0 and below 1"):
        quantile_value(POSTERIOR, LAKE, "uniform", level)
