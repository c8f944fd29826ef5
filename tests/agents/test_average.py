"""Agents for the average reward: each against a slow NumPy version of its algorithm, and what it must show."""

from functools import cache, partial

import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp import agents
from bayesmdp.models import dirichlet_transitions
from bayesmdp.problems.world import Step, tabular_world

RIVER = bm.environments.riverswim(6, discount=None)
SPAN = 6.3103
SMALL_SPAN = 0.5  # far below the river's, so that values are clipped


@cache
def compiled_rules(make_rules, belief):
    """Compiled rules, each a function of the problem and the options too, so that agents that differ in these share."""

    def rule(name):
        return jax.jit(lambda problem, options, *given: getattr(make_rules(belief, problem, options), name)(*given))

    return [rule(name) for name in ("init", "begin", "act", "observe", "ends")]


def follow(agent, steps, mdp=RIVER, seed=0):
    """An agent's rules run one step at a time: states, actions, and its own state after each step."""
    rng = np.random.default_rng(seed)
    key = jax.random.key(0)
    with jax.enable_x64(True):
        told = jax.tree.map(jax.numpy.asarray, mdp.problem), dict(agent.options)
        init, begin, act, observe, ends = (
            partial(rule, *told) for rule in compiled_rules(agent.rules, agent.make_belief(mdp))
        )
        state, s, starts = init(key), 0, True
        for _ in range(steps):
            if starts:
                state = begin(key, state)
            a = int(act(key, state, s))
            t = int(rng.choice(mdp.num_states, p=mdp.transition[s, a]))
            step = Step(*(np.int32(x) for x in (s, a, t, t)), np.float64(mdp.reward[s, a, 0]), np.bool_(False))
            state = observe(key, state, step)
            starts = bool(ends(np.float64(0.5), state, step))
            yield s, a, t, state, starts
            s = t


def drawn_variance(values, shares):
    """The variance of a value drawn with these shares, pair by pair: E (X - Y)^2 / 2, of two that are independent."""
    return (np.outer(shares, shares) * np.subtract.outer(values, values) ** 2).sum() / 2


@pytest.mark.parametrize(
    ("estimate", "bernstein", "clip"),
    [
        ("recentred", False, True),
        ("visited", False, True),
        ("naive", False, True),
        ("recentred", True, True),
        ("visited", True, True),
        ("recentred", False, False),
    ],
)
def test_gamma_ucb_cvi_by_hand(estimate, bernstein, clip):
    horizon, scale, failure = 400, 0.05, 0.1
    told = {"horizon": horizon, "span": SMALL_SPAN, "scale": scale, "failure": failure}
    agent = agents.gamma_ucb_cvi(**told, estimate=estimate, bernstein=bernstein, clip=clip)
    gamma, width, logarithm = 1 - horizon**-0.5, 2 * SMALL_SPAN, np.log(6 * 2 * horizon / failure)
    beta = scale * width * np.sqrt(6 * logarithm)
    q, value = np.full((6, 2), 1 / (1 - gamma)), np.full(6, 1 / (1 - gamma))
    counts, clipped = np.zeros((6, 2, 6)), 0
    for s, a, t, state, _ in follow(agent, 150):
        assert a == q[s].argmax()
        counts[s, a, t] += 1
        for i in range(6):
            for j in range(2):
                n = counts[i, j].sum() + (estimate != "visited")
                if n == 0:
                    continue
                least = value.min() if estimate == "recentred" else 0
                expected = counts[i, j] @ (value - least) / n + least
                bonus = beta / np.sqrt(n)
                if bernstein:
                    row = counts[i, j].copy()
                    row[value.argmin()] += estimate == "recentred"  # where the visit that is missing leads
                    variance = drawn_variance(value, row / n)
                    bonus = scale * (np.sqrt(2 * variance * logarithm / n) + 7 * width * logarithm / (3 * n))
                np.testing.assert_allclose(state.bonus[i, j], bonus, rtol=1e-6)
                q[i, j] = min(q[i, j], RIVER.reward[i, j, 0] + gamma * (expected + bonus))
        value = np.minimum(q.max(-1), value)
        above = np.sum((value > value.min()) & (value - value.min() >= width - 1e-9))
        clipped += above
        assert state.clipped == pytest.approx(above / 6)
        value = np.minimum(value, value.min() + width) if clip else value
        np.testing.assert_allclose(state.q, q, rtol=1e-9)
        np.testing.assert_allclose(state.value, value, rtol=1e-9)
    assert clipped


