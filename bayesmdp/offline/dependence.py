"""Does an outcome depend on more than its group? Permutation p-values, and Bayes factors in closed form.

Outcomes o (such as next states) come in groups g (such as pairs of a state and an action). The question is whether,
within its group, an outcome depends on its context c (such as the state before, or which half of the log it is in).
The statistic of the test is the likelihood ratio of "by group and context" against "by group",

    sum over g, c, o of  n_gco log n_gco  -  sum over g, c of  n_gc log n_gc  +  what no permutation changes,

its p-value the share of permutations with as large a one. Either outcomes are permuted within their groups: given
these, one step of a Markov chain may stand for another, which for contexts that hang on earlier outcomes is exact only
in long logs (the ratio is then a sum of martingale differences). Or pieces of a log, such as episodes, change halves as
wholes, so that what lies in one piece may be alike.

The Bayes factor compares the same two hypotheses with Dirichlet rows, uniform over the outcomes that a group showed and
of the same weight w in observations:

    log p(outcomes | rows, w) = sum over rows of  log G(w) / G(w + n_row)  +  sum over o of log G(w / K + n) / G(w / K),

averaged over the weights that :mod:`bayesmdp.posterior.dirichlet_evidence` chooses from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammaln, logsumexp, xlogy

from bayesmdp.posterior.dirichlet_evidence import WEIGHTS

__all__ = ["Grouped", "p_value", "sums_of_halves"]

AT_ONCE = 4_000_000
"""Sums over halves in memory at a time."""


class Grouped:
    """Outcomes in groups, without the groups that showed one outcome only: these cannot tell.

    Parameters
    ----------
    group, outcome : int array [row]
        Of any numbers.

    Attributes
    ----------
    rows : int array [kept]
        Which rows were kept, group by group.
    """

    def __init__(self, group: NDArray[np.int64], outcome: NDArray[np.int64]) -> None:
        _, group = np.unique(group, return_inverse=True)
        code, kind = np.unique(group * (int(outcome.max()) + 1) + outcome, return_inverse=True)
        # Kinds are sorted by group, so that a kind's place among those of its group is its distance from the first.
        of_group = code // (int(outcome.max()) + 1)
        self._kinds = np.bincount(of_group)
        place = np.arange(len(code)) - np.searchsorted(of_group, of_group)
        tells = self._kinds[group] > 1
        self.rows = np.flatnonzero(tells)[np.argsort(group[tells], kind="stable")]
        self._group, self._kind, self._outcome = group[self.rows], kind[self.rows], place[kind[self.rows]]
        self._of_group, self._width = of_group, int(self._kinds.max())

    def within(self, rng: np.random.Generator, times: int) -> Iterator[NDArray[np.int64]]:
        """Permutations [kept] of the rows that stay within their groups."""
        return (np.argsort(self._group + rng.random(len(self._group))) for _ in range(times))

    def ratios(self, context: NDArray[np.int64], permutations: Iterable[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Likelihood ratios [1 + permutation]: of the outcomes as they are, and after each permutation."""
        row, number_of_rows, _ = self._row_of(context)
        first, lookup = row * self._width, _n_log_n(len(context))
        orders = (self._outcome, *(self._outcome[order] for order in permutations))
        cells = (np.bincount(first + outcome, minlength=number_of_rows * self._width) for outcome in orders)
        return np.array([lookup[counts].sum() for counts in cells]) - lookup[np.bincount(row)].sum()

    def ratios_of_halves(self, later: NDArray[np.bool_], piece: NDArray[np.int64]) -> NDArray[np.float64]:
        """Likelihood ratios [draw], the context of a row being whether its piece is of the later half.

        Parameters
        ----------
        later : bool array [draw, piece]
        piece : int array [row]
            Of all rows, also those that were not kept.
        """
        lookup = _n_log_n(len(self.rows))
        group_of = sparse.csr_array((np.ones(len(self._of_group)), (np.arange(len(self._of_group)), self._of_group)))
        ratios: list[NDArray[np.float64]] = []
        for own in sums_of_halves(later, piece[self.rows], self._kind, len(self._of_group)):
            ratio = np.zeros(own.shape[1])
            for counts in own:
                cells, rows = counts.astype(np.int64), np.asarray(counts @ group_of).astype(np.int64)
                ratio += lookup[cells].sum(-1) - lookup[rows].sum(-1)
            ratios.append(ratio)
        return np.concatenate(ratios)

    def log_bayes_factor(self, context: NDArray[np.int64]) -> float:
        """Log Bayes factor of dependence on a context [kept] against none; 0 if no row can tell."""
        if not len(context):
            return 0.0
        return self._log_evidence(context) - self._log_evidence(np.zeros_like(context))

    def _log_evidence(self, context: NDArray[np.int64]) -> float:
        row, number_of_rows, group = self._row_of(context)
        counts = np.bincount(row * self._width + self._outcome, minlength=number_of_rows * self._width)
        cells: NDArray[np.int64] = counts.reshape(number_of_rows, self._width)
        weight = np.array(WEIGHTS)[:, None]
        of_row = gammaln(weight) - gammaln(weight + cells.sum(-1))
        seen, outcome = np.nonzero(cells)
        part = weight / self._kinds[group[seen]]
        of_cell = gammaln(part + cells[seen, outcome]) - gammaln(part)
        return float(logsumexp(of_row.sum(-1) + of_cell.sum(-1)) - np.log(len(WEIGHTS)))

    def _row_of(self, context: NDArray[np.int64]) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
        """The row of each outcome [kept], by group and context; how many rows there are; and the group of each."""
        contexts = int(context.max(initial=0)) + 1
        rows, row = np.unique(self._group * contexts + context, return_inverse=True)
        return row, len(rows), rows // contexts


def sums_of_halves(
    later: NDArray[np.bool_],
    piece: NDArray[np.int64],
    kind: NDArray[np.int64],
    kinds: int,
    values: NDArray[np.float64] | None = None,
) -> Iterator[NDArray[np.float64]]:
    """Sums [half, draw, kind] of values over rows, some draws at a time; of 1 by default, which counts rows.

    Parameters
    ----------
    later : bool array [draw, piece]
        Whether a piece is of the later half.
    piece, kind : int array [row]
    kinds : int
    values : array [row], optional
    """
    values = np.ones(len(kind)) if values is None else values
    by_piece = sparse.csr_array((values, (piece, kind)), shape=(later.shape[1], kinds))
    whole: NDArray[np.float64] = np.asarray(by_piece.sum(0))
    at_once = max(1, AT_ONCE // max(kinds, 1))
    for begin in range(0, len(later), at_once):
        own = np.asarray(later[begin : begin + at_once].astype(float) @ by_piece)
        yield np.stack([own, whole - own])


def p_value(statistics: NDArray[np.float64]) -> float:
    """Share of draws whose largest statistic, each in units of its own spread, is at least that of the first.

    Parameters
    ----------
    statistics : array [draw, statistic]
        That of the data, then those under the hypothesis; exchangeable with it if that is true.

    Examples
    --------
    >>> p_value(np.array([[3.0], [1.0], [2.0], [1.0]]))
    0.25
    """
    spread = statistics.std(0)
    flat = spread <= 1e-12 * (1 + np.abs(statistics).max(0))
    scaled = np.where(flat, 0, (statistics - statistics.mean(0)) / np.where(flat, 1, spread)).max(-1)
    return float((scaled >= scaled[0] - 1e-9).mean())


def _n_log_n(largest: int) -> NDArray[np.float64]:
    """N log n of the whole numbers up to one [number]."""
    number = np.arange(largest + 1.0)
    return np.asarray(xlogy(number, number))
