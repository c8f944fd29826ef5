"""What a problem offers to those who plan for it, act in it or record what happened, whatever its states are.

Three kinds of problem implement :class:`DecisionProblem`: the finite :class:`~bayesmdp.problems.mdp.MDP`, the
:class:`~bayesmdp.problems.simulated_mdp.SimulatedMDP`, whose steps a NumPyro model makes, and the
:class:`~bayesmdp.problems.continuous_mdp.ContinuousMDP`, which is two functions. What they have in common is read from
the problem itself. What each kind needs its own code for, such as planning, stands in a table {space: function} beside
that code, and :func:`for_space` takes the problem's entry: support for another kind is one entry, and a kind without an
entry is refused in one way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from bayesmdp.foundation.arrays import Array
    from bayesmdp.problems.world import World

__all__ = ["DecisionProblem", "for_space"]

CLASSES = {"finite": "MDP", "simulated": "SimulatedMDP", "continuous": "ContinuousMDP"}
"""The class of each kind of problem, by the name of its space."""


class DecisionProblem(Protocol):
    """A sequential decision problem, known in part.

    Attributes
    ----------
    name : str
    space : "finite", "simulated" or "continuous"
        The kind of its states: a finite set; numbers, with steps made by a model; or numbers, with steps made by
        functions.
    objective : "discounted", "average", "episode" or "horizon"
        What a policy is judged by.
    discount : float or None
        None where rewards are not discounted.
    actions : tuple of labels
    states : tuple of labels
        Empty where states are numbers.
    successor : int array [state, action, outcome] or None
        The next state of each outcome, where the problem is finite and has a table of them.
    sizes : (num_states, num_actions, num_outcomes)
        Axes of a kernel; empty where states are numbers and there is no such array.
    state_dtype : dtype
        In which results hold states: whole numbers where they are positions in `states`.
    noise : object or None
        None where every reward is its mean.
    problem : pytree
        What agents may know, as the compiled code reads it.
    dynamics : pytree or None
        How the world really moves, beside what agents may know; None where that is not known, or `problem` holds it.
    world : callable
        ``world(problem, dynamics) -> World``, a module-level function.
    """

    @property
    def name(self) -> str: ...
    @property
    def space(self) -> str: ...
    @property
    def objective(self) -> str: ...
    @property
    def discount(self) -> float | None: ...
    @property
    def actions(self) -> tuple[Hashable, ...]: ...
    @property
    def states(self) -> tuple[Hashable, ...]: ...
    @property
    def successor(self) -> Any: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def state_dtype(self) -> type: ...
    @property
    def noise(self) -> Any: ...
    @property
    def num_actions(self) -> int: ...
    @property
    def problem(self) -> Any: ...
    @property
    def dynamics(self) -> Any: ...
    @property
    def world(self) -> Callable[[Any, Any], World]: ...

    def check_acting(self, *, drawn: bool) -> None:
        """Raise `ValueError` if nobody can act in the problem.

        Parameters
        ----------
        drawn : bool
            Whether the true dynamics are drawn from a prior rather than taken from the problem.
        """
        ...

    def fingerprint(self) -> list[Array | None]:
        """Arrays that are equal if and only if two problems are, for the digest that says what a run was of."""
        ...


def for_space[T](functions: Mapping[str, T], mdp: object) -> T:
    """Look up what is to be done for a problem's kind of space.

    Parameters
    ----------
    functions : mapping of space to T
        What each kind of problem is treated by; see :attr:`DecisionProblem.space`.
    mdp : object
        A problem, or whatever a user took for one.

    Raises
    ------
    TypeError
        If `mdp` is no problem, or of a kind without an entry.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> for_space({"finite": "solved exactly"}, bm.environments.riverswim(6))
    'solved exactly'
    >>> for_space({"finite": "solved exactly"}, bm.environments.wearing_machine())
    Traceback (most recent call last):
      ...
    TypeError: mdp must be a bayesmdp.MDP; got ContinuousMDP
    """
    space = getattr(mdp, "space", None)
    if isinstance(space, str) and space in functions:
        return functions[space]
    known = " or ".join(f"a bayesmdp.{CLASSES[each]}" for each in functions)
    raise TypeError(f"mdp must be {known}; got {type(mdp).__name__}")
