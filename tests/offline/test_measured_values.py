"""How many draws simulated logs are valued by: the error rule against bounds that scatter as it says."""

import numpy as np
import pytest
from scipy import stats

from bayesmdp.offline.measured_values import enough_draws
from bayesmdp.offline.measured_worlds import EACH
from bayesmdp.planning.quantile_interval import left_quantile


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
