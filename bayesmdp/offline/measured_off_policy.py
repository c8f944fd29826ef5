"""A second opinion on a plan from measurements: what its policy is worth by the rows of the log alone, without a prior.

As for tables (:mod:`bayesmdp.offline.off_policy`), with the ratio of an episode's first t + 1 actions under the policy
pi, which takes one action a state or does as today, and under the behaviour b that the log shows
(:mod:`bayesmdp.offline.state_behaviour`),

    rho[t] = product over k = 0..t of  pi(a_k | s_k) / b(a_k | s_k),

and n episodes, the estimators are

    per decision   1/n sum over episodes of  sum over t of gamma^t rho[t] r_t                    (Precup et al., 2000)
    weighted       sum over t of gamma^t  (sum over episodes of rho[t] r_t) / (sum over episodes of rho[t])
    fitted Q       1/n sum over episodes of  phi(s_0, pi(s_0))' w,    w = A^-1 b,
                   A = sum of phi (phi - gamma phi')' + ridge,   b = sum of phi r          (Lagoudakis and Parr, 2003)

with phi(s, a) the constant, the coordinates and their products by action, in units of the box, and phi' those of the
next state and the policy's action there, 0 where the episode ended. Rewards are reckoned from their mean where no state
is terminal, so that the ridge pulls towards that. gamma V of the state in which an episode was cut off is added to its
last reward, and an episode that has ended counts in the weighted one with the ratio it ended with, as in tables.
Ratios do not lean on the measurements telling all that matters; fitted Q does, and on values' being of second order,
which is an assumption of ours and not the plan's.

Intervals are by the Bayesian bootstrap over episodes, or over twenty blocks of rows where there are fewer than ten. The
behaviour is not estimated anew in it, unlike in tables, for that would be a logistic regression each time. Ratios can
tell if their effective number (Kish, 1965), at the step by which 95% of the discounted future is over, is at least 20
episodes; and fitted Q if there are three rows for each of its weights, and hardly any of the future lies behind steps
that no row was near. That ratios have a far larger mean square than a log shows is not looked for here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer, number
from bayesmdp.model_reading.records import Records
from bayesmdp.models.linear_rewards import up_to_squares
from bayesmdp.offline.feature_evidence import features_at
from bayesmdp.offline.off_policy import ENOUGH, UNTRIED
from bayesmdp.offline.state_behaviour import StateBehaviour
from bayesmdp.planning.fitted_policies import FittedPolicy
from bayesmdp.planning.gain_policy import GainPolicy
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["MEASURED_ESTIMATORS", "measured_off_policy"]

MEASURED_ESTIMATORS = ("per decision", "weighted", "fitted Q")

RIDGE, PER_WEIGHT = 1e-3, 3
"""Of fitted Q: what is added to the diagonal, and the rows that it needs for each weight."""

EPISODES, BLOCKS = 10, 20
"""Episodes from which the bootstrap is over them, and the blocks of rows that it is over in their place."""

SIZE = 4_000_000
"""Numbers in the matrices of all pieces, at most; pieces are put together where there would be more."""


class _Rows(NamedTuple):
    """What the estimators read, in the order in which rows were recorded.

    Attributes
    ----------
    episode, time : int array [row]
    first, last : int array [episode]
    ratio : array [row]
        rho.
    reward : array [row]
    goes_on, cut : bool array [row]
        Whether the episode was not over after the row, and whether the row is the last though it was not.
    """

    episode: NDArray[np.int64]
    time: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    ratio: NDArray[np.float64]
    reward: NDArray[np.float64]
    goes_on: NDArray[np.bool_]
    cut: NDArray[np.bool_]


def measured_off_policy(
    data: Records,
    begins: NDArray[np.bool_],
    ended: NDArray[np.bool_],
    policy: FittedPolicy | GainPolicy,
    behaviour: StateBehaviour,
    *,
    starts: NDArray[np.float64] | None = None,
    unseen: float = 0.0,
    bootstrap: int = 400,
    confidence: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """What a policy is worth where episodes start, by three estimators that need no prior.

    Parameters
    ----------
    data : Records
        In the order in which they were recorded.
    begins, ended : bool array [row]
        In which rows episodes begin, and after which they are over.
    policy : FittedPolicy or GainPolicy
    behaviour : StateBehaviour
        That made the log.
    starts : array [start, coordinate], optional
        Where episodes start if not where those of the log do; then ratios cannot tell.
    unseen : float
        The share of the discounted future behind steps that no row was near.
    bootstrap : int
        Samples for the intervals.
    confidence : float in (0, 1)
        Of the intervals.
    seed : int

    Returns
    -------
    Dataset over ``estimator``
        As `off_policy` returns it.
    """
    bootstrap, seed = integer("bootstrap", bootstrap, 20), integer("seed", seed, 0)
    confidence = number("confidence", confidence, above=0, below=1)
    mdp = policy.mdp
    state, action, discount = np.asarray(data.state), np.asarray(data.action), float(mdp.problem.discount)
    rows = _rows(data, begins, ended, policy, behaviour)
    # Pieces of the bootstrap, few enough for a matrix of each.
    after = np.asarray(data.seen["next_state"])
    phi = _pair_features(mdp, state, np.eye(mdp.num_actions)[action])
    phi_after = _pair_features(mdp, after, policy.probabilities(after)) * rows.goes_on[:, None]
    own = len(rows.first) >= EPISODES
    piece = rows.episode if own else np.arange(len(state)) * BLOCKS // len(state)
    most = max(1, SIZE // phi.shape[1] ** 2)
    if piece.max() >= most:
        piece = piece * most // (piece.max() + 1)
    number_of = int(piece.max()) + 1
    weight = np.random.default_rng([seed, 31]).exponential(size=(bootstrap + 1, number_of))
    weight = weight / weight.mean(-1, keepdims=True)
    weight[0] = 1
    # Fitted Q under each weight of the pieces.
    middle = float(rows.reward.mean()) if rows.goes_on.all() else 0.0
    matrix, target = np.zeros((number_of, phi.shape[1], phi.shape[1])), np.zeros((number_of, phi.shape[1]))
    for i in range(number_of):
        held = piece == i
        matrix[i] = phi[held].T @ (phi[held] - discount * phi_after[held])
        target[i] = phi[held].T @ (rows.reward[held] - middle)
    ridge = RIDGE * np.eye(phi.shape[1])
    fits = np.stack([np.linalg.solve(np.tensordot(w, matrix, 1) + ridge, w @ target) for w in weight])
    # What they say where episodes start, and the ratios.
    began = state[rows.first] if starts is None else np.asarray(starts, float)
    of_start = _pair_features(mdp, began, policy.probabilities(began)) @ fits.T + middle / (1 - discount)
    of_episode = weight[:, piece[rows.first]] if own else np.ones((len(weight), len(rows.first)))
    found = np.full((len(weight), len(MEASURED_ESTIMATORS)), np.nan)
    for i, w in enumerate(of_episode):
        found[i, 2] = np.average(of_start[:, i], weights=w if starts is None else None)
        if own:
            left = discount * (phi_after @ fits[i] + rows.goes_on * middle / (1 - discount))
            found[i, :2] = _by_ratios(rows, w, rows.reward + rows.cut * left, discount)
    lower, upper = np.quantile(found[1:], [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    effective = [*[_effective(rows, discount)] * 2, len(state) / phi.shape[1]]
    why = np.array(_why_not(rows, effective, unseen, told=starts is not None))
    columns = {"value": found[0], "lower": lower, "upper": upper, "sd": found[1:].std(0), "effective": effective}
    return xr.Dataset(
        {name: ("estimator", values) for name, values in columns.items()}
        | {"tells": ("estimator", why == ""), "why": ("estimator", why)},
        coords={"estimator": list(MEASURED_ESTIMATORS)},
        attrs={
            "pieces": "episodes" if own else "blocks of steps",
            "number": number_of,
            "cut": int(rows.cut.sum()),
            "untried": unseen,
            "discount": discount,
            "confidence": confidence,
            "bootstrap": bootstrap,
            "seed": seed,
        },
    )


def _rows(
    data: Records,
    begins: NDArray[np.bool_],
    ended: NDArray[np.bool_],
    policy: FittedPolicy | GainPolicy,
    behaviour: StateBehaviour,
) -> _Rows:
    """Read what the estimators need."""
    state, action = np.asarray(data.state), np.asarray(data.action)
    first = np.flatnonzero(begins)
    last = np.append(first[1:] - 1, len(begins) - 1)
    episode = np.cumsum(begins) - 1
    taken = np.arange(len(action)), action
    ratio = policy.probabilities(state)[taken] / behaviour.probabilities(state)[taken]
    for begin, end in zip(first, last, strict=True):
        ratio[begin : end + 1] = np.cumprod(ratio[begin : end + 1])
    is_last = np.zeros(len(begins), bool)
    is_last[last] = True
    reward = np.asarray(data.seen["reward"], float)
    time = np.arange(len(begins)) - first[episode]
    return _Rows(episode, time, first, last, ratio, reward, ~ended, is_last & ~ended)


def _pair_features(mdp: SimulatedMDP, state: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features [row, feature] of pairs: those of the state in the place of each action, times its probability."""
    problem = mdp.problem
    place = 2 * (state - problem.low) / (problem.high - problem.low) - 1
    own = features_at(up_to_squares, place)
    return (share[:, :, None] * own[:, None]).reshape(len(state), -1)


