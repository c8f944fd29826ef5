"""Does an outcome depend on more than its group? Permutation p-values, and Bayes factors in closed form.

Outcomes o (such as next states) come in groups g (such as pairs of a state and an action). The question is whether,
within its group, an outcome depends on its context c (such as the state before, or which half of the log it is in).
The statistic of the test is the likelihood ratio of "by group and context" against "by group",

    sum over g, c, o of  n_gco log n_gco  -  sum over g, c of  n_gc log n_gc  +  what no permutation changes,

its p-value the share of permutations that have as large a one. If outcomes are independent given their groups, as the
steps of a Markov chain are given their pairs, one within a group may stand for another; contexts that hang on earlier
outcomes make this exact only for long logs (the ratio is then a sum of martingale differences).

The Bayes factor compares the same two hypotheses with Dirichlet rows, uniform over the outcomes that a group showed and
of the same weight w in observations:

    log p(outcomes | rows, w) = sum over rows of  log G(w) / G(w + n_row)  +  sum over o of  log G(w / K + n) / G(w / K),

averaged over the weights that :mod:`bayesmdp.posterior.dirichlet_evidence` chooses from.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, xlogy

from bayesmdp.posterior.dirichlet_evidence import WEIGHTS

__all__ = ["Grouped", "p_value"]


class Grouped:
    """Outcomes in groups, those left out that cannot tell: of groups that showed one outcome only.

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
        code, kind = np.unique(group * (int(outcome.max(initial=0)) + 1) + outcome, return_inverse=True)
        of_group = group[np.unique(kind, return_index=True)[1]] if len(code) else group
        # Kinds are sorted by group, so that a kind's place among those of its group is its distance from the first.
        kinds = np.bincount(of_group, minlength=1)
        place = np.arange(len(code)) - np.searchsorted(of_group, of_group)
        told = kinds[group] > 1 if len(group) else np.zeros(0, bool)
        self.rows = np.flatnonzero(told)[np.argsort(group[told], kind="stable")]
        self._group, self._outcome = group[self.rows], place[kind][self.rows]
        self._kinds = kinds
        self._width = int(kinds.max())

    def within(self, rng: np.random.Generator, times: int) -> Iterable[NDArray[np.int64]]:
        """Permutations [kept] of the rows that stay within their groups."""
        return (np.argsort(self._group + rng.random(len(self._group))) for _ in range(times))

    def ratio(self, context: NDArray[np.int64]) -> float:
        """The likelihood ratio of the module, for contexts [kept]."""
        row, cell = self._tables(context)
        return float(xlogy(cell, cell).sum() - xlogy(row, row).sum())

    def ratios(self, context: NDArray[np.int64], permutations: Iterable[NDArray[np.int64]]) -> list[float]:
        """Likelihood ratios [1 + permutation]: of the outcomes as they are, and as they stand after each permutation."""
        places, _, rows = self._row_of(context)
        size = rows * self._width
        lookup = xlogy(every := np.arange(len(context) + 1.0), every)
        constant = float(lookup[np.bincount(places, minlength=1)].sum())
        orders = (self._outcome, *(self._outcome[order] for order in permutations))
        return [
            float(lookup[np.bincount(places * self._width + outcome, minlength=size)].sum()) - constant
            for outcome in orders
        ]

    def log_bayes_factor(self, context: NDArray[np.int64]) -> float:
        """Log Bayes factor of dependence on a context [kept] against none; 0 if no row can tell."""
        if not len(context):
            return 0.0
        return self._log_evidence(context) - self._log_evidence(np.zeros_like(context))

    def _log_evidence(self, context: NDArray[np.int64]) -> float:
        row, cell = self._tables(context)
        _, groups, _ = self._row_of(context)
        kinds = self._kinds[groups]
        weight = np.array(WEIGHTS)[:, None]
        of_row = gammaln(weight) - gammaln(weight + row)
        seen, outcome = np.nonzero(cell)
        part = weight / kinds[seen]
        of_cell = gammaln(part + cell[seen, outcome]) - gammaln(part)
        return float(logsumexp(of_row.sum(-1) + of_cell.sum(-1)) - np.log(len(WEIGHTS)))

    def _row_of(self, context: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Return the row of each outcome [kept], by group and context; the group of each row; and their number."""
        contexts = int(context.max(initial=0)) + 1
        rows, places = np.unique(self._group * contexts + context, return_inverse=True)
        return places, rows // contexts, len(rows)

    def _tables(self, context: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Counts [row] and [row, outcome]."""
        places, _, rows = self._row_of(context)
        cells = np.bincount(places * self._width + self._outcome, minlength=rows * self._width)
        cells = cells.reshape(rows, self._width)
        return cells.sum(-1), cells


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
