"""A second opinion: what a policy is worth by the episodes of a log alone, without a prior.

With the ratio of an episode's first t + 1 actions under the policy and under the behaviour b,

    rho[t] = product over k = 0..t of  policy[s_k, a_k] / b[s_k, a_k],

and n episodes of length T, the estimators are

    per decision          1/n sum over episodes of  sum over t of gamma^t rho[t] r_t             (Precup et al., 2000)
    weighted              sum over t of gamma^t  (sum over episodes of rho[t] r_t) / (sum over episodes of rho[t])
    doubly robust         1/n sum over episodes of  V(s_0) + sum over t of gamma^t rho[t] d_t       (Jiang and Li, 2016)
    fitted Q              1/n sum over episodes of  V(s_0)               (:mod:`bayesmdp.offline.likeliest_model`)

with d_t = r_t + gamma V(s_t+1) - Q(s_t, a_t). An episode that has ended counts in the weighted one with the ratio it
ended with, and brings nothing. The ratios do not lean on the states telling all that matters, fitted Q does, and doubly
robust is right if either is. The first two have no model of what follows, but for episodes that were cut off: gamma V
of the state they were cut off in is added to their last reward. Where the start is not that of the log's episodes,
ratios begin with the probability of their first state divided by its share. All four read the log that a policy may
have been chosen by, and then flatter it.

Everything is done again under other weights of the episodes, Exp(1) each (the Bayesian bootstrap of Rubin, 1981), the
estimate of the behaviour included, which makes ratios vary less than the true behaviour would (Hanna, Niekum and Stone,
2019). Resampling with replacement was the alternative; it loses pairs that were tried in one episode only.

An estimator *can tell* if its effective sample size is at least 20, and the policy meets a pair that was never tried
with a discounted probability of at most 5%. For ratios the size is that by Kish (1965), the square of their sum over
the sum of their squares, at the step by which 95% of the discounted future is over; or, if that is less, the number of
episodes over the mean square that the ratios have in the likeliest model. For the rare ratios that are largest are most
often not in a log, and one without them looks as if it had many effective episodes, and is off. For fitted Q the size
is in steps: with d the discounted visits to pairs by the policy in the model, and m their tries in the log, the square
of the sum of d over the sum of d^2 / m. These limits, and the mean square by the model, are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from bayesmdp.foundation.validation import integer, number
from bayesmdp.offline.behaviour import Behaviour, estimated_behaviour
from bayesmdp.offline.likeliest_model import LikeliestModel
from bayesmdp.offline.steps import Steps, problem_of, steps_of
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities

__all__ = ["ESTIMATORS", "off_policy"]

ESTIMATORS = ("per decision", "weighted", "doubly robust", "fitted Q")

ENOUGH = 20.0
"""Effective sample size from which an estimator can tell."""

UNTRIED = 0.05
"""Discounted probability of a pair never tried, and share of starts never seen, up to which it can."""

AT_ONCE = 4_000_000
"""Ratios, or values of states, in memory at a time."""

LARGEST = 300.0
"""Logarithm of the largest ratio: its square is a number still."""


def off_policy(
    log: xr.Dataset,
    policy: str | ArrayLike | xr.DataArray,
    *,
    mdp: MDP | None = None,
    discount: float | None = None,
    behaviour: str | ArrayLike | xr.DataArray | None = None,
    bootstrap: int = 400,
    confidence: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """What a policy is worth where episodes start, by four estimators that need no prior.

    Parameters
    ----------
    log : Dataset over ``step``
        In the order in which it was recorded. Its last step counts as cut off unless it is marked as terminated.
    policy : "uniform", action labels [state], or probabilities [state, action]
        ``plan.policy`` of `plan` will do.
    mdp : MDP, optional
        Gives labels, terminal states, the discount and where episodes start; its dynamics and rewards are not read.
    discount : float in (0, 1), optional
        In the place of an MDP: labels, terminal states and starts are then those of the log.
    behaviour : "uniform", action labels [state], or probabilities [state, action], optional
        Who made the log, if it is known; by default estimated from it (:mod:`bayesmdp.offline.behaviour`).
    bootstrap : int
        Samples for the intervals.
    confidence : float in (0, 1)
        Of the intervals.
    seed : int

    Returns
    -------
    Dataset over ``estimator``
        ``value``; ``lower`` and ``upper`` (percentiles of the bootstrap) and ``sd`` of it; ``effective``, the effective
        sample size, in episodes, of fitted Q in steps; ``tells`` and, if it cannot tell, ``why``. Where the log has
        fewer than 10 episodes, or does not say where they begin, only fitted Q has a value, and its bootstrap is over
        blocks of steps in order, taken for independent, or over single steps of a log in no order. Attrs: ``pieces``,
        what the bootstrap is over, and ``number`` of them; ``cut``, those that were cut off; ``untried``, the
        discounted probability that the policy meets a pair that was never tried; ``discount``, ``confidence``,
        ``bootstrap``, ``seed``.

    Raises
    ------
    ValueError, TypeError, KeyError
        For a log that `compress` refuses, neither or both of `mdp` and `discount`, a policy that is none, or a
        behaviour that never takes an action which the log took: with the step.

    See Also
    --------
    bayesmdp.value_draws : by the posterior.
    bayesmdp.evaluate : by the true kernel.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.frozen_lake(discount=0.9)
    >>> log = bm.collect(lake, policy="uniform", steps=3_000, seed=0)
    >>> told = off_policy(log, "uniform", mdp=lake)
    >>> bool(told["tells"].all()), told.attrs["pieces"]
    (True, 'episodes')
    >>> truth = float(bm.evaluate(lake, "uniform").values @ lake.initial)
    >>> bool((told["lower"] < truth).all() and (truth < told["upper"]).all())
    True
    """
    bootstrap, seed = integer("bootstrap", bootstrap, 20), integer("seed", seed, 0)
    confidence = number("confidence", confidence, above=0, below=1)
    mdp = problem_of(log, mdp, discount)
    chosen = policy_probabilities(mdp, policy)
    steps = steps_of(log, mdp)
    by = estimated_behaviour(steps.rows, mdp) if behaviour is None else _known(behaviour, steps, mdp)
    model = LikeliestModel(steps, mdp, chosen)
    ratios = _Ratios(steps, mdp, chosen, by, model)
    number_of = len(steps.first)
    weight = np.random.default_rng([seed, 29]).exponential(size=(bootstrap + 1, number_of))
    weight /= weight.mean(-1, keepdims=True)
    weight[0] = 1
    found = np.concatenate([_estimates(part, ratios) for part in _parts(weight, max(len(steps.state), mdp.num_states))])
    lower, upper = np.quantile(found[1:], [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    untried = float(model.discounted_steps(mdp.initial) @ model.untried)
    effective = _effective(ratios)
    why = np.array([_why_not(ratios, name, size, untried) for name, size in zip(ESTIMATORS, effective, strict=True)])
    columns = {"value": found[0], "lower": lower, "upper": upper, "sd": found[1:].std(0), "effective": effective}
    return xr.Dataset(
        {name: ("estimator", values) for name, values in columns.items()}
        | {"tells": ("estimator", why == ""), "why": ("estimator", why)},
        coords={"estimator": list(ESTIMATORS)},
        attrs={
            "pieces": steps.pieces,
            "number": number_of,
            "cut": int(steps.cut.sum()),
            "untried": untried,
            "discount": model.discount,
            "confidence": confidence,
            "bootstrap": bootstrap,
            "seed": seed,
        },
    )


class _Ratios(NamedTuple):
    """What the estimators are made of."""

    steps: Steps
    mdp: MDP
    chosen: NDArray[np.float64]
    by: Behaviour | NDArray[np.float64]
    model: LikeliestModel

    @property
    def start(self) -> NDArray[np.float64]:
        """The first ratio of each episode: how much more often its first state should be one."""
        state = self.steps.state[self.steps.first]
        share = np.bincount(state, minlength=self.mdp.num_states) / len(state)
        return np.asarray(self.mdp.initial[state] / share[state])

    @property
    def unseen_starts(self) -> float:
        """The share of episodes that should start where none of the log does."""
        state = self.steps.state[self.steps.first]
        return max(0.0, 1 - float(self.mdp.initial[np.unique(state)].sum()))

    def __call__(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Ratios [sample, step] when episodes weigh so [sample, episode], for an estimated behaviour estimated anew."""
        steps, model = self.steps, self.model
        if isinstance(self.by, Behaviour):
            tried = (np.ones(len(steps.state)), (steps.piece, model.pair))
            taken = weight @ sparse.csr_array(tried, shape=(weight.shape[1], len(model.tries)))
            prior, whole = self.by.prior[model.pair_state, model.pair_action], self.by.prior.sum(-1)
            of_state = (np.ones(len(model.tries)), (np.arange(len(model.tries)), model.pair_state))
            visited = taken @ sparse.csr_array(of_state, shape=(len(model.tries), model.size))
            behaviour = (prior + taken) / (whole + visited)[:, model.pair_state]
        else:
            behaviour = self.by[model.pair_state, model.pair_action][None]
        follows = model.chosen > 0
        ratio = np.log(np.where(follows, model.chosen, 1)) - np.log(behaviour)
        summed = np.cumsum(ratio[:, model.pair], axis=-1)
        before = (summed[:, steps.first] - ratio[:, model.pair[steps.first]])[:, steps.piece]
        # An episode that the policy left counts no more.
        left = np.cumsum(~follows[model.pair])
        stayed = left == (left - ~follows[model.pair])[steps.first][steps.piece]
        return np.asarray(np.exp(np.minimum(summed - before, LARGEST)) * stayed * self.start[steps.piece])


