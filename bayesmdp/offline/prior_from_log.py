"""The prior that a log speaks for: one NumPyro model of its transitions and, where they are unknown, of its rewards.

    transition[s, a, :] ~ Dirichlet(weight base[s, a, :])

Candidates for `base` are in :mod:`bayesmdp.offline.base_rows`; the weight is how many observations a row of the prior
counts as. Under each pair of the two the log has an *evidence*: the product over rows of the probability that the prior
gave to what then happened, step by step (Dirichlet-multinomial, in closed form). For uniform rows that is a probability
of the log; for a base that is made of other rows it is of each row given the others, a pseudo-likelihood. Where it does
not decide, candidates share: the base is the mean of the candidates' and the weight the mean of its logarithm, both by
evidence, so that what comes out is still Dirichlet, and its posterior exact. A row of the base that was made of M other
steps is itself uncertain, by about as much as a row of M observations: a weight W counts as ``1 / (1 / W + 1 / M)``.
That error is common to all rows but is drawn row by row, so that it averages out and values scatter too little: the
study ``todays-value`` says by how much, and the check of a promise makes up for it. All of this is empirical Bayes, and
the choice is ours; that hyperparameters are then taken as known is one of the things that the check of a promise
(:mod:`bayesmdp.offline.calibration`) makes up for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln, softmax

from bayesmdp import models
from bayesmdp.logs.compress import compress
from bayesmdp.model_reading.read_model import Model
from bayesmdp.offline.base_rows import BaseRows, base_rows_for
from bayesmdp.offline.experience import Experience, added_up
from bayesmdp.offline.reward_models import RewardModel, reward_model
from bayesmdp.problems.mdp import MDP

__all__ = ["LogPrior", "RowPrior", "log_prior", "prior_from_log", "row_prior"]

WEIGHTS = np.array([0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000])
"""Weights of a row, in observations: half a decade apart, since evidence is flat near its top."""


class RowPrior(NamedTuple):
    """A Dirichlet prior of rows, and how it was come by.

    Attributes
    ----------
    concentration : array [state, action, outcome]
    weight : float
        Observations that a row counts as, at the median.
    log_evidence : dict of float by candidate
        That of its best weight.
    share : dict of float by candidate
    """

    concentration: NDArray[np.float64]
    weight: float
    log_evidence: dict[str, float]
    share: dict[str, float]

    @property
    def described(self) -> str:
        """Which candidates, and how much a row weighs."""
        best = sorted(self.share.items(), key=lambda item: -item[1])
        named = [f"{name} {share:.0%}" if best[0][1] < 0.995 else name for name, share in best if share >= 0.005]
        weight = float(f"{self.weight:.2g}")
        weighs = f"the prior counts as {weight:,g} observations per pair"
        return f"transitions by the log's evidence: {', '.join(named)}; {weighs}"


def row_prior(counts: NDArray[np.float64], bases: BaseRows) -> RowPrior:
    """Weigh the candidates by the evidence of counts.

    Parameters
    ----------
    counts : array [state, action, outcome]
    bases : BaseRows

    Returns
    -------
    RowPrior

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.inventory(5)
    >>> rng = np.random.default_rng(0)
    >>> counts = np.array([[rng.multinomial(5, row) for row in rows] for rows in shop.transition], float)
    >>> counts *= shop.available[..., None]
    >>> max((share := row_prior(counts, base_rows_for(shop)).share), key=share.get)  # stock and order, less the demand
    'sum'
    """
    candidates = bases.bases(counts)
    base = np.stack([each.rows for each in candidates.values()])  # [candidate, state, action, outcome]
    steps = np.stack([each.steps for each in candidates.values()])
    weight = 1 / (1 / WEIGHTS + 1 / np.maximum(steps[..., None], 1e-3))  # [candidate, state, action, weight]
    tries = counts.sum(-1)
    state, action, outcome = np.nonzero(counts)
    times, tried = counts[state, action, outcome][:, None], tries > 0
    # Dirichlet-multinomial: what each row, and each of its entries, adds.
    row = gammaln(weight[:, tried]) - gammaln(weight[:, tried] + tries[tried][:, None])
    prior = weight[:, state, action] * base[:, state, action, outcome][..., None]
    evidence = row.sum(1) + (gammaln(prior + times) - gammaln(prior)).sum(1)  # [candidate, weight]
    share = softmax(evidence)
    by_candidate = share.sum(1)
    chosen = np.exp((share[:, None, None] * np.log(weight)).sum((0, 3)))  # [state, action]
    return RowPrior(
        chosen[..., None] * np.tensordot(by_candidate, base, 1),
        float(np.median(chosen)),
        dict(zip(candidates, evidence.max(1).tolist(), strict=True)),
        dict(zip(candidates, by_candidate.tolist(), strict=True)),
    )


@dataclass(frozen=True, eq=False)
class LogPrior:
    """A NumPyro model that a log speaks for; call it, or give it to `infer`, as any other.

    Attributes
    ----------
    model : NumPyro function of the data
    rows : RowPrior
        Of the transitions.
    rewards : RewardModel
    bases : BaseRows
        The candidates that were weighed.
    """

    model: Model
    rows: RowPrior
    rewards: RewardModel
    bases: BaseRows

    def __call__(self, data: Any) -> None:
        self.model(data)

    @property
    def __name__(self) -> str:
        return self.model.__name__

    @property
    def described(self) -> str:
        """What the prior is, in a line."""
        return self.rows.described


def prior_from_log(log: xr.Dataset, problem: MDP, *, rewards: str = "auto", ordered: bool | None = None) -> LogPrior:
    """Make the prior that a log speaks for: how rows of the kernel are alike, and what rewards are.

    Parameters
    ----------
    log : Dataset over ``step``
    problem : MDP
        From `mdp_from_log`, or any that the log is about. Rows can be alike only where every state is an outcome of
        every pair, ``elsewhere="each"``.
    rewards : {"auto", "known", "normal", "bernoulli"}
        What rewards are; by default the log is asked, as :mod:`bayesmdp.offline.reward_models` says.
    ordered : bool, optional
        Whether neighbouring states are one step apart; by default where they are whole numbers one apart.

    Returns
    -------
    LogPrior
        A NumPyro model with what was chosen, and the evidence, as attributes.

    Raises
    ------
    ValueError, TypeError
        If the log does not fit the problem, or its rewards are not what they are said to be.

    See Also
    --------
    bayesmdp.compare_priors : priors of your own, on one log.
    bayesmdp.concentration_by_evidence : only how strong a symmetric prior is.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.inventory(5, discount=0.9)
    >>> log = bm.collect(shop, policy="uniform", steps=300, seed=0)
    >>> problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    >>> prior = prior_from_log(log, problem)
    >>> max(prior.rows.share, key=prior.rows.share.get), prior.rewards.kind
    ('sum', 'known')
    >>> bm.infer(prior, log, mdp=problem, draws=0).attrs["engine"]
    'exact'
    """
    rows = compress(log, problem, distinct_rewards=True)
    experience = added_up(rows, problem)
    bases = base_rows_for(problem, ordered=ordered)
    paid = reward_model(log, rows, experience, rewards)
    return log_prior(problem, experience, bases, paid)


def log_prior(problem: MDP, experience: Experience, bases: BaseRows, rewards: RewardModel) -> LogPrior:
    """Make the prior of a log that is added up; see `prior_from_log`.

    Parameters
    ----------
    problem : MDP
    experience : Experience
    bases : BaseRows
    rewards : RewardModel

    Returns
    -------
    LogPrior
    """
    chosen = row_prior(experience.counts, bases)
    transitions = models.dirichlet_transitions(problem, chosen.concentration)
    return LogPrior(rewards.wrap(problem, transitions), chosen, rewards, bases)
