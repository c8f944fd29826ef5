"""Episodes of a fixed length: against enumeration of all policies, a plain recursion, and matrix powers."""

import itertools

import jax
import numpy as np
import pytest
import quantecon
import xarray as xr
from quantecon.markov import backward_induction as quantecon_induction

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions
from bayesmdp.planning import CVaR, Draws, Mean, Quantile, backup, backward_induction
from bayesmdp.simulation.regret import BY_STEP, OBJECTIVES
from tests.oracles import forest

RIVER = bm.environments.riverswim(6)
LONG = bm.unroll(RIVER, 20)
DIMS = ("state", "action", "outcome")


def small(seed):
    rng = np.random.default_rng(seed)
    kernel, discount = rng.dirichlet(np.full(2, 0.5), (2, 2)), (0.9, 0.5, None)[seed]
    return bm.MDP(transition=kernel, reward=rng.normal(size=(2, 2, 2)), discount=discount, initial=[0.3, 0.7])


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_all_policies(seed):
    mdp, horizon = small(seed), 3
    short = bm.unroll(mdp, horizon)
    assert (short.num_states, short.horizon, short.objective) == (7, 3, "episode")
    values = []
    for choice in itertools.product(range(2), repeat=6):
        value = np.zeros(2)
        for h in reversed(range(horizon)):
            actions = np.array(choice[2 * h : 2 * h + 2])
            rows, rewards = mdp.transition[[0, 1], actions], mdp.reward[[0, 1], actions]
            value = (rows * (rewards + (mdp.discount or 1) * value)).sum(-1)
        values.append(value)
        labels = [*choice, 0]
        np.testing.assert_allclose(bm.evaluate(short, labels)[:2], value, atol=1e-12)
    plan = bm.solve(short)
    np.testing.assert_allclose(plan.value[:2], np.max(values, 0), atol=1e-12)
    assert plan.attrs["solver"] == "backward_induction" and plan.attrs["bound"] < 1e-12
    np.testing.assert_allclose(bm.evaluate(short, plan.policy)[:2], np.max(values, 0), atol=1e-12)


@pytest.mark.parametrize("discount", [0.95, None])
def test_a_plain_recursion_on_a_longer_river(discount):
    short, value, rate = bm.unroll(RIVER.replace(discount=discount), 20), np.zeros(6), discount or 1
    assert short.discount == discount and (short.transition == LONG.transition).all()
    plan = bm.solve(short)
    assert plan.attrs.get("discount") == discount
    found = plan.value.values[:-1].reshape(20, 6)
    for h in reversed(range(20)):
        value = (RIVER.reward[..., 0] + rate * RIVER.transition @ value).max(-1)
        np.testing.assert_allclose(found[h], value, atol=1e-12)
    always = np.zeros(6)
    for _ in range(20):
        always = RIVER.reward[:, 1, 0] + rate * RIVER.transition[:, 1] @ always
    np.testing.assert_allclose(bm.evaluate(short, ["right"] * 121)[:6], always, atol=1e-12)
    # A river whose rewards all count is that of a problem without a discount, however it was come by.
    for same in (LONG.replace(discount=discount), LONG.replace(discount=discount or 1)):
        np.testing.assert_array_equal(bm.solve(same).value, plan.value)


def test_a_forest_of_three_ages_for_three_years():
    """The values pymdptoolbox gives, and QuantEcon's at each stage."""
    kernel, reward = forest(3)
    short = bm.unroll(bm.MDP(transition=kernel, reward=reward, discount=0.9, initial=np.full(3, 1 / 3)), 3)
    found = bm.solve(short).value.values[:-1].reshape(3, 3)
    np.testing.assert_allclose(found[0], [2.6973, 5.9373, 9.9373], rtol=0, atol=1e-12)
    theirs, _ = quantecon_induction(quantecon.markov.DiscreteDP(reward, kernel, 0.9), 3)
    np.testing.assert_allclose(found, theirs[:-1], rtol=0, atol=1e-12)
    whole = bm.solve(short.replace(discount=None)).value.values[:3]
    np.testing.assert_allclose(whole, [3.33, 6.93, 10.93], rtol=0, atol=1e-12)


def test_regret_of_discounted_episodes():
    """Of an episode at once, as what the policy lacks; step by step, the same in expectation over where it goes."""
    policy = np.random.default_rng(0).integers(0, 2, 121)
    best, own = bm.solve(LONG).value.values, bm.evaluate(LONG, np.array(LONG.actions)[policy]).values
    with jax.enable_x64(True):
        whole, problem = OBJECTIVES["finite"]["episode"], jax.tree.map(jax.numpy.asarray, LONG.problem)
        gap = jax.jit(lambda problem, kernel: whole.regret(problem, kernel, whole.baseline(problem, kernel), policy))(
            problem, LONG.transition
        )
        charges = np.asarray(jax.jit(BY_STEP.baseline)(problem, LONG.transition))
    np.testing.assert_allclose(gap, np.where(LONG.stage == 0, best - own, 0), rtol=0, atol=1e-12)
    state, total = LONG.initial, 0.0
    for _ in range(20):
        total += state @ charges[np.arange(121), policy]
        onward = np.zeros(121)
        np.add.at(
            onward, LONG.successor[np.arange(121), policy], state[:, None] * LONG.transition[np.arange(121), policy]
        )
        state = onward
    assert total == pytest.approx(LONG.initial @ (best - own), abs=1e-12)


