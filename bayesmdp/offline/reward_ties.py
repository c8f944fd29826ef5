"""Whether rewards are those of a pair of a state and an action, or of the state that is entered: asked of the log.

What arriving somewhere pays, whatever led there, is learned from all who arrive: a goal that was reached fifty times is
known from fifty rewards, where each of the pairs that lead to it has a few. But where the pair matters and this is not
seen, a plan would be surer than it may. So rewards are taken for those of the next state only if the evidence for it,
the probability of all rewards given the transitions, is `ODDS` times that for rewards by pair: where they are by pair,
as the prior has them, a log says otherwise with a probability of at most 1 / `ODDS`, since the mean of the ratio is
then 1 (Markov's inequality). And it must be above that for rewards by transition, with a mean for each next state of
each pair, which stands for all in which both matter.

With n rewards in a group, m their mean and S the sum of their squared differences from it, the evidence is

    Normal     (2 pi noise^2)^((1 - n) / 2) n^(-1/2) exp(-S / (2 noise^2)) Normal(m; mean, scale^2 + noise^2 / n)
    Bernoulli  B(a + n m, b + n - n m) / B(a, b)

over the groups, with what they share summed out: the mean over a flat prior, the noise and the scale, or a and b, over
grids that are those of all groupings. That noise is one number here, and may differ by pair in what follows, is for the
comparison alone. All of this is ours.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, logsumexp

from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.experience import Experience, RewardSums

__all__ = ["MIDDLES", "ODDS", "SCALES", "TRIALS", "Tie", "log_evidence", "tied_by", "triple_of"]

type Tie = Literal["pair", "next_state"]

ODDS = 100.0

SCALES = 10.0 ** np.arange(-2, 0.6, 0.125)
"""Of the spread of mean rewards, in units of the standard deviation of all rewards."""
NOISES = 10.0 ** np.arange(-3, 0.3, 0.125)
"""Of rewards about their mean, in the same units."""
TRIALS = 10.0 ** np.arange(-0.5, 2.1, 0.25)
MIDDLES = (np.arange(40) + 0.5) / 40


def tied_by(rows: Transitions, experience: Experience, kind: str) -> Tie:
    """Say what the unknown rewards of a log hang on.

    Parameters
    ----------
    rows : Transitions
        One for each distinct reward of a transition.
    experience : Experience
        Of the same log.
    kind : {"normal", "bernoulli"}

    Returns
    -------
    {"pair", "next_state"}
        "pair" where outcomes are not next states.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.logs.compress import compress
    >>> from bayesmdp.offline.experience import added_up
    >>> grid = bm.environments.grid()
    >>> log = bm.collect(grid, policy="uniform", steps=2_000, seed=0)
    >>> noise = 0.2 * np.random.default_rng(0).standard_normal(2_000)
    >>> log = log.assign(reward=log["reward"] + noise)
    >>> rows = compress(log, grid, distinct_rewards=True)
    >>> tied_by(rows, added_up(rows, grid), "normal")
    'next_state'
    """
    if experience.entered is None:
        return "pair"
    triple = triple_of(rows, experience)
    each = RewardSums.added_up((triple,), (int(triple.max()) + 1,), rows.reward, rows.weight)
    pair, entered, both = (log_evidence(sums, kind) for sums in (experience.paid, experience.entered, each))
    return "next_state" if entered > max(pair + np.log(ODDS), both) else "pair"


def triple_of(rows: Transitions, experience: Experience) -> NDArray[np.intp]:
    """Number the transitions of a log: for each row which one it is, of those that were seen.

    Parameters
    ----------
    rows : Transitions
    experience : Experience
        Of the same log.
    """
    place = np.ravel_multi_index((rows.state, rows.action, rows.next_state), experience.counts.shape)
    return np.unique(place, return_inverse=True)[1]


def log_evidence(sums: RewardSums, kind: str) -> float:
    """Return the log probability of rewards that share a mean in each group, up to a constant of all groupings.

    Parameters
    ----------
    sums : RewardSums
    kind : {"normal", "bernoulli"}

    Returns
    -------
    float
    """
    seen = sums.tries > 0
    n, mean, scatter = sums.tries[seen], sums.mean[seen], sums.scatter[seen]
    if kind == "bernoulli":
        weight, middle = (each.reshape(-1, 1) for each in np.meshgrid(TRIALS, MIDDLES, indexing="ij"))
        a, b, ones = weight * middle, weight * (1 - middle), n * mean
        return float(logsumexp((betaln(a + ones, b + n - ones) - betaln(a, b)).sum(-1)))
    centre = (n * mean).sum() / n.sum()
    spread = np.sqrt((scatter + n * (mean - centre) ** 2).sum() / n.sum())
    if spread == 0:
        return 0.0
    scale, told = spread * SCALES[:, None], []
    for noise in spread * NOISES:
        within = ((1 - n) * np.log(noise) - scatter / (2 * noise**2) - np.log(n) / 2).sum()
        precision = 1 / (scale**2 + noise**2 / n)  # [scale, group]
        total = precision.sum(-1)
        middle = (mean * precision).sum(-1) / total
        between = 0.5 * (np.log(precision) - (mean - middle[:, None]) ** 2 * precision).sum(-1) - 0.5 * np.log(total)
        told.append(within + between)
    # All groupings have the factor (2 pi)^(-n / 2) of all n; the scale is uniform, the noise log-uniform.
    return float(logsumexp(np.array(told) + np.log(scale[:, 0])))
