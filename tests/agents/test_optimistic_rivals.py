"""KL-UCRL, IMED-RL and UCBVI: each step of a run against a slow NumPy version, and what they learn."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

import bayesmdp as bm
from bayesmdp.agents.families.empirical_mdp import Experience
from bayesmdp.agents.imed_rl import divergence_to_best
from bayesmdp.agents.ucbvi import _pool
from bayesmdp.planning import Draws, GainPlan, KLBall, average_policy_iteration

RIVER = bm.environments.riverswim(6, discount=None)


def path(mdp: bm.MDP, agent: bm.agents.Agent, steps: int, seed: int = 0) -> tuple[NDArray, NDArray, dict[str, NDArray]]:
    """States, actions and reports of one run, step by step."""
    run = (
        bm.simulate(mdp, {"agent": agent}, steps=steps, replicates=1, seed=seed).to_dataset().isel(agent=0, replicate=0)
    )
    return run["state"].values, run["action"].values, {str(name): run[name].values for name in run.data_vars}


@pytest.mark.parametrize("seed", range(3))
def test_divergence_is_the_least_of_all_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(5):
        share, value = rng.dirichlet(np.ones(4)), rng.normal(size=4)
        value += -0.3 - share @ value  # the mean is below 0
        if value.max() <= 0.05:
            continue
        found = optimize.minimize(
            lambda p: share @ np.log(share / p),  # noqa: B023
            np.eye(4)[value.argmax()] * 0.9 + 0.025,
            method="SLSQP",
            bounds=[(1e-9, 1)] * 4,
            constraints=[
                {"type": "eq", "fun": lambda p: p.sum() - 1},
                {"type": "ineq", "fun": lambda p: p @ value},  # noqa: B023
            ],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        with jax.enable_x64(True):
            np.testing.assert_allclose(divergence_to_best(share, value), found.fun, rtol=1e-5)


def test_divergence_at_its_ends() -> None:
    with jax.enable_x64(True):
        share = np.array([[0.3, 0.7], [0.3, 0.7], [0.9, 0.1]])
        value = np.array([[1.0, 2.0], [-1.0, -2.0], [-1.0, 3.0]])
        bernoulli = 0.9 * np.log(0.9 / 0.75) + 0.1 * np.log(0.1 / 0.25)  # mean 0 at p = (3/4, 1/4)
        np.testing.assert_allclose(divergence_to_best(share, value), [0, np.inf, bernoulli], rtol=1e-10)


def test_imed_rl_by_hand() -> None:
    steps = 250
    states, actions, told = path(RIVER, bm.agents.imed_rl(), steps)
    counts, phi = np.zeros((6, 2, 6)), np.zeros(6)
    tried_again = 0
    for t in range(steps):
        visits = counts.sum(-1)
        share = (counts + 1 / 6) / (visits + 1)[..., None]
        skeleton = visits >= np.log(np.maximum(visits.max(-1, keepdims=True), 1)) ** 2
        for _ in range(100_000):  # lazy value iteration
            q = np.where(skeleton, RIVER.reward[..., 0] + share @ phi, -np.inf)
            rises = q.max(-1) - phi
            phi = phi + 0.9 * rises
            phi -= phi.min()
            if np.ptp(rises) < 1e-10:
                break
        s, a = states[t], actions[t]
        worth = RIVER.reward[s] + phi  # [action, next_state]
        mean = (share[s] * worth).sum(-1)
        index = np.full(2, -np.inf)
        for b in np.flatnonzero(visits[s] > 0):
            v = worth[b] - mean.max()
            if mean[b] >= mean.max():
                divergence = 0.0
            elif v.max() <= 0:
                divergence = np.inf
            else:
                found = optimize.minimize_scalar(
                    lambda x: -share[s, b] @ np.log1p(-x * v),  # noqa: B023
                    bounds=(0, (1 - 1e-13) / v.max()),
                    method="bounded",
                    options={"xatol": 1e-12},
                )
                divergence = -found.fun
            index[b] = visits[s, b] * divergence + np.log(visits[s, b])
        assert index[a] <= index.min() + 1e-5
        expected = index[a] if visits[s, a] else np.nan  # none, of an action that was never tried
        np.testing.assert_allclose(told["index"][t], expected, rtol=1e-4, atol=1e-5)
        tried_again += visits[s, a] > 0 and mean[a] < mean.max()
        if t + 1 < steps:
            counts[s, a, states[t + 1]] += 1
    assert tried_again > 3  # actions that looked worse
    assert told["failures"][-1] == 0


@jax.jit
def optimistic_plan(share: NDArray, radius: NDArray) -> GainPlan:
    """The plan for the set, good to 1e-4, which tests/planning/test_kl_ball.py holds against its dual."""
    return average_policy_iteration(RIVER.problem, Draws(share[None], RIVER.reward), KLBall(radius), tolerance=1e-4)


def test_kl_ucrl_by_hand() -> None:
    """Episodes double, radii are the formula's, and each plan is optimistic enough for the set at its start."""
    horizon, scale, steps = 500, 0.02, 400
    states, actions, told = path(RIVER, bm.agents.kl_ucrl(horizon=horizon, scale=scale, failure=0.1), steps)
    b = np.log(2 * np.e * 36 * 2 * np.log(horizon) / 0.1)
    g = b + 1 / np.log(horizon)
    constant = scale * 6 * (b + np.log(g) * (1 + 1 / g))
    counts, before, period = np.zeros((6, 2, 6)), np.zeros((6, 2)), 0
    for t in range(steps):
        s, a = states[t], actions[t]
        begins = told["period"][t] > period
        if t:
            last = states[t - 1], actions[t - 1]
            assert begins == (counts.sum(-1)[last] >= 2 * max(before[last], 0.5))
        if begins:
            period, before = period + 1, counts.sum(-1)
            tried = np.maximum(before, 1)
            share = np.where(before[..., None] > 0, counts / tried[..., None], 1 / 6)
            with jax.enable_x64(True):
                best = optimistic_plan(share, constant / tried)
            spread = (1 + before.sum()) ** -0.5
        np.testing.assert_allclose(told["radius"][t], constant / tried[s, a], rtol=1e-6)
        # A plan that is good to `spread` takes no action that costs more than that.
        assert np.asarray(best.q)[s, a] >= -2 * spread - 1e-3
        if t + 1 < steps:
            counts[s, a, states[t + 1]] += 1
    assert period > 15


