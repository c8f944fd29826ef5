"""Noisy rewards: what the simulator adds, and that it changes nothing else."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from scipy import stats

import bayesmdp as bm
from bayesmdp.models import beta_bernoulli_rewards, dirichlet_transitions, normal_rewards
from tests.statistical import assert_follows, assert_means

RIVER = bm.environments.riverswim(6)
SD = np.array([[0.5, 2.0]] + [[0.0, 1.0]] * 5)


def test_normal_noise_about_the_mean():
    noisy = RIVER.replace(noise=SD)
    log = bm.collect(noisy, policy="uniform", steps=20_000, seed=0)
    state, action = log["state"].values, (log["action"].values == "right").astype(int)
    off = log["reward"].values - RIVER.reward[state, action, 0]
    sd = SD[state, action]
    assert (off[sd == 0] == 0).all()
    assert_follows(off[sd > 0] / sd[sd > 0], stats.norm)


def test_bernoulli_rewards():
    noisy = RIVER.replace(reward=np.full((6, 2), 0.3), noise="bernoulli")
    reward = bm.collect(noisy, policy="uniform", steps=20_000, seed=0)["reward"].values
    assert set(reward) == {0.0, 1.0}
    assert_means(reward, 0.3)


@pytest.mark.slow
def test_noise_leaves_all_other_luck_as_it_is():
    prior = dirichlet_transitions(RIVER, concentration=1 / 6)
    agents = {"PSRL": bm.agents.psrl(prior)}
    plain = bm.simulate(RIVER, agents, steps=200, replicates=3, seed=1)
    noisy = bm.simulate(RIVER.replace(noise=0.5), agents, steps=200, replicates=3, seed=1)
    for name in ("state", "action", "regret"):
        xr.testing.assert_identical(plain[name], noisy[name])
    assert (plain["reward"].values != noisy["reward"].values).all()
    with pytest.raises(ValueError, match="resume holds another run: its digest"):
        bm.simulate(RIVER.replace(noise=0.5), agents, steps=200, replicates=4, seed=1, resume=plain)
    log, noisy_log = (bm.collect(mdp, steps=50, seed=2) for mdp in (RIVER, RIVER.replace(noise=0.5)))
    xr.testing.assert_equal(log["state"], noisy_log["state"])


def test_noise_is_kept_by_copies():
    sparse = RIVER.replace(noise=SD).with_successors()
    np.testing.assert_array_equal(sparse.problem.noise.sd, SD)
    assert RIVER.problem.noise is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -1.0}, r"noise\[0, 0\] = -1, which is negative"),
        ({"noise": np.ones(3)}, r"noise has shape \(3,\); expected a number or \(6, 2\)"),
        ({"noise": np.nan}, "noise = nan, which is not finite"),
        ({"noise": "gamma"}, "noise must be standard deviations or 'bernoulli'; got 'gamma'"),
        ({"noise": "bernoulli", "reward": np.full((6, 2), 1.5)}, r"reward\[0, 0, 0\] = 1.5, which is no probability"),
    ],
)
def test_bad_noise_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RIVER.replace(**options)


def test_true_rewards_may_be_drawn():
    """Each replicate's mean rewards come from the truth's model, and regret is charged by them."""
    prior = normal_rewards(RIVER, dirichlet_transitions(RIVER), mean=3.0, scale=1e-6, noise=0.1)
    known = dirichlet_transitions(RIVER)

    def truth(data):
        numpyro.deterministic("transition", RIVER.transition)
        numpyro.sample("reward", dist.Normal(np.full((6, 2), 3.0), 1e-6).to_event(2))

    result = bm.simulate(RIVER, {"PSRL": bm.agents.psrl(prior)}, steps=50, replicates=2, truth=truth)
    np.testing.assert_allclose(result["reward"], 3, atol=1e-4)
    assert float(abs(result["regret"]).max()) < 1e-3
    with pytest.raises(ValueError, match=r"truth draws rewards, which the prior of agents\['PSRL'\] takes as known"):
        bm.simulate(RIVER, {"PSRL": bm.agents.psrl(known)}, steps=50, replicates=2, truth=truth)


@pytest.mark.slow
def test_true_rewards_may_be_drawn_under_any_noise():
    world = bm.environments.chain()
    prior = normal_rewards(world, dirichlet_transitions(world), scale=2.0, noise=1.0)
    result = bm.simulate(world, {"PSRL": bm.agents.psrl(prior)}, steps=50, replicates=1, truth=prior)
    assert np.isfinite(result["reward"]).all()


@pytest.mark.slow
def test_rewards_that_a_prior_thinks_impossible_are_refused():
    """A Beta-Bernoulli posterior would count a reward of 0.005 as a two-hundredth of a one."""
    prior = beta_bernoulli_rewards(RIVER, dirichlet_transitions(RIVER))
    agents = {"PSRL": bm.agents.psrl(prior)}
    said = r"reward 0.005\), which has probability 0 under the prior of agents\['PSRL'\].*noise='bernoulli'"
    with pytest.raises(ValueError, match=said):
        bm.simulate(RIVER, agents, steps=10, replicates=1)
    with pytest.raises(ValueError, match=r"agents\['PSRL'\]"):
        bm.simulate(RIVER.replace(noise=0.5), agents, steps=10, replicates=1)
    with pytest.raises(ValueError, match=r"agents\['PSRL'\]"):
        bm.simulate(RIVER, agents, steps=10, replicates=1, truth=prior)
    coin = RIVER.replace(noise="bernoulli")
    result = bm.simulate(coin, agents, steps=10, replicates=1, truth=prior)
    assert np.isin(result["reward"], [0, 1]).all()
    # Rewards of what cannot happen are not asked about.
    ones = np.where(RIVER.transition > 0, 1.0, 0.5)
    bm.simulate(RIVER.replace(reward=ones), agents, steps=10, replicates=1)
    unfit = normal_rewards(RIVER, dirichlet_transitions(RIVER), mean=3.0)
    with pytest.raises(
        ValueError,
        match=r"truth draws mean rewards such as [-.\d]+, which are not probabilities, as noise='bernoulli' needs",
    ):
        bm.simulate(coin, {"PSRL": bm.agents.psrl(unfit)}, steps=10, replicates=1, truth=unfit)
