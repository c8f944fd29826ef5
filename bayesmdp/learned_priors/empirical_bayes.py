"""Empirical Bayes: the prior on Q-functions under which the data of all tasks are most probable.

A task's regression of stage h, with rows A, rewards r, and Phi the features of the best pairs of the states led to,

    r + Phi theta_{h+1} = A theta_h + noise,    noise ~ Normal(0, s_h^2 I),

holds for its own unknown theta_{h+1}, of which the next stage's posterior Normal(m', V') is known. Multiplied by A',
and with y = A'r + A'Phi m', it says ``y = G theta_h + error``, G = A'A, where the error has the covariance

    Omega = s_h^2 G + A'Phi V' Phi'A:

targets are as uncertain as the values that they were made of, and they are made anew with the posterior mean, which is
drawn towards other tasks', in the place of the estimate that the task itself could make. What a stage says of the next
one is not used (a cut), as in the agents' own regression. Then with theta ~ Normal(mean, C) over tasks, by turns

    m_k = mean + C G (G C G + Omega_k)^+ (y_k - G mean),    V_k = C - C G (G C G + Omega_k)^+ G C,
    mean = average of m_k,    Q = sum of V_k + (m_k - mean)(m_k - mean)',    C = (n tau I + Q) / (n + K).

The last is the inverse of what C^-1 is on average, given Q, under an inverse Wishart prior with n degrees of freedom
about tau I, where tau is that for which K draws with the scatter Q are most probable, with d the number of directions
that some task saw:

    log Gamma_d((n + K) / 2) - log Gamma_d(n / 2) + (n d / 2) log(n tau) - ((n + K) / 2) log |n tau I + Q|.

n is d by default. It can be found in the same way (strength None): where tasks differ as much in one direction as in
another it goes to infinity and C to tau I, where they differ in a few directions it is little above d. But as long as
tasks say little Q holds much of C itself, so that this n comes out too large.

s_h is the residual standard deviation of least squares, pooled over tasks. The next task's prior is wider than C by
what is not known of the mean, ``(base covariance^-1 + sum of G (G C G + Omega_k)^+ G)^-1``. All of this is ours; leaps
are those of Varadhan and Roland (2008).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import multigammaln

from bayesmdp.learned_priors.q_values import estimates, pooled_noise, posterior_covariance, times
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, root
from bayesmdp.posterior.q_regression.backward import TaskStatistics

__all__ = ["empirical_bayes", "evident_scale"]

type Floats = NDArray[np.float64]

ITERATIONS, TOLERANCE = 40, 3e-4
"""At most so many leaps, until a step moves nothing by more than this share of the largest entry."""
SEEN = 1e-9
"""Share of the largest eigenvalue of a sum of A'A below which a direction counts as not seen."""
FIRMEST, SEARCHED = 1e4, 25
"""Most degrees of freedom, in numbers of directions, by when C is tau I; and how many are tried at a time."""


def empirical_bayes(
    past: TaskStatistics,
    base: GaussianPrior,
    previous: GaussianPrior | None = None,
    *,
    strength: float | None = 1.0,
    learn_noise: bool = True,
) -> GaussianPrior:
    """Find the mean and covariance that make the data of all tasks most probable; see the module.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
        The prior of the mean, and the ridge of the least squares that the noise is read from.
    previous : GaussianPrior, optional
        A prior learned from fewer tasks, to start from.
    strength : float or None
        Degrees of freedom n in numbers of directions, of which 0 leaves the sample's covariance alone; None to find
        them from the data.
    learn_noise : bool
        Whether the prior has the residual standard deviation for its noise; otherwise the base's, there and in the
        formulas.

    Returns
    -------
    GaussianPrior
    """
    noise = pooled_noise(past, base) if learn_noise else np.asarray(base.noise)
    # How far leaps go, and when they end, depends on how means and variances compare: it must not hang on the unit of
    # rewards.
    unit = float(noise.mean())
    past, base, noise = _divided(past, unit), _prior_divided(base, unit), noise / unit
    previous = None if previous is None else _prior_divided(previous, unit)
    theta = estimates(past, base).theta
    regressions = _regressions(past, base, noise)
    at = [_begin(one, theta[:, h], previous, h) for h, one in enumerate(regressions)]
    for _ in range(ITERATIONS):
        once = _improved(at, regressions, strength)
        twice = _improved(once, regressions, strength)
        if max(_change(x, y) for x, y in zip(once, twice, strict=True)) <= TOLERANCE:
            break
        at = [_leap(*three) for three in zip(at, once, twice, strict=True)]
    return _prior_divided(_as_prior(twice, regressions, base, noise), 1 / unit)


