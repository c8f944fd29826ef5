"""Priors on Q-functions learned from estimates of each task before: MTSRL, MTSRL+ and the meta-posterior of bandits.

Task k leaves, of each stage, ``G_k = A'A`` and ``A'b``
(:class:`~bayesmdp.posterior.q_regression.backward.TaskStatistics`). With Normal(mean, covariance) the prior that the
first tasks were played under, here called the base, its *estimate* of theta is the posterior mean under the base, which
is least squares with the base as its ridge:

    t_k = R_k (covariance^-1 mean + A'b / noise^2),    R_k = (covariance^-1 + G_k / noise^2)^-1.

Of theta it has the share W_k = R_k G_k / noise^2, which is I but for directions that the task hardly saw, where the
estimate is the base mean. What its error is made of, with s^2 the stage's residual variance and C_k of the next stage
carried back through the targets, is

    C_k = s^2 R_k G_k R_k / noise^4 + J_k C_k(next stage) J_k',    J_k = R_k A'Phi / noise^2.

*MTSRL* puts the mean that the estimates show in the place of the base's; the covariance is known. *MTSRL+* estimates it
too, from what is left of the estimates' spread without their errors:

    mean = base mean + (sum of W_k)^+ sum of (t_k - base mean),    x_k = t_k - base mean - W_k (mean - base mean),
    S = sum of x_k x_k' / (K - 1),    D = S - mean of C_1..C_K.

Where each task saw all directions this is the average of the estimates and their sample covariance.

*Shrunk* (the default): D with its negative eigenvalues set to 0 has more than D's trace, since the errors that raise
eigenvalues stay and those that lower them are cut off. So P, that is D's positive part, is brought back to the trace
D has, and shrunk towards the same variance in every direction that tasks saw:

    trace = max(tr D, tr(S) / K),    covariance = (1 - shrink) trace P / tr P + shrink trace I / mean of tr(W_k W_k').

(A trace is at least a thousandth of the errors', which counts where each direction was seen by one task and S is 0. A
stage that no task saw keeps the base's covariance.)

*Widened*, in the way of Bastani, Simchi-Levi and Zhu (2022):

    covariance = P + w I,    w = scale lambda_max sqrt((5 d + 2 ln(episodes tasks horizon)) / (K - 1)),

with lambda_max the largest eigenvalue of P, or of S / K where that is more: where P is 0 the mean is not known better
than that. With many features this is far too wide. Without shrinking or widening a direction in which P is 0 is taken
as known from then on.

The correction's recursion, the ridge, the shrinking and `scale` are ours.

*The meta-posterior* of the mean, for a known covariance, is Normal with the covariance ``(base covariance^-1 + sum of
(I + g_k covariance)^-1 g_k)^-1``, g_k = G_k / noise^2: AdaTS (Basu et al., 2021) takes its mean, and its covariance
plus the tasks', as the next prior; Meta-TS (Kveton et al., 2021) a draw of it, and the tasks' covariance.

Each of these can hand on the noise that it finds, the residual standard deviation of least squares. MTSRL and MTSRL+ do
not unless asked to. Their averages are biased where data are gathered by an agent that learns: of a pair that it gave
up after bad luck the estimate is too low, and counts as much as one of many trials. A small noise lets the next task's
own data correct that. (At full size of the recommendation engine their regret is 54% and 35% more with the noise
learned; with few features it is less.) A warm-up that does not adapt gathers data without that bias
(:func:`~bayesmdp.agents.tsrl.tsrl`, `excitation`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, root
from bayesmdp.posterior.q_regression.backward import TaskStatistics

__all__ = [
    "RULES",
    "Estimates",
    "estimates",
    "meta_posterior",
    "mtsrl",
    "mtsrl_plus",
    "pooled_noise",
    "posterior_covariance",
    "times",
]

type Floats = NDArray[np.float64]

RULES = ("shrunk", "widened")
"""Of MTSRL+'s covariance; see the module."""


class Estimates(NamedTuple):
    """Estimates of each task's theta.

    Attributes
    ----------
    theta : array [task, stage, feature]
    error : array [task, stage, feature, feature]
        Covariance of its error, C_k.
    weight : array [task, stage, feature, feature]
        W_k: which share of the truth, along each direction, is in the estimate, whose rest is the base mean.
    left, degrees : arrays [task, stage]
        Sum of squared residuals, and its degrees of freedom.
    """

    theta: Floats
    error: Floats
    weight: Floats
    left: Floats
    degrees: Floats


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
    residual = past.score - times(past.gram, base.mean)
    theta = base.mean + times(gain, residual)
    weight = gain @ past.gram
    degrees = past.count - np.trace(weight, axis1=-2, axis2=-1)
    left, known = _residual(past, theta), degrees > 1
    scatter = np.where(known, left / np.where(known, degrees, 1), variance[:, 0, 0])
    error = scatter[..., None, None] * weight @ gain
    back = gain @ past.carry
    for h in range(error.shape[1] - 2, -1, -1):
        error[:, h] += back[:, h] @ error[:, h + 1] @ back[:, h].swapaxes(-1, -2)
    return Estimates(theta, error, weight, left, degrees)