@pytest.mark.parametrize("pooling", ["max", "minimum", "none"])
def test_gamma_lscvi_ucb_by_hand(pooling):
    horizon, scale, failure = 400, 0.02, 0.1
    rng = np.random.default_rng(1)
    phi = rng.dirichlet(np.ones(4), (6, 2))
    agent = agents.gamma_lscvi_ucb(horizon=horizon, span=SMALL_SPAN, scale=scale, failure=failure, pooling=pooling)
    gamma, width = 1 - horizon**-0.5, 2 * SMALL_SPAN
    beta, cap = scale * width * 4 * np.sqrt(np.log(4 * horizon / failure)), 1 / (1 - gamma)
    value, matrix, data, known = np.full(6, cap), np.eye(4), [], None
    lowest, clipped, frozen = np.full((6, 2), cap), 0, []
    for s, a, t, state, over in follow(agent, 150, RIVER.replace(features=phi)):
        if known is None or np.linalg.det(matrix) > 2 * np.linalg.det(known):
            known, used, sweeps, plans = matrix.copy(), list(data), [], []
        inverse = np.linalg.inv(known)
        w = inverse @ sum((phi[i, j] * (value[k] - value.min()) for i, j, k in used), np.zeros(4))
        length = np.sqrt(np.einsum("sad,de,sae->sa", phi, inverse, phi))
        sweeps.append(np.minimum(RIVER.reward[..., 0] + gamma * (phi @ w + value.min() + beta * length), cap))
        # The least is of all sweeps that there have been, and V is made of it.
        lowest = np.minimum(lowest, sweeps[-1])
        plans.append({"max": np.max(sweeps, 0), "minimum": lowest, "none": sweeps[-1]}[pooling])
        best = np.minimum(lowest.max(-1), value) if pooling == "minimum" else sweeps[-1].max(-1)
        value = np.minimum(best, best.min() + width)
        clipped += (best - best.min() >= width - 1e-9).any()
        assert a == plans[-1][s].argmax()
        frozen.append(np.ptp([plan[s, a] for plan in plans]) < 1e-7)
        matrix += np.outer(phi[s, a], phi[s, a])
        data.append((s, a, t))
        assert over == (np.linalg.det(matrix) > 2 * np.linalg.det(known))
        if over:
            np.testing.assert_allclose(state.pool, plans[-1], rtol=1e-9)
            np.testing.assert_allclose(state.value, value, rtol=1e-9)
            assert bool(state.frozen[s, a]) == frozen[-1]
    # What the paper acts by hardly changes within an episode; the others do.
    assert clipped and (np.mean(frozen) > 0.9) == (pooling == "max")


def test_poolings_and_bonuses_are_numbers_of_one_program():
    for make, name, choices in (
        (agents.gamma_lscvi_ucb, "pooling", ("max", "minimum", "none")),
        (agents.gamma_ucb_cvi, "bernstein", (False, True)),
    ):
        made = [make(horizon=100, span=1, **{name: choice}) for choice in choices]
        assert len({agent.rules for agent in made}) == 1
        assert len({tuple(agent.options) for agent in made}) == 1
        assert len({tuple(agent.options.values()) for agent in made}) == len(choices)


def test_the_variance_of_v_is_that_of_the_outcomes_seen():
    horizon, failure = 400, 0.1
    agent = agents.gamma_ucb_cvi(
        horizon=horizon, span=SMALL_SPAN, scale=1.0, failure=failure, estimate="visited", bernstein=True
    )
    logarithm = np.log(6 * 2 * horizon / failure)
    with jax.enable_x64(True):
        told = jax.tree.map(jax.numpy.asarray, RIVER.problem), dict(agent.options)
        init, _, _, observe, _ = (partial(rule, *told) for rule in compiled_rules(agent.rules, None))
        start = jax.tree.map(np.array, init(jax.random.key(0)))
        rng = np.random.default_rng(2)
        value = 30 + rng.random(6)
        outcomes = rng.integers(0, 6, 7)
        counts = np.bincount(outcomes, minlength=6).astype(float)
        start.counts[2, 1], start.visits[2, 1] = counts - np.eye(6)[outcomes[-1]], 6
        state = start._replace(value=value)
        last = int(outcomes[-1])
        step = Step(*(np.int32(x) for x in (2, 1, last, last)), np.float64(0), np.bool_(False))
        bonus = float(np.asarray(observe(jax.random.key(0), state, step).bonus)[2, 1])
    expected = np.sqrt(2 * np.var(value[outcomes]) * logarithm / 7) + 7 * logarithm / (3 * 7)
    assert bonus == pytest.approx(expected, rel=1e-12)


