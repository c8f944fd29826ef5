"""A Dirichlet prior learned from the counts of earlier tasks.

With n[k, ...] how often each outcome of a row was seen in task k, and N[k] their sum, the concentrations of a row are
those for which the counts are most probable (Dirichlet-multinomial), under a Gamma prior on each whose mode is the
base's. Minka's fixed point (2000), with that prior (ours; psi is the digamma function, nu the strength):

    gained_i = nu + a_i sum over k of (psi(a_i + n[k, i]) - psi(a_i)),
    a_i = gained_i / (nu / base_i + sum over k of (psi(A + N[k]) - psi(A))).

A row that no task has tried keeps the base.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

__all__ = ["dirichlet_prior"]

ITERATIONS, TOLERANCE = 2_000, 1e-6


def dirichlet_prior(
    counts: NDArray[np.float64], base: NDArray[np.float64], *, strength: float = 1.0
) -> NDArray[np.float64]:
    """Concentrations [..., outcome] of the next task's prior.

    Parameters
    ----------
    counts : array [task, ..., outcome]
    base : array [..., outcome]
        Concentrations of the prior that the first tasks were played under.
    strength : float, positive
        nu: how firmly the base is held to, in observations of a kind.

    Examples
    --------
    >>> counts = np.tile([[9.0, 1.0], [8.0, 2.0], [10.0, 0.0]], (20, 1))
    >>> learned = dirichlet_prior(counts, np.ones(2))
    >>> round(float(learned[0] / learned.sum()), 1)
    0.9
    """
    found = np.array(base, float)
    tries = counts.sum(-1, keepdims=True)
    for _ in range(ITERATIONS):
        whole = found.sum(-1, keepdims=True)
        gained = strength + found * (digamma(found + counts) - digamma(found)).sum(0)
        paid = strength / base + (digamma(whole + tries) - digamma(whole)).sum(0)
        following = gained / paid
        done = np.abs(following - found).max() <= TOLERANCE * np.abs(found).max()
        found = following
        if done:
            break
    return found