def pooled_noise(past: TaskStatistics, base: GaussianPrior) -> Floats:
    """Residual standard deviation of each stage's least squares over all tasks; the base's where no row is to spare.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior

    Returns
    -------
    array [stage]
    """
    return _noise_of(estimates(past, base), base)


def _noise_of(found: Estimates, base: GaussianPrior) -> Floats:
    """At least a hundredth of the base's, since rewards without any noise would make a prior of none."""
    degrees, least = found.degrees.sum(0), np.asarray(base.noise) / 100
    pooled = np.sqrt(found.left.sum(0) / np.maximum(degrees, 1))
    return np.where(degrees > 1, np.maximum(pooled, least), np.asarray(base.noise))


def mtsrl(past: TaskStatistics, base: GaussianPrior, *, covariance: Floats, learn_noise: bool = False) -> GaussianPrior:
    """Average the estimates, with a covariance that is known beforehand.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
    covariance : array [stage, feature, feature]
    learn_noise : bool
        Whether the prior has the residual standard deviation for its noise, instead of the base's.

    Returns
    -------
    GaussianPrior
    """
    found = estimates(past, base)
    noise = _noise_of(found, base) if learn_noise else np.asarray(base.noise)
    return GaussianPrior(_mean_of(found, base), root(covariance), noise)


def _mean_of(found: Estimates, base: GaussianPrior) -> Floats:
    """The mean whose estimates would have these averages; the base's along directions that no task saw."""
    seen, apart = found.weight.sum(0), (found.theta - base.mean).sum(0)
    return np.asarray(base.mean + times(np.linalg.pinv(seen, rcond=1e-6), apart))


def mtsrl_plus(
    past: TaskStatistics,
    base: GaussianPrior,
    *,
    episodes: int,
    tasks: int,
    rule: str = "shrunk",
    shrink: float = 0.5,
    scale: float = 0.1,
    learn_noise: bool = False,
) -> GaussianPrior:
    """Average the estimates, and find the covariance of what they estimate; of at least two tasks.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
    episodes : int
        Of each task.
    tasks : int
        In all.
    rule : {"shrunk", "widened"}
        See the module.
    shrink : float in [0, 1]
        How far a shrunk covariance is drawn towards a multiple of I.
    scale : float
        Of the widening.
    learn_noise : bool
        Whether the prior has the residual standard deviation for its noise, instead of the base's.

    Returns
    -------
    GaussianPrior
    """
    found = estimates(past, base)
    size, (stages, features) = len(found.theta), found.theta.shape[1:]
    mean = _mean_of(found, base)
    apart = found.theta - base.mean - times(found.weight, mean - base.mean)
    sample = np.einsum("khi,khj->hij", apart, apart) / (size - 1)
    without_error, identity = sample - found.error.mean(0), np.eye(features)
    positive = _positive_part(without_error)
    if rule == "shrunk":
        error = _trace(found.error.mean(0))
        trace = np.maximum.reduce([_trace(without_error), _trace(sample) / size, error / 1_000])[:, None, None]
        directions = np.maximum((found.weight**2).sum((-1, -2)).mean(0), 1e-12)[:, None, None]
        kept = positive * trace / np.maximum(_trace(positive), 1e-300)[:, None, None]
        covariance = (1 - shrink) * kept + shrink * trace / directions * identity
    else:
        largest = np.linalg.eigvalsh(np.stack([positive, sample / size]))[..., -1].max(0)
        logarithm = np.log(max(episodes * tasks * stages, 1))
        width = scale * largest * np.sqrt((5 * features + 2 * logarithm) / (size - 1))
        covariance = positive + width[:, None, None] * identity
    unseen = ~found.weight.any((0, -2, -1))
    covariance = np.where(unseen[:, None, None], base.covariance, covariance)
    noise = _noise_of(found, base) if learn_noise else np.asarray(base.noise)
    return GaussianPrior(mean, root(covariance), noise)


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
    precision, weighed = (damped @ gram).sum(0), times(damped, score).sum(0)
    known = posterior_covariance(base.covariance, precision[None])[0]
    return base.mean + times(known, weighed - times(precision, base.mean)), known


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


def _positive_part(matrix: Floats) -> Floats:
    """Negative eigenvalues set to 0."""
    factor = root(matrix)
    return np.asarray(factor @ factor.swapaxes(-1, -2))


def _trace(matrix: Floats) -> Floats:
    return np.asarray(np.trace(matrix, axis1=-2, axis2=-1))


def times(matrix: Floats, vector: Any) -> Floats:
    """Return products [..., row] of matrices [..., row, column] and vectors [..., column]."""
    return np.asarray((matrix @ np.asarray(vector)[..., None])[..., 0])


def _residual(past: TaskStatistics, theta: Floats) -> Floats:
    """Sums of squares [task, stage]."""
    left = past.square - 2 * (theta * past.score).sum(-1) + (theta * times(past.gram, theta)).sum(-1)
    return np.asarray(np.maximum(left, 0))
