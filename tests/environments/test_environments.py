"""Environments against independent truth: Gymnasium's own tables and figures computed elsewhere."""

import gymnasium
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp import environments
from bayesmdp.environments.queue import queue
from bayesmdp.environments.risky_lake import risky_lake
from bayesmdp.models import dirichlet_transitions
from bayesmdp.simulation.regret import OBJECTIVES
from tests.oracles import average_reward


def optimal_value(mdp):
    import jax

    with jax.enable_x64(True):
        return np.asarray(OBJECTIVES["finite"]["discounted"].baseline(mdp.problem, mdp.transition))


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


def test_lazy_rivers_and_copies_change_one_thing_each():
    plain = bm.solve(environments.riverswim(6, discount=None))
    gain, span = plain.gain.values, plain.attrs["span"]
    lazy = bm.solve(environments.riverswim(6, discount=None, lazy=0.75))
    np.testing.assert_allclose(lazy.gain, gain, rtol=1e-7)
    assert lazy.attrs["span"] == pytest.approx(4 * span, rel=1e-6)
    river = environments.riverswim(6, discount=None, copies=3)
    copied = bm.solve(river)
    assert river.transition.shape == (18, 2, 18)
    np.testing.assert_allclose(copied.gain.values.ravel()[0], gain.ravel()[0], rtol=1e-7)
    assert copied.attrs["span"] == pytest.approx(span, rel=1e-6)
    # The kernel is linear in the features.
    phi = river.features.reshape(36, 12)
    fitted = phi @ np.linalg.lstsq(phi, river.transition.reshape(36, 18))[0]
    np.testing.assert_allclose(fitted, river.transition.reshape(36, 18), atol=1e-12)


def test_riverswim_average_reward_of_swimming():
    river = environments.riverswim(6)
    chain = river.transition[:, 1]
    stationary = np.linalg.lstsq(np.vstack([chain.T - np.eye(6), np.ones(6)]), np.eye(7)[6], rcond=None)[0]
    assert stationary @ river.reward[:, 1, 0] == pytest.approx(0.4286224338, abs=1e-10)


LAKE = ["S...", ".H.H", "...H", "H..G"]


def by_compass(cell: int, name: str) -> int:
    """The cell a move leads to, in complex numbers: another way to walk a grid than the environments'."""
    place = complex(cell % 4, cell // 4) + {"left": -1, "right": 1, "up": -1j, "down": 1j}[name]
    on_map = 0 <= place.real <= 3 and 0 <= place.imag <= 3
    return int(place.real + 4 * place.imag) if on_map else cell


@pytest.mark.parametrize("failure", [0.7, 0.9, None])
@pytest.mark.parametrize("slip", [1 / 3, 0.1])
@pytest.mark.parametrize("shortcut", [4, 6, 10])
def test_risky_lake_row_by_row(failure, slip, shortcut):
    lake = risky_lake(failure=failure, exit=0.2, slip=slip, shortcut=shortcut)
    letters = "".join(LAKE)
    beside = {"left": ("up", "down"), "right": ("up", "down"), "up": ("left", "right"), "down": ("left", "right")}
    for cell, action in np.ndindex(16, 4):
        name, row = lake.actions[action], np.zeros(16)
        if letters[cell] == "G":
            row[[i for i in range(16) if letters[i] in "S."]] = 1 / 11
        elif letters[cell] == "H":
            row[by_compass(cell, name)] += 0.2
            row[cell] += 0.8
        elif (cell, name) == (shortcut, "right") and failure is not None:
            row[letters.index("G")], row[shortcut + 1] = 1 - failure, failure
        else:
            row[by_compass(cell, name)] += 1 - 2 * slip
            for other in beside[name]:
                row[by_compass(cell, other)] += slip
        np.testing.assert_allclose(lake.transition[cell, action], row, atol=1e-15, err_msg=f"{cell} {name}")
    assert not lake.terminal.any()
    np.testing.assert_array_equal(lake.reward, np.broadcast_to(np.arange(16) == 15, (16, 4, 16)))


def test_the_shortcut_pays_only_when_it_rarely_fails():
    """On the slipperiest ice it pays even if it fails 7 times in 10, as then plain moves succeed only 1 time in 3."""
    from bayesmdp import solve

    for failure, slip, pays in ((0.1, 1 / 3, True), (0.7, 1 / 3, True), (0.9, 1 / 3, False), (0.7, 0.1, False)):
        assert bool(solve(risky_lake(failure=failure, slip=slip)).policy.values[6] == "right") is pays, (failure, slip)
    values = [float(solve(risky_lake(failure=p)).value[0]) for p in (0.1, 0.5, 0.9)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 3.6768), (1.0, 1.6032), (0.5, 1.3125)])
