"""Agents that look ahead in learned models, or learn without one, on problems of control."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.agents.futures_psrl import _FuturesRules
from bayesmdp.planning.futures_policy import Futures
from tests.planning.test_sampled_futures import GIVEN, wager

GRIDS, TILES, RATE = 3, 4, 0.4


def told(values):
    """A belief that is certain of some draws of `good`, and learns nothing."""
    return SimpleNamespace(
        init=lambda key: (),
        draw=lambda key, state: (state, {"good": jnp.asarray(values)}),
        observe=lambda key, state, step: state,
        report=lambda state: {},
    )


@jax.jit
def decided(problem, values):
    """The action and the policy of an agent that has drawn models of these values."""
    rules = _FuturesRules(wager, Futures(4, 64, 6, 1, 0))(told(values), problem, {})
    state = rules.begin(jax.random.key(1), rules.init(jax.random.key(0)))
    return rules.act(jax.random.key(2), state, jnp.zeros(1)), rules.policy(state)


@pytest.mark.parametrize("values, first", [([-1.0] * 2 + [1.0] * 8, 1), ([1.0, -1.0] * 5, 0), ([1.0] * 10, 1)])
def test_returns_are_averaged_over_the_models_that_were_drawn(values, first):
    """Waiting for four steps earns .375; the wager 1 under a good model and -1 under a bad one."""
    problem = bm.SimulatedMDP(**GIVEN).problem
    with jax.enable_x64(True):
        action, policy = decided(problem, np.asarray(values))
    assert int(action) == first and policy.tolist() == [first]


@pytest.mark.slow
def test_a_room_is_kept_warm_by_what_was_learned_of_it():
    room = bm.environments.thermostat()
    agent = bm.agents.futures_psrl(bm.models.linear_dynamics(room), depth=8, sequences=24, rounds=2)
    state = bm.simulate(room, {"PSRL": agent}, steps=120, replicates=2, seed=0)["state"].values[0, ..., 0]
    assert np.abs(state[:, 60:] - 20).mean() < 2


@pytest.mark.slow
def test_a_pendulum_is_swung_up_within_five_episodes():
    """An episode of it hanging costs about 1,500, one of a plan by the true physics about 140."""
    swing = bm.environments.pendulum(torques=3, seen="circle")
    agent = bm.agents.futures_psrl(bm.models.fourier_dynamics(swing))
    reward = bm.simulate(swing, {"PSRL": agent}, steps=1_200, replicates=2, seed=1)["reward"].values[0]
    episodes = reward.reshape(2, 6, 200).sum(-1)
    assert (episodes[:, 0] < -900).all() and episodes[:, 4:].mean() > -350


def tiles_of(state, low, high):
    """Of each grid the tile that a state lies in, as a tuple of whole numbers."""
    found = []
    for grid in range(GRIDS):
        along = []
        for i, number in enumerate(state):
            shift = (grid / GRIDS * (2 * i + 1)) % 1
            place = min(max((number - low[i]) / (high[i] - low[i]), 0), 1) * TILES
            along.append(min(int(np.floor(place + shift)), TILES))
        found.append((grid, *along))
    return found


def test_q_learning_is_that_of_a_table_of_tiles():
    """Along two hundred steps of a cart whose pole falls now and then, actions and Q are those of a dictionary."""
    cart = bm.environments.cart_pole()
    agent = bm.agents.tile_q_learning(grids=GRIDS, tiles=TILES, rate=RATE)
    run = bm.simulate(cart, {"Q": agent}, steps=200, replicates=1, seed=0)
    state, action, told = (run[name].values[0, 0] for name in ("state", "action", "q"))
    low, high, discount = cart.problem.low, cart.problem.high, 0.99
    weights, ends = {}, 0

    def q_of(state):
        tiles = tiles_of(state, low, high)
        return [sum(weights.get((*tile, a), 100.0 / GRIDS) for tile in tiles) for a in range(2)]

    for t in range(199):
        q = q_of(state[t])
        assert action[t] == int(q[1] > q[0] + 1e-12)
        assert told[t] == pytest.approx(q[action[t]], rel=1e-5)  # reports are of 32 bits
        # A new episode is where the cart is not where its speed takes it.
        goes_on = abs(state[t + 1, 0] - state[t, 0] - 0.02 * state[t, 1]) < 1e-9
        ends += not goes_on
        error = 1.0 + (discount * max(q_of(state[t + 1])) if goes_on else 0.0) - q[action[t]]
        for tile in tiles_of(state[t], low, high):
            key = (*tile, action[t])
            weights[key] = weights.get(key, 100.0 / GRIDS) + RATE / GRIDS * error
    assert ends > 5 and cart.discount == discount


def test_more_tiles_than_there_is_room_for_are_refused():
    cart = bm.environments.cart_pole()
    with pytest.raises(ValueError, match=r"8 grids of 50 tiles .* 4 coordinates of cart-pole have 108,243,216 weights"):
        bm.simulate(cart, {"Q": bm.agents.tile_q_learning(tiles=50)}, steps=10, replicates=1)


def test_a_share_of_actions_is_drawn_at_random():
    swing = bm.environments.pendulum(torques=3)
    agent = bm.agents.tile_q_learning(grids=1, tiles=1, random_share=1.0)
    action = bm.simulate(swing, {"Q": agent}, steps=600, replicates=1, seed=0)["action"].values
    assert (np.abs(np.bincount(action.ravel(), minlength=3) - 200) < 5 * np.sqrt(600 * 2 / 9)).all()


BAD = {
    "depth": lambda: bm.agents.futures_psrl(wager, depth=0),
    "sequences": lambda: bm.agents.futures_psrl(wager, sequences=1),
    "rounds": lambda: bm.agents.futures_psrl(wager, rounds=0),
    "samples": lambda: bm.agents.futures_psrl(wager, samples=0),
    "num_draws": lambda: bm.agents.futures_psrl(wager, num_draws=0),
    "room": lambda: bm.agents.futures_psrl(wager, room=0),
    "model": lambda: bm.agents.futures_psrl("thermostat"),
    "grids": lambda: bm.agents.tile_q_learning(grids=0),
    "tiles": lambda: bm.agents.tile_q_learning(tiles=0.5),
    "rate": lambda: bm.agents.tile_q_learning(rate=0.0),
    "random_share": lambda: bm.agents.tile_q_learning(random_share=2.0),
    "initial": lambda: bm.agents.tile_q_learning(initial=float("nan")),
    "seen": lambda: bm.environments.pendulum(seen="square"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options_are_refused_by_name(name):
    with pytest.raises((ValueError, TypeError), match=name):
        BAD[name]()