@pytest.mark.parametrize("bonus", ["hoeffding", "rlberry"])
def test_ucbvi_by_hand(bonus: str) -> None:
    stages, episodes, scale = 8, 60, 0.01 if bonus == "hoeffding" else 0.2
    river = bm.unroll(bm.environments.riverswim(4, discount=None), stages)
    horizon = stages * episodes
    agent = bm.agents.ucbvi(horizon=horizon, bonus=bonus, scale=scale, failure=0.1)  # type: ignore[arg-type]
    states, actions, told = path(river, agent, horizon)
    counts = np.zeros((river.num_states, 2, river.num_states))
    q = np.full((river.num_states, 2), float(stages))
    live = ~river.terminal
    left = np.where(live, stages - river.stage, 0)[:, None]
    logarithm = np.log(5 * q.size * horizon / 0.1)
    bonuses = []
    for t in range(horizon):
        if t % stages == 0:
            n = counts.sum(-1)
            tried = np.maximum(n, 1)
            if bonus == "hoeffding":
                extra, cap = 7 * scale * stages * logarithm / np.sqrt(tried), q.copy()
            else:
                extra, cap = np.minimum(scale / np.sqrt(tried) + left / tried, left), np.full(q.shape, float(stages))
            value = np.zeros(river.num_states)
            for stage in reversed(range(stages)):
                for s in np.flatnonzero(live & (river.stage == stage)):
                    for a in range(2):
                        ahead = counts[s, a] @ value / tried[s, a]
                        reward = river.reward[s, a].max()
                        q[s, a] = min(cap[s, a], stages, reward + ahead + extra[s, a]) if n[s, a] else stages
                    value[s] = q[s].max()
        s, a = states[t], actions[t]
        assert q[s, a] >= q[s].max() - 1e-9
        np.testing.assert_allclose(told["bonus"][t], extra[s, a], rtol=1e-6)
        bonuses.append(extra[s, a])
        if t + 1 < horizon and (t + 1) % stages:
            counts[s, a, states[t + 1]] += 1
        else:
            counts[s, a, np.flatnonzero(river.terminal)[0]] += 1
    assert min(bonuses) < max(bonuses) / 2


