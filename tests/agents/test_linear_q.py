"""Agents over linear Q-functions, against the formulas in NumPy and against each other."""

from functools import partial

import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.models import gaussian_q
from bayesmdp.posterior import NotConjugate
from bayesmdp.posterior.beliefs.q_values import q_belief
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, condition, posterior_draw, read_gaussian
from bayesmdp.posterior.q_regression.backward import backward, task_statistics, whitened
from bayesmdp.posterior.q_regression.rows import rows_of
from bayesmdp.problems.stages import shortest_episode
from tests.statistical import assert_means, assert_standard_normal

SHOP = bm.environments.recommendation(4, 3, seed=1)
LAYERS = bm.environments.layers(3, 2, 4, branching=2, seed=2)
REWARDS = {mdp.name: np.random.default_rng(7).normal(size=(mdp.num_states, mdp.num_actions)) for mdp in (SHOP, LAYERS)}


def steps_of(mdp, number, seed=0):
    """A log, and its steps as indices."""
    log = bm.collect(mdp, steps=number, seed=seed)
    index = {s: i for i, s in enumerate(mdp.states)}
    state, following = (np.array([index[x] for x in log[name].values.tolist()]) for name in ("state", "next_state"))
    return log, (state, log["action"].values.astype(int), log["reward"].values, following)


def random_prior(stages, size, seed=0):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(stages, size, size)) / np.sqrt(size) + np.eye(size)
    return GaussianPrior(rng.normal(size=(stages, size)), roots, 0.3 + rng.random(stages))


def by_hand(prior, mdp, state, action, reward, following, luck, lookahead=1.0):
    """TSRL's backward pass as it is written, one stage and one row after the other."""
    stages, size = prior.mean.shape
    theta = np.zeros((stages + 1, size))
    for h in reversed(range(stages)):
        seen = np.flatnonzero(mdp.stage[state] == h)
        design = mdp.features[state[seen], action[seen]]
        target = np.empty(len(seen))
        for i, row in enumerate(seen):
            after = following[row]
            q = [mdp.features[after, a] @ theta[h + 1] for a in np.flatnonzero(mdp.available[after])]
            target[i] = reward[row] + (0 if mdp.terminal[after] else lookahead * (mdp.discount or 1) * max(q))
        inverse = np.linalg.inv(prior.factor[h] @ prior.factor[h].T)
        precision = inverse + design.T @ design / prior.noise[h] ** 2
        mean = np.linalg.solve(precision, inverse @ prior.mean[h] + design.T @ target / prior.noise[h] ** 2)
        theta[h] = mean + luck(h, precision)
    return theta[:-1]


