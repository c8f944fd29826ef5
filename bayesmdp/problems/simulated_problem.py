"""What compiled code reads of a problem on a space of numbers, and how it makes steps of it by the model.

A step is drawn from a NumPyro model at values of its unknowns: the next state, and the reward too where the model
samples one (:mod:`bayesmdp.model_reading.records`). Where it does not, the reward is what the problem says. A step ends
its episode if it leads to a state that is terminal, or if the model draws that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.infer import Predictive

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.primitives import draw_rows
from bayesmdp.model_reading.read_model import TRACING, Model
from bayesmdp.model_reading.records import Records
from bayesmdp.problems.model_units import ModelUnits
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step, World, keys_of_step

__all__ = [
    "Features",
    "Reward",
    "Simulated",
    "SimulatedProblem",
    "next_states",
    "primitives_of",
    "simulate_steps",
    "simulated_world",
]

type Features = Callable[[Array], Array]
type Reward = Callable[[Array, Array, Array], Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SimulatedProblem:
    """What the compiled loop and agents read of a :class:`SimulatedMDP`.

    It is a pytree, and so are `features`, `reward` and `available`, which may hold arrays
    (:class:`~bayesmdp.problems.model_units.ArrayFunction`). Other functions are static.

    Attributes
    ----------
    start, low, high : array [coordinate]
        The first state, or the mean of its distribution.
    anchors : array [anchor, coordinate]
        Places spread over the space, without those where all actions are alike.
    reward_range : array [2]
    discount : float
        1 where all rewards of a number of steps count the same.
    points : array [point, coordinate]
    mesh : Problem or None
    kernel, features, alike : callable
    reward : callable or None
        None where the model samples what a step pays.
    num_actions : int
    terminal : callable or None
        ``terminal(state [..., coordinate]) -> bool [...]``; None where no state ends an episode.
    starts : Distribution or None
        Of first states; None where there is one.
    length : int or None
        Steps after which an episode is cut off.
    confined : bool
        Whether steps that would leave the box end on its border, and rewards at the ends of their range.
    available : callable or None
        ``available(state [..., coordinate]) -> bool [..., action]``; None where all actions may be taken everywhere.
    units : ModelUnits or None
        Of the model, where they are not the problem's.
    ends_drawn : bool
        Whether the model samples which steps end an episode.
    horizon : int or None
        Steps that count, from where they begin; None where all do.
    """

    start: Array
    low: Array
    high: Array
    anchors: Array
    reward_range: Array
    discount: Array
    points: Array
    mesh: Problem | None
    features: Features
    reward: Reward | None
    kernel: Any = field(metadata={"static": True})
    alike: Callable[[Array], Array] = field(metadata={"static": True})
    model: Model = field(metadata={"static": True})
    num_actions: int = field(metadata={"static": True})
    terminal: Callable[[Array], Array] | None = field(default=None, metadata={"static": True})
    starts: Any = None
    length: Array | None = None
    confined: bool = field(default=False, metadata={"static": True})
    available: Callable[[Array], Array] | None = None
    units: ModelUnits | None = None
    ends_drawn: bool = field(default=False, metadata={"static": True})
    horizon: Array | None = None

    @property
    def has_ends(self) -> bool:
        """Whether episodes may end."""
        return self.terminal is not None or self.ends_drawn

    @property
    def value_range(self) -> Array:
        """Between what values lie [2]: they are sums of any number of rewards if episodes may end."""
        xp = jnp if isinstance(self.reward_range, jax.Array) else np
        lost = 1 - self.discount
        if self.horizon is None:
            whole = self.reward_range / lost
        else:
            discounted = (1 - self.discount**self.horizon) / xp.where(lost > 0, lost, 1)
            whole = self.reward_range * xp.where(lost > 0, discounted, self.horizon)
        if not self.has_ends:
            return whole
        return xp.stack([xp.minimum(self.reward_range[0], whole[0]), xp.maximum(self.reward_range[1], whole[1])])

    @property
    def discount_ahead(self) -> Array:
        """What the value of the next state counts: the discount, and nothing after the last step of a horizon."""
        if self.horizon is None:
            return self.discount
        return jnp.where(self.horizon > 1, self.discount, 0.0)

    def at_stage(self, stage: int) -> SimulatedProblem:
        """The problem after so many steps of its horizon.

        Parameters
        ----------
        stage : int
        """
        assert self.horizon is not None
        return replace(self, horizon=np.int32(self.horizon - stage))

    def draw_start(self, key: Array) -> Array:
        """Draw the first state of an episode; may be traced."""
        start = jnp.asarray(self.start)
        return start if self.starts is None else self.starts.sample(key).astype(start.dtype)

    def continues(self, state: Array) -> Array:
        """1 where an episode goes on, 0 in terminal states [...]; may be traced."""
        shape = state.shape[:-1]
        return jnp.ones(shape) if self.terminal is None else jnp.where(self.terminal(state), 0.0, 1.0)

    def allowed(self, q: Array, state: Array) -> Array:
        """Q-values [..., action] of states, -inf for actions that may not be taken there; may be traced."""
        return q if self.available is None else jnp.where(self.available(state), q, -jnp.inf)

    def rows_of_model(self, data: Records) -> Records:
        """Rows of a log as the model observes them, in its units."""
        return data if self.units is None else self.units.records_in(data)

    def nearest(self, state: Array) -> Array:
        """The mesh point nearest to a state."""
        return jnp.argmin(((jnp.asarray(self.points) - state) ** 2).sum(-1))


def simulated_world(problem: SimulatedProblem, truth: Mapping[str, Array]) -> World:
    """Return the world whose steps the problem's model draws with its unknowns at `truth`.

    The first two uniform numbers make a step's random key. A step into a terminal state, or of which the model
    draws that it is the last, ends its episode, and the next is made in a first state again.

    Parameters
    ----------
    problem : SimulatedProblem
    truth : mapping of site to array

    Returns
    -------
    World
    """

    def step(uniforms: Array, state: Array, action: Array) -> tuple[Step, Array]:
        key, restart_key = keys_of_step(uniforms)
        row = jnp.asarray(state)[None], jnp.asarray(action)[None]
        after, drawn = draw_rows(problem.model, key, truth, *row)
        seen = {name: value[0] for name, value in drawn.items()}
        made = _step(problem, *row, after, drawn.get("reward"), drawn.get("terminal"))
        following, reward, goes_on = (each[0] for each in made)
        last = goes_on == 0
        acted_in = following
        if problem.has_ends:
            acted_in = jnp.where(last, problem.draw_start(restart_key), following)
        return Step(state, action, seen, following, reward, last), acted_in

    return World(problem.draw_start, step, length=problem.length)


class Simulated(NamedTuple):
    """Steps that were simulated.

    Attributes
    ----------
    next_state : array [row, coordinate]
    reward : array [row]
    goes_on : array [row]
        1 where the episode goes on after the step, 0 where it ends.
    """

    next_state: Array
    reward: Array
    goes_on: Array


def next_states(model: Model, key: Array, values: Mapping[str, Array], state: Array, action: Array) -> Array:
    """Simulate next states of pairs, the unknowns being `values`; may be traced.

    Parameters
    ----------
    model : NumPyro function of `Records`
    key : key
    values : mapping of site to array
    state : array [row, coordinate]
    action : int array [row]

    Returns
    -------
    array [row, coordinate]

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> with jax.enable_x64(True):
    ...     after = next_states(lake.model, random.key(0), lake.truth, np.full((4_000, 2), 0.5), np.full(4_000, 2))
    >>> np.asarray(after).mean(0).round(1).tolist()  # right by .8 times half the reach of 1
    [0.9, 0.5]
    """
    return _sampled(model, key, values, state, action)[0]


def _sampled(
    model: Model, key: Array, values: Mapping[str, Array], state: Array, action: Array
) -> tuple[Array, Array | None, Array | None]:
    """Next states [row, coordinate], and where the model samples them rewards [row], and which steps end [row]."""
    if not values:  # which NumPyro's Predictive does not take
        after, drawn = draw_rows(model, key, values, state, action)
        return after, drawn.get("reward"), drawn.get("terminal")
    # NumPy arrays cannot be indexed by traced ones.
    known, names = jax.tree.map(jnp.asarray, dict(values)), ["next_state", "reward", "terminal"]
    predict = Predictive(model, known, batch_ndims=0, return_sites=names)
    with TRACING:
        drawn = predict(key, Records(state, action, {}, jnp.ones(action.shape)))
    return drawn["next_state"], drawn.get("reward"), drawn.get("terminal")


def simulate_steps(
    problem: SimulatedProblem, model: Model, key: Array, values: Mapping[str, Array], state: Array, action: Array
) -> Simulated:
    """Simulate steps of pairs by a model, what they pay, and whether episodes go on; may be traced.

    Parameters
    ----------
    problem : SimulatedProblem
    model : NumPyro function of `Records`
        Where it samples a reward that is what a step pays; else the problem says it.
    key : key
    values : mapping of site to array
        Its unknowns.
    state : array [row, coordinate]
    action : int array [row]

    Returns
    -------
    Simulated

    Raises
    ------
    ValueError
        If neither the model nor the problem says what steps pay.
    """
    if problem.units is None:
        return _step(problem, state, action, *_sampled(model, key, values, state, action))
    units = jax.tree.map(jnp.asarray, problem.units)
    after, paid, ended = _sampled(model, key, values, units.states_in(state), action)
    paid = None if paid is None else units.rewards_out(paid)
    return _step(problem, state, action, units.states_out(after), paid, ended)


def _step(
    problem: SimulatedProblem, state: Array, action: Array, after: Array, paid: Array | None, ended: Array | None
) -> Simulated:
    """Make steps from what was drawn."""
    if problem.confined:
        after = jnp.clip(after, jnp.asarray(problem.low), jnp.asarray(problem.high))
    if paid is None and problem.reward is None:
        raise ValueError(
            "nobody says what steps pay: the problem has no reward function, and the model samples no 'reward' in "
            "data.rows()"
        )
    reward = problem.reward(state, action, after) if paid is None else paid  # type: ignore[misc] # refused above
    if problem.confined:
        reward = jnp.clip(reward, problem.reward_range[0], problem.reward_range[1])
    goes_on = problem.continues(after)
    return Simulated(after, reward, goes_on if ended is None else jnp.where(ended != 0, 0.0, goes_on))


@lru_cache(maxsize=64)
def primitives_of(model: Model, coordinates: int) -> tuple[str, ...]:
    """Return the names of what a model draws for each row.

    Parameters
    ----------
    model : NumPyro function of `Records`
    coordinates : int
        Of a state.
    """
    with jax.enable_x64(True):
        state, action = jnp.zeros((1, coordinates)), jnp.zeros(1, jnp.int32)
        return tuple(jax.eval_shape(lambda: draw_rows(model, random.key(0), {}, state, action)[1]))