def test_chain_average_rewards(share, expected):
    """Always forward, always back, and either at random, by the published average rewards."""
    chain = environments.chain()
    kernel = (1 - share) * chain.transition[:, 0] + share * chain.transition[:, 1]
    pairs = (chain.transition * chain.reward).sum(-1)
    reward = (1 - share) * pairs[:, 0] + share * pairs[:, 1]
    assert average_reward(kernel, reward) == pytest.approx(expected, abs=1e-10)


def test_only_the_chains_first_state_is_noisy():
    assert (environments.chain(noise=0.7).problem.noise.sd[:, 0] == [0.7, 0, 0, 0, 0]).all()
    assert environments.chain(noise=0).noise is None


def dense_queue(rate, size):
    """Kernel and mean rewards by going through what may happen."""
    kernel, reward = np.zeros((size, 2, size)), np.zeros((size, 2))
    for held in range(size):
        for action, (service, cost) in enumerate(((0.3, 0.0), (0.8, 0.25))):
            serves = service if held else 0.0
            for served, p in ((1, serves), (0, 1 - serves)):
                for arrived, q in ((1, rate), (0, 1 - rate)):
                    kernel[held, action, min(held - served + arrived, size - 1)] += p * q
                    reward[held, action] += p * q * (served - cost - 0.1 * held)
    return kernel, reward


@pytest.mark.parametrize("rate", [0.2, 0.5, 1.0])
def test_queue_row_by_row(rate):
    line = queue(rate, capacity=7)
    kernel, reward = dense_queue(rate, 8)
    found = np.zeros_like(kernel)
    for outcome in range(3):
        np.add.at(found, (*np.indices((8, 2)), line.successor[..., outcome]), line.transition[..., outcome])
    np.testing.assert_allclose(found, kernel, atol=1e-15)
    np.testing.assert_allclose((line.transition * line.reward).sum(-1), reward, atol=1e-14)


@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_the_queue_can_be_learnt_from_a_log(rate):
    """A log says only which state came next, so outcomes that lead to one state must earn the same."""
    line = environments.queue(rate, capacity=4)
    log = bm.collect(line.replace(initial=np.full(5, 0.2)), steps=20_000, seed=0)
    posterior = bm.infer(dirichlet_transitions(line, concentration=1 / 3), log, draws=100, mdp=line)
    np.testing.assert_allclose(bm.plan(posterior, line).value, bm.solve(line).value, atol=0.2)


def test_queue_optimal_average_reward():
    kernel, reward = dense_queue(0.5, 51)
    policies = np.array([0] + [1] * 50)
    states = np.arange(51)
    assert average_reward(kernel[states, policies], reward[states, policies]) == pytest.approx(0.2604166667, abs=1e-9)
    best = environments.queue(discount=0.999)
    policy = bm.solve(best).policy.values
    assert policy[0] == "slow" and (policy[1:] == "fast").all()


