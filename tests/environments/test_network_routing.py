"""Network routing: steps by their events, gains by enumeration of policies, and what is best between equal links."""

import itertools

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.agents.families.linear_assumptions import linear_misfit
from bayesmdp.environments import network_routing
from tests.oracles import average_reward


def leads_to(queues, packet, link, room, arrival, rates):
    """{(queues, packet): probability} of a step, event by event, and what it earns."""
    queues = list(queues)
    if packet and queues[link] < room:
        queues[link] += 1
    row = {}
    for done in itertools.product((0, 1), repeat=2):
        chance = np.prod([rate if d else 1 - rate for d, rate in zip(done, rates, strict=True)])
        left = tuple(max(q - d, 0) for q, d in zip(queues, done, strict=True))
        for comes in (0, 1):
            row[left, comes] = row.get((left, comes), 0) + chance * (arrival if comes else 1 - arrival)
    return row, 1 - sum(queues) / (2 * room)


def test_a_step_event_by_event():
    room, arrival, rates = 3, 0.7, (0.6, 0.25)
    mdp = network_routing(room, arrival=arrival, first=rates[0], second=rates[1])
    assert (mdp.num_states, mdp.initial.argmax(), mdp.states[0]) == (2 * (room + 1) ** 2, 0, "0,0")
    for one, two, packet, link in itertools.product(range(room + 1), range(room + 1), (0, 1), (0, 1)):
        s = mdp.state_index(f"{one},{two}" + "+1" * packet)
        choices = [i for i in (0, 1) if packet and (one, two)[i] < room] or [0]
        assert mdp.available[s, link] == (link in choices)
        if link not in choices:
            continue
        row, earned = leads_to((one, two), packet, link, room, arrival, rates)
        expected = np.zeros(mdp.num_states)
        for ((left, right), comes), chance in row.items():
            expected[mdp.state_index(f"{left},{right}" + "+1" * comes)] += chance
        np.testing.assert_allclose(mdp.transition[s, link], expected, atol=1e-14)
        assert mdp.reward[s, link, 0] == pytest.approx(earned, abs=1e-14)
    assert ((mdp.reward >= 0) & (mdp.reward <= 1)).all()


def test_its_gain_is_the_best_of_all_policies():
    mdp = network_routing(2, arrival=0.6, first=0.5, second=0.2)
    where = np.arange(mdp.num_states)
    gains = {
        policy: average_reward(mdp.transition[where, policy], mdp.reward[where, policy, 0])
        for policy in itertools.product(*(np.flatnonzero(row) for row in mdp.available))
    }
    plan = bm.solve(mdp)
    assert len(gains) == 2**4 and max(gains.values()) - min(gains.values()) > 0.01
    assert float(plan.gain) == pytest.approx(max(gains.values()), abs=1e-9)


def test_between_equal_links_the_shorter_queue_is_best():
    room = 4
    mdp = network_routing(room, arrival=0.7, first=0.45, second=0.45)
    q = bm.solve(mdp).q.values
    for one, two in itertools.product(range(room), repeat=2):
        first, second = q[mdp.state_index(f"{one},{two}+1")]
        assert first == pytest.approx(second, abs=1e-8) if one == two else (first > second) == (one < two)


def test_it_is_linear_in_the_queues_after_routing():
    mdp = network_routing(3)
    assert linear_misfit(mdp.features, mdp.transition, mdp.available).size < 1e-12
    assert linear_misfit(mdp.features, mdp.reward, mdp.available).size < 1e-12
    assert mdp.features.shape[-1] == 16 < mdp.available.sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"room": 0}, "room must be an integer of at least 1"),
        ({"arrival": 1}, "arrival must be a number above 0 and below 1"),
        ({"second": 0}, "second must be a number above 0 and at most 1"),
    ],
)
def test_bad_input_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        network_routing(**options)
