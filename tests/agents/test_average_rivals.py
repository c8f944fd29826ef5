"""Rivals for the average reward: each against a slow NumPy version of its algorithm, and estimates against truth."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random
from scipy import optimize

import bayesmdp as bm
from bayesmdp import agents
from bayesmdp.agents.mdp_oomd import mirror_step
from bayesmdp.agents.scal import scopt
from bayesmdp.planning import Box, Draws, L1Ball, average_policy_iteration
from bayesmdp.problems.world import Step, invert
from tests.statistical import assert_means

RIVER = bm.environments.riverswim(6, discount=None)
SHOP = bm.environments.inventory(4)
LINEAR = bm.environments.random_linear_mdp(6, 3, dimension=3)
SPAN = 6.3103

compiled_scopt, compiled_step = jax.jit(scopt), jax.jit(mirror_step)


@partial(jax.jit, static_argnames=("make_rules", "belief"))
def path_of(keys, begun, problem, transition, options, *, make_rules, belief):
    """What `follow` returns, as arrays; agents that differ in their options alone share a program."""
    rules = make_rules(belief, problem, options)
    cumulative = jnp.cumsum(transition, -1)

    def advance(carry, key):
        state, s, starts = carry
        keys = random.split(key, 4)
        state = lax.cond(starts, rules.begin, lambda _, same: same, keys[0], state)
        a = rules.act(keys[1], state, s)
        t = invert(cumulative[s, a], random.uniform(keys[2]))
        step = Step(s, a, t, t, problem.reward[s, a, 0], jnp.zeros((), bool))
        state = rules.observe(keys[3], state, step)
        over = rules.ends(jnp.float64(0.5), state, step)
        return (state, t, over), (s, a, t, state, over)

    return lax.scan(advance, (rules.init(begun), jnp.int32(0), jnp.array(True)), keys)[1]


def follow(agent, steps, mdp=RIVER, seed=0):
    """An agent's rules run step by step: states, actions, next states, its own state after each, and period ends."""
    with jax.enable_x64(True):
        key, problem = random.key(seed), jax.tree.map(jnp.asarray, mdp.problem)
        compiled = {"make_rules": agent.rules, "belief": agent.make_belief(mdp)}
        path = path_of(random.split(key, steps), key, problem, mdp.transition, dict(agent.options), **compiled)
    s, a, t, states, over = path
    *arrays, over = (np.asarray(values) for values in (s, a, t, over))
    return *(values.tolist() for values in arrays), states, over.tolist()


def at(states, i):
    return jax.tree.map(lambda leaf: leaf[i], states)


def steps_ahead(mdp, policy, number):
    """Expected sums of so many rewards from a pair on, under a policy [state, action]."""
    reward = mdp.reward[..., 0]
    q = reward
    for _ in range(number - 1):
        q = reward + mdp.transition @ (policy * q).sum(-1)
    return q


def mirrored(policy, estimate, rate):
    """One state's mirror step: the multiplier by bisection to the last bit."""
    inverse = 1 / policy - rate * estimate

    def excess(x):
        return (1 / (inverse - inverse.min() + x)).sum() - 1

    x = optimize.brentq(excess, 1 - 1e-9, len(policy) + 1e-9, xtol=1e-15, rtol=1e-15)
    return 1 / (inverse - inverse.min() + x)


def test_mirror_step_is_the_argmax():
    rng = np.random.default_rng(0)
    for rate in (0.05, 1.0, 20.0):
        old, estimate = rng.dirichlet(np.ones(4)), 3 * rng.random(4)

        def loss(pi, old=old, estimate=estimate, rate=rate):
            return -pi @ estimate + (np.log(old / pi) + pi / old - 1).sum() / rate

        best = optimize.minimize(
            loss,
            old,
            method="SLSQP",
            bounds=[(1e-6, 1)] * 4,
            constraints={"type": "eq", "fun": lambda pi: pi.sum() - 1},
            options={"ftol": 1e-15, "maxiter": 1000},
        ).x
        with jax.enable_x64(True):
            wide = np.r_[old, 0.0][None], np.r_[estimate, 9.0][None]
            found = np.asarray(compiled_step(*wide, rate, np.array([[True] * 4 + [False]])))[0]
        assert found[4] == 0 and abs(found.sum() - 1) < 1e-14
        np.testing.assert_allclose(found[:4], best, atol=1e-5)
        np.testing.assert_allclose(found[:4], mirrored(old, estimate, rate), rtol=1e-12)
    with jax.enable_x64(True):
        # A hundred actions and probabilities close to 0.
        extreme = np.r_[np.full(99, 1e-9), 1 - 99e-9]
        found = mirror_step(extreme[None], 5 * np.ones((1, 100)), 1.0, np.ones((1, 100), bool))
    np.testing.assert_allclose(np.asarray(found)[0], extreme, rtol=1e-9)