def _divided(past: TaskStatistics, unit: float) -> TaskStatistics:
    """What tasks say where rewards are told in a unit of so many."""
    return past._replace(score=past.score / unit, square=past.square / unit**2, earned=past.earned / unit)


def _prior_divided(prior: GaussianPrior, unit: float) -> GaussianPrior:
    """The same prior in that unit."""
    return GaussianPrior(*(np.asarray(part) / unit for part in (prior.mean, prior.factor, prior.noise)))


class _Regression(NamedTuple):
    """The regressions of one stage, in the directions that some task saw, with one row for each of them.

    Attributes
    ----------
    axes : array [feature, direction]
        The directions, an orthonormal basis.
    rows : array [task, row, direction]
        B, of which B'B = A'A; rows have independent errors of the variance s^2.
    earned : array [task, row]
        What A'r is in their place.
    carry : array [task, row, direction of the next stage]
        What A'Phi is in their place.
    noise : float
        s.
    """

    axes: Floats
    rows: Floats
    earned: Floats
    carry: Floats
    noise: float


class _Hyper(NamedTuple):
    """Parameters of a stage's prior, in the directions seen, and tau, the variance in others."""

    mean: Floats
    covariance: Floats
    tau: float


def _regressions(past: TaskStatistics, base: GaussianPrior, noise: Floats) -> list[_Regression]:
    """Replace each stage's rows by the roots of A'A, in the directions that some task saw.

    In others the next stage's weights are taken for the base's mean.
    """
    found: list[_Regression] = []
    stages, features = past.score.shape[1:]
    later, rest = np.zeros((features, 0)), np.zeros(features)  # what the last stage leads to is worth nothing
    for h in range(stages - 1, -1, -1):
        total, vectors = np.linalg.eigh(past.gram[:, h].sum(0))
        axes = vectors[:, total > SEEN * max(total[-1], 1e-300)]
        values, turns = np.linalg.eigh(axes.T @ past.gram[:, h] @ axes)
        kept = values > SEEN * values[:, -1:]
        lengths = np.sqrt(np.where(kept, values, 0))
        back = np.where(kept, 1 / np.where(kept, lengths, 1), 0)[..., None] * (_transposed(turns) @ axes.T)
        rows, carry = lengths[..., None] * _transposed(turns), back @ past.carry[:, h]
        earned = times(back, past.earned[:, h]) + carry @ rest
        found.append(_Regression(axes, rows, earned, carry @ later, float(noise[h])))
        own_mean = np.asarray(base.mean)[h]
        later, rest = axes, own_mean - axes @ (axes.T @ own_mean)
    return found[::-1]


def _begin(regression: _Regression, theta: Floats, previous: GaussianPrior | None, stage: int) -> _Hyper:
    """Where the iteration starts: at the prior learned before, or at the estimates' mean and their mean variance."""
    axes = regression.axes
    if not axes.size:  # no task saw the stage, and nothing is added to what the base does not know
        return _Hyper(np.zeros(0), np.zeros((0, 0)), 0.0)
    along = theta @ axes
    variance = max(float(along.var(0).mean()), 1e-12)
    if previous is None:
        return _Hyper(along.mean(0), variance * np.eye(axes.shape[1]), variance)
    return _Hyper(axes.T @ previous.mean[stage], axes.T @ previous.covariance[stage] @ axes, variance)


