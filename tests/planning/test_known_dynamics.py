"""Plans and values under a known kernel, against plain NumPy and Gymnasium's figure."""

import numpy as np
import pytest

import bayesmdp as bm

RIVER = bm.environments.riverswim(6)
LAKE = bm.environments.frozen_lake()


def test_frozen_lake_is_solved():
    plan = bm.solve(LAKE)
    assert float(plan.value[0]) == pytest.approx(0.5420259320, abs=1e-9)
    assert plan.attrs["bound"] < 1e-9


@pytest.mark.parametrize("mdp", [RIVER, LAKE, LAKE.with_successors()], ids=["river", "lake", "successors"])
def test_a_plan_delivers_what_it_promises_when_the_kernel_is_known(mdp):
    plan = bm.solve(mdp)
    np.testing.assert_allclose(bm.evaluate(mdp, plan.policy), plan.value, atol=1e-9)


@pytest.mark.parametrize("mdp", [LAKE, LAKE.with_successors()], ids=["dense", "successors"])
def test_randomised_policies_by_hand(mdp):
    probability = np.random.default_rng(0).dirichlet(np.ones(4), 16)
    chain = np.einsum("sa,san->sn", probability, LAKE.transition)
    reward = np.einsum("sa,san,san->s", probability, LAKE.transition, LAKE.reward)
    chain[LAKE.terminal], reward[LAKE.terminal] = 0, 0
    value = np.linalg.solve(np.eye(16) - 0.99 * chain * ~LAKE.terminal, reward)
    np.testing.assert_allclose(bm.evaluate(mdp, probability), value, atol=1e-12)


def test_value_agrees_with_a_long_log():
    """Averaged over where a policy spends its time, value is reward a step over (1 - discount)."""
    swim = ["right"] * 6
    occupancy = np.linalg.matrix_power(RIVER.transition[:, 1], 10_000)[0]
    reward = bm.collect(RIVER, swim, steps=200_000, seed=1)["reward"].values.mean()
    assert 0.05 * occupancy @ bm.evaluate(RIVER, swim).values == pytest.approx(reward, rel=0.03)


def test_unknown_dynamics_are_refused():
    blind = RIVER.replace(transition=None)
    for ask in (lambda: bm.solve(blind), lambda: bm.evaluate(blind, "uniform")):
        with pytest.raises(ValueError, match="riverswim-6 has no transition"):
            ask()
