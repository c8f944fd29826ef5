"""Agents that look ahead against the exact Bayes-optimal value, hyperstate by hyperstate."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.agents.families.lookahead import LookaheadState, lookahead_rules
from bayesmdp.models import beta_bernoulli_rewards, dirichlet_transitions, tied_moves
from bayesmdp.planning import Draws
from bayesmdp.planning.history_search import Rollout, history_search
from bayesmdp.posterior.beliefs.fresh_draws import Sums
from bayesmdp.problems.world import Step

TOGETHER = 64
compiled_search = jax.jit(history_search, static_argnames="depth")

# A problem, its prior's concentrations, the tolerance of its exact value, and steps to a horizon of as small a rest.
BANDIT = (bm.environments.bernoulli_bandit(discount=0.7), np.ones((1, 2, 2)), 0.03, 12)
CHAIN = (bm.environments.generalised_chain(2, 2, discount=0.6), np.ones((2, 2, 2)), 0.2, 10)


def rule_of(agent, mdp, alpha):
    """What an agent does in given hyperstates: a policy for `bayes_value`."""
    belief = agent.make_belief(mdp)

    @jax.jit
    def chosen(keys, counts, states):
        rules = agent.rules(belief, jax.tree.map(jnp.asarray, mdp.problem), agent.options)
        begun = rules.init(jax.random.key(0))

        def choose(inputs):
            key, seen, state = inputs
            known = begun._replace(belief=Sums(jnp.stack([seen.ravel(), jnp.zeros(seen.size)], -1)))
            return rules.act(key, known, state)

        return jax.lax.map(choose, (keys, counts, states))

    def policy(state, concentration, step):
        actions = []
        for begin in range(0, len(state), TOGETHER):
            # As many at a time, so that one program serves.
            which = np.minimum(np.arange(begin, begin + TOGETHER), len(state) - 1)
            with jax.enable_x64(True):
                keys = jax.random.split(jax.random.fold_in(jax.random.key(begin), step), TOGETHER)
                found = chosen(keys, jnp.asarray(concentration[which] - alpha), jnp.asarray(state[which], jnp.int32))
            actions.append(np.asarray(found)[: len(state) - begin])
        return np.concatenate(actions)

    return policy


def loss(make, case, **options):
    """What is lost of the Bayes-optimal value, as a share of it."""
    mdp, alpha, tolerance, depth = case
    agent = make(dirichlet_transitions(mdp, alpha), depth=depth, **options)
    best, reached = (
        float(each.value[0])
        for each in (
            bm.bayes_optimal(mdp, alpha, tolerance=tolerance),
            bm.bayes_value(mdp, rule_of(agent, mdp, alpha), alpha, tolerance=tolerance),
        )
    )
    return (best - reached) / best


@pytest.mark.parametrize("case", [BANDIT, pytest.param(CHAIN, marks=pytest.mark.slow)], ids=["bandit", "chain"])
def test_bamcp_comes_within_two_percent_of_optimal_and_nearer_with_more_simulations(case):
    few, more = (loss(bm.agents.bamcp, case, simulations=number, exploration=1.0) for number in (8, 250))
    assert -1e-9 <= more < min(0.02, few / 2)


def decision_losses(make, depth, **options):
    """What first decisions over a few steps lose of the best, as shares of it, for beliefs after some random counts."""
    mdp, prior = bm.environments.generalised_chain(2, 2, discount=0.9), np.ones((2, 2, 2))
    counts = np.random.default_rng(4).integers(0, 5, (40, 2, 2, 2))
    agent = make(dirichlet_transitions(mdp, prior), depth=depth, **options)
    chosen = rule_of(agent, mdp, prior)(np.zeros(len(counts), int), prior + counts, 0)
    worth = np.array([bm.bayes_optimal(mdp, prior + each, horizon=depth).q.values[0] for each in counts])
    return 1 - worth[np.arange(len(worth)), chosen] / worth.max(-1)


def test_bfs3_decides_nearly_best_over_its_depth_and_better_with_more_outcomes():
    """Three steps deep all that may happen is visited, and what remains is the chance of the C outcomes."""
    few, more = (
        decision_losses(bm.agents.bfs3, 3, trials=trials, branching=outcomes)
        for trials, outcomes in ((2, 1), (150, 2_000))
    )
    assert more.mean() < few.mean() / 10 and more.max() < 0.02


def test_sparse_sampling_decides_nearly_best_over_its_depth_and_better_with_more_outcomes():
    few, more = (decision_losses(bm.agents.sparse_sampling, 3, branching=outcomes) for outcomes in (1, 40))
    assert more.mean() < few.mean() / 4 and more.mean() < 0.005
    assert decision_losses(bm.agents.sparse_sampling, 1, branching=1).max() < 1e-12  # the mean reward is exact


@pytest.mark.parametrize(
    ("make", "options"),
    [
        pytest.param(bm.agents.bamcp, {"simulations": 3_000, "depth": 4, "exploration": 1.0}, marks=pytest.mark.slow),
        (bm.agents.bfs3, {"trials": 100, "branching": 150, "depth": 4}),
        pytest.param(bm.agents.sparse_sampling, {"branching": 30, "depth": 3}, marks=pytest.mark.slow),
    ],
    ids=["bamcp", "bfs3", "sparse_sampling"],
)
def test_what_can_be_learnt_is_worth_less_than_it_pays_now(make, options):
    """An arm of mean .5 that one pull nearly tells, beside one known to pay .6: only who does not learn takes that."""
    arms, prior = bm.environments.bernoulli_bandit(discount=0.99), np.array([[[0.2, 0.2], [400.0, 600.0]]])
    best = bm.bayes_optimal(arms, prior, horizon=options["depth"])
    assert best.policy.values[0] == 0
    agent = make(dirichlet_transitions(arms, prior), **options)
    chosen = rule_of(agent, arms, prior)(np.zeros(60, int), np.broadcast_to(prior, (60, *prior.shape)), 0)
    assert (chosen == 0).mean() > 0.8


def test_bfs3_looks_where_it_hopes_for_most():
    """The second action pays more at once and nothing after, which five trials find out, and no search of the other."""
    pit = bm.MDP(
        reward=[[[0.6], [0.7]], [[0.0], [0.0]]],
        successor=[[[0], [1]], [[1], [1]]],
        discount=0.9,
        actions=("stay", "jump"),
    )
    agent = bm.agents.bfs3(dirichlet_transitions(pit), trials=5, branching=1, depth=6)
    assert (rule_of(agent, pit, np.ones((2, 2, 1)))(np.zeros(8, int), np.ones((8, 2, 2, 1)), 0) == 0).all()


def test_a_rollout_is_in_the_mdp_of_its_simulation():
    """Of two MDPs, each with a draw, one pays for ever where its step led and the other where the other's did."""
    kernels = np.zeros((2, 3, 1, 3))
    kernels[0, :, 0] = np.eye(3)[[1, 1, 0]]
    kernels[1, :, 0] = np.eye(3)[[2, 0, 2]]
    game = bm.MDP(reward=[[0.0], [1.0], [2.0]], transition=kernels[0], discount=0.5)
    # Whichever comes first, the root's mean is that of 0 + 1/2 + 1/4 and of 0 + 2/2 + 2/4.
    for order in (kernels, kernels[::-1]):
        assert searched(game, order, exploration=1.0, depth=3).q[0] == pytest.approx((0.75 + 1.5) / 2, abs=1e-12)


