"""Rivals that improve on a behaviour, against linear programs and a search of all policies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

import bayesmdp as bm
from bayesmdp.offline import safe_improvement
from bayesmdp.offline.experience import Experience
from bayesmdp.offline.safe_improvement import (
    l1_robust,
    likeliest,
    maximum_likelihood,
    reward_adjusted,
    soft_spibb,
    spibb,
)

RNG = np.random.default_rng(3)
STATES, ACTIONS = 5, 3
COUNTS = RNG.poisson(1.2, (STATES, ACTIONS, STATES)).astype(float)
COUNTS[2, 1] = 0
TRIES = COUNTS.sum(-1)
MDP = bm.MDP(reward=np.zeros((STATES, ACTIONS)), discount=0.9)
MEANS = np.where(TRIES > 0, RNG.normal(size=TRIES.shape), 0)
SEEN = likeliest(Experience(COUNTS, MEANS, np.zeros_like(MEANS)), MDP)
BEHAVIOUR = TRIES / TRIES.sum(-1, keepdims=True)


def value(policy: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.einsum("sa,sat->st", policy, SEEN.transition)
    return np.linalg.solve(np.eye(STATES) - 0.9 * rows, (policy * SEEN.reward).sum(-1))


def test_maximum_likelihood_by_enumeration() -> None:
    every = [np.eye(ACTIONS)[list(actions)] for actions in itertools.product(range(ACTIONS), repeat=STATES)]
    allowed = [policy for policy in every if policy[2, 1] == 0]
    best = np.max([value(policy) for policy in allowed], axis=0)
    np.testing.assert_allclose(value(maximum_likelihood(SEEN)), best, atol=1e-10)
    assert np.array_equal(reward_adjusted(SEEN, 0), maximum_likelihood(SEEN))
    lowered = SEEN._replace(reward=SEEN.reward - 2 / np.sqrt(np.maximum(TRIES, 1)))
    assert np.array_equal(reward_adjusted(SEEN, 2), maximum_likelihood(lowered))
    assert not np.array_equal(reward_adjusted(SEEN, 2), maximum_likelihood(SEEN))


def test_l1_robust_by_a_linear_program() -> None:
    """Its value is a fixed point of the game, in which a linear program finds the worst row of each pair."""
    budget, live = 1.5, SEEN.live.astype(float)
    distance = np.minimum(budget / np.sqrt(np.maximum(TRIES, 1)), 2)

    def worst(row: NDArray[np.float64], value: NDArray[np.float64], most: float) -> float:
        # Rows p with |p - row| <= u and sum of u at most the distance.
        eye = np.eye(STATES)
        within = np.vstack([np.hstack([eye, -eye]), np.hstack([-eye, -eye]), np.hstack([0 * eye[0], eye.sum(0)])[None]])
        found = linprog(
            np.concatenate([value, np.zeros(STATES)]),
            A_ub=within,
            b_ub=np.concatenate([row, -row, [most]]),
            A_eq=np.concatenate([np.ones(STATES), np.zeros(STATES)])[None],
            b_eq=[1],
        )
        return float(found.fun)

    value = np.zeros(STATES)
    for _ in range(60):
        backed = [
            [worst(SEEN.transition[s, a], live * value, distance[s, a]) for a in range(ACTIONS)] for s in range(STATES)
        ]
        q = SEEN.reward + 0.9 * np.array(backed)
        value = np.where(SEEN.allowed, q, -np.inf).max(-1)
    assert np.array_equal(l1_robust(SEEN, budget).argmax(-1), np.where(SEEN.allowed, q, -np.inf).argmax(-1))
    assert np.array_equal(l1_robust(SEEN, 0), maximum_likelihood(SEEN))
    assert not np.array_equal(l1_robust(SEEN, budget), maximum_likelihood(SEEN))


@pytest.mark.parametrize("among", ["b", "at most b"])
def test_spibb_is_greedy_within_its_set(among: str) -> None:
    """No policy of the set, found by a linear program for each state, is better for the values of the one returned."""
    policy = spibb(SEEN, BEHAVIOUR, 6, among)  # type: ignore[arg-type]
    rare = TRIES < 6
    assert rare.any() and not rare.all()
    q = SEEN.q(policy)
    for state in range(STATES):
        low = np.where(rare[state] & (among == "b"), BEHAVIOUR[state], 0)
        high = np.where(rare[state], BEHAVIOUR[state], 1)
        if not (~rare[state]).any():
            low = high = BEHAVIOUR[state]
        best = linprog(-q[state], A_eq=np.ones((1, ACTIONS)), b_eq=[1], bounds=list(zip(low, high, strict=True)))
        assert policy[state] @ q[state] == pytest.approx(-best.fun, abs=1e-8)
        assert (policy[state] >= low - 1e-12).all() and (policy[state] <= high + 1e-12).all()
    assert (value(policy) >= value(BEHAVIOUR) - 1e-10).all()


def test_soft_spibb_keeps_its_budget_and_improves() -> None:
    error = np.where(TRIES > 0, 1 / np.sqrt(np.maximum(TRIES, 1)), 0)
    last = value(BEHAVIOUR)
    for budget in (0.0, 0.3, 1.0):
        policy = soft_spibb(SEEN, BEHAVIOUR, budget)
        np.testing.assert_allclose(policy.sum(-1), 1)
        assert (policy >= -1e-12).all()
        assert ((error * np.abs(policy - BEHAVIOUR)).sum(-1) <= budget + 1e-9).all()
        assert value(policy).sum() >= last.sum() - 1e-9
        last = value(policy)
    np.testing.assert_allclose(soft_spibb(SEEN, BEHAVIOUR, 0), BEHAVIOUR)
    np.testing.assert_allclose(soft_spibb(SEEN, BEHAVIOUR, 1e6), maximum_likelihood(SEEN), atol=1e-12)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="among must be"):
        spibb(SEEN, BEHAVIOUR, 5, "c")  # type: ignore[arg-type]
    for call in (
        reward_adjusted,
        l1_robust,
        lambda seen, x: soft_spibb(seen, BEHAVIOUR, x),
        lambda s, x: spibb(s, BEHAVIOUR, x),
    ):
        with pytest.raises(ValueError, match="at least 0"):
            call(SEEN, -1.0)
    with pytest.raises(ValueError, match="needs a discount"):
        safe_improvement.likeliest(Experience(COUNTS, MEANS, MEANS), MDP.replace(discount=None))