@pytest.mark.parametrize(
    "mdp",
    [pytest.param(SHOP, marks=pytest.mark.slow), LAYERS, LAYERS.replace(discount=0.7)],
    ids=["shop", "layers", "discounted"],
)
@pytest.mark.parametrize("lookahead", [1.0, 0.0])
def test_posterior_means_are_those_of_the_formulas(mdp, lookahead):
    log, steps = steps_of(mdp.replace(reward=REWARDS[mdp.name]), 200)
    prior = random_prior(mdp.horizon, mdp.features.shape[-1])
    with jax.enable_x64(True):
        rows = rows_of(mdp, log)
        nothing = np.zeros(prior.mean.shape)
        found, _ = backward(prior, mdp.problem, rows, whitened(prior, mdp.problem, rows), nothing, lookahead)
        told = task_statistics(prior, mdp.problem, rows, lookahead)
        mean, covariance = condition(prior, told.gram, told.score)
        told = jax.tree.map(np.asarray, told)
    expected = by_hand(prior, mdp, *steps, lambda h, precision: 0.0, lookahead)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mean, expected, rtol=1e-9, atol=1e-9)
    for h in range(mdp.horizon):
        inverse = np.linalg.inv(prior.factor[h] @ prior.factor[h].T) + told.gram[h] / prior.noise[h] ** 2
        np.testing.assert_allclose(covariance[h], np.linalg.inv(inverse), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mdp", [SHOP, LAYERS, LAYERS.replace(discount=0.7)], ids=["shop", "layers", "discounted"])
def test_what_a_task_leaves_behind_by_hand(mdp):
    log, (state, action, reward, following) = steps_of(mdp.replace(reward=REWARDS[mdp.name]), 120)
    prior = random_prior(mdp.horizon, mdp.features.shape[-1])
    with jax.enable_x64(True):
        rows = rows_of(mdp, log)
        told = jax.tree.map(np.asarray, task_statistics(prior, mdp.problem, rows))
        mean = by_hand(prior, mdp, state, action, reward, following, lambda h, precision: 0.0)
    for h in range(mdp.horizon):
        square, carry, count = 0.0, 0.0, 0
        for s, a, r, t in zip(state, action, reward, following, strict=True):
            if mdp.stage[s] != h:
                continue
            value, best, rate = 0.0, np.zeros(mdp.features.shape[-1]), mdp.discount or 1
            if not mdp.terminal[t]:
                q = np.where(mdp.available[t], mdp.features[t] @ mean[h + 1], -np.inf)
                value, best = rate * q.max(), rate * mdp.features[t, q.argmax()]
            square, carry = square + (r + value) ** 2, carry + np.outer(mdp.features[s, a], best)
            count += 1
        assert told.count[h] == count
        np.testing.assert_allclose(told.square[h], square, rtol=1e-9)
        np.testing.assert_allclose(told.carry[h], carry, rtol=1e-9, atol=1e-9)


def test_draws_have_the_posteriors_covariance():
    prior = random_prior(1, 5)
    one = GaussianPrior(prior.mean[0], prior.factor[0], prior.noise[0])
    design = np.random.default_rng(1).normal(size=(3, 5))  # fewer rows than weights
    along = design @ one.factor / one.noise
    with jax.enable_x64(True):
        luck = jax.random.normal(jax.random.key(0), (40_000, 5))
        drawn = np.asarray(posterior_draw(one, along.T @ along, np.zeros(5), luck))
        _, covariance = condition(prior, (design.T @ design)[None], (design.T @ design @ one.mean)[None])
    assert_means(drawn, one.mean)
    z = np.linalg.solve(np.linalg.cholesky(covariance[0]), (drawn - one.mean).T)
    products = z[:, None] * z[None]
    error = np.sqrt(np.where(np.eye(5), 2, 1) / products.shape[-1])
    assert_standard_normal((products.mean(-1) - np.eye(5)) / error)


def test_tsrl_with_prior_identity_over_ridge_is_rlsvi_draw_for_draw():
    """By hand: RLSVI with the agent's own random numbers chooses what the agent chose, episode after episode.

    One of them keeps a row for each step and the other for each pair, which is the same.
    """
    ridge, noise = 0.5, 0.2
    agents = {
        "RLSVI": bm.agents.rlsvi(ridge=ridge, noise=noise, episodes=80),
        "TSRL": bm.agents.tsrl(gaussian_q(SHOP, covariance=1 / ridge, noise=noise)),
    }
    result = bm.simulate(SHOP, agents, steps=240, replicates=3, seed=5)
    first, second = (result.sel(agent=name).to_dataset().drop_vars("agent") for name in agents)
    for name in ("action", "state", "reward", "regret"):
        np.testing.assert_array_equal(first[name], second[name])

    prior = GaussianPrior(np.zeros((3, 20)), np.stack([np.eye(20)] * 3) * ridge**-0.5, np.full(3, noise))
    state, action = (first[name].values[0] for name in ("state", "action"))
    reward = first["reward"].values[0]
    starts = np.flatnonzero(SHOP.stage[state] == 0)
    end = SHOP.num_states - 1
    following = np.append(state[1:], end)
    following[starts[1:] - 1] = end
    with jax.enable_x64(True):
        # The keys that simulate gives its agent, as its module lays them out.
        replicate = jax.random.split(jax.random.fold_in(jax.random.key(5), 0), 3)[0]
        keys = jax.random.split(jax.random.split(replicate, 4)[0], (240, 3))
        lucks = [np.asarray(jax.random.normal(keys[start, 0], (3, 20))) for start in starts]
    for number, start in enumerate(starts[:60]):
        past = slice(0, start)

        def luck(h, precision, number=number):
            # theta = mean + L C'^-1 z with C C' = I + L'A'A L / noise^2: here L is a multiple of the identity.
            inner = np.linalg.cholesky(precision / ridge)
            return ridge**-0.5 * np.linalg.solve(inner.T, lucks[number][h])

        theta = by_hand(prior, SHOP, state[past], action[past], reward[past], following[past], luck)
        for step in range(start, start + 3):
            h, s = SHOP.stage[state[step]], state[step]
            q = np.where(SHOP.available[s], SHOP.features[s] @ theta[h], -np.inf)
            assert q.argmax() == action[step]


@pytest.mark.slow
@pytest.mark.parametrize("mdp", [SHOP, LAYERS], ids=["shop", "layers"])
def test_a_row_a_pair_or_a_row_a_step_is_the_same(mdp):
    prior = gaussian_q(mdp, covariance=2.0, noise=0.3)
    agents = {"pairs": bm.agents.tsrl(prior), "steps": bm.agents.tsrl(prior, episodes=100)}
    result = bm.simulate(mdp, agents, steps=25 * mdp.horizon, replicates=4, seed=2)
    np.testing.assert_array_equal(*result["action"].values)


def test_greedy_boltzmann_and_epsilon():
    prior = gaussian_q(SHOP, covariance=2.0, noise=0.3)
    mean = bm.agents.lsvi(prior)
    result = bm.simulate(SHOP, {"mean": mean, "0": bm.agents.lsvi(prior, epsilon=0.0)}, steps=90, replicates=2)
    np.testing.assert_array_equal(*result["action"].values)
    belief = mean.make_belief(SHOP)

    def rules_with(options):
        return mean.rules(belief, jax.tree.map(jax.numpy.asarray, SHOP.problem), mean.options | options)

    policy_of = jax.jit(lambda options, state: rules_with(options).policy(state))
    chosen_by = jax.jit(
        lambda options, keys, state, s: jax.vmap(partial(rules_with(options).act, state=state, s=s))(keys)
    )
    with jax.enable_x64(True):
        state = jax.jit(lambda key: rules_with({}).init(key))(jax.random.key(0))
        theta = np.random.default_rng(1).normal(size=state.theta.shape)
        state = jax.tree.map(np.asarray, state._replace(theta=theta))
        for options in ({"epsilon": 0.3, "temperature": 0.0}, {"epsilon": 0.0, "temperature": 0.2}):
            policy = np.asarray(policy_of(options, state))
            np.testing.assert_allclose(policy.sum(-1), 1)
            assert (policy[~SHOP.available] == 0).all()
            for s in np.array([0, 3, 20]):
                keys = jax.random.split(jax.random.key(2), 20_000)
                chosen = chosen_by(options, keys, state, s)
                likely = (policy[s] > 1e-3) & (policy[s] < 1 - 1e-3)
                if likely.any():
                    assert_means(np.eye(4)[np.asarray(chosen)][:, likely], policy[s, likely])
                q = SHOP.features[s] @ theta[SHOP.stage[s]]
                if options["temperature"]:
                    weight = np.where(SHOP.available[s], np.exp(q / 0.2), 0)
                    np.testing.assert_allclose(policy[s], weight / weight.sum(), rtol=1e-9)


def test_a_bandit_does_not_look_ahead():
    """Where the first step earns nothing but leads to where the second does, it has no reason to take it."""
    transition = np.zeros((4, 2, 2))
    transition[..., 0] = 1
    successor = np.array([[[1, 1], [2, 2]], [[3, 3]] * 2, [[3, 3]] * 2, [[3, 3]] * 2])
    reward = np.zeros((4, 2))
    reward[0, 0], reward[2] = 0.1, 1.0
    fork = bm.MDP(
        transition=transition,
        successor=successor,
        reward=reward,
        discount=None,
        stage=[0, 1, 1, 2],
        terminal=[False, False, False, True],
        features=np.eye(8).reshape(4, 2, 8),
    )
    prior = gaussian_q(fork, covariance=1.0, noise=0.1)
    result = bm.simulate(
        fork, {"Q": bm.agents.tsrl(prior), "bandit": bm.agents.bandit_ts(prior)}, steps=200, replicates=4
    )
    first = result["action"].values.reshape(2, 4, 100, 2)[..., 0]
    assert (first[0, :, 50:] == 1).mean() > 0.95
    assert (first[1, :, 50:] == 0).mean() > 0.95


def test_beliefs_at_checkpoints_are_draws_of_theta():
    agent = bm.agents.tsrl(gaussian_q(SHOP, covariance=2.0, noise=0.3))
    result = bm.simulate(SHOP, {"TSRL": agent}, steps=60, replicates=2, checkpoints=[30, 60], checkpoint_draws=50)
    theta = result["beliefs/TSRL/posterior"]["theta"]
    assert theta.dims == ("chain", "draw", "checkpoint", "replicate", "stage", "feature")
    assert theta.shape == (1, 50, 2, 2, 3, 20)
    assert float(theta.std("draw").isel(checkpoint=1).mean()) < float(theta.std("draw").isel(checkpoint=0).mean())


def test_what_is_not_linear_and_normal_is_refused():
    import numpyro
    import numpyro.distributions as dist
    from jax import numpy as jnp

    def model(prior=None, expected=None, likelihood=None):
        def run(data):
            with numpyro.plate("stage", 3, dim=-1):
                theta = numpyro.sample("theta", prior or dist.Normal(np.zeros(20), 1.0).to_event(1))
            with data.rows():
                mean = jnp.sum(data.features * theta[data.stage], -1)
                mean = expected(mean) if expected else mean
                numpyro.sample("target", (likelihood or (lambda m: dist.Normal(m, 0.5)))(mean), obs=data.target)

        return run

    np.testing.assert_allclose(read_gaussian(model(), 3, 20).noise, 0.5, rtol=1e-9)
    np.testing.assert_allclose(read_gaussian(model(), 3, 20).covariance, np.stack([np.eye(20)] * 3))
    for bad, words in (
        (model(prior=dist.Laplace(np.zeros(20), 1.0).to_event(1)), "prior of 'theta' is Laplace"),
        (model(expected=jnp.tanh), "targets of stage 0 are not Normal"),
        (model(likelihood=lambda m: dist.StudentT(4.0, m, 0.5)), "targets of stage 0 are not Normal"),
        (model(likelihood=lambda m: dist.Normal(m, 0.5 + 0.1 * jnp.abs(m))), "targets of stage 0 are not Normal"),
    ):
        with pytest.raises(NotConjugate, match=words):
            read_gaussian(bad, 3, 20)
    with pytest.raises(ValueError, match=r"theta has shape \(3, 20\); expected \[stage, feature\] = \(4, 20\)"):
        read_gaussian(model(), 4, 20)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="gaussian_q needs episodes of a fixed length"):
        gaussian_q(bm.environments.riverswim(6))
    with pytest.raises(ValueError, match=r"covariance\[1\] is not positive definite: its smallest eigenvalue is -1"):
        gaussian_q(SHOP, covariance=np.stack([np.eye(20), -np.eye(20), np.eye(20)]))
    skew = np.eye(20) + np.triu(np.ones((20, 20)), 1) / 100
    with pytest.raises(ValueError, match=r"covariance\[0\] is not symmetric"):
        gaussian_q(SHOP, covariance=skew)
    with pytest.raises(ValueError, match=r"widening\[1\] = -1; it must be at least 0"):
        gaussian_q(SHOP, widening=[0.0, -1.0, -5.0])
    with pytest.raises(ValueError, match=r"covariance has shape \(20,\); give a number"):
        gaussian_q(SHOP, covariance=np.ones(20))
    with pytest.raises(ValueError, match="no state is of stage 1"):
        LAYERS.replace(stage=LAYERS.stage + (LAYERS.stage > 0))
    with pytest.raises(ValueError, match="whose objective is episode; that of riverswim-6 is discounted"):
        bm.simulate(bm.environments.riverswim(6), {"A": bm.agents.rlsvi()}, steps=10)
    with pytest.raises(ValueError, match="has no features"):
        q_belief(gaussian_q(SHOP), bm.unroll(bm.environments.riverswim(6), 3))
    with pytest.raises(
        ValueError, match=r"room for 10 episodes \(of at least 3 steps each\); steps is 60: make it with episodes=20"
    ):
        bm.simulate(SHOP, {"A": bm.agents.rlsvi(episodes=10)}, steps=60)


def test_room_is_counted_in_the_shortest_episodes_there_may_be():
    assert shortest_episode(SHOP.problem) == 3
    assert shortest_episode(bm.unroll(bm.environments.riverswim(6), 4).problem) == 4
    assert shortest_episode(bm.unroll(bm.environments.frozen_lake(), 8).problem) == 1
