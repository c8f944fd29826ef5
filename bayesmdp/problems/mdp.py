"""Markov decision processes: what is known about a decision problem, and optionally how it really behaves.

An :class:`MDP` is checked once, on the host, when it is made. Everything compiled reads a :class:`Problem`, the plain
arrays an agent is allowed to know; the true kernel is passed beside it, and only to the simulator.

Next states are written in one of two forms. *Dense*: the last axis of ``transition`` is the next state. *Successor
table*: ``successor[state, action, outcome]`` names the reachable next states and the last axis of ``transition`` is the
outcome, so memory grows with what can be reached, not with the square of the number of states. Where it is not known
what can be reached, an entry -1 stands for all states that the row does not name; see
:mod:`bayesmdp.problems.elsewhere`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import distributions, labels, reject_first
from bayesmdp.problems.elsewhere import ELSEWHERE, describe_rows
from bayesmdp.problems.envelope import envelope
from bayesmdp.problems.labels import in_order, index_of, label_array
from bayesmdp.problems.mdp_arrays import (
    by_labels,
    on_table,
    read_available,
    read_features,
    read_reward,
    read_sizes,
    read_successor,
    read_transition,
)
from bayesmdp.problems.objective import read_discount, read_horizon, read_objective
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.reward_noise import make_noise
from bayesmdp.problems.stages import check_stages
from bayesmdp.problems.successors import from_sparse, holds_sparse
from bayesmdp.problems.world import tabular_world

__all__ = ["MDP"]


class MDP:
    """A finite Markov decision process with a known reward.

    Axes come in the order state, action, next state (or outcome). An array [action, state, next_state], as other
    libraries have it, is refused where its shape tells; where there are as many actions as states nothing does, but a
    DataArray with these names, whose axes may be in any order. So may be what its coordinates name, ``state``,
    ``action`` and ``next_state``, or the index of a Series or DataFrame; where `states` or `actions` are not given,
    these are the labels.

    Parameters
    ----------
    reward : array [state], [state, action] or [state, action, outcome]
        Reward of leaving a state, of an action in a state, or of a transition. Where an action is not available, or a
        state is terminal, it need not be finite, and is 0.
    discount : float in (0, 1), or None
        None for a problem that goes on for ever and is judged by its average reward. For one with stages or a horizon,
        what the rewards of each step count, seen from the step before; None or 1 where all count the same.
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
        Where to start, or its distribution; the first of `states` by default. A Series or DataArray that names its
        states may have them in any order.
    terminal : bool array [state] or sequence of labels, optional
        States in which an episode ends: their value is 0 and the simulator starts anew from `initial`.
    available : bool array [state, action], optional
        Actions that may be taken; every state that is not terminal needs one.
    states, actions : sequences of labels, optional
        Names, unique; 0, 1, 2, ... by default.
    objective : {"discounted", "average", "episode", "horizon"}, optional
        What a policy is judged by; told from `discount`, `stage` and `horizon` by default.
    noise : float or array [state, action], or "bernoulli", optional
        How the simulator scatters rewards about `reward`, which is then their mean: Normal with these standard
        deviations, or 1 with probability `reward` and otherwise 0. Without it every reward is its mean.
    features : array [state, action, feature], optional
        What is known of pairs that may make the dynamics linear; read by agents for linear MDPs, to which every pair is
        a feature of its own by default.
    stage : int array [state], optional
        Of episodes of a fixed length: how many steps lead to each state (of terminal ones, it is not read). See
        :func:`~bayesmdp.problems.unroll.unroll`.
    horizon : int, optional
        How many steps count, from wherever they begin. Plans and policies are then by stage, which is how many of the
        steps were taken, and the MDP stays as small as it is. Agents act in it as ``bm.unroll(mdp)``.
    name : str

    Raises
    ------
    ValueError, TypeError
        Naming the array, the index and the value that is wrong.

    See Also
    --------
    bayesmdp.SimulatedMDP : states that are numbers, with a NumPyro model of the next one.
    bayesmdp.ContinuousMDP : the same without a discount, for agents of the average reward.
    bayesmdp.mdp_from_log : the states and actions of a log, with dynamics that are not known.
    bayesmdp.environments : problems that ship, and those of Gymnasium.

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
    horizon: int | None
    """Steps that count: those of an episode, where the MDP has stages; None where all do."""
    name: str
    space = "finite"
    state_dtype = np.int32
    world = staticmethod(tabular_world)
    """How the simulator takes a step; see :mod:`bayesmdp.problems.world`."""

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
        horizon: int | None = None,
        name: str = "mdp",
    ) -> None:
        if elsewhere not in ELSEWHERE:
            raise ValueError(f"elsewhere must be one of {', '.join(ELSEWHERE)}; got {elsewhere!r}")
        arrays = {
            "transition": transition,
            "successor": successor,
            "reward": reward,
            "available": available,
            "features": features,
        }
        (transition, successor, reward, available, features), states, actions = by_labels(arrays, states, actions)
        if holds_sparse(transition):
            if successor is not None:
                raise ValueError("sparse matrices tell which next states there are: leave successor out")
            transition, successor = from_sparse(transition)
            reward = on_table(reward, successor)
        num_states, num_actions = read_sizes(transition, successor, available, reward, actions)
        self.objective = read_objective(objective, discount=discount, stage=stage, horizon=horizon)
        self.name, self.elsewhere = name, elsewhere
        self.discount = read_discount(discount, self.objective)
        self.states = labels("states", states, num_states)
        self.actions = labels("actions", actions, num_actions)
        self.successor = None if successor is None else read_successor(successor, num_states, num_actions)
        shape = (num_states, num_actions, self.num_outcomes)
        self.terminal = self._terminal(terminal)
        self.available = read_available(available, shape[:2], self.terminal, self.states)
        taken = self.available & ~self.terminal[:, None]
        self.transition = None if transition is None else read_transition(transition, shape, taken, self.successor)
        self.reward = read_reward(reward, shape, taken)
        self.noise = noise
        self._noise = make_noise(noise, shape[:2], self.reward)
        self.features = None if features is None else read_features(features, shape[:2])
        self._check_elsewhere()
        if self.objective == "average" and self.terminal.any():
            first = self.states[int(np.argmax(self.terminal))]
            raise ValueError(f"an average reward is that of a problem which goes on, but state {first!r} is terminal")
        self.initial = self._initial(initial)
        self.stage = None if stage is None else check_stages(self, stage)
        self.horizon = read_horizon(horizon, self.stage)
        for name_of, array in vars(self).items():
            if isinstance(array, np.ndarray) and name_of != "noise":
                array.flags.writeable = False

    def _terminal(self, terminal: Any) -> NDArray[np.bool_]:
        mask = np.zeros(self.num_states, bool)
        if terminal is None:
            return mask
        given = np.asarray(terminal)
        if given.dtype == bool:
            given = np.asarray(in_order("terminal", terminal, {"state": self.states}))
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
        initial = in_order("initial", initial, {"state": self.states})
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
        return index_of("state", self._state_positions, label)

    def action_index(self, label: Any) -> int:
        """Position of an action's label; `KeyError` naming the label if there is none."""
        return index_of("action", self._action_positions, label)

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
    def outcome_dim(self) -> str:
        """Name of the last axis of ``transition``: "next_state", or "outcome" where there is a successor table."""
        return "next_state" if self.successor is None else "outcome"

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Shape of ``transition``: (num_states, num_actions, num_outcomes)."""
        return self.num_states, self.num_actions, self.num_outcomes

    @property
    def length(self) -> int | None:
        """Steps after which an episode is cut off; None where only a terminal state ends it."""
        return self.horizon if self.by_stage else None

    @property
    def by_stage(self) -> bool:
        """Whether values and policies are [stage, state]: `horizon` steps count, and states do not know their stage."""
        return self.objective == "horizon"

    @property
    def state_coords(self) -> dict[str, NDArray[Any]]:
        """Labels of the axes of a value or a policy, ``stage`` (steps taken, where they are by stage) and ``state``."""
        stages = {"stage": np.arange(self.horizon or 0)} if self.by_stage else {}
        return {**stages, "state": label_array(self.states)}

    @property
    def dynamics(self) -> NDArray[np.float64] | None:
        """The true kernel, ``transition``."""
        return self.transition

    def check_acting(self, *, drawn: bool) -> None:
        """Raise `ValueError` if nobody can act in the MDP; see `DecisionProblem.check_acting`."""
        if self.has_elsewhere:
            raise ValueError(
                f"{self.name} cannot be acted in: its successor table holds -1, next states that it does not name; use "
                "it with plan, or give it a whole table"
            )
        if self.transition is None and not drawn:
            raise ValueError(
                f"{self.name} has no transition: give the MDP one, or draw kernels from a prior with truth="
            )

    def fingerprint(self) -> list[Array | None]:
        """The arrays of the known part, and the kernel; see `DecisionProblem.fingerprint`."""
        return [*self.problem._replace(envelope=None), self.transition]

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
            envelope=envelope(self.successor),
        )

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
        if changes.get("stage", self.stage) is not None:
            given["horizon"] = None  # the stages say it
        if changes.keys() & {"discount", "stage", "horizon"}:
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
        if self.horizon is not None:
            steps = f"horizon {self.horizon}" if self.stage is None else f"episodes of {count(self.horizon, 'step')}"
            goal = steps + (f", {goal}" if self.discount else "")
        return f"MDP({self.name!r}: {sizes}, {goal}{known})"