def test_gamma_lscvi_ucb_planned_by_hand():
    horizon, scale, failure = 120, 0.02, 0.1
    phi = np.random.default_rng(1).dirichlet(np.ones(4), (6, 2))
    agent = agents.gamma_lscvi_ucb_planned(horizon=horizon, span=SMALL_SPAN, scale=scale, failure=failure)
    gamma, width = 1 - horizon**-0.5, 2 * SMALL_SPAN
    beta, cap = scale * width * 4 * np.sqrt(np.log(4 * horizon / failure)), 1 / (1 - gamma)
    matrix, data, known, clipped = np.eye(4), [], None, 0
    for taken, (s, a, t, _, _) in enumerate(follow(agent, horizon, RIVER.replace(features=phi))):
        if known is None or np.linalg.det(matrix) > 2 * np.linalg.det(known):
            known, used, begun = matrix.copy(), list(data), taken
            inverse = np.linalg.inv(known)
            length = np.sqrt(np.einsum("sad,de,sae->sa", phi, inverse, phi))
            value, plan = np.full(6, cap), []
            for _ in range(horizon - begun):
                w = inverse @ sum((phi[i, j] * (value[k] - value.min()) for i, j, k in used), np.zeros(4))
                q = np.minimum(RIVER.reward[..., 0] + gamma * (phi @ w + value.min() + beta * length), cap)
                value = np.minimum(q.max(-1), q.max(-1).min() + width)
                clipped += np.ptp(q.max(-1)) > width
                plan.append(q)
        q = plan[horizon - taken - 1]
        assert q[s, a] >= q[s].max() - 1e-9
        matrix += np.outer(phi[s, a], phi[s, a])
        data.append((s, a, t))
    assert clipped


def optimistic_runs(agent, steps, runs):
    """The share of runs in which V was never below the discounted optimum, and how far it came down from its cap."""
    gamma = agent.options["discount"]
    best = np.asarray(bm.solve(RIVER.replace(discount=gamma)).value)
    with jax.enable_x64(True):
        problem = jax.tree.map(jax.numpy.asarray, RIVER.problem)
        rules = agent.rules(None, problem, agent.options)
        start, take, *_ = tabular_world(problem, jax.numpy.asarray(RIVER.transition))
        key = jax.random.key(0)

        def one(carry, uniforms):
            state, s, starts = carry
            state = jax.lax.cond(starts, lambda state: rules.begin(key, state), lambda state: state, state)
            above = (state.value - best).min()
            step, following = take(uniforms, s, rules.act(key, state, s))
            state = rules.observe(key, state, step)
            return (state, following, rules.ends(uniforms[2], state, step)), (above, state.value.min() - best.min())

        def run(uniforms):
            return jax.lax.scan(one, (rules.init(key), start(key), jax.numpy.array(True)), uniforms)[1]

        run = jax.jit(run)
        lowest = [[x.min() for x in run(jax.random.uniform(jax.random.key(i), (steps, 3)))] for i in range(runs)]
    above, left = np.array(lowest).T
    return (above >= -1e-9).mean(), left.mean()


@pytest.mark.parametrize(
    ("name", "scale", "more"),
    [
        ("gamma_ucb_cvi", 0.03, {}),
        ("gamma_ucb_cvi", 0.1, {"bernstein": True}),
        pytest.param("gamma_lscvi_ucb", 0.003, {}, marks=pytest.mark.slow),
    ],
)
def test_optimism_with_the_bonus_of_the_theory_and_with_far_less(name, scale, more):
    options = {"horizon": 5_000, "span": SPAN, "failure": 0.1, **more}
    assert optimistic_runs(getattr(agents, name)(scale=1.0, **options), 5_000, 20)[0] == 1
    # There V never leaves its cap, 71, so that says little. Here it comes down to a few units above the optimum.
    share, left = optimistic_runs(getattr(agents, name)(scale=scale, **options), 5_000, 20)
    assert share == 1
    assert left < 10
    assert optimistic_runs(getattr(agents, name)(scale=0.0, **options), 5_000, 20)[0] == 0


