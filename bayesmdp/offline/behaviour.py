"""Who made the log: how it chose its actions, state by state.

The rows of the behaviour are believed to be alike as far as the log says so. Each is Dirichlet,

    behaviour[s] ~ Dirichlet(weight * base),

about `base`, the shares of the actions over all states, with the weight for which the evidence of the actions speaks
(closed form, empirical Bayes, by the rule of :func:`~bayesmdp.posterior.dirichlet_evidence.best_weight`). One rule for
all states then needs few steps to be known everywhere, and a rule for each state is learned from its own steps. A
symmetric prior of one step in all was the alternative: it says that an action seen once in one visit was all but sure
there, and the inverse of such a probability is what importance sampling multiplies. The choice is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln

from bayesmdp.logs.compress import compress
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.dirichlet_evidence import WEIGHTS, best_weight
from bayesmdp.problems.mdp import MDP

__all__ = ["Behaviour", "estimated_behaviour"]


class Behaviour(NamedTuple):
    """The posterior of a behaviour: a Dirichlet distribution for each state.

    Attributes
    ----------
    counts : array [state, action]
        How often the log took each action.
    prior : array [state, action]
        Parameters of the Dirichlet prior; 0 where an action cannot be taken.
    """

    counts: NDArray[np.float64]
    prior: NDArray[np.float64]

    @property
    def concentration(self) -> NDArray[np.float64]:
        """Parameters [state, action] of the posterior."""
        return self.prior + self.counts

    @property
    def mean(self) -> NDArray[np.float64]:
        """Posterior mean of the probability of each action [state, action]."""
        return np.asarray(self.concentration / self.concentration.sum(-1, keepdims=True))


def estimated_behaviour(log: xr.Dataset | Transitions, mdp: MDP) -> Behaviour:
    """Estimate the behaviour that made a log, by state.

    Parameters
    ----------
    log : Dataset over ``step``, or Transitions
        Such as `compress` makes of a log with this MDP.
    mdp : MDP
        Its available actions, and those that the log took all the same, are the ones that may be taken.

    Returns
    -------
    Behaviour
        Its `mean` is a policy as probabilities [state, action]; where the log never acted it is the mean of the prior.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy=[[0.2, 0.8]] * 6, steps=2_000, seed=0)
    >>> estimated_behaviour(log, river).mean.round(1).tolist()[0]
    [0.2, 0.8]
    """
    rows = log if isinstance(log, Transitions) else compress(log, mdp)
    counts = np.zeros((mdp.num_states, mdp.num_actions))
    np.add.at(counts, (rows.state, rows.action), rows.weight)
    possible = mdp.available | (counts > 0)
    # As if each action had been taken a fraction of one time more, one time in all, so that none is impossible.
    base = possible * (counts.sum(0) + 1 / mdp.num_actions)
    base = base / base.sum(-1, keepdims=True)
    seen = counts.sum(-1) > 0
    weight = best_weight({weight: _evidence(counts[seen], weight * base[seen]) for weight in WEIGHTS})
    return Behaviour(counts, weight * base)


def _evidence(counts: NDArray[np.float64], prior: NDArray[np.float64]) -> float:
    """Log probability of the actions [state, action] under Dirichlet rows with these parameters."""
    tries, whole = counts.sum(-1), prior.sum(-1)
    taken = counts > 0
    gained = gammaln(prior[taken] + counts[taken]) - gammaln(prior[taken])
    return float((gammaln(whole) - gammaln(whole + tries)).sum() + gained.sum())
