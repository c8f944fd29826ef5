"""The statistics of the tests themselves: finite whatever was drawn, and fair."""

import numpy as np
import pytest
from scipy import stats

from tests.statistical import counts_p_value


@pytest.mark.parametrize(
    ("seen", "expected", "least", "most"),
    [
        ([10, 20, 30], [1, 2, 3], 1, 1),
        ([10, 20, 0], [1, 2, 0], 1, 1),
        ([10, 20, 1], [1, 2, 0], 0, 0),  # what cannot happen
        ([1000, 1000, 1], [1000, 1000, 1e-6], 0.9, 1),  # one count in a rare cell decides nothing
        ([1000, 1000, 200], [1000, 1000, 1e-6], 0, 1e-3),
        ([1, 2, 3], [1, 2, 3], 1, 1),  # too few to tell
        ([400, 600], [500, 500], 0, 1e-9),
    ],
)
def test_counts(seen: list[float], expected: list[float], least: float, most: float) -> None:
    assert least <= counts_p_value(seen, expected) <= most


def test_counts_are_judged_as_scipy_does_and_fairly_with_rare_cells() -> None:
    rng = np.random.default_rng(0)
    seen = rng.multinomial(500, [0.2, 0.3, 0.5])
    assert counts_p_value(seen, [0.2, 0.3, 0.5]) == pytest.approx(stats.chisquare(seen, [100, 150, 250]).pvalue)
    weights = np.append(np.full(10, 0.0995), np.full(50, 1e-4))
    p = [counts_p_value(rng.multinomial(2_000, weights), weights) for _ in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