def _improved(at: list[_Hyper], regressions: list[_Regression], strength: float | None) -> list[_Hyper]:
    """Take one step of both turns, the last stage first."""
    found: list[_Hyper] = []
    later = _nothing_later(regressions)
    for hyper, regression in zip(reversed(at), reversed(regressions), strict=True):
        later = _posterior(hyper, regression, *later)
        theta, spread = later
        # mean, Q and C.
        mean = theta.mean(0)
        scatter = spread.sum(0) + (theta - mean).T @ (theta - mean)
        found.append(_Hyper(mean, *_shrunk(scatter, len(theta), strength)))
    return found[::-1]


def _nothing_later(regressions: list[_Regression]) -> tuple[Floats, Floats]:
    tasks = len(regressions[0].earned)
    return np.zeros((tasks, 0)), np.zeros((tasks, 0, 0))


def _posterior(hyper: _Hyper, regression: _Regression, later: Floats, later_spread: Floats) -> tuple[Floats, Floats]:
    """m_k [task, direction] and V_k [task, direction, direction], from those of the next stage."""
    across = regression.rows @ hyper.covariance
    gain = _transposed(np.linalg.solve(_surprise(hyper, regression, later_spread), across))
    surprise = regression.earned + times(regression.carry, later) - regression.rows @ hyper.mean
    return hyper.mean + times(gain, surprise), hyper.covariance - gain @ across


def _surprise(hyper: _Hyper, regression: _Regression, later_spread: Floats) -> Floats:
    """``B C B' + Omega`` with ``Omega = s^2 I + F V' F'``, F the carry."""
    rows, carry = regression.rows, regression.carry
    total = rows @ hyper.covariance @ _transposed(rows) + carry @ later_spread @ _transposed(carry)
    return np.asarray(total + regression.noise**2 * np.eye(rows.shape[1]))


def _as_prior(
    hypers: list[_Hyper], regressions: list[_Regression], base: GaussianPrior, noise: Floats
) -> GaussianPrior:
    """The next task's prior, of all features, widened by what is not known of the mean."""
    means, covariances, informations = [], [], []
    later = _nothing_later(regressions)
    own_means = np.asarray(base.mean)
    for h in range(len(hypers) - 1, -1, -1):
        hyper, regression, axes = hypers[h], regressions[h], regressions[h].axes
        surprise = _surprise(hyper, regression, later[1])
        information = (_transposed(regression.rows) @ np.linalg.solve(surprise, regression.rows)).sum(0)
        informations.append(axes @ (information + information.T) / 2 @ axes.T)
        unseen = np.eye(len(axes)) - axes @ axes.T
        means.append(axes @ hyper.mean + unseen @ own_means[h])
        covariances.append(axes @ hyper.covariance @ axes.T + hyper.tau * unseen)
        later = _posterior(hyper, regression, *later)
    unknown = posterior_covariance(np.asarray(base.covariance), np.stack(informations[::-1])[None])[0]
    return GaussianPrior(np.stack(means[::-1]), root(np.stack(covariances[::-1]) + unknown), noise)


def _shrunk(scatter: Floats, tasks: int, strength: float | None) -> tuple[Floats, float]:
    """C and tau, with n and tau found from the scatter."""
    if not scatter.size:
        return scatter, 0.0
    values, vectors = np.linalg.eigh(scatter)
    values = np.maximum(values, max(1e-12 * values[-1], 1e-100))
    firmness, tau = evident_scale(values, tasks, None if strength is None else strength * len(values))
    return (vectors * ((firmness * tau + values) / (firmness + tasks))) @ vectors.T, tau