def regret(steps=20_000, replicates=4, **named):
    result = bm.simulate(RIVER, named, steps=steps, replicates=replicates, thin=steps // 100)
    return result["regret"].sum("step").mean("replicate").to_series()


@pytest.mark.slow
def test_the_naive_backup_never_learns():
    """Missing visits that count as worth nothing cost more than any bonus gives: linear regret, whatever the scale."""
    make = agents.gamma_ucb_cvi
    options = {"horizon": 20_000, "span": SPAN}
    found = regret(
        recentred=make(**options),
        visited=make(estimate="visited", **options),
        naive=make(estimate="naive", **options),
        louder=make(estimate="naive", scale=1.0, **options),
    )
    assert (found[["recentred", "visited"]] < 300).all()
    # Always left: every step loses the gain less .005.
    assert (found[["naive", "louder"]] > 0.98 * 20_000 * (0.4286224338 - 0.005)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "doors", "scale", "steps"),
    [(agents.gamma_ucb_cvi, 100, 1.0, 5_000), (agents.gamma_lscvi_ucb, 25, 0.05, 2_000)],
)
def test_clipping_binds_and_pays_where_a_room_is_rare(make, doors, scale, steps):
    """Optimism about a room that is not worth looking for is worth more than H, unless it is clipped."""
    room = bm.environments.rare_room(doors, ways=1, chance=0.2)
    # An indicator of each pair that is there; those of looks by other doors are not.
    indicators = np.zeros((2, doors, 2 + doors))
    indicators[0, [0, 1], [0, 1]] = indicators[1, range(doors), range(2, 2 + doors)] = 1
    room = room.replace(features=indicators)
    told = {"horizon": steps, "span": 0.5, "scale": scale}
    pair = {"clipped": make(**told), "free": make(**told, clip=False)}
    result = bm.simulate(room, pair, steps=steps, replicates=3, thin=steps // 100)
    lost = result["gap"].sum("step").mean("replicate")
    assert lost.sel(agent="free") > 2.5 * lost.sel(agent="clipped")
    # One of the two states, in nearly all steps; it is held there, and would not stay.
    assert (result["clipped"].mean("step") > 0.35).all()
    span = result["span"].mean("step")
    assert (span.sel(agent="clipped") <= 1 + 1e-9).all() and (span.sel(agent="free") > 1.2).all()


def test_regret_of_the_average_reward():
    """Its sum is T times the gain less the mean rewards of what was done."""
    result = bm.simulate(RIVER, {"PSRL": agents.psrl(dirichlet_transitions(RIVER))}, steps=300, replicates=2)
    done = RIVER.reward[result["state"].values, result["action"].values, 0]
    np.testing.assert_allclose(result["regret"], 0.4286224337994 - done, atol=1e-6)
    # Gaps, by the optimality equation; they never pay back.
    best = bm.solve(RIVER)
    worth = RIVER.reward[..., 0] + RIVER.transition @ best.value.values
    gap = (worth.max(1, keepdims=True) - worth)[result["state"].values, result["action"].values]
    np.testing.assert_allclose(result["gap"], gap, atol=1e-6)
    # What they sum to is regret, but for where the run begins and ends, and luck of mean 0.
    moved = best.value.values[result["state"].values[..., 0]] - best.value.values[result["state"].values[..., -1]]
    luck = result["regret"].sum("step") - result["gap"].sum("step") - moved
    assert abs(luck.values).max() < 5 * SPAN * 300**0.5 / 2


def test_a_period_doubles_visits():
    agent = agents.psrl(dirichlet_transitions(RIVER))
    visits, before = np.zeros((6, 2)), np.zeros((6, 2))
    for s, a, _, _, over in follow(agent, 200):
        visits[s, a] += 1
        assert over == (visits[s, a] - before[s, a] >= max(1, before[s, a]))
        before = visits.copy() if over else before


@pytest.mark.parametrize("bernstein", [False, True])
def test_ucrl2_by_hand(bernstein):
    """Its radii are the theory's, so that the truth is within them, and its plans promise more than the true gain."""
    agent, delta = agents.ucrl2(bernstein=bernstein), 0.1
    counts, starts, plans = np.zeros((6, 2, 6)), True, 0
    for taken, (s, a, t, state, over) in enumerate(follow(agent, 400)):
        if starts:
            visits = counts.sum(-1)
            n = np.maximum(visits, 1)
            share = np.where(visits[..., None] > 0, counts / n[..., None], 1 / 6)
            radius = np.sqrt(14 * 6 * np.log(2 * 2 * (1 + taken) / delta) / n)
            if bernstein:
                logarithm = np.log(6 * 6 * 2 * n / delta)[..., None]
                box = 2 * np.sqrt(share * (1 - share) * logarithm / n[..., None]) + 6 * logarithm / n[..., None]
                box = np.where(visits[..., None] > 0, box, 1)
                assert (abs(RIVER.transition - share) <= box).all()
                radius = box.sum(-1)
            else:
                assert (abs(RIVER.transition - share).sum(-1) <= np.maximum(radius, 0)).all()
            plans += 1
        np.testing.assert_allclose(state.account["radius"], radius, rtol=1e-12)
        counts[s, a, t] += 1
        starts = over
    assert plans > 8


def test_optimistic_q_learning_by_hand():
    horizon, scale, delta, effective = 400, 0.01, 0.1, 15.0
    agent = agents.optimistic_q_learning(
        horizon=horizon, span=SPAN, scale=scale, failure=delta, effective_horizon=effective
    )
    q, best, tries = np.full((6, 2), effective), np.full((6, 2), effective), np.zeros((6, 2))
    for s, a, t, state, _ in follow(agent, 200):
        assert a == best[s].argmax()
        tries[s, a] += 1
        rate = (effective + 1) / (effective + tries[s, a])
        bonus = 4 * SPAN * np.sqrt(effective / tries[s, a] * np.log(2 * horizon / delta))
        aim = RIVER.reward[s, a, 0] + (1 - 1 / effective) * best[t].max() + scale * bonus
        q[s, a] += rate * (aim - q[s, a])
        best[s, a] = min(best[s, a], q[s, a])
        np.testing.assert_allclose(state.q, q, rtol=1e-12)
        np.testing.assert_allclose(state.least, best, rtol=1e-12)
    theirs = agents.optimistic_q_learning(horizon=20_000, span=SPAN)
    with jax.enable_x64(True):
        rules = theirs.rules(None, RIVER.problem, theirs.options)
        first = float(rules.init(jax.random.key(0)).q[0, 0])
    ends = np.sqrt(SPAN * 20_000 / 12), (20_000 / (6**2 * 2 * np.log(4 * 20_000 / 0.1))) ** (1 / 3)
    assert first == pytest.approx(max(min(ends), 2), rel=1e-12)


@pytest.mark.slow
def test_ucrl2_plans_converge_and_few_times():
    for bernstein in (False, True):
        agent = agents.ucrl2(bernstein=bernstein)
        result = bm.simulate(RIVER, {"UCRL2": agent}, steps=2_000, replicates=3)
        assert (result["failures"] == 0).all()
        assert (result["period"][..., -1] < 12 * np.log2(8 * 2_000 / 12)).all()
    found = regret(small=agents.ucrl2(scale=0.1), boxes=agents.ucrl2(bernstein=True, scale=0.1))
    assert (found < 1_000).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"reward\[5, 1, 0\] = 2, which is outside \[0, 1\]"):
        bm.simulate(RIVER.replace(reward=2 * RIVER.reward), {"a": agents.gamma_ucb_cvi(horizon=100, span=1)}, steps=10)
    with pytest.raises(ValueError, match=r"features has shape \(5, 2, 3\)"):
        RIVER.replace(features=np.ones((5, 2, 3)))
    with pytest.raises(ValueError, match="estimate must be one of recentred, visited, naive"):
        agents.gamma_ucb_cvi(horizon=100, span=1, estimate="other")
    with pytest.raises(ValueError, match="pooling must be one of max, minimum, none"):
        agents.gamma_lscvi_ucb(horizon=100, span=1, pooling="least")
    with pytest.raises(ValueError, match="span must be a number of at least 0"):
        agents.gamma_ucb_cvi(horizon=100, span=-1)
    islands = bm.MDP(transition=np.eye(2)[:, None], reward=[0.0, 1.0], discount=None, states=("here", "there"))
    with pytest.raises(ValueError, match="'there' cannot be reached from 'here'"):
        bm.simulate(islands, {"a": agents.ucrl2()}, steps=10)
    with pytest.raises(ValueError, match="the reward of riverswim-6 depends on where a step leads"):
        moody = RIVER.replace(reward=np.random.default_rng(0).random((6, 2, 6)))
        bm.simulate(moody, {"a": agents.gamma_ucb_cvi(horizon=100, span=1)}, steps=10)
