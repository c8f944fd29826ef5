"""The grammar that every agent speaks.

An algorithm is one file. It defines a *rules function* ``rules(belief, problem, options) -> Rules``: pure functions
over a state of its own choosing, which `simulate` scans. What they close over is traced, so the numbers in `options`
(levels, scales, rates) and in `problem` (rewards, discount) may change without compiling again; only shapes and the
choice of algorithm, prior and draw rule are static.

==============================  ========================================================================================
``init(key)``                   state before any experience
``begin(key, state)``           a new planning period: draw from the belief, plan, reset what belongs to the period
``act(key, state, s)``          action in state `s`
``observe(key, state, step)``   learn from one step; per-step sweeps and the stage of a finite horizon live here
``ends(uniform, state, step)``  whether a new period begins: at an episode's end, a doubling of visits, every step,
                                or at random, by `uniform`, a random number that is uniform in [0, 1); one does in any
                                case where the world has cut an episode off
``policy(state)``               the period's policy [state], which regret is computed from
``report(state, s, a)``         scalars to record at each step, by name
``belief(state)``               the belief's state, from which checkpoints draw; () where there is none
==============================  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxtyping import Key

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior import Belief, QBelief
from bayesmdp.problems.world import Step

__all__ = ["Agent", "Rules", "stay"]

type State = Any
type Options = Mapping[str, Array]


class Rules(NamedTuple):
    """An agent's functions; see the module's table. All are pure, traceable and unbatched.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.psrl(bm.models.dirichlet_transitions(river))
    >>> rules = agent.rules(agent.make_belief(river), river.problem, agent.options)
    >>> isinstance(rules, Rules), Rules._fields[:4]
    (True, ('init', 'begin', 'act', 'observe'))
    """

    init: Callable[[Array], State]
    begin: Callable[[Array, State], State]
    act: Callable[[Array, State, Array], Array]
    observe: Callable[[Array, State, Step], State]
    ends: Callable[[Array, State, Step], Array]
    policy: Callable[[State], Array]
    report: Callable[[State, Array, Array], dict[str, Array]]
    belief: Callable[[State], Any]


def stay(key: Key[Array, ""], state: State) -> State:
    """Return the state as it is: the `begin` of an agent that does not plan in periods.

    Parameters
    ----------
    key : key
        Not used.
    state : pytree

    Returns
    -------
    pytree
    """
    del key
    return state


def _no_belief(mdp: Any) -> None:
    """Make no belief, for an agent that is not Bayesian."""
    del mdp


@dataclass(frozen=True)
class Agent:
    """An algorithm with its prior and its options: what `simulate` runs.

    Attributes
    ----------
    algorithm : str
        The algorithm's name, as in ``bayesmdp list``.
    rules : callable
        ``rules(belief, problem, options) -> Rules``; a module-level function, so that equal agents share one program.
    make_belief : callable, optional
        ``make_belief(mdp) -> Belief``, or a `QBelief`. It may look at what is known only: an agent is never shown the
        true kernel. Without it the rules are given None (an agent that is not Bayesian).
    objectives, spaces : tuples of str
        What the problems that it can act in may be judged by, and the kinds of their states.
    room : int, optional
        The most steps it can take on a continuous space, and in a finite MDP with more states than those visit.
    linear : tuple of str
        Which of ``transition`` and ``reward`` it takes to be linear in the problem's features.
    options : mapping of str to array
        Numbers, traced; recorded in the results.
    static : mapping of str to hashable
        Choices that shape the program (number of draws, draw rule); recorded in the results.
    described : mapping of str to number, optional
        What is recorded in the place of `options`, where these are more than was chosen.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> agent = bm.agents.psrl(bm.models.dirichlet_transitions(bm.environments.riverswim(6)))
    >>> isinstance(agent, Agent), agent.algorithm, agent.objectives
    (True, 'psrl', ('discounted', 'average', 'episode'))
    """

    algorithm: str
    rules: Callable[[Any, Any, Options], Rules]
    make_belief: Callable[[Any], Belief | QBelief | None] = _no_belief
    options: Mapping[str, Any] = field(default_factory=dict)
    static: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ("discounted",)
    spaces: tuple[str, ...] = ("finite",)
    room: int | None = None
    linear: tuple[str, ...] = ()
    described: Mapping[str, Any] | None = None

    def describe(self) -> dict[str, Any]:
        """Return all options by name, for the results' attrs."""
        chosen = self.options if self.described is None else self.described
        return {"algorithm": self.algorithm, **dict(chosen), **dict(self.static)}
