"""Decision problems whose states are numbers, for agents that see them through features only.

A finite :class:`~bayesmdp.problems.mdp.MDP` is arrays; a :class:`ContinuousMDP` is two functions. ``view(parameters,
state)`` gives the features [action, feature] and the rewards [action] of a state, which agents are told;
``draw(parameters, uniforms, state, action)`` the next state from two uniform numbers, which they are not. Both are
traced. The problem goes on for ever and is judged by its average reward; what the best policy gains cannot be computed
from samplers, so it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.typing import ArrayLike
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import finite_array, labels, number
from bayesmdp.problems.world import Step, World

__all__ = ["ContinuousMDP", "ContinuousProblem", "continuous_world"]

type View = Callable[[Any, Array], tuple[Array, Array]]
type Draw = Callable[[Any, Array, Array, Array], Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ContinuousProblem:
    """What the compiled loop reads of a :class:`ContinuousMDP` (a pytree; functions and sizes are static).

    Attributes
    ----------
    parameters : pytree
    start : array
    gain : float
    view, draw : callable
    num_actions, num_features : int
    """

    parameters: Any
    start: Array
    gain: Array
    view: View = field(metadata={"static": True})
    draw: Draw = field(metadata={"static": True})
    num_actions: int = field(metadata={"static": True})
    num_features: int = field(metadata={"static": True})


def continuous_world(problem: ContinuousProblem, kernel: None) -> World:
    """Return the world of a continuous problem; the first two uniform numbers draw the next state.

    Parameters
    ----------
    problem : ContinuousProblem
    kernel : None
        Nothing beside what agents may know.

    Returns
    -------
    World
    """

    def step(uniforms: Array, state: Array, action: Array) -> tuple[Step, Array]:
        reward = problem.view(problem.parameters, state)[1][action]
        following = problem.draw(problem.parameters, uniforms[:2], state, action)
        return Step(state, action, jnp.zeros((), jnp.int32), following, reward, jnp.zeros((), bool)), following

    return World(lambda key: problem.start, step)


class ContinuousMDP:
    """A continuing problem on a space of numbers.

    Parameters
    ----------
    view : callable
        ``view(parameters, state) -> (features [action, feature], reward [action])``. A module-level function, so that
        equal problems share programs.
    draw : callable
        ``draw(parameters, uniforms, state, action) -> next state``, `uniforms` being two random numbers that are
        uniform in [0, 1).
    parameters : pytree of arrays
        What the functions read.
    start : float or array [coordinate]
        The first state, whose shape all have.
    actions : sequence of labels
    gain : float
        J*, which regret is measured against.
    span : float
        sp(v*), which optimistic agents are told.
    name : str

    Raises
    ------
    ValueError, TypeError
        If an argument is not a finite number, or a view has the wrong shape.

    See Also
    --------
    bayesmdp.SimulatedMDP : discounted, with a posterior over its dynamics.
    bayesmdp.MDP : a finite number of states.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.environments.wearing_machine()
    ContinuousMDP('wearing-machine': 3 actions, 12 features, average reward)
    """

    space = "continuous"
    objective = "average"
    discount = dynamics = successor = noise = None
    states: tuple[Hashable, ...] = ()
    sizes: tuple[int, ...] = ()
    state_dtype = float
    world = staticmethod(continuous_world)

    def __init__(
        self,
        *,
        view: View,
        draw: Draw,
        parameters: Any,
        start: ArrayLike,
        actions: Sequence[Hashable],
        gain: float,
        span: float,
        name: str = "continuous",
    ) -> None:
        first: NDArray[np.float64] = finite_array("start", start)
        self.actions = labels("actions", actions, len(actions))
        self.gain, self.span, self.name = number("gain", gain), number("span", span, minimum=0), name
        with jax.enable_x64(True):
            features, reward = jax.eval_shape(view, parameters, first)
            reached = jax.eval_shape(draw, parameters, np.zeros(2), first, np.int32(0))
        expected = (len(self.actions),)
        if len(features.shape) != 2 or features.shape[:1] != expected or reward.shape != expected:
            raise ValueError(
                f"view gives features {features.shape} and rewards {reward.shape}; expected [action, feature] and "
                f"[action] for the {len(self.actions)} actions"
            )
        if reached.shape != first.shape:
            raise ValueError(f"draw gives a state of shape {reached.shape}; expected that of start, {first.shape}")
        self.problem = ContinuousProblem(
            parameters, first, np.float64(self.gain), view, draw, len(self.actions), features.shape[1]
        )

    def wander(self, steps: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """States [step, ...] of a walk with random actions, and the rewards [step, action] of all actions there.

        Examples
        --------
        >>> import bayesmdp as bm
        >>> state, reward = bm.environments.wearing_machine().wander(5)
        >>> float(state[0]), reward[0].tolist()
        (0.0, [1.0, 0.7, 0.0])
        """
        with jax.enable_x64(True):
            problem = jax.tree.map(jnp.asarray, self.problem)
            uniforms = random.uniform(random.key(seed), (steps, 2))
            actions = random.randint(random.fold_in(random.key(seed), 1), (steps,), 0, self.num_actions)

            def move(state: Array, inputs: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
                uniforms, action = inputs
                reward = problem.view(problem.parameters, state)[1]
                return problem.draw(problem.parameters, uniforms, state, action), (state, reward)

            state, reward = lax.scan(move, problem.start, (uniforms, actions))[1]
        return np.asarray(state), np.asarray(reward)

    @property
    def num_actions(self) -> int:
        return self.problem.num_actions

    def check_acting(self, *, drawn: bool) -> None:
        """Raise `ValueError` for kernels drawn from a prior; see `DecisionProblem.check_acting`."""
        if drawn:
            raise ValueError(f"truth draws kernels of finite MDPs; the states of {self.name} are continuous")

    def fingerprint(self) -> list[Array | None]:
        """The parameters, and the functions by name and by what they were compiled to."""
        functions = (self.problem.view, self.problem.draw)
        compiled = [f"{each.__module__}.{each.__qualname__}".encode() + each.__code__.co_code for each in functions]
        return [*jax.tree.leaves(self.problem), None, *(np.frombuffer(text, np.uint8) for text in compiled)]

    def __repr__(self) -> str:
        sizes = f"{self.num_actions} actions, {self.problem.num_features} features"
        return f"ContinuousMDP({self.name!r}: {sizes}, average reward)"
