"""Which states can be reached from which: what an average reward depends on.

An MDP is *weakly communicating* if each state of one closed set can be reached from each other of it under some policy,
and all others are left in the end under every policy (Puterman, 1994, section 8.3). Its largest average reward is then
the same from every state. A fixed policy's is the same within a *recurrent class* of its chain, and from other states
the average over the classes that the chain may end in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph, linalg

from bayesmdp.problems.mdp import MDP

__all__ = ["average_reward", "check_weakly_communicating"]


def check_weakly_communicating(mdp: MDP) -> None:
    """Refuse an MDP whose largest average reward may depend on where it starts.

    Parameters
    ----------
    mdp : MDP
        With a transition.

    Raises
    ------
    ValueError
        Naming two states: each can be stayed near for ever, and from one the other cannot be reached.

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> islands = bm.MDP(transition=np.eye(2)[:, None], reward=[0.0, 1.0], discount=None, states=("here", "there"))
    >>> check_weakly_communicating(islands)
    Traceback (most recent call last):
    ...
    ValueError: mdp is not weakly communicating: 'there' cannot be reached from 'here', where one can stay for ever...
    """
    leads = _edges(mdp)
    size = mdp.num_states
    graph = sparse.csr_array((np.ones(len(leads)), (leads[:, 0], leads[:, 2])), shape=(size, size))
    _, component = csgraph.connected_components(graph, connection="strong")
    leaving = component[leads[:, 0]] != component[leads[:, 2]]
    closed = np.setdiff1d(component, component[leads[leaving, 0]])
    home = component == closed[0]
    if len(closed) > 1:
        here, there = (mdp.states[int(np.argmax(component == c))] for c in closed[:2])
    else:
        apart = _stayable(leads, ~home, mdp.available)
        if not apart.any():
            return
        # What can be stayed in outside the closed class is reached by nothing in it.
        here, there = mdp.states[int(np.argmax(home))], mdp.states[int(np.argmax(apart))]
    raise ValueError(
        f"{mdp.name} is not weakly communicating: {there!r} cannot be reached from {here!r}, where one can stay for "
        "ever, as in the other; the largest average reward may depend on the start"
    )


def _edges(mdp: MDP) -> NDArray[np.int64]:
    """(state, action, next_state) [edge, 3] of the transitions that can happen."""
    if mdp.transition is None:
        raise ValueError(f"{mdp.name} has no transition: its dynamics are not known")
    state, action, outcome = np.nonzero(mdp.transition * mdp.available[..., None])
    following = outcome if mdp.successor is None else mdp.successor[state, action, outcome]
    return np.stack([state, action, following], -1)


def _stayable(leads: NDArray[np.int64], inside: NDArray[np.bool_], available: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest part of `inside` [state] in which one can stay for ever."""
    while True:
        safe = available.copy()
        state, action, following = leads.T
        out = ~inside[following]
        safe[state[out], action[out]] = False
        remaining = inside & safe.any(-1)
        if (remaining == inside).all():
            return inside
        inside = remaining


def average_reward(chain: sparse.csr_array, reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """The average reward of a Markov chain [state], from each state it may start in.

    Parameters
    ----------
    chain : sparse array [state, next_state]
        Rows sum to 1.
    reward : array [state]

    Examples
    --------
    >>> average_reward(sparse.csr_array([[0.5, 0.25, 0.25], [0, 1, 0], [0, 0, 1]]), np.array([9.0, 1.0, 3.0])).tolist()
    [2.0, 1.0, 3.0]
    """
    number, component = csgraph.connected_components(chain, connection="strong")
    state, following = chain.nonzero()
    leaving = component[state] != component[following]
    closed = np.setdiff1d(np.arange(number), component[state[leaving]])
    gain = np.zeros(len(reward))
    for recurrent in closed:
        inside = np.flatnonzero(component == recurrent)
        # Stationary: it sums to 1, which takes the place of one equation that the others imply.
        system = (sparse.eye_array(len(inside)) - chain[inside][:, inside]).T.tolil()
        system[0] = 1.0
        share = linalg.spsolve(system.tocsc(), np.eye(len(inside))[0])
        gain[inside] = np.atleast_1d(share) @ reward[inside]
    transient = np.flatnonzero(~np.isin(component, closed))
    if transient.size:
        left = sparse.eye_array(len(transient), format="csc") - chain[transient][:, transient].tocsc()
        gain[transient] = linalg.spsolve(left, chain[transient] @ gain)
    return gain
