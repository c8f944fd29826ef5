"""Posterior sampling, bonuses and merged samples: identities between agents, formulas, and what optimism promises."""

import jax
import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayesmdp as bm
from bayesmdp import agents
from bayesmdp.agents import Agent
from bayesmdp.agents.boss import merged
from bayesmdp.agents.families.empirical_mdp import experience
from bayesmdp.agents.families.periods import every, first_reaches
from bayesmdp.agents.families.planning import Decision, planning_rules, sampling_rules
from bayesmdp.models import dirichlet_transitions
from bayesmdp.planning import Draws, Mean, believed_draws, policy_iteration
from bayesmdp.posterior import exact_belief
from bayesmdp.problems.world import Step
from tests import oracles
from tests.statistical import assert_p_value

RIVER = bm.environments.riverswim(6)
PRIOR = dirichlet_transitions(RIVER, concentration=1 / 6)
SHARED = ["reward", "regret", "state", "action", "period", "bound", "solves", "failures"]


def run(**named):
    return bm.simulate(RIVER, named, steps=400, replicates=3, seed=2)


def assert_same(result):
    first, second = (result.to_dataset()[SHARED].isel(agent=i).drop_vars("agent") for i in (0, 1))
    xr.testing.assert_identical(first, second)


@pytest.mark.parametrize("episode", [20, pytest.param(None, marks=pytest.mark.slow)])
def test_tseb_without_a_bonus_is_posterior_sampling(episode):
    assert_same(
        run(tseb=agents.tseb(PRIOR, reward_weight=1.0, episode=episode), psrl=agents.psrl(PRIOR, episode=episode))
    )


def sample_at_boss_times(belief, problem, options):
    return sampling_rules(belief, problem, first_reaches(options["tries"]))


def test_boss_with_one_sample_is_posterior_sampling_at_its_times():
    psrl = Agent("psrl", sample_at_boss_times, lambda mdp: exact_belief(PRIOR, mdp, num_draws=1), {"tries": 4})
    assert_same(run(boss=agents.boss(PRIOR, models=1, tries=4), psrl=psrl))


def test_without_a_bonus_bayesian_agents_are_certainty_equivalent():
    assert_same(run(beb=agents.beb(PRIOR, scale=0.0), variance=agents.variance_bonus(PRIOR, transition_scale=0.0)))


def seen_state(agent, mdp, counts):
    """The agent after so many transitions [state, action, outcome], and its rules."""
    rules = agent.rules(agent.make_belief(mdp), mdp.problem, agent.options)
    observe, state = jax.jit(rules.observe), rules.init(jax.random.key(0))
    for s, a, o in np.argwhere(counts > 0):
        after = o if mdp.successor is None else mdp.successor[s, a, o]
        reward = mdp.reward[s, a, o % mdp.reward.shape[-1]]
        step = Step(*map(np.int32, (s, a, o, after)), np.float64(reward), np.bool_(False))
        for _ in range(int(counts[s, a, o])):
            state = observe(jax.random.key(1), state, step)
    return rules, rules.begin(jax.random.key(2), state)


def some_counts(mdp=RIVER, seed=0, tries=5):
    """Counts [state, action, outcome] of possible transitions, with some pairs never tried."""
    rng = np.random.default_rng(seed)
    kernel = mdp.transition.reshape(-1, mdp.num_outcomes)
    number = rng.integers(0, tries + 1, len(kernel))
    return np.array([rng.multinomial(n, p) for n, p in zip(number, kernel, strict=True)]).reshape(mdp.transition.shape)


def optimal_value(transition, reward, discount):
    """By iteration; a row may be of zeros, after which nothing comes."""
    value = np.zeros(len(transition))
    for _ in range(2_000):
        value = (reward + discount * transition @ value).max(-1)
    return value


@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_mbie_eb_plans_for_what_was_seen(scale):
    counts = some_counts()
    n = counts.sum(-1)
    assert (n == 0).any() and (n > 0).any()
    with jax.enable_x64(True):
        _, state = seen_state(agents.mbie_eb(PRIOR, scale=scale), RIVER, counts)
    empirical = counts / np.maximum(n, 1)[..., None]
    reward = np.where(n > 0, RIVER.reward[..., 0] + scale / np.sqrt(np.maximum(n, 1)), 1 / 0.05)
    value = optimal_value(empirical, reward, 0.95)
    np.testing.assert_allclose(state.value, value, rtol=0, atol=1e-9)
    q = reward + 0.95 * empirical @ value
    assert (q[np.arange(6), state.policy] >= q.max(-1) - 1e-9).all()