def evident_scale(values: Floats, draws: int, firmness: float | None = None) -> tuple[float, float]:
    """Find the inverse Wishart prior of a covariance that makes the scatter of some draws most probable.

    Parameters
    ----------
    values : array [direction], positive
        Eigenvalues of the scatter.
    draws : int
        K, how many there are.
    firmness : float, optional
        The degrees of freedom n, where they are given.

    Returns
    -------
    firmness, scale : float
        n and tau; n is above d - 1 and at most `FIRMEST` d unless given.

    Examples
    --------
    >>> firmness, scale = evident_scale(np.full(5, 12.0), draws=6)
    >>> firmness > 1_000, round(scale, 6)
    (True, 2.0)
    """
    if firmness is None:
        least = len(values) - 1
        logs = np.linspace(np.log(0.1), np.log(FIRMEST * len(values)), SEARCHED)
        for _ in range(2):  # all over the range, and again between the neighbours of the best
            evidence = _log_evidence(values, draws, least + np.exp(logs))
            best = int(np.argmax(evidence))
            found, step = logs[best], logs[1] - logs[0]
            logs = np.linspace(found - step, found + step, SEARCHED)
        firmness = least + min(float(np.exp(found)), FIRMEST * len(values))
    return firmness, float(_best_scales(values, draws, np.array([firmness]))[0])


def _best_scales(values: Floats, draws: int, firmness: Floats) -> Floats:
    """The tau [n] at which the evidence is largest for each n: where the mean of (n + K) tau / (n tau + values) is 1.

    The mean rises with tau; by Newton's method in log tau.
    """
    log_tau, each = np.full(firmness.shape, np.log(values.mean() / draws)), firmness[:, None]
    for _ in range(50):
        tau = np.exp(log_tau)[:, None]
        share = (each + draws) * tau / (each * tau + values)
        slope = (share * values / (each * tau + values)).mean(1)
        step = (share.mean(1) - 1) / np.maximum(slope, 1e-300)
        log_tau = log_tau - np.clip(step, -2, 2)
        if (np.abs(step) <= 1e-9).all():
            break
    return np.exp(log_tau)


def _log_evidence(values: Floats, draws: int, firmness: Floats) -> Floats:
    """The logarithm of the probability of the scatter, up to a constant, at each n [n] and its best tau."""
    size, scale = len(values), firmness * _best_scales(values, draws, firmness)
    half = (firmness + draws) / 2
    return np.asarray(
        multigammaln(half, size)
        - multigammaln(firmness / 2, size)
        + firmness * size / 2 * np.log(scale)
        - half * np.log(scale[:, None] + values).sum(1)
    )


def _leap(start: _Hyper, once: _Hyper, twice: _Hyper) -> _Hyper:
    """Where two steps of a slow fixed-point iteration point to: SQUAREM, Varadhan and Roland (2008)."""
    if not start.mean.size:
        return start
    flat = [np.append(at.mean, at.covariance) for at in (start, once, twice)]
    first, bend = flat[1] - flat[0], flat[2] - 2 * flat[1] + flat[0]
    length = np.clip(np.linalg.norm(first) / max(np.linalg.norm(bend), 1e-300), 1, 100)
    mean, covariance = np.split(flat[0] + 2 * length * first + length**2 * bend, [len(start.mean)])
    values, vectors = np.linalg.eigh(covariance.reshape(start.covariance.shape))
    # A variance of 0 would stay 0 in all later steps.
    values = np.maximum(values, 0.01 * np.trace(twice.covariance) / len(values))
    return _Hyper(mean, (vectors * values) @ vectors.T, twice.tau)


def _change(before: _Hyper, after: _Hyper) -> float:
    """The largest change, of means or covariances, as a share of the largest entry."""
    pairs = (before.mean, after.mean), (before.covariance, after.covariance)
    return max(float(np.abs(y - x).max(initial=0) / np.abs(y).max(initial=1e-12)) for x, y in pairs)


def _transposed(matrix: Floats) -> Floats:
    return matrix.swapaxes(-1, -2)
