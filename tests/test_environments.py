"""Environments against independent truth: Gymnasium's own tables and figures computed elsewhere."""

import gymnasium
import numpy as np
import pytest

from bayesmdp import environments
from bayesmdp.objectives import OBJECTIVES


def optimal_value(mdp):
    import jax

    with jax.enable_x64(True):
        return np.asarray(OBJECTIVES["discounted"].baseline(mdp.problem, mdp.transition))


@pytest.mark.parametrize("layout", ["4x4", "8x8"])
def test_frozen_lake_is_gymnasiums(layout):
    table = gymnasium.make("FrozenLake-v1", map_name=layout).unwrapped.P
    lake = environments.frozen_lake(layout)
    transition = np.zeros(lake.transition.shape)
    reward = np.zeros(transition.shape[:2])
    ends = np.zeros(len(table), bool)
    for state, actions in table.items():
        for action, outcomes in actions.items():
            for probability, next_state, gain, last in outcomes:
                transition[state, action, next_state] += probability
                reward[state, action] += probability * gain
                ends[next_state] |= last
    np.testing.assert_allclose(lake.transition, transition, atol=1e-15)
    np.testing.assert_allclose((lake.transition * lake.reward).sum(-1), reward, atol=1e-15)
    np.testing.assert_array_equal(lake.terminal, ends)


def test_frozen_lake_value_at_the_start():
    assert optimal_value(environments.frozen_lake())[0] == pytest.approx(0.5420259320, abs=1e-9)


@pytest.mark.parametrize("discount, value", [(0.95, 4.66930016), (0.99, 37.85470114)])
def test_riverswim_value_at_the_start(discount, value):
    assert optimal_value(environments.riverswim(6, discount=discount))[0] == pytest.approx(value, abs=1e-8)


def test_riverswim_average_reward_of_swimming():
    river = environments.riverswim(6)
    chain = river.transition[:, 1]
    stationary = np.linalg.lstsq(np.vstack([chain.T - np.eye(6), np.ones(6)]), np.eye(7)[6], rcond=None)[0]
    assert stationary @ river.reward[:, 1, 0] == pytest.approx(0.4286224338, abs=1e-10)


BAD = {
    "too short a river": (lambda: environments.riverswim(2), "num_states must be an integer of at least 3; got 2"),
    "half a state": (lambda: environments.riverswim(6.5), "num_states must be an integer"),
    "unknown map": (lambda: environments.frozen_lake("5x5"), "no map '5x5'"),
    "ragged map": (lambda: environments.frozen_lake(["SF", "G"]), "differ in length"),
    "unknown cell": (lambda: environments.frozen_lake(["SX", "FG"]), r"map\[0\]\[1\] is 'X'"),
    "no goal": (lambda: environments.frozen_lake(["SF", "FF"]), "at least one G"),
    "slip too large": (lambda: environments.frozen_lake(slip=0.7), "slip must lie in"),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
