"""The behaviour of a log: its evidence against the step-by-step product, and what it makes of few and of many steps."""

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline import behaviour
from bayesmdp.offline.behaviour import estimated_behaviour


def rows_of(counts):
    """Rows that took each action so often."""
    state, action = (index.ravel().astype(np.int32) for index in np.indices(np.shape(counts)))
    return Transitions(state, action, np.zeros_like(state), np.zeros(len(state)), np.ravel(counts).astype(float), {})


def bare(size, actions, **options):
    return bm.MDP(reward=np.zeros((size, actions)), discount=0.9, **options)


def test_the_evidence_is_the_product_over_steps():
    prior = np.array([[0.3, 0.7, 1.0]])
    product, seen = 1.0, prior[0].copy()
    for action in (0, 2, 2, 0, 0):
        product *= seen[action] / seen.sum()
        seen[action] += 1
    assert behaviour._evidence(np.array([[3.0, 0, 2]]), prior) == pytest.approx(np.log(product), rel=1e-12)


def test_one_rule_for_all_states_is_pooled_and_many_rules_are_not():
    alike = estimated_behaviour(rows_of([[8, 2]] * 30 + [[0, 1]]), bare(31, 2))
    np.testing.assert_allclose(alike.mean, np.tile([0.8, 0.2], (31, 1)), atol=0.02)
    apart = estimated_behaviour(rows_of([[10, 0], [0, 10]] * 15), bare(30, 2))
    assert apart.mean[0, 0] > 0.98
    assert apart.mean[1, 1] > 0.98
    np.testing.assert_array_equal(apart.concentration, apart.prior + apart.counts)


def test_only_what_can_be_done_is_believed_and_what_was_done_can_be():
    available = np.array([[True, False, True], [True, True, True], [True, False, False]])
    found = estimated_behaviour(rows_of([[3, 0, 1], [0, 0, 0], [2, 2, 0]]), bare(3, 3, available=available)).mean
    np.testing.assert_array_equal(found > 0, [[True, False, True], [True, True, True], [True, True, False]])
    np.testing.assert_allclose(found.sum(-1), 1)
