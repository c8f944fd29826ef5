"""Plans for the gain over a baseline where states are numbers: against truth that is known."""

import jax.numpy as jnp
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.planning import FittedQ, Mean, Quantile, Rollouts
from bayesmdp.planning.gain_policy import GainPolicy
from bayesmdp.planning.rollouts import simulate_returns
from bayesmdp.planning.state_baseline import function_behaviour
from bayesmdp.planning.state_gain import fit_gain

OPTIONS = FittedQ(places=256, samples=8, rollouts=Rollouts(number=4_000, max_draws=8))


def heated_to(state):
    """High below 20 degrees, off above: close to the best of the thermostat."""
    return (state[..., 0] < 20).astype(int) * 2


def never_heated(state):
    return (state[..., 0] * 0).astype(int)


def known(room, draws=4):
    """Draws that all say the truth."""
    return {name: np.broadcast_to(value, (draws, *np.shape(value))).copy() for name, value in room.truth.items()}


def worth(room, policy):
    return float(simulate_returns(room, known(room, 1), policy, Rollouts(number=20_000)).middle.mean())


@pytest.mark.slow
def test_where_all_is_known_the_gain_leads_to_the_best_policy():
    """Over a baseline that does nothing: what it comes to is worth as much as the plan for the value."""
    room = bm.environments.thermostat()
    today = function_behaviour(never_heated, room.actions, room.problem.anchors).policy
    found = fit_gain(known(room), room, Mean(), today, OPTIONS, 0.05)
    assert found.settled
    best = float(bm.solve(room, solver=FittedQ(places=256, samples=8))["value"])
    mine, usual = worth(room, found.policy.policy), worth(room, today)
    assert usual < best - 5 and mine == pytest.approx(best, abs=0.02 * (best - usual))
    # What is said to be gained at the start is what is gained.
    start = room.problem.start[None]
    assert found.policy.gains(start).max() == pytest.approx(mine - usual, rel=0.1)


def test_what_is_unsure_is_not_departed_to():
    """One draw in four says that heating cools: by the worst draw the baseline stays, by the mean it does not."""
    room = bm.environments.thermostat()
    today = function_behaviour(never_heated, room.actions, room.problem.anchors).policy
    values = known(room)
    values["power"][0] = -values["power"][0]
    places = np.linspace(room.problem.low, room.problem.high, 9)
    bold, careful = (fit_gain(values, room, risk, today, OPTIONS, 0.05).policy for risk in (Mean(), Quantile(0.1)))
    cold = places[:, 0] < 19
    assert bold.departs(places)[cold].all() and not careful.departs(places).any()


def test_a_fit_of_nothing_is_the_baseline():
    room = bm.environments.thermostat()
    today = function_behaviour(heated_to, room.actions, room.problem.anchors)
    policy = GainPolicy(
        room, np.zeros((room.problem.features(room.problem.start).shape[-1], 3, 5)), Mean(), today.policy
    )
    places = np.linspace(room.problem.low, room.problem.high, 9)
    assert not policy.departs(places).any()
    np.testing.assert_array_equal(policy.probabilities(places), today.probabilities(places))
    rule, parameters = policy.policy
    assert [int(rule(parameters, jnp.asarray(0.5), place)) for place in places] == heated_to(places).tolist()


def test_another_approximation_is_refused():
    room = bm.environments.thermostat()
    today = function_behaviour(heated_to, room.actions, room.problem.anchors).policy
    with pytest.raises(ValueError, match="what is gained is fitted linearly; got the approximation 'double'"):
        fit_gain(known(room), room, Mean(), today, FittedQ("double"), 0.05)
