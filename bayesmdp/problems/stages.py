"""Episodes of a fixed length: states that know their stage.

In an MDP with stages each state but the terminal ones belongs to a stage 0, 1, ..., H - 1, an episode starts at stage
0, and every step leads to the next stage, after the last to a terminal state. A policy on its states is a policy that
depends on time, and what it is judged by is the reward of an episode: the total, or, where the MDP has a discount, the
sum of ``discount^h r_h`` over its stages. The value of a state of stage h is that of the rest of an episode seen from
there, so its own reward counts in full: ``V_h = max r + discount P V_{h+1}``. :func:`unroll` gives any MDP this form.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesmdp.problems.problem import Problem

__all__ = ["check_stages", "shortest_episode"]


class Unstaged(Protocol):
    """What the order of stages is checked against: an MDP, or what is known of one so far."""

    states: tuple[Hashable, ...]
    actions: tuple[Hashable, ...]
    initial: NDArray[np.float64]
    terminal: NDArray[np.bool_]
    available: NDArray[np.bool_]
    transition: NDArray[np.float64] | None
    successor: NDArray[np.int32] | None


def check_stages(mdp: Unstaged, stage: Any) -> NDArray[np.int32]:
    """Check the stages of states; H at terminal ones.

    Parameters
    ----------
    mdp : MDP
        Without its stages yet.
    stage : int array [state]

    Returns
    -------
    int32 array [state]

    Raises
    ------
    ValueError
        Naming the state that is out of order.
    """
    given = np.asarray(stage)
    if given.shape != (len(mdp.states),) or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"stage must be integers [{len(mdp.states)}], one a state; got {given.dtype} {given.shape}")
    going = ~mdp.terminal
    if not mdp.terminal.any():
        raise ValueError("stage says that episodes end, but no state is terminal: give terminal=")
    if given[going].min() != 0:
        raise ValueError(f"the first stage is 0; got {given[going].min()}")
    missing = sorted(set(range(int(given[going].max()))) - set(given[going].tolist()))
    if missing:
        raise ValueError(f"no state is of stage {missing[0]}, though some are of later ones")
    stages = np.where(mdp.terminal, given[going].max() + 1, given).astype(np.int32)
    wrong = (mdp.initial > 0) & (stages != 0)
    if wrong.any():
        state = int(np.argmax(wrong))
        raise ValueError(
            f"initial[{state}] = {mdp.initial[state]:.6g}, but state {mdp.states[state]!r} is of a later stage"
        )
    state, action, following = _steps(mdp)
    out_of_order = going[state] & ~mdp.terminal[following] & (stages[following] != stages[state] + 1)
    if out_of_order.any():
        s, a, t = (int(x[np.argmax(out_of_order)]) for x in (state, action, following))
        raise ValueError(
            f"action {mdp.actions[a]!r} leads from state {mdp.states[s]!r} of stage {stages[s]} to {mdp.states[t]!r} "
            f"of stage {stages[t]}; each step leads to the next stage, or to a terminal state"
        )
    return stages


def _steps(mdp: Unstaged) -> tuple[Any, Any, Any]:
    """Steps that can happen, as far as is known."""
    if mdp.transition is None:
        possible = mdp.available[..., None] & (np.ones(1, bool) if mdp.successor is None else mdp.successor >= 0)
        if mdp.successor is None:
            return (np.zeros(0, int),) * 3
    else:
        possible = (mdp.transition > 0) & mdp.available[..., None]
    state, action, outcome = np.nonzero(possible)
    return state, action, outcome if mdp.successor is None else mdp.successor[state, action, outcome].astype(np.int64)


def shortest_episode(problem: Problem) -> int:
    """The fewest steps after which an episode may end, as far as is known without the transition probabilities."""
    assert problem.stage is not None
    if problem.successor is None:
        return 1
    terminal = problem.continuation == 0
    ends = (problem.available[..., None] & terminal[problem.successor]).any((1, 2)) & ~terminal
    return int(problem.stage[ends].min()) + 1
