"""gamma-LSCVI-UCB clipped at the states visited: against its definition, done anew at every step, and the oracle's."""

from functools import partial

import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp import agents
from bayesmdp.problems.world import Step
from tests.agents.test_average import compiled_rules

RIVER = bm.environments.riverswim(6, discount=None)
SPAN = 6.3103
HORIZON, FAILURE = 400, 0.1
GAMMA = 1 - HORIZON**-0.5


def options(scale, span=SPAN):
    return {"horizon": HORIZON, "span": span, "scale": scale, "failure": FAILURE, "discount": GAMMA}


def by_definition(view, data, phases, *, dimension, beta, width, ridge=1.0, clip=True):
    """All sweeps of the episodes so far from the steps taken: (features, rewards) of the present state's best Q.

    `data` are (state, action, next state); `phases` the numbers of steps before each episode. In each episode V_0 is
    the last V of the one before, and every V is clipped among all states visited by the time it is used; or not at all.
    """
    cap = 1 / (1 - GAMMA)
    value = lambda s, q: max(q(s))  # noqa: E731
    least, base = cap, lambda s: cap
    for k, begun in enumerate(phases):
        last = k == len(phases) - 1
        until = len(data) if last else phases[k + 1]
        matrix = ridge * np.eye(dimension)
        for s, a, _ in data[:begun]:
            matrix += np.outer(view(s)[0][a], view(s)[0][a])
        inverse = np.linalg.inv(matrix)
        visited = {s for s, _, _ in data[:until]} | {t for _, _, t in data[:until]}
        qs, before, m = [], base, least
        for _ in range(until - begun + (1 if last else 0)):
            w = np.zeros(dimension)
            for s, a, t in data[:begun]:
                w += view(s)[0][a] * (before(t) - m)
            w = inverse @ w

            def q(s, w=w, m=m, inverse=inverse):
                phi, reward = view(s)
                bonus = beta * np.sqrt(np.einsum("ad,de,ae->a", phi, inverse, phi))
                return np.minimum(reward + GAMMA * (phi @ w + m + bonus), cap)

            known = {}
            m = min((value(s, q) for s in visited), default=cap)

            def before(s, q=q, m=m, known=known):
                if s not in known:
                    known[s] = min(max(value(s, q), m), m + width) if clip else value(s, q)
                return known[s]

            qs.append(q)
        base, least = before, m
    return lambda s: np.max([q(s) for q in qs], 0)


def follow(agent, steps, problem, start, move, seed=0):
    """An agent's rules one step at a time: (state, action, next state, the agent's own state before, begun)."""
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        told = jax.tree.map(jax.numpy.asarray, problem), dict(agent.options)
        init, begin, act, observe, ends = (partial(rule, *told) for rule in compiled_rules(agent.rules, None))
        key = jax.random.key(0)
        state, s, starts = init(key), start, True
        for _ in range(steps):
            if starts:
                state = begin(key, state)
            a = int(act(key, state, s))
            t, reward = move(rng, s, a)
            yield s, a, t, state, starts
            state = observe(key, state, Step(s, np.int32(a), t, t, np.float64(reward), np.bool_(False)))
            starts, s = bool(ends(np.float64(0.5), state, None)), t


def in_table(mdp):
    def move(rng, s, a):
        return np.int32(rng.choice(mdp.num_states, p=mdp.transition[s, a])), mdp.reward[s, a, 0]

    return np.int32(0), move, lambda s: (mdp.features[s], mdp.reward[s, :, 0])


def on_machine(machine):
    problem = machine.problem
    seen_in, drawn = jax.jit(problem.view), jax.jit(problem.draw)

    def view(s):
        with jax.enable_x64(True):
            return tuple(np.asarray(x) for x in seen_in(problem.parameters, np.float64(s)))

    kept = {}

    def cached(s):
        if s not in kept:
            kept[s] = view(s)
        return kept[s]

    def move(rng, s, a):
        with jax.enable_x64(True):
            t = drawn(problem.parameters, rng.random(2), np.float64(s), a)
        return np.float64(t), cached(float(s))[1][a]

    return np.float64(0.0), move, lambda s: cached(float(s))


