"""A Dirichlet prior learned from the counts of earlier tasks.

With n[k, ...] how often each outcome of a row was seen in task k, and N[k] their sum, the concentrations of a row are
those for which the counts are most probable (Dirichlet-multinomial), under a Gamma prior on each whose mode is the
base's. Minka's fixed point (2000), with that prior (ours; psi is the digamma function, nu the strength):

    gained_i = nu + a_i sum over k of (psi(a_i + n[k, i]) - psi(a_i)),
    a_i = gained_i / (nu / base_i + sum over k of (psi(A + N[k]) - psi(A))).

A row that no task has tried keeps the base. Where tasks hardly differ, concentrations are large and these steps short,
so each is followed by one of Newton's method in log a, whose matrix is a diagonal and a multiple of a a', in rows where
that makes the counts more probable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, polygamma

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
        following = _by_newton(gained / paid, counts, base, strength)
        done = np.abs(following - found).max() <= TOLERANCE * np.abs(found).max()
        found = following
        if done:
            break
    return found


def _by_newton(
    found: NDArray[np.float64], counts: NDArray[np.float64], base: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Concentrations [..., outcome] after a step of Newton's method, of the rows that it improves."""
    seen, whole, tries = found + counts, found.sum(-1, keepdims=True), counts.sum(-1, keepdims=True)
    # The slope in log a, and the matrix of second derivatives, diag(bent) + joint a a'.
    slope = found * ((digamma(seen) - digamma(found)).sum(0) - (digamma(whole + tries) - digamma(whole)).sum(0))
    slope += strength * (1 - found / base)
    bent = slope - strength + found**2 * (polygamma(1, seen) - polygamma(1, found)).sum(0)
    joint = (polygamma(1, whole) - polygamma(1, whole + tries)).sum(0)
    with np.errstate(all="ignore"):
        left = 1 + joint * (found**2 / bent).sum(-1, keepdims=True)
        step = -(slope - found * joint * (found * slope / bent).sum(-1, keepdims=True) / left) / bent
        further = found * np.exp(np.clip(step, -2, 2))
        better = (
            (bent < 0).all(-1)
            & (left[..., 0] > 0)
            & (_log_evidence(further, counts, base, strength) > _log_evidence(found, counts, base, strength))
        )
    return np.where(better[..., None], further, found)


def _log_evidence(
    found: NDArray[np.float64], counts: NDArray[np.float64], base: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """The logarithm of how probable counts and concentrations of rows [...] are, up to a constant."""
    whole = found.sum(-1)
    rows = gammaln(whole) - gammaln(whole + counts.sum(-1)) + (gammaln(found + counts) - gammaln(found)).sum(-1)
    return np.asarray(rows.sum(0) + strength * (np.log(found) - found / base).sum(-1))