def test_mdp_oomd_by_hand():
    window, episode, rate = 3, 23, 0.2
    agent = agents.mdp_oomd(horizon=300, mixing=1, hitting=5, window=window, episode=episode, rate=rate)
    states, actions, _, kept, over = follow(agent, 300, SHOP)
    base = policy = SHOP.available / SHOP.available.sum(-1, keepdims=True)
    for first in range(0, 300 - episode + 1, episode):
        np.testing.assert_allclose(kept.policy[first], policy, rtol=1e-9, atol=1e-15)
        assert over[first : first + episode] == [False] * (episode - 1) + [True]
        estimate = np.zeros(policy.shape)
        for s in range(5):
            found, tau = [], first
            while tau <= first + episode - 1 - window:
                if states[tau] == s:
                    total = sum(SHOP.reward[states[i], actions[i], 0] for i in range(tau, tau + window))
                    found.append(np.eye(5)[actions[tau]] * total / policy[s, actions[tau]])
                    tau += 2 * window
                else:
                    tau += 1
            estimate[s] = np.mean(found, 0) if found else 0
        new = np.zeros((2, 5, 5))
        for s in range(5):
            can = SHOP.available[s]
            new[0, s, can] = mirrored(base[s, can], estimate[s, can], rate)
            new[1, s, can] = mirrored(new[0, s, can], estimate[s, can], rate)
        base, policy = new
    assert policy[0].max() > 0.25  # something was learnt


def test_mdp_oomd_estimates_sums_of_rewards():
    """Each sample is an unbiased estimate of what N steps earn, whatever was done before."""
    window, episode = 3, 40
    agent = agents.mdp_oomd(horizon=100, mixing=1, hitting=5, window=window, episode=episode, rate=1e-12)
    *_, kept, _ = follow(agent, 20_000, SHOP)
    ends = slice(episode - 1, None, episode)
    uniform = SHOP.available / SHOP.available.sum(-1, keepdims=True)
    expected = np.where(SHOP.available, steps_ahead(SHOP, uniform, window), 0)
    # A sum of martingale differences over each episode.
    assert_means(np.asarray(kept.total)[ends] - np.asarray(kept.samples)[ends][..., None] * expected, np.zeros((5, 5)))
    assert np.asarray(kept.samples)[ends].sum(0).min() > 50


