"""The hierarchy over tasks inferred in full, and what it says of the next task.

:func:`~bayesmdp.models.gaussian_q_hierarchy` by NUTS. The posterior predictive of the next task's theta is a mixture of
Normals over the draws of mean and covariance. Its own mean and covariance,

    E[mean],    E[covariance] + Cov[mean],

make the Normal prior nearest to it (in Kullback-Leibler divergence from the mixture), which is what agents take.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import xarray as xr

from bayesmdp.models import gaussian_q_hierarchy
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, root
from bayesmdp.posterior.inference import nuts
from bayesmdp.posterior.inference.tree import by_draw, numbered_tree
from bayesmdp.posterior.q_regression.backward import TaskStatistics

__all__ = ["full_bayes", "infer_hierarchy"]

DIMS = {
    "mean": ("stage", "feature"),
    "covariance": ("stage", "feature", "other_feature"),
    "scale": ("stage", "feature"),
    "theta": ("task", "stage", "feature"),
}


def infer_hierarchy(
    past: TaskStatistics,
    base: GaussianPrior,
    *,
    draws: int = 1000,
    chains: int = 4,
    num_warmup: int = 500,
    seed: int = 0,
    **options: Any,
) -> xr.DataTree:
    """Posterior of the tasks' mean, covariance and each theta.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
        Of the mean; its noise is that of targets.
    draws, chains, num_warmup, seed
        As for :func:`~bayesmdp.infer`.
    **options
        ``spread`` and ``concentration`` of `gaussian_q_hierarchy`.

    Returns
    -------
    DataTree
        ``posterior`` with ``mean``, ``covariance``, ``scale`` and ``theta``, and ``sample_stats``.
    """
    size = len(past.score)
    # Tasks without data change nothing, and make the numbers of tasks that programs are compiled for few.
    extra = (1 << (size - 1).bit_length()) - size
    past = TaskStatistics(*(np.concatenate([part, np.zeros((extra, *part.shape[1:]))]) for part in past))
    with jax.enable_x64(True):
        model = gaussian_q_hierarchy(np.asarray(base.mean), base.covariance, noise=np.asarray(base.noise), **options)
        posterior, statistics = nuts.run(
            model, past, tuple(DIMS), num_draws=draws, num_chains=chains, num_warmup=num_warmup, seed=seed
        )
    posterior["theta"] = posterior["theta"][:, :, :size]
    kept = {name: posterior[name] for name in DIMS}
    return numbered_tree({"posterior": by_draw(kept, DIMS), "sample_stats": by_draw(statistics, {})}, {})


def full_bayes(past: TaskStatistics, base: GaussianPrior, **options: Any) -> GaussianPrior:
    """Learn the next task's prior by the moments of the posterior predictive; see the module.

    Parameters
    ----------
    past : TaskStatistics, axes [task, stage, ...]
    base : GaussianPrior
        Of the mean; its noise is that of targets.
    **options
        Of `infer_hierarchy`.

    Returns
    -------
    GaussianPrior
    """
    posterior = infer_hierarchy(past, base, **options)["posterior"].to_dataset().stack(sample=("chain", "draw"))
    mean = posterior["mean"].transpose("sample", ...).values
    covariance = posterior["covariance"].transpose("sample", ...).values
    apart = mean - mean.mean(0)
    spread = np.einsum("nhi,nhj->hij", apart, apart) / (len(mean) - 1)
    return GaussianPrior(mean.mean(0), root(covariance.mean(0) + spread), np.asarray(base.noise))
