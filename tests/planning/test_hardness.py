"""Measures of hardness against closed forms, enumeration of policies, and Colosseum's definitions written anew."""

import itertools

import numpy as np
import pytest

import bayesmdp as bm


def small(seed):
    """Four states that all reach each other, three actions, one of them missing somewhere."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(4, 0.4), (4, 3))
    available = np.ones((4, 3), bool)
    available[1, 2] = available[3, 0] = False
    return bm.MDP(transition=transition, reward=rng.normal(size=(4, 3)), discount=0.9, available=available)


def hitting_times(mdp, target):
    """Least expected steps [state] to a state, over all deterministic policies."""
    least = np.full(mdp.num_states, np.inf)
    others = np.flatnonzero(np.arange(mdp.num_states) != target)
    for policy in itertools.product(*(np.flatnonzero(mdp.available[state]) for state in others)):
        chain = mdp.transition[others, policy][:, others]
        least[others] = np.minimum(least[others], np.linalg.solve(np.eye(len(others)) - chain, np.ones(len(others))))
    least[target] = 0
    return least


@pytest.mark.parametrize("seed", range(3))
def test_measures_are_those_of_their_definitions(seed):
    mdp = small(seed)
    found = bm.hardness(mdp)
    times = [hitting_times(mdp, target) for target in range(4)]
    assert float(found.diameter) == pytest.approx(np.max(times), rel=1e-10)
    # V* by iteration; gaps and deviations one by one.
    value = np.zeros(4)
    for _ in range(600):
        q = mdp.reward[..., 0] + 0.9 * mdp.transition @ value
        value = np.where(mdp.available, q, -np.inf).max(-1)
    gaps, norms = [], []
    for state, action in np.argwhere(mdp.available):
        gaps.append(value[state] - q[state, action])
        mean = mdp.transition[state, action] @ value
        norms.append(np.sqrt(mdp.transition[state, action] @ (value - mean) ** 2))
    assert float(found.reciprocal_gaps) == pytest.approx(sum(1 / (gap + 0.1) for gap in gaps), rel=1e-8)
    assert float(found.value_norm) == pytest.approx(max(norms), rel=1e-8)
    bare = bm.hardness(mdp, regularization=0)
    assert float(bare.reciprocal_gaps) == pytest.approx(sum(1 / gap for gap in gaps if gap > 1e-9), rel=1e-6)


def test_closed_forms():
    """A switch that goes on with probability p, pays 1 while on, and goes off with probability q."""
    p, q = 0.3, 0.2
    switch = bm.MDP(
        transition=[[[1, 0], [1 - p, p]], [[q, 1 - q], [q, 1 - q]]], reward=[[0.0, 0.0], [1.0, 1.0]], discount=None
    )
    found = bm.hardness(switch)
    bias = 1 / (p + q)  # of being on
    assert float(found.diameter) == pytest.approx(1 / q) and float(found.span) == pytest.approx(bias, rel=1e-7)
    gap = p * bias
    assert float(found.reciprocal_gaps) == pytest.approx(3 / 0.1 + 1 / (gap + 0.1), rel=1e-6)
    assert float(found.value_norm) == pytest.approx(bias * np.sqrt(p * (1 - p)), rel=1e-7)


def test_diameters_that_are_known():
    ring = np.roll(np.eye(7), 1, axis=1)[:, None]
    assert float(bm.hardness(bm.MDP(transition=ring, reward=np.ones(7), discount=0.9)).diameter) == pytest.approx(6)
    # From a room of SixArms to the last: back to the hall, and a hundred tries.
    assert float(bm.hardness(bm.environments.six_arms()).diameter) == pytest.approx(101)
    # RiverSwim: from end to end against the current, h(s) - h(s + 1) = d(s), from the left.
    river = bm.hardness(bm.environments.riverswim(6))
    ahead = [1 / 0.6]
    for _ in range(4):
        ahead.append((1 + 0.05 * ahead[-1]) / 0.35)
    assert float(river.diameter) == pytest.approx(sum(ahead), rel=1e-10) and sum(ahead) == pytest.approx(
        14.72, abs=0.01
    )


def test_a_table_of_successors_and_states_that_cannot_be_reached():
    """The form makes no difference; and the grid's goal is never visited, while a problem of its table is as hard."""
    loops = {dense: bm.hardness(bm.environments.generalised_double_loop(dense=dense)) for dense in (True, False)}
    for name in loops[True]:
        assert float(loops[True][name]) == pytest.approx(float(loops[False][name]), rel=1e-9)
    assert np.isinf(float(bm.hardness(bm.environments.generalised_grid(3)).diameter))
    islands = bm.hardness(bm.MDP(transition=np.eye(2)[:, None], reward=[0.0, 1.0], discount=0.9))
    assert np.isinf(float(islands.diameter)) and np.isnan(float(islands.span))


@pytest.mark.parametrize(
    ("mdp", "message"),
    [
        (bm.environments.frozen_lake(), "has terminal states, from which nothing can be reached"),
        (bm.environments.layers(), "hardness is of discounted and of average reward"),
        (bm.environments.riverswim(6).replace(transition=None), "has no transition"),
    ],
)
def test_other_problems_are_refused(mdp, message):
    with pytest.raises(ValueError, match=message):
        bm.hardness(mdp)


# RiverSwim of Colosseum's benchmark: states, probabilities to stay (lazy) and of a random action, whether rewards are
# random, and the diameter and value norm that the library holds in colosseum/benchmark/cached_hardness_measures.
RIVERS = [
    (80, 0.001, 0.2, True, 98.692276, 0.7809694),
    (90, 0.03, 0.0, True, 91.75265, 0.8794597),
    (80, 0.1, 0.01, False, 88.658714, 0.9926125),
    (50, 0.1, 0.1, True, 60.42502, 0.8303879),
    (30, 0.1, 0.2, False, 40.103657, 0.8966722),
    (25, 0.1, 0.0, True, 26.666565, 0.87805814),
]


@pytest.mark.parametrize("size, lazy, wild, noisy, diameter, norm", RIVERS)
def test_colosseums_own_values(size, lazy, wild, noisy, diameter, norm):
    """Theirs are in 32 bit and stop at 1e-3 a state."""
    states = np.arange(size)
    moves = np.zeros((size, 2, size))
    moves[states, 0, np.maximum(states - 1, 0)] = moves[states, 1, np.minimum(states + 1, size - 1)] = 1
    kernel = (1 - wild) * moves + wild * moves.mean(1, keepdims=True)
    kernel = (1 - lazy) * kernel + lazy * np.eye(size)[:, None]
    small, best, other = (0.2, 0.9, 0.02) if noisy else (0.005, 1.0, 0.0)  # means
    reward = np.full((size, 2), other)
    reward[0, 0], reward[-1, 1] = small, best
    found = bm.hardness(bm.MDP(transition=kernel, reward=reward, discount=0.99))
    assert float(found.diameter) == pytest.approx(diameter, rel=2e-5)
    value = np.zeros(size)
    for _ in range(3_000):
        value = (reward + 0.99 * kernel @ value).max(1)
    mean = kernel @ value
    # Their norm takes from each V(s') the mean of what follows s', and not of what follows the pair.
    theirs = np.einsum("sat,ta->sa", kernel, (value[:, None] - mean) ** 2)
    assert np.sqrt(theirs.max()) == pytest.approx(norm, abs=3e-5)
    ours = (kernel * (value - mean[..., None]) ** 2).sum(-1)
    assert float(found.value_norm) == pytest.approx(np.sqrt(ours.max()), rel=1e-6) and found.value_norm < 0.9 * norm
