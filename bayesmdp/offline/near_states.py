"""Rare states learn from their neighbours: base rows for states that are made of measurements.

The prior by the log (:mod:`bayesmdp.offline.prior_from_log`) is hierarchical: a row is Dirichlet about a base that is
made of other rows, with a weight that the log's evidence chooses, so that a state which was seen often goes its own way
and a rare one is believed to be as others are. Which others is said by its candidates
(:mod:`bayesmdp.offline.base_rows`). States that are made of measurements have neighbours: the patient of 68 is more
like the one of 60 than like the one of 25. Two more candidates know this:

    near states         as often as each next state followed the same action in states nearby
    near states, moved  ... counted in levels up or down from the state, not as the state it was

The *distance* of two states is the sum over measurements of the levels between them, or 1 where a measurement differs
and its levels have no order. A step one level further away counts a quarter as much. Moves end at the last level, that
of missing values not among them; where they lead to a combination that never occurs, the next state stays what it was.
Both are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import sparse

from bayesmdp.logs.measured_states import Recoding
from bayesmdp.offline.base_rows import BaseRows
from bayesmdp.problems.mdp import MDP

__all__ = ["with_near_states"]

FADING = 0.25
"""What a step counts for, for each further level of distance."""

type Rows = NDArray[np.float64]


def with_near_states(bases: BaseRows, log: xr.Dataset, mdp: MDP) -> BaseRows:
    """Add the candidates that know which states are neighbours.

    Parameters
    ----------
    bases : BaseRows
    log : Dataset over ``step``
        Read with a recoding.
    mdp : MDP
        Of the log, in which every state is an outcome of every pair.

    Returns
    -------
    BaseRows

    Raises
    ------
    ValueError
        If states are not made of measurements, or not every state is an outcome.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.offline.base_rows import base_rows_for
    >>> visits = bm.environments.clinic_visits(50)
    >>> columns = {"action": "treatment", "reward": "well"}
    >>> log = bm.read_log(visits, columns=columns, state="lactate:cutoffs(2,4)")
    >>> problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    >>> list(with_near_states(base_rows_for(problem), log, problem).others)[-2:]
    ['near states', 'near states, moved']
    """
    if "recoding" not in log.attrs:
        raise ValueError(
            "pooling needs to know which states are neighbours, so they must be made from measurements (state= of "
            "read_log); leave it out: the default prior already pools over all states"
        )
    if mdp.successor is not None:
        raise ValueError(
            f"pooling needs separate probabilities for all next states, which are too many with {mdp.num_states:,} "
            "states unless elsewhere='each' is given; or make fewer states"
        )
    recoding = Recoding.from_json(log.attrs["recoding"])
    levels, ordered = _levels(recoding, mdp.states)
    near = _nearness(levels, ordered)
    makers: dict[str, Callable[[Rows], Rows]] = {"near states": lambda counts: np.tensordot(near, counts, 1)}
    makers["near states, moved"] = _Moved(near, levels, ordered)
    return bases._replace(others=bases.others | makers)


def _levels(recoding: Recoding, states: Sequence[Hashable]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Levels [state, part], -1 where a state is none of measurements; and where they are in order [state, part]."""
    cells = dict(zip(recoding.states, recoding.cells, strict=True))
    nothing = (-1,) * len(recoding.parts)
    levels = np.array([cells.get(str(state), nothing) for state in states], np.int64)
    # The level of what is missing lies beside no other.
    last = np.array([len(part.labels) - int(getattr(part, "missing", False)) for part in recoding.parts])
    return levels, np.array([part.ordered for part in recoding.parts]) & (levels >= 0) & (levels < last)


def _nearness(levels: NDArray[np.int64], ordered: NDArray[np.bool_]) -> Rows:
    """What a step in the second state [state, other] counts for the first; 0 for itself, and where an episode ended."""
    apart = np.abs(levels[:, None] - levels[None])
    distance = np.where(ordered[:, None] & ordered[None], apart, apart > 0).sum(-1)
    live = levels[:, 0] >= 0
    near = FADING ** (distance - 1.0) * live[:, None] * live[None]
    np.fill_diagonal(near, 0)
    return near


class _Moved:
    """Rows by how many levels up or down the next state is, of states nearby.

    Parameters
    ----------
    near : array [state, other]
    levels : int array [state, part]
    ordered : bool array [state, part]
    """

    def __init__(self, near: Rows, levels: NDArray[np.int64], ordered: NDArray[np.bool_]) -> None:
        size = len(levels)
        own, other = np.nonzero(near)
        highest = np.maximum(levels.max(0), 0)
        last = np.where(ordered, levels, 0).max(0)  # what is missing is no level above it
        # Combinations as numbers, and the state of each; -1 where it never occurs.
        live, sizes = np.flatnonzero(levels[:, 0] >= 0), tuple((highest + 1).tolist())
        state_of = dict(zip(np.ravel_multi_index(tuple(levels[live].T), sizes).tolist(), live.tolist(), strict=True))
        rows, columns, weights = [], [], []
        for after in range(size):
            target = np.full(len(own), after)
            if levels[after, 0] >= 0 and len(own):
                # In measurements without an order, what stayed as it was stays as it is here.
                stepped = np.clip(levels[own] + levels[after] - levels[other], 0, last)
                kept = np.where(levels[other] == levels[after], levels[own], levels[after])
                moves = ordered[own] & ordered[other] & ordered[after]
                moved = np.where(moves, stepped, kept)
                code, place = np.unique(np.ravel_multi_index(tuple(moved.T), sizes), return_inverse=True)
                target = np.array([state_of.get(number, after) for number in code.tolist()], np.int64)[place]
            rows.append(own * size + target)
            columns.append(other * size + after)
            weights.append(near[own, other])
        entries = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
        self.map = sparse.csr_array(entries, shape=(size**2, size**2))

    def __call__(self, counts: Rows) -> Rows:
        size, actions = counts.shape[:2]
        flat = counts.transpose(0, 2, 1).reshape(size * size, actions)
        return np.asarray(self.map @ flat).reshape(size, size, actions).transpose(0, 2, 1)