def wild_features(seed, dimension=5):
    """Features of which least squares makes no averages, so that values may rise where others fall."""
    return np.random.default_rng(seed).normal(size=(6, 2, dimension)) / np.sqrt(dimension)


@pytest.mark.parametrize(
    "problem, scale, steps, clip",
    [
        ("wild", 0.003, 60, True),
        pytest.param("one-hot", 0.01, 60, True, marks=pytest.mark.slow),
        pytest.param("machine", 0.003, 60, True, marks=pytest.mark.slow),
        ("wild", 0.1, 40, False),
    ],
)
def test_it_is_what_all_sweeps_with_the_present_states_would_give(problem, scale, steps, clip):
    if problem == "machine":
        mdp = bm.environments.wearing_machine()
        start, move, view = on_machine(mdp)
        span, dimension = mdp.span, 12
    else:
        phi = wild_features(6) if problem == "wild" else np.eye(12).reshape(6, 2, 12)
        mdp = RIVER.replace(features=phi)
        start, move, view = in_table(mdp)
        span, dimension = SPAN if clip else 0.1, phi.shape[-1]
    agent = agents.gamma_lscvi_ucb_visited(**options(scale, span), clip=clip)
    beta = scale * 2 * span * dimension * np.sqrt(np.log(dimension * HORIZON / FAILURE))
    data, phases, fallen, clipped = [], [], 0, 0
    for s, a, t, state, begun in follow(agent, steps, mdp.problem, start, move):
        if begun:
            phases.append(len(data))
        s, t = s.item(), t.item()
        definition = {"dimension": dimension, "beta": beta, "width": 2 * span}
        best = by_definition(view, data, phases, **definition, clip=clip)
        if not clip and len(data) % 8 == 7:
            clipped += not np.allclose(best(s), by_definition(view, data, phases, **definition)(s))
        if len(data):
            np.testing.assert_allclose(state.present, best(s), rtol=1e-9)
        assert best(s)[a] >= best(s).max() - 1e-9
        data.append((s, a, t))
        fallen = float(state.fallen)
    assert len(phases) > 3
    # The case is worth nothing unless sweeps had to be made again.
    assert fallen >= (1 if problem != "one-hot" else 0)
    assert clip or clipped > 0


@pytest.mark.slow
def test_it_equals_the_oracle_once_all_states_were_visited():
    # Every state is soon visited, by drifting about.
    mdp = bm.environments.random_linear_mdp(6, 3, dimension=4, seed=2)
    start, move, _ = in_table(mdp)
    oracle = agents.gamma_lscvi_ucb(**options(0.02))
    compared, twin = 0, None
    with jax.enable_x64(True):
        rules = oracle.rules(None, jax.tree.map(jax.numpy.asarray, mdp.problem), oracle.options)
        begin, observe, key = jax.jit(rules.begin), jax.jit(rules.observe), jax.random.key(0)
        agent = agents.gamma_lscvi_ucb_visited(**options(0.02))
        follower = agent.rules(None, jax.tree.map(jax.numpy.asarray, mdp.problem), agent.options)
        for s, a, t, state, begun in follow(agent, 300, mdp.problem, start, move):
            slot = np.asarray(state.slot_of)
            value = np.clip(state.best, state.best.min(), state.best.min() + 2 * SPAN)[slot]
            if begun and twin is None and (slot >= 0).all():
                # The same data and the same V to begin with; states in the place of slots.
                data = state.data._replace(moved=state.data.moved[:, slot])
                twin = rules.init(key)._replace(data=data, value=jax.numpy.asarray(value))
            if begun and twin is not None:
                twin = begin(key, twin)
            if twin is not None:
                report = follower.report(state, s, np.int32(a))
                np.testing.assert_allclose(state.present, twin.pool[s], rtol=1e-9)
                np.testing.assert_allclose(report["span"], np.ptp(twin.value), rtol=1e-9)
                assert report["frozen"] == twin.frozen[s, a]
                # What is of all states is written down at an episode's first step.
                if not begun:
                    np.testing.assert_allclose(state.pool.T[slot], twin.pool, rtol=1e-9)
                    np.testing.assert_allclose(value, twin.value, rtol=1e-9)
                twin = observe(key, twin, Step(s, np.int32(a), t, t, np.float64(0.0), np.bool_(False)))
                compared += 1
    assert compared > 100