@pytest.mark.parametrize("excitation", [1e-6, 1.0])
def test_mdp_exp2_by_hand(excitation):
    window, episode, rate = 3, 50, 0.2
    phi = LINEAR.features
    agent = agents.mdp_exp2(horizon=300, mixing=1, excitation=excitation, window=window, episode=episode, rate=rate)
    states, actions, _, kept, _ = follow(agent, 300, LINEAR)
    weight, skipped = np.zeros(3), 0
    for first in range(0, 300, episode):
        policy = np.exp(rate * phi @ weight)
        policy /= policy.sum(-1, keepdims=True)
        np.testing.assert_allclose(kept.policy[first], policy, rtol=1e-9)
        assert float(kept.skipped[first]) == skipped
        matrix, moment = np.zeros((3, 3)), np.zeros(3)
        for part in range(episode // (2 * window)):
            tau = first + 2 * window * part + window
            s = states[tau]
            matrix += sum(policy[s, b] * np.outer(phi[s, b], phi[s, b]) for b in range(3))
            moment += phi[s, actions[tau]] * sum(
                LINEAR.reward[states[i], actions[i], 0] for i in range(tau, tau + window)
            )
        if np.linalg.eigvalsh(matrix)[0] >= episode * excitation / (24 * window):
            weight = weight + np.linalg.solve(matrix, moment)
        else:
            skipped += 1
    assert skipped == (0 if excitation < 1e-3 else 6)


def test_mdp_exp2_regresses_on_sums_of_rewards():
    """What N steps earn is linear in the features, and its weights are what is estimated."""
    window, episode = 4, 80
    agent = agents.mdp_exp2(horizon=100, mixing=1, excitation=1e-6, window=window, episode=episode, rate=1e-12)
    *_, kept, _ = follow(agent, 20_000, LINEAR)
    q = steps_ahead(LINEAR, np.full((6, 3), 1 / 3), window)
    true, *_ = np.linalg.lstsq(LINEAR.features.reshape(-1, 3), q.ravel(), rcond=None)
    np.testing.assert_allclose(LINEAR.features @ true, q, rtol=1e-9)
    ends = slice(episode - 1, None, episode)
    assert_means(np.asarray(kept.moment)[ends] - np.asarray(kept.matrix)[ends] @ true, np.zeros(3))


def test_mdp_exp2_on_indicators_learns_where_actions_are_unavailable():
    agent = agents.mdp_exp2(horizon=300, mixing=1, excitation=1e-6, window=1, episode=2_000, rate=0.1)
    *_, kept, _ = follow(agent, 4_001, SHOP.replace(features=None))
    assert float(kept.skipped[-1]) == 0
    assert (np.asarray(kept.weight[-1]).reshape(5, 5)[~SHOP.available] == 0).all()
    assert (np.asarray(kept.policy[-1])[~SHOP.available] == 0).all()


def test_olsvi_fh_by_hand():
    horizon, scale, failure, stages = 400, 2e-3, 0.1, 7
    phi = np.random.default_rng(1).dirichlet(np.ones(4), (6, 2))
    agent = agents.olsvi_fh(horizon=horizon, span=SPAN, scale=scale, failure=failure, ridge=0.5, episode=stages)
    states, actions, following, _, over = follow(agent, 210, RIVER.replace(features=phi))
    beta = scale * 20 * 4 * stages * np.sqrt(np.log(4 * 4 * horizon / failure))
    capped = 0
    for first in range(0, 210, stages):
        data = list(zip(states[:first], actions[:first], following[:first], strict=True))
        matrix = 0.5 * np.eye(4) + sum((np.outer(phi[s, a], phi[s, a]) for s, a, _ in data), np.zeros((4, 4)))
        inverse = np.linalg.inv(matrix)
        length = np.sqrt(np.einsum("sad,de,sae->sa", phi, inverse, phi))
        value, plan = np.zeros(6), []
        for _ in range(stages):
            w = inverse @ sum((phi[s, a] * value[t] for s, a, t in data), np.zeros(4))
            q = np.minimum(RIVER.reward[..., 0] + phi @ w + beta * length, stages)
            value = q.max(-1)
            plan.insert(0, q.argmax(-1))
        capped += (q >= stages).any()
        assert actions[first : first + stages] == [plan[h][states[first + h]] for h in range(stages)]
        assert over[first : first + stages] == [False] * (stages - 1) + [True]
    assert 0 < capped < 30


def test_olsvi_fh_takes_their_episode_by_default():
    agent = agents.olsvi_fh(horizon=500, span=2.0)
    with jax.enable_x64(True):
        rules = agent.rules(agent.make_belief(LINEAR), jax.tree.map(jnp.asarray, LINEAR.problem), agent.options)
        begun = jax.eval_shape(rules.init, random.key(0))
    theirs = max(2**0.5 * 500**0.25 / 3**0.75, (2 * 500 / 9) ** (1 / 3))
    assert begun.plan.shape == (int(np.ceil(theirs)), 6)
    assert agents.olsvi_fh(horizon=500, span=2.0).rules == agent.rules


def best_row(estimate, radius, value, perturbation=0.0):
    """The largest p value by linear programming: boxes for a radius [next_state], else a ball in the L1 norm."""
    size = len(value)
    if np.ndim(radius):
        low, high = np.clip(estimate - radius, 0, 1), np.clip(estimate + radius, 0, 1)
        found = optimize.linprog(-value, A_eq=np.ones((1, size)), b_eq=[1], bounds=np.stack([low, high], -1))
    else:
        # p = estimate + up - down
        bounds = [(0, 1)] * size + list(zip(np.zeros(size), estimate, strict=True))
        sides = np.r_[np.ones(size), -np.ones(size)]
        found = optimize.linprog(
            -np.r_[value, -value], A_ub=np.ones((1, 2 * size)), b_ub=[radius], A_eq=sides[None], b_eq=[0], bounds=bounds
        )
        found.fun -= estimate @ value
    return -(1 - perturbation) * found.fun + perturbation * value[0]


@pytest.mark.parametrize("ball", [True, False])
@pytest.mark.parametrize("span", [0.3, 100.0])
def test_scopt_by_hand(ball, span):
    rng = np.random.default_rng(3)
    estimate, reward = rng.dirichlet(np.full(4, 0.4), (4, 2)), rng.random((4, 2))
    radius = 0.4 * rng.random((4, 2)) if ball else 0.1 * rng.random((4, 2, 4))
    near = (L1Ball if ball else Box)(radius)
    available = np.array([[True, True], [True, False], [True, True], [False, True]])
    problem = bm.MDP(transition=estimate, reward=reward, discount=None, available=available).problem
    eta, tolerance = 0.01, 1e-3
    value, sweeps = np.zeros(4), 0
    while True:
        up, down = np.full((4, 2), -np.inf), np.full((4, 2), np.inf)
        for s, a in np.argwhere(available):
            up[s, a] = reward[s, a] + best_row(estimate[s, a], radius[s, a], value, eta)
            down[s, a] = -best_row(estimate[s, a], radius[s, a], -value, eta)
        most = up.max(-1)
        after = np.minimum(most, most.min() + span)
        sweeps += 1
        if np.ptp(after - value) <= tolerance:
            break
        value = after - after.min()
    with jax.enable_x64(True):
        plan = compiled_scopt(problem, estimate, near, span, perturbation=eta, tolerance=tolerance)
    np.testing.assert_allclose(plan.value, value, atol=1e-8)
    np.testing.assert_allclose(plan.gain, ((after - value).max() + (after - value).min()) / 2, atol=1e-8)
    assert int(plan.sweeps) == sweeps and plan.converged and plan.met
    assert plan.cut.any() == (span < 1) and np.ptp(value) <= span + 1e-9
    np.testing.assert_array_equal(plan.cut, most > after)
    # A policy, of available actions, worth T v: the best action up to where the bound cuts, and the worst beyond.
    policy = np.asarray(plan.policy)
    np.testing.assert_allclose(policy.sum(-1), 1, rtol=1e-12)
    assert (policy[~available] == 0).all() and (policy >= 0).all()
    for s in range(4):
        best, worst = up[s].argmax(), down[s].argmin()
        share = (after[s] - down[s, worst]) / (most[s] - down[s, worst]) if plan.cut[s] else 1.0
        np.testing.assert_allclose(policy[s], share * np.eye(2)[best] + (1 - share) * np.eye(2)[worst], atol=1e-7)


def test_scopt_in_closed_form():
    """Two states left with probabilities p and q: a bias of span c < 1 / (p + q) leaves a gain of p c."""
    p, q = 0.2, 0.1
    kernel = np.array([[[1 - p, p]], [[q, 1 - q]]])
    problem = bm.MDP(transition=kernel, reward=[0.0, 1.0], discount=None).problem
    for span in (0.5, 2.0, 1 / (p + q) + 1):
        with jax.enable_x64(True):
            plan = compiled_scopt(problem, kernel, Box(np.zeros_like(kernel)), span, perturbation=0.0, tolerance=1e-12)
        assert float(plan.gain) == pytest.approx(min(p * span, p / (p + q)), abs=1e-9)
        assert plan.cut.tolist() == [False, span < 1 / (p + q)]


@pytest.mark.slow
def test_scopt_with_a_wide_bound_is_plain_optimism():
    rng = np.random.default_rng(5)
    estimate, reward = rng.dirichlet(np.ones(5), (5, 3)), rng.random((5, 3))
    problem = bm.MDP(transition=estimate, reward=reward, discount=None).problem
    for near in (L1Ball(rng.random((5, 3))), Box(0.2 * rng.random((5, 3, 5)))):
        with jax.enable_x64(True):
            plan = scopt(problem, estimate, near, 1e6, perturbation=0.0, tolerance=1e-10)
            other = average_policy_iteration(problem, Draws(estimate[None], problem.reward), near)
        assert float(plan.gain) == pytest.approx(float(other.gain), abs=1e-9)
        np.testing.assert_array_equal(plan.policy, np.eye(3)[np.asarray(other.policy)])


@pytest.mark.parametrize("bernstein", [True, False])
def test_scal_by_hand(bernstein):
    """Its episodes, and at their starts the plan for what was seen."""
    span, failure, scale = 3.0, 0.2, 0.3
    agent = agents.scal(span=span, failure=failure, scale=scale, bernstein=bernstein)
    planned = jax.jit(lambda *given: scopt(*given[:4], perturbation=given[4], tolerance=given[5]))
    states, actions, following, kept, over = follow(agent, 300)
    counts, before, start = np.zeros((6, 2, 6)), np.zeros((6, 2)), True
    for i, (s, a, t) in enumerate(zip(states, actions, following, strict=True)):
        if start:
            before = counts.sum(-1)
            n, time = np.maximum(before, 1), 1 + before.sum()
            share = np.where(before[..., None] > 0, counts / n[..., None], 1 / 6)
            if bernstein:
                logarithm = np.log(6 * 6 * 2 * n / failure)[..., None]
                radius = 2 * np.sqrt(share * (1 - share) * logarithm / n[..., None]) + 6 * logarithm / n[..., None]
                near = Box(scale * np.where(before[..., None] > 0, radius, 1))
            else:
                near = L1Ball(scale * np.sqrt(14 * 6 * np.log(2 * 2 * time / failure) / n))
            with jax.enable_x64(True):
                plan = planned(RIVER.problem, share, near, span, 1 / (span * time + 1), 1 / np.sqrt(time))
        np.testing.assert_allclose(kept.policy[i], plan.policy, atol=1e-12)
        counts[s, a, t] += 1
        start = counts[s, a].sum() - before[s, a] >= max(1, before[s, a])
        assert over[i] == start
    assert float(kept.failures[-1]) == 0


def passages(states, rewards, last):
    """Numbers, times and rewards of the passages between states [6, 6], from the whole path."""
    found = np.zeros((3, 6, 6))
    path = [*states, last]
    for s in range(6):
        for t in range(6):
            began = None
            for i, here in enumerate(path):
                if here == t and s != t and began is not None:
                    found[:, s, t] += 1, i - began, sum(rewards[began:i])
                    began = None
                elif here == s and began is None:
                    began = i
    return found


def test_ucb_avg_by_hand():
    horizon, span, scale, width, failure, effective = 400, 1.0, 0.1, 0.01, 0.1, 12.0
    agent = agents.ucb_avg(
        horizon=horizon, span=span, scale=scale, width=width, failure=failure, effective_horizon=effective
    )
    states, actions, following, kept, _ = follow(agent, 200)
    rewards = [RIVER.reward[s, a, 0] for s, a in zip(states, actions, strict=True)]
    logarithm = np.log(2 * horizon / failure)
    q, least, value, tries = (
        np.full((6, 2), effective),
        np.full((6, 2), effective),
        np.full(6, effective),
        np.zeros((6, 2)),
    )
    tightened = 0
    for i, (s, a, t) in enumerate(zip(states, actions, following, strict=True)):
        assert a == least[s].argmax()
        tries[s, a] += 1
        n = tries[s, a]
        rate = (effective + 1) / (effective + n)
        bonus = scale * span * np.sqrt(effective * logarithm / n)
        q[s, a] = (1 - rate) * q[s, a] + rate * (rewards[i] + (1 - 1 / effective) * value[t] + bonus)
        least[s, a] = min(least[s, a], q[s, a])
        value = np.minimum(value, least.max(-1))
        number, time, earned = passages(states[: i + 1], rewards, t)
        rho = value.max() / effective
        for x in range(6):
            for y in range(6):
                if number[x, y] + number[y, x] > 0:
                    rho = max(rho, (earned[x, y] + earned[y, x]) / (time[x, y] + time[y, x]))
        near = value.copy()
        for x in range(6):
            for y in range(6):
                bound = 2 * span if x != y else 0
                if number[y, x] > 0:
                    margin = width * span * np.sqrt(2 * time[y, x] * logarithm)
                    bound = min(bound, (rho * time[y, x] - earned[y, x] + margin) / number[y, x])
                near[x] = min(near[x], value[y] + bound)
        new = np.minimum(value, np.maximum(near, least.max(-1).min()))
        tightened += (new < value).any()
        value = new
        np.testing.assert_allclose(kept.least[i], least, rtol=1e-10)
        np.testing.assert_allclose(kept.value[i], value, rtol=1e-10)
    assert tightened > 10


def test_ucb_avg_is_optimistic_with_the_theorys_constants():
    effective = 20.0
    agent = agents.ucb_avg(horizon=3_000, span=SPAN, scale=4.0, width=1.0, effective_horizon=effective)
    best = bm.solve(RIVER.replace(discount=1 - 1 / effective))
    *_, kept, _ = follow(agent, 3_000)
    assert (np.asarray(kept.least) >= best.q.values - 1e-9).all()
    assert (np.asarray(kept.value) >= best.value.values - 1e-9).all()


RIVALS = {
    "OOMD": partial(agents.mdp_oomd, mixing=2, hitting=50, window=2, episode=50, rate=0.5),
    "EXP2": partial(agents.mdp_exp2, mixing=2, excitation=0.03, window=2, episode=100, rate=0.3),
    "OLSVI": partial(agents.olsvi_fh, span=0.87, episode=20),
    "UCB-AVG": partial(agents.ucb_avg, span=0.87),
}


@pytest.mark.slow
def test_only_available_actions_are_taken():
    rivals = {name: make(horizon=400) for name, make in RIVALS.items()} | {"SCAL": agents.scal(span=0.2, scale=0.1)}
    with pytest.warns(UserWarning, match=r"the reward of inventory-4 is not linear in its features, as agents EXP2"):
        result = bm.simulate(SHOP, rivals, steps=400, replicates=2)
    assert SHOP.available[result["state"].values, result["action"].values].all()
    assert result["cut"].sel(agent="SCAL").max() > 0


@pytest.mark.slow
def test_regret_falls_where_mixing_is_fast():
    for mdp in (bm.environments.inventory(8), bm.environments.random_linear_mdp()):
        span = float(bm.solve(mdp).attrs["span"])
        rivals = {name: make(horizon=20_000) for name, make in RIVALS.items()}
        rivals["SCAL"] = agents.scal(span=span, scale=0.03)
        if mdp.name.startswith("inventory"):
            del rivals["EXP2"]  # its policies come to leave features unseen, and then it stops learning
        regret = bm.simulate(mdp, rivals, steps=20_000, replicates=3, thin=200)["regret"].mean("replicate").values
        early, late = regret[:, :20].mean(-1), regret[:, -20:].mean(-1)
        assert ((late < 0.8 * early) | (late < 200 * 0.002)).all()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: agents.mdp_oomd(horizon=100, mixing=1, hitting=0.5), "hitting must be a number of at least 1"),
        (lambda: agents.mdp_oomd(horizon=100, mixing=1, hitting=2, window=9, episode=9), "episode .* at least 10"),
        (lambda: agents.mdp_oomd(horizon=100, mixing=1, hitting=2, rate=0), "rate must be a number above 0"),
        (lambda: agents.mdp_exp2(horizon=100, mixing=0, excitation=0.1), "mixing must be a number above 0"),
        (lambda: agents.mdp_exp2(horizon=100, mixing=1, excitation=0), "excitation must be a number above 0"),
        (lambda: agents.mdp_exp2(horizon=100, mixing=1, excitation=1, window=9, episode=17), "episode .* at least 18"),
        (lambda: agents.olsvi_fh(horizon=100, span=1, episode=0), "episode must be an integer of at least 1"),
        (lambda: agents.olsvi_fh(horizon=100, span=1, ridge=0), "ridge must be a number above 0"),
        (lambda: agents.scal(span=-1), "span must be a number of at least 0"),
        (lambda: agents.ucb_avg(horizon=100, span=1, effective_horizon=1), "effective_horizon .* at least 2"),
        (lambda: agents.ucb_avg(horizon=100, span=1, width=-1), "width must be a number of at least 0"),
    ],
)
def test_bad_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_the_agents_cannot_read_is_refused():
    with pytest.raises(ValueError, match="successor table"):
        bm.simulate(RIVER.with_successors(), {"SCAL": agents.scal(span=6)}, steps=10)
    for make in RIVALS.values():
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            bm.simulate(RIVER.replace(reward=2 * RIVER.reward), {"a": make(horizon=100)}, steps=10)


def test_their_settings():
    told = agents.mdp_oomd(horizon=1024, mixing=2, hitting=10).options
    assert (told["window"], told["episode"]) == (4 * 2 * 10, 16 * 10 * 2 * 100)
    assert told["rate"] == pytest.approx(1 / (270 * 81))
    told = agents.mdp_exp2(horizon=1000, mixing=2, excitation=0.1).options
    assert told["window"] == int(np.ceil(16 * np.log(1000))) and "episode" not in told
    assert told["rate"] == pytest.approx(0.1 / (24 * told["window"]))
