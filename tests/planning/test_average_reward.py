"""Average reward: gain and bias against closed forms, enumeration and another solver; who may be planned for."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import bayesmdp as bm
from bayesmdp.planning import (
    Box,
    Draws,
    L1Ball,
    average_policy_iteration,
    check_weakly_communicating,
    clip_span,
    gain_and_bias,
    relative_value_iteration,
)
from tests.oracles import average_reward

SOLVERS = [average_policy_iteration, relative_value_iteration]
COMPILED = {solver: jax.jit(solver) for solver in SOLVERS}


def solved(mdp, solver, *risk, **options):
    with jax.enable_x64(True):
        return jax.device_get(COMPILED[solver](mdp.problem, Draws(mdp.transition[None], mdp.reward), *risk, **options))


def random_mdp(seed, num_states=5, num_actions=2, concentration=0.3, scale=1.0):
    rng = np.random.default_rng(seed)
    kernel = rng.dirichlet(np.full(num_states, concentration), (num_states, num_actions))
    kernel = 0.99 * kernel + 0.01 / num_states
    return bm.MDP(
        transition=kernel / kernel.sum(-1, keepdims=True),
        reward=scale * rng.random((num_states, num_actions)),
        discount=None,
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_riverswim(solver):
    """Published figures of RiverSwim-6."""
    plan = solved(bm.environments.riverswim(6, discount=None), solver)
    assert plan.gain == pytest.approx(0.4286224338, abs=1e-9)
    assert plan.span == pytest.approx(6.3103, abs=1e-4)
    assert plan.converged and (plan.policy == 1).all()


def test_queue():
    plan = bm.solve(bm.environments.queue(discount=None))
    assert float(plan.gain) == pytest.approx(0.2604166667, abs=1e-9)
    assert plan.policy.values.tolist() == ["slow"] + ["fast"] * 50


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(5))
def test_enumeration_of_policies(solver, seed):
    mdp = random_mdp(seed)
    states = np.arange(5)
    gains = [
        average_reward(mdp.transition[states, np.array(policy)], mdp.reward[states, np.array(policy), 0])
        for policy in itertools.product(range(2), repeat=5)
    ]
    plan = solved(mdp, solver)
    assert plan.lower <= max(gains) <= plan.upper
    assert plan.upper - plan.lower <= 1e-10
    # The optimality equation, in NumPy.
    q = mdp.reward[..., 0] + mdp.transition @ plan.value
    np.testing.assert_allclose(q.max(-1), plan.gain + plan.value, atol=1e-9)
    assert plan.value.min() == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_gain_of_near_one_discounts(seed):
    """(1 - discount) V* goes to the gain, and differences of V* to those of the bias."""
    mdp = random_mdp(seed)
    discounted = bm.solve(mdp.replace(discount=1 - 1e-6))
    plan = bm.solve(mdp)
    np.testing.assert_allclose(1e-6 * discounted.value, float(plan.gain), atol=1e-5)
    np.testing.assert_allclose(discounted.value - discounted.value.min(), plan.value, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_bias_and_its_bound_in_extended_precision(seed):
    mdp = random_mdp(seed, scale=100.0)
    plan = bm.solve(mdp)
    policy = plan.policy.values.astype(int)
    chain = mdp.transition[np.arange(5), policy].astype(np.longdouble)
    reward = mdp.reward[np.arange(5), policy, 0].astype(np.longdouble)
    # h = sum over t of P^t (r - g), summed till nothing comes any more.
    share = np.linalg.matrix_power(chain.astype(float), 10_000)[0].astype(np.longdouble)
    for _ in range(200):
        share = share @ chain
    left, bias = reward - share @ reward, np.zeros(5, np.longdouble)
    for _ in range(5_000):
        bias, left = bias + left, chain @ left
    error = np.abs((plan.value.values - plan.value.values[0]) - (bias - bias[0])).max()
    assert error <= plan.attrs["value_bound"] < 1e-8


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_bounds_hold_when_stopped_early(scale):
    mdp = random_mdp(7, scale=scale)
    gain = float(solved(mdp, average_policy_iteration).gain)
    for iterations in range(1, 12):
        plan = solved(mdp, relative_value_iteration, max_iterations=iterations)
        assert plan.lower <= gain <= plan.upper


def test_a_periodic_chain():
    cycle = np.zeros((3, 1, 3))
    cycle[[0, 1, 2], 0, [1, 2, 0]] = 1
    mdp = bm.MDP(transition=cycle, reward=[0.0, 0.0, 3.0], discount=None)
    for solver in SOLVERS:
        plan = solved(mdp, solver)
        assert plan.gain == pytest.approx(1, abs=1e-10)
        np.testing.assert_allclose(plan.value, [0, 1, 2], atol=1e-9)


def test_weakly_communicating_with_policies_that_are_not():
    """Two places to stay, one better, a road between them, and a start that is left for good."""
    kernel = np.zeros((3, 2, 3))
    kernel[0, :, 1] = kernel[1, 0, 1] = kernel[1, 1, 2] = kernel[2, 0, 2] = kernel[2, 1, 1] = 1
    mdp = bm.MDP(transition=kernel, reward=[[9.0, 9], [1, 0], [2, 0]], discount=None)
    check_weakly_communicating(mdp)
    for solver in SOLVERS:
        plan = solved(mdp, solver)
        assert plan.gain == pytest.approx(2, abs=1e-9)
        assert plan.policy[1:].tolist() == [1, 0]
    np.testing.assert_allclose(bm.evaluate(mdp, [0, 0, 0]), [1, 1, 2])


@pytest.mark.parametrize(
    ("reach", "message"),
    [
        ({0: [0], 1: [1]}, "1 cannot be reached from 0"),
        ({0: [0], 1: [0, 1]}, "1 cannot be reached from 0"),
        pytest.param({0: [1, 2], 1: [1], 2: [2]}, "2 cannot be reached from 1", marks=pytest.mark.slow),
    ],
)
def test_multichain_mdps_are_refused(reach, message):
    size = len(reach)
    kernel = np.zeros((size, size, size))
    for s, following in reach.items():
        kernel[s, :, following[0]] = 1
        for a, t in enumerate(following):
            kernel[s, a] = np.eye(size)[t]
    mdp = bm.MDP(transition=kernel, reward=np.arange(float(size)), discount=None)
    with pytest.raises(ValueError, match=f"mdp is not weakly communicating: {message}"):
        bm.solve(mdp)
    plan = solved(mdp, average_policy_iteration, max_iterations=2_000)
    assert not plan.converged


def test_rounding_does_not_hide_two_recurrent_classes():
    """Their rows sum to 1 but for rounding, so the system of gain and bias has a solution: one of 10^11."""
    kernel = [
        [[0.75, 0.25, 0]],
        [[0.25, 0.75, 0]],
        [[0, 0, 1 - 2**-53]],
    ]
    for reward in ([0, 0, 1e-3], [0, 1e-3, 2e-3], [1e-6, 0, 0], [0, 0, 1.0]):
        with pytest.raises(ValueError, match="mdp is not weakly communicating"):
            bm.solve(bm.MDP(transition=kernel, reward=reward, discount=None))


def test_a_constant_gain_is_found_where_the_worse_place_can_be_left():
    """Not weakly communicating, for one can stay in 0 and not come back to it; but nobody should stay there."""
    kernel = np.array([[[1.0, 0], [0, 1]], [[0, 1], [0, 1]]])
    mdp = bm.MDP(transition=kernel, reward=[0.0, 1.0], discount=None)
    with pytest.raises(ValueError, match="0 cannot be reached from 1"):
        check_weakly_communicating(mdp)
    assert float(bm.solve(mdp).gain) == pytest.approx(1, abs=1e-9)


def test_policies_by_a_power_of_the_chain():
    mdp = random_mdp(3, num_states=6, num_actions=3)
    policy = np.random.default_rng(0).dirichlet(np.ones(3), 6)
    chain, reward = np.einsum("sa,sat->st", policy, mdp.transition), (policy * mdp.reward[..., 0]).sum(-1)
    share = np.linalg.matrix_power(chain, 100_000)[0]
    np.testing.assert_allclose(bm.evaluate(mdp, policy), share @ reward, atol=1e-9)
    with jax.enable_x64(True):
        gain, bias = gain_and_bias(mdp.problem, mdp.transition, mdp.reward, policy)
    gain, bias = np.asarray(gain), np.asarray(bias)
    assert gain == pytest.approx(share @ reward, abs=1e-9)
    np.testing.assert_allclose(bias + gain, reward + chain @ bias, atol=1e-9)


def test_successor_tables_make_no_difference():
    river = bm.environments.riverswim(6, discount=None)
    dense, sparse = bm.solve(river), bm.solve(river.with_successors())
    assert float(dense.gain) == pytest.approx(float(sparse.gain), abs=1e-12)
    np.testing.assert_allclose(dense.value, sparse.value, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_gain_of_a_quantile(seed):
    """Against relative value iteration in plain NumPy, with a level for each pair."""
    rng = np.random.default_rng(seed)
    draws, reward = rng.dirichlet(np.full(5, 0.5), (40, 5, 3)), rng.uniform(size=(5, 3, 1))
    level = rng.uniform(0.05, 0.95, (5, 3))
    rank = np.ceil(level * 40).astype(int) - 1
    value = np.zeros(5)
    for _ in range(5_000):
        ahead = np.sort(reward[..., 0] + draws @ value, 0)
        improved = np.take_along_axis(ahead, rank[None], 0)[0].max(-1)
        gain, value = (improved - value).mean(), value + 0.9 * (improved - value)
        value -= value.min()
    with jax.enable_x64(True):
        problem = bm.MDP(transition=draws[0], reward=reward, discount=None).problem
        plan = COMPILED[average_policy_iteration](problem, Draws(draws, reward), bm.Quantile(level))
    assert bool(plan.converged) and float(plan.gain) == pytest.approx(gain, abs=1e-9)
    np.testing.assert_allclose(plan.value, value, atol=1e-7)


def test_what_an_average_reward_is_not_for():
    river = bm.environments.riverswim(6, discount=None)
    assert river.objective == "average" and river.replace(discount=0.9).objective == "discounted"
    posterior = bm.infer(bm.models.dirichlet_transitions(river), bm.collect(river, steps=100), draws=50)
    assert 0 < float(bm.plan(posterior, river).gain) < 1
    with pytest.raises(ValueError, match=r"risk of an average reward.*mdp.replace\(discount=0.99\)"):
        bm.plan(posterior, river, bm.Quantile(0.1))
    with pytest.raises(ValueError, match="state 5 is terminal"):
        river.replace(terminal=[5])
    with pytest.raises(ValueError, match="objective 'average' has no discount"):
        bm.MDP(transition=river.transition, reward=river.reward, discount=0.9, objective="average")
    with pytest.raises(ValueError, match="discount must be given"):
        bm.MDP(transition=river.transition, reward=river.reward, discount=None, objective="discounted")
    prior = bm.models.dirichlet_transitions(river)
    with pytest.raises(ValueError, match=r"agents\['BEB'\] \(beb\) is for MDPs whose objective is discounted"):
        bm.simulate(river, {"BEB": bm.agents.beb(prior)}, steps=10)


# Optimism


@pytest.mark.parametrize("kind", ["ball", "box"])
@pytest.mark.parametrize("seed", range(4))
def test_the_best_row_by_linear_programming(kind, seed):
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(seed)
    estimate, value = rng.dirichlet(np.full(4, 0.5)), rng.normal(size=4)
    radius = 0.3 if kind == "ball" else rng.uniform(0, 0.3, 4)
    order = np.argsort(-value)
    measure = L1Ball(np.array([[radius]])) if kind == "ball" else Box(radius[None, None])
    with jax.enable_x64(True):
        best = np.asarray(measure.best(estimate[None, None], order))[0, 0]
    if kind == "ball":
        # p = estimate + up - down, with up and down of at most `radius` together.
        found = optimize.linprog(
            -np.concatenate([value, -value]),
            A_ub=np.vstack([np.ones(8), np.hstack([-np.eye(4), np.eye(4)])]),
            b_ub=np.concatenate([[radius], estimate]),
            A_eq=[np.concatenate([np.ones(4), -np.ones(4)])],
            b_eq=[0],
        )
        largest = value @ estimate - found.fun
        assert abs(best - estimate).sum() <= radius + 1e-12
    else:
        bounds = list(zip(np.clip(estimate - radius, 0, 1), np.clip(estimate + radius, 0, 1), strict=True))
        largest = -optimize.linprog(-value, A_eq=[np.ones(4)], b_eq=[1], bounds=bounds).fun
        assert (abs(best - estimate) <= radius + 1e-12).all()
    assert best.sum() == pytest.approx(1, abs=1e-12)
    assert best @ value == pytest.approx(largest, abs=1e-9)


def test_an_optimistic_gain_is_that_of_the_best_mdp_in_the_set():
    """Two states, one action: the set is an interval for each row, so all corners can be looked at."""
    kernel = np.array([[[0.7, 0.3]], [[0.4, 0.6]]])
    mdp = bm.MDP(transition=kernel, reward=[0.0, 1.0], discount=None)
    corners = []
    for up, down in itertools.product([-0.1, 0.1], repeat=2):
        rows = kernel[:, 0] + np.array([[-up, up], [-down, down]])
        corners.append(average_reward(rows, np.array([0.0, 1.0])))
    for solver in SOLVERS:
        for measure in (L1Ball(np.full((2, 1), 0.2)), Box(np.full((2, 1, 2), 0.1))):
            assert solved(mdp, solver, measure).gain == pytest.approx(max(corners), abs=1e-9)


# Clipping: the properties of Lemma 10

VALUES = arrays.arrays(float, 6, elements=st.floats(-50, 50, allow_subnormal=False))  # XLA takes those for 0
SETS = arrays.arrays(bool, 6).filter(np.any)
SPANS = st.floats(0, 60, allow_subnormal=False)


def clip(*args):
    with jax.enable_x64(True):
        return np.asarray(clip_span(*args))


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES, SPANS, SETS, SETS)
def test_properties_of_clipping(f, g, span, first, second):
    everywhere = clip(f, span)
    np.testing.assert_allclose(everywhere, np.minimum(f, f.min() + span), atol=1e-12)
    if np.ptp(f) <= span:
        np.testing.assert_allclose(everywhere, f, atol=1e-12)
        assert (clip(f, span, first) >= f - 1e-12).all()
    clipped = clip(f, span, first)
    assert np.ptp(clipped) <= span + 1e-12 * (1 + abs(f).max())
    assert (clipped <= f)[first].all()
    assert (clip(f, span, first & second) >= clipped).all() if (first & second).any() else True
    assert (clip(np.maximum(f, g), span, first) >= clipped).all()
