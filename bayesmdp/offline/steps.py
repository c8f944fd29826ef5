"""The steps of a log as arrays, with what hangs together: episodes, or else pieces that are nearly independent.

An *episode* begins with the first row and after each end. Where there are too few of them to compare, or the log does
not say where they begin, a log in order is cut into blocks of about the square root of its length, as the block
bootstrap has it (Künsch, 1989): what lies in different blocks is taken for independent. In a log without order each
step is a piece by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.compress import compress
from bayesmdp.logs.log import ends_of, label_indices, refuse_counted
from bayesmdp.logs.problem_from_log import mdp_from_log
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.problems.mdp import MDP

__all__ = ["FEWEST", "Steps", "problem_of", "steps_of"]

FEWEST = 10
"""Episodes below which they are not compared with each other."""


class Steps(NamedTuple):
    """A log, by indices.

    Attributes
    ----------
    rows : Transitions
        The same, one row for each distinct transition.
    state, action, next_state : int array [step]
    reward : array [step]
    follows : bool array [step]
        Whether the step goes on from the one before.
    cut : bool array [step]
        The last steps of episodes that were cut off: something would have followed.
    piece : int array [step]
        Number of the piece, from 0, in order.
    time : int array [step]
        Steps since the piece began.
    pieces : str
        What they are: "episodes", "blocks of N steps", "steps".
    why_not : str
        Why they are not episodes; empty if they are.
    """

    rows: Transitions
    state: NDArray[np.int64]
    action: NDArray[np.int64]
    next_state: NDArray[np.int64]
    reward: NDArray[np.float64]
    follows: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    piece: NDArray[np.int64]
    time: NDArray[np.int64]
    pieces: str
    why_not: str

    @property
    def first(self) -> NDArray[np.int64]:
        """The step [piece] with which each piece begins."""
        return np.flatnonzero(self.time == 0)

    @property
    def last(self) -> NDArray[np.int64]:
        """The step [piece] with which each piece ends."""
        return np.append(self.first[1:], len(self.state)) - 1


def problem_of(log: xr.Dataset, mdp: MDP | None, discount: float | None) -> MDP:
    """Return the problem that a log is judged in: the one given, or that of the log, where every action may be taken.

    Parameters
    ----------
    log : Dataset over ``step``
    mdp : MDP, optional
        Gives labels, terminal states, where episodes start, and the discount.
    discount : float in (0, 1), optional
        In the place of the MDP.

    Raises
    ------
    ValueError
        If neither is given, or both, or the problem has no discount, or a horizon by which policies are by stage.
    """
    if (mdp is None) == (discount is None):
        raise ValueError(
            "give either mdp, the problem of the log, or discount, such as discount=0.99; "
            f"got {'neither' if mdp is None else 'both'}"
        )
    if mdp is None:
        assert discount is not None
        own = mdp_from_log(log, discount=discount)
        return own.replace(available=np.ones_like(own.available))
    if mdp.by_stage:
        raise ValueError(
            f"{mdp.name} has a horizon, so its policies are by stage, but policies here are for all stages: give "
            "mdp.replace(horizon=None, discount=...), or a log of bm.unroll(mdp) with that"
        )
    if mdp.discount is None and mdp.stage is None:
        raise ValueError(f"{mdp.name} has no discount; give mdp.replace(discount=...), such as 0.99")
    return mdp


def steps_of(log: xr.Dataset, mdp: MDP) -> Steps:
    """Read a log as steps, and find its episodes.

    Parameters
    ----------
    log : Dataset over ``step``
    mdp : MDP

    Raises
    ------
    TypeError, ValueError
        For a log that `compress` refuses.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.frozen_lake()
    >>> steps = steps_of(bm.collect(lake, policy="uniform", steps=500, seed=0), lake)
    >>> steps.pieces, len(steps.first) > 30
    ('episodes', True)
    >>> river = bm.environments.riverswim(6)
    >>> steps_of(bm.collect(river, policy="uniform", steps=900, seed=0), river).pieces
    'blocks of 30 steps'
    """
    refuse_counted(log, "a check or an estimator without a prior")
    rows = compress(log, mdp)
    states, size = mdp.states, log.sizes["step"]
    state, next_state = label_indices(log, "state", states), label_indices(log, "next_state", states)
    ended = ends_of(log, "terminated") | mdp.terminal[next_state]
    over = ended | ends_of(log, "truncated")
    ordered = bool(log.attrs.get("ordered", 1))
    goes_on = ~over[:-1] & (state[1:] == next_state[:-1])
    follows = np.append(False, goes_on & ordered)
    over[-1] = True
    gap = bool((~goes_on & ~over[:-1]).any()) or not log.attrs.get("starts_known", 1)
    number = int(over.sum())
    why_not = (
        "the rows of the log are not in order"
        if not ordered
        else "gaps in the log leave open where its episodes begin"
        if gap
        else f"the log has {number} episode{'s' * (number > 1)}, but {FEWEST} are needed"
        if number < FEWEST
        else ""
    )
    block = round(size**0.5) if ordered else 1
    begins = np.append(True, over[:-1]) if not why_not else np.arange(size) % block == 0
    first = np.flatnonzero(begins)
    piece = np.cumsum(begins) - 1
    return Steps(
        rows,
        state,
        label_indices(log, "action", mdp.actions),
        next_state,
        np.asarray(log["reward"].values, float),
        follows,
        over & ~ended,
        piece,
        np.arange(size) - first[piece],
        "episodes" if not why_not else f"blocks of {block} steps" if ordered else "steps",
        why_not,
    )
