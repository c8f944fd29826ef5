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
import pandas as pd
import xarray as xr
from jax.typing import ArrayLike
from numpy.typing import NDArray
from scipy.special import gammaln

from bayesmdp.logs.compress import compress
from bayesmdp.logs.log import refuse_missing, written_indices
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.logs_alike import as_logged
from bayesmdp.posterior.dirichlet_evidence import WEIGHTS, best_weight
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities

__all__ = [
    "Behaviour",
    "Estimate",
    "Today",
    "behaviour_of",
    "estimated_behaviour",
    "said_behaviour",
    "today_of",
    "tries_of",
]


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


class Today(NamedTuple):
    """What is done today: what a log shows of it, or what was said.

    Attributes
    ----------
    truth : array [state, action]
        Probabilities, in worlds that are like the log: what was said, or how often the log took each action.
    said : bool
        Whether it was said, and need not be estimated.
    """

    truth: NDArray[np.float64]
    said: bool = False

    def estimate(self, tries: NDArray[np.float64], available: NDArray[np.bool_]) -> Estimate:
        """What a log shows of it, by how often it tried each pair [state, action], and which may be tried."""
        if self.said:
            return Estimate(self.truth, None)
        behaviour = behaviour_of(tries, available)
        return Estimate(behaviour.mean, behaviour.concentration)


class Estimate(NamedTuple):
    """What a log shows of what is done today.

    Attributes
    ----------
    mean : array [state, action]
        Probabilities.
    concentration : array [state, action], or None
        Parameters of their Dirichlet distributions; None where they were said, and leave no doubt.
    """

    mean: NDArray[np.float64]
    concentration: NDArray[np.float64] | None

    def draws(self, size: int, seed: int) -> NDArray[np.float64]:
        """What it may be [draw, state, action], or what it is [state, action] where there is no doubt."""
        if self.concentration is None:
            return self.mean
        shape = (size, *self.concentration.shape)
        gamma = np.random.default_rng([seed, 29]).standard_gamma(self.concentration, shape)
        # A gamma variable of a tiny parameter may be 0, and so all of a row.
        total = gamma.sum(-1, keepdims=True)
        return np.where(total > 0, gamma / np.where(total > 0, total, 1), self.mean)


def today_of(baseline: str | pd.DataFrame | ArrayLike, rows: Transitions, mdp: MDP) -> Today | None:
    """Read what is done today.

    Parameters
    ----------
    baseline : "log", "none", DataFrame, or a policy as for `plan`
    rows : Transitions
        The log.
    mdp : MDP
        Of the log.

    Returns
    -------
    Today, or None for "none"
    """
    tries = tries_of(rows, mdp)
    if isinstance(baseline, pd.DataFrame):
        return Today(said_behaviour(baseline, mdp, tries), said=True)
    if isinstance(baseline, str) and baseline in ("log", "none"):
        return Today(as_logged(tries, mdp.available)) if baseline == "log" else None
    if baseline is None or (isinstance(baseline, str) and baseline != "uniform"):
        raise ValueError(f"baseline must be 'log', 'none', 'uniform', a table or a policy; got {baseline!r}")
    return Today(policy_probabilities(mdp, baseline), said=True)


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
    return behaviour_of(tries_of(rows, mdp), mdp.available)


def tries_of(rows: Transitions, mdp: MDP) -> NDArray[np.float64]:
    """Count how often the rows of a log took each action [state, action]."""
    tries = np.zeros((mdp.num_states, mdp.num_actions))
    np.add.at(tries, (rows.state, rows.action), rows.weight)
    return tries


def behaviour_of(counts: NDArray[np.float64], available: NDArray[np.bool_]) -> Behaviour:
    """Estimate a behaviour by how often it took each action.

    Parameters
    ----------
    counts : array [state, action]
    available : bool array [state, action]
        What may be taken, apart from what was.
    """
    possible = available | (counts > 0)
    # As if each action had been taken a fraction of one time more, one time in all, so that none is impossible.
    base = possible * (counts.sum(0) + 1 / counts.shape[-1])
    base = base / base.sum(-1, keepdims=True)
    seen = counts.sum(-1) > 0
    weight = best_weight({weight: _evidence(counts[seen], weight * base[seen]) for weight in WEIGHTS})
    return Behaviour(counts, weight * base)


def said_behaviour(table: pd.DataFrame, mdp: MDP, tries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read what is done today from a table.

    Parameters
    ----------
    table : DataFrame
        Columns ``state``, ``action`` and ``probability``, labels as they are written; pairs that it leaves out have
        probability 0. Without ``probability`` one action each state.
    mdp : MDP
        Of a log.
    tries : array [state, action]
        How often the log tried each pair. States that it never acted in may be left out.

    Returns
    -------
    array [state, action]
        In states that are left out the same for all available actions.

    Raises
    ------
    ValueError
        For columns, labels or numbers that are none, pairs named twice, states that are left out or whose
        probabilities do not sum to 1, and actions that the log never took there: nothing is known of these.
    """
    what = "the behaviour"
    refuse_missing(what, table, ("state", "action"))
    place = [written_indices(what, table, *of) for of in (("state", mdp.states), ("action", mdp.actions))]
    share = pd.to_numeric(table["probability"], errors="coerce") if "probability" in table else np.ones(len(table))
    share = np.asarray(share, float)
    wrong = ~((share >= 0) & (share <= 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"the behaviour's probability in row {row} is {table['probability'].tolist()[row]!r}; "
            "it must be from 0 to 1"
        )
    told, times = np.zeros(mdp.available.shape), np.zeros(mdp.available.shape)
    np.add.at(told, tuple(place), share)
    np.add.at(times, tuple(place), 1)

    def refuse(where: NDArray[np.bool_], text: str) -> None:
        if where.any():
            state, *action = (int(axis[0]) for axis in np.nonzero(where))
            names = f"state {mdp.states[state]!r}" + (f", action {mdp.actions[action[0]]!r}" if action else "")
            raise ValueError(f"the behaviour: {names} " + text.format(told[(state, *action)].sum()))

    refuse(times > 1, "is listed more than once")
    refuse(
        (told > 0) & ~mdp.available,
        "has probability {:.4g}, but the log never tried it there, so nothing is known about it; leave it out and "
        "divide its probability among the others",
    )
    named = times.any(-1)
    refuse(tries.any(-1) & ~named, "is missing; give an action for each state in which the log acts")
    refuse(named & (abs(told.sum(-1) - 1) > 1e-6), "has probabilities that sum to {:.6g}, not 1")
    told = np.where(named[:, None], told, mdp.available)
    return np.asarray(told / told.sum(-1, keepdims=True))


def _evidence(counts: NDArray[np.float64], prior: NDArray[np.float64]) -> float:
    """Log probability of the actions [state, action] under Dirichlet rows with these parameters."""
    tries, whole = counts.sum(-1), prior.sum(-1)
    taken = counts > 0
    gained = gammaln(prior[taken] + counts[taken]) - gammaln(prior[taken])
    return float((gammaln(whole) - gammaln(whole + tries)).sum() + gained.sum())
