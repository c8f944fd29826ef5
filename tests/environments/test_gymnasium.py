"""Gymnasium both ways, against its own tables and its own random play."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy import stats

import bayesmdp as bm
from bayesmdp.environments import (
    collect_gymnasium,
    from_gymnasium,
    frozen_lake,
    policy_function,
    riverswim,
    to_gymnasium,
)
from tests.statistical import assert_means, assert_p_value

# Gymnasium warns of all but the newest version.
TAXI, CLIFF = (max(key for key in gymnasium.registry if key.startswith(name)) for name in ("Taxi-v", "CliffWalking-v"))
TABLES = {
    "FrozenLake-v1 4x4": ("FrozenLake-v1", {"map_name": "4x4"}),
    "FrozenLake-v1 8x8": ("FrozenLake-v1", {"map_name": "8x8"}),
    "FrozenLake-v1 not slippery": ("FrozenLake-v1", {"is_slippery": False}),
    "CliffWalking": (CLIFF, {}),
    "CliffWalking, slippery": (CLIFF, {"is_slippery": True}),
    "Taxi": (TAXI, {}),
    "Taxi, rainy": (TAXI, {"is_rainy": True}),
    "Taxi, fickle": (TAXI, {"fickle_passenger": True}),
}


def iterate_table(table, discount):
    """Optimal values [state] straight on a toy-text table whose states offer all actions."""
    num_actions = len(table[0])
    rows = [(s * num_actions + a, *row) for s in table for a in table[s] for row in table[s][a]]
    pair, probability, after, reward, ends = map(np.array, zip(*rows, strict=True))
    value = np.zeros(len(table))
    while True:
        gain = probability * (reward + discount * ~ends * value[after])
        better = np.bincount(pair, weights=gain).reshape(len(table), num_actions).max(-1)
        if np.abs(better - value).max() < 1e-11 * (1 - discount):
            return better
        value = better


def small_mdp(**changes):
    """Three patients' states and two ends, with labels, a mask, rewards of transitions and a random start."""
    rng = np.random.default_rng(3)
    transition = rng.dirichlet(np.ones(5), (5, 3))
    available = np.ones((5, 3), bool)
    available[0, 1] = available[2, [0, 2]] = False
    arguments = {
        "transition": transition,
        "reward": rng.normal(-1, 1, (5, 3, 5)),
        "discount": 0.9,
        "states": ("ill", "worse", "better", "dead", "well"),
        "actions": ("wait", "operate", "discharge"),
        "terminal": ["dead", "well"],
        "available": available,
        "initial": [0.5, 0.25, 0.25, 0, 0],
        "name": "a small ward",
    }
    return bm.MDP(**(arguments | changes))


MDPS = {
    "riverswim": lambda: riverswim(6),
    "frozen lake": frozen_lake,
    "frozen lake, successors": lambda: frozen_lake().with_successors(),
    "masked": small_mdp,
    "masked, successors": lambda: small_mdp().with_successors(),
}


