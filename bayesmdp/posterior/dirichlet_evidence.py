"""How probable a symmetric Dirichlet prior made the log: which concentration to believe in.

A prior that counts as much as one observation looks modest and is not: it is the opinion that every row has very few
outcomes. The log can speak to that, by its *evidence*, the probability that a prior and the steps before gave to each
next state. To choose the concentration so is empirical Bayes; that ``bayesmdp plan`` does it, for these rows and for
others (:mod:`bayesmdp.offline.prior_from_log`), is our choice, made on what the study of ICU-Sepsis found
(:mod:`bayesmdp.studies.icu_sepsis`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from bayesmdp.foundation.validation import number
from bayesmdp.logs.compress import compress
from bayesmdp.model_reading.rows import Transitions

if TYPE_CHECKING:
    import xarray as xr

    from bayesmdp.problems.mdp import MDP

__all__ = ["FAR", "WEIGHTS", "best_weight", "concentration_by_evidence", "dirichlet_log_evidence", "evidence_by_weight"]

FAR = 3.0
"""A difference of log evidence that says something: 20 to 1."""

WEIGHTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Weights of a row, in observations, to choose from: half a decade apart, since evidence is flat near its top."""


def dirichlet_log_evidence(log: xr.Dataset | Transitions, mdp: MDP, concentration: float) -> float:
    """Log probability of the logged next states, in their order, under a symmetric Dirichlet prior on each row.

    It is the sum, step by step, of the log probability that the prior and the steps before gave to what then happened.
    With a[s, a, o] the concentration of an outcome (that of each next state times the states it stands for), n[s, a, o]
    the times it was seen, A and N their sums over o, and G the gamma function (Dirichlet-multinomial, closed form),

        sum over s, a of  log G(A) / G(A + N)  +  sum over o of  log G(a + n) / G(a).

    Parameters
    ----------
    log : Dataset over ``step``, or Transitions
    mdp : MDP
    concentration : float
        Of each next state, as for `dirichlet_transitions`.

    Returns
    -------
    float
        In natural units; differences are log odds. A difference of 3 is 20 to 1.

    Raises
    ------
    ValueError
        If the concentration is not positive, or the log does not fit the MDP.

    See Also
    --------
    bayesmdp.concentration_by_evidence : the concentration where it is largest.
    bayesmdp.compare_priors : for any model.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=1, seed=0)
    >>> round(float(np.exp(dirichlet_log_evidence(log, river, 1 / 6))), 3)  # one step: one of six next states
    0.167
    """
    return _log_evidence(log, mdp)(number("concentration", concentration, above=0))


def concentration_by_evidence(log: xr.Dataset | Transitions, mdp: MDP, *, weights: Sequence[float] = WEIGHTS) -> float:
    """The concentration of each next state for which the log speaks.

    Among the weights whose log evidence is within 3 of the largest, the one nearest to one observation: if almost no
    pair was tried twice, the log cannot tell one concentration from another. (The rule is ours.)

    Parameters
    ----------
    log : Dataset over ``step``, or Transitions
    mdp : MDP
    weights : sequence of float
        Candidates: the sum of concentrations over all states, which is a row's weight in observations.

    Returns
    -------
    float
        To give to `dirichlet_transitions`.

    Raises
    ------
    ValueError
        If a weight is not positive, there is none, or the log does not fit the MDP.

    See Also
    --------
    bayesmdp.dirichlet_log_evidence : the evidence that it maximises.
    bayesmdp.prior_from_log : structure too.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.frozen_lake()  # one to three next states a row, of 16
    >>> log = bm.collect(lake, policy="uniform", steps=2_000, seed=0)
    >>> 16 * concentration_by_evidence(log, lake)
    1.0
    """
    return best_weight(evidence_by_weight(log, mdp, weights)) / mdp.num_states


def evidence_by_weight(
    log: xr.Dataset | Transitions, mdp: MDP, weights: Sequence[float] = WEIGHTS
) -> dict[float, float]:
    """Compute the log evidence of each weight that a row of the prior may have.

    Parameters
    ----------
    log, mdp
        As for `concentration_by_evidence`.
    weights : sequence of float
        Observations that a row of the prior counts as.

    Returns
    -------
    dict of float by weight
    """
    if not len(weights):
        raise ValueError("weights is empty; give some, such as (1.0, 10.0)")
    checked = [number("a weight", weight, above=0) for weight in weights]
    log_evidence = _log_evidence(log, mdp)
    return {weight: log_evidence(weight / mdp.num_states) for weight in checked}


def best_weight(evidence: Mapping[float, float]) -> float:
    """The weight nearest to one observation of those whose log evidence is within `FAR` of the largest."""
    good = [weight for weight, found in evidence.items() if found >= max(evidence.values()) - FAR]
    return min(good, key=lambda weight: abs(np.log(weight)))


def _log_evidence(log: xr.Dataset | Transitions, mdp: MDP) -> Callable[[float], float]:
    """Log evidence as a function of the concentration; what does not depend on it is done once."""
    rows = log if isinstance(log, Transitions) else compress(log, mdp)
    # By pair and next state, of which a padded row names some several times; -1, elsewhere, comes first.
    pair = rows.state.astype(np.int64) * mdp.num_actions + rows.action
    after = rows.next_state if mdp.successor is None else mdp.successor[rows.state, rows.action, rows.next_state]
    entry, place = np.unique(pair * (mdp.num_states + 1) + after + 1, return_inverse=True)
    times = np.bincount(place, weights=rows.weight)
    row, place = np.unique(entry // (mdp.num_states + 1), return_inverse=True)
    tries = np.bincount(place, weights=times)
    size = np.broadcast_to(mdp.outcome_size, (mdp.num_states, mdp.num_actions, mdp.num_outcomes))
    size = size.reshape(-1, mdp.num_outcomes)[row]
    lumped = entry % (mdp.num_states + 1) == 0
    part = np.ones(len(entry))
    if lumped.any():
        assert mdp.successor is not None
        elsewhere = mdp.successor.reshape(-1, mdp.num_outcomes)[row] < 0
        part[lumped] = (size * elsewhere).sum(-1)[place][lumped]
    whole = size.sum(-1)

    def log_evidence(concentration: float) -> float:
        row = gammaln(concentration * whole) - gammaln(concentration * whole + tries)
        gained = gammaln(concentration * part + times) - gammaln(concentration * part)
        return float(row.sum() + gained.sum())

    return log_evidence
