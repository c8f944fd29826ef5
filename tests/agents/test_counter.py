"""What optimistic agents count, on any MDP; and that a lack of features is told with the remedy."""

import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.agents.families.empirical_mdp import experience
from bayesmdp.agents.families.optimistic import counter, dense_counter
from bayesmdp.problems.world import Step

RIVER = bm.environments.riverswim(4)
PROBLEMS = {"dense": RIVER, "successor table": RIVER.with_successors(), "episodes": bm.unroll(RIVER, 3)}


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_counts_pairs_and_outcomes(name: str) -> None:
    problem = PROBLEMS[name]
    steps = [(0, 1, 1), (0, 1, 0), (0, 1, 1), (2, 0, 0)]
    belief = counter(problem)
    with jax.enable_x64(True):
        state = belief.init(jax.random.key(0))
        for s, a, outcome in steps:
            step = Step(*map(np.int32, (s, a, outcome, 0)), np.float64(0.0), np.bool_(False))
            state = belief.observe(jax.random.key(0), state, step)
        seen = experience(belief, state, jax.device_put(problem.problem))
    counts = np.zeros((problem.num_states, problem.num_actions, problem.num_outcomes))
    np.add.at(counts, tuple(np.transpose(steps)), 1)
    np.testing.assert_array_equal(seen.visits, counts.sum(-1))
    np.testing.assert_allclose(seen.transition, counts / np.maximum(counts.sum(-1, keepdims=True), 1))


def test_agents_that_take_outcomes_for_states_refuse_a_table() -> None:
    with pytest.raises(ValueError, match="has a successor table, which this agent does not read"):
        dense_counter(PROBLEMS["successor table"])
    with pytest.raises(ValueError, match=r"outside \[0, 1\], which this agent's bonus rests on"):
        counter(RIVER.replace(reward=2 * RIVER.reward))


def test_agents_over_q_functions_say_how_features_are_given() -> None:
    with pytest.raises(
        ValueError,
        match=r"gaussian_q needs episodes .*, and features: .*unroll\(mdp.replace\(features=features\), horizon\)",
    ):
        bm.simulate(PROBLEMS["episodes"], {"RLSVI": bm.agents.rlsvi()}, steps=3)
    told = bm.unroll(RIVER.replace(features=np.eye(4 * 2).reshape(4, 2, -1)), 3)
    assert told.features is not None and bm.agents.rlsvi().make_belief(told) is not None
