"""Worlds like a log of measurements, whose truth is known: logs are made in them, and policies valued.

    as believed  the model with its unknowns at the posterior's mean
    as seen      a step is that of one of the five nearest rows of the log with the same action, in units of the box:
                 what it paid, and the state where it led. No model is asked, so that it goes against the prior where
                 that is wrong. Its states are those of the log (kernel-based reinforcement learning; Ormoneit and Sen,
                 2002, with as many neighbours in the place of a width), so that values are solved for.

Both make logs of as many rows as the one at hand, in episodes of the same lengths that start where its do, by its
behaviour (:mod:`bayesmdp.offline.state_behaviour`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.records import Records
from bayesmdp.offline.measured_space import STARTS, AmongRows
from bayesmdp.offline.state_behaviour import ActsInStates
from bayesmdp.planning.rollouts import Rollouts, simulate_returns
from bayesmdp.planning.state_rules import after_steps
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import SimulatedProblem, simulate_steps

__all__ = ["EACH", "AsBelieved", "AsSeen", "MeasuredWorld"]

NEIGHBOURS = 5
"""Rows whose steps are drawn among."""

VALUED = 1_920
"""Rollouts by which a policy is valued in the believed world: full batches of them."""

EACH = 16
"""Rollouts of each draw."""

FEWEST = 64
"""Rows that logs of the believed world are made with at the least."""

PRECISE = 1e-6
"""Of what values can differ by, to which they are solved for in the world as seen."""


class MeasuredWorld(Protocol):
    """A world whose truth is known."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def logs(
        self,
        behaviour: ActsInStates,
        begins: NDArray[np.bool_],
        number: int,
        seed: int,
        starts: NDArray[np.float64] | None = None,
    ) -> list[Records]:
        """Make logs like one whose episodes begin in these rows.

        Parameters
        ----------
        behaviour : ActsInStates
        begins : bool array [row]
        number : int
        seed : int
        starts : array [start, coordinate], optional
            Where episodes of the logs start; by default where those of the problem do.

        Returns
        -------
        list of Records
        """
        ...

    def worth(self, policy: ActsInStates) -> float:
        """What a policy is truly worth where episodes start."""
        ...


class AsBelieved(NamedTuple):
    """The model with known values of its unknowns.

    Attributes
    ----------
    mdp : SimulatedMDP
    values : mapping of site to array
    rollouts : Rollouts
    """

    mdp: SimulatedMDP
    values: Mapping[str, NDArray[np.float64]]
    rollouts: Rollouts
    name: str = "as believed"

    def logs(
        self,
        behaviour: ActsInStates,
        begins: NDArray[np.bool_],
        number: int,
        seed: int,
        starts: NDArray[np.float64] | None = None,
    ) -> list[Records]:
        """Make logs in this world, as `MeasuredWorld` says."""
        with jax.enable_x64(True):
            policy, problem, rows = behaviour.policy, self.mdp.problem, len(begins)
            # Steps after the last row are made and left out, so that programs serve other numbers of rows.
            filled = np.zeros(max(FEWEST, 1 << (rows - 1).bit_length()), bool)
            filled[:rows] = begins
            made = _simulated_logs(
                random.key(seed),
                problem if starts is None else replace(problem, starts=AmongRows.filled(starts, STARTS)),
                dict(self.values),
                policy.parameters,
                filled,
                rule=policy.rule,
                number=number,
            )
            state, action, after, reward, over = (np.asarray(each)[:rows] for each in made)
        columns = {"next_state": after, "reward": reward, "terminal": over}
        seen = [{name: column[:, i] for name, column in columns.items()} for i in range(number)]
        return [Records(state[:, i], action[:, i], seen[i], np.ones(rows)) for i in range(number)]

    def worth(self, policy: ActsInStates) -> float:
        """What a policy is worth where episodes start, by rollouts.

        Parameters
        ----------
        policy : ActsInStates
        """
        # As many rollouts of a draw as in plans, whose programs serve.
        copies = max(1, self.rollouts.number // EACH)
        truth = {name: np.repeat(np.asarray(value)[None], copies, 0) for name, value in self.values.items()}
        return float(simulate_returns(self.mdp, truth, policy.policy, self.rollouts).middle.mean())


@partial(jax.jit, static_argnames=("rule", "number"))
def _simulated_logs(
    key: Array,
    problem: SimulatedProblem,
    values: Mapping[str, Array],
    parameters: Any,
    begins: Array,
    *,
    rule: Any,
    number: int,
) -> tuple[Array, Array, Array, Array, Array]:
    """States, actions, next states, rewards and ends [row, log, ...] of some logs, side by side."""
    problem, parameters = jax.tree.map(jnp.asarray, (problem, parameters))
    draw_starts = jax.vmap(problem.draw_start)

    def choose(uniform: Array, state: Array, age: Array) -> Array:
        return jnp.asarray(rule(after_steps(rule, parameters, age), uniform, state))

    def step(
        carry: tuple[Array, Array, Array], row: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array, Array, Array]]:
        (state, over, age), (key, begin) = carry, row
        start_key, act_key, step_key = random.split(key, 3)
        fresh = draw_starts(random.split(start_key, number))
        state = jnp.where(begin | over[:, None], fresh, state)
        age = jnp.where(begin | over, 0, age)
        action = jax.vmap(choose)(random.uniform(act_key, (number,)), state, age)
        after, reward, goes_on = simulate_steps(problem, problem.model, step_key, values, state, action)
        return (after, goes_on == 0, age + 1), (state, action, after, reward, goes_on == 0)

    first = jnp.broadcast_to(jnp.asarray(problem.start), (number, *problem.start.shape))
    begun = first, problem.continues(first) == 0, jnp.zeros(number, jnp.int32)
    return lax.scan(step, begun, (random.split(key, len(begins)), begins))[1]