def _known(behaviour: str | ArrayLike | xr.DataArray, steps: Steps, mdp: MDP) -> NDArray[np.float64]:
    """A behaviour that is told, refused if the log contradicts it."""
    told = policy_probabilities(mdp, behaviour)
    never = told[steps.state, steps.action] == 0
    if never.any():
        step = int(np.flatnonzero(never)[0])
        state, action = mdp.states[steps.state[step]], mdp.actions[steps.action[step]]
        raise ValueError(
            f"behaviour never takes {action!r} in state {state!r}, but the log does at step {step}; give the "
            "probabilities that produced the log, or leave it out to have them estimated"
        )
    return told


def _parts(weight: NDArray[np.float64], size: int) -> Iterator[NDArray[np.float64]]:
    """Weights [sample, piece], a part of the samples at a time."""
    at_once = max(1, AT_ONCE // size)
    return (weight[i : i + at_once] for i in range(0, len(weight), at_once))


def _estimates(weight: NDArray[np.float64], ratios: _Ratios) -> NDArray[np.float64]:
    """The estimates [sample, estimator] of the module's docstring."""
    steps, model = ratios.steps, ratios.model
    value, q = model.reweighted(weight)
    found = np.full((len(weight), len(ESTIMATORS)), np.nan)
    if steps.why_not:
        found[:, -1] = value @ ratios.mdp.initial
        return found
    rho = ratios(weight)
    counted, number_of = weight[:, steps.piece] * rho, weight.shape[1]
    discounted: NDArray[np.float64] = np.asarray(model.discount**steps.time, float)
    after = model.discount * value[:, steps.next_state]
    paid = steps.reward + np.where(steps.cut, after, 0)
    begun = weight * ratios.start * value[:, steps.state[steps.first]]
    found[:, 0] = (counted * discounted * paid).sum(-1) / number_of
    found[:, 1] = _weighted(counted, discounted, paid, steps)
    missed = steps.reward + after - q[:, model.pair]
    found[:, 2] = (begun.sum(-1) + (counted * discounted * missed).sum(-1)) / number_of
    found[:, 3] = value @ ratios.mdp.initial if ratios.unseen_starts > UNTRIED else begun.sum(-1) / number_of
    return found


def _weighted(
    counted: NDArray[np.float64], discounted: NDArray[np.float64], paid: NDArray[np.float64], steps: Steps
) -> NDArray[np.float64]:
    """Rewards of each time over the ratios of that time [sample], summed."""
    every = _by_time(counted, steps)
    at_time = sparse.csr_array((np.ones(len(steps.time)), (np.arange(len(steps.time)), steps.time)))
    earned = (counted * discounted * paid) @ at_time
    return np.divide(earned, every, out=np.zeros_like(earned), where=every > 0).sum(-1)


def _by_time(counted: NDArray[np.float64], steps: Steps) -> NDArray[np.float64]:
    """Sums [sample, time] over all episodes of a quantity [sample, step]; those that ended count as they ended."""
    size, last = len(steps.time), steps.last
    at_time = sparse.csr_array((np.ones(size), (np.arange(size), steps.time)))
    running = counted @ at_time
    after = (np.ones(len(last)), (np.arange(len(last)), steps.time[last] + 1))
    ended = counted[:, last] @ sparse.csr_array(after, shape=(len(last), running.shape[1] + 1))
    return running + np.cumsum(ended, -1)[:, :-1]


def _effective(ratios: _Ratios) -> NDArray[np.float64]:
    """Effective sample sizes [estimator]."""
    steps, model = ratios.steps, ratios.model
    visits = model.discounted_steps(ratios.mdp.initial)[model.pair_state] * model.chosen
    spread = float((visits**2 / model.tries).sum())
    of_steps = float(visits.sum()) ** 2 / spread if spread > 0 else 0.0
    if steps.why_not:
        return np.array([0.0] * 3 + [of_steps])
    rho = ratios(np.ones((1, len(steps.first))))

    def kish(total: float, squares: float) -> float:
        return total**2 / squares if squares > 0 else 0.0

    horizon = int(np.ceil(np.log(0.05) / np.log(model.discount))) if model.discount < 1 else len(steps.time)
    at = min(horizon, int(steps.time.max()))
    by_decision = kish(float(_by_time(rho, steps)[0, at]), float(_by_time(rho**2, steps)[0, at]))
    behaviour = ratios.by.mean if isinstance(ratios.by, Behaviour) else ratios.by
    begun = np.bincount(steps.state[steps.first], ratios.start**2, model.size) / len(steps.first)
    square = model.mean_square_ratio(behaviour[model.pair_state, model.pair_action], begun, at + 1)
    expected = len(steps.first) / square if square > 0 else 0.0
    return np.array([*[min(by_decision, expected)] * 3, of_steps])


def _why_not(ratios: _Ratios, name: str, effective: float, untried: float) -> str:
    """Why an estimator cannot tell; empty if it can."""
    of_episodes = name != "fitted Q"
    if of_episodes and ratios.steps.why_not:
        return ratios.steps.why_not
    if untried > UNTRIED:
        return f"the policy reaches a pair that was never tried with discounted probability {untried:.2g}"
    if of_episodes and ratios.unseen_starts > UNTRIED:
        return f"{ratios.unseen_starts:.0%} of the starts are in states in which no episode of the log starts"
    if effective < ENOUGH:
        what = "episodes" if of_episodes else "steps"
        size = f"{effective:.2g}" if effective >= 1 else "less than 1"
        return f"too few effective {what}: {size} of {len(ratios.steps.first if of_episodes else ratios.steps.state):,}"
    return ""
