"""The distribution of tasks' Q-functions, from many tasks drawn: what a meta-oracle is told.

For each task drawn from the truth, Q* by dynamic programming, and of each stage the theta for which <phi, theta> is
nearest to it (least squares over the stage's available pairs, the shortest where several are). Where Q* is linear in
the features theta is exact; elsewhere "the true prior" is a convention, and this one is ours.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import lax, random
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model, sample_prior
from bayesmdp.planning import Draws, backward_induction, expected_reward
from bayesmdp.planning.operators import next_value
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.problem import Problem

__all__ = ["q_distribution"]


def q_distribution(
    mdp: MDP, truth: Model, *, tasks: int = 1_000, rewards_only: bool = False, seed: int = 0
) -> xr.Dataset:
    """Mean and covariance of tasks' weights.

    Parameters
    ----------
    mdp : MDP
        With stages and features.
    truth : NumPyro model
        The distribution of tasks.
    tasks : int
        Drawn.
    rewards_only : bool
        Fit mean rewards instead of Q*: what a bandit would have to know.
    seed : int

    Returns
    -------
    Dataset
        ``mean`` [stage, feature] and ``covariance`` [stage, feature, other_feature], for `gaussian_q`; the covariance
        is singular where features never vary, which a ``widening`` mends. ``misfit`` [stage]: the root mean square of
        what is not linear. ``noise`` [stage]: that of targets about <phi, theta> with the next stage's values known,
        misfit and all, over tasks and pairs alike; an agent meets some pairs more often than others.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(3, 2)
    >>> known = q_distribution(shop, bm.models.logistic_transitions(shop), tasks=50)
    >>> known["mean"].shape, known["covariance"].shape
    ((2, 12), (2, 12, 12))
    """
    if mdp.stage is None or mdp.features is None:
        raise ValueError(f"{mdp.name} has no {'stages' if mdp.stage is None else 'features'}")
    stages, features = int(mdp.stage.max()), mdp.features.shape[-1]
    with jax.enable_x64(True):
        keys = random.split(random.key(seed), integer("tasks", tasks, 2))
        shape = mdp.num_states, mdp.num_actions, mdp.num_outcomes
        found = _true_q(keys, mdp.problem, truth=truth, shape=shape, rewards_only=rewards_only)
        q, variance = map(np.asarray, found)
    theta, misfit, noise = np.zeros((tasks, stages, features)), np.zeros(stages), np.zeros(stages)
    for h in range(stages):
        pairs = (mdp.stage == h)[:, None] & mdp.available & ~mdp.terminal[:, None]
        phi: NDArray[np.float64] = mdp.features[pairs]
        # Features that a stage cannot tell apart have singular values of rounding, not of 0.
        theta[:, h] = q[:, pairs] @ np.linalg.pinv(phi, rcond=1e-10).T
        misfit[h] = np.sqrt(np.mean((q[:, pairs] - theta[:, h] @ phi.T) ** 2))
        noise[h] = np.sqrt(np.mean(variance[:, pairs]) + misfit[h] ** 2)
    apart = theta - theta.mean(0)
    covariance = np.einsum("khi,khj->hij", apart, apart) / (tasks - 1)
    dims = ("stage", "feature")
    return xr.Dataset(
        {
            "mean": (dims, theta.mean(0)),
            "covariance": ((*dims, "other_feature"), covariance),
            "misfit": ("stage", misfit),
            "noise": ("stage", noise),
        },
        attrs={"mdp": mdp.name, "tasks": tasks, "seed": seed},
    )


@partial(jax.jit, static_argnames=("truth", "shape", "rewards_only"))
def _true_q(
    keys: Array, problem: Problem, *, truth: Model, shape: tuple[int, int, int], rewards_only: bool
) -> tuple[Array, Array]:
    """Q* of drawn tasks [task, state, action], or their mean rewards, and the variance of what a step shows of it."""

    def one(key: Array) -> tuple[Array, Array]:
        drawn = sample_prior(truth, key, shape)
        reward = drawn.get("reward", problem.reward)
        reward = jnp.asarray(reward[..., None] if reward.ndim == 2 else reward)
        transition, mean_reward = drawn["transition"], expected_reward(drawn["transition"], reward)[..., 0]
        gain = reward
        if not rewards_only:
            value = backward_induction(problem, Draws(transition[None], reward)).value
            gain = reward + problem.discount * next_value(problem, value)
        q = expected_reward(transition, gain)[..., 0]
        variance = expected_reward(transition, (gain - q[..., None]) ** 2)[..., 0]
        scatter = 0 if problem.noise is None else problem.noise.variance(mean_reward)
        return q, variance + scatter

    found: tuple[Array, Array] = lax.map(one, keys)
    return found
