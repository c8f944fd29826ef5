"""Episodes of a fixed length: states that know their stage.

In an MDP with stages each state but the terminal ones belongs to a stage 0, 1, ..., H - 1, an episode starts at stage
0, and every step leads to the next stage, after the last to a terminal state. A policy on its states is a policy that
depends on time, and what it is judged by is the reward of an episode: the total, or, where the MDP has a discount, the
sum of ``discount^h r_h`` over its stages. The value of a state of stage h is that of the rest of an episode seen from
there, so its own reward counts in full: ``V_h = max r + discount P V_{h+1}``. :func:`unroll` gives any MDP this form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmdp.validation import integer

if TYPE_CHECKING:
    from bayesmdp.mdp import MDP

__all__ = ["check_stages", "shortest_episode", "unroll"]


def check_stages(mdp: MDP, stage: Any) -> NDArray[np.int32]:
    """`stage` [state] as integers, H at terminal states; or a `ValueError` naming the state that is out of order."""
    given = np.asarray(stage)
    if given.shape != (mdp.num_states,) or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"stage must be integers [{mdp.num_states}], one a state; got {given.dtype} {given.shape}")
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


def _steps(mdp: MDP) -> tuple[Any, Any, Any]:
    """Steps that can happen, as far as is known."""
    if mdp.transition is None:
        possible = mdp.available[..., None] & (np.ones(1, bool) if mdp.successor is None else mdp.successor >= 0)
        if mdp.successor is None:
            return (np.zeros(0, int),) * 3
    else:
        possible = (mdp.transition > 0) & mdp.available[..., None]
    state, action, outcome = np.nonzero(possible)
    return state, action, outcome if mdp.successor is None else mdp.successor[state, action, outcome].astype(np.int64)


def unroll(mdp: MDP, horizon: int) -> MDP:
    """The same problem in episodes of `horizon` steps, judged by their reward under the same discount.

    Parameters
    ----------
    mdp : MDP
        Where its discount is None, all rewards of an episode count the same. Where it has one, so do they after
        ``.replace(discount=None)``. Where it has terminal states, an episode may end earlier.
    horizon : int, at least 1

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
    from bayesmdp.mdp import MDP

    stages, size = integer("horizon", horizon, 1), mdp.num_states
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


def shortest_episode(mdp: MDP) -> int:
    """The fewest steps after which an episode may end, as far as is known without the transition probabilities."""
    assert mdp.stage is not None
    if mdp.successor is None:
        return 1
    ends = (mdp.available[..., None] & mdp.terminal[mdp.successor]).any((1, 2)) & ~mdp.terminal
    return int(mdp.stage[ends].min()) + 1
