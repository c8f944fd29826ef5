"""Tasks whose weights are Normal, and what their regressions say."""

import numpy as np

from bayesmdp.posterior.q_regression.backward import TaskStatistics


def spd(size, seed):
    """A positive definite matrix."""
    factor = np.random.default_rng(seed).normal(size=(size, size))
    return factor @ factor.T / size + 0.1 * np.eye(size)


def made_up(tasks, rows, mean, covariance, noise, seed=0):
    """Data [task, stage, row] of tasks drawn from Normal(mean, covariance): statistics, theta, features, targets."""
    rng = np.random.default_rng(seed)
    stages, size = mean.shape
    factor = np.linalg.cholesky(covariance)
    theta = mean + np.einsum("hij,khj->khi", factor, rng.normal(size=(tasks, stages, size)))
    phi = rng.normal(size=(tasks, stages, rows, size))
    target = np.einsum("khni,khi->khn", phi, theta) + noise * rng.normal(size=(tasks, stages, rows))
    return told(phi, target), theta, phi, target


def told(phi, target):
    """The statistics of targets that are rewards alone."""
    tasks, stages, rows, size = phi.shape
    score = np.einsum("khni,khn->khi", phi, target)
    return TaskStatistics(
        np.einsum("khni,khnj->khij", phi, phi),
        score,
        (target**2).sum(-1),
        np.full((tasks, stages), float(rows)),
        np.zeros((tasks, stages, size, size)),
        score,
    )