def _by_ratios(
    rows: _Rows, weight: NDArray[np.float64], paid: NDArray[np.float64], discount: float
) -> tuple[float, float]:
    """The two estimates by ratios, where episodes weigh so [episode]."""
    counted = weight[rows.episode] * rows.ratio
    earned = np.bincount(rows.time, counted * discount**rows.time * paid)
    every = _by_time(rows, counted)
    weighted = np.divide(earned, every, out=np.zeros_like(earned), where=every > 0).sum()
    return float(earned.sum() / len(rows.first)), float(weighted)


def _by_time(rows: _Rows, counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums [time] over all episodes of a quantity [row]; those that ended count as they ended."""
    running = np.bincount(rows.time, counted)
    ended = np.bincount(rows.time[rows.last] + 1, counted[rows.last], len(running) + 1)
    return np.asarray(running + np.cumsum(ended)[:-1])


def _effective(rows: _Rows, discount: float) -> float:
    """The effective number of episodes (Kish)."""
    at = min(math.ceil(math.log(0.05) / math.log(discount)), int(rows.time.max()))
    total, squares = (_by_time(rows, each)[at] for each in (rows.ratio, rows.ratio**2))
    return float(total**2 / squares) if squares > 0 else 0.0


def _why_not(rows: _Rows, effective: list[Any], unseen: float, *, told: bool) -> list[str]:
    """Why each estimator cannot tell; empty if it can."""
    of_ratios = of_fit = ""
    if len(rows.first) < EPISODES:
        of_ratios = f"the log has fewer than {EPISODES} episodes"
    elif told:
        of_ratios = "the given start is not where the episodes of the log start"
    elif effective[0] < ENOUGH:
        size = f"{effective[0]:.2g}" if effective[0] >= 1 else "less than 1"
        of_ratios = f"too few effective episodes: {size} of {len(rows.first):,}"
    if unseen > UNTRIED:
        of_fit = f"{100 * unseen:.2g}% of the discounted future comes after steps that no row was near"
    elif effective[2] < PER_WEIGHT:
        of_fit = f"too few rows: {effective[2]:.2g} for each of its weights"
    return [of_ratios, of_ratios, of_fit]