def test_rollouts_follow_their_policy():
    """Of two simulations each leaves the tree with its first step, and then does what the rollout policy does."""
    chain = bm.environments.chain(slip=0.0)
    kernels = np.broadcast_to(chain.transition, (2, *chain.transition.shape))
    # Always back earns 2 a step, and the first simulation begins with a step forward, which earns nothing.
    with jax.enable_x64(True):
        problem = jax.tree.map(jnp.asarray, chain.problem)
        back = Rollout(jnp.asarray(np.tile([0.0, 1.0], (5, 1))), jnp.asarray(1e-12))
        found = compiled_search(
            jax.random.key(0),
            problem,
            Draws(jnp.asarray(kernels), problem.reward),
            jnp.int32(0),
            back,
            exploration=jnp.asarray(0.0),
            depth=4,
        )
        q = np.asarray(found.q)
    g = 0.95
    np.testing.assert_allclose(q, [2 * (g + g**2 + g**3), 2 * (1 + g + g**2 + g**3)], atol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(bm.agents.bamcp, marks=pytest.mark.slow),
        pytest.param(bm.agents.bfs3, marks=pytest.mark.slow),
        bm.agents.sparse_sampling,
    ],
)
def test_where_nothing_is_in_sight_any_action_is_taken(make):
    field = bm.environments.generalised_grid()
    agent = make(dirichlet_transitions(field), depth=2)
    chosen = rule_of(agent, field, np.ones(field.sizes))(np.zeros(60, int), np.ones((60, *field.sizes)), 0)
    assert (np.bincount(chosen, minlength=4) > 4).all()


def test_a_tree_that_is_too_large_is_refused():
    arms = bm.environments.bernoulli_bandit([0.5] * 10)
    agent = bm.agents.sparse_sampling(dirichlet_transitions(arms), branching=5, depth=5)
    with pytest.raises(ValueError, match=r"a tree of depth 5 .* has 6,250,000 nodes, more than 100,000"):
        bm.simulate(arms, {"sparse": agent}, steps=10, replicates=1)


def searched(mdp, kernels, *, exploration, depth):
    """What a search from the first state finds, with rollouts that take half their actions at random."""
    with jax.enable_x64(True):
        problem = jax.tree.map(jnp.asarray, mdp.problem)
        ahead = Rollout(jnp.zeros(problem.available.shape), jnp.asarray(0.5))
        draws, constant = Draws(jnp.asarray(kernels), problem.reward), jnp.asarray(exploration)
        found = compiled_search(
            jax.random.key(2), problem, draws, jnp.int32(0), ahead, exploration=constant, depth=depth
        )
        return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("depth", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), 3])