BAD = {
    "too short a river": (lambda: environments.riverswim(2), "num_states must be an integer of at least 3; got 2"),
    "half a state": (lambda: environments.riverswim(6.5), "num_states must be an integer"),
    "unknown map": (lambda: environments.frozen_lake("5x5"), "no map '5x5'"),
    "ragged map": (lambda: environments.frozen_lake(["SF", "G"]), "differ in length"),
    "unknown cell": (lambda: environments.frozen_lake(["SX", "FG"]), r"map\[0\]\[1\] is 'X'"),
    "no goal": (lambda: environments.frozen_lake(["SF", "FF"]), "at least one G"),
    "failure above 1": (lambda: risky_lake(failure=1.2), r"failure must lie in \[0, 1\], or be None.*got 1.2"),
    "a shortcut beside no hole": (lambda: risky_lake(shortcut=0), r"one of \(4, 6, 10\); got 0"),
    "no way out of a hole": (lambda: risky_lake(exit=0.0), "exit must be a number above 0 and at most 1; got 0"),
    "slip too large": (lambda: environments.frozen_lake(slip=0.7), "slip must lie in"),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_rare_room_is_worth_half_more_than_the_hall_and_not_a_look():
    rare = environments.rare_room(12, ways=3, chance=0.2, discount=0.9)
    plan = bm.solve(rare)
    hall, room = 0.5 / (1 - 0.9), 1 + 0.9 * 0.5 / (1 - 0.9)
    np.testing.assert_allclose(plan.value, [hall, room], rtol=1e-12)
    np.testing.assert_allclose(plan.q[0, 1:4], 0.9 * (0.8 * hall + 0.2 * room), rtol=1e-12)
    np.testing.assert_allclose(plan.q[1, 1:], 0.9 * hall, rtol=1e-12)
    assert not rare.available[0, 4:].any() and rare.available[1].all()


@pytest.mark.parametrize(
    ("along", "across", "action"), [(2, 3, "drift"), (4, 4, "hold"), (1, 0, "right"), (3, 1, "back")]
)
def test_wet_chicken_moves_by_its_rule(along: int, across: int, action: str) -> None:
    canoe = bm.environments.wet_chicken()
    push, aside = {"drift": (0, 0), "hold": (-1, 0), "back": (-2, 0), "right": (0, 1)}[action]
    current = 3 * across / 5
    luck = np.random.default_rng(0).uniform(-1, 1, 200_000)
    place = np.round(along + push + current + (3.5 - current) * luck).clip(0)
    fallen = place >= 5
    position = np.where(fallen, 0, 5 * place + min(max(across + aside, 0), 4)).astype(int)
    row = canoe.transition[canoe.state_index(f"{along},{across}"), canoe.action_index(action)]
    np.testing.assert_allclose(np.bincount(position, minlength=25) / len(luck), row, atol=0.005)


def test_moves_on_the_grid_slip_to_both_sides_and_back() -> None:
    field = bm.environments.grid()

    def row(state: str, action: str) -> dict[str, float]:
        reached = field.transition[field.state_index(state), field.action_index(action)]
        return {field.states[i]: round(float(reached[i]), 12) for i in np.flatnonzero(reached)}

    assert row("2,2", "right") == {"1,2": 0.1, "2,1": 0.05, "2,3": 0.75, "3,2": 0.1}
    assert row("4,0", "up") == {"3,0": 0.75, "4,0": 0.15, "4,1": 0.1}
    assert row("0,3", "down") == {"0,2": 0.1, "0,3": 0.05, "0,4": 0.1, "1,3": 0.75}
    assert field.terminal.nonzero()[0].tolist() == [field.state_index("0,4")] and field.initial[20] == 1
    assert field.reward[..., 4].sum() == field.reward.sum() == 96


def test_the_goal_of_a_garnet_is_the_state_that_is_hardest_to_reach() -> None:
    random = bm.environments.garnet(6, 2, 2, seed=3)
    values = []
    for goal in range(1, 6):
        reward = np.broadcast_to(np.arange(6) == goal, random.transition.shape).astype(float)
        values.append(float(bm.solve(random.replace(terminal=np.arange(6) == goal, reward=reward))["value"][0]))
    assert random.terminal.argmax() == 1 + np.argmin(values)
    assert ((random.transition > 0).sum(-1) == 2).all()


@pytest.mark.parametrize("quality", [0.2, 0.9])
def test_a_behaviour_has_the_quality_asked_for(quality: float) -> None:
    random = bm.environments.garnet(6, 2, 2, seed=3)
    behaviour = bm.environments.behaviour_of_quality(random, quality, seed=1)
    worst, value = (float(bm.evaluate(random, policy)[0]) for policy in ("uniform", behaviour))
    best = float(bm.solve(random)["value"][0])
    assert (value - worst) / (best - worst) == pytest.approx(quality, abs=1e-6)
    np.testing.assert_allclose(behaviour.sum(-1), 1)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: bm.environments.garnet(3, 2, 4), "branching is 4, but there are 3 states"),
        (lambda: bm.environments.garnet(seed=-1), "seed must be"),
        (lambda: bm.environments.wet_chicken(1), "length must be"),
        (lambda: bm.environments.behaviour_of_quality(bm.environments.riverswim(6), 1.0), "quality must be"),
        (lambda: bm.environments.behaviour_of_quality(bm.environments.riverswim(6, discount=None), 0.5), "discount"),
    ],
)
def test_random_problems_refuse(call, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        call()