@pytest.mark.parametrize("name, options", TABLES.values(), ids=TABLES)
def test_values_are_those_of_the_table(name, options):
    env = gymnasium.make(name, **options)
    mdp = from_gymnasium(env, discount=0.9)
    value = bm.solve(mdp).value.values[: env.observation_space.n]
    live = ~mdp.terminal[: len(value)]
    assert mdp.successor is not None and live.sum() > 0.6 * len(value)
    np.testing.assert_allclose(value[live], iterate_table(env.unwrapped.P, 0.9)[live], rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(mdp.initial[: len(value)], env.unwrapped.initial_state_distrib)
    np.testing.assert_allclose(mdp.transition.sum(-1), 1, atol=1e-12)


def test_frozen_lake_value_at_the_start():
    assert bm.solve(from_gymnasium("FrozenLake-v1")).value.values[0] == pytest.approx(0.5420259320, abs=1e-9)


@pytest.mark.parametrize("layout", ["4x4", "8x8"])
def test_our_lake_is_gymnasiums(layout):
    theirs, ours = from_gymnasium("FrozenLake-v1", map_name=layout), frozen_lake(layout).with_successors()
    np.testing.assert_array_equal(theirs.terminal, ours.terminal)
    live = ~ours.terminal
    np.testing.assert_array_equal(theirs.successor[live], ours.successor[live])
    np.testing.assert_allclose(theirs.transition[live], ours.transition[live], atol=1e-15)
    np.testing.assert_array_equal(theirs.reward[live] * (theirs.transition[live] > 0), ours.reward[live])


def test_a_state_becomes_terminal_only_if_all_ways_into_it_end():
    assert from_gymnasium(CLIFF).terminal.nonzero()[0].tolist() == [47]
    taxi = from_gymnasium(TAXI)
    assert taxi.states == tuple(range(501)) and taxi.terminal.nonzero()[0].tolist() == [500]
    # Dropping a passenger off at the first stand, where he wants to go, ends in the extra state and earns 20.
    home = gymnasium.make(TAXI).unwrapped.encode(0, 0, 4, 0)
    assert taxi.successor[home, 5].tolist() == [500] and taxi.reward[home, 5].tolist() == [20]


class Table(gymnasium.Env):
    """An environment that is nothing but its table."""

    def __init__(self, table, start=0, states=3, actions=2):
        self.P, self.initial_state_distrib = table, np.eye(states)[0]
        self.observation_space = gymnasium.spaces.Discrete(states, start=start)
        self.action_space = gymnasium.spaces.Discrete(actions, start=start)


def test_outcomes_that_lead_to_one_state_are_one_with_their_mean_reward():
    # State 1 is entered both for good and not; state 2 only for good, but goes on in the table, which does not count.
    rows = [(0.25, 1, 4.0, False), (0.25, 1, 2.0, False), (0.25, 1, 8.0, True), (0.0, 0, 9.0, False)]
    table = {
        0: {0: [*rows, (0.25, 2, 1.0, True)], 1: []},
        1: {0: [(1.0, 2, 5.0, True)], 1: [(0.5, 0, 1.0, True), (0.5, 1, 0.0, True)]},
        2: {0: [(1.0, 1, 3.0, False)], 1: [(1.0, 2, 3.0, True)]},
    }
    mdp = from_gymnasium(Table(table), discount=0.5)
    assert mdp.terminal.tolist() == [False, False, True, True]
    assert mdp.available.tolist() == [[True, False], [True, True], [True, True], [True, True]]
    assert mdp.successor[0, 0].tolist() == [1, 2, 3] and mdp.successor[1, 0].tolist() == [2, 2, 2]
    assert mdp.transition[0, 0].tolist() == [0.5, 0.25, 0.25] and mdp.transition[1, 1].tolist() == [1, 0, 0]
    assert mdp.reward[0, 0].tolist() == [3, 1, 8] and mdp.reward[1, 1, 0] == 0.5
    # By hand: V(1) = 5; V(0) = (4 + 2 + 8 + 1) / 4 + V(1) / 4.
    np.testing.assert_allclose(bm.solve(mdp).value, [5, 5, 0, 0], atol=1e-9)


def test_numbers_that_start_elsewhere_are_the_labels():
    env = Table({5: {5: [(1.0, 6, 1.0, False)]}, 6: {5: [(1.0, 5, 2.0, True)]}}, start=5, states=2, actions=1)
    mdp = from_gymnasium(env, initial=5)
    assert (mdp.states, mdp.actions, mdp.terminal.tolist()) == ((5, 6, 7), (5,), [False, False, True])


@pytest.mark.parametrize("make", MDPS.values(), ids=MDPS)
@pytest.mark.parametrize("unavailable", ["mean", "raise"])
def test_there_and_back(make, unavailable):
    mdp = make()
    back = from_gymnasium(to_gymnasium(mdp, unavailable=unavailable), discount=mdp.discount, name=mdp.name)
    np.testing.assert_allclose(bm.solve(back).value, bm.solve(mdp).value, atol=1e-9)
    np.testing.assert_array_equal(back.terminal, mdp.terminal)
    np.testing.assert_array_equal(back.initial, mdp.initial)
    if unavailable == "raise":
        np.testing.assert_array_equal(back.available, mdp.available)
    if unavailable == "mean" or mdp.available.all():
        uniform = np.full(mdp.available.shape, 1 / mdp.num_actions)
        assert back.available.all()
        # Mean actions keep the uniform policy only where they are drawn from it: state by state, the same average.
        mean = mdp.available / mdp.available.sum(-1, keepdims=True)
        mixed = (mdp.available + (~mdp.available).sum(-1, keepdims=True) * mean) / mdp.num_actions
        np.testing.assert_allclose(bm.evaluate(back, uniform), bm.evaluate(mdp, mixed), atol=1e-9)


@pytest.mark.parametrize("make", MDPS.values(), ids=MDPS)
@pytest.mark.parametrize("options", [{}, {"max_steps": 7}, {"render_mode": "ansi"}], ids=str)
def test_gymnasiums_checker_is_content(make, options):
    check_env(to_gymnasium(make(), **options))


def played(env, states):
    """Whether what several environments tell of their states is right at each of 30 steps, through resets of theirs."""
    env.action_space.seed(0)
    observation, info = env.reset(seed=3)
    for _ in range(30):
        yield list(info["state"]) == [states[place] for place in observation]
        observation, *_, info = env.step(env.action_space.sample())


@pytest.mark.parametrize("make", MDPS.values(), ids=MDPS)
def test_several_at_once(make):
    mdp = make()
    env = gymnasium.make_vec(to_gymnasium(mdp, max_steps=7).spec, num_envs=4, vectorization_mode="sync")
    assert all(played(env, mdp.states))
    _, info = env.reset(seed=[5, 6, 7, 8])
    single = [to_gymnasium(mdp).reset(seed=seed)[1] for seed in (5, 6, 7, 8)]
    assert list(info["state"]) == [told["state"] for told in single]
    np.testing.assert_array_equal(info["action_mask"], [told["action_mask"] for told in single])


@pytest.mark.parametrize("noise", [np.array([[0.5, 0.0]]), "bernoulli"], ids=["normal", "bernoulli"])
def test_rewards_scatter_in_gymnasium_as_in_the_simulator(noise):
    """A pair without noise pays its mean; the other's rewards have the distribution that the problem says."""
    arms = bm.MDP(transition=np.ones((1, 2, 1)), reward=[[0.3, 1.0]], discount=0.9, noise=noise)
    env = to_gymnasium(arms)
    env.reset(seed=0)
    scattered, certain = (np.array([env.step(arm)[1] for _ in range(400)]) for arm in (0, 1))
    assert (certain == 1).all()
    assert env.unwrapped.P[0][0] == [(1.0, 0, 0.3, False)]
    if isinstance(noise, str):
        assert_p_value(stats.binomtest(int(scattered.sum()), 400, 0.3).pvalue)
        assert set(scattered) == {0, 1}
    else:
        assert_p_value(stats.kstest(scattered, stats.norm(0.3, 0.5).cdf).pvalue)


def test_episodes_of_a_problem_with_a_horizon_have_its_length():
    river = riverswim(6).replace(discount=None, horizon=7)
    for env, last in ((to_gymnasium(river), [6, 13]), (to_gymnasium(river, max_steps=8), [7, 15])):
        assert collect_gymnasium(env, steps=20).truncated.values.nonzero()[0].tolist() == last


LABELS = [
    ["calm", 7],
    [7, "calm"],
    [1, 2.5],
    [True, "x"],
    [3, (0, 1)],
    [(0, 1), "end", 3],
    [7, None],
    [2**70, 1],
    [np.int64(3), "q", np.float32(0.5)],
    [np.str_("a"), 3],
    ["a", "b"],
    [1, 2],
    [1.5, 2.5],
]


@pytest.mark.parametrize("states", LABELS, ids=str)
def test_labels_of_any_kind_at_once(states):
    number = len(states)
    mdp = bm.MDP(
        transition=np.full((number, 2, number), 1 / number),
        reward=np.zeros(number),
        discount=0.9,
        states=states,
        initial=np.full(number, 1 / number),
    )
    env = to_gymnasium(mdp, max_steps=5)
    assert env.reset(seed=0)[1]["state"] in states
    assert all(played(gymnasium.vector.SyncVectorEnv([lambda: to_gymnasium(mdp, max_steps=5)] * 4), states))


def test_options_of_a_reset_are_refused_by_name():
    env = to_gymnasium(riverswim(6))
    assert env.reset(seed=1, options={})[0] == env.reset(seed=1, options=None)[0] == 0
    with pytest.raises(ValueError, match=r"reset has no options; got 'state', 'low': .*mdp.replace\(initial="):
        env.reset(options={"state": 3, "low": 0})


def test_what_an_environment_tells():
    env = to_gymnasium(small_mdp(), max_steps=3, render_mode="ansi")
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(0)
    starts = [env.reset(seed=seed)[0] for seed in range(200)]
    assert set(starts) == {0, 1, 2}
    observation, info = env.reset(seed=4)
    assert info["state"] == env.mdp.states[observation]
    assert info["action_mask"].tolist() == env.mdp.available[observation].tolist()
    assert env.render() == f"a small ward: {info['state']}\n"
    assert env.action_space.sample(info["action_mask"]) in env.mdp.available[observation].nonzero()[0]
    ends = set()
    for seed in range(60):
        env.reset(seed=seed)
        for taken in range(1, 4):
            observation, _, terminated, truncated, info = env.step(env.action_space.sample())
            assert terminated == (info["state"] in ("dead", "well"))
            assert truncated == (taken == 3 and not terminated)
            if terminated or truncated:
                ends.add((terminated, truncated))
                break
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(0)
    assert ends == {(True, False), (False, True)}


def test_an_unavailable_action_is_refused_by_name_if_so_wished():
    env = to_gymnasium(small_mdp(initial="better"), unavailable="raise")
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action 2 \('discharge'\) is not available in state 'better'.*'operate'"):
        env.step(2)
    with pytest.raises(ValueError, match="3 is no action; actions are 0 to 2"):
        env.step(3)
    env.step(1)


@pytest.mark.parametrize("action", [0, 1])
def test_steps_follow_the_table(action):
    # Action 1 is not available in the first state, so this is a mixture of the other two.
    env = to_gymnasium(small_mdp(initial="ill"))
    expected, steps = np.zeros(5), 4_000
    gains = np.zeros(5)
    for probability, after, reward, _ in env.P[0][action]:
        expected[after] += probability
        gains[after] += probability * reward
    seen, gain = np.zeros((steps, 5)), np.zeros((steps, 5))
    env.reset(seed=11)
    for row in range(steps):
        after, reward, *_ = env.step(action)
        seen[row, after], gain[row, after] = 1, reward
        env.reset()
    assert_means(seen, expected, "frequency")
    assert_means(gain, gains, "reward")


@pytest.mark.parametrize("form", ["labels", "probabilities", "function"])
def test_returns_are_what_evaluation_says(form):
    lake = frozen_lake()
    policy = bm.solve(lake).policy
    if form == "probabilities":
        policy = 0.8 * np.eye(4)[[lake.action_index(label) for label in policy.values]] + 0.05
    promised = float(bm.evaluate(lake, policy)[0])
    env = gymnasium.make("FrozenLake-v1", max_episode_steps=-1)
    played = policy_function(policy, lake, seed=1) if form == "function" else policy
    log = collect_gymnasium(env, played, episodes=1_500, seed=5, mdp=lake)
    ends = np.flatnonzero(log.terminated)
    assert len(ends) == 1_500 and ends[-1] == log.sizes["step"] - 1
    length = np.diff(ends, prepend=-1)
    returns = log.reward.values[ends] * lake.discount ** (length - 1)
    assert_means(returns, promised, "return")


@pytest.mark.parametrize("steps", [{"steps": 300}, {"episodes": 40}], ids=str)
def test_a_log_holds_what_happened_and_is_reproducible(steps):
    ward = small_mdp()
    env = to_gymnasium(ward, max_steps=4)
    log = collect_gymnasium(env, "uniform", seed=2, **steps)
    assert log.identical(collect_gymnasium(env, "uniform", seed=2, **steps))
    assert not log.identical(collect_gymnasium(env, "uniform", seed=3, **steps))
    if "steps" in steps:
        assert log.sizes["step"] == 300
    else:
        assert int((log.terminated | log.truncated).sum()) == 40 and bool((log.terminated | log.truncated)[-1])
    assert log.attrs["states"] == list(ward.states) and log.attrs["actions"] == list(ward.actions)
    np.testing.assert_array_equal(log.terminated, np.isin(log.next_state, ("dead", "well")))
    ends = (log.terminated | log.truncated).values
    assert not (log.terminated & log.truncated).any() and log.truncated.any() and log.terminated.any()
    np.testing.assert_array_equal(log.state.values[1:][~ends[:-1]], log.next_state.values[:-1][~ends[:-1]])
    rows = bm.compress(log, ward)
    assert ward.available[rows.state, rows.action].all()
    np.testing.assert_allclose(rows.reward, ward.reward[rows.state, rows.action, rows.next_state], atol=1e-12)


def test_time_limits_truncate():
    log = collect_gymnasium(CLIFF, lambda observation: 0, steps=7, seed=0)
    assert not log.terminated.any() and not log.truncated.any()
    env = gymnasium.make("FrozenLake-v1", is_slippery=False, max_episode_steps=6)
    walk = [1, 1, 2, 2, 1, 2]
    position = {0: 1, 4: 1, 8: 2, 9: 2, 10: 1, 14: 2}
    arrived = collect_gymnasium(env, lambda observation: position[observation], episodes=1)
    assert arrived.action.values.tolist() == walk
    # The limit falls on the step that reaches the goal: nothing is cut off.
    assert bool(arrived.terminated[-1]) and not arrived.truncated.any()
    cut = collect_gymnasium(env, lambda observation: 0, episodes=1)
    assert bool(cut.truncated[-1]) and not cut.terminated.any() and cut.sizes["step"] == 6


def test_a_log_of_taxi_ends_in_the_extra_state():
    taxi = from_gymnasium(TAXI, discount=0.9)
    log = collect_gymnasium(TAXI, bm.solve(taxi).policy, episodes=5, seed=1, mdp=taxi)
    assert int(log.terminated.sum()) == 5
    np.testing.assert_array_equal(log.terminated, log.next_state == 500)
    assert bm.compress(log, taxi).weight.sum() == log.sizes["step"]
    assert (log.reward.values[log.terminated.values] == 20).all()


def test_drawn_actions_are_independent_of_the_environments_luck():
    # With one stream for both, the first action would repeat the luck that drew the first state.
    coin = bm.MDP(
        transition=np.full((2, 2, 2), 0.5), reward=np.zeros((2, 2)), discount=0.5, initial=[0.5, 0.5], name="coin"
    )
    env = to_gymnasium(coin)
    agreements = 0
    for seed in range(400):
        observation, _ = env.reset(seed=seed)
        agreements += policy_function("uniform", coin, seed=seed)(observation) == observation
    assert_p_value(stats.binomtest(agreements, 400).pvalue, "agreement")


def test_gymnasium_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    river = riverswim(6)
    for call in (
        lambda: from_gymnasium("FrozenLake-v1"),
        lambda: to_gymnasium(river),
        lambda: collect_gymnasium("FrozenLake-v1", steps=1),
    ):
        with pytest.raises(ImportError, match=r"bayesmdp\[gymnasium\]"):
            call()


UNKNOWN = bm.MDP(reward=np.zeros((2, 2)), discount=0.5, name="unknown")
BAD = {
    "no table": (lambda: from_gymnasium("Blackjack-v1"), TypeError, "Blackjack-v1 has the observation space Tuple"),
    "pairs": (lambda: collect_gymnasium("Blackjack-v1", steps=1), TypeError, "a log needs a Discrete one, or a Box"),
    "no environment": (lambda: from_gymnasium(riverswim(6)), TypeError, "an id or a gymnasium.Env; got MDP"),
    "options too late": (lambda: from_gymnasium(Table({}), size=3), TypeError, "size: options are for gymnasium.make"),
    "no P": (lambda: from_gymnasium(Table(None)), ValueError, "Table has no transition table P"),
    "a state missing": (lambda: from_gymnasium(Table({0: {}})), ValueError, "P has no state 1"),
    "nowhere": (
        lambda: from_gymnasium(Table({s: {1: [(1.0, 7, 0, False)]} for s in range(3)})),
        ValueError,
        r"P\[0\]\[1\] leads to 7; states are 0 to 2",
    ),
    "half a row": (
        lambda: from_gymnasium(Table({s: {1: [(0.5, 2, 0, False)]} for s in range(3)})),
        ValueError,
        r"transition\[0, 1\] sums to 0.5",
    ),
    "unknown start": (lambda: from_gymnasium("FrozenLake-v1", initial=99), KeyError, "no state 99"),
    "no kernel": (lambda: to_gymnasium(UNKNOWN), ValueError, "unknown has no transition"),
    "no MDP": (
        lambda: to_gymnasium("FrozenLake-v1"),
        TypeError,
        "mdp must be a bayesmdp.MDP or a bayesmdp.SimulatedMDP; got str",
    ),
    "unknown option": (lambda: to_gymnasium(riverswim(6), unavailable="stay"), ValueError, "'mean' or 'raise'"),
    "unknown rendering": (lambda: to_gymnasium(riverswim(6), render_mode="human"), ValueError, "'ansi' or None"),
    "no limit": (lambda: collect_gymnasium("FrozenLake-v1"), ValueError, "either steps or episodes"),
    "both limits": (lambda: collect_gymnasium("FrozenLake-v1", steps=1, episodes=1), ValueError, "and not both"),
    "another MDP": (
        lambda: collect_gymnasium("FrozenLake-v1", steps=1, mdp=riverswim(6)),
        ValueError,
        "riverswim-6 has 6 states and 2 actions; FrozenLake-v1 has 16 observations and 4 actions",
    ),
    "another policy": (
        lambda: collect_gymnasium("FrozenLake-v1", ["left"] * 16, steps=1),
        KeyError,
        "no action 'left'",
    ),
    "no state": (lambda: policy_function("uniform", riverswim(6))(6), ValueError, "observation 6 is no position"),
}


@pytest.mark.parametrize("call, error, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_missing_start_must_be_said():
    env = Table({s: {0: [(1.0, s, 0.0, False)]} for s in range(3)})
    del env.initial_state_distrib
    with pytest.raises(ValueError, match="initial="):
        from_gymnasium(env)
    assert from_gymnasium(env, initial=2).initial.tolist() == [0, 0, 1]