def test_root_values_are_the_exact_ones_of_a_short_horizon(depth):
    """With every action tried much, a search's values are those of dynamic programming, within its noise."""
    mdp, alpha, number = bm.environments.generalised_chain(2, 2, discount=0.8), np.full((2, 2, 2), 0.7), 40_000
    gamma = np.random.default_rng(1).standard_gamma(alpha, (number, 2, 2, 2))
    exact = bm.bayes_optimal(mdp, alpha, horizon=depth).q.values[0]
    found = searched(mdp, gamma / gamma.sum(-1, keepdims=True), exploration=60.0, depth=depth)
    assert found.visits.min() > 4_000 and found.visits.sum() == number
    np.testing.assert_allclose(found.q, exact, rtol=0.03)


def test_a_search_ends_with_the_episode_and_takes_available_actions():
    """The first action ends the episode for 3; the second earns .5 and stays; the third would pay, but is not there."""
    game = bm.MDP(
        transition=[[[0, 1.0], [1.0, 0], [0, 1.0]], [[0, 1.0]] * 3],
        reward=[[3.0, 0.5, 9.0], [7.0, 7.0, 7.0]],
        discount=0.5,
        terminal=[1],
        available=[[True, True, False], [True] * 3],
    )
    kernels = np.broadcast_to(game.transition, (400, 2, 3, 2))
    found = searched(game, kernels, exploration=1.0, depth=12)
    assert found.q[0] == pytest.approx(3.0, abs=1e-12)
    # At best it is followed by the first action, and at worst by itself for ever.
    assert 1 - 0.5**12 < found.q[1] <= 0.5 + 0.5 * 3 and found.q[2] == -np.inf and found.visits[2] == 0


def test_rewards_must_be_known():
    river = bm.environments.frozen_lake()
    prior = beta_bernoulli_rewards(river, dirichlet_transitions(river))
    with pytest.raises(ValueError, match="rewards as known, and the prior has a site 'reward'"):
        bm.simulate(river, {"BAMCP": bm.agents.bamcp(prior)}, steps=10, replicates=1)


def test_a_search_of_fewer_simulations_than_actions_is_refused():
    """It would take the first actions alone, whatever it learns."""
    arms = bm.environments.bernoulli_bandit([0.1, 0.1, 0.9])
    prior = dirichlet_transitions(arms, [1.0, 1.0])
    with pytest.raises(ValueError, match=r"simulations=2 cannot try each of the 3 actions"):
        bm.simulate(arms, {"A": bm.agents.bamcp(prior, simulations=2)}, steps=10, replicates=1)


def test_beliefs_that_are_updated_in_a_tree_need_a_closed_form():
    lake = bm.environments.frozen_lake()
    ice = tied_moves(lake, bm.environments.slips())
    for make in (bm.agents.bfs3, bm.agents.sparse_sampling):
        with pytest.raises(ValueError, match=r"tied_moves has no closed form.*use bamcp"):
            bm.simulate(lake, {"A": make(ice)}, steps=10, replicates=1)


def test_its_policy_is_what_it_last_did_and_each_step_is_charged_anew():
    """Before that it is the first action available; `worth` has no part in it."""
    river = bm.environments.riverswim(6)
    available = river.available.copy()
    available[2, 0] = False
    nothing = SimpleNamespace(init=lambda key: (), observe=lambda key, state, step: state)
    rules = lookahead_rules(nothing, river.replace(available=available).problem, lambda *_: np.zeros(2))
    state = rules.init(jax.random.key(0))
    assert state.last.tolist() == [0, 0, 1, 0, 0, 0]
    for s, a in ((0, 1), (4, 1), (0, 0), (3, 1)):
        step = Step(*map(np.int32, (s, a, s, s)), np.float64(0.0), np.bool_(False))
        state = rules.observe(jax.random.key(0), state, step)
        assert rules.ends(np.float64(0.999), state, step)
    assert rules.policy(state).tolist() == [0, 0, 1, 1, 1, 0]


@pytest.mark.slow
def test_regret_is_of_what_was_last_done():
    arms = bm.environments.bernoulli_bandit([0.2, 0.8], discount=0.9)
    agent = bm.agents.bamcp(dirichlet_transitions(arms, [1.0, 1.0]), simulations=20, depth=10)
    result = bm.simulate(arms, {"A": agent}, steps=40, replicates=2)
    action, regret = (result[name].values[0] for name in ("action", "regret"))
    np.testing.assert_allclose(regret[:, 1:], np.where(action[:, :-1] == 1, 0.0, 6.0), atol=1e-4)
    assert LookaheadState._fields == ("belief", "memory", "last")