def test_rmax_knows_a_pair_after_so_many_tries():
    counts = some_counts(tries=6)
    known = counts.sum(-1) >= 3
    with jax.enable_x64(True):
        _, state = seen_state(agents.rmax(PRIOR, tries=3, max_reward=2.0), RIVER, counts)
    empirical = np.where(known[..., None], counts / np.maximum(counts.sum(-1), 1)[..., None], 0)
    reward = np.where(known, RIVER.reward[..., 0], 2 / 0.05)
    np.testing.assert_allclose(state.value, optimal_value(empirical, reward, 0.95), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(state.account["known"], known)


@pytest.mark.parametrize("make", [agents.rmax, agents.mbie_eb])
def test_what_is_not_known_is_worth_no_less_than_an_end(make):
    """With rewards of -1 a step an end is worth more than going on for ever, which V_max must not forget."""
    transition = np.zeros((3, 2, 3))
    transition[0, [0, 1], [2, 1]] = transition[1:, :, 2] = 1
    routes = bm.MDP(
        transition=transition, reward=[[-5.0, -1], [-1, -1], [0, 0]], discount=0.95, terminal=[2], initial=0
    )
    agent = make(dirichlet_transitions(routes, concentration=1 / 3))
    result = bm.simulate(routes, {"agent": agent}, steps=400, replicates=2)
    late = result.to_dataset().isel(step=slice(-100, None))
    assert (late["action"].where(late["state"] == 0, 1) == 1).all()


def test_the_variance_bonus_needs_a_variance():
    wide = bm.models.normal_gamma_rewards(RIVER, PRIOR)
    with pytest.raises(ValueError, match=r"prior variance of reward\[0, 0\] = inf.*shape=2"):
        run(variance=agents.variance_bonus(wide))
    # Before any data: of a Dirichlet(1/6, ...) row, and a Student's t of variance rate / (weight (shape - 1)).
    known = bm.models.normal_gamma_rewards(RIVER, PRIOR, weight=0.5, shape=2, rate=3.0)
    agent = agents.variance_bonus(known, transition_scale=1.5, reward_scale=0.7)
    with jax.enable_x64(True):
        _, state = seen_state(agent, RIVER, np.zeros(RIVER.transition.shape))
    expected = 1.5 * np.sqrt(6 * (1 / 6) * (5 / 6) / 2) + 0.7 * np.sqrt(3.0 / 0.5)
    np.testing.assert_allclose(state.account["bonus"], np.full((6, 2), expected), rtol=1e-9)


def test_rmax_plans_when_a_pair_becomes_known_and_then_no_more():
    result = bm.simulate(RIVER, {"R-MAX": agents.rmax(PRIOR, tries=3)}, steps=600, replicates=4)
    for replicate in range(4):
        told = result.isel(agent=0, replicate=replicate)
        pair = told["state"].values * 2 + told["action"].values
        tries = np.zeros(12, int)
        expected, period = [], 1
        for p in pair:
            expected.append(period)
            tries[p] += 1
            period += tries[p] == 3
        np.testing.assert_array_equal(told["period"], expected)


def test_the_bonus_of_beb_is_of_prior_and_visits():
    counts = some_counts()
    with jax.enable_x64(True):
        rules, state = seen_state(agents.beb(PRIOR, scale=0.7), RIVER, counts)
        told = [[float(rules.report(state, s, a)["bonus"]) for a in np.arange(2)] for s in np.arange(6)]
    expected = 0.7 / (1 + 1 + counts.sum(-1))
    np.testing.assert_allclose(told, expected, rtol=1e-12)
    mean = (1 / 6 + counts) / (1 + counts.sum(-1))[..., None]
    value = optimal_value(mean, RIVER.reward[..., 0] + expected, 0.95)
    np.testing.assert_allclose(state.value, value, rtol=0, atol=1e-9)


def test_the_variance_bonus_is_that_of_the_rows():
    counts = some_counts()
    with jax.enable_x64(True):
        _, state = seen_state(agents.variance_bonus(PRIOR, transition_scale=1.5), RIVER, counts)
    alpha = 1 / 6 + counts
    rows = stats.dirichlet
    spread = [[rows.var(alpha[s, a]).sum() for a in range(2)] for s in range(6)]
    np.testing.assert_allclose(state.account["bonus"], 1.5 * np.sqrt(spread), rtol=1e-12)


def test_the_bonus_of_tseb_by_its_formula():
    counts = some_counts()
    with jax.enable_x64(True):
        _, state = seen_state(agents.tseb(PRIOR, reward_weight=0.4, bonus_scale=0.01), RIVER, counts)
        _, scaled = seen_state(agents.tseb(PRIOR, reward_weight=0.4), RIVER, counts)
    f = 2 / 0.05 * (0.95 / 0.05 * 1.0 / np.maximum(counts.sum(-1), 1) / 2)  # the river's rewards range over [0, 1]
    np.testing.assert_allclose(state.account["bonus"], 0.01 * f, rtol=1e-12)
    np.testing.assert_allclose(scaled.account["bonus"], 0.05**2 / 4 * f, rtol=1e-12)
    assert float(state.account["mean_bonus"]) == pytest.approx(0.01 * f.mean(), rel=1e-12)


def test_rewards_that_tseb_draws_scatter_about_the_means_as_told():
    """One pair, whose value is its reward / (1 - discount): the spread does not shrink with what was seen."""
    pair = bm.MDP(transition=np.ones((1, 1, 1)), reward=np.full((1, 1), 3.0), discount=0.5)
    prior = dirichlet_transitions(pair)
    quiet, noisy = (agents.tseb(prior, reward_weight=1.0, reward_noise=noise) for noise in (0.0, 2.0))
    belief = quiet.make_belief(pair)
    assert quiet.rules == noisy.rules and noisy.make_belief(pair) == belief

    @jax.jit
    def begin(key, options):
        rules = quiet.rules(belief, pair.problem, options)
        return rules.begin(key, rules.init(key)).value[0]

    for noise, agent in ((0.0, quiet), (2.0, noisy)):
        with jax.enable_x64(True):
            values = np.array([begin(key, dict(agent.options)) for key in jax.random.split(jax.random.key(0), 400)])
        if noise:
            assert_p_value(stats.kstest((values / 2 - 3) / noise, "norm").pvalue, "rewards drawn")
        else:
            np.testing.assert_allclose(values, 6.0, rtol=1e-12)


def test_rewards_drawn_about_unknown_means_scatter_by_both_variances():
    """Reward noise shares no random numbers with the draw of the mean, which would add their standard deviations."""
    pair = bm.MDP(transition=np.ones((1, 1, 1)), reward=np.zeros((1, 1)), discount=0.5, noise=1.0)
    prior = bm.models.normal_rewards(pair, dirichlet_transitions(pair), scale=2.0, noise=1.0)
    agent = agents.tseb(prior, reward_weight=1.0, reward_noise=2.0)
    with jax.enable_x64(True):
        rules = agent.rules(agent.make_belief(pair), pair.problem, agent.options)
        begin = jax.jit(lambda key: rules.begin(key, rules.init(key)).value[0])
        values = np.array([begin(key) for key in jax.random.split(jax.random.key(0), 400)])
    assert_p_value(stats.kstest(values / 2 / np.sqrt(8), "norm").pvalue, "rewards about unknown means")


def test_lambda_rises_and_the_scale_of_the_bonus_is_drawn_as_told():
    still = agents.tseb(PRIOR, reward_weight=0.4, bonus_scale=0.01)
    moving = agents.tseb(PRIOR, reward_weight=0.4, bonus_scale=0.01, decay=0.5, bonus_spread=0.7)
    result = bm.simulate(RIVER, {"still": still, "moving": moving}, steps=4_000, replicates=4, seed=3)
    first = result.to_dataset().isel(step=slice(0, None, 20))
    np.testing.assert_allclose(first["reward_weight"].sel(agent="still"), 0.4, rtol=1e-6)
    expected = 1 - 0.6 / np.sqrt(np.arange(1, 201))
    np.testing.assert_allclose(first["reward_weight"].sel(agent="moving"), np.tile(expected, (4, 1)), rtol=1e-6)
    # f is the largest there is in the first episode of both, so that their ratio is the drawn scale over its mean.
    with jax.enable_x64(True):
        rules = moving.rules(moving.make_belief(RIVER), RIVER.problem, moving.options)
        begin = jax.jit(lambda key: rules.begin(key, rules.init(key)).account["mean_bonus"])
        bonus = np.array([begin(key) for key in jax.random.split(jax.random.key(0), 400)])
    mean = float(first["mean_bonus"].sel(agent="still")[0, 0])
    assert_p_value(stats.kstest((np.log(bonus / mean) + 0.7**2 / 2) / 0.7, "norm").pvalue, "scales of the bonus")


def test_it_plans_for_merged_models_as_boss_does():
    nothing = np.zeros(RIVER.transition.shape)
    with jax.enable_x64(True):
        _, ours = seen_state(agents.tseb(PRIOR, reward_weight=1.0, models=3), RIVER, nothing)
        _, boss = seen_state(agents.boss(PRIOR, models=3), RIVER, nothing)
    np.testing.assert_array_equal(ours.value, boss.value)
    np.testing.assert_array_equal(ours.policy, boss.policy)


@pytest.mark.slow
def test_merged_models_without_a_bonus_are_boss_in_episodes():
    """And one model is what it was: Thompson sampling."""

    def boss_in_episodes(belief, problem, options):
        def prepare(key, state, period):
            believed, sites = belief.draw(key, state)
            draws, wider = merged(believed_draws(sites, problem), problem)
            return Decision(believed, draws, Mean(), {}, wider)

        return planning_rules(belief, problem, prepare, every(options, problem))

    rival = Agent("boss", boss_in_episodes, lambda mdp: exact_belief(PRIOR, mdp, num_draws=3), {"episode": 20})
    assert_same(run(tseb=agents.tseb(PRIOR, reward_weight=1.0, models=3), boss=rival))


def test_experience_is_the_empirical_mdp():
    counts = some_counts()
    with jax.enable_x64(True):
        agent = agents.psrl(PRIOR)
        belief = agent.make_belief(RIVER)
        _, state = seen_state(agent, RIVER, counts)
        seen = experience(belief, state.belief, RIVER.problem)
    np.testing.assert_array_equal(seen.visits, counts.sum(-1))
    tried = counts.sum(-1) > 0
    np.testing.assert_allclose(seen.transition[tried], (counts / np.maximum(counts.sum(-1), 1)[..., None])[tried])
    np.testing.assert_allclose(seen.reward, RIVER.reward[..., 0])


@pytest.mark.parametrize("drawn_rewards", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_merged_mdp_by_enumeration(drawn_rewards, sparse):
    rng = np.random.default_rng(0)
    mdp = bm.MDP(transition=rng.dirichlet(np.ones(3), (3, 2)), reward=rng.random((3, 2)), discount=0.8)
    if sparse:
        mdp = mdp.replace(transition=None, successor=np.broadcast_to([2, 0, 1], (3, 2, 3)))
    drawn = rng.dirichlet(np.ones(3), (4, 3, 2))
    reward = rng.normal(size=(4, 3, 2, 1)) if drawn_rewards else mdp.reward
    with jax.enable_x64(True):
        draws, wider = merged(Draws(drawn, reward), mdp.problem)
        plan = policy_iteration(wider, draws, Mean())
    dense = drawn if mdp.successor is None else oracles.dense_transition(drawn, mdp.successor, 3)
    rewards = np.broadcast_to(reward[..., 0], (4, 3, 2))
    value = np.zeros(3)
    for _ in range(300):
        value = (rewards + 0.8 * dense @ value).max((0, 2))
    np.testing.assert_allclose(plan.value, value, atol=1e-10)
    best = (rewards + 0.8 * dense @ value).max(0).argmax(-1)
    np.testing.assert_array_equal(plan.policy % 2, best)


def many_worlds(number, states=4, tries=8, seed=0):
    """Kernels from Dirichlet(1/states), rewards, and counts of `tries` tries of each pair."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        kernel = rng.dirichlet(np.full(states, 1 / states), (states, 2))
        counts = np.array([[rng.multinomial(tries, row) for row in rows] for rows in kernel])
        yield bm.MDP(transition=kernel, reward=REWARD, discount=0.9), counts


REWARD = np.array([[0.2, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])


def share_optimistic(make, number=60, **options):
    """Share of worlds in which the agent's value is at least the true optimal one, in all states."""
    optimistic, begin = 0, None
    with jax.enable_x64(True):
        for world, counts in many_worlds(number, **options):
            agent = make(dirichlet_transitions(world, concentration=1 / 4))
            if begin is None:
                rules = agent.rules(agent.make_belief(world), world.problem, agent.options)
                begin, blank = jax.jit(rules.begin), rules.init(jax.random.key(0))
            seen = blank.belief._replace(seen=blank.belief.seen.at[:, 0].set(counts.ravel()))
            state = begin(jax.random.key(3), blank._replace(belief=seen))
            truth = optimal_value(world.transition, REWARD, 0.9)
            optimistic += bool((state.value >= truth - 1e-9).all())
    return optimistic, number


@pytest.mark.slow
def test_values_are_optimistic_at_the_rate_promised():
    delta, tries = 0.1, 8
    # Strehl and Littman's beta, and Sorg, Singh and Lewis's by Chebyshev's inequality and a union over the pairs:
    # |(P - mean) V| is at most (V_max / 2) |P - mean|_1, and the latter at most sqrt(S / delta') sqrt(sum Var).
    beta = 1 / 0.1 * np.sqrt(np.log(2 * 8 * tries / delta) / 2)
    scale = 0.9 * (1 / 0.1) / 2 * np.sqrt(4 * 8 / delta)
    for make in (
        lambda prior: agents.mbie_eb(prior, scale=beta),
        lambda prior: agents.variance_bonus(prior, transition_scale=scale),
        lambda prior: agents.rmax(prior, tries=tries + 1),
    ):
        kept, number = share_optimistic(make, tries=tries)
        assert_p_value(stats.binomtest(kept, number, 1 - delta, alternative="less").pvalue, "optimism")
    # And more samples are more optimistic; without any bonus there is none.
    shares = [share_optimistic(lambda prior, k=k: agents.boss(prior, models=k), tries=tries)[0] for k in (1, 20)]
    plain, number = share_optimistic(lambda prior: agents.mbie_eb(prior, scale=0.0), tries=tries)
    assert shares[1] > 0.8 * number > shares[0]
    assert plain < 0.8 * number


def bandit():
    """One state, two actions, and a reward of 0 or 1 as the outcome: Bernoulli arms."""
    return bm.MDP(
        successor=np.zeros((1, 2, 2), int), reward=np.broadcast_to([0.0, 1.0], (1, 2, 2)), discount=0.9, name="bandit"
    )


def bandit_value(index=None, horizon=45, discount=0.9):
    """Bayes value of two uniform arms under the larger index(mean, tries), or of the Bayes-adaptive optimum."""
    value = None
    for depth in range(horizon, -1, -1):
        wins, losses, others = np.meshgrid(*[np.arange(depth + 1)] * 3, indexing="ij")
        rest = depth - wins - losses - others
        left, right = wins + losses, np.where(rest >= 0, others + rest, 0)
        mean, other = (wins + 1) / (left + 2), (others + 1) / (right + 2)
        q = [mean, np.where(rest >= 0, other, 0)]
        if value is not None:
            q[0] = (
                mean * (1 + discount * value[wins + 1, losses, others])
                + (1 - mean) * discount * (value[wins, losses + 1, others])
            )
            q[1] = (
                other * (1 + discount * value[wins, losses, others + 1])
                + (1 - other) * discount * (value[wins, losses, others])
            )
        chosen = q[0] >= q[1] if index is None else index(mean, left) >= index(other, right) - 1e-12
        best = np.where(chosen, *q)
        value = np.where(rest >= 0, best, 0)
    return float(value[0, 0, 0])


def test_beb_is_close_to_the_bayes_adaptive_optimum():
    # First that the agent's choice is that of the index, on beliefs it would meet.
    mdp = bandit()
    agent = agents.beb(dirichlet_transitions(mdp, np.ones((1, 2, 2))), scale=0.5)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        rules = agent.rules(agent.make_belief(mdp), mdp.problem, agent.options)
        begin, blank = jax.jit(rules.begin), rules.init(jax.random.key(0))
        for _ in range(40):
            counts = rng.integers(0, 6, (2, 2))
            belief = blank.belief._replace(seen=blank.belief.seen.at[:, 0].set(counts.ravel()))
            chosen = begin(jax.random.key(1), blank._replace(belief=belief)).policy[0]
            index = (counts[:, 1] + 1) / (counts.sum(1) + 2) + 0.5 / (3 + counts.sum(1))
            assert index[chosen] >= index.max() - 1e-12
    optimum = bandit_value()
    value = {beta: bandit_value(lambda mean, n, beta=beta: mean + beta / (3 + n)) for beta in (0.0, 0.5, 16.0)}
    assert optimum - 1e-3 < value[0.5] <= optimum + 1e-12
    # Neither no bonus nor one near the theorem's 2 H^2 is as good.
    assert optimum - value[0.0] > 50 * (optimum - value[0.5])
    assert optimum - value[16.0] > 500 * (optimum - value[0.5])
