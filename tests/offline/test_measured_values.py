"""How many draws simulated logs are valued by: the error rule against bounds that scatter as it says."""

import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.offline.measured_values import enough_draws, values_and_gains, values_at_start
from bayesmdp.offline.measured_way import MeasuredFit
from bayesmdp.offline.measured_worlds import EACH
from bayesmdp.planning import Rollouts
from bayesmdp.planning.quantile_interval import left_quantile
from bayesmdp.planning.rollouts import SimulatedReturns, simulate_returns
from bayesmdp.planning.state_policies import state_policy


@pytest.mark.parametrize("tail, scatter", [(0.05, 1.0), (0.05, 8.0), (0.1, 4.0)])
def test_bounds_of_so_many_draws_scatter_by_a_sixteenth_more(tail, scatter):
    """Bounds of 4,000 logs whose posteriors lie apart as they are wide, beside those that are told without error."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=200)
    enough = enough_draws(tail, values, values[:, None] + scatter * rng.normal(size=(200, EACH)))
    assert 20 <= enough < 200 and enough % round(1 / tail) == 0
    middle = rng.normal(size=4_000)
    returns = scatter / np.sqrt(enough * EACH) * rng.normal(size=4_000)
    drawn = rng.normal(size=(4_000, enough))
    bounds = middle + returns + np.array([left_quantile(each, tail) for each in drawn])
    wider = bounds.std() / middle.std() - 1
    # Both standard deviations are known to a ninetieth; twice as many draws err by half of it.
    assert 1 / 50 < wider < 1 / 16 + 0.02
    assert bounds.mean() == pytest.approx(stats.norm.ppf(tail), abs=0.15)


def test_all_draws_are_taken_where_returns_scatter_far_more_than_values_or_values_do_not():
    rng = np.random.default_rng(0)
    values = rng.normal(size=60)
    assert enough_draws(0.05, values, values[:, None] + 100 * rng.normal(size=(60, EACH))) == 60
    assert enough_draws(0.05, np.ones(60), np.ones((60, EACH))) == 60


def rooms():
    """A thermostat, and 40 draws of what is unknown of it."""
    room, rng = bm.environments.thermostat(), np.random.default_rng(0)
    return room, {name: value * np.exp(0.2 * rng.normal(size=(40, *value.shape))) for name, value in room.truth.items()}


def test_what_shorter_rollouts_leave_out_is_what_all_draws_have_in_common():
    """Departures from the mean are those of whole rollouts, but for some hundredths; the mean is not touched."""
    room, values = rooms()
    policy, rollouts = state_policy(room, "uniform"), Rollouts(number=40 * EACH)
    told = values_at_start(room, values, policy, rollouts)
    own = simulate_returns(room, values, policy, rollouts).middle
    whole = simulate_returns(room, values, policy, rollouts, streams=np.zeros(40, int)).middle.mean(1)
    assert told.mean() == pytest.approx(own.mean())
    off = (told - told.mean()) - (whole - whole.mean())
    assert 0 < off.std() < 0.02 * whole.std()


def test_a_policy_gains_nothing_over_itself_though_fewer_draws_tell_it():
    """What chance does to both policies cancels only under the same draws with the same random numbers."""
    room, values = rooms()
    policy, rollouts = state_policy(room, "uniform"), Rollouts(number=40 * EACH)
    told, gains, today = values_and_gains(room, values, policy, policy, 20, rollouts)
    np.testing.assert_array_equal(told, values_at_start(room, values, policy, rollouts))
    np.testing.assert_allclose(gains, np.zeros(20), atol=1e-9)
    assert abs(today - told[:20]).min() > 1e-3  # what chance does to the means under 40 and 20 draws


def test_gains_are_told_by_fewer_draws_where_they_scatter_less():
    """And the value by as many as they need where they scatter more; by multiples of 20 for tails of a twentieth."""
    rng = np.random.default_rng(0)
    values, gains = rng.normal(size=200), 3 * rng.normal(size=200)
    little = rng.normal(size=(200, EACH))

    def enough(scatter, of_gains):
        returns = values[:, None] + scatter * little
        told = SimulatedReturns(returns, returns, 1)
        gained = None if of_gains is None else gains[:, None] + of_gains * little
        nothing = dict.fromkeys(("kept", "fresh", "options", "tolerance", "fitted"))
        return MeasuredFit(**nothing, returns=told, values=values, gains=gains, gained=gained).enough_draws(0.1)

    assert enough(5, 1) == (60, 40)
    assert enough(1, 20) == (60, 60)
    assert enough(1, 1) == (40, 40)
    assert enough(5, None) == (60, 60)
