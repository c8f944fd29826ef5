"""A few rewards that stand for all, where a row's log-likelihood is quadratic in the reward.

Let a row's log-likelihood be a polynomial of degree 2 at most in the reward, up to what does not depend on the
unknowns; then n rewards r_i are worth as much as the three rewards x_j seen w_j times each,

    w_j = sum over i of prod over k != j of (r_i - x_k) / (x_j - x_k),

which are linear in n, the sum of the r_i and that of their squares (Lagrange's form; the w_j may be negative). So it is
for Normal, Poisson and Bernoulli rewards, for the last at the two rewards that there are.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.likelihood import row_values
from bayesmdp.model_reading.read_model import Reading, describe_row
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.transitions import PROBES

__all__ = ["lagrange", "middle_and_size", "reward_nodes"]

TOLERANCE = 1e-8


def middle_and_size(reward: NDArray[np.float64] | None) -> tuple[float, float]:
    """The middle of the rewards that will be met and half their range.

    Nodes are placed among them: elsewhere the sums would cancel.
    """
    if reward is None:
        return 0.0, 1.0
    low, high = float(np.min(reward)), float(np.max(reward))
    return (low + high) / 2, (high - low) / 2 or max(abs(high) / 10, 1.0)


def lagrange(seen: Float[Array, "row sum"], nodes: NDArray[np.float64]) -> Float[Array, " weight"]:
    """How often rewards at the nodes must have been seen, row by row, to be worth the sums `seen` [row, 3].

    Parameters
    ----------
    seen : array [row, 3]
        How often a row was seen, the sum of its rewards, and of their squares.
    nodes : array [node]
        Two or three rewards.

    Returns
    -------
    array [row * node]

    Examples
    --------
    >>> lagrange(np.array([[2.0, 1.0, 1.0]]), np.array([0.0, 1.0])).tolist()  # a 0 and a 1
    [1.0, 1.0]
    """
    basis = []
    for j, node in enumerate(nodes):
        others = np.delete(nodes, j)
        factors = np.poly(others)[::-1] / np.prod(node - others)  # coefficients of 1, r, r^2
        basis.append(seen[:, : len(factors)] @ factors)
    return jnp.stack(basis, -1).ravel()


def reward_nodes(
    reading: Reading, data: Transitions, near: tuple[float, float]
) -> tuple[NDArray[np.float64], Callable[[Transitions], NDArray[np.bool_]]]:
    """Find two or three rewards that stand for all, and which rows have rewards that are possible.

    Parameters
    ----------
    reading : Reading
        The model.
    data : Transitions
        All rows there can be.
    near : (middle, size)
        Where rewards are.

    Returns
    -------
    nodes : array [node]
    allowed : callable
        ``allowed(rows) -> bool array [row]``.

    Raises
    ------
    ValueError
        If all but one reward are impossible, or the log-likelihood of some row is not quadratic in the reward.
    """
    points = [reading.latent_values(data, seed) for seed in range(4)]

    def likelihood(rows: Transitions) -> NDArray[np.float64]:
        once = rows._replace(weight=np.ones(len(rows.state)))
        return np.stack([np.asarray(row_values(reading.model, once, values)) for values in points])

    # Of the rewards to try, the first two or three that all reachable rows can have become the nodes.
    middle, size = near
    probes = np.array([middle - size, middle, middle + size, *PROBES])
    probes = probes[np.sort(np.unique(probes, return_index=True)[1])]
    every = (data._replace(reward=np.broadcast_to(reward, data.state.shape)) for reward in probes)
    tried = np.stack([likelihood(rows) for rows in every], -1)  # [point, row, probe]
    possible = np.isfinite(tried).all(0)
    reachable = possible.any(-1)
    usable = np.flatnonzero(possible[reachable].all(0))
    if len(usable) < 2:
        raise ValueError(f"the model gives probability 0 to all but one of the rewards {', '.join(map(str, probes))}")
    rewards, nodes = probes[usable], probes[usable[:3]]
    # Differences of points: what depends on the reward alone does not matter.
    wrong = _off(np.diff(tried[:, reachable][..., usable], axis=0), rewards, nodes)
    if wrong.any():
        row = describe_row(data, int(np.flatnonzero(reachable)[np.argmax(wrong)]))
        raise ValueError(
            f"the log-likelihood of rewards of {row} is not quadratic in the reward, so that agents, who keep sums of "
            "rewards and of their squares, cannot learn from them; bm.infer can, from a log"
        )

    def allowed(rows: Transitions) -> NDArray[np.bool_]:
        return ~reachable | np.isfinite(likelihood(rows)).all(0)

    return nodes, allowed


def _off(
    differences: NDArray[np.float64], rewards: NDArray[np.float64], nodes: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Rows [row] whose differences [point, row, reward] are not those of the polynomial through the nodes."""
    basis = np.stack(
        [np.prod((rewards[:, None] - np.delete(nodes, j)) / (x - np.delete(nodes, j)), -1) for j, x in enumerate(nodes)]
    )
    interpolated = differences[..., :3] @ basis
    scale = (np.abs(differences[..., :3]) @ np.abs(basis)).max(0)
    return np.asarray((np.abs(interpolated - differences).max(0) > TOLERANCE * (1 + scale)).any(-1))
