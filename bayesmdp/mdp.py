"""Markov decision processes: what is known about a decision problem, and optionally how it really behaves.

An :class:`MDP` is checked once, on the host, when it is made. Everything compiled reads a :class:`Problem`, the plain
arrays an agent is allowed to know; the true kernel is passed beside it, and only to the simulator.

Next states are written in one of two forms. *Dense*: the last axis of ``transition`` is the next state. *Successor
table*: ``successor[state, action, outcome]`` names the reachable next states and the last axis of ``transition`` is the
outcome, so memory grows with what can be reached, not with the square of the number of states. Where it is not known
what can be reached, an entry -1 stands for all states that the row does not name; see :mod:`bayesmdp.elsewhere`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from bayesmdp.elsewhere import ELSEWHERE, Elsewhere, describe_rows
from bayesmdp.noise import Noise, make_noise
from bayesmdp.stages import check_stages
from bayesmdp.successors import from_sparse, holds_sparse
from bayesmdp.validation import (
    ROW_TOLERANCE,
    distributions,
    finite_array,
    labels,
    number,
    numeric_array,
    reject_first,
    turned,
)
from bayesmdp.world import tabular_world

__all__ = ["MDP", "Array", "Problem", "label_array"]

type Array = Any
"""A NumPy or JAX array, or a traced one."""

OBJECTIVES = ("discounted", "average", "episode")


class Problem(NamedTuple):
    """What an agent may know of an MDP, as arrays (a pytree).

    Attributes
    ----------
    reward : array [..., state, action, outcome or 1]
        Known reward; the last axis has length 1 when the reward does not depend on where the step leads. A leading
        ``draw`` axis is allowed where the reward is itself uncertain.
    discount : float or None
        None where the objective is the average reward; 1 where it is the reward of an episode without a discount.
    successor : int array [state, action, outcome] or None
        Reachable next states; None means that outcomes are the states themselves.
    continuation : array [state]
        0 at terminal states, 1 elsewhere: what multiplies the value of a next state.
    available : bool array [state, action]
    initial : array [state]
        Distribution of the first state, and of the state after a terminal one.
    elsewhere : Elsewhere or None
        What the entries -1 of `successor` are worth; None where there are none.
    noise : Noise or None
        How rewards scatter about `reward`, their mean; read by the simulator only.
    features : array [state, action, feature] or None
        What agents with linear models know of pairs.
    stage : int array [state] or None
        Of episodes of a fixed length; their number at terminal states. See :mod:`bayesmdp.stages`.
    """

    reward: Array
    discount: Array
    successor: Array | None
    continuation: Array
    available: Array
    initial: Array
    elsewhere: Elsewhere | None = None
    noise: Noise | None = None
    features: Array | None = None
    stage: Array | None = None

    @property
    def horizon(self) -> Array:
        """Steps of an episode of a fixed length."""
        return self.stage.max()  # type: ignore[union-attr]

    @property
    def num_states(self) -> int:
        return int(self.available.shape[0])

    @property
    def num_actions(self) -> int:
        return int(self.available.shape[1])

    @property
    def num_outcomes(self) -> int:
        return self.num_states if self.successor is None else int(self.successor.shape[-1])


class MDP:
    """A finite Markov decision process with a known reward.

    Axes come in the order state, action, next state (or outcome). An array [action, state, next_state], as other
    libraries have it, is refused where its shape tells; where there are as many actions as states nothing does.

    Parameters
    ----------
    reward : array [state], [state, action] or [state, action, outcome]
        Reward of leaving a state, of an action in a state, or of a transition. Where an action is not available, or a
        state is terminal, it need not be finite, and is 0.
    discount : float in (0, 1), or None
        None for a problem that goes on for ever and is judged by its average reward. For one with stages, what the
        rewards of each stage count, seen from the stage before; None or 1 where all count the same.
    transition : array [state, action, outcome], or sequence of sparse matrices [state, next_state], optional
        Probabilities. A row may sum to 1 within 2e-6, as in 32 bit, and is normalised if it is off by more than 1e-8.
        Where an action is not available, or a state is terminal, it is not read: if it is no distribution it becomes
        staying there (on a table, the first outcome). Matrices of scipy.sparse, one an action, make a successor table.
        None where the dynamics are not known: such an MDP can be planned for with a posterior but not simulated.
    successor : int array [state, action, outcome], optional
        The reachable next states; -1 stands for all that the row does not name, and is for MDPs without a transition.
        Without a table outcomes are states.
    elsewhere : {"mean", "least"}
        What an outcome -1 is worth: the average or the least value of the states it stands for.
    initial : label or array [state], optional
        Where to start, or its distribution; the first of `states` by default.
    terminal : bool array [state] or sequence of labels, optional
        States in which an episode ends: their value is 0 and the simulator starts anew from `initial`.
    available : bool array [state, action], optional
        Actions that may be taken; every state that is not terminal needs one.
    states, actions : sequences of labels, optional
        Names, unique; 0, 1, 2, ... by default.
    objective : {"discounted", "average", "episode"}, optional
        What regret means here; told from `discount` and `stage` by default.
    noise : float or array [state, action], or "bernoulli", optional
        How the simulator scatters rewards about `reward`, which is then their mean: Normal with these standard
        deviations, or 1 with probability `reward` and otherwise 0. Without it every reward is its mean.
    features : array [state, action, feature], optional
        What is known of pairs that may make the dynamics linear; read by agents for linear MDPs, to which every pair is
        a feature of its own by default.
    stage : int array [state], optional
        Of episodes of a fixed length: how many steps lead to each state (of terminal ones, it is not read). See
        :func:`~bayesmdp.stages.unroll`.
    name : str

    Raises
    ------
    ValueError, TypeError
        Naming the array, the index and the value that is wrong.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> coin = bm.MDP(transition=[[[0.5, 0.5]], [[0.0, 1.0]]], reward=[1.0, 0.0], discount=0.9, name="coin")
    >>> coin
    MDP('coin': 2 states, 1 action, discount 0.9)
    """

    reward: NDArray[np.float64]
    """[state, action, outcome], or [state, action, 1] where the reward does not depend on the outcome."""
    discount: float | None
    transition: NDArray[np.float64] | None
    successor: NDArray[np.int32] | None
    elsewhere: str
    initial: NDArray[np.float64]
    terminal: NDArray[np.bool_]
    available: NDArray[np.bool_]
    states: tuple[Hashable, ...]
    actions: tuple[Hashable, ...]
    objective: str
    noise: Any
    features: NDArray[np.float64] | None
    stage: NDArray[np.int32] | None
    name: str
    space = "finite"
    world = staticmethod(tabular_world)
    """How the simulator takes a step; see :mod:`bayesmdp.world`."""

    def __init__(
        self,
        *,
        reward: ArrayLike,
        discount: float | None,
        transition: ArrayLike | None = None,
        successor: ArrayLike | None = None,
        elsewhere: Literal["mean", "least"] = "mean",
        initial: Hashable | ArrayLike | None = None,
        terminal: Sequence[Hashable] | ArrayLike | None = None,
        available: ArrayLike | None = None,
        states: Sequence[Hashable] | None = None,
        actions: Sequence[Hashable] | None = None,
        objective: str | None = None,
        noise: str | ArrayLike | None = None,
        features: ArrayLike | None = None,
        stage: ArrayLike | None = None,
        name: str = "mdp",
    ) -> None:
        unlimited = "average" if discount is None else "discounted"
        objective = objective or (unlimited if stage is None else "episode")
        if objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}; got {objective!r}")
        if elsewhere not in ELSEWHERE:
            raise ValueError(f"elsewhere must be one of {', '.join(ELSEWHERE)}; got {elsewhere!r}")
        if holds_sparse(transition):
            if successor is not None:
                raise ValueError("sparse matrices tell which next states there are: leave successor out")
            transition, successor = from_sparse(transition)
            reward = _on_table(reward, successor)
        num_states, num_actions = _sizes(transition, successor, available, reward, actions)
        self.objective, self.name, self.elsewhere = objective, name, elsewhere
        self.discount = self._discount(discount)
        self.states = labels("states", states, num_states)
        self.actions = labels("actions", actions, num_actions)
        self.successor = None if successor is None else _successor(successor, num_states, num_actions)
        shape = (num_states, num_actions, self.num_outcomes)
        self.terminal = self._terminal(terminal)
        self.available = _available(available, shape[:2], self.terminal, self.states)
        taken = self.available & ~self.terminal[:, None]
        self.transition = None if transition is None else _transition(transition, shape, taken, self.successor)
        self.reward = _reward(reward, shape, taken)
        self.noise = noise
        self._noise = make_noise(noise, shape[:2], self.reward)
        self.features = None if features is None else _features(features, shape[:2])
        self._check_elsewhere()
        if self.objective == "average" and self.terminal.any():
            first = self.states[int(np.argmax(self.terminal))]
            raise ValueError(f"an average reward is that of a problem which goes on, but state {first!r} is terminal")
        self.initial = self._initial(initial)
        if (self.objective == "episode") != (stage is not None):
            given = "no stage" if stage is None else "a stage"
            raise ValueError(
                f"an MDP has stages if and only if its objective is 'episode'; got {objective!r} and {given}"
            )
        self.stage = None if stage is None else check_stages(self, stage)
        for name_of, array in vars(self).items():
            if isinstance(array, np.ndarray) and name_of != "noise":
                array.flags.writeable = False

    def _discount(self, discount: float | None) -> float | None:
        if self.objective == "average":
            if discount is not None:
                raise ValueError(f"objective {self.objective!r} has no discount, which must be None; got {discount!r}")
            return None
        if self.objective == "episode":
            least = None if discount is None else number("discount", discount, above=0, maximum=1)
            return None if least == 1 else least
        if discount is None:
            raise ValueError("discount must be given, or be None with objective 'average' or with stages")
        try:
            return number("discount", discount, above=0, below=1)
        except ValueError as error:
            if isinstance(discount, bool) or not isinstance(discount, int | float | np.number) or discount != 1:
                raise
            raise ValueError(
                f"{error}, which leaves a problem without end without a value: give discount=None for its average "
                "reward, or bm.unroll(mdp, horizon).replace(discount=None) for the reward of so many steps"
            ) from None

    def _terminal(self, terminal: Any) -> NDArray[np.bool_]:
        mask = np.zeros(self.num_states, bool)
        if terminal is None:
            return mask
        given = np.asarray(terminal)
        if given.dtype == bool:
            if given.shape != mask.shape:
                raise ValueError(f"terminal has shape {given.shape}; as booleans it must be {mask.shape}")
            return given.copy()
        mask[[self.state_index(label) for label in terminal]] = True
        return mask

    def _initial(self, initial: Any) -> NDArray[np.float64]:
        if initial is None:
            initial = self.states[0]
        if np.ndim(initial) == 0 or (isinstance(initial, tuple) and initial in self._state_positions):
            first = self.state_index(initial)
            initial = np.zeros(self.num_states)
            initial[first] = 1
        array = distributions("initial", initial, (self.num_states,))
        reject_first("initial", self.terminal & (array > 0), array, "starts in a terminal state; start elsewhere")
        return array

    def _check_elsewhere(self) -> None:
        if self.successor is None or not self.has_elsewhere:
            return
        if self.transition is not None:
            raise ValueError("successor holds -1, elsewhere, which no simulator can follow: leave transition out")
        _, number, _ = self._rows
        everywhere = (self.successor == -1).any(-1) & (number == 0)
        if everywhere.any():
            pair = ", ".join(map(str, np.argwhere(everywhere)[0]))
            raise ValueError(f"successor[{pair}] names every state and elsewhere, -1, too; leave -1 out of that row")

    def state_index(self, label: Any) -> int:
        """Position of a state's label; `KeyError` naming the label if there is none."""
        return _index("state", self._state_positions, label)

    def action_index(self, label: Any) -> int:
        """Position of an action's label; `KeyError` naming the label if there is none."""
        return _index("action", self._action_positions, label)

    @cached_property
    def _state_positions(self) -> dict[Hashable, int]:
        return {label: i for i, label in enumerate(self.states)}

    @cached_property
    def _action_positions(self) -> dict[Hashable, int]:
        return {label: i for i, label in enumerate(self.actions)}

    @property
    def num_states(self) -> int:
        return len(self.states)

    @property
    def num_actions(self) -> int:
        return len(self.actions)

    @property
    def num_outcomes(self) -> int:
        return self.num_states if self.successor is None else int(self.successor.shape[-1])

    @property
    def has_elsewhere(self) -> bool:
        """Whether some outcome stands for states that its row does not name."""
        return self.successor is not None and bool((self.successor < 0).any())

    @cached_property
    def outcome_size(self) -> NDArray[np.float64]:
        """How many next states an outcome stands for [state, action, outcome]; the number 1 when dense.

        A prior that says the same of every next state gives an outcome so many times as much. Entries of a row that
        name one state share 1 between them, so padding a row changes nothing.
        """
        if self.successor is None:
            return np.ones(())
        size = self._rows[0]
        size.flags.writeable = False
        return size

    @cached_property
    def _rows(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
        assert self.successor is not None
        return describe_rows(self.successor, self.num_states)

    @cached_property
    def problem(self) -> Problem:
        """The known part as arrays: everything but the true kernel."""
        return Problem(
            reward=self.reward,
            discount=None if self.objective == "average" else np.float64(self.discount or 1),
            successor=self.successor,
            continuation=np.where(self.terminal, 0.0, 1.0),
            available=self.available,
            initial=self.initial,
            elsewhere=ELSEWHERE[self.elsewhere](*self._rows[1:]) if self.has_elsewhere else None,
            noise=self._noise,
            features=self.features,
            stage=self.stage,
        )

    @property
    def horizon(self) -> int | None:
        """Steps of an episode, where the MDP has stages."""
        return None if self.stage is None else int(self.stage.max())

    def replace(self, **changes: Any) -> MDP:
        """A copy with some arguments changed, checked again.

        Examples
        --------
        >>> import bayesmdp as bm
        >>> bm.environments.riverswim(6).replace(discount=0.99)
        MDP('riverswim-6': 6 states, 2 actions, discount 0.99)
        >>> bm.environments.riverswim(6).replace(discount=None)
        MDP('riverswim-6': 6 states, 2 actions, average reward)
        """
        given = {name: getattr(self, name) for name in MDP.__annotations__}
        if "discount" in changes or "stage" in changes:
            given["objective"] = None
        return MDP(**(given | changes))

    def with_successors(self) -> MDP:
        """The same MDP on a successor table that holds the transitions of positive probability.

        Raises
        ------
        ValueError
            If the MDP has no transition to read the reachable states from.

        Examples
        --------
        >>> import bayesmdp as bm
        >>> bm.environments.frozen_lake().with_successors().num_outcomes
        3
        """
        if self.successor is not None:
            return self
        if self.transition is None:
            raise ValueError("with_successors needs a transition to tell which next states can be reached")
        transition = self.transition
        width = int((transition > 0).sum(-1).max())
        # A stable sort on "impossible" puts the reachable states first, in order. The padding repeats the first of them
        # with probability 0, so that a prior on the table puts nothing on states that cannot be reached.
        order = np.argsort(transition == 0, axis=-1, kind="stable")[..., :width]
        kernel = np.take_along_axis(transition, order, -1)
        successor = np.where(kernel > 0, order, order[..., :1])
        reward = self.reward
        if reward.shape[-1] > 1:
            reward = np.take_along_axis(reward, successor, -1)
        return self.replace(transition=kernel, successor=successor, reward=reward)

    def __repr__(self) -> str:
        def count(number: int, noun: str) -> str:
            return f"{number} {noun}" + "s" * (number != 1)

        sizes = f"{count(self.num_states, 'state')}, {count(self.num_actions, 'action')}"
        known = "" if self.transition is not None else ", dynamics unknown"
        goal = "average reward" if self.discount is None else f"discount {self.discount:g}"
        if self.stage is not None:
            goal = f"episodes of {count(int(self.stage.max()), 'step')}" + (f", {goal}" if self.discount else "")
        return f"MDP({self.name!r}: {sizes}, {goal}{known})"


def _sizes(
    transition: Any, successor: Any, available: Any, reward: Any, actions: Sequence[Hashable] | None
) -> tuple[int, int]:
    """Numbers of states and actions, from the first array that tells."""
    for name, array in (("transition", transition), ("successor", successor), ("available", available)):
        if array is not None:
            shape = np.shape(array)
            if len(shape) < 2 or 0 in shape:
                raise ValueError(f"{name} starts with [state, action], at least one of each; got shape {shape}")
            if name == "transition" and successor is None:
                # The numbers themselves are read from an array of the wrong order.
                hint = turned(name, shape, (shape[1], shape[0], shape[1]))
                if hint:
                    raise ValueError(f"{name} has shape {shape}, which is [action, state, next_state]{hint}")
            return shape[0], shape[1]
    shape = np.shape(reward)
    if len(shape) >= 2:
        return shape[0], shape[1]
    if len(shape) == 1 and actions is not None:
        return shape[0], len(actions)
    raise ValueError("the numbers of states and actions cannot be told: give transition, or reward[state, action]")


def _transition(
    transition: ArrayLike, shape: tuple[int, int, int], taken: NDArray[np.bool_], successor: Any
) -> NDArray[np.float64]:
    """Rows [state, action, outcome]; those that cannot be taken stay where they are if they are no distributions."""
    state, action = np.nonzero(~taken)
    if len(state):
        array = numeric_array("transition", transition, shape)
        rows = array[state, action]
        with np.errstate(invalid="ignore", over="ignore"):
            idle = ~((rows >= 0).all(-1) & (np.abs(rows.sum(-1) - 1) <= ROW_TOLERANCE))
        state, action = state[idle], action[idle]
        array[state, action] = 0
        array[state, action, state if successor is None else 0] = 1
        transition = array
    remedy = "each row must sum to 1; if its action cannot be taken, say so with available=[state, action]"
    return distributions("transition", transition, shape, remedy=remedy)


def _successor(successor: ArrayLike, num_states: int, num_actions: int) -> NDArray[np.int32]:
    table = np.asarray(successor)
    if not np.issubdtype(table.dtype, np.integer):
        raise TypeError(f"successor holds state indices and must be integer; got dtype {table.dtype}")
    if table.ndim != 3 or table.shape[:2] != (num_states, num_actions):
        hint = turned("successor", table.shape, (num_states, num_actions, *table.shape[2:]))
        raise ValueError(f"successor has shape {table.shape}; expected [{num_states}, {num_actions}, outcome]{hint}")
    wrong = (table < -1) | (table >= num_states)
    range_ = f"is no state; indices run from 0 to {num_states - 1}, and -1 is elsewhere"
    reject_first("successor", wrong, table, range_)
    return table.astype(np.int32)


def _available(
    available: ArrayLike | None, shape: tuple[int, int], terminal: NDArray[np.bool_], states: Any
) -> NDArray[np.bool_]:
    if available is None:
        return np.ones(shape, bool)
    mask = np.asarray(available)
    if mask.dtype != bool or mask.shape != shape:
        hint = turned("available", mask.shape, shape)
        raise ValueError(f"available must be boolean [{shape[0]}, {shape[1]}]; got {mask.dtype} {mask.shape}{hint}")
    stuck = ~mask.any(-1) & ~terminal
    if stuck.any():
        state = int(np.flatnonzero(stuck)[0])
        raise ValueError(
            f"available[{state}] (state {states[state]!r}) allows no action; allow one or make it terminal"
        )
    # A terminal state takes no action; allowing all there keeps every maximum finite.
    return mask | terminal[:, None]


def _features(features: ArrayLike, pairs: tuple[int, int]) -> NDArray[np.float64]:
    array = finite_array("features", features)
    if array.ndim != 3 or array.shape[:2] != pairs:
        hint = turned("features", array.shape, (*pairs, *array.shape[2:]))
        raise ValueError(
            f"features has shape {array.shape}; expected [state, action, feature] = {pairs} and features{hint}"
        )
    return array.copy()


def _on_table(reward: Any, successor: NDArray[np.int32]) -> Any:
    """Rewards of next states [state, action, next_state] as those of the table's outcomes; others as they are."""
    size = len(successor)
    return reward if np.shape(reward) != (*successor.shape[:2], size) else np.take_along_axis(reward, successor, -1)


def _reward(reward: ArrayLike, shape: tuple[int, int, int], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[state, action, outcome or 1], and 0 where no finite number is needed."""
    if holds_sparse(reward):
        raise TypeError(
            "reward holds sparse matrices; give reward[state, action], the mean over next states: "
            "np.stack([p.multiply(r).sum(1) for p, r in zip(transition, reward)], axis=1)"
        )
    one = (*shape[:2], 1)
    array = numeric_array("reward", reward, shape[:1], shape[:2], *([one] if shape != one else []), shape)
    read = taken.any(-1) if array.ndim == 1 else taken.reshape(*taken.shape, *(1,) * (array.ndim - 2))
    array = np.where(~read & ~np.isfinite(array), 0, array)
    never = "; if it marks an action that cannot be taken, say so with available=[state, action]"
    reject_first("reward", array == -np.inf, array, f"is not finite{never}")
    reject_first("reward", ~np.isfinite(array), array, "is not finite")
    if array.ndim == 1:
        return np.broadcast_to(array[:, None, None], one).copy()
    return array[:, :, None] if array.ndim == 2 else array


def label_array(labels: Sequence[Hashable], *, text: bool = False) -> NDArray[Any]:
    """Labels as an array: integers or text, exactly; anything else as Python objects (or as `text`, for files)."""
    kinds = {type(label) for label in labels}
    if kinds == {str}:
        return np.asarray(labels)
    if kinds == {int}:
        numbers: list[Any] = list(labels)
        # Named, for NumPy makes floats of ints below and above 2**63, which then run together.
        for dtype in (np.int64, np.uint64):
            if np.iinfo(dtype).min <= min(numbers) and max(numbers) <= np.iinfo(dtype).max:
                return np.asarray(numbers, dtype)
    if text:
        return np.asarray([str(label) for label in labels])
    array = np.empty(len(labels), object)
    array[:] = labels
    return array


def _index(kind: str, positions: dict[Hashable, int], label: Any) -> int:
    try:
        return positions[label]
    except (KeyError, TypeError):
        known = ", ".join(map(repr, list(positions)[:6])) + (", ..." if len(positions) > 6 else "")
        raise KeyError(f"no {kind} {label!r}; the {kind}s are {known}") from None