class Controlled:
    """Deviation control by the book: every version of every Q of the episode, at all states of a finite MDP."""

    def __init__(self, mdp, beta, width):
        self.mdp, self.beta, self.width, self.cap = mdp, beta, width, 1 / (1 - GAMMA)
        self.phi, self.reward = mdp.features, mdp.reward[..., 0]
        self.base, self.base_least, self.seen = np.full(mdp.num_states, self.cap), self.cap, set()
        self.qs, self.leasts, self.bound, self.fallen = [], [], 0, 0

    def begin(self, data):
        self.data = list(data)
        if self.qs:
            self.base, self.base_least = self.value(self.qs[-1], self.leasts[-1]), self.leasts[-1]
        matrix = np.eye(self.phi.shape[-1])
        for s, a, _ in data:
            matrix += np.outer(self.phi[s, a], self.phi[s, a])
        self.inverse = np.linalg.inv(matrix)
        self.length = np.sqrt(np.einsum("sad,de,sae->sa", self.phi, self.inverse, self.phi))
        self.qs, self.leasts = [], []
        self.sweep()

    def value(self, q, least):
        return np.clip(q.max(-1), least, least + self.width)

    def once(self, value, least):
        w = self.inverse @ sum(
            (self.phi[s, a] * (value[t] - least) for s, a, t in self.data), np.zeros(len(self.inverse))
        )
        return np.minimum(self.reward + GAMMA * (self.phi @ w + least + self.beta * self.length), self.cap)

    def lowest(self, q):
        return min((q[s].max() for s in self.seen), default=np.inf)

    def sweep(self):
        value, least = (
            (self.value(self.qs[-1], self.leasts[-1]), self.leasts[-1]) if self.qs else (self.base, self.base_least)
        )
        q = self.once(value, least)
        self.qs.append(q)
        self.leasts.append(self.lowest(q))

    def arrive(self, s):
        if s in self.seen:
            return
        self.seen.add(s)
        if not any(q[s].max() < least for q, least in zip(self.qs, self.leasts, strict=True)):
            return
        self.fallen += len(self.seen) > 1
        value, least, slack, qs, leasts = self.base, self.base_least, 0.0, [], []
        for old, held in zip(self.qs, self.leasts, strict=True):
            free = self.once(value, least)
            q = np.clip(free, old - slack, old)
            self.bound += bool((q != free).any())
            least = self.lowest(q)
            value = self.value(q, least)
            slack = GAMMA * max(slack, held - least)
            qs.append(q)
            leasts.append(least)
        self.qs, self.leasts = qs, leasts


def test_deviation_control_by_hand():
    mdp = RIVER.replace(features=wild_features(3), reward=np.random.default_rng(0).random((6, 2)))
    start, move, _ = in_table(mdp)
    scale = 0.003
    hand = Controlled(mdp, scale * 2 * SPAN * 5 * np.sqrt(np.log(5 * HORIZON / FAILURE)), 2 * SPAN)
    data = []
    for s, a, t, state, begun in follow(
        agents.gamma_lscvi_ucb_visited(**options(scale), versions=8), 120, mdp.problem, start, move
    ):
        if begun:
            hand.begin(data)
        elif data:
            hand.sweep()
        if data:
            np.testing.assert_allclose(state.present, np.max([q[s] for q in hand.qs], 0), rtol=1e-9)
            assert state.fallen == hand.fallen
        data.append((int(s), a, int(t)))
        hand.arrive(int(s))
        hand.arrive(int(t))
    # Without clips that bind there would be nothing to see.
    assert hand.bound > 0
    assert hand.fallen > 0