def test_ucbvi_adds_up_what_all_stages_have_seen() -> None:
    """Its bonus falls with the tries of a pair at any stage; what it plans for is the river that they all saw."""
    stages, episodes = 6, 50
    river = bm.unroll(bm.environments.riverswim(4, discount=None), stages)
    agent = bm.agents.ucbvi(horizon=stages * episodes, bonus="rlberry", scale=0.2, pooled=True)
    states, actions, told = path(river, agent, stages * episodes)
    visits = np.zeros((4, 2))
    for t, (s, a) in enumerate(zip(states, actions, strict=True)):
        if t % stages == 0:
            tried, before = np.maximum(visits, 1), visits.copy()
        left = stages - t % stages
        place = s % 4
        np.testing.assert_allclose(
            told["bonus"][t], min(0.2 / np.sqrt(tried[place, a]) + left / tried[place, a], left), rtol=1e-6
        )
        visits[place, a] += 1
    assert before.sum() == stages * (episodes - 1)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, (stages, 4, 2, 4)).astype(float)
    flat = np.concatenate([counts.reshape(-1, 2, 4), np.zeros((1, 2, 4))])
    tries = flat.sum(-1)
    with jax.enable_x64(True):
        shares = flat / np.maximum(tries, 1)[..., None]
        pooled = _pool(Experience(tries, shares, np.zeros(tries.shape)), river.problem)
    total = counts.sum(0)
    share = np.asarray(pooled.transition)[:-1].reshape(stages, 4, 2, 4)
    np.testing.assert_allclose(share, np.broadcast_to(total / total.sum(-1, keepdims=True), share.shape), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(pooled.visits)[:-1].reshape(stages, 4, 2)[3], total.sum(-1))


def test_stages_that_differ_are_not_pooled() -> None:
    short = bm.unroll(bm.environments.riverswim(4, discount=None), 3)
    agent = bm.agents.ucbvi(horizon=30, pooled=True)
    assert agent.make_belief(short) is not None
    reward = short.reward.copy()
    reward[1] = 0.3  # state 1 at stage 0
    with pytest.raises(ValueError, match=r"the stages of riverswim-4-horizon-3 are not alike: pooled=True is for"):
        agent.make_belief(short.replace(reward=reward))
    successor = short.successor.copy()
    successor[1] = successor[1][:, ::-1]
    with pytest.raises(ValueError, match="are not alike"):
        agent.make_belief(short.replace(successor=successor))


@pytest.mark.slow
def test_they_learn_the_river() -> None:
    agents = {"IMED-RL": bm.agents.imed_rl(), "KL-UCRL": bm.agents.kl_ucrl(horizon=4_000, scale=0.01)}
    gap = bm.simulate(RIVER, agents, steps=4_000, replicates=6, thin=500)["regret"].mean("replicate") / 500
    assert (gap.isel(step=-1) < 0.25 * gap.isel(step=0)).all()
    assert (gap.isel(step=-1) < 0.05).all()


def test_mistakes_are_told() -> None:
    with pytest.raises(ValueError, match="bonus must be 'hoeffding' or 'rlberry'; got 'bernstein'"):
        bm.agents.ucbvi(horizon=10, bonus="bernstein")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="horizon must be an integer of at least 3; got 2"):
        bm.agents.kl_ucrl(horizon=2)
    with pytest.raises(ValueError, match="is for MDPs whose objective is episode"):
        bm.simulate(RIVER, {"UCBVI": bm.agents.ucbvi(horizon=10)}, steps=10)
    with pytest.raises(ValueError, match="is outside"):
        bm.simulate(RIVER.replace(reward=2 * RIVER.reward), {"IMED-RL": bm.agents.imed_rl()}, steps=10)