class AsSeen:
    """Steps of near rows of a log.

    Parameters
    ----------
    mdp : SimulatedMDP
        Read for the box, the starts, the discount, the horizon and where episodes end.
    data : Records
    """

    name = "as seen"

    def __init__(self, mdp: SimulatedMDP, data: Records) -> None:
        problem = mdp.problem
        self._scale = 2 / (problem.high - problem.low)
        self._discount, self._horizon, self._actions = float(problem.discount), mdp.horizon, mdp.num_actions
        after, self._reward = np.asarray(data.seen["next_state"]), np.asarray(data.seen["reward"], float)
        ends = np.asarray(data.seen.get("terminal", np.zeros(len(after))), bool)
        with jax.enable_x64(True):
            if problem.terminal is not None:
                ends = ends | np.asarray(problem.terminal(jnp.asarray(after)))
            starts = np.asarray(problem.start[None] if problem.starts is None else problem.starts.all)
        rows = len(self._reward)
        # The states of the log, and those in which episodes ended.
        self.points = np.concatenate([np.asarray(data.state), after[ends]])
        self._goes_on = np.arange(len(self.points)) < rows
        self._tree = tree = KDTree(np.asarray(data.state) * self._scale)
        self._after = tree.query(after * self._scale)[1]
        self._after[ends] = rows + np.arange(int(ends.sum()))
        self._starts = tree.query(starts * self._scale)[1]
        self._near = [self._neighbours(data, a) for a in range(self._actions)]
        # Mean rewards [action, point], and how probable points are after each action in each point.
        self._paid = np.stack([self._reward[near].mean(-1) for near in self._near])
        self._moves = sparse.vstack([self._following(near) for near in self._near]).tocsr()

    def _neighbours(self, data: Records, action: int) -> NDArray[np.int64]:
        """Rows [point, neighbour] with an action that are the nearest to each point."""
        own = np.flatnonzero(np.asarray(data.action) == action)
        if not len(own):
            raise ValueError(f"the action at position {action} was never taken")
        number = min(NEIGHBOURS, len(own))
        found = KDTree(np.asarray(data.state)[own] * self._scale).query(self.points * self._scale, number)[1]
        return own[found.reshape(len(self.points), number)]

    def _following(self, near: NDArray[np.int64]) -> Any:
        """The matrix [point, point] of a step of one of some rows [point, neighbour], each as probable as the other."""
        points, number = near.shape
        share = np.full(near.size, 1 / number)
        return sparse.csr_array((share, self._after[near].ravel(), np.arange(points + 1) * number), (points, points))

    def logs(
        self,
        behaviour: ActsInStates,
        begins: NDArray[np.bool_],
        number: int,
        seed: int,
        starts: NDArray[np.float64] | None = None,
    ) -> list[Records]:
        """Make logs in this world, as `MeasuredWorld` says."""
        rng, rows = np.random.default_rng([seed, 7]), len(begins)
        below = behaviour.probabilities(self.points).cumsum(-1)
        first = self._starts if starts is None else self._tree.query(starts * self._scale)[1]
        place = np.zeros(number, int)
        visited, acted, taken = (np.zeros((rows, number), int) for _ in range(3))
        for row, begin in enumerate(begins):
            anew = begin | ~self._goes_on[place]
            place = np.where(anew, rng.choice(first, number), place)
            action = np.minimum((rng.uniform(size=(number, 1)) >= below[place]).sum(-1), self._actions - 1)
            chance = rng.uniform(size=number)
            for i in range(number):
                near = self._near[action[i]][place[i]]
                taken[row, i] = near[int(chance[i] * len(near))]
            visited[row], acted[row] = place, action
            place = self._after[taken[row]]
        made = []
        for i in range(number):
            own = taken[:, i]
            seen = {"next_state": self.points[self._after[own]], "reward": self._reward[own]}
            seen["terminal"] = ~self._goes_on[self._after[own]]
            made.append(Records(self.points[visited[:, i]], acted[:, i].astype(np.int32), seen, np.ones(rows)))
        return made

    def worth(self, policy: ActsInStates) -> float:
        """What a policy, by stage or not, is worth where episodes start, solved for.

        Parameters
        ----------
        policy : ActsInStates
        """
        # [(stage,) action, point], 0 where nothing follows.
        share = np.swapaxes(policy.probabilities(self.points), -1, -2) * self._goes_on
        value = np.zeros(len(self.points))

        def before(share: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.float64]:
            following = (self._moves @ value).reshape(share.shape)
            return np.asarray((share * (self._paid + self._discount * following)).sum(0))

        if self._horizon is not None:
            for own in np.broadcast_to(share, (self._horizon, *share.shape[-2:]))[::-1]:
                value = before(own, value)
            return float(value[self._starts].mean())
        allowed = PRECISE * (1 + float(np.abs(self._reward).max()))
        while True:
            improved = before(share, value)
            change = float(np.abs(improved - value).max())
            value = improved
            if change * self._discount <= allowed * (1 - self._discount):
                return float(value[self._starts].mean())