@pytest.mark.parametrize("discount", [0.95, None])
def test_what_episodes_are_worth_under_each_draw(discount):
    short = LONG.replace(discount=discount)
    rng = np.random.default_rng(1)
    policy = np.array(LONG.actions)[rng.integers(0, 2, 121)]
    other = bm.unroll(RIVER.replace(transition=rng.dirichlet(np.ones(6), (6, 2)), discount=discount), 20)
    kernels = xr.Dataset({"transition": (("draw", *DIMS), np.stack([short.transition, other.transition]))})
    worth = bm.planning.value_draws(kernels, short, policy)
    lost = bm.planning.downside_exposure(kernels, short, policy, 1.0)
    drawn = [bm.evaluate(mdp, policy).values for mdp in (short, other)]
    np.testing.assert_allclose(worth, drawn, atol=1e-12)
    gaps = [bm.solve(mdp).value.values - own for mdp, own in zip((short, other), drawn, strict=True)]
    np.testing.assert_array_equal(lost, (np.array(gaps) >= 1).mean(0))


def test_terminal_states_end_an_episode_early():
    lake = bm.environments.frozen_lake()
    short = bm.unroll(lake, 30)
    value = np.zeros(16)
    for _ in range(30):
        future = lake.discount * value * ~lake.terminal
        value = np.where(lake.terminal, 0, (lake.transition * (lake.reward + future)).sum(-1).max(-1))
    np.testing.assert_allclose(bm.solve(short).value[:16], value, atol=1e-12)


compiled_backup = jax.jit(backup)


@pytest.mark.parametrize("risk", [Mean(), Quantile(0.3), CVaR(0.4)])
def test_risk_taken_at_each_step(risk):
    short = bm.unroll(RIVER, 5)
    rng = np.random.default_rng(0)
    draws = Draws(np.stack([rng.dirichlet(np.full(6, 0.5), (6, 2)) for _ in range(9)]), RIVER.reward)
    wide = Draws(np.concatenate([np.tile(draws.transition, (1, 5, 1, 1)), np.zeros((9, 1, 2, 6))], 1), short.reward)
    with jax.enable_x64(True):
        plan = jax.jit(backward_induction)(short.problem, wide, risk)
        endless = jax.tree.map(jax.numpy.asarray, RIVER.problem)
        value = np.zeros(6)
        for _ in range(5):
            value = np.asarray(compiled_backup(endless, draws, value, risk)).max(-1)
    np.testing.assert_allclose(plan.value[:6], value, atol=1e-12)


def test_psrl_learns_episodes_and_is_charged_once_each():
    short = bm.unroll(RIVER, 10)
    agent = bm.agents.psrl(dirichlet_transitions(short, concentration=1 / 6))
    result = bm.simulate(short, {"PSRL": agent}, steps=3_000, replicates=4)
    regret = result["regret"].values[0].reshape(4, 300, 10)
    assert (regret[..., 1:] == 0).all() and (regret >= -1e-12).all()
    assert (result["period"].values[0, :, ::10] == np.arange(1, 301)).all()
    assert regret[:, -60:].sum() < 0.5 * regret[:, :60].sum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": [0, 2, 1, 9]}, r"leads from state 0 of stage 0 to 1 of stage 2; each step leads to the next stage"),
        ({"stage": [1, 2, 3, 9]}, "the first stage is 0; got 1"),
        ({"stage": [0, 1, 1]}, r"stage must be integers \[4\]"),
        (
            {"stage": [0, 1, 1, 2], "discount": 0.9, "objective": "discounted"},
            "an MDP has stages if and only if its objective is 'episode'",
        ),
        ({"stage": [0, 1, 1, 2], "discount": 1.5}, "discount must be a number above 0 and at most 1; got 1.5"),
        ({"stage": [0, 1, 1, 2], "initial": 1}, r"initial\[1\] = 1, but state 1 is of a later stage"),
        ({"stage": [0, 1, 1, 2], "terminal": None}, "no state is terminal"),
        ({"objective": "episode"}, "got 'episode' and no stage"),
    ],
)
def test_what_are_no_stages(changes, message):
    kernel = np.zeros((4, 1, 4))
    kernel[0, 0, [1, 2]] = 0.5
    kernel[1:, 0, 3] = 1
    given = {"transition": kernel, "reward": np.ones((4, 1)), "discount": None, "terminal": [3]}
    bm.MDP(**given, stage=[0, 1, 1, 2])
    with pytest.raises(ValueError, match=message):
        bm.MDP(**(given | changes))
