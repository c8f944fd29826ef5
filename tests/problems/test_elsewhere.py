"""The lumped outcome, against averages and minima over explicit lists of states."""

import jax
import numpy as np
import pytest

from bayesmdp import MDP
from bayesmdp.agents import psrl
from bayesmdp.models import dirichlet_transitions
from bayesmdp.planning import Draws, Mean, Quantile, operators, policy_evaluation, policy_iteration, value_iteration
from bayesmdp.planning import policy_values as evaluation
from bayesmdp.problems.elsewhere import describe_rows
from bayesmdp.problems.world import tabular_world
from bayesmdp.simulation.simulate import simulate

STATES, ACTIONS, OUTCOMES = 9, 3, 4
RNG = np.random.default_rng(0)
TABLE = RNG.integers(0, STATES, (STATES, ACTIONS, OUTCOMES))
TABLE[:, :2, 0] = -1
TABLE[2, 1, 2] = -1
TERMINAL = np.arange(STATES) == 3
KERNELS = RNG.dirichlet(np.full(OUTCOMES, 0.5), (20, STATES, ACTIONS))


def problem(elsewhere):
    reward = np.random.default_rng(1).normal(size=TABLE.shape)
    return MDP(successor=TABLE, reward=reward, discount=0.9, terminal=TERMINAL, elsewhere=elsewhere)


def unnamed(s, a):
    return [t for t in range(STATES) if t not in TABLE[s, a]]


def dense(kernel):
    """The same kernel [state, action, next_state] with elsewhere spread evenly."""
    full = np.zeros((STATES, ACTIONS, STATES))
    for s, a, o in np.ndindex(TABLE.shape):
        reached = unnamed(s, a) if TABLE[s, a, o] < 0 else [TABLE[s, a, o]]
        full[s, a, reached] += kernel[s, a, o] / len(reached)
    return full


@pytest.mark.parametrize("elsewhere, over", [("mean", np.mean), ("least", np.min)])
def test_value_of_each_outcome(elsewhere, over):
    value = RNG.normal(size=STATES)
    future = np.where(TERMINAL, 0, value)
    with jax.enable_x64(True):
        found = np.asarray(operators.next_value(problem(elsewhere).problem, value))
    for s, a, o in np.ndindex(TABLE.shape):
        expected = over(future[unnamed(s, a)]) if TABLE[s, a, o] < 0 else future[TABLE[s, a, o]]
        assert abs(found[s, a, o] - expected) < 1e-14


@pytest.mark.slow
def test_a_mean_elsewhere_is_a_dense_kernel():
    lumped = problem("mean")
    spread = MDP(
        reward=(KERNELS[0] * lumped.reward).sum(-1), transition=dense(KERNELS[0]), discount=0.9, terminal=TERMINAL
    )
    with jax.enable_x64(True):
        ours, theirs = jax.device_get(
            [
                policy_iteration(lumped.problem, Draws(KERNELS[:1], lumped.reward), Mean()),
                policy_iteration(spread.problem, Draws(spread.transition[None], spread.reward), Mean()),
            ]
        )
    np.testing.assert_allclose(ours.value, theirs.value, atol=1e-12)
    assert abs(ours.value - theirs.value).max() <= ours.bound + theirs.bound


@pytest.mark.parametrize(
    ("risk", "elsewhere"),
    [
        (Mean(), "mean"),
        (Quantile(0.3), "least"),
        pytest.param(Mean(), "least", marks=pytest.mark.slow),
        pytest.param(Quantile(0.3), "mean", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_solvers_agree(elsewhere, risk):
    mdp = problem(elsewhere)
    with jax.enable_x64(True):
        slow, fast = (
            jax.device_get(solver(mdp.problem, Draws(KERNELS, mdp.reward), risk, tolerance=1e-9))
            for solver in (value_iteration, policy_iteration)
        )
    assert slow.converged
    assert fast.converged
    assert abs(slow.value - fast.value).max() <= slow.bound + fast.bound <= 2e-9


@pytest.mark.parametrize("limits", [(128, 2_000), (0, 2_000), (0, 0)], ids=["direct", "either", "iterative"])
@pytest.mark.parametrize("elsewhere", ["mean", "least"])
@pytest.mark.parametrize("mixed", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_policys_value_is_its_own_target(monkeypatch, limits, elsewhere, mixed):
    for name, limit in zip(("SMALL", "DENSE_LIMIT"), limits, strict=True):
        monkeypatch.setattr(evaluation, name, limit)
    mdp = problem(elsewhere)
    share = RNG.dirichlet(np.ones(ACTIONS), STATES) if mixed else np.eye(ACTIONS)[RNG.integers(0, ACTIONS, STATES)]
    with jax.enable_x64(True):
        policy = share if mixed else share.argmax(-1)
        value = policy_evaluation(mdp.problem, KERNELS[0], mdp.reward, policy)
        target = np.asarray(operators.target(mdp.problem, KERNELS[0], mdp.reward, value))
    np.testing.assert_allclose(value, (share * target).sum(-1), atol=1e-9)


def test_no_row_counts_a_state_twice():
    size, number, first = describe_rows(TABLE.astype(np.int32), STATES)
    for s, a in np.ndindex(TABLE.shape[:2]):
        named = set(TABLE[s, a].tolist()) - {-1}
        assert number[s, a] == STATES - len(named)
        assert first[s, a].sum() == len(named)
        # What the outcomes stand for adds up to all states, or to those named where nothing is lumped.
        total = STATES if (TABLE[s, a] < 0).any() else len(named)
        np.testing.assert_allclose(size[s, a].sum(), total, rtol=1e-14)


def test_such_an_mdp_is_not_acted_in():
    prior = dirichlet_transitions(problem("mean"))
    with pytest.raises(ValueError, match="cannot be acted in: its successor table holds -1"):
        simulate(problem("mean"), {"PSRL": psrl(prior)}, steps=10, truth=prior)
    with pytest.raises(
        ValueError, match=r"contains -1 \(next states that are not listed\) cannot be simulated: use it to plan for"
    ):
        tabular_world(problem("mean").problem, KERNELS[0])


def test_what_the_mdp_refuses():
    table = np.zeros((2, 1, 2), int)
    table[0, 0] = [0, -1]
    with pytest.raises(ValueError, match="successor holds -1, elsewhere, which no simulator can follow"):
        MDP(successor=table, transition=np.full((2, 1, 2), 0.5), reward=[0, 0], discount=0.9)
    with pytest.raises(ValueError, match=r"successor\[0, 0, 1\] = -2, which is no state"):
        MDP(successor=np.where(table == -1, -2, table), reward=[0, 0], discount=0.9)
    with pytest.raises(ValueError, match="elsewhere must be one of mean, least"):
        MDP(successor=table, reward=[0, 0], discount=0.9, elsewhere="worst")
    three = np.array([[[0, 1, -1]], [[0, 1, 1]]])
    with pytest.raises(ValueError, match=r"successor\[0, 0\] names every state and elsewhere, -1, too"):
        MDP(successor=three, reward=[0, 0], discount=0.9)
    with pytest.raises(ValueError, match="where a policy leads depends on its value"):
        evaluation.policy_transition(problem("least").problem, KERNELS[0], np.zeros(STATES, int))
