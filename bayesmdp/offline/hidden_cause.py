"""A cause that lasts, and is not in the log, may move both the actions and the next states: a test.

Write x_t for how far the action of step t was from what is usual in its state, as a vector with one entry for each pair
(1 at the pair that was tried, less the shares of the actions in that state), and y_t for how far its next state was
from what is usual for its pair. If the next state depends on state and action only, y_t has mean 0 whatever was before,
however the actions were chosen, and so has

    M  =  sum over pieces of the log of  sum over t of  c_t y_t',     c_t = (x_1 + ... + x_t-1) / sqrt(t - 1),

with t counted from the beginning of the piece. If a cause lasts over steps of a piece, earlier actions tell of it, and
so of the next state. The statistic is the sum of the squares of M. Under the hypothesis the terms of single pieces may
as well have the opposite sign: the p-value is the share of random signs that give as large a sum (a wild bootstrap;
Wu, 1986). That later next states are compared with earlier actions, and not the other way round, is so that a behaviour
which learns from what happened is no cause of alarm. The test is ours.

Vectors x and y are as long as there are pairs and transitions. Random signs stand for their entries, `FEATURES` for
each, which keeps inner products, and so the statistic, in expectation (Achlioptas, 2003).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bayesmdp.offline.steps import Steps

__all__ = ["cause_statistics"]

FEATURES = 24
"""Random signs that stand for a pair, and for a transition."""

MOST = 5_000
"""Signs for the pieces of a log."""


def cause_statistics(steps: Steps, rng: np.random.Generator, times: int) -> NDArray[np.float64]:
    """The statistic [1 + times] of the module: of the log, then under random signs of its pieces.

    Parameters
    ----------
    steps : Steps
    rng : Generator
    times : int
    """
    actions = int(steps.action.max()) + 1
    pair = steps.state * actions + steps.action
    unusual = _unusual(rng, steps.state, pair)
    led = _unusual(rng, pair, pair * (int(steps.next_state.max()) + 1) + steps.next_state)
    # Sums over the earlier steps of the piece.
    before = np.cumsum(unusual, 0) - unusual
    before -= before[steps.first][steps.piece]
    before /= np.sqrt(np.maximum(steps.time, 1))[:, None]
    # Where there are very many pieces, neighbours share a sign.
    size, pieces = len(steps.piece), len(steps.first)
    signed = steps.piece * min(pieces, MOST) // pieces
    by_piece = sparse.csr_array((np.ones(size), (signed, np.arange(size))))
    products = np.stack([by_piece @ (before[:, [feature]] * led) for feature in range(FEATURES)], 1)
    signs = rng.choice([-1.0, 1.0], size=(times + 1, len(products)))
    signs[0] = 1
    return np.asarray(((signs @ products.reshape(len(products), -1)) ** 2).sum(-1))


def _unusual(rng: np.random.Generator, group: NDArray[np.int64], kind: NDArray[np.int64]) -> NDArray[np.float64]:
    """Random signs [row, feature] of a row's kind, less their mean over the rows of its group."""
    _, group = np.unique(group, return_inverse=True)
    kinds, kind = np.unique(kind, return_inverse=True)
    signs = rng.choice([-1.0, 1.0], size=(len(kinds), FEATURES))[kind]
    sums = sparse.csr_array((np.ones(len(group)), (group, np.arange(len(group))))) @ signs
    return np.asarray(signs - (sums / np.bincount(group)[:, None])[group])
