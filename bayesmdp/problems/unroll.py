"""Any MDP as one of episodes of a fixed length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.problems.mdp import MDP

__all__ = ["unroll"]


def unroll(mdp: MDP, horizon: int | None = None) -> MDP:
    """The same problem in episodes of `horizon` steps, judged by their reward under the same discount.

    Parameters
    ----------
    mdp : MDP
        Where its discount is None, all rewards of an episode count the same. Where it has one, so do they after
        ``.replace(discount=None)``. Where it has terminal states, an episode may end earlier.
    horizon : int, at least 1, optional
        By default that of `mdp`.

    Returns
    -------
    MDP
        On a successor table, with a state ``(stage, state)`` for each state at each stage and a terminal state
        ``"end"``; outcomes are those of `mdp`.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> short = bm.unroll(bm.environments.riverswim(6, discount=0.9), 3)
    >>> short.num_states, short.horizon, short.states[7]
    (19, 3, (1, 1))
    >>> round(float(bm.solve(short).value[0]), 6)  # .005 (1 + .9 + .81)
    0.01355
    >>> round(float(bm.solve(short.replace(discount=None)).value[0]), 6)
    0.015
    """
    stages, size = integer("horizon", mdp.horizon if horizon is None else horizon, 1), mdp.num_states
    end = stages * size
    outcomes: Any = np.arange(size) if mdp.successor is None else mdp.successor
    following = np.broadcast_to(outcomes, (size, mdp.num_actions, mdp.num_outcomes))
    if (following < 0).any():
        raise ValueError(f"{mdp.name} has outcomes -1, elsewhere, which cannot be unrolled")
    successor = np.full((end + 1, mdp.num_actions, mdp.num_outcomes), end)
    for h in range(stages - 1):
        next_stage = np.where(mdp.terminal[following], end, (h + 1) * size + following)
        successor[h * size : (h + 1) * size] = next_stage

    def repeated(array: NDArray[Any], last: float) -> NDArray[Any]:
        return np.concatenate([np.tile(array, (stages,) + (1,) * (array.ndim - 1)), np.full_like(array[:1], last)])

    transition = None if mdp.transition is None else repeated(mdp.transition, 0.0)
    if transition is not None:
        transition[-1, :, 0] = 1
    return MDP(
        transition=transition,
        successor=successor,
        reward=repeated(mdp.reward, 0.0),
        discount=mdp.discount,
        available=repeated(mdp.available, True),
        terminal=np.append(np.tile(mdp.terminal, stages), True),
        initial=np.concatenate([mdp.initial, np.zeros(end + 1 - size)]),
        stage=np.append(np.repeat(np.arange(stages), size), stages),
        features=None if mdp.features is None else repeated(mdp.features, 0.0),
        noise=repeated(mdp.noise, 0.0) if np.ndim(mdp.noise) else mdp.noise,
        states=[(h, s) for h in range(stages) for s in mdp.states] + ["end"],
        actions=mdp.actions,
        name=f"{mdp.name}-horizon-{stages}",
    )
