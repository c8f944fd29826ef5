"""Statistical assertions with one failure rate for the whole suite.

A right program fails some test of the suite with probability at most `FAILURE_RATE`, whatever the seeds: each call
takes an equal share of it, and spreads its share over all the numbers it looks at. Seeds are fixed, so a test that
passes keeps passing; the rate bounds the harm of having chosen them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FAILURE_RATE = 1e-3
NUM_CALLS = 200
"""An upper bound on the number of calls in the suite."""


def threshold(size: int) -> float:
    """Largest |z| to accept among `size` standard normal numbers."""
    return float(stats.norm.isf(FAILURE_RATE / NUM_CALLS / size / 2))


def assert_standard_normal(z: ArrayLike, what: str = "z") -> None:
    """Each of `z` is a draw from a standard normal, or smaller; NaN fails."""
    z = np.asarray(z, float)
    limit = threshold(z.size)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(z), np.inf, np.abs(z))), z.shape)
    assert np.abs(z[worst]) <= limit, f"{what}[{worst}] is {z[worst]:.2f} standard errors off; {limit:.2f} are allowed"


def assert_means(draws: ArrayLike, mean: ArrayLike, what: str = "mean", ess: ArrayLike | None = None) -> None:
    """Draws [draw, ...] have this mean [...]; `ess` is their effective number [...], by default their number.

    Entries that do not vary must equal the mean to 1e-12.
    """
    draws, mean = np.asarray(draws, float), np.asarray(mean, float)
    size = len(draws) if ess is None else np.asarray(ess, float)
    spread = draws.std(0, ddof=1)
    fixed = spread < 1e-12
    np.testing.assert_allclose(draws.mean(0)[fixed], mean[fixed], atol=1e-12)
    error = np.where(fixed, 1.0, spread) / np.sqrt(size)
    assert_standard_normal(np.where(fixed, 0.0, (draws.mean(0) - mean) / error), what)


def assert_p_value(p: float, what: str = "p-value") -> None:
    """A p-value is not too small to be one."""
    assert p >= FAILURE_RATE / NUM_CALLS, f"{what} is {p:.2g}"


def assert_follows(draws: ArrayLike, distribution: Any, what: str = "draws") -> None:
    """Draws follow a scipy distribution (Kolmogorov-Smirnov)."""
    assert_p_value(float(stats.kstest(np.ravel(draws), distribution.cdf).pvalue), what)


def assert_same_distribution(draws: ArrayLike, others: ArrayLike, what: str = "draws") -> None:
    """Two sets of independent draws follow one distribution (two-sample Kolmogorov-Smirnov)."""
    assert_p_value(float(stats.ks_2samp(np.ravel(draws), np.ravel(others)).pvalue), what)


def counts_p_value(seen: ArrayLike, expected: ArrayLike, least: float = 5.0) -> float:
    """p-value of counts with these expectations, up to a factor, by a chi-squared test; 0 if the impossible was seen.

    Cells that expect less than `least` are counted together: the statistic divides by what is expected, so that one
    count where a thousandth is expected would decide the test.
    """
    seen, expected = np.ravel(seen).astype(float), np.ravel(expected).astype(float)
    if seen[expected == 0].any():
        return 0.0
    expected *= seen.sum() / expected.sum()
    order = np.argsort(expected, kind="stable")
    together = 0 if expected.min() >= least else 1 + int(np.searchsorted(np.cumsum(expected[order]), least))
    together = max(together, int((expected < least).sum()))
    rare, others = order[:together], order[together:]
    if not others.size:  # too few to tell
        return 1.0
    sums = [[] if not rare.size else [cells[rare].sum()] for cells in (seen, expected)]
    return float(
        stats.chisquare(*(np.append(cells[others], sums[i]) for i, cells in enumerate((seen, expected)))).pvalue
    )


def ranks(truth: ArrayLike, draws: ArrayLike) -> NDArray[np.int64]:
    """How many of the draws [draw, ...] lie below the truth [...]: uniform on 0..draws if the posterior is right.

    Talts et al. (2018), simulation-based calibration. Draws must be independent: thin chains first.
    """
    return np.asarray((np.asarray(draws) < np.asarray(truth)).sum(0))


def calibration_p_value(rank: ArrayLike, num_draws: int, num_bins: int = 10) -> float:
    """p-value of ranks being uniform on 0..num_draws, by a chi-squared test."""
    edges = np.linspace(0, num_draws + 1, num_bins + 1).round()
    observed = np.histogram(np.ravel(rank), edges - 0.5)[0]
    expected = np.diff(edges) / (num_draws + 1) * np.size(rank)
    return float(stats.chisquare(observed, expected).pvalue)