def padded(num_states):
    """The river on a successor table, among states that cannot be reached; a feature for each of the river's pairs.

    States that cannot be reached are as state 0, so that the kernel is linear in the features.
    """
    river = RIVER.with_successors()
    sizes = (num_states, *river.sizes[1:])
    successor, transition, reward = np.zeros(sizes, int), np.zeros(sizes), np.zeros(sizes[:2])
    successor[:], transition[:] = river.successor[0, 0], river.transition[0, 0]
    successor[:6], transition[:6], reward[:6] = river.successor, river.transition, river.reward[..., 0]
    phi = np.zeros((*sizes[:2], 12))
    phi[..., 0] = 1
    phi[:6] = np.eye(12).reshape(6, 2, 12)
    return bm.MDP(transition=transition, successor=successor, reward=reward, features=phi, discount=None)


@pytest.mark.slow
def test_states_that_are_never_visited_change_nothing():
    agent = {"visited": agents.gamma_lscvi_ucb_visited(horizon=300, span=SPAN, scale=0.003)}
    few, many = (bm.simulate(mdp, agent, steps=300, replicates=2) for mdp in (RIVER, padded(257)))
    assert few["visited"].values[..., -1].min() == 6
    for name, values in few.data_vars.items():
        np.testing.assert_allclose(many[name], values, rtol=1e-6, atol=1e-9, err_msg=name)
    policies = []
    for mdp in (RIVER, padded(257)):
        *_, (_, _, _, state, _) = follow(agent["visited"], 100, mdp.problem, *in_table(RIVER)[:2])
        with jax.enable_x64(True):
            rules = agent["visited"].rules(None, jax.tree.map(jax.numpy.asarray, mdp.problem), agent["visited"].options)
            policies.append(np.asarray(rules.policy(state))[:6])
            assert (
                policies[-1][int(np.flatnonzero(np.asarray(state.slot_of) == state.here)[0])] == state.present.argmax()
            )
    np.testing.assert_array_equal(*policies)


def written(jaxpr):
    """All arrays that a program makes, by its operations: (name, shape)."""
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            yield equation.primitive.name, variable.aval.shape
        for part in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "jaxpr") or hasattr(x, "eqns")
        ):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield from written(inner)


@pytest.mark.parametrize("versions", [1, 3])
def test_no_operation_of_a_step_is_as_long_as_the_states_or_the_room(versions):
    states, horizon = 1_031, 300
    slots = 320  # what 301 states take in blocks of 32
    agent = agents.gamma_lscvi_ucb_visited(horizon=horizon, span=SPAN, sweeps=50, versions=versions)
    with jax.enable_x64(True):
        rules = agent.rules(None, jax.tree.map(jax.numpy.asarray, padded(states).problem), agent.options)
        state, key = rules.init(jax.random.key(0)), jax.random.key(0)
        assert state.pool.shape == (2, slots) and state.slot_of.shape == (states,)
        s, a = np.int32(0), np.int32(1)
        step = Step(s, a, s, s, np.float64(0.0), np.bool_(False))
        traced = [
            jax.make_jaxpr(rules.begin)(key, state),
            jax.make_jaxpr(rules.act)(key, state, s),
            jax.make_jaxpr(rules.observe)(key, state, step),
            jax.make_jaxpr(rules.ends)(np.float64(0.5), state, step),
            jax.make_jaxpr(rules.report)(state, s, a),
        ]
    made = [each for program in traced for each in written(program.jaxpr)]
    assert len(made) > 300
    # What is so long is handed on by loops and written to in one place, and nothing else.
    long = {name for name, shape in made if {states, slots} & set(shape)}
    assert long <= {"while", "dynamic_update_slice", "jit", "pjit"}, long
    assert "dynamic_update_slice" in long


@pytest.mark.slow
def test_more_steps_than_there_is_room_for_states_are_refused():
    agent = {"visited": agents.gamma_lscvi_ucb_visited(horizon=20, span=SPAN)}
    with pytest.raises(ValueError, match=r"room for the states of 20 steps, fewer than mdp has; steps is 30: .*=30"):
        bm.simulate(padded(22), agent, steps=30, replicates=1)
    assert bm.simulate(padded(21), agent, steps=30, replicates=1)["action"].shape == (1, 1, 30)
