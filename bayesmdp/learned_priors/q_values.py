"""Priors on Q-functions learned from the tasks before: point estimates of the mean and covariance over tasks.

Task k leaves, of each stage, ``G_k = A'A`` and ``A'b``
(:class:`~bayesmdp.posterior.q_regression.backward.TaskStatistics`). With Normal(mean, covariance) the prior that the
first tasks were played under, here called the base, its *estimate* of theta is the posterior mean under the base, which
is least squares with the base as its ridge:

    t_k = R_k (covariance^-1 mean + A'b / noise^2),    R_k = (covariance^-1 + G_k / noise^2)^-1.

Where features were never seen that is the base mean: an average of such estimates is drawn towards it. What the
estimate's error is made of, with s^2 the stage's residual variance and C_k of the next stage carried back through the
targets, is

    C_k = s^2 R_k G_k R_k / noise^4 + J_k C_k(next stage) J_k',    J_k = R_k A'Phi / noise^2.

*MTSRL* puts the average of the estimates in the place of the mean; the covariance is known. *MTSRL+* estimates it too:

    S = sample covariance of t_1..t_K - mean of C_1..C_K, its negative eigenvalues set to 0,
    covariance = S + w I,    w = scale lambda_max sqrt((5 d + 2 ln(episodes tasks horizon)) / (K - 1)),

with lambda_max the largest eigenvalue of S, or of the sample covariance / K where that is more: where S is 0 the mean
is not known better than that.

Without the widening a direction in which S is 0 is taken as known from then on. The correction's recursion, the ridge
and `scale` are ours; the widening follows Bastani, Simchi-Levi and Zhu (2022).

*Empirical Bayes* needs no estimates of single tasks. With g_k = G_k / s^2 it repeats

    V_k = covariance (I + g_k covariance)^-1,    m_k = mean + V_k (A'b / s^2 - g_k mean),
    mean = average of m_k,    Q = sum of V_k + (m_k - mean)(m_k - mean)',
    s^2 = (sum of |b - A m_k|^2 + tr(V_k G_k)) / steps,
    covariance = (Q + nu tr(Q) / (K d) I) / (K + nu),    nu = strength (d + 2),

which draws the covariance towards a multiple of I of the same trace; strength 0 is plain EM. (With half the ridge, the
form we were given, each step takes a share of the trace away, and where tasks say little it goes to 0.) s is held above
a hundredth of the base's noise, since few rows can be fitted without any. The next prior is wider by what is not known
of the mean, ``(base covariance^-1 + sum of (I + g_k covariance)^-1 g_k)^-1``.

*The meta-posterior* of the mean, for a known covariance, is Normal with that last covariance: AdaTS (Basu et al., 2021)
takes its mean, and its covariance plus the tasks', as the next prior; Meta-TS (Kveton et al., 2021) a draw of it, and
the tasks' covariance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, root
from bayesmdp.posterior.q_regression.backward import TaskStatistics

__all__ = ["Estimates", "empirical_bayes", "estimates", "meta_posterior", "mtsrl", "mtsrl_plus"]

type Floats = NDArray[np.float64]

ITERATIONS, TOLERANCE = 20, 1e-3
"""Of empirical Bayes: at most so many leaps, until nothing moves by more than this share of the largest entry."""


class Estimates(NamedTuple):
    """Estimates of each task's theta.

    Attributes
    ----------
    theta : array [task, stage, feature]
    error : array [task, stage, feature, feature]
        Covariance of its error, C_k.
    """

    theta: Floats
    error: Floats


def estimates(past: TaskStatistics, base: GaussianPrior) -> Estimates:
    """Least squares with the base as ridge, and the errors' covariances; see the module.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
    """
    variance = np.asarray(base.noise)[:, None, None] ** 2
    spread = posterior_covariance(base.covariance, past.gram / variance)
    gain = spread / variance  # R / noise^2
    residual = past.score - _times(past.gram, base.mean)
    theta = base.mean + _times(gain, residual)
    degrees = past.count - np.trace(gain @ past.gram, axis1=-2, axis2=-1)
    known = degrees > 1
    scatter = np.where(known, _residual(past, theta) / np.where(known, degrees, 1), variance[:, 0, 0])
    error = scatter[..., None, None] * gain @ past.gram @ gain
    back = gain @ past.carry
    for h in range(error.shape[1] - 2, -1, -1):
        error[:, h] += back[:, h] @ error[:, h + 1] @ back[:, h].swapaxes(-1, -2)
    return Estimates(theta, error)


def mtsrl(past: TaskStatistics, base: GaussianPrior, *, covariance: Floats) -> GaussianPrior:
    """Average the estimates, with a covariance that is known beforehand.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
    covariance : array [stage, feature, feature]

    Returns
    -------
    GaussianPrior
    """
    return GaussianPrior(estimates(past, base).theta.mean(0), root(covariance), base.noise)


def mtsrl_plus(
    past: TaskStatistics, base: GaussianPrior, *, episodes: int, tasks: int, scale: float = 0.1
) -> GaussianPrior:
    """Average the estimates, and widen their covariance less their errors'; of at least two tasks.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
    episodes : int
        Of each task.
    tasks : int
        In all.
    scale : float
        Of the widening.

    Returns
    -------
    GaussianPrior
    """
    found = estimates(past, base)
    size, (stages, features) = len(found.theta), found.theta.shape[1:]
    apart = found.theta - found.theta.mean(0)
    sample = np.einsum("khi,khj->hij", apart, apart) / (size - 1)
    estimate = _positive_part(sample - found.error.mean(0))
    largest = np.linalg.eigvalsh(np.stack([estimate, sample / size]))[..., -1].max(0)
    width = scale * largest * np.sqrt((5 * features + 2 * np.log(max(episodes * tasks * stages, 1))) / (size - 1))
    return GaussianPrior(
        found.theta.mean(0), root(estimate + width[:, None, None] * np.eye(features)), np.asarray(base.noise)
    )


def empirical_bayes(
    past: TaskStatistics,
    base: GaussianPrior,
    previous: GaussianPrior | None = None,
    *,
    strength: float = 1.0,
    learn_noise: bool = False,
) -> GaussianPrior:
    """Mean and covariance that make the data of all tasks most probable, regularised; see the module.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
        Where the iteration starts, and the prior of the mean.
    previous : GaussianPrior, optional
        Where to start instead.
    strength : float
        How firmly the covariance is drawn towards a multiple of I; 0 for not at all.
    learn_noise : bool
        Whether the next agent takes the residual standard deviation for its noise, too.
    """
    (size, _, features), identity = past.score.shape, np.eye(past.score.shape[-1])
    start = base if previous is None else previous
    steps, least = np.maximum(past.count.sum(0), 1), np.asarray(base.noise) / 100
    nu = strength * (features + 2)

    def improved(at: _Hyper) -> _Hyper:
        gram, score = past.gram / at.noise[:, None, None] ** 2, past.score / at.noise[:, None] ** 2
        spread = posterior_covariance(at.covariance, gram)
        theta = at.mean + _times(spread, score - _times(gram, at.mean))
        mean = theta.mean(0)
        apart = theta - mean
        total = spread.sum(0) + np.einsum("khi,khj->hij", apart, apart, optimize=True)
        left = _residual(past, theta) + (spread * past.gram).sum((-1, -2))
        ridge = nu * np.trace(total, axis1=-2, axis2=-1) / (size * features)
        covariance = (total + ridge[:, None, None] * identity) / (size + nu)
        return _Hyper(mean, covariance, np.maximum(np.sqrt(left.sum(0) / steps), least))

    residual = _residual(past, np.asarray(estimates(past, base).theta)).sum(0)
    noise = np.maximum(np.sqrt(residual / steps), least)
    at = _Hyper(np.array(start.mean), np.array(start.covariance), noise)
    for _ in range(ITERATIONS):
        once = improved(at)
        twice = improved(once)
        moved = max(_change(x, y) for x, y in zip(once, twice, strict=True))
        if moved <= TOLERANCE:
            at = twice
            break
        at = improved(_leap(at, once, twice))
    mean, covariance, noise = at
    _, unknown = meta_posterior(past, base._replace(noise=noise), covariance=covariance)
    return GaussianPrior(mean, root(covariance + unknown), noise if learn_noise else np.asarray(base.noise))


def meta_posterior(past: TaskStatistics, base: GaussianPrior, *, covariance: Floats) -> tuple[Floats, Floats]:
    """Return the posterior of the tasks' mean, their covariance being known.

    The base is the prior of the mean.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
        Of the mean.
    covariance : array [stage, feature, feature]
        Of the tasks.

    Returns
    -------
    mean : array [stage, feature]
    covariance : array [stage, feature, feature]
    """
    variance = np.asarray(base.noise)[:, None, None] ** 2
    gram, score = past.gram / variance, past.score / variance[..., 0]
    damped = np.linalg.inv(np.eye(gram.shape[-1]) + gram @ covariance)
    precision, weighed = (damped @ gram).sum(0), _times(damped, score).sum(0)
    known = posterior_covariance(base.covariance, precision[None])[0]
    return base.mean + _times(known, weighed - _times(precision, base.mean)), known


def posterior_covariance(covariance: Floats, precision: Floats) -> Floats:
    """Return ``(covariance^-1 + precision)^-1`` without inverting either.

    By ``L (I + L' precision L)^-1 L'`` with L a root of the covariance, which is as well conditioned as it can be.

    Parameters
    ----------
    covariance : array [stage, feature, feature]
    precision : array [task, stage, feature, feature]

    Returns
    -------
    array [task, stage, feature, feature]
    """
    factor = root(covariance)
    inner = np.eye(covariance.shape[-1]) + factor.swapaxes(-1, -2) @ precision @ factor
    whitened = np.linalg.solve(np.linalg.cholesky(inner), np.broadcast_to(factor.swapaxes(-1, -2), inner.shape))
    return np.asarray(whitened.swapaxes(-1, -2) @ whitened)


class _Hyper(NamedTuple):
    """Parameters of the prior, as empirical Bayes moves them."""

    mean: Floats
    covariance: Floats
    noise: Floats


def _leap(start: _Hyper, once: _Hyper, twice: _Hyper) -> _Hyper:
    """Where two steps of a slow fixed-point iteration point to, stage by stage: SQUAREM, Varadhan and Roland (2008)."""
    stages = len(start.noise)
    flat = [np.concatenate([part.reshape(stages, -1) for part in at], 1) for at in (start, once, twice)]
    first, bend = flat[1] - flat[0], flat[2] - 2 * flat[1] + flat[0]
    length = np.linalg.norm(first, axis=1) / np.maximum(np.linalg.norm(bend, axis=1), 1e-300)
    length = np.clip(length, 1, 100)[:, None]
    there = flat[0] + 2 * length * first + length**2 * bend
    ends = np.cumsum([part[0].size for part in start])[:-1]
    mean, covariance, noise = np.split(there, ends, axis=1)
    covariance = _positive_part(covariance.reshape(start.covariance.shape))
    return _Hyper(mean, covariance, np.maximum(noise[:, 0], once.noise / 10))


def _positive_part(matrix: Floats) -> Floats:
    """Negative eigenvalues set to 0."""
    factor = root(matrix)
    return np.asarray(factor @ factor.swapaxes(-1, -2))


def _times(matrix: Floats, vector: Any) -> Floats:
    return np.asarray((matrix @ np.asarray(vector)[..., None])[..., 0])


def _residual(past: TaskStatistics, theta: Floats) -> Floats:
    """Sums of squares [task, stage]."""
    left = past.square - 2 * (theta * past.score).sum(-1) + (theta * _times(past.gram, theta)).sum(-1)
    return np.asarray(np.maximum(left, 0))


def _change(before: Floats, after: Floats) -> float:
    return float(np.abs(after - before).max() / max(np.abs(after).max(), 1e-12))
